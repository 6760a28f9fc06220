# License: BSD-3-Clause
"""The report of a run: what it says and which files it leaves."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from optional_library import import_or_skip

import_or_skip("moabb", "benchmark")

from tiny_task import add_task, write_pipeline

from mne_neurorvq.analysis.people import of_unseen
from mne_neurorvq.benchmarks import TASKS, Plan, run
from mne_neurorvq.benchmarks.report import write_report

FIGURES = ("people", "differences", "shares")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of a task and its control."""
    place = tmp_path_factory.mktemp("benchmark")
    write_pipeline(place / "pipelines", "probe", "LinearProbe()")
    write_pipeline(place / "pipelines", "nothing", "DummyClassifier(strategy='most_frequent')")
    before = dict(TASKS)
    add_task()
    TASKS["tiny-eyes-only"] = replace(TASKS["tiny"], of="tiny", control="eyes only")
    plan = Plan(
        place / "run",
        ("tiny", "tiny-eyes-only"),
        ("probe", "nothing"),
        folder=place / "pipelines",
        folds=2,
        shares=(0.5, 1.0),
        controls=("", "permuted"),
    )
    run(plan, say=lambda line: None)
    text = write_report(plan.out, "nothing")
    yield plan.out, text
    TASKS.clear()
    TASKS.update(before)


def test_it_says_how_who_and_with_what(finished):
    out, text = finished
    assert text == (out / "report.md").read_text()
    assert "Folds: GroupKFold(2) over people, shuffled by seeds 0." in text
    assert "4 people (P1-P4)" in text
    assert "moabb 1." in text
    assert "- probe: `Pipeline(" in text


def test_what_has_no_model_is_the_headline_where_it_wins(finished):
    assert "**Best: probe, " in finished[1]


def test_a_task_is_beside_its_controls(finished):
    text = finished[1]
    assert "## tiny: with and without artefacts" in text
    assert "| as published | eyes only |" in " ".join(text.split())
    assert "| permuted | tiny | probe |" in " ".join(text.split())


def test_tables_and_figures_are_files(finished):
    out, _ = finished
    names = {path.name for path in out.iterdir() if path.is_file()}
    assert {
        "report.md",
        "scores.csv",
        "tiny.csv",
        "tiny.tex",
        *(f"tiny-{name}.{kind}" for name in FIGURES for kind in ("svg", "pdf")),
    } <= names
    scores = pd.read_csv(out / "scores.csv")
    assert set(scores["share"]) == {0.5, 1.0}
    assert r"\begin{tabular}" in (out / "tiny.tex").read_text()


def test_shares_of_trials_are_shares():
    with pytest.raises(ValueError, match="shares must be above 0 and at most 1"):
        run(Plan(Path("x"), shares=(10.0,)))


def test_without_the_reference_there_are_no_differences(finished, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(finished[0] / "cells", out / "cells")
    text = write_report(out, "absent")
    assert (out / "tiny-people.svg").exists()
    assert not (out / "tiny-differences.svg").exists()
    assert "![tiny-differences]" not in text


def test_whom_a_model_has_seen_is_in_no_curve():
    scores = pd.DataFrame({"person": ["a", "b", "a"], "seen": [True, False, None]})
    assert of_unseen(scores)["person"].tolist() == ["b"]


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no finished cell"):
        write_report(tmp_path)
