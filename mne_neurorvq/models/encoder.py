# License: BSD-3-Clause
"""The encoder: patch embeddings at one or more temporal scales and the trunk they share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .in_place import gelu, mean_pool
from .transformer_config import ConvStage, TransformerConfig, TrunkStyle
from .trunk import Trunk


class PatchEmbedding(nn.Module):
    """Temporal convolutions of one scale, from patches to embeddings.

    Parameters
    ----------
    stages : sequence of ConvStage
        The convolutions; ``conv1`` and ``norm1`` are the first and its GroupNorm.
    n_filters, n_groups : int
        Channels of the convolutions and groups of their GroupNorm.

    Notes
    -----
    Convolutions never cross patches, but the GroupNorm statistics run over all channels and
    patches of the segment.
    """

    conv1: nn.Conv2d
    conv2: nn.Conv2d

    def __init__(self, stages: Sequence[ConvStage], n_filters: int, n_groups: int) -> None:
        super().__init__()
        self.pools = tuple(stage.pool for stage in stages)
        n_in = 1
        for i, (kernel, stride, _) in enumerate(stages, start=1):
            conv = nn.Conv2d(n_in, n_filters, (1, kernel), (1, stride), (0, kernel // 2))
            self.add_module(f"conv{i}", conv)
            self.add_module(f"norm{i}", nn.GroupNorm(n_groups, n_filters))
            n_in = n_filters

    def forward(self, patches: Tensor) -> Tensor:
        """Map ``(batch, n_tokens, patch_size)`` to ``(batch, n_tokens, embed_dim)``."""
        x = patches[:, None]
        for i, pool in enumerate(self.pools, start=1):
            x = gelu(getattr(self, f"norm{i}")(getattr(self, f"conv{i}")(x)))
            x = x if pool == 1 else mean_pool(x, pool)
        return x.permute(0, 2, 3, 1).flatten(2)


class Encoder(nn.Module):
    """Patch embeddings of all scales and the trunk that they share.

    Parameters
    ----------
    config : TransformerConfig
        Structure.
    style : TrunkStyle
        That of the tokenizer or of the foundation model.
    """

    def __init__(self, config: TransformerConfig, style: TrunkStyle) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchEmbedding(stages, config.n_filters, config.n_groups) for stages in config.scales
        )
        self.trunk = make_trunk(config, config.depth, style)

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


def make_trunk(config: TransformerConfig, depth: int, style: TrunkStyle) -> Trunk:
    """Build a trunk of the configuration's width and tables."""
    return Trunk(
        config.embed_dim,
        config.n_heads,
        depth,
        config.mlp_ratio,
        len(config.channels),
        config.max_patches,
        style,
    )


def through_trunk(trunk: Trunk, x: Tensor, channel_ids: Tensor) -> Tensor:
    """Run ``(n_scales, batch, n_tokens, dim)`` through a trunk as one batch."""
    if channel_ids.ndim == 2:
        channel_ids = channel_ids.repeat(len(x), 1)
    return trunk(x.flatten(0, 1), channel_ids).unflatten(0, x.shape[:2])


def scale_norms(config: TransformerConfig) -> nn.ModuleList:
    """Build a LayerNorm for each scale."""
    eps = config.tokenizer_style.norm_eps
    return nn.ModuleList(nn.LayerNorm(config.embed_dim, eps=eps) for _ in config.scales)


def each_scale(modules: nn.ModuleList, x: Tensor) -> Tensor:
    """Apply the module of each scale to its slice of the first axis."""
    return torch.stack([module(part) for module, part in zip(modules, x, strict=True)])
