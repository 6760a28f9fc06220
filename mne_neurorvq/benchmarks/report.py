# License: BSD-3-Clause
"""The report of a run: Markdown, CSV, LaTeX and figures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import viz
from .._table import markdown_table, name_ranges, with_interval
from .._writing import replacing, write_text
from ..analysis.people import by_seed, by_share, in_folds, of_unseen, spread
from .cells import NOT_RUN, by_cause
from .results import REFERENCE, people_scores, read_results, summary
from .tasks import TASKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEW = 10
_HEAD = (
    "pipeline",
    "people",
    "balanced accuracy",
    "difference",
    "p",
    "ROC-AUC",
    "PR-AUC",
    "kappa",
    "weighted F1",
    "all people",
    "of them seen",
    "CPU s",
    "trained",
)


def write_report(out: Path, reference: str = REFERENCE) -> str:
    """Write ``report.md``, tables and figures of a run into its folder.

    Parameters
    ----------
    out : pathlib.Path
        Folder of the run.
    reference : str
        Pipeline from which differences are taken.

    Returns
    -------
    str
        The text of the report.
    """
    cells = read_results(out)
    scores = people_scores(cells)
    costs = pd.DataFrame(
        {
            **{key: cell[key] for key in ("task", "pipeline", "control", "share")},
            "model": cell["model"],
            "seconds": cell["cpu_seconds"],
            "n_trained": cell["n_trained_parameters"],
        }
        for cell in cells
    )
    _write_frame(out / "scores.csv", scores)
    largest = scores["share"] == scores.groupby(["task", "control"])["share"].transform("max")
    plain = scores[largest & (scores["control"] == "")]
    pipelines = sorted(plain["pipeline"].unique())
    if reference not in (REFERENCE, *pipelines):
        raise ValueError(f"there is no reference {reference}, only {', '.join(pipelines)}.")
    costs = costs.merge(plain[["task", "control", "share"]].drop_duplicates())
    tables = {
        str(task): summary(own, reference if reference in set(own["pipeline"]) else "")
        for task, own in plain.groupby("task", sort=False)
    }
    parts = ["# Benchmark", _protocol(cells)]
    for task, table in tables.items():
        table = table.merge(
            costs[costs["task"] == task]
            .groupby("pipeline")
            .agg({"seconds": "mean", "n_trained": "max", "model": "first"}),
            on="pipeline",
        )
        parts += _task_part(out, task, table, plain[plain["task"] == task], reference)
        parts += _lacking(scores[(scores["task"] == task) & (scores["control"] == "")], table)
    parts += _side_by_side(tables)
    parts += _controls(scores[largest & (scores["control"] != "")])
    parts += _low_resource(out, scores)
    parts += _not_run(out)
    parts += _pipelines(cells)
    text = "\n\n".join(parts) + "\n"
    write_text(out / "report.md", text)
    return text


def _protocol(cells: list[dict[str, Any]]) -> str:
    told = {
        ", ".join(f"{name} {value}" for name, value in cell["environment"].items()): None
        for cell in cells
    }
    seeds = sorted({cell["seed"] for cell in cells})
    n_folds = sorted({cell["n_folds"] for cell in cells if not cell["control"]})
    return (
        f"Folds: GroupKFold({' or '.join(map(str, n_folds))}) over people, shuffled by seeds "
        f"{', '.join(map(str, seeds))}. Every choice is made on inner people. Scores are of each "
        "person, from predictions of models that never saw them (where people do not have all "
        "classes, of those of a fold together); means and 95 % bootstrap intervals, in brackets, "
        "are over people (or folds, those of each seed apart). Intervals of fewer than ten are too "
        "narrow. A headline compares what is best by these scores, which is no test. People whom a "
        "model of the table had seen in pretraining count in the column of all people only. "
        f"{_unknown(cells)}p: corrected resampled t-test over folds and seeds, adjusted "
        "(Benjamini-Hochberg) for the number of pipelines.\n\n"
        f"Computed with {'; '.join(told)}."
    )


def _unknown(cells: list[dict[str, Any]]) -> str:
    names = sorted({cell["pipeline"] for cell in cells if cell["seen"] is None})
    if not names:
        return ""
    return f"Whom {', '.join(names)} had seen is unknown: their scores may be of people they know. "


def _task_part(
    out: Path, task: str, table: pd.DataFrame, scores: pd.DataFrame, reference: str
) -> list[str]:
    """Heading, headline, table and figures of a task."""
    known = TASKS.get(task)
    people, share = sorted(scores["person"].unique()), scores["share"].iloc[0]
    title = task if known is None else f"{task}: {known.title}"
    title += f", {known.control}" if known is not None and known.control else ""
    source = "" if known is None else f" {known.source}"
    count = f"{len(people)} people"
    if in_folds(scores):
        count = f"{table['n_all'].max()} people, those of a fold scored together"
    intro = f"{count} ({name_ranges(people)}).{source}"
    if share < 1:
        intro = f"Trained on {share:.0%} of the training trials. {intro}"
    rows = [_row(found) for _, found in table.iterrows()]
    frame = pd.DataFrame(rows, columns=list(_HEAD))
    write_text(out / f"{task}.tex", frame.to_latex(index=False, escape=True))
    _write_frame(out / f"{task}.csv", table)
    parts = [f"## {title}", intro, _headline(table, scores)]
    parts.append(markdown_table(_HEAD, rows, align="l" + "r" * (len(_HEAD) - 1)))
    drawn: dict[str, str | None] = {"people": None} if table["mean"].notna().any() else {}
    if table["difference"].notna().any():
        drawn["differences"] = reference
    for name, row in drawn.items():
        figure = viz.plot_benchmark(scores, row, title=title, show=False)
        parts.append(_save(figure, out / f"{task}-{name}"))
    return parts


def _lacking(scores: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Name pipelines that have been run on smaller shares only than the table is of."""
    names = sorted(set(scores["pipeline"]) - set(table["pipeline"]))
    share = scores["share"].max()
    return [f"Not run on {share:.0%} of the trials: {', '.join(names)}."] if names else []


