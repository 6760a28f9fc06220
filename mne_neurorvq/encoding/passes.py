# License: BSD-3-Clause
"""Frozen models over trials, in full passes as large as memory allows, and none computed twice."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from tempfile import TemporaryFile
from typing import Any

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

Arrays = tuple[NDArray[Any], ...]
#: From segments ``(size, n_channels, n_times)`` and rows of the vocabulary to tensors (size, ...).
Forward = Callable[[list[Tensor], Tensor], Tensor | Sequence[Tensor]]
# Forward passes worth of trials that are read and resampled at a time.
_PASSES_PER_READ = 16
# Bytes of an array that is held in memory.
_IN_MEMORY = 2**31
# Seconds of work after which a progress bar appears by itself.
_PATIENCE = 3.0
# Whether torch sees a device of a type.
_ACCELERATORS: dict[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "xpu": torch.xpu.is_available,
}


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
    passes = Passes(forward, torch.tensor(channels, device=device), size, bf16)
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
            for part, values in passes.over(batch):
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
    """A model over parts of batches of ``size`` trials or, where memory does not suffice, of fewer.

    A part of fewer is filled up with its last one (not to decode): matrix products of other shapes
    round differently, and a code at a near tie could then depend on how many trials were passed.
    """

    forward: Forward
    rows: Tensor
    size: int
    bf16: bool = False
    fill: bool = True

    def over(self, batch: Batch) -> Iterator[tuple[slice, Arrays]]:
        """Compute successive parts of a batch, and what does not fit into memory in halves.

        A part may end behind the batch. Once parts have become smaller they stay so, with a
        warning.
        """
        device, n_trials, start = self.rows.device, len(batch[0]), 0
        while start < n_trials:
            part = slice(start, start + self.size)
            filling = max(0, part.stop - n_trials) if self.fill else 0
            given = [torch.from_numpy(array[part]) for array in batch]
            if filling:
                given = [torch.cat((x, x[-1:].expand(filling, *x.shape[1:]))) for x in given]
            try:
                if device.type == "cuda":  # from pinned memory they go beside other work
                    given = [x.pin_memory().to(device, non_blocking=True) for x in given]
                given = [x.to(device) for x in given]
                with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, self.bf16):
                    found = self.forward(given, self.rows)
                outputs = (found,) if isinstance(found, Tensor) else found
                values = tuple(
                    (x.float() if x.is_floating_point() else x).cpu().numpy()[: n_trials - start]
                    for x in outputs
                )
            except torch.OutOfMemoryError:
                if self.size == 1:
                    raise
                self.size //= 2
                warn(
                    f"{part.stop - part.start} trials at a time do not fit into memory: going on "
                    f"with {self.size}. Set batch_size={self.size} to begin with that."
                )
                continue
            yield part, values
            start = part.stop


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


def progress(total: int, verbose: bool | None, unit: str = "trial") -> tqdm:
    """Make a bar to enter and update; None shows it to who watches when the work takes long.

    Nobody watches logs and CI, nor wants to where MNE is quiet.
    """
    if verbose is None:
        in_notebook = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
        watched = (in_notebook or sys.stderr.isatty()) and not os.environ.get("CI")
        disable = not watched or logger.level > logging.INFO
    else:
        disable = not verbose
    return tqdm(total=total, unit=unit, delay=0.0 if verbose else _PATIENCE, disable=disable)


def resolve_device(device: str) -> torch.device:
    """Choose where to compute, or raise ValueError if it is not possible there.

    ``"auto"`` takes CUDA where it is there, otherwise the CPU; ``"accelerate"`` the GPU of this
    one of several processes, otherwise the CPU; other names are those of torch. A number comes with
    it: "cuda" and "cuda:0" are one device.
    """
    name = device
    if device in ("auto", "accelerate"):
        gpu = f":{os.environ.get('LOCAL_RANK', 0)}" if device == "accelerate" else ""  # by torchrun
        name = f"cuda{gpu}" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device={device!r} is not 'auto' or a torch device.") from error
    is_available = _ACCELERATORS.get(chosen.type)
    if is_available is not None and not is_available():
        raise ValueError(
            f"device={device!r}, but torch sees no {chosen.type.upper()} device: use device='auto'."
        )
    try:
        probe = torch.empty(1, device=chosen)
        probe.cpu()
    except (RuntimeError, NotImplementedError) as error:
        # The first sentence is enough: torch continues for pages.
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"device={device!r} does not work: {reason}. Use device='auto'."
        ) from error
    return probe.device
