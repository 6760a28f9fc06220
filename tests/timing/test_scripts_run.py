# License: BSD-3-Clause
"""The timing scripts run; how long anything takes is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from numpy.testing import assert_allclose

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.datasets import simulate_epochs

SCRIPTS = Path(__file__).parent
TINY = "neurorvq-eeg-tiny-random"


def _run(script, *options):
    command = [sys.executable, SCRIPTS / script, *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


def _results_of(script, tmp_path, *options):
    written = tmp_path / "results.json"
    printed = _run(script, "--json", written, *options)
    results = json.loads(written.read_text())
    assert results["machine"]["torch"] in printed
    return results


def test_the_encoding_benchmark_compares_the_same_codes(tmp_path):
    options = "--size tiny --repeats 1 --warm-up 0 --threads 1 --no-memory".split()
    results = _results_of("encoding.py", tmp_path, *options)
    assert results["codes"]["largest_margin"] < 1e-5
    assert set(results["methods"]) == {"plain loop", "encode", "encode in passes"}
    assert all(row["seconds"] > 0 for row in results["methods"].values())


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from Linux's /proc")
def test_the_encoding_benchmark_measures_memory():
    assert int(_run("encoding.py", "--size", "tiny", "--threads", "1", "--peak-of", "encode")) > 0


def test_the_import_benchmark_times_the_package_and_its_command(tmp_path):
    starts = _results_of("import_time.py", tmp_path, "--repeats", "1")["starts"]
    assert set(starts) == {"bare interpreter", "import mne_neurorvq", "mne-neurorvq --help"}
    assert all(row["seconds"] > 0 for row in starts.values())


def test_the_cross_validation_benchmark_finds_the_same_scores(tmp_path):
    options = "--pretrained neurorvq-eeg-tiny-random --trials 8 --channels 1 --folds 2 --jobs 1"
    small = "--split 2 --repeats 1 --threads 1"
    results = _results_of("cross_validation.py", tmp_path, *options.split(), *small.split())
    assert results["folds"]["n_jobs=1"]["same_scores"]
    assert set(results["folds"]["n_jobs=1"]["seconds"]) == {
        "one pass",
        "memory=None",
        "memory=auto",
        "memory=folder",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from Linux's /proc")
def test_the_benchmark_of_flat_memory_measures_each_number_of_windows(tmp_path):
    options = "--windows 20 --sources folder --threads 1".split()
    (row,) = _results_of("flat_memory.py", tmp_path, *options)["rows"]
    assert (row["windows"], row["source"]) == (20, "folder")
    assert row["peak_mib"] >= 0


def test_one_command_runs_benchmarks_and_prints_ratios(tmp_path):
    options = "--only tiny --quick --threads 1 --clock cpu".split()
    figures = _results_of("speed.py", tmp_path, *options)["figures"]
    by_name = {figure["name"]: figure for figure in figures}
    assert by_name["features, float32"]["against"] == "bare products"
    assert by_name["features, float32"]["ratio"] > 0
    assert by_name["least cosine of bf16 and float32"]["value"] > 0.99


@pytest.mark.skipif(not (SCRIPTS.parents[1] / ".git").exists(), reason="needs the repository")
def test_one_command_compares_two_commits_and_leaves_no_worktree(tmp_path):
    options = "HEAD HEAD --only tiny --quick --threads 1 --clock cpu".split()
    results = _results_of("compare_commits.py", tmp_path, *options)
    before, after = (results["figures"][end] for end in ("before", "after"))
    assert [figure["name"] for figure in before] == [figure["name"] for figure in after] != []
    command = ["git", "-C", SCRIPTS, "worktree", "list", "--porcelain"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "/tree\n" not in listed


def test_the_benchmark_of_fine_tuning_times_steps_in_both_precisions(tmp_path):
    options = ("--epochs", "2", "--trials", "2")
    seconds = _results_of("finetuning.py", tmp_path, TINY, *options)["seconds"]
    assert set(seconds) == {f"{f}, {p}" for f in ("full", "lora") for p in ("float32", "bf16")}


def test_the_last_depth_of_the_feature_study_is_what_the_transformer_gives(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    from features import features_by_depth

    epochs = simulate_epochs(n_subjects=1, n_trials=2)
    found = features_by_depth(TINY, epochs)
    given = NeuroRVQTransformer(TINY, pool="time").fit_transform(epochs)
    assert list(found) == ["input", "block 1"]
    assert_allclose(found["block 1"].reshape(len(epochs), -1), given, rtol=1e-4, atol=1e-5)


def test_pulses_and_hearts_after_the_codes_beat_as_fast_as_the_recorded_heart(tmp_path, shared):
    files = ["--bidmc", shared / "data/ppg_bidmc/bidmc_01_Signals.csv"]
    files += ["--welltory", shared / "data/ppg_welltory/data"]
    options = ["--pulses", "--ecg", "neurorvq-ecg-small", *files]
    rates = _results_of("heart_and_muscle.py", tmp_path, *options)["pulses"]
    assert rates["BIDMC, ECG after neurorvq-ecg-small, windows within 1 beat/min"] == 1
    assert rates["BIDMC, pulse, windows within 1 beat/min"] > 0.95
    assert rates["Welltory, recordings, median error"] < 1
