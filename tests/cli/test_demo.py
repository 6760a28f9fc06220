# License: BSD-3-Clause
"""``mne-neurorvq demo``: its data, its report, and what it says about subjects."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import mne
import numpy as np
import pytest
from optional_library import import_or_skip

from mne_neurorvq import load_pretrained
from mne_neurorvq.cli import main
from mne_neurorvq.cli.studies import eegbci_study, file_study, simulated_study
from mne_neurorvq.datasets import simulate_recordings
from mne_neurorvq.weights import save_pretrained

TINY = "neurorvq-eeg-tiny-random"
pytestmark = [
    pytest.mark.usefixtures("close_figures"),
    # Files of simulated people: their montages differ.
    pytest.mark.filterwarnings("ignore:.* channels are in all recordings; left out. AF3"),
]


def _demo(*arguments):
    return main(["demo", "--pretrained", TINY, *map(str, arguments)])


def _save(folder, names, **simulation):
    raws = simulate_recordings(len(names), **simulation, verbose=False)
    for raw, name in zip(raws, names, strict=True):
        raw.save(folder / name, verbose=False)
    return [folder / name for name in names]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Folder and text of a demo on three simulated people."""
    folder = tmp_path_factory.mktemp("demo")
    assert _demo("--subjects", "1-3", "-o", folder) == 0
    return folder, (folder / "report.md").read_text(encoding="utf-8")


def test_the_demo_says_that_its_recordings_are_simulated(simulated):
    _, text = simulated
    assert "SIMULATED recordings, no measurements, of 3 people" in text
    assert "Subjects: sim-01-sim-03." in text


def test_the_demo_reports_tokens_reconstruction_and_scores(simulated):
    _, text = simulated
    assert "64 trials × 19 channels × 4 patches × 4 codebooks × 2 levels, each of 16" in text
    assert "## Tokens\n\n64 of 72 trials, evenly spread.\n" in text
    for fact in ("bits/s", "codes used (%)", "SI-SDR", " gamma |", "error / power"):
        assert fact in text
    assert "### Rest against imagery" in text
    assert "### Left against right" in text
    for row in ("embedding", "band power", "band power per channel"):
        assert len(re.findall(rf"^\| {row} +\|", text, re.MULTILINE)) == 2
    assert "GroupKFold(3)" in text
    assert "72 trials" in text
    assert "Chance: 0.500." in text
    assert "| difference from band power per channel |" in text


def test_the_demo_says_what_is_compared_and_how_to_go_on(simulated):
    folder, text = simulated
    assert "Of the signals that the model is given, as recorded:" in text
    assert "All are of the same trials and channels, as recorded." in text
    assert "- **embedding**: features of the model" in text
    assert "- **physiology**" not in text  # the tiny model has learned to tell nothing
    assert "Simulated people say nothing about real ones" in text
    assert f"NeuroRVQTransformer('{TINY}').fit_transform(epochs)" in text
    assert f"In {folder}: report.md, scores.csv, code-usage.png, codes.png, recon" in text


def test_the_demo_saves_its_figures_and_every_person(simulated):
    folder, text = simulated
    figures = {path.name for path in folder.glob("*.png")}
    assert figures == {
        "reconstruction.png",
        "codes.png",
        "code-usage.png",
        "scores-rest-against-imagery.png",
        "scores-left-against-right.png",
    }
    assert all((folder / name).stat().st_size > 10_000 for name in figures)
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = [
        float(row["balanced_accuracy"])
        for row in rows
        if row["task"] == "Rest against imagery" and row["features"] == "band power"
    ]
    assert len(scores) == 3
    assert f"{np.mean(scores):.3f} [" in text


@pytest.mark.filterwarnings("ignore:The Epochs were filtered to 0.5-75 Hz")
@pytest.mark.parametrize(
    ("pretrained", "codes"),
    [
        ("biocodec-eeg-tiny-random", "84 patches × 1 codebook × 3 levels"),
        ("brainrvq-eeg-tiny-random", "4 patches × 2 codebooks × 3 levels"),
    ],
)
def test_the_demo_runs_with_models_of_every_system(pretrained, codes, tmp_path, capsys):
    paths = _save(tmp_path, ["a_eeg.fif", "b_eeg.fif"], n_trials=10)
    assert _demo("--data", *paths, "-o", tmp_path / "out", "--pretrained", pretrained) == 0
    text = capsys.readouterr().out
    assert f"# mne-neurorvq demo: {pretrained}" in text
    assert "Codes: 40 trials × " in text
    assert f" channels × {codes}, each of 16" in text
    assert text.count("| embedding ") == 2  # rest against the others, left against right


