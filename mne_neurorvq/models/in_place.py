# License: BSD-3-Clause
"""Arithmetic that writes over its first argument where nothing learns.

Fresh memory can cost more than what is computed: the system gives it page by page, a microsecond
each. The argument must be the caller's own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def gelu(x: Tensor) -> Tensor:
    """Apply the exact GELU."""
    return F.gelu(x) if torch.is_grad_enabled() else torch.ops.aten.gelu_(x)


def plus(x: Tensor, y: Tensor) -> Tensor:
    """Add what is no larger than ``x``; in place, in the precision of ``x``."""
    y = y.to(x.dtype)
    return x + y if torch.is_grad_enabled() else x.add_(y)


def times(x: Tensor, y: Tensor) -> Tensor:
    """Multiply by what is no larger than ``x``; in place, in the precision of ``x``."""
    y = y.to(x.dtype)
    return x * y if torch.is_grad_enabled() else x.mul_(y)


def mean_pool(x: Tensor, size: int) -> Tensor:
    """Average every ``size`` values of the last axis, two or more; a rest is left out.

    As ``avg_pool1d`` does, which takes several times as long on a CPU.
    """
    parts = x[..., : x.shape[-1] // size * size].unflatten(-1, (-1, size)).unbind(-1)
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total = plus(total, part)
    return total / size
