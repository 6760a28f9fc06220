# License: BSD-3-Clause
"""Sleep-EDF, TUAB and TUEV in folders: whose file is what, and which windows it gives."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from optional_library import import_or_skip

import_or_skip("moabb", "benchmark")

from mne_neurorvq.benchmarks.clinical_recordings import (
    _TEN_TWENTY,
    DigitSpan,
    SleepEdf,
    Tuab,
    Tuev,
)
from mne_neurorvq.benchmarks.tasks import TASKS


@pytest.fixture
def edf(monkeypatch):
    """Give, in place of what is in a file, noise in its channels."""
    recordings = {}

    def read(path, include=None, **kwargs):
        names, seconds, rate = recordings["of"]
        noise = 1e-5 * np.random.default_rng(0).standard_normal((len(names), int(seconds * rate)))
        info = mne.create_info(list(names), rate, "eeg")
        return mne.io.RawArray(noise, info, verbose="error").pick(include or "all")

    monkeypatch.setattr(mne.io, "read_raw_edf", read)
    return recordings


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_nights_are_cut_into_stages_with_half_an_hour_of_wake(tmp_path, edf, monkeypatch):
    touch(tmp_path, "SC4001E0-PSG.edf", "SC4001EC-Hypnogram.edf", "SC4011E0-PSG.edf")
    edf["of"] = (["EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal"], 6000.0, 100.0)
    stages = mne.Annotations(
        [0.0, 3000.0, 3060.0, 3090.0, 3120.0],
        [3000.0, 60.0, 30.0, 30.0, 2880.0],
        [f"Sleep stage {stage}" for stage in ("W", "2", "R", "?", "W")],
    )
    monkeypatch.setattr(mne, "read_annotations", lambda path: stages)
    dataset = SleepEdf(tmp_path)
    assert dataset.subject_list == ["SC400"]  # of the other one there are no stages
    epochs, labels, _ = TASKS["sleep"].paradigm.get_data(dataset, return_epochs=True)
    first, second = epochs.get_data(copy=False).transpose(1, 0, 2)
    assert first.shape[1:] == (3000,)
    # Each derivation is its own: an average of two would make one the negative of the other.
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1
    assert labels.tolist() == ["W"] * 60 + ["S2"] * 2 + ["REM"] + ["W"] * 59


def test_only_tasks_of_many_electrodes_of_one_reference_have_the_average():
    """Derivations, hearts and muscles keep what they were recorded against."""
    recorded = {
        name
        for name, task in TASKS.items()
        if task.paradigm.settings["reference"] is None and "recorded-reference" not in name
    }
    assert recorded == {"sleep", "diagnosis", "superclasses", "movements"}


def test_recordings_are_normal_or_abnormal_by_their_folder(tmp_path, edf):
    place = "edf/{}/{}/01_tcp_ar/{}_s001_t000.edf"
    touch(
        tmp_path,
        place.format("train", "normal", "aaaaaaaa"),
        place.format("eval", "abnormal", "aaaaaaab"),
        place.format("train", "normal", "aaaaaaac"),
        place.format("train", "abnormal", "aaaaaaac").replace("s001", "s002"),
    )
    edf["of"] = ([f"EEG {name.upper()}-REF" for name in [*_TEN_TWENTY, "A1"]], 25.0, 250.0)
    dataset = Tuab(tmp_path)
    assert dataset.subject_list == ["aaaaaaaa", "aaaaaaab"]
    epochs, labels, _ = TASKS["abnormal"].paradigm.get_data(dataset, return_epochs=True)
    assert epochs.ch_names == _TEN_TWENTY
    assert epochs.get_data(copy=False).shape == (4, 19, 2000)
    assert labels.tolist() == ["normal"] * 2 + ["abnormal"] * 2
    edf["of"] = ([f"EEG {name.upper()}-LE" for name in _TEN_TWENTY[1:]], 25.0, 250.0)
    with pytest.raises(ValueError, match="has no channel Fp1: leave it out"):
        TASKS["abnormal"].paradigm.get_data(dataset, return_epochs=True)


def test_events_on_several_channels_are_one_trial(tmp_path, edf):
    touch(tmp_path, "train/aaaaaaar/aaaaaaar_00000001.edf")
    marks = "0,5.0,6.0,6\n3,5.0,6.0,6\n2,12.0,13.0,1\n"
    (tmp_path / "train/aaaaaaar/aaaaaaar_00000001.rec").write_text(marks)
    edf["of"] = ([f"EEG {name.upper()}-REF" for name in _TEN_TWENTY], 20.0, 250.0)
    dataset = Tuev(tmp_path)
    assert dataset.subject_list == ["aaaaaaar"]
    epochs, labels, _ = TASKS["events"].paradigm.get_data(dataset, return_epochs=True)
    assert labels.tolist() == ["bckg", "spsw"]
    assert epochs.tmin == -2.0
    assert epochs.get_data(copy=False).shape == (2, 19, 1000)


def test_sequences_of_thirteen_digits_are_found_by_their_first(tmp_path, monkeypatch):
    touch(tmp_path, "sub-032/eeg/sub-032_task-memory_eeg.set", "sub-033_task-memory_events.tsv")
    rows = [
        (1.0, "memory 01/05 correct: memorize digit 1 (first) in 5 digit sequence"),
        (20.0, "memory 01/13 correct: memorize digit 1 (first) in 13 digit sequence"),
        (22.0, "memory 02/13 correct: memorize digit 2 in 13 digit sequence"),
        (50.0, "control 01/13: listen to digit 1 (first) in 13 digit sequence"),
        (75.0, "STATUS"),
    ]
    table = "\n".join(["onset\ttrial_type", *(f"{onset}\t{text}" for onset, text in rows)])
    (tmp_path / "sub-032/eeg/sub-032_task-memory_events.tsv").write_text(table)

    def read(path, **kwargs):
        noise = 1e-5 * np.random.default_rng(0).standard_normal((3, 16000))
        return mne.io.RawArray(noise, mne.create_info(["Fz", "C3", "Pz"], 200.0, "eeg"))

    monkeypatch.setattr(mne.io, "read_raw_eeglab", read)
    dataset = DigitSpan(tmp_path)
    assert dataset.subject_list == ["sub-032"]
    epochs, labels, _ = TASKS["memory"].paradigm.get_data(dataset, return_epochs=True)
    assert labels.tolist() == ["memory", "control"]
    assert epochs.get_data(copy=False).shape == (2, 3, 800)
    assert epochs.events[:, 0].tolist() == [4000, 10000]
    assert epochs.tmin == 14.0
