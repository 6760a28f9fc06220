# License: BSD-3-Clause
"""The classifier among others: scikit-learn's tools, skorch's callbacks, threads and seeds."""

from __future__ import annotations

import inspect
import io
import pickle
import sys

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    ProgressBar,
)
from torch.optim.lr_scheduler import StepLR

from mne_neurorvq import NeuroRVQClassifier, NeuroRVQRegressor, NeuroRVQTransformer

TINY = "neurorvq-eeg-tiny-random"


def make(kind=NeuroRVQClassifier, **parameters):
    settings = {"finetune": "head", "max_epochs": 6, "batch_size": 8, "lr": 1e-2}
    return kind(TINY, **(settings | {"random_state": 0} | parameters))


@pytest.fixture
def study(make_epochs):
    """Trials of three subjects, one class with a rhythm; labels; subjects."""
    epochs = make_epochs(n_trials=18, n_times=200, sfreq=200.0)
    y = np.where(epochs.metadata["label"] == 1, "left", "rest")
    epochs.get_data(copy=False)[y == "left"] += 2e-4 * np.sin(0.1 * np.pi * np.arange(200))
    return epochs, y, epochs.metadata["subject"].to_numpy()


def test_epochs_are_cross_validated_over_subjects(study):
    epochs, y, subjects = study
    scores = cross_val_score(make(), epochs, y, groups=subjects, cv=GroupKFold(3))
    by_hand = []
    for train, test in GroupKFold(3).split(y, y, subjects):
        by_hand.append(make().fit(epochs[train], y[train]).score(epochs[test], y[test]))
    assert_array_equal(scores, by_hand)
    assert scores.mean() > 0.8


def test_a_clone_has_the_parameters_and_nothing_learned(study):
    epochs, y, _ = study
    fitted = make(class_weight={"left": 2.0, "rest": 1.0}, callbacks=[ProgressBar()]).fit(epochs, y)
    copied = clone(fitted)
    assert vars(copied).keys() == set(fitted.get_params())
    assert_array_equal(
        copied.fit(epochs, y).decision_function(epochs), fitted.decision_function(epochs)
    )


@pytest.mark.parametrize("kind", [NeuroRVQClassifier, NeuroRVQRegressor])
def test_parameters_are_stored_as_they_were_given(kind):
    for name, parameter in inspect.signature(kind).parameters.items():
        value = object()
        assert getattr(kind(**{name: value}), name) is value
        default = getattr(kind(), name)
        assert default is parameter.default
        assert isinstance(default, (str, int, float, bool, type(None)))


def test_a_grid_is_searched_over_subjects(study):
    epochs, y, subjects = study
    grid = {"lr": [1e-9, 1e-2], "head": ["mean", "flatten"]}
    search = GridSearchCV(make(), grid, cv=GroupKFold(3), error_score="raise")
    search.fit(epochs, y, groups=subjects)
    assert search.best_params_["lr"] == 1e-2
    assert search.best_estimator_.n_trainable_parameters_ > 0
    assert search.score(epochs, y) > 0.9


