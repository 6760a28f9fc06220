# License: BSD-3-Clause
"""Bits against the published figures and against the tokens' own count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mne_neurorvq.analysis import compression


def test_the_published_rate_of_biocodec_is_an_eighth_of_32_bit_samples(constructed):
    codes = np.zeros((1, 2, 250, 1, 6), int)
    tokens = constructed(codes, n_codes=256, sfreq=250.0, patch_size=12, side=np.zeros((1, 1, 4)))
    result = compression(tokens)
    assert result.codes == pytest.approx(1000)
    assert result.float32 / result.codes == pytest.approx(8)
    assert result.int16 / result.codes == pytest.approx(4)
    # 12 s: two floats for each of the channels.
    assert result.side == pytest.approx(2 * 32 / 12)
    assert result.ratio_float32 == pytest.approx(8000 / (1000 + 64 / 12))
    assert result.ratio_int16 == pytest.approx(4000 / (1000 + 64 / 12))


@given(
    n_codes=st.sampled_from([2, 256, 300, 8192]),
    n_side=st.integers(0, 5),
    n_channels=st.integers(1, 4),
    n_patches=st.integers(1, 6),
)
def test_codes_and_side_information_make_up_the_bits_of_the_tokens(
    constructed, n_codes, n_side, n_channels, n_patches
):
    codes = np.zeros((2, n_channels, n_patches, 3, 2), int)
    tokens = constructed(codes, n_codes=n_codes, side=np.zeros((2, 1, n_side)))
    result = compression(tokens)
    assert result.codes == pytest.approx(6 * np.ceil(np.log2(n_codes)))
    assert result.side == pytest.approx(32 * n_side / n_channels / n_patches)
    assert result.total == pytest.approx(tokens.bits_per_second)


def test_signals_are_those_of_the_user_unless_another_rate_is_given(constructed):
    codes = np.zeros((1, 1, 4, 1, 1), int)
    tokens = constructed(codes, n_codes=4, sfreq=1000.0, model_sfreq=100.0, patch_size=100)
    assert compression(tokens).float32 == 32000
    assert compression(tokens).int16 == 16000
    slower = compression(tokens, sfreq=tokens.model_sfreq)
    assert (slower.float32, slower.int16) == (3200, 1600)
    assert slower.codes == compression(tokens).codes


def test_fewer_levels_take_fewer_bits(tokens):
    coarse = replace(tokens, codes=tokens.codes[..., :1])
    assert compression(coarse).codes == pytest.approx(compression(tokens).codes / 2)
    assert compression(coarse).side == pytest.approx(compression(tokens).side)


@pytest.mark.parametrize("sfreq", [0.0, -1.0, np.nan, np.inf])
def test_an_impossible_rate_raises(tokens, sfreq):
    with pytest.raises(ValueError, match="sfreq must be a positive number in Hz"):
        compression(tokens, sfreq=sfreq)
