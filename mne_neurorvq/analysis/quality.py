# License: BSD-3-Clause
"""How well signals are reconstructed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from .measures import band_measures, band_weights, channel_measures, window_errors
from .trials import nanmean, paired_signals

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


@dataclass(frozen=True)
class BandQuality:
    """Quality of a reconstruction within one frequency band.

    Attributes
    ----------
    r : array, shape (n_trials, n_channels)
        Correlation of the band-limited signals.
    nmse : array, shape (n_trials,)
        Squared error over the squared original, within the band, over all channels.
    """

    r: np.ndarray
    nmse: np.ndarray


@dataclass(frozen=True)
class ReconstructionQuality:
    """Quality of a reconstruction, for each trial and channel.

    A value that is not defined is NaN, is left out of the means and is counted in ``n_excluded``.

    Attributes
    ----------
    z_mse : array, shape (n_trials,)
        Mean squared error after each trial was standardised over all its channels and samples,
        original and reconstruction separately. 0 is perfect, 2 is chance; blind to amplitude.
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
        channels and samples of a trial. 0 is perfect, 1 is what the mean alone reaches.
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

    def _all(self) -> dict[str, np.ndarray]:
        names = ("z_mse", "r", "si_sdr", "gain", "slope", "nmse")
        measures = {name: getattr(self, name) for name in names}
        measures |= {f"r_{name}": band.r for name, band in self.bands.items()}
        return measures | {f"nmse_{name}": band.nmse for name, band in self.bands.items()}

    @property
    def n_excluded(self) -> dict[str, int]:
        """Number of undefined values of each measure (constant signals, empty bands)."""
        return {name: int(np.isnan(v).sum()) for name, v in self._all().items()}

    def summary(self) -> dict[str, float]:
        """Return the mean of each measure over all trials and channels, NaN left out.

        Returns
        -------
        means : dict of str to float
            Keys ``z_mse``, ``r``, ``si_sdr``, ``gain``, ``slope``, ``nmse``, then ``r_<band>``
            and ``nmse_<band>``.
        """
        return {name: float(nanmean(v.ravel())) for name, v in self._all().items()}

    def per_trial(self) -> dict[str, np.ndarray]:
        """Return each measure for each trial, averaged over its channels, NaN left out.

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
        The signals: two Epochs, of which those channels are compared that the reconstruction has,
        in its order, or two arrays ``(n_trials, n_channels, n_times)`` in the same unit.
    sfreq : float | None
        Sampling rate of arrays in Hz; Epochs know theirs.
    bands : dict of str to (float, float)
        Edges of frequency bands in Hz, lower edge included; may be empty.

    Returns
    -------
    quality : ReconstructionQuality
        The measures for each trial and channel, and their means through ``summary()``.

    Raises
    ------
    ValueError
        If shapes, rates or channels differ, samples are NaN or infinite, or a band has no
        frequency at this sampling rate and length.
    TypeError
        If one holds Epochs and the other an array, or an array comes without its rate.

    Notes
    -----
    ``z_mse`` is the reconstruction error that the authors of NeuroRVQ report [1]_ (standard
    deviation with ``n - 1``). ``si_sdr`` is that of [2]_ with the mean of each channel removed.

    Bands are taken from the discrete Fourier transform of each channel, without its mean and under
    a Hann window (which keeps slow drifts out of the fast bands): correlation and error within a
    band are sums over its frequencies, equal by Parseval's theorem to those of the ideally
    band-passed signals. The middle of a trial counts more than its ends.

    A constant channel, original or reconstructed, has no ``r``, ``si_sdr`` and, if it is the
    original, no ``gain`` and ``slope``.

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

    Epochs are compared as they are:

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
    band_nmse = np.empty((len(bands), n_trials))
    for trial in range(n_trials):  # one at a time: memory does not grow with the trials
        x, y = original[trial].astype(float), reconstruction[trial].astype(float)
        whole["z_mse"][trial], whole["nmse"][trial] = window_errors(x, y)
        for name, values in channel_measures(x, y).items():
            channels[name][trial] = values
        if len(bands):
            band_r[:, trial], band_nmse[:, trial] = band_measures(x, y, weights)
    return ReconstructionQuality(
        **whole,
        **channels,
        bands={
            name: BandQuality(r, nmse)
            for name, r, nmse in zip(bands, band_r, band_nmse, strict=True)
        },
    )
