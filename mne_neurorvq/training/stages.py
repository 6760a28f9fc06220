# License: BSD-3-Clause
"""The two stages of pretraining as Lightning modules: tokenizer, then masked-token prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..models import NeuroRVQ, NeuroRVQTokenizer
from .crops import Batch
from .optimisation import make_optimizers, warmup_cosine

# Share of the patches that the first of the two passes hides.
_MASK_RATIO = 0.5


@dataclass(frozen=True)
class StageSettings:
    """Budget and optimisation of one stage.

    Parameters
    ----------
    n_steps : int
        Optimiser steps.
    tokens_per_step : int
        Patches per step: windows times channels times patches.
    lr, matrix_lr : float
        Learning rates of AdamW and of Muon (which takes the matrices of linear layers).
    weight_decay : float
        Decay of those matrices.
    lr_warmup_steps : int
        Steps of linear warm-up, before the cosine.
    max_norm : float
        Gradient norm to clip at.
    seed : int
        Seed of weights and batches.

    Examples
    --------
    >>> from mne_neurorvq.training import StageSettings
    >>> StageSettings(n_steps=4000, seed=7).tokens_per_step
    512
    """

    n_steps: int
    tokens_per_step: int = 512
    lr: float = 7e-4
    matrix_lr: float = 1.4e-3
    weight_decay: float = 0.01
    lr_warmup_steps: int = 200
    max_norm: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class LossWeights:
    """Weights of the tokenizer's losses.

    The published objective is 1 for all but ``waveform``, which is 0 there: without it the
    amplitude of the reconstruction is free.

    Parameters
    ----------
    code, amplitude, phase, signal, waveform : float
        Weight of the term of that name, see
        :func:`~mne_neurorvq.models.reconstruction_losses`.

    Examples
    --------
    >>> from mne_neurorvq.training import LossWeights
    >>> published = LossWeights(waveform=0.0)
    >>> published.signal
    1.0
    """

    code: float = 1.0
    amplitude: float = 1.0
    phase: float = 1.0
    signal: float = 1.0
    waveform: float = 2.0


class _Stage(lightning.LightningModule):
    """Two optimisers, clipping and schedules: what both stages share."""

    def __init__(self, settings: StageSettings) -> None:
        super().__init__()
        self.settings = settings
        # Lightning steps several optimisers only when asked to by hand.
        self.automatic_optimization = False

    def trained(self) -> nn.Module:
        """Return the module whose parameters are optimised."""
        raise NotImplementedError

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        settings = self.settings
        optimizers = make_optimizers(
            self.trained(),
            lr=settings.lr,
            matrix_lr=settings.matrix_lr,
            weight_decay=settings.weight_decay,
        )
        schedules = [
            warmup_cosine(optimizer, settings.lr_warmup_steps, settings.n_steps)
            for optimizer in optimizers
        ]
        return list(optimizers), schedules

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make what is random in a step a function of its number: a resumed run is the same."""
        torch.manual_seed(self.settings.seed + 1_000_003 * (self.global_step + 1))

    def descend(self, loss: Tensor) -> None:
        """One step of both optimisers."""
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {loss.item()} at step {self.trainer.global_step}.")
        optimizers: Any = self.optimizers()
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(loss)
        norm = nn.utils.clip_grad_norm_(self.trained().parameters(), self.settings.max_norm)
        self.log("gradient_norm", norm)
        for optimizer in optimizers:
            optimizer.step()
        schedules: Any = self.lr_schedulers()
        for schedule in schedules:
            schedule.step()


