# License: BSD-3-Clause
"""Batches of a corpus for one process of a run, from any step on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from ..weights.systems import Config
from .batches import (
    Batch,
    CropSettings,
    PlannedBatch,
    average_referenced,
    crop,
    plan_batches,
    share_of_rank,
)
from .corpus.dataset import CorpusDataset
from .inputs import is_scaled, largest_crop, watched_size
from .targets import PatchTargets

# The plan of a large corpus would take more memory than its index: it is made of so many windows.
_PLANNED_AT_ONCE = 2**16
# Validation looks at so many windows of each subject.
_WATCHED_WINDOWS = 16
# They are held in memory.
_WATCHED_IN_ALL = 1024


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
        What to tell of each patch besides, see :data:`~mne_neurorvq.training.targets.TARGETS`.

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

    def __init__(
        self,
        corpus: CorpusDataset,
        config: Config,
        settings: CropSettings,
        *,
        seed: int,
        n_batches: int,
        first: int = 0,
        rank: int = 0,
        n_ranks: int = 1,
        targets: Sequence[str] = (),
    ) -> None:
        self.corpus = corpus
        self.config = config
        self.settings = settings
        self.seed = seed
        self.n_batches = n_batches
        self.first = first
        self.rank = rank
        self.n_ranks = n_ranks
        self.targets = PatchTargets(corpus, config, targets) if targets else None

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, n_workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        wanted = range(self.first + number, self.n_batches, n_workers)
        for epoch, batch in self.planned(wanted):
            yield self.read(epoch, batch)

    def planned(self, numbers: range) -> Iterator[tuple[int, PlannedBatch]]:
        """Plan batches without reading anything.

        Parameters
        ----------
        numbers : range
            Numbers of the batches.

        Yields
        ------
        epoch : int
            Number of the epoch.
        batch : PlannedBatch
            Which windows, and the size of their crops.
        """
        parts, before = self.parts(), 0
        epoch, plan = next(parts)
        for number in numbers:
            while number >= before + len(plan):
                before += len(plan)
                epoch, plan = next(parts)
            yield epoch, plan[number - before]

    def parts(self) -> Iterator[tuple[int, Sequence[PlannedBatch]]]:
        """Plan what this process sees, a part of an epoch after the other, without end.

        Yields
        ------
        epoch : int
            Number of the epoch.
        plan : sequence of PlannedBatch
            Its next batches.
        """
        for epoch in count():
            rng = np.random.default_rng((self.seed, epoch))
            order = rng.permutation(len(self.corpus))
            n_tokens, n_patches = largest_crop(self.config)
            for part in np.array_split(order, -(-len(order) // _PLANNED_AT_ONCE)):
                plan = plan_batches(
                    self.corpus.n_channels,
                    self.corpus.n_patches,
                    part,
                    self.settings,
                    max_tokens=n_tokens,
                    max_patches=n_patches,
                    rng=rng,
                    multiple_of=self.n_ranks,
                )
                yield epoch, share_of_rank(plan, self.rank, self.n_ranks)

    def read(self, epoch: int, batch: PlannedBatch) -> Batch:
        """Read the windows of a batch and crop them.

        Parameters
        ----------
        epoch : int
            Number of the epoch, for the crops.
        batch : PlannedBatch
            Which windows.

        Returns
        -------
        Batch
            Signals, channels and targets.
        """
        windows = self.corpus.__getitems__(batch.windows.tolist())
        crops = [
            crop(
                window.data,
                window.rows,
                batch,
                self.settings,
                patch_size=self.corpus.patch_size,
                rng=np.random.default_rng((self.seed, epoch, int(i))),
                scaled=is_scaled(self.config),
            )
            for i, window in zip(batch.windows, windows, strict=True)
        ]
        targets = None
        if self.targets is not None:
            targets = [
                self.targets.of(
                    int(i),
                    average_referenced(window.data) if part.referenced else window.data,
                    window.rows,
                    part.picks,
                    part.start,
                    batch.n_patches,
                    referenced=part.referenced,
                )
                for i, window, part in zip(batch.windows, windows, crops, strict=True)
            ]
        parts = [(part.data, part.rows) for part in crops]
        return _stacked(parts, [window.id for window in windows], targets)


def watched_batches(
    corpus: CorpusDataset,
    config: Config,
    *,
    n_windows: int = _WATCHED_WINDOWS,
    rank: int = 0,
    n_ranks: int = 1,
    targets: Sequence[str] = (),
) -> list[tuple[str, Batch]]:
    """Evenly spaced windows of every subject, in the unit of the corpus.

    They have all channels that the model takes at once, or eight of them, evenly spaced, where it
    takes one at a time.

    Parameters
    ----------
    corpus : CorpusDataset
        Windows of subjects that training does not see.
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        What the model takes at once.
    n_windows : int
        Windows of a subject, of four or five patches each; fewer if there are very many subjects.
    rank, n_ranks : int
        Number of this process, and how many share the windows.
    targets : sequence of str
        What to tell of each patch besides, see :data:`~mne_neurorvq.training.targets.TARGETS`.

    Returns
    -------
    list of (str, Batch)
        Subjects, and batches of their equally large windows; always the same, and at least one
        for every process.

    Raises
    ------
    ValueError
        If there are fewer windows than processes.
    """
    of_subject: dict[str, list[int]] = {}
    for i, subject in enumerate(corpus.subjects):
        of_subject.setdefault(subject, []).append(i)
    planned: dict[tuple[str, int, int], list[int]] = {}
    each = max(1, min(n_windows, _WATCHED_IN_ALL // max(1, len(of_subject))))
    for subject, windows in of_subject.items():
        places = np.linspace(0, len(windows) - 1, min(each, len(windows)))
        for i in (windows[int(place)] for place in places):
            size = watched_size(config, int(corpus.n_channels[i]), int(corpus.n_patches[i]))
            planned.setdefault((subject, *size), []).append(i)
    batches = []
    measured = PatchTargets(corpus, config, targets) if targets else None
    shared = _at_least(n_ranks, sorted(planned.items()))
    for (subject, n_channels, n_patches), indices in shared[rank::n_ranks]:
        found = corpus.__getitems__(indices)
        n_times = n_patches * corpus.patch_size
        crops, wanted = [], []
        for i, window in zip(indices, found, strict=True):
            picks = np.linspace(0, len(window.rows) - 1, n_channels).astype(int)
            crops.append((window.data[picks, :n_times], window.rows[picks]))
            if measured is not None:
                wanted.append(measured.of(i, window.data, window.rows, picks, 0, n_patches))
        ids = [window.id for window in found]
        batches.append((subject, _stacked(crops, ids, wanted or None)))
    return batches


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
    crops: Sequence[tuple[np.ndarray, np.ndarray]],
    ids: list[str],
    targets: Sequence[np.ndarray] | None,
) -> Batch:
    data, rows = zip(*crops, strict=True)
    return Batch(
        torch.from_numpy(np.stack(data).astype(np.float32)),
        torch.from_numpy(np.stack(rows).astype(np.int64)),
        ids,
        None if targets is None else torch.from_numpy(np.stack(targets)),
    )
