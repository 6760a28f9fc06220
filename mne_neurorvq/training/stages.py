# License: BSD-3-Clause
"""The two stages of pretraining as Lightning modules: tokenizer, then masked-token prediction."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Self

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from ..models import NeuroRVQ, NeuroRVQTokenizer, count_codes, perplexity, used_share
from ..models.collectives import all_sum
from ..weights.systems import Tokenizer
from .batches import Batch
from .config import read_config
from .masking import masked_token_scores
from .optimisation import MuonWithAdamW, warmup_cosine
from .settings import StageSettings

# Any two batches, and any two processes, draw from different seeds.
_BATCH_STRIDE, _RANK_STRIDE = 1_000_003, 7_919
# Written where a run stopped because its loss was not finite.
BAD_BATCH = "not_finite.json"


class _Stage(lightning.LightningModule):
    """Optimiser, seeds and the check of the losses: what both stages share."""

    def __init__(self, settings: StageSettings, seed: int) -> None:
        super().__init__()
        self.settings = settings
        self.seed = seed
        # Loss and windows of the batches of the step.
        self._step: list[tuple[Tensor, list[str]]] = []
        self._start_watching()

    @property
    def settled(self) -> bool:
        """Whether a checkpoint holds all that the run goes on from."""
        return True

    def trained(self) -> nn.Module:
        """Return the module whose parameters are optimised."""
        raise NotImplementedError

    def configure_optimizers(self) -> OptimizerLRScheduler:
        settings = self.settings
        optimizer = MuonWithAdamW(
            self.trained(),
            lr=settings.lr,
            matrix_lr=settings.matrix_lr,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        schedule = warmup_cosine(optimizer, settings.lr_warmup_steps, settings.n_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make what is random in a batch a function of its number: a resumed run is the same."""
        torch.manual_seed(self.seed + _BATCH_STRIDE * (batch_idx + 1))

    def noted(self, loss: Tensor, batch: Batch) -> Tensor:
        """Remember what a batch gave until the step is taken."""
        self._step.append((loss.detach(), batch.ids))
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient of a step; if it or a loss is not finite, no step is taken.

        Gradients are the same in all processes: all of them stop, and none waits for another.
        """
        norm = nn.utils.clip_grad_norm_(self.trained().parameters(), self.settings.max_norm)
        losses = torch.stack([loss for loss, _ in self._step])
        if not torch.isfinite(torch.cat([norm[None], losses])).all():
            self._stop(norm)
        self._step.clear()
        self.log("gradient_norm", norm)

    def on_validation_epoch_start(self) -> None:
        """Start sums."""
        self._start_watching()

    def _start_watching(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._n_watched = 0

    def watch(self, measures: Mapping[str, Tensor], n_windows: int) -> None:
        """Add the measures of a batch."""
        for name, value in measures.items():
            self._sums[name] = self._sums.get(name, 0) + n_windows * value
        self._n_watched += n_windows

    def watched_means(self) -> dict[str, Tensor]:
        """Average over the windows of all processes.

        Lightning's own means are wrong where the windows cannot be divided by the processes: it
        averages the numbers of windows too, as whole numbers.
        """
        own = torch.stack(list(self._sums.values()))
        (sums,) = all_sum(torch.cat([own, own.new_tensor([self._n_watched])]))
        return dict(zip(self._sums, sums[:-1] / sums[-1], strict=True))

    def _stop(self, norm: Tensor) -> None:
        """Leave the names of the windows behind."""
        file = Path(self.trainer.default_root_dir) / BAD_BATCH
        if self.global_rank > 0:  # all processes stop, each with windows of its own
            file = file.with_suffix(f".{self.global_rank}.json")
        losses = [str(loss.item()) for loss, _ in self._step]
        record = {
            "step": self.global_step,
            "gradient_norm": str(norm.item()),
            "batches": [
                {"loss": loss, "windows": ids}
                for loss, (_, ids) in zip(losses, self._step, strict=True)
            ],
        }
        file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        raise FloatingPointError(
            f"the loss is {', '.join(losses)} and the norm of its gradient {norm.item()} at step "
            f"{self.global_step}: the windows of the step are in {file}. Look at them, or lower "
            "the learning rates in another folder; the same command goes on from the last "
            "checkpoint."
        )


class TokenizerStage(_Stage):
    """Stage one: reconstruct the signal through the codes.

    Parameters
    ----------
    tokenizer : NeuroRVQTokenizer | BioCodec
        The model to train.
    settings : StageSettings
        Budget and optimisation.
    weights : mapping of str to float | None
        Weight of each loss by its name; None takes the defaults of the system.
    seed : int
        Seed of what is random in a step.

    Examples
    --------
    >>> from mne_neurorvq import load_pretrained
    >>> from mne_neurorvq.training import StageSettings, TokenizerStage
    >>> tokenizer = load_pretrained("biocodec-eeg-tiny-random").tokenizer
    >>> stage = TokenizerStage(tokenizer, StageSettings(n_steps=100))
    >>> stage.trained() is tokenizer
    True
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: StageSettings,
        weights: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(settings, seed)
        self.tokenizer = tokenizer
        usual = asdict(read_config(system=tokenizer.config.system).losses)
        self.weights = usual if weights is None else weights

    def trained(self) -> nn.Module:
        """Say what is optimised.

        Returns
        -------
        NeuroRVQTokenizer | BioCodec
            The tokenizer.
        """
        return self.tokenizer

    @property
    def settled(self) -> bool:
        """Whether the codebooks have started: what they start from is in no checkpoint."""
        return bool(self.tokenizer.quantizer.started)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Sum the weighted losses."""
        losses, quantized = self.tokenizer.losses(batch.windows, batch.channel_ids)
        total = torch.stack([self.weights[k] * v for k, v in losses.items()]).sum()
        n = len(batch.windows)
        logged = {"loss": total, **losses}
        self.log_dict({f"train_{k}": v.detach() for k, v in logged.items()}, batch_size=n)
        for level, norm in enumerate(quantized.residual_norms.mean(0)):
            self.log(f"residual_norm_{level}", norm, batch_size=n)
        return self.noted(total, batch)

    def on_validation_epoch_start(self) -> None:
        """Start sums and counts of codes."""
        super().on_validation_epoch_start()
        quantizer = self.tokenizer.config.quantizer
        shape = (quantizer.n_codebooks, quantizer.n_levels, quantizer.n_codes)
        self._counts = torch.zeros(shape, dtype=torch.int64, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure the losses, and the correlation of reconstruction and signal."""
        if not self.settled:  # its codes are random numbers
            return
        x = batch.windows
        rebuilt, losses, quantized = self.tokenizer.assess(x, batch.channel_ids)
        r = F.cosine_similarity(
            rebuilt - rebuilt.mean(-1, keepdim=True), x - x.mean(-1, keepdim=True), dim=-1
        ).mean()
        self._counts += count_codes(quantized.codes, self._counts.shape[-1])
        self.watch({**losses, "gain": rebuilt.std() / x.std(), "r": r}, len(x))

    def on_validation_epoch_end(self) -> None:
        """Log the means, and of the poorest codebook the codes in use and their perplexity."""
        if not self.settled:
            return
        for name, value in self.watched_means().items():
            self.log(f"valid_{name}", value, prog_bar=name == "r")
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

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the tokenizer stays in evaluation mode, whatever Lightning does."""
        super().train(mode)
        self.tokenizer.eval()
        return self

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
        seed = self.seed + _BATCH_STRIDE * batch_idx + _RANK_STRIDE * self.global_rank
        loss, accuracy = self.masked_loss(batch, seed)
        n = len(batch.windows)
        self.log("train_loss", loss.detach(), batch_size=n)
        self.log("train_accuracy", accuracy.mean(), batch_size=n)
        return self.noted(loss, batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure loss and accuracy per level, under masks that never change."""
        # Not the number of the batch: that depends on how many processes there are.
        loss, accuracy = self.masked_loss(batch, zlib.crc32(" ".join(batch.ids).encode()))
        shares = {f"accuracy_{level}": share for level, share in enumerate(accuracy.mean(0))}
        self.watch({"loss": loss, **shares}, len(batch.windows))

    def on_validation_epoch_end(self) -> None:
        """Log the means."""
        for name, value in self.watched_means().items():
            self.log(f"valid_{name}", value, prog_bar=name == "loss")