def _headline(table: pd.DataFrame, scores: pd.DataFrame) -> str:
    """Say whether the best with a model and the best without one can be told apart."""
    ranked = table.dropna(subset=["mean"])
    if ranked.empty:
        return "**Every person had been seen by a model: there is no headline.**"
    unit = "folds" if in_folds(scores) else "people"
    best = {kind: found.iloc[0] for kind, found in ranked.groupby(ranked["model"].isna())}
    if len(best) < 2:
        name, n, *found = ranked.iloc[0][["pipeline", "n_scored", "mean", "low", "high"]]
        return f"**Best: {name}, {with_interval(*found)} over {n} {unit}.**"
    names, unseen = {kind: found["pipeline"] for kind, found in best.items()}, of_unseen(scores)
    difference = by_seed(unseen, names[False]) - by_seed(unseen, names[True])
    values, mean, low, high = spread(difference, in_folds(scores))
    claim = "The best with a model and the best without cannot be told apart"
    if low > 0:
        claim = "A pretrained or random model is best"
    elif high < 0:
        claim = "A pipeline without one of these models wins"
    # An interval of so few does not hold what it says.
    few = difference.notna().sum(axis=1).max() < _FEW
    model, classical = (f"{names[kind]} ({best[kind]['mean']:.3f})" for kind in (False, True))
    return (
        f"**{claim}: {model} with one, {classical} without; difference "
        f"{with_interval(mean, low, high, '+')} over {len(values)} {unit}"
        f"{', too few to rest on' if few else ''}.**"
    )


