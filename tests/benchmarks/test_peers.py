# License: BSD-3-Clause
"""Networks of braindecode and CSP as classifiers of Epochs."""

from __future__ import annotations

import pickle
import subprocess
import sys

import mne
import numpy as np
import pytest
import torch
from optional_library import import_or_skip
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_val_score

from mne_neurorvq.benchmarks import BraindecodeClassifier, csp_lda

import_or_skip("braindecode")

CHANNELS = ["C3", "Cz", "C4", "P3", "Pz", "P4"]
SFREQ, SECONDS = 100.0, 2.0
NETWORKS = ("EEGNet", "ShallowFBCSPNet")


@pytest.fixture(autouse=True)
def _quiet():
    with mne.utils.use_log_level("error"):
        yield


def _epochs(n_trials=60, seed=0, frequency=11.0):
    """Noise with a rhythm over the left or the right hemisphere, and the side."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(SFREQ * SECONDS)) / SFREQ
    y = np.array(["left", "right"])[rng.permutation(np.arange(n_trials) % 2)]
    phases = rng.uniform(0, 2 * np.pi, (n_trials, 1))
    rhythm = np.sin(2 * np.pi * frequency * times + phases)
    data = 10 * rng.standard_normal((n_trials, len(CHANNELS), len(times)))
    data[:, 0] += 12 * (y == "left")[:, None] * rhythm
    data[:, 2] += 12 * (y == "right")[:, None] * rhythm
    info = mne.create_info(CHANNELS, SFREQ, "eeg")
    return mne.EpochsArray(1e-6 * data, info, verbose="error"), y


def _network(module="EEGNet", **parameters):
    usual = {"sfreq": SFREQ, "max_epochs": 1, "random_state": 0, "device": "cpu"}
    return BraindecodeClassifier(module, **usual | parameters)


@pytest.fixture(scope="module")
def data():
    return _epochs()


@pytest.fixture(scope="module")
def fitted(data):
    return _network().fit(*data)


# ---- what they learn


def test_csp_and_lda_tell_the_side_of_a_rhythm(data):
    test = _epochs(seed=1)
    assert csp_lda(4).fit(*data).score(*test) > 0.9
    outside = _epochs(frequency=4.0), _epochs(frequency=4.0, seed=1)
    # The band-pass leaves nothing of a rhythm below it.
    assert csp_lda(4).fit(*outside[0]).score(*outside[1]) < 0.75
    assert csp_lda(4, l_freq=2.0, h_freq=8.0).fit(*outside[0]).score(*outside[1]) > 0.9


@pytest.mark.parametrize("module", NETWORKS)
def test_a_network_tells_the_side_of_a_rhythm(module):
    model = _network(module, max_epochs=20, batch_size=16).fit(*_epochs(120))
    assert model.score(*_epochs(seed=1)) > 0.8


@pytest.mark.parametrize("labels", [["left", "right"], [1, 2], [False, True], [7, 3]], ids=str)
@pytest.mark.parametrize("make", [_network, csp_lda], ids=["network", "csp"])
def test_labels_may_be_anything(make, labels, data):
    epochs, y = data
    coded = np.where(y == "left", *labels)
    model = make().fit(epochs, coded)
    np.testing.assert_array_equal(model.classes_, np.unique(coded))
    predicted = model.predict(epochs)
    assert predicted.dtype == coded.dtype
    assert set(predicted.tolist()) <= set(labels)
    probabilities = model.predict_proba(epochs)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.classes_[probabilities.argmax(axis=1)], predicted)


@pytest.mark.parametrize("make", [_network, csp_lda], ids=["network", "csp"])
def test_scikit_learn_may_split_epochs_into_a_list(make, data):
    subjects = np.repeat(list("abc"), 20)
    scores = cross_val_score(make(), *data, groups=subjects, cv=GroupKFold(3))
    assert scores.shape == (3,)


# ---- what goes into a network


def test_test_trials_take_no_part_in_the_standardisation(data, fitted):
    epochs, _ = data
    loud = epochs.copy().apply_function(lambda signal: 100 * signal + 1e-3, verbose="error")
    both = mne.concatenate_epochs([epochs[:5], loud[5:]], verbose="error")
    np.testing.assert_allclose(
        fitted.predict_proba(both)[:5], fitted.predict_proba(epochs[:5]), rtol=1e-5
    )
    alone = fitted.predict_proba(epochs[:1].apply_function(lambda signal: 2 * signal))
    assert not np.array_equal(alone, fitted.predict_proba(epochs[:1]))


def test_a_network_reads_each_channel_by_its_mean_and_deviation_in_training(data):
    epochs, y = data
    gains = np.array([1, 2, 5, 0.1, 30, 1])[:, None]
    other = mne.EpochsArray(gains * (epochs.get_data() + 1e-5), epochs.info, verbose="error")
    plain = _network(batch_size=60).fit(epochs, y).predict_proba(epochs)
    scaled = _network(batch_size=60).fit(other, y).predict_proba(other)
    np.testing.assert_allclose(scaled, plain, rtol=1e-3)


def test_trials_are_resampled(data):
    model = _network(sfreq=128.0).fit(*data)
    assert model.net_.module_.n_times == 256
    assert model.net_.module_.n_chans == len(CHANNELS)


def test_bad_channels_are_left_out(data):
    epochs, y = data
    epochs = epochs.copy()
    epochs.info["bads"] = ["Pz"]
    for model in (_network(), csp_lda(2)):
        fitted = model.fit(epochs, y)
        names = (fitted if isinstance(fitted, BraindecodeClassifier) else fitted[0]).ch_names_
        assert names == ("C3", "Cz", "C4", "P3", "P4")


# ---- how it is trained


def test_the_last_incomplete_batch_is_used(data):
    history = _network(batch_size=32).fit(*data).net_.history
    assert [batch["train_batch_size"] for batch in history[0, "batches"]] == [32, 28]
    few = _network(batch_size=100, max_epochs=2).fit(*data).net_.history
    assert len(few) == 2
    assert len(few[0, "batches"]) == 1


def test_classes_weigh_the_same_unless_told_otherwise(data):
    epochs, y = data
    few = np.concatenate([np.flatnonzero(y == "left"), np.flatnonzero(y == "right")[:10]])
    weights = _network().fit(epochs[few], y[few]).net_.criterion_.weight
    np.testing.assert_allclose(weights, [40 / 60, 40 / 20], rtol=1e-6)
    plain = _network(class_weight=None).fit(epochs[few], y[few]).net_.criterion_.weight
    np.testing.assert_array_equal(plain, [1, 1])


@pytest.mark.parametrize(("module", "lr"), [("EEGNet", 1e-3), ("ShallowFBCSPNet", 6.25e-4)])
def test_the_learning_rate_is_the_published_one_and_falls_along_a_cosine(module, lr, data):
    rates = []

    class Watched(BraindecodeClassifier):
        def _net(self, weights):
            net = super()._net(weights)
            return net.set_params(callbacks__schedule__event_name="lr")

    rates = Watched(module, sfreq=SFREQ, max_epochs=4).fit(*data).net_.history[:, "lr"]
    expected = lr * (1 + np.cos(np.pi * np.arange(4) / 4)) / 2
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert _network(module, lr=0.5).fit(*data).net_.lr == 0.5


def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_ones_alone(data):
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    first = _network(batch_size=16).fit(*data).predict_proba(data[0])
    torch.manual_seed(5)
    torch_between = torch.get_rng_state()
    again = _network(batch_size=16).fit(*data).predict_proba(data[0])
    np.testing.assert_array_equal(first, again)
    assert torch.equal(torch.get_rng_state(), torch_between)
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002
    torch.set_rng_state(torch_before)
    other = _network(batch_size=16, random_state=1).fit(*data).predict_proba(data[0])
    assert not np.array_equal(first, other)


def test_the_number_of_parameters_is_that_of_the_network(fitted):
    assert fitted.n_trainable_parameters_ == sum(
        parameter.numel() for parameter in fitted.net_.module_.parameters()
    )
    assert not hasattr(csp_lda()[-1], "n_trainable_parameters_")


def test_fitting_again_forgets_what_was(data, fitted):
    epochs, y = data
    again = clone(fitted).fit(epochs, y).fit(epochs.copy().crop(0, 1.5).pick(CHANNELS[:4]), y)
    assert again.ch_names_ == tuple(CHANNELS[:4])
    assert again.predict(epochs.copy().crop(0, 1.5).pick(CHANNELS[:4])).shape == y.shape


@pytest.mark.parametrize("make", [_network, csp_lda], ids=["network", "csp"])
def test_a_fitted_peer_can_be_pickled(make, data):
    model = make().fit(*data)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))


# ---- bad input


def _flat(epochs):
    return epochs.copy().apply_function(lambda signal: 0 * signal, picks=["P3"])


@pytest.mark.parametrize(
    ("parameters", "change", "error", "message"),
    [
        ({"module": "Deep4Net"}, {}, ValueError, "module='Deep4Net' must be one of EEGNet"),
        ({"device": "nowhere"}, {}, ValueError, "device='nowhere'"),
        ({}, {"y": ["left"] * 60}, ValueError, r"60 entries of 1 class\(es\) for 60 trials"),
        ({}, {"y": ["left", "right"]}, ValueError, r"2 entries of 2 class\(es\) for 60 trials"),
        ({}, {"X": np.zeros((60, 6, 200))}, TypeError, "must be mne.Epochs.* got ndarray"),
        ({}, {"X": []}, TypeError, "got list"),
        ({}, {"X": _flat(_epochs()[0])}, ValueError, "channel 'P3' is flat"),
    ],
)
def test_what_cannot_be_fitted_is_named(parameters, change, error, message, data):
    arguments = dict(zip("Xy", data, strict=True)) | change
    with pytest.raises(error, match=message):
        _network(**parameters).fit(**arguments)


def test_other_channels_or_lengths_than_in_fit_are_named(data, fitted):
    epochs, y = data
    with pytest.raises(ValueError, match="other channels than fit saw: C4, P3, Pz, P4 are missing"):
        fitted.predict(epochs.copy().pick(CHANNELS[:2]))
    with pytest.raises(ValueError, match="151 samples at 100 Hz, but fit saw 200"):
        fitted.predict(epochs.copy().crop(0, 1.5))
    with pytest.raises(ValueError, match="are missing"):
        csp_lda(2).fit(epochs, y).predict(epochs.copy().pick(CHANNELS[:2]))


def test_without_braindecode_the_error_says_what_to_install():
    code = """
import sys
sys.modules["braindecode"] = None
import mne, numpy as np
from mne_neurorvq.benchmarks import BraindecodeClassifier
info = mne.create_info(["C3"], 100.0, "eeg")
epochs = mne.EpochsArray(np.random.default_rng(0).standard_normal((4, 1, 200)), info)
try:
    BraindecodeClassifier().fit(epochs, [0, 1, 0, 1])
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    assert "needs braindecode, which is not installed: python -m pip install" in done.stdout
