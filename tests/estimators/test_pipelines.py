# License: BSD-3-Clause
"""The transformer inside scikit-learn: splits, searches, caches, processes and copies."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import GroupStandardScaler, NeuroRVQTransformer

TINY = "neurorvq-eeg-tiny-random"


@pytest.fixture
def study(make_epochs):
    """Trials of three subjects whose classes differ in amplitude over C4, labels, groups."""
    epochs = make_epochs(n_trials=24, n_times=200, sfreq=200.0)
    labels = np.where(epochs.metadata["label"] == 1, "left", "rest")
    data = epochs.get_data(copy=False)
    data[labels == "left", 2] *= 4
    return epochs, labels, epochs.metadata["subject"].to_numpy()


def classifier(**parameters):
    return Pipeline(
        [
            ("tok", NeuroRVQTransformer(TINY, **parameters)),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression()),
        ]
    )


def test_plain_epochs_are_cross_validated_over_subjects(study):
    epochs, labels, subjects = study
    folds = GroupKFold(3)
    scores = cross_val_score(classifier(), epochs, labels, groups=subjects, cv=folds)
    # Nothing is learned from the trials: embedding all of them first is the same.
    embedded = NeuroRVQTransformer(TINY).fit_transform(epochs)
    head = make_pipeline(StandardScaler(), LogisticRegression())
    assert_array_equal(scores, cross_val_score(head, embedded, labels, groups=subjects, cv=folds))
    assert len(set(map(tuple, embedded))) == len(epochs)


def test_predictions_come_back_in_the_order_of_the_trials(study):
    epochs, labels, subjects = study
    parameters = dict(groups=subjects, cv=GroupKFold(3), method="decision_function")
    found = cross_val_predict(classifier(), epochs, labels, **parameters)
    embedded = NeuroRVQTransformer(TINY).fit_transform(epochs)
    head = make_pipeline(StandardScaler(), LogisticRegression())
    assert_array_equal(found, cross_val_predict(head, embedded, labels, **parameters))


def test_what_train_test_split_makes_of_epochs_is_taken(study):
    epochs, labels, _ = study
    train, test, _, _, where, _ = train_test_split(
        epochs, labels, np.arange(len(epochs)), random_state=0
    )
    embedding = NeuroRVQTransformer(TINY).fit(epochs).transform(train)
    assert isinstance(train, list)
    assert len(embedding) + len(test) == len(epochs)
    assert_array_equal(embedding, NeuroRVQTransformer(TINY).fit_transform(epochs)[where])


def test_output_and_pooling_are_searched(study):
    epochs, labels, subjects = study
    grid = [
        {"tok__output": ["embedding"], "tok__pool": ["mean", "time", "none"]},
        {"tok__output": ["histogram"], "tok__pool": ["mean", "channel"]},
    ]
    search = GridSearchCV(classifier(), grid, cv=GroupKFold(3), error_score="raise")
    search.fit(epochs, labels, groups=subjects)
    for parameters, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        alone = classifier().set_params(**parameters)
        expected = cross_val_score(alone, epochs, labels, groups=subjects, cv=GroupKFold(3))
        assert score == pytest.approx(expected.mean())
    assert len(search.cv_results_["params"]) == 5
    assert search.predict(epochs).shape == labels.shape


def test_a_pipeline_with_memory_embeds_the_same_trials_once(study, tmp_path):
    epochs, labels, _ = study
    cached = classifier().set_params(memory=str(tmp_path))

    def n_results():
        return len(list(tmp_path.rglob("output.pkl")))

    predicted = cached.fit(epochs, labels).predict(epochs)
    assert_array_equal(predicted, classifier().fit(epochs, labels).predict(epochs))
    n_first = n_results()
    assert n_first > 0
    assert_array_equal(clone(cached).fit(epochs, labels).predict(epochs), predicted)
    assert n_results() == n_first
    cached.set_params(tok__pool="time").fit(epochs, labels)
    assert n_results() > n_first


def test_two_processes_give_what_one_gives(study):
    epochs, labels, subjects = study
    parameters = dict(groups=subjects, cv=GroupKFold(3), error_score="raise")
    alone = cross_val_score(classifier(), epochs, labels, **parameters)
    together = cross_val_score(classifier(), epochs, labels, n_jobs=2, **parameters)
    assert_array_equal(alone, together)


def test_a_fitted_transformer_is_loaded_in_a_fresh_process(epochs, transformer, tmp_path):
    fitted = transformer().fit(epochs)
    expected, codes = fitted.transform(epochs), fitted.tokenize(epochs).codes
    (tmp_path / "in.pkl").write_bytes(pickle.dumps((fitted, epochs)))
    program = (
        "import pickle, pathlib, sys\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "fitted, epochs = pickle.loads((folder / 'in.pkl').read_bytes())\n"
        "found = fitted.transform(epochs), fitted.tokenize(epochs).codes, fitted.ch_names_\n"
        "(folder / 'out.pkl').write_bytes(pickle.dumps(found))\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program, str(tmp_path)], check=True)
    found, found_codes, names = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert names == fitted.ch_names_
    assert_array_equal(found_codes, codes)
    # Another process may use another number of threads, which round differently.
    assert_allclose(found, expected, atol=1e-6)


def test_an_unfitted_transformer_pickles_without_a_model(transformer):
    assert len(pickle.dumps(transformer())) < 2000


def test_parameters_are_stored_untouched_and_cloned():
    given = dict(
        pretrained=TINY,
        revision=None,
        output="histogram",
        pool="time",
        channels="strict",
        reference="average",
        unit="mV",
        ch_names=["C3", "C4"],
        sfreq=128.0,
        model_sfreq=100.0,
        device="cpu",
        batch_size=3,
        precision="bf16",
        memory="features",
        verbose=False,
    )
    estimator = NeuroRVQTransformer(**given)
    assert estimator.get_params() == given
    assert all(estimator.get_params()[name] is value for name, value in given.items())
    assert clone(estimator).get_params() == given
    assert NeuroRVQTransformer().set_params(**given).get_params() == given


def test_cloning_a_fitted_transformer_forgets_the_fit(epochs, transformer):
    fitted = transformer(pool="time").fit(epochs)
    copy = clone(fitted)
    assert not [name for name in vars(copy) if name not in copy.get_params()]
    assert copy.get_params() == fitted.get_params()


def test_the_repr_is_the_call_that_makes_the_transformer(epochs):
    estimator = NeuroRVQTransformer(TINY, pool="time", ch_names=["C3", "C4"], sfreq=160.0)
    scope = {"NeuroRVQTransformer": NeuroRVQTransformer}
    assert eval(repr(estimator), scope).get_params() == estimator.get_params()
    assert repr(NeuroRVQTransformer()) == "NeuroRVQTransformer()"
    before = repr(NeuroRVQTransformer(TINY))
    assert repr(NeuroRVQTransformer(TINY).fit(epochs)) == before


def test_groups_are_routed_to_the_scaler_in_a_pipeline(study):
    epochs, labels, subjects = study
    embedded = NeuroRVQTransformer(TINY).fit_transform(epochs)
    standardised = GroupStandardScaler().fit_transform(embedded, groups=subjects)
    folds = GroupKFold(3)
    with config_context(enable_metadata_routing=True):
        scaler = GroupStandardScaler()
        scaler.set_fit_request(groups=True).set_transform_request(groups=True)
        routed = make_pipeline(NeuroRVQTransformer(TINY), scaler, LogisticRegression())
        found = cross_validate(
            routed, epochs, labels, params={"groups": subjects}, cv=folds, error_score="raise"
        )
        expected = cross_validate(
            LogisticRegression(), standardised, labels, params={"groups": subjects}, cv=folds
        )
    assert_array_equal(found["test_score"], expected["test_score"])
