# License: BSD-3-Clause
"""Scores of scikit-learn on new subjects: from fewer training trials, and from some levels."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupKFold, check_cv, cross_val_score
from sklearn.utils.multiclass import type_of_target


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
        Number of training trials.
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
        Cloned and fitted for each share and fold. Set its own ``random_state``.
    X : Epochs | array | Tokens | DataFrame
        Whatever the estimator takes, one entry for each trial.
    y, groups : array-like, shape (n_trials,)
        Class and subject of each trial.
    shares : sequence of float
        Shares of the training trials, above 0 and at most 1.
    cv : int | scikit-learn splitter | iterable of (train, test)
        Number of folds over the subjects, or the folds; no subject may be on both sides of one.
    scoring : str | callable
        A single score, as in scikit-learn.
    params : dict | None
        Passed to ``fit``, such as ``{"groups": groups}``: see
        :func:`sklearn.model_selection.cross_validate`.
    random_state : int
        Seed of the folds, if ``cv`` is a number, and of the trials drawn.
    n_jobs : int | None
        Number of parallel fits.

    Returns
    -------
    curve : LowResourceCurve
        Scores of each share and fold.

    Notes
    -----
    Unlike :func:`sklearn.model_selection.learning_curve`, a share is drawn from each class, to
    rounding and at least one trial, and as evenly as possible from the training subjects: the
    curve is about fewer trials of each person, not about fewer people. A smaller share is part of
    each larger one, and all are tested on all trials of the same subjects.

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
    y, folds = subject_folds(y, groups, cv, random_state)
    groups = np.asarray(groups)
    splits = []
    for number, (train, test) in enumerate(folds):
        rng = np.random.default_rng([random_state, number])
        rank = spread_ranks(y[train], groups[train], rng)
        splits += [(train[first_ranks(y[train], rank, share)], test) for share in shares]
    scores = cross_val_score(
        estimator,
        X,
        y,
        cv=splits,
        scoring=scoring,
        params=None if params is None else dict(params),
        n_jobs=n_jobs,
        error_score="raise",
    )
    shape = (len(folds), len(shares))
    return LowResourceCurve(
        shares=np.array(shares, float),
        scores=scores.reshape(shape).T,
        n_train=np.array([len(train) for train, _ in splits]).reshape(shape).T,
    )


@dataclass(frozen=True)
class LevelScores:
    """Scores from the codes of some levels only.

    Attributes
    ----------
    subsets : tuple of tuple of int
        Levels that were used.
    scores : array, shape (n_subsets, n_folds)
        Score of each fold.
    n_columns : array of int, shape (n_subsets,)
        Number of columns of these levels.
    """

    subsets: tuple[tuple[int, ...], ...]
    scores: np.ndarray
    n_columns: np.ndarray

    @property
    def mean(self) -> dict[tuple[int, ...], float]:
        """Mean score over the folds of each subset."""
        return dict(zip(self.subsets, self.scores.mean(axis=1).tolist(), strict=True))


def level_scores(
    estimator: Any,
    features: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    names: Sequence[str],
    subsets: Sequence[Sequence[int]] | None = None,
    cv: Any = 5,
    scoring: Any = "balanced_accuracy",
    random_state: int = 0,
    n_jobs: int | None = None,
) -> LevelScores:
    """Score a classifier on the features of some levels at a time.

    Parameters
    ----------
    estimator : scikit-learn classifier or pipeline
        Cloned and fitted for each subset and fold; a linear one makes it a linear probe.
    features : array-like, shape (n_trials, n_columns)
        Output of a transformer with ``output="histogram"``.
    y, groups : array-like, shape (n_trials,)
        Class and subject of each trial.
    names : sequence of str, length n_columns
        Names of the columns, ``transformer.get_feature_names_out()``, which hold the level, as
        in ``"codebook0_level2_code17"``.
    subsets : sequence of sequence of int | None
        Levels to use together. None takes each level alone, then the first two, the first three,
        and so on up to all.
    cv : int | scikit-learn splitter | iterable of (train, test)
        Number of folds over the subjects, or the folds; no subject may be on both sides of one.
    scoring : str | callable
        A single score, as in scikit-learn.
    random_state : int
        Seed of the folds, if ``cv`` is a number.
    n_jobs : int | None
        Number of parallel folds.

    Returns
    -------
    scores : LevelScores
        Scores of each subset and fold.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs, trial_column
    >>> epochs = simulate_epochs(n_subjects=2, n_trials=4, verbose=False)
    >>> y, subjects = (trial_column(epochs, name) for name in ("condition", "subject"))
    >>> model = NeuroRVQTransformer(
    ...     "neurorvq-eeg-tiny-random", output="histogram", verbose=False)
    >>> features = model.fit_transform(epochs)
    >>> result = level_scores(LogisticRegression(), features, y, subjects, cv=2,
    ...                       names=model.get_feature_names_out())
    >>> result.subsets, result.scores.shape
    (((0,), (1,), (0, 1)), (3, 2))
    """
    features = np.asarray(features)
    levels = np.array([_level_of(name) for name in names], int)
    if features.ndim != 2 or features.shape[1] != len(levels):
        raise ValueError(
            f"features of shape {features.shape} must have two axes and a column for each of the "
            f"{len(levels)} names"
        )
    chosen = _checked_subsets(subsets, np.unique(levels).tolist())
    y, folds = subject_folds(y, groups, cv, random_state)
    columns = [np.isin(levels, subset) for subset in chosen]
    given = {"cv": folds, "scoring": scoring, "n_jobs": n_jobs, "error_score": "raise"}
    scores = [cross_val_score(estimator, features[:, kept], y, **given) for kept in columns]
    return LevelScores(chosen, np.stack(scores), np.array([kept.sum() for kept in columns]))


def subject_folds(
    y: ArrayLike, groups: ArrayLike, cv: Any, random_state: int
) -> tuple[NDArray[Any], list[tuple[NDArray[np.integer], NDArray[np.integer]]]]:
    """Classes (n_trials,) and folds (train, test), none of which mixes subjects."""
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
        # If a splitter ignores groups, the check below says more.
        warnings.filterwarnings("ignore", "The groups parameter is ignored", UserWarning)
        folds = list(check_cv(cv).split(y, y, groups))
    for number, (train, test) in enumerate(folds):
        shared = np.intersect1d(groups[train], groups[test])
        if shared.size:
            raise ValueError(
                f"fold {number} of cv trains and tests on subject {shared[0]!s}: use a "
                "splitter that takes groups, such as GroupKFold"
            )
    return y, folds


def spread_ranks(
    y: NDArray[Any], groups: NDArray[Any], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Rank each trial from 0 to 1; the lowest ranks of a class come evenly from its subjects."""
    rank = np.empty(len(y))
    for label in np.unique(y):
        for group in np.unique(groups[y == label]):
            members = np.flatnonzero((y == label) & (groups == group))
            # A random offset for each subject: with less than a trial of each, chance decides.
            places = (np.arange(len(members)) + rng.random()) / len(members)
            rank[members] = rng.permutation(places)
    return rank


