# License: BSD-3-Clause
"""Batches of a corpus for one process of a run: to train on, from any step on, and to validate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ..signals import robust_scale
from ..weights.systems import Config
from .corpus.dataset import CorpusDataset
from .crops import CropSettings, crop
from .patch_targets import PatchTargets, site_names
from .planning import PlannedBatch, plan_batches, share_of_rank

# The plan of a large corpus would take more memory than its index: it is made of so many windows.
_PLANNED_AT_ONCE = 2**16
# Validation looks at so many windows of each subject, and holds at most so many in memory.
_WATCHED_WINDOWS, _WATCHED_IN_ALL = 16, 1024
# It looks at so many seconds of all channels that a model takes at once, or at so many of some
# channels where it takes them one by one.
_WATCHED_TOGETHER, _WATCHED_SECONDS, _WATCHED_CHANNELS = 4, 5, 8


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
    clean : Tensor | None
        What is to be restored from the windows; None if it is the windows.
    """

    windows: Tensor
    channel_ids: Tensor
    ids: list[str]
    targets: Tensor | None = None
    clean: Tensor | None = None


@dataclass(eq=False)
class CorpusBatches(IterableDataset[Batch]):
    """Batches of random crops; every window is in one batch of each epoch.

    Batch ``k`` of a process is a function of the corpus, the settings, the seed and the number of
    processes: a run that goes on at step ``k`` gets what an undisturbed one would have got, with
    any number of workers.

    Parameters
    ----------
    corpus : CorpusDataset
        Windows to learn from.
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        Token budget, and whether crops are scaled.
    settings : CropSettings
        Sizes of batches and crops.
    seed : int
        Seed.
    n_batches : int
        Batches of this process in all.
    first : int
        Batch to start with.
    rank, n_ranks : int
        Number of this process, and how many there are.
    targets : sequence of str
        What a foundation model learns of each patch besides: ``targets`` of
        :class:`FoundationSettings`.

    Examples
    --------
    >>> import tempfile
    >>> from mne_neurorvq.datasets import simulate_recordings
    >>> from mne_neurorvq.models import NEURORVQ_EEG
    >>> from mne_neurorvq.training import (
    ...     CorpusBatches, CorpusDataset, CropSettings, prepare_corpus)
    >>> folder = tempfile.mkdtemp()
    >>> for raw in simulate_recordings(n_subjects=2, n_trials=2, verbose=False):
    ...     _ = raw.save(f"{folder}/{raw.info['subject_info']['his_id']}_raw.fif", verbose=False)
    >>> _ = prepare_corpus([folder], f"{folder}/corpus", window=6)
    >>> batches = CorpusBatches(CorpusDataset(f"{folder}/corpus"), NEURORVQ_EEG,
    ...                         CropSettings(32, n_channels=(8,)), seed=0, n_batches=2)
    >>> [batch.windows.shape[1] for batch in batches]  # channels
    [8, 8]
    """

    corpus: CorpusDataset
    config: Config
    settings: CropSettings
    _: KW_ONLY
    seed: int
    n_batches: int
    first: int = 0
    rank: int = 0
    n_ranks: int = 1
    targets: Sequence[str] = ()

    def __post_init__(self) -> None:
        wanted = self.targets
        self._targets = PatchTargets(self.corpus, self.config, wanted) if wanted else None

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, n_workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        wanted = range(self.first + number, self.n_batches, n_workers)
        for epoch, batch in self._planned(wanted):
            yield self._read(epoch, batch)

    def _planned(self, numbers: range) -> Iterator[tuple[int, PlannedBatch]]:
        """Plan batches without reading anything, each with the number of its epoch."""
        parts, before = self._parts(), 0
        epoch, plan = next(parts)
        for number in numbers:
            while number >= before + len(plan):
                before += len(plan)
                epoch, plan = next(parts)
            yield epoch, plan[number - before]

    def _parts(self) -> Iterator[tuple[int, Sequence[PlannedBatch]]]:
        """Plan what this process sees: epoch and batches, a part after the other, without end."""
        for epoch in count():
            rng = np.random.default_rng((self.seed, epoch))
            order = rng.permutation(len(self.corpus))
            for part in np.array_split(order, -(-len(order) // _PLANNED_AT_ONCE)):
                plan = plan_batches(
                    self.corpus.n_channels,
                    self.corpus.n_patches,
                    part,
                    self.settings,
                    max_tokens=self.config.max_tokens,
                    max_patches=self.config.patches_per_segment(1),
                    rng=rng,
                    multiple_of=self.n_ranks,
                )
                yield epoch, share_of_rank(plan, self.rank, self.n_ranks)

    def _read(self, epoch: int, batch: PlannedBatch) -> Batch:
        """Read the windows of a batch and crop them."""
        numbers, size = batch.windows.tolist(), (batch.n_channels, batch.n_patches)
        windows = self.corpus.read(numbers)
        crops, targets, clean = [], [], list[NDArray[np.float32]]()
        for number, window in zip(numbers, windows, strict=True):
            part = crop(
                window.data,
                window.rows,
                size,
                self.settings,
                patch_size=self.corpus.patch_size,
                rng=np.random.default_rng((self.seed, epoch, number)),
                names=site_names(window.rows, self.config),
                scaled=self.config.takes_scaled,
            )
            crops.append((part.data, part.rows))
            clean += [] if part.clean is None else [part.clean]
            if self._targets is not None:
                place = part.picks, part.start, batch.n_patches
                targets.append(self._targets.of(number, window, *place, part.reference))
        return _stacked(crops, [window.id for window in windows], targets, clean)


def watched_batches(
    corpus: CorpusDataset,
    config: Config,
    *,
    n_windows: int = _WATCHED_WINDOWS,
    rank: int = 0,
    n_ranks: int = 1,
    targets: Sequence[str] = (),
) -> list[tuple[str, Batch]]:
    """Subjects and batches of evenly spaced windows of them, in the unit of the corpus.

    They are always the same, ``n_windows`` of each subject (fewer if there are very many), shared
    out among the processes, each of which gets one batch at least.
    """
    of_subject: dict[str, list[int]] = {}
    for i, subject in enumerate(corpus.subjects):
        of_subject.setdefault(subject, []).append(i)
    planned: dict[tuple[str, int, int], list[int]] = {}
    each = max(1, min(n_windows, _WATCHED_IN_ALL // max(1, len(of_subject))))
    for subject, windows in of_subject.items():
        places = np.linspace(0, len(windows) - 1, min(each, len(windows)))
        for i in (windows[int(place)] for place in places):
            size = _watched_size(config, int(corpus.n_channels[i]), int(corpus.n_patches[i]))
            planned.setdefault((subject, *size), []).append(i)
    batches = []
    measured = PatchTargets(corpus, config, targets) if targets else None
    shared = _at_least(n_ranks, sorted(planned.items()))
    for (subject, n_channels, n_patches), indices in shared[rank::n_ranks]:
        found = corpus.read(indices)
        n_times = n_patches * corpus.patch_size
        crops, wanted = [], []
        for i, window in zip(indices, found, strict=True):
            picks = np.linspace(0, len(window.rows) - 1, n_channels).astype(int)
            crops.append((window.data[picks, :n_times], window.rows[picks]))
            if measured is not None:
                wanted.append(measured.of(i, window, picks, 0, n_patches))
        batches.append((subject, _stacked(crops, [window.id for window in found], wanted)))
    return batches


def _watched_size(config: Config, n_channels: int, n_patches: int) -> tuple[int, int]:
    """Channels and patches that are watched of a window of so many."""
    if not config.channels:  # it codes channels one by one
        return min(_WATCHED_CHANNELS, n_channels), min(_WATCHED_SECONDS, n_patches)
    n_patches = min(round(_WATCHED_TOGETHER / config.patch_seconds), n_patches)
    return min(n_channels, config.max_tokens // n_patches), n_patches


def _at_least(
    n_batches: int, plan: list[tuple[tuple[str, int, int], list[int]]]
) -> list[tuple[tuple[str, int, int], list[int]]]:
    """Split batches until there are enough: a process without any would not take part at all."""
    if sum(len(indices) for _, indices in plan) < n_batches:
        raise ValueError(
            f"the windows to watch cannot be shared out among {n_batches} processes: use fewer, "
            "or more validation subjects."
        )
    while len(plan) < n_batches:
        i = max(range(len(plan)), key=lambda i: len(plan[i][1]))
        size, indices = plan[i]
        half = len(indices) // 2
        plan[i : i + 1] = [(size, indices[:half]), (size, indices[half:])]
    return plan


def _stacked(
    crops: Sequence[tuple[NDArray[np.float32], NDArray[np.int64]]],
    ids: list[str],
    targets: Sequence[NDArray[np.float32]],
    clean: Sequence[NDArray[np.float32]] = (),
) -> Batch:
    data, rows = zip(*crops, strict=True)
    return Batch(
        torch.from_numpy(np.stack(data).astype(np.float32)),
        torch.from_numpy(np.stack(rows).astype(np.int64)),
        ids,
        torch.from_numpy(np.stack(targets)) if targets else None,
        torch.from_numpy(np.stack(clean)) if clean else None,
    )


def model_input(windows: Tensor, config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """Windows of a corpus as a model takes them, and the centre and scale ``(n, n_channels, 1)``.

    The windows are ``scale`` times the input plus ``centre``.
    """
    if not config.takes_scaled:
        centre = windows.new_zeros(*windows.shape[:2], 1)
        return windows, centre, torch.ones_like(centre)
    scaled, centre, scale = (torch.from_numpy(a).float() for a in robust_scale(windows.numpy()))
    return scaled, centre[..., None], scale[..., None]
