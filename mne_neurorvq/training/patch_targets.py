# License: BSD-3-Clause
"""Physiological numbers of patches that a foundation model learns to predict, without any label.

Each is one entry of ``TARGETS``: the names of its numbers, and how they are computed from a stretch
of a window; another target is another entry. Values are standardised over all channels and patches
of a recording, or of the corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.signal import find_peaks

from .._references import Reference
from ..signals import laplacian_matrix
from ..weights.systems import Config
from .corpus.dataset import CorpusDataset, Window
from .crops import rereferenced

_BANDS_HZ = ((1, 4), (4, 8), (8, 13), (13, 20), (20, 30), (30, 44))
_SLOW_HZ, _WAVEFORM_HZ = 4.0, 12.0
_RHYTHMS_HZ = ((8, 13), (13, 30))
_HALVES, _QUARTERS, _BINS = 2, 4, 16
# Mean and spread of a recording come from so many of its windows, those of the corpus from so many.
_MEASURED_WINDOWS, _MEASURED_IN_ALL = 16, 256
# Two beats are further apart; slopes of a QRS complex are summed over so long; a peak of the sum is
# a beat if it is higher than this share of the highest.
_SHORTEST_BEAT, _QRS, _LEAST_PEAK = 0.3, 0.12, 0.45
# Artefacts would outweigh the rest of a batch.
_LARGEST = np.float32(5.0)

_Array = NDArray[np.float32]


@dataclass(frozen=True)
class Stretch:
    """Successive patches within a longer signal."""

    signal: _Array  # (n_channels, n_times), all of the window: filters do not end with the patches
    start: int  # first sample
    n_patches: int
    patch_size: int
    sfreq: float
    floor: float  # power that is too little to be told from rounding

    def patches(self, signal: _Array) -> _Array:
        """Cut ``(n_channels, n_patches, patch_size)``."""
        stop = self.start + self.n_patches * self.patch_size
        return signal[:, self.start : stop].reshape(len(signal), self.n_patches, -1)


def _log_power(stretch: Stretch) -> _Array:
    """Logarithm of the power in each band."""
    window = np.hanning(stretch.patch_size + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(stretch.patches(stretch.signal) * window)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    power *= 2 / (stretch.patch_size * np.square(window).sum())
    hz = np.fft.rfftfreq(stretch.patch_size, 1 / stretch.sfreq)
    bands = np.stack([(low <= hz) & (hz < high) for low, high in _BANDS_HZ], axis=1)
    return np.log(power @ bands.astype(power.dtype) + stretch.floor).astype(np.float32)


def _binned(stretch: Stretch, limit: float, n_bins: int) -> _Array:
    """Signal below a frequency, averaged over equal parts of a patch."""
    # Of a cosine transform, which has no jump where the window ends as a Fourier transform has.
    waves = dct(stretch.signal, axis=-1, norm="ortho")
    waves[:, int(2 * limit * waves.shape[1] / stretch.sfreq) + 1 :] = 0
    patches = stretch.patches(idct(waves, axis=-1, norm="ortho"))
    edges = np.linspace(0, stretch.patch_size, n_bins + 1).round().astype(int)
    sums = np.add.reduceat(patches, edges[:-1], axis=-1)
    return (sums / np.diff(edges)).astype(np.float32)


def _envelope(stretch: Stretch) -> _Array:
    """Logarithm of the power of each rhythm in equal parts of a patch: how it rises and falls."""
    waves = dct(stretch.signal, axis=-1, norm="ortho")
    hz = np.arange(waves.shape[1]) * stretch.sfreq / (2 * waves.shape[1])
    found = []
    for low, high in _RHYTHMS_HZ:
        rhythm = idct(np.where((low <= hz) & (hz < high), waves, 0), axis=-1, norm="ortho")
        parts = np.split(np.square(stretch.patches(rhythm)), _QUARTERS, axis=-1)
        found.append(np.log(np.mean(parts, axis=-1) + stretch.floor))
    return np.moveaxis(np.concatenate(found), 0, -1).astype(np.float32)


def _beat(stretch: Stretch) -> _Array:
    """Length of the beat, place in it, and the highest and lowest value in the channel."""
    signal = stretch.signal
    centres = stretch.start + (np.arange(stretch.n_patches) + 0.5) * stretch.patch_size
    found = np.full((len(signal), stretch.n_patches, 5), np.nan, np.float32)
    peaks = find_r_peaks(signal, stretch.sfreq)
    last = np.searchsorted(peaks, centres) - 1
    inside = (last >= 0) & (last < len(peaks) - 1)
    before, after = peaks[last[inside]], peaks[last[inside] + 1]
    phase = 2 * np.pi * (centres[inside] - before) / (after - before)
    intervals = np.log((after - before) / stretch.sfreq)
    found[:, inside, :3] = np.stack([intervals, np.sin(phase), np.cos(phase)], axis=-1)
    patches = stretch.patches(signal - np.median(signal, axis=1, keepdims=True))
    found[..., 3], found[..., 4] = patches.max(axis=-1), patches.min(axis=-1)
    return found


def find_r_peaks(signal: _Array, sfreq: float) -> NDArray[np.intp]:
    """Find the samples of the R peaks: where the slopes of all leads together are steepest."""
    energy = np.square(np.diff(signal, axis=1)).sum(axis=0)
    window = np.hanning(round(_QRS * sfreq) + 2)
    slope = np.sqrt(np.convolve(energy, window, "same"))
    least = _LEAST_PEAK * np.quantile(slope, 0.99)
    peaks, _ = find_peaks(slope, height=least, distance=round(_SHORTEST_BEAT * sfreq))
    return peaks


def _muscle(stretch: Stretch) -> _Array:
    """Logarithm of the root mean square, and the median frequency in Hz."""
    patches = stretch.patches(stretch.signal)
    square = np.square(patches).mean(axis=-1)
    spectrum = np.fft.rfft(patches - patches.mean(axis=-1, keepdims=True))
    power = np.cumsum(np.square(np.abs(spectrum)), axis=-1)
    hz = np.fft.rfftfreq(stretch.patch_size, 1 / stretch.sfreq)
    median = hz[(power < power[..., -1:] / 2).sum(axis=-1)]
    return np.stack([np.log(square + stretch.floor) / 2, median], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Target:
    """Numbers of a patch."""

    columns: tuple[str, ...]  # names of the numbers
    measure: Callable[[Stretch], _Array]  # (n_channels, n_patches, n_columns)
    of_laplacian: bool = False  # of the surface Laplacian instead of the signals
    modality: str = "eeg"  # kind of signal that has them
    of_corpus: bool = False  # standardised over the corpus: people are to differ


def _twice(
    name: str, columns: Sequence[str], measure: Callable[[Stretch], _Array]
) -> dict[str, Target]:
    """Of the channel, and of the surface Laplacian."""
    return {
        name: Target(tuple(f"{name} {column}" for column in columns), measure),
        f"laplacian_{name}": Target(
            tuple(f"laplacian {name} {column}" for column in columns), measure, of_laplacian=True
        ),
    }


#: What the configuration can ask for.
TARGETS: Mapping[str, Target] = {
    **_twice("power", [f"{low}-{high} Hz" for low, high in _BANDS_HZ], _log_power),
    **_twice(
        "slow", ["first half", "second half"], partial(_binned, limit=_SLOW_HZ, n_bins=_HALVES)
    ),
    **_twice(
        "envelope",
        [f"{a}-{b} Hz, quarter {i + 1}" for a, b in _RHYTHMS_HZ for i in range(_QUARTERS)],
        _envelope,
    ),
    "waveform": Target(
        tuple(f"waveform {i}" for i in range(_BINS)),
        partial(_binned, limit=_WAVEFORM_HZ, n_bins=_BINS),
    ),
    "beat": Target(
        ("log interval", "sine of phase", "cosine of phase", "highest", "lowest"),
        _beat,
        modality="ecg",
        of_corpus=True,
    ),
    "muscle": Target(("log RMS", "median frequency"), _muscle, modality="emg", of_corpus=True),
}


def feature_names(targets: Sequence[str]) -> list[str]:
    """Name the numbers of targets as features are named.

    >>> feature_names(["laplacian_power"])[2:4]
    ['laplacian_power_8-13Hz', 'laplacian_power_13-20Hz']
    """
    columns = [column for name in targets for column in TARGETS[name].columns]
    return [name.replace(" Hz", "Hz").replace(",", "").replace(" ", "_") for name in columns]


class PatchTargets:
    """Targets of the windows of a corpus; ``columns`` names all numbers, target after target."""

    def __init__(self, corpus: CorpusDataset, config: Config, names: Sequence[str]) -> None:
        self.corpus = corpus
        self.config = config
        self.targets = [TARGETS[name] for name in names]
        self.columns = tuple(column for target in self.targets for column in target.columns)
        sizes = [len(target.columns) for target in self.targets]
        self._of_corpus = np.repeat([target.of_corpus for target in self.targets], sizes)
        self._known: dict[tuple[int, Reference], tuple[_Array, _Array]] = {}
        self._every: dict[Reference, tuple[_Array, _Array]] = {}

    def of(
        self,
        number: int,
        window: Window,
        picks: NDArray[np.int_],
        start: int,
        n_patches: int,
        reference: Reference = "recorded",
    ) -> _Array:
        """Measure patches of a window of the corpus, ``(n_picked, n_patches, n_columns)``.

        Values are standardised within the recording (or the corpus) under that reference; NaN where
        they cannot be had. Numbers of the Laplacian are the same under all.
        """
        recording = int(self.corpus.recordings[number])
        mean, spread = self._statistics(recording, reference)
        found = self._measure(window, picks, start, n_patches, reference)
        return np.clip((found - mean) / spread, -_LARGEST, _LARGEST)

    def _measure(
        self,
        window: Window,
        picks: NDArray[np.int_],
        start: int,
        n_patches: int,
        reference: Reference,
    ) -> _Array:
        names = site_names(window.rows, self.config)
        signals = {False: rereferenced(window.data, names, reference)[picks]}
        if any(target.of_laplacian for target in self.targets):
            signals[True] = _laplacian(names)[picks] @ window.data
        floor = float(self.corpus.index["step"]) ** 2
        size, sfreq = self.corpus.patch_size, self.config.sfreq
        stretches = {
            which: Stretch(signal, start, n_patches, size, sfreq, floor)
            for which, signal in signals.items()
        }
        measured = [target.measure(stretches[target.of_laplacian]) for target in self.targets]
        return np.concatenate(measured, axis=-1)

    def _statistics(self, recording: int, reference: Reference) -> tuple[_Array, _Array]:
        """Mean and standard deviation of each column, under a reference."""
        known = self._known.get((recording, reference))
        if known is None:
            first, last = np.searchsorted(self.corpus.recordings, [recording, recording + 1])
            mean, spread = self._over(int(first), int(last), _MEASURED_WINDOWS, reference)
            if self._of_corpus.any():
                if reference not in self._every:
                    n = len(self.corpus)
                    self._every[reference] = self._over(0, n, _MEASURED_IN_ALL, reference)
                every = self._every[reference]
                mean = np.where(self._of_corpus, every[0], mean)
                spread = np.where(self._of_corpus, every[1], spread)
            known = self._known[recording, reference] = mean, spread
        return known

    def _over(
        self, first: int, last: int, most: int, reference: Reference
    ) -> tuple[_Array, _Array]:
        """Mean and standard deviation over evenly spaced windows of a range."""
        numbers = np.linspace(first, last - 1, min(most, last - first)).astype(int).tolist()
        parts = []
        for window in self.corpus.read(numbers):
            n_patches = window.data.shape[1] // self.corpus.patch_size
            every = np.arange(len(window.rows))
            found = self._measure(window, every, 0, n_patches, reference)
            parts.append(found.reshape(-1, len(self.columns)))
        return _mean_and_spread(np.concatenate(parts))


def site_names(rows: NDArray[np.int64], config: Config) -> list[str]:
    """Names of the channels of a window; none where a model has no vocabulary."""
    return [config.channels[row] for row in rows] if config.channels else []


def _laplacian(names: Sequence[str]) -> _Array:
    matrix = laplacian_matrix(names)
    # What rounding adds to a signal is then as large as before.
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def _mean_and_spread(values: _Array) -> tuple[_Array, _Array]:
    """Mean and spread of each column but for NaN; the spread is 1 where all values are equal."""
    there = ~np.isnan(values)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, values, 0).sum(axis=0, dtype=float) / count
    square = np.square(np.where(there, values - mean, 0)).sum(axis=0) / count
    spread = np.where(square > 0, np.sqrt(square), 1.0)
    return mean.astype(np.float32), spread.astype(np.float32)
