# License: BSD-3-Clause
"""Running models over batches of segments."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from threading import Condition
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..signals import Segmentation, restore
from ..tokens import Tokens
from .inputs import Inputs
from .passes import Passes, full, place

# Tokens of one forward pass: on a CPU larger passes leave the cache and gain nothing.
TOKENS_PER_PASS = {"cpu": 256, "cuda": 16384}
# Forward passes worth of trials that are read and resampled at a time.
_PASSES_PER_READ = 16
# Bytes of prepared trials that are held in memory.
_IN_MEMORY = 2**31
# Seconds of work after which a progress bar appears by itself.
_PATIENCE = 3.0
# Models in use: where they are, and by how many.
_USED: WeakKeyDictionary[nn.Module, tuple[torch.device, int]] = WeakKeyDictionary()
_MOVING = Condition()

# Whether torch sees a device of a type.
_ACCELERATORS: dict[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "xpu": torch.xpu.is_available,
}

_Arrays = tuple[NDArray[np.generic], ...]


def resolve_device(device: str) -> torch.device:
    """Choose where to compute.

    Parameters
    ----------
    device : str
        ``"auto"`` takes CUDA where it is there, otherwise the CPU; ``"accelerate"`` the GPU of
        this one of several processes, otherwise the CPU; or a torch device, such as ``"mps"`` on
        a Mac.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    ValueError
        If the name is unknown or the device is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "accelerate":
        gpu = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"  # set by torchrun
        device = gpu if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device={device!r} is not 'auto' or a torch device.") from error
    there = _ACCELERATORS.get(chosen.type)
    if there is not None and not there():
        raise ValueError(
            f"device={device!r}, but torch sees no {chosen.type.upper()} device: use device='auto'."
        )
    try:
        torch.empty(1, device=chosen).cpu()
    except (RuntimeError, NotImplementedError) as error:
        # The first sentence says it: torch goes on for pages.
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"device={device!r} does not work: {reason}. Use device='auto'."
        ) from error
    return chosen


def resolve_batch_size(
    batch_size: int | str,
    per_trial: int,
    device: torch.device,
    budget: Mapping[str, int] = TOKENS_PER_PASS,
) -> int:
    """Trials per forward pass.

    Parameters
    ----------
    batch_size : int | "auto"
        A number, or what suits the device.
    per_trial : int
        What a trial takes of the budget: channels times patches of the longest segment.
    device : torch.device
        Where to compute.
    budget : mapping of str to int
        Budget of a pass, by type of device.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ValueError
        If it is neither "auto" nor a positive integer.
    """
    if isinstance(batch_size, str) and batch_size == "auto":
        return max(1, budget.get(device.type, budget["cpu"]) // per_trial)
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)):
        raise ValueError(f"batch_size={batch_size!r} must be 'auto' or a positive integer.")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1.")
    return int(batch_size)


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
    with _on(model, device), progress(len(inputs.trials), verbose) as bar:
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


def gather(batches: Iterable[NDArray[Any]], n_trials: int) -> NDArray[Any]:
    """Put batches of trials into one array: in memory or, where that is large, in a scratch file.

    Parameters
    ----------
    batches : iterable of ndarray, each of shape (n_batch, ...)
        Successive trials.
    n_trials : int
        Trials in all.

    Returns
    -------
    ndarray, shape (n_trials, ...)
        Beyond 2 GiB it lies in a file without a name, which goes when the array does.
    """
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
    """Make an array without values: in memory or, where that is large, in a scratch file.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    dtype : dtype
        Its type.

    Returns
    -------
    ndarray
        Beyond 2 GiB it lies in a file without a name, which goes when the array does.
    """
    if math.prod(shape) * dtype.itemsize <= _IN_MEMORY:
        return np.empty(shape, dtype)
    with TemporaryFile() as scratch:  # the array keeps a handle of its own
        return np.memmap(scratch, dtype, "w+", shape=shape)


def decode_batches(
    model: nn.Module,
    forward: Callable[[Tensor, Tensor, Tensor], Sequence[Tensor]],
    tokens: Tokens,
    *,
    unit: str,
    device: torch.device,
    batch_size: int,
    verbose: bool | None,
) -> Iterator[NDArray[np.float64]]:
    """Decode tokens, one batch of trials at a time.

    Parameters
    ----------
    model : nn.Module
        The model that made the tokens.
    forward : callable
        From codes, side information and channel rows of a batch to its segments, each
        ``(batch, n_channels, patches * patch_size)``.
    tokens : Tokens
        Codes and all that decoding needs.
    unit : str
        Unit of what ``forward`` gives.
    device : torch.device
        Where to compute.
    batch_size : int
        Trials per batch, or less, as in :func:`run_batches`.
    verbose : bool | None
        As in :func:`run_batches`.

    Yields
    ------
    ndarray, shape (n_trials, n_channels, n_times)
        Signals in volts, at the rate and of the length that the trials had.

    Raises
    ------
    ValueError
        If they are not finite: side information far from that of any signal does that.
    """
    covered = tokens.shape[2] * tokens.patch_size - tokens.overlap - tokens.padding
    segmentation = Segmentation(
        covered, tokens.patch_size, tokens.segments, tokens.overlap, tokens.padding
    )
    rows = torch.tensor(tokens.channel_rows, device=device)

    def compute(part: slice, size: int) -> list[NDArray[Any]]:
        codes = torch.from_numpy(tokens.codes[part].astype(np.int64)).to(device)
        side = torch.tensor(tokens.side[part], device=device)  # may be read-only: a memmap
        with torch.inference_mode():
            return [segment.cpu().numpy() for segment in forward(codes, side, rows)]

    with _on(model, device), progress(len(tokens), verbose) as bar:
        for part, segments in Passes(batch_size).over(len(tokens), compute):
            for segment in segments:
                _check_finite(segment, tokens, part.start)
            yield restore(
                segments,
                segmentation,
                model_sfreq=tokens.model_sfreq,
                model_unit=unit,
                sfreq=tokens.sfreq,
                n_times=tokens.n_times,
            )
            bar.update(len(segments[0]))


def _check_finite(segment: NDArray[np.floating], tokens: Tokens, first: int) -> None:
    if not np.isfinite(segment).all():
        trial, channel = np.argwhere(~np.isfinite(segment))[0][:2]
        trial += first
        raise ValueError(
            f"trial {trial}, channel {tokens.ch_names[channel]!r}: what is decoded is not finite. "
            f"Its side information reaches {np.abs(tokens.side[trial]).max():.3g}, which no signal "
            "gives: the tokens were changed."
        )


@contextmanager
def _on(model: nn.Module, device: torch.device) -> Iterator[None]:
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


def progress(total: int, verbose: bool | None, unit: str = "trial") -> tqdm:
    """Make a progress bar.

    Parameters
    ----------
    total : int
        How much there is to do.
    verbose : bool | None
        Whether to show it; None shows it in a terminal when the work takes long.
    unit : str
        What is counted.

    Returns
    -------
    tqdm
        A bar to enter and update.
    """
    return tqdm(
        total=total,
        unit=unit,
        delay=0.0 if verbose else _PATIENCE,
        disable=None if verbose is None else not verbose,
    )


def _to_numpy(tensor: Tensor) -> NDArray[np.generic]:
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
