# License: BSD-3-Clause
"""Nearest codes and k-means: the searches of a quantizer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Floats in the table of the nearest-code search (8 MiB): larger ones leave the cache, and
# smaller ones make the products slower.
_SEARCH_BLOCK = 1 << 21
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
    left out. Blocks of rows keep the table of distances small.

    Examples
    --------
    >>> import torch
    >>> codebook = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    >>> nearest_codes(torch.tensor([[[0.9, 0.2], [0.1, 0.3]]]), codebook)
    tensor([[1, 0]])
    """
    n_codes = codebook.shape[1]
    found = torch.empty(vectors.shape[:2], dtype=torch.int64, device=vectors.device)
    rows = max(1, min(_SEARCH_BLOCK // n_codes, vectors.shape[1]))
    # Fresh memory for every product would cost more than finding its minima.
    table = vectors.new_empty(rows, n_codes)
    # A product per codebook: a batched one would need a table of all codebooks in memory.
    # The precision of the trunk must not choose the code.
    with torch.autocast(vectors.device.type, enabled=False):
        for z, codes, out in zip(vectors, codebook, found, strict=True):
            # Through the norm: squares of a whole codebook would be a second copy of it.
            half_norm = 0.5 * torch.linalg.vector_norm(codes, dim=-1).square_()
            for block, best in zip(z.split(rows), out.split(rows), strict=True):
                distance = table[: len(block)]
                torch.addmm(half_norm, block, codes.T, alpha=-1, out=distance)
                torch.argmin(distance, -1, out=best)
    return found


def kmeans(
    samples: Tensor, n_codes: int, *, cosine: bool, generator: torch.Generator | None = None
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
    n_samples, device = len(samples), samples.device
    if n_samples >= n_codes:
        start = torch.randperm(n_samples, generator=generator, device=device)[:n_codes]
    else:
        start = torch.randint(n_samples, (n_codes,), generator=generator, device=device)
    means = samples[start]
    counts = samples.new_zeros(n_codes)
    for _ in range(_KMEANS_ITERATIONS):
        sums, counts = sums_and_counts(
            samples, nearest_codes(samples[None], means[None])[0], n_codes
        )
        fresh = sums / counts.clamp(min=1)[:, None]
        if cosine:
            fresh = F.normalize(fresh, dim=-1)
        means = torch.where(counts[:, None] > 0, fresh, means)
    return means, counts


def sums_and_counts(samples: Tensor, codes: Tensor, n_codes: int) -> tuple[Tensor, Tensor]:
    """Sum the samples ``(n_samples, code_dim)`` of every code, and count them."""
    sums = samples.new_zeros(n_codes, samples.shape[-1]).index_add_(0, codes, samples)
    return sums, torch.bincount(codes, minlength=n_codes).to(samples.dtype)
