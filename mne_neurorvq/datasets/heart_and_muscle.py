# License: BSD-3-Clause
"""The generators behind simulated recordings of heart, pulse and muscles, one person at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import mne
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from .simulation import GAP, trial_onsets
from .simulation import noise as shaped_noise

_Array = NDArray[np.float64]

_LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")
# What a dipole in the chest (left, down, back) gives in V1 to V6, I and II, from which the other
# leads follow: G. E. Dower (1968), A lead synthesizer for the Frank system, J. Electrocardiology 1.
_DOWER = np.array(
    [
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
    ]
)
# Waves of a beat of one second: time from the R peak and width in s, and the dipole in mV.
_WAVES = {
    "P": (-0.18, 0.025, (0.08, 0.10, -0.02)),
    "Q": (-0.030, 0.009, (-0.12, -0.03, -0.20)),
    "R": (0.0, 0.011, (1.00, 0.90, 0.35)),
    "S": (0.032, 0.011, (-0.15, -0.25, 0.40)),
    "T": (0.28, 0.050, (0.25, 0.20, -0.20)),
}
# Of a pulse wave: time from its maximum and width in s, and height.
_PULSE = ((0.0, 0.085, 1.0), (0.26, 0.10, 0.35))
_EXERTION = 1.5  # how much faster the heart beats


class Signals(NamedTuple):
    """What a generator makes."""

    data: _Array  # (n_channels, n_times), V, or without a unit
    beats: _Array  # s


def _courses(
    conditions: list[str], n_times: int, duration: float, sfreq: float, smooth: float
) -> dict[str, _Array]:
    """From 0 to 1, how far each condition is on, ``(n_times,)``."""
    courses = {name: np.zeros(n_times) for name in sorted(set(conditions))}
    for onset, name in zip(trial_onsets(len(conditions), duration), conditions, strict=True):
        courses[name][round(onset * sfreq) : round((onset + duration + GAP) * sfreq)] = 1
    return {name: gaussian_filter1d(one, smooth * sfreq) for name, one in courses.items()}


def _beats(
    conditions: list[str], n_times: int, duration: float, sfreq: float, rng: np.random.Generator
) -> tuple[_Array, _Array]:
    """Draw the times of beats in s, and the interval to each from the one before."""
    exertion = _courses(conditions, n_times, duration, sfreq, 0.5)["exercise"]
    times = np.arange(n_times) / sfreq
    per_second = rng.uniform(52, 76) / 60 * (1 + (_EXERTION - 1) * exertion)
    # The heart beats faster while breathing in.
    per_second *= 1 + 0.04 * np.sin(2 * np.pi * rng.uniform(0.2, 0.3) * times)
    phase = np.cumsum(per_second) / sfreq
    beats = np.interp(np.arange(rng.uniform(), phase[-1]), phase, times)
    return beats, np.diff(beats, prepend=2 * beats[0] - beats[1])


def _bumps(times: _Array, centres: _Array, widths: _Array, heights: _Array) -> _Array:
    """Sum of Gaussian bumps."""
    course, step = np.zeros(times.size), times[1] - times[0]
    for centre, width, height in zip(centres, widths, heights, strict=True):
        first, last = (round((centre + side * 5 * width) / step) for side in (-1, 1))
        part = slice(max(first, 0), max(last, 0))
        course[part] += height * np.exp(-0.5 * ((times[part] - centre) / width) ** 2)
    return course


def _ecg(
    conditions: list[str], n_times: int, duration: float, sfreq: float, rng: np.random.Generator
) -> Signals:
    times = np.arange(n_times) / sfreq
    beats, intervals = _beats(conditions, n_times, duration, sfreq, rng)
    dipole = np.zeros((3, n_times))
    for wave, (after, width, vector) in _WAVES.items():
        # P and T come sooner in shorter beats, as in Bazett's formula; the QRS complex does not.
        stretch = np.sqrt(intervals) if wave in "PT" else np.ones_like(intervals)
        own = np.array(vector) * rng.normal(1, 0.15, 3)
        heights = rng.normal(1, 0.02, beats.size)
        course = _bumps(times, beats + after * stretch, width * stretch, heights)
        dipole += own[:, None] * course
    *chest, one, two = 1e-3 * rng.uniform(0.7, 1.3) * _DOWER @ dipole
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    wander = np.sin(2 * np.pi * rng.uniform(0.2, 0.3) * times)
    noise = 5e-5 * rng.normal(size=(12, 1)) * wander + 8e-6 * rng.normal(size=(12, n_times))
    return Signals(np.array([*limb, *chest]) + noise, beats)


def _ppg(
    conditions: list[str], n_times: int, duration: float, sfreq: float, rng: np.random.Generator
) -> Signals:
    times = np.arange(n_times) / sfreq
    beats, intervals = _beats(conditions, n_times, duration, sfreq, rng)
    wave = np.zeros(n_times)
    for after, width, height in _PULSE:
        stretch = np.sqrt(intervals)
        heights = height * rng.normal(1, 0.03, beats.size)
        wave += _bumps(times, beats + after * stretch, width * stretch, heights)
    wave += 0.1 * np.sin(2 * np.pi * rng.uniform(0.2, 0.3) * times)
    wave = 0.5 + rng.uniform(0.1, 0.3) * (wave + 0.02 * rng.normal(size=n_times))
    return Signals(wave[None], beats)


def _emg(
    conditions: list[str], n_times: int, duration: float, sfreq: float, rng: np.random.Generator
) -> Signals:
    courses = _courses(conditions, n_times, duration, sfreq, 0.1)
    peak = rng.uniform(60, 90)

    def spectrum(hz: _Array) -> _Array:
        return hz / peak * np.exp(1 - hz / peak)

    muscles = shaped_noise(spectrum, 4, n_times, sfreq, rng)
    sources = np.empty_like(muscles)
    for i, own in enumerate(("extension", "flexion", "extension", "flexion")):
        other = "flexion" if own == "extension" else "extension"
        activity = rng.uniform(0.6, 1.0) * courses[own] + rng.uniform(0.05, 0.2) * courses[other]
        sources[i] = rng.uniform(40e-6, 120e-6) * activity * muscles[i]
    crosstalk = np.eye(4) + 0.05
    return Signals(crosstalk @ sources + 2e-6 * rng.normal(size=sources.shape), np.empty(0))


class Kind(NamedTuple):
    """A kind of signal that is simulated."""

    ch_names: tuple[str, ...]
    ch_type: str
    conditions: tuple[str, ...]  # rest, and what takes turns with it
    rates: tuple[float, float]  # the usual sampling rate in Hz, and the least
    simulate: Callable[[list[str], int, float, float, np.random.Generator], Signals]


_THIGH = ("rectus femoris", "biceps femoris", "vastus medialis", "semitendinosus")
KINDS = {
    "ecg": Kind(
        (*_LIMB, *(f"V{i}" for i in range(1, 7))), "ecg", ("rest", "exercise"), (500.0, 200.0), _ecg
    ),
    "emg": Kind(_THIGH, "emg", ("rest", "extension", "flexion"), (1000.0, 800.0), _emg),
    "ppg": Kind(("PLETH",), "misc", ("rest", "exercise"), (125.0, 50.0), _ppg),
}


def simulate_raw(
    modality: str,
    subject: int,
    n_trials: int,
    trial_duration: float,
    sfreq: float,
    random_state: int,
) -> mne.io.RawArray:
    """Simulate the recording of one person."""
    kind = KINDS[modality]
    rng = np.random.default_rng([random_state, subject])
    rest, *active = kind.conditions
    shuffled = rng.permutation(np.repeat(active, n_trials // len(active))).tolist()
    conditions = [name for one in shuffled for name in (rest, one)]
    onsets = trial_onsets(len(conditions), trial_duration)
    n_times = round((onsets[-1] + trial_duration + GAP + 1.0) * sfreq)
    data, beats = kind.simulate(conditions, n_times, trial_duration, sfreq, rng)
    info = mne.create_info(list(kind.ch_names), sfreq, kind.ch_type)
    info["description"] = "SIMULATED by mne_neurorvq.datasets.simulate_recordings"
    info["subject_info"] = {"his_id": f"sim-{subject + 1:02d}"}
    raw = mne.io.RawArray(data, info, verbose="error")
    notes = mne.Annotations(onsets, trial_duration, conditions)
    return raw.set_annotations(notes + mne.Annotations(beats, 0.0, "beat"))
