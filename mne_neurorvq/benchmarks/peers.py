# License: BSD-3-Clause
"""Networks of braindecode as classifiers of Epochs."""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import mne
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted
from torch.nn.utils.parametrize import remove_parametrizations

from .._fitting import all_or_nothing
from .._optional import optional
from ..encoding.device import resolve_device
from ..finetuning.net import finish_training
from ..signals import Trials, resample
from .peer_inputs import microvolts, read_epochs

#: Learning rate and settings: EEGNet as published (Keras' Adam, constrained dense layer),
#: ShallowFBCSPNet as in braindecode's examples.
_RECIPES: dict[str, tuple[float, Mapping[str, Any]]] = {
    "EEGNet": (1e-3, {"final_layer_with_constraint": True}),
    "ShallowFBCSPNet": (6.25e-4, {}),
}


class BraindecodeClassifier(ClassifierMixin, BaseEstimator):
    """A network of braindecode, trained on Epochs from random weights.

    Parameters
    ----------
    module : "EEGNet" | "ShallowFBCSPNet"
        Name of the network; its settings are braindecode's.
    sfreq : float
        Rate in Hz to which trials are resampled.
    max_epochs, batch_size : int
        Training epochs, and trials per step; the last batch of an epoch may be smaller.
    lr : float | None
        Initial learning rate. None takes the published one, 1e-3 for EEGNet [1]_ and 6.25e-4 for
        ShallowFBCSPNet [2]_.
    weight_decay : float
        Weight decay of AdamW.
    class_weight : "balanced" | dict | None
        Weights of the classes in the loss, as in scikit-learn.
    device : str
        A torch device, or ``"auto"``: CUDA if available, otherwise the CPU.
    random_state : int | RandomState | None
        Seed of weights, trial order and dropout.

    Attributes
    ----------
    classes_ : ndarray
        The classes.
    net_ : braindecode.EEGClassifier
        The trained net.
    ch_names_ : tuple of str
        EEG channels that are not marked bad.
    n_trainable_parameters_ : int
        Number of weights.

    Notes
    -----
    Trials in µV are resampled and standardised channel by channel with the mean and standard
    deviation of the training trials; they are not filtered. The optimiser is AdamW with cosine
    annealing of the learning rate, one step per epoch, as in braindecode's examples.

    References
    ----------
    .. [1] V. J. Lawhern et al. (2018). EEGNet: a compact convolutional neural network for
       EEG-based brain-computer interfaces. Journal of Neural Engineering 15(5).
    .. [2] R. T. Schirrmeister et al. (2017). Deep learning with convolutional neural networks for
       EEG decoding and visualization. Human Brain Mapping 38(11).

    Examples
    --------
    >>> from mne_neurorvq.datasets import simulate_epochs, trial_column
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=8, verbose=False)
    >>> y = trial_column(epochs, "condition")
    >>> eegnet = BraindecodeClassifier("EEGNet", max_epochs=1, random_state=0).fit(epochs, y)
    >>> eegnet.predict_proba(epochs).shape, eegnet.n_trainable_parameters_
    ((8, 2), 2210)
    """

    def __init__(
        self,
        module: str = "EEGNet",
        *,
        sfreq: float = 200.0,
        max_epochs: int = 20,
        batch_size: int = 32,
        lr: float | None = None,
        weight_decay: float = 0.0,
        class_weight: str | dict[Any, float] | None = "balanced",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.module = module
        self.sfreq = sfreq
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.class_weight = class_weight
        self.device = device
        self.random_state = random_state

    @all_or_nothing
    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Train the network.

        Parameters
        ----------
        X : Epochs | list of Epochs
            Trials.
        y : array-like, shape (n_trials,)
            Classes.

        Returns
        -------
        BraindecodeClassifier
            Itself.
        """
        if self.module not in _RECIPES:
            raise ValueError(f"module={self.module!r} must be one of {', '.join(_RECIPES)}.")
        signals = self._signals(read_epochs(self, X, reset=True))
        self.classes_, targets = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) < 2 or len(targets) != len(signals):
            raise ValueError(
                f"y has {len(targets)} entries of {len(self.classes_)} class(es) for "
                f"{len(signals)} trials: give one class per trial, at least two in all."
            )
        self._mean = signals.mean(axis=(0, 2), keepdims=True)
        self._deviation = signals.std(axis=(0, 2), keepdims=True)
        if not (self._deviation > 0).all():
            flat = self.ch_names_[int(np.argmin(self._deviation))]
            raise ValueError(f"channel {flat!r} is flat in all trials: drop it or mark it bad.")
        weights = compute_class_weight(self.class_weight, classes=self.classes_, y=np.asarray(y))
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        with _own_random_numbers(seed):
            self.net_ = self._net(weights).fit(self._standardised(signals), targets)
        finish_training(self.net_)
        _fix_constraints(self.net_.module_)
        self._n_times = signals.shape[-1]
        self.n_trainable_parameters_ = sum(
            parameter.numel() for parameter in self.net_.module_.parameters()
        )
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Estimate the probabilities of the classes.

        Parameters
        ----------
        X : Epochs | list of Epochs
            Trials with the channels and length seen in :meth:`fit`.

        Returns
        -------
        ndarray, shape (n_trials, n_classes)
            Probabilities in the order of ``classes_``.
        """
        check_is_fitted(self)
        signals = self._signals(read_epochs(self, X, reset=False))
        if signals.shape[-1] != self._n_times:
            raise ValueError(
                f"X has {signals.shape[-1]} samples at {self.sfreq:g} Hz, but fit saw "
                f"{self._n_times}: fit again, or crop the trials."
            )
        # A DataLoader draws a random number even if it is not used.
        with _own_random_numbers(0):
            return self.net_.predict_proba(self._standardised(signals))

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the classes of trials.

        Parameters
        ----------
        X : Epochs | list of Epochs
            Trials with the channels and length seen in :meth:`fit`.

        Returns
        -------
        ndarray, shape (n_trials,)
            The most probable of ``classes_``.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _signals(self, trials: Trials) -> NDArray[np.float64]:
        return resample(microvolts(self, trials), trials.sfreq, self.sfreq)

    def _standardised(self, signals: NDArray[np.float64]) -> NDArray[np.float32]:
        return ((signals - self._mean) / self._deviation).astype(np.float32)

    def _net(self, weights: NDArray[np.float64]) -> Any:
        braindecode = _braindecode()
        published, settings = _RECIPES[self.module]
        from skorch.callbacks import LRScheduler

        return braindecode.EEGClassifier(
            self.module,
            **{f"module__{name}": value for name, value in settings.items()},
            module__sfreq=self.sfreq,
            criterion=torch.nn.CrossEntropyLoss,
            criterion__weight=torch.tensor(weights, dtype=torch.float32),
            optimizer=torch.optim.AdamW,
            optimizer__weight_decay=self.weight_decay,
            lr=published if self.lr is None else self.lr,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            iterator_train__drop_last=False,
            train_split=None,
            callbacks=[("schedule", LRScheduler("CosineAnnealingLR", T_max=self.max_epochs))],
            device=str(resolve_device(self.device)),
            verbose=0,
        )


@contextmanager
def _own_random_numbers(seed: int) -> Iterator[None]:
    """Seed torch, and restore its global random state."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _fix_constraints(module: torch.nn.Module) -> None:
    """Replace constrained weights by their values: torch cannot pickle parametrizations."""
    for layer in module.modules():
        for name in list(getattr(layer, "parametrizations", ())):
            remove_parametrizations(layer, name)


def _braindecode() -> types.ModuleType:
    with (
        optional("BraindecodeClassifier", "braindecode"),
        warnings.catch_warnings(),
        mne.utils.use_log_level("error"),
    ):
        # Importing it and its dependencies raises deprecation warnings of other libraries.
        warnings.simplefilter("ignore")
        import braindecode
    return braindecode