def test_groups_and_weights_are_routed_to_the_classifier(study):
    epochs, y, subjects = study
    weights = 1.0 + np.arange(18) % 3
    with config_context(enable_metadata_routing=True):
        routed = (
            make(validation_fraction=0.5)
            .set_fit_request(sample_weight=True, groups=True)
            .set_score_request(sample_weight=True)
        )
        found = cross_validate(
            routed,
            epochs,
            y,
            cv=GroupKFold(3),
            params={"groups": subjects, "sample_weight": weights},
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
    for i, fitted in enumerate(found["estimator"]):
        train, test = found["indices"]["train"][i], found["indices"]["test"][i]
        expected = make(validation_fraction=0.5)
        expected.fit(epochs[train], y[train], sample_weight=weights[train], groups=subjects[train])
        assert_array_equal(fitted.decision_function(epochs), expected.decision_function(epochs))
        assert "valid_loss" in fitted.history_[0]
        score = fitted.score(epochs[test], y[test], sample_weight=weights[test])
        assert found["test_score"][i] == score


def test_a_pipeline_hands_groups_on(study):
    epochs, y, subjects = study
    with config_context(enable_metadata_routing=True):
        last = make(validation_groups=["sub-1"]).set_fit_request(groups=True)
        pipeline = make_pipeline("passthrough", last)
        pipeline.fit(epochs, y, groups=subjects)
    assert "valid_loss" in pipeline[-1].history_[0]
    assert pipeline.score(epochs, y) > 0.8


def test_its_probabilities_are_calibrated(study):
    epochs, y, _ = study
    calibrated = CalibratedClassifierCV(make(), cv=3).fit(epochs, y)
    assert_allclose(calibrated.predict_proba(epochs).sum(1), 1)
    assert calibrated.score(epochs, y) > 0.8


def test_it_is_stacked(study):
    epochs, y, _ = study
    stack = StackingClassifier(
        [
            ("tuned", make()),
            ("frozen", make_pipeline(NeuroRVQTransformer(TINY), LogisticRegression(max_iter=500))),
        ],
        cv=3,
    )
    stack.fit(epochs, y)
    assert stack.score(epochs, y) > 0.8


@pytest.mark.parametrize("finetune", ["head", "full", "lora"])
def test_a_seed_gives_the_same_bits_in_threads_and_without(study, finetune):
    epochs, y, subjects = study
    settings = {"finetune": finetune, "max_epochs": 2, "batch_size": 5}

    def predict(n_jobs):
        with config_context():
            folds = GroupKFold(3).split(y, y, subjects)
            return Parallel(n_jobs, prefer="threads")(
                delayed(lambda train: make(**settings).fit(epochs[train], y[train]))(train)
                for train, _ in folds
            )

    first, second, third = predict(1), predict(1), predict(3)
    for one, two, threaded in zip(first, second, third, strict=True):
        expected = one.decision_function(epochs)
        assert_array_equal(two.decision_function(epochs), expected)
        assert_array_equal(threaded.decision_function(epochs), expected)
        losses = [row["train_loss"] for row in one.history_]
        assert [row["train_loss"] for row in two.history_] == losses


def test_the_seed_chooses_head_order_and_validation(study):
    epochs, y, subjects = study
    outputs = [
        make(random_state=seed, validation_fraction=0.34)
        .fit(epochs, y, groups=subjects)
        .decision_function(epochs)
        for seed in (0, 1, np.random.RandomState(5), None, None)
    ]
    for i, output in enumerate(outputs):
        assert all(not np.allclose(output, other) for other in outputs[:i])


@pytest.mark.parametrize("random_state", [0, None])
@pytest.mark.parametrize("finetune", ["head", "full", "lora"])
def test_the_global_generators_are_left_alone(study, finetune, random_state):
    epochs, y, _ = study
    torch.manual_seed(4)
    np.random.seed(4)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fitted = make(finetune=finetune, max_epochs=1, random_state=random_state)
    fitted.fit(epochs, y).predict(epochs)
    assert_array_equal(torch.get_rng_state(), before[0])
    assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@pytest.mark.parametrize("finetune", ["head", "full", "lora"])
def test_the_global_generators_have_no_say(study, finetune):
    epochs, y, _ = study
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        fitted = make(finetune=finetune, max_epochs=2, validation_fraction=0.3).fit(epochs, y)
        found.append(fitted.decision_function(epochs))
    assert_array_equal(*found)


def test_gradients_are_left_on(study):
    epochs, y, _ = study
    make(max_epochs=1).fit(epochs, y).predict(epochs)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


class LargestGradient(Callback):
    """Record the norm of the gradients of each epoch's last step."""

    def on_grad_computed(self, net, named_parameters, **kwargs):
        norms = [p.grad.norm() for _, p in named_parameters if p.grad is not None]
        net.history.record("gradient", float(torch.stack(norms).norm()))


def test_gradients_are_clipped(study):
    epochs, y, _ = study
    free = make(callbacks=[LargestGradient()]).fit(epochs, y)
    clipped = make(callbacks=[GradientNormClipping(0.01), LargestGradient()]).fit(epochs, y)
    assert max(row["gradient"] for row in free.history_) > 0.02
    assert max(row["gradient"] for row in clipped.history_) <= 0.0101
    assert not np.allclose(free.decision_function(epochs), clipped.decision_function(epochs))


def test_a_checkpoint_writes_the_best_weights(study, tmp_path):
    epochs, y, subjects = study
    checkpoint = Checkpoint(
        monitor="valid_loss_best", dirname=str(tmp_path / "best"), f_optimizer=None, f_pickle=None
    )
    fitted = make(callbacks=[checkpoint], validation_groups=["sub-1"])
    fitted.fit(epochs, y, groups=subjects)
    assert (tmp_path / "best" / "params.pt").exists()
    assert {"train_loss", "valid_loss", "event_cp"} < set(fitted.history_[0])
    assert fitted.history_[0]["event_cp"] is True
    saved = torch.load(tmp_path / "best" / "params.pt", weights_only=True)
    names = dict(fitted.net_.module_.named_parameters())
    assert {name: tensor.shape for name, tensor in saved.items()} == {
        name: names[name].shape for name in names if name.startswith("final_layer.")
    }


def test_a_progress_bar_is_drawn(study, capsys):
    epochs, y, _ = study
    make(callbacks=[ProgressBar(detect_notebook=False)], max_epochs=1).fit(epochs, y)
    assert "it/s" in capsys.readouterr().err
    make(max_epochs=1).fit(epochs, y)
    silent = capsys.readouterr()
    assert silent.out == silent.err == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("verbose", "shown"), [(None, True), (False, False)])
