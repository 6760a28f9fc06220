# License: BSD-3-Clause
"""What both stages of pretraining share: optimiser, seeds, the check of the losses, means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from .._writing import write_json
from ..models.collectives import all_sum
from ..weights.systems import Config, Tokenizer
from .batches import Batch
from .optimisation import MuonWithAdamW, warmup_cosine
from .settings import StageSettings

# Any two batches, and any two processes, draw from different seeds.
BATCH_STRIDE, RANK_STRIDE = 1_000_003, 7_919
# Written where a run stopped because its loss was not finite.
BAD_BATCH = "not_finite.json"


class Stage(lightning.LightningModule):
    """A stage of pretraining: each gives the steps of training and validation, and ``model``."""

    tokenizer: Tokenizer
    # What a batch has to have besides the signals, see ``patch_targets``.
    targets: tuple[str, ...] = ()

    def __init__(self, settings: StageSettings, seed: int) -> None:
        super().__init__()
        self.settings = settings
        self.seed = seed
        # Loss and windows of the batches of the step.
        self._step: list[tuple[Tensor, list[str]]] = []
        self._start_sums()

    @property
    def model(self) -> nn.Module:
        """What is optimised."""
        raise NotImplementedError

    @property
    def resumable(self) -> bool:
        """Whether a checkpoint holds all that a run needs to go on."""
        return True

    def _head(self) -> tuple[nn.Module | None, float]:
        """Give the part of the model that has a learning rate of its own, and this rate."""
        return None, 0.0

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make Muon with AdamW, and its schedule."""
        settings = self.settings
        head, head_lr = self._head()
        optimizer = MuonWithAdamW(
            self.model,
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

    def _remember(self, loss: Tensor, batch: Batch) -> Tensor:
        """Keep the loss and the windows of a batch until the step is taken."""
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
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_norm)
        losses = torch.stack([loss for loss, _ in self._step])
        if not torch.isfinite(torch.cat([norm[None], losses])).all():
            self._stop(norm)
        self._step.clear()
        self.log("gradient_norm", norm)

    def _stop(self, norm: Tensor) -> None:
        """Write the names of the windows of the step to a file, and raise."""
        file = Path(self.trainer.default_root_dir) / BAD_BATCH
        if self.global_rank > 0:  # all processes stop, each with windows of its own
            file = file.with_suffix(f".{self.global_rank}.json")
        batches = [{"loss": str(loss.item()), "windows": ids} for loss, ids in self._step]
        norm_text = str(norm.item())
        record = {"step": self.global_step, "gradient_norm": norm_text, "batches": batches}
        write_json(file, record)
        raise FloatingPointError(
            f"the loss is {', '.join(str(one['loss']) for one in batches)} and the norm of its "
            f"gradient {norm_text} at step {self.global_step}: the windows of the step are in "
            f"{file}. Look at them, or lower the learning rates in another folder; the same "
            "command resumes from the last checkpoint."
        )

    def on_validation_epoch_start(self) -> None:
        """Start the sums."""
        self._start_sums()

    def _start_sums(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._n_windows = 0

    def _add(self, measures: Mapping[str, Tensor], n_windows: int) -> None:
        """Add the measures of a batch of validation."""
        for name, value in measures.items():
            self._sums[name] = self._sums.get(name, 0) + n_windows * value
        self._n_windows += n_windows

    def _log_means(self, shown: str) -> None:
        """Log the means over the windows of all processes, one of them in the progress bar.

        Lightning's own means are wrong where the windows cannot be divided by the processes: it
        averages the numbers of windows too, as whole numbers.
        """
        own = torch.stack(list(self._sums.values()))
        (sums,) = all_sum(torch.cat([own, own.new_tensor([self._n_windows])]))
        for name, mean in zip(self._sums, sums[:-1] / sums[-1], strict=True):
            self.log(f"valid_{name}", mean, prog_bar=name == shown)


def by_level(measure: str, values: Tensor, joined: Tensor, config: Config) -> dict[str, Tensor]:
    """Name a measure by level: ``used_0``, and of codebooks with names ``used_time_0`` as well.

    ``values`` are ``(n_codebooks, n_levels)``, ``joined`` ``(n_levels,)`` are for all codebooks.
    """
    named = {f"{measure}_{level}": value for level, value in enumerate(joined)}
    for book, own in zip(config.codebook_names, values, strict=False):
        named |= {f"{measure}_{book}_{level}": value for level, value in enumerate(own)}
    return named
