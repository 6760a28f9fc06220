# License: BSD-3-Clause
"""The passes of a model over a batch: full ones, as large as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from .._warnings import warn

T = TypeVar("T")


def full(segment: NDArray[Any], size: int) -> Tensor:
    """Fill up a batch by repeating its last trial.

    Matrix products of other shapes round differently, and a code at a near tie could then depend
    on how many trials were passed.

    Parameters
    ----------
    segment : ndarray, shape (n_trials, n_channels, n_times)
        No more than ``size`` trials.
    size : int
        Trials of a full batch.

    Returns
    -------
    Tensor, shape (size, n_channels, n_times)
        The batch.
    """
    window = torch.from_numpy(segment)
    missing = size - len(window)
    return torch.cat((window, window[-1:].expand(missing, -1, -1))) if missing else window


def place(window: Tensor, device: torch.device) -> Tensor:
    """Put a batch on a device; to a GPU it goes from pinned memory, beside other work.

    Parameters
    ----------
    window : Tensor
        On the CPU.
    device : torch.device
        Where to.

    Returns
    -------
    Tensor
        The same on the device.
    """
    if device.type != "cuda":
        return window.to(device)
    return window.pin_memory().to(device, non_blocking=True)


class Passes:
    """Parts of batches: as large as asked for or, where memory does not suffice, smaller.

    Parameters
    ----------
    size : int
        Trials at a time.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def over(self, n_trials: int, compute: Callable[[slice, int], T]) -> Iterator[tuple[slice, T]]:
        """Compute successive parts of a batch; what does not fit into memory in halves.

        Parameters
        ----------
        n_trials : int
            Trials of the batch.
        compute : callable
            From the place of a part, which may end behind the batch, and the number of trials of
            a full one to what is wanted of it.

        Yields
        ------
        tuple
            Place and outputs of each part.

        Warns
        -----
        UserWarning
            When parts become smaller, which they then stay.
        """
        start = 0
        while start < n_trials:
            part = slice(start, start + self._size)
            try:
                outputs = compute(part, self._size)
            except torch.OutOfMemoryError:
                if self._size == 1:
                    raise
                self._size //= 2
                warn(
                    f"{part.stop - part.start} trials at a time do not fit into memory: going on "
                    f"with {self._size}. Set batch_size={self._size} to begin with that."
                )
                continue
            yield part, outputs
            start = part.stop
