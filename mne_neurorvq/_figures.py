# License: BSD-3-Clause
"""Axes, colours and panels shared by the figures of `viz`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito: distinguishable with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_ORIGINAL, _RECONSTRUCTION = "0.35", COLOURS[1]
_MAX_CHANNELS = 4
FASTEST = 45.0  # Hz


def check_same(original: mne.BaseEpochs, reconstruction: mne.BaseEpochs, trial: int) -> None:
    """Raise unless both hold the same trials, and `trial` is one of them."""
    facts = [(len(e), e.info["sfreq"], len(e.times)) for e in (original, reconstruction)]
    if facts[0] != facts[1]:
        raise ValueError(
            "original and reconstruction must be the same trials, but have (trials, rate in Hz, "
            f"samples) {facts[0]} and {facts[1]}."
        )
    if not -len(original) <= trial < len(original):
        raise ValueError(f"trial={trial} does not exist: there are {len(original)} trials.")


def shown_channels(
    original: mne.BaseEpochs, reconstruction: mne.BaseEpochs, channels: Sequence[str] | None
) -> list[str]:
    """Names of the channels to draw: those given, or a few evenly spaced ones."""
    common = [name for name in reconstruction.ch_names if name in original.ch_names]
    if channels is None:
        n_shown = min(_MAX_CHANNELS, len(common))
        return [common[i] for i in np.linspace(0, len(common) - 1, n_shown).round().astype(int)]
    missing = [name for name in channels if name not in common]
    if missing or not channels:
        raise ValueError(
            f"channels must be some of those that both have, not {missing or 'none'}: "
            f"{', '.join(common)}."
        )
    return list(channels)


def overlay(
    ax: Axes,
    times: NDArray[np.floating],
    original: NDArray[np.floating],
    reconstruction: NDArray[np.floating],
    name: str,
    unit: str,
) -> None:
    """Draw a reconstructed signal over the original one."""
    ax.plot(times, original, color=_ORIGINAL, lw=1.6)
    ax.plot(times, reconstruction, color=_RECONSTRUCTION, lw=0.9)
    ax.set_ylabel(f"{name} ({unit})")
    ax.margins(x=0)
    hide_spines(ax)
    if original.std() and reconstruction.std():
        r = np.corrcoef(original, reconstruction)[0, 1]
        # Make room for it above the lines.
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.15 * (high - low))
        ax.text(0.01, 0.97, f"r = {r:.2f}", transform=ax.transAxes, va="top", fontsize=9)


def spectra(
    ax: Axes,
    sfreq: float,
    original: NDArray[np.floating],
    reconstruction: NDArray[np.floating],
    unit: str,
    fastest: float = FASTEST,
) -> None:
    """Draw the spectra, up to a frequency, of a signal and its reconstruction."""
    from scipy.signal import welch

    for signal, colour, width in (
        (original, _ORIGINAL, 1.6),
        (reconstruction, _RECONSTRUCTION, 0.9),
    ):
        frequencies, density = welch(signal, sfreq, nperseg=min(signal.size, round(2 * sfreq)))
        inside = (frequencies > 0) & (frequencies <= fastest) & (density > 0)
        ax.semilogy(frequencies[inside], density[inside], color=colour, lw=width)
    ax.set_ylabel(f"{unit}²/Hz")
    ax.set_xlim(0, min(fastest, sfreq / 2))
    hide_spines(ax)


def axes_grid(
    axes: Sequence[Sequence[Axes]] | NDArray[Any] | None,
    n_rows: int,
    n_columns: int,
    size: tuple[float, float],
    width_ratios: Sequence[float] | None = None,
) -> tuple[Figure, NDArray[Any]]:
    """Return the figure and its axes ``(n_rows, n_columns)``, given or new."""
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if axes is None:
        return plt.subplots(
            n_rows,
            n_columns,
            figsize=size,
            squeeze=False,
            layout=ConstrainedLayoutEngine(w_pad=0.1),
            width_ratios=width_ratios,
        )
    grid = np.array(axes, dtype=object)
    if grid.shape != (n_rows, n_columns):
        raise ValueError(f"axes must have shape {(n_rows, n_columns)}, got {grid.shape}.")
    return grid[0, 0].figure, grid


def hide_spines(ax: Axes) -> None:
    """Hide the right and upper spine."""
    ax.spines[["top", "right"]].set_visible(False)


def finish(figure: Figure, show: bool) -> Figure:
    """Show the figure if asked to, and return it."""
    from mne.viz.utils import plt_show

    plt_show(show, fig=figure)
    return figure
