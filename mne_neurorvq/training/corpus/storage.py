# License: BSD-3-Clause
"""The folder of a corpus, to add to.

The journal has the last word: an array that it does not name is the rest of a run that was killed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

import fsspec

from ..._sealed import seal
from ..._writing import remove, write_json
from .format import (
    DATA,
    INDEX,
    INDEX_REMEDY,
    JOURNAL,
    SETTINGS,
    SUMMARY,
    Entry,
    unseal,
    window_starts,
)
from .zarr_arrays import from_text, open_array, read_window, what_is_lost

_TEMPORARY = "tmp"
# What a run leaves in the folder of arrays: names that end with a digest.
_OURS = re.compile(r".*-[0-9a-f]{16}")


class CorpusFolder:
    """A corpus on this machine, to add to."""

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

    def settings(self) -> dict[str, Any] | None:
        """Read the settings that the corpus was begun with; None in a new folder."""
        for name in (SETTINGS, JOURNAL, INDEX, SUMMARY):
            if (self.path / name).exists() and not (self.path / name).is_file():
                raise ValueError(
                    f"{self.path / name} is not a file: remove it, and take the file from a copy "
                    "of the corpus."
                )
        path = self.path / SETTINGS
        if path.exists():
            remedy = "take it from a copy of the corpus, or prepare another folder."
            return unseal(path.read_bytes(), str(path), remedy)
        others = sorted(p.name for p in self.path.iterdir() if not p.name.startswith("."))
        if others:
            raise ValueError(
                f"{self.path} has files ({', '.join(others[:3])}) but no {SETTINGS}: it is not "
                "a corpus. Name a new folder."
            )
        return None

    def check_settings(self, settings: dict[str, Any]) -> None:
        """Write the settings, or compare them with those that the corpus was begun with."""
        begun = self.settings()
        if begun is None:
            write_json(self.path / SETTINGS, seal(settings))
            return
        wanted = json.loads(json.dumps(settings))
        differing = [k for k in {**begun, **wanted} if begun.get(k) != wanted.get(k)]
        if differing:
            changes = "; ".join(f"{k}: {begun.get(k)!r}, now {wanted.get(k)!r}" for k in differing)
            raise ValueError(
                f"{self.path} was begun with other settings ({changes}): take the same, or another "
                "folder."
            )

    def index(self) -> dict[str, Any] | None:
        """Read the index; None before the first run has ended."""
        path = self.path / INDEX
        return unseal(path.read_bytes(), str(path), INDEX_REMEDY) if path.exists() else None

    def journal(self) -> dict[str, Entry]:
        """Read what has been dealt with; of each path the last line counts."""
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
                f"{path} has lost lines: {INDEX} has {lost[0]}"
                f"{f' and {len(lost) - 1} more' if lost[1:] else ''}, of which "
                f"{path} says nothing. Take it from a copy of the corpus, or delete {INDEX}: the "
                "same command then prepares these recordings again."
            )
        return entries

    def indexed(self) -> set[str]:
        """Name the recordings that training reads."""
        return {row[0] for row in (self.index() or {"recordings": ()})["recordings"]}

    def _whole_lines(self) -> tuple[Path, bytes]:
        """Read the journal, but for a line that a run was writing when it was killed."""
        path = self.path / JOURNAL
        text = path.read_bytes() if path.exists() else b""
        return path, text[: text.rfind(b"\n") + 1]

    def check_reachable(self, entries: Mapping[str, Entry]) -> None:
        """Raise if no array at all can be read: a disk that is not connected is not lost data."""
        data = self.path / DATA
        named = [entry.id for entry in entries.values() if entry.status == "done"]
        if os.path.lexists(data) and not data.is_dir():
            problem = "is not a folder, or a link to one that is not there"
        elif named and not any(self.array(one).exists() for one in named):
            problem = f"has none of the {len(named)} arrays that {JOURNAL} names"
        else:
            return
        raise ValueError(
            f"{data} {problem}: connect its disk. If they are lost, delete {DATA}, {JOURNAL} and "
            f"{INDEX} in {self.path}, and the same command prepares everything again."
        )

    def damage(self, entry: Entry, patch_size: int, window: int, *, verify: bool) -> str:
        """Say what is lost of a recording (nothing: empty); ``verify`` reads all of its windows."""
        where = str(self.array(entry.id))
        lost = what_is_lost(fsspec.filesystem("file"), where, entry.files)
        if lost or not verify:
            return lost
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
        """Make a recording part of the corpus: its array first, then its line."""
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
        """Remove what is not named: the rest of a killed run, and recordings that have changed.

        What the index names stays as well: training may be reading it. So do files of others, which
        are returned.
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
