# License: BSD-3-Clause
"""Resampling: the same signal at another rate, and exactly as long as before on the way back."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq._rates import same_rate
from mne_neurorvq.signals import resample
from mne_neurorvq.signals.resampling import resampled_length

RATES = [100.0, 128.0, 160.0, 250.0, 256.0, 1000 / 3, 500.0, 512.0, 1000.0, 2048.0]
EDGE = 0.25  # seconds in which the filter sees beyond the window


def sines(n_times: int, sfreq: float, frequencies: tuple[float, ...]) -> np.ndarray:
    times = np.arange(n_times) / sfreq
    return np.array([np.sin(2 * np.pi * f * times + f) for f in frequencies])


@pytest.mark.parametrize("sfreq", RATES)
def test_samples_are_those_of_the_same_signal(sfreq: float) -> None:
    frequencies = (1.0, 8.0, 20.0, 43.0)
    there = resample(sines(round(4 * sfreq), sfreq, frequencies), sfreq, 200.0)
    truth = sines(there.shape[-1], 200.0, frequencies)
    inside = slice(round(EDGE * 200), -round(EDGE * 200))
    assert_allclose(there[:, inside], truth[:, inside], atol=2e-3)


@pytest.mark.parametrize("sfreq", RATES)
def test_round_trip_of_a_band_limited_signal_is_close(sfreq: float) -> None:
    n_times = round(4 * sfreq) + 1
    signal = sines(n_times, sfreq, (2.0, 10.0, 30.0)).sum(axis=0)
    back = resample(resample(signal, sfreq, 200.0), 200.0, sfreq, n_times=n_times)
    assert back.shape == signal.shape
    inside = slice(round(EDGE * sfreq), -round(EDGE * sfreq))
    assert_allclose(back[inside], signal[inside], atol=5e-3)
    # The first and last quarter second are continued by guessing, but not wildly.
    assert np.abs(back - signal).max() < 0.3 * np.ptp(signal)


@pytest.mark.parametrize("sfreq", [500.0, 512.0, 1000.0])
def test_frequencies_above_the_new_nyquist_do_not_fold_back(sfreq: float) -> None:
    signal = sines(round(4 * sfreq), sfreq, (120.0, 150.0, 190.0))
    inside = slice(50, -50)
    assert np.abs(resample(signal, sfreq, 200.0)[:, inside]).max() < 2e-3


@pytest.mark.parametrize("sfreq", RATES)
def test_an_offset_passes_without_ripple(sfreq: float) -> None:
    assert_allclose(resample(np.full(500, 50_000.0), sfreq, 200.0), 50_000.0, rtol=1e-12)


@pytest.mark.parametrize(("sfreq", "target"), [(160.0, 200.0), (512.0, 200.0), (1000 / 3, 200.0)])
def test_a_trial_alone_gives_the_same_bits_as_in_a_batch(sfreq: float, target: float) -> None:
    data = np.random.default_rng(0).standard_normal((7, 5, 700))
    together = resample(data, sfreq, target)
    for i in range(7):
        assert_array_equal(resample(data[i : i + 1], sfreq, target)[0], together[i])
        assert_array_equal(resample(data[i, 2], sfreq, target), together[i, 2])


def test_nothing_is_done_at_the_same_rate() -> None:
    data = np.random.default_rng(0).standard_normal((2, 3, 50))
    assert resample(data, 200.0, 200.0) is data


@given(st.integers(1, 700), st.sampled_from(RATES), st.sampled_from([200.0, 250.0]))
def test_any_length_comes_back_as_long_as_it_was(n_times: int, sfreq: float, target: float) -> None:
    data = np.random.default_rng(0).standard_normal((1, n_times))
    there = resample(data, sfreq, target)
    assert there.shape[-1] == resampled_length(n_times, sfreq, target) >= 1
    back = resample(there, target, sfreq, n_times=n_times)
    assert back.shape == data.shape
    assert np.abs(back).max() < 20 * np.abs(data).max()


def test_length_is_the_nearest_whole_number_and_never_zero() -> None:
    assert resampled_length(641, 160.0, 200.0) == 801
    assert resampled_length(2001, 500.0, 200.0) == 800
    assert resampled_length(1000, 1000 / 3, 200.0) == 600
    assert resampled_length(1000, 333.3333, 200.0) == 600
    assert resampled_length(1, 2048.0, 200.0) == 1


def test_awkward_rates_do_not_drift() -> None:
    # 200.05 Hz is no simple fraction of 200 Hz: taken for 200 Hz, 60 s would be 15 ms wrong.
    n_times = round(60 * 200.05)
    there = resample(sines(n_times, 200.05, (10.0,)), 200.05, 200.0)
    truth = sines(there.shape[-1], 200.0, (10.0,))
    assert_allclose(there[:, 50:-50], truth[:, 50:-50], atol=2e-3)


# As devices state or streams measure them.
NEAR = [199.99, 200.01, 249.99, 249.87, 159.99, 255.998, 1000.01]


@pytest.mark.parametrize("sfreq", NEAR)
def test_five_minutes_at_a_rate_near_a_round_one_do_not_drift(sfreq: float) -> None:
    n_times = round(300 * sfreq)
    signal = sines(n_times, sfreq, (10.0, 43.0))
    there = resample(signal, sfreq, 200.0)
    assert there.shape[-1] == resampled_length(n_times, sfreq, 200.0) == 60_000
    assert_allclose(there[:, 50:-50], sines(60_000, 200.0, (10.0, 43.0))[:, 50:-50], atol=2e-3)
    back = resample(there, 200.0, sfreq, n_times=n_times)
    edge = round(EDGE * sfreq)
    assert_allclose(back[:, edge:-edge], signal[:, edge:-edge], atol=2e-3)


@pytest.mark.parametrize("sfreq", NEAR)
def test_at_a_rate_near_a_round_one_a_trial_is_the_same_alone_and_an_offset_passes(
    sfreq: float,
) -> None:
    data = np.random.default_rng(0).standard_normal((3, 5, 700))
    together = resample(data, sfreq, 200.0)
    for i in range(3):
        assert_array_equal(resample(data[i : i + 1], sfreq, 200.0)[0], together[i])
        assert_array_equal(resample(data[i, 2], sfreq, 200.0), together[i, 2])
    assert_allclose(resample(np.full(500, 50_000.0), sfreq, 200.0), 50_000.0, rtol=1e-12)


def test_a_rate_near_a_round_one_needs_no_long_kernel() -> None:
    tracemalloc.start()
    resample(np.zeros(60_000), 249.87654321, 200.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6


@pytest.mark.parametrize("sfreq", [200.0001, 1 / 0.005000001])
def test_rates_that_are_one_leave_samples_alone(sfreq: float) -> None:
    assert same_rate(sfreq, 200.0)
    data = np.random.default_rng(0).standard_normal((2, 60_000))
    assert resample(data, sfreq, 200.0) is data
    assert resampled_length(60_000, 200.0, sfreq) == 60_000


def test_a_sample_more_or_less_may_be_asked_for_at_the_same_rate() -> None:
    ramp = np.arange(100.0)
    assert_allclose(resample(ramp, 200.0, 200.0, n_times=99), np.arange(99.0), atol=1e-9)
    assert_allclose(resample(ramp, 200.0, 200.0, n_times=101), np.arange(101.0), atol=1e-9)


def test_the_input_is_not_changed() -> None:
    data = np.random.default_rng(0).standard_normal((2, 300))
    before = data.copy()
    resample(data, 160.0, 200.0)
    assert_array_equal(data, before)


@pytest.mark.parametrize("rate", [0.0, -1.0, np.nan, np.inf])
def test_impossible_rates_raise(rate: float) -> None:
    with pytest.raises(ValueError, match="must be a positive number of Hz"):
        resample(np.zeros(10), rate, 200.0)


def test_rates_that_no_recording_has_raise() -> None:
    with pytest.raises(ValueError, match="check sfreq"):
        resample(np.zeros(10), 0.001, 200.0)


def test_a_length_of_another_window_raises() -> None:
    with pytest.raises(ValueError, match="n_times=700 contradicts 800 samples"):
        resample(np.zeros(800), 200.0, 160.0, n_times=700)


def test_no_samples_raise() -> None:
    with pytest.raises(ValueError, match="n_times=0"):
        resample(np.zeros((2, 0)), 160.0, 200.0)


def test_a_ramp_goes_on_beyond_both_edges() -> None:
    # By odd reflection: padding with the last value would bend the ends by several samples.
    ramp = np.arange(400.0)
    there = resample(ramp, 160.0, 200.0)
    assert_allclose(there, np.arange(500) * 0.8, atol=1e-2)
