# License: BSD-3-Clause
"""What all figures share: axes, colours, places on the scalp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
from numpy.typing import NDArray

from .._names import name_key
from ..signals.sites import template_positions
from ..signals.trials import electrode_positions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito: distinguishable with any colour vision. What is nominal has these.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = "osD^vP"
# Quantities have a map whose lightness rises evenly.
QUANTITY = "viridis"
REFERENCE_LINE: dict[str, Any] = {"color": "0.5", "ls": "--", "lw": 1}
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": "small", "title_fontsize": "small"}

# Unit of a kind of channel and what volts are multiplied by; pulses are "misc" and have none.
UNITS = {"eeg": ("µV", 1e6), "emg": ("µV", 1e6), "ecg": ("mV", 1e3), "misc": ("AU", 1.0)}


def axes_grid(
    axes: Axes | Sequence[Any] | NDArray[Any] | None,
    n_rows: int,
    n_columns: int,
    size: tuple[float, float],
    **new: Any,
) -> tuple[Figure, NDArray[Any]]:
    """Return the figure and its axes ``(n_rows, n_columns)``, given or new.

    Those of one row or column may be given without the other dimension; one, alone.
    """
    import matplotlib.pyplot as plt

    if axes is None:
        return plt.subplots(
            n_rows, n_columns, figsize=size, squeeze=False, layout="constrained", **new
        )
    grid = np.array(axes, dtype=object)
    if grid.ndim < 2 and 1 in (n_rows, n_columns):
        grid = grid.reshape((1, -1) if n_rows == 1 else (-1, 1))
    if grid.shape != (n_rows, n_columns):
        raise ValueError(f"axes must have shape {(n_rows, n_columns)}, got {grid.shape}.")
    return grid[0, 0].figure, grid


def hide_spines(ax: Axes) -> None:
    """Hide the right and upper spine."""
    ax.spines[["top", "right"]].set_visible(False)


def legend_beside(ax: Axes, title: str = "", handles: Sequence[Any] | None = None) -> None:
    """Put the legend of an axes, of its artists or of others, to its right."""
    ax.legend(handles=handles, title=title, loc="center left", bbox_to_anchor=(1.0, 0.5), **LEGEND)


def finish(figure: Figure, show: bool) -> Figure:
    """Show the figure if asked to, and return it."""
    from mne.viz.utils import plt_show

    plt_show(show, fig=figure)
    return figure


def checked_trial(trial: int, n_trials: int) -> int:
    """Return the index of a trial that exists."""
    if not -n_trials <= trial < n_trials:
        raise ValueError(f"trial={trial} does not exist: there are {n_trials} trials.")
    return trial % n_trials


def checked_indices(
    name: str, chosen: int | Sequence[int] | None, usual: Sequence[int], n: int
) -> list[int]:
    """Return indices of what is to be drawn, from 0 to ``n - 1``; None is ``usual``."""
    shown = list(usual) if chosen is None else np.atleast_1d(chosen).tolist()
    if not shown or not set(shown) <= set(range(n)):
        raise ValueError(f"{name}={shown} must be some of 0 to {n - 1}.")
    return shown


def place(ch_name: str, info: mne.Info | None, site: str = "") -> NDArray[np.floating] | None:
    """Position (3,) of an electrode in metres: its own, or the template's of its name or site."""
    if info is not None and ch_name in info.ch_names:
        index = info.ch_names.index(ch_name)
        if info.get_channel_types([index]) != ["eeg"]:
            return None
        own = electrode_positions(mne.pick_info(info, [index], verbose="error"))[0]
        if not np.isnan(own).any():
            return own
    template = template_positions()[0]
    return template.get(name_key(ch_name), template.get(site.lower()))


def scalp(places: Mapping[str, NDArray[np.floating]]) -> mne.Info:
    """Return an Info of electrodes at these places."""
    montage = mne.channels.make_dig_montage(dict(places), coord_frame="head")
    return mne.create_info(list(places), 1.0, "eeg", verbose="error").set_montage(montage)


def on_the_scalp(ch_names: Sequence[str], info: mne.Info | None) -> mne.Info:
    """Return an Info of these channels, all of which must have a place."""
    places = {name: place(name, info) for name in ch_names}
    found = {name: where for name, where in places.items() if where is not None}
    without = [name for name in ch_names if name not in found]
    if without:
        raise ValueError(
            f"the channel {without[0]!r} has no place on the scalp: pass an info with positions "
            "(set_montage), or leave the channel out. Only EEG has maps."
        )
    if len(found) < 2:
        raise ValueError(f"a map needs two electrodes or more, got {', '.join(found) or 'none'}.")
    return scalp(found)


def scalp_map(
    ax: Axes, values: NDArray[np.floating], info: mne.Info, limits: tuple[float, float]
) -> Any:
    """Draw a quantity over the scalp; return the image, for a colour bar."""
    image, _ = mne.viz.plot_topomap(
        values, info, axes=ax, show=False, cmap=QUANTITY, vlim=limits, contours=0
    )
    return image
