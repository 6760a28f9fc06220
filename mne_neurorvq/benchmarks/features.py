# License: BSD-3-Clause
"""The features that are compared: embeddings, those of an untrained twin, and band power."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

from ..analysis import BANDS
from ..analysis.reconstruction import bands_below
from ..signals import EpochsView, Trials, as_trials, set_reference, unit_factor
from ..weights import list_pretrained, load_pretrained
from ..weights.loading import find_config
from ..weights.systems import SYSTEMS

# Resolves 0.5 Hz, the lower edge of delta.
_WELCH_SECONDS = 2.0
_BATCH = 64


def band_power(
    trials: mne.BaseEpochs | list[mne.BaseEpochs] | NDArray[np.floating],
    sfreq: float | None = None,
    *,
    bands: Mapping[str, tuple[float, float]] = BANDS,
    picks: str | Sequence[str] = "eeg",
) -> NDArray[np.float64]:
    """Compute the log power in frequency bands for each channel.

    Parameters
    ----------
    trials : mne.Epochs | list of mne.Epochs | ndarray, shape (n_trials, n_channels, n_times)
        Trials. An array is in µV.
    sfreq : float | None
        Sampling rate in Hz; can be None for Epochs.
    bands : dict of str to (float, float)
        Edges of the bands in Hz, lower edge included, upper edge not.
    picks : str | sequence of str
        Channel type or names for Epochs, in their order; bad channels are left out.

    Returns
    -------
    ndarray, shape (n_trials, n_channels, n_bands)
        Decimal logarithm of the mean power spectral density in each band, in µV²/Hz.

    Notes
    -----
    Welch's method [1]_ with half-overlapping Hann windows of 2 s (or the whole trial, if shorter),
    each with its mean removed.

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
    ch_names = None
    if not isinstance(trials, (mne.BaseEpochs, EpochsView, list)):
        trials = np.asarray(trials)
        if trials.ndim != 3:
            raise ValueError(
                "an array of trials must have shape (n_trials, n_channels, n_times), got "
                f"{trials.shape}."
            )
        ch_names = [str(channel) for channel in range(trials.shape[1])]
    found = as_trials(trials, ch_names=ch_names, sfreq=sfreq)
    indices = picked(found, picks)
    names = [found.ch_names[index] for index in indices]
    powers = []
    for start in range(0, len(found), _BATCH):
        batch = found.read(start, min(start + _BATCH, len(found)), indices)
        density = _density(batch * unit_factor(found.unit, "uV"), found.sfreq, bands)
        if not (density > 0).all():
            trial, channel, band = np.argwhere(~(density > 0))[0]
            raise ValueError(
                f"trial {start + trial}, channel {names[channel]!r} has no power in the band "
                f"{list(bands)[band]!r}: leave out the flat channel or trial."
            )
        powers.append(np.log10(density))
    return np.concatenate(powers)


def picked(trials: Trials, picks: str | Sequence[str]) -> list[int]:
    """Find the channels to use: all of an array, or good ones of Epochs by type or name."""
    if trials.ch_types is None:
        return list(range(len(trials.ch_names)))
    values = trials.ch_types if isinstance(picks, str) else trials.ch_names
    wanted = {picks} if isinstance(picks, str) else set(picks)
    indices = [
        index
        for index, (name, value) in enumerate(zip(trials.ch_names, values, strict=True))
        if value in wanted and name not in trials.bads
    ]
    if not indices:
        raise ValueError(f"the trials have no good channel of picks={picks!r}.")
    return indices


def _density(
    batch: NDArray[np.floating], sfreq: float, bands: Mapping[str, tuple[float, float]]
) -> NDArray[np.float64]:
    """Mean power spectral density in each band, ``(n_trials, n_channels, n_bands)``."""
    length = min(batch.shape[-1], round(_WELCH_SECONDS * sfreq))
    frequencies, density = welch(batch, sfreq, nperseg=length, axis=-1)
    means = np.empty((*batch.shape[:2], len(bands)))
    for column, (name, (low, high)) in enumerate(bands.items()):
        inside = (frequencies >= low) & (frequencies < high)
        if not inside.any():
            raise ValueError(
                f"the band {name!r} from {low:g} to {high:g} Hz has no frequency in trials of "
                f"{batch.shape[-1]} samples at {sfreq:g} Hz: leave it out of bands."
            )
        means[..., column] = density[..., inside].mean(axis=-1)
    return means


def untrained_twin(pretrained: str) -> str | None:
    """Find the model with the same architecture and random weights.

    Parameters
    ----------
    pretrained : str
        Name of a model.

    Returns
    -------
    str | None
        Name of its twin, or None.

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
    """Compute features to compare: an embedding, its untrained twin's and band power.

    Parameters
    ----------
    epochs : mne.Epochs
        Trials.
    pretrained : str
        Name or path of a model.
    **transformer : dict
        Further parameters of the model's transformer, such as
        :class:`~mne_neurorvq.NeuroRVQTransformer`.

    Returns
    -------
    dict of str to ndarray, shape (n_trials, n_columns)
        ``"embedding"``, ``"physiology"`` if the model has learned to tell it, ``"untrained twin"``
        if there is one, ``"band power"`` averaged over channels, and ``"band power per channel"``:
        all from the same channels in the reference that the model is given.

    Examples
    --------
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)  # 19 channels
    >>> features = representations(epochs, "neurorvq-eeg-tiny-random")
    >>> {name: values.shape for name, values in features.items()}
    {'embedding': (2, 45600), 'band power': (2, 5), 'band power per channel': (2, 95)}
    """
    config = find_config(pretrained)
    make = resolve_name(SYSTEMS[config.system].transformer)
    model = make(pretrained, **transformer)
    features = {"embedding": model.fit_transform(epochs)}
    if load_pretrained(pretrained).target_head is not None:
        numbers = make(pretrained, output="physiology", **transformer)
        features["physiology"] = numbers.fit_transform(epochs)
    twin = untrained_twin(pretrained)
    if twin is not None:
        features["untrained twin"] = make(twin, **transformer).fit_transform(epochs)
    bands = bands_below(config.modality, epochs.info["sfreq"])
    referenced = set_reference(epochs, model.reference_)
    power = band_power(referenced, bands=bands, picks=list(model.ch_names_))
    features["band power"] = power.mean(axis=1)
    features["band power per channel"] = power.reshape(len(power), -1)
    return features
