# License: BSD-3-Clause
"""Arithmetic in place: the same numbers, and nothing of the caller's is written over."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from mne_neurorvq.models import BRAINRVQ_EEG, NEURORVQ_EEG
from mne_neurorvq.models.fast import gelu, mean_pool, plus, times
from mne_neurorvq.models.trunk import Encoder


@given(st.integers(2, 9), st.integers(0, 8), st.integers(1, 20))
def test_the_mean_over_few_samples_is_that_of_torch(size, rest, n_means):
    x = torch.randn(3, size * n_means + min(rest, size - 1))
    with torch.no_grad():
        torch.testing.assert_close(mean_pool(x, size), F.avg_pool1d(x, size))


def test_without_gradients_the_first_argument_is_the_result():
    x, y = torch.randn(4, 5), torch.randn(5)
    wanted = F.gelu((x + y) * y)
    with torch.no_grad():
        own = x.clone()
        found = gelu(times(plus(own, y), y))
    assert found.data_ptr() == own.data_ptr()
    assert torch.equal(found, wanted)
    before = x.clone()
    assert torch.equal(gelu(times(plus(x, y), y)), wanted)
    assert torch.equal(x, before)


@pytest.mark.parametrize("config", [NEURORVQ_EEG, BRAINRVQ_EEG], ids=["neurorvq", "brainrvq"])
def test_an_encoder_gives_the_same_bits_with_and_without_gradients_and_keeps_its_input(config):
    torch.manual_seed(0)
    encoder = Encoder(config, config.foundation_style).eval()
    patches, rows = torch.randn(2, 3, 2, 200), torch.arange(3)
    learning = encoder(encoder.embed(patches), rows)
    before = patches.clone()
    with torch.inference_mode():
        embeddings = encoder.embed(patches)
        kept = embeddings.clone()
        found = encoder(embeddings, rows)
    assert torch.equal(found, learning)
    assert torch.equal(patches, before)
    assert torch.equal(embeddings, kept)


@pytest.mark.parametrize("learning", [True, False])
def test_the_result_has_the_precision_of_the_first_argument(learning):
    x, y = torch.randn(4, 5).bfloat16(), torch.randn(5)
    with torch.set_grad_enabled(learning):
        for call in (plus, times):
            assert call(x.clone(), y).dtype == torch.bfloat16
            assert call(y.clone(), x[0]).dtype == torch.float32
