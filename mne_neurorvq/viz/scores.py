# License: BSD-3-Clause
"""Figures of scores: of features that are compared, and of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .drawing import (
    COLOURS,
    MARKERS,
    REFERENCE_LINE,
    axes_grid,
    finish,
    hide_spines,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..benchmarks import CrossSubjectScores

# What is drawn of a training unless something else is asked for, as far as it is there.
_USUAL = ("loss", "balanced_accuracy", "r", "accuracy_0")
_PERCENT = ("accuracy", "balanced_accuracy", "used")


def plot_benchmark(
    results: Mapping[str, CrossSubjectScores],
    *,
    title: str = "",
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot the scores of all folds with mean and standard deviation.

    Parameters
    ----------
    results : dict of str to CrossSubjectScores
        Scores by name, see :func:`~mne_neurorvq.benchmarks.compare_features`.
    title : str
        Title; by default the classes.
    axes : Axes | None
        Axes to draw on.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; the dashed line is chance.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.benchmarks import compare_features
    >>> y, subjects = np.tile([0, 1], 20), np.repeat(list("abcd"), 10)
    >>> results = compare_features({"label": y[:, None]}, y, subjects, n_splits=2)
    >>> plot_benchmark(results, show=False)
    <Figure size ... with 1 Axes>
    """
    if not results:
        raise ValueError("results is empty: there is nothing to plot.")
    figure, grid = axes_grid(axes, 1, 1, (8.0, 1.4 + 0.36 * len(results)))
    ax = grid[0, 0]
    first = next(iter(results.values()))
    chance = 1 / len(first.classes)
    ax.axvline(chance, **REFERENCE_LINE)
    for row, result in enumerate(results.values()):
        folds = result.scores.ravel()
        # An offset separates folds of the same score.
        offsets = np.linspace(-0.22, 0.22, folds.size)
        ax.plot(folds, row + offsets, "o", ms=3.5, color="0.65", mew=0, zorder=1)
        ax.errorbar(
            result.mean, row, xerr=result.spread, fmt="o", ms=7, lw=2, color=COLOURS[0], zorder=2
        )
    ax.set_yticks(range(len(results)), list(results))
    ax.set_ylim(len(results) - 0.4, -0.6)
    ax.set_xlabel("balanced accuracy\ngrey: folds, blue: mean ± standard deviation, dashed: chance")
    ax.set_title(title or " against ".join(first.classes))
    hide_spines(ax)
    return finish(figure, show)


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
