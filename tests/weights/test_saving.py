# License: BSD-3-Clause
"""What is saved is small, complete and gives the same models back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import NeuroRVQ, NeuroRVQTokenizer
from mne_neurorvq.weights import CheckpointError, save_pretrained


@pytest.fixture
def tokenizer(tiny):
    """A tokenizer with numbers in its buffers that half precision would spoil."""
    model = NeuroRVQTokenizer(config=tiny.config)
    model.load_state_dict(tiny.tokenizer.state_dict())
    model.quantizer.cluster_size.fill_(100_000.1)
    model.quantizer.warmup_left.fill_(123_457)
    return model


@pytest.mark.parametrize(("dtype", "atol"), [("float16", 1e-3), ("float32", 0.0)])
def test_a_saved_model_is_loaded_again(tokenizer, tmp_path, dtype, atol):
    save_pretrained(tmp_path, tokenizer, dtype=dtype)
    found, wanted = load_pretrained(tmp_path).tokenizer.state_dict(), tokenizer.state_dict()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=atol)
    for name in ("cluster_size", "start_size", "started", "warmup_left", "gain"):
        assert torch.equal(found[f"quantizer.{name}"], wanted[f"quantizer.{name}"])


def test_saving_in_half_precision_twice_changes_nothing_more(tokenizer, tmp_path):
    once = load_pretrained(save_pretrained(tmp_path / "once", tokenizer)).tokenizer
    twice = load_pretrained(save_pretrained(tmp_path / "twice", once)).tokenizer
    for name, tensor in once.state_dict().items():
        assert torch.equal(twice.state_dict()[name], tensor)


def test_half_precision_holds_matrices_and_codebooks_only(tokenizer, tmp_path):
    path = save_pretrained(tmp_path, tokenizer) / "tokenizer.safetensors"
    with safe_open(path, framework="pt") as file:
        halves = {name for name in file.keys() if file.get_tensor(name).dtype == torch.float16}  # noqa: SIM118
    assert "quantizer.codebook" in halves
    assert "encoder.trunk.blocks.0.mlp.fc1.weight" in halves
    assert not any(name.endswith((".bias", "norm1.weight", "cluster_size")) for name in halves)
    float32 = save_pretrained(tmp_path / "float32", tokenizer, dtype="float32")
    assert path.stat().st_size < 0.6 * (float32 / "tokenizer.safetensors").stat().st_size


def test_the_heads_of_a_foundation_model_are_saved_with_it(tiny, tmp_path):
    model = NeuroRVQ(5, config=tiny.config, masked_token_heads=True).eval()
    save_pretrained(tmp_path, foundation=model, dtype="float32")
    loaded = load_pretrained(tmp_path).foundation
    assert torch.equal(loaded.masked_tokens.weight, model.masked_tokens.weight)
    assert torch.equal(loaded.final_layer.linear.weight, model.final_layer.linear.weight)


def test_the_folder_says_what_it_holds(tiny, tmp_path):
    folder = save_pretrained(tmp_path / "a" / "b", tiny.tokenizer, tiny.foundation, card="text")
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md",
        "config.json",
        "foundation.safetensors",
        "manifest.json",
        "tokenizer.safetensors",
    ]
    assert json.loads((folder / "config.json").read_text())["config"]["modality"] == "eeg"


def test_a_number_beyond_half_precision_is_refused(tokenizer, tmp_path):
    with torch.no_grad():
        tokenizer.to_code[1][0].weight[0, 0] = 1e5
    with pytest.raises(ValueError, match=r"to_code\.1\.0\.weight.*dtype='float32'"):
        save_pretrained(tmp_path / "models", tokenizer)
    assert not (tmp_path / "models").exists()
    save_pretrained(tmp_path / "models", tokenizer, dtype="float32")


def test_weights_that_are_not_numbers_are_refused(tokenizer, tmp_path):
    with torch.no_grad():
        tokenizer.decoder.cls_token[..., 0] = float("inf")
    with pytest.raises(CheckpointError, match=r"the tokenizer has NaN.*decoder\.cls_token"):
        save_pretrained(tmp_path, tokenizer)


def test_what_cannot_be_saved_is_said(tiny, tmp_path):
    with pytest.raises(ValueError, match="nothing to save"):
        save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="dtype must be"):
        save_pretrained(tmp_path, tiny.tokenizer, dtype="bfloat16")
    with pytest.raises(ValueError, match="different configurations"):
        save_pretrained(tmp_path, tiny.tokenizer, NeuroRVQ(config=replace(tiny.config, depth=2)))
    flat = NeuroRVQ(2, n_chans=1, n_times=200, config=tiny.config, head="flatten")
    with pytest.raises(ValueError, match="flattened patches"):
        save_pretrained(tmp_path, foundation=flat)
    assert not list(tmp_path.iterdir())
