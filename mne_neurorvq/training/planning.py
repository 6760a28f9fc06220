# License: BSD-3-Clause
"""Which windows share a batch, and the size of their crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .crops import CropSettings


@dataclass(frozen=True)
class PlannedBatch:
    """Windows that share the size of their crops."""

    windows: NDArray[np.intp]  # numbers in the corpus
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

    ``n_channels`` and ``n_patches`` are the sizes of all windows of the corpus, ``order`` the
    numbers of those to plan. Each draws the size of its crop, of at most ``max_tokens`` channels
    times patches and ``max_patches`` patches. Windows of one size make a batch as soon as they fill
    it, so that batches follow ``order``, and the rest makes smaller ones. Their number is made a
    ``multiple_of`` the processes.
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
    """Batches of one process: a stretch of the plan, so that it reads few parts of the corpus."""
    each = len(plan) // n_ranks
    return plan[rank * each : (rank + 1) * each]
