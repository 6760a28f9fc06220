# License: BSD-3-Clause
"""Figures of scores: of features that are compared, and of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..analysis.subject_scores import of_unseen
from .drawing import (
    COLOURS,
    MARKERS,
    REFERENCE_LINE,
    axes_grid,
    finish,
    hide_spines,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..benchmarks import CrossSubjectScores

# What is drawn of a training unless something else is asked for, as far as it is there.
_USUAL = ("loss", "balanced_accuracy", "r", "accuracy_0")


def plot_benchmark(
    results: Mapping[str, CrossSubjectScores] | pd.DataFrame,
    reference: str | None = None,
    *,
    chance: float | None = None,
    title: str = "",
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot scores of folds or people, or their differences from one row, with mean and spread.

    Parameters
    ----------
    results : dict of str to CrossSubjectScores | pandas.DataFrame
        Scores by name, see :func:`~mne_neurorvq.benchmarks.compare_features`, or the rows of one
        task of the ``scores.csv`` that a run of the benchmark writes: of these, people whom no
        pipeline had seen in pretraining are drawn, with all training trials and without controls.
    reference : str | None
        Row whose scores are taken off, person by person or fold by fold.
    chance : float | None
        Score of chance; by default that of the classes, where these are known.
    title : str
        Title; by default the classes or the task.
    axes : Axes | None
        Axes to draw on.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; the dashed line is chance, or no difference.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.benchmarks import compare_features
    >>> y, subjects = np.tile([0, 1], 20), np.repeat(list("abcd"), 10)
    >>> results = compare_features({"label": y[:, None]}, y, subjects, n_splits=2)
    >>> plot_benchmark(results, show=False)
    <Figure size ... with 1 Axes>
    """
    if isinstance(results, Mapping):
        rows = {name: result.scores.ravel() for name, result in results.items()}
        classes = next((result.classes for result in results.values()), ())
        chance, kind = 1 / len(classes) if classes and chance is None else chance, "folds"
        title = title or " against ".join(classes)
    else:
        rows, task = _people(results)
        title, kind = title or task, "people"
    if not rows:
        raise ValueError("results is empty: there is nothing to plot.")
    if reference is not None:
        rows, chance = _differences(rows, reference), 0.0
    figure, grid = axes_grid(axes, 1, 1, (8.0, 1.4 + 0.36 * len(rows)))
    ax = grid[0, 0]
    if chance is not None:
        ax.axvline(chance, **REFERENCE_LINE)
    for row, scores in enumerate(rows.values()):
        # An offset separates equal scores.
        offsets = np.linspace(-0.22, 0.22, scores.size)
        ax.plot(scores, row + offsets, "o", ms=3.5, color="0.65", mew=0, zorder=1)
        ax.errorbar(
            scores.mean(), row, xerr=scores.std(), fmt="o", ms=7, lw=2, color=COLOURS[0], zorder=2
        )
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    what = "balanced accuracy" + (f", difference from {reference}" if reference else "")
    dashed = "" if chance is None else f", dashed: {'no difference' if reference else 'chance'}"
    ax.set_xlabel(f"{what}\ngrey: {kind}, blue: mean ± standard deviation{dashed}")
    ax.set_title(title)
    hide_spines(ax)
    return finish(figure, show)


def _people(table: pd.DataFrame) -> tuple[dict[str, NDArray[np.float64]], str]:
    """Scores of each person by pipeline, the best first, and the task."""
    wanted = {"task", "pipeline", "control", "share", "person", "seen", "balanced_accuracy"}
    if missing := sorted(wanted - set(table.columns)):
        raise ValueError(
            f"results lacks the columns {', '.join(missing)}: pass the table scores.csv of a run "
            "of the benchmark."
        )
    tasks = table["task"].unique().tolist()
    if len(tasks) > 1:
        raise ValueError(
            f"results has the tasks {', '.join(tasks)}: pass one of them, "
            f"results[results['task'] == {tasks[0]!r}]."
        )
    unseen = of_unseen(table)
    plain = unseen["control"].isin(["", np.nan]) & unseen["share"].eq(table["share"].max())
    kept = unseen[plain]
    if kept.empty:
        return {}, ""
    scores = kept.pivot_table("balanced_accuracy", "person", "pipeline").dropna()
    order = scores.mean().sort_values(ascending=False).index
    return {str(name): scores[name].to_numpy() for name in order}, str(tasks[0])


