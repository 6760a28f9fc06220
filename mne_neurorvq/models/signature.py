# License: BSD-3-Clause
"""The constructor arguments that braindecode's models share, resolved against a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .._rates import same_rate
from .config import QuantizerConfig
from .transformer_config import TransformerConfig

ChannelsInfo = Sequence[Mapping[str, Any]]


def check_config(config: object, published: TransformerConfig) -> None:
    """Refuse the configuration of another system.

    Parameters
    ----------
    config : object
        What was given.
    published : TransformerConfig
        A configuration of the system that is wanted.

    Raises
    ------
    TypeError
        If the two are of different classes.
    """
    if not isinstance(config, type(published)):
        raise TypeError(
            f"config must be a {type(published).__name__}, got {type(config).__name__}."
        )


def resolve_channels(
    config: TransformerConfig, chs_info: ChannelsInfo | None, n_chans: int | None
) -> Tensor | None:
    """Vocabulary rows of the channels named in ``chs_info``.

    Parameters
    ----------
    config : TransformerConfig
        Holds the vocabulary.
    chs_info : sequence of mapping | None
        MNE's ``info["chs"]``; only ``ch_name`` is read.
    n_chans : int | None
        Number of channels, to agree with ``chs_info``.

    Returns
    -------
    Tensor of int64, shape (n_chans,) | None
        Rows, or None without ``chs_info``.

    Raises
    ------
    ValueError
        If a name is not in the vocabulary or the numbers disagree.
    """
    if chs_info is None:
        return None
    names = [str(ch["ch_name"]) for ch in chs_info]
    if n_chans is not None and n_chans != len(names):
        raise ValueError(f"n_chans={n_chans} but chs_info describes {len(names)} channels.")
    rows = {name: row for row, name in enumerate(config.channels)}
    unknown = [name for name in names if name.casefold() not in rows]
    if unknown:
        raise ValueError(
            f"{unknown} are not in the {config.modality} vocabulary of {len(rows)} channels. "
            "Leave them out or rename them; the estimators match names for you."
        )
    return torch.tensor([rows[name.casefold()] for name in names])


def window_samples(
    model_sfreq: float,
    n_times: int | None,
    input_window_seconds: float | None,
    sfreq: float | None,
) -> int | None:
    """Find the number of samples that the window arguments agree on.

    Parameters
    ----------
    model_sfreq : float
        Rate of the model in Hz.
    n_times : int | None
        Samples of a window.
    input_window_seconds : float | None
        Duration of a window.
    sfreq : float | None
        Sampling rate in Hz.

    Returns
    -------
    int | None
        Samples, or None when neither is given.

    Raises
    ------
    ValueError
        If the rate is not the model's or the arguments contradict each other.
    """
    if sfreq is not None and not same_rate(sfreq, model_sfreq):
        raise ValueError(
            f"sfreq={sfreq} but the model works at {model_sfreq} Hz: resample the signal."
        )
    if input_window_seconds is not None:
        samples = round(input_window_seconds * model_sfreq)
        if n_times is not None and n_times != samples:
            raise ValueError(
                f"n_times={n_times} contradicts input_window_seconds={input_window_seconds} "
                f"at {model_sfreq} Hz ({samples} samples)."
            )
        n_times = samples
    return n_times


def check_length(
    config: TransformerConfig,
    n_times: int | None,
    input_window_seconds: float | None,
    sfreq: float | None,
) -> int | None:
    """Find the number of samples that the window arguments agree on, a whole number of patches.

    Parameters
    ----------
    config : TransformerConfig
        Holds the rate and the patch size.
    n_times : int | None
        Samples of a window.
    input_window_seconds : float | None
        Duration of a window.
    sfreq : float | None
        Sampling rate in Hz.

    Returns
    -------
    int | None
        Samples, or None when neither is given.

    Raises
    ------
    ValueError
        If the rate is not the model's, the arguments contradict each other or the window is no
        whole number of patches.
    """
    n_times = window_samples(config.sfreq, n_times, input_window_seconds, sfreq)
    if n_times is not None and (n_times < config.patch_size or n_times % config.patch_size):
        raise ValueError(
            f"n_times={n_times} must be a multiple of the patch size {config.patch_size}."
        )
    return n_times


def as_patches(config: TransformerConfig, x: Tensor) -> Tensor:
    """Cut windows into patches.

    Parameters
    ----------
    config : TransformerConfig
        Patch size and token budget.
    x : Tensor, shape (batch, n_chans, n_times)
        Windows.

    Returns
    -------
    Tensor, shape (batch, n_chans, n_patches, patch_size)
        A view of ``x``.

    Raises
    ------
    ValueError
        If the window is no whole number of patches or exceeds the token budget.
    """
    if x.ndim != 3:
        raise ValueError(f"x must be (batch, n_chans, n_times), got shape {tuple(x.shape)}.")
    n_chans, n_times = x.shape[1:]
    check_length(config, n_times, None, None)
    n_patches = n_times // config.patch_size
    check_budget(config, n_chans, n_patches)
    return x.unflatten(-1, (n_patches, config.patch_size))


def check_budget(config: TransformerConfig, n_chans: int, n_patches: int) -> None:
    """Refuse more tokens than the model has been made for.

    Parameters
    ----------
    config : TransformerConfig
        Most patches of a segment.
    n_chans, n_patches : int
        Channels, and patches of each.

    Raises
    ------
    ValueError
        If these are more than a segment may have.
    """
    longest = config.patches_per_segment(n_chans)
    if n_patches > longest:
        raise ValueError(
            f"{n_chans} channels x {n_patches} patches exceed the token budget, {longest} patches "
            "of that many channels: cut the window into segments."
        )


def check_codes(config: QuantizerConfig, codes: Tensor) -> None:
    """Refuse what is not codes of a quantizer.

    Parameters
    ----------
    config : QuantizerConfig
        Sizes.
    codes : Tensor of int64, shape (batch, n_chans, n_patches, n_codebooks, n_levels)
        Codes of all levels or of the first.

    Raises
    ------
    ValueError
        If the shape does not fit or a code is not in the codebook.
    """
    if (
        codes.ndim != 5
        or codes.shape[3] != config.n_codebooks
        or not 1 <= codes.shape[4] <= config.n_levels
    ):
        raise ValueError(
            "codes must be (batch, n_chans, n_patches, "
            f"{config.n_codebooks}, 1..{config.n_levels}), got {tuple(codes.shape)}."
        )
    if codes.numel() and (codes.min() < 0 or codes.max() >= config.n_codes):
        raise ValueError(
            f"codes must lie in 0..{config.n_codes - 1}, got {codes.min().item()}.."
            f"{codes.max().item()}."
        )


def pick_channels(
    config: TransformerConfig, given: Tensor | None, resolved: Tensor | None, x: Tensor
) -> Tensor:
    """Channel rows of a call: those given to it, else those of the constructor.

    Parameters
    ----------
    config : TransformerConfig
        Holds the vocabulary.
    given : Tensor of int64, shape (n_chans,) or (batch, n_chans) | None
        Rows from the call: of all windows, or of each where montages differ.
    resolved : Tensor of int64, shape (n_chans,) | None
        Rows from the constructor.
    x : Tensor, shape (batch, n_chans, ...)
        The input, for its number of windows and channels and its device.

    Returns
    -------
    Tensor of int64, shape (n_chans,) or (batch, n_chans)
        Rows on the device of ``x``.

    Raises
    ------
    ValueError
        If there are none, their number differs from the channels or windows of ``x`` or one is
        not in the vocabulary.
    """
    ids = resolved if given is None else torch.as_tensor(given)
    if ids is None:
        raise ValueError(
            "the channels are unknown: give chs_info to the constructor or channel_ids to the call."
        )
    if ids.ndim not in (1, 2) or ids.is_floating_point():
        raise ValueError(
            "channel_ids must be integers of shape (n_chans,) or (batch, n_chans), got "
            f"{ids.dtype} of shape {tuple(ids.shape)}."
        )
    if ids.shape[-1] != x.shape[1]:
        raise ValueError(f"{ids.shape[-1]} channel_ids for an input with {x.shape[1]} channels.")
    if ids.ndim == 2 and len(ids) != len(x):
        raise ValueError(f"channel_ids of {len(ids)} windows for an input with {len(x)}.")
    last = len(config.channels) - 1
    # The tables have a row more than channels, which an index would find without an error.
    if ids.numel() and (ids.min() < 0 or ids.max() > last):
        wrong = ids[(ids < 0) | (ids > last)].unique().tolist()
        raise ValueError(f"channel_ids must lie in 0..{last}, got {wrong}.")
    return ids.to(x.device)
