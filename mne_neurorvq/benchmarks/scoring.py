# License: BSD-3-Clause
"""The protocol: linear classifiers on new subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.metrics import balanced_accuracy_score

from ..estimators import GroupStandardScaler
from .folds import FoldScores, checked_labels, checked_seeds, subject_folds
from .probe import LinearProbe


@dataclass(frozen=True, repr=False)
class CrossSubjectScores(FoldScores):
    """Scores of one kind of features on new subjects.

    Attributes
    ----------
    scores : ndarray, shape (n_seeds, n_folds)
        Balanced accuracy of each fold.
    chosen_c : ndarray, shape (n_seeds, n_folds)
        Inverse regularisation strength, chosen on the training subjects; NaN if a classifier was
        given.
    seeds : tuple of int
        Seeds that assigned subjects to folds.
    subjects : tuple of str
        All subjects.
    classes : tuple of str
        The classes.
    n_trials, n_columns : int
        Shape of the features.
    """

    scores: NDArray[np.float64]
    chosen_c: NDArray[np.float64]
    seeds: tuple[int, ...]
    subjects: tuple[str, ...]
    classes: tuple[str, ...]
    n_trials: int
    n_columns: int


def cross_subject_scores(
    features: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    n_splits: int = 5,
    seeds: Sequence[int] = (0,),
    classifier: ClassifierMixin | None = None,
    n_jobs: int | None = None,
) -> CrossSubjectScores:
    """Classify trials of new subjects.

    Parameters
    ----------
    features : array-like, shape (n_trials, n_columns)
        Features.
    y, groups : array-like, shape (n_trials,)
        Class and subject of each trial.
    n_splits : int
        Number of folds, at most the number of subjects.
    seeds : sequence of int
        Seeds of the assignment of subjects to folds.
    classifier : scikit-learn classifier | None
        Fitted on the features in every fold. None is the linear probe described in the notes.
    n_jobs : int | None
        Number of parallel jobs for choosing the regularisation.

    Returns
    -------
    CrossSubjectScores
        Balanced accuracy of every fold.

    Notes
    -----
    All trials of a subject are in one fold (:class:`~sklearn.model_selection.GroupKFold`). The
    linear probe standardises the columns and fits a logistic regression with an L2 penalty, whose
    strength is chosen from `C_GRID` by balanced accuracy in a second grouped cross-validation (at
    most 5 folds) within the training subjects. With a single training subject, C is 0.01. The test
    subjects take part in neither.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y, subjects = np.tile([0, 1], 40), np.repeat(list("abcd"), 20)
    >>> features = rng.standard_normal((80, 3)) + y[:, None]
    >>> result = cross_subject_scores(features, y, subjects, n_splits=4)
    >>> result.n_subjects, result.scores.shape, result.mean > 0.7
    (4, (1, 4), True)
    """
    features = _checked(features)
    y, groups = checked_labels(y, groups, len(features), n_splits)
    seeds = checked_seeds(seeds)
    scores = np.empty((len(seeds), n_splits))
    chosen_c = np.full_like(scores, np.nan)
    for row, seed in enumerate(seeds):
        for column, (train, test) in enumerate(subject_folds(groups, n_splits, seed)):
            if classifier is None:
                probe = LinearProbe(n_jobs=n_jobs)
                probe.fit(features[train], y[train], subjects=groups[train])
                predicted, chosen_c[row, column] = probe.predict(features[test]), probe.strength_
            else:
                model = clone(classifier).fit(features[train], y[train])
                predicted = model.predict(features[test])
            scores[row, column] = balanced_accuracy_score(y[test], predicted)
    return CrossSubjectScores(
        scores=scores,
        chosen_c=chosen_c,
        seeds=seeds,
        subjects=tuple(str(subject) for subject in np.unique(groups)),
        classes=tuple(str(label) for label in np.unique(y)),
        n_trials=len(y),
        n_columns=features.shape[1],
    )


def compare_features(
    features: Mapping[str, ArrayLike],
    y: ArrayLike,
    groups: ArrayLike,
    *,
    n_splits: int = 5,
    seeds: Sequence[int] = (0,),
    n_jobs: int | None = None,
) -> dict[str, CrossSubjectScores]:
    """Score kinds of features on the same folds, raw and standardised per subject.

    Parameters
    ----------
    features : dict of str to array-like, shape (n_trials, n_columns)
        Features by name, such as those of :func:`representations`.
    y, groups, n_splits, seeds, n_jobs
        As in :func:`cross_subject_scores`.

    Returns
    -------
    dict of str to CrossSubjectScores
        For each name, the raw features and, with ``", standardised"`` after the name, those of
        :class:`~mne_neurorvq.GroupStandardScaler` (without labels); last ``"chance"``, which
        always predicts the most frequent class of the training subjects.

    Examples
    --------
    >>> import numpy as np
    >>> y, subjects = np.tile([0, 1], 20), np.repeat(list("abcd"), 10)
    >>> features = {"label plus subject": (y + 100 * (subjects == "a"))[:, None]}
    >>> for name, result in compare_features(features, y, subjects, n_splits=2).items():
    ...     print(name, result.n_folds)
    label plus subject 2
    label plus subject, standardised 2
    chance 2
    """
    if not features:
        raise ValueError("features is empty: give at least one kind.")
    results = {}
    for name, values in features.items():
        within = GroupStandardScaler().fit_transform(values, groups=groups)
        for label, table in ((name, values), (f"{name}, standardised", within)):
            results[label] = cross_subject_scores(
                table, y, groups, n_splits=n_splits, seeds=seeds, n_jobs=n_jobs
            )
    constant = DummyClassifier(strategy="most_frequent")
    nothing = np.empty((len(np.asarray(y)), 0))
    results["chance"] = cross_subject_scores(
        nothing, y, groups, n_splits=n_splits, seeds=seeds, classifier=constant
    )
    return results


def _checked(features: ArrayLike) -> NDArray[np.floating]:
    features = np.asarray(features)
    if features.ndim != 2 or features.dtype.kind not in "biuf":
        raise ValueError(
            "features must be numbers of shape (n_trials, n_columns), got dtype "
            f"{features.dtype} and shape {features.shape}."
        )
    finite = np.isfinite(features)
    if not finite.all():
        trial, column = np.argwhere(~finite)[0]
        raise ValueError(f"features of trial {trial} are NaN or infinite in column {column}.")
    return features
