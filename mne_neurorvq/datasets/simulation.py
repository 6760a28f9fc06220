# License: BSD-3-Clause
"""The generator behind the simulated recordings, one person at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mne
import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.ndimage import gaussian_filter1d

from .montage import standard_montage

CONDITIONS = ("rest", "left", "right")
LOWEST_FREQUENCY = 0.5
GAP = 0.2  # s between trials

#: Electrodes of the 10-20 system, which all simulated recordings have.
TEN_TWENTY = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
#: Montages of 32, 21 and 19 channels; the last is part of the others.
MONTAGES = (
    (*TEN_TWENTY, *"AF3 AF4 FC5 FC1 FC2 FC6 CP5 CP1 CP2 CP6 PO3 PO4 Oz".split()),
    (*TEN_TWENTY, "Fpz", "Oz"),
    tuple(TEN_TWENTY),
)

_N_BACKGROUND = 40
# Directions from the centre of the head (right, front, up) and depths as a share of its radius.
_LEFT_HAND_AREA, _RIGHT_HAND_AREA = (0.65, -0.1, 0.75), (-0.65, -0.1, 0.75)
_OCCIPITAL = ((-0.25, -0.95, 0.15), (0.25, -0.95, 0.15), (0.0, -0.85, 0.5))
_EYES = ((-0.35, 0.9, -0.3), (0.35, 0.9, -0.3))


def trial_onsets(n: int, trial_duration: float) -> np.ndarray:
    """Onsets in s of n trials that follow each other."""
    return 1.0 + np.arange(n) * (trial_duration + GAP)


def simulate_raw(
    subject: int, n_trials: int, trial_duration: float, sfreq: float, random_state: int
) -> mne.io.RawArray:
    """Simulate the recording of one person."""
    names = MONTAGES[subject % len(MONTAGES)]
    rng = np.random.default_rng([random_state, subject])
    data, conditions = _simulate(names, n_trials, trial_duration, sfreq, rng)
    info = mne.create_info(list(names), sfreq, "eeg")
    info["description"] = "SIMULATED by mne_neurorvq.datasets.simulate_recordings"
    info["subject_info"] = {"his_id": f"sim-{subject + 1:02d}"}
    with info._unlock():
        info["highpass"] = LOWEST_FREQUENCY
    raw = mne.io.RawArray(data, info, verbose="error")
    raw.set_montage(standard_montage())
    onsets = trial_onsets(len(conditions), trial_duration)
    return raw.set_annotations(mne.Annotations(onsets, trial_duration, conditions))


def _simulate(
    names: Sequence[str],
    n_trials: int,
    trial_duration: float,
    sfreq: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[str]]:
    """Return data (n_channels, n_times) in V, and the conditions of the trials."""
    imagery = rng.permutation(np.repeat(CONDITIONS[1:], n_trials // 2)).tolist()
    conditions = [condition for hand in imagery for condition in (CONDITIONS[0], hand)]
    n_times = round((trial_onsets(len(conditions) + 1, trial_duration)[-1] + 1.0) * sfreq)
    head = _Head(names)
    alpha = rng.uniform(8.5, 11.5)
    response = rng.uniform(0.35, 0.7)

    data = _background(head, n_times, sfreq, rng)
    data += _occipital_alpha(head, alpha, n_times, sfreq, rng)
    for hand, direction in (("left", _LEFT_HAND_AREA), ("right", _RIGHT_HAND_AREA)):
        loss = {hand: response, "rest": 0.0}  # what the other hand costs is in the default
        depth = np.array([loss.get(c, 0.4 * response) for c in conditions])
        depth = np.clip(depth * rng.normal(1, 0.5, depth.size), -0.3, 0.9)
        envelope = 1 - _steps(depth, n_times, trial_duration, sfreq)
        rhythm = _mu_rhythm(alpha, n_times, sfreq, rng)
        strength = rng.uniform(3.5, 6)
        data += strength * np.outer(head.topography(direction, 0.55), envelope * rhythm)
    data += _blinks(head, n_times, sfreq, rng)
    data += rng.uniform(0.5, 2.0) * noise(_white, len(names), n_times, sfreq, rng)
    spectrum = rfft(rng.uniform(0.6, 1.5) * 1e-6 * data)
    spectrum[:, rfftfreq(n_times, 1 / sfreq) < LOWEST_FREQUENCY] = 0  # the blinks have some
    return irfft(spectrum, n_times), conditions


class _Head:
    """Potentials of dipoles at the electrodes, which are moved onto a unit sphere."""

    def __init__(self, names: Sequence[str]) -> None:
        positions = standard_montage().get_positions()["ch_pos"]
        self._core = _directions([positions[name] for name in TEN_TWENTY])
        self._electrodes = _directions([positions[name] for name in names])

    def topography(
        self, direction: Sequence[float], depth: float, moment: Sequence[float] | None = None
    ) -> np.ndarray:
        """Potential (n_channels,), root mean square 1 over the 10-20 system; radial by default."""
        (source,) = _directions([direction])
        p = source if moment is None else np.asarray(moment)

        def potential(electrodes: np.ndarray) -> np.ndarray:
            distance = electrodes - depth * source
            return distance @ p / np.linalg.norm(distance, axis=1) ** 3

        return potential(self._electrodes) / np.sqrt(np.mean(potential(self._core) ** 2))


def _directions(vectors: Sequence[Sequence[float]] | Sequence[np.ndarray]) -> np.ndarray:
    array = np.asarray(vectors, float)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def noise(
    spectrum: Callable[[np.ndarray], np.ndarray],
    n: int,
    n_times: int,
    sfreq: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Gaussian noise (n, n_times) of standard deviation 1 with a given amplitude spectrum."""
    length = next_fast_len(n_times, real=True)
    frequencies = rfftfreq(length, 1 / sfreq)
    shape = np.zeros_like(frequencies)
    inside = frequencies >= LOWEST_FREQUENCY
    shape[inside] = spectrum(frequencies[inside])
    parts = rng.normal(size=(2, n, frequencies.size))
    noise = irfft(shape * (parts[0] + 1j * parts[1]), length)[:, :n_times]
    return noise / noise.std(axis=1, keepdims=True)


