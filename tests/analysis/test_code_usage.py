# License: BSD-3-Clause
"""Code usage against plain counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq.analysis import code_usage


class TestCodeUsage:
    """Code usage against plain counting."""

    def test_every_measure_is_what_counting_gives(self) -> None:
        rng = np.random.default_rng(0)
        codes = (rng.random((6, 3, 4, 2, 3)) ** 3 * 32).astype(np.int16)
        codes[..., 1, 2] = 7
        usage = code_usage(codes, n_codes=32)
        assert usage.n_tokens == 6 * 3 * 4
        for codebook, level in np.ndindex(2, 3):
            column = codes[..., codebook, level].ravel().tolist()
            shares = [column.count(code) / len(column) for code in set(column)]
            entropy = -sum(share * math.log2(share) for share in shares)
            at = codebook, level
            assert usage.used[at] == pytest.approx(len(shares) / 32)
            assert usage.entropy[at] == pytest.approx(entropy)
            assert usage.normalized_entropy[at] == pytest.approx(entropy / 5)
            assert usage.perplexity[at] == pytest.approx(2**entropy)
        assert usage.entropy[1, 2] == 0
        assert usage.perplexity[1, 2] == 1

    def test_evenly_used_codes_have_full_entropy(self) -> None:
        codes = np.arange(300).repeat(2).reshape(-1, 1, 1)
        usage = code_usage(codes, n_codes=300)
        assert_allclose(usage.normalized_entropy, 1)
        assert_allclose(usage.perplexity, 300)
        assert_array_equal(usage.used, 1)

    def test_counts_add_up(self) -> None:
        codes = np.random.default_rng(0).integers(0, 5, (7, 2, 4, 3))
        counts = code_usage(codes, n_codes=8).counts
        assert counts.shape == (4, 3, 8)
        assert (counts.sum(axis=-1) == 14).all()

    def test_repr_says_the_main_numbers(self) -> None:
        text = repr(code_usage(np.arange(4).reshape(4, 1, 1), n_codes=8))
        assert "4 tokens | 50.0% used | normalized entropy 0.667" in text

    @pytest.mark.parametrize(
        ("codes", "n_codes", "error", "message"),
        [
            (np.zeros((2, 2)), 4, TypeError, "must be integers, got dtype float64"),
            (np.zeros((2, 2), int), 4, ValueError, r"\.\.\., n_codebooks, n_levels.*\(2, 2\)"),
            (np.zeros((0, 2, 2), int), 4, ValueError, "not be empty"),
            (np.full((1, 2, 2), 4), 4, ValueError, "from 0 to 3 .n_codes=4., got 4"),
            (np.full((1, 2, 2), -1), 4, ValueError, "got -1"),
            (np.zeros((1, 2, 2), int), 1, ValueError, "n_codes must be at least 2, got 1"),
        ],
    )
    def test_codes_that_cannot_be_counted_raise(
        self, codes: np.ndarray, n_codes: int, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            code_usage(codes, n_codes)

    def test_tokens_know_how_many_codes_there_are(self, constructed) -> None:
        codes = np.random.default_rng(0).integers(0, 5, (3, 2, 4, 1, 2))
        usage = code_usage(constructed(codes, n_codes=8))
        assert_array_equal(usage.counts, code_usage(codes, n_codes=8).counts)

    def test_an_array_does_not(self) -> None:
        with pytest.raises(TypeError, match="n_codes is missing: pass it with an array of codes"):
            code_usage(np.zeros((1, 2, 2), int))
