# License: BSD-3-Clause
"""What the classifier and the regressor share: a foundation model trained further on trials."""

from __future__ import annotations

import hashlib
import secrets
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, check_scalar
from torch import Tensor, nn

from ..finetuning import (
    FineTuningNet,
    Recipe,
    SharedNet,
    WeightedTrials,
    add_adapters,
    connect,
    history_of,
    make_net,
    merge_adapters,
    merge_repeats,
    same_seed,
    settle,
    split_validation,
)
from ..models import WindowModel
from ..weights import load_pretrained
from .base import SignalEstimator, check_choice, check_supported
from .inference import gather, resolve_device, run_batches
from .inputs import Inputs
from .persistence import save_estimator

if TYPE_CHECKING:
    from accelerate import Accelerator

# Trials that are read and resampled at a time.
_TRIALS_PER_READ = 64
# Epochs without a lower validation loss after which early_stopping=True stops.
_PATIENCE = 5


@dataclass(frozen=True)
class Labelled:
    """Targets, weights and groups of trials, checked.

    Attributes
    ----------
    targets : ndarray, shape (n_trials,)
        Classes as integers, or standardised values.
    weights : ndarray of float, shape (n_trials,)
        Weights of the trials.
    groups : ndarray, shape (n_trials,) | None
        Groups that validation keeps together.
    """

    targets: NDArray[Any]
    weights: NDArray[np.float64]
    groups: NDArray[Any] | None


