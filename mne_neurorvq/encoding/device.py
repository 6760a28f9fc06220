# License: BSD-3-Clause
"""Where a model computes."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)

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


def copy_to(model: Module, device: torch.device) -> Module:
    """Return a model on a device: the model itself or a copy, since others may be using it.

    A device without a number is any of its type.
    """
    there = next(model.parameters()).device
    if there.type == device.type and device.index in (None, there.index):
        return model
    return deepcopy(model).to(device)
