# License: BSD-3-Clause
"""Figures of scores: of features that are compared, and of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..analysis.people import Spread, by_seed, by_share, in_folds, of_unseen, spread
from .drawing import (
    COLOURS,
    MARKERS,
    REFERENCE_LINE,
    axes_grid,
    finish,
    hide_spines,
    legend_beside,
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
    """Plot scores of people, or their differences from one row, with means and intervals.

    Parameters
    ----------
    results : dict of str to CrossSubjectScores | pandas.DataFrame
        Scores by name, see :func:`~mne_neurorvq.benchmarks.cross_subject_scores`, or the rows of
        one task of the ``scores.csv`` that a run of the benchmark writes: of these, people whom no
        pipeline had seen in pretraining are drawn, with all training trials and without controls.
    reference : str | None
        Row whose scores are taken off, person by person.
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
        The figure: means of the seeds of each person, the mean over people and its bootstrap
        interval. Where the people of a fold are scored together, these are folds, and the interval
        is the mean of those of the seeds. The dashed line is chance, or no difference.

    Notes
    -----
    A pipeline of a table that lacks people has the mean of those it has, and its difference is over
    those whom both have; the number is then beside its name. Differences of a dict are those of
    :meth:`~mne_neurorvq.benchmarks.CrossSubjectScores.difference_from`, of the same folds only.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.benchmarks import cross_subject_scores
    >>> y, people = np.tile([0, 1], 20), np.repeat(list("abcd"), 10)
    >>> noise = np.random.default_rng(0).standard_normal((40, 2))
    >>> results = {
    ...     "noise": cross_subject_scores(noise, y, people, n_splits=2),
    ...     "label": cross_subject_scores(noise + y[:, None], y, people, n_splits=2),
    ... }
    >>> plot_benchmark(results, "noise", show=False)
    <Figure size ... with 1 Axes>
    """
    unit = "people"
    if isinstance(results, Mapping):
        rows = _drawn(results, reference)
        classes = next((result.classes for result in results.values()), ())
        chance = 1 / len(classes) if classes and chance is None else chance
        title = title or " against ".join(classes)
    else:
        table = _one_task(results)
        plain = of_unseen(table[table["control"].isin(["", np.nan])])
        plain = plain[plain["share"] == plain["share"].max()]
        rows = _drawn_of_table(plain, reference, in_folds(table))
        unit = _unit(table)
        if chance is None and "chance" in plain:
            chance = plain["chance"].max()
        title = title or str(table["task"].iloc[0])
    chance = 0.0 if reference is not None else chance
    if not rows:
        raise ValueError("results is empty, or nothing beside reference: there is nothing to plot.")
    figure, grid = axes_grid(axes, 1, 1, (8.0, 1.4 + 0.3 * len(rows)))
    ax = grid[0, 0]
    if chance is not None:
        ax.axvline(chance, **REFERENCE_LINE)
    for row, (scores, mean, low, high) in enumerate(rows.values()):
        # An offset separates equal scores.
        offsets = np.linspace(-0.22, 0.22, scores.size)
        ax.plot(scores, row + offsets, "o", ms=3.5, color="0.7", mew=0, zorder=1)
        ax.plot([low, high], [row, row], lw=2, color=COLOURS[0], zorder=2)
        ax.plot(mean, row, "o", ms=6, color=COLOURS[0], zorder=3)
    ax.set_yticks(range(len(rows)), _counted(rows, unit))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    what = f"difference from {reference}" if reference else "balanced accuracy"
    dashed = "" if chance is None or reference else ", dashed: chance"
    ax.set_xlabel(f"{what}\ngrey: {unit}, blue: mean and 95 % interval{dashed}")
    ax.set_title(title, wrap=True)
    hide_spines(ax)
    return finish(figure, show)


def plot_low_resource(
    scores: pd.DataFrame,
    *,
    chance: float | None = None,
    title: str = "",
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot scores against the share of the training trials that was learned from.

    Parameters
    ----------
    scores : pandas.DataFrame
        Rows of one task of the ``scores.csv`` that a run of the benchmark writes with several
        ``--shares``: people whom no pipeline had seen in pretraining are drawn, without controls.
    chance : float | None
        Score of chance.
    title : str
        Title; by default the task.
    axes : Axes | None
        Axes to draw on.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure: means over people, of each pipeline over those whom it has with every share,
        with bootstrap intervals.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = pd.DataFrame(
    ...     {"task": "imagery", "pipeline": "embedding", "control": "", "seed": 0, "seen": False,
    ...      "share": [0.1, 0.1, 1.0, 1.0], "person": ["a", "b"] * 2,
    ...      "balanced_accuracy": [0.5, 0.6, 0.7, 0.65]}
    ... )
    >>> plot_low_resource(scores, chance=0.5, show=False)
    <Figure size ... with 1 Axes>
    """
    table = _one_task(scores)
    tables = by_share(table)
    if not tables:
        raise ValueError("scores is empty: there is nothing to plot.")
    figure, grid = axes_grid(axes, 1, 1, (7.5, 4.5))
    ax = grid[0, 0]
    if chance is not None:
        ax.axhline(chance, **REFERENCE_LINE)
    last = {name: [*found.values()][-1] for name, found in tables.items()}
    for number, (found, label) in enumerate(
        zip(tables.values(), _counted(last, _unit(table)), strict=True)
    ):
        means, low, high = np.transpose([one[1:] for one in found.values()])
        # Beside each other, so that intervals can be told apart.
        places = 100 * np.array([*found]) * 1.02 ** (number - (len(tables) - 1) / 2)
        ax.errorbar(
            places,
            means,
            yerr=abs(np.stack([low, high]) - means),
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number // len(COLOURS) % len(MARKERS)],
            ms=5,
            lw=1.2,
            elinewidth=0.8,
            label=label,
        )
    shares = sorted({share for found in tables.values() for share in found})
    ax.set(xscale="log", xlim=(80 * shares[0], 125 * shares[-1]))
    ax.set_xticks([100 * share for share in shares], [f"{100 * share:g}" for share in shares])
    ax.minorticks_off()
    ax.set(xlabel="training trials (%)", ylabel="balanced accuracy")
    ax.set_title(title or str(table["task"].iloc[0]))
    hide_spines(ax)
    legend_beside(ax)
    return finish(figure, show)


