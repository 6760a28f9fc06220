# License: BSD-3-Clause
"""The report of a run: what it says and which files it leaves."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pandas as pd
import pytest
from optional_library import import_or_skip

import_or_skip("moabb", "benchmark")

from tiny_task import add_task, write_pipeline

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
    assert "Intervals of fewer than ten are too narrow." in text
    assert "moabb 1." in text
    assert "- probe: `Pipeline(" in text


def test_without_a_model_the_headline_is_the_best(finished):
    assert re.search(r"\*\*Best: probe, [01]\.\d+ \[.*\] over 4 people\.\*\*", finished[1])


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


def copied(finished, place, change=lambda cell: cell):
    """Copy the cells of the run, each changed or, where that gives None, left out."""
    for path in finished[0].glob("cells/*/*/*.json"):
        cell = change(json.loads(path.read_text()))
        if cell is not None:
            copy = place / path.relative_to(finished[0])
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(json.dumps(cell))
    return place


def told(text):
    """The text without the spaces that align its tables."""
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("model", "wrong", "claim"),
    [
        (
            "probe",
            (),
            "A pretrained or random model is best: probe (1.000) with one, nothing (0.500) without",
        ),
        (
            "nothing",
            (),
            "A pipeline without one of these models wins: nothing (0.500) with one, probe (1.000)",
        ),
        ("probe", ("P1", "P2"), "cannot be told apart: probe (0.500) with one, nothing (0.500)"),
        ("nothing", ("P1",), "cannot be told apart: nothing (0.500) with one, probe (0.750)"),
    ],
)
def test_the_headline_is_what_the_paired_difference_says(finished, tmp_path, model, wrong, claim):
    """``wrong`` people are told wrongly by the probe, the others rightly."""

    def changed(cell):
        trials = cell["trials"]
        if cell["pipeline"] == "probe":
            pairs = zip(trials["y"], trials["subject"], strict=True)
            trials["predicted"] = [1 - y if who in wrong else y for y, who in pairs]
        return {**cell, "model": "some-model" if cell["pipeline"] == model else None}

    text = write_report(copied(finished, tmp_path, changed), "nothing")
    (line,) = {line for line in text.splitlines() if line.startswith("**")}
    assert claim in line
    assert line.endswith(" over 4 people, too few to rest on.**")


def test_cells_of_development_versions_have_the_same_report(finished, tmp_path):
    def older(cell):
        return {k: v for k, v in cell.items() if k not in ("protocol", "n_folds")}

    assert write_report(copied(finished, tmp_path, older), "nothing") == finished[1]


def test_a_table_is_of_the_largest_share_of_its_task(finished, tmp_path):
    def less(cell):
        return None if (cell["task"], cell["share"]) == ("tiny", 1.0) else cell

    text = write_report(copied(finished, tmp_path, less), "nothing")
    assert text.count("Trained on 50% of the training trials. 4 people (P1-P4)") == 1
    assert "## tiny-eyes-only" in text


def test_a_pipeline_of_smaller_shares_alone_is_named_below_the_table(finished, tmp_path):
    def less(cell):
        return None if (cell["pipeline"], cell["share"]) == ("nothing", 1.0) else cell

    assert "Not run on 100%" not in finished[1]
    text = write_report(copied(finished, tmp_path, less), "probe")
    assert text.count("Not run on 100% of the trials: nothing.") == 2


def test_costs_are_of_the_cells_of_the_table(finished, tmp_path):
    def costly(cell):
        seconds = 10.0 if cell["share"] == 1 and not cell["control"] else 1000.0
        return {**cell, "cpu_seconds": seconds}

    text = told(write_report(copied(finished, tmp_path, costly), "nothing"))
    assert text.count("| 0 | 10.0 |") == 4


def test_controls_are_of_the_largest_share_and_beside_chance(finished, tmp_path):
    def lower(cell):  # as development versions ran them
        if cell["control"] and cell["pipeline"] == "probe":
            wrong = {**cell["trials"], "predicted": [1 - y for y in cell["trials"]["y"]]}
            path = tmp_path / "cells" / cell["task"] / "probe" / f"more{cell['fold']}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({**cell, "share": 0.5, "trials": wrong}))
        return cell

    text = told(write_report(copied(finished, tmp_path, lower), "nothing"))
    assert (
        text[text.index("| permuted") :]
        == told(finished[1])[told(finished[1]).index("| permuted") :]
    )
    assert "| permuted | tiny | nothing | 0.500 | 0.500-0.500 | 0.500 |" in text


def test_people_of_one_class_are_counted_beside_their_folds(finished, tmp_path):
    def single(cell):
        number = {name: i for i, name in enumerate(sorted(set(cell["trials"]["subject"])))}
        y = [number[name] for name in cell["trials"]["subject"]]
        return {**cell, "trials": {**cell["trials"], "y": y}}

    text = told(write_report(copied(finished, tmp_path, single), "nothing"))
    assert "4 people, those of a fold scored together (fold 0, fold 1)." in text
    assert "| probe | 4 in 2 folds |" in text


def test_where_everyone_had_been_seen_there_is_no_number(finished, tmp_path):
    def seen(cell):
        return {**cell, "seen": ["P1", "P2", "P3", "P4"], "model": "model"}

    text = write_report(copied(finished, tmp_path, seen), "nothing")
    assert "there is no headline" in text
    assert "nan" not in text
    assert "| : |" not in text  # a column without numbers is one of the table still
    assert "with and without artefacts" not in text


def test_pipelines_that_may_know_those_who_are_tested_are_named(finished, tmp_path):
    def unknown(cell):
        return {**cell, "seen": None if cell["pipeline"] == "probe" else []}

    assert "is unknown" not in finished[1]
    text = write_report(copied(finished, tmp_path, unknown))
    assert "Whom probe had seen is unknown: their scores may be of people they know." in text


def test_a_reference_that_was_not_run_is_named(finished, tmp_path):
    with pytest.raises(ValueError, match="there is no reference absent, only nothing, probe"):
        write_report(copied(finished, tmp_path), "absent")


def test_without_the_reference_there_are_no_differences(finished, tmp_path):
    out = copied(finished, tmp_path)
    text = write_report(out)  # band power, which was not run
    assert (out / "tiny-people.svg").exists()
    assert not (out / "tiny-differences.svg").exists()
    assert "![tiny-differences]" not in text


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no finished cell"):
        write_report(tmp_path)
