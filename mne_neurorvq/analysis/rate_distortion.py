# License: BSD-3-Clause
"""What each level of the codes adds to the reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .reconstruction import BANDS, ReconstructionQuality, reconstruction_quality
from .trial_arrays import nanmean, signals_of

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
        The original trials. An array is in volts and holds the channels of the tokens in their
        order.
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
