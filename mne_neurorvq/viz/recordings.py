# License: BSD-3-Clause
"""A figure of what became of the channels of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mne

from .._names import shorten
from ..signals import ChannelMatch, ChannelReport
from .drawing import COLOURS, axes_grid, finish, place, scalp

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What happened to a channel, its colour and the marker of the legend.
_KINDS = {
    "exact": ("same name", COLOURS[0]),
    "alias": ("other name of the site", COLOURS[4]),
    "table": ("table of the net's maker", COLOURS[2]),
    "nearest": ("nearest site", COLOURS[1]),
    "order": ("next of the recording", COLOURS[0]),
    "any": ("taken as it is", COLOURS[0]),
    "spline": ("site computed by splines", COLOURS[3]),
    "source": ("used to compute sites", "0.5"),
    "replaced": ("bad, its site is computed", COLOURS[5]),
    None: ("left out", "0.85"),
}
_MAX_LABELS, _LARGE_LABELS = 80, 40


def plot_channel_match(
    report: ChannelReport,
    info: mne.Info | None = None,
    *,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot which electrode became which site of a model.

    Parameters
    ----------
    report : ChannelReport
        The ``channel_report_`` of a fitted estimator, for EEG.
    info : mne.Info | None
        Of the recording: electrodes are drawn at their own positions. By default, and for those
        without one, at those that MNE's template has for their names or sites.
    axes : Axes | None
        Axes to draw on.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure: each electrode with its name and, where that is another, the name of its site.
        Channels that have no place are listed below.

    Examples
    --------
    >>> from mne_neurorvq.signals import match_channels
    >>> report = match_channels(["EEG T7-REF", "Cz", "Fz"], ["cz", "t3", "fz"])
    >>> plot_channel_match(report, show=False)
    <Figure size ... with 1 Axes>
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.lines import Line2D

    places = {
        match.name: where
        for match in report
        if (where := place(match.name, info, match.target or "")) is not None
    }
    if not places:
        raise ValueError(
            "no channel of the report has a place on the scalp, which only EEG has: print(report) "
            "lists what became of each."
        )
    placed = [match for match in report if match.name in places]
    kinds = [kind for kind in _KINDS if any(match.how == kind for match in placed)]
    figure, grid = axes_grid(axes, 1, 1, (6.5, 6.8))
    ax = grid[0, 0]
    groups = [[i for i, match in enumerate(placed) if match.how == kind] for kind in kinds]
    colours = ListedColormap([_KINDS[kind][1] for kind in kinds])
    mne.viz.plot_sensors(
        scalp(places),
        "topomap",
        ch_groups=groups,
        cmap=colours,
        axes=ax,
        show=False,
        pointsize=40,
        linewidth=0,
        verbose="error",
    )
    for match, where in zip(placed, ax.collections[0].get_offsets(), strict=True):
        if match.used or len(placed) <= _MAX_LABELS:
            ax.annotate(
                _label(match),
                where,
                (0, -4),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize="x-small" if len(placed) <= _LARGE_LABELS else "xx-small",
            )
    handles = [
        Line2D(
            [],
            [],
            ls="",
            marker="o",
            color=_KINDS[kind][1],
            label=f"{_KINDS[kind][0]} ({len(group)})",
        )
        for kind, group in zip(kinds, groups, strict=True)
    ]
    nowhere = [match.name for match in report if match.name not in places]
    if nowhere:
        label = f"without a place: {shorten(nowhere, 6)}"
        handles.append(Line2D([], [], ls="", label=label))
    if axes is None:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small"
        )
    else:
        ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), fontsize="small")
    return finish(figure, show)


def _label(match: ChannelMatch) -> str:
    """Name of a channel, with that of its site if it is another."""
    if match.target is None or match.target.lower() == match.name.lower():
        return match.name
    return f"{match.name}→{match.target}"
