# License: BSD-3-Clause
"""What each level of the codes adds: to the signal, and to what can be told from the codes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .folds import fold_scores, group_folds
from .quality import BANDS, ReconstructionQuality, reconstruction_quality
from .trials import nanmean, signals_of

if TYPE_CHECKING:
    from ..tokens import Tokens

# Reconstructions that are a thousand times larger or smaller are in another unit.
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
        Anything whose ``detokenize(tokens)`` gives Epochs in volts.
    tokens : Tokens
        Tokens that it made.
    signals : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times)
        The original trials. An array is in volts, as Epochs are, and holds the channels of the
        tokens in their order.
    bands : dict of str to (float, float)
        Edges of frequency bands in Hz, as in :func:`reconstruction_quality`.

    Returns
    -------
    curve : RateDistortion
        Bits per second and quality for each number of levels.

    Raises
    ------
    ValueError
        If trials or channels are not those of the tokens, or the signals are in another unit than
        the reconstruction.
    TypeError
        If the signals are neither Epochs nor an array.

    Notes
    -----
    The decoder learned from all levels: what it makes of fewer is no bound on what they hold.

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
    n_levels = tokens.shape[-1]
    rates, quality = [], []
    for n_kept in range(1, n_levels + 1):
        part = replace(tokens, codes=tokens.codes[..., :n_kept])
        restored = transformer.detokenize(part).get_data()
        rates.append(part.bits_per_second)
        quality.append(reconstruction_quality(original, restored, tokens.sfreq, bands=bands))
    gain = float(nanmean(quality[-1].gain.ravel()))
    if gain > _UNIT_GAIN or gain < 1 / _UNIT_GAIN:
        raise ValueError(
            f"the reconstruction is {gain:.3g} times as large as signals: pass Epochs, or an array "
            "in volts"
        )
    return RateDistortion(np.array(rates), tuple(quality))


@dataclass(frozen=True)
class LevelScores:
    """Scores from the codes of some levels only.

    Attributes
    ----------
    subsets : tuple of tuple of int
        Levels that were used.
    scores : array, shape (n_subsets, n_folds)
        Score of each fold.
    n_columns : array of int, shape (n_subsets,)
        Number of columns of these levels.
    """

    subsets: tuple[tuple[int, ...], ...]
    scores: np.ndarray
    n_columns: np.ndarray

    @property
    def mean(self) -> dict[tuple[int, ...], float]:
        """Mean score over the folds of each subset."""
        return dict(zip(self.subsets, self.scores.mean(axis=1).tolist(), strict=True))


def level_scores(
    estimator: Any,
    features: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    names: Sequence[str],
    subsets: Sequence[Sequence[int]] | None = None,
    cv: Any = 5,
    scoring: Any = "balanced_accuracy",
    random_state: int = 0,
    n_jobs: int | None = None,
) -> LevelScores:
    """Score a classifier on the features of some levels at a time.

    Parameters
    ----------
    estimator : scikit-learn classifier or pipeline
        Cloned and fitted for each subset and fold; a linear one makes it a linear probe.
    features : array-like, shape (n_trials, n_columns)
        Features of which each belongs to a level: what a transformer with ``output="histogram"``
        gives.
    y, groups : array-like, shape (n_trials,)
        Class and subject of each trial.
    names : sequence of str, length n_columns
        Names of the columns, ``transformer.get_feature_names_out()``; they tell the level, as
        in ``"codebook0_level2_code17"``.
    subsets : sequence of sequence of int | None
        Levels to use together. None takes each level alone, then the first two, the first three,
        and so on up to all.
    cv : int | scikit-learn splitter | iterable of (train, test)
        Number of folds over the subjects, or the folds; no subject may be on both sides of one.
    scoring : str | callable
        What scikit-learn takes as scoring; one score.
    random_state : int
        Seed of the folds, where ``cv`` is a number.
    n_jobs : int | None
        Number of folds at a time.

    Returns
    -------
    scores : LevelScores
        Scores of each subset and fold.

    Raises
    ------
    ValueError
        If names and columns do not agree, a name tells no level or columns are single codes, a
        subset has a level that is not there, or a subject is on both sides of a fold.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs, trial_column
    >>> epochs = simulate_epochs(n_subjects=2, n_trials=4, verbose=False)
    >>> y, subjects = (trial_column(epochs, name) for name in ("condition", "subject"))
    >>> model = NeuroRVQTransformer(
    ...     "neurorvq-eeg-tiny-random", output="histogram", verbose=False)
    >>> features = model.fit_transform(epochs)
    >>> result = level_scores(LogisticRegression(), features, y, subjects, cv=2,
    ...                       names=model.get_feature_names_out())
    >>> result.subsets, result.scores.shape
    (((0,), (1,), (0, 1)), (3, 2))
    """
    features = np.asarray(features)
    levels = _levels_of(names)
    if features.ndim != 2 or features.shape[1] != len(levels):
        raise ValueError(
            f"features of shape {features.shape} must have two axes and a column for each of the "
            f"{len(levels)} names"
        )
    chosen = _checked_subsets(subsets, np.unique(levels).tolist())
    y, _, folds = group_folds(y, groups, cv, random_state)
    columns = [np.isin(levels, subset) for subset in chosen]
    scores = [
        fold_scores(estimator, features[:, kept], y, folds, scoring=scoring, n_jobs=n_jobs)
        for kept in columns
    ]
    return LevelScores(chosen, np.stack(scores), np.array([kept.sum() for kept in columns]))


def _levels_of(names: Sequence[str]) -> NDArray[np.int_]:
    """Level of each column."""
    levels = []
    for name in names:
        found = re.search(r".*level(\d+)(_|$)", name)  # the last: channels have names too
        if found is None:
            raise ValueError(
                f"the column {name!r} tells no level: take features with output='histogram'"
            )
        if not found[2]:
            raise ValueError(
                f"the column {name!r} holds codes, whose numbers mean nothing: take features with "
                "output='histogram'"
            )
        levels.append(int(found[1]))
    return np.array(levels, int)


def _checked_subsets(
    subsets: Sequence[Sequence[int]] | None, levels: list[int]
) -> tuple[tuple[int, ...], ...]:
    if subsets is None:
        alone = [(level,) for level in levels]
        first = [tuple(levels[:n]) for n in range(2, len(levels) + 1)]
        return (*alone, *first)
    chosen = tuple(tuple(int(level) for level in subset) for subset in subsets)
    for subset in chosen:
        if not subset or not set(subset) <= set(levels):
            raise ValueError(f"subsets has {subset}, but the levels are {levels}")
    if not chosen:
        raise ValueError("subsets is empty: give at least one, or None")
    return chosen
