# License: BSD-3-Clause
"""What the command line says while it works and when something is wrong."""

from __future__ import annotations

import sys
import time
from threading import Event, Thread
from typing import Self

PROGRAM = "mne-neurorvq"
# Seconds, at most, without a word.
_SILENCE = 8.0


def one_line(error: BaseException) -> str:
    """Bring the message of an error onto one line.

    >>> one_line(ValueError())
    'ValueError'
    """
    return " ".join(str(error).split()) or type(error).__name__


class Watch:
    """Say every few seconds what a command is doing, into a terminal or a log.

    >>> with Watch("reading") as watch:
    ...     watch.step = "computing"
    """

    def __init__(self, step: str = "") -> None:
        self.step = step
        self._over = Event()
        self._thread = Thread(target=self._talk, daemon=True)

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _talk(self) -> None:
        from tqdm import tqdm

        while not self._over.wait(_SILENCE):
            # Above the progress bar, where there is one.
            seconds = time.perf_counter() - self._start
            tqdm.write(f"{PROGRAM}: {seconds:.0f} s, {self.step}", file=sys.stderr)
            sys.stderr.flush()
