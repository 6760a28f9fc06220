# License: BSD-3-Clause
"""Frozen models over trials, in full passes as large as memory allows, and none computed twice."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from tempfile import TemporaryFile
from typing import Any, TypeVar

import numpy as np
import torch
from mne.utils import logger
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from .._warnings import warn
from .matched_trials import MatchedTrials
from .memory import Store, key_of
from .scaling import Batch

T = TypeVar("T")
Arrays = tuple[NDArray[Any], ...]
#: From segments ``(size, n_channels, n_times)`` and rows of the vocabulary to tensors (size, ...).
Forward = Callable[[list[Tensor], Tensor], Tensor | Sequence[Tensor]]
# Forward passes worth of trials that are read and resampled at a time.
_PASSES_PER_READ = 16
# Bytes of an array that is held in memory.
_IN_MEMORY = 2**31
# Seconds of work after which a progress bar appears by itself.
_PATIENCE = 3.0


def compute(
    matched: MatchedTrials,
    forward: Forward,
    *,
    device: torch.device,
    batch_size: int | str = "auto",
    verbose: bool | None,
    bf16: bool = False,
    finish: Callable[[Arrays], Arrays] | None = None,
    store: Store | None = None,
    determined_by: str = "",
) -> Arrays:
    """Compute the outputs for all trials, but for those that a store has already.

    Trials are prepared in batches; those whose outputs are in the store are left out; the others
    pass the model and ``finish``, which must not mix trials, and their outputs are stored.
    ``determined_by`` is what determines them besides the inputs of the model, see
    :func:`~mne_neurorvq.encoding.memory.describe_model`.
    """
    picks, channels = matched.used
    n_trials, n_patches = matched.trials.n_trials, max(matched.segmentation.segments)
    auto = matched.config.trials_per_pass(len(picks), n_patches, device.type)
    size = auto if batch_size == "auto" else int(batch_size)
    # In passes of another size the same trial may be rounded differently.
    prefix = sha256(f"{determined_by} {size} {channels} {matched.segmentation}".encode())
    # Processes that start together would compute the same trials at the same time.
    shuffled = store is not None and store.shared
    outputs: list[NDArray[Any]] = []
    passes, rows = Passes(size), torch.tensor(channels, device=device)
    with progress(n_trials, verbose) as bar:
        for first, batch in matched.batches(size * _PASSES_PER_READ, shuffled=shuffled):
            trials, keys = np.arange(first, first + len(batch[0])), []
            if store is not None:
                keys = [key_of(prefix, inputs) for inputs in zip(*batch, strict=True)]
                stored = [store.get(key) for key in keys]
                for i, kept in enumerate(stored):
                    if kept is not None:
                        values = tuple(value[None] for value in kept)
                        write(outputs, n_trials, trials[i : i + 1], values)
                left = [i for i, kept in enumerate(stored) if kept is None]
                if len(left) < len(trials):
                    bar.update(len(trials) - len(left))
                    trials, keys = trials[left], [keys[i] for i in left]
                    batch = [part[left] for part in batch]
            run = partial(run_pass, forward, batch, rows, bf16)
            for part, values in passes.over(len(trials), run):
                values = values if finish is None else finish(values)
                write(outputs, n_trials, trials[part], values)
                # Passes that became smaller for want of memory are not those of the keys.
                if store is not None and passes.size == size:
                    for key, one in zip(keys[part], zip(*values, strict=True), strict=True):
                        store.put(key, one)
                bar.update(len(values[0]))
    return tuple(outputs)


@dataclass
class Passes:
    """Parts of batches of ``size`` trials or, where memory does not suffice, of fewer."""

    size: int

    def over(self, n_trials: int, compute: Callable[[slice, int], T]) -> Iterator[tuple[slice, T]]:
        """Compute successive parts of a batch, and what does not fit into memory in halves.

        ``compute`` takes the place of a part, which may end behind the batch, and the number of
        trials of a full one. Once parts have become smaller they stay so, with a warning.
        """
        start = 0
        while start < n_trials:
            part = slice(start, start + self.size)
            try:
                outputs = compute(part, self.size)
            except torch.OutOfMemoryError:
                if self.size == 1:
                    raise
                self.size //= 2
                warn(
                    f"{part.stop - part.start} trials at a time do not fit into memory: going on "
                    f"with {self.size}. Set batch_size={self.size} to begin with that."
                )
                continue
            yield part, outputs
            start = part.stop


def run_pass(
    forward: Forward, batch: Batch, rows: Tensor, bf16: bool, part: slice, size: int
) -> Arrays:
    """Apply a model to a part of a batch on the device of ``rows``, in a pass of ``size`` trials.

    A part of fewer is filled up with its last one: matrix products of other shapes round
    differently, and a code at a near tie could then depend on how many trials were passed.
    """
    device, n_trials = rows.device, len(batch[0][part])
    segments = [torch.from_numpy(array[part]) for array in batch]
    if n_trials < size:
        filling = size - n_trials
        segments = [torch.cat((one, one[-1:].expand(filling, -1, -1))) for one in segments]
    if device.type == "cuda":  # from pinned memory they go beside other work
        segments = [one.pin_memory().to(device, non_blocking=True) for one in segments]
    segments = [one.to(device) for one in segments]
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, bf16):
        found = forward(segments, rows)
    outputs = (found,) if isinstance(found, Tensor) else found
    return tuple(
        (output.float() if output.is_floating_point() else output).cpu().numpy()[:n_trials]
        for output in outputs
    )


def gather(batches: Iterable[NDArray[Any]], n_trials: int) -> NDArray[Any]:
    """Put successive batches ``(n_batch, ...)`` into one array ``(n_trials, ...)``."""
    gathered: list[NDArray[Any]] = []
    start = 0
    for batch in batches:
        write(gathered, n_trials, slice(start, start + len(batch)), (batch,))
        start += len(batch)
    return gathered[0]


def write(
    arrays: list[NDArray[Any]],
    n_trials: int,
    trials: slice | NDArray[np.intp],
    values: tuple[NDArray[Any], ...],
) -> None:
    """Write the values of some trials; the first ones make the arrays ``(n_trials, ...)``.

    Beyond 2 GiB an array lies in a nameless file, which goes when it does.
    """
    for value in () if arrays else values:
        shape = (n_trials, *value.shape[1:])
        if math.prod(shape) * value.itemsize <= _IN_MEMORY:
            arrays.append(np.empty(shape, value.dtype))
            continue
        with TemporaryFile() as scratch:  # the array keeps a handle of its own
            arrays.append(np.memmap(scratch, value.dtype, "w+", shape=shape))
    for array, value in zip(arrays, values, strict=True):
        array[trials] = value


def nobody_watches() -> bool:
    """Whether bars are to stay away by themselves: in logs and in CI, and where MNE is quiet."""
    in_notebook = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
    watched = in_notebook or sys.stderr.isatty()
    return not watched or bool(os.environ.get("CI")) or logger.level > logging.INFO


def progress(total: int, verbose: bool | None, unit: str = "trial") -> tqdm:
    """Make a bar to enter and update; None shows it to who watches when the work takes long."""
    return tqdm(
        total=total,
        unit=unit,
        delay=0.0 if verbose else _PATIENCE,
        disable=nobody_watches() if verbose is None else not verbose,
    )
