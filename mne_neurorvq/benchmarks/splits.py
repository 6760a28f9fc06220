# License: BSD-3-Clause
"""Folds over people for MOABB's evaluations, and what is refused as a leak."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from ..analysis.subject_scores import first_ranks, spread_ranks


class SubjectFold(GroupKFold):
    """One fold of a shuffled GroupKFold over people, with a share of its training trials.

    The share is drawn evenly from classes and people; a smaller one is part of a larger one.

    >>> fold = SubjectFold(2, fold=1, random_state=0)
    >>> people = np.repeat(list("abcd"), 2)
    >>> ((train, test),) = fold.split(people, groups=people)
    >>> len(set(people[train])), len(set(people[test])), set(people[train]) & set(people[test])
    (2, 2, set())
    """

    def __init__(
        self, n_splits: int = 5, *, fold: int = 0, share: float = 1.0, random_state: int = 0
    ) -> None:
        super().__init__(n_splits, shuffle=True, random_state=random_state)
        self.fold = fold
        self.share = share

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """One."""
        return 1

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.int_], NDArray[np.int_]]]:
        """Give the trials to train on and those to test."""
        n_people = len(np.unique(np.asarray(groups)))
        if n_people < 2:
            raise ValueError(
                f"there is {np.asarray(groups)[0]} alone, but a fold is trained on some and tested "
                "on others: at least two are needed."
            )
        if n_people < self.n_splits:
            raise ValueError(
                f"{self.n_splits} folds need as many people, but there are {n_people}: "
                f"set --folds (folds=) to {n_people} or fewer."
            )
        train, test = list(super().split(X, y, groups))[self.fold]
        if self.share < 1:
            y, groups = np.asarray(y)[train], np.asarray(groups)[train]
            rng = np.random.default_rng([self.random_state, self.fold])
            train = train[first_ranks(y, spread_ranks(y, groups, rng), self.share)]
        yield train, test


def refuse_leaks(
    epochs: mne.BaseEpochs, train: NDArray[np.int_], test: NDArray[np.int_], metadata: Any
) -> None:
    """Raise if a person, a trial or a part of a trial is both trained on and tested.

    ``metadata`` has ``subject``, ``session`` and ``run`` of each trial, as MOABB gives them.
    """
    people = metadata["subject"].to_numpy()
    shared = np.intersect1d(people[train], people[test])
    if len(shared):
        raise ValueError(
            f"person {shared[0]} is both trained on and tested: such a score is that of a familiar "
            "person. Split by person."
        )
    _refuse_overlap(epochs, train, test, metadata)
    data = epochs.get_data(copy=False)
    known = {_digest(data[trial]): trial for trial in train}
    for trial in test:
        twin = known.get(_digest(data[trial]))
        if twin is not None:
            raise ValueError(
                f"trial {trial} of {people[trial]} is trained on as trial {twin} of "
                f"{people[twin]}: the data hold a recording twice. Leave one of them out."
            )


def _refuse_overlap(
    epochs: mne.BaseEpochs, train: NDArray[np.int_], test: NDArray[np.int_], metadata: Any
) -> None:
    """Raise if a window that is tested shares samples with one that is trained on."""
    used = np.concatenate([train, test])
    tested = np.repeat([False, True], [len(train), len(test)])
    columns = [name for name in ("recording", "session", "run") if name in metadata]
    run = metadata.groupby(columns, sort=False).ngroup().to_numpy()[used]
    # Where MNE joined runs it moved their events, all of a run by as much.
    start = epochs.events[used, 0]
    order = np.lexsort((start, run))
    near = np.diff(start[order]) < len(epochs.times)
    same = np.diff(run[order]) == 0
    mixed = np.diff(tested[order].astype(int)) != 0
    found = np.flatnonzero(near & same & mixed)
    if len(found):
        one, other = used[order[found[0]]], used[order[found[0] + 1]]
        raise ValueError(
            f"the windows of trials {one} and {other} overlap, and one is trained on, the other "
            "tested. Keep windows of a recording together."
        )


def _digest(trial: NDArray[np.floating]) -> bytes:
    return blake2b(trial.tobytes(), digest_size=16).digest()
