# License: BSD-3-Clause
"""BioCodec's transformer at work: batches, files, splits, searches, copies and devices."""

from __future__ import annotations

import pickle

import mne
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import BioCodecTransformer
from mne_neurorvq.models import fast

TINY = "biocodec-eeg-tiny-random"
N_TRIALS = 9
X = np.random.default_rng(0).normal(0, 20, (N_TRIALS, 3, 256))


def make(**parameters):
    given = {"ch_names": ["a", "b", "c"], "sfreq": 250.0} | parameters
    return BioCodecTransformer(TINY, **given)


TRANSFORMERS = {size: make(batch_size=size) for size in ("auto", 1, 2, 5)}


@pytest.fixture
def band():
    return 0.5, 100.0


@pytest.fixture(scope="module")
def everything():
    """Fit once, and compute all trials together."""
    return {
        size: (fitted.fit_transform(X), fitted.tokenize(X)) for size, fitted in TRANSFORMERS.items()
    }


@settings(max_examples=25)
@given(
    trials=st.lists(st.integers(0, N_TRIALS - 1), min_size=1, max_size=12),
    size=st.sampled_from(list(TRANSFORMERS)),
)
def test_a_trial_gives_the_same_bits_whatever_trials_come_with_it(everything, trials, size):
    embedding, tokens = everything[size]
    some = TRANSFORMERS[size].tokenize(X[trials])
    assert_array_equal(some.codes, tokens.codes[trials])
    assert_array_equal(some.side, tokens.side[trials])
    assert_array_equal(TRANSFORMERS[size].transform(X[trials]), embedding[trials])


def test_codes_do_not_depend_on_the_batch_size(everything):
    for _, tokens in everything.values():
        assert_array_equal(tokens.codes, everything["auto"][1].codes)


def test_more_channels_than_a_pass_takes_are_coded_alike(monkeypatch):
    names = [f"E{i}" for i in range(70)]
    many = np.random.default_rng(1).normal(0, 20, (2, 70, 100))
    fitted = make(ch_names=names).fit(many)
    tokens = fitted.tokenize(many)
    assert_array_equal(
        tokens.codes[:, 64:],
        make(ch_names=names[64:]).fit(many[:, 64:]).tokenize(many[:, 64:]).codes,
    )
    seen = []
    encode = fitted._model("tokenizer").encode

    def count(x):
        seen.append(x.shape[0] * x.shape[1])
        return encode(x)

    monkeypatch.setattr(fitted._model("tokenizer"), "encode", count)
    for size in ("auto", 2):
        fitted.set_params(batch_size=size).tokenize(many)
    assert max(seen) == 64
    assert sum(seen) == 2 * 140
    restored = fitted.detokenize(tokens).get_data()
    monkeypatch.setattr(fast, "_SERIES", {"cpu": 7})
    assert_allclose(fitted.detokenize(tokens).get_data(), restored, atol=1e-10)


@pytest.mark.parametrize(("n_patches", "expected"), [(1, 64), (125, 64), (250, 32), (10**6, 1)])
def test_long_windows_come_in_smaller_passes(n_patches, expected):
    assert fast.series_per_pass(n_patches, "cpu") == expected


@pytest.fixture
def study(make_epochs):
    """Trials of three subjects whose classes differ in frequency over C4, labels, groups."""
    epochs = make_epochs(n_trials=24, n_times=250, sfreq=250.0)
    labels = np.where(epochs.metadata["label"] == 1, "left", "rest")
    data = epochs.get_data(copy=False)
    data[labels == "left", 2] += 3e-4 * np.sin(2 * np.pi * 40 * epochs.times)
    return epochs, labels, epochs.metadata["subject"].to_numpy()


def classifier(**parameters):
    given = {"pool": "time", "combine": "concatenate"} | parameters
    transformer = BioCodecTransformer(TINY, **given)
    return make_pipeline(transformer, StandardScaler(), LogisticRegression())


