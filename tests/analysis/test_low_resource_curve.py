# License: BSD-3-Clause
"""Which trials are trained on, for each share, and that nothing else differs."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from mne_neurorvq.analysis import low_resource_curve
from mne_neurorvq.datasets import trial_column


class Recorder(ClassifierMixin, BaseEstimator):
    """Remembers the numbers of the trials that it was fitted and tested on."""

    fitted: ClassVar[list[list[int]]] = []
    tested: ClassVar[list[list[int]]] = []

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.fitted.append(X[:, 0].tolist())
        return self

    def predict(self, X):
        self.tested.append(X[:, 0].tolist())
        return np.repeat(self.classes_[:1], len(X))


def recorded(y, groups, **parameters):
    """Trials of each fit and test, as [fold][share]."""
    Recorder.fitted, Recorder.tested = [], []
    numbers = np.arange(len(y))[:, None]
    curve = low_resource_curve(Recorder(), numbers, y, groups, **parameters)
    n_shares = len(curve.shares)
    return curve, *(
        [found[start : start + n_shares] for start in range(0, len(found), n_shares)]
        for found in (Recorder.fitted, Recorder.tested)
    )


def study(counts):
    """Trials of subjects, of whom each has a number of each class, in any order."""
    y = np.concatenate([np.repeat(["a", "b", "c"][: len(row)], row) for row in counts])
    groups = np.repeat(np.arange(len(counts)), [sum(row) for row in counts])
    order = np.random.default_rng(0).permutation(len(y))
    return y[order], groups[order]


COUNTS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=3, max_size=6)


@settings(max_examples=20)
@given(counts=COUNTS, shares=st.lists(st.floats(0.01, 1), min_size=2, max_size=4))
def test_subsets_are_nested_stratified_and_spread_over_the_training_subjects(counts, shares):
    y, groups = study(counts)
    shares = [*sorted(shares), 1.0]
    curve, fitted, tested = recorded(y, groups, shares=shares, cv=3)
    for fold, (train, test) in enumerate(zip(fitted, tested, strict=True)):
        assert all(one == test[0] for one in test)
        assert sorted(train[-1] + test[0]) == list(range(len(y)))
        assert not set(groups[train[-1]]) & set(groups[test[0]])
        for smaller, larger in pairwise(train):
            assert set(smaller) <= set(larger)
        for row, (share, kept) in enumerate(zip(shares, train, strict=True)):
            assert curve.n_train[row, fold] == len(kept) == len(set(kept))
            assert kept == sorted(kept)
            for label in np.unique(y):
                everyone = groups[train[-1]][y[train[-1]] == label]
                n_kept = np.sum(y[kept] == label)
                assert n_kept == max(1, round(share * len(everyone)))
                for subject in np.unique(everyone):
                    of_subject = np.sum((y[kept] == label) & (groups[kept] == subject))
                    fair = n_kept / len(everyone) * np.sum(everyone == subject)
                    assert abs(of_subject - fair) < 2


def test_each_trial_of_a_subject_is_as_likely_and_so_is_each_subject():
    y, groups = study([(10, 10)] * 4)
    drawn = np.zeros(len(y))
    n_seeds = 150
    folds = [(np.arange(len(y))[groups > 0], np.arange(len(y))[groups == 0])]
    for seed in range(n_seeds):
        _, fitted, _ = recorded(y, groups, shares=[1 / 30], cv=folds, random_state=seed)
        assert len(fitted[0][0]) == 2  # one of each class
        drawn[fitted[0][0]] += 1
    assert drawn[groups == 0].sum() == 0
    for subject in (1, 2, 3):
        assert drawn[groups == subject].sum() == pytest.approx(2 * n_seeds / 3, rel=0.3)
    assert np.sum(drawn[groups > 0] == 0) < 4
    assert drawn[groups > 0].max() < 4 * n_seeds / 30


def test_the_seed_decides_folds_and_trials():
    y, groups = study([(8, 8)] * 6)
    runs = [recorded(y, groups, cv=3, random_state=seed)[1:] for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0][1] != runs[2][1]
    folds = GroupKFold(3)
    runs = [recorded(y, groups, cv=folds, random_state=seed)[1:] for seed in (0, 1)]
    assert runs[0][1] == runs[1][1]
    assert runs[0][0] != runs[1][0]


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    y, groups = np.tile(["rest", "left"], 150), np.repeat(list("abcdef"), 50)
    X = rng.standard_normal((300, 30)) + 0.4 * (y == "rest")[:, None]
    return X, y, groups


def test_all_of_the_training_trials_give_the_scores_of_scikit_learn(features):
    X, y, groups = features
    folds = GroupShuffleSplit(4, random_state=0)
    curve = low_resource_curve(
        LogisticRegression(), X, y, groups, shares=[1.0], cv=folds, scoring="roc_auc"
    )
    expected = cross_val_score(
        LogisticRegression(), X, y, groups=groups, cv=folds, scoring="roc_auc"
    )
    assert_array_equal(curve.scores, expected[None])
    assert curve.mean == pytest.approx(expected.mean())


def test_more_trials_learn_more(features):
    curve = low_resource_curve(LogisticRegression(), *features)
    assert curve.shares.tolist() == [0.1, 0.3, 1.0]
    assert curve.scores.shape == curve.n_train.shape == (3, 5)
    assert (np.diff(curve.mean) > 0).all()


def test_epochs_go_through_a_pipeline(model, epochs):
    y, groups = (trial_column(epochs, name) for name in ("condition", "subject"))
    pipeline = make_pipeline(model, LogisticRegression())
    curve = low_resource_curve(pipeline, epochs, y, groups, shares=[0.5, 1.0], cv=2)
    expected = cross_val_score(
        pipeline, epochs, y, groups=groups, cv=GroupKFold(2), scoring="balanced_accuracy"
    )
    assert sorted(curve.scores[1]) == sorted(expected)
    assert curve.n_train.tolist() == [[2, 2], [2, 2]] or curve.n_train[1].tolist() == [2, 2]


class Grouped(Recorder):
    """Takes the subjects of its trials, as fine-tuning does for its validation."""

    def fit(self, X, y, groups):
        self.groups_ = groups
        assert_array_equal(groups, np.repeat(np.arange(6), 16)[X[:, 0]])
        return super().fit(X, y)


@pytest.mark.parametrize("routing", [False, True])
def test_params_reach_fit_with_the_trials_that_they_belong_to(routing):
    y, groups = np.tile(["a", "b"], 48), np.repeat(np.arange(6), 16)
    with sklearn.config_context(enable_metadata_routing=routing):
        estimator = Grouped().set_fit_request(groups=True) if routing else Grouped()
        curve = low_resource_curve(
            estimator, np.arange(96)[:, None], y, groups, cv=3, params={"groups": groups}
        )
    assert curve.n_train.tolist() == [[6] * 3, [20] * 3, [64] * 3]


class TestBadInput:
    """Bad input raises and is named."""

    @pytest.mark.parametrize("shares", [[], [0.0, 1.0], [1.1], [-0.5], [np.nan]])
    def test_impossible_shares_raise(self, features, shares):
        with pytest.raises(ValueError, match="shares must be above 0 and at most 1"):
            low_resource_curve(LogisticRegression(), *features, shares=shares)

    def test_folds_that_mix_subjects_raise(self, features):
        with pytest.raises(ValueError, match="fold 0 of cv trains and tests on subject b"):
            low_resource_curve(LogisticRegression(), *features, cv=StratifiedKFold(4))

    @pytest.mark.parametrize("cv", [1, 7])
    def test_more_folds_than_subjects_raise(self, features, cv):
        with pytest.raises(ValueError, match=f"cv={cv} must be from 2 to .* subjects .6."):
            low_resource_curve(LogisticRegression(), *features, cv=cv)

    def test_numbers_and_a_single_class_cannot_be_stratified(self, features):
        X, _, groups = features
        for y in (np.linspace(0.5, 3.2, 300), np.zeros(300)):
            with pytest.raises(ValueError, match="y must hold two classes or more"):
                low_resource_curve(LogisticRegression(), X, y, groups)

    def test_labels_and_groups_of_differing_length_raise(self, features):
        X, y, groups = features
        with pytest.raises(ValueError, match=r"got the shapes \(300,\) and \(299,\)"):
            low_resource_curve(LogisticRegression(), X, y, groups[1:])

    def test_a_fit_that_fails_raises(self, features):
        X, y, groups = features
        spoilt = X.copy()
        spoilt[0, 0] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            low_resource_curve(LogisticRegression(), spoilt, y, groups)
