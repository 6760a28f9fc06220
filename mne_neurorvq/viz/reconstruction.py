# License: BSD-3-Clause
"""Figures of reconstructions: over time, frequency and the scalp, and against bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import mne
import numpy as np
from numpy.typing import NDArray

from ..analysis import RateDistortion, ReconstructionQuality, reconstruction_quality
from ..analysis.reconstruction import BANDS_OF, bands_within
from ..analysis.trial_arrays import check_references
from ..signals.trials import settled
from .drawing import (
    COLOURS,
    MARKERS,
    REFERENCE_LINE,
    UNITS,
    axes_grid,
    checked_trial,
    finish,
    hide_spines,
    on_the_scalp,
    scalp_map,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The original is wide and pale: a good reconstruction does not hide it.
_ORIGINAL: dict[str, Any] = {"color": "0.6", "lw": 2.4}
_RECONSTRUCTION: dict[str, Any] = {"color": COLOURS[1], "lw": 0.9}
_ERROR = COLOURS[0]
_MAX_CHANNELS = 4
# Share of the largest density of a spectrum down to which it is drawn: filters leave nothing.
_SPECTRAL_RANGE = 1e-6
# MNE has no type for pulses, which it calls "misc".
_MODALITIES = {"eeg": "eeg", "ecg": "ecg", "emg": "emg", "misc": "ppg"}


def plot_reconstruction(
    original: mne.BaseEpochs,
    reconstruction: mne.BaseEpochs,
    trial: int | Literal["median", "worst"] = "median",
    channels: str | Sequence[str] | None = None,
    *,
    axes: Sequence[Sequence[Axes]] | NDArray[Any] | None = None,
    show: bool = True,
) -> Figure:
    """Plot a trial and its reconstruction: signals and their error, spectra, error in each band.

    Parameters
    ----------
    original, reconstruction : mne.Epochs
        The same trials, in volts and in the same reference, see
        :func:`~mne_neurorvq.signals.set_reference`; channels of type "misc", such as pulses, have
        no unit.
    trial : int | "median" | "worst"
        Index of the trial, or the one whose error over its variance is the median or the largest.
    channels : str | sequence of str | None
        Channels to show; by default four evenly spaced channels of the reconstruction.
    axes : array of Axes, shape (n_channels, 3) | None
        Axes for signals, spectra and bands.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure. The error in a band is that of :class:`~mne_neurorvq.analysis.BandQuality`, in
        per cent of the power: 100 % is what a flat line has.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> model = NeuroRVQTransformer("neurorvq-eeg-tiny-random", reference="recorded").fit(epochs)
    >>> plot_reconstruction(epochs, model.reconstruct(epochs), channels=["C3"], show=False)
    <Figure size ... with 3 Axes>
    """
    original, reconstruction = settled(original), settled(reconstruction)
    number = _chosen_trial(original, reconstruction, trial)
    check_references(original, reconstruction)
    names = _shown_channels(original, reconstruction, channels)
    sfreq = float(original.info["sfreq"])
    figure, grid = axes_grid(
        axes, len(names), 3, (9.0, 1.0 + 1.4 * len(names)), width_ratios=[3, 1.2, 1.2]
    )
    for row, name in zip(grid, names, strict=True):
        kind = original.get_channel_types([name])[0]
        unit, scale = UNITS.get(kind, UNITS["eeg"])
        before, after = pair = [
            scale * epochs.get_data(item=[number], picks=[name], verbose="error")[0]
            for epochs in (original, reconstruction)
        ]
        _overlay(row[0], original.times, before[0], after[0], f"{name}\n({unit})")
        modality = _MODALITIES.get(kind, "eeg")
        fastest = max(high for _, high in BANDS_OF[modality].values())
        _spectra(row[1], sfreq, pair, unit, fastest)
        bands = bands_within(modality, sfreq, len(original.times))
        _band_errors(row[2], reconstruction_quality(before[None], after[None], sfreq, bands=bands))
    for ax in grid[:-1].flat:
        ax.set_xlabel("")
        ax.tick_params(labelbottom=False)
    lows, highs = zip(*(ax.get_ylim() for ax in grid[:, 2]), strict=True)
    for ax in grid[:, 2]:
        ax.set_ylim(min(lows), max(highs))
    which = f" ({trial} error)" if isinstance(trial, str) else ""
    for ax, title in zip(grid[0], (f"Trial {number}{which}", "Spectrum", "Bands"), strict=True):
        ax.set_title(title)
    figure.align_ylabels(list(grid[:, 0]))
    lines = grid[0, 0].get_lines()[:3]
    if axes is None:
        figure.legend(handles=lines, loc="outside upper center", ncols=3, frameon=False)
    else:
        grid[0, 0].legend(handles=lines, loc="upper right", ncols=3, fontsize="small")
    return finish(figure, show)


def _chosen_trial(
    original: mne.BaseEpochs, reconstruction: mne.BaseEpochs, trial: int | str
) -> int:
    """Index of a trial, of which both must be."""
    facts = [(len(e), e.info["sfreq"], len(e.times)) for e in (original, reconstruction)]
    if facts[0] != facts[1]:
        raise ValueError(
            "original and reconstruction must be the same trials, but have (trials, rate in Hz, "
            f"samples) {facts[0]} and {facts[1]}."
        )
    if trial in ("median", "worst"):
        quality = reconstruction_quality(original, reconstruction, bands={})
        return quality.trial(cast("Literal['median', 'worst']", trial))
    if isinstance(trial, str):
        raise ValueError(f"trial must be a number, 'median' or 'worst', got {trial!r}.")
    return checked_trial(trial, len(original))


def _shown_channels(
    original: mne.BaseEpochs, reconstruction: mne.BaseEpochs, channels: str | Sequence[str] | None
) -> list[str]:
    """Names of the channels to draw: those given, or a few evenly spaced ones."""
    common = [name for name in reconstruction.ch_names if name in original.ch_names]
    if channels is None:
        n_shown = min(_MAX_CHANNELS, len(common))
        return [common[i] for i in np.linspace(0, len(common) - 1, n_shown).round().astype(int)]
    channels = [channels] if isinstance(channels, str) else channels
    missing = [name for name in channels if name not in common]
    if missing or not channels:
        raise ValueError(
            f"channels must be some of those that both have, not {missing or 'none'}: "
            f"{', '.join(common)}."
        )
    return list(channels)


def _overlay(
    ax: Axes,
    times: NDArray[np.floating],
    original: NDArray[np.floating],
    reconstruction: NDArray[np.floating],
    label: str,
) -> None:
    """Draw a reconstructed signal over the original one, and their difference."""
    ax.plot(times, original, label="original", **_ORIGINAL)
    ax.plot(times, reconstruction, label="reconstruction", **_RECONSTRUCTION)
    error = reconstruction - original
    ax.plot(times, error, color=_ERROR, lw=0.7, zorder=1, label="error")
    ax.set(xlabel="time (s)", ylabel=label)
    ax.margins(x=0)
    hide_spines(ax)
    if original.std() and reconstruction.std():
        r = np.corrcoef(original, reconstruction)[0, 1]
        # Make room for it above the lines.
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.15 * (high - low))
        ax.text(0.01, 0.97, f"r = {r:.2f}", transform=ax.transAxes, va="top", fontsize="small")


def _spectra(
    ax: Axes, sfreq: float, pair: Sequence[NDArray[np.floating]], unit: str, fastest: float
) -> None:
    """Draw the spectra, up to a frequency, of a signal (1, n_times) and its reconstruction."""
    from scipy.signal import welch

    lowest = np.inf
    for signal, style in zip(pair, (_ORIGINAL, _RECONSTRUCTION), strict=True):
        hz, density = welch(signal[0], sfreq, nperseg=min(signal.size, round(2 * sfreq)))
        inside = (hz > 0) & (hz <= fastest) & (density > 0)
        ax.semilogy(hz[inside], density[inside], **style)
        lowest = min(lowest, density.max() * _SPECTRAL_RANGE)
    if lowest > 0:  # a flat line has no spectrum
        ax.set_ylim(bottom=max(lowest, ax.get_ylim()[0]))
    ax.set(xlabel="frequency (Hz)", ylabel=f"{unit}²/Hz", xlim=(0, min(fastest, sfreq / 2)))
    hide_spines(ax)


def _band_errors(ax: Axes, quality: ReconstructionQuality) -> None:
    """Draw the error of a single channel in each band."""
    errors = [100 * float(band.error[0, 0]) for band in quality.bands.values()]
    drawn = [error for error in errors if error > 0] or [100.0]
    # Errors of one band may be a thousand times those of another.
    limits = min(0.5 * min(drawn), 0.9), max(2 * max(drawn), 300)
    # A band without an error has its place too.
    ax.set(ylabel="error (%)", yscale="log", ylim=limits, xlim=(-0.5, len(errors) - 0.5))
    ax.axhline(100, **REFERENCE_LINE)
    ax.plot(list(quality.bands), errors, "o", color=_ERROR, ms=5)
    ax.tick_params(axis="x", rotation=60, labelsize="small")
    hide_spines(ax)


def plot_error_topomap(
    quality: ReconstructionQuality,
    info: mne.Info,
    *,
    axes: Sequence[Axes] | NDArray[Any] | None = None,
    show: bool = True,
) -> Figure:
    """Plot the error of reconstructions over the scalp, in each band.

    Parameters
    ----------
    quality : ReconstructionQuality
        Result of :func:`~mne_neurorvq.analysis.reconstruction_quality`.
    info : mne.Info
        Of the reconstruction, whose channels are those of ``quality``. Electrodes without a
        position are drawn where MNE's template has their names.
    axes : sequence of Axes, length n_bands + 1 | None
        Axes for all frequencies and for each band.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure: the median over the trials of the error of each channel, in per cent of its
        power (100 % is what a flat line has). The colours of all maps mean the same.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.analysis import reconstruction_quality
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> noisy = epochs.copy().apply_function(lambda x: x + 1e-6 * np.sin(np.arange(x.size)))
    >>> quality = reconstruction_quality(epochs, noisy, bands={"alpha": (8, 13)})
    >>> plot_error_topomap(quality, noisy.info, show=False)  # and the colours
    <Figure size ... with 3 Axes>
    """
    n_channels = quality.r.shape[1]
    if len(info.ch_names) != n_channels:
        raise ValueError(
            f"info has {len(info.ch_names)} channels, but quality {n_channels}: pass that of the "
            "reconstruction."
        )
    info = on_the_scalp(info.ch_names, info)
    errors = {"all": quality.error} | {name: band.error for name, band in quality.bands.items()}
    maps = {name: _median(100 * error, name, info.ch_names) for name, error in errors.items()}
    most = max(values.max() for values in maps.values())
    figure, grid = axes_grid(axes, 1, len(maps), (1.6 * len(maps) + 1.0, 2.4))
    for ax, (name, values) in zip(grid[0], maps.items(), strict=True):
        image = scalp_map(ax, values, info, (0, most))
        ax.set_title(f"{name}\n{np.median(values):.3g} %", fontsize="medium")
    figure.colorbar(image, ax=list(grid[0]), label="error (% of power)", shrink=0.7)
    return finish(figure, show)


def _median(
    errors: NDArray[np.floating], name: str, ch_names: Sequence[str]
) -> NDArray[np.floating]:
    """Median over the trials in which the error of a channel is defined."""
    nowhere = np.isnan(errors).all(axis=0)
    if nowhere.any():
        raise ValueError(
            f"the channel {ch_names[int(np.argmax(nowhere))]!r} is flat in every trial ({name}): "
            "there is no error to draw. Leave it out."
        )
    return np.nanmedian(errors, axis=0)


def plot_rate_distortion(
    curves: RateDistortion | Mapping[str, Any],
    measure: str = "nmse",
    *,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot the error of reconstructions against bits, for models and what they are compared with.

    Parameters
    ----------
    curves : RateDistortion | dict of str to RateDistortion or (array, array)
        By name, results of :func:`~mne_neurorvq.analysis.rate_distortion`, or pairs of bits per
        second and channel and the measure as a share, such as those of
        :func:`~mne_neurorvq.analysis.gaussian_bound` or of another codec.
    measure : str
        A key of :meth:`RateDistortion.summary`: ``"nmse"``, ``"nmse_alpha"``, ``"r"``, ...
    axes : Axes | None
        Axes to draw on.
    show : bool
        Whether to show the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure. Numbers at the points of a model are numbers of levels.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.analysis import gaussian_bound, rate_distortion
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> model = NeuroRVQTransformer("neurorvq-eeg-tiny-random", reference="recorded").fit(epochs)
    >>> curve = rate_distortion(model, model.tokenize(epochs), epochs)
    >>> bound = [gaussian_bound(epochs, bits)["nmse"] for bits in curve.bits_per_second]
    >>> curves = {"untrained": curve, "Gaussian bound": (curve.bits_per_second, bound)}
    >>> plot_rate_distortion(curves, show=False)
    <Figure size ... with 1 Axes>
    """
    named = {"": curves} if isinstance(curves, RateDistortion) else dict(curves)
    if not named:
        raise ValueError("curves is empty: there is nothing to plot.")
    label, scale = _measure_label(measure)
    figure, grid = axes_grid(axes, 1, 1, (5.0, 3.6))
    ax = grid[0, 0]
    for number, (name, curve) in enumerate(named.items()):
        style = {"color": COLOURS[number % len(COLOURS)], "label": name}
        if isinstance(curve, RateDistortion):
            means = curve.summary()
            if measure not in means:
                raise ValueError(f"measure={measure!r} must be one of {', '.join(means)}.")
            bits, values = curve.bits_per_second, scale * means[measure]
            ax.plot(bits, values, marker=MARKERS[number % len(MARKERS)], **style)
            for level, (x, y) in enumerate(zip(bits, values, strict=True), start=1):
                ax.annotate(
                    f"{level}",
                    (x, y),
                    (0, 5),
                    textcoords="offset points",
                    ha="center",
                    fontsize="x-small",
                    color=style["color"],
                )
        else:
            bits, values = (np.asarray(part, float) for part in curve)
            ax.plot(bits, scale * values, ls="--", **style)
    ax.set(xlabel="bits per second and channel", ylabel=label)
    if not measure.startswith(("r", "si_sdr")):
        ax.set_ylim(bottom=0)
    hide_spines(ax)
    if any(named):
        ax.legend(frameon=False)
    return finish(figure, show)


def _measure_label(measure: str) -> tuple[str, float]:
    """Label of a measure with its unit, and what it is multiplied by."""
    kind, _, band = measure.partition("_")
    where = f" in {band}" if band and kind in ("nmse", "r") else ""
    if kind == "nmse":
        return f"error{where} (% of power)", 100.0
    names = {"si": "SI-SDR (dB)", "z": "z-scored error (2 is chance)", "r": f"correlation{where}"}
    return names.get(kind, f"{measure} (1 is perfect)"), 1.0
