# License: BSD-3-Clause
"""The one way in which this package warns: at the line of the user, once."""

from __future__ import annotations

import sys
import warnings
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

# What stands between a user's line and this package: nobody can mend anything there.
_BETWEEN = frozenset(
    "mne_neurorvq sklearn joblib skorch torch braindecode mne moabb lightning contextlib functools "
    "concurrent threading".split()
)
_said_in_run: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
_said_without_a_line: set[str] = set()
_said_for_good: set[str] = set()


def warn(message: str, *, for_good: bool = False) -> None:
    """Give a UserWarning that points at the line of the user's own code.

    The folds of one cross-validation, or the candidates of one search, say the same thing once:
    scikit-learn resets what Python remembers of warnings before each of them. What is so of all
    recordings of a data set, and no other line would mend, is said once in a process, ``for_good``.
    """
    frame: FrameType | None = sys._getframe(1)
    level, run = 2, None
    while frame is not None and _is_between(frame):
        run = _run_in(frame) or run  # the outermost
        frame = frame.f_back
        level += 1
    if frame is None:  # a worker process, where the user has no line
        said = _said_without_a_line
    else:
        said = set() if run is None else _said_in_run.setdefault(run, set())
    if message not in said | _said_for_good:
        said.add(message)
        warnings.warn(message, UserWarning, stacklevel=level)
        if for_good:  # not if it was made an error
            _said_for_good.add(message)


def _is_between(frame: FrameType) -> bool:
    # What MNE's decorators write has no module.
    return _package(frame) in _BETWEEN or frame.f_code.co_filename.startswith("<decorator-gen")


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _run_in(frame: FrameType) -> Any:
    """Find the run of joblib's that a function of scikit-learn has begun, if there is one."""
    if "joblib" not in sys.modules or _package(frame) not in ("sklearn", "joblib"):
        return None
    kind = sys.modules["joblib"].Parallel
    return next((value for value in frame.f_locals.values() if isinstance(value, kind)), None)
