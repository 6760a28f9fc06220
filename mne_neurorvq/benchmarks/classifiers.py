# License: BSD-3-Clause
"""Whole classifiers, from Epochs to predictions, on subjects that they have not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import mne
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from .fold_cache import FoldCache, FoldResult, fingerprint
from .folds import FoldScores, checked_labels, checked_seeds, subject_folds


@dataclass(frozen=True, repr=False)
class ClassifierScores(FoldScores):
    """Scores of a classifier on subjects that it had not seen, and what it cost.

    Attributes
    ----------
    scores : ndarray, shape (n_seeds, n_folds)
        Balanced accuracy of each fold.
    minutes : ndarray, shape (n_seeds, n_folds)
        Duration of each fit.
    by_subject : ndarray, shape (n_seeds, n_subjects)
        Balanced accuracy on the trials of each subject, who is tested once for each seed.
    n_trainable_parameters : int | None
        What the classifier says in ``n_trainable_parameters_``, the largest of all folds.
    seeds : tuple of int
        Seeds that assigned subjects to folds.
    subjects : tuple of str
        All subjects, in the order of ``by_subject``.
    classes : tuple of str
        What was told apart.
    n_trials : int
        Number of trials.

    Examples
    --------
    >>> ClassifierScores(
    ...     np.array([[0.5, 0.7]]), np.array([[0.1, 0.1]]), np.array([[0.5, 0.7]]), None,
    ...     (0,), ("a", "b"), ("x", "y"), 8)
    <ClassifierScores | 0.600 ± 0.100 over 2 folds × 1 seeds | 2 subjects, 8 trials>
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
    """Score classifiers on the same folds, each of subjects that they have not seen.

    Parameters
    ----------
    classifiers : dict of str to scikit-learn classifier
        By name; their ``fit`` and ``predict`` take Epochs.
    epochs : mne.Epochs
        Trials.
    y : array-like, shape (n_trials,)
        Classes.
    groups : array-like, shape (n_trials,)
        Subject of each trial.
    n_splits : int
        Number of folds, at most the number of subjects.
    seeds : sequence of int
        Each assigns the subjects to folds anew, as in :func:`cross_subject_scores`.
    cache : path-like | None
        Folder to keep each finished fold in. A fold that is there already, of a classifier with
        the same parameters and of the same trials, is not computed again.
    on_fold : callable | None
        Called with the :class:`FoldResult` of each fold that was computed.

    Returns
    -------
    dict of str to ClassifierScores
        For each name, balanced accuracy and duration of every fold.

    Raises
    ------
    ValueError
        If there is no classifier, there are too few subjects, or a subject lacks a class.
    TypeError
        If the trials are no Epochs.

    Notes
    -----
    A fold fits a clone on the Epochs of the training subjects. Where there is a parameter
    ``random_state``, or one of a step, it is set to a number that depends on seed and fold only.
    ``groups`` is passed on to ``fit`` where that has such a parameter.

    The cache knows the parameters of a classifier, not its code: use another folder when the code
    or a model's weights have changed.

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
    data = None if cache is None else fingerprint(epochs, y, groups, n_splits)
    kept = FoldCache(cache, data)
    results: dict[str, list[FoldResult]] = {name: [] for name in classifiers}
    for seed in seeds:
        for fold, (train, test) in enumerate(subject_folds(groups, n_splits, seed)):
            for name, classifier in classifiers.items():
                model = _seeded(classifier, seed, fold)
                result = kept.read(name, seed, fold, model)
                if result is None:
                    result = _fold(model, epochs, y, groups, train, test, (name, seed, fold))
                    kept.write(result, model)
                    if on_fold is not None:
                        on_fold(result)
                results[name].append(result)
    return {name: _scores(found, seeds, y, groups) for name, found in results.items()}


def _seeded(classifier: ClassifierMixin, seed: int, fold: int) -> ClassifierMixin:
    """Clone a classifier; its random numbers, and those of its steps, depend on the fold."""
    model = clone(classifier)
    # scikit-learn takes no more than 32 bits.
    state = int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])
    names = [
        name
        for name in model.get_params()
        if name == "random_state" or name.endswith("__random_state")
    ]
    return model.set_params(**dict.fromkeys(names, state))


def _fold(
    model: ClassifierMixin,
    epochs: mne.BaseEpochs,
    y: NDArray[Any],
    groups: NDArray[Any],
    train: NDArray[np.int_],
    test: NDArray[np.int_],
    key: tuple[str, int, int],
) -> FoldResult:
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
    name, seed, fold = key
    return FoldResult(
        name=name,
        seed=seed,
        fold=fold,
        score=float(balanced_accuracy_score(y[test], predicted)),
        minutes=minutes,
        n_trainable_parameters=None if count is None else int(count),
        by_subject=by_subject,
    )


def _scores(
    results: Sequence[FoldResult],
    seeds: tuple[int, ...],
    y: NDArray[Any],
    groups: NDArray[Any],
) -> ClassifierScores:
    """Arrange the folds of one classifier, which are in the order of seeds and folds."""
    subjects = tuple(str(subject) for subject in np.unique(groups))
    folds = len(results) // len(seeds)
    by_subject: list[dict[str, float]] = [{} for _ in seeds]
    for number, result in enumerate(results):
        by_subject[number // folds].update(result.by_subject)
    counts = [r.n_trainable_parameters for r in results if r.n_trainable_parameters is not None]
    return ClassifierScores(
        scores=np.array([result.score for result in results]).reshape(len(seeds), folds),
        minutes=np.array([result.minutes for result in results]).reshape(len(seeds), folds),
        by_subject=np.array([[found[subject] for subject in subjects] for found in by_subject]),
        n_trainable_parameters=max(counts, default=None),
        seeds=seeds,
        subjects=subjects,
        classes=tuple(str(label) for label in np.unique(y)),
        n_trials=len(y),
    )