@pytest.mark.parametrize("scaling", ["trial", "fit"])
def test_epochs_are_cross_validated_over_subjects(study, scaling):
    epochs, labels, subjects = study
    settings = dict(groups=subjects, cv=GroupKFold(3), error_score="raise")
    scores = cross_val_score(classifier(scaling=scaling), epochs, labels, **settings)
    assert scores.mean() > 0.8
    if scaling == "trial":  # nothing is learned from the trials
        embedded = classifier()[0].fit_transform(epochs)
        head = make_pipeline(StandardScaler(), LogisticRegression())
        assert_array_equal(scores, cross_val_score(head, embedded, labels, **settings))


def test_levels_and_scaling_are_searched(study):
    epochs, labels, subjects = study
    grid = {
        "biocodectransformer__levels": [None, [1, 2]],
        "biocodectransformer__scaling": ["trial", "fit"],
    }
    search = GridSearchCV(classifier(), grid, cv=GroupKFold(3), error_score="raise")
    search.fit(epochs, labels, groups=subjects)
    assert len(search.cv_results_["params"]) == 4
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert search.predict(epochs).shape == labels.shape


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")  # MNE's own
@pytest.mark.parametrize("scaling", ["trial", "fit"])
def test_epochs_that_are_not_loaded_are_read_in_batches(study, tmp_path, scaling):
    epochs, *_ = study
    epochs.events[:, 0] = 1000 * np.arange(24)  # read_epochs wants them in order
    file = tmp_path / "study-epo.fif"
    epochs.save(file, fmt="double", verbose="error")
    lazy = mne.read_epochs(file, preload=False, verbose="error")
    found = BioCodecTransformer(TINY, scaling=scaling, batch_size=1).fit(lazy)
    expected = BioCodecTransformer(TINY, scaling=scaling, batch_size=1).fit(epochs)
    assert_array_equal(found.tokenize(lazy).codes, expected.tokenize(epochs).codes)
    assert not lazy.preload


def test_a_list_of_single_trials_is_the_epochs(study):
    epochs, *_ = study
    singles = [epochs[i] for i in range(len(epochs))]
    fitted = BioCodecTransformer(TINY).fit(singles)
    assert_array_equal(fitted.transform(singles), fitted.transform(epochs))
    assert_array_equal(
        fitted.reconstruct(singles).get_data(), fitted.reconstruct(epochs).get_data()
    )


@pytest.mark.parametrize("scaling", ["trial", "fit"])
def test_a_copy_by_pickle_does_the_same(scaling):
    fitted = make(scaling=scaling, levels=[1]).fit(X)
    copy = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(copy.transform(X), fitted.transform(X))
    assert copy.tokenize(X) == fitted.tokenize(X)


def test_a_clone_has_the_parameters_and_nothing_learned():
    fitted = make(scaling="fit", levels=[1]).fit(X)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert vars(copy).keys() == set(copy.get_params())


def test_columns_are_named_in_a_table():
    fitted = make(pool="time").set_output(transform="pandas").fit(X)
    table = fitted.transform(X)
    assert list(table.columns[:2]) == ["a_vector_0", "a_vector_1"]
    assert table.shape == (N_TRIALS, 3 * 16)


def test_the_model_is_left_on_the_cpu_and_unchanged():
    fitted = make().fit(X)
    before = {
        name: value.clone() for name, value in fitted._model("tokenizer").state_dict().items()
    }
    fitted.reconstruct(X)
    after = fitted._model("tokenizer").state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {value.device.type for value in after.values()} == {"cpu"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_accelerator_gives_the_results_of_the_cpu(everything):
    fitted = make(device="cuda").fit(X)
    agreement = fitted.tokenize(X).codes == everything["auto"][1].codes
    assert agreement.mean() > 0.999
    assert_allclose(fitted.transform(X), everything["auto"][0], atol=1e-2)
