# License: BSD-3-Clause
"""The constructor arguments that braindecode's models share, resolved against a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .._rates import same_rate
from .config import QuantizerConfig, TransformerConfig

ChannelsInfo = Sequence[Mapping[str, Any]]
_PARTIAL = "n_times={} must be a multiple of the patch size {}."


def check_config(config: object, published: TransformerConfig) -> None:
    """Raise if the configuration belongs to another system."""
    if not isinstance(config, type(published)):
        raise TypeError(
            f"config must be a {type(published).__name__}, got {type(config).__name__}."
        )


def resolve_channels(
    config: TransformerConfig, chs_info: ChannelsInfo | None, n_chans: int | None
) -> Tensor | None:
    """Vocabulary rows ``(n_chans,)`` of the channels named in MNE's ``info["chs"]``, if given."""
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
    """Find the samples of a window from its length or duration; None if neither is given."""
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
    """Find the samples of a window, which must be a whole number of patches."""
    n_times = window_samples(config.sfreq, n_times, input_window_seconds, sfreq)
    if n_times is not None and (n_times < config.patch_size or n_times % config.patch_size):
        raise ValueError(_PARTIAL.format(n_times, config.patch_size))
    return n_times


def as_patches(
    config: TransformerConfig, x: Tensor, given: Tensor | None, resolved: Tensor | None
) -> tuple[Tensor, Tensor]:
    """View windows ``(batch, n_chans, n_times)`` as ``(batch, n_chans, n_patches, patch_size)``.

    The vocabulary rows of their channels come with them, see :func:`pick_channels`.
    """
    if x.ndim != 3:
        raise ValueError(f"x must be (batch, n_chans, n_times), got shape {tuple(x.shape)}.")
    n_patches, rest = divmod(x.shape[2], config.patch_size)
    if rest or not n_patches:
        raise ValueError(_PARTIAL.format(x.shape[2], config.patch_size))
    patches = x.unflatten(-1, (n_patches, config.patch_size))
    return patches, pick_channels(config, given, resolved, patches)


def apart(x: Tensor) -> Tensor:
    """Make windows of one channel of windows ``(batch, n_chans, ...)``."""
    return x.flatten(0, 1)[:, None]


def together(x: Tensor, n_chans: int) -> Tensor:
    """Undo :func:`apart`."""
    return x[:, 0].unflatten(0, (-1, n_chans))


def check_codes(config: QuantizerConfig, codes: Tensor) -> None:
    """Raise unless these are codes ``(batch, n_chans, n_patches, n_codebooks, 1..n_levels)``."""
    if (
        codes.ndim != 5
        or codes.shape[3] != config.n_codebooks
        or not 1 <= codes.shape[4] <= config.n_levels
    ):
        raise ValueError(
            "codes must be (batch, n_chans, n_patches, "
            f"{config.n_codebooks}, 1..{config.n_levels}), got {tuple(codes.shape)}."
        )
    # An exported graph cannot look at values.
    if torch.compiler.is_exporting():
        return
    if codes.numel() and (codes.min() < 0 or codes.max() >= config.n_codes):
        raise ValueError(
            f"codes must lie in 0..{config.n_codes - 1}, got {codes.min().item()}.."
            f"{codes.max().item()}."
        )


def pick_channels(
    config: TransformerConfig, given: Tensor | None, resolved: Tensor | None, x: Tensor
) -> Tensor:
    """Vocabulary rows of patches or codes: those given to the call, else the constructor's.

    Rows are ``(n_chans,)`` for all windows, or ``(batch, n_chans)`` where montages differ. All
    patches of ``x``, ``(batch, n_chans, n_patches, ...)``, must fit into one segment.
    """
    n_chans, n_patches = x.shape[1:3]
    longest = config.patches_per_segment(n_chans)
    if n_patches > longest:
        raise ValueError(
            f"{n_chans} channels x {n_patches} patches exceed the token budget, {longest} patches "
            "of that many channels: cut the window into segments."
        )
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
    if ids.shape[-1] != n_chans:
        raise ValueError(f"{ids.shape[-1]} channel_ids for an input with {n_chans} channels.")
    if ids.ndim == 2 and len(ids) != len(x):
        raise ValueError(f"channel_ids of {len(ids)} windows for an input with {len(x)}.")
    last = len(config.channels) - 1
    # The tables have a row more than channels, which an index would find without an error. An
    # exported graph cannot look at values.
    if not torch.compiler.is_exporting() and ids.numel() and (ids.min() < 0 or ids.max() > last):
        wrong = ids[(ids < 0) | (ids > last)].unique().tolist()
        raise ValueError(f"channel_ids must lie in 0..{last}, got {wrong}.")
    return ids.to(x.device)
