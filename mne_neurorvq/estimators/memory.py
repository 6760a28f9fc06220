# License: BSD-3-Clause
"""Where outputs of frozen models are kept: in this process, within a bound, or in a folder."""

from __future__ import annotations

from collections import OrderedDict
from os import PathLike, fspath
from threading import Lock
from typing import Any, ClassVar, Protocol

import joblib
import numpy as np
from numpy.typing import NDArray

#: The parameter ``memory`` of transformers.
Memory = str | PathLike[str] | joblib.Memory | None
#: What is kept of one trial.
Values = tuple[NDArray[Any], ...]
# Bytes of an entry besides its numbers: key, tuple, the arrays' own facts, measured.
_OVERHEAD = 500


class Store(Protocol):
    """Outputs by the digests of what determines them."""

    #: Whether other processes use it at the same time.
    shared: ClassVar[bool]

    def get(self, key: str) -> Values | None:
        """Find the outputs for a trial."""

    def put(self, key: str, values: Values) -> None:
        """Keep the outputs for a trial."""


class ProcessStore:
    """Outputs in the memory of this process; those that were not used for longest go first.

    Parameters
    ----------
    most_bytes : int
        Bytes that are kept at most.
    """

    shared: ClassVar[bool] = False

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.n_bytes = 0
        self._kept: OrderedDict[str, Values] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Values | None:
        """Find the outputs for a trial."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: str, values: Values) -> None:
        """Keep a copy of the outputs for a trial."""
        # An array of one trial would keep the memory of its whole batch.
        copies = tuple(np.array(value) for value in values)
        with self._lock:
            self._forget(key)
            self._kept[key] = copies
            self.n_bytes += _size(copies)
            while self.n_bytes > self.most_bytes:
                self._forget(next(iter(self._kept)))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self.n_bytes = 0

    def _forget(self, key: str) -> None:
        self.n_bytes -= _size(self._kept.pop(key, ()))


class FolderStore:
    """Outputs in the folder of a joblib.Memory, which processes share.

    Parameters
    ----------
    memory : joblib.Memory
        Says where and how.
    """

    shared: ClassVar[bool] = True

    def __init__(self, memory: joblib.Memory) -> None:
        self._call = memory.cache(keep_outputs, ignore=["values"])

    def get(self, key: str) -> Values | None:
        """Find the outputs for a trial."""
        if not self._call.check_call_in_cache(key, None):
            return None
        try:
            found: Values = self._call(key, None)
        except KeyError:  # removed, or damaged
            return None
        return found

    def put(self, key: str, values: Values) -> None:
        """Keep the outputs for a trial."""
        self._call(key, values)


#: What estimators with ``memory="auto"`` share.
IN_PROCESS = ProcessStore(2**29)


def keep_outputs(key: str, values: Values | None) -> Values:
    """Give what is to be kept; joblib finds it again by the key alone.

    Parameters
    ----------
    key : str
        Digest of what determines the outputs.
    values : tuple of ndarray | None
        Outputs; None if they should be there already.

    Returns
    -------
    tuple of ndarray
        The outputs.

    Raises
    ------
    KeyError
        If there are none.
    """
    if values is None:
        raise KeyError(key)
    return values


def find_store(memory: Any) -> Store | None:
    """Find the store that a parameter names.

    Parameters
    ----------
    memory : "auto" | None | str | path-like | joblib.Memory
        That of this process, none, a folder, or what a ``joblib.Memory`` says.

    Returns
    -------
    Store | None
        The store.

    Raises
    ------
    TypeError
        If it names none.
    """
    if memory is None:
        return None
    if isinstance(memory, str) and memory == "auto":
        return IN_PROCESS
    if isinstance(memory, (str, PathLike)):
        return FolderStore(joblib.Memory(fspath(memory), verbose=0))
    return FolderStore(memory)


def check_memory(memory: Any) -> None:
    """Raise unless a parameter names a store.

    Parameters
    ----------
    memory : object
        The parameter.

    Raises
    ------
    TypeError
        If it names none.
    """
    if not isinstance(memory, (str, PathLike, joblib.Memory, type(None))) or memory == "":
        raise TypeError(f"memory={memory!r} must be 'auto', None, a folder or a joblib.Memory.")


def _size(values: Values) -> int:
    return sum(value.nbytes for value in values) + _OVERHEAD if values else 0
