# License: BSD-3-Clause
"""Physiological numbers that a foundation model tells: pooled and named like embeddings."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import save

from mne_neurorvq import (
    BioCodecTransformer,
    BrainRVQTransformer,
    NeuroRVQTransformer,
    load_estimator,
    load_pretrained,
)
from mne_neurorvq.datasets import simulate_epochs
from mne_neurorvq.signals import unit_factor
from mne_neurorvq.training.patch_targets import feature_names
from mne_neurorvq.weights import CheckpointError, save_pretrained
from mne_neurorvq.weights.manifest import every_file, read_together, saving_together
from mne_neurorvq.weights.saving import state_bytes
from mne_neurorvq.weights.target_head import TARGET_COLUMNS, TARGET_HEAD, blank_target_head

NAMES = feature_names(["power", "laplacian_slow"])
KINDS = [
    (NeuroRVQTransformer, "neurorvq-eeg-tiny-random"),
    (BrainRVQTransformer, "brainrvq-eeg-tiny-random"),
]
pytestmark = pytest.mark.filterwarnings("ignore:The Epochs were filtered to")


def _save(folder, name, head=None):
    """Save a tiny model with a target head, given as the bytes of its file or drawn."""
    loaded = load_pretrained(name)
    save_pretrained(folder, loaded.tokenizer, loaded.foundation, dtype="float32")
    if head is None:
        layer = blank_target_head(NAMES, loaded.config)
        generator = torch.Generator().manual_seed(0)
        torch.nn.init.normal_(layer.weight, generator=generator)
        torch.nn.init.normal_(layer.bias, generator=generator)
        head = state_bytes(layer, {TARGET_COLUMNS: json.dumps(NAMES)})
    files = read_together(folder, every_file) | {TARGET_HEAD: head}
    with saving_together(folder) as together:
        for file, content in files.items():
            together.add(file, content)
    return folder


@pytest.fixture(scope="module")
def epochs():
    return simulate_epochs(n_subjects=1, n_trials=4, verbose=False)


@pytest.fixture(scope="module", params=KINDS, ids=["neurorvq", "brainrvq"])
def transformer_and_model(request, tmp_path_factory):
    kind, name = request.param
    return kind, _save(tmp_path_factory.mktemp("models") / "told", name)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return _save(tmp_path_factory.mktemp("models") / "told", KINDS[0][1])


@pytest.mark.parametrize("pool", ["mean", "thirds", "channel", "none"])
def test_the_numbers_are_those_that_the_model_predicts(transformer_and_model, pool, epochs):
    kind, path = transformer_and_model
    found = kind(path, output="physiology", pool=pool).fit_transform(epochs)
    loaded = load_pretrained(path)
    foundation = loaded.foundation
    foundation.target_head = loaded.target_head
    fitted = kind(path).fit(epochs)
    rows = torch.tensor([match.row for match in fitted.channel_report_ if match.used])
    factor = unit_factor("V", loaded.config.unit)
    signals = torch.from_numpy(factor * epochs.get_data()).float()
    with torch.inference_mode():
        predicted = foundation.predict_targets(signals, None, rows).numpy()
    expected = {
        "mean": predicted.mean((1, 2)),
        "channel": predicted.mean(1),
        "none": predicted,
        # Four patches: a third is one and a third of them.
        "thirds": np.einsum(
            "ncpf,tp->nctf",
            predicted,
            np.array([[3, 1, 0, 0], [0, 2, 2, 0], [0, 0, 1, 3]]) / 4,
        ),
    }[pool]
    assert found.dtype == np.float32
    assert_allclose(found, expected.reshape(len(epochs), -1), rtol=1e-3, atol=1e-3)


def test_columns_are_named_by_channel_and_number(model, epochs):
    fitted = NeuroRVQTransformer(model, output="physiology", pool="keep_channels").fit(epochs)
    names = fitted.get_feature_names_out()
    assert len(names) == fitted.transform(epochs).shape[1] == 19 * len(NAMES)
    assert {"C3_power_8-13Hz", "O2_laplacian_slow_second_half"} <= set(names)
    fitted.set_params(pool="thirds")
    assert "C3_third2_power_30-44Hz" in fitted.get_feature_names_out()


def test_a_trial_has_the_same_numbers_whatever_comes_with_it(model, epochs):
    fitted = NeuroRVQTransformer(model, output="physiology", pool="time", memory=None).fit(epochs)
    assert_array_equal(fitted.transform(epochs)[2:3], fitted.transform(epochs[2]))


def test_the_features_behind_them_are_computed_once(model, epochs, tmp_path, monkeypatch):
    embedded = NeuroRVQTransformer(model, memory=tmp_path).fit(epochs)
    embedded.transform(epochs)
    told = NeuroRVQTransformer(model, output="physiology", memory=tmp_path).fit(epochs)
    expected = NeuroRVQTransformer(model, output="physiology", memory=None).fit_transform(epochs)

    def computed_again(*_):
        raise AssertionError("the model was run again")

    monkeypatch.setattr("mne_neurorvq.models.NeuroRVQ.embed_segments", computed_again)
    assert_array_equal(told.transform(epochs), expected)


def test_it_is_saved_and_pickled_with_the_estimator(model, epochs, tmp_path):
    fitted = NeuroRVQTransformer(model, output="physiology", pool="thirds").fit(epochs)
    expected = fitted.transform(epochs)
    for other in (pickle.loads(pickle.dumps(fitted)), load_estimator(fitted.save(tmp_path))):
        assert_array_equal(other.transform(epochs), expected)
        assert_array_equal(other.get_feature_names_out(), fitted.get_feature_names_out())


def test_a_model_without_it_says_so(epochs):
    with pytest.raises(ValueError, match=r"'neurorvq-eeg-tiny-random' has no target_head") as told:
        NeuroRVQTransformer(KINDS[0][1], output="physiology").fit(epochs)
    assert "foundation.targets" in str(told.value)


def test_a_codec_has_no_such_output(epochs):
    with pytest.raises(ValueError, match="output='physiology' must be one of"):
        BioCodecTransformer("biocodec-eeg-tiny-random", output="physiology").fit(epochs)


def test_a_foundation_model_that_is_saved_over_it_has_none(tmp_path, epochs):
    _save(tmp_path, KINDS[0][1])
    loaded = load_pretrained(tmp_path)
    save_pretrained(tmp_path, loaded.tokenizer)
    assert load_pretrained(tmp_path).target_head is not None
    save_pretrained(tmp_path, foundation=loaded.foundation)
    assert load_pretrained(tmp_path).target_head is None


def _head(**changes):
    tensors = {
        "weight": torch.zeros(len(NAMES), 800),
        "bias": torch.zeros(len(NAMES)),
        "mask_token": torch.zeros(200),
    }
    return tensors | changes


@pytest.mark.parametrize(
    ("tensors", "names", "message"),
    [
        (_head(bias=torch.zeros(3)), NAMES, "bias"),
        (_head(bias=torch.full((len(NAMES),), torch.nan)), NAMES, "NaN|finite"),
        (_head(more=torch.zeros(1)), NAMES, "more"),
        (_head(), NAMES[:-1], "weight|bias"),
        (_head(), [NAMES[0]] * len(NAMES), "does not name the numbers"),
        (_head(), 7, "does not name the numbers"),
        (_head(), "abcdefgh", "does not name the numbers"),
    ],
)
def test_a_head_that_is_not_what_it_says_is_refused(tmp_path, tensors, names, message):
    _save(tmp_path, KINDS[0][1], save(tensors, {TARGET_COLUMNS: json.dumps(names)}))
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(tmp_path)
    assert load_pretrained(tmp_path, only="tokenizer").foundation is None


def test_a_head_without_names_is_left_alone(tmp_path):
    _save(tmp_path, KINDS[0][1], save(_head()))
    assert load_pretrained(tmp_path).target_head is None
