# License: BSD-3-Clause
"""Filtering: a recording gets the filters that the model's training signals went through."""

from __future__ import annotations

import re
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import signal

from mne_neurorvq.datasets import simulate_recordings
from mne_neurorvq.signals import (
    BIOCODEC_EEG_PREPROCESSING,
    BRAINRVQ_EEG_PREPROCESSING,
    NEURORVQ_EEG_PREPROCESSING,
    Preprocessing,
    Trials,
    as_trials,
)
from mne_neurorvq.signals.filtering import check_band, filter_recording


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
    filtered = 1e6 * filter_recording(raw, NEURORVQ_EEG_PREPROCESSING).get_data(picks="eeg")
    truth = as_the_authors_do(1e6 * raw.get_data(picks="eeg"), sfreq)
    inside = slice(round(8 * sfreq), -round(8 * sfreq))
    assert_allclose(filtered[:, inside], truth[:, inside], atol=0.2)


def test_hum_drift_and_artifacts_are_gone() -> None:
    raw = make_raw()
    filtered = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)
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
    filtered = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING, average_reference=True)
    assert_array_equal(raw.get_data(), before)
    assert_array_equal(filtered.get_data()[3:], before[3:])
    assert (np.abs(filtered.get_data()[:3] - before[:3]).max(axis=1) > 1e-5).all()
    assert (filtered.info["highpass"], filtered.info["lowpass"]) == (0.5, 44.5)
    assert (raw.info["highpass"], raw.info["lowpass"]) == (0.0, 125.0)
    assert filtered.info["sfreq"] == 250.0


def test_average_reference_is_the_mean_of_good_channels() -> None:
    raw = make_raw()
    raw.info["bads"] = ["Cz"]
    filtered = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING, average_reference=True)
    assert_allclose(filtered.get_data(picks=["C3", "C4"]).mean(axis=0), 0, atol=1e-12)
    assert filtered.info["custom_ref_applied"]
    plain = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)
    assert np.abs(plain.get_data(picks=["C3", "C4"]).mean(axis=0)).max() > 1e-6


def test_recordings_on_disk_give_the_same(tmp_path: Path) -> None:
    raw = make_raw()
    raw.save(tmp_path / "test_raw.fif", fmt="double", verbose="error")
    on_disk = mne.io.read_raw_fif(tmp_path / "test_raw.fif", preload=False, verbose="error")
    filtered = filter_recording(on_disk, NEURORVQ_EEG_PREPROCESSING)
    assert not on_disk.preload
    assert_array_equal(
        filtered.get_data(), filter_recording(raw, NEURORVQ_EEG_PREPROCESSING).get_data()
    )


def test_filters_do_not_run_across_the_joint_of_two_recordings() -> None:
    first, second = make_raw(), make_raw()
    second._data[:3] *= 10
    alone = filter_recording(first, NEURORVQ_EEG_PREPROCESSING).get_data()
    joint = mne.concatenate_raws([first.copy(), second], verbose="error")
    together = filter_recording(joint, NEURORVQ_EEG_PREPROCESSING).get_data()
    assert_allclose(together[:3, : first.n_times], alone[:3], atol=1e-9)


def test_a_model_without_notches_and_clipping_gets_neither() -> None:
    raw = make_raw()
    filtered = filter_recording(raw, Preprocessing(highpass=20.0, lowpass=60.0))
    data = filtered.get_data(picks=["Cz"])[0]
    frequencies, power = signal.welch(data, 250.0, nperseg=2500)
    assert power[frequencies == 50].item() > 100 * np.median(power[frequencies < 60])


def test_epochs_cannot_be_filtered() -> None:
    epochs = mne.make_fixed_length_epochs(make_raw(), 2.0, verbose="error")
    with pytest.raises(TypeError, match="filter before cutting Epochs"):
        filter_recording(epochs, NEURORVQ_EEG_PREPROCESSING)


def test_recordings_without_eeg_raise() -> None:
    with pytest.raises(ValueError, match="no channel of type 'eeg'"):
        filter_recording(make_raw().pick(["ECG", "STI"]), NEURORVQ_EEG_PREPROCESSING)


def test_current_source_density_is_not_to_be_retyped() -> None:
    raw = simulate_recordings(n_subjects=1, n_trials=2, verbose=False)[0]
    density = mne.preprocessing.compute_current_source_density(raw)
    with pytest.raises(ValueError, match=r"'eeg'\. Models take potentials: .* before compute_curr"):
        filter_recording(density, NEURORVQ_EEG_PREPROCESSING)


