# License: BSD-3-Clause
"""How scores grow with the number of training trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .folds import fold_scores, group_folds


@dataclass(frozen=True)
class LowResourceCurve:
    """Scores with a share of the training trials, on the same test folds.

    Attributes
    ----------
    shares : array, shape (n_shares,)
        Shares of the training trials.
    scores : array, shape (n_shares, n_folds)
        Score of each fold.
    n_train : array of int, shape (n_shares, n_folds)
        Number of trials that were trained on.
    """

    shares: np.ndarray
    scores: np.ndarray
    n_train: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean score over the folds, shape (n_shares,)."""
        return self.scores.mean(axis=1)


def low_resource_curve(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    shares: Sequence[float] = (0.1, 0.3, 1.0),
    cv: Any = 5,
    scoring: Any = "balanced_accuracy",
    params: Mapping[str, Any] | None = None,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> LowResourceCurve:
    """Score a classifier that is fitted on shares of the training trials.

    Parameters
    ----------
    estimator : scikit-learn classifier or pipeline
        Cloned and fitted for each share and fold. Give it a ``random_state`` of its own.
    X : Epochs | array | Tokens | DataFrame
        Whatever the estimator takes, one entry for each trial.
    y : array-like, shape (n_trials,)
        Classes.
    groups : array-like, shape (n_trials,)
        Subject of each trial.
    shares : sequence of float
        Shares of the training trials, above 0 and at most 1.
    cv : int | scikit-learn splitter | iterable of (train, test)
        Number of folds over the subjects, or the folds; no subject may be on both sides of one.
    scoring : str | callable
        What scikit-learn takes as scoring; one score.
    params : dict | None
        Passed on to ``fit``, such as ``{"groups": groups}``: see
        :func:`sklearn.model_selection.cross_validate`.
    random_state : int
        Seed of the folds, where ``cv`` is a number, and of the trials drawn.
    n_jobs : int | None
        Number of fits at a time.

    Returns
    -------
    curve : LowResourceCurve
        Scores of each share and fold.

    Raises
    ------
    ValueError
        If a share is impossible, y are no classes, or a subject is on both sides of a fold.

    Notes
    -----
    Only training trials are left out: every share is tested on all trials of the same subjects.
    A smaller share is part of each larger one. Of each class the share is taken exactly, up to
    rounding and at least one trial, and as evenly as can be from the training subjects: this is
    about fewer trials of each person, not about fewer people.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> y, subjects = np.tile([0, 1], 100), np.repeat(list("abcde"), 40)
    >>> X = rng.standard_normal((200, 20)) + 0.5 * y[:, None]
    >>> curve = low_resource_curve(LogisticRegression(), X, y, subjects)
    >>> curve.n_train[:, 0].tolist()
    [16, 48, 160]
    >>> bool(curve.mean[0] < curve.mean[2])
    True
    """
    if not len(shares) or not all(0 < share <= 1 for share in shares):
        raise ValueError(f"shares must be above 0 and at most 1, got {shares}")
    y, groups, folds = group_folds(y, groups, cv, random_state)
    splits = []
    for number, (train, test) in enumerate(folds):
        rng = np.random.default_rng([random_state, number])
        rank = _spread_ranks(y[train], groups[train], rng)
        splits += [(train[_first(y[train], rank, share)], test) for share in shares]
    scores = fold_scores(estimator, X, y, splits, scoring=scoring, params=params, n_jobs=n_jobs)
    shape = (len(folds), len(shares))
    return LowResourceCurve(
        shares=np.array(shares, float),
        scores=scores.reshape(shape).T,
        n_train=np.array([len(train) for train, _ in splits]).reshape(shape).T,
    )


def _spread_ranks(
    y: NDArray[Any], groups: NDArray[Any], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Numbers from 0 to 1, of which the smallest ``n`` of a class come evenly from its subjects."""
    rank = np.empty(len(y))
    for label in np.unique(y):
        for group in np.unique(groups[y == label]):
            members = np.flatnonzero((y == label) & (groups == group))
            # An offset for each subject: with less than a trial of each, chance says whose.
            places = (np.arange(len(members)) + rng.random()) / len(members)
            rank[members] = rng.permutation(places)
    return rank


def _first(y: NDArray[Any], rank: NDArray[np.float64], share: float) -> NDArray[np.intp]:
    """Return indices of the trials of smallest rank that make a share of each class."""
    kept = []
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        n_kept = max(1, round(share * len(members)))
        kept.append(members[np.argsort(rank[members], kind="stable")[:n_kept]])
    return np.sort(np.concatenate(kept))
