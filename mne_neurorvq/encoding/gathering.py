# License: BSD-3-Clause
"""Arrays of many trials: in memory or, where they are large, in a scratch file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Bytes of an array that is held in memory.
_IN_MEMORY = 2**31


def gather(batches: Iterable[NDArray[Any]], n_trials: int) -> NDArray[Any]:
    """Put successive batches ``(n_batch, ...)`` into one array ``(n_trials, ...)``."""
    gathered: NDArray[Any] | None = None
    start = 0
    for batch in batches:
        if gathered is None:
            gathered = allocate((n_trials, *batch.shape[1:]), batch.dtype)
        gathered[start : start + len(batch)] = batch
        start += len(batch)
    assert gathered is not None
    return gathered


def allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Make an array without values; beyond 2 GiB in a nameless file, which goes when it does."""
    if math.prod(shape) * dtype.itemsize <= _IN_MEMORY:
        return np.empty(shape, dtype)
    with TemporaryFile() as scratch:  # the array keeps a handle of its own
        return np.memmap(scratch, dtype, "w+", shape=shape)
