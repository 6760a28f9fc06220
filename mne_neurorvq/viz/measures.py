# License: BSD-3-Clause
"""Figures of how stable codes are, and how well they keep what channels have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..analysis import CodeStability, SpatialCoherence
from ..analysis.trial_arrays import nanmean
from .drawing import COLOURS, MARKERS, REFERENCE_LINE, axes_grid, finish, hide_spines, legend_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_stability(
    stability: CodeStability,
    *,
    axes: Sequence[Axes] | NDArray[Any] | None = None,
    show: bool = True,
) -> Figure:
    """Plot the share of codes that small changes of the signals leave as they are.

    Parameters
    ----------
    stability : CodeStability
        Result of :func:`~mne_neurorvq.analysis.code_stability`.
    axes : sequence of Axes, length n_codebooks | None
        One for each codebook.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; the dashed line is chance.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.analysis import Noise, code_stability
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> model = NeuroRVQTransformer("neurorvq-eeg-tiny-random", verbose=False).fit(epochs)
    >>> stability = code_stability(model, epochs, {"noise of 30 dB": Noise(30.0)})
    >>> plot_stability(stability, show=False)  # four codebooks
    <Figure size ... with 4 Axes>
    """
    n_codebooks, n_levels = stability.chance.shape
    size = (2.0 + 1.9 * n_codebooks, max(3.0, 0.6 + 0.2 * len(stability.perturbations)))
    figure, grid = axes_grid(axes, 1, n_codebooks, size, sharey=True)
    levels = np.arange(n_levels)
    for codebook, ax in enumerate(grid[0]):
        for number, (name, equal) in enumerate(stability.mean.items()):
            turn, colour = divmod(number, len(COLOURS))
            ax.plot(
                levels,
                100 * equal[codebook],
                color=COLOURS[colour],
                marker=MARKERS[(number + turn // 2) % len(MARKERS)],
                ls=("-", ":")[turn % 2],
                label=name,
            )
        ax.plot(levels, 100 * stability.chance[codebook], label="chance", **REFERENCE_LINE)
        ax.set(title=f"codebook {codebook}", xlabel="level", ylim=(0, 102), xticks=levels)
        hide_spines(ax)
    grid[0, 0].set_ylabel("unchanged codes (%)")
    legend_beside(grid[0, -1])
    return finish(figure, show)


def plot_spatial_coherence(
    coherence: SpatialCoherence, *, axes: Axes | None = None, show: bool = True
) -> Figure:
    """Plot how far codes are as similar between channels as the signals are.

    Parameters
    ----------
    coherence : SpatialCoherence
        Result of :func:`~mne_neurorvq.analysis.spatial_coherence`.
    axes : Axes | None
        Axes to draw on.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure: mean and standard deviation over the trials, for each codebook; dashed, the
        same with the codes of another trial.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer, load_pretrained
    >>> from mne_neurorvq.analysis import spatial_coherence
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> name = "neurorvq-eeg-tiny-random"
    >>> tokens = NeuroRVQTransformer(name, verbose=False).fit(epochs).tokenize(epochs)
    >>> codebook = load_pretrained(name).tokenizer.quantizer.codebook
    >>> plot_spatial_coherence(spatial_coherence(tokens, epochs, codebook), show=False)
    <Figure size ... with 1 Axes>
    """
    _, n_codebooks, n_levels = coherence.rho.shape
    figure, grid = axes_grid(axes, 1, 1, (5.5, 3.2))
    ax = grid[0, 0]
    spread = np.sqrt(nanmean((coherence.rho - coherence.mean) ** 2, axis=0))
    for codebook in range(n_codebooks):
        # An offset keeps bars of codebooks apart.
        levels = np.arange(n_levels) + 0.06 * (codebook - (n_codebooks - 1) / 2)
        colour = COLOURS[codebook % len(COLOURS)]
        ax.errorbar(
            levels,
            coherence.mean[codebook],
            yerr=spread[codebook],
            color=colour,
            capsize=2,
            marker=MARKERS[codebook % len(MARKERS)],
            label=f"codebook {codebook}",
        )
        ax.plot(levels, coherence.mean_other_trial[codebook], color=colour, ls="--", lw=1)
    ax.axhline(0, color="0.5", lw=0.8)
    ax.set(xlabel="level", ylabel="Spearman's rho", xticks=range(n_levels))
    ax.plot([], [], "k--", lw=1, label="other trial")
    hide_spines(ax)
    legend_beside(ax)
    return finish(figure, show)