def test_recordings_at_too_low_a_rate_raise() -> None:
    with pytest.raises(ValueError, match="sfreq=2 Hz has nothing of the band"):
        filter_recording(make_raw(2.0, 100), NEURORVQ_EEG_PREPROCESSING)


@pytest.mark.parametrize("sfreq", [100.01, 101.0, 120.01, 121.5, 199.99, 200.01, 201.0])
@pytest.mark.parametrize(
    "facts",
    [NEURORVQ_EEG_PREPROCESSING, BIOCODEC_EEG_PREPROCESSING, BRAINRVQ_EEG_PREPROCESSING],
)
def test_a_notch_just_below_half_the_rate_is_no_obstacle(
    sfreq: float, facts: Preprocessing
) -> None:
    data = filter_recording(make_raw(sfreq), facts).get_data(picks=["Cz"])
    assert 1e-6 < np.abs(data).max() < 1e-3


# Gaps: NaN and infinite samples


def with_gap(
    start: int, stop: int, value: float = np.nan, *, first_samp: int = 0, dated: bool = False
) -> mne.io.RawArray:
    """A recording of 40 s at 250 Hz with a gap in one channel."""
    raw = make_raw()
    raw = mne.io.RawArray(raw.get_data(), raw.info, first_samp=first_samp, verbose="error")
    if dated:
        raw.set_meas_date(1_600_000_000)
    raw._data[1, start:stop] = value
    return raw


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gap_that_nobody_marked_raises_with_channel_time_and_remedy(value: float) -> None:
    with pytest.raises(ValueError, match=r"'Cz' .* from 30\.000 to 30\.400 s: .*BAD_gap"):
        filter_recording(with_gap(7500, 7600, value), NEURORVQ_EEG_PREPROCESSING)


@pytest.mark.parametrize("dated", [False, True])
@pytest.mark.parametrize("first_samp", [0, 333])
@pytest.mark.parametrize(
    ("start", "stop"), [(7500, 7600), (0, 77), (9990, 10000), (4321, 4322), (1, 9999)]
)
def test_the_remedy_in_the_error_is_what_helps(
    start: int, stop: int, first_samp: int, dated: bool
) -> None:
    raw = with_gap(start, stop, first_samp=first_samp, dated=dated)
    with pytest.raises(ValueError, match="Mark the gap") as caught:
        filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)
    remedy = re.search(r"raw\.annotations\.append\(.*?\)", str(caught.value))
    assert remedy is not None
    eval(remedy[0], {"raw": raw})
    onsets = raw.annotations.onset.copy()
    filtered = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)
    broken = ~np.isfinite(filtered.get_data())
    assert broken.sum() == broken[1, start:stop].sum() == stop - start
    assert_array_equal(filtered.annotations.onset, onsets)
    assert filtered.annotations.description.tolist() == ["BAD_gap"]
    if stop < 9000:
        epochs = mne.make_fixed_length_epochs(filtered, 2.0, preload=True, verbose="error")
        assert len(epochs) == 19
        assert np.isfinite(epochs.get_data(picks="eeg")).all()


@pytest.mark.parametrize("description", ["BAD_gap", "bad", "BAD_ACQ_SKIP", "Bad data"])
def test_each_stretch_between_gaps_is_filtered_as_if_it_were_alone(description: str) -> None:
    raw = with_gap(7500, 7600)
    raw.set_annotations(mne.Annotations(30.0, 0.4, description))
    data = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING).get_data(picks="eeg")
    for first, last in ((0, 7499), (7600, 9999)):
        part = raw.copy().crop(first / 250, last / 250).set_annotations(None)
        alone = filter_recording(part, NEURORVQ_EEG_PREPROCESSING).get_data(picks="eeg")
        assert_allclose(data[:, first : last + 1], alone, atol=1e-12)


def test_an_infinite_gap_is_not_clipped_to_a_plateau() -> None:
    raw = with_gap(7500, 7600, np.inf)
    raw.set_annotations(mne.Annotations(30.0, 0.4, "BAD_gap"))
    data = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING).get_data(picks=["Cz"])[0]
    assert np.isinf(data[7500:7600]).all()


def test_a_bad_annotation_without_a_gap_changes_nothing() -> None:
    raw = make_raw()
    plain = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING).get_data()
    raw.set_annotations(mne.Annotations(10.0, 2.0, "BAD_muscle"))
    assert_array_equal(filter_recording(raw, NEURORVQ_EEG_PREPROCESSING).get_data(), plain)


