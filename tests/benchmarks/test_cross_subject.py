# License: BSD-3-Clause
"""Scores of features on new people: who is trained on, who is tested, what may depend on what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from mne_neurorvq.benchmarks import CrossSubjectScores, LinearProbe, cross_subject_scores
from mne_neurorvq.benchmarks import cross_subject as module


def _study(n_people=6, n_trials=20, n_columns=4, effect=0.8, seed=0):
    """Features with an effect of the class and a large offset of each person."""
    rng = np.random.default_rng(seed)
    people = np.repeat([f"s{i}" for i in range(n_people)], n_trials)
    y = np.tile(["a", "b"], n_people * n_trials // 2)
    offsets = np.repeat(10 * rng.standard_normal((n_people, n_columns)), n_trials, axis=0)
    X = rng.standard_normal((len(y), n_columns)) + offsets
    X[:, 0] += effect * (y == "b")
    return X, y, people


@given(
    st.lists(st.integers(2, 7), min_size=2, max_size=7),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_no_person_is_both_trained_on_and_tested(sizes, seed, random):
    people = np.repeat(np.arange(len(sizes)), sizes)
    y = np.concatenate([np.arange(size) % 2 for size in sizes])
    order = np.array(random.sample(range(len(y)), len(y)))
    people, y = people[order], y[order]
    seen = []

    class Recorder(LinearProbe):
        def fit(self, X, y, subjects=None):
            self.classes_, self.trained = np.unique(y), X[:, 0].astype(int)
            assert subjects.tolist() == people[self.trained].tolist()
            return self

        def predict(self, X):
            seen.append((self.trained, X[:, 0].astype(int)))
            return np.full(len(X), self.classes_[0])

    n_splits = random.randint(2, len(sizes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LinearProbe", Recorder)
        rows = np.arange(len(y), dtype=float)[:, None]
        cross_subject_scores(rows, y, people, n_splits=n_splits, seeds=(seed,))
    assert len(seen) == n_splits
    for train, test in seen:
        assert not set(people[train]) & set(people[test])
        assert len(train) + len(test) == len(y)
    assert sorted(np.concatenate([test for _, test in seen])) == list(range(len(y)))


def test_a_person_is_scored_by_the_probe_of_the_others_only():
    X, y, people = _study(n_columns=30, effect=1.5)
    found = cross_subject_scores(X, y, people, n_splits=3, seeds=(5,))
    folds = GroupKFold(3, shuffle=True, random_state=5).split(people, groups=people)
    for number, (train, test) in enumerate(folds):
        probe = LinearProbe().fit(X[train], y[train], subjects=people[train])
        columns = StandardScaler().fit(X[train])
        model = LogisticRegression(C=probe.strength_, tol=1e-8, max_iter=10000)
        model.fit(columns.transform(X[train]), y[train])
        for person in np.unique(people[test]):
            place = found.people.index(person)
            own = people == person
            expected = balanced_accuracy_score(y[own], model.predict(columns.transform(X[own])))
            assert found.scores[0, place] == pytest.approx(expected, abs=0.051)  # one trial
            assert found.folds[0, place] == number


def test_scores_do_not_depend_on_the_labels_of_those_who_are_tested():
    X, y, people = _study()
    right = cross_subject_scores(X, y, people, n_splits=6)
    flipped = np.where((people == "s0") & (y == "a"), "b", np.where(people == "s0", "a", y))
    wrong = cross_subject_scores(X, flipped, people, n_splits=6)
    assert wrong.scores[0, 0] == pytest.approx(1 - right.scores[0, 0])


def test_features_that_say_the_class_are_perfect_and_noise_is_at_chance():
    X, y, people = _study(n_people=10, n_trials=40)
    told = cross_subject_scores((y == "b")[:, None], y, people)
    assert told.mean == 1
    assert told.interval == (1.0, 1.0)
    noise = np.random.default_rng(1).standard_normal(X.shape)
    found = cross_subject_scores(noise, y, people)
    assert abs(found.mean - 0.5) < 0.08
    assert found.interval[0] < 0.5 < found.interval[1]
    assert told.difference_from(found).low > 0.3


def test_seeds_assign_people_anew_and_repeatably():
    X, y, people = _study(n_people=8)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    both = cross_subject_scores(X, y, people, n_splits=4, seeds=(0, 7))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    assert both.scores.shape == both.folds.shape == (2, 8)
    assert not np.array_equal(*both.folds)
    again = cross_subject_scores(X, y, people, n_splits=4, seeds=(7,))
    np.testing.assert_array_equal(again.scores[0], both.scores[1])


def made(scores, folds=((0, 0, 1, 1, 2, 2),)):
    return CrossSubjectScores(np.array([scores]), np.array(folds), tuple("abcdef"), ("x", "y"))


def test_differences_are_of_people_and_tested_by_fold_as_moabb_does():
    pd = pytest.importorskip("pandas")
    analysis = pytest.importorskip("moabb.analysis.meta_analysis")
    one, other = made([0.5, 0.7, 0.6, 0.8, 0.9, 0.8]), made([0.5, 0.6, 0.6, 0.6, 0.6, 0.6])
    found = one.difference_from(other)
    assert found.mean == pytest.approx(0.8 / 6)
    assert found.low < found.mean < found.high
    folds = pd.DataFrame({"one": [0.6, 0.7, 0.85], "other": [0.55, 0.6, 0.6]})
    one_sided = analysis.compute_pvals_corrected_ttest(folds, n_train=4, n_test=2)[0, 1]
    assert found.p == pytest.approx(2 * one_sided)
    assert np.isnan(one.difference_from(one).p)


def test_scores_of_other_folds_are_not_compared():
    with pytest.raises(ValueError, match="not of the same folds of people: give both"):
        made([0.5] * 6).difference_from(made([0.5] * 6, ((0, 1, 0, 1, 2, 2),)))


def test_they_say_what_they_are():
    text = repr(made([0.5, 0.7, 0.6, 0.8, 0.9, 0.8]))
    assert text.startswith("<CrossSubjectScores | 0.717 [0.6")
    assert text.endswith("over 6 people, 3 folds × 1 seeds>")


def test_a_person_without_one_of_the_classes_is_named():
    X, y, people = _study()
    y[people == "s3"] = "a"
    with pytest.raises(ValueError, match="person s3 has no trial of class b"):
        cross_subject_scores(X, y, people)


def test_features_that_are_not_finite_are_named_by_trial_and_column():
    X, y, people = _study()
    X[17, 2] = np.nan
    with pytest.raises(ValueError, match=r"trial 17 .* column 2"):
        cross_subject_scores(X, y, people)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_splits": 7}, "n_splits=7 must be a whole number from 2 to the number of people, 6"),
        ({"n_splits": 1}, "n_splits=1"),
        ({"n_splits": 2.5}, "n_splits=2.5"),
        ({"n_splits": "3"}, "n_splits='3'"),
        ({"seeds": ()}, r"seeds=\(\) must be distinct whole numbers, at least one"),
        ({"seeds": 3}, "seeds=3 must be distinct whole numbers"),
        ({"seeds": (0, 0, 0)}, r"seeds=\(0, 0, 0\) must be distinct"),
        ({"seeds": "012"}, "seeds='012'"),
        ({"seeds": (0, -1)}, r"seeds=\(0, -1\)"),
        ({"seeds": ([0], 1)}, "seeds="),
        (
            {"groups": None},
            r"groups must have one entry for each of the 120 trials, got shape \(\)",
        ),
        ({"y": None}, "y must have one entry"),
        ({"y": np.full(120, "a")}, "two classes or more"),
        ({"y": np.full(119, "a")}, r"y must have one entry for each of the 120 .* \(119,\)"),
        ({"features": np.zeros(120)}, r"shape \(n_trials, n_columns\)"),
        ({"features": np.full((120, 2), "x")}, "must be numbers"),
    ],
)
def test_impossible_arguments_are_named(change, message):
    X, y, people = _study()
    arguments = {"features": X, "y": y, "groups": people} | change
    with pytest.raises(ValueError, match=message):
        cross_subject_scores(**arguments)


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
