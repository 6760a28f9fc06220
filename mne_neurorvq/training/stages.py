# License: BSD-3-Clause
"""The two stages of pretraining as Lightning modules: tokenizer, then foundation model."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models import (
    BrainRVQTokenizer,
    NeuroRVQTokenizer,
    count_codes,
    perplexity,
    used_share,
)
from ..models.collectives import all_sum
from ..models.heads import TargetHead
from ..weights.systems import Foundation, Tokenizer
from .batches import Batch
from .config import read_config
from .masking import EvenMasking, Guesses, Masking, guess_codes, random_mask
from .settings import FoundationSettings, StageSettings
from .stage import BATCH_STRIDE, RANK_STRIDE, Stage, by_level
from .targets import TARGETS


class TokenizerStage(Stage):
    """Stage one: reconstruct the signal through the codes.

    Parameters
    ----------
    tokenizer : NeuroRVQTokenizer | BioCodec | BrainRVQTokenizer
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
        NeuroRVQTokenizer | BioCodec | BrainRVQTokenizer
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
        """Log the means, and by level the codes in use and their perplexity.

        They are those of the poorest codebook, and of each where codebooks have names.
        """
        if not self.settled:
            return
        for name, value in self.watched_means().items():
            self.log(f"valid_{name}", value, prog_bar=name == "r")
        (counts,) = all_sum(self._counts)
        config = self.tokenizer.config
        for measure, values in {
            "used": used_share(counts),
            "perplexity": perplexity(counts),
        }.items():
            for name, value in by_level(measure, values, values.amin(0), config).items():
                self.log(f"valid_{name}", value)


