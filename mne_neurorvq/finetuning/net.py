# License: BSD-3-Clause
"""The skorch net that trains a model on weighted trials."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import recall_score
from sklearn.utils import ClassifierTags, Tags
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
    ProgressBar,
)
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset

from .recipe import Recipe, learning_rates

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

Sample = tuple[Tensor, tuple[Tensor, Tensor]]


class WeightedTrials(Dataset[Sample]):
    """Trials with targets and weights, as a net reads them.

    ``signals`` are (n_trials, ...), ``targets`` (n_trials,) or (n_trials, n_outputs), and ``picks``
    says which trials are given, in which order; ``weights`` are those of the picked trials.
    """

    def __init__(
        self,
        signals: NDArray[np.float32],
        targets: NDArray[np.generic],
        weights: NDArray[np.floating],
        picks: NDArray[np.intp] | None = None,
    ) -> None:
        self.signals = signals
        self.targets = targets
        self.weights = weights.astype(np.float32)
        self.picks = np.arange(len(signals)) if picks is None else picks

    def __len__(self) -> int:
        return len(self.picks)

    def __getitem__(self, index: int) -> Sample:
        trial = self.picks[index]
        target = torch.as_tensor(self.targets[trial])
        weight = torch.as_tensor(self.weights[index])
        return torch.tensor(self.signals[trial]), (target, weight)


class WeightedLoss(nn.Module):
    """Mean of a loss, taken with ``reduction="none"``, over the trials of a batch by their weights.

    In evaluation mode the weights are taken as they are: where they are one in the mean of all
    trials, the mean over batches is that over all trials, however they are batched.
    """

    def __init__(self, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
        """Mean loss of a batch; ``target`` holds targets and weights."""
        targets, weights = target
        each = self.loss(output, targets, reduction="none")
        each = each.flatten(1).mean(1) if each.ndim > 1 else each
        return (weights * each).sum() / (weights.sum() if self.training else len(weights))


class FineTuningNet(NeuralNet):
    """A skorch net for :class:`WeightedTrials`.

    Callbacks see the targets of a batch without the weights, so that scores of scikit-learn can
    be watched. The loss is computed in float32, also under bfloat16 autocast (``bf16``). A batch
    of more than ``trials_per_pass`` trials takes several forward passes, which give the gradient
    of all. With ``classify`` the outputs are logits of classes.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: nn.Module,
        *,
        bf16: bool = False,
        classify: bool = False,
        trials_per_pass: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(module, criterion, **settings)
        self.bf16 = bf16
        self.classify = classify
        self.trials_per_pass = trials_per_pass

    def __sklearn_tags__(self) -> Tags:
        # Scores of probabilities, such as "roc_auc", want to know that this is a classifier.
        tags = super().__sklearn_tags__()
        if self.classify:
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        return tags

    def predict_proba(self, X: Any) -> NDArray[np.floating]:
        """Return the probabilities of the classes, or predictions."""
        outputs = super().predict_proba(X)
        return softmax(outputs, axis=-1) if self.classify else outputs

    def predict(self, X: Any) -> NDArray[np.generic]:
        """Return the classes as integers, or predictions."""
        outputs = self.predict_proba(X)
        return outputs.argmax(-1) if self.classify else outputs

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call a method of every callback; a batch is shown to it without its weights."""
        if "batch" in kwargs:
            signals, (targets, _) = kwargs["batch"]
            kwargs["batch"] = signals, targets
        super().notify(method_name, **kwargs)

    def partial_fit(
        self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any
    ) -> FineTuningNet:
        """Train; what interrupts an epoch is passed on, a callback may end training after one."""
        if self.classify:
            self.classes_ = np.unique(X.targets)
        super().partial_fit(X, y, classes, **fit_params)
        if "dur" not in self.history[-1]:
            raise KeyboardInterrupt
        return self

    def __getstate__(self) -> dict[str, Any]:
        # A net that predicts on a GPU is pickled for a machine without one.
        on_cpu = object.__new__(type(self))
        on_cpu.__dict__.update(vars(self))
        module = vars(self).get("module_")
        if module is not None and any(p.device.type != "cpu" for p in module.parameters()):
            on_cpu.__dict__.update(module_=copy.deepcopy(module).to("cpu"), device="cpu")
        state: dict[str, Any] = NeuralNet.__getstate__(on_cpu)
        if self.module is self.__dict__.get("module_"):
            del state["module"]  # skorch would write the weights twice
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("module", self.__dict__.get("module_"))

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute the loss and the gradient of a batch, in one forward pass or several."""
        signals, (targets, weights) = batch
        if self.trials_per_pass is None or len(signals) <= self.trials_per_pass:
            return super().train_step_single(batch, **fit_params)
        self._set_training(True)
        losses, outputs = [], []
        for part in torch.arange(len(signals)).split(self.trials_per_pass):
            output = self.infer(signals[part], **fit_params)
            share = weights[part].sum() / weights.sum()
            loss = self.get_loss(output, (targets[part], weights[part]), training=True) * share
            loss.backward()
            losses.append(loss.detach())
            outputs.append(output.detach())
        return {"loss": torch.stack(losses).sum(), "y_pred": torch.cat(outputs)}

    def infer(self, x: Tensor, **fit_params: Any) -> Tensor:
        """Return the outputs for a batch, in float32."""
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, self.bf16):
            output = super().infer(x, **fit_params)
        return output.float()


