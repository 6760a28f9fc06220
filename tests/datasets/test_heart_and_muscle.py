# License: BSD-3-Clause
"""Simulated hearts, pulses and muscles: known beats and contractions, and what they say."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import find_peaks

from mne_neurorvq.datasets import simulate_recordings


def _known_beats(raw: mne.io.BaseRaw) -> np.ndarray:
    return raw.annotations.onset[raw.annotations.description == "beat"]


def _part(raw: mne.io.BaseRaw, condition: str, picks: str | None = None) -> np.ndarray:
    """Samples (n_channels, n_times) of all trials of a condition, without their first second."""
    data = raw.get_data(picks=picks)
    parts = [
        data[:, slice(*raw.time_as_index([note["onset"] + 1, note["onset"] + note["duration"]]))]
        for note in raw.annotations
        if note["description"] == condition
    ]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("modality", ["ecg", "emg", "ppg"])
def test_they_say_what_they_are_and_repeat(modality):
    two, one = (simulate_recordings(n, 2, modality=modality, verbose=False) for n in (2, 1))
    assert "SIMULATED" in one[0].info["description"]
    assert two[1].info["subject_info"]["his_id"] == "sim-02"
    assert_array_equal(one[0].get_data(), two[0].get_data())
    assert np.isfinite(two[1].get_data()).all()
    assert np.abs(two[0].get_data() - two[1].get_data()).max() > 0


@pytest.mark.parametrize(("modality", "lead"), [("ecg", "V5"), ("ppg", "PLETH")])
def test_beats_are_where_the_annotations_say(modality, lead):
    for raw in simulate_recordings(3, 4, modality=modality, verbose=False):
        (signal,) = raw.get_data(picks=[lead])
        found, _ = find_peaks(signal, prominence=0.5 * np.ptp(signal), distance=0.35 * 125)
        known = _known_beats(raw)
        known = known[(known > 0.5) & (known < raw.times[-1] - 0.5)]
        nearest = np.abs(found[:, None] / raw.info["sfreq"] - known).min(axis=0)
        assert nearest.max() < (0.01 if modality == "ecg" else 0.06)


def test_the_heart_beats_half_as_fast_again_in_exercise():
    (raw,) = simulate_recordings(1, 6, modality="ecg", trial_duration=20.0, verbose=False)
    counts = {"rest": 0, "exercise": 0}
    for note in raw.annotations:
        if note["description"] in counts:
            inside = _known_beats(raw) - note["onset"]
            counts[note["description"]] += ((inside > 2) & (inside < 20)).sum()
    assert 1.4 < counts["exercise"] / counts["rest"] < 1.6


def test_limb_leads_follow_from_two_of_them_and_amplitudes_are_millivolts():
    (raw,) = simulate_recordings(1, 2, modality="ecg", verbose=False)
    assert set(raw.get_channel_types()) == {"ecg"}
    one, two, three, left = raw.get_data(picks=["I", "II", "III", "aVL"])
    assert_allclose(three, two - one, atol=0.4e-3)  # but for drifts and noise of each lead
    assert_allclose(left, one - two / 2, atol=0.4e-3)
    assert np.ptp(two) > 4 * np.ptp(three - two + one)
    assert 0.4e-3 < np.ptp(two) < 4e-3


def test_muscles_work_in_their_own_condition_in_the_band_of_surface_emg():
    for raw in simulate_recordings(3, 4, modality="emg", verbose=False):
        assert set(raw.get_channel_types()) == {"emg"}
        rest, extension, flexion = (
            _part(raw, name).std(axis=1) for name in ("rest", "extension", "flexion")
        )
        assert_allclose(rest, 2e-6, rtol=0.1)
        quadriceps, hamstrings = [0, 2], [1, 3]
        assert (extension[quadriceps] > 2 * flexion[quadriceps]).all()
        assert (flexion[hamstrings] > 2 * extension[hamstrings]).all()
        power = np.abs(np.fft.rfft(_part(raw, "extension", "rectus femoris")[0])) ** 2
        hz = np.linspace(0, raw.info["sfreq"] / 2, power.size)
        assert power[(hz > 20) & (hz < 400)].sum() > 0.95 * power.sum()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"modality": "meg"}, "modality must be one of eeg, ecg, emg, ppg, got 'meg'"),
        ({"modality": "emg", "sfreq": 200.0}, "sfreq must be at least 800 Hz, got 200"),
    ],
)
def test_what_cannot_be_simulated_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        simulate_recordings(1, 2, **given)
