# License: BSD-3-Clause
"""The recipe of fine-tuning: learning rates, schedule, weights of trials, validation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, StratifiedShuffleSplit

#: Learning rate at the start of the warm-up and at the end, as a share of the highest.
LOWEST_SHARE = 0.1
#: Start of the names of the head's parameters.
HEAD = "final_layer."


@dataclass(frozen=True)
class Recipe:
    """How a network is fine-tuned; see :func:`learning_rates` and :func:`schedule_factor`.

    After ``patience`` epochs without a better validation, by ``best``, training stops and the best
    weights are taken; None trains to the end and takes the last. Longer gradients are shortened
    to ``max_norm``. A step of more than ``trials_per_pass`` trials adds up those of several passes.
    """

    max_epochs: int
    batch_size: int
    lr: float
    layer_decay: float
    weight_decay: float
    warmup_epochs: float
    patience: int | None = None
    bf16: bool = False
    best: Literal["loss", "balanced_accuracy"] = "loss"
    max_norm: float | None = None
    trials_per_pass: int | None = None

    def factor(self, step: int, n_trials: int) -> float:
        """Share of the learning rate after some steps of training on ``n_trials`` trials."""
        n_steps = self.n_steps(n_trials)
        n_warmup = round(self.warmup_epochs * (n_steps // self.max_epochs))
        return schedule_factor(step, n_warmup, n_steps)

    def n_steps(self, n_trials: int) -> int:
        """Count the steps of all epochs of training on ``n_trials`` trials."""
        return self.max_epochs * -(-n_trials // self.batch_size)


def learning_rates(names: Sequence[str], lr: float, layer_decay: float) -> dict[str, float]:
    """Learning rate of every parameter tensor, from the input to the head: the deeper, the higher.

    Tensor ``i`` of ``n``, in the order of the network, gets ``lr * layer_decay ** (n - i)``;
    those of the head get ``lr``.

    >>> learning_rates(["encoder.a", "encoder.b", "final_layer.linear.weight"], 1.0, 0.5)
    {'encoder.a': 0.125, 'encoder.b': 0.25, 'final_layer.linear.weight': 1.0}
    """
    n = len(names)
    return {
        name: lr if name.startswith(HEAD) else lr * layer_decay ** (n - i)
        for i, name in enumerate(names)
    }


def schedule_factor(step: int, n_warmup: int, n_steps: int) -> float:
    """Share of the learning rate at a step: a linear rise from 0.1 to 1, a linear fall to 0.1.

    >>> [round(schedule_factor(step, 2, 4), 2) for step in range(5)]
    [0.1, 0.55, 1.0, 0.55, 0.1]
    """
    n_warmup = min(n_warmup, n_steps)
    up = step / n_warmup if n_warmup else 1.0
    down = 1 - (step - n_warmup) / max(1, n_steps - n_warmup)
    return LOWEST_SHARE + (1 - LOWEST_SHARE) * (up if step < n_warmup else down)


def merge_repeats(
    digests: Sequence[bytes], targets: NDArray[np.generic], weights: NDArray[np.floating]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Sort trials by their digests and targets; repeats become one trial of the summed weight.

    Batches are drawn from different trials then, and training depends neither on the order of the
    trials nor on whether one is repeated or weighted. Trials of weight 0 take no part. Gives the
    place of each distinct trial, and its weight.

    >>> weights = np.array([1.0, 1.0, 1.0, 0.0])
    >>> first, summed = merge_repeats([b"b", b"a", b"b", b"c"], np.zeros(4), weights)
    >>> first, summed
    (array([1, 0]), array([1., 2.]))
    """
    found: dict[tuple[bytes, bytes], tuple[int, float]] = {}
    for i in np.flatnonzero(weights).tolist():
        key = (digests[i], targets[i].tobytes())
        first, weight = found.get(key, (i, 0.0))
        found[key] = (first, weight + float(weights[i]))
    ordered = [found[key] for key in sorted(found)]
    first_of, summed = zip(*ordered, strict=True) if ordered else ((), ())
    return np.array(first_of, dtype=np.intp), np.array(summed, dtype=np.float64)


def split_validation(
    n_trials: int,
    groups: NDArray[np.generic] | None,
    classes: NDArray[np.integer] | None,
    *,
    fraction: float | None,
    names: Sequence[object] | None,
    seed: int,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Choose trials to watch while training: a share, of whole groups if there are any, or by name.

    Single trials are split so that both parts have every class. Gives the indices of the trials to
    train on and of those to watch.

    >>> subjects = np.repeat(["a", "b", "c"], 2)
    >>> split_validation(6, subjects, None, fraction=None, names=["b"], seed=0)
    (array([0, 1, 4, 5]), array([2, 3]))
    """
    everything = np.arange(n_trials)
    if names is not None:
        if fraction is not None:
            raise ValueError(
                "validation_fraction and validation_groups are two ways to say the same: give one."
            )
        return _named_groups(groups, names)
    if fraction is None:
        return everything, everything[:0]
    if not isinstance(fraction, (float, np.floating)) or not 0 < fraction < 1:
        raise ValueError(f"validation_fraction={fraction!r} must lie between 0 and 1.")
    chance: dict[str, object] = {"n_splits": 1, "test_size": fraction, "random_state": seed}
    what = f"{n_trials} trials"
    if groups is not None:
        try:
            n_groups = len(np.unique(groups))
        except TypeError as error:
            raise ValueError(
                "groups must be all text or all numbers, and none may be missing (None)."
            ) from error
        if n_groups < 2:
            raise ValueError(
                f"validation_fraction={fraction} leaves no group to train on: all trials belong to "
                f"{groups.tolist()[0]!r}. Leave groups out to split its trials."
            )
        what = f"{n_groups} groups"
        splitter = GroupShuffleSplit(**chance)
    else:
        splitter = ShuffleSplit(**chance) if classes is None else StratifiedShuffleSplit(**chance)
    try:
        return next(splitter.split(everything, classes, groups))
    except ValueError as error:
        raise ValueError(f"validation_fraction={fraction} cannot split {what}: {error}") from error


def _named_groups(
    groups: NDArray[np.generic] | None, named: Sequence[object]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    # NumPy would make an array of one set of a set.
    listed = list(named) if isinstance(named, (set, frozenset)) else named
    names = np.atleast_1d(np.asarray(listed))
    if groups is None:
        raise ValueError("validation_groups needs fit(X, y, groups=...), one group per trial.")
    absent = sorted(set(names.tolist()) - set(groups.tolist()), key=str)
    if absent:
        raise ValueError(f"validation_groups names {absent}, but no trial belongs to them.")
    watched = np.isin(groups, names)
    if watched.all():
        raise ValueError("validation_groups names every group: none is left to train on.")
    return np.flatnonzero(~watched), np.flatnonzero(watched)