def test_annotations_of_one_channel_mark_gaps_of_that_channel_only() -> None:
    raw = with_gap(7500, 7600)
    raw.set_annotations(mne.preprocessing.annotate_nan(raw))
    assert np.isnan(filter_recording(raw, NEURORVQ_EEG_PREPROCESSING).get_data()).sum() == 100
    raw._data[0, 7500:7600] = np.nan
    with pytest.raises(ValueError, match="'C3' is NaN"):
        filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)


def test_stretches_shorter_than_any_filter_stay_finite() -> None:
    raw = with_gap(7500, 7600)
    raw._data[1, [7510, 7520, 7521]] = 1e-5
    raw.set_annotations(mne.Annotations(30.0, 0.4, "BAD_gap"))
    data = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING).get_data(picks=["Cz"])[0]
    assert np.isnan(data).sum() == 97
    assert np.nanmax(np.abs(data[7500:7600])) < 1e-4


def test_a_channel_that_is_nothing_but_a_gap_is_named_and_passes_when_marked_bad() -> None:
    raw = with_gap(0, 10_000)
    with pytest.raises(ValueError, match=r"throughout: 'Cz'.*info\['bads'\] \+= \['Cz'\]"):
        filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)
    raw.info["bads"] += ["Cz"]
    filtered = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING, average_reference=True)
    others = filter_recording(raw.copy().drop_channels(["Cz"]), NEURORVQ_EEG_PREPROCESSING)
    others.set_eeg_reference("average", verbose="error")
    assert np.isnan(filtered.get_data(picks=["Cz"])).all()
    assert_allclose(filtered.get_data(picks=["C3", "C4"]), others.get_data(picks="eeg"), atol=1e-18)
    assert filtered.info["lowpass"] == 44.5


def test_a_bad_channel_with_a_gap_keeps_it_to_itself() -> None:
    raw = with_gap(7500, 7600)
    raw.info["bads"] = ["Cz"]
    data = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING).get_data()
    assert np.isnan(data).sum() == np.isnan(data[1, 7500:7600]).sum() == 100
    plain = filter_recording(make_raw(), NEURORVQ_EEG_PREPROCESSING).get_data()
    assert_array_equal(data[[0, 2]], plain[[0, 2]])


def test_gaps_of_channels_that_are_not_filtered_do_not_matter() -> None:
    raw = make_raw()
    raw._data[3, 100:200] = np.nan
    assert np.isfinite(
        filter_recording(raw, NEURORVQ_EEG_PREPROCESSING).get_data(picks="eeg")
    ).all()


def test_a_recording_that_is_one_gap_raises() -> None:
    raw = make_raw().set_annotations(mne.Annotations(0.0, 40.0, "BAD_ACQ_SKIP"))
    with pytest.raises(ValueError, match="raw is one gap"):
        filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)


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


@pytest.mark.parametrize(("highpass", "lowpass"), [(1.0, 40.0), (0.25, 50.0), (0.5, 44.5)])
def test_a_band_near_the_models_passes(highpass: float | None, lowpass: float | None) -> None:
    assert not check_band(as_trials(epochs_filtered(highpass, lowpass)), NEURORVQ_EEG_PREPROCESSING)


@pytest.mark.parametrize(
    ("highpass", "lowpass", "band"),
    [(None, None, "0-125"), (0.1, 40.0, "0.1-40"), (0.5, 100.0, "0.5-100"), (None, 45.0, "0-45")],
)
def test_a_wider_band_warns_once_and_names_preprocess(
    highpass: float | None, lowpass: float | None, band: str
) -> None:
    trials = as_trials(epochs_filtered(highpass, lowpass))
    with pytest.warns(UserWarning, match=rf"hold {band} Hz.*preprocess\(raw, pre") as caught:
        assert check_band(trials, NEURORVQ_EEG_PREPROCESSING)
    assert len(caught) == 1
    assert "raw.pick" not in str(caught[0].message)


