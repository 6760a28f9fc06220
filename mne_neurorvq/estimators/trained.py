# License: BSD-3-Clause
"""What all classifiers and regressors share: targets, weights, validation, and a net trained."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from .._fitting import all_or_nothing
from ..encoding.matched_trials import MatchedTrials
from ..encoding.passes import progress, resolve_device
from ..finetuning import (
    FineTuningNet,
    Recipe,
    SharedNet,
    WeightedTrials,
    connect,
    finish_training,
    history_of,
    make_net,
    make_trained_net,
    merge_repeats,
    same_seed,
    split_validation,
)
from ..weights import load_pretrained
from ..weights.registry import Kind
from ..weights.systems import Config
from .base import SignalEstimator
from .randomness import draw_seed, own_randomness, seed_torch
from .targets import TrialTargets, check_trial_targets

if TYPE_CHECKING:
    from accelerate import Accelerator


class TrainedEstimator(SignalEstimator):
    """Base of estimators that train a network on trials; see :class:`NeuroRVQClassifier`.

    A subclass for each system defines what is trained and by which recipe, a mixin of
    :mod:`~mne_neurorvq.estimators.targets` whether classes or numbers are predicted.
    """

    #: Which model of the system is trained, or trained upon.
    _kind: ClassVar[Kind]
    _classify: ClassVar[bool]
    #: Whether training draws from torch's own generators, as dropout does.
    _draws: ClassVar[bool] = False

    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fine-tune the model; an earlier fit is forgotten when this one has succeeded.

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
        BaseEstimator
            Itself.

        Raises
        ------
        ValueError
            If a parameter is impossible, no channel can be used, a unit is plainly wrong, trials
            and targets disagree, or training diverges.
        TypeError
            If ``pretrained`` is neither a name nor a path.
        ImportError
            If ``finetune="lora"`` and peft is not installed, or ``device="accelerate"`` and
            accelerate is not.
        """
        self._check_parameters()
        device = resolve_device(self.device)
        processes = connect(device) if self.device == "accelerate" else None
        self._check_model_name()
        with own_randomness(device, self._draws):
            loaded: Any = load_pretrained(self.pretrained, self.revision, only=self._kind)
            pretrained = loaded.require(self._kind, self._system)
            matched = self._match(X, pretrained.config)
            targets, n_outputs = self._check_targets(y)
            check_consistent_length(matched.trials, targets)
            given = check_trial_targets(targets, sample_weight, groups)
            seed = same_seed(draw_seed(self.random_state), processes)
            generator = torch.Generator().manual_seed(seed)
            if self._draws:
                # Every process draws its own dropout masks.
                seed_torch(seed + (processes.process_index if processes else 0), device)
            model = self._build(pretrained, matched, n_outputs, generator)
            self._train(model, matched, given, device, generator, processes)
        return self

    def _train(
        self,
        model: nn.Module,
        matched: MatchedTrials,
        given: TrialTargets,
        device: torch.device,
        generator: torch.Generator,
        processes: Accelerator | None,
    ) -> None:
        training, watched = self._split(given, generator)
        learning = np.zeros(len(given.weights))
        learning[training] = given.weights[training]
        matched = self._learn(matched, learning)
        signals = self._signals(model, matched)
        digests = [hashlib.blake2b(signals[i].tobytes()).digest() for i in training]
        first, weights = merge_repeats(digests, given.targets[training], given.weights[training])
        training = training[first]
        targets, factors = self._prepare_targets(given.targets, training, weights)
        validation = None
        if len(watched):
            watched_weights = (factors * given.weights)[watched]
            watched_weights /= watched_weights.mean()
            validation = WeightedTrials(signals, targets, watched_weights, watched)
        module = self._trained_part(model)
        self.n_trainable_parameters_ = sum(
            p.numel() for p in module.parameters() if p.requires_grad
        )
        weights = factors[training] * weights
        # Only their ratios count; very small ones would vanish in single precision.
        weights /= weights.mean()
        recipe = self._recipe(device)
        is_main = processes is None or processes.is_main_process
        # Where every epoch has a line and a bar of its own, there is none over all of them.
        shown = None if self.verbose is None and is_main else False
        with progress(recipe.n_steps(len(training)), shown, "step") as bar:
            net = make_net(
                module,
                self._loss(),
                recipe,
                n_trials=len(training),
                validation=validation,
                classify=self._classify,
                callbacks=self.callbacks or (),
                device=device,
                generator=generator,
                verbose=bool(self.verbose) and is_main,
                on_step=bar.update,
                kind=partial(SharedNet, accelerator=processes) if processes else FineTuningNet,
            )
            net.fit(WeightedTrials(signals, targets, weights, training), None)
        if isinstance(net, SharedNet):
            net = net.disconnected()
        finish_training(net)
        net.module = net.module_ = self._finished(model).to("cpu")
        self.history_ = history_of(net)
        check_convergence(self.history_, model, self.lr)
        self.net_ = net

    def _split(
        self, given: TrialTargets, generator: torch.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Trials to train on and trials to watch, those of weight 0 left out."""
        training, watched = split_validation(
            len(given.targets),
            given.groups,
            given.targets if self._classify else None,
            fraction=self.validation_fraction,
            names=self.validation_groups,
            seed=generator.initial_seed(),
        )
        if not given.weights[training].any():
            raise ValueError("every trial that is not in validation has sample_weight 0.")
        return training, watched[given.weights[watched] > 0]

    def _outputs(self, X: Any) -> NDArray[np.float64]:
        """Compute the outputs of the head, ``(n_trials, n_outputs)``."""
        matched = self._match_again(X)
        if matched.segmentation != self.segmentation_:
            rate = self.config_.sfreq
            raise ValueError(
                f"X has windows of {matched.segmentation.n_times / rate:g} s, but fit saw "
                f"{self.segmentation_.n_times / rate:g} s: crop them, or fit again."
            )
        # The net stays where it predicts, and predicts there by itself, too.
        self.net_.device = str(resolve_device(self.device))
        return self._predict(self.net_.module_, matched).astype(np.float64)

    def _check_training_parameters(
        self, integers: Sequence[str] = (), numbers: Sequence[str] = ()
    ) -> None:
        """Check what every recipe has, and further positive integers and finite numbers."""
        for name in ("lr", *numbers, "weight_decay", "warmup_epochs"):
            value = check_scalar(getattr(self, name), name, Real)
            if not np.isfinite(value):
                raise ValueError(f"{name}={value} must be finite.")
        for name in ("max_epochs", "batch_size", *integers):
            check_scalar(getattr(self, name), name, Integral, min_val=1)
        check_scalar(self.lr, "lr", Real, min_val=0, include_boundaries="neither")
        for name in ("weight_decay", "warmup_epochs"):
            check_scalar(getattr(self, name), name, Real, min_val=0)
        if not isinstance(self.callbacks, (list, tuple, type(None))):
            raise TypeError(f"callbacks={self.callbacks!r} must be a list of skorch callbacks.")
        for callback in self.callbacks or ():
            named = isinstance(callback, tuple) and len(callback) == 2
            if not hasattr(callback[1] if named else callback, "on_train_begin"):
                raise TypeError(
                    f"callbacks holds {callback!r}, which is not a skorch callback or a pair "
                    "(name, callback)."
                )

    def _trained_part(self, model: nn.Module) -> nn.Module:
        """Return the part of the network that is trained; parameters keep their names."""
        return model

    def _finished(self, model: nn.Module) -> nn.Module:
        """Return the network that predicts."""
        return model.eval()

    @abstractmethod
    def _build(
        self, pretrained: Any, matched: MatchedTrials, n_outputs: int, generator: torch.Generator
    ) -> nn.Module:
        """Make the network that is trained, around or upon the pretrained model."""

    @abstractmethod
    def _recipe(self, device: torch.device) -> Recipe:
        """Say how the network is trained."""

    def _trials_of_passes(self, most_patches: Mapping[str, int], device: torch.device) -> int:
        """Trials of a pass in training, from the most patches that a type of device takes."""
        n_patches = len(self.ch_names_) * self.segmentation_.n_patches
        return max(1, most_patches.get(device.type, most_patches["cpu"]) // n_patches)

    @abstractmethod
    def _signals(self, model: nn.Module, matched: MatchedTrials) -> NDArray[Any]:
        """Read what the trained part is shown."""

    @abstractmethod
    def _predict(self, model: nn.Module, matched: MatchedTrials) -> NDArray[Any]:
        """Compute the outputs of the network, ``(n_trials, n_outputs)``."""

    def _network_state(self) -> tuple[dict[str, Any], nn.Module]:
        return {
            "history": self.history_,
            "n_trainable_parameters": self.n_trainable_parameters_,
        }, self.net_.module_

    def _configs(self, record: dict[str, Any]) -> dict[Kind, Config]:
        return {self._kind: self.config_}

    def _set_network(self, network: nn.Module, record: dict[str, Any]) -> None:
        self.n_trainable_parameters_ = record["n_trainable_parameters"]
        self.history_ = record["history"]
        self.net_ = make_trained_net(network, self._loss(), self.history_, classify=self._classify)

    @abstractmethod
    def _loss(self) -> Callable[..., Tensor]:
        """Return the loss, a function of outputs and targets."""

    @abstractmethod
    def _check_targets(self, y: Any) -> tuple[NDArray[Any], int]:
        """Return targets as numbers, and how many outputs they need."""

    @abstractmethod
    def _prepare_targets(
        self, targets: NDArray[Any], training: NDArray[np.intp], weights: NDArray[np.float64]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Derive, from the training trials, what all are to give and a factor of their weight."""


def check_convergence(history: Sequence[dict[str, float]], model: nn.Module, lr: float) -> None:
    """Raise if the loss or a weight became infinite or undefined."""
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
