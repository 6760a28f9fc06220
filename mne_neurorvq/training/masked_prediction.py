# License: BSD-3-Clause
"""Masked-token prediction: which patches are hidden, and how well their codes are guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple, Protocol

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from ..models import BRAINRVQ_LEVEL_WEIGHTS, draw_mask, token_cross_entropy
from ..models.fast import guessed
from ..weights.systems import Config, Foundation
from .batches import Batch

_Share = Annotated[float, Field(gt=0, lt=1)]


class Masking(Protocol):
    """How patches are chosen that the first of two passes hides, and what the two cost."""

    @property
    def ratio(self) -> float:
        """Share of the patches that is hidden; while it is watched, at random."""

    def draw(
        self, windows: Tensor, config: Config, progress: float, generator: torch.Generator
    ) -> Tensor:
        """Choose patches, ``(n_windows, n_channels * n_patches)``, at a point of training."""

    def loss(self, cross_entropy: Tensor, mask: Tensor) -> Tensor:
        """Join the cross-entropies of both passes, codebooks and levels."""


@dataclass(frozen=True)
class EvenMasking:
    """NeuroRVQ's: any patches, and every code counts the same."""

    ratio: float = 0.5  # share that the first pass hides; the second hides the others

    def draw(
        self, windows: Tensor, config: Config, progress: float, generator: torch.Generator
    ) -> Tensor:
        """Choose patches at random."""
        n_tokens = windows.shape[1] * windows.shape[2] // config.patch_size
        return random_mask((len(windows), n_tokens), self.ratio, generator).to(windows.device)

    def loss(self, cross_entropy: Tensor, mask: Tensor) -> Tensor:
        """Average over all patches, codebooks and levels."""
        share = mask.float().mean()
        return (share * cross_entropy[0] + (1 - share) * cross_entropy[1]).mean()


@dataclass(frozen=True)
class GuidedMasking:
    """BrainRVQ's: informative patches more often as training goes on, and coarse codes count more.

    Parameters
    ----------
    guided : bool
        Whether the information in the patches counts; False draws all with the same chance.
    ratio, temperature, punching, longest_run
        See :func:`~mne_neurorvq.models.draw_mask`.
    level_weights : tuple of float
        Weight of the cross-entropy of each level; a model with more levels repeats the last.

    Examples
    --------
    >>> from mne_neurorvq.training import GuidedMasking
    >>> GuidedMasking(guided=False).level_weights
    (1.0, 0.5, 0.25)
    """

    guided: bool = True
    ratio: _Share = 0.5
    temperature: PositiveFloat = 0.8
    punching: Annotated[float, Field(ge=0, lt=1)] = 0.1
    longest_run: PositiveInt = 5
    level_weights: Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)] = (
        BRAINRVQ_LEVEL_WEIGHTS
    )

    def draw(
        self, windows: Tensor, config: Config, progress: float, generator: torch.Generator
    ) -> Tensor:
        """Choose patches, see :func:`~mne_neurorvq.models.draw_mask`.

        Parameters
        ----------
        windows : Tensor, shape (n_windows, n_channels, n_times)
            Windows.
        config : Config
            Gives patch and rate.
        progress : float
            Share of the training that is done.
        generator : torch.Generator
            Source of the draw.

        Returns
        -------
        Tensor of bool, shape (n_windows, n_channels * n_patches)
            True where hidden.
        """
        return draw_mask(
            windows,
            progress,
            generator,
            patch_size=config.patch_size,
            sfreq=config.sfreq,
            guided=self.guided,
            ratio=self.ratio,
            temperature=self.temperature,
            punching=self.punching,
            longest_run=self.longest_run,
        ).flatten(1)

    def loss(self, cross_entropy: Tensor, mask: Tensor) -> Tensor:
        """Add up both passes, codebooks and levels, as published.

        Parameters
        ----------
        cross_entropy : Tensor, shape (2, n_codebooks, n_levels)
            Means over the hidden patches of each pass.
        mask : Tensor of bool, shape (n_windows, n_tokens)
            Not used.

        Returns
        -------
        Tensor, shape ()
            Weighted sum in nats.
        """
        last = len(self.level_weights) - 1
        weights = [self.level_weights[min(i, last)] for i in range(cross_entropy.shape[-1])]
        return (cross_entropy * cross_entropy.new_tensor(weights)).sum()


class Guesses(NamedTuple):
    """What a model made of hidden codes."""

    cross_entropy: Tensor  # (2, n_codebooks, n_levels), means over the hidden patches, in nats
    accuracy: Tensor  # (n_codebooks, n_levels), share of both passes that is right


def guess_codes(
    foundation: Foundation, batch: Batch, codes: Tensor, mask: Tensor, *, true_levels: bool = True
) -> Guesses:
    """Hide patches, then the others, and guess their codes.

    ``codes`` are ``(n_windows, n_channels, n_patches, n_codebooks, n_levels)``. Heads that guess a
    level from the levels before it get the true ones, or with ``true_levels=False`` their own.
    """
    logits = foundation.masked_token_logits(
        batch.windows, mask, batch.channel_ids, codes if true_levels else None
    )
    labels, hits = codes.flatten(1, 2), []
    for guesses, hidden in zip(logits, (mask, ~mask), strict=True):
        target = labels[hidden].permute(1, 2, 0)
        hits.append(guessed(guesses.detach(), target).float().sum(-1))
    accuracy = torch.stack(hits).sum(0) / mask.numel()
    return Guesses(token_cross_entropy(logits, codes, mask), accuracy)


def random_mask(
    shape: tuple[int, int] | torch.Size, ratio: float, generator: torch.Generator
) -> Tensor:
    """Hide the same number of random patches in every window."""
    order = torch.rand(tuple(shape), generator=generator).argsort(dim=1)
    return order < round(ratio * shape[1])
