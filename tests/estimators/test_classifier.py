# License: BSD-3-Clause
"""The classifier: labels, containers, weights, validation, and what each mode trains."""

from __future__ import annotations

import warnings

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from optional_library import import_or_skip
from scipy.special import softmax
from sklearn.base import clone
from skorch.callbacks import Callback

from mne_neurorvq import (
    NeuroRVQClassifier,
    NeuroRVQRegressor,
    NeuroRVQTransformer,
    load_pretrained,
)
from mne_neurorvq.encoding import passes
from mne_neurorvq.models import NeuroRVQ

TINY = "neurorvq-eeg-tiny-random"
NAMES = ["C3", "Cz", "C4", "Pz"]


class Watch(Callback):
    """Keep what the net was given; a copy of it keeps it in the same place."""

    def __init__(self):
        self.batches, self.rates, self.sets = [], [], []

    def __deepcopy__(self, memo):
        other = Watch()
        other.__dict__ = self.__dict__
        return other

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.sets.append((dataset_train, dataset_valid))

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        if training:
            self.batches.append(len(batch[0]))
            self.rates.append([group["lr"] for group in net.optimizer_.param_groups])


def make(**parameters):
    settings = {"finetune": "head", "max_epochs": 2, "batch_size": 8, "lr": 5e-3}
    settings |= {"head": "mean", "random_state": 0, "ch_names": NAMES, "sfreq": 200.0}
    return NeuroRVQClassifier(TINY, **(settings | parameters))


@pytest.fixture
def study(make_epochs):
    """Trials of three subjects whose classes differ in amplitude over C4; labels; subjects."""
    epochs = make_epochs(n_trials=12, n_times=200, sfreq=200.0)
    y = np.where(epochs.metadata["label"] == 1, "left", "rest")
    epochs.get_data(copy=False)[y == "left", 2] *= 4
    return epochs, y, epochs.metadata["subject"].to_numpy()


@pytest.fixture
def X(study):
    return 1e6 * study[0].get_data(copy=True)


def test_the_head_sees_all_features_by_default_and_their_mean_as_published(study):
    epochs, y, _ = study
    for kind in (NeuroRVQClassifier, NeuroRVQRegressor):
        assert kind().head == "flatten"
        published = kind.published(TINY, random_state=0)
        assert published.get_params() == kind(TINY, head="mean", random_state=0).get_params()
        assert (published.max_epochs, published.batch_size, published.lr) == (20, 32, 5e-4)
        assert (published.finetune, published.warmup_epochs) == ("full", 4)
        assert clone(published).get_params() == published.get_params()
    quick = {"finetune": "head", "max_epochs": 1, "random_state": 0}
    fitted = NeuroRVQClassifier.published(TINY, **quick).fit(epochs, y)
    expected = NeuroRVQClassifier(TINY, head="mean", **quick).fit(epochs, y)
    assert_array_equal(fitted.predict_proba(epochs), expected.predict_proba(epochs))
    n_features = len(fitted.ch_names_) * fitted.segmentation_.n_patches * 800
    fitted = NeuroRVQClassifier(TINY, **quick).fit(epochs, y)
    assert fitted.n_trainable_parameters_ == 2 * n_features + 2 * n_features + 2


@pytest.mark.parametrize("finetune", ["head", "full", "lora"])
def test_it_learns_what_tells_the_classes_apart(study, finetune):
    epochs, y, _ = study
    settings = {"finetune": finetune, "max_epochs": 12, "lr": 1e-2, "layer_decay": 1.0}
    fitted = make(**settings).fit(epochs, y)
    assert fitted.score(epochs, y) == 1
    losses = [row["train_loss"] for row in fitted.history_]
    assert losses[-1] < 0.5 * losses[0]


