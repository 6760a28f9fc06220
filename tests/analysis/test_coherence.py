# License: BSD-3-Clause
"""Spatial coherence against a plain loop, and of codes that are the signal itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr

from mne_neurorvq import load_pretrained
from mne_neurorvq.analysis import spatial_coherence


@pytest.fixture(scope="module")
def codebook(model):
    return load_pretrained(model.pretrained).tokenizer.quantizer.codebook.numpy()


def mixed(n_trials: int = 3, n_channels: int = 7, n_times: int = 400) -> np.ndarray:
    """Channels that share two sources, mixed anew in each trial."""
    rng = np.random.default_rng(0)
    sources = rng.standard_normal((n_trials, 2, n_times))
    mixing = rng.standard_normal((n_trials, n_channels, 2))
    return mixing @ sources + 0.3 * rng.standard_normal((n_trials, n_channels, n_times))


def sampled(constructed, signals: np.ndarray, n_codes: int = 4096):
    """Tokens with a code for each sample, and the codebook that gives the samples back."""
    low, high = signals.min(), signals.max()
    codes = np.round((signals - low) / (high - low) * (n_codes - 1)).astype(int)
    values = np.linspace(low, high, n_codes)
    tokens = constructed(codes[..., None, None], n_codes=n_codes, patch_size=1)
    return tokens, values[None, None, :, None]


class TestKnownAnswers:
    """Codes of which the embedding is known."""

    def test_codes_that_give_the_signal_back_are_coherent_in_their_own_trial(self, constructed):
        signals = mixed()
        tokens, values = sampled(constructed, signals)
        found = spatial_coherence(tokens, signals, values)
        assert found.rho.shape == (3, 1, 1)
        assert found.mean[0, 0] > 0.999
        assert np.abs(found.other_trial).max() < 0.9

    def test_another_trial_is_the_next_one(self, constructed):
        signals = mixed()
        tokens, values = sampled(constructed, np.roll(signals, 1, axis=0))
        found = spatial_coherence(tokens, signals, values)
        assert (found.other_trial > 0.999).all()
        assert found.mean_other_trial[0, 0] == pytest.approx(found.other_trial.mean())
        assert found.rho.max() < 0.9

    def test_a_single_trial_has_no_other(self, constructed):
        signals = mixed(1)
        found = spatial_coherence(*_with(sampled(constructed, signals), signals))
        assert found.rho[0, 0, 0] > 0.999
        assert np.isnan(found.other_trial).all()
        assert np.isnan(found.mean_other_trial).all()

    def test_units_offsets_and_the_sign_of_the_codes_do_not_matter(self, constructed):
        signals = mixed()
        tokens, values = sampled(constructed, signals)
        gains = np.geomspace(1e-6, 1e3, 7)[:, None]
        found = spatial_coherence(tokens, gains * signals + gains, 5 - 3 * values)
        assert_allclose(found.rho, spatial_coherence(tokens, signals, values).rho, atol=1e-9)

    def test_a_constant_channel_is_left_out(self, constructed):
        signals = mixed()
        tokens, values = sampled(constructed, signals)
        flat = signals.copy()
        flat[:, 2] = 0.1
        kept = [0, 1, 3, 4, 5, 6]
        fewer = replace(
            tokens, codes=tokens.codes[:, kept], ch_names=tuple("abcdef"), channel_rows=range(6)
        )
        expected = spatial_coherence(fewer, signals[:, kept], values).rho
        assert_allclose(spatial_coherence(tokens, flat, values).rho, expected)

    def test_codes_that_are_all_the_same_have_no_coherence(self, constructed):
        tokens = constructed(np.zeros((2, 4, 3, 1, 1), int), n_codes=2)
        signals = np.random.default_rng(0).standard_normal((2, 4, 300))
        found = spatial_coherence(tokens, signals, np.ones((1, 1, 2, 3)))
        assert np.isnan(found.rho).all()
        assert np.isnan(found.mean).all()

    def test_channels_of_the_same_codes_leave_nothing_to_rank(self, constructed):
        rng = np.random.default_rng(0)
        codes = np.repeat(rng.integers(0, 50, (1, 1, 40, 1, 1)), 9, axis=1)
        tokens = constructed(codes, n_codes=50)
        signals, vectors = rng.standard_normal((1, 9, 4000)), rng.standard_normal((1, 1, 50, 7))
        assert np.isnan(spatial_coherence(tokens, signals, vectors).rho).all()


def _with(made, signals):
    tokens, values = made
    return tokens, signals, values


class TestModel:
    """Tokens of a real model."""

    def test_it_is_what_a_plain_loop_finds(self, tokens, epochs, codebook):
        found = spatial_coherence(tokens, epochs, codebook)
        data = epochs.get_data()
        upper = np.triu_indices(6, 1)
        for trial, book, level in np.ndindex(len(tokens), 4, 2):
            rows = []
            for channel in range(6):
                codes = tokens.codes[trial, channel, :, book, level]
                rows.append(np.concatenate([codebook[book, level, code] for code in codes]))
            embedded = np.corrcoef(rows)[upper]
            own, other = (
                spearmanr(np.corrcoef(data[which])[upper], embedded).statistic
                for which in (trial, trial - 1)
            )
            assert found.rho[trial, book, level] == pytest.approx(own)
            assert found.other_trial[trial - 1, book, level] == pytest.approx(other)
        assert_allclose(found.mean, found.rho.mean(axis=0))

    def test_channels_of_epochs_are_found_by_name(self, tokens, epochs, codebook):
        shuffled = epochs.copy().reorder_channels(epochs.ch_names[::-1])
        found = spatial_coherence(tokens, shuffled, codebook)
        assert_array_equal(found.rho, spatial_coherence(tokens, epochs, codebook).rho)

    def test_the_first_levels_are_coherent_as_they_are_among_all(self, tokens, epochs, codebook):
        first = replace(tokens, codes=tokens.codes[..., :1])
        found = spatial_coherence(first, epochs, codebook).rho
        assert_array_equal(found, spatial_coherence(tokens, epochs, codebook).rho[..., :1])


class TestBadInput:
    """Bad input raises and is named."""

    def test_other_trials_raise(self, tokens, epochs, codebook):
        with pytest.raises(ValueError, match=r"signals have the shape \(2, 6, 640\), but"):
            spatial_coherence(tokens, epochs[:2], codebook)
        with pytest.raises(ValueError, match=r"signals have the shape \(4, 6, 639\), but"):
            spatial_coherence(tokens, epochs.get_data()[..., 1:], codebook)

    def test_a_missing_channel_is_named(self, tokens, epochs, codebook):
        with pytest.raises(ValueError, match="signals lacks the channel 'C3'"):
            spatial_coherence(tokens, epochs.copy().drop_channels("C3"), codebook)

    @pytest.mark.parametrize(
        "cut", [np.s_[:2], np.s_[:, :1], np.s_[:, :, 1:], np.s_[..., 0], np.s_[:, :, :, :, None]]
    )
    def test_the_codebook_of_another_model_raises(self, tokens, epochs, codebook, cut):
        with pytest.raises(ValueError, match=r"codebook has the shape .* tokens need \(4, 2, "):
            spatial_coherence(tokens, epochs, codebook[cut])

    def test_two_channels_have_nothing_to_rank(self, constructed):
        tokens = constructed(np.zeros((1, 2, 3, 1, 1), int), n_codes=2)
        with pytest.raises(ValueError, match="tokens have 2 channels: at least 3"):
            spatial_coherence(tokens, np.ones((1, 2, 300)), np.ones((1, 1, 2, 3)))
