# License: BSD-3-Clause
"""The protocol: who is trained on, who is tested, and what may depend on what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from mne_neurorvq.benchmarks import (
    CrossSubjectScores,
    compare_features,
    comparison,
    cross_subject_scores,
    report_table,
)
from mne_neurorvq.benchmarks.tables import name_ranges

SEEN: list[tuple[np.ndarray, np.ndarray]] = []


class Recorder(ClassifierMixin, BaseEstimator):
    """Guesses the first class, and records which trials it was trained and tested on."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.train_ = X[:, 0].astype(int)
        return self

    def predict(self, X):
        SEEN.append((self.train_, X[:, 0].astype(int)))
        return np.full(len(X), self.classes_[0])


def _study(n_subjects=6, n_trials=20, n_columns=4, effect=0.8, seed=0):
    """Features with an effect of the class and a large offset of each subject."""
    rng = np.random.default_rng(seed)
    subjects = np.repeat([f"s{i}" for i in range(n_subjects)], n_trials)
    y = np.tile(["a", "b"], n_subjects * n_trials // 2)
    offsets = np.repeat(10 * rng.standard_normal((n_subjects, n_columns)), n_trials, axis=0)
    X = rng.standard_normal((len(y), n_columns)) + offsets
    X[:, 0] += effect * (y == "b")
    return X, y, subjects


@given(
    st.lists(st.integers(2, 7), min_size=2, max_size=7),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_no_subject_is_both_trained_on_and_tested(sizes, seed, random):
    subjects = np.repeat(np.arange(len(sizes)), sizes)
    y = np.concatenate([np.arange(size) % 2 for size in sizes])
    order = np.array(random.sample(range(len(y)), len(y)))
    subjects, y = subjects[order], y[order]
    rows = np.arange(len(y), dtype=float)[:, None]
    SEEN.clear()
    n_splits = random.randint(2, len(sizes))
    cross_subject_scores(rows, y, subjects, n_splits=n_splits, seeds=(seed,), classifier=Recorder())
    assert len(SEEN) == n_splits
    for train, test in SEEN:
        assert not set(subjects[train]) & set(subjects[test])
        assert len(train) + len(test) == len(y)
    assert sorted(np.concatenate([test for _, test in SEEN])) == list(range(len(y)))


def _fold(subjects, number):
    """Training and test trials of a fold of seed 0, split by scikit-learn itself."""
    folds = GroupKFold(3, shuffle=True, random_state=0).split(subjects, groups=subjects)
    return list(folds)[number]


@pytest.mark.parametrize("fold", range(3))
def test_neither_labels_nor_features_of_the_test_subjects_take_part_in_choosing_c(fold):
    X, y, subjects = _study(n_columns=30, effect=1.0)
    train, test = _fold(subjects, fold)
    chosen = cross_subject_scores(X, y, subjects, n_splits=3).chosen_c[0, fold]
    changed = set()
    for seed in range(5):
        rng = np.random.default_rng(seed)
        other_X, other_y = X.copy(), y.copy()
        other_X[test] = 100 * rng.standard_normal((len(test), 30))
        other_y[test] = rng.permutation(y[test])
        again = cross_subject_scores(other_X, other_y, subjects, n_splits=3)
        assert again.chosen_c[0, fold] == chosen
        shuffled = y.copy()
        shuffled[train] = rng.permutation(y[train])
        if all(len(set(shuffled[subjects == s])) == 2 for s in set(subjects)):
            result = cross_subject_scores(X, shuffled, subjects, n_splits=3)
            changed.add(result.chosen_c[0, fold])
    assert changed - {chosen}, "the choice must depend on the training labels"


def test_scores_do_not_depend_on_the_labels_of_the_test_subjects_while_training():
    X, y, subjects = _study()
    _, test = _fold(subjects, 0)
    flipped = y.copy()
    flipped[test] = np.where(y[test] == "a", "b", "a")
    right, wrong = (
        cross_subject_scores(X, labels, subjects, n_splits=3).scores[0, 0]
        for labels in (y, flipped)
    )
    assert wrong == pytest.approx(1 - right)


@pytest.mark.parametrize("n_columns", [4, 300], ids=["few columns", "more columns than trials"])
def test_the_linear_probe_is_a_standardised_logistic_regression_with_the_chosen_c(n_columns):
    X, y, subjects = _study(n_columns=n_columns, effect=3.0)
    result = cross_subject_scores(X, y, subjects, n_splits=3)
    for fold in range(3):
        train, test = _fold(subjects, fold)
        regression = LogisticRegression(C=result.chosen_c[0, fold], tol=1e-8, max_iter=10000)
        model = make_pipeline(StandardScaler(), regression).fit(X[train], y[train])
        expected = balanced_accuracy_score(y[test], model.predict(X[test]))
        assert result.scores[0, fold] == pytest.approx(expected, abs=0.026)  # one trial


def test_features_that_say_the_class_are_perfect_and_noise_is_at_chance():
    X, y, subjects = _study(n_subjects=10, n_trials=40)
    assert cross_subject_scores((y == "b")[:, None], y, subjects).mean == 1
    noise = np.random.default_rng(1).standard_normal(X.shape)
    assert abs(cross_subject_scores(noise, y, subjects).mean - 0.5) < 0.08


def test_standardising_within_subjects_removes_what_distinguishes_them():
    X, y, subjects = _study(n_subjects=8, n_trials=40, effect=2.0)
    results = compare_features({"x": X}, y, subjects, n_splits=4)
    assert results["x, standardised"].mean > 0.8 > results["x"].mean


def test_chance_is_one_over_the_number_of_classes():
    X, _, subjects = _study(n_subjects=4, n_trials=30)
    y = np.tile(["a", "b", "c"], 40)
    results = compare_features({"x": X}, y, subjects, n_splits=2)
    assert list(results) == ["x", "x, standardised", "chance"]
    assert results["chance"].scores == pytest.approx(1 / 3)
    assert results["chance"].classes == ("a", "b", "c")


def test_every_row_of_a_comparison_is_scored_on_the_same_folds():
    X, y, subjects = _study()
    results = compare_features({"x": X, "again": X}, y, subjects, n_splits=3, seeds=(0, 1))
    np.testing.assert_array_equal(results["x"].scores, results["again"].scores)


def test_seeds_assign_subjects_anew_and_repeatably():
    X, y, subjects = _study(n_subjects=8)
    both = cross_subject_scores(X, y, subjects, n_splits=4, seeds=(0, 7))
    assert both.scores.shape == both.chosen_c.shape == (2, 4)
    assert not np.array_equal(*np.sort(both.scores, axis=1))
    again = cross_subject_scores(X, y, subjects, n_splits=4, seeds=(7,))
    np.testing.assert_array_equal(again.scores[0], both.scores[1])


def test_the_global_random_state_is_untouched():
    X, y, subjects = _study()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    compare_features({"x": X}, y, subjects, n_splits=3)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_a_single_training_subject_gets_a_fixed_c():
    X, y, subjects = _study(n_subjects=2)
    result = cross_subject_scores(X, y, subjects, n_splits=2)
    np.testing.assert_array_equal(result.chosen_c, 0.01)


def test_a_classifier_of_ones_own_is_fitted_anew_and_left_as_it_is():
    X, y, subjects = _study()
    own = DummyClassifier(strategy="most_frequent")
    result = cross_subject_scores(X, y, subjects, classifier=own)
    assert not hasattr(own, "classes_")
    assert result.mean == 0.5
    assert np.isnan(result.chosen_c).all()


def test_mean_and_spread_are_over_all_folds_of_all_seeds():
    scores = np.array([[0.4, 0.6], [0.8, 0.6]])
    result = CrossSubjectScores(scores, scores, (0, 1), ("a", "b", "c"), ("x", "y"), 12, 3)
    assert result.mean == pytest.approx(0.6)
    assert result.spread == pytest.approx(np.sqrt(0.02))
    assert (result.n_folds, result.n_subjects) == (2, 3)


def test_a_subject_without_one_of_the_classes_is_named():
    X, y, subjects = _study()
    y[subjects == "s3"] = "a"
    with pytest.raises(ValueError, match="subject s3 has no trial of class b"):
        cross_subject_scores(X, y, subjects)


def test_features_that_are_not_finite_are_named_by_trial_and_column():
    X, y, subjects = _study()
    X[17, 2] = np.nan
    with pytest.raises(ValueError, match=r"trial 17 .* column 2"):
        cross_subject_scores(X, y, subjects)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_splits": 7}, r"n_splits=7 must be from 2 to the number of subjects \(6\)"),
        ({"n_splits": 1}, "n_splits=1"),
        ({"seeds": ()}, "seeds is empty"),
        ({"y": np.full(120, "a")}, r"single class \['a'\]"),
        ({"y": np.full(119, "a")}, "one entry for each of the 120 trials"),
        ({"features": np.zeros(120)}, r"shape \(n_trials, n_columns\)"),
        ({"features": np.full((120, 2), "x")}, "must be numbers"),
    ],
)
def test_impossible_arguments_are_named(change, message):
    X, y, subjects = _study()
    arguments = {"features": X, "y": y, "groups": subjects} | change
    with pytest.raises(ValueError, match=message):
        cross_subject_scores(**arguments)


