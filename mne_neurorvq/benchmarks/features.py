# License: BSD-3-Clause
"""What is compared: embeddings, those of an untrained twin, and band power."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

from ..analysis import BANDS
from ..estimators import NeuroRVQTransformer
from ..weights import list_pretrained

# Resolves 0.5 Hz, the lower edge of delta.
_WELCH_SECONDS = 2.0
_BATCH = 64


def band_power(
    trials: mne.BaseEpochs | NDArray[np.floating],
    sfreq: float | None = None,
    *,
    bands: Mapping[str, tuple[float, float]] = BANDS,
    picks: str | list[str] = "eeg",
) -> NDArray[np.float64]:
    """Logarithm of the power in frequency bands, for each channel.

    Parameters
    ----------
    trials : mne.Epochs | ndarray, shape (n_trials, n_channels, n_times)
        Trials.
    sfreq : float | None
        Sampling rate of an array in Hz; Epochs know theirs.
    bands : dict of str to (float, float)
        Edges of the bands in Hz, lower edge included, upper edge not.
    picks : str | list of str
        Type or names of the channels of Epochs; channels marked bad are left out.

    Returns
    -------
    ndarray, shape (n_trials, n_channels, n_bands)
        Decimal logarithm of the mean power spectral density in each band: of µV²/Hz for Epochs,
        of the squared unit of an array per Hz otherwise.

    Raises
    ------
    ValueError
        If a band has no frequency at this rate and length, a channel is flat, or samples are NaN
        or infinite.

    Notes
    -----
    Welch's method [1]_ with Hann windows of 2 s (or the trial, if it is shorter), half
    overlapping, each without its mean.

    References
    ----------
    .. [1] P. Welch (1967). The use of the fast Fourier transform for the estimation of power
       spectra. IEEE Transactions on Audio and Electroacoustics 15(2).

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(800) / 200
    >>> x = np.sin(2 * np.pi * 10 * t) + 1e-3 * np.random.default_rng(0).standard_normal(800)
    >>> int(band_power(x[None, None], sfreq=200.0).argmax())  # alpha
    2
    """
    rate = float(trials.info["sfreq"]) if isinstance(trials, mne.BaseEpochs) else sfreq
    if rate is None:
        raise ValueError("sfreq is missing: an array does not know its sampling rate.")
    powers = [
        _log_power(batch, rate, bands, start * _BATCH)
        for start, batch in enumerate(_batches(trials, picks))
    ]
    if not powers:
        raise ValueError("there is no trial.")
    return np.concatenate(powers)


def _batches(
    trials: mne.BaseEpochs | NDArray[np.floating], picks: str | list[str]
) -> Iterator[NDArray[np.floating]]:
    """Trials a few at a time, so that memory does not grow with their number."""
    if not isinstance(trials, mne.BaseEpochs):
        trials = np.asarray(trials)
        if trials.ndim != 3:
            raise ValueError(
                "an array of trials must have shape (n_trials, n_channels, n_times), got "
                f"{trials.shape}."
            )
        yield from (trials[start : start + _BATCH] for start in range(0, len(trials), _BATCH))
        return
    wanted = set(picks) if not isinstance(picks, str) else None
    names = [
        name
        for name, kind in zip(trials.ch_names, trials.get_channel_types(), strict=True)
        if name not in trials.info["bads"] and (kind == picks if wanted is None else name in wanted)
    ]
    if not names:
        raise ValueError(f"the trials have no good channel of picks={picks!r}.")
    for start in range(0, len(trials), _BATCH):
        yield 1e6 * trials[start : start + _BATCH].get_data(picks=names, verbose="error")


def _log_power(
    batch: NDArray[np.floating],
    sfreq: float,
    bands: Mapping[str, tuple[float, float]],
    first: int,
) -> NDArray[np.float64]:
    finite = np.isfinite(batch).all(axis=-1)
    if not finite.all():
        trial, channel = np.argwhere(~finite)[0]
        raise ValueError(
            f"trial {first + trial}, channel {channel} has NaN or infinite samples: drop the trial "
            "or interpolate the channel."
        )
    length = min(batch.shape[-1], round(_WELCH_SECONDS * sfreq))
    frequencies, density = welch(batch, sfreq, nperseg=length, axis=-1)
    powers = np.empty((*batch.shape[:2], len(bands)))
    for column, (name, (low, high)) in enumerate(bands.items()):
        inside = (frequencies >= low) & (frequencies < high)
        if not inside.any():
            raise ValueError(
                f"the band {name!r} from {low:g} to {high:g} Hz has no frequency in trials of "
                f"{batch.shape[-1]} samples at {sfreq:g} Hz: leave it out of bands."
            )
        powers[..., column] = density[..., inside].mean(axis=-1)
    if not (powers > 0).all():
        trial, channel, column = np.argwhere(~(powers > 0))[0]
        raise ValueError(
            f"trial {first + trial}, channel {channel} has no power in the band "
            f"{list(bands)[column]!r}: leave out the flat channel or trial."
        )
    return np.log10(powers)


def untrained_twin(pretrained: str) -> str | None:
    """Name of the model with the same architecture and random weights.

    Parameters
    ----------
    pretrained : str
        Name of a model.

    Returns
    -------
    str | None
        Name of its twin; None if there is none.

    Examples
    --------
    >>> untrained_twin("neurorvq-eeg-small")
    'neurorvq-eeg-small-random'
    """
    twin = f"{pretrained}-random"
    return twin if twin in [entry.name for entry in list_pretrained()] else None


def representations(
    epochs: mne.BaseEpochs, pretrained: str = "neurorvq-eeg-small", **transformer: Any
) -> dict[str, NDArray[np.floating]]:
    """Features to compare: an embedding, its untrained twin's and band power.

    Parameters
    ----------
    epochs : mne.Epochs
        Trials.
    pretrained : str
        Name or path of a model.
    **transformer : dict
        Further parameters of :class:`~mne_neurorvq.NeuroRVQTransformer`.

    Returns
    -------
    dict of str to ndarray, shape (n_trials, n_columns)
        ``"embedding"``; ``"untrained twin"`` where there is one; ``"band power"``, averaged over
        channels as the embedding is; ``"band power per channel"``. All of the same channels.

    Examples
    --------
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)  # 32 channels
    >>> features = representations(epochs, "neurorvq-eeg-tiny-random")
    >>> {name: values.shape for name, values in features.items()}
    {'embedding': (2, 800), 'band power': (2, 5), 'band power per channel': (2, 160)}
    """
    model = NeuroRVQTransformer(pretrained, **transformer)
    features = {"embedding": model.fit_transform(epochs)}
    twin = untrained_twin(pretrained)
    if twin is not None:
        features["untrained twin"] = NeuroRVQTransformer(twin, **transformer).fit_transform(epochs)
    power = band_power(epochs, picks=list(model.ch_names_))
    features["band power"] = power.mean(axis=1)
    features["band power per channel"] = power.reshape(len(power), -1)
    return features
