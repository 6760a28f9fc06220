# License: BSD-3-Clause
"""Where a corpus lies: settings, journal, index, and one Zarr array for each recording.

::

    corpus.json          settings, written once; another run must have the same
    recordings.jsonl     journal: one line for each recording that was dealt with, appended
    data/<recording>/    Zarr v3 array (n_channels, n_times) of int16, sharded
    index.json           what training reads: subjects, montages, recordings
    summary.json         what a person reads

The journal has the last word: an array that it does not name is the rest of a run that was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from ..._writing import write_json

SETTINGS, JOURNAL, INDEX, SUMMARY = "corpus.json", "recordings.jsonl", "index.json", "summary.json"
DATA, _TEMPORARY, _LOCK = "data", "tmp", ".lock"
# Windows that one shard file holds at most: some 50 MB.
_SHARD_WINDOWS = 256

# What corpora do not say that were begun before it could be anything else.
BEFORE = {"system": "neurorvq"}

Status = Literal["done", "rejected", "failed"]


@dataclass(frozen=True)
class Entry:
    """What became of one recording: a line of the journal.

    Parameters
    ----------
    path : str
        Its file.
    stamp : str
        What tells whether the file has changed since.
    status : "done" | "rejected" | "failed"
        In the corpus; read, but nothing of it can be used; not read.
    reason : str
        Why it is not in the corpus.
    subject, rule : str
        Whose it is, and what said so.
    id : str
        Name in the corpus; the same for the same signals.
    rows : tuple of int
        Vocabulary rows of its channels, or their numbers in the recording.
    names : tuple of str
        Names of its channels where there is no vocabulary.
    n_patches : int
        Length.
    dropped : dict of str to list of str
        Channels left out, by reason.
    lost : dict of str to list of int
        Numbers of the windows left out, by reason.
    """

    path: str
    stamp: str
    status: Status
    reason: str = ""
    subject: str = ""
    rule: str = ""
    id: str = ""
    rows: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    n_patches: int = 0
    dropped: dict[str, list[str]] = field(default_factory=dict)
    lost: dict[str, list[int]] = field(default_factory=dict)

    @property
    def signals(self) -> str:
        """What only recordings with the same signals have in common."""
        return self.id.rpartition("-")[2]


def window_starts(n_patches: int, window_patches: int, lost: set[int]) -> list[int]:
    """First patches of the windows of a recording.

    Windows follow each other from the first patch; the rest is a window too if it has at least
    two patches.

    Parameters
    ----------
    n_patches : int
        Length of the recording.
    window_patches : int
        Length of a window.
    lost : set of int
        Numbers of windows that were rejected.

    Returns
    -------
    list of int
        Starts of the others.

    Examples
    --------
    >>> window_starts(27, 12, lost={1})
    [0, 24]
    """
    last = n_patches - 2
    starts = range(0, last + 1, window_patches)
    return [start for number, start in enumerate(starts) if number not in lost]


def write_array(
    path: Path, counts: NDArray[np.int16], window_times: int, attributes: dict[str, Any]
) -> None:
    """Write the signals of a recording; windows of zeros take no space.

    Parameters
    ----------
    path : Path
        Folder to make.
    counts : array of int16, shape (n_channels, n_times)
        Signals in steps.
    window_times : int
        Samples of a window, which can be read alone.
    attributes : dict
        What the numbers mean.
    """
    n_channels, n_times = counts.shape
    n_windows = min(-(-n_times // window_times), _SHARD_WINDOWS)
    array = zarr.create_array(
        path,
        shape=counts.shape,
        dtype=np.int16,
        chunks=(n_channels, window_times),
        shards=(n_channels, n_windows * window_times),
        compressors=BloscCodec(cname="lz4", clevel=3, shuffle="bitshuffle"),
        dimension_names=("channel", "time"),
        attributes=attributes,
    )
    array[:] = counts


class CorpusFolder:
    """A corpus on this machine, to add to.

    Parameters
    ----------
    path : Path
        Its folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> CorpusFolder(Path("corpus")).array("S001R04-1f0c").as_posix()
    'corpus/data/S001R04-1f0c'
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Workers of a run that was killed may still be writing to theirs.
        self._run = uuid.uuid4().hex[:8]

    def array(self, recording: str) -> Path:
        """Folder of a recording's array."""
        return self.path / DATA / recording

    def temporary(self, path: str) -> Path:
        """Folder to write the array of a file to before it counts."""
        name = blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        return self.path / _TEMPORARY / self._run / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from writing; the lock ends with the process, however it ends.

        Raises
        ------
        ValueError
            If somebody else is writing.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"{self.path}: another process is preparing this corpus.") from None
        try:
            yield
        finally:
            lock.release()

    def check_settings(self, settings: dict[str, Any]) -> None:
        """Write the settings, or compare them with those that the corpus was begun with.

        Parameters
        ----------
        settings : dict
            JSON-able settings.

        Raises
        ------
        ValueError
            If they differ, or if the folder has other files and is no corpus.
        """
        path = self.path / SETTINGS
        if not path.exists():
            others = sorted(p.name for p in self.path.iterdir() if not p.name.startswith("."))
            if others:
                raise ValueError(
                    f"{self.path} has files ({', '.join(others[:3])}) but no {SETTINGS}: it is no "
                    "corpus. Name a new folder."
                )
            write_json(path, settings)
            return
        begun = BEFORE | json.loads(path.read_text(encoding="utf-8"))
        wanted = json.loads(json.dumps(settings))
        differing = [k for k in {**begun, **wanted} if begun.get(k) != wanted.get(k)]
        if differing:
            told = "; ".join(f"{k}: {begun.get(k)!r}, now {wanted.get(k)!r}" for k in differing)
            raise ValueError(
                f"{self.path} was begun with other settings ({told}): take the same, or another "
                "folder."
            )

    def journal(self) -> dict[str, Entry]:
        """Read what has been dealt with; of each path the last line counts.

        Returns
        -------
        dict of str to Entry
            By path.
        """
        path = self.path / JOURNAL
        entries: dict[str, Entry] = {}
        if not path.exists():
            return entries
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            # A run was killed while it wrote this line.
            with path.open("r+b") as file:
                file.truncate(len(whole))
        for line in whole.decode("utf-8").splitlines():
            raw = json.loads(line)
            entry = Entry(**{**raw, **{k: tuple(raw.get(k, ())) for k in ("rows", "names")}})
            entries[entry.path] = entry
        return entries

    def commit(self, entry: Entry) -> None:
        """Make a recording part of the corpus: its array first, then its line.

        Parameters
        ----------
        entry : Entry
            What became of it.
        """
        if entry.status == "done":
            target = self.array(entry.id)
            target.parent.mkdir(exist_ok=True)
            os.replace(self.temporary(entry.path), target)
        with (self.path / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def clean(self, entries: dict[str, Entry]) -> None:
        """Remove what no entry names: the rests of a killed run, and files that have changed.

        Parameters
        ----------
        entries : dict of str to Entry
            What :meth:`journal` returned.
        """
        shutil.rmtree(self.path / _TEMPORARY, ignore_errors=True)
        named = {entry.id for entry in entries.values() if entry.status == "done"}
        data = self.path / DATA
        for folder in data.iterdir() if data.exists() else ():
            if folder.name not in named:
                shutil.rmtree(folder)

    def size(self, recording: str) -> int:
        """Bytes of a recording's array."""
        files = self.array(recording).rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())