def test_a_comparison_needs_features():
    with pytest.raises(ValueError, match="features is empty"):
        compare_features({}, [0, 1], [0, 1])


def test_the_report_names_protocol_subjects_folds_and_seeds():
    X, y, subjects = _study()
    results = compare_features({"x": X}, y, subjects, n_splits=3, seeds=(3, 5))
    text = report_table(results, title="A against B", notes=["s0 was seen."])
    for fact in (
        "### A against B",
        "6 subjects (s0-s5), 120 trials",
        "GroupKFold(3)",
        "fold seeds 3, 5",
        "the 6 folds",
        "s0 was seen.",
        f"{results['x'].mean:.3f} ± {results['x'].spread:.3f}",
        "| chance",
    ):
        assert fact in text
    widths = {len(line) for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1, "the columns line up"


def test_scores_of_other_folds_are_not_put_in_one_table():
    X, y, subjects = _study()
    results = {
        "three": cross_subject_scores(X, y, subjects, n_splits=3),
        "two": cross_subject_scores(X, y, subjects, n_splits=2),
    }
    with pytest.raises(ValueError, match="'two' was scored on other trials or folds"):
        report_table(results, title="x")
    with pytest.raises(ValueError, match="its n_folds are 2"):
        comparison(results, "three", "two")
    with pytest.raises(ValueError, match="nothing to report"):
        report_table({}, title="x")


def test_a_comparison_counts_the_folds_in_which_a_row_is_higher():
    def made(scores):
        array = np.array([scores])
        return CrossSubjectScores(array, array, (0,), ("a", "b"), ("x", "y"), 8, 3)

    results = {"ours": made([0.5, 0.7, 0.6]), "theirs": made([0.6, 0.6, 0.6])}
    text = comparison(results, "ours", "theirs")
    assert text == "ours against theirs: +0.000, higher in 1 and lower in 1 of 3 folds."


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ""),
        (["b", "a"], "a, b"),
        (["S009", "S010", "S011"], "S009-S011"),
        (["sub-1", "sub-2", "x-3"], "sub-1, sub-2, x-3"),
    ],
)
def test_consecutive_names_are_shortened(names, expected):
    assert name_ranges(names) == expected


def test_the_linear_probe_computes_in_one_thread_and_leaves_the_others_as_they_were(monkeypatch):
    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    def fit(self, *arguments, **keywords):
        during.append(threads())
        return usual(self, *arguments, **keywords)

    during, usual = [], LogisticRegression.fit
    monkeypatch.setattr(LogisticRegression, "fit", fit)
    y, groups = np.tile([0, 1], 20), np.repeat([0, 1, 2, 3], 10)
    with threadpool_limits(2, "blas"):
        before = threads()
        cross_subject_scores(y[:, None] * 1.0, y, groups, n_splits=2)
        assert threads() == before
    assert {n for found in during for n in found} == {1}
