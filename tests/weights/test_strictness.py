# License: BSD-3-Clause
"""Weights of another type, and configurations that no file can hold, are refused at once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import BIOCODEC_EEG, BRAINRVQ_EEG, NEURORVQ_EEG
from mne_neurorvq.weights import (
    CheckpointError,
    MismatchError,
    NotACheckpointError,
    to_official_state_dict,
)
from mne_neurorvq.weights.configs import config_from_json, config_to_json

NAMES = ("neurorvq-eeg-tiny-random", "biocodec-eeg-tiny-random", "brainrvq-eeg-tiny-random")


def _state(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@pytest.fixture(params=NAMES)
def model(request):
    loaded = load_pretrained(request.param)
    return loaded.require("tokenizer", loaded.config.system)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "int64", "complex64", "float8_e4m3fn"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_codebooks_that_are_no_floating_point_numbers_are_listed(model, tmp_path, dtype, suffix):
    state = _state(model)
    for name in ("quantizer.codebook", "quantizer.cluster_size"):
        state[name] = state[name].to(getattr(torch, dtype))
    path = tmp_path / f"model{suffix}"
    try:
        torch.save(state, path) if suffix == ".pt" else save_file(state, path)
    except KeyError:
        pytest.skip(f"this version of safetensors has no {dtype}")
    with pytest.raises(MismatchError) as caught:
        load_pretrained(path)
    assert str(path) in str(caught.value)
    assert f"2 tensors of another type: quantizer.codebook ({dtype} instead of floating" in str(
        caught.value
    )


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool])
def test_codebooks_of_the_authors_are_floating_point_too(tiny, tmp_path, dtype):
    state = to_official_state_dict(tiny.tokenizer)
    name = "quantize_2.layers.1.embedding.weight"
    state[name] = state[name].to(dtype)
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(MismatchError, match=rf"another type: {name} \("):
        load_pretrained(tmp_path / "model.pt")


def test_flags_and_counters_are_of_their_kind(model, tmp_path):
    for name, wrong in (("started", torch.tensor(1.0)), ("warmup_left", torch.tensor(0.5))):
        save_file(_state(model) | {f"quantizer.{name}": wrong}, tmp_path / "model.safetensors")
        with pytest.raises(MismatchError, match=rf"another type: quantizer\.{name} \(float32"):
            load_pretrained(tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ["embedding.embed_avg", "embedding.initted", "cluster_size"])
def test_one_value_that_is_no_number_is_found_where_nothing_reads_it(tiny, tmp_path, name):
    state = to_official_state_dict(tiny.tokenizer)
    state[f"quantize_3.layers.0.{name}"].view(-1)[-1] = torch.nan
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(
        CheckpointError, match=rf"model\.pt has NaN.* quantize_3\.layers\.0\.{name}"
    ):
        load_pretrained(tmp_path / "model.pt")


def test_values_beyond_single_precision_are_refused(tiny, tmp_path):
    state = _state(tiny.tokenizer)
    state["encoder.trunk.cls_token"] = torch.full((1, 1, 200), 1e300, dtype=torch.float64)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"infinite values in encoder\.trunk\.cls_token"):
        load_pretrained(tmp_path / "model.safetensors")


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(10**7, 10**6),
        torch.zeros(3).to_sparse(),
        torch.empty(3, device="meta"),
    ],
    ids=["repeated", "sparse", "meta"],
)
def test_tensors_without_numbers_of_their_own_are_refused(tiny, tmp_path, tensor):
    torch.save(_state(tiny.tokenizer) | {"quantizer.codebook": tensor}, tmp_path / "model.pt")
    with pytest.raises(NotACheckpointError, match=r"model\.pt .*(quantizer\.codebook|not loaded)"):
        load_pretrained(tmp_path / "model.pt")


# ---- configurations

HUGE = [
    ({"depth": 10**9}, "depth=1000000000"),
    ({"depth": 10**5}, "depth=100000"),
    ({"decoder_depth": 10**9}, "decoder_depth"),
    ({"quantizer": {"n_levels": 10**9}}, "n_levels"),
    ({"patch_size": 10**30}, "patch_size|config"),
    ({"max_patches": 10**30}, "config"),
    ({"max_patches": 10**9}, "time_embed"),
]


@pytest.fixture(params=["folder", "file", "authors"])
def spoil(request, tiny, tmp_path):
    """Folder of a tokenizer whose configuration says something else than its tensors."""
    state = _state(tiny.tokenizer)
    if request.param == "authors":
        state = to_official_state_dict(tiny.tokenizer)

    def write(changes):
        data = json.loads(config_to_json(tiny.config))
        quantizer = data["config"]["quantizer"] | changes.pop("quantizer", {})
        data["config"] |= changes | {"quantizer": quantizer}
        text = json.dumps(data)
        metadata = {}
        if request.param == "folder":
            metadata = {"mne_neurorvq.config": text, "mne_neurorvq.kind": "tokenizer"}
        save_file(state, tmp_path / "tokenizer.safetensors", metadata=metadata)
        (tmp_path / "config.json").write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(("changes", "match"), HUGE, ids=str)
def test_a_configuration_that_the_tensors_cannot_hold_fails_at_once(spoil, changes, match):
    with pytest.raises(CheckpointError, match=match) as caught:
        load_pretrained(spoil(dict(changes)))
    assert "tokenizer.safetensors" in str(caught.value) or "config.json" in str(caught.value)


IMPOSSIBLE = [
    {"sfreq": 1e308},
    {"sfreq": 10**400},
    {"foundation_layer_scale": 1e308},
    {"modality": "x"},
    {"unit": "x"},
    {"n_heads": 0},
    {"n_groups": 0},
    {"n_groups": 3},
    {"n_filters": -8},
    {"sfreq": 0},
    {"sfreq": float("nan")},
    {"depth": 1.5},
    {"depth": "1"},
    {"depth": True},
    {"depth": None},
    {"mlp_ratio": 0},
    {"mlp_ratio": float("inf")},
    {"kernels_1": 3},
    {"kernels_1": ["a", "b", "c", "d"]},
    {"kernels_1": [0, 1, 2, 3]},
    {"channels": "cz"},
    {"channels": [1, 2]},
    {"channels": [["cz"]]},
    {"quantizer": {"code_dim": 0}},
    {"quantizer": {"decay": "x"}},
    {"quantizer": {"rule": ["unit"]}},
]


@pytest.mark.parametrize("changes", IMPOSSIBLE, ids=str)
def test_a_configuration_that_cannot_be_is_refused_with_the_name_of_its_file(spoil, changes):
    with pytest.raises(CheckpointError, match=r"config\.json|tokenizer\.safetensors"):
        load_pretrained(spoil(dict(changes)))


@pytest.mark.parametrize(
    "text",
    [b"caf\xe9", b"[" * 100_000, b'{"a":' * 100_000, b"[1]", b"1" * 5000, b" " * 6_000_000, b"{}"]
    + [b'{"system": "neurorvq", "config": ' + config + b"}" for config in (b"[]", b"3", b"null")]
    + [b'{"system": ["neurorvq"], "config": {}}', b'{"system": {}}'],
    ids=range(12),
)
def test_a_configuration_that_is_no_json_of_ours_is_refused(spoil, text):
    folder = spoil({})
    (folder / "config.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=r"config\.json is not a configuration"):
        load_pretrained(folder)


@pytest.mark.parametrize("config", [NEURORVQ_EEG, BIOCODEC_EEG, BRAINRVQ_EEG])
def test_every_number_of_a_configuration_is_checked(config):
    data = json.loads(config_to_json(config))
    for name, value in data["config"].items():
        if isinstance(value, (dict, bool)):
            continue
        for wrong in (None, {}, [[]], -1, "x" if not isinstance(value, str) else 3):
            spoilt = {"system": data["system"], "config": data["config"] | {name: wrong}}
            with pytest.raises(CheckpointError, match="the file is not a configuration"):
                config_from_json(json.dumps(spoilt), "the file")


def test_numbers_of_numpy_are_numbers(tiny):
    numpy = pytest.importorskip("numpy")
    assert replace(tiny.config, depth=numpy.int64(1), sfreq=numpy.float32(200)) == tiny.config
