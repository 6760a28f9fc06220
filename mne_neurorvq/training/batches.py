# License: BSD-3-Clause
"""From the windows of a corpus to batches: which windows, which crops of them, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from ..signals import robust_scale
from ..signals.robust_scaling import robust_statistics

# Artefacts beyond so many interquartile ranges would outweigh the rest of a batch.
_LARGEST_SCALED = np.float32(10.0)


class Batch(NamedTuple):
    """Windows of one size.

    Attributes
    ----------
    windows : Tensor, shape (n_windows, n_channels, n_times)
        Signal at the model's rate, in its unit or scaled as it wants it.
    channel_ids : Tensor of int64, shape (n_windows, n_channels)
        Vocabulary rows of each window's channels, or their numbers where there is no vocabulary.
    ids : list of str
        Names of the windows in their corpus.
    targets : Tensor, shape (n_windows, n_channels, n_patches, n_columns) | None
        Numbers that a foundation model is to tell of each patch, NaN where they cannot be had.
    """

    windows: Tensor
    channel_ids: Tensor
    ids: list[str]
    targets: Tensor | None = None


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
        interquartile ranges of that channel. It stands for what the corpus lacks: recordings of a
        low rate have nothing at high frequencies, and a codec that never saw any fails there.
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
    average_reference: Annotated[float, Field(ge=0, le=1)] = 0.0


@dataclass(frozen=True)
class PlannedBatch:
    """Windows that share the size of their crops.

    Attributes
    ----------
    windows : ndarray of int, shape (n_windows,)
        Indices of windows in the corpus.
    n_channels, n_patches : int
        Size of the crops.
    """

    windows: NDArray[np.intp]
    n_channels: int
    n_patches: int


def plan_batches(
    n_channels: NDArray[np.integer],
    n_patches: NDArray[np.integer],
    order: NDArray[np.intp],
    settings: CropSettings,
    *,
    max_tokens: int,
    max_patches: int,
    rng: np.random.Generator,
    multiple_of: int = 1,
) -> list[PlannedBatch]:
    """Put every window of an epoch, or of a part of it, into one batch.

    Each window draws the size of its crop; windows of one size make a batch as soon as they fill
    it, so that batches follow ``order``, and what remains at the end makes smaller ones.

    Parameters
    ----------
    n_channels, n_patches : ndarray of int, shape (n_windows,)
        Size of every window of the corpus.
    order : ndarray of int, shape (n_planned,)
        Windows, in the order that they were shuffled to.
    settings : CropSettings
        Sizes of crops and batches.
    max_tokens, max_patches : int
        What a model takes at once: channels times patches, and patches of a channel. No crop is
        larger than a batch either.
    rng : numpy.random.Generator
        Source of the sizes.
    multiple_of : int
        The number of batches is made a multiple of it, by splitting some in two, or by joining
        smaller crops where every batch is a single window.

    Returns
    -------
    list of PlannedBatch
        The batches.

    Raises
    ------
    ValueError
        If there are fewer windows than ``multiple_of``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> settings = CropSettings(16, n_channels=(2,), n_patches=(4,))
    >>> plan = plan_batches(np.full(5, 2), np.full(5, 4), np.arange(5), settings,
    ...                     max_tokens=256, max_patches=256, rng=rng)
    >>> [batch.windows.tolist() for batch in plan]
    [[0, 1], [2, 3], [4]]
    """
    if len(order) < multiple_of:
        raise ValueError(
            f"{len(order)} windows cannot be shared out among {multiple_of} processes: use fewer "
            "processes or a larger corpus."
        )
    channels = np.minimum(rng.choice(settings.n_channels, len(order)), n_channels[order])
    max_tokens = min(max_tokens, settings.tokens_per_batch)
    channels = np.minimum(channels, max_tokens)
    patches = np.minimum(rng.choice(settings.n_patches, len(order)), n_patches[order])
    patches = np.minimum(patches, np.minimum(max_patches, max_tokens // channels))
    filled: list[tuple[int, PlannedBatch]] = []
    sizes, size_of = np.unique(np.stack((channels, patches)), axis=1, return_inverse=True)
    for i, (n_chans, n_pats) in enumerate(sizes.T.tolist()):
        places = np.flatnonzero(size_of.ravel() == i)
        capacity = max(1, settings.tokens_per_batch // (n_chans * n_pats))
        for start in range(0, len(places), capacity):
            part = places[start : start + capacity]
            # A batch that is never filled waits for the end.
            complete = int(part[-1]) if len(part) == capacity else len(order)
            filled.append((complete, PlannedBatch(order[part], n_chans, n_pats)))
    plan = [batch for _, batch in sorted(filled, key=lambda item: item[0])]
    n_more = -len(plan) % multiple_of
    if len(order) - len(plan) >= n_more:
        return _split_some(plan, n_more)
    return _join_some(plan, len(plan) % multiple_of, settings.tokens_per_batch)


def _split_some(plan: list[PlannedBatch], n_more: int) -> list[PlannedBatch]:
    """Make more batches of the same windows, cutting the largest in half."""
    plan, sizes = list(plan), np.array([len(batch.windows) for batch in plan])
    for _ in range(n_more):
        i = int(sizes.argmax())
        halves = np.array_split(plan[i].windows, 2)
        plan[i], more = (replace(plan[i], windows=part) for part in halves)
        plan.append(more)
        sizes[i] = len(halves[0])
        sizes = np.append(sizes, len(halves[1]))
    return plan


def _join_some(plan: list[PlannedBatch], n_fewer: int, n_tokens: int) -> list[PlannedBatch]:
    """Make fewer batches of the same windows, joining two and two under smaller crops."""
    single = [i for i, batch in enumerate(plan) if len(batch.windows) == 1]
    pairs = np.reshape(single[-2 * n_fewer :], (n_fewer, 2)).tolist()
    joined = [_joined(plan[i], plan[j], n_tokens) for i, j in pairs]
    taken = {i for pair in pairs for i in pair}
    return [batch for i, batch in enumerate(plan) if i not in taken] + joined


def _joined(first: PlannedBatch, second: PlannedBatch, n_tokens: int) -> PlannedBatch:
    each = n_tokens // 2
    channels = max(1, min(first.n_channels, second.n_channels, each))
    patches = max(1, min(first.n_patches, second.n_patches, each // channels))
    return PlannedBatch(np.append(first.windows, second.windows), channels, patches)


def share_of_rank(plan: Sequence[PlannedBatch], rank: int, n_ranks: int) -> Sequence[PlannedBatch]:
    """Batches of one process: a stretch of the plan, so that it reads few parts of the corpus.

    Parameters
    ----------
    plan : sequence of PlannedBatch
        Batches; their number is a multiple of ``n_ranks``.
    rank, n_ranks : int
        Number of the process, and how many there are.

    Returns
    -------
    sequence of PlannedBatch
        As many for every process.
    """
    each = len(plan) // n_ranks
    return plan[rank * each : (rank + 1) * each]


class Crop(NamedTuple):
    """A part of a window.

    Attributes
    ----------
    data : ndarray of float32, shape (n_picked, n_times)
        Signals with their noise, times the gain.
    rows : ndarray of int, shape (n_picked,)
        Rows of their channels.
    picks : ndarray of int, shape (n_picked,)
        The channels in the window.
    start : int
        First sample in the window.
    referenced : bool
        Whether the signals have the average reference.
    """

    data: NDArray[np.float32]
    rows: NDArray[np.int64]
    picks: NDArray[np.intp]
    start: int
    referenced: bool


def crop(
    data: NDArray[np.float32],
    rows: NDArray[np.int64],
    batch: PlannedBatch,
    settings: CropSettings,
    *,
    patch_size: int,
    rng: np.random.Generator,
    scaled: bool = False,
) -> Crop:
    """Draw channels, a start, a gain, a reference and noise of a window.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Window.
    rows : ndarray of int, shape (n_channels,)
        Rows of its channels.
    batch : PlannedBatch
        Gives the size.
    settings : CropSettings
        Gives the spreads of gain and noise, and the share of average references.
    patch_size : int
        Samples of a patch.
    rng : numpy.random.Generator
        Source of the draw.
    scaled : bool
        Whether the part is scaled by median and interquartile range before the gain, and limited
        after it.

    Returns
    -------
    Crop
        Of the size that ``batch`` gives.
    """
    n_times = batch.n_patches * patch_size
    picks = rng.permutation(len(rows))[: batch.n_channels]
    start = int(rng.integers(data.shape[1] - n_times + 1))
    gain = np.float32(np.exp(rng.normal(0.0, settings.gain_spread)))
    referenced = settings.average_reference > 0 and rng.random() < settings.average_reference
    part = data[:, start : start + n_times]
    part = (average_referenced(part) if referenced else part)[picks]
    if settings.noise_spread:
        part = part + _noise(part, settings.noise_spread, rng)
    if scaled:
        part = np.clip(gain * robust_scale(part)[0], -_LARGEST_SCALED, _LARGEST_SCALED)
    else:
        part = gain * part
    return Crop(part, rows[picks], picks, start, referenced)


def _noise(
    part: NDArray[np.float32], spread: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    amplitude = np.abs(rng.normal(0.0, spread, len(part))) * robust_statistics(part)[1]
    return (amplitude[:, None] * rng.standard_normal(part.shape)).astype(np.float32)


def average_referenced(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract the mean of all channels.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Signals of all good channels of a recording.

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        The same with the average reference.
    """
    return data - data.mean(axis=0)
