# License: BSD-3-Clause
"""What training sees of a window: channels, a stretch, gain, noise and reference, at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt

from ..signals.robust_scaling import robust_statistics, scale_by

# Artefacts beyond so many interquartile ranges would outweigh the rest of a batch.
_LARGEST_SCALED = np.float32(10.0)

_Sizes = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


@dataclass(frozen=True)
class CropSettings:
    """What training sees of a window.

    A patch is one of the corpus: the model's, or a second for BioCodec.

    Parameters
    ----------
    tokens_per_batch : int
        Upper bound of windows times channels times patches in a batch.
    n_channels : tuple of int
        Montage sizes to draw from; a window with fewer channels gives all it has.
    n_patches : tuple of int
        Lengths to draw from, in patches; a shorter window gives all it has. A value given twice
        is drawn twice as often. Montage and length together stay within the token budgets of model
        and batch.
    gain_spread : float
        Standard deviation of the natural logarithm of a random gain.
    noise_spread : float
        Standard deviation of the random amplitude of white noise that is added to each channel, in
        interquartile ranges of that channel.
    restore : "noisy" | "clean"
        What a tokenizer has to restore: the signal with that noise, which then stands for what the
        corpus lacks (recordings of a low rate have nothing at high frequencies, and a codec that
        never saw any fails there); or without it, so that codes learn to ignore noise.
    bad_channels : float
        Share of the windows in which one channel is bad: flat, or with ten to a hundred
        interquartile ranges of white noise. It is to be restored as it is.
    average_reference : float
        Share of the windows whose mean over all channels of the recording is subtracted.

    Examples
    --------
    >>> from mne_neurorvq.training import CropSettings
    >>> CropSettings(tokens_per_batch=256).gain_spread
    0.2
    """

    tokens_per_batch: PositiveInt = 512
    n_channels: _Sizes = (8, 16, 19, 21, 32, 48, 64)
    n_patches: _Sizes = (2, 3, 4, 4, 4, 6, 8, 12)
    gain_spread: NonNegativeFloat = 0.2
    noise_spread: NonNegativeFloat = 0.0
    restore: Literal["noisy", "clean"] = "noisy"
    bad_channels: Annotated[float, Field(ge=0, le=1)] = 0.0
    average_reference: Annotated[float, Field(ge=0, le=1)] = 0.0


class Crop(NamedTuple):
    """A part of a window."""

    data: NDArray[np.float32]  # (n_picked, n_times), with noise and gain
    rows: NDArray[np.int64]  # (n_picked,), of the picked channels
    picks: NDArray[np.intp]  # (n_picked,), their places in the window
    start: int  # first sample in the window
    referenced: bool  # whether it has the average reference
    clean: NDArray[np.float32] | None = None  # what is to be restored, if that is not data


def crop(
    data: NDArray[np.float32],
    rows: NDArray[np.int64],
    size: tuple[int, int],
    settings: CropSettings,
    *,
    patch_size: int,
    rng: np.random.Generator,
    scaled: bool = False,
) -> Crop:
    """Draw a part of ``size`` (channels, patches) of a window, its gain, reference and noise.

    A part that is ``scaled`` by median and interquartile range has the gain afterwards, and limits.
    """
    n_channels, n_times = size[0], size[1] * patch_size
    picks = rng.permutation(len(rows))[:n_channels]
    start = int(rng.integers(data.shape[1] - n_times + 1))
    gain = np.float32(np.exp(rng.normal(0.0, settings.gain_spread)))
    referenced = settings.average_reference > 0 and rng.random() < settings.average_reference
    part = data[:, start : start + n_times]
    part = (average_referenced(part) if referenced else part)[picks]
    if settings.bad_channels and rng.random() < settings.bad_channels:
        part = _with_bad_channel(part, rng)
    noisy = part
    if settings.noise_spread:
        noisy = part + _noise(part, settings.noise_spread, rng)
    signals = [noisy, part] if settings.restore == "clean" else [noisy]
    if scaled:
        statistics = robust_statistics(noisy)
        signals = [scale_by(one, *statistics) for one in signals]
    signals = [gain * one for one in signals]
    if scaled:
        signals = [np.clip(one, -_LARGEST_SCALED, _LARGEST_SCALED) for one in signals]
    return Crop(signals[0], rows[picks], picks, start, referenced, *signals[1:])


def _with_bad_channel(part: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    part, bad = part.copy(), int(rng.integers(len(part)))
    if rng.random() < 0.5:
        part[bad] = 0
    else:
        size = 10 ** rng.uniform(1, 2) * robust_statistics(part[bad])[1]
        part[bad] += (size * rng.standard_normal(part.shape[1])).astype(np.float32)
    return part


def _noise(
    part: NDArray[np.float32], spread: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    amplitude = np.abs(rng.normal(0.0, spread, len(part))) * robust_statistics(part)[1]
    return (amplitude[:, None] * rng.standard_normal(part.shape)).astype(np.float32)


def average_referenced(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract the mean of all (good) channels, ``(n_channels, n_times)``."""
    return data - data.mean(axis=0)