class FineTunedEstimator(SignalEstimator):
    """Base of estimators that fine-tune a foundation model; see :class:`NeuroRVQClassifier`."""

    _loss: Callable[..., Tensor]
    _classify: bool

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
        channels: Literal["match", "strict", "interpolate"] = "match",
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

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fine-tune the model; an earlier fit is forgotten.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials; see :func:`~mne_neurorvq.signals.as_trials`.
        y : array-like, shape (n_trials,)
            What to predict.
        sample_weight : array-like, shape (n_trials,) | None
            Weights of the trials in the loss; a trial of weight 2 is a trial given twice.
        groups : array-like, shape (n_trials,) | None
            Group of each trial, such as the subject: validation takes whole groups.

        Returns
        -------
        NeuroRVQClassifier | NeuroRVQRegressor
            Itself.

        Raises
        ------
        ValueError
            If a parameter is impossible, no channel matches, a unit is plainly wrong, trials and
            targets disagree, or training diverges.
        TypeError
            If ``pretrained`` is neither a name nor a path.
        ImportError
            If ``finetune="lora"`` and peft is not installed, or ``device="accelerate"`` and
            accelerate is not.
        """
        self.__dict__.pop("net_", None)  # should this fit fail, its leftovers predict nothing
        self._check_parameters()
        device = resolve_device(self.device)
        processes = connect(device) if self.device == "accelerate" else None
        check_supported(self.pretrained)
        with torch.random.fork_rng(_cuda(device)):
            loaded = load_pretrained(self.pretrained, self.revision, only="foundation")
            foundation = loaded.require("foundation")
            foundation.masked_tokens = foundation.final_layer = None
            inputs = self._match(X, foundation.config)
            targets, n_outputs = self._check_targets(y)
            check_consistent_length(inputs.trials, targets)
            n_trials = len(targets)
            labelled = Labelled(
                targets, _weights(sample_weight, n_trials), _groups(groups, n_trials)
            )
            seed = same_seed(_seed(self.random_state), processes)
            generator = torch.Generator().manual_seed(seed)
            model = WindowModel(
                foundation,
                n_outputs,
                torch.tensor(inputs.rows),
                inputs.segmentation.segments,
                inputs.segmentation.weights.tolist(),
                self.head,
                generator,
            )
            self._train(model, inputs, labelled, device, generator, processes)
        return self

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the fitted estimator as a folder of safetensors and JSON.

        Parameters
        ----------
        path : str | path-like
            Folder, made if absent; an estimator in it is replaced.

        Returns
        -------
        Path
            The folder, for :func:`~mne_neurorvq.load_estimator`.

        Warns
        -----
        UserWarning
            If there are callbacks or a RandomState, which are not saved.
        """
        check_is_fitted(self, "net_")
        return save_estimator(self, path)

    def _train(
        self,
        model: WindowModel,
        inputs: Inputs,
        labelled: Labelled,
        device: torch.device,
        generator: torch.Generator,
        processes: Accelerator | None,
    ) -> None:
        training, watched = self._split(labelled, generator)
        if self.finetune == "lora":
            add_adapters(model, self.lora_rank, generator)
        signals = self._signals(model, inputs, device)
        digests = [hashlib.blake2b(signals[i].tobytes()).digest() for i in training]
        first, weights = merge_repeats(
            digests, labelled.targets[training], labelled.weights[training]
        )
        training = training[first]
        targets, factors = self._prepare_targets(labelled.targets, training, weights)
        validation = None
        if len(watched):
            watched_weights = (factors * labelled.weights)[watched]
            watched_weights /= watched_weights.mean()
            validation = WeightedTrials(signals, targets, watched_weights, watched)
        module: nn.Module = model
        if self.finetune == "head":
            # Its parameters keep the names that they have in the model.
            module = nn.Sequential(OrderedDict(final_layer=model.final_layer))
        self.n_trainable_parameters_ = sum(
            p.numel() for p in module.parameters() if p.requires_grad
        )
        net = make_net(
            module,
            self._loss,
            self._recipe(device),
            n_trials=len(training),
            validation=validation,
            classify=self._classify,
            callbacks=self.callbacks or (),
            device=device,
            generator=generator,
            verbose=bool(self.verbose) and (processes is None or processes.is_main_process),
            kind=partial(SharedNet, accelerator=processes) if processes else FineTuningNet,
        )
        weights = factors[training] * weights
        # Only their ratios count; very small ones would vanish in single precision.
        weights /= weights.mean()
        net.fit(WeightedTrials(signals, targets, weights, training), None)
        if isinstance(net, SharedNet):
            net = net.leave()
        settle(net)
        if self.finetune == "lora":
            merge_adapters(model)
        net.module = net.module_ = model.eval()
        self.history_ = history_of(net)
        check_convergence(self.history_, model, self.lr)
        self.net_ = net

    def _split(
        self, labelled: Labelled, generator: torch.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Trials to train on and trials to watch, those of weight 0 left out."""
        training, watched = split_validation(
            len(labelled.targets),
            labelled.groups,
            labelled.targets if self._classify else None,
            fraction=self.validation_fraction,
            names=self.validation_groups,
            seed=generator.initial_seed(),
        )
        if not labelled.weights[training].any():
            raise ValueError("every trial that is not in validation has sample_weight 0.")
        watched = watched[labelled.weights[watched] > 0]
        if self.early_stopping and not len(watched):
            raise ValueError(
                f"early_stopping={self.early_stopping} needs trials to watch: give "
                "validation_fraction, or validation_groups with groups in fit (trials of "
                "sample_weight 0 are not watched)."
            )
        return training, watched

    def _signals(
        self, model: WindowModel, inputs: Inputs, device: torch.device
    ) -> NDArray[np.float32]:
        """Read what the trained part is shown: windows, or features of the frozen model."""
        if self.finetune == "head":
            batches = self._run(model.pooled, model, inputs, device)
        else:
            batches = (np.concatenate(parts, axis=-1) for parts in inputs.batches(_TRIALS_PER_READ))
        return gather(batches, len(inputs.trials))

    def _outputs(self, X: Any) -> NDArray[np.float64]:
        """Compute the outputs of the head, ``(n_trials, n_outputs)``."""
        check_is_fitted(self, "net_")
        self._check_parameters()
        inputs = self._seen(X)
        if inputs.segmentation != self.segmentation_:
            rate = self.config_.sfreq
            raise ValueError(
                f"X has windows of {inputs.segmentation.n_times / rate:g} s, but fit saw "
                f"{self.segmentation_.n_times / rate:g} s: crop them, or fit again."
            )
        model = self.net_.module_
        batches = self._run(model, model, inputs, resolve_device(self.device))
        return np.concatenate(list(batches)).astype(np.float64)

    def _run(
        self,
        forward: Callable[[Tensor], Tensor],
        model: WindowModel,
        inputs: Inputs,
        device: torch.device,
    ) -> Iterator[NDArray[Any]]:
        batches = run_batches(
            model,
            lambda segments, rows: (forward(torch.cat(segments, dim=-1)),),
            inputs,
            device=device,
            batch_size="auto",
            verbose=self.verbose,
            bf16=self._recipe(device).bf16,
        )
        return (outputs for (outputs,) in batches)

    def _recipe(self, device: torch.device) -> Recipe:
        stop: Any = self.early_stopping
        by_default = isinstance(stop, (bool, np.bool_)) and stop
        patience = _PATIENCE if by_default else int(stop) or None
        bf16 = self.precision == "bf16" or (self.precision == "auto" and device.type == "cuda")
        return Recipe(
            max_epochs=int(self.max_epochs),
            batch_size=int(self.batch_size),  # torch takes no integers of NumPy
            lr=self.lr,
            layer_decay=self.layer_decay,
            weight_decay=self.weight_decay,
            warmup_epochs=self.warmup_epochs,
            patience=patience,
            bf16=bf16,
        )

    def _check_parameters(self) -> None:
        self._check_signal_parameters()
        check_choice("finetune", self.finetune, ("full", "head", "lora"))
        check_choice("head", self.head, ("mean", "flatten"))
        for name in ("lr", "layer_decay", "weight_decay", "warmup_epochs"):
            value = check_scalar(getattr(self, name), name, Real)
            if not np.isfinite(value):
                raise ValueError(f"{name}={value} must be finite.")
        for name in ("max_epochs", "batch_size", "lora_rank"):
            check_scalar(getattr(self, name), name, Integral, min_val=1)
        check_scalar(self.lr, "lr", Real, min_val=0, include_boundaries="neither")
        check_scalar(
            self.layer_decay, "layer_decay", Real, min_val=0, max_val=1, include_boundaries="right"
        )
        for name in ("weight_decay", "warmup_epochs"):
            check_scalar(getattr(self, name), name, Real, min_val=0)
        stop: Any = self.early_stopping
        if not isinstance(stop, np.bool_):
            check_scalar(stop, "early_stopping", Integral, min_val=0)
        if not isinstance(self.callbacks, (list, tuple, type(None))):
            raise TypeError(f"callbacks={self.callbacks!r} must be a list of skorch callbacks.")
        for callback in self.callbacks or ():
            named = isinstance(callback, tuple) and len(callback) == 2
            if not hasattr(callback[1] if named else callback, "on_train_begin"):
                raise TypeError(
                    f"callbacks holds {callback!r}, which is no skorch callback, nor (name, one)."
                )

    @abstractmethod
    def _check_targets(self, y: Any) -> tuple[NDArray[Any], int]:
        """Give targets as numbers, and how many outputs they need."""

    @abstractmethod
    def _prepare_targets(
        self, targets: NDArray[Any], training: NDArray[np.intp], weights: NDArray[np.float64]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Derive, from the training trials, what all are to give and a factor of their weight."""

    @abstractmethod
    def _learned(self) -> dict[str, Any]:
        """Give what was learned besides the network, as plain data."""

    @abstractmethod
    def _recall(self, learned: dict[str, Any]) -> None:
        """Take up what :meth:`_learned` gave."""


def check_convergence(history: Sequence[dict[str, float]], model: nn.Module, lr: float) -> None:
    """Raise if the loss or a weight became infinite or undefined.

    Parameters
    ----------
    history : sequence of dict
        Epochs, see :func:`~mne_neurorvq.finetuning.history_of`.
    model : nn.Module
        What was trained.
    lr : float
        Learning rate, to name it.

    Raises
    ------
    ValueError
        If training diverged.
    """
    found = [
        f"the loss of epoch {row['epoch']:.0f} is {row['train_loss']}"
        for row in history
        if not np.isfinite(row["train_loss"])
    ] + [
        f"{name} is not finite"
        for name, weights in model.named_parameters()
        if not bool(torch.isfinite(weights).all())
    ]
    if found:
        raise ValueError(
            f"training diverged: {found[0]}. Try a learning rate below lr={lr:g}, or warmup_epochs."
        )


def _weights(sample_weight: ArrayLike | None, n_trials: int) -> NDArray[np.float64]:
    if sample_weight is None:
        return np.ones(n_trials)
    weights = np.atleast_1d(np.asarray(sample_weight))  # one number: the error is below
    weights = check_array(weights, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (n_trials,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}, but there are {n_trials} trials."
        )
    if (weights < 0).any():
        raise ValueError(f"sample_weight of trial {int(weights.argmin())} is negative.")
    if not weights.any():
        raise ValueError("sample_weight is zero for every trial: none is left to train on.")
    return weights


def _groups(groups: ArrayLike | None, n_trials: int) -> NDArray[Any] | None:
    if groups is None:
        return None
    groups = np.asarray(groups)
    if groups.shape != (n_trials,):
        raise ValueError(f"groups has shape {groups.shape}, but there are {n_trials} trials.")
    return groups


def _seed(random_state: int | np.random.RandomState | None) -> int:
    """Seed of a fit; without a random_state a new one, so that no global generator is touched."""
    if random_state is None:
        return secrets.randbelow(2**31)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