def _white(frequencies: np.ndarray) -> np.ndarray:
    return np.ones_like(frequencies)


def _peak(centre: float, width: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda frequencies: np.exp(-0.5 * ((frequencies - centre) / width) ** 2)


def _background(head: _Head, n_times: int, sfreq: float, rng: np.random.Generator) -> np.ndarray:
    """Activity of dipoles everywhere, with a power spectrum of about 1/f."""
    slope = rng.uniform(0.45, 0.75)  # of the amplitude: half of that of the power
    sources = noise(lambda f: f**-slope, _N_BACKGROUND, n_times, sfreq, rng)
    directions = rng.normal(size=(_N_BACKGROUND, 3))
    directions[:, 2] = np.abs(directions[:, 2]) - 0.3
    moments = rng.normal(size=(_N_BACKGROUND, 3))
    depths = rng.uniform(0.3, 0.7, _N_BACKGROUND)
    mixing = [head.topography(*source) for source in zip(directions, depths, moments, strict=True)]
    return 13 / np.sqrt(_N_BACKGROUND) * np.transpose(mixing) @ sources


def _occipital_alpha(
    head: _Head, alpha: float, n_times: int, sfreq: float, rng: np.random.Generator
) -> np.ndarray:
    sources = noise(_peak(alpha, 0.6), len(_OCCIPITAL), n_times, sfreq, rng)
    mixing = np.transpose([head.topography(direction, 0.55) for direction in _OCCIPITAL])
    return rng.uniform(2.0, 7.0) * mixing @ sources


def _mu_rhythm(alpha: float, n_times: int, sfreq: float, rng: np.random.Generator) -> np.ndarray:
    """Rhythm (n_times,) near alpha with its weaker companion in the beta band."""
    mu = noise(_peak(alpha + rng.uniform(0, 1.5), 0.7), 1, n_times, sfreq, rng)
    beta = noise(_peak(rng.uniform(18, 24), 1.5), 1, n_times, sfreq, rng)
    return (mu + 0.35 * beta)[0]


def _steps(values: np.ndarray, n_times: int, trial_duration: float, sfreq: float) -> np.ndarray:
    """Course (n_times,) that takes a value in each trial, 0 outside, without jumps."""
    course = np.zeros(n_times)
    for onset, value in zip(trial_onsets(values.size, trial_duration), values, strict=True):
        start = round((onset + 0.2) * sfreq)  # people react late
        course[start : round((onset + trial_duration + GAP) * sfreq)] = value
    return gaussian_filter1d(course, 0.15 * sfreq)


def _blinks(head: _Head, n_times: int, sfreq: float, rng: np.random.Generator) -> np.ndarray:
    length = round(0.35 * sfreq)
    course = np.zeros(n_times)
    for start in rng.integers(0, n_times - length, rng.poisson(0.1 * n_times / sfreq)):
        course[start : start + length] += rng.uniform(0.6, 1.2) * np.hanning(length)
    (left, right) = (head.topography(eye, 0.85) for eye in _EYES)
    return np.outer(40.0 * (left + right) / 2, course)
