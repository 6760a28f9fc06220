# License: BSD-3-Clause
"""Tables and arrays of muscles and pulse waves become Raw in volts, or say what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mne_neurorvq.datasets import load_emg_lower_limb, read_bidmc, read_welltory


def test_thigh_muscles_are_in_volts_with_person_group_and_task(shared):
    folder = shared / "data/emg_lower_limb"
    recordings = load_emg_lower_limb(folder)
    assert len(recordings) == 66
    people = {raw.info["subject_info"]["his_id"] for raw in recordings}
    assert len(people) == 22
    raw = recordings[0]
    assert raw.info["subject_info"]["his_id"] == "A1"
    assert raw.info["subject_info"]["last_name"] == "knee disorder"
    assert set(raw.get_channel_types()) == {"emg"}
    assert raw.info["sfreq"] == 1000
    assert raw.annotations.description.tolist() == ["gait"]
    assert_allclose(raw.annotations.duration, raw.n_times / 1000)
    with np.load(folder / "A1.npz") as arrays:
        assert_allclose(raw.get_data(), 1e-7 * arrays["gait_emg_1e-4mV"])


def test_wrong_tasks_and_files_of_muscles_are_refused(shared, tmp_path):
    with pytest.raises(ValueError, match=r"tasks must be some of .*, got \['running'\]"):
        load_emg_lower_limb(tmp_path, ["running"])
    with pytest.raises(FileNotFoundError, match=r"has no files such as N1\.npz"):
        load_emg_lower_limb(tmp_path)
    np.savez(tmp_path / "N1.npz", other=np.zeros(3))
    with pytest.raises(ValueError, match=r"N1\.npz has no array gait_emg_1e-4mV of 4 muscles"):
        load_emg_lower_limb(tmp_path)


def test_a_bedside_table_has_leads_in_volts_and_the_pulse_as_it_is(shared):
    file = shared / "data/ppg_bidmc/bidmc_01_Signals.csv"
    raw = read_bidmc(file)
    types = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    assert types == {"RESP": "misc", "PLETH": "misc", "V": "ecg", "AVR": "ecg", "II": "ecg"}
    assert raw.info["sfreq"] == 125
    assert len(raw.times) == 60001
    assert_allclose(raw.get_data()[:, 0], [0.35386, 0.43597, 0.52549e-3, 0.30392e-3, 0.72549e-3])
    assert raw.info["subject_info"]["his_id"] == "bidmc_01"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seconds,II\n0,1\n", "the first column is 'seconds'"),
        ("Time [s], II\n0,1\n0.008,1\n0.024,1\n", "the times are not every 8 ms"),
        ("Time [s], II\n0,1,2\n", "has 2 names but 3 columns"),
    ],
)
def test_a_damaged_table_is_refused(text, message, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_bidmc(tmp_path / "a.csv")


def test_camera_frames_become_even_samples_with_the_intervals_of_beats(shared):
    folder = shared / "data/ppg_welltory/data/subject_20"
    raw = read_welltory(folder)
    assert raw.ch_names == ["PPG R", "PPG G", "PPG B"]
    frames = np.loadtxt(folder / "PPG.csv", delimiter=",", skiprows=1)
    assert abs(raw.times[-1] - (frames[-1, 0] - frames[0, 0]) / 1e3) < 1 / 30
    assert_allclose(raw.get_data()[:, 0], frames[0, 1:])
    assert_allclose(raw.annotations.duration[:3], [0.659, 0.590, 0.625])
    assert_allclose(np.diff(raw.annotations.onset[:3]), [0.659, 0.590])
    assert raw.info["subject_info"]["his_id"] == "subject_20"