@pytest.mark.parametrize(
    ("highpass", "lowpass", "named", "unnamed"),
    [
        (0.1, 40.0, "drifts", "hum"),
        (0.5, 100.0, "hum", "drifts"),
        (None, None, "drifts", "nothing"),
    ],
)
def test_only_the_side_that_is_wide_is_named(
    highpass: float | None, lowpass: float | None, named: str, unnamed: str
) -> None:
    with pytest.warns(UserWarning, match=f"Hz: {named}") as caught:
        check_band(as_trials(epochs_filtered(highpass, lowpass)), NEURORVQ_EEG_PREPROCESSING)
    message = str(caught[0].message)
    assert unnamed not in message
    # Such Epochs may have been made from a filtered array.
    assert ("pass the array itself" in message) == (highpass is lowpass is None)


@pytest.mark.parametrize("sfreq", [64.0, 100.0, 250.0])
@pytest.mark.parametrize(
    "facts",
    [NEURORVQ_EEG_PREPROCESSING, BIOCODEC_EEG_PREPROCESSING, BRAINRVQ_EEG_PREPROCESSING],
)
def test_what_a_model_s_own_filters_leave_passes(sfreq: float, facts: Preprocessing) -> None:
    filtered = filter_recording(make_raw(sfreq), facts)
    epochs = mne.make_fixed_length_epochs(filtered, 2.0, preload=True, verbose="error")
    assert not check_band(as_trials(epochs), facts)


def test_beside_other_sensors_the_remedy_is_to_pick_eeg_first() -> None:
    raw = make_raw().set_channel_types({"ECG": "seeg"}, on_unit_change="ignore", verbose="error")

    def trials(raw: mne.io.BaseRaw) -> Trials:
        filtered = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)
        return as_trials(mne.make_fixed_length_epochs(filtered, 2.0, verbose="error"))

    with pytest.warns(UserWarning, match=r"to EEG only: raw\.pick\('eeg'\) before"):
        check_band(trials(raw), NEURORVQ_EEG_PREPROCESSING)
    assert not check_band(trials(raw.copy().pick("eeg")), NEURORVQ_EEG_PREPROCESSING)


def test_the_nyquist_frequency_of_a_slow_recording_is_no_contradiction() -> None:
    raw = make_raw(64.0).filter(0.5, None, verbose="error")
    epochs = mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")
    check_band(as_trials(epochs), NEURORVQ_EEG_PREPROCESSING)


@pytest.mark.parametrize("sfreq", [160.0, 250.0])
def test_what_the_filters_of_biocodec_leave_passes_at_every_rate(sfreq: float) -> None:
    filtered = filter_recording(make_raw(sfreq), BIOCODEC_EEG_PREPROCESSING)
    assert filtered.info["lowpass"] == min(100.0, sfreq / 2 - 0.5)
    epochs = mne.make_fixed_length_epochs(filtered, 2.0, preload=True, verbose="error")
    check_band(as_trials(epochs), BIOCODEC_EEG_PREPROCESSING)


def test_what_neurorvq_sees_is_too_narrow_for_biocodec() -> None:
    with pytest.warns(UserWarning, match=r"filtered to 0\.5-44\.5 Hz.*trained on 0\.5-100 Hz"):
        check_band(as_trials(epochs_filtered(0.5, 44.5)), BIOCODEC_EEG_PREPROCESSING)


@pytest.mark.parametrize("facts", [BIOCODEC_EEG_PREPROCESSING, BRAINRVQ_EEG_PREPROCESSING])
def test_other_systems_lose_the_hum_but_keep_gamma_and_artifacts(facts: Preprocessing) -> None:
    raw = make_raw(512.0)
    filtered = filter_recording(raw, facts)
    before, after = (recording.get_data(picks=["Cz"])[0] for recording in (raw, filtered))
    frequencies, (before, after) = signal.welch(np.array([before, after]), 512.0, nperseg=10_000)
    hum, gamma = np.argmin(np.abs(frequencies - 50)), (frequencies > 62) & (frequencies < 70)
    assert after[hum] < 1e-4 * before[hum]
    assert 0.3 < np.median(after[gamma]) / np.median(before[gamma]) <= 1.05
    assert np.abs(filtered.get_data(picks=["C3"])).max() > 1e-3


@pytest.mark.parametrize(
    ("highpass", "lowpass", "message"),
    [(0.5, 12.0, "filtered to 0.5-12 Hz,"), (None, None, "hold 0-125 Hz,")],
)
def test_one_item_of_a_list_is_enough_be_it_narrow_or_wide(
    highpass: float | None, lowpass: float | None, message: str
) -> None:
    items = [epochs_filtered(0.5, 44.5), epochs_filtered(highpass, lowpass)]
    for order in (items, items[::-1]):
        with pytest.warns(UserWarning, match=message) as caught:
            check_band(as_trials(order), NEURORVQ_EEG_PREPROCESSING)
        assert len(caught) == 1


