# License: BSD-3-Clause
"""Figures of codes: in a trial, how many are used, where they occur and what they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
from numpy.typing import NDArray

from ..analysis import CodeUsage, code_rates, code_usage, code_waveforms
from ..analysis.occurrences import frequent_codes
from ..tokens import Tokens
from .drawing import (
    COLOURS,
    LEGEND,
    MARKERS,
    UNITS,
    axes_grid,
    checked_indices,
    checked_trial,
    finish,
    hide_spines,
    legend_beside,
    on_the_scalp,
    scalp_map,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_LABELS = 24
_MAX_LEVELS = 3
# Columns of cells between which there is room for an edge.
_MAX_CELLS = 40
_MAX_CODES = 4
# Colours of the most frequent codes, of others that occur again, and of those that do not.
_COLOURS = (*COLOURS, "#F0E442", "black", "0.7", "0.92")
_RANKS = ("most frequent", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "rarer", "once")


def plot_tokens(
    tokens: Tokens,
    trial: int = 0,
    codebooks: int | Sequence[int] | None = None,
    levels: int | Sequence[int] | None = None,
    *,
    axes: Sequence[Sequence[Axes]] | NDArray[Any] | None = None,
    show: bool = True,
) -> Figure:
    """Plot the codes of a trial over time and channels, for each level and codebook.

    Parameters
    ----------
    tokens : Tokens
        Tokens.
    trial : int
        Index of the trial.
    codebooks : int | sequence of int | None
        Codebooks to show; by default all.
    levels : int | sequence of int | None
        Levels to show; by default the first three.
    axes : array of Axes, shape (n_levels, n_codebooks) | None
        One for each level and codebook shown.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure. Codes are names, not quantities: in each panel the eight that occur most often
        have a colour each, and those that occur only once are pale. A cell reaches from the start
        of its patch to that of the next, also where patches overlap.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> tokens = NeuroRVQTransformer("neurorvq-eeg-tiny-random").fit(epochs).tokenize(epochs)
    >>> plot_tokens(tokens, show=False)  # four codebooks of two levels
    <Figure size ... with 8 Axes>
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    _, n_channels, n_patches, n_codebooks, n_levels = tokens.shape
    number = checked_trial(trial, len(tokens))
    books = checked_indices("codebooks", codebooks, range(n_codebooks), n_codebooks)
    depths = checked_indices("levels", levels, range(min(_MAX_LEVELS, n_levels)), n_levels)
    height = 1.0 + len(depths) * min(3.0, 0.6 + 0.11 * n_channels)
    width = 2.6 + max(1.5, min(5.0, 0.35 * n_patches)) * len(books)
    figure, grid = axes_grid(
        axes, len(depths), len(books), (min(width, 10.0), height), sharex=True, sharey=True
    )
    edges = np.append(tokens.patch_times, tokens.tmin + tokens.n_times / tokens.sfreq)
    every = -(-n_channels // _MAX_LABELS)
    present: set[int] = set()
    for (row, column), ax in np.ndenumerate(grid):
        codes = tokens.codes[number, :, :, books[column], depths[row]]
        ranks = code_ranks(codes, len(_COLOURS) - 2)
        present.update(ranks.ravel().tolist())
        ax.pcolormesh(
            edges,
            np.arange(n_channels + 1) - 0.5,
            ranks,
            cmap=ListedColormap(_COLOURS),
            norm=BoundaryNorm(np.arange(len(_COLOURS) + 1) - 0.5, len(_COLOURS)),
            edgecolors="white",
            lw=0.4 if n_patches <= _MAX_CELLS else 0,
            rasterized=True,
        )
        ax.set_ylim(n_channels - 0.5, -0.5)
        ax.set_yticks(range(0, n_channels, every), tokens.ch_names[::every], fontsize="x-small")
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        if row == 0:
            ax.set_title(f"codebook {books[column]}", fontsize="medium")
        if row == len(depths) - 1:
            ax.set_xlabel("time (s)")
        if column == 0:
            ax.set_ylabel(f"level {depths[row]}")
    patches = [Patch(color=_COLOURS[rank], label=_RANKS[rank]) for rank in sorted(present)]
    title = "code of the panel"
    if axes is None:
        figure.legend(handles=patches, title=title, loc="outside right center", **LEGEND)
        figure.suptitle(f"Codes of trial {number}")
    else:
        legend_beside(grid[0, -1], title, patches)
    return finish(figure, show)


def code_ranks(codes: NDArray[np.integer], n_ranks: int) -> NDArray[np.int_]:
    """Rank codes by how often they occur: 0 is the most frequent, then come rarer ones, and single.

    >>> code_ranks(np.array([[7, 7, 5], [7, 5, 9]]), n_ranks=1)
    array([[0, 0, 1],
           [0, 1, 2]])
    """
    _, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    ranks = np.empty(len(counts), int)
    ranks[order] = np.minimum(np.arange(len(counts)), n_ranks)
    ranks[counts == 1] = n_ranks + 1
    return ranks[place].reshape(codes.shape)


def plot_codebook_usage(
    usage: CodeUsage | Tokens,
    *,
    axes: Sequence[Axes] | NDArray[Any] | None = None,
    show: bool = True,
) -> Figure:
    """Plot how many codes are used, and how evenly, at the levels of each codebook.

    Parameters
    ----------
    usage : CodeUsage | Tokens
        Result of :func:`~mne_neurorvq.analysis.code_usage`, or tokens to count.
    axes : sequence of two Axes | None
        Axes for the share of used codes and for their entropy.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.analysis import code_usage
    >>> usage = code_usage(np.random.default_rng(0).integers(0, 16, (500, 4, 8)), n_codes=16)
    >>> plot_codebook_usage(usage, show=False)
    <Figure size ... with 2 Axes>
    """
    if not isinstance(usage, CodeUsage):
        usage = code_usage(usage)
    n_codebooks, n_levels, n_codes = usage.counts.shape
    figure, grid = axes_grid(axes, 1, 2, (8.0, 3.2))
    levels = np.arange(n_levels)
    panels = (("codes used (%)", usage.used), ("normalised entropy (%)", usage.normalized_entropy))
    for ax, (label, values) in zip(grid[0], panels, strict=True):
        for codebook in range(n_codebooks):
            ax.plot(
                levels,
                100 * values[codebook],
                marker=MARKERS[codebook % len(MARKERS)],
                color=COLOURS[codebook % len(COLOURS)],
                label=f"codebook {codebook}",
                clip_on=False,
            )
        ax.set(xlabel="level", ylabel=label, ylim=(0, 100), xticks=levels)
        hide_spines(ax)
    if axes is not None:
        grid[0, 0].legend(frameon=False)
    else:
        lines = grid[0, 0].get_lines()
        figure.legend(handles=lines, loc="outside right center", frameon=False)
        figure.suptitle(f"Use of {n_codes} codes by {usage.n_tokens:,} tokens")
    return finish(figure, show)


def plot_code_topomap(
    tokens: Tokens,
    info: mne.Info | None = None,
    codes: int | Sequence[int] | None = None,
    *,
    codebook: int = 0,
    level: int = 0,
    axes: Sequence[Axes] | NDArray[Any] | None = None,
    show: bool = True,
) -> Figure:
    """Plot how often codes occur at each place of the scalp.

    Parameters
    ----------
    tokens : Tokens
        Tokens, such as those of one condition.
    info : mne.Info | None
        With the positions of the channels. Electrodes without one are drawn where MNE's template
        has their names.
    codes : int | sequence of int | None
        Codes to show; by default the four that occur most often.
    codebook, level : int
        Where the codes are from.
    axes : sequence of Axes, length n_codes | None
        One for each code.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure: of the patches of each channel, the per cent that have the code. The colours of
        all maps mean the same.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> tokens = NeuroRVQTransformer("neurorvq-eeg-tiny-random").fit(epochs).tokenize(epochs)
    >>> plot_code_topomap(tokens, epochs.info, [0, 1], show=False)  # and the colours
    <Figure size ... with 3 Axes>
    """
    rates = 100 * code_rates(tokens, codebook, level)
    usual = frequent_codes(tokens, codebook, level, _MAX_CODES)
    shown = checked_indices("codes", codes, usual, tokens.n_codes)
    places = on_the_scalp(tokens.ch_names, info)
    figure, grid = axes_grid(axes, 1, len(shown), (1.6 * len(shown) + 1.0, 2.4))
    most = max(rates[:, shown].max(), np.finfo(float).tiny)
    for ax, code in zip(grid[0], shown, strict=True):
        image = scalp_map(ax, rates[:, code], places, (0, most))
        ax.set_title(f"code {code}\n{rates[:, code].mean():.2g} %", fontsize="medium")
    figure.colorbar(image, ax=list(grid[0]), label="patches with the code (%)", shrink=0.7)
    if axes is None:
        figure.suptitle(f"Codebook {codebook}, level {level}")
    return finish(figure, show)


def plot_code_waveforms(
    tokens: Tokens,
    signals: mne.BaseEpochs,
    codes: int | Sequence[int] | None = None,
    *,
    codebook: int = 0,
    level: int = 0,
    axes: Sequence[Axes] | NDArray[Any] | None = None,
    show: bool = True,
) -> Figure:
    """Plot the mean signal of the patches with a code: its prototype.

    Parameters
    ----------
    tokens : Tokens
        Tokens.
    signals : mne.Epochs
        The same trials: decoded, ``transformer.detokenize(tokens)``, or as they were recorded.
    codes : int | sequence of int | None
        Codes to show; by default the four that occur most often.
    codebook, level : int
        Where the codes are from.
    axes : sequence of Axes, length n_codes | None
        One for each code.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure: mean (line) and the middle half (shaded) of the patches, see
        :func:`~mne_neurorvq.analysis.code_waveforms`.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> model = NeuroRVQTransformer("neurorvq-eeg-tiny-random").fit(epochs)
    >>> tokens = model.tokenize(epochs)
    >>> plot_code_waveforms(tokens, model.detokenize(tokens), show=False)
    <Figure size ... with 4 Axes>
    """
    usual = frequent_codes(tokens, codebook, level, _MAX_CODES)
    shown = checked_indices("codes", codes, usual, tokens.n_codes)
    found = code_waveforms(tokens, signals, shown, codebook=codebook, level=level)
    types = set(signals.get_channel_types(picks=list(tokens.ch_names)))
    unit, scale = UNITS.get(types.pop() if len(types) == 1 else "eeg", UNITS["eeg"])
    figure, grid = axes_grid(
        axes, 1, len(shown), (1.9 * len(shown) + 1.0, 2.4), sharex=True, sharey=True
    )
    for number, (ax, code) in enumerate(zip(grid[0], found.codes, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        low, high = scale * np.percentile(found.patches[number], (25, 75), axis=0)
        ax.fill_between(found.times, low, high, color=colour, alpha=0.25, lw=0)
        ax.plot(found.times, scale * found.mean[number], color=colour)
        ax.set_title(f"code {code}\nn = {found.counts[number]}", fontsize="medium")
        ax.set_xlabel("time in the patch (s)", fontsize="small")
        ax.margins(x=0)
        hide_spines(ax)
    grid[0, 0].set_ylabel(f"mean signal ({unit})")
    if axes is None:
        figure.suptitle(f"Codebook {codebook}, level {level}")
    return finish(figure, show)
