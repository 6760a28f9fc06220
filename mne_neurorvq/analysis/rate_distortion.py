# License: BSD-3-Clause
"""What each level of the codes adds to the reconstruction, and what no code could add."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq
from scipy.signal import periodogram

from .reconstruction import (
    BANDS,
    ReconstructionQuality,
    band_weights,
    reconstruction_quality,
)
from .trial_arrays import check_references, nanmean, signals_of, signals_with_rate

if TYPE_CHECKING:
    from ..tokens import Tokens

# Reconstructions a thousand times larger or smaller are in another unit.
_UNIT_GAIN = 1e3


@dataclass(frozen=True)
class RateDistortion:
    """Bits and quality of reconstructions from the first levels of the codes.

    Attributes
    ----------
    bits_per_second : array, shape (n_levels,)
        Bits per second and channel of the first level, of the first two, and so on, with the side
        information.
    quality : tuple of ReconstructionQuality
        Quality of the reconstruction from them.
    """

    bits_per_second: np.ndarray
    quality: tuple[ReconstructionQuality, ...]

    def summary(self) -> dict[str, np.ndarray]:
        """Return the mean of each measure for each number of levels.

        Returns
        -------
        means : dict of str to array, shape (n_levels,)
            The keys of :meth:`ReconstructionQuality.summary`.
        """
        rows = [quality.summary() for quality in self.quality]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def rate_distortion(
    transformer: Any,
    tokens: Tokens,
    signals: Any,
    *,
    bands: Mapping[str, tuple[float, float]] = BANDS,
) -> RateDistortion:
    """Reconstruct trials from the first level of their codes, the first two, and so on.

    Parameters
    ----------
    transformer : NeuroRVQTransformer | object
        Any object whose ``detokenize(tokens)`` returns Epochs in volts.
    tokens : Tokens
        Tokens that it made.
    signals : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times)
        The original trials, in the reference of the tokens
        (:func:`~mne_neurorvq.signals.set_reference`). An array is in volts and holds the channels
        of the tokens in their order.
    bands : dict of str to (float, float)
        Edges of frequency bands in Hz, as in :func:`reconstruction_quality`.

    Returns
    -------
    curve : RateDistortion
        Bits per second and quality for each number of levels.

    Notes
    -----
    The decoder was trained on all levels, so the quality it reaches with fewer is not a bound on
    what they hold.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> model = NeuroRVQTransformer("neurorvq-eeg-tiny-random", verbose=False).fit(epochs)
    >>> curve = rate_distortion(model, model.tokenize(epochs), epochs)
    >>> curve.bits_per_second.round(), curve.summary()["r"].shape
    (array([17., 33.]), (2,))
    """
    original = signals_of("signals", signals, tokens.ch_names)
    rates, quality = [], []
    for n_kept in range(1, tokens.shape[-1] + 1):
        part = replace(tokens, codes=tokens.codes[..., :n_kept])
        decoded = transformer.detokenize(part)
        check_references(signals, decoded)
        restored = decoded.get_data()
        rates.append(part.bits_per_second)
        quality.append(reconstruction_quality(original, restored, tokens.sfreq, bands=bands))
    gain = float(nanmean(quality[-1].gain.ravel()))
    if gain > _UNIT_GAIN or gain < 1 / _UNIT_GAIN:
        raise ValueError(
            f"the reconstruction is {gain:.3g} times as large as signals: pass Epochs, or an array "
            "in volts"
        )
    return RateDistortion(np.array(rates), tuple(quality))


def gaussian_bound(
    signals: Any,
    bits_per_second: float,
    sfreq: float | None = None,
    *,
    bands: Mapping[str, tuple[float, float]] = BANDS,
) -> dict[str, float]:
    r"""Compute the error that a code of this rate cannot go below if signals were Gaussian.

    Parameters
    ----------
    signals : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times)
        Trials, whose mean spectrum for each channel is used.
    bits_per_second : float
        Bits per second of each channel; every channel is coded on its own.
    sfreq : float | None
        Sampling rate in Hz; can be None for Epochs.
    bands : dict of str to (float, float)
        Edges of frequency bands in Hz, as in :func:`reconstruction_quality`.

    Returns
    -------
    errors : dict of str to float
        ``nmse`` and ``nmse_<band>``, as in :meth:`ReconstructionQuality.summary`: squared error
        over power, all channels together. 1 means that the best code leaves the band out.

    Notes
    -----
    Reverse water-filling [1]_: for the spectrum :math:`S(f)` of a channel, the best code of
    :math:`\int \max(0, \log_2 S(f) / \theta) \, df` bits per second leaves the error
    :math:`\int \min(S(f), \theta) \, df`: all frequencies with a power below
    :math:`\theta` are lost. It is the best for the total squared error; a code that weighs
    frequencies otherwise can trade one band for another. Codes that use what channels have in
    common, or that EEG is not Gaussian, can do better.

    References
    ----------
    .. [1] T. M. Cover & J. A. Thomas (2006). Elements of Information Theory, section 10.3.3.

    Examples
    --------
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=4, verbose=False)
    >>> few, many = (gaussian_bound(epochs, bits)["nmse_beta"] for bits in (30, 300))
    >>> few > many
    True
    """
    if not bits_per_second > 0:
        raise ValueError(f"bits_per_second must be positive, got {bits_per_second}")
    values, sfreq = signals_with_rate("signals", signals, sfreq)
    weights = band_weights(bands, sfreq, values.shape[2]) > 0
    hz, power = periodogram(values, sfreq, window="hann")
    power = power.mean(axis=0)[:, 1:]
    power = power[power.max(axis=1) > 0]
    left = np.stack([np.minimum(row, _water(row, bits_per_second / hz[1])) for row in power])
    total = {"nmse": np.ones(hz.size, dtype=bool)}
    total |= {f"nmse_{name}": inside for name, inside in zip(bands, weights, strict=True)}
    return {
        name: float(left[:, inside[1:]].sum() / power[:, inside[1:]].sum())
        for name, inside in total.items()
    }


def _water(power: np.ndarray, bits: float) -> float:
    """Level above which the power of the frequencies takes that many bits (per bin of 1 Hz)."""
    top = np.log2(power.max())

    def excess(level: float) -> float:
        with np.errstate(divide="ignore"):
            return float(np.maximum(np.log2(power) - level, 0).sum()) - bits

    return float(2 ** brentq(excess, top - bits - 1, top))
