# License: BSD-3-Clause
"""The encoder that the models share: patch embeddings, then a transformer over all patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import ConvStage, TransformerConfig, TrunkStyle
from .fast import attend, convolving, mean_pool, normed, write_over
from .input_scale import divided, input_scale, middle
from .signature import PARTIAL

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
            qkv = write_over(torch.add, qkv, biases)
        q, k, v = qkv.view(batch, n_tokens, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        if self.training:
            q, k = normed(self.q_norm, q), normed(self.k_norm, k)
        else:
            q, k = self.q_norm(q), self.k_norm(k)
        attended = attend(q, k, v, self.q_norm, self.k_norm)
        return self.proj(attended.transpose(1, 2).reshape(batch, n_tokens, dim))


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
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, hidden), "fc2": nn.Linear(hidden, dim)})
        scale = style.layer_scale
        self.gamma_1 = nn.Parameter(torch.full((dim,), scale)) if scale else None
        self.gamma_2 = nn.Parameter(torch.full((dim,), scale)) if scale else None

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(batch, n_tokens, dim)``."""
        skips = self.training and self.drop_path > 0
        added = self.attn(self.norm1(x))
        added = added if self.gamma_1 is None else write_over(torch.mul, added, self.gamma_1)
        # The sum is the block's own, its input is not.
        x = x + (self._thinned(added) if skips else added)
        added = self.mlp["fc2"](write_over(F.gelu, self.mlp["fc1"](self.norm2(x))))
        added = added if self.gamma_2 is None else write_over(torch.mul, added, self.gamma_2)
        return write_over(torch.add, x, self._thinned(added) if skips else added)

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
                x = write_over(F.gelu, getattr(self, f"norm{i}")(getattr(self, f"conv{i}")(x)))
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

    def embed(self, patches: Tensor, *, scaled: bool = False) -> Tensor:
        """Embed ``(batch, n_chans, n_patches, patch_size)``, scaled as configured, at every scale.

        Gives ``(n_scales, batch, n_chans * n_patches, embed_dim)``, channel-major, with what the
        scale adds; ``scaled`` if the patches are scaled already.
        """
        scale = None
        if not scaled and self.input_scale != "none":
            scale = input_scale(patches, self.input_scale)
            patches = divided(patches, scale)
        tokens = patches.flatten(1, 2)
        embeddings = torch.stack([one(tokens) for one in self.scales])
        if scale is None or self.scale_embed is None:
            return embeddings
        against_others = (scale / middle(scale)).log().repeat_interleave(patches.shape[2], -1)
        return write_over(torch.add, embeddings, against_others[..., None] * self.scale_embed)


def as_patches(
    config: TransformerConfig, x: Tensor, given: Tensor | None, resolved: Tensor | None
) -> tuple[Tensor, Tensor]:
    """View windows ``(batch, n_chans, n_times)`` as ``(batch, n_chans, n_patches, patch_size)``.

    With them come the vocabulary rows of their channels: those given to the call, else the
    constructor's, ``(n_chans,)`` for all windows, or ``(batch, n_chans)`` where montages differ.
    Codes ``(batch, n_chans, n_patches, n_codebooks, n_levels)`` stay as they are. All patches must
    fit into one segment.
    """
    if x.ndim != 5:
        if x.ndim != 3:
            raise ValueError(f"x must be (batch, n_chans, n_times), got shape {tuple(x.shape)}.")
        if x.shape[2] < config.patch_size or x.shape[2] % config.patch_size:
            raise ValueError(PARTIAL.format(x.shape[2], config.patch_size))
        x = x.unflatten(-1, (-1, config.patch_size))
    n_chans, n_patches = x.shape[1:3]
    longest = config.patches_per_segment(n_chans)
    if n_patches > longest:
        raise ValueError(
            f"{n_chans} channels x {n_patches} patches exceed the token budget, {longest} patches "
            "of that many channels: cut the window into segments."
        )
    ids = resolved if given is None else torch.as_tensor(given)
    if ids is None:
        raise ValueError(
            "the channels are unknown: give chs_info to the constructor or channel_ids to the call."
        )
    if ids.ndim not in (1, 2) or ids.is_floating_point():
        raise ValueError(
            "channel_ids must be integers of shape (n_chans,) or (batch, n_chans), got "
            f"{ids.dtype} of shape {tuple(ids.shape)}."
        )
    if ids.shape[-1] != n_chans:
        raise ValueError(f"{ids.shape[-1]} channel_ids for an input with {n_chans} channels.")
    if ids.ndim == 2 and len(ids) != len(x):
        raise ValueError(f"channel_ids of {len(ids)} windows for an input with {len(x)}.")
    last = len(config.channels) - 1
    # The tables have a row more than channels, which an index would find without an error. An
    # exported graph cannot look at values.
    if not torch.compiler.is_exporting() and ids.numel() and (ids.min() < 0 or ids.max() > last):
        wrong = ids[(ids < 0) | (ids > last)].unique().tolist()
        raise ValueError(f"channel_ids must lie in 0..{last}, got {wrong}.")
    return x, ids.to(x.device)


def apart(x: Tensor) -> Tensor:
    """Make windows of one channel of windows ``(batch, n_chans, ...)``."""
    return x.flatten(0, 1)[:, None]


def together(x: Tensor, n_chans: int) -> Tensor:
    """Undo :func:`apart`."""
    return x[:, 0].unflatten(0, (-1, n_chans))


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
                for output in (block.attn.proj.weight, block.mlp["fc2"].weight):
                    assert isinstance(output, Tensor)
                    # Dividing a meta tensor would import torch's compiler: another second.
                    if not output.is_meta:
                        output.div_(math.sqrt(2 * i))
