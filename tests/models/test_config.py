# License: BSD-3-Clause
"""Configurations refuse what cannot be built and survive the way through plain data."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mne_neurorvq.models import (
    NEURORVQ_ECG,
    NEURORVQ_EEG,
    NEURORVQ_EMG,
    NEURORVQ_PPG,
    NeuroRVQConfig,
    QuantizerConfig,
)

PRESETS = (NEURORVQ_EEG, NEURORVQ_EMG, NEURORVQ_ECG, NEURORVQ_PPG)


@given(
    preset=st.sampled_from(PRESETS),
    depth=st.integers(1, 20),
    mlp_ratio=st.floats(0.5, 8),
    rule=st.sampled_from(["unit", "euclidean", "gain"]),
    n_codes=st.integers(1, 10_000),
    dead=st.floats(0, 0.99),
)
def test_a_configuration_survives_json(preset, depth, mlp_ratio, rule, n_codes, dead):
    quantizer = replace(preset.quantizer, rule=rule, n_codes=n_codes, dead_code_threshold=dead)
    config = replace(preset, depth=depth, mlp_ratio=mlp_ratio, quantizer=quantizer)
    assert NeuroRVQConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_quantizer_may_be_left_out_of_the_data():
    data = NEURORVQ_EEG.to_dict()
    del data["quantizer"]
    assert NeuroRVQConfig.from_dict(data).quantizer == QuantizerConfig()


@pytest.mark.parametrize("where", ["model", "quantizer"])
def test_an_unknown_setting_is_named(where):
    data = NEURORVQ_EEG.to_dict()
    (data if where == "model" else data["quantizer"])["colour"] = 1
    with pytest.raises(ValueError, match="colour"):
        NeuroRVQConfig.from_dict(data)


def test_a_missing_setting_is_named():
    data = NEURORVQ_EEG.to_dict()
    del data["patch_size"]
    with pytest.raises(ValueError, match="patch_size"):
        NeuroRVQConfig.from_dict(data)


def test_reading_does_not_change_the_data():
    data = NEURORVQ_EMG.to_dict()
    before = json.dumps(data)
    NeuroRVQConfig.from_dict(data)
    assert json.dumps(data) == before


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"decoder_depth": -1}, "decoder_depth"),
        ({"max_patches": 0}, "max_patches"),
        ({"patch_size": 201}, "patch_size=201"),
        ({"n_heads": 7}, "n_heads=7 must divide the embedding width 200"),
        ({"kernels_1": (1, 2, 3)}, r"one width per scale \(4\)"),
        ({"channels": ("cz", "cz")}, "duplicate"),
        ({"quantizer": QuantizerConfig(rule="cosine", input_dim=8)}, "input_dim=None, got 8"),
    ],
)
def test_a_structure_that_cannot_be_built_is_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        replace(NEURORVQ_EEG, **changes)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"n_codes": 0}, "n_codes must be at least 1"),
        ({"n_levels": 0}, "n_levels"),
        ({"rule": "nearest"}, "rule must be one of.*'nearest'"),
        ({"rule": "cosine", "input_dim": 0}, "input_dim must be at least 1"),
        ({"rule": "gain", "input_dim": 8}, "input_dim=8 is for the rule 'cosine', got rule='gain'"),
        ({"decay": 1.0}, "decay must be in"),
        ({"dead_code_threshold": 1.0}, "dead_code_threshold must be in"),
    ],
)
def test_a_quantizer_that_cannot_be_built_is_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        QuantizerConfig(**changes)


def test_a_configuration_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        NEURORVQ_EEG.depth = 3


@pytest.mark.parametrize(("n_codes", "bits"), [(1, 0), (2, 1), (16, 4), (17, 5), (8192, 13)])
def test_bits_of_a_token_are_those_of_its_codes(n_codes, bits):
    assert QuantizerConfig(n_codebooks=4, n_levels=8, n_codes=n_codes).bits_per_token == 32 * bits


def test_the_published_embeddings_are_as_wide_as_a_patch():
    for preset in PRESETS:
        assert preset.embed_dim == preset.patch_size
        assert list(preset.channels) == sorted(preset.channels)
        assert all(name == name.lower() for name in preset.channels)
    assert [preset.patch_seconds for preset in PRESETS] == [1.0, 0.2, 0.2, 0.8]
