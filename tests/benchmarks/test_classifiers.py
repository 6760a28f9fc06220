# License: BSD-3-Clause
"""Whole classifiers on Epochs: who is trained on, what is kept, and the table."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mne_neurorvq.benchmarks import (
    ClassifierScores,
    classifier_table,
    compare_classifiers,
    comparison,
    cross_subject_scores,
)
from mne_neurorvq.benchmarks.fold_cache import describe

FITS: list[dict] = []


class Recorder(ClassifierMixin, BaseEstimator):
    """Guesses the first class, and records what it was shown."""

    n_trainable_parameters_ = 7

    def __init__(self, stop_at=None, random_state=None, choice=0):
        self.stop_at = stop_at
        self.random_state = random_state
        self.choice = choice

    def fit(self, X, y, groups=None):
        if len(FITS) == self.stop_at:
            raise KeyboardInterrupt
        self.classes_ = np.unique(y)
        FITS.append(
            {"train": X, "y": y, "groups": groups, "random_state": self.random_state, "test": None}
        )
        return self

    def predict(self, X):
        FITS[-1]["test"] = X
        return np.full(len(X), self.classes_[self.choice])


class WithoutGroups(Recorder):
    def fit(self, X, y):
        return super().fit(X, y)


@pytest.fixture(autouse=True)
def _no_fits():
    FITS.clear()


def _study(sizes=(6, 6, 6, 6, 6, 6), effect=0.0, seed=0):
    """Epochs of one channel whose mean tells the class, with an offset of each subject."""
    rng = np.random.default_rng(seed)
    subjects = np.repeat([f"s{i}" for i in range(len(sizes))], sizes)
    y = np.concatenate([np.array(["a", "b"])[np.arange(size) % 2] for size in sizes])
    means = effect * (y == "b") + rng.standard_normal(len(y))
    data = 1e-6 * (means[:, None, None] + 0.1 * rng.standard_normal((len(y), 1, 20)))
    epochs = mne.EpochsArray(data, mne.create_info(["Cz"], 100.0, "eeg"), verbose="error")
    return epochs, y, subjects


def _tables(results):
    return {name: result.scores for name, result in results.items()}


@settings(max_examples=15)
@given(
    st.lists(st.integers(2, 5), min_size=2, max_size=6),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_fit_sees_epochs_of_training_subjects_only(sizes, seed, random):
    FITS.clear()
    epochs, y, subjects = _study(sizes)
    order = random.sample(range(len(y)), len(y))
    epochs, y, subjects = epochs[order], y[order], subjects[order]
    at = {number: place for place, number in enumerate(epochs.selection)}
    n_splits = random.randint(2, len(sizes))
    compare_classifiers({"x": Recorder()}, epochs, y, subjects, n_splits=n_splits, seeds=(seed,))
    tested = []
    for fit in FITS:
        assert isinstance(fit["train"], mne.BaseEpochs)
        assert isinstance(fit["test"], mne.BaseEpochs)
        train = [at[number] for number in fit["train"].selection]
        test = [at[number] for number in fit["test"].selection]
        assert not set(subjects[train]) & set(subjects[test])
        assert len(train) + len(test) == len(y)
        np.testing.assert_array_equal(fit["y"], y[train])
        np.testing.assert_array_equal(fit["groups"], subjects[train])
        tested += test
    assert sorted(tested) == list(range(len(y)))


def test_folds_and_scores_are_those_of_the_features_of_the_same_trials():
    epochs, y, subjects = _study((20,) * 6, effect=1.5)
    features = 1e6 * epochs.get_data(copy=False).mean(axis=2)
    means = FunctionTransformer(lambda trials: 1e6 * trials.get_data(copy=False).mean(axis=2))
    whole = make_pipeline(means, LogisticRegression())
    folds = {"n_splits": 3, "seeds": (0, 5)}
    expected = cross_subject_scores(
        features, y, subjects, classifier=LogisticRegression(), **folds
    ).scores
    found = compare_classifiers({"x": whole}, epochs, y, subjects, **folds)["x"]
    np.testing.assert_allclose(found.scores, expected)
    assert 0.6 < found.mean < 1
    assert len(set(found.scores.ravel().tolist())) > 1


def test_scores_of_a_subject_are_those_of_its_trials():
    epochs, y, subjects = _study((20,) * 4, effect=1.5)
    means = FunctionTransformer(lambda trials: 1e6 * trials.get_data(copy=False).mean(axis=2))
    result = compare_classifiers(
        {"x": make_pipeline(means, LogisticRegression())}, epochs, y, subjects, n_splits=4
    )["x"]
    assert result.subjects == ("s0", "s1", "s2", "s3")
    # One subject to a fold: its score is that of the fold.
    assert sorted(result.by_subject[0]) == sorted(result.scores[0])


def test_random_numbers_depend_on_seed_and_fold_and_reach_the_steps():
    epochs, y, subjects = _study()
    given_to = {"alone": Recorder(), "last": make_pipeline("passthrough", Recorder())}
    compare_classifiers(given_to, epochs, y, subjects, n_splits=2, seeds=(0, 1))
    states = [fit["random_state"] for fit in FITS]
    assert states[0::2] == states[1::2]
    assert len(set(states)) == 4
    assert given_to["alone"].random_state is None
    first = states.copy()
    FITS.clear()
    compare_classifiers({"x": Recorder()}, epochs, y, subjects, n_splits=2, seeds=(1,))
    assert [fit["random_state"] for fit in FITS] == first[4::2]


def test_groups_are_passed_only_where_fit_takes_them():
    epochs, y, subjects = _study()
    compare_classifiers({"x": WithoutGroups()}, epochs, y, subjects, n_splits=2)
    assert all(fit["groups"] is None for fit in FITS)


def test_the_number_of_parameters_is_that_of_the_last_step():
    epochs, y, subjects = _study()
    rows = {
        "alone": Recorder(),
        "last": make_pipeline("passthrough", Recorder()),
        "none": DummyClassifier(),
    }
    results = compare_classifiers(rows, epochs, y, subjects, n_splits=2)
    assert [result.n_trainable_parameters for result in results.values()] == [7, 7, None]


def test_the_duration_is_that_of_the_fit():
    class Slow(Recorder):
        def fit(self, X, y):
            time.sleep(0.06)
            return super().fit(X, y)

    epochs, y, subjects = _study()
    result = compare_classifiers({"x": Slow()}, epochs, y, subjects, n_splits=2)["x"]
    assert (result.minutes >= 0.001).all()


# ---- what is kept


def test_a_run_that_was_killed_goes_on_where_it_stopped(tmp_path):
    epochs, y, subjects = _study()
    arguments = (epochs, y, subjects)
    folds = {"n_splits": 3, "seeds": (0, 1)}
    whole = compare_classifiers({"x": Recorder(choice=1), "y": Recorder()}, *arguments, **folds)
    FITS.clear()

    class Killed(Recorder):
        """Of the same parameters as those of the run that goes on."""

        dies = True

        def fit(self, X, y, groups=None):
            if type(self).dies and len(FITS) == 5:
                raise KeyboardInterrupt
            return super().fit(X, y, groups)

    rows = {"x": Killed(choice=1), "y": Killed()}
    with pytest.raises(KeyboardInterrupt):
        compare_classifiers(rows, *arguments, **folds, cache=tmp_path / "folds")
    assert len(FITS) == 5
    Killed.dies = False
    told = []
    again = compare_classifiers(
        rows, *arguments, **folds, cache=tmp_path / "folds", on_fold=told.append
    )
    assert len(FITS) == len(told) + 5 == 12
    for name, scores in _tables(whole).items():
        np.testing.assert_array_equal(again[name].scores, scores)
        np.testing.assert_array_equal(again[name].by_subject, whole[name].by_subject)
        assert again[name].n_trainable_parameters == 7
    told.clear()
    kept = compare_classifiers(
        rows, *arguments, **folds, cache=tmp_path / "folds", on_fold=told.append
    )
    assert not told
    np.testing.assert_array_equal(kept["x"].minutes, again["x"].minutes)
    assert not list(tmp_path.glob("**/*.partial"))


@pytest.mark.parametrize("change", ["parameter", "signals", "classes", "folds", "name", "class"])
def test_a_fold_of_something_else_is_computed_anew(change, tmp_path):
    epochs, y, subjects = _study()
    compare_classifiers({"x": Recorder()}, epochs, y, subjects, n_splits=2, cache=tmp_path)
    FITS.clear()
    name, model, n_splits = "x", Recorder(), 2
    if change == "parameter":
        model = Recorder(choice=1)
    elif change == "signals":
        epochs = epochs.copy().apply_function(lambda signal: 2 * signal, verbose="error")
    elif change == "classes":
        y = np.where(y == "a", "b", "a")
    elif change == "folds":
        n_splits = 3
    elif change == "name":
        name = "y"
    else:
        model = WithoutGroups()
    compare_classifiers({name: model}, epochs, y, subjects, n_splits=n_splits, cache=tmp_path)
    assert len(FITS) == n_splits


def test_a_description_tells_apart_what_trains_differently():
    models = [
        make_pipeline(FunctionTransformer(function), LogisticRegression(**settings))
        for function in (np.log, np.exp, lambda x: x, lambda x: 2 * x)
        for settings in ({}, {"C": 2}, {"class_weight": {"a": 1, "b": 2}})
    ]
    models += [DummyClassifier(constant=value) for value in (np.zeros(2), np.ones(2), [0, 0])]
    assert len({describe(model) for model in models}) == len(models)
    assert describe(LogisticRegression(class_weight={"a": 1, "b": 2})) == describe(
        LogisticRegression(class_weight={"b": 2, "a": 1})
    )


def test_a_kept_fold_is_found_by_another_process(tmp_path):
    code = f"""