class TokenizerStage(_Stage):
    """Stage one: reconstruct the signal through the codes.

    Parameters
    ----------
    tokenizer : NeuroRVQTokenizer
        The model to train.
    settings : StageSettings
        Budget and optimisation.
    weights : LossWeights
        Weights of the losses.

    Examples
    --------
    >>> from mne_neurorvq import load_pretrained
    >>> from mne_neurorvq.training import StageSettings, TokenizerStage
    >>> tokenizer = load_pretrained("neurorvq-eeg-tiny-random").tokenizer
    >>> stage = TokenizerStage(tokenizer, StageSettings(n_steps=100))
    >>> stage.trained() is tokenizer
    True
    """

    def __init__(
        self,
        tokenizer: NeuroRVQTokenizer,
        settings: StageSettings,
        weights: LossWeights = LossWeights(),
    ) -> None:
        super().__init__(settings)
        self.tokenizer = tokenizer
        self.weights = weights

    def trained(self) -> nn.Module:
        """Say what is optimised.

        Returns
        -------
        NeuroRVQTokenizer
            The tokenizer.
        """
        return self.tokenizer

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Sum the weighted losses and descend."""
        losses, quantized = self.tokenizer.losses(batch.windows, batch.channel_ids)
        self.descend(
            torch.stack([getattr(self.weights, name) * loss for name, loss in losses.items()]).sum()
        )
        self.log_dict({f"train_{name}": loss.detach() for name, loss in losses.items()})
        for level, norm in enumerate(quantized.residual_norms.mean(0)):
            self.log(f"residual_norm_{level}", norm)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the losses and the correlation of reconstruction and signal."""
        x = batch.windows
        losses, _ = self.tokenizer.losses(x, batch.channel_ids)
        rebuilt = self.tokenizer(x, batch.channel_ids)
        r = F.cosine_similarity(
            rebuilt - rebuilt.mean(-1, keepdim=True), x - x.mean(-1, keepdim=True), dim=-1
        ).mean()
        self.log_dict({f"valid_{name}": loss for name, loss in losses.items()}, batch_size=len(x))
        self.log("valid_r", r, batch_size=len(x), prog_bar=True)
        self.log("valid_gain", rebuilt.std() / x.std(), batch_size=len(x))


class FoundationStage(_Stage):
    """Stage two: predict the codes of hidden patches, with symmetric masking.

    Parameters
    ----------
    foundation : NeuroRVQ
        The model to train, with masked-token heads.
    tokenizer : NeuroRVQTokenizer
        Frozen and in evaluation mode; gives the codes of the unmasked windows.
    settings : StageSettings
        Budget and optimisation.

    Examples
    --------
    >>> from mne_neurorvq.models import NeuroRVQ
    >>> from mne_neurorvq import load_pretrained
    >>> from mne_neurorvq.training import FoundationStage, StageSettings
    >>> tokenizer = load_pretrained("neurorvq-eeg-tiny-random").tokenizer
    >>> foundation = NeuroRVQ(config=tokenizer.config, masked_token_heads=True)
    >>> stage = FoundationStage(foundation, tokenizer, StageSettings(n_steps=100))
    >>> stage.trained() is foundation
    True
    """

    def __init__(
        self,
        foundation: NeuroRVQ,
        tokenizer: NeuroRVQTokenizer,
        settings: StageSettings,
    ) -> None:
        super().__init__(settings)
        self.foundation = foundation
        self.tokenizer = tokenizer.eval().requires_grad_(False)

    def trained(self) -> nn.Module:
        """Say what is optimised.

        Returns
        -------
        NeuroRVQ
            The foundation model.
        """
        return self.foundation

    def masked_loss(self, batch: Batch, seed: int) -> tuple[Tensor, Tensor]:
        """Cross-entropy and accuracy per level over all codebooks and both masks.

        Parameters
        ----------
        batch : Batch
            Windows.
        seed : int
            The mask is a function of it.

        Returns
        -------
        loss : Tensor, shape ()
            Mean cross-entropy.
        accuracy : Tensor, shape (n_codebooks, n_levels)
            Share of codes guessed right.
        """
        x = batch.windows
        with torch.no_grad():
            codes, _ = self.tokenizer.encode(x, batch.channel_ids)
        generator = torch.Generator().manual_seed(seed)
        return masked_token_scores(self.foundation, batch, codes, generator)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Descend on the masked-token loss."""
        loss, accuracy = self.masked_loss(batch, self.settings.seed + self.global_step)
        self.descend(loss)
        self.log("train_loss", loss.detach())
        self.log("train_accuracy", accuracy.mean())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log loss and accuracy per level, under masks that never change."""
        loss, accuracy = self.masked_loss(batch, batch_idx)
        self.log("valid_loss", loss, batch_size=len(batch.windows), prog_bar=True)
        for level, share in enumerate(accuracy.mean(0)):
            self.log(f"valid_accuracy_{level}", share, batch_size=len(batch.windows))


def masked_token_scores(
    foundation: NeuroRVQ, batch: Batch, codes: Tensor, generator: torch.Generator
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
        Draws the half of the patches that the first pass hides; the second hides the rest.

    Returns
    -------
    loss : Tensor, shape ()
        Mean cross-entropy of a code in nats.
    accuracy : Tensor, shape (n_codebooks, n_levels)
        Share of codes guessed right.
    """
    labels = codes.flatten(1, 2)
    mask = random_mask(labels.shape[:2], _MASK_RATIO, generator).to(codes.device)
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
