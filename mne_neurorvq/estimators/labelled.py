# License: BSD-3-Clause
"""Targets of trials, with their weights and groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array


@dataclass(frozen=True)
class Labelled:
    """Targets, weights and groups of trials, checked.

    Attributes
    ----------
    targets : ndarray, shape (n_trials,)
        Classes as integers, or standardised values.
    weights : ndarray of float, shape (n_trials,)
        Weights of the trials.
    groups : ndarray, shape (n_trials,) | None
        Groups that validation keeps together.
    """

    targets: NDArray[Any]
    weights: NDArray[np.float64]
    groups: NDArray[Any] | None


def label(
    targets: NDArray[Any], sample_weight: ArrayLike | None, groups: ArrayLike | None
) -> Labelled:
    """Check what the user says of trials besides their targets.

    Parameters
    ----------
    targets : ndarray, shape (n_trials,)
        Targets, checked already.
    sample_weight : array-like, shape (n_trials,) | None
        Weights; None weighs all alike.
    groups : array-like, shape (n_trials,) | None
        Groups.

    Returns
    -------
    Labelled
        All of them.

    Raises
    ------
    ValueError
        If there is not one for each trial, or a weight is impossible.
    """
    n_trials = len(targets)
    return Labelled(targets, _weights(sample_weight, n_trials), _groups(groups, n_trials))


def _weights(sample_weight: ArrayLike | None, n_trials: int) -> NDArray[np.float64]:
    if sample_weight is None:
        return np.ones(n_trials)
    weights = np.atleast_1d(np.asarray(sample_weight))  # one number: the error is below
    weights = check_array(weights, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (n_trials,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}, but there are {n_trials} trials."
        )
    if (weights < 0).any():
        raise ValueError(f"sample_weight of trial {int(weights.argmin())} is negative.")
    if not weights.any():
        raise ValueError("sample_weight is zero for every trial: none is left to train on.")
    return weights


def _groups(groups: ArrayLike | None, n_trials: int) -> NDArray[Any] | None:
    if groups is None:
        return None
    groups = np.asarray(groups)
    if groups.shape != (n_trials,):
        raise ValueError(f"groups has shape {groups.shape}, but there are {n_trials} trials.")
    return groups
