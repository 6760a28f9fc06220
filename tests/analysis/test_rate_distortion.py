# License: BSD-3-Clause
"""What the levels add, where it is known and with a real model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut, cross_val_score

from mne_neurorvq.analysis import (
    gaussian_bound,
    level_scores,
    rate_distortion,
    reconstruction_quality,
)
from mne_neurorvq.datasets import trial_column


@pytest.fixture(scope="module")
def curve(model, tokens, epochs):
    """Both levels of the untrained model."""
    return rate_distortion(model, tokens, epochs)


class TestRateDistortion:
    """The first levels, decoded by a real model."""

    def test_bits_are_those_of_the_levels_and_the_side_information(self, curve, tokens):
        first = replace(tokens, codes=tokens.codes[..., :1])
        assert_allclose(curve.bits_per_second, [first.bits_per_second, tokens.bits_per_second])

    def test_quality_is_that_of_what_these_levels_decode_to(self, curve, model, tokens, epochs):
        first = replace(tokens, codes=tokens.codes[..., :1])
        for part, quality in zip((first, tokens), curve.quality, strict=True):
            expected = reconstruction_quality(
                epochs.get_data(), model.detokenize(part).get_data(), 160.0
            )
            assert quality.summary() == expected.summary()
        assert curve.summary()["r"].tolist() == [q.summary()["r"] for q in curve.quality]
        assert list(curve.summary()) == list(curve.quality[0].summary())

    def test_an_array_of_volts_does_as_epochs_do(self, curve, model, tokens, epochs):
        found = rate_distortion(model, tokens, epochs.get_data(), bands={"alpha": (8.0, 13.0)})
        assert_array_equal(found.summary()["nmse"], curve.summary()["nmse"])
        assert list(found.quality[0].bands) == ["alpha"]

    def test_signals_in_another_unit_raise(self, model, tokens, epochs):
        microvolts = epochs.get_data(units="uV")
        with pytest.raises(ValueError, match="times as large as signals: pass Epochs, or an array"):
            rate_distortion(model, tokens, microvolts)
        with pytest.raises(ValueError, match="times as large as signals"):
            rate_distortion(model, tokens, 1e-12 * microvolts)

    def test_other_trials_raise(self, model, tokens, epochs):
        with pytest.raises(ValueError, match="same shape"):
            rate_distortion(model, tokens, epochs[:2])


NAMES = [f"codebook{b}_level{k}_code{i}" for b in range(2) for k in range(3) for i in range(2)]


@pytest.fixture(scope="module")
def shares():
    """Histograms of which level 1 tells the class, and the others nothing."""
    rng = np.random.default_rng(0)
    y, groups = np.tile(["rest", "left"], 60), np.repeat(list("abcdef"), 20)
    features = rng.random((120, 12))
    for column, name in enumerate(NAMES):
        if "level1_code1" in name:
            features[:, column] += 5 * (y == "rest")
    return features, y, groups


class TestLevelScores:
    """Only the columns of the levels asked for are used."""

    def test_the_level_that_tells_the_class_is_found(self, shares):
        result = level_scores(LogisticRegression(), *shares, names=NAMES, cv=3)
        assert result.subsets == ((0,), (1,), (2,), (0, 1), (0, 1, 2))
        assert result.scores.shape == (5, 3)
        assert result.n_columns.tolist() == [4, 4, 4, 8, 12]
        for subset, score in result.mean.items():
            assert score > 0.97 if 1 in subset else 0.3 < score < 0.7

    def test_scores_are_those_of_scikit_learn_on_these_columns(self, shares):
        features, y, groups = shares
        folds = LeaveOneGroupOut()
        probe = LogisticRegression()
        result = level_scores(
            probe, *shares, names=NAMES, cv=folds, subsets=[(2, 0), [1]], scoring="roc_auc"
        )
        columns = [0, 1, 4, 5, 6, 7, 10, 11]
        expected = cross_val_score(
            probe, features[:, columns], y, groups=groups, cv=folds, scoring="roc_auc"
        )
        assert result.subsets == ((2, 0), (1,))
        assert_array_equal(result.scores[0], expected)

    def test_all_subsets_are_tested_on_the_same_folds_of_the_seed(self, shares):
        for seed in (0, 1):
            folds = GroupKFold(3, shuffle=True, random_state=seed)
            by_number = level_scores(
                LogisticRegression(), *shares, names=NAMES, cv=3, random_state=seed
            )
            by_folds = level_scores(LogisticRegression(), *shares, names=NAMES, cv=folds)
            assert_array_equal(by_number.scores, by_folds.scores)

    def test_a_channel_may_be_called_like_a_level(self, shares):
        names = [f"level7_patch0_{name}" for name in NAMES]
        result = level_scores(LogisticRegression(), *shares, names=names, cv=3)
        assert result.subsets[-1] == (0, 1, 2)

    def test_histograms_of_a_model_are_told_apart_by_their_names(self, model, epochs):
        from sklearn.base import clone

        y, groups = (trial_column(epochs, name) for name in ("condition", "subject"))
        for pool, n_columns in (("mean", 1), ("time", 6)):
            histogram = clone(model).set_params(output="histogram", pool=pool)
            features = histogram.fit_transform(epochs)
            names = histogram.get_feature_names_out()
            result = level_scores(LogisticRegression(), features, y, groups, names=names, cv=2)
            assert result.subsets == ((0,), (1,), (0, 1))
            n_codes = features.shape[1] // (n_columns * 4 * 2)
            assert result.n_columns.tolist() == [4 * n_codes * n_columns * n for n in (1, 1, 2)]

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["scale0_1"] * 12, "'scale0_1' names no level: take features with output='histogram'"),
            (["codebook0_level1"] * 12, "'codebook0_level1' holds codes, which are not quant"),
            (NAMES[:11], r"shape \(120, 12\) must have two axes and a column .* 11 names"),
        ],
    )
    def test_columns_that_are_no_histograms_raise(self, shares, names, message):
        with pytest.raises(ValueError, match=message):
            level_scores(LogisticRegression(), *shares, names=names)

    @pytest.mark.parametrize(
        ("subsets", "message"),
        [
            ([(0, 3)], r"subsets has \(0, 3\), but the levels are \[0, 1, 2\]"),
            ([()], r"subsets has \(\), but"),
            ([], "subsets is empty"),
        ],
    )
    def test_levels_that_are_not_there_raise(self, shares, subsets, message):
        with pytest.raises(ValueError, match=message):
            level_scores(LogisticRegression(), *shares, names=NAMES, subsets=subsets)

    def test_folds_that_mix_subjects_raise(self, shares):
        with pytest.raises(ValueError, match="fold 0 of cv trains and tests on subject a"):
            level_scores(LogisticRegression(), *shares, names=NAMES, cv=KFold(7))


class TestGaussianBound:
    """Where the optimum is known."""

    @pytest.mark.parametrize("bits", [20.0, 100.0])
    def test_a_flat_spectrum_loses_the_same_everywhere(self, bits):
        impulses = np.zeros((1, 2, 401))
        impulses[..., 200] = [[1.0, 50.0]]  # one channel in another unit
        errors = gaussian_bound(impulses, bits, 100.0)
        # log2(1 / D) bits for each of the two samples a second that one Hz of band needs.
        assert_allclose(list(errors.values()), 2 ** (-bits / 50), rtol=0.03)

    def test_a_faint_band_is_left_out_at_a_low_rate(self):
        time = np.arange(400) / 100
        noise = np.random.default_rng(0).normal(scale=0.01, size=(20, 1, 400))
        errors = gaussian_bound(np.sin(2 * np.pi * 10 * time) + noise, 5.0, 100.0)
        assert errors["nmse_alpha"] < 0.1
        assert errors["nmse_gamma"] > 0.99

    def test_it_falls_with_every_bit_and_a_channel_without_signal_costs_nothing(self):
        signals = np.random.default_rng(0).normal(size=(4, 2, 400)).cumsum(axis=-1)
        errors = [gaussian_bound(signals, bits, 100.0)["nmse"] for bits in (1, 10, 100, 1000)]
        assert 1 > errors[0] > errors[1] > errors[2] > errors[3] > 0
        silent = np.concatenate([signals, np.zeros_like(signals)], axis=1)
        assert gaussian_bound(silent, 10, 100.0)["nmse"] == errors[1]

    def test_a_rate_of_nothing_is_refused(self):
        with pytest.raises(ValueError, match="bits_per_second must be positive, got 0"):
            gaussian_bound(np.ones((1, 1, 400)), 0, 100.0)
