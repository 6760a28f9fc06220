# License: BSD-3-Clause
"""Trials matched to a model: which channels it gets, how windows are cut, and reading them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .._warnings import warn
from ..signals import ChannelMatch, Segmentation, Trials, plan_segments, unit_factor
from ..signals.amplitude import warn_of_silence
from ..signals.channel_report import used_channels
from ..signals.preparation import prepare, read_signals
from ..signals.resampling import resampled_length
from ..signals.robust_scaling import robust_statistics, scale_by
from ..weights.systems import Config
from .gathering import gather

#: What a model is given of some trials: arrays ``(n_trials, n_channels, ...)``.
Batch = list[NDArray[np.float32]]
#: Centre and scale of each used channel.
Scaling = tuple[NDArray[np.float64], NDArray[np.float64]]
# Trials that are read at a time to learn their scale.
_TRIALS_PER_READ = 64
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class MatchedTrials:
    """Trials whose channels are matched to a model, and how their windows are cut.

    A model that takes scaled signals gets each channel by ``scaling``, which fit has learned, or
    each trial by its own median and interquartile range where that is None.
    """

    trials: Trials
    matches: Sequence[ChannelMatch]
    segmentation: Segmentation
    config: Config
    scaling: Scaling | None = None

    @cached_property
    def used(self) -> tuple[list[int], list[int]]:
        """Places of the used channels in the recording, and their rows of the vocabulary."""
        return used_channels(self.matches)

    @property
    def ch_names(self) -> tuple[str, ...]:
        """The user's names of the channels that the model gets."""
        return tuple(match.name for match in self.matches if match.used)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The user's names of the channels that are left out."""
        return tuple(match.name for match in self.matches if match.left_out)

    def batches(self, n_trials: int, *, shuffled: bool = False) -> Iterator[tuple[int, Batch]]:
        """Prepare batches, each with the index of its first trial; then warn of silent trials."""
        starts = list(range(0, len(self.trials), n_trials))
        if shuffled:
            starts = np.random.default_rng().permutation(starts).tolist()
        reading: Iterator[tuple[int, Batch]] = (
            (start, self.prepared(start, min(start + n_trials, len(self.trials))))
            for start in starts
        )
        silent: list[int] = []
        for start, batch in read_ahead(reading) if len(starts) > 1 else reading:
            silent += (start + np.flatnonzero(self._is_silent(batch))).tolist()
            yield start, batch
        if silent:
            warn_of_silence(self.trials, silent)

    def prepared(self, start: int, stop: int) -> Batch:
        """Prepare some trials: segments ``(n_trials, n_used, n_times)`` of the model's rate.

        Where the model takes scaled signals: the one segment, and centre and scale of each channel
        ``(n_trials, n_used, 2)``.
        """
        if self.config.takes_scaled:
            return self._scaled(self.signals(start, stop), start)
        return prepare(
            self.trials,
            self.matches,
            self.segmentation,
            model_sfreq=self.config.sfreq,
            model_unit=self.config.unit,
            start=start,
            stop=stop,
        )

    def signals(self, start: int, stop: int) -> NDArray[np.float64]:
        """Signals of some trials ``(n_trials, n_used, n_times)``, before they are scaled."""
        return read_signals(
            self.trials,
            self.matches,
            sfreq=self.config.sfreq,
            unit=self.config.signal_unit,
            start=start,
            stop=min(stop, len(self.trials)),
        )

    def _scaled(self, data: NDArray[np.float64], start: int) -> Batch:
        if self.scaling is None:
            centre, scale = robust_statistics(data)
        else:
            centre, scale = self.scaling
            self._check_silent_channels(data, start, scale)
            # A silent channel may rest elsewhere than in fit: it comes back as it is.
            centre = np.where(scale == 0, np.median(data, axis=-1), centre)
            scale = np.broadcast_to(scale, data.shape[:2])
        # In double precision until here: codes do not depend on the unit of the trials.
        scaled = scale_by(data, centre, scale).astype(np.float32)
        return [scaled, np.stack([centre, scale], axis=-1).astype(np.float32)]

    def _is_silent(self, batch: Batch) -> NDArray[np.bool_]:
        """Which trials of a batch are constant in every channel."""
        if self.config.takes_scaled:
            return np.asarray((batch[0] == 0).all(axis=(1, 2)))
        constant = [(part == part[..., :1]).all(axis=(1, 2)) for part in batch]
        return np.logical_and.reduce(constant)

    def _check_silent_channels(
        self, data: NDArray[np.float64], start: int, scale: NDArray[np.float64]
    ) -> None:
        silent = np.flatnonzero(scale == 0)
        if not len(silent):
            return
        moving = robust_statistics(data[:, silent])[1] > 0
        if moving.any():
            trial, channel = np.argwhere(moving)[0]
            raise ValueError(
                f"Trial {start + trial}, channel {self.ch_names[silent[channel]]!r} moves, but was "
                "constant in all that fit saw: scaling='fit' has no scale for it. Fit again, or "
                "use scaling='trial'."
            )


def plan(
    trials: Trials,
    matches: Sequence[ChannelMatch],
    config: Config,
    known: Segmentation | None = None,
) -> MatchedTrials:
    """Plan the segments of matched trials; an earlier plan is taken if the length is the same."""
    if config.takes_scaled:
        unit_factor(trials.unit, config.signal_unit)  # raises for arbitrary units
    n_times = resampled_length(trials.n_times, trials.sfreq, config.sfreq)
    if known is None or known.n_times != n_times:
        known = _segments(n_times, len(used_channels(matches)[0]), config)
    return MatchedTrials(trials, tuple(matches), known, config)


def _segments(n_times: int, n_channels: int, config: Config) -> Segmentation:
    size = config.patch_size
    if config.takes_scaled:  # in one segment, whose last patch the model itself completes
        n_patches = math.ceil(n_times / size)
        return Segmentation(n_times, size, (n_patches,), padding=n_patches * size - n_times)
    # Where not even one patch of all channels fits, the error names the whole budget.
    budget = n_channels * config.patches_per_segment(n_channels) or config.max_tokens
    return plan_segments(n_times, n_channels, patch_size=size, max_patches=budget)


def read_ahead(batches: Iterator[_Item]) -> Iterator[_Item]:
    """Read each batch, none of which is None, while the one before it is worked on."""
    with ThreadPoolExecutor(1, "read-ahead") as thread:
        reading = thread.submit(next, batches, None)
        while (batch := reading.result()) is not None:
            reading = thread.submit(next, batches, None)
            yield batch


def learn_scaling(
    matched: MatchedTrials, weights: NDArray[np.floating] | None = None
) -> MatchedTrials:
    """Learn centre and scale of each channel from trials, by their weights ``(n_trials,)``."""
    n_trials = len(matched.trials)
    starts = range(0, n_trials, _TRIALS_PER_READ)
    signals = gather(
        (matched.signals(start, start + _TRIALS_PER_READ) for start in starts), n_trials
    )
    each = np.ones(n_trials) if weights is None else weights
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
