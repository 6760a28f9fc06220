# License: BSD-3-Clause
"""The one writer of files: after a save there is all of the new file, or all of the old one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from ._warnings import warn

_LOCK_SECONDS = 600.0
_POLL_SECONDS = 0.02
# What file systems without locks, or without directories that can be flushed, answer.
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def swap(part: Path, target: Path, *, durable: bool = True) -> None:
    """Put a file that was written beside another in its place, and see that it is on the disk."""
    if durable:
        with part.open("r+b") as file:
            os.fsync(file.fileno())
    os.replace(part, target)
    if durable:
        flush_folder(target.parent)


class Saver:
    """A process that saves a file, or files that belong together, while all others wait.

    ``alone`` says whether the others do wait, which takes a file system with locks.
    """

    def __init__(self, folder: Path, name: str, alone: bool) -> None:
        self.folder, self.alone = folder, alone
        # Not the name itself: with more around it, it could be too long for the file system.
        self._key = short(name)
        self._made: list[Path] = []

    def part(self, mark: str | None = None) -> Path:
        """Give a path beside the files to write to; a mark makes it one that can be found."""
        part = self.folder / f".{self._key}.{mark or uuid.uuid4().hex[:16]}.part"
        self._made.append(part)
        return part

    def place(self, part: Path, target: Path) -> None:
        """Put what was written in the place of a file, with the permissions of that file."""
        with suppress(FileNotFoundError):
            shutil.copymode(target, part)
        swap(part, target)

    def write(self, target: Path, content: bytes) -> None:
        """Write a file beside, then put it in its place."""
        part = self.part()
        part.write_bytes(content)
        self.place(part, target)

    def clean(self) -> None:
        """Remove what was not put in place, by this saver or by one that was killed."""
        # Without locks, other processes may still need their parts.
        for part in self.folder.glob(f".{self._key}.*.part") if self.alone else self._made:
            remove(part)


@contextmanager
def saving(folder: Path, name: str) -> Iterator[Saver]:
    """Wait until nobody else is saving under this name in this folder, then save."""
    with _locked(folder / f".{short(name)}.lock", folder / name) as alone:
        yield Saver(folder, name, alone)


@contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Give a path of the same name to write to; what is there in the end replaces the file.

    Further files written beside it come along, before the named one. A link stays one, to the new
    content, and a file keeps its permissions.
    """
    given, path = path, Path(os.path.realpath(path))
    with saving(path.parent, path.name) as saver:
        saver.clean()
        if not overwrite and path.exists():
            raise FileExistsError(f"{path} exists already: pass overwrite=True to replace it")
        # Some writers derive the format, or further names, from the name of the file.
        part = saver.part()
        try:
            part.mkdir()
            yield part / given.name
            for file in sorted(part.iterdir(), key=lambda file: file.name == given.name):
                target = Path(os.path.realpath(given.parent / file.name))
                if target.parent == path.parent:
                    saver.place(file, target)
                else:  # the link is elsewhere than what it leads to, maybe on another disk
                    with replacing(target) as beside:
                        shutil.copyfile(file, beside)
        finally:
            saver.clean()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file."""
    with replacing(path) as new:
        new.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a file of text in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Any, indent: int | None = 1) -> None:
    """Write JSON-able content."""
    write_text(path, json_text(content, indent))


def json_text(content: Any, indent: int | None = 1) -> str:
    """Give the text of a JSON file."""
    return json.dumps(content, indent=indent) + "\n"


def sha256_of(path: Path) -> str:
    """Give the digest of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def short(name: str) -> str:
    """Give a name of fixed length that follows from another."""
    return sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def flush_folder(folder: Path) -> None:
    """See that the names of a folder are on the disk, where the system can do that."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(handle)


def remove(part: Path) -> None:
    """Remove a file or folder that may be gone already."""
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


@contextmanager
def _locked(lock: Path, target: Path) -> Iterator[bool]:
    """Hold a lock that ends with the process; False where the file system knows none."""
    deadline = time.monotonic() + _LOCK_SECONDS
    try:
        while (handle := _take(lock)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{target} has been locked by another process for {_LOCK_SECONDS:.0f} s: "
                    "see whether it hangs, and try again."
                )
            time.sleep(_POLL_SECONDS)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        if error.errno not in _UNSUPPORTED:
            raise OSError(error.errno, error.strerror, str(target)) from error
        lock.unlink(missing_ok=True)
        warn(f"the file system of {target} has no locks: let one process at a time save there.")
        yield False
        return
    try:
        yield True
    finally:
        # Removed while it is held, so that nobody waits for a file that is gone; Windows does not
        # remove an open file, nor one that another has opened.
        try:
            if sys.platform != "win32":
                lock.unlink(missing_ok=True)
        finally:
            os.close(handle)
        if sys.platform == "win32":
            with suppress(OSError):
                lock.unlink(missing_ok=True)


def _take(lock: Path) -> int | None:
    """Open and lock a file; None if another has it."""
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        if sys.platform == "win32" and lock.exists():  # another is removing it
            return None
        raise
    try:
        # Its last owner may have removed the file that is locked now.
        taken = _try_lock(handle) and is_at(handle, lock)
    except BaseException:
        os.close(handle)
        raise
    if not taken:
        os.close(handle)
        return None
    return handle


def _try_lock(handle: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(handle: int, path: Path) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