import mne, numpy as np
from mne_neurorvq.benchmarks import compare_classifiers, csp_lda
mne.set_log_level("error")
rng = np.random.default_rng(0)
info = mne.create_info(["C3", "C4"], 100.0, "eeg")
epochs = mne.EpochsArray(1e-5 * rng.standard_normal((16, 2, 200)), info)
told = []
compare_classifiers(
    {{"csp": csp_lda(2)}}, epochs, np.tile(["a", "b"], 8), np.repeat(["s", "t"], 8), n_splits=2,
    cache={str(tmp_path)!r}, on_fold=told.append,
)
print(len(told))
"""
    counts = [
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
        ).stdout.split()[-1]
        for _ in range(2)
    ]
    assert counts == ["2", "0"]


def test_a_kept_fold_that_cannot_be_read_is_named(tmp_path):
    epochs, y, subjects = _study()
    compare_classifiers({"x": Recorder()}, epochs, y, subjects, n_splits=2, cache=tmp_path)
    path = next(tmp_path.glob("*.json"))
    assert json.loads(path.read_text())["name"] == "x"
    for content in ("{", "{}", "[]"):
        path.write_text(content)
        with pytest.raises(ValueError, match=f"{path.name} holds no finished fold"):
            compare_classifiers({"x": Recorder()}, epochs, y, subjects, n_splits=2, cache=tmp_path)


# ---- bad input


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"classifiers": {}}, ValueError, "classifiers is empty"),
        ({"epochs": np.zeros((36, 1, 20))}, TypeError, "must be mne.Epochs, got ndarray"),
        ({"n_splits": 7}, ValueError, r"n_splits=7 must be from 2 to the number of subjects \(6\)"),
        ({"n_splits": -1}, ValueError, "n_splits=-1"),
        ({"seeds": ()}, ValueError, "seeds is empty"),
        ({"y": np.full(36, "a")}, ValueError, "single class"),
        ({"y": np.full(35, "a")}, ValueError, "one entry for each of the 36 trials"),
    ],
)
def test_impossible_arguments_are_named(change, error, message):
    epochs, y, subjects = _study()
    arguments = {"classifiers": {"x": Recorder()}, "epochs": epochs, "y": y, "groups": subjects}
    with pytest.raises(error, match=message):
        compare_classifiers(**arguments | change)
    assert not FITS


# ---- the table


def _scores(scores, by_subject, parameters=None, minutes=1.5):
    scores = np.array([scores])
    return ClassifierScores(
        scores,
        np.full_like(scores, minutes),
        np.array([by_subject]),
        parameters,
        (3,),
        tuple(f"s{i}" for i in range(len(by_subject))),
        ("x", "y"),
        8,
    )


RESULTS = {
    "ours": _scores([0.5, 0.75, 0.7], [0.5, 0.7, 0.8], 12345),
    "theirs": _scores([0.6, 0.6, 0.6], [0.6, 0.6, 0.6 + 1e-12]),
}


def _cells(text, row):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {row} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_names_protocol_budget_differences_and_costs():
    text = classifier_table(
        RESULTS,
        title="A against B",
        reference="theirs",
        budget="5 epochs.",
        apart={"unseen": ["s0", "s2"]},
        notes=["s1 was seen."],
    )
    for fact in (
        "### A against B",
        "3 subjects (s0-s2), 8 trials.",
        "GroupKFold(3)",
        "fold seeds 3",
        "5 epochs.",
        "the 3 folds",
        "Differences are from theirs",
        "s1 was seen.",
    ):
        assert fact in text
    assert _cells(text, "ours") == [
        "ours",
        "0.650 ± 0.108",
        "0.500-0.750",
        "+0.050",
        "2, 1 of 3",
        "2, 1 of 3",
        "0.650",
        "1.50",
        "12,345",
    ]
    assert _cells(text, "theirs")[3:] == ["", "", "", "0.600", "1.50", ""]
    widths = {len(line) for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1, "the columns line up"


def test_differences_of_rounding_count_as_none():
    text = classifier_table(RESULTS, title="x", reference="ours", budget="")
    assert _cells(text, "theirs")[5] == "1, 2 of 3"
    same = {"ours": _scores([0.6], [0.6]), "theirs": _scores([0.6 + 1e-13], [0.6])}
    assert _cells(classifier_table(same, title="x", reference="ours", budget=""), "theirs")[
        3:6
    ] == ["+0.000", "0, 0 of 1", "0, 0 of 1"]


def test_a_comparison_takes_classifiers_too():
    text = comparison(RESULTS, "ours", "theirs")
    assert text == "ours against theirs: +0.050, higher in 2 and lower in 1 of 3 folds."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": "mine"}, "reference='mine' is none of the rows ours, theirs"),
        ({"apart": {"unseen": ["s9"]}}, r"apart\['unseen'\] must hold subjects .* \['s9'\]"),
        ({"apart": {"unseen": []}}, "got none"),
        ({"results": {}}, "nothing to report"),
        ({"results": RESULTS | {"two": _scores([0.5, 0.5], [1, 1, 1])}}, "'two' was scored on"),
    ],
)
def test_a_table_that_would_mislead_is_refused(change, message):
    arguments = {"results": RESULTS, "title": "x", "reference": "ours", "budget": ""} | change
    with pytest.raises(ValueError, match=message):
        classifier_table(**arguments)
