# License: BSD-3-Clause
"""What classifiers and regressors on foundation models share: one that is trained further."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from ..encoding.matched_trials import MatchedTrials
from ..encoding.passes import compute, gather, resolve_device
from ..finetuning import Recipe, add_adapters, merge_adapters
from ..models import WindowModel
from ..signals.channel_report import used_channels
from ..weights.systems import SYSTEMS
from .targets import TrialTargets
from .trained import TrainedEstimator

# Trials that are read and resampled at a time.
_TRIALS_PER_READ = 64
# Epochs without a lower validation loss after which early_stopping=True stops.
_PATIENCE = 5


class FineTunedEstimator(TrainedEstimator):
    """Base of estimators that fine-tune a foundation model; see :class:`NeuroRVQClassifier`."""

    _kind = "foundation"
    #: What the authors of the system say of head and training.
    _published: ClassVar[dict[str, Any]]

    @classmethod
    def published(cls, *args: Any, **parameters: Any) -> Self:
        """Make an estimator with the head, rates and epochs that the authors published.

        Parameters
        ----------
        *args, **parameters : dict
            Parameters of the estimator; those given here are taken instead of the published ones.

        Returns
        -------
        BaseEstimator
            The estimator, not fitted.

        Examples
        --------
        >>> from mne_neurorvq import NeuroRVQClassifier
        >>> NeuroRVQClassifier.published(finetune="head", max_epochs=5)
        NeuroRVQClassifier(finetune='head', head='mean', max_epochs=5)
        """
        return cls(*args, **(cls._published | parameters))

    def _build(
        self, pretrained: Any, matched: MatchedTrials, n_outputs: int, generator: torch.Generator
    ) -> WindowModel:
        pretrained.masked_tokens = pretrained.final_layer = None
        model = WindowModel(
            pretrained,
            n_outputs,
            torch.tensor(matched.used[1]),
            matched.segmentation.segments,
            matched.segmentation.weights.tolist(),
            self.head,
            generator,
        )
        if self.finetune == "lora":
            add_adapters(model, self.lora_rank, generator)
        return model

    def _split(
        self, given: TrialTargets, generator: torch.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        training, watched = super()._split(given, generator)
        if self.early_stopping and not len(watched):
            raise ValueError(
                f"early_stopping={self.early_stopping} needs trials to watch: give "
                "validation_fraction, or validation_groups with groups in fit (trials of "
                "sample_weight 0 are not watched)."
            )
        return training, watched

    def _signals(self, model: nn.Module, matched: MatchedTrials) -> NDArray[Any]:
        """Read windows or, where the model is frozen, the features that its head sees."""
        assert isinstance(model, WindowModel)
        if self.finetune == "head":
            return self._apply(model.pooled, model, matched)
        windows = (np.concatenate(parts, -1) for _, parts in matched.batches(_TRIALS_PER_READ))
        return gather(windows, len(matched.trials))

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

    def _predict(self, model: nn.Module, matched: MatchedTrials) -> NDArray[Any]:
        return self._apply(model, model, matched)

    def _apply(
        self, forward: Callable[[Tensor], Tensor], model: nn.Module, matched: MatchedTrials
    ) -> NDArray[Any]:
        device = resolve_device(self.device)
        model.to(device)
        return compute(
            matched,
            lambda segments, rows: forward(torch.cat(segments, dim=-1)),
            device=device,
            verbose=self.verbose,
            bf16=self._in_bf16(device),
        )[0]

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
        super()._check_parameters()
        self._check_training_parameters(["lora_rank"], ["layer_decay"])
        check_scalar(
            self.layer_decay, "layer_decay", Real, min_val=0, max_val=1, include_boundaries="right"
        )
        stop: Any = self.early_stopping
        if not isinstance(stop, np.bool_):
            check_scalar(stop, "early_stopping", Integral, min_val=0)

    def _network_state(self) -> tuple[dict[str, Any], nn.Module]:
        facts, model = super()._network_state()
        assert isinstance(model, WindowModel)
        return facts | {"n_outputs": model.n_outputs, "head": model.head}, model

    def _make_network(self, record: dict[str, Any]) -> tuple[nn.Module, nn.Module]:
        foundation: Any = SYSTEMS[self._system].foundation
        model = WindowModel(
            foundation(config=self.config_),
            record["n_outputs"],
            torch.tensor(used_channels(self.channel_report_)[1], device="cpu"),
            self.segmentation_.segments,
            self.segmentation_.weights.tolist(),
            record["head"],
        )
        return model, model
