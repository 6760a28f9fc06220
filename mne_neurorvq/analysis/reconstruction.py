# License: BSD-3-Clause
"""Quality of reconstructed signals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from scipy.fft import rfft, rfftfreq
from scipy.signal import get_window

from .trial_arrays import nanmean, paired_signals

#: Frequency bands of the EEG in Hz, lower edge included, upper edge not.
BANDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "delta": (0.5, 4.0),
        "theta": (4.0, 8.0),
        "alpha": (8.0, 13.0),
        "beta": (13.0, 30.0),
        "gamma": (30.0, 44.5),
    }
)

#: Bands of each kind of signal in Hz.
BANDS_OF: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "eeg": BANDS,
        "ecg": {
            "0.5-5 Hz": (0.5, 5.0),
            "5-15 Hz": (5.0, 15.0),
            "15-40 Hz": (15.0, 40.0),
            "40-100 Hz": (40.0, 100.0),
        },
        "emg": {
            "20-60 Hz": (20.0, 60.0),
            "60-120 Hz": (60.0, 120.0),
            "120-250 Hz": (120.0, 250.0),
            "250-400 Hz": (250.0, 400.0),
        },
        "ppg": {"0.5-2 Hz": (0.5, 2.0), "2-6 Hz": (2.0, 6.0), "6-15 Hz": (6.0, 15.0)},
    }
)

# A standard deviation below this share of the largest value is rounding, not signal.
_ROUNDING = 1e3 * np.finfo(float).eps
# A band below this share of the channel's standard deviation (-120 dB) holds leakage only.
_LEAKAGE = 1e-6


@dataclass(frozen=True, repr=False)
class BandQuality:
    """Quality of a reconstruction within one frequency band.

    Attributes
    ----------
    r : array, shape (n_trials, n_channels)
        Correlation of the band-limited signals.
    nmse : array, shape (n_trials,)
        Squared error over the squared original, within the band, over all channels.
    error : array, shape (n_trials, n_channels)
        The same of each channel; NaN where its band is empty.
    """

    r: np.ndarray
    nmse: np.ndarray
    error: np.ndarray

    def __repr__(self) -> str:
        return f"<BandQuality | {_size(self.r)}, mean nmse {nanmean(self.nmse):.3g}>"


@dataclass(frozen=True, repr=False)
class ReconstructionQuality:
    """Quality of a reconstruction, for each trial and channel.

    Undefined values are NaN, are left out of the means and are counted in ``n_excluded``.

    Attributes
    ----------
    z_mse : array, shape (n_trials,)
        Mean squared error after standardising each trial over all channels and samples, original
        and reconstruction separately. 0 is perfect, 2 is chance; blind to amplitude.
    r : array, shape (n_trials, n_channels)
        Pearson correlation over time.
    si_sdr : array, shape (n_trials, n_channels)
        Scale-invariant signal-to-distortion ratio in dB. ``inf`` for a scaled copy.
    gain : array, shape (n_trials, n_channels)
        Standard deviation of the reconstruction over that of the original. 1 is perfect.
    slope : array, shape (n_trials, n_channels)
        Slope of the regression of the reconstruction on the original (``r * gain``).
    nmse : array, shape (n_trials,)
        Mean squared error in the unit of the signals over the variance of the original, over all
        channels and samples of a trial. 0 is perfect, the mean alone gives 1.
    bands : dict of str to BandQuality
        The same within frequency bands.
    """

    z_mse: np.ndarray
    r: np.ndarray
    si_sdr: np.ndarray
    gain: np.ndarray
    slope: np.ndarray
    nmse: np.ndarray
    bands: dict[str, BandQuality] = field(default_factory=dict)

    def __repr__(self) -> str:
        means = ", ".join(f"{name} {mean:.3g}" for name, mean in self.summary().items())
        return f"<ReconstructionQuality | {_size(self.r)}, means: {means}>"

    def _all(self) -> dict[str, np.ndarray]:
        names = ("z_mse", "r", "si_sdr", "gain", "slope", "nmse")
        measures = {name: getattr(self, name) for name in names}
        measures |= {f"r_{name}": band.r for name, band in self.bands.items()}
        return measures | {f"nmse_{name}": band.nmse for name, band in self.bands.items()}

    @property
    def error(self) -> np.ndarray:
        """Squared error of each channel over its variance, means removed, (n_trials, n_channels).

        0 is perfect, 1 is what a flat line has.
        """
        return 1 - 2 * self.slope + self.gain**2

    def trial(self, which: Literal["median", "worst"]) -> int:
        """Find a trial to look at by its `nmse`, of the lower two in the middle.

        Parameters
        ----------
        which : "median" | "worst"
            Whether its error is that of half of the trials, or the largest.

        Returns
        -------
        trial : int
            Its index.
        """
        if which not in ("median", "worst"):
            raise ValueError(f"which must be 'median' or 'worst', got {which!r}")
        ordered = np.argsort(self.nmse, kind="stable")[: np.sum(~np.isnan(self.nmse))]
        if not ordered.size:
            raise ValueError("no trial has an error: all of them are constant")
        return int(ordered[-1] if which == "worst" else ordered[(len(ordered) - 1) // 2])

    @property
    def n_excluded(self) -> dict[str, int]:
        """Number of undefined values of each measure (constant signals, empty bands)."""
        return {name: int(np.isnan(v).sum()) for name, v in self._all().items()}

    def summary(self) -> dict[str, float]:
        """Return the mean of each measure over all trials and channels, ignoring NaN.

        Returns
        -------
        means : dict of str to float
            Keys ``z_mse``, ``r``, ``si_sdr``, ``gain``, ``slope``, ``nmse``, then ``r_<band>``
            and ``nmse_<band>``.
        """
        return {name: float(nanmean(v.ravel())) for name, v in self._all().items()}

    def per_trial(self) -> dict[str, np.ndarray]:
        """Return each measure for each trial, averaged over its channels, ignoring NaN.

        Returns
        -------
        values : dict of str to array of shape (n_trials,)
            The keys of `summary`.
        """
        return {
            name: nanmean(v.reshape(len(v), -1)) if v.ndim > 1 else v.copy()
            for name, v in self._all().items()
        }


def reconstruction_quality(
    original: Any,
    reconstruction: Any,
    sfreq: float | None = None,
    *,
    bands: Mapping[str, tuple[float, float]] = BANDS,
) -> ReconstructionQuality:
    """Compare reconstructed trials with the original ones.

    Parameters
    ----------
    original, reconstruction : Epochs | list of Epochs | array
        Two Epochs, compared on the channels of the reconstruction, or two arrays
        ``(n_trials, n_channels, n_times)`` in the same unit; in the same reference, see
        :func:`~mne_neurorvq.signals.set_reference`.
    sfreq : float | None
        Sampling rate in Hz; can be None for Epochs.
    bands : dict of str to (float, float)
        Edges of frequency bands in Hz, lower edge included; may be empty.

    Returns
    -------
    quality : ReconstructionQuality
        The measures for each trial and channel; ``summary()`` returns their means.


    Notes
    -----
    ``z_mse`` is the reconstruction error that the authors of NeuroRVQ report [1]_ (standard
    deviation with ``n - 1``). ``si_sdr`` is that of [2]_ with the mean of each channel removed.

    Bands are taken from the discrete Fourier transform of each channel after removing its mean and
    applying a Hann window, which keeps slow drifts out of the fast bands. Correlation and error
    within a band are sums over its frequencies, by Parseval's theorem equal to those of ideally
    band-passed signals. The middle of a trial counts more than its ends.

    ``r`` and ``si_sdr`` are undefined if either channel is constant, ``gain`` and ``slope`` if the
    original one is.

    References
    ----------
    .. [1] K. Barmpas et al. (2025). NeuroRVQ: Multi-scale EEG tokenization for generative large
       brainwave models.
    .. [2] J. Le Roux et al. (2019). SDR - half-baked or well done? ICASSP.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> original = rng.normal(scale=20e-6, size=(5, 3, 400))
    >>> noisy = 0.9 * original + rng.normal(scale=4e-6, size=original.shape)
    >>> quality = reconstruction_quality(original, noisy, sfreq=200.0)
    >>> {name: round(value, 2) for name, value in quality.summary().items()}["r"]
    0.98
    >>> quality.r.shape, quality.bands["alpha"].r.shape
    ((5, 3), (5, 3))

    Epochs can be compared directly:

    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> model = NeuroRVQTransformer("neurorvq-eeg-tiny-random").fit(epochs)
    >>> reconstruction_quality(epochs, model.reconstruct(epochs)).r.shape
    (2, 19)
    """
    original, reconstruction, sfreq = paired_signals(original, reconstruction, sfreq)
    n_trials, n_channels, n_times = original.shape
    weights = band_weights(bands, sfreq, n_times)
    whole = {name: np.empty(n_trials) for name in ("z_mse", "nmse")}
    channels = {name: np.empty((n_trials, n_channels)) for name in ("r", "si_sdr", "gain", "slope")}
    band_r = np.empty((len(bands), n_trials, n_channels))
    band_error = np.empty_like(band_r)
    band_nmse = np.empty((len(bands), n_trials))
    for trial in range(n_trials):  # one at a time, to bound memory
        x, y = original[trial].astype(float), reconstruction[trial].astype(float)
        whole["z_mse"][trial], whole["nmse"][trial] = _window_errors(x, y)
        for name, values in _channel_measures(x, y).items():
            channels[name][trial] = values
        if len(bands):
            found = _band_measures(x, y, weights)
            band_r[:, trial], band_nmse[:, trial], band_error[:, trial] = found
    return ReconstructionQuality(
        **whole,
        **channels,
        bands={
            name: BandQuality(*found)
            for name, *found in zip(bands, band_r, band_nmse, band_error, strict=True)
        },
    )


def band_weights(
    bands: Mapping[str, tuple[float, float]], sfreq: float, n_times: int
) -> np.ndarray:
    """Weights (n_bands, n_frequencies) that sum a one-sided spectrum over each band."""
    if not (np.isfinite(sfreq) and sfreq > 0):
        raise ValueError(f"sfreq must be a positive number in Hz, got {sfreq}")
    frequencies = rfftfreq(n_times, 1 / sfreq)
    # Each frequency but zero and the Nyquist frequency stands for its negative one too.
    sides = np.where((frequencies == 0) | (2 * frequencies >= sfreq), 1.0, 2.0)
    weights = np.zeros((len(bands), frequencies.size))
    for weight, (name, (low, high)) in zip(weights, bands.items(), strict=True):
        inside = (frequencies >= low) & (frequencies < high)
        if not 0 <= low < high <= sfreq / 2:
            raise ValueError(
                f"the band {name!r} ({low:g} to {high:g} Hz) must lie between 0 and half the "
                f"sampling rate ({sfreq / 2:g} Hz): pass other bands="
            )
        if not inside.any():
            raise ValueError(
                f"{n_times} samples at {sfreq:g} Hz have no frequency in the band {name!r} "
                f"({low:g} to {high:g} Hz): use longer trials or pass other bands="
            )
        weight[inside] = sides[inside]
    return weights


def bands_below(modality: str, sfreq: float) -> dict[str, tuple[float, float]]:
    """Bands of a kind of signal that a sampling rate holds, the last of them perhaps in part."""
    half = sfreq / 2
    bands = BANDS_OF[modality].items()
    return {name: (low, min(high, half)) for name, (low, high) in bands if low < half}


def bands_within(modality: str, sfreq: float, n_times: int) -> dict[str, tuple[float, float]]:
    """Those of `bands_below` in which trials of so many samples have a frequency."""
    frequencies = rfftfreq(n_times, 1 / sfreq)
    return {
        name: (low, high)
        for name, (low, high) in bands_below(modality, sfreq).items()
        if ((frequencies >= low) & (frequencies < high)).any()
    }


def _window_errors(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Standardised error and error in units of the original's variance, of one trial."""
    if constant(x.reshape(1, -1))[0]:
        return np.nan, np.nan
    nmse = float(((y - x) ** 2).mean() / x.var())
    if constant(y.reshape(1, -1))[0]:
        return np.nan, nmse
    zx, zy = ((s - s.mean()) / s.std(ddof=1) for s in (x, y))
    return float(((zx - zy) ** 2).mean()), nmse


