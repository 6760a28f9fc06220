# License: BSD-3-Clause
"""Encoding as one would first write it: the measure that the package's encoding is held against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mne_neurorvq.models import NeuroRVQTokenizer

_DECAY = 0.99


def plain_encode(model: NeuroRVQTokenizer, x: Tensor, channel_ids: Tensor) -> Tensor:
    """Encode with a loop over branches and levels.

    Each branch runs through the whole encoder by itself. Each level writes out the squared
    distances of all tokens to all codes and follows the use of its codes through one-hot rows,
    in evaluation too.

    Parameters
    ----------
    model : NeuroRVQTokenizer
        Whose modules and codebooks to use; it is not changed.
    x : Tensor, shape (batch, n_chans, n_times)
        Windows.
    channel_ids : Tensor of int64, shape (n_chans,)
        Vocabulary rows.

    Returns
    -------
    Tensor of int64, shape (batch, n_chans, n_patches, n_codebooks, n_levels)
        Codes.
    """
    patches = x.unflatten(-1, (-1, model.config.patch_size))
    use = model.quantizer.cluster_size.clone()
    branches = []
    for branch in range(model.config.quantizer.n_codebooks):
        tokens = model.encoder.scales[branch](patches.flatten(1, 2))
        features = model.encoder_norms[branch](model.encoder.trunk(tokens, channel_ids))
        residual = model.to_code[branch](features).flatten(0, 1)
        levels = []
        for level in range(model.config.quantizer.n_levels):
            codebook = model.quantizer.codebook[branch, level]
            z = F.normalize(residual, dim=-1)
            distances = (
                z.square().sum(-1, keepdim=True)
                + codebook.square().sum(-1)
                - 2 * torch.einsum("nd,kd->nk", z, codebook)
            )
            index = torch.argmin(distances, -1)
            one_hot = F.one_hot(index, len(codebook)).to(z.dtype)
            use[branch, level].mul_(_DECAY).add_(one_hot.sum(0), alpha=1 - _DECAY)
            residual = residual - F.embedding(index, codebook)
            levels.append(index)
        branches.append(torch.stack(levels, -1))
    return torch.stack(branches, 1).unflatten(0, patches.shape[:3])
