# License: BSD-3-Clause
"""Stage two of pretraining: a foundation model, on codes, on physiological numbers, or on both.

A further term of the objective is a loss in :meth:`FoundationStage._terms`, a weight in
:class:`FoundationSettings`, and what it needs of the signals in :class:`Batch`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from ..models import BrainRVQTokenizer, NeuroRVQTokenizer
from ..models.heads import TargetHead
from ..weights.systems import Foundation
from .batches import Batch
from .masked_prediction import EvenMasking, Guesses, Masking, guess_codes, random_mask
from .patch_targets import TARGETS
from .settings import FoundationSettings
from .stage import BATCH_STRIDE, RANK_STRIDE, Stage, by_level


class _Terms(NamedTuple):
    loss: Tensor
    tokens: Tensor  # loss of masked-token prediction
    guesses: Guesses | None  # of the hidden codes, if they count
    errors: list[Mapping[str, Tensor]]  # of the targets, over each choice of patches


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
    >>> stage.model is foundation
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
        self.targets = tuple(self.weights)
        if self.weights:
            sizes = {name: len(TARGETS[name].columns) for name in self.weights}
            foundation.target_head = TargetHead(sizes, foundation.config)

    @property
    def model(self) -> Foundation:
        """The foundation model."""
        return self.foundation

    def _head(self) -> tuple[nn.Module | None, float]:
        return self.foundation.target_head, self.settings.head_lr

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the tokenizer stays in evaluation mode, whatever Lightning does."""
        super().train(mode)
        self.tokenizer.eval()
        return self

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Predict what has a weight: hidden codes, targets, or both."""
        seed = self.seed + BATCH_STRIDE * batch_idx + RANK_STRIDE * self.global_rank
        generator = torch.Generator().manual_seed(seed)
        # A function of the number of the batch: the same in a run that goes on.
        progress = batch_idx // self.settings.accumulate / self.settings.n_steps
        mask = self.masking.draw(batch.windows, self.foundation.config, progress, generator)
        terms, logged = self._terms(batch, mask, None), dict[str, Tensor]()
        if terms.guesses is not None:
            logged["train_tokens"] = terms.tokens
            logged["train_accuracy"] = terms.guesses.accuracy.mean()
        logged |= {f"train_{name}": error for name, error in terms.errors[0].items()}
        for name, value in {**logged, "train_loss": terms.loss}.items():
            self.log(name, value.detach(), batch_size=len(batch.windows))
        return self._remember(terms.loss, batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure losses and accuracy per level, under random masks that never change."""
        # Not the number of the batch: that depends on how many processes there are.
        generator = torch.Generator().manual_seed(zlib.crc32(" ".join(batch.ids).encode()))
        n_windows, n_channels, n_times = batch.windows.shape
        config = self.foundation.config
        shape = n_windows, n_channels * n_times // config.patch_size
        mask = random_mask(shape, self.masking.ratio, generator).to(batch.windows.device)
        terms = self._terms(batch, mask, None, mask, ~mask)
        measures = {"loss": terms.loss}
        if terms.guesses is not None:
            accuracy = terms.guesses.accuracy
            measures |= by_level("accuracy", accuracy, accuracy.mean(0), config)
        for which, errors in zip(("hidden", "visible"), terms.errors[1:], strict=True):
            measures |= {f"{name}_{which}": error for name, error in errors.items()}
        self._add(measures, n_windows)

    def _terms(self, batch: Batch, mask: Tensor, *chosen: Tensor | None) -> _Terms:
        """Terms of the loss under a mask, ``(n_windows, n_channels * n_patches)``.

        Errors of the targets are over each of ``chosen``, masks as well, or all patches for None;
        the first of them counts.
        """
        loss = tokens = batch.windows.new_zeros(())
        guesses, errors = None, list[Mapping[str, Tensor]]([{} for _ in chosen])
        if self.settings.masked_tokens:
            signals = batch.windows if batch.clean is None else batch.clean
            with torch.no_grad():
                codes, _ = self.tokenizer.encode(signals, batch.channel_ids)
            guesses = guess_codes(self.foundation, batch, codes, mask)
            tokens = self.masking.loss(guesses.cross_entropy, mask)
            loss = loss + self.settings.masked_tokens * tokens
        if self.weights:
            errors = self._target_errors(batch, mask, *chosen)
            weighted = [self.weights[name] * error for name, error in errors[0].items()]
            loss = loss + torch.stack(weighted).sum()
        return _Terms(loss, tokens, guesses, errors)

    def _target_errors(
        self, batch: Batch, mask: Tensor, *chosen: Tensor | None
    ) -> list[Mapping[str, Tensor]]:
        """Mean squared error of each target, over each choice of patches."""
        head = self.foundation.target_head
        assert head is not None
        assert batch.targets is not None
        predicted = self.foundation.predict_targets(batch.windows, mask, batch.channel_ids)
        wanted = batch.targets.flatten(1, 2)
        found = [head.errors(predicted.flatten(1, 2), wanted, some) for some in chosen]
        return [dict(zip(self.weights, errors, strict=True)) for errors in found]

    def on_validation_epoch_end(self) -> None:
        """Log the means."""
        self._log_means("loss")
