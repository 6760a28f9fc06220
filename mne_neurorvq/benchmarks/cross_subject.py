# License: BSD-3-Clause
"""Scores of features on people that a linear probe was not fitted on; MOABB is not needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import cross_val_predict

from .._table import with_interval
from ..analysis.people import corrected_p, interval
from ..analysis.subject_scores import subject_folds
from .probe import LinearProbe

_WHOLE = (int, np.integer)


class Difference(NamedTuple):
    """Mean difference over people, its 95 % interval, and its p."""

    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, repr=False)
class CrossSubjectScores:
    """Scores of one kind of features on new people.

    Attributes
    ----------
    scores : ndarray, shape (n_seeds, n_people)
        Balanced accuracy of each person, by a probe that was fitted on others.
    folds : ndarray of int, shape (n_seeds, n_people)
        Fold in which each was tested.
    people : tuple of str
        The people.
    classes : tuple of str
        The classes.
    """

    scores: NDArray[np.float64]
    folds: NDArray[np.int_]
    people: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Mean over people and seeds."""
        return float(self.scores.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Bootstrap interval of the mean over people, at 95 %."""
        return interval(self.scores.mean(axis=0))

    def difference_from(self, reference: CrossSubjectScores) -> Difference:
        """Compare with other features, person by person.

        Parameters
        ----------
        reference : CrossSubjectScores
            Scores on the same folds of people.

        Returns
        -------
        Difference
            Mean over people with its bootstrap interval, and the two-sided p of the corrected
            resampled t-test over folds and seeds [1]_, NaN with less than two of these.

        References
        ----------
        .. [1] C. Nadeau and Y. Bengio (2003). Inference for the generalization error. Machine
           Learning 52.
        """
        facts = self.people, self.classes, self.folds.tolist()
        if facts != (reference.people, reference.classes, reference.folds.tolist()):
            raise ValueError(
                f"the scores of {self!r} and {reference!r} are not of the same folds of people: "
                "give both the same y, groups, n_splits and seeds."
            )
        difference = self.scores - reference.scores
        by_fold = np.array(
            [
                row[tested == fold].mean()
                for row, tested in zip(difference, self.folds, strict=True)
                for fold in np.unique(tested)
            ]
        )
        people = difference.mean(axis=0)
        p = corrected_p(by_fold, self.folds.max() + 1)
        return Difference(float(people.mean()), *interval(people), p)

    def __repr__(self) -> str:
        return (
            f"<CrossSubjectScores | {with_interval(self.mean, *self.interval)} over "
            f"{len(self.people)} people, {self.folds.max() + 1} folds × {len(self.folds)} seeds>"
        )


def cross_subject_scores(
    features: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    n_splits: int = 5,
    seeds: Sequence[int] = (0,),
    n_jobs: int | None = None,
) -> CrossSubjectScores:
    """Classify trials of people that a linear probe was not fitted on.

    Parameters
    ----------
    features : array-like, shape (n_trials, n_columns)
        Features, taken as they are: scale them within people first
        (:class:`~mne_neurorvq.GroupStandardScaler`) if that is meant.
    y, groups : array-like, shape (n_trials,)
        Class and person of each trial.
    n_splits : int
        Number of folds, at most the number of people.
    seeds : sequence of int
        Distinct seeds of the assignment of people to folds.
    n_jobs : int | None
        Number of folds that are fitted at the same time.

    Returns
    -------
    CrossSubjectScores
        Balanced accuracy of every person.

    Raises
    ------
    ValueError
        If a person has no trial of a class, features are not finite, or a parameter is not what
        it should be.

    Notes
    -----
    All trials of a person are in one fold (:class:`~sklearn.model_selection.GroupKFold`). The
    classifier is :class:`LinearProbe`, whose strength is chosen on inner folds of the people it is
    fitted on. The protocol is that of :func:`run`, which adds tasks, classical pipelines and
    controls.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y, people = np.tile([0, 1], 40), np.repeat(list("abcd"), 20)
    >>> noise = rng.standard_normal((80, 3))
    >>> found = cross_subject_scores(noise + y[:, None], y, people, n_splits=4)
    >>> chance = cross_subject_scores(noise, y, people, n_splits=4)
    >>> found.mean > 0.7, found.difference_from(chance).low > 0
    (True, True)
    """
    features, y, groups = _checked(features), np.asarray(y), np.asarray(groups)
    for name, values in (("y", y), ("groups", groups)):
        if values.shape != (len(features),):
            raise ValueError(
                f"{name} must have one entry for each of the {len(features)} trials, got shape "
                f"{values.shape}."
            )
    seeds = _distinct(seeds)
    people, whose = np.unique(groups, return_inverse=True)
    if not isinstance(n_splits, _WHOLE) or not 2 <= n_splits <= len(people):
        raise ValueError(
            f"n_splits={n_splits!r} must be a whole number from 2 to the number of people, "
            f"{len(people)}."
        )
    for number, person in enumerate(people):
        missing = np.setdiff1d(y, y[whose == number])
        if len(missing):
            raise ValueError(
                f"person {person} has no trial of class {', '.join(map(str, missing))}: leave "
                "the person out (a class that depends on the person needs other folds)."
            )
    scores = np.empty((len(seeds), len(people)))
    tested = np.empty(scores.shape, int)
    for row, seed in enumerate(seeds):
        y, folds = subject_folds(y, groups, n_splits, seed)
        predicted = cross_val_predict(
            LinearProbe(), features, y, cv=folds, params={"subjects": groups}, n_jobs=n_jobs
        )
        for fold, (_, test) in enumerate(folds):
            for person in np.unique(whose[test]):
                own = whose == person
                scores[row, person] = balanced_accuracy_score(y[own], predicted[own])
                tested[row, person] = fold
    return CrossSubjectScores(
        scores, tested, tuple(map(str, people)), tuple(map(str, np.unique(y)))
    )


def _distinct(seeds: Sequence[int]) -> tuple[int, ...]:
    """Refuse seeds that are none, or counted twice as if they were evidence."""
    given = tuple(seeds) if isinstance(seeds, Iterable) else ()
    whole = all(isinstance(seed, _WHOLE) and seed >= 0 for seed in given)
    if not given or not whole or len(set(given)) < len(given):
        raise ValueError(
            f"seeds={seeds!r} must be distinct whole numbers, at least one, such as (0, 1, 2)."
        )
    return given


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
