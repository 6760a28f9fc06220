# License: BSD-3-Clause
"""The classical pipeline for motor imagery: common spatial patterns of Epochs."""

from __future__ import annotations

from typing import Any, Self

import mne
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._fitting import all_or_nothing
from .peer_inputs import microvolts, read_epochs


class BandPass(TransformerMixin, BaseEstimator):
    """Good EEG channels of Epochs, band-passed, as an array (n_trials, n_channels, n_times) in µV.

    The channels are ``ch_names_``.
    """

    def __init__(self, l_freq: float, h_freq: float) -> None:
        self.l_freq = l_freq
        self.h_freq = h_freq

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the channels."""
        read_epochs(self, X, reset=True)
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Filter each trial on its own."""
        check_is_fitted(self)
        trials = read_epochs(self, X, reset=False)
        return mne.filter.filter_data(
            microvolts(self, trials), trials.sfreq, self.l_freq, self.h_freq, verbose="error"
        )


def csp_lda(n_components: int = 6, *, l_freq: float = 8.0, h_freq: float = 30.0) -> Pipeline:
    """Make the classical pipeline for motor imagery: common spatial patterns and LDA.

    Parameters
    ----------
    n_components : int
        Number of spatial filters.
    l_freq, h_freq : float
        Frequency band in Hz, by default the mu and beta rhythms.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Pipeline for Epochs: band-pass filter within trials, log power of
        :class:`mne.decoding.CSP` [1]_ with OAS covariances, and linear discriminant analysis with
        automatic shrinkage.

    References
    ----------
    .. [1] Z. J. Koles et al. (1990). Spatial patterns underlying population differences in the
       background EEG. Brain Topography 2(4).

    Examples
    --------
    >>> import mne
    >>> from mne_neurorvq.datasets import simulate_epochs, trial_column
    >>> epochs = simulate_epochs(n_subjects=2, n_trials=10, verbose=False)
    >>> y = trial_column(epochs, "condition")
    >>> with mne.utils.use_log_level("error"):
    ...     csp_lda().fit(epochs, y).predict(epochs).shape
    (20,)
    """
    from mne.decoding import CSP

    return Pipeline(
        [
            ("band", BandPass(l_freq, h_freq)),
            ("csp", CSP(n_components, reg="oas", log=True)),
            ("lda", LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")),
        ]
    )
