# License: BSD-3-Clause
"""How many bits tokens take, beside those of the signals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..tokens import Tokens


@dataclass(frozen=True)
class Compression:
    """Bits per second and channel of tokens and of the signals.

    Attributes
    ----------
    codes : float
        Bits of the codes.
    side : float
        Bits of the side information, without which codes do not decode.
    float32, int16 : float
        Bits of the samples of the signal, as 32-bit floats and as 16-bit integers.
    """

    codes: float
    side: float
    float32: float
    int16: float

    @property
    def total(self) -> float:
        """Bits of codes and side information."""
        return self.codes + self.side

    @property
    def ratio_float32(self) -> float:
        """How many times fewer bits tokens take than 32-bit samples."""
        return self.float32 / self.total

    @property
    def ratio_int16(self) -> float:
        """How many times fewer bits tokens take than 16-bit samples."""
        return self.int16 / self.total


def compression(tokens: Tokens, *, sfreq: float | None = None) -> Compression:
    """Compare the bits of tokens with those of the signals.

    Parameters
    ----------
    tokens : Tokens
        Tokens.
    sfreq : float | None
        Sampling rate in Hz of the signals to compare with; None takes that of the trials. The
        model's, ``tokens.model_sfreq``, leaves out what resampling alone saves.

    Returns
    -------
    compression : Compression
        Bits per second and channel, and their ratios.

    Raises
    ------
    ValueError
        If the rate is not positive.

    Notes
    -----
    Codes and side information are counted as by :attr:`mne_neurorvq.Tokens.bits_per_second`:
    codes at their bit width, without entropy coding, and 32 bits for each float of the side
    information. Ratios include both. The published ratios leave the side information out.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import Tokens
    >>> tokens = Tokens(
    ...     codes=np.zeros((1, 2, 4, 4, 8), int), side=np.zeros((1, 1, 2)), n_codes=512,
    ...     model="demo", ch_names=("C3", "C4"), channel_rows=(27, 31), sfreq=160.0, n_times=640,
    ...     model_sfreq=200.0, patch_size=200, segments=(4,))
    >>> result = compression(tokens)
    >>> result.codes, result.side, result.float32, round(result.ratio_float32, 1)
    (288.0, 8.0, 5120.0, 17.3)
    >>> compression(tokens, sfreq=tokens.model_sfreq).float32
    6400.0
    """
    sfreq = tokens.sfreq if sfreq is None else sfreq
    if not (np.isfinite(sfreq) and sfreq > 0):
        raise ValueError(f"sfreq must be a positive number in Hz, got {sfreq}")
    codes = replace(tokens, side=tokens.side[..., :0]).bits_per_second
    return Compression(codes, tokens.bits_per_second - codes, 32.0 * sfreq, 16.0 * sfreq)
