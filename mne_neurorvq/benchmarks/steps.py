# License: BSD-3-Clause
"""Steps of pipelines over Epochs: classical features, and what is done within each person."""

from __future__ import annotations

from typing import Any, Self

import mne
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone

from .._fitting import all_or_nothing
from ..datasets import trial_column
from .features import band_power


class WithinSubjects(TransformerMixin, BaseEstimator):
    """Features of Epochs, brought to a common scale within each person, without labels.

    Parameters
    ----------
    features : scikit-learn transformer
        Makes features of Epochs; fitted on the training trials.
    scaler : scikit-learn transformer
        Fitted on, and applied to, the features of each person alone (None: not at all), such as
        :class:`sklearn.preprocessing.StandardScaler`, or ``pyriemann.preprocessing.Whitening``,
        which moves the mean covariance of each person to the identity.

    Attributes
    ----------
    features_ : scikit-learn transformer
        The fitted features.
    scales_ : bool
        Whether people have trials enough to scale within.

    Notes
    -----
    Whose a trial is comes from ``epochs.metadata["subject"]``, which MOABB writes. It is
    transductive: all trials of a test subject that are transformed together are used, unlabelled.
    Where most training subjects have a single trial, there is nothing to scale within and
    features are left as they are.

    Examples
    --------
    >>> from sklearn.preprocessing import FunctionTransformer, StandardScaler
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=2, n_trials=4, verbose=False)
    >>> step = WithinSubjects(FunctionTransformer(log_power), StandardScaler())
    >>> rows = step.fit_transform(epochs)
    >>> rows.shape, bool(abs(rows[:4].mean(axis=0)).max() < 1e-9)
    ((8, 95), True)
    """

    def __init__(self, features: Any, scaler: Any) -> None:
        self.features = features
        self.scaler = scaler

    @all_or_nothing
    def fit(self, X: mne.BaseEpochs, y: ArrayLike | None = None) -> Self:
        """Fit the features.

        Parameters
        ----------
        X : mne.Epochs
            Trials.
        y : array-like, shape (n_trials,) | None
            Classes, for features that learn from them.

        Returns
        -------
        WithinSubjects
            Itself.
        """
        self.features_ = clone(self.features).fit(X, y)
        sizes = np.unique(trial_column(X, "subject"), return_counts=True)[1]
        self.scales_ = self.scaler is not None and bool(np.median(sizes) > 1)
        return self

    def transform(self, X: mne.BaseEpochs) -> NDArray[np.floating]:
        """Compute the features, person by person.

        Parameters
        ----------
        X : mne.Epochs
            Trials, with the column ``subject`` in their metadata.

        Returns
        -------
        ndarray, shape (n_trials, ...)
            Scaled features.
        """
        values = np.asarray(self.features_.transform(X))
        if not self.scales_:
            return values
        subjects = trial_column(X, "subject")
        scaled = np.empty_like(values)
        for subject in np.unique(subjects):
            theirs = subjects == subject
            if theirs.sum() == 1:
                raise ValueError(
                    f"subject {subject} has a single trial, which cannot be scaled by itself: "
                    "leave the subject out, or give more trials (a larger share)."
                )
            scaled[theirs] = clone(self.scaler).fit_transform(values[theirs])
        return scaled


class FromTokens(TransformerMixin, BaseEstimator):
    """Features from tokens alone: those of the signals that the tokens decode to.

    Parameters
    ----------
    features : NeuroRVQTransformer | BioCodecTransformer | BrainRVQTransformer
        Makes tokens of Epochs, and features of what these decode to; fitted on the training trials.

    Attributes
    ----------
    features_ : NeuroRVQTransformer | BioCodecTransformer | BrainRVQTransformer
        The fitted transformer.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)  # 19 channels
    >>> FromTokens(NeuroRVQTransformer()).fit_transform(epochs).shape
    (2, 45600)
    """

    def __init__(self, features: Any) -> None:
        self.features = features

    @all_or_nothing
    def fit(self, X: mne.BaseEpochs, y: ArrayLike | None = None) -> Self:
        """Fit the transformer.

        Parameters
        ----------
        X : mne.Epochs
            Trials.
        y : array-like, shape (n_trials,) | None
            Not used.

        Returns
        -------
        FromTokens
            Itself.
        """
        self.features_ = clone(self.features).fit(X, y)
        return self

    def transform(self, X: mne.BaseEpochs) -> NDArray[np.floating]:
        """Tokenize, decode, and compute the features.

        Parameters
        ----------
        X : mne.Epochs
            Trials.

        Returns
        -------
        ndarray, shape (n_trials, n_columns)
            Features.
        """
        decoded = self.features_.detokenize(self.features_.tokenize(X))
        return np.asarray(self.features_.transform(decoded))


def log_power(epochs: mne.BaseEpochs, laplacian: bool = False) -> NDArray[np.float64]:
    """Log power in the classical bands of every channel, or of its surface Laplacian."""
    if laplacian:
        potentials = mne.preprocessing.compute_current_source_density(epochs)
        # The power of a potential, whatever its unit: only its logarithm is used.
        epochs = mne.EpochsArray(
            potentials.get_data(copy=False) * 1e-3,
            mne.create_info(potentials.ch_names, epochs.info["sfreq"], "eeg"),
            verbose="error",
        )
    power = band_power(epochs, picks=_good(epochs))
    return power.reshape(len(power), -1)


def time_domain(epochs: mne.BaseEpochs) -> NDArray[np.float64]:
    """Hudgins' features of each channel and quarter of a trial, ``(n_trials, n_columns)``.

    Logarithms of the mean absolute value and of the length of the waveform, rates of zero crossings
    and of changes of slope: Hudgins et al. (1993), IEEE Trans Biomed Eng 40(1).
    """
    quarters = np.array_split(band_signals(epochs, None, None), 4, axis=-1)
    found = []
    for x in quarters:
        steps = np.diff(x, axis=-1)
        turns = [(np.diff(np.sign(part), axis=-1) != 0).mean(axis=-1) for part in (x, steps)]
        sizes = [np.log10(abs(part).mean(axis=-1) + 1e-9) for part in (x, steps)]
        found += [*sizes, *turns]
    return np.concatenate(found, axis=1)


def slow_potentials(epochs: mne.BaseEpochs, h_freq: float = 4.0) -> NDArray[np.float64]:
    """Signals below a frequency, four of their averages a second, (n_trials, n_columns), in µV."""
    slow = band_signals(epochs, None, h_freq)
    width = round(epochs.info["sfreq"] / 4)
    n_windows = slow.shape[-1] // width
    windows = slow[..., : n_windows * width].reshape(*slow.shape[:2], n_windows, width)
    return windows.mean(axis=-1).reshape(len(slow), -1)


def band_signals(
    epochs: mne.BaseEpochs, l_freq: float | None = 8.0, h_freq: float | None = 30.0
) -> NDArray[np.float64]:
    """Good channels, each trial filtered on its own, (n_trials, n_channels, n_times), in µV."""
    signals = 1e6 * epochs.get_data(picks=_good(epochs), verbose="error")
    if l_freq is None and h_freq is None:
        return signals
    return mne.filter.filter_data(signals, epochs.info["sfreq"], l_freq, h_freq, verbose="error")


def _good(epochs: mne.BaseEpochs) -> list[str]:
    """Channels that are not marked bad; the paradigm has chosen their type."""
    return [name for name in epochs.ch_names if name not in epochs.info["bads"]]