def _channel_measures(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Measures of each channel (n_channels,) of one trial."""
    flat_x, flat_y = constant(x), constant(y)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    xx, yy, xy = (x * x).sum(axis=1), (y * y).sum(axis=1), (x * y).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = xy / xx
        distortion = ((y - slope[:, None] * x) ** 2).sum(axis=1)
        measures = {
            "r": np.clip(xy / np.sqrt(xx * yy), -1, 1),
            "si_sdr": 10 * np.log10(slope**2 * xx / distortion),
            "gain": np.where(flat_y, 0.0, np.sqrt(yy / xx)),
            "slope": np.where(flat_y, 0.0, slope),
        }
    undefined = {"r": flat_x | flat_y, "si_sdr": flat_x | flat_y, "gain": flat_x, "slope": flat_x}
    return {name: np.where(undefined[name], np.nan, v) for name, v in measures.items()}


def _band_measures(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlation, error of all channels together (n_bands,) and of each, in one trial's bands."""
    window = get_window("hann", x.shape[1])
    spectra, floors = [], []
    for signal in (x, y):
        centred = signal - signal.mean(axis=1, keepdims=True)
        spectra.append(rfft(centred * window, axis=1))
        power = (np.abs(spectra[-1]) ** 2).sum(axis=1)
        floors.append(np.where(constant(signal), np.inf, 2 * power * _LEAKAGE**2))
    fx, fy = spectra
    xx, yy, ee = (np.abs(f) ** 2 @ weights.T for f in (fx, fy, fy - fx))
    xy = (fx * fy.conj()).real @ weights.T
    empty = (xx <= floors[0][:, None]) | (yy <= floors[1][:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(empty, np.nan, np.clip(xy / np.sqrt(xx * yy), -1, 1))
        nmse = ee.sum(axis=0) / xx.sum(axis=0)
        nothing = xx <= floors[0][:, None]
        error = np.where(nothing, np.nan, ee / xx)
    return r.T, np.where(nothing.all(axis=0), np.nan, nmse), error.T


def constant(signals: np.ndarray) -> np.ndarray:
    """Whether each row is constant up to rounding."""
    return signals.std(axis=1) <= _ROUNDING * np.abs(signals).max(axis=1)


def _size(measures: np.ndarray) -> str:
    """Numbers of trials and channels, in words."""
    return "{} trials x {} channels".format(*measures.shape)
