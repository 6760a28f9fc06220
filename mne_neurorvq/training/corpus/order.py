# License: BSD-3-Clause
"""The order in which epochs take the windows of a corpus."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """The order in which the ranks of a run take windows, epoch by epoch.

    All windows are shuffled together, so that a batch mixes recordings. The order is a function
    of seed and epoch only; ranks take every ``world_size``-th of it. The numbers are made in the
    main process and a DataLoader hands them to its workers: how many workers there are changes
    nothing. A run that stopped goes on at its position, on any number of ranks.

    Parameters
    ----------
    n_windows : int
        Windows of the data set.
    seed : int
        Seed of the shuffling.
    shuffle : bool
        False takes them in their order, as for validation.
    rank, world_size : int
        This process of how many.
    even : bool
        If the windows do not divide by ``world_size``, some ranks take one more than others.
        True leaves the rest of the order out instead, fewer than ``world_size`` windows (shuffled,
        others in every epoch).

    Examples
    --------
    >>> from mne_neurorvq.training import EpochSampler
    >>> first, second = (EpochSampler(7, rank=rank, world_size=2) for rank in (0, 1))
    >>> sorted([*first, *second])
    [0, 1, 2, 3, 4, 5, 6]
    >>> everything = list(EpochSampler(7))
    >>> resumed = EpochSampler(7)
    >>> resumed.set_epoch(0, position=4)
    >>> list(resumed) == everything[4:]
    True
    """

    def __init__(
        self,
        n_windows: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
        even: bool = False,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank={rank} must be one of 0 to {world_size - 1}.")
        self.n_windows = n_windows
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.even = even
        self.epoch = 0
        self.position = 0

    def set_epoch(self, epoch: int, position: int | None = None) -> None:
        """Choose the epoch, and where in it to go on.

        Parameters
        ----------
        epoch : int
            Number of the epoch.
        position : int | None
            Windows of the epoch that all ranks together have taken. None keeps the position
            within the same epoch (Lightning calls this at the start of each, also of one that is
            resumed) and begins another one at its start.
        """
        if position is not None and not 0 <= position <= self.n_windows:
            raise ValueError(f"position={position} must be one of 0 to {self.n_windows}.")
        if position is None:
            position = self.position if epoch == self.epoch else 0
        self.epoch, self.position = epoch, position

    def _mine(self) -> range:
        """Places in the order that this rank takes."""
        left = self.n_windows - self.position
        stop = self.n_windows - (left % self.world_size if self.even else 0)
        return range(self.position + self.rank, stop, self.world_size)

    def __iter__(self) -> Iterator[int]:
        order = np.arange(self.n_windows, dtype=np.int32)
        if self.shuffle:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        for place in self._mine():
            yield int(order[place])

    def __len__(self) -> int:
        return len(self._mine())
