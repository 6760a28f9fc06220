# License: BSD-3-Clause
"""Files of a folder that belong together: replaced together, and checked when they are read.

The list of the files with their digests, the manifest, is the last to be written and takes its
place in one step. New files wait beside it under hidden names until then, and get their own names
afterwards. A reader in between, or after the writer was killed, finds the files that the manifest
names under one name or the other.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest, sha256
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from .._writing import Saver, is_at, json_text, saving, sha256_of, short, swap
from .errors import CheckpointError

MANIFEST_FILE = "manifest.json"
_FORMAT = 1
_DIGITS = frozenset("0123456789abcdef")
# Each is as long as a reader takes to open some files; a writer needs longer for each save.
_ATTEMPTS = 200
# Tries more where nothing seems to have been replaced, and seconds between them.
_PATIENCE, _PAUSE = 5, 0.02

Result = TypeVar("Result")


class OutdatedError(CheckpointError):
    """A file is not, or no longer, the one that the manifest names."""


_MAY_PASS = (OutdatedError, FileNotFoundError)


class Folder:
    """A folder as its manifest describes it at one moment."""

    def __init__(self, path: Path, manifest: bytes | None) -> None:
        self.path, self._manifest = path, manifest
        self.digests = {} if manifest is None else _parse(manifest, path)

    @classmethod
    def now(cls, path: Path) -> Folder:
        """Describe a folder as it is now."""
        return cls(path, _bytes(path / MANIFEST_FILE))

    @property
    def is_current(self) -> bool:
        """Whether the manifest is still the same."""
        return _bytes(self.path / MANIFEST_FILE) == self._manifest

    def has(self, name: str) -> bool:
        """Whether a file is named, or there without being named."""
        return name in self.digests or (self.path / name).is_file()

    def read(self, name: str, reader: Callable[[Path, str | None], Result]) -> Result:
        """Read a file with a function of its path and its digest, None for one not named.

        The function raises OutdatedError, see :func:`opened`.
        """
        path, digest = self.path / name, self.digests.get(name)
        if digest is None:
            return reader(path, None)
        # It may be moved from the one to the other in just this moment.
        for candidate in (path, _waiting(self.path, name, digest), path):
            if not candidate.is_file():  # reading from a pipe could wait forever
                continue
            try:
                return reader(candidate, digest)
            except (FileNotFoundError, OutdatedError):
                continue
        there = os.path.lexists(path)
        what = "is not the file that was saved" if there else "is missing, but was saved"
        raise OutdatedError(
            f"{path} {what} with the others of {MANIFEST_FILE}: copy or save the whole folder "
            f"anew. If you have changed it yourself, delete {MANIFEST_FILE}, which also gives up "
            "the check of the others."
        )


def read_together(path: Path, reader: Callable[[Folder], Result]) -> Result:
    """Read files of a folder as they were at one moment, even while they are replaced."""
    return read_unchanged(path / MANIFEST_FILE, lambda content: reader(Folder(path, content)))


def read_unchanged(file: Path, reader: Callable[[bytes | None], Result]) -> Result:
    """Read the files that a file names, and start over if it was replaced meanwhile."""
    patience = _PATIENCE
    for _ in range(_ATTEMPTS):
        content = _bytes(file)
        try:
            result = reader(content)
        except (OSError, ValueError) as error:
            if _bytes(file) == content:
                # The same model may have been saved again, or another one in between.
                if content is None or not patience or not isinstance(error, _MAY_PASS):
                    raise
                patience -= 1
                time.sleep(_PAUSE)
        else:
            if _bytes(file) == content:
                return result
    raise CheckpointError(f"{file} is written again and again: wait for the end of that.")


def read_file(path: Path, name: str) -> bytes | None:
    """Read one file of a folder, None if there is none; as :func:`read_together`."""
    return read_together(
        path, lambda folder: folder.read(name, read_checked) if folder.has(name) else None
    )


def every_file(folder: Folder) -> dict[str, bytes]:
    """Read all that is named, or, without a manifest, all that is there."""
    names = list(folder.digests) or [
        file.name
        for file in folder.path.iterdir()
        if file.is_file() and not file.name.startswith(".")
    ]
    return {name: folder.read(name, read_checked) for name in names}


def read_checked(path: Path, digest: str | None) -> bytes:
    """Read a file and compare its digest, if one is given."""
    content = path.read_bytes()
    if digest is not None and sha256(content).hexdigest() != digest:
        raise OutdatedError(f"{path} has another digest.")
    return content


@contextmanager
def opened(path: Path, digest: str | None) -> Iterator[BinaryIO]:
    """Open a file, and see in the end that its path still leads to it."""
    with path.open("rb") as file:
        if digest is not None and file_digest(file, "sha256").hexdigest() != digest:
            raise OutdatedError(f"{path} has another digest.")
        file.seek(0)
        try:
            yield file
        except Exception as error:
            if not is_at(file.fileno(), path):  # the file is not to blame
                raise OutdatedError(f"{path} has been replaced.") from error
            raise
        if not is_at(file.fileno(), path):
            raise OutdatedError(f"{path} has been replaced.")


@contextmanager
def saving_together(path: Path) -> Iterator[Together]:
    """Save files of a folder together: when the block ends, all are replaced or none."""
    path.mkdir(parents=True, exist_ok=True)
    with saving(path, MANIFEST_FILE) as saver:
        together = Together(saver)
        try:
            yield together
            together.commit()
        except BaseException:
            if not together.counts:
                saver.clean()
            raise
        together.move()


class Together:
    """Files that are about to be saved together."""

    def __init__(self, saver: Saver) -> None:
        self._saver = saver
        self._new: dict[str, str] = {}
        self._manifest: bytes | None = None
        try:
            self.before = Folder.now(saver.folder)
        except CheckpointError:  # a damaged manifest is replaced by a new one
            self.before = Folder(saver.folder, None)
        # What a killed process has left: its files count already, or they do not.
        _move(saver.folder, self.before.digests)
        saver.clean()

    @property
    def files(self) -> list[str]:
        """Names of the files in the folder, except those that saving itself uses."""
        own = f".{short(MANIFEST_FILE)}."
        return sorted(f.name for f in self._saver.folder.iterdir() if not f.name.startswith(own))

    def add(self, name: str, content: bytes) -> None:
        """Take a file."""
        digest = sha256(content).hexdigest()
        part = self._saver.part()
        part.write_bytes(content)
        # The manifest that is there may mean a file of this name: it is never there in part.
        swap(part, self._saver.part(_mark(name, digest)))
        self._new[name] = digest

    def keep(self, names: Iterable[str]) -> None:
        """Take in files that are in the folder; those of the old manifest keep their digests."""
        for name in names:
            file = self._saver.folder / name
            if name not in self._new and file.is_file():
                digest = self.before.digests.get(name)
                self._new[name] = digest or sha256(file.read_bytes()).hexdigest()

    def commit(self) -> None:
        """Put the new manifest in its place: from now on the new files count."""
        record = {
            "format": _FORMAT,
            "written_by": f"mne_neurorvq {version('mne_neurorvq')}",
            "sha256": dict(sorted(self._new.items())),
        }
        part = self._saver.part()
        self._manifest = json_text(record).encode("utf-8")
        part.write_bytes(self._manifest)
        swap(part, self._saver.folder / MANIFEST_FILE)

    @property
    def counts(self) -> bool:
        """Whether the new manifest is in its place."""
        there = _bytes(self._saver.folder / MANIFEST_FILE)
        return there is not None and there == self._manifest

    def move(self) -> None:
        """Give the new files their own names."""
        _move(self._saver.folder, self._new)


def _move(folder: Path, digests: Mapping[str, str]) -> None:
    for name, digest in digests.items():
        part = _waiting(folder, name, digest)
        # No other than that which is meant takes the place of a file.
        if part.is_file() and sha256_of(part) == digest:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            swap(part, folder / name)


def _waiting(folder: Path, name: str, digest: str) -> Path:
    """Path of a file before it gets its own name."""
    return folder / f".{short(MANIFEST_FILE)}.{_mark(name, digest)}.part"


def _mark(name: str, digest: str) -> str:
    return short(f"{name} {digest}")


def _bytes(path: Path) -> bytes | None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(
                f"{path} is not a file but a folder, a pipe or a device: remove it."
            )
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _parse(manifest: bytes, folder: Path) -> dict[str, str]:
    """Read names and digests, which may be anything: no name leads out of the folder."""
    try:
        record = json.loads(manifest.decode("utf-8"))
        if record["format"] != _FORMAT:
            raise ValueError(f"its format is {record['format']!r}, this version reads {_FORMAT}")
        digests: Mapping[str, str] = record["sha256"]
        for name, digest in digests.items():
            inside = PurePosixPath(name)
            if inside.is_absolute() or ".." in inside.parts or set("\\:\0") & set(name) or not name:
                raise ValueError(f"{name!r} is not the name of a file in the folder")
            if len(digest) != 64 or not set(digest) <= _DIGITS:
                raise ValueError(f"{digest!r} is not a digest")
        return dict(digests)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{folder / MANIFEST_FILE} is not a list of the files of this folder ({error}): copy "
            "or save the folder again, or delete it if you trust the files."
        ) from error
