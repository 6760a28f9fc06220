# License: BSD-3-Clause
"""Signals of any gain and offset come to one scale, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mne_neurorvq.signals import robust_scale
from mne_neurorvq.signals.robust_scaling import robust_statistics, scale_by


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
    np.testing.assert_allclose(scale, [0, spike.std()])
    np.testing.assert_allclose(scaled[1], spike / spike.std())


def test_the_precision_stays(signals):
    assert robust_scale(signals.astype(np.float32))[0].dtype == np.float32


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30).flatmap(
        lambda samples: st.tuples(
            st.just(samples),
            st.lists(st.integers(0, 3), min_size=len(samples), max_size=len(samples)).filter(any),
        )
    )
)
def test_weights_count_samples(drawn):
    samples, counts = (np.array(part, float) for part in drawn)
    found = robust_statistics(samples, counts)
    repeated = np.repeat(samples, counts.astype(int))
    expected = robust_statistics(repeated, np.ones(len(repeated)))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@given(
    st.lists(st.sampled_from([0.0, -3.0, 1e-8, 1e9, 7.0, 5e14]), min_size=1, max_size=40),
    st.integers(-30, 30),
)
def test_any_samples_scale_to_finite_ones_and_powers_of_two_change_nothing(samples, power):
    signal = np.array(samples)
    scaled, centre, scale = robust_scale(signal)
    assert np.isfinite(scaled).all()
    assert scale >= 0
    louder, *others = robust_scale(2.0**power * signal)
    np.testing.assert_array_equal(louder, scaled)
    np.testing.assert_array_equal(others, [2.0**power * centre, 2.0**power * scale])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_around_a_constant_is_no_signal(dtype):
    rng = np.random.default_rng(0)
    eps = np.finfo(dtype).eps
    rounded = (1e4 * (1 + eps * rng.integers(-2, 3, 500))).astype(dtype)
    np.testing.assert_array_equal(robust_scale(rounded)[0], 0)
    moving = (1e4 * (1 + 1e4 * eps * rng.standard_normal(500))).astype(dtype)
    assert robust_scale(moving)[2] > 0


def test_a_scale_from_elsewhere_is_applied_to_each_signal(signals):
    centre, scale = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 0.0, 1.0, 4.0])
    scaled = scale_by(signals, centre, scale)
    np.testing.assert_array_equal(scaled[:, 1], 0)
    np.testing.assert_allclose(scaled[:, 3], (signals[:, 3] - 4) / 4)
