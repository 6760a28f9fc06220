# License: BSD-3-Clause
"""Figures. As in MNE, each function takes ``axes=`` and ``show=`` and returns the figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
from numpy.typing import NDArray

from ._figures import (
    COLOURS,
    FASTEST,
    axes_grid,
    check_same,
    finish,
    hide_spines,
    overlay,
    shown_channels,
    spectra,
)
from .analysis import CodeUsage, code_usage
from .analysis.trial_arrays import check_references
from .tokens import Tokens

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .benchmarks import CrossSubjectScores

__all__ = ["plot_code_usage", "plot_codes", "plot_reconstruction", "plot_scores"]

_MAX_LABELS = 32


def plot_reconstruction(
    original: mne.BaseEpochs,
    reconstruction: mne.BaseEpochs,
    trial: int = 0,
    channels: Sequence[str] | None = None,
    *,
    axes: Sequence[Sequence[Axes]] | NDArray[Any] | None = None,
    show: bool = True,
) -> Figure:
    """Plot signals and spectra of a trial and its reconstruction.

    Parameters
    ----------
    original, reconstruction : mne.Epochs
        The same trials, in volts and in the same reference, see
        :func:`~mne_neurorvq.signals.set_reference`; channels of type "misc", such as pulses, have
        no unit.
    trial : int
        Index of the trial.
    channels : sequence of str | None
        Channels to show; by default four evenly spaced channels of the reconstruction.
    axes : array of Axes, shape (n_channels, 2) | None
        Axes for signals (left) and spectra (right).
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> model = NeuroRVQTransformer("neurorvq-eeg-tiny-random").fit(epochs)
    >>> plot_reconstruction(epochs, model.reconstruct(epochs), channels=["C3"], show=False)
    <Figure size ... with 2 Axes>
    """
    check_same(original, reconstruction, trial)
    check_references(original, reconstruction)
    names = shown_channels(original, reconstruction, channels)
    types = [original.get_channel_types([name])[0] for name in names]
    # MNE has no unit for the pulses that it calls "misc".
    units = ["AU" if kind == "misc" else "µV" for kind in types]
    scales = np.array([[1.0 if unit == "AU" else 1e6] for unit in units])
    pairs = [
        scales * epochs.get_data(item=[trial], picks=names, verbose="error")[0]
        for epochs in (original, reconstruction)
    ]
    figure, grid = axes_grid(axes, len(names), 2, (10.0, 0.9 + 1.5 * len(names)), [3, 1.2])
    sfreq = float(original.info["sfreq"])
    for row, (name, unit) in enumerate(zip(names, units, strict=True)):
        overlay(grid[row, 0], original.times, pairs[0][row], pairs[1][row], name, unit)
        fastest = sfreq if types[row] == "emg" else FASTEST
        spectra(grid[row, 1], sfreq, pairs[0][row], pairs[1][row], unit, fastest)
        if row < len(names) - 1:
            for ax in grid[row]:
                ax.tick_params(labelbottom=False)
    grid[0, 0].set_title(f"Signals of trial {trial}")
    grid[0, 1].set_title("Spectra")
    grid[-1, 0].set_xlabel("time (s)")
    grid[-1, 1].set_xlabel("frequency (Hz)")
    lines = grid[0, 0].get_lines()[:2]
    if axes is None:
        labels = ["original", "reconstruction"]
        figure.legend(lines, labels, loc="outside upper center", ncols=2, frameon=False)
    else:
        grid[0, 0].legend(lines, ["original", "reconstruction"], loc="upper right")
    return finish(figure, show)


def plot_codes(
    tokens: Tokens,
    trial: int = 0,
    codebooks: Sequence[int] | None = None,
    *,
    axes: Sequence[Axes] | NDArray[Any] | None = None,
    show: bool = True,
) -> Figure:
    """Plot the codes of a trial, channels by patches, with the levels of a patch side by side.

    Parameters
    ----------
    tokens : Tokens
        Tokens.
    trial : int
        Index of the trial.
    codebooks : sequence of int | None
        Codebooks to show; by default all.
    axes : sequence of Axes | None
        One for each codebook.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure. Similar colours do not mean similar codes.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> tokens = NeuroRVQTransformer("neurorvq-eeg-tiny-random").fit(epochs).tokenize(epochs)
    >>> plot_codes(tokens, show=False)  # four codebooks and the colours
    <Figure size ... with 5 Axes>
    """
    _, n_channels, n_patches, n_codebooks, n_levels = tokens.shape
    if not -len(tokens) <= trial < len(tokens):
        raise ValueError(f"trial={trial} does not exist: there are {len(tokens)} trials.")
    shown = list(range(n_codebooks)) if codebooks is None else list(codebooks)
    if not shown or not set(shown) <= set(range(n_codebooks)):
        raise ValueError(f"codebooks={shown} must be some of 0 to {n_codebooks - 1}.")
    height = min(9.0, 1.9 + 0.16 * n_channels)
    grid_axes = None if axes is None else [list(axes)]
    figure, grid = axes_grid(grid_axes, 1, len(shown), (2.4 + 2.3 * len(shown), height))
    every = -(-n_channels // _MAX_LABELS)
    for ax, codebook in zip(grid[0], shown, strict=True):
        codes = tokens.codes[trial, :, :, codebook].reshape(n_channels, -1)
        image = ax.imshow(
            codes,
            aspect="auto",
            interpolation="nearest",
            cmap="viridis",
            vmin=0,
            vmax=tokens.n_codes - 1,
            extent=(0, n_patches, n_channels - 0.5, -0.5),
        )
        for patch in range(1, n_patches):
            ax.axvline(patch, color="white", lw=1.5)
        ax.set_title(f"codebook {codebook}")
        ax.set_xticks(np.arange(n_patches) + 0.5, range(n_patches))
        ax.set_yticks(range(0, n_channels, every))
        ax.tick_params(length=0, labelleft=False, labelsize=8)
        ax.set_xlabel("patch")
    grid[0, 0].set_yticks(range(0, n_channels, every), tokens.ch_names[::every])
    grid[0, 0].tick_params(labelleft=True)
    grid[0, 0].set_ylabel("channel")
    figure.colorbar(image, ax=list(grid[0]), label="code (index)", pad=0.02)
    if axes is None:
        figure.suptitle(f"Codes of trial {trial}: {n_levels} levels in each patch, left to right")
    return finish(figure, show)


def plot_code_usage(
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
    >>> plot_code_usage(usage, show=False)
    <Figure size ... with 2 Axes>
    """
    if not isinstance(usage, CodeUsage):
        usage = code_usage(usage)
    n_codebooks, n_levels, n_codes = usage.counts.shape
    grid_axes = None if axes is None else [list(axes)]
    figure, grid = axes_grid(grid_axes, 1, 2, (9.0, 3.8))
    levels = np.arange(n_levels)
    panels = (("codes used (%)", usage.used), ("normalised entropy (%)", usage.normalized_entropy))
    for ax, (label, values) in zip(grid[0], panels, strict=True):
        for codebook in range(n_codebooks):
            ax.plot(
                levels,
                100 * values[codebook],
                marker="osD^vP"[codebook % 6],
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


def plot_scores(
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
    >>> plot_scores(results, show=False)
    <Figure size ... with 1 Axes>
    """
    if not results:
        raise ValueError("results is empty: there is nothing to plot.")
    grid_axes = None if axes is None else [[axes]]
    figure, grid = axes_grid(grid_axes, 1, 1, (8.0, 1.4 + 0.36 * len(results)))
    ax = grid[0, 0]
    first = next(iter(results.values()))
    chance = 1 / len(first.classes)
    ax.axvline(chance, color="0.5", ls="--", lw=1)
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
