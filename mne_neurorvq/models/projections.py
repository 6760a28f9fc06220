# License: BSD-3-Clause
"""Linear maps of a quantizer, one for every codebook and level."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, nn


class LevelProjections(nn.Module):
    """A linear map for every codebook and level.

    Parameters
    ----------
    n_codebooks, n_levels : int
        How many maps.
    n_in, n_out : int
        Width of what they take and give.
    """

    def __init__(self, n_codebooks: int, n_levels: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_codebooks, n_levels, n_out, n_in))
        self.bias = nn.Parameter(torch.empty(n_codebooks, n_levels, n_out))
        with torch.no_grad():
            for book, level in product(range(n_codebooks), range(n_levels)):
                layer = nn.Linear(n_in, n_out)
                self.weight[book, level].copy_(layer.weight)
                self.bias[book, level].copy_(layer.bias)

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Apply the maps of a level.

        Parameters
        ----------
        x : Tensor, shape (n_codebooks, n_tokens, n_in)
            Vectors of each codebook.
        level : int
            Level.

        Returns
        -------
        Tensor, shape (n_codebooks, n_tokens, n_out)
            Mapped vectors.
        """
        # The precision of the trunk must not choose the code.
        with torch.autocast(x.device.type, enabled=False):
            return torch.baddbmm(self.bias[:, level, None], x.float(), self.weight[:, level].mT)
