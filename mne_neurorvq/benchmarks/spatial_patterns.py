# License: BSD-3-Clause
"""The classical classifier of motor imagery: common spatial patterns of Epochs."""

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
    """Good EEG channels of Epochs, band-passed, as an array in µV.

    Parameters
    ----------
    l_freq, h_freq : float
        Edges of the band in Hz.

    Attributes
    ----------
    ch_names_ : tuple of str
        Channels that are used.
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
        """Filter every trial by itself."""
        check_is_fitted(self)
        trials = read_epochs(self, X, reset=False)
        return mne.filter.filter_data(
            microvolts(self, trials), trials.sfreq, self.l_freq, self.h_freq, verbose="error"
        )


def csp_lda(n_components: int = 6, *, l_freq: float = 8.0, h_freq: float = 30.0) -> Pipeline:
    """Make the classical classifier of motor imagery: common spatial patterns and LDA.

    Parameters
    ----------
    n_components : int
        Number of spatial filters.
    l_freq, h_freq : float
        Band in Hz in which power is taken: mu and beta rhythms by default.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Takes Epochs: band-pass within trials, :class:`mne.decoding.CSP` [1]_ with covariances
        shrunk by OAS, logarithm of the power, linear discriminant analysis with automatic
        shrinkage.

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
