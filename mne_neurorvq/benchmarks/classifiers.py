# License: BSD-3-Clause
"""Scores of whole classifiers, from Epochs to predictions, on new subjects."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import mne
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from .fold_cache import FoldResult, fingerprint, fold_file, read_fold, write_fold
from .folds import FoldScores, checked_labels, checked_seeds, subject_folds


@dataclass(frozen=True, repr=False)
class ClassifierScores(FoldScores):
    """Scores of a classifier on new subjects, and what it cost.

    Attributes
    ----------
    scores : ndarray, shape (n_seeds, n_folds)
        Balanced accuracy of each fold.
    minutes : ndarray, shape (n_seeds, n_folds)
        Duration of each fit.
    by_subject : ndarray, shape (n_seeds, n_subjects)
        Balanced accuracy on the trials of each subject, tested once for each seed.
    n_trainable_parameters : int | None
        The classifier's ``n_trainable_parameters_``, the largest of all folds.
    seeds : tuple of int
        Seeds that assigned subjects to folds.
    subjects : tuple of str
        All subjects, in the order of ``by_subject``.
    classes : tuple of str
        The classes.
    n_trials : int
        Number of trials.
    """

    scores: NDArray[np.float64]
    minutes: NDArray[np.float64]
    by_subject: NDArray[np.float64]
    n_trainable_parameters: int | None
    seeds: tuple[int, ...]
    subjects: tuple[str, ...]
    classes: tuple[str, ...]
    n_trials: int


def compare_classifiers(
    classifiers: Mapping[str, ClassifierMixin],
    epochs: mne.BaseEpochs,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    n_splits: int = 5,
    seeds: Sequence[int] = (0,),
    cache: str | PathLike[str] | None = None,
    on_fold: Callable[[FoldResult], None] | None = None,
) -> dict[str, ClassifierScores]:
    """Score classifiers on the same folds over subjects.

    Parameters
    ----------
    classifiers : dict of str to scikit-learn classifier
        Classifiers by name; their ``fit`` and ``predict`` take Epochs.
    epochs : mne.Epochs
        Trials.
    y, groups : array-like, shape (n_trials,)
        Class and subject of each trial.
    n_splits : int
        Number of folds, at most the number of subjects.
    seeds : sequence of int
        Seeds of the assignment of subjects to folds.
    cache : path-like | None
        Folder for finished folds. A fold of a classifier with the same parameters on the same
        trials is not computed again.
    on_fold : callable | None
        Called with the :class:`FoldResult` of each fold that is computed.

    Returns
    -------
    dict of str to ClassifierScores
        Balanced accuracy and duration of every fold, by name.

    Notes
    -----
    Each fold fits a clone on the Epochs of the training subjects. Every parameter named
    ``random_state``, of the classifier or of one of its steps, is set to a number that depends on
    seed and fold only. ``groups`` is passed to ``fit`` if it takes them.

    The cache knows the parameters of a classifier, not its code: use another folder when the code
    or the weights of a model have changed.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from mne_neurorvq.datasets import simulate_epochs, trial_column
    >>> epochs = simulate_epochs(n_subjects=4, n_trials=4, verbose=False)
    >>> y, subjects = (trial_column(epochs, name) for name in ("condition", "subject"))
    >>> compare_classifiers({"chance": DummyClassifier()}, epochs, y, subjects, n_splits=2)
    {'chance': <ClassifierScores | 0.500 ± 0.000 over 2 folds × 1 seeds | 4 subjects, 16 trials>}
    """
    if not classifiers:
        raise ValueError("classifiers is empty: give at least one.")
    if not isinstance(epochs, mne.BaseEpochs):
        raise TypeError(f"epochs must be mne.Epochs, got {type(epochs).__name__}.")
    y, groups = checked_labels(y, groups, len(epochs), n_splits)
    seeds = checked_seeds(seeds)
    data = "" if cache is None else fingerprint(epochs, y, groups, n_splits)
    results: dict[str, list[list[FoldResult]]] = {name: [[] for _ in seeds] for name in classifiers}
    for row, seed in enumerate(seeds):
        for fold, (train, test) in enumerate(subject_folds(groups, n_splits, seed)):
            for name, classifier in classifiers.items():
                model = _seeded(classifier, seed, fold)
                file = fold_file(name, seed, fold, model, data)
                path = None if cache is None else Path(cache) / file
                result = None if path is None else read_fold(path)
                if result is None:
                    facts = _fit_and_score(model, epochs, y, groups, train, test)
                    result = FoldResult(name, seed, fold, *facts)
                    if path is not None:
                        write_fold(path, result)
                    if on_fold is not None:
                        on_fold(result)
                results[name][row].append(result)
    return {name: _arranged(found, seeds, y, groups) for name, found in results.items()}


def _seeded(classifier: ClassifierMixin, seed: int, fold: int) -> ClassifierMixin:
    """Clone a classifier and set every ``random_state``, which depends on seed and fold only."""
    model = clone(classifier)
    # scikit-learn accepts at most 32 bits.
    state = int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])
    names = [name for name in model.get_params() if name.split("__")[-1] == "random_state"]
    return model.set_params(**dict.fromkeys(names, state))


def _fit_and_score(
    model: ClassifierMixin,
    epochs: mne.BaseEpochs,
    y: NDArray[Any],
    groups: NDArray[Any],
    train: NDArray[np.int_],
    test: NDArray[np.int_],
) -> tuple[float, float, int | None, dict[str, float]]:
    """Score, minutes of the fit, number of trained parameters, and scores by subject."""
    routed = {"groups": groups[train]} if has_fit_parameter(model, "groups") else {}
    training, testing = epochs[train], epochs[test]
    start = time.perf_counter()
    model.fit(training, y[train], **routed)
    minutes = (time.perf_counter() - start) / 60
    predicted = np.asarray(model.predict(testing))
    last = model[-1] if isinstance(model, Pipeline) else model
    count = getattr(last, "n_trainable_parameters_", None)
    by_subject = {}
    for subject in np.unique(groups[test]):
        whose = groups[test] == subject
        by_subject[str(subject)] = float(balanced_accuracy_score(y[test][whose], predicted[whose]))
    score = float(balanced_accuracy_score(y[test], predicted))
    return score, minutes, None if count is None else int(count), by_subject


def _arranged(
    results: Sequence[Sequence[FoldResult]],
    seeds: tuple[int, ...],
    y: NDArray[Any],
    groups: NDArray[Any],
) -> ClassifierScores:
    """Arrange the folds ``[seed][fold]`` of one classifier in arrays."""
    subjects = tuple(str(subject) for subject in np.unique(groups))
    by_subject = [{k: v for fold in row for k, v in fold.by_subject.items()} for row in results]
    counts = [fold.n_trainable_parameters for row in results for fold in row]
    return ClassifierScores(
        scores=np.array([[fold.score for fold in row] for row in results]),
        minutes=np.array([[fold.minutes for fold in row] for row in results]),
        by_subject=np.array([[found[subject] for subject in subjects] for found in by_subject]),
        n_trainable_parameters=max((n for n in counts if n is not None), default=None),
        seeds=seeds,
        subjects=subjects,
        classes=tuple(str(label) for label in np.unique(y)),
        n_trials=len(y),
    )
