# License: BSD-3-Clause
"""Masked-token prediction: the heads that guess hidden codes, and their cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .brainrvq_config import BrainRVQConfig
from .transformer_config import TransformerConfig
from .trunk import draw_weights


class MaskedTokenHeads(nn.Module):
    """What masked-token prediction adds to the encoder: mask token, norm and linear heads.

    Parameters
    ----------
    config : TransformerConfig
        Structure.
    """

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
        """Logits of every code.

        Parameters
        ----------
        features : Tensor, shape (n_codebooks, n_masked, embed_dim)
            Block outputs at the masked positions.
        codes : Tensor | None
            Not used; part of the signature that heads share.

        Returns
        -------
        Tensor, shape (n_codebooks, n_levels, n_masked, n_codes)
            Logits.
        """
        features = self.norm(features)
        logits = torch.baddbmm(
            self.bias.flatten(1)[:, None], features, self.weight.flatten(1, 2).transpose(1, 2)
        )
        return logits.unflatten(-1, self.bias.shape[1:]).transpose(1, 2)


class HierarchicalTokenHeads(MaskedTokenHeads):
    """Heads from coarse to fine: a level is predicted from the codes of the levels before it.

    Parameters
    ----------
    config : BrainRVQConfig
        Structure.

    Notes
    -----
    With the features ``h`` and the embeddings ``E`` of codes ``k``, the logits of level 0 are
    ``W h`` and those of level ``l`` are ``W LayerNorm(h + sum of E(k) over the levels before l)``,
    with weights of their own in every codebook and level.
    """

    def __init__(self, config: BrainRVQConfig) -> None:
        super().__init__(config)
        n_books, n_levels, n_codes, dim = self.weight.shape
        # Nothing is predicted from the last level.
        self.embedding = nn.Parameter(torch.empty(n_books, n_levels - 1, n_codes, dim))
        self.fusion_weight = nn.Parameter(torch.ones(n_books, n_levels - 1, dim))
        self.fusion_bias = nn.Parameter(torch.zeros(n_books, n_levels - 1, dim))
        draw_weights(self.embedding)

    def forward(self, features: Tensor, codes: Tensor | None = None) -> Tensor:
        """Logits of every code.

        Parameters
        ----------
        features : Tensor, shape (n_codebooks, n_masked, embed_dim)
            Block outputs at the masked positions.
        codes : Tensor of int64, shape (n_codebooks, n_masked, n_levels) | None
            True codes, from which the next level is predicted (teacher forcing); None predicts it
            from the likeliest ones.

        Returns
        -------
        Tensor, shape (n_codebooks, n_levels, n_masked, n_codes)
            Logits.
        """
        told = self.norm(features)
        fused = told
        books = torch.arange(len(features), device=features.device)[:, None]
        logits: list[Tensor] = []
        for level in range(self.weight.shape[1]):
            if level:
                known = logits[-1].argmax(-1) if codes is None else codes[..., level - 1]
                told = told + self.embedding[books, level - 1, known]
                fused = F.layer_norm(told, told.shape[-1:], eps=self.norm.eps)
                fused = fused * self.fusion_weight[:, level - 1, None]
                fused = fused + self.fusion_bias[:, level - 1, None]
            head, bias = self.weight[:, level].transpose(1, 2), self.bias[:, level, None]
            logits.append(torch.baddbmm(bias, fused, head))
        return torch.stack(logits, dim=1)


def make_token_heads(config: TransformerConfig) -> MaskedTokenHeads:
    """Build the pretraining heads of a configuration.

    Parameters
    ----------
    config : TransformerConfig
        Structure.

    Returns
    -------
    MaskedTokenHeads
        Parallel or hierarchical heads.
    """
    if isinstance(config, BrainRVQConfig) and config.token_heads == "hierarchical":
        return HierarchicalTokenHeads(config)
    return MaskedTokenHeads(config)


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
        each = F.cross_entropy(guesses.flatten(0, 2), target.flatten(), reduction="none")
        means.append(each.view(target.shape).sum(-1) / max(1, target.shape[-1]))
    return torch.stack(means)
