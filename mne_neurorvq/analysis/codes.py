# License: BSD-3-Clause
"""How much of the codebooks is used, and how many bits the codes take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from ..tokens import Tokens


@dataclass(frozen=True)
class CodeUsage:
    """How evenly codes are used, for each codebook and level.

    Attributes
    ----------
    counts : array of int, shape (n_codebooks, n_levels, n_codes)
        How often each code occurs.
    """

    counts: np.ndarray

    @property
    def n_tokens(self) -> int:
        """Number of tokens; fewer than a few times ``n_codes`` cannot use all codes."""
        return int(self.counts[0, 0].sum())

    @property
    def used(self) -> np.ndarray:
        """Share of the codes that occur, shape (n_codebooks, n_levels)."""
        return (self.counts > 0).mean(axis=-1)

    @property
    def entropy(self) -> np.ndarray:
        """Entropy of the codes in bits, shape (n_codebooks, n_levels).

        Estimated from relative frequencies, so it is too low when there are few tokens.
        """
        share = self.counts / self.n_tokens
        return -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=-1) + 0.0

    @property
    def normalized_entropy(self) -> np.ndarray:
        """Entropy divided by its maximum, shape (n_codebooks, n_levels)."""
        return self.entropy / np.log2(self.counts.shape[-1])

    @property
    def perplexity(self) -> np.ndarray:
        """Number of equally frequent codes of the same entropy, shape (n_codebooks, n_levels)."""
        return 2**self.entropy

    def __repr__(self) -> str:
        n_codebooks, n_levels, n_codes = self.counts.shape
        return (
            f"<CodeUsage | {n_codebooks} codebooks × {n_levels} levels × {n_codes} codes | "
            f"{self.n_tokens} tokens | {self.used.mean():.1%} used | normalized entropy "
            f"{self.normalized_entropy.mean():.3f}>"
        )


def code_usage(codes: Tokens | ArrayLike, n_codes: int | None = None) -> CodeUsage:
    """Count how often each code is used.

    Parameters
    ----------
    codes : Tokens | array of int, shape (..., n_codebooks, n_levels)
        Tokens, or codes from 0 to ``n_codes - 1``.
    n_codes : int | None
        Number of codes in a codebook, at least 2. Can be None for Tokens.

    Returns
    -------
    usage : CodeUsage
        Counts, share of used codes, entropy and perplexity for each codebook and level.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([0, 0, 1, 1]).reshape(4, 1, 1)  # one codebook, one level
    >>> usage = code_usage(codes, n_codes=4)
    >>> usage.used, usage.entropy, usage.normalized_entropy, usage.perplexity
    (array([[0.5]]), array([[1.]]), array([[0.5]]), array([[2.]]))
    """
    if n_codes is None:
        tokens: Any = codes
        if not hasattr(tokens, "n_codes"):
            raise TypeError(
                "n_codes is missing: pass it with an array of codes (Tokens have their own)"
            )
        codes, n_codes = tokens.codes, int(tokens.n_codes)
    codes = np.asarray(codes)
    if n_codes < 2:
        raise ValueError(f"n_codes must be at least 2, got {n_codes}")
    if codes.dtype.kind not in "iu":
        raise TypeError(f"codes must be integers, got dtype {codes.dtype}")
    if codes.ndim < 3 or not codes.size:
        raise ValueError(
            f"codes must have shape (..., n_codebooks, n_levels) and not be empty, got shape "
            f"{codes.shape}"
        )
    if codes.min() < 0 or codes.max() >= n_codes:
        wrong = codes.min() if codes.min() < 0 else codes.max()
        raise ValueError(f"codes must be from 0 to {n_codes - 1} (n_codes={n_codes}), got {wrong}")
    columns = codes.reshape(-1, *codes.shape[-2:])
    counts = np.empty((*codes.shape[-2:], n_codes), np.int64)
    for codebook, level in np.ndindex(codes.shape[-2:]):
        counts[codebook, level] = np.bincount(columns[:, codebook, level], minlength=n_codes)
    return CodeUsage(counts)


@dataclass(frozen=True)
class Compression:
    """Bits per second and channel of tokens and of the signals.

    Attributes
    ----------
    codes : float
        Bits of the codes.
    side : float
        Bits of the side information, which decoding needs.
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
        """Compression ratio relative to 32-bit samples."""
        return self.float32 / self.total

    @property
    def ratio_int16(self) -> float:
        """Compression ratio relative to 16-bit samples."""
        return self.int16 / self.total


def compression(tokens: Tokens, *, sfreq: float | None = None) -> Compression:
    """Compare the bits of tokens with those of the signals.

    Parameters
    ----------
    tokens : Tokens
        Tokens.
    sfreq : float | None
        Sampling rate in Hz of the signals to compare with. If None, that of the trials; pass
        ``tokens.model_sfreq`` to leave out what resampling alone saves.

    Returns
    -------
    compression : Compression
        Bits per second and channel, and their ratios.

    Notes
    -----
    Codes and side information are counted as in :attr:`mne_neurorvq.Tokens.bits_per_second`:
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
