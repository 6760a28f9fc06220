# License: BSD-3-Clause
"""Which patches pretraining hides: informative ones more often as training goes on."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

# Shares of the terms of the information score.
_SHARES = (0.30, 0.25, 0.20, 0.15, 0.10)
_EPS = 1e-8
# Bands in Hz: rhythms of the brain, and what is taken for artifacts below and above.
_NEURAL, _DRIFT, _MUSCLE = (4.0, 30.0), 2.0, 45.0


def information_scores(x: Tensor, *, patch_size: int, sfreq: float) -> Tensor:
    """Score how informative each patch is, from its spectrum and irregularity.

    Parameters
    ----------
    x : Tensor, shape (batch, n_chans, n_times)
        Windows in the model's unit and rate.
    patch_size : int
        Samples per patch.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    Tensor, shape (batch, n_chans, n_patches)
        From 0 to 1, comparable within a window.

    Notes
    -----
    The score is 0.30 of the power from 4 to 30 Hz over all power, 0.25 of one minus the power
    below 2 Hz and from 45 Hz on over all power, 0.20 of Hjorth's complexity, 0.15 of the mean
    absolute change of the absolute difference of samples over the mean absolute difference, and
    0.10 of Hjorth's mobility, each brought to 0..1 over the patches of the window.

    References
    ----------
    BrainRVQ, https://github.com/keqicmz/BrainRVQ, for the score; Hjorth, "EEG analysis based on
    time domain properties" (1970), for mobility and complexity.

    Examples
    --------
    >>> import torch
    >>> time = torch.arange(400) / 200
    >>> flat, alpha = torch.zeros(200), torch.sin(20 * torch.pi * time[:200])
    >>> scores = information_scores(torch.cat((flat, alpha))[None, None], patch_size=200, sfreq=200)
    >>> bool(scores[0, 0, 1] > scores[0, 0, 0])
    True
    """
    if x.ndim != 3 or x.shape[-1] % patch_size or not x.shape[-1]:
        raise ValueError(
            f"x must be (batch, n_chans, n_patches * {patch_size}), got shape {tuple(x.shape)}."
        )
    patches = x.float().unflatten(-1, (-1, patch_size))
    power = torch.fft.rfft(patches).abs().square()
    frequency = torch.fft.rfftfreq(patch_size, 1 / sfreq, device=x.device)
    total = power.sum(-1) + _EPS
    neural = power[..., (frequency >= _NEURAL[0]) & (frequency < _NEURAL[1])].sum(-1) / total
    artifact = power[..., (frequency < _DRIFT) | (frequency >= _MUSCLE)].sum(-1) / total
    step = patches.diff(dim=-1)
    spread, slope = patches.var(-1) + _EPS, step.var(-1) + _EPS
    mobility = (slope / spread).sqrt()
    complexity = (step.diff(dim=-1).var(-1) / slope).sqrt() / (mobility + _EPS)
    size = step.abs()
    irregularity = size.diff(dim=-1).abs().mean(-1) / (size.mean(-1) + _EPS)
    terms = torch.stack((neural, 1 - artifact, complexity, irregularity, mobility))
    low, high = terms.amin((2, 3), keepdim=True), terms.amax((2, 3), keepdim=True)
    shares = terms.new_tensor(_SHARES)[:, None, None, None]
    return (shares * (terms - low) / (high - low + _EPS)).sum(0)


def information_weight(progress: float, *, first: float = 0.2, last: float = 0.7) -> float:
    """Return the weight of the information score against chance at a point of training.

    Parameters
    ----------
    progress : float
        Share of the training that is done, from 0 to 1.
    first, last : float
        Weight at its start and end.

    Returns
    -------
    float
        Weight.

    Examples
    --------
    >>> [round(information_weight(share), 2) for share in (0, 0.5, 1)]
    [0.2, 0.45, 0.7]
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress must be from 0 to 1, got {progress}.")
    return first + (last - first) * progress


