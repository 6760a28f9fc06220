# License: BSD-3-Clause
"""The transformer trunk that the models share: pre-norm blocks with normalised queries and keys."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head self-attention with LayerNorm on queries and keys and no bias on the keys.

    Parameters
    ----------
    dim : int
        Embedding width.
    n_heads : int
        Number of heads.

    Notes
    -----
    Queries and keys are normalised per head after their bias (eps 1e-6), as in BEiT-style
    trunks with "qk norm".
    """

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.q_norm = nn.LayerNorm(dim // n_heads, eps=1e-6)
        self.k_norm = nn.LayerNorm(dim // n_heads, eps=1e-6)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each sequence; x is ``(batch, n_tokens, dim)``."""
        batch, n_tokens, dim = x.shape
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        # The layer is called, not its weight read: adapters put another layer in its place.
        qkv = self.qkv(x) + bias
        q, k, v = qkv.view(batch, n_tokens, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        q, k = self.q_norm(q).to(v.dtype), self.k_norm(k).to(v.dtype)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(batch, n_tokens, dim))


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
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block.

    Parameters
    ----------
    dim, n_heads : int
        Embedding width and number of heads.
    mlp_ratio : float
        Hidden width of the MLP over ``dim``.
    layer_scale : float
        Initial value of the two LayerScale vectors; 0 leaves them out.
    """

    def __init__(self, dim: int, n_heads: int, mlp_ratio: float, layer_scale: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, n_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.gamma_1 = nn.Parameter(torch.full((dim,), layer_scale)) if layer_scale else None
        self.gamma_2 = nn.Parameter(torch.full((dim,), layer_scale)) if layer_scale else None

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(batch, n_tokens, dim)``."""
        attended, gamma_1, gamma_2 = self.attn(self.norm1(x)), self.gamma_1, self.gamma_2
        x = x + (attended if gamma_1 is None else gamma_1 * attended)
        mapped = self.mlp(self.norm2(x))
        return x + (mapped if gamma_2 is None else gamma_2 * mapped)


class Trunk(nn.Module):
    """Class token, channel and time embeddings, and a stack of blocks.

    The class token takes part in the attention and is dropped afterwards.

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
    layer_scale : float
        Initial LayerScale; 0 leaves it out.
    """

    def __init__(
        self,
        dim: int,
        n_heads: int,
        depth: int,
        mlp_ratio: float,
        n_channels: int,
        max_patches: int,
        layer_scale: float = 0.0,
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        # One row more than channels: the published tables have it, and it is never used.
        self.pos_embed = nn.Parameter(torch.zeros(n_channels + 1, dim))
        self.time_embed = nn.Parameter(torch.zeros(max_patches, dim))
        self.blocks = nn.ModuleList(
            Block(dim, n_heads, mlp_ratio, layer_scale) for _ in range(depth)
        )

    def forward(self, tokens: Tensor, channel_ids: Tensor) -> Tensor:
        """Run the blocks.

        Parameters
        ----------
        tokens : Tensor, shape (batch, n_chans * n_patches, dim)
            Patch embeddings, channel-major.
        channel_ids : Tensor, shape (n_chans,) or (batch, n_chans)
            Vocabulary rows of the channels; of each sequence, or the same for all.

        Returns
        -------
        Tensor, shape (batch, n_chans * n_patches, dim)
            Output of the last block, without a final norm.
        """
        n_patches = tokens.shape[1] // channel_ids.shape[-1]
        # The published models count time rows from the end of the table.
        time = self.time_embed[len(self.time_embed) - n_patches :]
        place = self.pos_embed[channel_ids].unsqueeze(-2) + time
        # The class token shares row 0 with the first channel of the vocabulary.
        cls = (self.cls_token + self.pos_embed[0]).expand(len(tokens), -1, -1)
        x = torch.cat((cls, tokens + place.flatten(-3, -2)), dim=1)
        for block in self.blocks:
            x = block(x)
        return x[:, 1:]


def init_trunk(module: nn.Module) -> None:
    """Initialise linear and convolution layers, tables and block outputs in place.

    Truncated normal of standard deviation 0.02 for weights and tables, zero biases, and the two
    output matrices of block ``i`` (from 1) divided by ``sqrt(2 i)``.

    Parameters
    ----------
    module : nn.Module
        A model; every :class:`Trunk` inside it is found.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, Trunk):
            for table in (part.cls_token, part.pos_embed, part.time_embed):
                nn.init.trunc_normal_(table, std=0.02)
    with torch.no_grad():
        for trunk in (m for m in module.modules() if isinstance(m, Trunk)):
            for i, block in enumerate(trunk.blocks, start=1):
                assert isinstance(block, Block)
                block.attn.proj.weight.div_(math.sqrt(2 * i))
                block.mlp.fc2.weight.div_(math.sqrt(2 * i))
