# License: BSD-3-Clause
"""What classifiers and regressors on foundation models share: one that is trained further."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from ..encoding.device import resolve_device
from ..encoding.gathering import gather
from ..encoding.matched_trials import Inputs
from ..finetuning import Recipe, add_adapters, merge_adapters
from ..models import WindowModel
from ..signals.channel_report import used_channels
from ..weights.systems import SYSTEMS
from .base import check_choice
from .labelled import Labelled
from .trained import TrainedEstimator

# Trials that are read and resampled at a time.
_TRIALS_PER_READ = 64
# Epochs without a lower validation loss after which early_stopping=True stops.
_PATIENCE = 5


class FineTunedEstimator(TrainedEstimator):
    """Base of estimators that fine-tune a foundation model; see :class:`NeuroRVQClassifier`."""

    _kind = "foundation"

    def __init__(
        self,
        pretrained: str = "neurorvq-eeg-small",
        *,
        revision: str | None = None,
        finetune: Literal["full", "head", "lora"] = "full",
        head: Literal["mean", "flatten"] = "mean",
        max_epochs: int = 20,
        batch_size: int = 32,
        lr: float = 5e-4,
        layer_decay: float = 0.975,
        weight_decay: float = 1e-2,
        warmup_epochs: float = 4,
        lora_rank: int = 8,
        validation_fraction: float | None = None,
        validation_groups: Sequence[Any] | None = None,
        early_stopping: bool | int = False,
        callbacks: Sequence[Any] | None = None,
        channels: Literal["match", "strict", "nearest", "interpolate"] = "match",
        unit: str = "uV",
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        device: str = "auto",
        precision: Literal["auto", "float32", "bf16"] = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | None = None,
    ) -> None:
        self.pretrained = pretrained
        self.revision = revision
        self.finetune = finetune
        self.head = head
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.layer_decay = layer_decay
        self.weight_decay = weight_decay
        self.warmup_epochs = warmup_epochs
        self.lora_rank = lora_rank
        self.validation_fraction = validation_fraction
        self.validation_groups = validation_groups
        self.early_stopping = early_stopping
        self.callbacks = callbacks
        self.channels = channels
        self.unit = unit
        self.ch_names = ch_names
        self.sfreq = sfreq
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def _build(
        self, pretrained: Any, inputs: Inputs, n_outputs: int, generator: torch.Generator
    ) -> WindowModel:
        pretrained.masked_tokens = pretrained.final_layer = None
        model = WindowModel(
            pretrained,
            n_outputs,
            torch.tensor(inputs.rows),
            inputs.segmentation.segments,
            inputs.segmentation.weights.tolist(),
            self.head,
            generator,
        )
        if self.finetune == "lora":
            add_adapters(model, self.lora_rank, generator)
        return model

    def _split(
        self, labelled: Labelled, generator: torch.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        training, watched = super()._split(labelled, generator)
        if self.early_stopping and not len(watched):
            raise ValueError(
                f"early_stopping={self.early_stopping} needs trials to watch: give "
                "validation_fraction, or validation_groups with groups in fit (trials of "
                "sample_weight 0 are not watched)."
            )
        return training, watched

    def _signals(self, model: nn.Module, inputs: Inputs) -> NDArray[Any]:
        """Read windows or, where the model is frozen, the features that its head sees."""
        assert isinstance(model, WindowModel)
        if self.finetune == "head":
            batches = self._apply(model.pooled, model, inputs)
        else:
            batches = (np.concatenate(parts, axis=-1) for parts in inputs.batches(_TRIALS_PER_READ))
        return gather(batches, len(inputs.trials))

    def _trained_part(self, model: nn.Module) -> nn.Module:
        if self.finetune == "head":
            assert isinstance(model, WindowModel)
            # Its parameters keep the names that they have in the model.
            return nn.Sequential(OrderedDict(final_layer=model.final_layer))
        return model

    def _finished(self, model: nn.Module) -> nn.Module:
        if self.finetune == "lora":
            assert isinstance(model, WindowModel)
            merge_adapters(model)
        return super()._finished(model)

    def _predict(self, model: nn.Module, inputs: Inputs) -> Iterator[NDArray[Any]]:
        return self._apply(model, model, inputs)

    def _apply(
        self, forward: Callable[[Tensor], Tensor], model: nn.Module, inputs: Inputs
    ) -> Iterator[NDArray[Any]]:
        batches = self._run(
            model,
            lambda segments, rows: (forward(torch.cat(segments, dim=-1)),),
            inputs,
            bf16=self._in_bf16(resolve_device(self.device)),
        )
        return (outputs for (outputs,) in batches)

    def _in_bf16(self, device: torch.device) -> bool:
        return self.precision == "bf16" or (self.precision == "auto" and device.type == "cuda")

    def _recipe(self, device: torch.device) -> Recipe:
        stop: Any = self.early_stopping
        by_default = isinstance(stop, (bool, np.bool_)) and stop
        patience = _PATIENCE if by_default else int(stop) or None
        return Recipe(
            max_epochs=int(self.max_epochs),
            batch_size=int(self.batch_size),  # torch takes no integers of NumPy
            lr=self.lr,
            layer_decay=self.layer_decay,
            weight_decay=self.weight_decay,
            warmup_epochs=self.warmup_epochs,
            patience=patience,
            bf16=self._in_bf16(device),
        )

    def _check_parameters(self) -> None:
        self._check_signal_parameters()
        check_choice("finetune", self.finetune, ("full", "head", "lora"))
        check_choice("head", self.head, ("mean", "flatten"))
        self._check_training_parameters(["lora_rank"], ["layer_decay"])
        check_scalar(
            self.layer_decay, "layer_decay", Real, min_val=0, max_val=1, include_boundaries="right"
        )
        stop: Any = self.early_stopping
        if not isinstance(stop, np.bool_):
            check_scalar(stop, "early_stopping", Integral, min_val=0)

    def _saved_net(self) -> tuple[nn.Module, dict[str, Any]]:
        model: WindowModel = self.net_.module_
        return model, {"n_outputs": model.n_outputs, "head": model.head}

    def _restored(self, record: dict[str, Any], read: Callable[[nn.Module], None]) -> nn.Module:
        foundation: Any = SYSTEMS[self._system].foundation
        model = WindowModel(
            foundation(config=self.config_),
            record["n_outputs"],
            torch.tensor(used_channels(self.channel_report_)[1]),
            self.segmentation_.segments,
            self.segmentation_.weights.tolist(),
            record["head"],
        )
        read(model)
        return model
