# License: BSD-3-Clause
"""NeuroRVQ, fine-tuned, as a scikit-learn classifier and regressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d
from torch.nn import functional as F

from .finetuned import FineTunedEstimator


class NeuroRVQClassifier(ClassifierMixin, FineTunedEstimator):
    """Fine-tune a pretrained NeuroRVQ model to tell classes of trials apart.

    Parameters
    ----------
    pretrained : str
        Name of a model (see :func:`~mne_neurorvq.list_pretrained`) or path of one.
    revision : str | None
        Revision of a model that is downloaded; None takes the registered one.
    finetune : "full" | "head" | "lora"
        What is trained beside the head: the whole model, nothing (trials are then encoded once,
        before training), or low-rank adapters on its projections (extra ``lora``).
    head : "mean" | "flatten"
        Whether the head, a LayerNorm and a linear layer, sees the mean of the features over
        channels and patches, or all of them.
    max_epochs : int
        Passes over the trials.
    batch_size : int
        Trials per step; the last batch of an epoch may be smaller.
    lr : float
        Highest learning rate of the head.
    layer_decay : float
        Factor of the learning rate from each parameter tensor to the one below it; 1 gives all
        tensors the same.
    weight_decay : float
        Decoupled weight decay (AdamW) of every tensor.
    warmup_epochs : float
        Epochs in which the learning rate rises from a tenth; over the others it falls back.
    class_weight : "balanced" | dict | None
        Weights of the classes in the loss: inversely proportional to how often they occur among
        the training trials, given by label, or equal.
    lora_rank : int
        Rank of the adapters of ``finetune="lora"``.
    validation_fraction : float | None
        Share of the groups (of the trials of each class, if :meth:`fit` gets no groups) that is
        watched and not trained on.
    validation_groups : list | None
        The groups to watch, by name, instead of a share of them.
    early_stopping : bool | int
        Whether to stop after so many epochs (True: 5) without a lower validation loss and take
        the weights with the lowest.
    callbacks : list of skorch callbacks | None
        Further callbacks of the net; copies of them are used.
    channels : "match" | "strict" | "interpolate"
        What to do with channels that the model does not know: leave them out with a warning,
        raise, or use the nearest free site that it knows.
    unit : "uV" | "mV" | "V"
        Unit of arrays. Epochs are in volts.
    ch_names : list of str | None
        Channels of arrays. An array of one channel, ``(n_trials, n_times)``, is taken to be "Cz"
        if there is no name.
    sfreq : float | None
        Sampling rate of arrays in Hz; an array of one unnamed channel is taken to have the
        model's.
    device : str
        ``"auto"`` (CUDA where available, otherwise CPU), a torch device, or ``"accelerate"``: the
        processes that torchrun started train one net, see :doc:`/scaling` (extra
        ``accelerate``).
    precision : "auto" | "float32" | "bf16"
        Precision of forward passes; ``"auto"`` is bfloat16 autocast on CUDA, float32 elsewhere.
    random_state : int | RandomState | None
        Seed of the head and of the order of trials: with the same seed, a fit on a CPU gives the
        same bits. None draws a new one.
    verbose : bool | None
        Whether to print a line for each epoch and a progress bar.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels.
    net_ : skorch.NeuralNet
        The trained net; its ``module_`` is a :class:`~mne_neurorvq.models.WindowModel`.
    history_ : list of dict
        For each epoch its number, ``train_loss``, ``seconds`` and, with validation,
        ``valid_loss`` and ``valid_balanced_accuracy``.
    n_trainable_parameters_ : int
        Numbers that were trained.
    channel_report_ : tuple of ChannelMatch
        What happened to each channel of the data given to :meth:`fit`.
    ch_names_ : tuple of str
        Channels of those data that the model uses.
    config_ : NeuroRVQConfig
        Structure of the model.
    segmentation_ : Segmentation
        How the windows of those data are cut.
    n_features_in_ : int
        Channels of those data (of a two-dimensional array: samples).

    See Also
    --------
    mne_neurorvq.NeuroRVQTransformer : Features for a classifier of your own.
    mne_neurorvq.load_estimator : Load what :meth:`save` wrote.

    Notes
    -----
    The recipe is the one that the authors published [1]_, with class weights from the training
    trials only and a softmax for two classes as well. Training depends neither on the order of
    the trials nor on whether one is given twice or with a weight of two.

    References
    ----------
    .. [1] K. Barmpas et al. (2025). NeuroRVQ: Multi-Scale EEG Tokenization for Generative Large
       Brainwave Models.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import NeuroRVQClassifier
    >>> y = np.tile(["left", "right"], 10)
    >>> X = 10 * np.random.default_rng(0).standard_normal((20, 2, 400))  # microvolts
    >>> X[y == "left", 0] *= 3
    >>> model = NeuroRVQClassifier("neurorvq-eeg-tiny-random", finetune="head", max_epochs=30,
    ...                            ch_names=["C3", "C4"], sfreq=200.0, random_state=0)
    >>> model.fit(X, y).score(X, y)
    1.0
    >>> model.predict_proba(X).shape, model.n_trainable_parameters_
    ((20, 2), 3202)
    """

    _loss = staticmethod(F.cross_entropy)
    _classify = True

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
        class_weight: Literal["balanced"] | dict[Any, float] | None = "balanced",
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
        super().__init__(
            pretrained,
            revision=revision,
            finetune=finetune,
            head=head,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            layer_decay=layer_decay,
            weight_decay=weight_decay,
            warmup_epochs=warmup_epochs,
            lora_rank=lora_rank,
            validation_fraction=validation_fraction,
            validation_groups=validation_groups,
            early_stopping=early_stopping,
            callbacks=callbacks,
            channels=channels,
            unit=unit,
            ch_names=ch_names,
            sfreq=sfreq,
            device=device,
            precision=precision,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the class of each trial.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials with the channels and the length seen by :meth:`fit`.

        Returns
        -------
        ndarray, shape (n_trials,)
            Labels.
        """
        outputs = self._outputs(X)  # first: it raises if there was no fit
        return self.classes_[outputs.argmax(axis=1)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict the probability of each class.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials with the channels and the length seen by :meth:`fit`.

        Returns
        -------
        ndarray, shape (n_trials, n_classes)
            Probabilities in the order of ``classes_``; each row sums to one.
        """
        return softmax(self._outputs(X), axis=1)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Give the logits of the classes.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials with the channels and the length seen by :meth:`fit`.

        Returns
        -------
        ndarray, shape (n_trials,) or (n_trials, n_classes)
            For two classes the logit of the second less that of the first.
        """
        logits = self._outputs(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def _check_targets(self, y: Any) -> tuple[NDArray[np.int64], int]:
        y = _as_column(y, self)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class only, {self.classes_.tolist()[0]!r}: a classifier needs two or "
                "more."
            )
        return codes, len(self.classes_)

    def _prepare_targets(
        self,
        targets: NDArray[np.int64],
        training: NDArray[np.intp],
        weights: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        absent = np.delete(self.classes_, np.unique(targets[training])).tolist()
        if absent:
            raise ValueError(
                f"class {absent[0]!r} has no trial to train on: all of its trials are in "
                "validation, or have sample_weight 0."
            )
        of_class = compute_class_weight(
            self.class_weight,
            classes=self.classes_,
            y=self.classes_[targets[training]],
            sample_weight=weights,
        )
        if not (np.isfinite(of_class) & (of_class > 0)).all():
            raise ValueError(f"class_weight={self.class_weight!r} must be positive numbers.")
        return targets, of_class[targets]

    def _learned(self) -> dict[str, Any]:
        classes = self.classes_.astype(str) if self.classes_.dtype.kind == "M" else self.classes_
        return {"classes": classes.tolist(), "dtype": self.classes_.dtype.str}

    def _recall(self, learned: dict[str, Any]) -> None:
        self.classes_ = np.array(learned["classes"], dtype=learned["dtype"])


class NeuroRVQRegressor(RegressorMixin, FineTunedEstimator):
    """Fine-tune a pretrained NeuroRVQ model to predict a number for each trial.

    Targets are standardised by mean and standard deviation of the training trials and brought
    back in :meth:`predict`; the loss is the squared error.

    Parameters
    ----------
    pretrained, revision, finetune, head, max_epochs, batch_size, lr, layer_decay, weight_decay
        As in :class:`NeuroRVQClassifier`.
    warmup_epochs, lora_rank, validation_fraction, validation_groups, early_stopping, callbacks
        As in :class:`NeuroRVQClassifier`.
    channels, unit, ch_names, sfreq, device, precision, random_state, verbose
        As in :class:`NeuroRVQClassifier`.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; its ``module_`` is a :class:`~mne_neurorvq.models.WindowModel`.
    history_ : list of dict
        For each epoch its number, ``train_loss``, ``seconds`` and, with validation,
        ``valid_loss``; losses are those of standardised targets.
    n_trainable_parameters_, channel_report_, ch_names_, config_, segmentation_, n_features_in_
        As in :class:`NeuroRVQClassifier`.

    See Also
    --------
    mne_neurorvq.NeuroRVQClassifier : The same for classes.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import NeuroRVQRegressor
    >>> rng = np.random.default_rng(0)
    >>> y = rng.uniform(1, 5, 40)
    >>> X = 10 * y[:, None, None] * rng.standard_normal((40, 1, 400))  # microvolts
    >>> model = NeuroRVQRegressor("neurorvq-eeg-tiny-random", finetune="head", max_epochs=60,
    ...                           lr=5e-3, ch_names=["Cz"], sfreq=200.0, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.5
    True
    """

    _loss = staticmethod(F.mse_loss)
    _classify = False

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predict the number of each trial.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials with the channels and the length seen by :meth:`fit`.

        Returns
        -------
        ndarray, shape (n_trials,)
            Predictions.
        """
        outputs = self._outputs(X)  # first: it raises if there was no fit
        return self._mean + self._scale * outputs[:, 0]

    def _check_targets(self, y: Any) -> tuple[NDArray[np.float64], int]:
        return _as_column(y, self, dtype=np.float64), 1

    def _prepare_targets(
        self,
        targets: NDArray[np.float64],
        training: NDArray[np.intp],
        weights: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        self._mean = float(np.average(targets[training], weights=weights))
        squares = (targets[training] - self._mean) ** 2
        self._scale = float(np.sqrt(np.average(squares, weights=weights))) or 1.0
        standardised = ((targets - self._mean) / self._scale).astype(np.float32)
        return standardised[:, None], np.ones(len(targets))

    def _learned(self) -> dict[str, Any]:
        return {"mean": self._mean, "scale": self._scale}

    def _recall(self, learned: dict[str, Any]) -> None:
        self._mean, self._scale = learned["mean"], learned["scale"]


def _as_column(y: Any, estimator: object, dtype: Any = None) -> NDArray[Any]:
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None. For "
            "Epochs: y=epochs.events[:, 2], or a column of their metadata."
        )
    y = check_array(y, ensure_2d=False, dtype=dtype, input_name="y")
    return column_or_1d(y, warn=True)
