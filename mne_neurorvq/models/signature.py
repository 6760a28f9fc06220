# License: BSD-3-Clause
"""The constructor arguments that braindecode's models share, resolved against a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .._names import name_key, pair_names, quote
from .._rates import same_rate
from .._warnings import warn
from .config import QuantizerConfig, TransformerConfig

ChannelsInfo = Sequence[Mapping[str, Any]]
PARTIAL = "n_times={} must be a multiple of the patch size {}."


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
    keys = {i: name_key(name, config.modality) for i, name in enumerate(names)}
    pairs = pair_names(keys, config.channels, config.modality)
    unknown = [name for i, name in enumerate(names) if i not in pairs]
    if unknown:
        raise ValueError(
            f"{unknown} are not in the {config.modality} vocabulary of {len(config.channels)} "
            "channels. Leave them out or rename them; the estimators do so by themselves."
        )
    for i, pair in pairs.items():
        if pair.rival is not None and not config.one_by_one:
            raise ValueError(
                f"{names[i]!r} and {names[pair.rival]!r} are both {config.channels[pair.place]!r} "
                "for the model: leave one out."
            )
    rows = [pairs[i].place for i in keys]
    untrained = {config.channels[row] for row in rows} - set(config.trained or config.channels)
    if untrained:
        warn(
            f"The model was not trained on {quote(sorted(untrained))}: their embeddings are "
            "starting values. Leave such channels out; the estimators do so by themselves."
        )
    return torch.tensor(rows)


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
        raise ValueError(PARTIAL.format(n_times, config.patch_size))
    return n_times


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
