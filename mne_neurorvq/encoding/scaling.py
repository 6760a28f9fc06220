# License: BSD-3-Clause
"""Scaling of channels for models that take scaled signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._warnings import warn
from ..signals.robust_scaling import robust_statistics, scale_by

if TYPE_CHECKING:
    from .matched_trials import MatchedTrials

#: What a model is given of some trials: arrays ``(n_trials, n_channels, ...)``.
Batch = list[NDArray[np.float32]]
#: Centre and scale of each used channel.
Scaling = tuple[NDArray[np.float64], NDArray[np.float64]]


def scale_channels(
    data: NDArray[np.float64], scaling: Scaling | None, names: Sequence[str], start: int
) -> Batch:
    """Scale trials ``(n_trials, n_channels, n_times)`` from number ``start`` on, by their channels.

    Also gives centre and scale, ``(n_trials, n_channels, 2)``.
    """
    if scaling is None:
        centre, scale = robust_statistics(data)
    else:
        centre, scale = scaling
        silent = np.flatnonzero(scale == 0)
        moving = robust_statistics(data[:, silent])[1] > 0 if len(silent) else np.zeros((0, 0))
        if moving.any():
            trial, channel = np.argwhere(moving)[0]
            raise ValueError(
                f"Trial {start + trial}, channel {names[silent[channel]]!r} moves, but was "
                "constant in all that fit saw: scaling='fit' has no scale for it. Fit again, or "
                "use scaling='trial'."
            )
        # A silent channel may rest elsewhere than in fit: it comes back as it is.
        centre = np.where(scale == 0, np.median(data, axis=-1), centre)
        scale = np.broadcast_to(scale, data.shape[:2])
    # In double precision until here: codes do not depend on the unit of the trials.
    scaled = scale_by(data, centre, scale).astype(np.float32)
    return [scaled, np.stack([centre, scale], axis=-1).astype(np.float32)]


def learn_scaling(
    matched: MatchedTrials,
    signals: NDArray[np.float64],
    weights: NDArray[np.floating] | None = None,
) -> MatchedTrials:
    """Learn centre and scale of each channel from signals ``(n_trials, n_channels, n_times)``.

    ``weights`` are those of the trials, ``(n_trials,)``.
    """
    each = np.ones(len(signals)) if weights is None else weights
    of_samples = np.repeat(each, signals.shape[-1])
    pairs = [
        robust_statistics(signals[:, channel].ravel(), of_samples)
        for channel in range(signals.shape[1])
    ]
    centre, scale = (np.array(values) for values in zip(*pairs, strict=True))
    silent = [name for name, s in zip(matched.ch_names, scale, strict=True) if s == 0]
    if silent:
        warn(
            f"{', '.join(silent)} constant in all trials: scaling='fit' has no scale for them, "
            "and takes them for silent. Mark such channels as bad."
        )
    return replace(matched, scaling=(centre, scale))
