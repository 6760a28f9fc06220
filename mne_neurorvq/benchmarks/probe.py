# License: BSD-3-Clause
"""The linear probe: what a linear classifier reads from features, its strength chosen on people."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from .._fitting import all_or_nothing
from .._table import name_ranges

#: Inverse regularisation strengths of the logistic regression to choose from.
C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
# Place of the one that a single training subject gets, where there is no choice.
_UNCHOSEN = 2
_INNER_SPLITS = 5
_COLUMNS_AT_A_TIME = 2**13


class LinearProbe(ClassifierMixin, BaseEstimator):
    """Standardised columns and a linear classifier, whose strength is chosen on inner subjects.

    Parameters
    ----------
    kind : "logistic" | "ridge"
        Logistic regression, or least squares in closed form, with an L2 penalty.
    n_jobs : int | None
        Number of parallel fits for the choice.

    Attributes
    ----------
    classes_ : ndarray
        The classes.
    strength_ : float
        The chosen `C` of the logistic regression, or `alpha` of the ridge.

    Notes
    -----
    `C` is one of 1e-4, 1e-3, ..., 1, and `alpha` one of 0.01, 0.1, ..., 100 times the number of
    columns: the best by balanced accuracy in a cross-validation (at most 5 folds) over the
    training subjects, which MOABB hands to ``fit``. With a single subject it is the middle one.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y, subjects = np.tile([0, 1], 40), np.repeat(list("abcd"), 20)
    >>> X = rng.standard_normal((80, 3)) + y[:, None]
    >>> LinearProbe().fit(X, y, subjects=subjects).score(X, y) > 0.7
    True
    """

    # Asks for what MOABB passes, without another line in every pipeline.
    __metadata_request__fit: ClassVar = {"subjects": True}

    def __init__(
        self, kind: Literal["logistic", "ridge"] = "logistic", *, n_jobs: int | None = None
    ) -> None:
        self.kind = kind
        self.n_jobs = n_jobs

    @all_or_nothing
    # Matrices this small are multiplied before a second thread has woken up.
    @threadpool_limits.wrap(limits=1, user_api="blas")
    def fit(self, X: ArrayLike, y: ArrayLike, subjects: ArrayLike | None = None) -> Self:
        """Choose the strength, and fit.

        Parameters
        ----------
        X : array-like, shape (n_trials, n_columns)
            Features.
        y : array-like, shape (n_trials,)
            Classes.
        subjects : array-like, shape (n_trials,) | None
            Subject of each trial.

        Returns
        -------
        LinearProbe
            Itself.

        Raises
        ------
        ValueError
            If all trials are of one class once the subjects of an inner fold are taken away, or
            `subjects` is not one of each trial.
        """
        if self.kind not in ("logistic", "ridge"):
            raise ValueError(f"kind={self.kind!r} must be 'logistic' or 'ridge'.")
        given, y = validate_data(self, X, y)
        check_consistent_length(given, subjects)
        self.classes_ = np.unique(y)
        self._scaler = StandardScaler().fit(given)
        columns = self._reduced(self._scaler.transform(given))
        people = np.zeros(len(columns)) if subjects is None else np.asarray(subjects)
        n_subjects = len(np.unique(people))
        model, name, values = self._choices()
        if n_subjects == 1:
            self.strength_ = values[_UNCHOSEN]
            self._model = model.set_params(**{name: self.strength_}).fit(columns, y)
            return self
        folds = list(GroupKFold(min(_INNER_SPLITS, n_subjects)).split(columns, y, people))
        for train, test in folds:
            classes, without = np.unique(np.take(y, train)), sorted({*map(str, people[test])})
            if len(classes) < 2:
                raise ValueError(
                    "the strength is chosen on inner subjects, but without "
                    f"{name_ranges(without)} all trials are of class {classes[0]}: give more "
                    "subjects of each class, or subjects=None, by which the strength is the middle "
                    "one."
                )
        search = GridSearchCV(
            model,
            {name: values},
            scoring="balanced_accuracy",
            cv=folds,
            n_jobs=self.n_jobs,
            error_score="raise",
        )
        self._model = search.fit(columns, y).best_estimator_
        self.strength_ = search.best_params_[name]
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predict the classes of trials.

        Parameters
        ----------
        X : array-like, shape (n_trials, n_columns)
            Features.

        Returns
        -------
        ndarray, shape (n_trials,)
            Classes.
        """
        columns = self._checked(X)
        return self._model.predict(columns)

    def decision_function(self, X: ArrayLike) -> NDArray[np.floating]:
        """Compute how far trials are on the side of a class.

        Parameters
        ----------
        X : array-like, shape (n_trials, n_columns)
            Features.

        Returns
        -------
        ndarray, shape (n_trials,) or (n_trials, n_classes)
            Of two classes, that of the second.
        """
        columns = self._checked(X)
        return self._model.decision_function(columns)

    def _checked(self, X: ArrayLike) -> NDArray[np.floating]:
        check_is_fitted(self)
        return self._columns(validate_data(self, X, reset=False))

    def _reduced(self, rows: NDArray[np.floating]) -> NDArray[np.floating]:
        """Training rows in a basis of the space that they span, if there are more columns."""
        self._space: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None
        if rows.shape[1] <= len(rows):
            return rows
        # With an L2 penalty the weights lie in this space: the solution is the same, and cheaper.
        products = _products(rows, rows)
        variances, directions = np.linalg.eigh(products)
        kept = variances > variances[-1] * len(rows) * np.finfo(float).eps
        if not kept.any():
            return rows
        self._space = rows, directions[:, kept] / np.sqrt(variances[kept])
        return products @ self._space[1]

    def _columns(self, X: NDArray[np.floating]) -> NDArray[np.floating]:
        scaled: NDArray[np.floating] = self._scaler.transform(X)
        if self._space is None:
            return scaled
        rows, rotation = self._space
        return _products(scaled, rows) @ rotation

    def _choices(self) -> tuple[Any, str, list[float]]:
        """Classifier, name of its strength, and the values to choose from."""
        if self.kind == "logistic":
            return LogisticRegression(max_iter=5000), "C", list(C_GRID)
        # In units of what one trial's columns sum up to.
        values = [penalty * self.n_features_in_ for penalty in _PENALTIES]
        return RidgeClassifier(class_weight="balanced"), "alpha", values


def _products(rows: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Dot products of all rows with all others, in double precision without copies of them all."""
    found = np.zeros((len(rows), len(others)))
    for start in range(0, rows.shape[1], _COLUMNS_AT_A_TIME):
        part = rows[:, start : start + _COLUMNS_AT_A_TIME].astype(np.float64)
        # Of a matrix with itself, BLAS computes half of the products.
        other = part if rows is others else others[:, start : start + _COLUMNS_AT_A_TIME]
        found += part @ other.astype(np.float64, copy=False).T
    return found
