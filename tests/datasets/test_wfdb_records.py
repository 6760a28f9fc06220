# License: BSD-3-Clause
"""WFDB records become Raw in volts with their marks; PTB-XL becomes Epochs with diagnoses."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from numpy.testing import assert_allclose
from optional_library import import_or_skip

from mne_neurorvq.datasets import load_ptbxl, read_wfdb, trial_column

wfdb = import_or_skip("wfdb", "ecg")

LEADS = ["I", "II", "III", "AVR", "AVL", "AVF", *(f"V{i}" for i in range(1, 7))]


def test_a_holter_record_has_volts_types_and_beats(shared):
    raw = read_wfdb(shared / "data/ecg_mitbih/100.hea")
    assert raw.ch_names == ["MLII", "V5"]
    assert raw.get_channel_types() == ["ecg", "ecg"]
    assert raw.info["sfreq"] == 360
    record = wfdb.rdrecord(str(shared / "data/ecg_mitbih/100"), physical=True)
    assert_allclose(raw.get_data(), 1e-3 * record.p_signal.T)
    assert raw.info["subject_info"]["his_id"] == "100"
    beats = raw.annotations[raw.annotations.description == "N"]
    assert len(beats) == 2239  # the annotators' count of normal beats
    # An R peak is where the annotation says.
    (signal,) = raw.get_data(picks=["MLII"])
    first = raw.time_as_index(beats[5]["onset"])[0]
    around = signal[first - 30 : first + 30]
    assert abs(int(around.argmax()) - 30) <= 2


def test_bedside_records_keep_units_that_are_no_volts_and_gaps(shared):
    raw = read_wfdb(shared / "data/ppg_wfdb_samples/v102s")
    types = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    assert types == {"II": "ecg", "V": "ecg", "PLETH": "misc", "RESP": "misc"}
    assert np.isnan(raw.get_data(picks=["PLETH"])).sum() == 17
    assert "False alarm" in raw.info["description"]


def test_channels_are_typed_by_name_and_unit(tmp_path):
    channels = {"EMG chin": "uV", "EEG C3": "uV", "Lead 2": "V", "ABP": "mmHg"}
    lines = [f"mixed.dat 16 100(0)/{unit} 16 0 0 0 0 {name}" for name, unit in channels.items()]
    (tmp_path / "mixed.hea").write_text("\n".join(["mixed 4 100 200", *lines]) + "\n")
    np.full((200, 4), 100, "<i2").tofile(tmp_path / "mixed.dat")
    raw = read_wfdb(tmp_path / "mixed.hea")
    assert raw.get_channel_types() == ["emg", "eeg", "ecg", "misc"]
    assert_allclose(raw.get_data()[:, 100], [1e-6, 1e-6, 1, 1])


def test_a_record_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no WFDB record .*201: 201\.hea is missing"):
        read_wfdb(tmp_path / "201.hea")


def test_ptbxl_has_people_folds_and_superclasses(shared):
    epochs = load_ptbxl(shared / "data/ecg_ptbxl")
    assert epochs.get_data(copy=False).shape == (200, 12, 1000)
    assert epochs.ch_names == LEADS
    assert len(set(trial_column(epochs, "subject"))) == 183
    people = {}
    for subject, fold in zip(
        trial_column(epochs, "subject"), trial_column(epochs, "fold"), strict=True
    ):
        assert people.setdefault(subject, fold) == fold  # nobody is in two folds
    assert trial_column(epochs, "NORM").sum() == 126
    first = epochs[0]
    assert trial_column(first, "recording").tolist() == [1]
    raw = read_wfdb(shared / "data/ecg_ptbxl/records100/00000/00001_lr")
    assert_allclose(first.get_data(copy=False)[0], raw.get_data())


def test_ptbxl_by_fold_and_rate(shared):
    epochs = load_ptbxl(shared / "data/ecg_ptbxl", sfreq=500, folds=[9, 10])
    assert epochs.info["sfreq"] == 500
    assert set(trial_column(epochs, "fold")) == {9, 10}


def test_ptbxl_says_what_is_missing(shared, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"scp_statements.csv is missing"):
        load_ptbxl(tmp_path)
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        shutil.copy(shared / "data/ecg_ptbxl" / name, tmp_path)
    with pytest.raises(FileNotFoundError, match="has no records of 100 Hz: download"):
        load_ptbxl(tmp_path)
    with pytest.raises(ValueError, match="sfreq must be 100 or 500, got 250"):
        load_ptbxl(tmp_path, sfreq=250)
