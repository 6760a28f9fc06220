# License: BSD-3-Clause
"""Measures of how well one trial is reconstructed, NaN where they are not defined."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.fft import rfft, rfftfreq
from scipy.signal import get_window

# A standard deviation below this share of the largest value is rounding, not signal.
_ROUNDING = 1e3 * np.finfo(float).eps
# A band below this share of the channel's standard deviation (-120 dB) holds leakage only.
_LEAKAGE = 1e-6


def band_weights(
    bands: Mapping[str, tuple[float, float]], sfreq: float, n_times: int
) -> np.ndarray:
    """Weights (n_bands, n_frequencies) that sum a one-sided spectrum over each band."""
    if not (np.isfinite(sfreq) and sfreq > 0):
        raise ValueError(f"sfreq must be a positive number in Hz, got {sfreq}")
    frequencies = rfftfreq(n_times, 1 / sfreq)
    # Each frequency stands for a negative one too, but for zero and the Nyquist frequency.
    sides = np.where((frequencies == 0) | (2 * frequencies >= sfreq), 1.0, 2.0)
    weights = np.zeros((len(bands), frequencies.size))
    for weight, (name, (low, high)) in zip(weights, bands.items(), strict=True):
        inside = (frequencies >= low) & (frequencies < high)
        if not 0 <= low < high <= sfreq / 2:
            raise ValueError(
                f"the band {name!r} ({low:g} to {high:g} Hz) must lie between 0 and half the "
                f"sampling rate ({sfreq / 2:g} Hz): pass other bands="
            )
        if not inside.any():
            raise ValueError(
                f"{n_times} samples at {sfreq:g} Hz have no frequency in the band {name!r} "
                f"({low:g} to {high:g} Hz): use longer trials or pass other bands="
            )
        weight[inside] = sides[inside]
    return weights


def window_errors(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Standardised error and error in units of the original's variance, of one trial."""
    if constant(x.reshape(1, -1))[0]:
        return np.nan, np.nan
    nmse = float(((y - x) ** 2).mean() / x.var())
    if constant(y.reshape(1, -1))[0]:
        return np.nan, nmse
    zx, zy = ((s - s.mean()) / s.std(ddof=1) for s in (x, y))
    return float(((zx - zy) ** 2).mean()), nmse


def channel_measures(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Measures of each channel (n_channels,) of one trial."""
    flat_x, flat_y = constant(x), constant(y)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    xx, yy, xy = (x * x).sum(axis=1), (y * y).sum(axis=1), (x * y).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = xy / xx
        distortion = ((y - slope[:, None] * x) ** 2).sum(axis=1)
        measures = {
            "r": np.clip(xy / np.sqrt(xx * yy), -1, 1),
            "si_sdr": 10 * np.log10(slope**2 * xx / distortion),
            "gain": np.where(flat_y, 0.0, np.sqrt(yy / xx)),
            "slope": np.where(flat_y, 0.0, slope),
        }
    undefined = {"r": flat_x | flat_y, "si_sdr": flat_x | flat_y, "gain": flat_x, "slope": flat_x}
    return {name: np.where(undefined[name], np.nan, v) for name, v in measures.items()}


def band_measures(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation (n_bands, n_channels) and error (n_bands,) within the bands of one trial."""
    window = get_window("hann", x.shape[1])
    spectra, floors = [], []
    for signal in (x, y):
        centred = signal - signal.mean(axis=1, keepdims=True)
        spectra.append(rfft(centred * window, axis=1))
        power = (np.abs(spectra[-1]) ** 2).sum(axis=1)
        floors.append(np.where(constant(signal), np.inf, 2 * power * _LEAKAGE**2))
    fx, fy = spectra
    xx, yy, ee = (np.abs(f) ** 2 @ weights.T for f in (fx, fy, fy - fx))
    xy = (fx * fy.conj()).real @ weights.T
    empty = (xx <= floors[0][:, None]) | (yy <= floors[1][:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(empty, np.nan, np.clip(xy / np.sqrt(xx * yy), -1, 1))
        nmse = ee.sum(axis=0) / xx.sum(axis=0)
    nothing = (xx <= floors[0][:, None]).all(axis=0)
    return r.T, np.where(nothing, np.nan, nmse)


def constant(signals: np.ndarray) -> np.ndarray:
    """Whether each row is constant but for rounding."""
    return signals.std(axis=1) <= _ROUNDING * np.abs(signals).max(axis=1)
