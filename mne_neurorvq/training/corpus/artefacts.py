# License: BSD-3-Clause
"""What is too broken to learn from: limits on channels and windows, counted with reasons."""

from __future__ import annotations

from dataclasses import dataclass

import mne
import numpy as np
from numpy.typing import NDArray

from ...signals.gaps import marked_bad

# Seconds that are read at once to look for stuck samples.
_BLOCK = 60.0


@dataclass(frozen=True)
class ArtefactLimits:
    """When channels and windows are left out of a corpus.

    A sample is clipped within 2 % of the clip limit; a patch of a channel is flat if its standard
    deviation is below ``flat_deviation``. These two are in microvolts, of pulse waves without a
    unit.
    """

    # Standard deviation of a filtered patch. Amplifiers alone give more than 0.1 uV;
    # the living brain gives 1 uV at least.
    flat_deviation: float = 0.1
    # A channel with more flat patches than this share is dropped as flat.
    flat_channel_share: float = 0.5
    # One with more samples than this share at its own largest or smallest value (the rails of the
    # amplifier), or clipped after filtering, is dropped as saturated.
    saturated_share: float = 0.05
    # A window with more clipped samples, or flat patches, of all its channels together is rejected:
    # gaps in recordings are often filled with zeros.
    window_clipped_share: float = 0.01
    window_flat_share: float = 0.25


LIMITS = {
    "eeg": ArtefactLimits(),
    "ecg": ArtefactLimits(),
    "emg": ArtefactLimits(),
    "ppg": ArtefactLimits(flat_deviation=1e-4),
}
#: Clip limit for systems whose filters have none, in microvolts too.
CLIP = {"eeg": 500.0, "ecg": 5_000.0, "emg": 5_000.0, "ppg": 5.0}
# Resampling makes ripples of a plateau.
_NEAR_CLIP = 0.98


def stuck_channels(raw: mne.io.BaseRaw, limits: ArtefactLimits) -> dict[str, str]:
    """Find channels that are useless before any filter: they would only cost time.

    The recording is read in blocks, so that it need not fit into memory twice.
    """
    n_channels = len(raw.ch_names)
    finite = np.ones(n_channels, bool)
    low, high = np.full(n_channels, np.inf), np.full(n_channels, -np.inf)
    n_low, n_high = np.zeros(n_channels, int), np.zeros(n_channels, int)
    step = max(1, round(_BLOCK * raw.info["sfreq"]))
    for start in range(0, raw.n_times, step):
        stop = min(start + step, raw.n_times)
        data = raw.get_data(start=start, stop=stop, verbose="error")
        there = np.isfinite(data)
        for row in np.flatnonzero(finite & ~there.all(axis=1)):
            finite[row] = marked_bad(raw, raw.ch_names[row])[start:stop][~there[row]].all()
        low, n_low = _count_least(np.where(there, data, np.inf), low, n_low)
        negative, n_high = _count_least(np.where(there, -data, np.inf), -high, n_high)
        high = -negative
    reasons = {}
    for i, name in enumerate(raw.ch_names):
        if not finite[i]:
            reasons[name] = "non-finite"
        elif low[i] == high[i]:
            reasons[name] = "flat"
        elif max(n_low[i], n_high[i]) > limits.saturated_share * raw.n_times:
            reasons[name] = "saturated"
    return reasons


def _count_least(
    data: NDArray[np.float64], least: NDArray[np.float64], count: NDArray[np.int_]
) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """Update the least value of each row, and how often it came, by another block."""
    here = data.min(axis=1)
    n_here = (data == here[:, None]).sum(axis=1)
    kept = np.where(least <= here, count, 0) + np.where(here <= least, n_here, 0)
    return np.minimum(least, here), kept


@dataclass(frozen=True, eq=False)
class PatchQuality:
    """Quality of every patch of every channel of a filtered recording."""

    clipped: NDArray[np.floating]
    flat: NDArray[np.bool_]

    @classmethod
    def of(
        cls, data: NDArray[np.float32], patch_size: int, clip: float, flat_deviation: float
    ) -> PatchQuality:
        """Measure a recording."""
        shape = (len(data), data.shape[1] // patch_size)
        clipped, flat = np.empty(shape, np.float32), np.empty(shape, bool)
        for channel, row in enumerate(data):
            patches = row.reshape(-1, patch_size)
            clipped[channel] = (np.abs(patches) >= _NEAR_CLIP * clip).mean(axis=1)
            flat[channel] = patches.std(axis=1, dtype=np.float64) < flat_deviation
        return cls(clipped, flat)

    def bad_channels(self, limits: ArtefactLimits) -> dict[int, str]:
        """Channels to drop."""
        reasons = {}
        for i, (clipped, flat) in enumerate(zip(self.clipped, self.flat, strict=True)):
            if flat.mean() > limits.flat_channel_share:
                reasons[i] = "flat"
            elif clipped.mean() > limits.saturated_share:
                reasons[i] = "saturated"
        return reasons

    def without(self, channels: dict[int, str]) -> PatchQuality:
        """Leave channels out."""
        kept = [i for i in range(len(self.clipped)) if i not in channels]
        return PatchQuality(self.clipped[kept], self.flat[kept])

    def bad_window(self, start: int, stop: int, limits: ArtefactLimits) -> str:
        """Say why a window is rejected."""
        if self.flat[:, start:stop].mean() > limits.window_flat_share:
            return "flat"
        if self.clipped[:, start:stop].mean() > limits.window_clipped_share:
            return "clipped"
        return ""
