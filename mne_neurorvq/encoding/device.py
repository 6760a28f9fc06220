# License: BSD-3-Clause
"""Where a model computes, and on how much at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import numpy as np
import torch

# Tokens of one forward pass: on a CPU larger passes leave the cache and gain nothing.
TOKENS_PER_PASS = {"cpu": 256, "cuda": 16384}

# Whether torch sees a device of a type.
_ACCELERATORS: dict[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "xpu": torch.xpu.is_available,
}


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
