# License: BSD-3-Clause
"""Each trial once: outputs of frozen models, found again by what determines them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from importlib.metadata import version
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..models import fast
from .device import trials_per_pass
from .gathering import allocate
from .matched_trials import MatchedTrials
from .memory import Store
from .passes import Arrays, Forward, Passes, run
from .progress import progress
from .scaling import Batch

# Forward passes worth of trials that are read and resampled at a time.
_PASSES_PER_READ = 16
# Part of the cache of outputs: weights are not read anew for each call.
_DIGESTS: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def compute(
    matched: MatchedTrials,
    forward: Forward,
    *,
    device: torch.device,
    batch_size: int | str,
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
    :func:`describe_model`.
    """
    picks, channels = matched.used
    n_patches = max(matched.segmentation.segments)
    size = trials_per_pass(batch_size, matched.config, len(picks), n_patches, device)
    # In passes of another size the same trial may be rounded differently.
    prefix = sha256(f"{determined_by} {size} {channels} {matched.segmentation}".encode())
    # Processes that start together would compute the same trials at the same time.
    shuffled = store is not None and store.shared
    outputs, passes = _Outputs(matched.trials.n_trials), Passes(size)
    batches = matched.batches(size * _PASSES_PER_READ, shuffled=shuffled)
    rows = torch.tensor(channels, device=device)
    with progress(matched.trials.n_trials, verbose) as bar:
        for trials, keys, batch in _missing(batches, outputs, store, prefix):
            done = 0
            for values in run(forward, batch, rows, passes, bf16=bf16):
                values = values if finish is None else finish(values)
                part = slice(done, done + len(values[0]))
                outputs.write(trials[part], values)
                # Passes that became smaller for want of memory are not those of the keys.
                if store is not None and passes.size == size:
                    for key, one in zip(keys[part], zip(*values, strict=True), strict=True):
                        store.put(key, one)
                bar.update(len(values[0]))
                done = part.stop
    return outputs.arrays


class _Outputs:
    """Arrays ``(n_trials, ...)`` whose trials are written in any order."""

    def __init__(self, n_trials: int) -> None:
        self.arrays: Arrays = ()
        self._n_trials = n_trials

    def write(self, trials: NDArray[np.intp], values: Arrays) -> None:
        if not self.arrays:
            self.arrays = tuple(allocate((self._n_trials, *v.shape[1:]), v.dtype) for v in values)
        for array, value in zip(self.arrays, values, strict=True):
            array[trials] = value


def _missing(
    batches: Iterable[tuple[int, Batch]], outputs: _Outputs, store: Store | None, prefix: Any
) -> Iterator[tuple[NDArray[np.intp], list[str], Batch]]:
    """Write what the store has to the outputs; yield the other trials, with their keys."""
    for first, batch in batches:
        trials = np.arange(first, first + len(batch[0]))
        if store is None:
            yield trials, [], batch
            continue
        keys = [_key(prefix, batch, i) for i in range(len(trials))]
        kept = [store.get(key) for key in keys]
        for i, values in enumerate(kept):
            if values is not None:
                outputs.write(trials[[i]], tuple(value[None] for value in values))
        left = [i for i, values in enumerate(kept) if values is None]
        if left:
            some = batch if len(left) == len(trials) else [part[left] for part in batch]
            yield trials[left], [keys[i] for i in left], some


def describe_model(model: nn.Module, device: torch.device) -> str:
    """Say what a model computes, to the last bit.

    That is structure, weights, and all that rounding depends on: versions, processor, threads,
    precision, and whether the fast paths are used.
    """
    if device.type == "cuda":
        processor = torch.cuda.get_device_name(device)
    else:
        processor = f"{torch.backends.cpu.get_cpu_capability()} {torch.get_num_threads()}"
    return repr(
        (
            type(model).__qualname__,
            model.config,
            _digest_of_weights(model),
            version("mne-neurorvq"),
            torch.__version__,
            device.type,
            processor,
            fast.enabled(),
            _precision(),
        )
    )


def _key(prefix: Any, batch: Batch, i: int) -> str:
    """Digest of what determines the outputs for a trial of a batch."""
    digest = prefix.copy()
    for part in batch:
        trial = np.ascontiguousarray(part[i])
        digest.update(f"{trial.dtype}{trial.shape}".encode())
        digest.update(trial.data)
    return str(digest.hexdigest())


def _digest_of_weights(model: nn.Module) -> str:
    """Digest of all tensors of a model, which estimators do not change once it is loaded."""
    if model not in _DIGESTS:
        digest = sha256()
        for name, tensor in model.state_dict().items():
            digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().data)
        _DIGESTS[model] = digest.hexdigest()
    return _DIGESTS[model]


def _precision() -> object:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # it was set for each backend apart
        backends: Any = torch.backends
        return [one.matmul.fp32_precision for one in (backends.cuda, backends.mkldnn)]
