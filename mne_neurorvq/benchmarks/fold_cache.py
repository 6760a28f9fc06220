# License: BSD-3-Clause
"""Finished folds on disk, so that a comparison that takes hours can be resumed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from .._writing import write_json
from ..signals import as_trials

_TRIALS_PER_READ = 64
_DIGITS = 32


@dataclass(frozen=True)
class FoldResult:
    """Result of one fold of one classifier.

    Attributes
    ----------
    name : str
        The classifier.
    seed, fold : int
        Seed that assigned the subjects to folds, and number of the fold.
    score : float
        Balanced accuracy on all trials of the test subjects.
    minutes : float
        Duration of the fit.
    n_trainable_parameters : int | None
        The classifier's ``n_trainable_parameters_``.
    by_subject : dict of str to float
        Balanced accuracy on the trials of each test subject.
    """

    name: str
    seed: int
    fold: int
    score: float
    minutes: float
    n_trainable_parameters: int | None
    by_subject: dict[str, float]


def fold_file(name: str, seed: int, fold: int, model: BaseEstimator, data: str) -> str:
    """Name of the file for a fold of an unfitted model on data with a fingerprint."""
    return f"seed{seed}-fold{fold}-{_digest(name, describe(model), data)}.json"


def read_fold(path: Path) -> FoldResult | None:
    """Read a finished fold, or return None if there is none."""
    if not path.exists():
        return None
    try:
        return FoldResult(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} holds no finished fold ({error}): remove it.") from error


def write_fold(path: Path, result: FoldResult) -> None:
    """Write a finished fold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(result))


def describe(value: Any) -> str:
    """Write out an estimator with its parameters, the same in every process (unlike its pickle).

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import Binarizer
    >>> describe(make_pipeline(Binarizer(threshold=1)))
    "sklearn.pipeline.Pipeline(memory=None, steps=[('binarizer', \
sklearn.preprocessing._data.Binarizer(copy=True, threshold=1))], transform_input=None, \
verbose=False)"
    """
    if isinstance(value, BaseEstimator):
        parameters = sorted(value.get_params(deep=False).items())
        inside = ", ".join(f"{name}={describe(given)}" for name, given in parameters)
        return f"{_path_of(type(value))}({inside})"
    if isinstance(value, (list, tuple)):
        opening, closing = "[]" if isinstance(value, list) else "()"
        return f"{opening}{', '.join(map(describe, value))}{closing}"
    if isinstance(value, dict):
        items = sorted((describe(key), describe(given)) for key, given in value.items())
        return f"{{{', '.join(map(': '.join, items))}}}"
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"array({value.dtype}, {value.shape}, {_digest(value.tobytes())})"
    # All lambdas share one name: their repr, with the address, tells them apart.
    if "<" not in getattr(value, "__qualname__", "<"):
        return _path_of(value)
    return repr(value)


def fingerprint(
    epochs: mne.BaseEpochs, y: NDArray[Any], groups: NDArray[Any], n_splits: int
) -> str:
    """Digest of signals, channels, rate, classes, subjects and number of folds."""
    trials = as_trials(epochs)
    facts = (trials.ch_names, trials.ch_types, trials.bads, trials.sfreq, trials.tmin)
    parts = [
        _digest(trials.read(start, min(start + _TRIALS_PER_READ, len(trials))).tobytes())
        for start in range(0, len(trials), _TRIALS_PER_READ)
    ]
    return _digest(facts, parts, y.tolist(), groups.tolist(), n_splits)


def _path_of(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _digest(*facts: object) -> str:
    return sha256(repr(facts).encode()).hexdigest()[:_DIGITS]
