# License: BSD-3-Clause
"""Folds over people, shares of their trials, and what is refused as a leak."""

from __future__ import annotations

import mne
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold

from mne_neurorvq.benchmarks.splits import SubjectFold, refuse_leaks

PEOPLE = np.repeat(list("abcdef"), 10)
Y = np.tile([0, 1], 30)


def the_fold(**settings):
    ((train, test),) = SubjectFold(3, random_state=1, **settings).split(PEOPLE, Y, PEOPLE)
    return train, test


def trials(starts, people, runs=None, data=None):
    """Epochs of five samples with events at ``starts``, and their metadata."""
    n = len(starts)
    data = np.random.default_rng(0).standard_normal((n, 2, 5)) if data is None else data
    events = np.column_stack([starts, np.zeros(n, int), np.ones(n, int)])
    epochs = mne.EpochsArray(data, mne.create_info(2, 100.0, "eeg"), events, verbose="error")
    runs = ["0"] * n if runs is None else runs
    return epochs, pd.DataFrame({"subject": people, "session": "0", "run": runs})


@pytest.mark.parametrize("fold", range(3))
def test_a_fold_is_that_of_a_shuffled_group_k_fold(fold):
    whole = GroupKFold(3, shuffle=True, random_state=1).split(PEOPLE, Y, PEOPLE)
    for ours, theirs in zip(the_fold(fold=fold), list(whole)[fold], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_share_takes_evenly_from_classes_and_people_and_tests_all():
    train, test = the_fold()
    fewer, same = the_fold(share=0.2)
    np.testing.assert_array_equal(same, test)
    assert set(fewer) < set(train)
    assert np.bincount(Y[fewer]).tolist() == [4, 4]
    assert set(the_fold(share=0.1)[0]) < set(fewer)


def test_more_folds_than_people_name_the_parameter():
    with pytest.raises(
        ValueError, match=r"3 folds need as many people, but there are 2: set --fol"
    ):
        next(SubjectFold(3).split(np.arange(4), groups=["a", "a", "b", "b"]))


def test_a_person_on_both_sides_is_refused():
    epochs, metadata = trials([0, 10, 20], ["a", "a", "b"])
    with pytest.raises(ValueError, match="person a is both trained on and tested"):
        refuse_leaks(epochs, np.array([0, 2]), np.array([1]), metadata)


def test_overlapping_windows_on_both_sides_are_refused():
    # Called by other names, as by a loader that takes windows for people.
    epochs, metadata = trials([0, 3, 20], ["w0", "w1", "w2"])
    with pytest.raises(ValueError, match="windows of trials 0 and 1 overlap"):
        refuse_leaks(epochs, np.array([0, 2]), np.array([1]), metadata.assign(recording="r"))
    apart, metadata = trials([0, 5, 20], ["w0", "w1", "w2"])
    refuse_leaks(apart, np.array([0, 2]), np.array([1]), metadata.assign(recording="r"))


def test_the_same_trial_under_two_names_is_refused():
    data = np.random.default_rng(0).standard_normal((3, 2, 5))
    data[2] = data[0]
    epochs, metadata = trials([0, 10, 20], ["a", "b", "c"], data=data)
    with pytest.raises(ValueError, match="trial 2 of c is trained on as trial 0 of a"):
        refuse_leaks(epochs, np.array([0, 1]), np.array([2]), metadata)
