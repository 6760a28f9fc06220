# License: BSD-3-Clause
"""What BrainRVQ predicts of a patch: its waveform, and amplitude and phase of its spectrum."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .brainrvq_config import BrainRVQConfig
from .spectrum import standardise

# Added to the standard deviation of a patch, as the released code does.
_EPS = 1e-6


class DualView(NamedTuple):
    """Patches in the time domain, the frequency domain, or both.

    Parameters
    ----------
    waveform : Tensor, shape (batch, n_chans, n_patches, patch_size) | None
        Samples, standardised in each patch.
    amplitude : Tensor, shape (batch, n_chans, n_patches, patch_size) | None
        Modulus of the two-sided spectrum, standardised over the window.
    phase : Tensor, shape (batch, n_chans, n_patches, patch_size[, 2]) | None
        Cosine and sine of the phase, on a last axis; or its angle, standardised over the window.
    side : Tensor, shape (batch, n_chans, n_patches, 2)
        Mean and standard deviation of each patch; without the time domain those of the modulus,
        the same for all patches of a window.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import BRAINRVQ_EEG, analyse_dual
    >>> view = analyse_dual(torch.randn(2, 3, 4, 200), BRAINRVQ_EEG)
    >>> view.waveform.shape, view.phase.shape, view.side.shape
    (torch.Size([2, 3, 4, 200]), torch.Size([2, 3, 4, 200, 2]), torch.Size([2, 3, 4, 2]))
    """

    waveform: Tensor | None
    amplitude: Tensor | None
    phase: Tensor | None
    side: Tensor


def analyse_dual(patches: Tensor, config: BrainRVQConfig) -> DualView:
    """View patches in the domains of a configuration, the targets of the decoders.

    Parameters
    ----------
    patches : Tensor, shape (batch, n_chans, n_patches, patch_size)
        Samples.
    config : BrainRVQConfig
        Which domains, and what stands for the phase.

    Returns
    -------
    DualView
        Their view and its side information.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import BRAINRVQ_EEG
    >>> view = analyse_dual(torch.randn(2, 3, 4, 200), BRAINRVQ_EEG)
    >>> bool(torch.allclose(view.waveform.std(-1), torch.ones(1), atol=1e-4))
    True
    """
    waveform = amplitude = phase = None
    var, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    std = var.sqrt()
    side = torch.cat((mean, std), -1)
    if "time" in config.domains:
        waveform = (patches - mean) / (std + _EPS)
    if "frequency" in config.domains:
        spectrum = torch.fft.fft(patches)
        amplitude, scale = standardise(spectrum.abs())
        angle = spectrum.angle()
        if config.phase == "circular":
            phase = torch.stack((angle.cos(), angle.sin()), -1)
        else:
            phase = standardise(angle)[0]
        if waveform is None:
            side = scale[:, None, None].expand_as(side)
    return DualView(waveform, amplitude, phase, side)


def synthesise_dual(view: DualView) -> Tensor:
    """Invert :func:`analyse_dual`: through the waveform where there is one.

    Parameters
    ----------
    view : DualView
        Possibly predicted: the spectrum need not be Hermitian; the real part is taken.

    Returns
    -------
    Tensor, shape (batch, n_chans, n_patches, patch_size)
        Samples.

    Raises
    ------
    ValueError
        If there is neither a waveform nor a circular phase.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import BRAINRVQ_EEG, analyse_dual
    >>> x = torch.randn(2, 3, 4, 200)
    >>> bool(torch.allclose(synthesise_dual(analyse_dual(x, BRAINRVQ_EEG)), x, atol=1e-5))
    True
    """
    first, second = view.side.unbind(-1)
    if view.waveform is not None:
        return view.waveform * (second[..., None] + _EPS) + first[..., None]
    if view.amplitude is None or view.phase is None or view.phase.ndim < 5:
        raise ValueError("a view without a waveform needs an amplitude and a circular phase.")
    modulus = view.amplitude * second[..., None] + first[..., None]
    cos, sin = view.phase.unbind(-1)
    return torch.fft.ifft(torch.complex(modulus * cos, modulus * sin)).real


def dual_losses(target: DualView, predicted: DualView) -> dict[str, Tensor]:
    """Losses of the decoders, each a scalar and unweighted.

    Parameters
    ----------
    target, predicted : DualView
        View of the input and what the decoders say.

    Returns
    -------
    dict of str to Tensor
        For each domain that there is: ``waveform`` and ``amplitude``, mean squared errors of the
        standardised values; ``phase``, the mean squared distance between the points (cosine,
        sine), or under ``phase="angle"`` the mean squared error of the standardised angles. Each
        is 1 where nothing but zeros is predicted.

    Notes
    -----
    The released code sums them with the commitment loss, with ``phase="angle"``. The distance of
    points has no direction to divide by, as a cosine of vectors has: its gradient stays small
    while the prediction is, and does not drown those of the other losses.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import BRAINRVQ_EEG, analyse_dual
    >>> view = analyse_dual(torch.randn(2, 3, 4, 200), BRAINRVQ_EEG)
    >>> sorted(dual_losses(view, view))
    ['amplitude', 'phase', 'waveform']
    """
    losses: dict[str, Tensor] = {}
    if target.waveform is not None and predicted.waveform is not None:
        losses["waveform"] = F.mse_loss(predicted.waveform, target.waveform)
    if target.amplitude is not None and predicted.amplitude is not None:
        losses["amplitude"] = F.mse_loss(predicted.amplitude, target.amplitude)
    if target.phase is not None and predicted.phase is not None:
        apart = (predicted.phase - target.phase).square()
        losses["phase"] = (apart.sum(-1) if apart.ndim == 5 else apart).mean()
    return losses
