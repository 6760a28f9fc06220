# License: BSD-3-Clause
"""Signals of any gain and offset come to one scale, and back."""

from __future__ import annotations

import numpy as np
import pytest

from mne_neurorvq.signals import robust_scale


@pytest.fixture
def signals():
    return 10 * np.random.default_rng(0).standard_normal((3, 4, 501)) + 2


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (1e-6, 3e-3), (-7.0, 1e3)])
def test_gain_and_offset_change_nothing(signals, gain, offset):
    found, centre, scale = robust_scale(gain * signals + offset)
    wanted, *_ = robust_scale(signals)
    np.testing.assert_allclose(found, np.sign(gain) * wanted, atol=1e-6)
    np.testing.assert_allclose(centre, np.median(gain * signals + offset, axis=-1))
    assert scale.shape == (3, 4)


def test_the_middle_half_of_each_signal_is_one_wide(signals):
    scaled, *_ = robust_scale(signals)
    np.testing.assert_allclose(np.median(scaled, axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(np.ptp(np.percentile(scaled, (25, 75), axis=-1), axis=0), 1)


def test_scale_and_centre_bring_the_signals_back(signals):
    scaled, centre, scale = robust_scale(signals)
    np.testing.assert_allclose(scaled * scale[..., None] + centre[..., None], signals)


def test_an_outlier_hardly_moves_the_scale(signals):
    with_artifact = signals.copy()
    with_artifact[..., 100:103] = 1e4
    for before, after in zip(
        robust_scale(signals)[1:], robust_scale(with_artifact)[1:], strict=True
    ):
        np.testing.assert_allclose(after, before, atol=0.5)


def test_signals_that_hardly_move_stay_finite():
    constant, spike = np.full(100, 5.0), np.zeros(100)
    spike[3] = 10.0
    scaled, centre, scale = robust_scale(np.stack([constant, spike]))
    np.testing.assert_array_equal(scaled[0], 0)
    np.testing.assert_array_equal(centre, [5, 0])
    np.testing.assert_allclose(scale, [1, spike.std()])
    np.testing.assert_allclose(scaled[1], spike / spike.std())


def test_the_precision_stays(signals):
    assert robust_scale(signals.astype(np.float32))[0].dtype == np.float32
