# License: BSD-3-Clause
"""The transformer trunk that the models share: pre-norm blocks, places and a class token."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .in_place import gelu, plus, times
from .transformer_config import TrunkStyle

_PLAIN = TrunkStyle()
# Largest product of a query and a key up to which bfloat16 tells products apart well enough, and
# tokens up to which the table of products is small.
_MOST_PRODUCT, _MOST_TOKENS = 16.0, 1024
# Columns that a product in bfloat16 computes at a time.
_LANES = 16


class Attention(nn.Module):
    """Multi-head self-attention with LayerNorm on queries and keys and no bias on the keys.

    Parameters
    ----------
    dim : int
        Embedding width.
    n_heads : int
        Number of heads.
    style : TrunkStyle
        Whether there are biases and norms.

    Notes
    -----
    Queries and keys are normalised per head after their bias (eps 1e-6), as in BEiT-style
    trunks with "qk norm".
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
        q, k = self.q_norm(q).to(v.dtype), self.k_norm(k).to(v.dtype)
        attend = _attend_bf16 if self._bf16_pays(v) else _attend
        return self.proj(attend(q, k, v).transpose(1, 2).reshape(batch, n_tokens, dim))

    def _bf16_pays(self, v: Tensor) -> bool:
        """Whether attention by plain products is faster and safe: short sequences on a CPU."""
        if v.dtype != torch.bfloat16 or v.device.type != "cpu" or torch.is_grad_enabled():
            return False
        if not isinstance(self.q_norm, nn.LayerNorm) or not isinstance(self.k_norm, nn.LayerNorm):
            return False
        most = _most_norm(self.q_norm) * _most_norm(self.k_norm) / v.shape[-1] ** 0.5
        return v.shape[-2] <= _MOST_TOKENS and most <= _MOST_PRODUCT


def _most_norm(layer: nn.LayerNorm) -> float:
    """Bound on the length of what a LayerNorm gives: its core has length ``sqrt(dim)``."""
    return float(layer.weight.abs().max() * len(layer.weight) ** 0.5 + layer.bias.norm())


def _attend_bf16(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of ``(batch, n_heads, n_tokens, head_dim)`` by products of whole matrices.

    torch's own makes blocks that are too small for the speed of products in bfloat16. Queries and
    keys must be so short that the exponential needs no maximum taken off.
    """
    dim = v.shape[-1]
    # A column of ones gives the sums of the weights with the same product.
    columns = v.new_zeros(*v.shape[:-1], (dim // _LANES + 1) * _LANES)
    columns[..., :dim] = v
    columns[..., dim] = 1.0
    found = torch.empty_like(columns)
    # Sequence by sequence: the table stays in the cache.
    weights = v.new_empty(*v.shape[1:-1], v.shape[-2])
    for query, key, column, out in zip(q * dim**-0.5, k.mT, columns, found, strict=True):
        torch.bmm(query, key, out=weights).exp_()
        torch.bmm(weights, column, out=out)
    return found[..., :dim] / found[..., dim : dim + 1]


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Torch's attention; where a CPU learns in float32, in bfloat16 its gradient takes longer."""
    if v.dtype != torch.bfloat16 or v.device.type != "cpu" or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v)
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float()).to(v.dtype)


class Mlp(nn.Module):
    """Two linear layers around an exact GELU.

    Parameters
    ----------
    dim, hidden : int
        Outer and inner width.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map the last axis."""
        return self.fc2(gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block.

    Parameters
    ----------
    dim, n_heads : int
        Embedding width and number of heads.
    mlp_ratio : float
        Hidden width of the MLP over ``dim``.
    style : TrunkStyle
        Biases, norms and LayerScale.
    drop_path : float
        In training, the share of windows to which each half of the block adds nothing.
    """

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
        attended, gamma_1, gamma_2 = self.attn(self.norm1(x)), self.gamma_1, self.gamma_2
        # The sum is the block's own, its input is not.
        x = x + self._kept(attended if gamma_1 is None else times(attended, gamma_1))
        mapped = self.mlp(self.norm2(x))
        return plus(x, self._kept(mapped if gamma_2 is None else times(mapped, gamma_2)))

    def _kept(self, added: Tensor) -> Tensor:
        """Leave out whole windows, and weigh the others so that the mean stays."""
        if not (self.training and self.drop_path):
            return added
        share = 1 - self.drop_path
        return added * added.new_empty(len(added), 1, 1).bernoulli_(share) / share


class Trunk(nn.Module):
    """Class token, channel and time embeddings, and a stack of blocks.

    Parameters
    ----------
    dim, n_heads, depth : int
        Embedding width, heads and number of blocks.
    mlp_ratio : float
        Hidden width of the MLPs over ``dim``.
    n_channels : int
        Size of the channel vocabulary.
    max_patches : int
        Rows of the time embedding.
    style : TrunkStyle
        What the systems do differently.
    """

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
        """Run the blocks.

        Parameters
        ----------
        tokens : Tensor, shape (batch, n_chans * n_patches, dim)
            Patch embeddings, channel-major.
        channel_ids : Tensor, shape (n_chans,) or (batch, n_chans)
            Vocabulary rows of the channels; of each sequence, or the same for all.
        class_channel : Tensor, shape (1,) or (batch, 1) | None
            Channel whose place the class token takes; None gives it row 0 of the table.
        keep_class : bool
            Whether to return the class token, too, before the patches.

        Returns
        -------
        Tensor, shape (batch, n_chans * n_patches, dim) or one token more
            Output of the last block, without a final norm.
        """
        n_patches = tokens.shape[1] // channel_ids.shape[-1]
        first_row = int(self.style.class_row)
        # NeuroRVQ's published models count time rows from the end of the table.
        start = 0 if self.style.time_from_start else len(self.time_embed) - n_patches
        time = self.time_embed[start : start + n_patches]
        place = self.pos_embed[channel_ids + first_row].unsqueeze(-2) + time
        class_row = 0 if class_channel is None else class_channel + first_row
        cls = (self.cls_token + self.pos_embed[class_row]).expand(len(tokens), -1, -1)
        x = torch.cat((cls, tokens + place.flatten(-3, -2)), dim=1)
        for block in self.blocks:
            x = block(x)
        return x if keep_class else x[:, 1:]


def draw_weights(weights: Tensor) -> None:
    """Draw from a truncated normal of standard deviation 0.02, in place.

    Parameters
    ----------
    weights : Tensor
        What to fill; on the meta device it is left alone.
    """
    # For what has no memory, torch would import a second of Python.
    if not weights.is_meta:
        nn.init.trunc_normal_(weights, std=0.02)


def init_trunk(module: nn.Module, *, convolutions: bool = True) -> None:
    """Initialise linear and convolution layers, tables and block outputs in place.

    Truncated normal of standard deviation 0.02 for weights and tables, zero biases, and the two
    output matrices of block ``i`` (from 1) divided by ``sqrt(2 i)``.

    Parameters
    ----------
    module : nn.Module
        A model; every :class:`Trunk` inside it is found.
    convolutions : bool
        Whether convolutions start like linear layers. Otherwise they start as torch's do, wide
        enough for signals that are small numbers.
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
                    # Dividing a meta tensor would import torch's compiler, a second of Python.
                    if not output.is_meta:
                        output.div_(math.sqrt(2 * i))
