# License: BSD-3-Clause
"""How evenly codes are used, for training logs."""

from __future__ import annotations

import torch
from torch import Tensor


def count_codes(codes: Tensor, n_codes: int) -> Tensor:
    """Count how often each code occurs.

    Counts add up: over steps, and over processes that train together.

    Parameters
    ----------
    codes : Tensor of int64, shape (n_codebooks, n_tokens, n_levels)
        Codes as in :class:`~mne_neurorvq.models.Quantized`.
    n_codes : int
        Number of codes in a codebook.

    Returns
    -------
    Tensor of int64, shape (n_codebooks, n_levels, n_codes)
        Counts.

    Examples
    --------
    >>> import torch
    >>> count_codes(torch.tensor([[[0], [2], [2]]]), n_codes=4)
    tensor([[[1, 0, 2, 0]]])
    """
    if codes.ndim != 3:
        raise ValueError(
            f"codes must be (n_codebooks, n_tokens, n_levels), got shape {tuple(codes.shape)}."
        )
    if codes.numel() and (codes.min() < 0 or codes.max() >= n_codes):
        raise ValueError(
            f"codes must lie in 0..{n_codes - 1}, got {codes.min().item()}..{codes.max().item()}."
        )
    columns = codes.transpose(1, 2).flatten(0, 1)
    offset = columns + n_codes * torch.arange(len(columns), device=codes.device)[:, None]
    counts = torch.bincount(offset.flatten(), minlength=len(columns) * n_codes)
    return counts.view(codes.shape[0], codes.shape[2], n_codes)


def used_share(counts: Tensor) -> Tensor:
    """Find the share of the codes that occur.

    Parameters
    ----------
    counts : Tensor, shape (..., n_codes)
        What :func:`count_codes` gave, or a sum of such counts.

    Returns
    -------
    Tensor, shape (...)
        From 0 to 1; a small batch cannot use all codes.

    Examples
    --------
    >>> import torch
    >>> used_share(torch.tensor([1, 0, 2, 0]))
    tensor(0.5000)
    """
    return (counts > 0).float().mean(-1)


def perplexity(counts: Tensor) -> Tensor:
    """Find the number of equally frequent codes of the same entropy.

    Parameters
    ----------
    counts : Tensor, shape (..., n_codes)
        What :func:`count_codes` gave, a sum of such counts, or the moving averages
        ``ResidualVQ.cluster_size``.

    Returns
    -------
    Tensor, shape (...)
        The exponential of the entropy: from 1 (one code takes all) to ``n_codes``; NaN where
        nothing has been counted.

    Examples
    --------
    >>> import torch
    >>> perplexity(torch.tensor([[5, 5, 0, 0], [7, 0, 0, 0]]))
    tensor([2., 1.])
    """
    counts = counts.float()
    return torch.special.entr(counts / counts.sum(-1, keepdim=True)).sum(-1).exp()
