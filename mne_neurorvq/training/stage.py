# License: BSD-3-Clause
"""What the stages of pretraining share: optimiser, seeds, checks of the losses, means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from .._writing import write_json
from ..models.collectives import all_sum
from ..weights.systems import Config
from .batches import Batch
from .inputs import codebook_names
from .optimisation import MuonWithAdamW, warmup_cosine
from .settings import StageSettings

# Any two batches, and any two processes, draw from different seeds.
BATCH_STRIDE, RANK_STRIDE = 1_000_003, 7_919
# Written where a run stopped because its loss was not finite.
BAD_BATCH = "not_finite.json"


class Stage(lightning.LightningModule):
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

    def head_with_rate(self) -> tuple[nn.Module | None, float]:
        """Return the part of that module that has a learning rate of its own, and this rate."""
        return None, 0.0

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make Muon with AdamW, and its schedule."""
        settings = self.settings
        head, head_lr = self.head_with_rate()
        optimizer = MuonWithAdamW(
            self.trained(),
            lr=settings.lr,
            matrix_lr=settings.matrix_lr,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            head=head,
            head_lr=head_lr,
        )
        schedule = warmup_cosine(optimizer, settings.lr_warmup_steps, settings.n_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make what is random in a batch a function of its number: a resumed run is the same."""
        torch.manual_seed(self.seed + BATCH_STRIDE * (batch_idx + 1))

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
        write_json(file, record)
        raise FloatingPointError(
            f"the loss is {', '.join(losses)} and the norm of its gradient {norm.item()} at step "
            f"{self.global_step}: the windows of the step are in {file}. Look at them, or lower "
            "the learning rates in another folder; the same command goes on from the last "
            "checkpoint."
        )


def by_level(measure: str, values: Tensor, joined: Tensor, config: Config) -> dict[str, Tensor]:
    """Name a measure of each level, and of each level of codebooks that have names.

    Parameters
    ----------
    measure : str
        Name of the measure.
    values : Tensor, shape (n_codebooks, n_levels)
        Its values.
    joined : Tensor, shape (n_levels,)
        One for all codebooks.
    config : Config
        Names the codebooks.

    Returns
    -------
    dict of str to Tensor
        Such as ``used_0``, and where codebooks have names ``used_time_0``.
    """
    named = {f"{measure}_{level}": value for level, value in enumerate(joined)}
    for book, own in zip(codebook_names(config), values, strict=False):
        named |= {f"{measure}_{book}_{level}": value for level, value in enumerate(own)}
    return named
