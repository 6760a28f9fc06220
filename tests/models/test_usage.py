# License: BSD-3-Clause
"""Use of the codes in training, against the analysis of stored codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mne_neurorvq.analysis import code_usage
from mne_neurorvq.models import (
    QuantizerConfig,
    ResidualVQ,
    count_codes,
    perplexity,
    used_share,
)


@pytest.fixture(scope="module")
def quantized():
    torch.manual_seed(0)
    model = ResidualVQ(QuantizerConfig(n_codebooks=2, n_levels=3, n_codes=12, code_dim=4)).eval()
    return model(torch.randn(2, 25, 4) + 1.0)


def test_counts_use_and_perplexity_are_those_of_the_analysis(quantized):
    wanted = code_usage(quantized.codes.movedim(0, 1).numpy(), n_codes=12)
    counts = count_codes(quantized.codes, 12)
    np.testing.assert_array_equal(counts.numpy(), wanted.counts)
    np.testing.assert_allclose(used_share(counts).numpy(), wanted.used, rtol=1e-6)
    np.testing.assert_allclose(perplexity(counts).numpy(), wanted.perplexity, rtol=1e-5)


def test_counts_of_two_batches_add_up(quantized):
    parts = [count_codes(codes, 12) for codes in quantized.codes.split([10, 15], dim=1)]
    assert torch.equal(sum(parts), count_codes(quantized.codes, 12))


def test_perplexity_goes_from_one_code_to_all_of_them():
    counts = torch.tensor([[9, 0, 0, 0], [3, 3, 3, 3], [0, 0, 0, 0]])
    assert perplexity(counts)[:2].tolist() == pytest.approx([1.0, 4.0])
    assert bool(perplexity(counts)[2].isnan())
    assert used_share(counts).tolist() == [0.25, 1.0, 0.0]


def test_a_step_that_does_not_quantize_yet_counts_nothing():
    codes = torch.zeros(2, 25, 0, dtype=torch.int64)
    assert count_codes(codes, 12).shape == (2, 0, 12)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(5, 2, dtype=torch.int64), r"got shape \(5, 2\)"),
        (torch.full((1, 2, 1), 12), r"must lie in 0\.\.11, got 12\.\.12"),
        (torch.tensor([[[-1], [3]]]), r"must lie in 0\.\.11, got -1\.\.3"),
    ],
)
def test_codes_that_would_be_counted_wrongly_are_refused(codes, message):
    with pytest.raises(ValueError, match=message):
        count_codes(codes, 12)