def draw_mask(
    x: Tensor,
    progress: float,
    generator: torch.Generator,
    *,
    patch_size: int,
    sfreq: float,
    guided: bool = True,
    ratio: float = 0.5,
    temperature: float = 0.8,
    punching: float = 0.1,
    longest_run: int = 5,
    runs: Literal["channel", "window"] = "channel",
) -> Tensor:
    """Choose the patches that the first pass of masked-token prediction hides.

    A share of the patches is drawn, informative ones more often as training goes on; some of them
    are spared at random, and so is what makes a run of hidden patches too long.

    Parameters
    ----------
    x : Tensor, shape (batch, n_chans, n_times)
        Windows in the model's unit and rate.
    progress : float
        Share of the training that is done, from 0 to 1.
    generator : torch.Generator
        Source of all chance: the mask is a function of the arguments.
    patch_size : int
        Samples per patch.
    sfreq : float
        Sampling rate in Hz.
    guided : bool
        Whether the information in the patches counts; False draws all with the same chance.
    ratio : float
        Share of the patches that is drawn, rounded down.
    temperature : float
        The higher, the less the score counts.
    punching : float
        Chance that a drawn patch is spared.
    longest_run : int
        Most hidden patches in a row.
    runs : "channel" | "window"
        Whether a run ends with its channel, or, as in the released code, continues into the next.

    Returns
    -------
    Tensor of bool, shape (batch, n_chans, n_patches)
        True where hidden, on the device of ``x``.

    References
    ----------
    BrainRVQ, https://github.com/keqicmz/BrainRVQ.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import draw_mask
    >>> generator = torch.Generator().manual_seed(0)
    >>> x = torch.randn(2, 4, 2000, generator=generator)
    >>> mask = draw_mask(x, 0.5, generator, patch_size=200, sfreq=200.0)
    >>> mask.shape, int(mask.sum())
    (torch.Size([2, 4, 10]), 37)
    """
    if not 0.0 < ratio < 1.0 or not 0.0 <= punching < 1.0:
        raise ValueError(
            f"ratio must lie between 0 and 1 and punching be at least 0 and below 1, got {ratio} "
            f"and {punching}."
        )
    if temperature <= 0 or longest_run < 1:
        raise ValueError(
            f"temperature must be above 0 and longest_run at least 1, got {temperature} and "
            f"{longest_run}."
        )
    if runs not in ("channel", "window"):
        raise ValueError(f"runs must be 'channel' or 'window', got {runs!r}.")
    weight = information_weight(progress)
    shape = (*x.shape[:2], x.shape[-1] // patch_size)
    # Drawn where the generator is: the same on every device.
    chance = _uniform((len(x), shape[1] * shape[2]), generator)
    n_drawn = int(ratio * chance.shape[1])
    if not n_drawn:
        raise ValueError(
            f"ratio={ratio} of {chance.shape[1]} patches hides none: give longer windows."
        )
    if guided:
        scores = information_scores(x.detach(), patch_size=patch_size, sfreq=sfreq)
        scores = weight * scores.flatten(1).to(chance.device) + (1 - weight) * chance
        centred = scores - scores.mean(1, keepdim=True)
        spread = scores.std(1, keepdim=True) + _EPS
        odds = (centred / spread / temperature).softmax(1)
        drawn = odds.multinomial(n_drawn, generator=generator)
    else:
        drawn = chance.topk(n_drawn, dim=1).indices
    mask = torch.zeros_like(chance, dtype=torch.bool).scatter_(1, drawn, True)
    mask &= _uniform(chance.shape, generator) >= punching
    if runs == "channel":
        mask = limit_runs(mask.view(shape), longest_run)
    else:
        mask = limit_runs(mask, longest_run)
    return mask.view(shape).to(x.device)


def limit_runs(mask: Tensor, longest: int) -> Tensor:
    """Interrupt runs of hidden patches along the last axis.

    Parameters
    ----------
    mask : Tensor of bool, shape (..., n_patches)
        True where hidden.
    longest : int
        Most hidden patches in a row; every next one is spared.

    Returns
    -------
    Tensor of bool, shape (..., n_patches)
        The mask without longer runs.

    Examples
    --------
    >>> import torch
    >>> limit_runs(torch.tensor([True, True, True, False, True]), 2)
    tensor([ True,  True, False, False,  True])
    """
    place = torch.arange(1, mask.shape[-1] + 1, device=mask.device).expand(mask.shape)
    last_shown = place.masked_fill(mask, 0).cummax(-1).values
    return mask & ((place - last_shown) % (longest + 1) != 0)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)
