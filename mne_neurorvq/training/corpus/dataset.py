# License: BSD-3-Clause
"""Windows of a corpus, on a disk or in a bucket."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any, Literal

import fsspec
import numpy as np
import zarr
from numpy.typing import NDArray
from torch.utils.data import Dataset

from .storage import BEFORE, DATA, INDEX, window_starts

# Arrays that a process keeps open, and windows that it asks a bucket for at once.
_OPEN = 1024
_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Window:
    """A window of a recording.

    Attributes
    ----------
    id : str
        Recording and first patch, such as ``"S001R04-1f0c:24"``: the same in every run.
    subject : str
        Whose it is.
    data : ndarray of float32, shape (n_channels, n_times)
        Signal in the unit of the corpus and at the model's rate, a whole number of patches.
    rows : ndarray of int64, shape (n_channels,)
        Vocabulary rows; the numbers of the channels in the recording where there is no
        vocabulary.
    """

    id: str
    subject: str
    data: NDArray[np.float32]
    rows: NDArray[np.int64]


class CorpusDataset(Dataset[Window]):
    """The windows of one side of a corpus, by number.

    What is held in memory is the index, some 20 bytes a window; signals are read when they are
    asked for.

    Parameters
    ----------
    corpus : str or path-like
        Folder that :func:`prepare_corpus` made, or its URL (``s3://``, ``gs://``, ``https://``,
        ...), for which fsspec needs the package of that protocol.
    split : "train" | "validation"
        Whose windows.
    storage_options : mapping | None
        What fsspec takes for the URL, such as keys and endpoints.

    Attributes
    ----------
    recordings : ndarray of int, shape (n_windows,)
        Number of each window's recording.
    n_channels, n_patches : ndarray of int, shape (n_windows,)
        Size of each window, known without reading it.
    index : dict
        Settings of the corpus (``system``, ``modality``, ``sfreq``, ``unit``, ``patch_size``,
        ``window_patches``, ``step``) and what is in it.

    Examples
    --------
    >>> import tempfile
    >>> from mne_neurorvq.datasets import simulate_recordings
    >>> from mne_neurorvq.training import CorpusDataset, prepare_corpus
    >>> folder = tempfile.mkdtemp()
    >>> for raw in simulate_recordings(n_subjects=2, n_trials=2, verbose=False):
    ...     name = raw.info["subject_info"]["his_id"]
    ...     _ = raw.save(f"{folder}/{name}_raw.fif", verbose=False)
    >>> _ = prepare_corpus([folder], f"{folder}/corpus", window=6)
    >>> windows = CorpusDataset(f"{folder}/corpus", "train")
    >>> len(windows), windows[1].data.shape, windows[1].subject
    (3, (32, 1200), 'sim-01_raw')
    """

    def __init__(
        self,
        corpus: str | PathLike[str],
        split: Literal["train", "validation"] = "train",
        *,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.corpus = fspath(corpus).rstrip("/")
        self.split = split
        self._options = dict(storage_options or {})
        self.index = self._read_index()
        sides, window = self.index["subjects"], self.index["window_patches"]
        self._montages = [np.array(rows, np.int64) for rows in self.index["montages"]]
        self._recordings = [r for r in self.index["recordings"] if sides[r[1]] == split]
        starts = [
            np.array(window_starts(n_patches, window, set(lost)), np.int32)
            for *_, n_patches, lost in self._recordings
        ]
        counts = [len(some) for some in starts]
        sizes = [len(self._montages[montage]) for _, _, montage, *_ in self._recordings]
        lengths = np.array([n_patches for *_, n_patches, _ in self._recordings], np.int32)
        self.recordings = np.repeat(np.arange(len(starts), dtype=np.int32), counts)
        self.starts = np.concatenate([np.empty(0, np.int32), *starts])
        self.n_channels = np.repeat(np.array(sizes, np.int32), counts)
        self.n_patches = np.minimum(np.repeat(lengths, counts) - self.starts, window)
        self._arrays: dict[int, zarr.Array[Any]] = {}

    def _read_index(self) -> dict[str, Any]:
        path = f"{self.corpus}/{INDEX}"
        try:
            with fsspec.open(path, "r", encoding="utf-8", **self._options) as file:
                index: dict[str, Any] = json.load(file)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path} is not there: 'mne-neurorvq prepare SOURCE... -o DIR' makes a corpus."
            ) from None
        return index

    @property
    def system(self) -> str:
        """Whose models are to learn from it."""
        return str((BEFORE | self.index)["system"])

    @property
    def patch_size(self) -> int:
        """Samples of a patch of the corpus."""
        return int(self.index["patch_size"])

    @property
    def subjects(self) -> list[str]:
        """Whose each window is."""
        return [self._recordings[recording][1] for recording in self.recordings]

    @property
    def hours(self) -> float:
        """Length of all windows together."""
        seconds = self.index["patch_size"] / self.index["sfreq"]
        return float(self.n_patches.sum()) * seconds / 3600

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> Window:
        recording, start = int(self.recordings[number]), int(self.starts[number])
        identity, subject, montage, *_ = self._recordings[recording]
        size = self.index["patch_size"]
        stop = start + int(self.n_patches[number])
        counts = self._array(recording)[:, start * size : stop * size]
        data = np.multiply(counts, np.float32(self.index["step"]), dtype=np.float32)
        return Window(f"{identity}:{start}", subject, data, self._montages[montage])

    def read(self, numbers: Sequence[int]) -> list[Window]:
        """Read several windows, from a bucket side by side.

        Parameters
        ----------
        numbers : sequence of int
            Which.

        Returns
        -------
        list of Window
            In the order of the numbers.
        """
        if "://" not in self.corpus:
            return [self[number] for number in numbers]
        with ThreadPoolExecutor(min(_AT_ONCE, len(numbers) or 1)) as pool:
            return list(pool.map(self.__getitem__, numbers))

    #: What a DataLoader's workers ask for a batch.
    __getitems__ = read

    def __getstate__(self) -> dict[str, Any]:
        # Connections belong to a process.
        return {**self.__dict__, "_arrays": {}}

    def _array(self, recording: int) -> zarr.Array[Any]:
        array = self._arrays.get(recording)
        if array is None:
            if len(self._arrays) >= _OPEN:
                self._arrays.clear()
            array = self._arrays[recording] = zarr.open_array(
                f"{self.corpus}/{DATA}/{self._recordings[recording][0]}",
                mode="r",
                storage_options=self._options or None,
            )
        return array
