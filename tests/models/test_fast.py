# License: BSD-3-Clause
"""Fast paths: same codes, close values, and nothing that belongs to the caller is overwritten."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import BRAINRVQ_EEG, NEURORVQ_EEG, fast, nearest_codes
from mne_neurorvq.models.fast import mean_pool, write_over
from mne_neurorvq.models.trunk import Encoder


@given(st.integers(2, 9), st.integers(0, 8), st.integers(1, 20))
def test_the_mean_over_few_samples_is_that_of_torch(size, rest, n_means):
    x = torch.randn(3, size * n_means + min(rest, size - 1))
    with torch.no_grad():
        torch.testing.assert_close(mean_pool(x, size), F.avg_pool1d(x, size))


def combined(x, y):
    return write_over(F.gelu, write_over(torch.mul, write_over(torch.add, x, y), y))


def test_without_gradients_the_first_argument_is_the_result():
    x, y = torch.randn(4, 5), torch.randn(5)
    wanted = F.gelu((x + y) * y)
    with torch.no_grad():
        own = x.clone()
        found = combined(own, y)
    assert found.data_ptr() == own.data_ptr()
    assert torch.equal(found, wanted)
    before = x.clone()
    assert torch.equal(combined(x, y), wanted)
    assert torch.equal(x, before)


@pytest.mark.parametrize("config", [NEURORVQ_EEG, BRAINRVQ_EEG], ids=["neurorvq", "brainrvq"])
def test_an_encoder_gives_the_same_bits_with_and_without_gradients_and_keeps_its_input(config):
    torch.manual_seed(0)
    encoder = Encoder(config, config.foundation_style).eval()
    patches, rows = torch.randn(2, 3, 2, 200), torch.arange(3)
    learning = encoder.trunk(encoder.embed(patches), rows)
    before = patches.clone()
    with torch.inference_mode():
        embeddings = encoder.embed(patches)
        kept = embeddings.clone()
        found = encoder.trunk(embeddings, rows)
    assert torch.equal(found, learning)
    assert torch.equal(patches, before)
    assert torch.equal(embeddings, kept)


@pytest.mark.parametrize("learning", [True, False])
def test_the_result_has_the_precision_of_the_first_argument(learning):
    x, y = torch.randn(4, 5).bfloat16(), torch.randn(5)
    with torch.set_grad_enabled(learning):
        for operation in (torch.add, torch.mul):
            assert write_over(operation, x.clone(), y).dtype == torch.bfloat16
            assert write_over(operation, y.clone(), x[0]).dtype == torch.float32


def _guesses(dtype):
    """Logits ``(n_codebooks, n_levels, n_tokens, n_codes)`` as heads lay them out, and codes."""
    torch.manual_seed(0)
    return torch.randn(2, 5, 3, 7).to(dtype).transpose(1, 2), torch.randint(7, (2, 3, 5))


def test_cross_entropy_of_logits_in_bfloat16_is_that_in_float32_with_its_gradient():
    logits, codes = _guesses(torch.bfloat16)
    weights, found = torch.rand(codes.shape), []
    for plain in (False, True):
        x = logits.detach().requires_grad_()
        with fast.disabled() if plain else nullcontext():
            each = fast.cross_entropy(x.float() if plain else x, codes)
        found.append((each, *torch.autograd.grad(each, x, weights)))
    (each, gradient), (wanted, wanted_gradient) = found
    assert each.dtype == torch.float32
    torch.testing.assert_close(each, wanted)
    torch.testing.assert_close(gradient, wanted_gradient)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_of_equally_likely_codes_the_first_is_the_guess(dtype):
    logits, codes = _guesses(dtype)
    logits = (2 * logits).round()
    assert torch.equal(fast.guessed(logits, codes), logits.argmax(-1) == codes)
    assert (logits.gather(-1, codes[..., None])[..., 0] == logits.amax(-1)).sum() > fast.guessed(
        logits, codes
    ).sum()


@pytest.mark.parametrize("system", ["neurorvq", "brainrvq", "biocodec"])
def test_without_the_fast_paths_codes_are_equal_and_values_close(system):
    loaded = load_pretrained(f"{system}-eeg-small")
    x, rows = torch.randn(2, 2, 400, generator=torch.manual_seed(0)), torch.tensor([1, 4])

    @torch.inference_mode()
    def compute():
        codes, side = loaded.tokenizer.encode(x, rows)
        values = [side, loaded.tokenizer.decode_codes(codes, side, rows)]
        if loaded.foundation is not None:
            for dtype in (torch.float32, torch.bfloat16):
                with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
                    found = loaded.foundation(x, rows, return_features=True)["features"]
                values.append(found.float())
        return codes, values

    codes, values = compute()
    with fast.disabled():
        plain_codes, plain = compute()
    assert torch.equal(codes, plain_codes)
    torch.testing.assert_close(plain[:3], values[:3], rtol=1e-4, atol=1e-4)
    for found, wanted in zip(plain[3:], values[3:], strict=True):
        assert (found - wanted).norm() < 0.02 * wanted.norm()


def test_the_fast_paths_are_off_within_the_block_only():
    assert fast.enabled()
    with fast.disabled():
        assert not fast.enabled()
        with torch.no_grad():
            x = torch.randn(3)
            assert write_over(torch.add, x, torch.ones(3)).data_ptr() != x.data_ptr()
    assert fast.enabled()


def test_the_plain_search_finds_the_codes_of_the_ranked_one(monkeypatch):
    monkeypatch.setattr(fast, "_ranking_pays", lambda codebook: True)
    generator = torch.Generator().manual_seed(0)
    codebook = F.normalize(torch.randn(2, 2048, 64, generator=generator), dim=-1)
    vectors = torch.randn(2, 300, 64, generator=generator)
    ranked = nearest_codes(vectors, codebook)
    with fast.disabled():
        assert torch.equal(nearest_codes(vectors, codebook), ranked)


@pytest.mark.parametrize("tiles", [False, True])
def test_a_processor_with_tiles_gets_larger_passes_and_the_same_codes(monkeypatch, tiles):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles, raising=False)
    monkeypatch.setattr(fast, "_CPU", "amx" if fast._cpu_has("_is_amx_tile_supported") else "cpu")
    assert fast.trials_per_pass(1, 1, "cpu") == (1024 if tiles else 256)
    assert fast.trials_per_pass(1, 1, "cuda") == 16384
    assert fast.trials_per_pass(1, 1, "mps") == fast._TOKENS["cpu"]
    generator = torch.Generator().manual_seed(0)
    codebook = F.normalize(torch.randn(1, 2048, 32, generator=generator), dim=-1)
    vectors = torch.randn(1, 3000, 32, generator=generator)
    together = nearest_codes(vectors, codebook)
    apart = torch.cat([nearest_codes(part, codebook) for part in vectors.split(700, 1)], 1)
    assert torch.equal(together, apart)


def test_without_torchs_private_names_a_processor_counts_as_plain(monkeypatch):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
        assert not fast._cpu_has(name)
    monkeypatch.setattr(fast, "_CPU", "cpu")
    monkeypatch.setattr(fast, "_CPU_RANKS", False)
    assert fast.trials_per_pass(1, 1, "cpu") == 256
    assert not fast._ranking_pays(torch.empty(1, 8192, 128))
