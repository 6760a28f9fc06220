# License: BSD-3-Clause
"""Windows of a corpus, on a disk or in a bucket."""

from __future__ import annotations

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

from .format import DATA, INDEX, INDEX_REMEDY, Recording, unseal, window_starts
from .zarr_arrays import from_text, open_array, read_window, what_is_lost

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
        Name of the subject.
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

    What is held in memory is the index, some 40 bytes a window; signals are read when they are
    asked for, and compared with their checksums. That all files are there, and of their size, is
    checked at once.

    Parameters
    ----------
    corpus : str or path-like
        Folder that :func:`prepare_corpus` made, or its URL (``s3://``, ``gs://``, ``https://``,
        ...), for which fsspec needs the package of that protocol.
    split : "train" | "validation"
        Side of the split.
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

    Raises
    ------
    FileNotFoundError
        If there is no corpus, or a file of its arrays is lost or incomplete.
    ValueError
        If the index is damaged or of another version; when a window is read, if it is damaged.

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
        self._arrays: dict[int, zarr.Array[Any]] = {}
        try:
            self._read_recordings()
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.corpus}/{INDEX} contradicts itself ({error}): {INDEX_REMEDY}"
            ) from error
        self._check_files()

    def _read_recordings(self) -> None:
        """Turn the index into arrays."""
        sides, window = self.index["subjects"], self.index["window_patches"]
        self._montages = [np.array(rows, np.int64) for rows in self.index["montages"]]
        recordings = [Recording(*row) for row in self.index["recordings"]]
        self._recordings = [r for r in recordings if sides[r.subject] == self.split]
        checksums = [from_text(r.checksums) for r in self._recordings]
        starts = [np.array(_starts(r, window), np.int32) for r in self._recordings]
        counts = [len(some) for some in starts]
        sizes = [len(self._montages[r.montage]) for r in self._recordings]
        lengths = np.array([r.n_patches for r in self._recordings], np.int32)
        self.recordings = np.repeat(np.arange(len(starts), dtype=np.int32), counts)
        self.starts = np.concatenate([np.empty(0, np.int32), *starts])
        self.n_channels = np.repeat(np.array(sizes, np.int32), counts)
        self.n_patches = np.minimum(np.repeat(lengths, counts) - self.starts, window)
        self._checksums = np.concatenate([np.empty(0, np.uint32), *checksums])

    def _read_index(self) -> dict[str, Any]:
        path = f"{self.corpus}/{INDEX}"
        try:
            with fsspec.open(path, "rb", **self._options) as file:
                text = file.read()
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path} is not there: 'mne-neurorvq prepare SOURCE... -o DIR' makes a corpus."
            ) from None
        except IsADirectoryError:
            raise ValueError(f"{path} is a folder: {INDEX_REMEDY}") from None
        return unseal(text, path, INDEX_REMEDY)

    def _check_files(self) -> None:
        """Raise if data are lost: now, not when training comes to them."""
        filesystem, root = fsspec.url_to_fs(self.corpus, **self._options)

        def look(recording: Recording) -> str:
            return what_is_lost(filesystem, f"{root}/{DATA}/{recording.id}", recording.files)

        with ThreadPoolExecutor(self._at_once(len(self._recordings))) as pool:
            lost = list(filter(None, pool.map(look, self._recordings)))
        if lost:
            raise FileNotFoundError(
                f"{self.corpus}: {len(lost)} of {len(self._recordings)} recordings are lost or "
                f"incomplete ({'; '.join(lost[:3])}{'; ...' if len(lost) > 3 else ''}): the same "
                "'mne-neurorvq prepare' command prepares them again."
            )

    def _at_once(self, n_things: int) -> int:
        """Threads to read so many things with: side by side only from a bucket."""
        return min(_AT_ONCE, n_things or 1) if "://" in self.corpus else 1

    @property
    def system(self) -> str:
        """Name of the system whose models learn from it."""
        return str(self.index["system"])

    @property
    def patch_size(self) -> int:
        """Samples of a patch of the corpus."""
        return int(self.index["patch_size"])

    @property
    def subjects(self) -> list[str]:
        """Name of the subject of each window."""
        return [self._recordings[recording].subject for recording in self.recordings]

    @property
    def hours(self) -> float:
        """Length of all windows together."""
        seconds = self.index["patch_size"] / self.index["sfreq"]
        return float(self.n_patches.sum()) * seconds / 3600

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> Window:
        recording, start = int(self.recordings[number]), int(self.starts[number])
        facts, size = self._recordings[recording], self.index["patch_size"]
        stop, checksum = start + int(self.n_patches[number]), int(self._checksums[number])
        counts = read_window(self._array(recording), start * size, stop * size, checksum)
        data = np.multiply(counts, np.float32(self.index["step"]), dtype=np.float32)
        return Window(f"{facts.id}:{start}", facts.subject, data, self._montages[facts.montage])

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
        with ThreadPoolExecutor(self._at_once(len(numbers))) as pool:
            return list(pool.map(self.__getitem__, numbers))

    #: What a DataLoader calls for a batch.
    __getitems__ = read

    def __getstate__(self) -> dict[str, Any]:
        # Connections belong to a process.
        return {**self.__dict__, "_arrays": {}}

    def _array(self, recording: int) -> zarr.Array[Any]:
        array = self._arrays.get(recording)
        if array is None:
            if len(self._arrays) >= _OPEN:
                self._arrays.clear()
            facts = self._recordings[recording]
            array = self._arrays[recording] = open_array(
                f"{self.corpus}/{DATA}/{facts.id}",
                self._montages[facts.montage].tolist(),
                facts.n_patches * self.index["patch_size"],
                self._options,
            )
        return array


def _starts(recording: Recording, window: int) -> list[int]:
    """First patches of the windows of a recording: as many as it has checksums."""
    n_checksums = len(recording.checksums) // 8
    # Before any list is made: the number could be anything.
    if recording.n_patches <= window * (n_checksums + len(recording.left_out) + 1):
        starts = window_starts(recording.n_patches, window, set(recording.left_out))
        if len(starts) == n_checksums:
            return starts
    raise ValueError(f"{recording.id} has {n_checksums} checksums, which are not its windows")