def _one_task(table: pd.DataFrame) -> pd.DataFrame:
    """Check that these are scores of one task."""
    wanted = {"task", "pipeline", "control", "share", "seed", "person", "seen", "balanced_accuracy"}
    if missing := sorted(wanted - set(table.columns)):
        raise ValueError(
            f"the table lacks the columns {', '.join(missing)}: pass the table scores.csv of a run "
            "of the benchmark."
        )
    if table.empty:
        raise ValueError("the table is empty: there is nothing to plot.")
    tasks = table["task"].unique().tolist()
    if len(tasks) > 1:
        raise ValueError(
            f"the table has the tasks {', '.join(tasks)}: pass one of them, "
            f"scores[scores['task'] == {tasks[0]!r}]."
        )
    return table


def _drawn(results: Mapping[str, CrossSubjectScores], reference: str | None) -> dict[str, Spread]:
    """Give what is drawn in each row: scores, or their differences from one row."""
    if reference is None:
        return {
            name: Spread(found.scores.mean(axis=0), found.mean, *found.interval)
            for name, found in results.items()
        }
    base = results[_among(results, reference)]
    others = {name: found for name, found in results.items() if name != reference}
    told = {name: found.difference_from(base) for name, found in others.items()}
    return {
        name: Spread((found.scores - base.scores).mean(axis=0), *told[name][:3])
        for name, found in others.items()
    }


def _drawn_of_table(plain: pd.DataFrame, reference: str | None, folds: bool) -> dict[str, Spread]:
    """Give the same of the pipelines of a table, the best first."""
    scores = {str(name): by_seed(plain, name) for name in plain["pipeline"].unique()}
    rows = {name: spread(own, folds) for name, own in scores.items() if own.size}
    rows = dict(sorted(rows.items(), key=lambda item: -item[1].mean))
    if reference is not None:
        base = scores[_among(rows, reference)]
        rows = {name: spread(scores[name] - base, folds) for name in rows if name != reference}
    return {name: found for name, found in rows.items() if len(found.values)}


def _among(rows: Mapping[str, Any], reference: str) -> str:
    if reference not in rows:
        raise ValueError(f"reference={reference!r} must be one of {', '.join(rows)}.")
    return reference


def _unit(table: pd.DataFrame) -> str:
    """Say what has a score: a person, or those of a fold together."""
    return "folds" if in_folds(table) else "people"


def _counted(rows: Mapping[str, Spread], unit: str) -> list[str]:
    """Names, with the number of people (or folds) where it is less than elsewhere."""
    counts = [len(found.values) for found in rows.values()]
    return [
        name if n == max(counts) else f"{name} ({n} of {max(counts)} {unit})"
        for name, n in zip(rows, counts, strict=True)
    ]


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
    from matplotlib.ticker import MaxNLocator

    rows = _history(history)
    x = "step" if "step" in rows[0] else "epoch"
    known = {
        name.partition("_")[2]: None
        for row in rows
        for name in row
        if name.startswith(("train_", "valid_"))
    }
    if not known:
        raise ValueError("history has no train_ or valid_ measures: pass that of a training.")
    shown = [measures] if isinstance(measures, str) else measures
    if shown is None:
        shown = [name for name in _USUAL if name in known] or list(known)[:2]
    wrong = [name for name in shown if name not in known]
    if wrong or not shown:
        raise ValueError(f"measures must be some of {', '.join(known)}, not {wrong or 'none'}.")
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
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
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
