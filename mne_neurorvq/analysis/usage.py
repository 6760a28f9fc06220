# License: BSD-3-Clause
"""How much of the codebooks is used."""

from __future__ import annotations

from dataclasses import dataclass
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

        Estimated from the relative frequencies: too low where there are few tokens.
        """
        share = self.counts / self.n_tokens
        return -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=-1) + 0.0

    @property
    def normalized_entropy(self) -> np.ndarray:
        """Entropy over its largest possible value, shape (n_codebooks, n_levels)."""
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
    """Count how codes are used.

    Parameters
    ----------
    codes : Tokens | array of int, shape (..., n_codebooks, n_levels)
        Tokens, or codes from 0 to ``n_codes - 1``.
    n_codes : int | None
        Number of codes in a codebook, at least 2; tokens know theirs.

    Returns
    -------
    usage : CodeUsage
        Counts, share of used codes, entropy and perplexity for each codebook and level.

    Raises
    ------
    ValueError, TypeError
        If there are no codes, or codes that are no integers or out of range, or ``n_codes`` is
        missing.

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
            raise TypeError("n_codes is missing: an array of codes needs it, only Tokens know it")
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
    n_codebooks, n_levels = codes.shape[-2:]
    counts = np.empty((n_codebooks, n_levels, n_codes), np.int64)
    for codebook, level in np.ndindex(n_codebooks, n_levels):
        column = codes[..., codebook, level].ravel()
        counts[codebook, level] = np.bincount(column, minlength=n_codes)
    return CodeUsage(counts)
