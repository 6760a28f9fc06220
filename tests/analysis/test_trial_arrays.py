# License: BSD-3-Clause
"""Signals out of whatever holds them, and back into the like."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mne_neurorvq.analysis.trial_arrays import signals_of, with_signals


def test_signals_of_epochs_are_volts_of_the_channels_asked_for_in_their_order(epochs):
    data = epochs.get_data()
    assert_array_equal(signals_of("X", epochs), data)
    assert_array_equal(signals_of("X", epochs, ["O1", "F3"]), data[:, [4, 0]])
    parts = [epochs[:1], epochs[1:]]
    assert_array_equal(signals_of("X", parts, ["O1", "F3"]), data[:, [4, 0]])


def test_signals_of_arrays_are_a_copy_in_their_own_unit():
    for dtype in (np.float64, np.float32, np.int16):
        array = np.ones((2, 3, 50), dtype)
        signals = signals_of("X", array)
        assert signals.dtype == float
        signals[:] = 0
        assert (array == 1).all()
    assert signals_of("X", np.ones((2, 50))).shape == (2, 1, 50)
    assert signals_of("X", [[[1, 2]], [[3, 4]]]).shape == (2, 1, 2)


@pytest.fixture
def read_when_asked() -> mne.Epochs:
    """Epochs that are not preloaded, of which the second is dropped when read."""
    rng = np.random.default_rng(0)
    data = 1e-5 * rng.standard_normal((2, 500))
    data[0, 250] = 1.0
    raw = mne.io.RawArray(data, mne.create_info(["C3", "C4"], 100.0, "eeg"), verbose=False)
    events = mne.make_fixed_length_events(raw, duration=1.0)
    return mne.Epochs(
        raw, events, tmin=0, tmax=0.99, baseline=None, reject={"eeg": 0.1}, verbose=False
    )


def test_epochs_that_are_not_preloaded_lose_their_bad_trials_once(read_when_asked):
    signals = signals_of("X", read_when_asked)
    assert signals.shape == (4, 2, 100)
    changed = with_signals(read_when_asked, 2 * signals)
    assert_array_equal(changed.get_data(), 2 * signals)
    assert not read_when_asked.preload


def test_trials_with_other_signals_keep_all_else_and_leave_the_old_ones_alone(epochs):
    before = epochs.get_data()
    marked = epochs.copy()
    marked.info["bads"] = ["C3"]
    marked.set_channel_types({"O2": "misc"}, on_unit_change="ignore")
    changed = with_signals(marked, -before)
    assert_array_equal(changed.get_data(), -before)
    assert_array_equal(epochs.get_data(), before)
    assert_array_equal(marked.get_data(), before)
    assert changed.ch_names == epochs.ch_names
    assert changed.info["bads"] == ["C3"]
    assert_array_equal(changed.events, epochs.events)
    assert changed.metadata.equals(epochs.metadata)


def test_lists_of_epochs_and_arrays_stay_what_they_are(epochs):
    signals = signals_of("X", epochs)
    parts = with_signals([epochs[:3], epochs[3:]], 2 * signals)
    assert [len(part) for part in parts] == [3, len(epochs) - 3]
    assert_array_equal(np.concatenate([part.get_data() for part in parts]), 2 * signals)
    assert with_signals(np.ones((4, 50)), np.zeros((4, 1, 50))).shape == (4, 50)


def test_what_are_no_trials_is_named(epochs):
    raw = mne.io.RawArray(np.zeros((1, 10)), mne.create_info(1, 100.0), verbose=False)
    for other in (raw, {"a": 1}, np.array(["a"]), [epochs, 1]):
        with pytest.raises((TypeError, ValueError), match=r"Epochs.*is needed|inhomogeneous"):
            signals_of("X", other)
    with pytest.raises(ValueError, match="X must be real numbers of shape"):
        signals_of("X", np.zeros(5))


def test_absent_channels_and_samples_that_are_not_finite_are_located(epochs):
    with pytest.raises(ValueError, match="X lacks the channel 'Pz'"):
        signals_of("X", epochs, ["C3", "Pz"])
    with pytest.raises(ValueError, match="X has 2 channels, but the tokens have 3"):
        signals_of("X", np.zeros((1, 2, 5)), ["a", "b", "c"])
    array = np.zeros((2, 2, 5))
    array[1, 0, 3] = np.nan
    with pytest.raises(ValueError, match=r"X has NaN .* trial 1, channel 0"):
        signals_of("X", array)
