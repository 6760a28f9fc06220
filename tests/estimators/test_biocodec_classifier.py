# License: BSD-3-Clause
"""BioCodec's classifier: what it learns, from what, how it is watched, copied and saved."""

from __future__ import annotations

import json
import pickle

import mne
import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from skorch.callbacks import Callback
from torch.nn import functional as F

from mne_neurorvq import (
    BioCodecClassifier,
    BioCodecTransformer,
    NeuroRVQClassifier,
    load_estimator,
    load_pretrained,
)
from mne_neurorvq.estimators import biocodec_estimators as under_test

TINY = "biocodec-eeg-tiny-random"
N = 18
RATE = 250.0


def make(pretrained=TINY, **parameters):
    given = {"ch_names": ["left", "right"], "sfreq": RATE, "random_state": 0, "max_epochs": 2}
    return BioCodecClassifier(pretrained, **(given | parameters))


@pytest.fixture
def band():
    return 0.5, 100.0


@pytest.fixture(scope="module")
def y():
    return np.tile(["slow", "fast"], N // 2)


@pytest.fixture(scope="module")
def X(y):
    """Noise of 5 microvolts on rhythms of 4 or 30 Hz."""
    hertz = np.where(y == "slow", 4, 30)[:, None, None]
    rhythms = np.sin(2 * np.pi * hertz * np.arange(250) / RATE) * np.ones((1, 2, 1))
    return 20 * rhythms + np.random.default_rng(0).normal(0, 5, rhythms.shape)


@pytest.fixture(scope="module")
def subjects():
    return np.repeat(["a", "b", "c"], N // 3)


def outputs_of(fitted, X):
    """Logits from the parts: codes of the transformer, then the head."""
    scaling = {"scaling": fitted.scaling, "ch_names": fitted.ch_names, "sfreq": fitted.sfreq}
    codes = BioCodecTransformer(TINY, **scaling).fit(X).tokenize(X).codes
    with torch.inference_mode():
        return fitted.net_.module_(torch.tensor(codes)).numpy()


@pytest.mark.parametrize(("levels", "least"), [(None, 1.0), ([0], 0.85)])
def test_it_learns_to_tell_rhythms_apart(X, y, levels, least):
    fitted = make(levels=levels, max_epochs=20, batch_size=6, lr=4e-3).fit(X, y)
    assert fitted.score(X, y) >= least
    assert fitted.history_[-1]["train_loss"] < 0.9 * fitted.history_[0]["train_loss"]
    assert len(fitted.history_) == 20


def test_the_head_sees_the_codes_of_the_transformer(X, y):
    fitted = make().fit(X, y)
    logits = outputs_of(fitted, X)
    assert_allclose(fitted.decision_function(X), logits[:, 1] - logits[:, 0], atol=1e-5)
    assert_allclose(fitted.predict_proba(X).sum(axis=1), 1)
    assert_array_equal(fitted.predict(X), fitted.classes_[fitted.predict_proba(X).argmax(axis=1)])
    head = fitted.net_.module_
    assert fitted.n_trainable_parameters_ == sum(p.numel() for p in head.parameters())
    assert head.levels == (0, 1, 2)
    assert make(levels=[2, 0]).fit(X, y).net_.module_.levels == (2, 0)


def test_the_codec_is_frozen_and_run_once(X, y, monkeypatch):
    calls = []
    monkeypatch.setattr(
        under_test.BioCodec,
        "encode_segments",
        lambda *a, e=under_test.BioCodec.encode_segments: calls.append(1) or e(*a),
    )
    fitted = make(max_epochs=4).fit(X, y)
    assert len(calls) == 1  # all trials fit into one pass
    state = load_pretrained(TINY).tokenizer.state_dict()
    assert all(torch.equal(fitted._codec.state_dict()[name], state[name]) for name in state)


def test_embeddings_start_from_the_codebooks(X, y):
    fitted = make(lr=1e-12, max_epochs=1).fit(X, y)
    codebook = load_pretrained(TINY).tokenizer.quantizer.codebook[0]
    centred = (codebook - codebook.mean(1, keepdim=True)) / codebook.std(1, keepdim=True)
    expected = centred / centred.norm(dim=-1, keepdim=True)
    assert_allclose(fitted.net_.module_.embedding.detach(), expected, atol=1e-5)


def test_losses_are_smoothed_and_balanced(X, y):
    uneven = np.where(np.arange(N) % 3 == 0, "slow", "fast")
    fitted = make(lr=1e-12, label_smoothing=0.3, validation_groups=["c"]).fit(
        X, uneven, groups=np.repeat(["a", "b", "c"], N // 3)
    )
    watched = np.arange(N) >= 2 * N // 3
    slow = torch.tensor(uneven == "slow")
    weights = torch.where(slow, 1 / slow[~watched].sum(), 1 / (~slow)[~watched].sum())[watched]
    logits = torch.tensor(outputs_of(fitted, X)[watched])
    losses = F.cross_entropy(logits, slow[watched].long(), label_smoothing=0.3, reduction="none")
    expected = (weights * losses).sum() / weights.sum()
    assert fitted.history_[0]["valid_loss"] == pytest.approx(expected.item(), rel=1e-4)
    assert abs(losses.mean() - expected) > 1e-3  # the weights matter


class Recorder(Callback):
    """Keeps the weights after every epoch."""

    def __init__(self):
        self.kept = []

    def on_epoch_end(self, net, **kwargs):
        self.kept.append(
            torch.cat([p.detach().flatten().clone() for p in net.module_.parameters()])
        )


def test_the_epoch_with_the_best_watched_accuracy_is_taken(X, y, subjects):
    fitted = make(
        max_epochs=8, batch_size=4, lr=5e-3, warmup_epochs=0, validation_groups=["b"]
    ).set_params(callbacks=[("recorder", Recorder())])
    fitted.fit(X, y, groups=subjects)
    accuracies = [row["valid_balanced_accuracy"] for row in fitted.history_]
    best = int(np.argmax(accuracies))  # the first of equals
    assert len(accuracies) == 8
    kept = dict(fitted.net_.callbacks_)["recorder"].kept
    taken = torch.cat([p.detach().flatten() for p in fitted.net_.module_.parameters()])
    assert torch.equal(taken, kept[best])
    assert not torch.equal(taken, kept[-1])
    watched = subjects == "b"
    found = balanced_accuracy_score(y[watched], fitted.predict(X[watched]))
    assert found == pytest.approx(accuracies[best])


def test_without_validation_the_last_epoch_is_taken(X, y):
    fitted = make(max_epochs=3).set_params(callbacks=[("recorder", Recorder())]).fit(X, y)
    taken = torch.cat([p.detach().flatten() for p in fitted.net_.module_.parameters()])
    assert torch.equal(taken, dict(fitted.net_.callbacks_)["recorder"].kept[-1])
    assert "valid_loss" not in fitted.history_[0]


@pytest.mark.parametrize("scaling", ["trial", "fit"])
def test_a_weight_of_two_is_a_trial_given_twice_and_zero_one_left_out(X, y, scaling):
    counts = np.random.default_rng(3).integers(0, 3, N)
    weighted = make(scaling=scaling, batch_size=4).fit(X, y, sample_weight=counts)
    repeated = np.repeat(np.arange(N), counts)
    given = make(scaling=scaling, batch_size=4).fit(X[repeated], y[repeated])
    assert_allclose(weighted.decision_function(X), given.decision_function(X), atol=1e-5)
    if scaling == "fit":
        assert_array_equal(weighted.scale_, given.scale_)


def test_the_order_of_the_trials_does_not_matter(X, y):
    order = np.random.default_rng(0).permutation(N)
    one, other = make(batch_size=5).fit(X, y), make(batch_size=5).fit(X[order], y[order])
    assert_array_equal(one.decision_function(X), other.decision_function(X))


def test_a_scale_is_learned_from_the_training_trials_alone(X, y, subjects):
    louder = X.copy()
    louder[subjects == "c"] *= 100
    settings = {"scaling": "fit", "validation_groups": ["c"]}
    fitted = make(**settings).fit(louder, y, groups=subjects)
    kept = X[subjects != "c"].swapaxes(0, 1).reshape(2, -1)
    low, high = np.quantile(kept, (0.25, 0.75), axis=1, method="inverted_cdf")
    assert_array_equal(fitted.scale_, high - low)


def test_gain_does_not_matter_unless_it_is_learned(X, y):
    fitted = make(max_epochs=4).fit(X, y)
    assert_array_equal(fitted.decision_function(2 * X), fitted.decision_function(X))
    learned = make(max_epochs=4, scaling="fit").fit(X, y)
    assert not np.allclose(learned.decision_function(2 * X), learned.decision_function(X))


def test_batches_beyond_memory_are_trained_on_in_parts(X, y, monkeypatch):
    monkeypatch.setattr(under_test, "_PATCHES_PER_PASS", {"cpu": 5 * 2 * 21})
    sizes = []
    forward = under_test.BioCodecHead.forward

    def count(self, codes):
        sizes.append(len(codes))
        return forward(self, codes)

    monkeypatch.setattr(under_test.BioCodecHead, "forward", count)
    fitted = make(max_epochs=1, validation_fraction=0.34).fit(X, y)
    assert max(sizes) == 5
    # A step on 11 trials, then 7 that are watched for loss and for accuracy.
    assert sizes == [5, 5, 1, 5, 2]
    assert fitted.net_.history[0, "batches", 0, "train_batch_size"] == 11


@pytest.mark.parametrize("scaling", ["trial", "fit"])
@pytest.mark.parametrize("combine", ["sum", "concatenate"])
def test_a_saved_classifier_predicts_the_same_bits(X, y, subjects, tmp_path, scaling, combine):
    fitted = make(scaling=scaling, combine=combine, levels=[2, 0], validation_fraction=0.4)
    fitted.fit(X, y, groups=subjects)
    loaded = load_estimator(fitted.save(tmp_path))
    assert isinstance(loaded, BioCodecClassifier)
    assert loaded.get_params() == fitted.get_params()
    assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert_array_equal(loaded.predict(X), fitted.predict(X))
    assert vars(loaded).keys() == vars(fitted).keys()
    for name in ("history_", "n_trainable_parameters_", "channel_report_", "config_"):
        assert getattr(loaded, name) == getattr(fitted, name)
    if scaling == "fit":
        assert_array_equal(loaded.scale_, fitted.scale_)
        assert_array_equal(loaded.centre_, fitted.centre_)
    assert json.loads((tmp_path / "estimator.json").read_text())["class"] == "BioCodecClassifier"


def test_a_copy_by_pickle_predicts_the_same_bits(X, y):
    fitted = make(scaling="fit").fit(X, y)
    copy = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))
    fresh = clone(fitted)
    assert vars(fresh).keys() == set(fresh.get_params())


def test_predictions_do_not_depend_on_the_other_trials(X, y):
    fitted = make().fit(X, y)
    together = fitted.predict_proba(X)
    for trials in ([3], [7, 2], np.arange(N)[::-1]):
        assert_array_equal(fitted.predict_proba(X[trials]), together[trials])


@pytest.fixture
def study(make_epochs):
    """Trials of three subjects whose classes differ in frequency, labels, groups."""
    epochs = make_epochs(n_trials=N, n_times=200, sfreq=200.0)
    labels = np.where(epochs.metadata["label"] == 1, "left", "rest")
    rhythm = 2e-4 * np.sin(2 * np.pi * 40 * epochs.times)
    epochs.get_data(copy=False)[labels == "left"] += rhythm
    return epochs, labels, epochs.metadata["subject"].to_numpy()


def plain(**parameters):
    return make(**({"ch_names": None, "sfreq": None} | parameters))


def test_epochs_are_cross_validated_over_subjects(study):
    epochs, labels, groups = study
    settings = dict(groups=groups, cv=GroupKFold(3), error_score="raise")
    estimator = plain(max_epochs=15, batch_size=6, lr=4e-3)
    assert cross_val_score(estimator, epochs, labels, **settings).mean() > 0.8


def test_levels_are_searched(study):
    epochs, labels, groups = study
    search = GridSearchCV(
        plain(), {"levels": [None, [1]]}, cv=GroupKFold(3), error_score="raise"
    ).fit(epochs, labels, groups=groups)
    assert search.predict(epochs).shape == labels.shape
    assert search.best_params_["levels"] in (None, [1])


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")  # MNE's own
def test_whatever_holds_the_trials_the_predictions_are_the_same(study, tmp_path):
    epochs, labels, _ = study
    expected = plain().fit(epochs, labels).predict_proba(epochs)
    epochs.events[:, 0] = 1000 * np.arange(N)  # read_epochs wants them in order
    epochs.save(tmp_path / "study-epo.fif", fmt="double", verbose="error")
    lazy = mne.read_epochs(tmp_path / "study-epo.fif", preload=False, verbose="error")
    for trials in ([epochs[i] for i in range(N)], lazy):
        found = plain().fit(trials, labels)
        assert_array_equal(found.predict_proba(trials), expected)
    assert not lazy.preload


def test_a_seed_gives_the_same_bits_in_threads_and_without(X, y):
    def fit(seed):
        return make(random_state=seed, batch_size=4).fit(X, y).decision_function(X)

    alone = [fit(seed) for seed in range(3)]
    threaded = Parallel(3, prefer="threads")(delayed(fit)(seed) for seed in range(3))
    assert_array_equal(threaded, alone)
    assert not np.allclose(alone[0], alone[1])


@pytest.mark.parametrize("random_state", [0, None])
def test_the_global_generators_are_left_alone(X, y, random_state):
    torch.manual_seed(4)
    before = torch.get_rng_state()
    make(random_state=random_state).fit(X, y).predict(X)
    assert_array_equal(torch.get_rng_state(), before)


def test_the_global_generators_have_no_say(X, y):
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(make().fit(X, y).decision_function(X))
    assert_array_equal(*found)


def test_the_recipe_is_the_published_one(X, y):
    given = {"ch_names": ["left", "right"], "sfreq": RATE}
    net = BioCodecClassifier(TINY, **given).fit(X, y).net_
    assert isinstance(net.optimizer_, torch.optim.AdamW)
    assert {group["weight_decay"] for group in net.optimizer_.param_groups} == {0.01}
    assert (net.lr, net.max_epochs, net.batch_size) == (1e-3, 20, 128)
    assert len(net.history) == 20
    rates = np.array(net.history[:, "batches", 0, "event_lr"])
    assert rates.max() == pytest.approx(1e-3)
    assert dict(net.callbacks_)["clipping"].gradient_clip_value == 1.0
    assert net.module_.patch_layer.dropout.p == 0.2
    rates = [layer.p for layer in net.module_.modules() if isinstance(layer, torch.nn.Dropout)]
    assert rates.count(0.5) == 2
    assert BioCodecClassifier().class_weight == "balanced"
    assert BioCodecClassifier().warmup_epochs == 4
    assert net.criterion_.loss.keywords == {"label_smoothing": 0.1}


@pytest.mark.parametrize(
    ("parameter", "value", "remedy"),
    [
        ("levels", [3], "different levels of 0..2"),
        ("combine", "concat", "'concatenate', 'sum'"),
        ("scaling", None, "'trial', 'fit'"),
        ("device", "accelerate", "use device='auto'"),
        ("label_smoothing", 1.0, "must be < 1"),
        ("label_smoothing", float("nan"), "must be finite"),
        ("max_epochs", 0, "must be >= 1"),
        ("batch_size", 0, "must be >= 1"),
        ("lr", 0, "must be > 0"),
        ("validation_fraction", 1.5, "between 0 and 1"),
    ],
)
def test_an_impossible_parameter_is_named_with_the_remedy(X, y, parameter, value, remedy):
    with pytest.raises(ValueError, match=parameter) as caught:
        make(**{parameter: value}).fit(X, y)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_fit_comes_first(X, method):
    with pytest.raises(NotFittedError):
        getattr(make(), method)(X)


def test_other_lengths_channels_and_scalings_are_refused_at_prediction(X, y):
    fitted = make().fit(X, y)
    with pytest.raises(ValueError, match=r"windows of 0\.8 s, but fit saw 1 s"):
        fitted.predict(X[..., :200])
    with pytest.raises(ValueError, match="fit again"):
        fitted.set_params(ch_names=["right", "middle"]).predict(X)
    turned = fitted.set_params(ch_names=["right", "left"]).predict_proba(X[:, ::-1])
    assert_array_equal(turned, fitted.set_params(ch_names=["left", "right"]).predict_proba(X))
    with pytest.raises(ValueError, match="scaling='trial', but now it is 'fit'"):
        fitted.set_params(scaling="fit", ch_names=["left", "right"]).predict(X)


@pytest.mark.parametrize("changed", [{"levels": [1]}, {"combine": "sum"}])
def test_another_head_after_fit_is_neither_used_nor_saved(X, y, tmp_path, changed):
    fitted = make().fit(X, y).set_params(**changed)
    with pytest.raises(ValueError, match="fit again"):
        fitted.predict(X)
    with pytest.raises(ValueError, match="fit again"):
        fitted.save(tmp_path)


def test_broken_trials_are_named(X, y):
    broken = X.copy()
    broken[5, 1, 7] = np.nan
    with pytest.raises(ValueError, match=r"Trial 5, channel 'right' contains NaN"):
        make().fit(broken, y)


def test_each_classifier_says_whose_model_it_needs(X, y):
    with pytest.raises(ValueError, match=r"NeuroRVQ model, but BioCodecClassifier needs one of"):
        make("neurorvq-eeg-tiny-random").fit(X, y)
    with pytest.raises(ValueError, match=r"BioCodec model, but NeuroRVQClassifier needs one of"):
        NeuroRVQClassifier(TINY, ch_names=["C3", "C4"], sfreq=RATE).fit(X, y)


def test_a_refit_with_another_montage_length_and_classes_is_a_fresh_fit(X, y):
    fitted = make(scaling="fit").fit(X, y)
    fitted.set_params(ch_names=["one"], scaling="trial")
    labels = np.resize([1, 2, 3], N)
    fitted.fit(X[:, :1, :100], labels)
    fresh = make(ch_names=["one"]).fit(X[:, :1, :100], labels)
    assert vars(fitted).keys() == vars(fresh).keys()
    assert_array_equal(fitted.predict_proba(X[:, :1, :100]), fresh.predict_proba(X[:, :1, :100]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_learns_on_the_accelerator(X, y):
    fitted = make(device="cuda", max_epochs=30, batch_size=6).fit(X, y)
    assert fitted.score(X, y) == 1
    assert {p.device.type for p in fitted.net_.module_.parameters()} == {"cpu"}
