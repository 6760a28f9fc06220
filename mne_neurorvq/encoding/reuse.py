# License: BSD-3-Clause
"""Each trial once: outputs of frozen models, found again by what determines them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .gathering import allocate
from .matched_trials import Batch, Inputs
from .memory import Store, Values

_DIGESTS: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def compute_once(
    compute: Callable[[Inputs], Iterable[Values]],
    inputs: Inputs,
    store: Store | None,
    determined_by: str,
) -> Values:
    """Compute outputs of trials, but for those that are kept already.

    Parameters
    ----------
    compute : callable
        Gives the outputs of successive batches of trials, each ``(n_batch, ...)``. Those of a
        trial must not depend on the trials that come with it.
    inputs : Inputs
        Trials matched to the model.
    store : Store | None
        Where outputs are kept; None computes all.
    determined_by : str
        All that determines the outputs besides the signals: see :func:`describe_model`.

    Returns
    -------
    tuple of ndarray, each of shape (n_trials, ...)
        The outputs, in the order of the trials.
    """
    recall = _Recall(len(inputs.trials), store, determined_by)
    for outputs in compute(replace(inputs, sieve=recall)):
        recall.take(outputs)
    return recall.results


def describe_model(model: nn.Module, device: torch.device) -> str:
    """Say what a model computes, to the last bit.

    Parameters
    ----------
    model : nn.Module
        The model.
    device : torch.device
        Where it computes.

    Returns
    -------
    str
        Structure, weights, and all that rounding depends on: versions, processor, threads and
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


class _Recall:
    """Sieve of batches: outputs that are kept are taken up, and their trials do not pass."""

    def __init__(self, n_trials: int, store: Store | None, determined_by: str) -> None:
        self._n_trials = n_trials
        self._store = store
        self._prefix = sha256(determined_by.encode())
        self._results: list[NDArray[np.generic]] = []
        # Places and keys of the trials that have passed and whose outputs are awaited.
        self._awaited: deque[tuple[int, str]] = deque()
        self._is_halved = False

    def order(self, starts: Sequence[int]) -> Sequence[int]:
        """Order in which batches are read."""
        if self._store is None or not self._store.shared:
            return starts
        # Processes that start together would compute the same trials at the same time.
        order: list[int] = np.random.default_rng().permutation(starts).tolist()
        return order

    def sift(self, start: int, batch: Batch) -> Batch:
        """Keep back the trials whose outputs are there."""
        missing = []
        for i in range(len(batch[0])):
            key = "" if self._store is None else self._key(batch, i)
            values = None if self._store is None else self._store.get(key)
            if values is None:
                missing.append(i)
                self._awaited.append((start + i, key))
            else:
                self._write(start + i, values)
        return batch if len(missing) == len(batch[0]) else [part[missing] for part in batch]

    def take(self, outputs: Values) -> None:
        """Take up the outputs of trials that have passed, in their order."""
        for values in zip(*outputs, strict=True):
            place, key = self._awaited.popleft()
            self._write(place, values)
            # The size of a pass is part of the key: others must not find what smaller ones gave.
            if self._store is not None and not self._is_halved:
                self._store.put(key, values)

    def halve(self) -> None:
        """Keep nothing more: memory did not suffice for passes of the size that was planned."""
        self._is_halved = True

    @property
    def results(self) -> Values:
        """Outputs of all trials."""
        assert not self._awaited
        return tuple(self._results)

    def _key(self, batch: Batch, i: int) -> str:
        digest = self._prefix.copy()
        for part in batch:
            trial = np.ascontiguousarray(part[i])
            digest.update(f"{trial.dtype}{trial.shape}".encode())
            digest.update(trial.data)
        return digest.hexdigest()

    def _write(self, place: int, values: Values) -> None:
        if not self._results:
            shapes = [(self._n_trials, *np.shape(value)) for value in values]
            types = [value.dtype for value in values]
            self._results = [allocate(*each) for each in zip(shapes, types, strict=True)]
        for result, value in zip(self._results, values, strict=True):
            result[place] = value


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
