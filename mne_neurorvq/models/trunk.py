# License: BSD-3-Clause
"""The encoder that the models share: patch embeddings, then a transformer over all patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from .config import ConvStage, TransformerConfig, TrunkStyle
from .fast import attend, convolving, gelu, mean_pool, normed, plus, times
from .input_scale import divided, input_scale, middle

_PLAIN = TrunkStyle()


class Attention(nn.Module):
    """Multi-head self-attention without a bias on the keys.

    Queries and keys are normalised per head, after their bias, as in BEiT's "qk norm".
    """

    def __init__(self, dim: int, n_heads: int, style: TrunkStyle = _PLAIN) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim)) if style.qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(dim)) if style.qkv_bias else None
        self.q_norm: nn.Module = nn.Identity()
        self.k_norm: nn.Module = nn.Identity()
        if style.qk_norm:
            self.q_norm = nn.LayerNorm(dim // n_heads, eps=1e-6)
            self.k_norm = nn.LayerNorm(dim // n_heads, eps=1e-6)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each sequence; x is ``(batch, n_tokens, dim)``."""
        batch, n_tokens, dim = x.shape
        # The layer is called, not its weight read: adapters put another layer in its place.
        qkv = self.qkv(x)
        if self.q_bias is not None and self.v_bias is not None:
            biases = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
            qkv = plus(qkv, biases)
        q, k, v = qkv.view(batch, n_tokens, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        if self.training:
            q, k = normed(self.q_norm, q), normed(self.k_norm, k)
        else:
            q, k = self.q_norm(q), self.k_norm(k)
        attended = attend(q, k, v, self.q_norm, self.k_norm)
        return self.proj(attended.transpose(1, 2).reshape(batch, n_tokens, dim))


class Mlp(nn.Module):
    """Two linear layers around an exact GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map the last axis."""
        return self.fc2(gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block; in training, its halves skip a share ``drop_path`` of windows."""

    def __init__(
        self,
        dim: int,
        n_heads: int,
        mlp_ratio: float,
        style: TrunkStyle = _PLAIN,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(dim, eps=style.norm_eps)
        self.attn = Attention(dim, n_heads, style)
        self.norm2 = nn.LayerNorm(dim, eps=style.norm_eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        scale = style.layer_scale
        self.gamma_1 = nn.Parameter(torch.full((dim,), scale)) if scale else None
        self.gamma_2 = nn.Parameter(torch.full((dim,), scale)) if scale else None

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(batch, n_tokens, dim)``."""
        skips = self.training and self.drop_path > 0
        added = self.attn(self.norm1(x))
        added = added if self.gamma_1 is None else times(added, self.gamma_1)
        # The sum is the block's own, its input is not.
        x = x + (self._thinned(added) if skips else added)
        added = self.mlp(self.norm2(x))
        added = added if self.gamma_2 is None else times(added, self.gamma_2)
        return plus(x, self._thinned(added) if skips else added)

    def _thinned(self, added: Tensor) -> Tensor:
        """Leave out whole windows, and weigh the others so that the mean stays."""
        share = 1 - self.drop_path
        return added * added.new_empty(len(added), 1, 1).bernoulli_(share) / share


class Trunk(nn.Module):
    """Class token, tables of channels and times, and a stack of blocks."""

    def __init__(
        self,
        dim: int,
        n_heads: int,
        depth: int,
        mlp_ratio: float,
        n_channels: int,
        max_patches: int,
        style: TrunkStyle = _PLAIN,
    ) -> None:
        super().__init__()
        self.style = style
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        # One row more than channels: the class token's, or else never used.
        self.pos_embed = nn.Parameter(torch.zeros(n_channels + 1, dim))
        self.time_embed = nn.Parameter(torch.zeros(max_patches, dim))
        self.blocks = nn.ModuleList(
            Block(dim, n_heads, mlp_ratio, style, style.drop_path * i / max(1, depth - 1))
            for i in range(depth)
        )

    def forward(
        self,
        tokens: Tensor,
        channel_ids: Tensor,
        *,
        class_channel: Tensor | None = None,
        keep_class: bool = False,
    ) -> Tensor:
        """Run the blocks over ``(batch, n_chans * n_patches, dim)``, channel-major; no final norm.

        Several scales, ``(n_scales, batch, n_chans * n_patches, dim)``, run as one batch.
        ``channel_ids`` are ``(n_chans,)`` or ``(batch, n_chans)``. The class token takes the place
        of ``class_channel``, ``(1,)`` or ``(batch, 1)``, or row 0 of the table; ``keep_class``
        returns it, too, before the patches.
        """
        sequences = tokens.shape[:-2]
        if tokens.ndim == 4 and channel_ids.ndim == 2:
            channel_ids = channel_ids.repeat(len(tokens), 1)
        tokens = tokens.flatten(0, -3)
        n_patches = tokens.shape[1] // channel_ids.shape[-1]
        first_row = int(self.style.class_row)
        # NeuroRVQ's published models count time rows from the end of the table.
        start = 0 if self.style.time_from_start else len(self.time_embed) - n_patches
        time = self.time_embed[start : start + n_patches]
        place = self.pos_embed[channel_ids + first_row].unsqueeze(-2) + time
        class_row = 0 if class_channel is None else class_channel + first_row
        cls = (self.cls_token + self.pos_embed[class_row]).expand(tokens.shape[0], -1, -1)
        x = torch.cat((cls, tokens + place.flatten(-3, -2)), dim=1)
        for block in self.blocks:
            x = block(x)
        return (x if keep_class else x[:, 1:]).unflatten(0, sequences)


class PatchEmbedding(nn.Module):
    """Temporal convolutions of one scale, from patches to embeddings.

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
        with convolving() if self.training else nullcontext():
            for i, pool in enumerate(self.pools, start=1):
                x = gelu(getattr(self, f"norm{i}")(getattr(self, f"conv{i}")(x)))
                x = x if pool == 1 else mean_pool(x, pool)
        return x.permute(0, 2, 3, 1).flatten(2)


class Encoder(nn.Module):
    """Patch embeddings of all scales and the trunk that they share."""

    def __init__(self, config: TransformerConfig, style: TrunkStyle) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchEmbedding(stages, config.n_filters, config.n_groups) for stages in config.scales
        )
        self.trunk = make_trunk(config, config.depth, style)
        self.input_scale = config.input_scale
        self.scale_embed = nn.Parameter(torch.zeros(config.embed_dim)) if style.sees_scale else None

    def embed(self, patches: Tensor) -> Tensor:
        """Embed ``(batch, n_chans, n_patches, patch_size)`` at every scale.

        Gives ``(n_scales, batch, n_chans * n_patches, embed_dim)``, channel-major.
        """
        tokens = patches.flatten(1, 2)
        return torch.stack([scale(tokens) for scale in self.scales])

    def embed_unscaled(self, patches: Tensor) -> Tensor:
        """Scale the patches as configured, and embed them with what that takes from features."""
        if self.input_scale == "none":
            return self.embed(patches)
        scale = input_scale(patches, self.input_scale)
        embeddings = self.embed(divided(patches, scale))
        if scale is None or self.scale_embed is None:
            return embeddings
        against_others = (scale / middle(scale)).log().repeat_interleave(patches.shape[2], -1)
        return plus(embeddings, against_others[..., None] * self.scale_embed)


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


def scale_norms(config: TransformerConfig) -> nn.ModuleList:
    """Build a LayerNorm for each scale."""
    eps = config.tokenizer_style.norm_eps
    return nn.ModuleList(nn.LayerNorm(config.embed_dim, eps=eps) for _ in config.scales)


def each_scale(modules: nn.ModuleList, x: Tensor) -> Tensor:
    """Apply the module of each scale to its slice of the first axis."""
    return torch.stack([module(part) for module, part in zip(modules, x, strict=True)])


def draw_weights(weights: Tensor) -> None:
    """Draw from a truncated normal of standard deviation 0.02, in place."""
    # On a meta tensor, trunc_normal_ would import a second's worth of Python.
    if not weights.is_meta:
        nn.init.trunc_normal_(weights, std=0.02)


def init_trunk(module: nn.Module, *, convolutions: bool = True) -> None:
    """Initialise linear and convolution layers, tables and block outputs in place.

    Truncated normal of standard deviation 0.02 for weights and tables, zero biases, and the two
    output matrices of block ``i`` (from 1) divided by ``sqrt(2 i)``. Without ``convolutions`` those
    start as torch's do, wide enough for signals that are small numbers.
    """
    kinds = (nn.Linear, nn.Conv2d) if convolutions else (nn.Linear,)
    for part in module.modules():
        if isinstance(part, kinds):
            draw_weights(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, Trunk):
            for table in (part.cls_token, part.pos_embed, part.time_embed):
                draw_weights(table)
    with torch.no_grad():
        for trunk in (m for m in module.modules() if isinstance(m, Trunk)):
            for i, block in enumerate(trunk.blocks, start=1):
                assert isinstance(block, Block)
                for output in (block.attn.proj.weight, block.mlp.fc2.weight):
                    # Dividing a meta tensor would import torch's compiler: another second.
                    if not output.is_meta:
                        output.div_(math.sqrt(2 * i))
