# License: BSD-3-Clause
"""Where a model computes, and on how many trials at a time."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch

from ..weights.systems import Config

# Whether torch sees a device of a type.
_ACCELERATORS: dict[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "xpu": torch.xpu.is_available,
}


def resolve_device(device: str) -> torch.device:
    """Choose where to compute, or raise ValueError if it is not possible there.

    ``"auto"`` takes CUDA where it is there, otherwise the CPU; ``"accelerate"`` the GPU of this
    one of several processes, otherwise the CPU; other names are those of torch.
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
    is_available = _ACCELERATORS.get(chosen.type)
    if is_available is not None and not is_available():
        raise ValueError(
            f"device={device!r}, but torch sees no {chosen.type.upper()} device: use device='auto'."
        )
    try:
        torch.empty(1, device=chosen).cpu()
    except (RuntimeError, NotImplementedError) as error:
        # The first sentence is enough: torch continues for pages.
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"device={device!r} does not work: {reason}. Use device='auto'."
        ) from error
    return chosen


def trials_per_pass(
    batch_size: int | str, config: Config, n_channels: int, n_patches: int, device: torch.device
) -> int:
    """Trials of a forward pass: a number, or with "auto" what suits model, trials and device."""
    if isinstance(batch_size, str) and batch_size == "auto":
        return config.trials_per_pass(n_channels, n_patches, device.type)
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)):
        raise ValueError(f"batch_size={batch_size!r} must be 'auto' or a positive integer.")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1.")
    return int(batch_size)