def _row(found: pd.Series) -> list[str]:
    difference = ""
    if found["n_compared"]:
        middle, low, high = found[["difference", "difference_low", "difference_high"]]
        difference = with_interval(middle, low, high, "+")
        if found["n_compared"] < found["n_scored"]:
            difference += f" of {found['n_compared']}"
    people = str(found["n_people"])
    if found["n_scored"] < found["n_people"]:
        people += f" in {found['n_scored']} folds"
    return [
        str(found["pipeline"]),
        people,
        with_interval(found["mean"], found["low"], found["high"]),
        difference,
        "" if np.isnan(found["p"]) else f"{found['p']:.3f}",
        *(_number(found[name]) for name in ("roc_auc", "pr_auc", "kappa", "weighted_f1")),
        _number(found["all_people"]),
        f"{found['n_seen']}" if found["seen_known"] else "unknown",
        f"{found['seconds']:.1f}",
        "" if pd.isna(found["n_trained"]) else f"{int(found['n_trained']):,}",
    ]


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _side_by_side(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Tasks beside their controls: what is left without artefacts, and what these alone give."""
    parts = []
    for name in tables:
        controls = [other for other in tables if other in TASKS and TASKS[other].of == name]
        if not controls:
            continue
        columns = {"as published": name, **{TASKS[other].control: other for other in controls}}
        means = pd.DataFrame(
            {title: tables[task].set_index("pipeline")["mean"] for title, task in columns.items()}
        )
        means = means.dropna(how="all").sort_values("as published", ascending=False)
        if means.empty:
            continue
        rows = [[str(row), *map(_number, values)] for row, *values in means.itertuples()]
        text = markdown_table(["pipeline", *columns], rows, align="l" + "r" * len(columns))
        parts += [f"## {name}: with and without artefacts", text]
    return parts


def _controls(scores: pd.DataFrame) -> list[str]:
    """Labels shuffled within people, and people told apart."""
    if scores.empty:
        return []
    rows = []
    for where, own in scores.groupby(["control", "task", "pipeline"]):
        found = own["balanced_accuracy"]
        numbers = f"{found.mean():.3f}", f"{found.min():.3f}-{found.max():.3f}"
        rows.append([*map(str, where), *numbers, f"{own['chance'].mean():.3f}"])
    head = ["control", "task", "pipeline", "balanced accuracy", "lowest-highest", "chance"]
    text = (
        "Permuted: labels shuffled within people, where a score above chance is a leak. Identity: "
        "people told apart in runs that were not trained on."
    )
    return ["## Controls", text, markdown_table(head, rows, align="lllrrr")]


def _low_resource(out: Path, scores: pd.DataFrame) -> list[str]:
    parts = []
    for task, own in scores.groupby("task", sort=False):
        means = pd.DataFrame(
            {
                name: {share: one.mean for share, one in found.items()}
                for name, found in by_share(own).items()
            }
        )
        means = means.sort_index().T
        if means.shape[1] < 2:
            continue
        rows = [[str(row), *map(_number, values)] for row, *values in means.itertuples()]
        head = [str(task), *(f"{share:.0%}" for share in means.columns)]
        parts += [
            markdown_table(head, rows, align="l" + "r" * means.shape[1]),
            _save(viz.plot_low_resource(own, show=False), out / f"{task}-shares"),
        ]
    return ["## Fewer training trials", *parts] if parts else []


def _not_run(out: Path) -> list[str]:
    """List what was asked for and has failed or could not be had, and has not been run since."""
    notes = (path.read_text("utf-8") for path in sorted(out.glob(f"{NOT_RUN}/*/*/*.txt")))
    lines = [f"- {line}" for line in by_cause(note.partition("\n")[::2] for note in notes)]
    return ["## Not run", "\n".join(lines)] if lines else []


def _pipelines(cells: Iterable[dict[str, Any]]) -> list[str]:
    made = {cell["pipeline"]: cell["parameters"] for cell in cells}
    return ["## Pipelines", "\n".join(f"- {name}: `{made[name]}`" for name in sorted(made))]


def _save(figure: Figure, path: Path) -> str:
    """Save a figure for browsers and one for papers; give the line that shows it."""
    import matplotlib.pyplot as plt

    for ending in (".svg", ".pdf"):
        with replacing(path.with_suffix(ending)) as new:
            figure.savefig(new)
    plt.close(figure)
    return f"![{path.name}]({path.name}.svg)"


def _write_frame(path: Path, frame: pd.DataFrame) -> None:
    write_text(path, frame.to_csv(index=False, float_format="%.6f"))
