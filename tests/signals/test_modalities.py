# License: BSD-3-Clause
"""Which channels hold which signals, where they go in a vocabulary, and how large they are."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from mne_neurorvq.models import NEURORVQ_ECG, NEURORVQ_EMG, NEURORVQ_PPG
from mne_neurorvq.signals import (
    as_trials,
    check_amplitude,
    check_scale,
    match_channels,
    use_channels,
)

LEADS = {
    "twelve": "I=i;II=ii;III=iii;aVR=avr;aVL=avl;aVF=avf;V1=v1;V6=v6;AVR=avr;avf=avf",
    "EDF": "ECG I=i;ECG aVR=avr;EKG V2=v2;ECG V3-REF=v3;ECG II-LE=ii;ecg_V5=v5;ECG-II=ii",
    "spelled out": "Lead II=ii;Lead_aVL=avl;ECG Lead V4=v4;LeadIII=iii;ECGV2=v2",
    "modified": "MLI=i;MLII=ii;ML2=ii;MLIII=iii;MCL1=v1",
    "other countries": "DI=i;DII=ii;D3=iii;LII=ii",
    "electrodes": "LA-RA=i;LL-RA=ii;LL-LA=iii",
    "Frank": "vx=vx;VY=vy;X=vx;Y=vy;Z=vz;Frank X=vx;ECG Z=vz",
    "Roman": "Ⅰ=i;Ⅱ=ii;Ⅲ=iii",
    "inverted": "-aVR=;ECG -aVR=;RA-LA=",
    "differences": "I-aVR=;V1-V2=",
    "no lead": "ECG=;EKG=;V=;V7=;ECG1=;Resp=",
}


def match(names, config, ch_types=None, **options):
    """Names of the vocabulary, None for channels that are left out."""
    if isinstance(ch_types, str):
        ch_types = [ch_types] * len(names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        report = match_channels(
            names, config.channels, ch_types=ch_types, modality=config.modality, **options
        )
    return [found.target for found in report]


@pytest.mark.parametrize("kind", LEADS)
def test_leads_are_known_in_the_spellings_of_devices_and_files(kind):
    for pair in LEADS[kind].split(";"):
        name, lead = pair.split("=")
        other = "V4" if lead != "v4" else "V1"
        assert match([name, other], NEURORVQ_ECG, "ecg") == [lead or None, other.lower()], name


def test_a_lead_that_is_no_lead_says_what_to_do():
    with pytest.raises(ValueError, match=r"'ECG' \(names no lead.*rename_channels"):
        match(["ECG"], NEURORVQ_ECG, "ecg")
    with pytest.warns(UserWarning, match="'I-aVR' .a difference of two leads"):
        match_channels(["I-aVR", "II"], NEURORVQ_ECG.channels, modality="ecg")


def test_muscles_are_taken_in_their_order_whatever_they_are_called():
    names = ["rectus femoris", "EMG 7", "Fz", "c2"]
    assert match(names, NEURORVQ_EMG, "emg") == ["c1", "c2", "c3", "c4"]
    report = match_channels(names, NEURORVQ_EMG.channels, ch_types=["emg"] * 4, modality="emg")
    assert [(found.how, found.row) for found in report] == [
        ("order", NEURORVQ_EMG.channels.index(place)) for place in ("c1", "c2", "c3", "c4")
    ]


def test_channels_of_an_array_that_are_called_as_in_the_vocabulary_keep_their_places():
    assert match(["C1", "c10", "EMG C2"], NEURORVQ_EMG) == ["c1", "c10", "c2"]


def test_more_muscles_than_places_are_left_out_and_named():
    names = [f"EMG{i}" for i in range(18)]
    with pytest.warns(UserWarning, match="'EMG16', 'EMG17' .beyond the 16 channels"):
        report = match_channels(names, NEURORVQ_EMG.channels, modality="emg")
    assert sum(found.used for found in report) == 16


def test_a_bad_muscle_does_not_move_the_others():
    names = ["left", "middle", "right"]
    assert match(names, NEURORVQ_EMG, "emg", bads=["middle"]) == ["c1", None, "c3"]


@pytest.mark.parametrize("name", ["X", "D1", "Resp"])
def test_a_name_that_may_be_anything_is_a_lead_only_by_its_type(name):
    assert match([name, "II", "MLI"], NEURORVQ_ECG, "misc") == [None, "ii", "i"]
    assert match([name, "II"], NEURORVQ_ECG, "ecg")[0] == {"X": "vx", "D1": "i"}.get(name)


def test_numbers_of_muscles_are_no_sites_of_a_cap():
    assert match([f"C{i}" for i in range(1, 9)], NEURORVQ_EMG, "misc")[::7] == ["c1", "c8"]
    with pytest.raises(ValueError, match="None of the 3 channels"):
        match(["C3", "C4", "C5"], NEURORVQ_EMG, "misc")


@pytest.mark.parametrize("config", [NEURORVQ_EMG, NEURORVQ_PPG])
def test_sensors_beside_biosignals_are_never_taken_for_them(config):
    names = ["SpO2", "RESP", "ACC X", "Trigger"]
    with pytest.raises(ValueError, match="None of the 4 channels"):
        match(names, config, "misc")
    muscles = ["temporalis", "adductor magnus"]
    assert all(match([*names, *muscles], config, "misc")[4:])


def test_every_pulse_has_the_only_place():
    assert match(["PLETH", "wrist"], NEURORVQ_PPG) == ["ppg_c1", "ppg_c1"]


MIXED = {
    "Cz": "eeg",
    "Fz": "eeg",
    "EOG": "eog",
    "rectus": "emg",
    "II": "ecg",
    "PLETH": "misc",
    "STI": "stim",
}


@pytest.mark.parametrize(
    ("config", "taken"),
    [(NEURORVQ_EMG, ["rectus"]), (NEURORVQ_ECG, ["II"]), (NEURORVQ_PPG, ["PLETH"])],
    ids=lambda value: getattr(value, "modality", ""),
)
def test_of_a_mixed_recording_each_model_takes_its_own(config, taken):
    found = match(list(MIXED), config, list(MIXED.values()))
    assert [name for name, target in zip(MIXED, found, strict=True) if target] == taken


@pytest.mark.parametrize("name", ["EMG chin", "emg1", "left EMG"])
def test_a_name_that_says_emg_counts_where_a_reader_calls_everything_eeg(name):
    assert match(["Cz", "ECG II", name], NEURORVQ_EMG, "eeg") == [None, None, "c1"]


@pytest.mark.parametrize("name", ["PPG", "Pleth", "BVP", "IR", "red_led", "PPG_IR", "MAX RED"])
def test_a_pulse_is_known_by_its_name(name):
    assert match([name, "Cz", "RESP"], NEURORVQ_PPG, ["misc", "eeg", "misc"])[0] == "ppg_c1"
    assert match(["Cz", "infrared camera", name], NEURORVQ_PPG, "eeg")[0] is None


@pytest.mark.parametrize("config", [NEURORVQ_EMG, NEURORVQ_ECG, NEURORVQ_PPG])
def test_an_eeg_is_refused_with_what_helps(config):
    with pytest.raises(ValueError, match="None of the 2 channels"):
        match(["Cz", "E12"], config, "eeg")
    if config is NEURORVQ_EMG:
        with pytest.raises(ValueError, match="set_channel_types"):
            use_channels(["Cz", "E12"], ch_types=["eeg"] * 2, modality="emg")


@pytest.mark.parametrize("mode", ["nearest", "interpolate"])
def test_positions_on_the_head_are_for_eeg(mode):
    with pytest.raises(ValueError, match=f"channels='{mode}' goes by positions on the head"):
        match(["II"], NEURORVQ_ECG, mode=mode)


# Standard deviations in the unit of the model that people record.
USUAL = {"emg": ("uV", (2, 20, 340)), "ecg": ("mV", (0.025, 0.15, 1.7)), "ppg": ("au", (0.03, 0.3))}


@pytest.mark.parametrize("modality", USUAL)
def test_what_people_record_passes_and_a_factor_of_1000_is_found_on_both_sides(modality):
    unit, levels = USUAL[modality]
    noise = np.random.default_rng(0).standard_normal((2, 3, 400))
    for level in levels:
        check_scale(level * noise, unit, modality)
    for factor in (1e-3, 1e3):
        with pytest.raises(ValueError, match="typical standard deviation"):
            check_scale(factor * levels[1] * noise, unit, modality)


def test_millivolts_of_an_ecg_stored_as_volts_are_named():
    noise = 0.15 * np.random.default_rng(0).standard_normal((4, 2, 400))
    trials = as_trials(noise, ch_names=["I", "II"], sfreq=200.0, unit="V")
    matches = match_channels(trials.ch_names, NEURORVQ_ECG.channels, modality="ecg")
    with pytest.raises(ValueError, match="looks like millivolts: pass unit='mV'"):
        check_amplitude(trials, matches, modality="ecg")


def test_counts_of_a_pulse_sensor_come_with_the_factor():
    counts = 3e4 * np.random.default_rng(0).standard_normal((4, 1, 400))
    with pytest.raises(ValueError, match=r"far from the 0.1 .*: multiply them by 1e-5"):
        check_scale(counts, "au", "ppg")


def test_a_muscle_may_contract_while_another_rests():
    signals = np.random.default_rng(0).standard_normal((20, 3, 400)) * [[[100.0], [3.0], [2.0]]]
    trials = as_trials(signals, ch_names=["a", "b", "c"], sfreq=200.0)
    matches = match_channels(trials.ch_names, NEURORVQ_EMG.channels, modality="emg")
    assert not check_amplitude(trials, matches, modality="emg")
