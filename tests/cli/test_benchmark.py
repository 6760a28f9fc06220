# License: BSD-3-Clause
"""``mne-neurorvq benchmark``: what it lists, runs and reports."""

from __future__ import annotations

import pytest
from optional_library import import_or_skip

import_or_skip("moabb", "benchmark")

from tiny_task import add_task, write_pipeline  # noqa: E402

from mne_neurorvq.benchmarks import TASKS  # noqa: E402
from mne_neurorvq.cli import main  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    """A folder with one pipeline; the task is at hand as long as a test takes."""
    before = dict(TASKS)
    add_task()
    write_pipeline(tmp_path / "pipelines", "probe", "LinearProbe()")
    yield tmp_path / "pipelines"
    TASKS.clear()
    TASKS.update(before)


def run(*arguments):
    return main(["benchmark", *map(str, arguments)])


def test_a_run_prints_its_report_and_goes_on_where_it_was(folder, tmp_path, capsys):
    out = tmp_path / "out"
    given = ("run", out, "--tasks", "tiny", "--pipelines", "probe", "--pipeline-folder", folder)
    assert run(*given, "--folds", 2) == 0
    text, lines = capsys.readouterr()
    assert "## tiny: left / right" in text
    assert len(lines.splitlines()) == 2
    assert run(*given, "--folds", 2) == 0
    assert capsys.readouterr().err == ""
    assert run("report", out, "--reference", "probe") == 0
    assert capsys.readouterr().out.strip() == (out / "report.md").read_text().strip()


def test_a_pipeline_that_fails_leaves_the_report_of_the_others(folder, tmp_path, capsys):
    write_pipeline(folder, "broken", "LinearProbe('cubic')")
    given = ("--tasks", "tiny", "--pipelines", "broken", "probe", "--pipeline-folder", folder)
    assert run("run", tmp_path / "out", *given, "--folds", 2) == 1
    text, lines = capsys.readouterr()
    assert "**Best: probe" in text
    assert "kind='cubic'" in lines


def test_where_all_fails_the_cause_is_said_last(folder, tmp_path, capsys):
    write_pipeline(folder, "broken", "LinearProbe('cubic')")
    given = ("--tasks", "tiny", "--pipelines", "broken", "--pipeline-folder", folder)
    assert run("run", tmp_path / "out", *given, "--folds", 2) == 1
    text, lines = capsys.readouterr()
    assert text == ""
    assert "finished cell" not in lines
    assert "failed: tiny broken" in lines.splitlines()[-1]


def test_a_reference_that_failed_does_not_hide_why(folder, tmp_path, capsys):
    write_pipeline(folder, "broken", "LinearProbe('cubic')")
    given = ("--tasks", "tiny", "--pipelines", "broken", "probe", "--pipeline-folder", folder)
    assert run("run", tmp_path / "out", *given, "--folds", 2, "--reference", "broken") == 1
    lines = capsys.readouterr().err
    assert "there is no report: there is no reference broken, only probe" in lines
    assert "failed: tiny broken" in lines.splitlines()[-1]


def test_the_list_says_what_is_at_hand_what_is_downloaded_and_what_each_pipeline_is(
    folder, tmp_path, capsys
):
    assert run("list", "--data", tmp_path, "--pipeline-folder", folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    text = " ".join(" ".join(lines).split())
    assert "tiny: left / right. At hand: 4 people." in text
    assert "has no complete recordings of anyone: wanted are files such as S???R04.edf or" in text
    assert "tongue. Also -eyes-removed, -eyes-only. To be downloaded: BCI competition" in text
    assert "9 people, about 0.7 GB, by MOABB." in text
    assert "csp_lda: Common spatial patterns of 8-30 Hz with LDA" in text
    assert text.endswith("probe:")


def test_an_unknown_task_is_named_with_those_there_are(tmp_path, capsys):
    assert run("run", tmp_path, "--tasks", "telepathy") == 2
    assert "tasks: 'telepathy' is none of imagery, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "expected"),
    [("S001-S003", ["S001", "S002", "S003"]), ("P9-P10", ["P9", "P10"]), ("sub-01", ["sub-01"])],
)
def test_ranges_of_people(given, expected):
    from mne_neurorvq.cli.arguments import _people

    assert _people(given) == expected