def first_ranks(y: NDArray[Any], rank: NDArray[np.float64], share: float) -> NDArray[np.intp]:
    """Return the indices of the lowest ranks that make up a share of each class."""
    kept = []
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        n_kept = max(1, round(share * len(members)))
        kept.append(members[np.argsort(rank[members], kind="stable")[:n_kept]])
    return np.sort(np.concatenate(kept))


def _level_of(name: str) -> int:
    found = re.search(r".*level(\d+)(_|$)", name)  # the last match: channels have names too
    if found is None or not found[2]:
        fault = "names no level" if found is None else "holds codes, which are not quantities"
        raise ValueError(f"the column {name!r} {fault}: take features with output='histogram'")
    return int(found[1])


def _checked_subsets(
    subsets: Sequence[Sequence[int]] | None, levels: list[int]
) -> tuple[tuple[int, ...], ...]:
    if subsets is None:
        alone = [(level,) for level in levels]
        return (*alone, *(tuple(levels[:n]) for n in range(2, len(levels) + 1)))
    chosen = tuple(tuple(int(level) for level in subset) for subset in subsets)
    for subset in chosen:
        if not subset or not set(subset) <= set(levels):
            raise ValueError(f"subsets has {subset}, but the levels are {levels}")
    if not chosen:
        raise ValueError("subsets is empty: give at least one, or None")
    return chosen