LABELS = {
    "strings": ["rest", "left"],
    "one and two": [1, 2],
    "negative": [-5, 3],
    "booleans": [True, False],
    "objects": np.array(["rest", "left"], dtype=object),
    "small integers": np.array([200, 7], dtype=np.uint8),
    "whole floats": [1.0, 4.0],
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("container", [np.asarray, list, pd.Series], ids=lambda c: c.__name__)
def test_labels_of_any_kind_come_back_as_they_were(X, study, kind, container):
    names = np.asarray(LABELS[kind])
    y = names[(study[1] == "left").astype(int)]
    fitted = make(max_epochs=8, lr=2e-2).fit(X, container(y))
    assert_array_equal(fitted.classes_, np.unique(names))
    assert fitted.classes_.dtype == fitted.predict(X).dtype
    if container is np.asarray:
        assert fitted.classes_.dtype == names.dtype
    assert_array_equal(fitted.predict(X), y)
    assert fitted.score(X, container(y)) == 1


def test_probabilities_and_logits_are_in_the_order_of_the_classes(X, study):
    y = (study[1] == "left").astype(int)
    three = np.array(["b", "c", "a"])[np.where(np.arange(12) < 4, 2, y)]
    fitted = make(max_epochs=30, lr=1e-2).fit(X, three)
    logits, probabilities = fitted.decision_function(X), fitted.predict_proba(X)
    assert list(fitted.classes_) == ["a", "b", "c"]
    assert logits.shape == probabilities.shape == (12, 3)
    assert_allclose(probabilities.sum(1), 1, rtol=0, atol=1e-12)
    assert_allclose(softmax(logits, axis=1), probabilities)
    assert_array_equal(fitted.classes_[logits.argmax(1)], fitted.predict(X))
    assert fitted.score(X, three) > 0.9  # a wrong order would be wrong nearly everywhere

    two = make(max_epochs=30, lr=1e-2).fit(X, study[1])
    margin = two.decision_function(X)
    assert margin.shape == (12,)
    assert_array_equal(two.predict(X), two.classes_[(margin > 0).astype(int)])
    assert_allclose(1 / (1 + np.exp(-margin)), two.predict_proba(X)[:, 1])


@pytest.mark.parametrize("finetune", ["head", "full"])
def test_whatever_holds_the_trials_the_predictions_are_the_same(study, X, finetune):
    epochs, y, _ = study
    settings = {"finetune": finetune, "batch_size": 5}
    expected = make(**settings).fit(epochs, y).predict_proba(epochs)
    singles = [epochs[i] for i in range(12)]
    for trials in (singles, [epochs[:5], epochs[5:]], X, X.tolist()):
        fitted = make(**settings).fit(trials, y)
        assert_array_equal(fitted.predict_proba(trials), expected)
        assert_array_equal(fitted.predict_proba(epochs), expected)
    in_volts = epochs.get_data(copy=True)
    volts = make(**settings, unit="V").fit(in_volts, y)
    assert_array_equal(volts.predict_proba(in_volts), expected)


def test_windows_of_braindecode_are_the_epochs(study):
    import_or_skip("braindecode")
    from braindecode.datasets import BaseConcatDataset, RawDataset
    from braindecode.preprocessing import create_windows_from_events

    epochs, y, _ = study
    raw = mne.io.RawArray(
        np.concatenate(list(epochs.get_data(copy=True)), axis=-1), epochs.info, verbose="error"
    )
    raw.set_annotations(mne.Annotations(np.arange(12.0), 1.0, y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # braindecode's own
        windows = create_windows_from_events(
            BaseConcatDataset([RawDataset(raw, {"subject": 1})]),
            mapping={"left": 0, "rest": 1},
            preload=True,
            verbose="error",
        )
    # One batch: single precision may order the trials otherwise.
    expected = make(batch_size=12).fit(epochs, y).predict_proba(epochs)
    for dataset in (windows, windows.datasets[0]):
        fitted = make(batch_size=12).fit(dataset, y)
        assert_allclose(fitted.predict_proba(dataset), expected, atol=1e-4)
    assert expected.std() > 0.01


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")  # MNE's own
def test_epochs_that_are_not_loaded_are_read_in_batches(study, tmp_path, monkeypatch):
    epochs, y, _ = study
    epochs.events[:, 0] = 1000 * np.arange(12)  # read_epochs wants them in order
    epochs.save(tmp_path / "study-epo.fif", verbose="error")
    monkeypatch.setattr("mne_neurorvq.estimators.finetuned._TRIALS_PER_READ", 5)
    lazy = mne.read_epochs(tmp_path / "study-epo.fif", preload=False, verbose="error")
    loaded = mne.read_epochs(tmp_path / "study-epo.fif", verbose="error")
    fitted = make(finetune="full").fit(lazy, y)
    assert not lazy.preload
    expected = make(finetune="full").fit(loaded, y).predict_proba(loaded)
    assert_array_equal(fitted.predict_proba(lazy), expected)


@pytest.mark.parametrize("finetune", ["head", "full"])
def test_trials_beyond_memory_lie_in_a_scratch_file(study, monkeypatch, finetune):
    epochs, y, _ = study
    expected = make(finetune=finetune).fit(epochs, y).predict_proba(epochs)
    watch = Watch()
    monkeypatch.setattr(passes, "_IN_MEMORY", 1000)
    fitted = make(finetune=finetune, callbacks=[watch]).fit(epochs, y)
    assert isinstance(watch.sets[0][0].signals, np.memmap)
    assert_array_equal(fitted.predict_proba(epochs), expected)


def test_gathering_keeps_order_dtype_and_shape(monkeypatch):
    parts = np.split(np.arange(24, dtype=np.float32).reshape(6, 2, 2), [1, 4])
    in_memory = passes.gather(iter(parts), 6)
    monkeypatch.setattr(passes, "_IN_MEMORY", in_memory.nbytes - 1)
    in_file = passes.gather(iter(parts), 6)
    assert not isinstance(in_memory, np.memmap)
    assert isinstance(in_file, np.memmap)
    for found in (in_memory, in_file):
        assert found.dtype == np.float32
        assert_array_equal(found, np.concatenate(parts))


@pytest.mark.parametrize("finetune", ["head", "full"])
def test_a_weight_of_two_is_a_trial_given_twice_and_zero_one_left_out(X, study, finetune):
    y = study[1]
    weights = np.array([2, 1, 0, 1, 3, 1, 1, 0, 1, 1, 2, 1])
    repeated = np.repeat(np.arange(12), weights)
    settings = {"finetune": finetune, "batch_size": 4}
    weighted = make(**settings).fit(X, y, sample_weight=weights)
    assert_array_equal(
        weighted.predict_proba(X), make(**settings).fit(X[repeated], y[repeated]).predict_proba(X)
    )
    plain = make(**settings).fit(X, y).predict_proba(X)
    assert not np.allclose(weighted.predict_proba(X), plain)
    ones = make(**settings).fit(X, y, sample_weight=np.ones(12))
    assert_array_equal(ones.predict_proba(X), plain)


def test_the_order_of_the_trials_does_not_matter(X, study):
    order = np.random.default_rng(3).permutation(12)
    expected = make(batch_size=5).fit(X, study[1]).predict_proba(X)
    assert_array_equal(make(batch_size=5).fit(X[order], study[1][order]).predict_proba(X), expected)


def weights_of_classes(fitted_on, y):
    """Weight of each label among the trials that a net was trained on."""
    dataset = fitted_on.sets[0][0]
    labels = np.unique(y)[dataset.targets[dataset.picks]]
    return {str(name): set(dataset.weights[labels == name].round(6)) for name in np.unique(y)}


def test_classes_are_balanced_over_the_training_trials_alone(X):
    y = np.array(["a"] * 5 + ["b"] * 7)
    groups = np.array([0, 0, 0, 1, 1] + [0] + [1] * 6)
    watch = Watch()
    make(callbacks=[watch], validation_groups=[1]).fit(X, y, groups=groups)
    # Three of a and one of b are trained on: 4 / (2 * 3) and 4 / (2 * 1).
    assert weights_of_classes(watch, y) == {"a": {np.float32(0.666667)}, "b": {np.float32(2.0)}}
    watched = watch.sets[0][1]
    of_class = np.where(watched.targets[watched.picks] == 0, 2 / 3, 2.0)
    assert_allclose(watched.weights, of_class / of_class.mean(), rtol=1e-6)


@pytest.mark.parametrize(
    ("class_weight", "expected"),
    [
        ("balanced", {"a": 12 / (2 * 5), "b": 12 / (2 * 7)}),
        (None, {"a": 1.0, "b": 1.0}),
        ({"a": 3.0, "b": 0.5}, {"a": 3.0 / 18.5 * 12, "b": 0.5 / 18.5 * 12}),  # one in the mean
    ],
)
def test_classes_weigh_as_asked(X, class_weight, expected):
    y = np.array(["a"] * 5 + ["b"] * 7)
    watch = Watch()
    make(callbacks=[watch], class_weight=class_weight).fit(X, y)
    for name, weights in weights_of_classes(watch, y).items():
        assert list(weights) == [pytest.approx(expected[name], abs=1e-5)]


def test_balance_counts_weights_not_trials(X, study):
    y = study[1]
    weights = np.where(y == "left", 3.0, 1.0)
    watch = Watch()
    make(callbacks=[watch]).fit(X, y, sample_weight=weights)
    dataset = watch.sets[0][0]
    totals = [dataset.weights[dataset.targets[dataset.picks] == k].sum() for k in (0, 1)]
    assert totals[0] == pytest.approx(totals[1])


@pytest.mark.parametrize("how", [{"validation_fraction": 0.3}, {"validation_groups": ["sub-1"]}])
def test_no_subject_is_both_trained_on_and_watched(study, how):
    epochs, y, subjects = study
    watch = Watch()
    fitted = make(callbacks=[watch], **how).fit(epochs, y, groups=subjects)
    training, watched = watch.sets[0]
    assert not set(subjects[training.picks]) & set(subjects[watched.picks])
    assert len(training) + len(watched) == len(epochs)
    assert len(set(subjects[watched.picks])) == 1
    if "validation_groups" in how:
        assert set(subjects[watched.picks]) == {"sub-1"}
    keys = {"epoch", "train_loss", "valid_loss", "valid_balanced_accuracy", "seconds"}
    assert all(set(row) == keys for row in fitted.history_)
    assert all(training is sets[0] and watched is sets[1] for sets in watch.sets)


def test_the_watched_loss_is_that_of_the_predictions(study):
    epochs, y, subjects = study
    fitted = make(max_epochs=1, validation_groups=["sub-1"], class_weight=None)
    fitted.fit(epochs, y, groups=subjects)
    probabilities = fitted.predict_proba(epochs)[subjects == "sub-1"]
    truth = np.searchsorted(fitted.classes_, y[subjects == "sub-1"])
    expected = -np.log(probabilities[np.arange(len(truth)), truth]).mean()
    assert fitted.history_[0]["valid_loss"] == pytest.approx(expected, rel=1e-5)
    accuracy = np.mean([np.mean(probabilities.argmax(1)[truth == k] == k) for k in (0, 1)])
    assert fitted.history_[0]["valid_balanced_accuracy"] == pytest.approx(accuracy)


def test_early_stopping_takes_the_weights_of_the_lowest_watched_loss(study):
    epochs, y, subjects = study
    y = np.where(subjects == "sub-1", np.roll(y, 1), y)  # what is learned is wrong there
    settings = {"validation_groups": ["sub-1"], "lr": 2e-2, "warmup_epochs": 2}
    settings |= {"max_epochs": 9, "class_weight": None}
    stopped = make(early_stopping=3, **settings).fit(epochs, y, groups=subjects)
    losses = [row["valid_loss"] for row in stopped.history_]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 3 < 9
    probabilities = stopped.predict_proba(epochs)[subjects == "sub-1"]
    truth = np.searchsorted(stopped.classes_, y[subjects == "sub-1"])
    found = -np.log(probabilities[np.arange(len(truth)), truth]).mean()
    assert found == pytest.approx(losses[best], rel=1e-5)
    last = make(**settings).fit(epochs, y, groups=subjects)
    assert len(last.history_) == 9
    assert_allclose(last.history_[len(losses) - 1]["valid_loss"], losses[-1])


@pytest.mark.parametrize(("patience", "expected"), [(True, 6), (2, 3)])
def test_early_stopping_waits_as_long_as_asked(study, patience, expected):
    epochs, y, subjects = study
    wrong = np.where(subjects == "sub-1", np.where(y == "left", "rest", "left"), y)
    settings = {"validation_groups": ["sub-1"], "lr": 0.05, "max_epochs": 12, "warmup_epochs": 0}
    fitted = make(early_stopping=patience, layer_decay=1.0, **settings)
    fitted.fit(epochs, wrong, groups=subjects)
    best = int(np.argmin([row["valid_loss"] for row in fitted.history_]))
    assert len(fitted.history_) == best + expected


def test_a_label_that_no_watched_trial_has_is_left_out_of_the_accuracy(study):
    epochs, y, subjects = study
    y = np.where((y == "left") & (subjects == "sub-1"), "rest", y)
    fitted = make(validation_groups=["sub-1"]).fit(epochs, y, groups=subjects)
    predicted = fitted.predict(epochs[subjects == "sub-1"])
    assert fitted.history_[-1]["valid_balanced_accuracy"] == np.mean(predicted == "rest")


def test_the_last_batch_is_used_however_small(X, study):
    watch = Watch()
    make(callbacks=[watch], batch_size=5, max_epochs=2).fit(X, study[1])
    assert watch.batches == [5, 5, 2, 5, 5, 2]
    small = Watch()
    make(callbacks=[small], batch_size=32, max_epochs=1).fit(X, study[1])
    assert small.batches == [12]


@pytest.mark.parametrize("finetune", ["head", "full", "lora"])
def test_every_tensor_is_trained_at_its_rate(X, study, finetune):
    watch = Watch()
    settings = {"finetune": finetune, "batch_size": 5, "max_epochs": 3, "warmup_epochs": 1}
    fitted = make(**settings, lr=1e-3, layer_decay=0.9, callbacks=[watch]).fit(X, study[1])
    groups = [group for group in fitted.net_.optimizer_.param_groups if group["params"]]
    # Three steps up to the full rate, six down to a tenth of it.
    factors = [0.1, 0.4, 0.7, 1.0, 0.85, 0.7, 0.55, 0.4, 0.25]
    peaks = np.array([group["initial_lr"] for group in fitted.net_.optimizer_.param_groups])
    assert_allclose(watch.rates, np.outer(factors, peaks), rtol=1e-6)
    assert {group["weight_decay"] for group in groups} == {0.01}
    if finetune == "lora":  # the adapters are gone; the last four are the head's
        groups = [group for group in groups if len(group["params"]) == 1]
        found = [group["initial_lr"] for group in groups]
        expected = [1e-3 * 0.9 ** (12 - i) for i in range(8)] + [1e-3] * 4
    else:
        rates = {id(group["params"][0]): group["initial_lr"] for group in groups}
        trained = list(fitted.net_.module_.named_parameters())
        if finetune == "head":
            trained = trained[-4:]
        found = [rates[id(parameter)] for _, parameter in trained]
        below = len(trained) - 4
        expected = [1e-3 * 0.9 ** (len(trained) - i) for i in range(below)] + [1e-3] * 4
        assert [name.split(".")[0] for name, _ in trained[below:]] == ["final_layer"] * 4
    assert_allclose(found, expected)


def test_a_frozen_model_is_run_once_and_stays_as_it_was(X, study, monkeypatch):
    trials = []
    forward = NeuroRVQ.forward

    def count(self, x, *args, **kwargs):
        trials.append(len(x))
        return forward(self, x, *args, **kwargs)

    monkeypatch.setattr(NeuroRVQ, "forward", count)
    counts = []
    for max_epochs in (1, 4):
        trials.clear()
        fitted = make(max_epochs=max_epochs, validation_fraction=0.3).fit(X, study[1])
        counts.append(list(trials))
    assert counts[0] == counts[1]
    before = load_pretrained(TINY).foundation.encoder.state_dict()
    for name, value in fitted.net_.module_.foundation.encoder.state_dict().items():
        assert_array_equal(value, before[name], err_msg=name)
    assert fitted.n_trainable_parameters_ == 2 * 800 + 2 * 800 + 2


def test_full_changes_every_tensor(X, study):
    fitted = make(finetune="full").fit(X, study[1])
    before = load_pretrained(TINY).foundation.encoder.state_dict()
    for name, value in fitted.net_.module_.foundation.encoder.state_dict().items():
        assert not torch.equal(value, before[name]), name
    total = sum(value.numel() for value in before.values()) + 2 * 800 + 2 * 800 + 2
    assert fitted.n_trainable_parameters_ == total


def long_trials(n_times=5000):
    """Trials of 25 seconds of 13 channels: 325 tokens, more than a segment holds."""
    rng = np.random.default_rng(0)
    names = "Fz F3 F4 Cz C3 C4 Pz P3 P4 Oz O1 O2 FCz".split()
    return 20 * rng.standard_normal((3, 13, n_times)), np.array([0, 1, 1]), names


@pytest.mark.parametrize("n_times", [5000, 4100])
@pytest.mark.parametrize(("head", "pool"), [("mean", "mean"), ("flatten", "none")])
def test_the_head_sees_the_features_of_the_transformer_over_all_segments(n_times, head, pool):
    X, y, names = long_trials(n_times)
    watch = Watch()
    fitted = make(head=head, ch_names=names, callbacks=[watch], max_epochs=1).fit(X, y)
    assert len(fitted.segmentation_.segments) > 1
    expected = NeuroRVQTransformer(TINY, pool=pool, ch_names=names, sfreq=200.0).fit_transform(X)
    found = watch.sets[0][0].signals
    assert found.shape == expected.shape
    assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    trained, frozen = (
        make(head=head, ch_names=names, finetune=mode, max_epochs=1, lr=1e-12).fit(X, y)
        for mode in ("full", "head")
    )
    assert_allclose(trained.predict_proba(X), frozen.predict_proba(X), rtol=1e-4)


@pytest.mark.parametrize("finetune", ["head", "full"])
def test_a_refit_with_another_montage_length_and_classes_is_a_fresh_fit(make_epochs, X, finetune):
    other = make_epochs(n_trials=9, n_times=420, sfreq=160.0, ch_names=("Pz", "C3", "Cz"))
    labels = np.tile(["a", "b", "c"], 3)
    again = make(finetune=finetune, head="flatten").fit(X, np.tile([1, 2], 6)).fit(other, labels)
    fresh = make(finetune=finetune, head="flatten").fit(other, labels)
    assert_array_equal(again.predict_proba(other), fresh.predict_proba(other))
    assert vars(again).keys() == vars(fresh).keys()
    assert again.ch_names_ == ("Pz", "C3", "Cz")
    assert list(again.classes_) == ["a", "b", "c"]
    assert again.segmentation_ == fresh.segmentation_
    assert again.channel_report_ == fresh.channel_report_
    assert again.n_features_in_ == 3


@pytest.mark.parametrize("finetune", ["head", "full", "lora"])
def test_predictions_do_not_depend_on_the_other_trials(study, finetune):
    epochs, y, _ = study
    fitted = make(finetune=finetune, max_epochs=1).fit(epochs, y)
    together = fitted.decision_function(epochs)
    alone = [fitted.decision_function(epochs[i])[0] for i in (0, 5, 11)]
    assert_array_equal(alone, together[[0, 5, 11]])
    assert_array_equal(fitted.decision_function(epochs[::-1]), together[::-1])


def test_another_rate_of_the_same_duration_is_resampled(study):
    epochs, y, _ = study
    fitted = make().fit(epochs, y)
    faster = epochs.copy().resample(400.0, verbose="error")
    assert_allclose(fitted.predict_proba(faster), fitted.predict_proba(epochs), atol=0.05)


def test_bfloat16_runs_on_a_cpu_and_is_close(study):
    epochs, y, _ = study
    for finetune in ("head", "full"):
        # One batch: trials that are encoded in another precision may come in another order.
        settings = {"finetune": finetune, "max_epochs": 3, "batch_size": 12}
        exact = make(**settings).fit(epochs, y)
        rough = make(**settings, precision="bf16").fit(epochs, y)
        losses = [fitted.history_[0]["train_loss"] for fitted in (rough, exact)]
        assert losses[0] != losses[1] == pytest.approx(losses[0], abs=0.01)
        found, expected = rough.decision_function(epochs), exact.decision_function(epochs)
        assert found.dtype == np.float64
        assert np.abs(found - expected).max() > 0
        assert_allclose(found, expected, atol=0.05)


def test_a_regressor_predicts_in_the_unit_of_its_targets(X):
    strength = X[:, 2].std(axis=1)
    y = 1000 + 50 * strength
    settings = {"finetune": "head", "max_epochs": 60, "lr": 1e-2, "random_state": 0}
    fitted = NeuroRVQRegressor(TINY, **settings, ch_names=NAMES, sfreq=200.0).fit(X, y)
    assert fitted.score(X, y) > 0.6
    shifted = NeuroRVQRegressor(TINY, **settings, ch_names=NAMES, sfreq=200.0).fit(X, 0.01 * y - 7)
    assert_allclose(shifted.predict(X), 0.01 * fitted.predict(X) - 7, rtol=1e-3)
    weights = (np.arange(12) > 2).astype(float)
    left_out = NeuroRVQRegressor(TINY, **settings, ch_names=NAMES, sfreq=200.0)
    expected = left_out.fit(X[3:], y[3:]).predict(X)
    assert_array_equal(left_out.fit(X, y, sample_weight=weights).predict(X), expected)


def test_a_regressor_watches_the_squared_error_of_standardised_targets(study):
    epochs, _, subjects = study
    y = epochs.get_data(copy=False)[:, 2].std(axis=1) * 1e6
    fitted = NeuroRVQRegressor(
        TINY, finetune="head", max_epochs=1, validation_groups=["sub-2"], random_state=0
    ).fit(epochs, y, groups=subjects)
    watched = subjects == "sub-2"
    errors = (fitted.predict(epochs)[watched] - y[watched]) / y[~watched].std()
    assert set(fitted.history_[0]) == {"epoch", "train_loss", "valid_loss", "seconds"}
    assert fitted.history_[0]["valid_loss"] == pytest.approx(np.mean(errors**2), rel=1e-4)


def test_a_regressor_of_equal_targets_predicts_them(X):
    fitted = NeuroRVQRegressor(
        TINY, finetune="head", max_epochs=1, ch_names=NAMES, sfreq=200.0, random_state=0
    )
    assert_allclose(fitted.fit(X, np.full(12, 5.0)).predict(X), 5, atol=2)
