# License: BSD-3-Clause
"""The two stages of pretraining as Lightning modules: tokenizer, then masked-token prediction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from ..models import (
    NeuroRVQ,
    NeuroRVQTokenizer,
    count_codes,
    perplexity,
    reconstruction_losses,
    synthesise,
    used_share,
)
from ..models.collectives import all_sum
from .config import LossWeights, StageSettings
from .optimisation import MuonWithAdamW, warmup_cosine

# Any two steps, and any two processes, draw from different seeds.
_STEP_STRIDE, _RANK_STRIDE = 1_000_003, 7_919
# Written where a run stopped because its loss was not finite.
BAD_BATCH = "not_finite.json"


class Batch(NamedTuple):
    """Windows of one size.

    Attributes
    ----------
    windows : Tensor, shape (n_windows, n_channels, n_times)
        Signal in the model's unit and rate.
    channel_ids : Tensor of int64, shape (n_windows, n_channels)
        Vocabulary rows of each window's channels.
    ids : list of str
        Names of the windows in their corpus.
    """

    windows: Tensor
    channel_ids: Tensor
    ids: list[str]


class _Stage(lightning.LightningModule):
    """Optimiser, seeds and the check of the loss: what both stages share."""

    def __init__(self, settings: StageSettings, seed: int) -> None:
        super().__init__()
        self.settings = settings
        self.seed = seed

    def trained(self) -> nn.Module:
        """Return the module whose parameters are optimised."""
        raise NotImplementedError

    def configure_optimizers(self) -> OptimizerLRScheduler:
        settings = self.settings
        optimizer = MuonWithAdamW(
            self.trained(),
            lr=settings.lr,
            matrix_lr=settings.matrix_lr,
            weight_decay=settings.weight_decay,
        )
        schedule = warmup_cosine(optimizer, settings.lr_warmup_steps, settings.n_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make what is random in a step a function of its number: a resumed run is the same."""
        torch.manual_seed(self.seed + _STEP_STRIDE * (self.global_step + 1))

    def checked(self, loss: Tensor, batch: Batch) -> Tensor:
        """Return a loss that is finite, or stop and leave the names of the windows behind."""
        if torch.isfinite(loss):
            return loss
        file = Path(self.trainer.default_root_dir) / BAD_BATCH
        record = {"step": self.global_step, "rank": self.global_rank, "windows": batch.ids}
        file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        raise RuntimeError(
            f"the loss is {loss.item()} at step {self.global_step}: the windows of the batch are "
            f"in {file}. Look at them, or lower the learning rates; the run goes on from its last "
            "checkpoint."
        )


class TokenizerStage(_Stage):
    """Stage one: reconstruct the signal through the codes.

    Parameters
    ----------
    tokenizer : NeuroRVQTokenizer
        The model to train.
    settings : StageSettings
        Budget and optimisation.
    weights : LossWeights | None
        Weights of the losses; None takes the defaults.
    seed : int
        Seed of what is random in a step.

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
        weights: LossWeights | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(settings, seed)
        self.tokenizer = tokenizer
        self.weights = LossWeights() if weights is None else weights

    def trained(self) -> nn.Module:
        """Say what is optimised.

        Returns
        -------
        NeuroRVQTokenizer
            The tokenizer.
        """
        return self.tokenizer

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Sum the weighted losses."""
        losses, quantized = self.tokenizer.losses(batch.windows, batch.channel_ids)
        n = len(batch.windows)
        self.log_dict({f"train_{k}": v.detach() for k, v in losses.items()}, batch_size=n)
        for level, norm in enumerate(quantized.residual_norms.mean(0)):
            self.log(f"residual_norm_{level}", norm, batch_size=n)
        total = torch.stack([getattr(self.weights, k) * v for k, v in losses.items()]).sum()
        return self.checked(total, batch)

    def on_validation_epoch_start(self) -> None:
        """Start counting codes."""
        quantizer = self.tokenizer.config.quantizer
        shape = (quantizer.n_codebooks, quantizer.n_levels, quantizer.n_codes)
        self._counts = torch.zeros(shape, dtype=torch.int64, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the losses, and the correlation of reconstruction and signal."""
        x, n = batch.windows, len(batch.windows)
        predicted, target, quantized = self.tokenizer.reconstruct(x, batch.channel_ids)
        patches = x.unflatten(-1, (-1, self.tokenizer.config.patch_size))
        losses = {"code": quantized.loss, **reconstruction_losses(target, predicted, patches)}
        rebuilt = synthesise(predicted).flatten(2)
        r = F.cosine_similarity(
            rebuilt - rebuilt.mean(-1, keepdim=True), x - x.mean(-1, keepdim=True), dim=-1
        ).mean()
        if quantized.codes.shape[-1]:  # none while the quantizer warms up
            self._counts += count_codes(quantized.codes, self._counts.shape[-1])
        self.log_dict(
            {f"valid_{name}": loss for name, loss in losses.items()}, batch_size=n, sync_dist=True
        )
        self.log("valid_r", r, batch_size=n, prog_bar=True, sync_dist=True)
        self.log("valid_gain", rebuilt.std() / x.std(), batch_size=n, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Log the share of the codes in use and their perplexity, of the poorest codebook."""
        (counts,) = all_sum(self._counts)
        for level, (used, evenness) in enumerate(
            zip(used_share(counts).amin(0), perplexity(counts).amin(0), strict=True)
        ):
            self.log(f"valid_used_{level}", used)
            self.log(f"valid_perplexity_{level}", evenness)


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
    mask_ratio : float
        Share of the patches that the first pass hides; the second hides the others.
    seed : int
        Seed of the masks.

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
        mask_ratio: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__(settings, seed)
        self.foundation = foundation
        self.tokenizer = tokenizer.eval().requires_grad_(False)
        self.mask_ratio = mask_ratio

    def trained(self) -> nn.Module:
        """Say what is optimised.

        Returns
        -------
        NeuroRVQ
            The foundation model.
        """
        return self.foundation

    def on_train_epoch_start(self) -> None:
        """Keep the tokenizer as it is: Lightning sets everything to training mode."""
        self.tokenizer.eval()

    def masked_loss(self, batch: Batch, seed: int) -> tuple[Tensor, Tensor]:
        """Cross-entropy and accuracy over all codebooks, levels and both masks.

        Parameters
        ----------
        batch : Batch
            Windows.
        seed : int
            The mask is a function of it.

        Returns
        -------
        loss : Tensor, shape ()
            Mean cross-entropy of a code in nats.
        accuracy : Tensor, shape (n_codebooks, n_levels)
            Share of codes guessed right.
        """
        with torch.no_grad():
            codes, _ = self.tokenizer.encode(batch.windows, batch.channel_ids)
        generator = torch.Generator().manual_seed(seed)
        return masked_token_scores(self.foundation, batch, codes, generator, self.mask_ratio)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Predict the hidden codes."""
        seed = self.seed + _STEP_STRIDE * self.global_step + _RANK_STRIDE * self.global_rank
        loss, accuracy = self.masked_loss(batch, seed)
        n = len(batch.windows)
        self.log("train_loss", loss.detach(), batch_size=n)
        self.log("train_accuracy", accuracy.mean(), batch_size=n)
        return self.checked(loss, batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log loss and accuracy per level, under masks that never change."""
        loss, accuracy = self.masked_loss(batch, batch_idx)
        n = len(batch.windows)
        self.log("valid_loss", loss, batch_size=n, prog_bar=True, sync_dist=True)
        for level, share in enumerate(accuracy.mean(0)):
            self.log(f"valid_accuracy_{level}", share, batch_size=n, sync_dist=True)


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
