# License: BSD-3-Clause
"""In braindecode: its classifier trains the foundation model from loaded weights."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path
from pkgutil import resolve_name
from textwrap import dedent
from types import SimpleNamespace

import mne
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from optional_library import import_or_skip
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_validate
from skorch.callbacks import Callback, Freezer
from skorch.helper import SliceDataset
from torch import nn

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import NeuroRVQ

braindecode = import_or_skip("braindecode")
from braindecode.datasets import BaseConcatDataset, RawDataset  # noqa: E402
from braindecode.preprocessing import create_windows_from_events  # noqa: E402

# braindecode's own.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")

CHANNELS = ["C3", "Cz", "C4"]
SFREQ, N_TIMES, N_TRIALS = 200.0, 200, 12
INFO = {
    "module__chs_info": [{"ch_name": name} for name in CHANNELS],
    "module__sfreq": SFREQ,
}


@pytest.fixture(scope="module")
def foundation():
    """The smallest model; not to be changed."""
    return load_pretrained("neurorvq-eeg-tiny-random").require("foundation")


@pytest.fixture(scope="module")
def trials():
    """Microvolts and labels: the second kind of trial has a rhythm over C4."""
    rng = np.random.default_rng(0)
    y = np.arange(N_TRIALS) % 2
    X = 20 * rng.standard_normal((N_TRIALS, len(CHANNELS), N_TIMES))
    X[:, 2] += 40 * y[:, None] * np.sin(2 * np.pi * 10 * np.arange(N_TIMES) / SFREQ)
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def epochs(trials):
    return make_epochs(trials[0])


def make_epochs(microvolts, sfreq=SFREQ, ch_names=CHANNELS):
    info = mne.create_info(list(ch_names), sfreq, "eeg", verbose="error")
    return mne.EpochsArray(1e-6 * microvolts.astype(float), info, verbose="error")


@pytest.fixture(scope="module")
def windows(trials):
    """A dataset of one recording that holds the trials one after the other, in microvolts."""
    X, y = trials
    info = mne.create_info(CHANNELS, SFREQ, "eeg", verbose="error")
    raw = mne.io.RawArray(np.concatenate(X, axis=1).astype(float), info, verbose="error")
    onsets = N_TIMES / SFREQ * np.arange(N_TRIALS)
    raw.set_annotations(mne.Annotations(onsets, N_TIMES / SFREQ, np.array(["rest", "hand"])[y]))
    return create_windows_from_events(
        BaseConcatDataset([RawDataset(raw, description={"subject": 1})]),
        mapping={"rest": 0, "hand": 1},
        use_mne_epochs=True,
        preload=True,
        verbose="error",
    )


def classifier(foundation, **parameters):
    return braindecode.EEGClassifier(
        NeuroRVQ,
        **{
            "module__pretrained": foundation,
            "optimizer": torch.optim.AdamW,
            "lr": 1e-3,
            "max_epochs": 3,
            "batch_size": 4,
            "train_split": None,
            "verbose": 0,
            **parameters,
        },
    )


def fitted(net, X, y=None):
    torch.manual_seed(0)
    return net.fit(X, y)


def weights_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def on_an_array(foundation, trials):
    """A fitted classifier; not to be changed."""
    return fitted(classifier(foundation, **INFO), *trials)


def test_it_learns_from_an_array(foundation, trials, on_an_array):
    X, y = trials
    probabilities = on_an_array.predict_proba(X)
    assert probabilities.shape == (N_TRIALS, 2)
    assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert_array_equal(on_an_array.predict(X), y)
    torch.manual_seed(0)
    untrained = classifier(foundation, **INFO, module__n_outputs=2).initialize()
    assert np.abs(untrained.predict_proba(X) - probabilities).max() > 0.1


def test_epochs_in_volts_are_the_array_in_microvolts(foundation, trials, epochs, on_an_array):
    X, y = trials
    net = fitted(classifier(foundation), epochs, y)
    assert_allclose(net.predict_proba(epochs), on_an_array.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("part", [False, True], ids=["BaseConcatDataset", "WindowsDataset"])
def test_windows_in_microvolts_are_the_array(foundation, trials, windows, on_an_array, part):
    dataset = windows.datasets[0] if part else windows
    net = fitted(classifier(foundation, **INFO), dataset)
    assert_allclose(net.predict_proba(dataset), on_an_array.predict_proba(trials[0]), atol=1e-4)


def test_windows_are_split_by_scikit_learn_as_a_slice_dataset(foundation, trials, windows):
    X, y = SliceDataset(windows, idx=0), windows.get_metadata()["target"].to_numpy()
    assert_array_equal(y, trials[1])
    net = classifier(foundation, **INFO)
    torch.manual_seed(0)
    scores = cross_validate(net, X, y, cv=3, error_score="raise")["test_score"]
    torch.manual_seed(0)
    assert_allclose(cross_validate(net, trials[0], y, cv=3)["test_score"], scores)


def test_the_rate_and_the_channels_of_epochs_are_checked(foundation, trials, epochs):
    X, y = trials
    net = fitted(classifier(foundation, max_epochs=1), epochs, y)
    assert net.module_.n_times == N_TIMES
    rows = [foundation.config.channels.index(name.lower()) for name in CHANNELS]
    assert net.module_._channel_ids.tolist() == rows
    with pytest.raises(ValueError, match=r"sfreq=250\.0 but the model works at 200\.0 Hz"):
        classifier(foundation).fit(make_epochs(X, sfreq=250.0), y)
    with pytest.raises(ValueError, match=r"\['E12'\] are not in the eeg vocabulary of 104"):
        classifier(foundation).fit(make_epochs(X, ch_names=["C3", "E12", "C4"]), y)
    with pytest.raises(ValueError, match="n_times=199 must be a multiple of the patch size 200"):
        classifier(foundation).fit(make_epochs(X[..., :-1]), y)


def test_an_array_needs_the_names_of_its_channels(foundation, trials):
    X, y = trials
    with pytest.raises(ValueError, match="the channels are unknown: give chs_info"):
        classifier(foundation).fit(X, y)
    with pytest.raises(ValueError, match="n_chans=2 but chs_info describes 3 channels"):
        classifier(foundation, **INFO).fit(X[:, :2], y)
    with pytest.raises(ValueError, match=r"sfreq=250\.0 but the model works at 200\.0 Hz"):
        classifier(foundation, **{**INFO, "module__sfreq": 250.0}).fit(X, y)


def test_a_name_is_no_model(trials):
    with pytest.raises(TypeError, match=r"got str: give load_pretrained\('neurorvq-eeg-small'\)"):
        classifier("neurorvq-eeg-small", **INFO).fit(*trials)


class RememberStart(Callback):
    """Keep the weights that training starts from."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.start_ = weights_of(net.module_.encoder)