def _differences(
    rows: dict[str, NDArray[np.float64]], reference: str
) -> dict[str, NDArray[np.float64]]:
    """Scores without those of a row, on the same people or folds."""
    if reference not in rows:
        raise ValueError(f"reference={reference!r} must be one of {', '.join(rows)}.")
    for name, scores in rows.items():
        if scores.shape != rows[reference].shape:
            raise ValueError(
                f"{name!r} has {scores.size} scores, but {reference!r} {rows[reference].size}: "
                "they are not of the same folds."
            )
    return {name: scores - rows[reference] for name, scores in rows.items() if name != reference}


def plot_learning_curve(
    history: Any,
    measures: str | Sequence[str] | None = None,
    *,
    axes: Axes | Sequence[Axes] | NDArray[Any] | None = None,
    show: bool = True,
) -> Figure:
    """Plot the course of a training: losses and scores of training and validation.

    Parameters
    ----------
    history : list of dict | estimator | str | pathlib.Path
        The ``history_`` of a fine-tuned estimator, the estimator itself, or the folder of a stage
        of pretraining, which holds ``logs``.
    measures : str | sequence of str | None
        What to show, without ``train_`` and ``valid_``: ``"loss"``, ``"balanced_accuracy"``,
        ``"r"``, ...; by default these, as far as they were measured.
    axes : sequence of Axes, length n_measures | None
        One for each measure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> history = [
    ...     {"epoch": 1, "train_loss": 0.7, "valid_loss": 0.69, "valid_balanced_accuracy": 0.5},
    ...     {"epoch": 2, "train_loss": 0.5, "valid_loss": 0.66, "valid_balanced_accuracy": 0.6},
    ... ]
    >>> plot_learning_curve(history, show=False)  # loss and accuracy
    <Figure size ... with 2 Axes>
    """
    rows = _history(history)
    x = "step" if "step" in rows[0] else "epoch"
    known = {
        name.partition("_")[2]: None
        for row in rows
        for name in row
        if name.startswith(("train_", "valid_"))
    }
    shown = [measures] if isinstance(measures, str) else measures
    if shown is None:
        shown = [name for name in _USUAL if name in known] or list(known)[:2]
    wrong = [name for name in shown if name not in known]
    if wrong or not shown:
        raise ValueError(
            f"measures must be some of {', '.join(known) or '(none)'}, not {wrong or 'none'}."
        )
    figure, grid = axes_grid(axes, 1, len(shown), (0.6 + 3.4 * len(shown), 3.0))
    for ax, name in zip(grid[0], shown, strict=True):
        for number, part in enumerate(("train", "valid")):
            values = [(row[x], row[key]) for row in rows if (key := f"{part}_{name}") in row]
            if values:
                label = ("training", "validation")[number]
                marker = MARKERS[number] if len(values) <= 30 else ""
                ax.plot(
                    *zip(*values, strict=True), color=COLOURS[number], marker=marker, label=label
                )
        ax.set(xlabel=x, ylabel=name.replace("_", " "))
        hide_spines(ax)
        ax.legend(frameon=False, fontsize="small")
    return finish(figure, show)


def _history(history: Any) -> list[dict[str, float]]:
    """Rows of numbers, of an estimator, a folder or as given."""
    if isinstance(history, (str, Path)):
        files = sorted(
            Path(history).glob("logs/from_*/metrics.csv"),
            key=lambda file: int(file.parent.name.removeprefix("from_")),
        )
        if not files:
            raise FileNotFoundError(
                f"{history} has no logs/from_*/metrics.csv: pass the folder of a stage of "
                "pretraining, such as run/tokenizer."
            )
        rows = [row for file in files for row in _numbers(file)]
    else:
        rows = list(getattr(history, "history_", history))
    if not rows:
        raise ValueError("history is empty: nothing was trained.")
    return rows


def _numbers(file: Path) -> list[dict[str, float]]:
    """Rows of a CSV file, without its empty cells."""
    import csv

    with file.open(newline="", encoding="utf-8") as text:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(text)]
