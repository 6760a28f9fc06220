# License: BSD-3-Clause
"""Stage one of pretraining: a tokenizer or codec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models import count_codes, perplexity, used_share
from ..models.collectives import all_sum
from ..weights.systems import Tokenizer
from .batches import Batch
from .run_config import read_config
from .settings import StageSettings
from .stage import Stage, by_level


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
        Seed of the random choices in a step.

    Examples
    --------
    >>> from mne_neurorvq import load_pretrained
    >>> from mne_neurorvq.training import StageSettings, TokenizerStage
    >>> tokenizer = load_pretrained("biocodec-eeg-tiny-random").tokenizer
    >>> stage = TokenizerStage(tokenizer, StageSettings(n_steps=100))
    >>> stage.model is tokenizer
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
        defaults = asdict(read_config(system=tokenizer.config.system).losses)
        self.weights = defaults if weights is None else weights

    @property
    def model(self) -> Tokenizer:
        """The tokenizer."""
        return self.tokenizer

    @property
    def resumable(self) -> bool:
        """Whether the codebooks have started: what they start from is in no checkpoint."""
        return bool(self.tokenizer.quantizer.started)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Sum the weighted losses."""
        losses, quantized = self.tokenizer.losses(*batch[:2], batch.clean)
        total = torch.stack([self.weights[k] * v for k, v in losses.items()]).sum()
        n = len(batch.windows)
        logged = {"loss": total, **losses}
        self.log_dict({f"train_{k}": v.detach() for k, v in logged.items()}, batch_size=n)
        for level, norm in enumerate(quantized.residual_norms.mean(0)):
            self.log(f"residual_norm_{level}", norm, batch_size=n)
        return self._remember(total, batch)

    def on_validation_epoch_start(self) -> None:
        """Start sums and counts of codes."""
        super().on_validation_epoch_start()
        quantizer = self.tokenizer.config.quantizer
        shape = (quantizer.n_codebooks, quantizer.n_levels, quantizer.n_codes)
        self._counts = torch.zeros(shape, dtype=torch.int64, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure the losses, and the correlation of reconstruction and signal."""
        if not self.resumable:  # its codes are random numbers
            return
        x = batch.windows
        rebuilt, losses, quantized = self.tokenizer.assess(x, batch.channel_ids)
        r = F.cosine_similarity(
            rebuilt - rebuilt.mean(-1, keepdim=True), x - x.mean(-1, keepdim=True), dim=-1
        ).mean()
        self._counts += count_codes(quantized.codes, self._counts.shape[-1])
        self._add({**losses, "gain": rebuilt.std() / x.std(), "r": r}, len(x))

    def on_validation_epoch_end(self) -> None:
        """Log the means, and by level the share of codes in use and their perplexity.

        They are those of the poorest codebook, and of each where codebooks have names.
        """
        if not self.resumable:
            return
        self._log_means("r")
        (counts,) = all_sum(self._counts)
        config = self.tokenizer.config
        for measure, count in {"used": used_share, "perplexity": perplexity}.items():
            values = count(counts)
            for name, value in by_level(measure, values, values.amin(0), config).items():
                self.log(f"valid_{name}", value)