def make_net(
    module: nn.Module,
    loss: Callable[..., Tensor],
    recipe: Recipe,
    *,
    n_trials: int,
    validation: WeightedTrials | None,
    classify: bool,
    callbacks: Sequence[Any],
    device: torch.device,
    generator: torch.Generator,
    verbose: bool,
    on_step: Callable[[], object] | None = None,
    kind: Callable[..., FineTuningNet] = FineTuningNet,
) -> FineTuningNet:
    """Put a recipe into a skorch net, ready to ``fit`` on :class:`WeightedTrials`.

    Parameters without a gradient stay as they are; ``callbacks`` are copied; ``on_step`` is called
    after each step of training; ``kind`` builds the net, such as :class:`SharedNet`.
    """
    names = [name for name, p in module.named_parameters() if p.requires_grad]
    rates = learning_rates(names, recipe.lr, recipe.layer_decay)
    factor = partial(recipe.factor, n_trials=n_trials)
    ours: list[tuple[str, Callback]] = [
        ("schedule", LRScheduler(LambdaLR, lr_lambda=factor, step_every="batch"))
    ]
    if validation is not None and classify:
        ours.append(("valid_balanced_accuracy", _watch_accuracy()))
    if recipe.max_norm is not None:
        ours.append(("clipping", GradientNormClipping(recipe.max_norm)))
    if recipe.patience is not None and validation is not None:
        stop = EarlyStopping(
            monitor=f"valid_{recipe.best}",
            lower_is_better=recipe.best == "loss",
            patience=recipe.patience,
            threshold=0,
            load_best=True,
        )
        ours.append(("early_stopping", stop))
    if verbose:
        ours.append(("progress", ProgressBar(detect_notebook=False)))
    if on_step is not None:
        ours.append(("on_step", _CallOnStep(on_step)))
    return kind(
        module,
        WeightedLoss(loss),
        bf16=recipe.bf16,
        classify=classify,
        trials_per_pass=recipe.trials_per_pass,
        optimizer=torch.optim.AdamW,
        optimizer__param_groups=[(name, {"lr": rate}) for name, rate in rates.items()],
        optimizer__weight_decay=recipe.weight_decay,
        lr=recipe.lr,
        max_epochs=recipe.max_epochs,
        batch_size=recipe.batch_size,
        iterator_train__shuffle=True,
        iterator_valid__batch_size=recipe.trials_per_pass or recipe.batch_size,
        iterator_train__generator=generator,
        train_split=None if validation is None else predefined_split(validation),
        callbacks=[*ours, *copy.deepcopy(list(callbacks))],
        device=str(device),
        verbose=int(verbose),
        # Of another sink than print, skorch does not ask whether anything is to be printed.
        callbacks__print_log__sink=_print_line if verbose else print,
    )


def _print_line(line: str) -> None:
    """Print without skorch's colours where they would not be seen: in a pipe or a file."""
    print(line if sys.stdout.isatty() else _COLOUR.sub("", line))


def make_trained_net(
    module: nn.Module,
    loss: Callable[..., Tensor],
    history: Sequence[dict[str, float]],
    *,
    classify: bool,
) -> FineTuningNet:
    """Put a network that was trained elsewhere into a net on the CPU, with its history."""
    net = FineTuningNet(
        module, WeightedLoss(loss), classify=classify, train_split=None, callbacks="disable"
    )
    net.initialize()
    for row in history:
        net.history.new_epoch()
        for name, value in row.items():
            net.history.record(name, value)
    return net


def history_of(net: NeuralNet) -> list[dict[str, float]]:
    """Plain record of the epochs of a net: number, losses, scores and seconds of each."""
    kept = []
    for row in net.history:
        plain = {
            key: value.tolist() if hasattr(value, "tolist") else value
            for key, value in row.items()
            if key not in ("batches", "dur") and not key.endswith(("_best", "batch_count"))
        }
        kept.append(plain | {"seconds": row["dur"]})
    return kept


def finish_training(net: NeuralNet) -> None:
    """Bring a trained net to the CPU and delete what only training needed."""
    net.train_split = None
    net.module_.to("cpu").eval()
    net.device = "cpu"
    for _, callback in net.callbacks_:
        if isinstance(callback, EarlyStopping):
            callback.best_model_weights_ = None
        if isinstance(callback, LRScheduler):
            callback.lr_scheduler_ = None
    net.optimizer_.state.clear()


class _CallOnStep(Callback):
    """Calls a function after every step of training, and drops it at the end."""

    def __init__(self, on_step: Callable[[], object] | None) -> None:
        self.on_step = on_step

    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        if training and self.on_step is not None:
            self.on_step()

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        self.on_step = None


def _watch_accuracy() -> EpochScoring:
    return EpochScoring(
        _balanced_accuracy,
        lower_is_better=False,
        name="valid_balanced_accuracy",
    )


def _balanced_accuracy(net: NeuralNet, X: Any, y: NDArray[np.integer]) -> float:
    # Classes that no validation trial has are left out of the mean.
    return float(recall_score(y, net.predict(X), labels=np.unique(y), average="macro"))
