# License: BSD-3-Clause
"""From recordings to a corpus: what is in it, what is not, and what a killed run leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import mne
import numpy as np
import pytest
import zarr
from optional_library import import_or_skip

from mne_neurorvq.datasets import simulate_recordings
from mne_neurorvq.models import NEURORVQ_EEG
from mne_neurorvq.signals.channel_report import used_channels
from mne_neurorvq.training import CorpusDataset, prepare_corpus
from mne_neurorvq.training.corpus.format import window_starts
from mne_neurorvq.training.corpus.recording import model_signals, pick_matching
from mne_neurorvq.training.corpus.window_rules import Rules


def contents(corpus):
    """Every window of a corpus, both sides, by id."""
    windows = [window for side in ("train", "validation") for window in CorpusDataset(corpus, side)]
    assert len({window.id for window in windows}) == len(windows)
    return {window.id: window for window in windows}


def assert_same(one, other):
    first, second = contents(one), contents(other)
    assert first.keys() == second.keys()
    for name, window in first.items():
        np.testing.assert_array_equal(window.data, second[name].data)
        np.testing.assert_array_equal(window.rows, second[name].rows)
        assert window.subject == second[name].subject


def reasons(summary):
    return {Path(one["path"]).name: one["reason"] for one in summary["rejected"]["recordings"]}


def test_windows_are_the_filtered_recording_in_steps_of_a_ten_thousandth_of_the_limit(
    folder, corpus
):
    path = folder / "person3" / "second.edf"
    raw, matches = pick_matching(mne.io.read_raw(path, verbose="error"), NEURORVQ_EEG)
    windows = [w for w in CorpusDataset(corpus, "train") if w.subject == "person3"]
    # 26 s: four windows of 6 s and a rest of two patches.
    assert [w.data.shape for w in windows] == [(10, 1200)] * 4 + [(10, 400)]
    assert [w.id.rpartition(":")[2] for w in windows] == ["0", "6", "12", "18", "24"]
    joined = np.concatenate([w.data for w in windows], axis=1)
    np.testing.assert_allclose(joined, model_signals(raw, NEURORVQ_EEG), atol=0.0251)
    for window in windows:
        np.testing.assert_array_equal(window.rows, used_channels(matches)[1])
        assert window.data.dtype == np.float32


def test_people_are_on_one_side_and_the_summary_says_which(corpus):
    summary = json.loads((corpus / "summary.json").read_text())
    assert summary["subjects"] == {
        "train": ["person0", "person1", "person3"],
        "validation": ["person2"],
    }
    for side, names in summary["subjects"].items():
        windows = CorpusDataset(corpus, side)
        assert set(windows.subjects) == set(names)
        assert summary[side]["windows"] == len(windows)
        hours = windows.n_patches.sum() / 3600
        assert summary[side]["hours"] == pytest.approx(hours, abs=1e-4)
    assert summary["train"]["recordings"] == 4
    assert summary["subjects_by"] == {"folder": 5}
    assert (summary["channels"]["fewest"], summary["channels"]["most"]) == (10, 32)
    assert "Fp1".lower() in summary["channels"]["names"]
    size = sum(file.stat().st_size for file in (corpus / "data").rglob("*") if file.is_file())
    assert summary["bytes"] == size


def test_channels_and_windows_are_left_out_with_their_reasons(make_raw, save, tmp_path):
    names = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 ECG O2".split()
    raw = make_raw(40.0, names=names)
    raw.info["bads"] = ["F3"]
    raw._data[3] = 0
    raw._data[4, 100] = np.nan
    raw._data[:, 1400:1700] = 5e-3 * np.sin(2 * np.pi * 20 * np.arange(300) / 200)
    raw._data[5] = np.clip(raw._data[5], -1e-5, 1e-5)
    raw.set_annotations(mne.Annotations([26.0], [0.5], ["BAD_move"]))
    save(raw, tmp_path / "a_raw.fif")
    summary = prepare_corpus([tmp_path], tmp_path / "out", window=6)
    assert summary["rejected"]["channels"] == {
        "flat": 1,
        "marked bad": 1,
        "no match": 1,
        "non-finite": 1,
        "saturated": 1,
    }
    assert summary["rejected"]["windows"] == {"clipped": 1, "marked bad": 1}
    windows = list(CorpusDataset(tmp_path / "out", "train"))
    assert [w.id.rpartition(":")[2] for w in windows] == ["0", "12", "18", "30", "36"]
    kept = [NEURORVQ_EEG.channels[row] for row in windows[0].rows]
    assert kept == ["fp1", "fp2", "p3", "p4", "o2"]
    assert all(np.abs(w.data).max() <= 500.5 and w.data.std() > 1 for w in windows)
    (array,) = (tmp_path / "out" / "data").iterdir()
    # Windows that were left out take no space, and nobody takes them for signals.
    assert (zarr.open_array(array, mode="r")[:, 1200:2400] == np.iinfo(np.int16).min).all()


def test_a_gap_that_is_marked_costs_its_windows_only(make_raw, save, tmp_path):
    raw = make_raw(40.0, sfreq=250.0)
    raw._data[:, 250 * 12 : 250 * 18] = np.nan  # the third window, to its last sample
    raw.set_annotations(mne.Annotations([12.0], [6.0 - 1 / 250], ["BAD_gap"]))
    save(raw, tmp_path / "a_raw.fif")
    summary = prepare_corpus([tmp_path], tmp_path / "out", window=6)
    assert summary["rejected"]["channels"] == {}
    assert summary["rejected"]["windows"] == {"marked bad": 1}
    windows = list(CorpusDataset(tmp_path / "out", "train"))
    assert [w.id.rpartition(":")[2] for w in windows] == ["0", "6", "18", "24", "30", "36"]
    assert all(w.data.std(axis=-1).min() > 1 for w in windows)


@pytest.mark.parametrize("measured", [None, datetime(2020, 1, 1, tzinfo=UTC)])
def test_bad_times_count_from_the_start_of_what_is_left_of_a_recording(
    make_raw, save, tmp_path, measured
):
    raw = make_raw(40.0).set_meas_date(measured)
    raw.set_annotations(mne.Annotations([22.2], [0.3], ["bad"])).crop(10.0)
    save(raw, tmp_path / "a_raw.fif")
    summary = prepare_corpus([tmp_path], tmp_path / "out", window=6)
    assert summary["rejected"]["windows"] == {"marked bad": 1}
    windows = CorpusDataset(tmp_path / "out", "train")
    assert windows.starts.tolist() == [0, 6, 18, 24]


def test_electrodes_of_the_eye_are_filtered_like_the_others(make_raw, save, tmp_path):
    raw = make_raw(20.0, names=["EOG", "Cz"])
    raw._data += 1e-3
    raw.set_channel_types({"EOG": "eog"})
    save(raw, tmp_path / "a_raw.fif")
    prepare_corpus([tmp_path], tmp_path / "out", window=6)
    window = CorpusDataset(tmp_path / "out", "train")[1]
    assert len(window.rows) == 2
    assert np.abs(window.data.mean(axis=1)).max() < 20


def test_what_cannot_be_used_is_reported_and_skipped(make_raw, save, tmp_path):
    good = save(make_raw(), tmp_path / "good_raw.fif")
    (tmp_path / "foreign.edf").write_text("I am no recording")
    whole = save(make_raw(seed=1), tmp_path / "whole.edf")
    (tmp_path / "truncated.edf").write_bytes(whole.read_bytes()[:700])
    some = whole.read_bytes()
    (tmp_path / "partly.edf").write_bytes(some[: len(some) // 3])
    (tmp_path / "cut_raw.fif").write_bytes(good.read_bytes()[:5000])
    (tmp_path / "empty.bdf").write_bytes(b"")
    (tmp_path / "gone.edf").symlink_to(tmp_path / "nowhere.edf")
    save(make_raw(1.5), tmp_path / "short_raw.fif")
    save(make_raw(names=["up", "down"]), tmp_path / "unknown_raw.fif")
    save(make_raw(volts=10.0), tmp_path / "microvolts_raw.fif")
    save(make_raw(volts=1e-12), tmp_path / "quiet_raw.fif")
    save(make_raw(volts=0.0), tmp_path / "zero_raw.fif")
    shutil.copy(good, tmp_path / "other_raw.fif")
    summary = prepare_corpus([tmp_path], tmp_path / "out", window=6)
    assert sum(summary[side]["recordings"] for side in ("train", "validation")) == 2
    told = reasons(summary)
    assert len(told) == 12
    assert all(told.values())
    assert told["gone.edf"] == "there is no such file"
    assert "Number of records from the header does not match" in told["partly.edf"]
    assert told["short_raw.fif"] == "1.5 s are shorter than 2 s"
    assert told["other_raw.fif"] == f"the same signals as {good}"
    assert "None of the 2 channels matches" in told["unknown_raw.fif"]
    assert "looks like microvolts stored as volts: multiply" in told["microvolts_raw.fif"]
    assert "multiply the recording by 1e6" in told["quiet_raw.fif"]
    assert told["zero_raw.fif"] == "no channel is left: 10 flat (was the recording read whole?)"
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary


def test_a_misspelt_subject_spoils_no_new_folder(folder, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="'Person2', who has no recording"):
        prepare_corpus([folder], out, window=6, validation_subjects=["Person2"])
    assert prepare_corpus([folder], out, window=6, validation_subjects=["person2"])["train"]


def test_the_same_signals_at_other_sites_are_no_copy(make_raw, save, tmp_path):
    raw = make_raw()
    save(raw, tmp_path / "a_raw.fif")
    save(raw.rename_channels({"O1": "Oz"}), tmp_path / "b_raw.fif")
    assert not reasons(prepare_corpus([tmp_path], tmp_path / "out"))


def test_a_file_that_could_not_be_read_is_tried_again(folder, tmp_path, monkeypatch):
    def read(*args, **kwargs):
        raise RuntimeError("the reader needs another package")

    with monkeypatch.context() as patched:
        patched.setattr(mne.io, "read_raw", read)
        with pytest.raises(ValueError, match="needs another package"):
            prepare_corpus([folder], tmp_path / "out")
    assert not reasons(prepare_corpus([folder], tmp_path / "out"))


def test_nothing_usable_at_all_is_an_error(tmp_path):
    (tmp_path / "x.edf").write_text("I am no recording")
    with pytest.raises(ValueError, match=r"none of the 1 recordings .*x\.edf: "):
        prepare_corpus([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out" / "index.json").exists()


def test_a_second_run_changes_and_reads_nothing_again(folder, corpus, tmp_path, monkeypatch):
    out = shutil.copytree(corpus, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (out / "data").rglob("*")}
    text = (out / "index.json").read_text()

    def read(*args, **kwargs):
        raise AssertionError("a recording was read again")

    monkeypatch.setattr(mne.io, "read_raw", read)
    prepare_corpus([folder], out, window=6, validation_subjects=["person2"])
    after = {path: path.stat().st_mtime_ns for path in (out / "data").rglob("*")}
    assert after == before
    assert (out / "index.json").read_text() == text


def test_the_order_of_the_sources_changes_nothing(folder, tmp_path):
    for name, people in (("a", "0123"), ("b", "3210")):
        prepare_corpus([folder / f"person{i}" for i in people], tmp_path / name)
    a, b = ((tmp_path / name / "index.json").read_text() for name in "ab")
    assert a == b


def test_a_corpus_grows_by_more_sources_and_by_files_that_can_be_read_by_now(
    make_raw, save, folder, corpus, tmp_path
):
    out = shutil.copytree(corpus, tmp_path / "out")
    before = contents(out)
    more = tmp_path / "more"
    save(make_raw(seed=7), more / "person7" / "a_raw.fif")
    (more / "person2").mkdir()
    (more / "person2" / "b_raw.fif").write_bytes(b"not yet")
    options = dict(window=6, validation_subjects=["person2"])
    summary = prepare_corpus([more], out, **options)
    assert list(reasons(summary)) == ["b_raw.fif"]
    save(make_raw(seed=8), more / "fixed_raw.fif").replace(more / "person2" / "b_raw.fif")
    summary = prepare_corpus([folder, more], out, **options)
    assert not reasons(summary)
    after = contents(out)
    assert before.keys() < after.keys()
    assert {window.subject for name, window in after.items() if name not in before} == {
        "person2",
        "person7",
    }


def test_a_file_that_has_changed_replaces_what_it_was(make_raw, save, tmp_path):
    path = save(make_raw(seed=1), tmp_path / "x" / "a_raw.fif")
    save(make_raw(seed=2), tmp_path / "x" / "b_raw.fif")
    prepare_corpus([tmp_path / "x"], tmp_path / "out")
    save(make_raw(seed=3), tmp_path / "new_raw.fif").replace(path)
    prepare_corpus([tmp_path / "x"], tmp_path / "out")
    prepare_corpus([tmp_path / "x"], tmp_path / "fresh")
    assert_same(tmp_path / "out", tmp_path / "fresh")
    assert len(list((tmp_path / "out" / "data").iterdir())) == 2


def test_a_new_file_is_no_copy_of_what_another_was(make_raw, save, tmp_path):
    path = save(make_raw(seed=1), tmp_path / "x" / "a_raw.fif")
    prepare_corpus([tmp_path / "x"], tmp_path / "out")
    shutil.copy(path, tmp_path / "x" / "b_raw.fif")
    save(make_raw(seed=3), tmp_path / "new_raw.fif").replace(path)
    assert not reasons(prepare_corpus([tmp_path / "x"], tmp_path / "out"))


def test_the_only_copy_left_is_taken_by_the_run_after_the_change(make_raw, save, tmp_path):
    path = save(make_raw(seed=1), tmp_path / "x" / "a_raw.fif")
    shutil.copy(path, tmp_path / "x" / "b_raw.fif")
    prepare_corpus([tmp_path / "x"], tmp_path / "out")
    save(make_raw(seed=3), tmp_path / "new_raw.fif").replace(path)
    prepare_corpus([tmp_path / "x"], tmp_path / "out")
    assert not reasons(prepare_corpus([tmp_path / "x"], tmp_path / "out"))


def test_other_settings_are_refused_by_name(folder, corpus):
    with pytest.raises(ValueError, match=r"other settings .*window_patches: 6, now 12"):
        prepare_corpus([folder], corpus, window=12, validation_subjects=["person2"])
    with pytest.raises(ValueError, match=r"validation_subjects: \['person2'\], now None"):
        prepare_corpus([folder], corpus, window=6)


def test_a_folder_with_other_files_is_no_corpus(folder):
    with pytest.raises(ValueError, match=r"has files \(person0, .*but no corpus.json"):
        prepare_corpus([folder], folder)
    (folder / ".lock").unlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(window=7.5), "window=7.5 s must be a multiple of the patch"),
        (dict(window=1), "at least 2 s"),
        (dict(validation_fraction=1.0), "validation_fraction=1.0"),
        (dict(validation_subjects="person2"), "must be a list of names"),
        (
            dict(validation_subjects=["person2", "nobody"]),
            "'nobody', who has no .*person0, person1",
        ),
        (dict(n_jobs=0), "n_jobs=0"),
    ],
)
def test_impossible_arguments_are_named(folder, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        prepare_corpus([folder], tmp_path / "out", **arguments)


def test_a_modality_that_a_system_lacks_is_named(folder, tmp_path):
    with pytest.raises(NotImplementedError, match="emg"):
        prepare_corpus([folder], tmp_path / "out", system="brainrvq", modality="emg")


@pytest.mark.slow
def test_a_run_of_two_processes_that_was_killed_is_completed_by_the_next_one(
    make_raw, save, tmp_path
):
    for seed in range(6):
        save(make_raw(60.0, seed, sfreq=500.0), tmp_path / "x" / f"p{seed}" / "a_raw.fif")
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    arguments = ["prepare", tmp_path / "x", "-o", out, "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mne_neurorvq", *arguments], stderr=subprocess.DEVNULL
    )
    journal = out / "recordings.jsonl"
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 2 <= len(journal.read_bytes().splitlines()) < 6
    assert not (out / "index.json").exists()
    prepare_corpus([tmp_path / "x"], out)
    prepare_corpus([tmp_path / "x"], fresh)
    assert_same(out, fresh)
    assert (out / "index.json").read_text() == (fresh / "index.json").read_text()
    assert len(journal.read_text().splitlines()) == 6


def test_a_run_that_was_killed_between_any_two_writes_is_completed(folder, corpus, tmp_path):
    out = shutil.copytree(corpus, tmp_path / "out")
    for name in ("index.json", "summary.json"):
        (out / name).unlink()
    lines = (out / "recordings.jsonl").read_bytes().splitlines(keepends=True)
    # The last array is in its place but not in the journal, the line before it half written.
    (out / "recordings.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:40])
    (out / "tmp" / "0" / "half").mkdir(parents=True)
    (out / "tmp" / "0" / "half" / "zarr.json").write_text("{")
    prepare_corpus([folder], out, window=6, validation_subjects=["person2"])
    assert_same(out, corpus)
    assert not (out / "tmp").exists()
    prepare_corpus([folder], out, window=6, validation_subjects=["person2"])
    assert_same(out, corpus)


def test_two_runs_do_not_write_at_once(folder, corpus, tmp_path):
    from mne_neurorvq.training.locks import only_writer

    out = shutil.copytree(corpus, tmp_path / "out")
    with (
        only_writer(out, "preparing this corpus"),
        pytest.raises(ValueError, match="another process is preparing"),
    ):
        prepare_corpus([folder], out, window=6, validation_subjects=["person2"])
    prepare_corpus([folder], out, window=6, validation_subjects=["person2"])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bids_says_which_channels_are_bad(make_raw, tmp_path):
    mne_bids = import_or_skip("mne_bids", "pretrain")
    raw = make_raw(26.0)
    raw.info["line_freq"] = 50
    raw.info["bads"] = ["C3"]
    path = mne_bids.BIDSPath(subject="01", task="rest", datatype="eeg", root=tmp_path / "ds1")
    mne_bids.write_raw_bids(raw, path, format="EDF", allow_preload=True, verbose="error")
    summary = prepare_corpus([tmp_path / "ds1"], tmp_path / "out", window=6)
    assert summary["subjects"]["train"] == ["ds1/sub-01"]
    assert summary["rejected"]["channels"] == {"marked bad": 1}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_file_of_a_bids_data_set_that_was_cut_off_is_reported(make_raw, tmp_path):
    mne_bids = import_or_skip("mne_bids", "pretrain")
    root = tmp_path / "ds1"
    for seed, subject in enumerate(("01", "02")):
        raw = make_raw(26.0, seed=seed)
        raw.info["line_freq"] = 50
        path = mne_bids.BIDSPath(subject=subject, task="rest", datatype="eeg", root=root)
        mne_bids.write_raw_bids(raw, path, format="EDF", allow_preload=True, verbose="error")
    (file,) = root.glob("sub-02/eeg/*.edf")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 3])
    summary = prepare_corpus([root], tmp_path / "out", window=6)
    assert summary["subjects"]["train"] == ["ds1/sub-01"]
    assert "Number of records from the header does not match" in reasons(summary)[file.name]


def test_a_rest_is_a_window_if_it_has_two_patches():
    assert window_starts(24, 12, set()) == [0, 12]
    assert window_starts(25, 12, set()) == [0, 12]
    assert window_starts(26, 12, set()) == [0, 12, 24]
    assert window_starts(26, 12, {0, 2}) == [12]
    assert window_starts(1, 12, set()) == []


def test_a_step_is_finer_than_what_amplifiers_resolve():
    assert Rules.of("neurorvq", "eeg", 12.0).step == pytest.approx(0.05)


def test_simulated_people_have_different_montages():
    # What the fixtures count on.
    raws = simulate_recordings(3, 2, sfreq=250.0, verbose=False)
    assert [len(raw.ch_names) for raw in raws] == [32, 21, 19]
