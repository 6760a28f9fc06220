# License: BSD-3-Clause
"""A figure of features in two dimensions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..analysis import feature_map
from ..analysis.feature_maps import Method
from .drawing import COLOURS, MARKERS, QUANTITY, axes_grid, finish, hide_spines, legend_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_LEGEND = 18
# What Python, NumPy and pandas write of a value that is not there.
_MISSING = ("None", "nan", "NaT", "<NA>")


def plot_embedding(
    features: ArrayLike,
    subjects: ArrayLike | None = None,
    conditions: ArrayLike | None = None,
    *,
    method: Method = "pca",
    random_state: int = 0,
    axes: Axes | Sequence[Axes] | NDArray[Any] | None = None,
    show: bool = True,
) -> Figure:
    """Plot features in two dimensions, coloured by subject and by condition.

    Parameters
    ----------
    features : array-like, shape (n_trials, n_columns)
        Output of a transformer.
    subjects, conditions : array-like, shape (n_trials,) | None
        Subject and condition of each trial, see
        :func:`~mne_neurorvq.datasets.trial_column`; each that is given has a panel. Up to 18 names
        have a legend, up to 36 a colour and marker of their own; more are grey, because no eye
        could tell them apart. More than 18 conditions that are numbers, such as ages, have a
        colour bar.
    method : "pca" | "umap"
        As in :func:`~mne_neurorvq.analysis.feature_map`.
    random_state : int
        Seed.
    axes : sequence of Axes | None
        One for each panel.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> subjects = np.repeat(["s1", "s2"], 20)
    >>> features = rng.standard_normal((40, 8)) + 3 * (subjects == "s2")[:, None]
    >>> plot_embedding(features, subjects, np.tile(["left", "right"], 20), show=False)
    <Figure size ... with 2 Axes>
    """
    points, labels = feature_map(features, method, random_state=random_state)
    panels = {
        name: np.asarray(values, object)
        for name, values in (("subject", subjects), ("condition", conditions))
        if values is not None
    }
    for name, values in panels.items():
        if values.shape != (len(points),):
            raise ValueError(
                f"{name}s must have one entry for each of the {len(points)} trials, got shape "
                f"{values.shape}."
            )
        for trial, value in enumerate(values):
            if not isinstance(value, str) and str(value) in _MISSING:
                raise ValueError(
                    f"{name}s has {value} in trial {trial}: leave out trials without a {name}."
                )
    panels = panels or {"": np.zeros(len(points), object)}
    figure, grid = axes_grid(axes, 1, len(panels), (0.4 + 4.3 * len(panels), 3.4))
    for ax, (name, values) in zip(grid[0], panels.items(), strict=True):
        numbers = all(isinstance(value, Real) for value in values)
        kinds = sorted(set(values), key=None if numbers else _natural)
        ax.set(xlabel=labels[0], ylabel=labels[1])
        if method == "umap":  # whose scale means nothing
            ax.set(xticks=[], yticks=[])
        hide_spines(ax)
        if len(kinds) > _MAX_LEGEND and numbers and name == "condition":
            shades = values.astype(float)
            dots = ax.scatter(*points.T, s=12, c=shades, cmap=QUANTITY, alpha=0.8, linewidths=0)
            figure.colorbar(dots, ax=ax, label=name)
            continue
        told_apart = len(kinds) <= len(COLOURS) * len(MARKERS)
        for number, kind in enumerate(kinds):
            turn, colour = divmod(number, len(COLOURS))
            ax.plot(
                *points[values == kind].T,
                MARKERS[turn] if told_apart else MARKERS[0],
                color=COLOURS[colour] if told_apart else "0.5",
                ms=4,
                mew=0,
                alpha=0.8,
                label=str(kind),
            )
        if name and len(kinds) <= _MAX_LEGEND:
            legend_beside(ax, title=name)
        elif name:
            ax.set_title(f"{len(kinds)} {name}s")
    return finish(figure, show)


def _natural(label: object) -> list[Any]:
    """Key by which subject-2 comes before subject-10."""
    parts = re.split(r"(\d+)", str(label))
    return [int(part) if number % 2 else part for number, part in enumerate(parts)]