def test_a_demo_on_files_without_annotations_has_no_scores(tmp_path, capsys):
    (path,) = _save(tmp_path, ["one_eeg.fif"], n_trials=2)
    raw = mne.io.read_raw(path, preload=True, verbose=False).set_annotations(None)
    raw.save(path, overwrite=True, verbose=False)
    assert _demo("--data", path, "-o", tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "1 file. 4 trials of 4 s" in text
    assert "None: this takes at least two subjects" in text
    assert not (tmp_path / "out" / "scores.csv").exists()


def test_a_demo_on_annotated_files_scores_files_as_subjects(tmp_path, capsys):
    paths = _save(tmp_path, ["a_eeg.fif", "b_eeg.fif"], n_trials=10)
    assert _demo("--data", *paths, "-o", tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "2 files (2 subjects: each taken as another subject)" in text
    assert "2 subjects (a_eeg.fif, b_eeg.fif), 40 trials." in text
    assert "### Rest against the others" in text


def test_conditions_may_have_any_name(tmp_path):
    paths = _save(tmp_path, ["a_eeg.fif", "b_eeg.fif"], n_trials=10)
    for path in paths:
        raw = mne.io.read_raw(path, preload=True, verbose=False)
        raw.annotations.rename({"left": "Stimulus/S  1", "right": "x" * 300, "rest": "../rest"})
        raw.save(path, overwrite=True, verbose=False)
    assert _demo("--data", *paths, "-o", tmp_path / "out") == 0
    (figure,) = (tmp_path / "out").glob("scores-*.png")
    assert figure.name.startswith("scores-rest-against-Stimulus-S-1-against-xxx")


@pytest.mark.filterwarnings("default")
def test_a_flat_channel_is_left_out(tmp_path, capsys):
    paths = _save(tmp_path, ["a_eeg.fif", "b_eeg.fif"], n_trials=10)
    raw = mne.io.read_raw(paths[0], preload=True, verbose=False)
    raw.apply_function(lambda signal: 0 * signal + 1e-6, picks=["Cz"], verbose=False)
    raw.save(paths[0], overwrite=True, verbose=False)
    assert _demo("--data", *paths, "-o", tmp_path / "out") == 0
    assert "Channels that the model does not use: Cz." in capsys.readouterr().out


def test_files_of_one_bids_subject_are_one_subject(tmp_path):
    names = [f"sub-{who}_run-{run}_eeg.fif" for who in "AB" for run in "12"]
    study = file_study(_save(tmp_path, names, n_trials=6), TINY)
    assert sorted(set(study.subjects.tolist())) == ["sub-A", "sub-B"]
    assert "4 files (2 subjects" in study.description


def test_conditions_that_a_subject_hardly_has_are_not_scored(tmp_path):
    paths = _save(tmp_path, ["a_eeg.fif", "b_eeg.fif"], n_trials=10)
    raw = mne.io.read_raw(paths[1], preload=True, verbose=False)
    kept = np.flatnonzero(raw.annotations.description != "left")
    raw.set_annotations(raw.annotations[kept])
    raw.save(paths[1], overwrite=True, verbose=False)
    study = file_study(paths, TINY)
    assert [task.title for task in study.tasks] == ["rest against the others"]
    assert len(study.epochs) == 30


def test_long_annotations_are_cut_into_windows_and_bad_ones_are_left_out(tmp_path):
    paths = _save(tmp_path, ["a_eeg.fif", "b_eeg.fif"], n_trials=8)
    for path in paths:
        raw = mne.io.read_raw(path, preload=True, verbose=False).crop(2.0)
        onset = raw.first_time if raw.annotations.orig_time is not None else 0.0
        notes = mne.Annotations(
            onset + np.array([0, 24, 41.0]), [24, 21.9, 1], ["closed", "open", "BAD_blink"]
        )
        raw.set_annotations(notes).save(path, overwrite=True, verbose=False)
    study = file_study(paths, TINY)
    # 24 s are 6 windows; 21.9 s are 5, the last of which is bad.
    codes = study.epochs.event_id
    assert np.sum(study.epochs.events[:, 2] == codes["closed"]) == 12
    assert np.sum(study.epochs.events[:, 2] == codes["open"]) == 8


def test_recordings_at_different_rates_are_brought_to_the_lowest(tmp_path):
    (slow,) = _save(tmp_path, ["slow_eeg.fif"], n_trials=2, sfreq=128.0)
    (fast,) = _save(tmp_path, ["fast_eeg.fif"], n_trials=2, sfreq=250.0)
    study = file_study([slow, fast], TINY)
    assert study.epochs.info["sfreq"] == 128.0
    assert len(study.epochs.times) == 512


def test_simulated_people_are_chosen_by_number():
    study = simulated_study([2, 5], TINY)
    assert sorted(set(study.subjects.tolist())) == ["sim-02", "sim-05"]
    assert len(study.epochs.times) == 800
    rest, hands = study.tasks
    assert (rest.title, hands.title) == ("rest against imagery", "left against right")
    assert rest.trials.all()
    assert sorted(set(hands.y.tolist())) == ["left", "right"]
    assert len(hands.y) == hands.trials.sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "4"], "--runs is for --data eegbci only"),
        (["--data", "x.edf", "--subjects", "1"], "--subjects is for --data eegbci and for"),
        (["--data", "x.edf"], "x.edf: there is no such file"),
        (["--data", "eegbci", "--runs", "1", "4"], "run them by themselves"),
        (["--data", "eegbci", "--subjects", "110"], "must be from 1 to 109"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line(arguments, message, tmp_path, capsys):
    assert _demo(*arguments, "-o", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mne-neurorvq: error: ")
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_recording_is_named(tmp_path, capsys):
    path = tmp_path / "x_raw.fif"
    path.write_bytes(b"no recording")
    assert _demo("--data", path, "-o", tmp_path / "out") == 2
    assert str(path) in capsys.readouterr().err


def test_a_recording_shorter_than_a_window_is_named(tmp_path, capsys):
    (path,) = _save(tmp_path, ["short_eeg.fif"], n_trials=2)
    mne.io.read_raw(path, preload=True, verbose=False).crop(0, 3).save(
        path, overwrite=True, verbose=False
    )
    assert _demo("--data", path, "-o", tmp_path / "out") == 2
    assert "short_eeg.fif: 3 s are shorter" in capsys.readouterr().err


@pytest.fixture
def eegbci(shared, monkeypatch):
    monkeypatch.setenv("MNE_DATASETS_EEGBCI_PATH", str(shared / "data"))


def test_trials_of_eegbci_are_four_seconds_without_the_sample_after(eegbci):
    study = eegbci_study([1], [4], TINY)
    assert len(study.epochs.times) == 640
    assert study.epochs.times[-1] == pytest.approx(4 - 1 / 160)
    assert len(study.epochs) == 30
    assert not study.tasks, "one subject cannot be scored"


def test_eyes_open_and_closed_are_cut_into_windows(eegbci):
    study = eegbci_study([1, 3], [1, 2], TINY)
    (task,) = study.tasks
    assert task.title == "eyes_closed against eyes_open"
    counts = np.unique(task.y, return_counts=True)[1]
    assert counts.tolist() == [30, 30]


def test_what_the_model_had_seen_is_stated_and_unseen_subjects_are_scored_apart(
    eegbci, tmp_path, capsys
):
    tiny = load_pretrained(TINY)
    folder = save_pretrained(tmp_path / "model", tiny.tokenizer, tiny.foundation)
    seen = {"subjects": {"eegmmidb": ["S002", "S099"], "eegmat": ["Subject08"]}}
    (folder / "training.json").write_text(json.dumps(seen))
    out = tmp_path / "out"
    arguments = ("--data", "eegbci", "--subjects", "1-4", "--runs", 4, "-o", out)
    assert _demo(*arguments, "--pretrained", folder) == 0
    text = capsys.readouterr().out
    assert "without labels, of S002; it had never seen S001, S003, S004." in text
    assert "64 of 120 trials, evenly spread, of subjects that the model never saw." in text
    assert "### Rest against imagery\n\n4 subjects (S001-S004), 120 trials." in text
    apart = "### Rest against imagery, only subjects that the model never saw\n\n3 subjects"
    assert f"{apart} (S001, S003, S004), 90 trials." in text
    assert (out / "scores-rest-against-imagery-never-seen.png").exists()


@pytest.mark.parametrize(
    ("modality", "n_channels", "tasks", "band"),
    [
        ("ecg", 12, ["Rest against exercise"], "5-15 Hz"),
        ("emg", 4, ["Rest against movement", "Extension against flexion"], "120-250 Hz"),
        ("ppg", 1, [], "2-6 Hz"),  # of which there is a tokenizer only
    ],
)
def test_the_demo_runs_on_simulated_hearts_muscles_and_pulses(
    tmp_path, monkeypatch, modality, n_channels, tasks, band
):
    monkeypatch.chdir(tmp_path)
    arguments = ["--data", modality, "--subjects", "1-2"]
    assert main(["demo", "--pretrained", f"neurorvq-{modality}-tiny-random", *arguments]) == 0
    folder = tmp_path / "mne-neurorvq-demo" / modality  # each kind of signal has its own
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "SIMULATED recordings, no measurements, of 2 people" in text
    assert f" {n_channels} channel" in text
    assert f" {band} |" in text
    assert "delta" not in text
    for task in tasks:
        assert f"### {task}" in text
    assert ("has no foundation model, for features" in text) == (not tasks)


def test_pulses_of_which_there_is_no_trained_model_want_one_named(tmp_path, capsys):
    assert main(["demo", "--data", "ppg", "-o", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "trained on PPG" in line
    assert "--pretrained, neurorvq-ppg" in line
    assert not (tmp_path / "out").exists()


def test_records_of_physionet_are_demonstrated_in_windows(tmp_path, shared):
    import_or_skip("wfdb", "ecg")
    files = [str(shared / f"data/ecg_ptbxl/records100/00000/0000{i}_lr.hea") for i in (1, 2)]
    study = file_study([Path(file) for file in files], "neurorvq-ecg-tiny-random")
    assert study.epochs.get_data(copy=False).shape == (4, 12, 400)
    assert study.tasks == ()
