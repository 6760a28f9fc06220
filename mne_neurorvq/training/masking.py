# License: BSD-3-Clause
"""Masked-token prediction: which patches are hidden, and how well their codes are guessed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models import NeuroRVQ
from .batches import Batch


def masked_token_scores(
    foundation: NeuroRVQ,
    batch: Batch,
    codes: Tensor,
    generator: torch.Generator,
    mask_ratio: float,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy and accuracy of guessing hidden codes, over both masks.

    Parameters
    ----------
    foundation : NeuroRVQ
        Model with masked-token heads.
    batch : Batch
        Windows.
    codes : Tensor, shape (n_windows, n_channels, n_patches, n_codebooks, n_levels)
        Their codes.
    generator : torch.Generator
        Draws the patches that the first pass hides; the second hides the rest.
    mask_ratio : float
        Share of the patches that the first pass hides.

    Returns
    -------
    loss : Tensor, shape ()
        Mean cross-entropy of a code in nats.
    accuracy : Tensor, shape (n_codebooks, n_levels)
        Share of codes guessed right.
    """
    labels = codes.flatten(1, 2)
    mask = random_mask(labels.shape[:2], mask_ratio, generator).to(codes.device)
    both = foundation.masked_token_logits(batch.windows, mask, batch.channel_ids)
    losses, hits = [], []
    for logits, hidden in zip(both, (mask, ~mask), strict=True):
        target = labels[hidden].permute(1, 2, 0)
        losses.append(F.cross_entropy(logits.flatten(0, 2), target.flatten(), reduction="sum"))
        hits.append((logits.detach().argmax(-1) == target).float().sum(-1))
    return torch.stack(losses).sum() / labels.numel(), torch.stack(hits).sum(0) / mask.numel()


def random_mask(
    shape: tuple[int, int] | torch.Size, ratio: float, generator: torch.Generator
) -> Tensor:
    """Hide the same number of random patches in every window.

    Parameters
    ----------
    shape : tuple of int
        ``(n_windows, n_tokens)``.
    ratio : float
        Share to hide.
    generator : torch.Generator
        Source of the draw.

    Returns
    -------
    Tensor of bool, shape (n_windows, n_tokens)
        True where hidden.
    """
    order = torch.rand(tuple(shape), generator=generator).argsort(dim=1)
    return order < round(ratio * shape[1])