def test_a_long_training_shows_a_bar_in_a_terminal(study, monkeypatch, verbose, shown):
    epochs, y, _ = study
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("mne_neurorvq.encoding.passes._PATIENCE", 1e-9)
    monkeypatch.delenv("CI", raising=False)
    fitted = make(verbose=verbose, max_epochs=3, finetune="full", batch_size=4).fit(epochs, y)
    n_steps = 3 * -(-len(y) // 4)
    assert (f"{n_steps}/{n_steps}" in terminal.getvalue()) is shown
    assert ("step" in terminal.getvalue()) is shown
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(epochs), fitted.predict(epochs))


def test_verbose_prints_a_line_for_each_epoch(study, capsys):
    epochs, y, _ = study
    make(verbose=True, max_epochs=2).fit(epochs, y)
    printed = capsys.readouterr().out
    assert "train_loss" in printed
    assert len([line for line in printed.splitlines() if line.strip()[:1] in "12"]) >= 2
    silent = make(verbose=False, max_epochs=4, early_stopping=1, validation_fraction=0.3)
    silent.fit(epochs, y).predict(epochs)
    assert capsys.readouterr() == ("", "")


def area_under_curve(net, X, y):
    return roc_auc_score(y, net.predict_proba(X)[:, 1])


def test_a_score_of_scikit_learn_is_watched_and_stops_training(study):
    epochs, y, subjects = study
    callbacks = [
        EpochScoring(area_under_curve, lower_is_better=False, name="auc"),
        ("stop", EarlyStopping("auc", lower_is_better=False, patience=2)),
    ]
    fitted = make(callbacks=callbacks, validation_groups=["sub-2"], max_epochs=20)
    fitted.fit(epochs, y, groups=subjects)
    scores = [row["auc"] for row in fitted.history_]
    assert all(0 <= score <= 1 for score in scores)
    assert len(scores) == int(np.argmax(scores)) + 1 + 2 < 20


def test_callbacks_are_copied(study):
    epochs, y, _ = study
    mine = EpochScoring("accuracy", on_train=True, lower_is_better=False, name="mine")
    fitted = make(callbacks=[mine])
    fitted.fit(epochs, y).fit(epochs, y)
    assert fitted.callbacks == [mine]
    assert vars(mine).keys() == vars(EpochScoring("accuracy")).keys()
    assert len(fitted.history_) == 6


def test_a_freezer_freezes_by_the_documented_prefix(study):
    epochs, y, _ = study
    settings = {"finetune": "full", "max_epochs": 2, "lr": 1e-3}
    freezer = Freezer("foundation.encoder.*")
    frozen = make(callbacks=[freezer], **settings).fit(epochs, y)
    plain = NeuroRVQTransformer(TINY, pool="none").fit_transform(epochs)
    found = frozen.net_.module_.pooled(
        torch.tensor(1e6 * epochs.get_data(copy=True), dtype=torch.float32)
    )
    assert_allclose(found.detach(), plain, rtol=0, atol=1e-4 * np.abs(plain).max())


def test_another_schedule_multiplies(study):
    epochs, y, _ = study
    halved = LRScheduler(StepLR, step_size=1, gamma=1e-12)
    settings = {"max_epochs": 3, "warmup_epochs": 0}
    stopped = make(callbacks=[("mine", halved)], **settings).fit(epochs, y)
    assert len(stopped.history_) == 3


def test_it_predicts_what_cross_validation_collects(study):
    epochs, y, subjects = study
    settings = {"groups": subjects, "cv": GroupKFold(3), "method": "decision_function"}
    found = cross_val_predict(make(), epochs, y, **settings)
    array = make(ch_names=epochs.ch_names, sfreq=200.0)
    X = 1e6 * epochs.get_data(copy=True)
    assert_array_equal(found, cross_val_predict(array, X, y, **settings))
