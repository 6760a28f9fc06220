# License: BSD-3-Clause
"""One writer at a time in the folder of a corpus or of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def only_writer(folder: Path, doing: str, *, seconds: float = 0.0) -> Iterator[None]:
    """Keep others from writing, after at most so many seconds; the lock ends with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        raise ValueError(f"{folder}: another process is {doing}.") from None
    try:
        yield
    finally:
        lock.release()
