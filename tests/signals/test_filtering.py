# License: BSD-3-Clause
"""Filtering: a recording gets the filters that the model's training signals went through."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import signal

from mne_neurorvq.signals import (
    BIOCODEC_EEG_PREPROCESSING,
    BRAINRVQ_EEG_PREPROCESSING,
    NEURORVQ_EEG_PREPROCESSING,
    Preprocessing,
    as_trials,
    check_band,
    preprocess,
)


def make_raw(sfreq: float = 250.0, n_seconds: int = 40) -> mne.io.RawArray:
    """Noise of 30 uV with mains hum, a drift, an artifact of 5 mV, and other channels."""
    rng = np.random.default_rng(0)
    n_times = round(n_seconds * sfreq)
    times = np.arange(n_times) / sfreq
    data = 30e-6 * rng.standard_normal((5, n_times))
    data[:3] += 100e-6 * np.sin(2 * np.pi * 50 * times) + 1e-4 * np.sin(2 * np.pi * 0.05 * times)
    data[0, n_times // 2 : n_times // 2 + 20] += 5e-3
    types = ["eeg", "eeg", "eeg", "ecg", "stim"]
    info = mne.create_info(["C3", "Cz", "C4", "ECG", "STI"], sfreq, types)
    return mne.io.RawArray(data, info, verbose="error")


def as_the_authors_do(microvolts: np.ndarray, sfreq: float) -> np.ndarray:
    """Their example, written down from its description."""
    for frequency in (50, 60, 100):
        if sfreq / 2 > frequency:
            b, a = signal.iirnotch(frequency, frequency / 2, sfreq)
            microvolts = signal.filtfilt(b, a, microvolts)
    band = [0.5, min(45, sfreq / 2) - 0.5]
    b, a = signal.butter(3, band, "bandpass", fs=sfreq)
    return np.clip(signal.filtfilt(b, a, microvolts), -500, 500)


@pytest.mark.parametrize("sfreq", [80.0, 100.0, 160.0, 250.0, 512.0])
def test_filters_are_those_of_the_authors(sfreq: float) -> None:
    raw = make_raw(sfreq)
    filtered = 1e6 * preprocess(raw, NEURORVQ_EEG_PREPROCESSING).get_data(picks="eeg")
    truth = as_the_authors_do(1e6 * raw.get_data(picks="eeg"), sfreq)
    inside = slice(round(8 * sfreq), -round(8 * sfreq))
    assert_allclose(filtered[:, inside], truth[:, inside], atol=0.2)


def test_hum_drift_and_artifacts_are_gone() -> None:
    raw = make_raw()
    filtered = preprocess(raw, NEURORVQ_EEG_PREPROCESSING)
    signals = [recording.get_data(picks=["Cz"])[0] for recording in (raw, filtered)]
    frequencies, (before, after) = signal.welch(np.array(signals), 250.0, nperseg=10_000)
    for frequency in (0.05, 50):
        k = np.argmin(np.abs(frequencies - frequency))
        assert after[k] < 1e-4 * before[k]
    band = (frequencies > 2) & (frequencies < 35)
    assert_allclose(np.median(after[band]), np.median(before[band]), rtol=0.1)
    assert np.abs(filtered.get_data(picks="eeg")).max() == 500e-6


def test_only_eeg_channels_change_and_the_recording_is_a_copy() -> None:
    raw = make_raw()
    raw.info["bads"] = ["Cz"]
    before = raw.get_data()
    filtered = preprocess(raw, NEURORVQ_EEG_PREPROCESSING, average_reference=True)
    assert_array_equal(raw.get_data(), before)
    assert_array_equal(filtered.get_data()[3:], before[3:])
    assert (np.abs(filtered.get_data()[:3] - before[:3]).max(axis=1) > 1e-5).all()
    assert (filtered.info["highpass"], filtered.info["lowpass"]) == (0.5, 44.5)
    assert (raw.info["highpass"], raw.info["lowpass"]) == (0.0, 125.0)
    assert filtered.info["sfreq"] == 250.0


def test_average_reference_is_the_mean_of_good_channels() -> None:
    raw = make_raw()
    raw.info["bads"] = ["Cz"]
    filtered = preprocess(raw, NEURORVQ_EEG_PREPROCESSING, average_reference=True)
    assert_allclose(filtered.get_data(picks=["C3", "C4"]).mean(axis=0), 0, atol=1e-12)
    assert filtered.info["custom_ref_applied"]
    plain = preprocess(raw, NEURORVQ_EEG_PREPROCESSING)
    assert np.abs(plain.get_data(picks=["C3", "C4"]).mean(axis=0)).max() > 1e-6


def test_recordings_on_disk_give_the_same(tmp_path: Path) -> None:
    raw = make_raw()
    raw.save(tmp_path / "test_raw.fif", fmt="double", verbose="error")
    on_disk = mne.io.read_raw_fif(tmp_path / "test_raw.fif", preload=False, verbose="error")
    filtered = preprocess(on_disk, NEURORVQ_EEG_PREPROCESSING)
    assert not on_disk.preload
    assert_array_equal(filtered.get_data(), preprocess(raw, NEURORVQ_EEG_PREPROCESSING).get_data())


def test_filters_do_not_run_across_the_joint_of_two_recordings() -> None:
    first, second = make_raw(), make_raw()
    second._data[:3] *= 10
    alone = preprocess(first, NEURORVQ_EEG_PREPROCESSING).get_data()
    joint = mne.concatenate_raws([first.copy(), second], verbose="error")
    together = preprocess(joint, NEURORVQ_EEG_PREPROCESSING).get_data()
    assert_allclose(together[:3, : first.n_times], alone[:3], atol=1e-9)


def test_a_model_without_notches_and_clipping_gets_neither() -> None:
    raw = make_raw()
    filtered = preprocess(raw, Preprocessing(highpass=20.0, lowpass=60.0))
    data = filtered.get_data(picks=["Cz"])[0]
    frequencies, power = signal.welch(data, 250.0, nperseg=2500)
    assert power[frequencies == 50].item() > 100 * np.median(power[frequencies < 60])


def test_epochs_cannot_be_filtered() -> None:
    epochs = mne.make_fixed_length_epochs(make_raw(), 2.0, verbose="error")
    with pytest.raises(TypeError, match="filter before cutting Epochs"):
        preprocess(epochs, NEURORVQ_EEG_PREPROCESSING)


def test_recordings_without_eeg_raise() -> None:
    with pytest.raises(ValueError, match="no channel of type 'eeg'"):
        preprocess(make_raw().pick(["ECG", "STI"]), NEURORVQ_EEG_PREPROCESSING)


def test_recordings_at_too_low_a_rate_raise() -> None:
    with pytest.raises(ValueError, match="sfreq=2 Hz has nothing of the band"):
        preprocess(make_raw(2.0, 100), NEURORVQ_EEG_PREPROCESSING)


# What Epochs say about their filters


def epochs_filtered(highpass: float | None, lowpass: float | None) -> mne.Epochs:
    raw = make_raw()
    if highpass or lowpass:
        raw.filter(highpass, lowpass, verbose="error")
    return mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")


@pytest.mark.parametrize(("highpass", "lowpass"), [(8.0, 30.0), (None, 12.0), (7.0, None)])
def test_a_narrower_band_warns_once(highpass: float | None, lowpass: float | None) -> None:
    trials = as_trials(epochs_filtered(highpass, lowpass))
    with pytest.warns(UserWarning, match=r"but the model was trained on 0\.5-44\.5 Hz") as caught:
        check_band(trials, NEURORVQ_EEG_PREPROCESSING)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("highpass", "lowpass"), [(None, None), (1.0, 40.0), (0.1, 100.0), (0.5, 44.5)]
)
def test_a_band_near_the_models_passes(highpass: float | None, lowpass: float | None) -> None:
    check_band(as_trials(epochs_filtered(highpass, lowpass)), NEURORVQ_EEG_PREPROCESSING)


def test_the_nyquist_frequency_of_a_slow_recording_is_no_contradiction() -> None:
    raw = make_raw(64.0)
    epochs = mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")
    check_band(as_trials(epochs), NEURORVQ_EEG_PREPROCESSING)


@pytest.mark.parametrize("sfreq", [160.0, 250.0])
def test_what_the_filters_of_biocodec_leave_passes_at_every_rate(sfreq: float) -> None:
    filtered = preprocess(make_raw(sfreq), BIOCODEC_EEG_PREPROCESSING)
    assert filtered.info["lowpass"] == min(100.0, sfreq / 2 - 0.5)
    epochs = mne.make_fixed_length_epochs(filtered, 2.0, preload=True, verbose="error")
    check_band(as_trials(epochs), BIOCODEC_EEG_PREPROCESSING)


def test_what_neurorvq_sees_is_too_narrow_for_biocodec() -> None:
    with pytest.warns(UserWarning, match=r"filtered to 0\.5-44\.5 Hz.*trained on 0\.5-100 Hz"):
        check_band(as_trials(epochs_filtered(0.5, 44.5)), BIOCODEC_EEG_PREPROCESSING)


@pytest.mark.parametrize("facts", [BIOCODEC_EEG_PREPROCESSING, BRAINRVQ_EEG_PREPROCESSING])
def test_other_systems_lose_the_hum_but_keep_gamma_and_artifacts(facts: Preprocessing) -> None:
    raw = make_raw(512.0)
    filtered = preprocess(raw, facts)
    before, after = (recording.get_data(picks=["Cz"])[0] for recording in (raw, filtered))
    frequencies, (before, after) = signal.welch(np.array([before, after]), 512.0, nperseg=10_000)
    hum, gamma = np.argmin(np.abs(frequencies - 50)), (frequencies > 62) & (frequencies < 70)
    assert after[hum] < 1e-4 * before[hum]
    assert 0.3 < np.median(after[gamma]) / np.median(before[gamma]) <= 1.05
    assert np.abs(filtered.get_data(picks=["C3"])).max() > 1e-3


def test_one_narrow_item_of_a_list_is_enough() -> None:
    items = [epochs_filtered(None, None), epochs_filtered(None, 12.0)]
    with pytest.warns(UserWarning, match="filtered to 0-12 Hz"):
        check_band(as_trials(items), NEURORVQ_EEG_PREPROCESSING)


def test_arrays_say_nothing_about_filters() -> None:
    trials = as_trials(np.ones((1, 1, 200)), ch_names=["Cz"], sfreq=200.0)
    check_band(trials, NEURORVQ_EEG_PREPROCESSING)


@pytest.mark.parametrize("factor", [1e6, 1e3, 1e-3, 1e-6])
@pytest.mark.parametrize("preprocessing", [NEURORVQ_EEG_PREPROCESSING, BIOCODEC_EEG_PREPROCESSING])
def test_another_unit_is_found_before_clipping_hides_it(preprocessing, factor: float) -> None:
    raw = make_raw().apply_function(lambda x: factor * x, picks="eeg")
    with pytest.raises(ValueError, match=f"multiply the recording by 1e{-round(np.log10(factor))}"):
        preprocess(raw, preprocessing)


def test_a_part_of_another_recording_is_found_by_its_time() -> None:
    parts = [make_raw(), make_raw(), make_raw()]
    parts[1].apply_function(lambda x: 1e3 * x, picks="eeg")
    raw = mne.concatenate_raws(parts, verbose="error")
    with pytest.raises(ValueError, match=r"from (39|40|41) s to (79|80|81) s of .* by 1e-3"):
        preprocess(raw, NEURORVQ_EEG_PREPROCESSING)
    raw.set_annotations(mne.Annotations(40.0, 40.0, "BAD_unit", orig_time=raw.info["meas_date"]))
    preprocess(raw, BIOCODEC_EEG_PREPROCESSING)


def test_bad_channels_and_artifacts_do_not_decide_about_the_unit() -> None:
    raw = make_raw()
    raw._data[:2] *= 1e6
    raw.info["bads"] = ["C3", "Cz"]
    raw._data[2, :1000] *= 1e3
    preprocess(raw, BIOCODEC_EEG_PREPROCESSING)
    raw.info["bads"] = ["C3", "Cz", "C4"]
    preprocess(raw, BIOCODEC_EEG_PREPROCESSING)


def test_channels_that_are_clipped_often_are_named_the_worst_first() -> None:
    raw = make_raw()
    raw.apply_function(lambda x: 20 * x, picks=["Cz"])
    raw.apply_function(lambda x: 60 * x, picks=["C4"])
    with pytest.warns(UserWarning, match=r"500 uV.*'C4' \(\d+%\), 'Cz' \(\d+%\)\.") as caught:
        preprocess(raw, NEURORVQ_EEG_PREPROCESSING)
    assert len(caught) == 1
    raw.info["bads"] = ["Cz", "C4"]
    preprocess(raw, NEURORVQ_EEG_PREPROCESSING)


def test_a_value_beyond_single_precision_is_refused_with_its_channel() -> None:
    raw = make_raw()
    raw._data[1, 77] = 1e308
    with pytest.raises(ValueError, match="Channel 'Cz' has values up to 1e"):
        preprocess(raw, BIOCODEC_EEG_PREPROCESSING)
