# License: BSD-3-Clause
"""Models made from a seed: the same everywhere, and of use for what they are named for."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
import torch

from mne_neurorvq import load_pretrained

# A change of these numbers changes what tests and documentation elsewhere show.
DIGESTS = {
    "tokenizer": "a34fecfe9d2084504afb2ad47dfe85c91ac1c8ff43d0ffa552916b888eccbe33",
    "foundation": "1751d79ab508ad2090814faa43512ad7b7c54b73cdb7be804f1e32177e2ceb96",
    "codec": "3fc89655e458c330fdda588fa76eee04ae9789b7f22cf9b2a7ef5fb5f24e7977",
}
TINY = "neurorvq-eeg-tiny-random"


def _digest(model):
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def _numpy_state():
    return np.random.get_state()[1].tolist()  # noqa: NPY002


def _windows(n_trials=8, n_channels=4, n_times=800):
    generator = torch.Generator().manual_seed(0)
    return 20 * torch.randn(n_trials, n_channels, n_times, generator=generator)


@pytest.mark.parametrize("kind", ["tokenizer", "foundation"])
def test_the_tiny_weights_are_these_bits(kind):
    assert _digest(load_pretrained(TINY).require(kind)) == DIGESTS[kind]


def test_the_weights_of_the_tiny_codec_are_these_bits():
    codec = load_pretrained("biocodec-eeg-tiny-random").tokenizer
    assert _digest(codec) == DIGESTS["codec"]


def test_no_global_random_state_is_read_or_changed():
    torch.manual_seed(5)
    states = random.getstate(), _numpy_state(), torch.get_rng_state()
    first = _digest(load_pretrained(TINY).tokenizer)
    assert random.getstate() == states[0]
    assert _numpy_state() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    torch.manual_seed(6)
    assert _digest(load_pretrained(TINY).tokenizer) == first


@pytest.mark.parametrize("name", [TINY, "neurorvq-eeg-small-random"])
def test_weights_have_the_spread_that_the_models_start_training_with(name):
    loaded = load_pretrained(name)
    for model in (loaded.tokenizer, loaded.foundation):
        trunk = model.encoder.trunk
        for weight in (trunk.blocks[0].attn.qkv.weight, trunk.pos_embed, trunk.time_embed):
            assert weight.std().item() == pytest.approx(0.02, rel=0.03)
            assert weight.mean().item() == pytest.approx(0.0, abs=5e-4)
        for i, block in enumerate(trunk.blocks, start=1):
            wanted = 0.02 / np.sqrt(2 * i)
            assert block.attn.proj.weight.std().item() == pytest.approx(wanted, rel=0.03)
            assert block.mlp.fc2.weight.std().item() == pytest.approx(wanted, rel=0.03)
            assert not block.attn.q_bias.any()
            assert bool((block.norm1.weight == 1).all())
    lengths = loaded.tokenizer.quantizer.codebook.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    assert loaded.tokenizer.quantizer.started


def test_tokenizer_and_foundation_model_are_drawn_apart():
    loaded = load_pretrained(TINY)
    one, other = loaded.tokenizer.encoder.state_dict(), loaded.foundation.encoder.state_dict()
    drawn = [name for name, tensor in one.items() if tensor.ndim > 1]
    assert not any(torch.equal(one[name], other[name]) for name in drawn)


def test_the_tiny_model_looks_like_a_real_one_from_outside():
    config = load_pretrained(TINY).config
    assert (config.sfreq, config.patch_size, config.max_patches) == (200.0, 200, 256)
    assert len(config.channels) == 104


@torch.no_grad()
def test_the_tiny_model_tells_windows_apart():
    loaded, x, rows = load_pretrained(TINY), _windows(), torch.arange(4)
    codes, _ = loaded.tokenizer.encode(x, rows)
    for level in codes.flatten(0, 2).movedim(0, -1).flatten(0, 1):
        assert len(level.unique()) > 8
    features = loaded.foundation(x, rows, return_features=True)["features"].mean((1, 2))
    assert features.std(0).mean() > 0.01
