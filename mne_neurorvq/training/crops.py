# License: BSD-3-Clause
"""Random crops of recordings held in memory: the training batches of the bundled models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from ..models import NeuroRVQConfig

# Montage sizes and window lengths that training sees; pairs beyond the token budget are cut.
_N_CHANNELS = (8, 16, 19, 21, 32, 48, 64)
_N_PATCHES = (2, 3, 4, 4, 4, 6, 8, 12)
# Spread of the random gain (standard deviation of its natural logarithm).
_GAIN_SPREAD = 0.2


@dataclass(frozen=True)
class Recording:
    """One recording, ready for the model.

    Attributes
    ----------
    data : ndarray of float32, shape (n_channels, n_times)
        Signal in the model's unit and rate.
    rows : ndarray of int64, shape (n_channels,)
        Vocabulary rows.
    source : str
        Where it came from.
    """

    data: NDArray[np.float32]
    rows: NDArray[np.int64]
    source: str


class Batch(NamedTuple):
    """Windows that share a montage and a length.

    Attributes
    ----------
    windows : Tensor, shape (n_windows, n_channels, n_times)
        Signal in the model's unit and rate.
    channel_ids : Tensor of int64, shape (n_channels,)
        Vocabulary rows.
    """

    windows: Tensor
    channel_ids: Tensor


class RandomCrops(IterableDataset[Batch]):
    """Batches of random windows, montages and gains.

    Parameters
    ----------
    recordings : sequence of Recording
        Source of the windows; longer ones are drawn more often.
    config : NeuroRVQConfig
        Patch size and token budget.
    n_batches : int
        Batches in all.
    tokens_per_batch : int
        Upper bound of windows times channels times patches.
    seed : int
        Batch ``k`` is a function of the seed and ``k``.
    first : int
        Batch to start with, to resume a run.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.models import NEURORVQ_EEG
    >>> from mne_neurorvq.training import RandomCrops, Recording
    >>> recording = Recording(np.ones((2, 4000), np.float32), np.array([0, 1]), "one.edf")
    >>> crops = RandomCrops([recording], NEURORVQ_EEG, n_batches=3, tokens_per_batch=64, seed=0)
    >>> [batch.windows.shape[1] for batch in crops]  # channels
    [2, 2, 2]
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        config: NeuroRVQConfig,
        *,
        n_batches: int,
        tokens_per_batch: int,
        seed: int,
        first: int = 0,
    ) -> None:
        if not recordings:
            raise ValueError("there are no recordings to train on.")
        self.recordings = recordings
        self.config = config
        self.n_batches = n_batches
        self.tokens_per_batch = tokens_per_batch
        self.seed = seed
        self.first = first
        lengths = np.array([recording.data.shape[1] for recording in recordings], float)
        self._share = lengths / lengths.sum()

    def __iter__(self) -> Iterator[Batch]:
        for index in range(self.first, self.n_batches):
            yield self.batch(index)

    def batch(self, index: int) -> Batch:
        """Draw one batch.

        Parameters
        ----------
        index : int
            Number of the batch.

        Returns
        -------
        Batch
            Always the same for the same index.
        """
        rng = np.random.default_rng((self.seed, index))
        recordings, share, patch = self.recordings, self._share, self.config.patch_size
        leader = recordings[rng.choice(len(recordings), p=share)]
        n_channels = min(int(rng.choice(_N_CHANNELS)), len(leader.rows))
        n_patches = min(int(rng.choice(_N_PATCHES)), self.config.max_patches // n_channels)
        n_times = n_patches * patch
        rows = rng.choice(leader.rows, n_channels, replace=False)
        able = [
            i
            for i, recording in enumerate(recordings)
            if np.isin(rows, recording.rows).all() and recording.data.shape[1] >= n_times
        ]
        if not able:
            raise ValueError(f"no recording is as long as {n_times} samples.")
        odds = share[able] / share[able].sum()
        windows = []
        for _ in range(max(1, self.tokens_per_batch // (n_channels * n_patches))):
            recording = recordings[rng.choice(able, p=odds)]
            picks = [int(np.flatnonzero(recording.rows == row)[0]) for row in rows]
            start = rng.integers(recording.data.shape[1] - n_times + 1)
            gain = np.exp(rng.normal(0.0, _GAIN_SPREAD))
            windows.append(gain * recording.data[picks, start : start + n_times])
        stacked = torch.from_numpy(np.stack(windows).astype(np.float32))
        return Batch(stacked, torch.from_numpy(np.asarray(rows, dtype=np.int64)))


def validation_batches(
    recordings: Sequence[Recording],
    config: NeuroRVQConfig,
    *,
    n_patches: int = 4,
    n_windows: int = 4,
) -> list[Batch]:
    """Evenly spaced windows of every recording, with all the channels that the budget allows.

    Parameters
    ----------
    recordings : sequence of Recording
        Recordings of subjects that training does not see.
    config : NeuroRVQConfig
        Patch size and token budget.
    n_patches : int
        Length of a window in patches.
    n_windows : int
        Windows of each recording.

    Returns
    -------
    list of Batch
        One batch for each recording.
    """
    batches = []
    n_times = n_patches * config.patch_size
    for recording in recordings:
        n_channels = min(len(recording.rows), config.max_patches // n_patches)
        starts = np.linspace(0, recording.data.shape[1] - n_times, n_windows).astype(int)
        windows = np.stack([recording.data[:n_channels, s : s + n_times] for s in starts])
        batches.append(
            Batch(torch.from_numpy(windows), torch.from_numpy(recording.rows[:n_channels]))
        )
    return batches
