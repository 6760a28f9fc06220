# License: BSD-3-Clause
"""Each trial once: outputs of frozen models, found again by what determines them."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import version
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .device import trials_per_pass
from .gathering import allocate
from .matched_trials import Batch, MatchedTrials
from .memory import Store
from .passes import Arrays, Forward, Passes, run
from .progress import progress

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

    Trials are prepared in batches; outputs for some are found in the store; the others pass the
    model, then ``finish``, which must not mix trials, and are stored. ``determined_by`` is what
    determines them besides what the model is given: see :func:`describe_model`.
    """
    outputs: list[NDArray[Any]] = []
    n_trials = len(matched.trials)

    def write(places: NDArray[np.intp] | int, values: Arrays, start: int) -> None:
        if not outputs:
            outputs.extend(allocate((n_trials, *v.shape[start:]), v.dtype) for v in values)
        for output, value in zip(outputs, values, strict=True):
            output[places] = value

    picks, channels = matched.used
    rows = torch.tensor(channels, device=device)
    n_patches = max(matched.segmentation.segments)
    size = trials_per_pass(batch_size, matched.config, len(picks), n_patches, device)
    # What comes of passes of another size, or of other inputs that the model has, rounds otherwise.
    prefix = sha256(f"{determined_by} {size} {channels} {matched.segmentation}".encode())
    passes = Passes(size)
    # Processes that start together would compute the same trials at the same time.
    shuffled = store is not None and store.shared
    with progress(n_trials, verbose) as bar:
        for first, batch in matched.batches(size * _PASSES_PER_READ, shuffled=shuffled):
            missing = np.arange(len(batch[0]))
            keys: list[str] = []
            if store is not None:
                keys = [_key(prefix, batch, i) for i in range(len(missing))]
                kept = [store.get(key) for key in keys]
                for i, values in enumerate(kept):
                    if values is not None:
                        write(first + i, values, 0)
                missing = np.array([i for i in missing if kept[i] is None], dtype=np.intp)
            if not len(missing):
                continue
            if len(missing) < len(batch[0]):
                batch = [part[missing] for part in batch]
            for values in run(forward, batch, rows, passes, bf16=bf16):
                values = values if finish is None else finish(values)
                done, missing = np.split(missing, [len(values[0])])
                write(first + done, values, 1)
                # Nobody must find under this key what passes of another size gave.
                if store is not None and passes.size == size:
                    for i, one in zip(done, zip(*values, strict=True), strict=True):
                        store.put(keys[i], one)
                bar.update(len(done))
    return tuple(outputs)


def describe_model(model: nn.Module, device: torch.device) -> str:
    """Say what a model computes, to the last bit.

    That is structure, weights, and all that rounding depends on: versions, processor, threads and
    precision.
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
