# License: BSD-3-Clause
"""The linear layer that tells physiological numbers of patches from their features."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .targets import TARGETS


class TargetHead(nn.Module):
    """One linear layer for all targets, and what stands for a hidden patch while it learns.

    Parameters
    ----------
    weights : mapping of str to float
        Weight of the error of each target, see :data:`~mne_neurorvq.training.targets.TARGETS`.
    feature_dim : int
        Width of the features of a patch.
    embed_dim : int
        Width of its embedding.
    """

    def __init__(self, weights: Mapping[str, float], feature_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.weights = dict(weights)
        self.sizes = [len(TARGETS[name].columns) for name in self.weights]
        # Not nn.Linear: the optimiser takes the matrices of those for layers of the model.
        self.weight = nn.Parameter(torch.zeros(sum(self.sizes), feature_dim))
        self.bias = nn.Parameter(torch.zeros(sum(self.sizes)))
        self.mask_token = nn.Parameter(torch.zeros(embed_dim))

    def forward(self, features: Tensor) -> Tensor:
        """Tell ``(..., n_columns)`` from features ``(..., feature_dim)``."""
        return nn.functional.linear(features, self.weight, self.bias)

    def errors(self, told: Tensor, targets: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Mean squared error of each target, over the patches where it can be had.

        Parameters
        ----------
        told, targets : Tensor, shape (..., n_columns)
            Numbers, and what they are; NaN where that is not known.
        chosen : Tensor of bool, shape (...) | None
            Patches that count; None takes all.

        Returns
        -------
        Tensor, shape (n_targets,)
            Errors; about 1 where nothing is known but the means.
        """
        known = ~targets.isnan()
        if chosen is not None:
            known = known & chosen[..., None]
        squares = torch.where(known, told.float() - targets, 0.0).square()
        pairs = zip(squares.split(self.sizes, -1), known.split(self.sizes, -1), strict=True)
        return torch.stack([part.sum() / some.sum().clamp(min=1) for part, some in pairs])

    def loss(self, errors: Tensor) -> Tensor:
        """Weighted sum of errors."""
        return (errors * errors.new_tensor(list(self.weights.values()))).sum()