class FoundationStage(Stage):
    """Stage two: predict the codes of hidden patches, physiological numbers of all, or both.

    Parameters
    ----------
    foundation : NeuroRVQ | BrainRVQ
        The model to train, with masked-token heads if their codes are to be predicted.
    tokenizer : NeuroRVQTokenizer | BrainRVQTokenizer
        Frozen and in evaluation mode; gives the codes of the unmasked windows.
    settings : FoundationSettings
        Objective, budget and optimisation.
    masking : Masking | None
        Which patches the first pass hides (the second, of masked-token prediction alone, hides the
        others), and what counts; None hides half of them at random.
    seed : int
        Seed of the masks.

    Examples
    --------
    >>> from mne_neurorvq.models import NeuroRVQ
    >>> from mne_neurorvq import load_pretrained
    >>> from mne_neurorvq.training import FoundationSettings, FoundationStage
    >>> tokenizer = load_pretrained("neurorvq-eeg-tiny-random").tokenizer
    >>> foundation = NeuroRVQ(config=tokenizer.config, masked_token_heads=True)
    >>> stage = FoundationStage(foundation, tokenizer, FoundationSettings(n_steps=100))
    >>> stage.trained() is foundation
    True
    """

    settings: FoundationSettings

    def __init__(
        self,
        foundation: Foundation,
        tokenizer: NeuroRVQTokenizer | BrainRVQTokenizer,
        settings: FoundationSettings,
        masking: Masking | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(settings, seed)
        self.foundation = foundation
        self.tokenizer = tokenizer.eval().requires_grad_(False)
        self.masking = EvenMasking() if masking is None else masking
        self.weights = settings.learned_targets
        if self.weights:
            sizes = {name: len(TARGETS[name].columns) for name in self.weights}
            foundation.target_head = TargetHead(sizes, foundation.config)

    def trained(self) -> nn.Module:
        """Say what is optimised.

        Returns
        -------
        NeuroRVQ | BrainRVQ
            The foundation model.
        """
        return self.foundation

    def head_with_rate(self) -> tuple[nn.Module | None, float]:
        """Say what has a learning rate of its own.

        Returns
        -------
        head : TargetHead | None
            The layer that tells the targets.
        lr : float
            Its learning rate.
        """
        return self.foundation.target_head, self.settings.head_lr

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the tokenizer stays in evaluation mode, whatever Lightning does."""
        super().train(mode)
        self.tokenizer.eval()
        return self

    def progress(self, batch_idx: int) -> float:
        """Say how far training is at a batch: the same in a run that goes on.

        Parameters
        ----------
        batch_idx : int
            Number of the batch.

        Returns
        -------
        float
            From 0 to 1.
        """
        return batch_idx // self.settings.accumulate / self.settings.n_steps

    def guesses(self, batch: Batch, mask: Tensor) -> Guesses:
        """Guess the codes that the tokenizer gives the unmasked windows.

        Parameters
        ----------
        batch : Batch
            Windows.
        mask : Tensor of bool, shape (n_windows, n_channels * n_patches)
            What the first pass hides.

        Returns
        -------
        Guesses
            Cross-entropy and accuracy.
        """
        with torch.no_grad():
            codes, _ = self.tokenizer.encode(batch.windows, batch.channel_ids)
        return guess_codes(self.foundation, batch, codes, mask)

    def target_errors(
        self, batch: Batch, mask: Tensor, *chosen: Tensor | None
    ) -> tuple[dict[str, Tensor], ...]:
        """Tell the targets of all patches, and say how wrong that is.

        Parameters
        ----------
        batch : Batch
            Windows with their targets.
        mask : Tensor of bool, shape (n_windows, n_channels * n_patches)
            What is hidden.
        *chosen : Tensor of bool, shape (n_windows, n_channels * n_patches) | None
            Patches that count; None takes all.

        Returns
        -------
        tuple of dict of str to Tensor
            Mean squared error of each target, for each of ``chosen``.
        """
        head = self.foundation.target_head
        assert head is not None
        assert batch.targets is not None
        told = self.foundation.predict_targets(batch.windows, mask, batch.channel_ids).flatten(1, 2)
        wanted = batch.targets.flatten(1, 2)
        found = (head.errors(told, wanted, some) for some in chosen)
        return tuple(dict(zip(self.weights, errors, strict=True)) for errors in found)

    def _weighted(self, errors: Mapping[str, Tensor]) -> Tensor:
        """Sum the weighted errors of the targets."""
        return torch.stack([self.weights[name] * error for name, error in errors.items()]).sum()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Predict hidden codes and tell targets, as far as they have a weight."""
        seed = self.seed + BATCH_STRIDE * batch_idx + RANK_STRIDE * self.global_rank
        generator = torch.Generator().manual_seed(seed)
        progress, config = self.progress(batch_idx), self.foundation.config
        mask = self.masking.draw(batch.windows, config, progress, generator)
        loss, n = batch.windows.new_zeros(()), len(batch.windows)
        if self.settings.masked_tokens:
            found = self.guesses(batch, mask)
            tokens = self.masking.loss(found.cross_entropy, mask)
            loss = loss + self.settings.masked_tokens * tokens
            self.log("train_tokens", tokens.detach(), batch_size=n)
            self.log("train_accuracy", found.accuracy.mean(), batch_size=n)
        if self.weights:
            (errors,) = self.target_errors(batch, mask, None)
            loss = loss + self._weighted(errors)
            named = {f"train_{name}": error.detach() for name, error in errors.items()}
            self.log_dict(named, batch_size=n)
        self.log("train_loss", loss.detach(), batch_size=n)
        return self.noted(loss, batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure losses and accuracy per level, under random masks that never change."""
        # Not the number of the batch: that depends on how many processes there are.
        generator = torch.Generator().manual_seed(zlib.crc32(" ".join(batch.ids).encode()))
        n_windows, n_channels, n_times = batch.windows.shape
        config = self.foundation.config
        shape = n_windows, n_channels * n_times // config.patch_size
        mask = random_mask(shape, self.masking.ratio, generator).to(batch.windows.device)
        loss, measures = batch.windows.new_zeros(()), dict[str, Tensor]()
        if self.settings.masked_tokens:
            found = self.guesses(batch, mask)
            measures |= by_level("accuracy", found.accuracy, found.accuracy.mean(0), config)
            tokens = self.masking.loss(found.cross_entropy, mask)
            loss = loss + self.settings.masked_tokens * tokens
        if self.weights:
            both, *parts = self.target_errors(batch, mask, None, mask, ~mask)
            loss = loss + self._weighted(both)
            for which, errors in zip(("hidden", "visible"), parts, strict=True):
                measures |= {f"{name}_{which}": error for name, error in errors.items()}
        self.watch({"loss": loss, **measures}, n_windows)

    def on_validation_epoch_end(self) -> None:
        """Log the means."""
        for name, value in self.watched_means().items():
            self.log(f"valid_{name}", value, prog_bar=name == "loss")
