# License: BSD-3-Clause
"""Units: factors, and amplitudes that give a wrong unit away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mne_neurorvq.signals import check_scale, unit_factor
from mne_neurorvq.signals.units import VOLTS_PER_UNIT

ELECTRIC = st.sampled_from(sorted(VOLTS_PER_UNIT))


def eeg_in_microvolts(n_trials: int = 4, n_channels: int = 8, n_times: int = 320) -> np.ndarray:
    rng = np.random.default_rng(0)
    return 15 * rng.standard_normal((n_trials, n_channels, n_times))


@pytest.mark.parametrize(
    ("from_unit", "to_unit", "factor"),
    [
        ("V", "uV", 1e6),
        ("uV", "V", 1e-6),
        ("uV", "100uV", 1e-2),
        ("mV", "uV", 1e3),
        ("V", "mV", 1e3),
        ("au", "au", 1.0),
    ],
)
def test_factors_are_exact(from_unit: str, to_unit: str, factor: float) -> None:
    assert unit_factor(from_unit, to_unit) == factor


@given(ELECTRIC, ELECTRIC, ELECTRIC)
def test_a_detour_through_another_unit_changes_nothing(a: str, b: str, c: str) -> None:
    assert unit_factor(a, b) * unit_factor(b, c) == pytest.approx(unit_factor(a, c), rel=1e-12)


def test_unknown_units_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unit='µV' is unknown: use one of 'V', 'mV'"):
        unit_factor("µV", "V")


def test_arbitrary_units_have_no_volts() -> None:
    with pytest.raises(ValueError, match="arbitrary units have no volts"):
        unit_factor("au", "uV")


@pytest.mark.parametrize("unit", ["V", "mV", "100uV", "uV"])
def test_eeg_passes_in_its_own_unit(unit: str) -> None:
    check_scale(eeg_in_microvolts() * unit_factor("uV", unit), unit)


@pytest.mark.parametrize("unit", ["V", "mV"])
def test_microvolts_said_to_be_a_larger_unit_raise(unit: str) -> None:
    with pytest.raises(ValueError, match="looks like microvolts"):
        check_scale(eeg_in_microvolts(), unit)


def test_volts_said_to_be_microvolts_raise_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="looks like volts: pass unit='V'"):
        check_scale(1e-6 * eeg_in_microvolts(), "uV")


@pytest.mark.parametrize("unit", ["V", "uV"])
def test_offset_of_a_dc_coupled_amplifier_does_not_matter(unit: str) -> None:
    volts = 0.08 + 1e-6 * eeg_in_microvolts()
    check_scale(volts * unit_factor("V", unit), unit)
    if unit == "uV":
        with pytest.raises(ValueError, match="looks like volts"):
            check_scale(volts, unit)


def test_a_broken_channel_does_not_decide() -> None:
    volts = 1e-6 * eeg_in_microvolts()
    volts[:, 0] *= 1e6
    check_scale(volts, "V")


@pytest.mark.parametrize("data", [np.zeros((2, 3, 10)), np.full((2, 3, 10), 1e-9), np.ones((1, 1))])
def test_constant_signals_pass(data: np.ndarray) -> None:
    check_scale(data, "uV")
    check_scale(data, "V")


@pytest.mark.parametrize("scale", [0.1, 20.0])
def test_small_random_tables_pass_as_microvolts(scale: float) -> None:
    check_scale(scale * np.random.default_rng(0).uniform(size=(30, 1, 3)), "uV")


def test_arbitrary_units_are_not_judged() -> None:
    check_scale(1e9 * eeg_in_microvolts(), "au")


@pytest.mark.parametrize("gain", [1.0, 5.0])
def test_millivolts_said_to_be_microvolts_raise(gain: float) -> None:
    with pytest.raises(ValueError, match="looks like millivolts: pass unit='mV'"):
        check_scale(1e-3 * gain * eeg_in_microvolts(), "uV")
    check_scale(1e-3 * gain * eeg_in_microvolts(), "mV")


def test_quiet_signals_pass() -> None:
    check_scale(0.01 * eeg_in_microvolts(), "uV")


@pytest.mark.parametrize(
    ("unit", "factor", "remedy"),
    [
        ("V", 1e-3, "looks like millivolts: pass unit='mV'"),
        ("V", 1e-12, "multiply them by 1e6"),
        ("mV", 1e-6, "looks like volts: pass unit='V'"),
        ("uV", 1e3, "more than any EEG has: multiply them by 1e-3"),
        ("uV", 1e-12, "less than amplifiers add of themselves: multiply them by 1e12"),
        ("100uV", 1e-6, "looks like volts: pass unit='V'"),
    ],
)
def test_the_remedy_is_the_unit_or_the_factor_that_is_missing(
    unit: str, factor: float, remedy: str
) -> None:
    with pytest.raises(ValueError, match=remedy):
        check_scale(factor * eeg_in_microvolts(), unit)
