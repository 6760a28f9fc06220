# License: BSD-3-Clause
"""Linear maps of a quantizer, one for every codebook and level."""

from __future__ import annotations

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
        layers = [nn.Linear(n_in, n_out) for _ in range(n_codebooks * n_levels)]
        books = (n_codebooks, n_levels)
        weights = torch.stack([layer.weight.detach() for layer in layers])
        biases = torch.stack([layer.bias.detach() for layer in layers])
        self.weight = nn.Parameter(weights.unflatten(0, books))
        self.bias = nn.Parameter(biases.unflatten(0, books))

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
