# License: BSD-3-Clause
"""On which channels codes occur, and what signals look like there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .trial_arrays import signals_of

if TYPE_CHECKING:
    from ..tokens import Tokens


def code_rates(tokens: Tokens, codebook: int = 0, level: int = 0) -> NDArray[np.float64]:
    """Compute how often each code occurs on each channel.

    Parameters
    ----------
    tokens : Tokens
        Tokens.
    codebook, level : int
        Where the codes are from.

    Returns
    -------
    rates : array, shape (n_channels, n_codes)
        Share of the patches of a channel, over all trials, that have the code; of each channel
        they add up to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import Tokens
    >>> codes = np.array([[0, 0, 0, 1], [2, 2, 1, 1]]).reshape(1, 2, 4, 1, 1)
    >>> tokens = Tokens(
    ...     codes=codes, side=np.zeros((1, 1, 2)), n_codes=3, model="demo",
    ...     ch_names=("C3", "C4"), channel_rows=(27, 31), sfreq=200.0, n_times=800,
    ...     model_sfreq=200.0, patch_size=200, segments=(4,))
    >>> code_rates(tokens)
    array([[0.75, 0.25, 0.  ],
           [0.  , 0.5 , 0.5 ]])
    """
    codes = _codes_of(tokens, codebook, level).swapaxes(0, 1).reshape(tokens.shape[1], -1)
    counts = [np.bincount(row, minlength=tokens.n_codes) for row in codes]
    return np.stack(counts) / codes.shape[1]


def frequent_codes(tokens: Tokens, codebook: int, level: int, n_codes: int) -> list[int]:
    """Codes that occur most often, the most frequent first; fewer if no others occur."""
    rates = code_rates(tokens, codebook, level).mean(axis=0)
    order = np.argsort(-rates, kind="stable")[:n_codes]
    return order[rates[order] > 0].tolist()


@dataclass(frozen=True)
class CodeWaveforms:
    """Signals in the patches that have a code.

    Attributes
    ----------
    codes : tuple of int
        The codes.
    times : array, shape (n_samples,)
        Time in s from the start of the patch.
    patches : tuple of array, each of shape (n_occurrences, n_samples)
        For each code the signals of all patches that have it, in the unit of the signals.
    """

    codes: tuple[int, ...]
    times: np.ndarray
    patches: tuple[np.ndarray, ...]

    @property
    def counts(self) -> np.ndarray:
        """Number of patches with each code, shape (n_codes,)."""
        return np.array([len(found) for found in self.patches])

    @property
    def mean(self) -> np.ndarray:
        """Mean of the patches with each code, shape (n_codes, n_samples): its prototype."""
        return np.stack([found.mean(axis=0) for found in self.patches])


def code_waveforms(
    tokens: Tokens,
    signals: Any,
    codes: Sequence[int],
    *,
    codebook: int = 0,
    level: int = 0,
) -> CodeWaveforms:
    """Collect the signals of the patches that have a code.

    Parameters
    ----------
    tokens : Tokens
        Tokens.
    signals : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times)
        The same trials, recorded or decoded; an array holds the channels of the tokens in their
        order.
    codes : sequence of int
        The codes.
    codebook, level : int
        Where the codes are from.

    Returns
    -------
    waveforms : CodeWaveforms
        Signals of the patches with each code. A patch that reaches beyond the end of the trial is
        left out.

    Notes
    -----
    A decoder sees all codes of a segment at once, and a code means something only beside the
    others. So the prototype of a code is the mean over its occurrences, and not what is decoded
    from the code alone, which no training has seen.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> model = NeuroRVQTransformer("neurorvq-eeg-tiny-random", verbose=False).fit(epochs)
    >>> tokens = model.tokenize(epochs)
    >>> code = int(tokens.codes[0, 0, 0, 0, 0])
    >>> code_waveforms(tokens, model.detokenize(tokens), [code]).mean.shape  # patches of 1 s
    (1, 200)
    """
    values = signals_of("signals", signals, tokens.ch_names)
    if values.shape != (*tokens.shape[:2], tokens.n_times):
        raise ValueError(
            f"signals have the shape {values.shape}, but the tokens are of "
            f"{(*tokens.shape[:2], tokens.n_times)} (trials, channels, times)"
        )
    occurring = _codes_of(tokens, codebook, level)
    absent = [code for code in codes if not (occurring == code).any()]
    if absent or not len(codes):
        raise ValueError(f"codes must be some that occur in the tokens, not {absent or 'none'}")
    n_samples = round(tokens.patch_size / tokens.model_sfreq * tokens.sfreq)
    starts = ((tokens.patch_times - tokens.tmin) * tokens.sfreq).round().astype(int)
    whole = starts + n_samples <= tokens.n_times
    if not whole.any():
        raise ValueError("no patch lies within its trial: longer trials are needed")
    windows = np.lib.stride_tricks.sliding_window_view(values, n_samples, axis=2)
    windows, occurring = windows[:, :, starts[whole]], occurring[:, :, whole]
    return CodeWaveforms(
        tuple(codes),
        np.arange(n_samples) / tokens.sfreq,
        tuple(windows[occurring == code] for code in codes),
    )


def _codes_of(tokens: Tokens, codebook: int, level: int) -> NDArray[np.integer]:
    """Codes (n_trials, n_channels, n_patches) of a codebook and level that exist."""
    for name, value, n in zip(
        ("codebook", "level"), (codebook, level), tokens.shape[3:], strict=True
    ):
        if not 0 <= value < n:
            raise ValueError(f"{name}={value} must be one of 0 to {n - 1}")
    return tokens.codes[:, :, :, codebook, level]
