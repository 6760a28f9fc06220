# License: BSD-3-Clause
"""Heads of foundation models: for classes, for hidden codes and for physiological targets."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import TransformerConfig
from .fast import cross_entropy
from .trunk import draw_weights


def make_head(
    width: int, n_outputs: int, generator: torch.Generator | None = None, *, eps: float = 1e-5
) -> nn.Sequential:
    """Build a LayerNorm and a linear layer, drawn from ``generator`` as torch draws them."""
    linear = nn.Linear(width, n_outputs)
    nn.init.kaiming_uniform_(linear.weight, a=math.sqrt(5), generator=generator)
    nn.init.uniform_(linear.bias, -(width**-0.5), width**-0.5, generator=generator)
    return nn.Sequential(OrderedDict(norm=nn.LayerNorm(width, eps=eps), linear=linear))


class MaskedTokenHeads(nn.Module):
    """What masked-token prediction adds to an encoder: mask token, norm and linear heads."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        quantizer, dim = config.quantizer, config.embed_dim
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.norm = nn.LayerNorm(dim, eps=config.foundation_style.norm_eps)
        shape = (quantizer.n_codebooks, quantizer.n_levels, quantizer.n_codes)
        self.weight = nn.Parameter(torch.empty(*shape, dim))
        self.bias = nn.Parameter(torch.zeros(shape))
        draw_weights(self.mask_token)
        draw_weights(self.weight)

    def forward(self, features: Tensor, codes: Tensor | None = None) -> Tensor:
        """Map features ``(n_codebooks, n_masked, embed_dim)`` to logits of every code.

        These are ``(n_codebooks, n_levels, n_masked, n_codes)``; ``codes`` are not used.
        """
        features = self.norm(features)
        logits = torch.baddbmm(
            self.bias.flatten(1)[:, None], features, self.weight.flatten(1, 2).transpose(1, 2)
        )
        return logits.unflatten(-1, self.bias.shape[1:]).transpose(1, 2)


class HierarchicalTokenHeads(MaskedTokenHeads):
    """Heads from coarse to fine: a level is predicted from the codes of the levels before it.

    With the features ``h`` and the embeddings ``E`` of codes ``k``, the logits of level 0 are
    ``W h`` and those of level ``l`` are ``W LayerNorm(h + sum of E(k) over the levels before l)``,
    with weights of their own in every codebook and level.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        n_books, n_levels, n_codes, dim = self.weight.shape
        # Nothing is predicted from the last level.
        self.embedding = nn.Parameter(torch.empty(n_books, n_levels - 1, n_codes, dim))
        self.fusion_weight = nn.Parameter(torch.ones(n_books, n_levels - 1, dim))
        self.fusion_bias = nn.Parameter(torch.zeros(n_books, n_levels - 1, dim))
        draw_weights(self.embedding)

    def forward(self, features: Tensor, codes: Tensor | None = None) -> Tensor:
        """Logits as above, each level from true ``codes`` of the levels before (teacher forcing).

        ``codes`` are ``(n_codebooks, n_masked, n_levels)``; without them the likeliest ones serve.
        """
        total = self.norm(features)
        fused = total
        books = torch.arange(len(features), device=features.device)[:, None]
        logits: list[Tensor] = []
        for level in range(self.weight.shape[1]):
            if level:
                known = logits[-1].argmax(-1) if codes is None else codes[..., level - 1]
                total = total + self.embedding[books, level - 1, known]
                fused = F.layer_norm(total, total.shape[-1:], eps=self.norm.eps)
                fused = fused * self.fusion_weight[:, level - 1, None]
                fused = fused + self.fusion_bias[:, level - 1, None]
            head, bias = self.weight[:, level].transpose(1, 2), self.bias[:, level, None]
            logits.append(torch.baddbmm(bias, fused, head))
        return torch.stack(logits, dim=1)


def make_token_heads(config: TransformerConfig) -> MaskedTokenHeads:
    """Build the pretraining heads of a configuration."""
    return (HierarchicalTokenHeads if config.hierarchical_heads else MaskedTokenHeads)(config)


def token_cross_entropy(logits: tuple[Tensor, Tensor], codes: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of hidden codes under both masks, by codebook and level.

    Parameters
    ----------
    logits : tuple of Tensor, each of shape (n_codebooks, n_levels, n_hidden, n_codes)
        What ``masked_token_logits`` gave: at the patches of the mask, and at the others.
    codes : Tensor of int64, shape (batch, n_chans, n_patches, n_codebooks, n_levels)
        The true codes.
    mask : Tensor of bool, shape (batch, n_chans * n_patches) or (batch, n_chans, n_patches)
        The mask.

    Returns
    -------
    Tensor, shape (2, n_codebooks, n_levels)
        Means over the hidden patches of the batch, in nats; 0 where none is hidden.

    Notes
    -----
    BrainRVQ's objective is the sum of its values weighted by
    :data:`~mne_neurorvq.models.BRAINRVQ_LEVEL_WEIGHTS`.

    Examples
    --------
    >>> import torch
    >>> codes = torch.zeros(1, 1, 2, 1, 3, dtype=torch.int64)
    >>> logits = (torch.zeros(1, 3, 1, 8), torch.zeros(1, 3, 1, 8))
    >>> token_cross_entropy(logits, codes, torch.tensor([[True, False]])).shape
    torch.Size([2, 1, 3])
    """
    hidden, labels = mask.flatten(1), codes.flatten(1, 2)
    means = []
    for guesses, chosen in zip(logits, (hidden, ~hidden), strict=True):
        target = labels[chosen].permute(1, 2, 0)
        means.append(cross_entropy(guesses, target).sum(-1) / max(1, target.shape[-1]))
    return torch.stack(means)


class TargetHead(nn.Module):
    """One linear layer for physiological numbers of patches, ``sizes`` of each target in order."""

    def __init__(self, sizes: Mapping[str, int], config: TransformerConfig) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        n_columns = sum(self.sizes.values())
        # Not nn.Linear: the optimiser takes the matrices of those for layers of the model.
        self.weight = nn.Parameter(torch.zeros(n_columns, config.feature_dim))
        self.bias = nn.Parameter(torch.zeros(n_columns))
        self.mask_token = nn.Parameter(torch.zeros(config.embed_dim))

    def forward(self, features: Tensor) -> Tensor:
        """Map features ``(..., feature_dim)`` to ``(..., n_columns)``."""
        return F.linear(features, self.weight, self.bias)

    def errors(self, predicted: Tensor, targets: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Mean squared error ``(n_targets,)`` over the ``chosen`` patches whose target is known.

        Unknown targets are NaN; where no patch counts, the error is 0.
        """
        known = ~targets.isnan()
        if chosen is not None:
            known = known & chosen[..., None]
        squares = torch.where(known, predicted.float() - targets, 0.0).square()
        sizes = list(self.sizes.values())
        pairs = zip(squares.split(sizes, -1), known.split(sizes, -1), strict=True)
        return torch.stack([part.sum() / some.sum().clamp(min=1) for part, some in pairs])
