# License: BSD-3-Clause
"""Recordings in folders as datasets of MOABB."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from optional_library import import_or_skip

import_or_skip("moabb", "benchmark")

from moabb.datasets import BNCI2014_001

from mne_neurorvq._names import OLDER_NAMES
from mne_neurorvq.benchmarks.recordings import (
    Eegmmidb,
    LowerLimb,
    Origin,
    PtbXl,
    in_windows,
    name_in_records,
)
from mne_neurorvq.benchmarks.tasks import TASKS, open_task
from mne_neurorvq.datasets.simulation import TEN_TWENTY

SITES = ["Fp1", "AF7", "AF8", "C3", "Cz", "C4"]


def write(folder, subject, runs=("04", "08", "12"), names=SITES):
    for run in runs:
        path = folder / "some" / subject / f"{subject}R{run}_raw.fif"
        path.parent.mkdir(parents=True, exist_ok=True)
        info = mne.create_info(list(names), 100.0, "eeg")
        noise = 1e-5 * np.random.default_rng(int(run)).standard_normal((len(names), 3000))
        raw = mne.io.RawArray(noise, info, verbose="error")
        raw.set_annotations(mne.Annotations([1, 6, 11, 16], 4.0, ["T0", "T1", "T0", "T2"]))
        raw.save(path, verbose="error")


def test_people_are_found_at_any_depth_and_read_with_moabbs_names(tmp_path):
    write(tmp_path, "S051")
    write(tmp_path, "S052")
    write(tmp_path, "S053", runs=("04",))  # not complete
    dataset = Eegmmidb(tmp_path)
    assert dataset.subject_list == ["S051", "S052"]
    epochs, labels, metadata = TASKS["imagery"].paradigm.get_data(dataset, return_epochs=True)
    assert epochs.get_data(copy=False).shape == (12, 6, 400)
    assert sorted(labels) == ["left"] * 6 + ["right"] * 6
    assert set(metadata["run"]) == {"0", "1", "2"}
    rest = TASKS["rest"].paradigm.get_data(dataset, return_epochs=True)[1]
    assert sorted(set(rest)) == ["imagery", "rest"]
    assert Eegmmidb(tmp_path, ["S052"]).subject_list == ["S052"]


def test_what_is_missing_is_said_with_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no complete recordings of anyone: .*physionet"):
        open_task("imagery", tmp_path)
    write(tmp_path, "S051")
    with pytest.raises(FileNotFoundError, match=r"recordings of S099: wanted are files such as"):
        open_task("imagery", tmp_path, ["S051", "S099"])


def test_files_of_other_studies_are_not_taken_for_ones_own(tmp_path):
    for name in ("visit_1.edf", "visit_2.edf", *(f"ownR{run}.edf" for run in ("04", "08", "12"))):
        (tmp_path / name).touch()
    for task in ("arithmetic", "imagery"):
        with pytest.raises(FileNotFoundError, match="no complete recordings of anyone"):
            open_task(task, tmp_path)


@pytest.mark.parametrize(
    ("task", "wanted"),
    [
        ("sleep", r"PSG\.edf with .*-Hypnogram\.edf"),
        ("memory", r"eeg\.set with .*events\.tsv"),
        ("events", r"\*\.edf with \*\.rec"),
        ("abnormal", r"normal/\*_s\?\?\?_t"),
    ],
)
def test_what_belongs_together_is_asked_for_together(task, wanted, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"wanted are files such as .*{wanted}"):
        open_task(task, tmp_path)


def test_imagery_4_is_run_without_what_its_eog_tells_and_from_that_alone(
    monkeypatch,
):
    names = "Fz FC3 FC1 FCz FC2 FC4 C5 C3 C1 Cz C2 C4 C6 CP3 CP1 CPz CP2 CP4 P1 Pz P2 POz".split()
    events = ["left_hand", "right_hand", "feet", "tongue"] * 3

    def recorded(self, subject):
        rng = np.random.default_rng(subject)
        info = mne.create_info([*names, "EOG1", "EOG2", "EOG3"], 250.0, ["eeg"] * 22 + ["eog"] * 3)
        data = 1e-5 * rng.standard_normal((25, 250 * 64))
        onsets = 2.0 + 5.0 * np.arange(len(events))
        for onset, event in zip(onsets, events, strict=True):
            # Eyes go to where the cue is, and spread to the front of the scalp.
            look = {"left_hand": -1e-4, "right_hand": 1e-4}.get(event, 0.0)
            course = look * np.sin(2 * np.pi * np.arange(1000) / 500)
            place = slice(int(250 * onset), int(250 * onset) + 1000)
            data[22:, place] += np.array([[1.0], [0.1], [-1.0]]) * course
            data[:6, place] += np.array([0.1, 0.5, 0.2, 0.1, -0.2, -0.5])[:, None] * course
        raw = mne.io.RawArray(data, info, verbose="error")
        raw.set_annotations(mne.Annotations(onsets, 4.0, events))
        return {"0train": {"0": raw}}

    monkeypatch.setattr(BNCI2014_001, "nemar_id", None)  # where it is downloaded from
    monkeypatch.setattr(BNCI2014_001, "_get_single_subject_data", recorded)
    found = {}
    for name in ("imagery-4", "imagery-4-eyes-removed", "imagery-4-eyes-only"):
        dataset = open_task(name, None, ["1"])
        epochs, labels, _ = TASKS[name].paradigm.get_data(dataset, return_epochs=True)
        assert sorted(set(labels)) == ["feet", "left_hand", "right_hand", "tongue"]
        found[name] = epochs.get_data(copy=False)[np.isin(labels, ["left_hand", "right_hand"])]
        eyes = epochs.ch_names[-3:] == ["Fp1", "Fpz", "Fp2"]
        assert eyes == (name == "imagery-4-eyes-only")
    published, removed, only = found.values()
    assert published.shape[1:] == removed.shape[1:] == (22, 800)
    assert only.shape[1:] == (3, 800)
    assert published[:, 1].std() > 2 * removed[:, 1].std()
    assert removed[:, 1].std() == pytest.approx(removed[:, 15].std(), rel=0.1)  # far from eyes
    assert only[:, 0].std() > 4 * removed[:, 1].std()


def test_two_data_sets_are_brought_to_the_sites_that_both_have(tmp_path, monkeypatch):
    write(tmp_path, "S051", names=[*TEN_TWENTY, "Iz"])
    for run in "12":
        (tmp_path / f"Subject08_{run}.edf").touch()
    older = {new.upper(): old.upper() for old, new in OLDER_NAMES.items()}

    def read(path, **_):
        names = [f"EEG {older.get(name, name)}" for name in TEN_TWENTY[::-1]]
        noise = 1e-5 * np.random.default_rng(0).standard_normal((19, 6000))
        return mne.io.RawArray(noise, mne.create_info(names, 500.0, "eeg"), verbose="error")

    monkeypatch.setattr(mne.io, "read_raw_edf", read)
    task = TASKS["origin"]
    epochs, labels, metadata = task.paradigm.get_data(Origin(tmp_path), return_epochs=True)
    assert labels.tolist() == ["eegmat"] * 3 + ["eegmmidb"] * 7
    assert set(metadata["subject"]) == {"eegmat Subject08", "eegmmidb S051"}
    assert epochs.ch_names == TEN_TWENTY
    names = {name_in_records(Origin(tmp_path), person) for person in metadata["subject"]}
    assert names == {("eegmat", "Subject08"), ("eegmmidb", "S051")}
    # Within people nothing differs: their features stay as they are.
    assert task.across


def test_windows_follow_one_another_to_the_end():
    raw = mne.io.RawArray(np.zeros((1, 1050)), mne.create_info(1, 100.0), verbose="error")
    notes = in_windows(raw.copy(), 4.0, "rest").annotations
    assert notes.onset.tolist() == [0.0, 4.0]
    assert set(notes.description) == {"rest"}
    raw.set_annotations(mne.Annotations([0.5, 5.0], [4.1, 2.0], ["a", "b"]))
    notes = in_windows(raw, 2.0).annotations
    assert list(zip(notes.onset, notes.description, strict=True)) == [
        (0.5, "a"),
        (2.5, "a"),
        (5.0, "b"),
    ]


def test_every_control_is_of_a_task_and_every_task_names_its_source():
    for name, task in TASKS.items():
        assert task.source, name
        assert bool(task.of) == bool(task.control)
        assert not task.of or task.of in TASKS


def test_muscles_are_read_by_person_without_the_one_who_is_there_twice(tmp_path):
    rng = np.random.default_rng(0)
    movements = ("gait", "sitting", "standing")
    for person in ("N1", "N2", "A1"):
        arrays = {
            f"{name}_emg_1e-4mV": rng.integers(-900, 900, (4, 5000)).astype(np.int16)
            for name in movements
        }
        np.savez(tmp_path / f"{person}.npz", **arrays)
    dataset = LowerLimb(tmp_path)
    assert sorted(dataset.subject_list) == ["A1", "N1"]
    epochs, labels, _ = TASKS["movements"].paradigm.get_data(dataset, return_epochs=True)
    assert epochs.get_data(copy=False).shape == (2 * 3 * 2, 4, 2000)
    assert set(labels) == set(movements)
    assert set(epochs.get_channel_types()) == {"emg"}


def test_records_have_their_superclass_or_several(tmp_path, monkeypatch):
    (tmp_path / "ptbxl_database.csv").touch()
    info = mne.create_info(["I", "II"], 100.0, "ecg")
    noise = 1e-4 * np.random.default_rng(0).standard_normal((2, 1000))
    found = [("NORM",), ("MI",), ("MI", "CD"), ()]
    records = [
        (
            f"{i}.hea",
            {"subject": f"patient{i % 3}", "recording": i}
            | {name: int(name in names) for name in ("NORM", "MI", "STTC", "CD", "HYP")},
        )
        for i, names in enumerate(found)
    ]
    read = []

    def signals(header):
        read.append(header)
        return mne.io.RawArray(noise, info, verbose="error")

    place = "mne_neurorvq.benchmarks.recordings"
    monkeypatch.setattr(f"{place}.ptbxl_records", lambda folder: records)
    monkeypatch.setattr(f"{place}.read_wfdb", signals)
    dataset = PtbXl(tmp_path)
    assert len(dataset.subject_list) == 3
    assert not read  # people are counted by the table
    _, labels, metadata = TASKS["diagnosis"].paradigm.get_data(dataset, return_epochs=True)
    assert dict(zip(metadata["subject"], labels, strict=True)) == {
        "patient0": "normal",
        "patient1": "abnormal",
        "patient2": "abnormal",
    }
