# License: BSD-3-Clause
"""Nearest codes and k-means: the searches of a quantizer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from . import fast
from .collectives import Share, all_sum

_KMEANS_ITERATIONS = 10


@torch.no_grad()
def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Index of the code at the smallest Euclidean distance, for several codebooks at once.

    Parameters
    ----------
    vectors : Tensor, shape (n_codebooks, n_tokens, code_dim)
        What to look up.
    codebook : Tensor, shape (n_codebooks, n_codes, code_dim)
        The codes.

    Returns
    -------
    Tensor of int64, shape (n_codebooks, n_tokens)
        Nearest code of each vector.

    Notes
    -----
    The distance is ``|z|^2 + |e|^2 - 2 z.e``; its first term does not change the order and is
    left out.

    Examples
    --------
    >>> import torch
    >>> codebook = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    >>> nearest_codes(torch.tensor([[[0.9, 0.2], [0.1, 0.3]]]), codebook)
    tensor([[1, 0]])
    """
    # The precision of the trunk must not choose the code.
    with torch.autocast(vectors.device.type, enabled=False):
        if fast.enabled():
            return fast.nearest_codes(vectors, codebook)
        half_norm = 0.5 * codebook.square().sum(-1)
        return (half_norm[:, None] - vectors @ codebook.mT).argmin(-1)


def kmeans(
    samples: Tensor,
    n_codes: int,
    *,
    cosine: bool,
    generator: torch.Generator | None = None,
    share: Share | None = None,
) -> tuple[Tensor, Tensor]:
    """Cluster samples, as the start of a codebook.

    Parameters
    ----------
    samples : Tensor, shape (n_samples, code_dim)
        Vectors to cluster.
    n_codes : int
        Number of clusters; the start draws with replacement when there are fewer samples.
    cosine : bool
        Assign by direction and normalise the means after every iteration.
    generator : torch.Generator | None
        Source of the random start; None takes torch's global one.
    share : Share | None
        Where these samples lie among those of all processes, which then all call with generators
        in the same state and get the same clusters. None clusters these samples alone.

    Returns
    -------
    means : Tensor, shape (n_codes, code_dim)
        Cluster means; an empty cluster keeps its start.
    counts : Tensor, shape (n_codes,)
        Members of each cluster at the last assignment.

    Examples
    --------
    >>> import torch
    >>> samples = torch.tensor([[0.0, 0.0], [0.0, 2.0], [9.0, 9.0]])
    >>> means, counts = kmeans(samples, 1, cosine=False)
    >>> means, counts
    (tensor([[3.0000, 3.6667]]), tensor([3.]))
    """
    if cosine:
        samples = F.normalize(samples, dim=-1)
    start = _draw(len(samples) if share is None else share.n_total, n_codes, generator)
    start = start.to(samples.device)
    if share is None:
        means = samples[start]
    else:
        (means,) = all_sum(share.own_rows(samples, start))
    counts = samples.new_zeros(n_codes)
    for _ in range(_KMEANS_ITERATIONS):
        chosen = nearest_codes(samples[None], means[None])
        (sums,), (counts,) = sums_and_counts(samples[None], chosen, n_codes)
        if share is not None:
            sums, counts = all_sum(sums, counts)
        new = sums / counts.clamp(min=1)[:, None]
        if cosine:
            new = F.normalize(new, dim=-1)
        means = torch.where(counts[:, None] > 0, new, means)
    return means, counts


def _draw(n_samples: int, n_drawn: int, generator: torch.Generator | None) -> Tensor:
    """Draw samples, without replacement where there are enough."""
    # On the CPU by default: the same on every device.
    device = "cpu" if generator is None else generator.device
    if n_samples >= n_drawn:
        return torch.randperm(n_samples, generator=generator, device=device)[:n_drawn]
    return torch.randint(n_samples, (n_drawn,), generator=generator, device=device)


def sums_and_counts(vectors: Tensor, codes: Tensor, n_codes: int) -> tuple[Tensor, Tensor]:
    """Sum the vectors ``(n_codebooks, n_tokens, code_dim)`` of every code, and count them."""
    n_books = len(codes)
    separate = codes + n_codes * torch.arange(n_books, device=codes.device)[:, None]
    sums = vectors.new_zeros(n_books * n_codes, vectors.shape[-1])
    sums.index_add_(0, separate.flatten(), vectors.flatten(0, 1))
    counts = torch.bincount(separate.flatten(), minlength=n_books * n_codes).to(vectors.dtype)
    return sums.unflatten(0, (n_books, n_codes)), counts.view(n_books, n_codes)
