# License: BSD-3-Clause
"""What estimators are trained to give: classes or numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d
from torch import Tensor
from torch.nn import functional as F

# Squares of sums of such values stay finite.
_LARGEST_TARGET = 1e30


class ClassTargets(ClassifierMixin):
    """Classes with any labels, weighted by ``class_weight``; see :class:`NeuroRVQClassifier`."""

    _classify = True

    if TYPE_CHECKING:
        class_weight: Any

        def _outputs(self, X: Any) -> NDArray[np.float64]: ...

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
        """Compute the logits of the classes.

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

    def _loss(self) -> Callable[..., Tensor]:
        return F.cross_entropy

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

    def _set_learned(self, learned: dict[str, Any]) -> None:
        self.classes_ = np.array(learned["classes"], dtype=learned["dtype"])


class NumberTargets(RegressorMixin):
    """Numbers, standardised for training; see :class:`NeuroRVQRegressor`."""

    _classify = False

    if TYPE_CHECKING:

        def _outputs(self, X: Any) -> NDArray[np.float64]: ...

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

    def _loss(self) -> Callable[..., Tensor]:
        return F.mse_loss

    def _check_targets(self, y: Any) -> tuple[NDArray[np.float64], int]:
        y = _as_column(y, self, dtype=np.float64)
        largest = y[np.abs(y).argmax()]
        if abs(largest) > _LARGEST_TARGET:
            raise ValueError(
                f"y has values up to {largest:g}, more than any measurement: look for "
                "values that stand for missing ones, or scale y."
            )
        return y, 1

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

    def _set_learned(self, learned: dict[str, Any]) -> None:
        self._mean, self._scale = learned["mean"], learned["scale"]


def _as_column(y: Any, estimator: object, dtype: Any = None) -> NDArray[Any]:
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None. For "
            "Epochs: y=epochs.events[:, 2], or a column of their metadata."
        )
    y = check_array(y, ensure_2d=False, dtype=dtype, input_name="y")
    return column_or_1d(y, warn=True)


@dataclass(frozen=True)
class TrialTargets:
    """Targets of trials (classes or values) with their weights and groups, ``(n_trials,)``."""

    targets: NDArray[Any]
    weights: NDArray[np.float64]
    groups: NDArray[Any] | None


def check_trial_targets(
    targets: NDArray[Any], sample_weight: ArrayLike | None, groups: ArrayLike | None
) -> TrialTargets:
    """Check weights and groups of trials whose targets are checked already."""
    n_trials = len(targets)
    return TrialTargets(targets, _weights(sample_weight, n_trials), _groups(groups, n_trials))


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
