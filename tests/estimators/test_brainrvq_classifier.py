# License: BSD-3-Clause
"""BrainRVQ's classifier: what is shared with NeuroRVQ's holds for it, and what is its own."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_val_score
from torch import nn

from mne_neurorvq import BrainRVQClassifier, BrainRVQTransformer, load_estimator, load_pretrained
from mne_neurorvq.estimators import brainrvq_estimators as own_part
from mne_neurorvq.models import BRAINRVQ_EEG, BrainRVQ, WindowModel
from mne_neurorvq.weights import save_pretrained

TINY = "brainrvq-eeg-tiny-random"
NAMES = ["C3", "Cz", "C4", "FP1-F7"]
MODES = ("head", "full", "lora")


def make(pretrained=TINY, **parameters):
    settings = {"finetune": "head", "max_epochs": 2, "batch_size": 8, "lr": 5e-3}
    settings |= {"head": "mean", "random_state": 0, "ch_names": NAMES, "sfreq": 200.0}
    return BrainRVQClassifier(pretrained, **(settings | parameters))


@pytest.fixture
def band():
    return 0.1, 75.0


@pytest.fixture
def X(y):
    """Trials of 1 s whose classes differ in amplitude over C4."""
    trials = np.random.default_rng(0).normal(0, 20, (12, 4, 200))
    trials[y == "left", 2] *= 4
    return trials


@pytest.fixture
def y():
    return np.tile(["rest", "left"], 6)


SUBJECTS = np.repeat(["a", "b", "c"], 4)


def weights_of(fitted):
    return nn.utils.parameters_to_vector(fitted.net_.module_.parameters()).detach().numpy()


@pytest.mark.parametrize("finetune", MODES)
def test_it_learns_what_tells_the_classes_apart(X, y, finetune):
    fitted = make(finetune=finetune, max_epochs=10, layer_decay=1.0).fit(X, y)
    assert fitted.score(X, y) == 1
    losses = [row["train_loss"] for row in fitted.history_]
    assert losses[-1] < 0.5 * losses[0]
    assert isinstance(fitted.net_.module_, WindowModel)
    assert isinstance(fitted.net_.module_.foundation, BrainRVQ)


def test_the_published_recipe_is_that_of_the_released_code():
    recipe = BrainRVQClassifier.published().get_params()
    assert (recipe["head"], BrainRVQClassifier().head) == ("mean", "flatten")
    assert (recipe["max_epochs"], recipe["batch_size"], recipe["lr"]) == (30, 64, 5e-4)
    with torch.device("meta"):
        (block,) = BrainRVQ(config=replace(BRAINRVQ_EEG, depth=1)).encoder.trunk.blocks
    # A factor of 0.9 from each block to the one below.
    assert recipe["layer_decay"] ** len(list(block.parameters())) == pytest.approx(0.9, abs=5e-3)


def test_each_mode_trains_what_it_says(X, y):
    start = load_pretrained(TINY).foundation.state_dict()
    changed = {}
    for finetune in MODES:
        fitted = make(finetune=finetune).fit(X, y)
        found = fitted.net_.module_.foundation.state_dict()
        changed[finetune] = {name for name in found if not torch.equal(found[name], start[name])}
    assert not changed["head"]
    assert {name.split(".")[3] for name in changed["lora"]} == {"0"}
    assert all(".attn." in name or ".mlp." in name for name in changed["lora"])
    assert len(changed["full"]) > 20
    assert not any("masked_tokens" in name for name in found)
    assert make(finetune="head").fit(X, y).n_trainable_parameters_ == 2 * 200 + 2 * 200 + 2


def test_the_head_sees_the_embedding_of_the_transformer(X, y):
    fitted = make().fit(X, y)
    given = {"pool": "mean", "ch_names": NAMES, "sfreq": 200.0}
    embedding = BrainRVQTransformer(TINY, **given).fit_transform(X)
    head = fitted.net_.module_.final_layer
    with torch.inference_mode():
        logits = head(torch.from_numpy(embedding)).numpy()
    assert_allclose(fitted.decision_function(X), logits[:, 1] - logits[:, 0], atol=1e-5)
    assert head[0].eps == 1e-6


@pytest.mark.parametrize("finetune", MODES)
def test_a_seed_gives_the_same_bits_in_threads_and_without(X, y, finetune):
    def fit(seed):
        return make(finetune=finetune, random_state=seed).fit(X, y)

    before = torch.get_rng_state()
    expected = weights_of(fit(0))
    assert_array_equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    found = Parallel(3, prefer="threads")(delayed(fit)(seed) for seed in (0, 0, 1))
    assert_array_equal(weights_of(found[0]), expected)
    assert_array_equal(weights_of(found[1]), expected)
    assert not np.allclose(weights_of(found[2]), expected)


def test_training_skips_blocks_that_the_seed_chooses_and_prediction_none(X, y, tmp_path):
    # The first block is never skipped, and the tiny model has no other.
    config = replace(load_pretrained(TINY).config, depth=3, foundation_drop_path=0.9)
    found = {}
    for drop_path in (0.9, 0.0):
        torch.manual_seed(0)
        model = BrainRVQ(config=replace(config, foundation_drop_path=drop_path))
        folder = save_pretrained(tmp_path / str(drop_path), foundation=model, dtype="float32")
        settings = {"finetune": "full", "max_epochs": 1, "batch_size": 4}
        fitted = found[drop_path] = make(str(folder), **settings).fit(X, y)
        assert_array_equal(fitted.predict_proba(X), fitted.predict_proba(X))
        torch.manual_seed(1)
        threads = Parallel(2, prefer="threads")(
            delayed(make(str(folder), **settings).fit)(X, y) for _ in range(2)
        )
        for again in threads:
            assert_array_equal(weights_of(again), weights_of(fitted))
    assert not np.allclose(weights_of(found[0.9]), weights_of(found[0.0]))


def test_a_weight_of_two_is_a_trial_given_twice_and_order_does_not_matter(X, y):
    weights = np.array([2, 1, 0, 1, 3, 1, 1, 0, 1, 1, 2, 1])
    repeated = np.random.default_rng(0).permutation(np.repeat(np.arange(12), weights))
    weighted = make(finetune="full").fit(X, y, sample_weight=weights)
    assert_array_equal(
        weighted.predict_proba(X),
        make(finetune="full").fit(X[repeated], y[repeated]).predict_proba(X),
    )


def test_a_batch_beyond_memory_is_trained_on_in_parts(X, y, monkeypatch):
    settings = {"finetune": "full", "batch_size": 12, "max_epochs": 1, "warmup_epochs": 0}
    whole = make(**settings).fit(X, y)
    assert whole.net_.trials_per_pass == 2**13 // 4
    monkeypatch.setitem(own_part._PATCHES_PER_PASS, "cpu", 23)
    parts = make(**settings).fit(X, y)
    assert parts.net_.trials_per_pass == 5
    assert_allclose(parts.decision_function(X), whole.decision_function(X), atol=1e-3)
    assert parts.history_[0]["train_loss"] == pytest.approx(whole.history_[0]["train_loss"])


@pytest.mark.parametrize("head", ["mean", "flatten"])
def test_a_saved_and_a_pickled_classifier_predict_the_same_bits(X, y, tmp_path, head):
    fitted = make(finetune="full", head=head, max_epochs=1).fit(X, y)
    expected = fitted.predict_proba(X)
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), expected)
    loaded = load_estimator(fitted.save(tmp_path / "saved"))
    assert type(loaded) is BrainRVQClassifier
    assert loaded.config_ == fitted.config_
    assert loaded.channel_report_ == fitted.channel_report_
    assert_array_equal(loaded.predict_proba(X), expected)
    again = clone(loaded).fit(X, y)
    assert_array_equal(again.predict_proba(X), expected)


def test_windows_beyond_30_s_come_as_several_segments(y, tmp_path):
    long = np.random.default_rng(1).normal(0, 20, (4, 1, 31 * 200 + 100))
    fitted = make(ch_names=["Cz"], max_epochs=1).fit(long, y[:4])
    assert fitted.segmentation_.segments == (16, 16)
    loaded = load_estimator(fitted.save(tmp_path))
    assert_array_equal(loaded.predict_proba(long), fitted.predict_proba(long))
    with pytest.raises(ValueError, match=r"windows of 31 s, but fit saw 31\.5 s"):
        fitted.predict(long[..., : 31 * 200])


def test_epochs_are_cross_validated_over_subjects(make_epochs):
    epochs = make_epochs(n_trials=18, n_times=200, sfreq=200.0)
    y = np.where(epochs.metadata["label"] == 1, "left", "rest")
    epochs.get_data(copy=False)[y == "left"] += 2e-4 * np.sin(0.1 * np.pi * np.arange(200))
    model = make(max_epochs=8, lr=1e-2, ch_names=None, sfreq=None)
    subjects = epochs.metadata["subject"].to_numpy()
    scores = cross_val_score(model, epochs, y, groups=subjects, cv=GroupKFold(3))
    assert scores.shape == (3,)
    assert scores.mean() > 0.8


def test_early_stopping_watches_whole_groups(X, y):
    fitted = make(validation_groups=["b"], early_stopping=1, max_epochs=20, lr=0.05)
    fitted.fit(X, y, groups=SUBJECTS)
    losses = [row["valid_loss"] for row in fitted.history_]
    best = int(np.argmin(losses))
    probabilities = fitted.predict_proba(X)[SUBJECTS == "b"]
    truth = np.searchsorted(fitted.classes_, y[SUBJECTS == "b"])
    found = -np.log(probabilities[np.arange(4), truth]).mean()
    assert found == pytest.approx(losses[best], rel=1e-4)


def test_its_report_tells_what_became_of_each_channel(X, y):
    with pytest.warns(UserWarning, match=r"'FP1-F3' \(bipolar"):
        fitted = make(ch_names=[*NAMES[:3], "FP1-F3"]).fit(X, y)
    assert [match.how for match in fitted.channel_report_] == ["exact"] * 3 + [None]
    assert fitted.ch_names_ == ("C3", "Cz", "C4")
    assert make().fit(X, y).channel_report_[3].target == "fp1-f7"


def test_volts_give_the_predictions_of_microvolts(X, y):
    expected = make().fit(X, y).predict_proba(X)
    assert_allclose(make(unit="V").fit(1e-6 * X, y).predict_proba(1e-6 * X), expected, atol=1e-4)


def test_a_model_of_another_system_is_refused(X, y):
    with pytest.raises(ValueError, match="is a NeuroRVQ model, but BrainRVQClassifier needs"):
        make("neurorvq-eeg-tiny-random").fit(X, y)
