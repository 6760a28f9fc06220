# License: BSD-3-Clause
"""The head that fine-tuned models share."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import nn


def make_head(
    width: int, n_outputs: int, generator: torch.Generator | None = None, *, eps: float = 1e-5
) -> nn.Sequential:
    """Build the head of a model: a LayerNorm and a linear layer.

    Parameters
    ----------
    width, n_outputs : int
        Features it sees, and its outputs.
    generator : torch.Generator | None
        Source of the first weights, drawn as torch draws those of a linear layer.
    eps : float
        Epsilon of the LayerNorm.

    Returns
    -------
    nn.Sequential
        ``norm`` and ``linear``.
    """
    linear = nn.Linear(width, n_outputs)
    nn.init.kaiming_uniform_(linear.weight, a=math.sqrt(5), generator=generator)
    nn.init.uniform_(linear.bias, -(width**-0.5), width**-0.5, generator=generator)
    return nn.Sequential(OrderedDict(norm=nn.LayerNorm(width, eps=eps), linear=linear))
