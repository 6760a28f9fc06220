# License: BSD-3-Clause
"""Folds over subjects, the same for everything that is compared, and their scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupKFold


class FoldScores:
    """Mean, spread and representation of the scores of folds."""

    scores: NDArray[np.float64]
    seeds: tuple[int, ...]
    subjects: tuple[str, ...]
    classes: tuple[str, ...]
    n_trials: int

    @property
    def mean(self) -> float:
        """Mean over all folds of all seeds."""
        return float(self.scores.mean())

    @property
    def spread(self) -> float:
        """Standard deviation over all folds of all seeds; not a confidence interval."""
        return float(self.scores.std())

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""
        return len(self.subjects)

    @property
    def n_folds(self) -> int:
        """Number of folds of one seed."""
        return self.scores.shape[1]

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} | {self.mean:.3f} ± {self.spread:.3f} over {self.n_folds} "
            f"folds × {len(self.seeds)} seeds | {self.n_subjects} subjects, {self.n_trials} trials>"
        )


def subject_folds(
    groups: NDArray[Any], n_splits: int, seed: int
) -> Iterator[tuple[NDArray[np.int_], NDArray[np.int_]]]:
    """Split trials into training and test indices; no subject is in both."""
    yield from GroupKFold(n_splits, shuffle=True, random_state=seed).split(groups, groups=groups)


def checked_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds as a tuple of at least one."""
    seeds = tuple(int(seed) for seed in seeds)
    if not seeds:
        raise ValueError("seeds is empty: give at least one.")
    return seeds


def checked_labels(
    y: ArrayLike, groups: ArrayLike, n_trials: int, n_splits: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return classes and subjects as arrays (n_trials,), of which every subject has every class."""
    y, groups = np.asarray(y), np.asarray(groups)
    if not y.shape == groups.shape == (n_trials,):
        raise ValueError(
            f"y and groups must have one entry for each of the {n_trials} trials, got the "
            f"shapes {y.shape} and {groups.shape}."
        )
    classes, subjects = np.unique(y), np.unique(groups)
    if len(classes) < 2:
        raise ValueError(f"y has the single class {classes.tolist()}: nothing to classify.")
    if not 2 <= n_splits <= len(subjects):
        raise ValueError(
            f"n_splits={n_splits} must be from 2 to the number of subjects ({len(subjects)})."
        )
    for subject in subjects:
        missing = set(classes.tolist()) - set(y[groups == subject].tolist())
        if missing:
            raise ValueError(
                f"subject {subject} has no trial of class {', '.join(map(str, sorted(missing)))}: "
                "leave the subject out (a class that depends on the subject needs other folds)."
            )
    return y, groups
