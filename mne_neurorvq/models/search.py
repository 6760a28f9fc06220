# License: BSD-3-Clause
"""Nearest codes and k-means: the searches of a quantizer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .collectives import Share, all_sum

# Floats in the table of the nearest-code search. On a CPU 8 MiB: larger ones leave the cache, and
# smaller ones make the products slower. Elsewhere 1 GiB, as every product costs a start.
_CPU_TABLE, _OTHER_TABLE = 1 << 21, 1 << 28
_KMEANS_ITERATIONS = 10
# From this size on, products in bfloat16 are worth the second look at their best codes.
_RANKED_CODES, _RANKED_DIM = 2048, 32
# Codes whose largest product is looked at first, and candidates of a token, on average, above
# which everything is compared in float32.
_GROUP, _CANDIDATES = 64, 16
# Twice the unit roundoff for the factors, once for the product, and what is of second order, with
# the sums in float32.
_BF16_ERROR, _FLOAT32_ERROR = 3.1 * 2.0**-9, 2.0**-20


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
    left out. Blocks of rows keep the table of distances small. For large codebooks of codes of
    one length, on processors that multiply in bfloat16, such products find the few codes that can
    be nearest, and float64 tells which is: the codes are those of exact arithmetic.

    Examples
    --------
    >>> import torch
    >>> codebook = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    >>> nearest_codes(torch.tensor([[[0.9, 0.2], [0.1, 0.3]]]), codebook)
    tensor([[1, 0]])
    """
    found = torch.empty(vectors.shape[:2], dtype=torch.int64, device=vectors.device)
    search = _search_ranked if _bf16_pays(codebook) else _search
    # A product per codebook: a batched one would need a table of all codebooks in memory.
    # The precision of the trunk must not choose the code.
    with torch.autocast(vectors.device.type, enabled=False):
        for z, codes, out in zip(vectors, codebook, found, strict=True):
            # Through the norm: squares of a whole codebook would be a second copy of it.
            half_norm = 0.5 * torch.linalg.vector_norm(codes, dim=-1).square_()
            search(z, codes, half_norm, out)
    return found


def _table_size(device: torch.device) -> int:
    return _CPU_TABLE if device.type == "cpu" else _OTHER_TABLE


def _search(z: Tensor, codes: Tensor, half_norm: Tensor, out: Tensor) -> None:
    """Write the nearest codes of ``(n_tokens, code_dim)`` vectors, from a table in float32."""
    rows = max(1, min(_table_size(z.device) // len(codes), len(z)))
    # Fresh memory for every product would cost more than finding its minima.
    table = z.new_empty(rows, len(codes))
    for block, best in zip(z.split(rows), out.split(rows), strict=True):
        distance = table[: len(block)]
        torch.addmm(half_norm, block, codes.T, alpha=-1, out=distance)
        torch.argmin(distance, -1, out=best)


def _bf16_pays(codebook: Tensor) -> bool:
    """Whether products in bfloat16 are faster and narrow the search down to few codes."""
    _, n_codes, code_dim = codebook.shape
    if n_codes < _RANKED_CODES or n_codes % _GROUP or code_dim < _RANKED_DIM:
        return False
    if codebook.device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    # A private name: where torch has it no longer, the search stays in float32.
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return codebook.device.type == "cpu" and supported is not None and supported()


def _search_ranked(z: Tensor, codes: Tensor, half_norm: Tensor, out: Tensor) -> None:
    """Write the same codes: find candidates in bfloat16 and compare these exactly.

    With unit roundoff ``u = 2**-9``, rounded factors change ``z.e`` by less than ``(2 u + u^2)
    |z| |e|`` (Cauchy-Schwarz), and the rounded product by ``u`` of itself. What is within twice
    the bound of the best product in bfloat16 can be nearest, and nothing else. Lengths of codes
    that differ widen the bound.
    """
    rows = max(1, min(2 * _table_size(z.device) // len(codes), len(z)))
    rounded = codes.bfloat16()
    longest = (2.0 * half_norm.max()).sqrt()
    bound = 2.0 * _BF16_ERROR * torch.linalg.vector_norm(z, dim=-1) * longest
    bound += half_norm.max() - half_norm.min() + _FLOAT32_ERROR * half_norm.max()
    table = rounded.new_empty(len(codes) * rows)
    for block, margin, best in zip(z.split(rows), bound.split(rows), out.split(rows), strict=True):
        # Tokens last: the maximum over codes then runs over whole rows.
        products = table[: len(codes) * len(block)].view(len(codes), len(block))
        torch.mm(rounded, block.bfloat16().T, out=products)
        pairs = _candidates(products, margin)
        if pairs is None:
            _search(block, codes, half_norm, best)
            continue
        code, token = pairs
        # Products of float32 are exact in float64: sums of them hardly have ties left.
        exact = codes[code].double()
        distance = ((0.5 * exact - block[token].double()) * exact).sum(-1)
        least = distance.new_full((len(block),), torch.inf)
        least.scatter_reduce_(0, token, distance, "amin")
        nearest = distance == least[token]
        best.fill_(len(codes)).scatter_reduce_(0, token[nearest], code[nearest], "amin")


def _candidates(products: Tensor, margin: Tensor) -> tuple[Tensor, Tensor] | None:
    """Codes and tokens of the products ``(n_codes, n_tokens)`` that are near the best of a token.

    None if they are too many, or if a token has none because it is not finite.
    """
    n_codes, n_tokens = products.shape
    most = _CANDIDATES * n_tokens
    groups = products.view(n_codes // _GROUP, _GROUP, n_tokens)
    best = groups.amax(1)
    least = best.amax(0).float() - margin
    group, token = (best >= least).nonzero(as_tuple=True)
    if len(token) > most or not torch.isfinite(least).all():
        return None
    pair, within = (groups[group, :, token] >= least[token, None]).nonzero(as_tuple=True)
    if len(pair) > most:
        return None
    return group[pair] * _GROUP + within, token[pair]


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
        fresh = sums / counts.clamp(min=1)[:, None]
        if cosine:
            fresh = F.normalize(fresh, dim=-1)
        means = torch.where(counts[:, None] > 0, fresh, means)
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
    apart = codes + n_codes * torch.arange(n_books, device=codes.device)[:, None]
    sums = vectors.new_zeros(n_books * n_codes, vectors.shape[-1])
    sums.index_add_(0, apart.flatten(), vectors.flatten(0, 1))
    counts = torch.bincount(apart.flatten(), minlength=n_books * n_codes).to(vectors.dtype)
    return sums.unflatten(0, (n_books, n_codes)), counts.view(n_books, n_codes)
