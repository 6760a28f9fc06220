# License: BSD-3-Clause
"""The linear layer that tells physiological numbers of patches from their features."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .transformer_config import TransformerConfig


class TargetHead(nn.Module):
    """One linear layer for all targets, and what stands for a hidden patch while it learns.

    Parameters
    ----------
    sizes : mapping of str to int
        Numbers of each target, in the order of the columns.
    config : TransformerConfig
        Gives the widths of features and embeddings.
    """

    def __init__(self, sizes: Mapping[str, int], config: TransformerConfig) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        n_columns = sum(self.sizes.values())
        # Not nn.Linear: the optimiser takes the matrices of those for layers of the model.
        self.weight = nn.Parameter(torch.zeros(n_columns, config.feature_dim))
        self.bias = nn.Parameter(torch.zeros(n_columns))
        self.mask_token = nn.Parameter(torch.zeros(config.embed_dim))

    def forward(self, features: Tensor) -> Tensor:
        """Tell ``(..., n_columns)`` from features ``(..., feature_dim)``."""
        return F.linear(features, self.weight, self.bias)

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
            Errors, 0 where no patch counts.
        """
        known = ~targets.isnan()
        if chosen is not None:
            known = known & chosen[..., None]
        squares = torch.where(known, told.float() - targets, 0.0).square()
        sizes = list(self.sizes.values())
        pairs = zip(squares.split(sizes, -1), known.split(sizes, -1), strict=True)
        return torch.stack([part.sum() / some.sum().clamp(min=1) for part, some in pairs])
