# License: BSD-3-Clause
"""Encoding as one would first write it: the measure that the package's encoding is held against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mne_neurorvq.models import BrainRVQTokenizer, NeuroRVQTokenizer

_DECAY = 0.99


def plain_encode(
    model: NeuroRVQTokenizer | BrainRVQTokenizer, x: Tensor, channel_ids: Tensor
) -> Tensor:
    """Encode with a loop over branches and levels.

    Each temporal scale runs through the whole encoder by itself. Each level writes out the squared
    distances of all tokens to all codes and follows the use of its codes through one-hot rows,
    in evaluation too.

    Parameters
    ----------
    model : NeuroRVQTokenizer | BrainRVQTokenizer
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
    vectors = []
    for scale, norm, to_code in zip(
        model.encoder.scales, model.encoder_norms, model.to_code, strict=True
    ):
        features = norm(model.encoder.trunk(scale(patches.flatten(1, 2)), channel_ids))
        vectors.append(to_code(features).flatten(0, 1))
    branches = []
    for branch in range(model.config.quantizer.n_codebooks):
        # BrainRVQ has one scale for all codebooks.
        residual = vectors[branch % len(vectors)]
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
