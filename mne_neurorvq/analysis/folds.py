# License: BSD-3-Clause
"""Folds that keep subjects apart, and scores on them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupKFold, check_cv, cross_validate
from sklearn.utils.multiclass import type_of_target

Fold = tuple[NDArray[np.integer], NDArray[np.integer]]


def group_folds(
    y: ArrayLike, groups: ArrayLike, cv: Any, random_state: int
) -> tuple[NDArray[Any], NDArray[Any], list[Fold]]:
    """Split trials into folds of which none tests a subject that it trains on.

    Parameters
    ----------
    y, groups : array-like, shape (n_trials,)
        Class and subject of each trial.
    cv : int | scikit-learn splitter | iterable of (train, test)
        Number of folds over the subjects, or the folds.
    random_state : int
        Seed of an assignment by number.

    Returns
    -------
    y, groups : ndarray, shape (n_trials,)
        As arrays.
    folds : list of (train, test)
        Indices of the trials.

    Raises
    ------
    ValueError
        If y are no classes, shapes differ, or a subject is on both sides of a fold.
    """
    y, groups = np.asarray(y), np.asarray(groups)
    if y.ndim != 1 or y.shape != groups.shape:
        raise ValueError(
            f"y and groups must have one entry for each trial, got the shapes {y.shape} and "
            f"{groups.shape}"
        )
    if type_of_target(y) not in ("binary", "multiclass") or len(np.unique(y)) < 2:
        raise ValueError(f"y must hold two classes or more, got {type_of_target(y)} values")
    if isinstance(cv, (int, np.integer)):
        n_subjects = len(np.unique(groups))
        if not 2 <= cv <= n_subjects:
            raise ValueError(f"cv={cv} must be from 2 to the number of subjects ({n_subjects})")
        cv = GroupKFold(cv, shuffle=True, random_state=random_state)
    with warnings.catch_warnings():
        # Where a splitter ignores groups, the check below says more.
        warnings.filterwarnings("ignore", "The groups parameter is ignored", UserWarning)
        folds = list(check_cv(cv).split(y, y, groups))
    for number, (train, test) in enumerate(folds):
        shared = np.intersect1d(groups[train], groups[test])
        if shared.size:
            raise ValueError(
                f"fold {number} of cv trains and tests on subject {shared[0]!s}: use a "
                "splitter that takes groups, such as GroupKFold"
            )
    return y, groups, folds


def fold_scores(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    folds: Sequence[Fold],
    *,
    scoring: Any,
    params: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
) -> NDArray[np.float64]:
    """Score clones of an estimator on folds, ``(n_folds,)``; a fold that fails raises."""
    result = cross_validate(
        estimator,
        X,
        y,
        cv=folds,
        scoring=scoring,
        params=None if params is None else dict(params),
        n_jobs=n_jobs,
        error_score="raise",
    )
    return result["test_score"]