def start_of(net):
    return dict(net.callbacks_)["RememberStart"].start_


def test_every_fold_starts_from_the_pretrained_weights_and_goes_its_own_way(foundation, trials):
    X, y = trials
    pretrained = weights_of(foundation)
    net = classifier(foundation, **INFO, max_epochs=2, callbacks=[RememberStart()])
    torch.manual_seed(0)
    folds = cross_validate(
        net,
        X,
        y,
        groups=np.arange(N_TRIALS) // 4,
        cv=GroupKFold(3),
        scoring="balanced_accuracy",
        return_estimator=True,
        error_score="raise",
    )
    encoders = [weights_of(fold.module_.encoder) for fold in folds["estimator"]]
    wanted = weights_of(foundation.encoder)
    assert all(same(start_of(fold), wanted) for fold in folds["estimator"])
    assert not any(same(encoder, wanted) for encoder in encoders)
    assert not same(encoders[0], encoders[1])
    assert same(weights_of(foundation), pretrained)


def test_a_second_fit_starts_from_the_pretrained_weights_again(foundation, trials):
    net = classifier(foundation, **INFO, max_epochs=1, callbacks=[RememberStart()])
    before = weights_of(foundation.encoder)
    first = fitted(net, *trials).predict_proba(trials[0])
    second = fitted(net, *trials).predict_proba(trials[0])
    assert same(start_of(net), before)
    assert same(weights_of(foundation.encoder), before)
    assert_array_equal(first, second)


