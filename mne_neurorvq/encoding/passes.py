# License: BSD-3-Clause
"""A model over trials, in full passes as large as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .._warnings import warn
from .matched_trials import Inputs
from .progress import progress

T = TypeVar("T")
_Arrays = tuple[NDArray[np.generic], ...]
# Forward passes worth of trials that are read and resampled at a time.
_PASSES_PER_READ = 16
# Models in use: where they are, and by how many.
_USED: WeakKeyDictionary[nn.Module, tuple[torch.device, int]] = WeakKeyDictionary()
_MOVING = Condition()


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


def run_batches(
    model: nn.Module,
    forward: Callable[[list[Tensor], Tensor], tuple[Tensor, ...]],
    inputs: Inputs,
    *,
    device: torch.device,
    batch_size: int,
    verbose: bool | None,
    bf16: bool = False,
) -> Iterator[tuple[NDArray[np.generic], ...]]:
    """Apply a model to all trials, one batch of them at a time.

    Parameters
    ----------
    model : nn.Module
        The model; it is moved to ``device`` for the time of the loop.
    forward : callable
        From what ``inputs`` gives of a batch, each ``(batch, n_channels, ...)``, and channel rows
        to a tuple of tensors.
    inputs : Inputs
        Trials matched to the model.
    device : torch.device
        Where to compute.
    batch_size : int
        Trials per batch; where they do not fit into memory, half as many from there on.
    verbose : bool | None
        Whether to show a progress bar; None shows it in a terminal when the work takes long.
    bf16 : bool
        Whether to compute under bfloat16 autocast.

    Yields
    ------
    tuple of ndarray
        What ``forward`` returned for a batch of trials.
    """
    rows = torch.tensor(inputs.rows, device=device)
    passes = Passes(batch_size)
    with on_device(model, device), progress(len(inputs.trials), verbose) as bar:
        for segments in inputs.batches(batch_size * _PASSES_PER_READ):

            def compute(part: slice, size: int, segments: list[NDArray[Any]] = segments) -> _Arrays:
                windows = [place(full(segment[part], size), device) for segment in segments]
                with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, bf16):
                    outputs = forward(windows, rows)
                return tuple(_to_numpy(output) for output in outputs)

            n_trials = len(segments[0])
            for part, outputs in passes.over(n_trials, compute):
                if part.stop - part.start < batch_size and inputs.sieve is not None:
                    inputs.sieve.halve()
                n_new = min(part.stop, n_trials) - part.start
                yield tuple(output[:n_new] for output in outputs)
                bar.update(n_new)


@contextmanager
def on_device(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Have the model on a device for a while.

    Estimators keep their models on the CPU: they pickle to machines without a GPU. They share
    them, too: the last one that uses a model brings it back, and who needs it on another device
    waits until then.
    """
    with _MOVING:
        _MOVING.wait_for(lambda: model not in _USED or _USED[model][0] == device)
        try:
            model.to(device)
        except BaseException:
            model.to("cpu")
            raise
        _USED[model] = device, _USED.get(model, (device, 0))[1] + 1
    try:
        yield
    finally:
        with _MOVING:
            n_others = _USED.pop(model)[1] - 1
            if n_others:
                _USED[model] = device, n_others
            else:
                model.to("cpu")
                _MOVING.notify_all()


def _to_numpy(tensor: Tensor) -> NDArray[np.generic]:
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