def test_narrow_and_wide_items_share_one_warning() -> None:
    items = [epochs_filtered(None, None), epochs_filtered(8.0, 12.0)]
    with pytest.warns(UserWarning, match="filtered to 8-12 Hz.*hold 0-125 Hz") as caught:
        check_band(as_trials(items), NEURORVQ_EEG_PREPROCESSING)
    assert len(caught) == 1


def test_arrays_say_nothing_about_filters() -> None:
    trials = as_trials(np.ones((1, 1, 200)), ch_names=["Cz"], sfreq=200.0)
    check_band(trials, NEURORVQ_EEG_PREPROCESSING)


@pytest.mark.parametrize("factor", [1e6, 1e3, 1e-3, 1e-6])
@pytest.mark.parametrize("preprocessing", [NEURORVQ_EEG_PREPROCESSING, BIOCODEC_EEG_PREPROCESSING])
def test_another_unit_is_found_before_clipping_hides_it(preprocessing, factor: float) -> None:
    raw = make_raw().apply_function(lambda x: factor * x, picks="eeg")
    with pytest.raises(ValueError, match=f"multiply the recording by 1e{-round(np.log10(factor))}"):
        filter_recording(raw, preprocessing)


def test_a_part_of_another_recording_is_found_by_its_time() -> None:
    parts = [make_raw(), make_raw(), make_raw()]
    parts[1].apply_function(lambda x: 1e3 * x, picks="eeg")
    raw = mne.concatenate_raws(parts, verbose="error")
    with pytest.raises(ValueError, match=r"from (39|40|41) s to (79|80|81) s of .* by 1e-3"):
        filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)
    raw.set_annotations(mne.Annotations(40.0, 40.0, "BAD_unit", orig_time=raw.info["meas_date"]))
    filter_recording(raw, BIOCODEC_EEG_PREPROCESSING)


@pytest.mark.parametrize("factor", [1e3, 1e-3])
def test_one_recording_of_eight_in_another_unit_is_found_and_artifacts_are_not(
    factor: float,
) -> None:
    parts = [make_raw() for _ in range(8)]
    parts[3].apply_function(lambda x: factor * x, picks="eeg")
    raw = mne.concatenate_raws(parts, verbose="error")
    with pytest.raises(ValueError, match="multiply that part, before it is joined, by 1e") as error:
        filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)
    assert "apply_function" not in str(error.value)
    longer = make_raw(n_seconds=320)
    for start in (20, 150, 260):
        longer._data[:3, start * 250 : (start + 12) * 250] *= factor
    filter_recording(longer, BIOCODEC_EEG_PREPROCESSING)


def test_channels_in_another_unit_are_named() -> None:
    raw = make_raw().apply_function(lambda x: 1e6 * x, picks=["C3", "C4"])
    with pytest.raises(ValueError, match=r"channels 'C3', 'C4' .*microvolts.*picks=\) by 1e-6"):
        filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)


def test_bad_channels_and_artifacts_do_not_decide_about_the_unit() -> None:
    raw = make_raw()
    raw._data[:2] *= 1e6
    raw.info["bads"] = ["C3", "Cz"]
    raw._data[2, :1000] *= 1e3
    filter_recording(raw, BIOCODEC_EEG_PREPROCESSING)
    raw.info["bads"] = ["C3", "Cz", "C4"]
    filter_recording(raw, BIOCODEC_EEG_PREPROCESSING)


def test_channels_that_are_clipped_often_are_named_the_worst_first() -> None:
    raw = make_raw()
    raw.apply_function(lambda x: 20 * x, picks=["Cz"])
    raw.apply_function(lambda x: 60 * x, picks=["C4"])
    with pytest.warns(UserWarning, match=r"500 uV.*'C4' \(\d+%\), 'Cz' \(\d+%\)\.") as caught:
        filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)
    assert len(caught) == 1
    raw.info["bads"] = ["Cz", "C4"]
    filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)


def test_a_value_beyond_single_precision_is_refused_with_its_channel() -> None:
    raw = make_raw()
    raw._data[1, 77] = 1e308
    with pytest.raises(ValueError, match="Channel 'Cz' has values up to 1e"):
        filter_recording(raw, BIOCODEC_EEG_PREPROCESSING)
