# License: BSD-3-Clause
"""What training sees of a window: channels, a stretch, gain, noise and reference, at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt

from .._references import Reference
from ..signals import laplacian_matrix
from ..signals.reference import LAPLACIAN_AREA
from ..signals.robust_scaling import robust_statistics, scale_by
from ..signals.splines import FEWEST_ELECTRODES

# Artefacts beyond so many interquartile ranges would outweigh the rest of a batch.
_LARGEST_SCALED = np.float32(10.0)

_Sizes = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
_Share = Annotated[float, Field(ge=0, le=1)]


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
    average_reference, laplacian_reference : float
        Shares of the windows that get another reference than the recorded one, from all channels of
        the recording: their mean is subtracted, or the surface Laplacian is taken, scaled as
        :func:`~mne_neurorvq.signals.set_reference` does. A window of fewer than 8 channels has no
        average, one of fewer than 16, or with a channel without a site, no Laplacian: it stays as
        recorded.

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
    bad_channels: _Share = 0.0
    average_reference: _Share = 0.0
    laplacian_reference: _Share = 0.0

    def __post_init__(self) -> None:
        shares = self.average_reference, self.laplacian_reference
        if sum(shares) > 1:
            raise ValueError(
                f"average_reference and laplacian_reference are {shares[0]:g} and {shares[1]:g}: "
                "shares of the same windows, they add up to at most 1."
            )


class Crop(NamedTuple):
    """A part of a window."""

    data: NDArray[np.float32]  # (n_picked, n_times), with noise and gain
    rows: NDArray[np.int64]  # (n_picked,), of the picked channels
    picks: NDArray[np.intp]  # (n_picked,), their places in the window
    start: int  # first sample in the window
    reference: Reference
    clean: NDArray[np.float32] | None = None  # what is to be restored, if that is not data


def crop(
    data: NDArray[np.float32],
    rows: NDArray[np.int64],
    size: tuple[int, int],
    settings: CropSettings,
    *,
    patch_size: int,
    rng: np.random.Generator,
    names: Sequence[str] = (),
    scaled: bool = False,
) -> Crop:
    """Draw a part of ``size`` (channels, patches) of a window, its gain, reference and noise.

    ``names`` are those of the channels, for a Laplacian.
    A part that is ``scaled`` by median and interquartile range has the gain afterwards, and limits.
    """
    n_channels, n_times = size[0], size[1] * patch_size
    picks = rng.permutation(len(rows))[:n_channels]
    start = int(rng.integers(data.shape[1] - n_times + 1))
    gain = np.float32(np.exp(rng.normal(0.0, settings.gain_spread)))
    reference = _draw_reference(len(data), names, settings, rng)
    part = rereferenced(data[:, start : start + n_times], names, reference)[picks]
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
    return Crop(signals[0], rows[picks], picks, start, reference, *signals[1:])


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


def _draw_reference(
    n_channels: int, names: Sequence[str], settings: CropSettings, rng: np.random.Generator
) -> Reference:
    average, laplacian = settings.average_reference, settings.laplacian_reference
    drawn = rng.random() if average or laplacian else 1.0
    if drawn < average:
        return "average" if n_channels >= FEWEST_ELECTRODES else "recorded"
    if drawn < average + laplacian and np.isfinite(laplacian_matrix(names)).all():
        return "laplacian"
    return "recorded"


def rereferenced(
    data: NDArray[np.float32], names: Sequence[str], reference: Reference
) -> NDArray[np.float32]:
    """Bring all (good) channels ``(n_channels, n_times)`` to a reference."""
    if reference == "average":
        return data - data.mean(axis=0)
    if reference == "laplacian":
        return (LAPLACIAN_AREA * laplacian_matrix(names)).astype(np.float32) @ data
    return data
