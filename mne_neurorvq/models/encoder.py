# License: BSD-3-Clause
"""The NeuroRVQ encoder: patch embeddings at four temporal scales and the trunk they share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import NeuroRVQConfig
from .trunk import Trunk


class PatchEmbedding(nn.Module):
    """Temporal convolutions of one scale, from patches to embeddings.

    Parameters
    ----------
    config : NeuroRVQConfig
        Filters and groups.
    kernel_1, kernel_2 : int
        Widths of the two convolutions.

    Notes
    -----
    Convolutions never cross patches, but the GroupNorm statistics run over all channels and
    patches of the segment.
    """

    def __init__(self, config: NeuroRVQConfig, kernel_1: int, kernel_2: int) -> None:
        super().__init__()
        width, groups = config.n_filters, config.n_groups
        self.conv1 = nn.Conv2d(1, width, (1, kernel_1), padding=(0, kernel_1 // 2))
        self.norm1 = nn.GroupNorm(groups, width)
        self.conv2 = nn.Conv2d(width, width, (1, kernel_2), padding=(0, kernel_2 // 2))
        self.norm2 = nn.GroupNorm(groups, width)

    def forward(self, patches: Tensor) -> Tensor:
        """Map ``(batch, n_tokens, patch_size)`` to ``(batch, n_tokens, embed_dim)``."""
        x = F.avg_pool2d(F.gelu(self.norm1(self.conv1(patches[:, None]))), (1, 2))
        x = F.avg_pool2d(F.gelu(self.norm2(self.conv2(x))), (1, 4))
        return x.permute(0, 2, 3, 1).flatten(2)


class Encoder(nn.Module):
    """Patch embeddings of all scales and the trunk that they share.

    Parameters
    ----------
    config : NeuroRVQConfig
        Structure.
    layer_scale : float
        Initial LayerScale of the blocks; 0 leaves it out.
    """

    def __init__(self, config: NeuroRVQConfig, layer_scale: float = 0.0) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchEmbedding(config, *kernels)
            for kernels in zip(config.kernels_1, config.kernels_2, strict=True)
        )
        self.trunk = make_trunk(config, config.depth, layer_scale)

    def embed(self, patches: Tensor) -> Tensor:
        """Patch embeddings of every scale.

        Parameters
        ----------
        patches : Tensor, shape (batch, n_chans, n_patches, patch_size)
            Samples.

        Returns
        -------
        Tensor, shape (n_scales, batch, n_chans * n_patches, embed_dim)
            Embeddings, channel-major.
        """
        tokens = patches.flatten(1, 2)
        return torch.stack([scale(tokens) for scale in self.scales])

    def forward(self, embeddings: Tensor, channel_ids: Tensor) -> Tensor:
        """Run all scales through the trunk as one batch.

        Parameters
        ----------
        embeddings : Tensor, shape (n_scales, batch, n_tokens, embed_dim)
            What :meth:`embed` gave.
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans)
            Vocabulary rows, of all windows or of each.

        Returns
        -------
        Tensor, shape (n_scales, batch, n_tokens, embed_dim)
            Output of the last block.
        """
        return through_trunk(self.trunk, embeddings, channel_ids)


def make_trunk(config: NeuroRVQConfig, depth: int, layer_scale: float = 0.0) -> Trunk:
    """Build a trunk of the configuration's width and tables."""
    return Trunk(
        config.embed_dim,
        config.n_heads,
        depth,
        config.mlp_ratio,
        len(config.channels),
        config.max_patches,
        layer_scale,
    )


def through_trunk(trunk: Trunk, x: Tensor, channel_ids: Tensor) -> Tensor:
    """Run ``(n_scales, batch, n_tokens, dim)`` through a trunk as one batch."""
    if channel_ids.ndim == 2:
        channel_ids = channel_ids.repeat(len(x), 1)
    return trunk(x.flatten(0, 1), channel_ids).unflatten(0, x.shape[:2])


def scale_norms(config: NeuroRVQConfig) -> nn.ModuleList:
    """Build a LayerNorm for each scale."""
    return nn.ModuleList(nn.LayerNorm(config.embed_dim) for _ in config.kernels_1)


def each_scale(modules: nn.ModuleList, x: Tensor) -> Tensor:
    """Apply the module of each scale to its slice of the first axis."""
    return torch.stack([module(part) for module, part in zip(modules, x, strict=True)])
