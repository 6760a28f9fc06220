# License: BSD-3-Clause
"""Whether codes are as similar between channels as the signals are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from .reconstruction import constant
from .trial_arrays import nanmean, signals_of

if TYPE_CHECKING:
    from ..tokens import Tokens


@dataclass(frozen=True)
class SpatialCoherence:
    """Rank correlation between channel-correlation matrices of signals and of embeddings.

    Attributes
    ----------
    rho : array, shape (n_trials, n_codebooks, n_levels)
        Spearman's correlation within each trial, NaN where it is undefined.
    other_trial : array, shape (n_trials, n_codebooks, n_levels)
        The same between the signals of each trial and the embeddings of the next one (the first,
        for the last trial): what the montage and features common to all trials explain. NaN for a
        single trial.
    """

    rho: np.ndarray
    other_trial: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean of ``rho`` over the trials where it is defined, (n_codebooks, n_levels)."""
        return nanmean(self.rho, axis=0)

    @property
    def mean_other_trial(self) -> np.ndarray:
        """Mean of ``other_trial``, (n_codebooks, n_levels)."""
        return nanmean(self.other_trial, axis=0)


def spatial_coherence(tokens: Tokens, signals: Any, codebook: ArrayLike) -> SpatialCoherence:
    """Compare channel correlations of signals with those of the embeddings of their codes.

    Parameters
    ----------
    tokens : Tokens
        Tokens of the trials.
    signals : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times)
        The same trials, in any unit; an array holds the channels of the tokens in their order.
    codebook : array-like, shape (n_codebooks, n_levels, n_codes, n_dimensions)
        The vector that each code stands for: ``tokenizer.quantizer.codebook`` of
        :func:`~mne_neurorvq.load_pretrained`.

    Returns
    -------
    coherence : SpatialCoherence
        Spearman's correlation for each trial, codebook and level.


    Notes
    -----
    In each trial, every pair of channels has a correlation of the signals over time and, for each
    level, a correlation of the code vectors over patches and dimensions. The measure is Spearman's
    correlation of the two over the pairs, as in [1]_, where it falls from .489 at the first level
    to .272 at the sixth. Pairs with a constant channel are left out.

    A model that knows the names of the channels may give neighbours similar codes whatever the
    signals: ``other_trial`` is what is reached without the trial's own codes.

    References
    ----------
    .. [1] BioCodec (2025). arXiv 2510.09095.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer, load_pretrained
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> name = "neurorvq-eeg-tiny-random"
    >>> tokens = NeuroRVQTransformer(name, verbose=False).fit(epochs).tokenize(epochs)
    >>> codebook = load_pretrained(name).tokenizer.quantizer.codebook
    >>> spatial_coherence(tokens, epochs, codebook).rho.shape  # trials, codebooks, levels
    (2, 4, 2)
    """
    signals = signals_of("signals", signals, tokens.ch_names)
    n_trials, n_channels, _, n_codebooks, n_levels = tokens.shape
    if signals.shape != (n_trials, n_channels, tokens.n_times):
        raise ValueError(
            f"signals have the shape {signals.shape}, but the tokens are of "
            f"{(n_trials, n_channels, tokens.n_times)} (trials, channels, times)"
        )
    if n_channels < 3:
        raise ValueError(f"tokens have {n_channels} channels: at least 3 are needed to rank pairs")
    vectors = _checked_codebook(codebook, tokens)
    rho = np.full((2, n_trials, n_codebooks, n_levels), np.nan)
    measured = [_pair_correlations(trial) for trial in signals]
    for trial, book, level in np.ndindex(n_trials, n_codebooks, n_levels):
        embedding = vectors[book, level][tokens.codes[trial, :, :, book, level]]
        pairs = _pair_correlations(embedding.reshape(n_channels, -1))
        rho[0, trial, book, level] = _spearman(measured[trial], pairs)
        if n_trials > 1:
            rho[1, trial - 1, book, level] = _spearman(measured[trial - 1], pairs)
    return SpatialCoherence(*rho)


def _checked_codebook(codebook: ArrayLike, tokens: Tokens) -> NDArray[np.float64]:
    vectors = np.asarray(codebook, float)
    n_codebooks, n_levels = tokens.shape[3:]
    fits = vectors.ndim == 4 and vectors.shape[0] == n_codebooks and vectors.shape[1] >= n_levels
    if not fits or vectors.shape[2] != tokens.n_codes:
        raise ValueError(
            f"codebook has the shape {vectors.shape}, but the tokens need ({n_codebooks}, "
            f"{n_levels}, {tokens.n_codes}, n_dimensions): take that of the model "
            f"{tokens.model!r}"
        )
    return vectors


def _pair_correlations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's correlation of each pair of rows; NaN for a constant row."""
    centred = values - values.mean(axis=1, keepdims=True)
    norms = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = np.where(constant(values)[:, None], np.nan, centred / norms)
    # Pairs that differ only by rounding share a rank.
    return np.round(unit @ unit.T, 12)[np.triu_indices(len(values), 1)]


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation where both are defined; NaN for fewer than three pairs, or equal ones."""
    both = ~(np.isnan(a) | np.isnan(b))
    ranks = np.stack([rankdata(a[both]), rankdata(b[both])])
    if ranks.shape[1] < 3 or constant(ranks).any():
        return np.nan
    return float(np.corrcoef(ranks)[0, 1])