def test_a_frozen_trunk_stays_and_the_head_learns(foundation, trials):
    X, y = trials
    net = classifier(foundation, **INFO, module__n_outputs=2, callbacks=[Freezer("encoder.*")])
    torch.manual_seed(0)
    head = weights_of(net.initialize().module_.final_layer)
    net = fitted(net, X, y)
    assert same(weights_of(net.module_.encoder), weights_of(foundation.encoder))
    trained = weights_of(net.module_.final_layer)
    assert not any(torch.equal(head[name], trained[name]) for name in head)
    trainable = {n for n, p in net.module_.named_parameters() if p.requires_grad}
    assert {name.partition(".")[0] for name in trainable} == {"final_layer"}
    # The model that was given is as trainable as before, for the next classifier.
    assert all(p.requires_grad for p in foundation.parameters())


def test_without_a_freezer_every_weight_that_the_output_needs_learns(foundation, on_an_array):
    start, end = weights_of(foundation.encoder), weights_of(on_an_array.module_.encoder)
    assert not [name for name in start if torch.equal(start[name], end[name])]


def test_a_clone_has_weights_of_its_own(foundation, trials, on_an_array):
    copy = clone(on_an_array)
    theirs = copy.get_params()["module__pretrained"]
    assert theirs is not foundation
    assert same(weights_of(theirs), weights_of(foundation))
    assert_array_equal(
        fitted(copy, *trials).predict_proba(trials[0]), on_an_array.predict_proba(trials[0])
    )


def test_other_weights_can_be_set(foundation, trials):
    net = fitted(classifier(foundation, **INFO, max_epochs=1), *trials)
    other = NeuroRVQ(config=foundation.config)
    net.set_params(module__pretrained=other, callbacks=[RememberStart()])
    fitted(net, *trials)
    assert same(start_of(net), weights_of(other.encoder))


def test_a_fitted_classifier_pickles(trials, on_an_array):
    loaded = pickle.loads(pickle.dumps(on_an_array))
    assert_array_equal(loaded.predict_proba(trials[0]), on_an_array.predict_proba(trials[0]))


def benchmark(model_cls, model_kwargs, checkpoint_path, peft_target_modules, **_):
    """What open-eeg-bench 0.6 does with a model before it trains: other windows, another head."""
    data = {"n_chans": 3, "n_times": 500, "sfreq": 100.0, "n_outputs": 4}
    channels = [{"ch_name": name, "kind": 2} for name in ("Fz", "Pz", "Oz")]
    model = resolve_name(model_cls)(**model_kwargs, **data, chs_info=channels)
    state, own = torch.load(checkpoint_path), model.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    missing = model.load_state_dict(fitting, strict=False).missing_keys
    assert all(name.startswith("final_layer.") for name in missing)
    ends = {name.split(".")[-1] for name, _ in model.named_modules()}
    assert set(peft_target_modules) <= ends
    model.final_layer = nn.Sequential(nn.Flatten(1), nn.LazyLinear(4))
    assert model(torch.zeros(1, 3, 500)).shape == (1, 4)


# Its data have half of the band, and three electrodes make no average.
@pytest.mark.filterwarnings("ignore:Signals at 100 Hz", "ignore:The model was made for the ref")
def test_the_code_of_the_documentation_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "open_eeg_bench", SimpleNamespace(benchmark=benchmark))
    text = (Path(__file__).parents[2] / "doc" / "libraries.rst").read_text(encoding="utf-8")
    text = text[text.index("\nbraindecode\n---") : text.index("\ntorch.export and ONNX\n---")]
    blocks = re.findall(r"code-block:: python\n\n((?:   .*\n|\n)+)", text)
    assert len(blocks) == 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(dedent(block), names)
    net = names["classifier"]
    loaded = net.get_params()["module__pretrained"]
    assert same(weights_of(net.module_.encoder), weights_of(loaded.encoder))
    assert net.predict_proba(names["X"]).shape == (16, 2)
