# License: BSD-3-Clause
"""Where a corpus lies: settings, journal, index, and one Zarr array for each recording.

::

    corpus.json          settings, written once; another run must have the same
    recordings.jsonl     journal: one line for each recording that was dealt with, appended
    data/<recording>/    Zarr v3 array (n_channels, n_times) of int16, sharded, with checksums
    index.json           what training reads: subjects, montages, recordings
    summary.json         what a person reads

The journal has the last word: an array that it does not name is the rest of a run that was killed.
Settings, index and each line of the journal carry a digest of themselves.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple

import fsspec
from filelock import FileLock, Timeout

from ..._sealed import seal
from ..._writing import remove, write_json
from .arrays import from_text, open_array, read_window, what_is_lost
from .sealed import unseal

SETTINGS, JOURNAL, INDEX, SUMMARY = "corpus.json", "recordings.jsonl", "index.json", "summary.json"
DATA, _TEMPORARY, _LOCK = "data", "tmp", ".lock"
INDEX_REMEDY = (
    "delete it, and the 'mne-neurorvq prepare' command that made the corpus writes it again."
)
# What a run leaves in the folder of arrays: names that end with a digest.
_OURS = re.compile(r".*-[0-9a-f]{16}")

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
    files : dict of str to int
        Bytes of each file of its array.
    checksums : str
        Those of its windows, eight digits each.
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
    files: dict[str, int] = field(default_factory=dict)
    checksums: str = ""

    @property
    def left_out(self) -> set[int]:
        """Numbers of the windows left out."""
        return {number for numbers in self.lost.values() for number in numbers}

    @property
    def signals(self) -> str:
        """What only recordings with the same signals have in common."""
        return self.id.rpartition("-")[2]


class Recording(NamedTuple):
    """What training has to know of a recording: a row of the index."""

    id: str
    subject: str
    montage: int
    n_patches: int
    left_out: list[int]
    files: dict[str, int]
    checksums: str


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

    def settings(self) -> dict[str, Any] | None:
        """Read the settings that the corpus was begun with.

        Returns
        -------
        dict | None
            Settings; None in a new folder.

        Raises
        ------
        ValueError
            If they are damaged, or of another version, or if the folder has other files and is no
            corpus, or something that is no file in the place of one.
        """
        for name in (SETTINGS, JOURNAL, INDEX, SUMMARY):
            if (self.path / name).exists() and not (self.path / name).is_file():
                raise ValueError(
                    f"{self.path / name} is no file: remove it, and take the file from a copy of "
                    "the corpus."
                )
        path = self.path / SETTINGS
        if path.exists():
            remedy = "take it from a copy of the corpus, or prepare another folder."
            return unseal(path.read_bytes(), str(path), remedy)
        others = sorted(p.name for p in self.path.iterdir() if not p.name.startswith("."))
        if others:
            raise ValueError(
                f"{self.path} has files ({', '.join(others[:3])}) but no {SETTINGS}: it is no "
                "corpus. Name a new folder."
            )
        return None

    def check_settings(self, settings: dict[str, Any]) -> None:
        """Write the settings, or compare them with those that the corpus was begun with.

        Parameters
        ----------
        settings : dict
            JSON-able settings.

        Raises
        ------
        ValueError
            If they differ.
        """
        begun = self.settings()
        if begun is None:
            write_json(self.path / SETTINGS, seal(settings))
            return
        wanted = json.loads(json.dumps(settings))
        differing = [k for k in {**begun, **wanted} if begun.get(k) != wanted.get(k)]
        if differing:
            told = "; ".join(f"{k}: {begun.get(k)!r}, now {wanted.get(k)!r}" for k in differing)
            raise ValueError(
                f"{self.path} was begun with other settings ({told}): take the same, or another "
                "folder."
            )

    def index(self) -> dict[str, Any] | None:
        """Read the index.

        Returns
        -------
        dict | None
            Index; None if no run has come to its end.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        path = self.path / INDEX
        return unseal(path.read_bytes(), str(path), INDEX_REMEDY) if path.exists() else None

    def journal(self) -> dict[str, Entry]:
        """Read what has been dealt with; of each path the last line counts.

        Returns
        -------
        dict of str to Entry
            By path.

        Raises
        ------
        ValueError
            If a line is damaged, or those of recordings that the index names are lost.
        """
        path, whole = self._whole_lines()
        entries: dict[str, Entry] = {}
        seen = set()
        remedy = f"delete this line and {INDEX}, and the same command prepares its recording again."
        for number, line in enumerate(whole.splitlines(), 1):
            raw = unseal(line, f"{path}, line {number},", remedy)
            entry = Entry(**{**raw, **{k: tuple(raw[k]) for k in ("rows", "names")}})
            entries[entry.path] = entry
            seen.add(entry.id)
        lost = sorted(self.indexed() - seen)
        if lost:
            # Their arrays would count as the rest of a run that was killed.
            raise ValueError(
                f"{path} has lost lines: {INDEX} names {lost[0]}"
                f"{f' and {len(lost) - 1} more' if lost[1:] else ''}, which it does not. Take it "
                f"from a copy of the corpus, or delete {INDEX}, and the same command prepares "
                "what it does not name again."
            )
        return entries

    def indexed(self) -> set[str]:
        """Name the recordings that training reads; none before the first run has ended."""
        return {row[0] for row in (self.index() or {"recordings": ()})["recordings"]}

    def _whole_lines(self) -> tuple[Path, bytes]:
        """Read the journal, but for a line that a run was writing when it was killed."""
        path = self.path / JOURNAL
        text = path.read_bytes() if path.exists() else b""
        return path, text[: text.rfind(b"\n") + 1]

    def check_reachable(self, entries: Mapping[str, Entry]) -> None:
        """Tell a disk that is away from arrays that are lost.

        Parameters
        ----------
        entries : mapping of str to Entry
            What :meth:`journal` returned.

        Raises
        ------
        ValueError
            If there is no array at all, though entries name some.
        """
        data = self.path / DATA
        named = [entry.id for entry in entries.values() if entry.status == "done"]
        if os.path.lexists(data) and not data.is_dir():
            told = "is no folder, or a link to one that is not there"
        elif named and not any(self.array(one).exists() for one in named):
            told = f"has none of the {len(named)} arrays that {JOURNAL} names"
        else:
            return
        raise ValueError(
            f"{data} {told}: connect its disk. If they are lost, delete {DATA}, {JOURNAL} and "
            f"{INDEX} in {self.path}, and the same command prepares everything again."
        )

    def damage(self, entry: Entry, patch_size: int, window: int, *, verify: bool) -> str:
        """Say what is lost of a recording in the corpus.

        Parameters
        ----------
        entry : Entry
            The recording.
        patch_size : int
            Samples of a patch.
        window : int
            Patches of a window.
        verify : bool
            Whether to read all windows; else, to look for the files only.

        Returns
        -------
        str
            Words; none if nothing is.
        """
        where = str(self.array(entry.id))
        told = what_is_lost(fsspec.filesystem("file"), where, entry.files)
        if told or not verify:
            return told
        try:
            array = open_array(where, entry.rows, entry.n_patches * patch_size)
            starts = window_starts(entry.n_patches, window, entry.left_out)
            for start, checksum in zip(starts, from_text(entry.checksums), strict=True):
                stop = min(start + window, entry.n_patches)
                read_window(array, start * patch_size, stop * patch_size, int(checksum))
        except ValueError as error:
            return str(error)
        return ""

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
            # Signals that are there already: only the time of their file has changed.
            remove(target)
            # Not os.replace: the arrays may be a link to another disk.
            shutil.move(self.temporary(entry.path), target)
        with (self.path / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(seal(asdict(entry))) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def clean(self, entries: dict[str, Entry]) -> list[Path]:
        """Remove what is not named: the rests of a killed run, and files that have changed.

        What the index names stays as well: training may be reading it.

        Parameters
        ----------
        entries : dict of str to Entry
            What :meth:`journal` returned.

        Returns
        -------
        list of Path
            What lies among the arrays and is none: it stays.
        """
        path, whole = self._whole_lines()
        if path.exists():
            os.truncate(path, len(whole))
        shutil.rmtree(self.path / _TEMPORARY, ignore_errors=True)
        named = {entry.id for entry in entries.values() if entry.status == "done"}
        named |= self.indexed()
        data = self.path / DATA
        foreign = []
        for found in sorted(data.iterdir()) if data.exists() else ():
            if found.name in named:
                continue
            if _OURS.fullmatch(found.name) and found.is_dir() and not found.is_symlink():
                shutil.rmtree(found)
            else:
                foreign.append(found)
        return foreign

    def size(self, recording: str) -> int:
        """Bytes of a recording's array."""
        files = self.array(recording).rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())
