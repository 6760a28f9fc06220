# License: BSD-3-Clause
"""What the classifiers compared with read of Epochs: the good EEG channels, in µV."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ..encoding.matched_trials import as_fitted
from ..signals import EpochsView, Trials, as_trials, unit_factor
from .features import picked


def read_epochs(estimator: BaseEstimator, X: Any, *, reset: bool) -> Trials:
    """Read Epochs as trials, and learn their channels or check that they are those of fit."""
    items = X if isinstance(X, list) else [X]
    if not items or not all(isinstance(item, (mne.BaseEpochs, EpochsView)) for item in items):
        raise TypeError(f"X must be mne.Epochs, or a list of them, got {type(X).__name__}.")
    trials = as_trials(X)
    if reset:
        indices = picked(trials, "eeg")
        estimator.ch_names_ = tuple(trials.ch_names[index] for index in indices)
        estimator.n_features_in_ = len(trials.ch_names)
        estimator._fitted_names = trials.ch_names
    else:
        trials = as_fitted(trials, estimator._fitted_names, estimator.ch_names_)
    return trials


def microvolts(estimator: BaseEstimator, trials: Trials) -> NDArray[np.float64]:
    """Signals (n_trials, n_channels, n_times) of the channels that fit learned."""
    picks = [estimator._fitted_names.index(name) for name in estimator.ch_names_]
    return trials.read(picks=picks) * unit_factor(trials.unit, "uV")
