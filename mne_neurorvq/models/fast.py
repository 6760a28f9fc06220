# License: BSD-3-Clause
"""All optimisations, and the sizes that depend on the processor.

Each function has a plain equivalent, used under :func:`disabled` and by ``torch.export``: the codes
are the same, and other values agree up to rounding. No other module asks which processor it runs
on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_ENABLED = ContextVar("enabled", default=True)

# Tokens of a forward pass: on a CPU larger passes leave the cache and gain nothing, except where a
# matrix unit (AMX) idles in short products.
_TOKENS = {"cpu": 256, "amx": 1024, "cuda": 16384}
# Series in a pass of BioCodec, and patches in each: more gain nothing.
_SERIES = {"cpu": 64, "cuda": 4096}
_PATCHES_PER_SERIES = 125

# Floats in the table of the nearest-code search. On a CPU 8 MiB: larger ones leave the cache, and
# smaller ones make the products slower. On a GPU 1 GiB, since every product costs a kernel launch.
_TABLE = {"cpu": 1 << 21, "amx": 1 << 22, "cuda": 1 << 28}
# From this size on, products in bfloat16 are worth the second look at their best codes.
_RANKED_CODES, _RANKED_DIM = 2048, 32
# Codes whose largest product is looked at first, and candidates of a token, on average, above
# which everything is compared in float32.
_GROUP, _CANDIDATES = 64, 16
# Twice the unit roundoff for the factors, once for the product, and what is of second order, with
# the sums in float32.
_BF16_ERROR, _FLOAT32_ERROR = 3.1 * 2.0**-9, 2.0**-20

# Largest product of a query and a key up to which bfloat16 tells products apart well enough, and
# tokens up to which the table of products is small.
_MOST_PRODUCT, _MOST_TOKENS = 16.0, 1024
# Columns that a product in bfloat16 computes at a time.
_LANES = 16


@contextmanager
def disabled() -> Iterator[None]:
    """Use the plain formulas within the block, in this thread."""
    token = _ENABLED.set(False)
    try:
        yield
    finally:
        _ENABLED.reset(token)


def enabled(*, in_place: bool = False) -> bool:
    """Whether the fast paths are used; an exported graph has the plain formulas.

    Those that work in place need, too, that nothing learns.
    """
    allowed = _ENABLED.get() and not torch.compiler.is_exporting()
    return allowed and not (in_place and torch.is_grad_enabled())


# --- Sizes depend on the processor alone, so that one machine always gives the same bits.


def _cpu_has(feature: str) -> bool:
    """Ask torch by a private name; if it is gone, the processor counts as plain."""
    supported = getattr(torch.cpu, feature, None)
    return supported is not None and supported()


# What the CPU is called in the tables of sizes.
_CPU = "amx" if _cpu_has("_is_amx_tile_supported") else "cpu"
_CPU_RANKS = _cpu_has("_is_avx512_bf16_supported")


def trials_per_pass(n_channels: int, n_patches: int, device: str) -> int:
    """Trials in one forward pass of a transformer on a type of device."""
    n_tokens = _TOKENS.get(_CPU if device == "cpu" else device, _TOKENS["cpu"])
    return max(1, n_tokens // (n_channels * n_patches))


def series_per_pass(n_patches: int, device: str) -> int:
    """Series of ``n_patches`` in one forward pass of a codec on a type of device."""
    most = _SERIES.get(device, _SERIES["cpu"])
    return max(1, min(most, most * _PATCHES_PER_SERIES // n_patches))


# --- Arithmetic.


def write_over(operation: Callable[..., Tensor], x: Tensor, *others: Tensor) -> Tensor:
    """Apply an operation to ``x`` and what broadcasts to it, in the precision of ``x``.

    Where nothing learns the result takes the place of ``x``, which must be the caller's own. Fresh
    memory can cost more than what is computed: it arrives page by page, a microsecond each.
    """
    others = tuple(other.to(x.dtype) for other in others)
    return operation(x, *others, out=x) if enabled(in_place=True) else operation(x, *others)


def mean_pool(x: Tensor, size: int) -> Tensor:
    """Average every ``size`` (at least 2) values of the last axis, dropping a remainder.

    Same as ``avg_pool1d``, which takes several times as long on a CPU.
    """
    groups = x[..., : x.shape[-1] // size * size].unflatten(-1, (-1, size))
    if not enabled():
        return groups.mean(-1)
    parts = groups.unbind(-1)
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total = write_over(torch.add, total, part)
    return total / size


# --- What autocast leaves to the layers, where a CPU learns in bfloat16.


def _learns_in_bf16() -> bool:
    """Whether autocast is on and a gradient may be wanted."""
    return enabled() and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")


def convolving() -> AbstractContextManager[object]:
    """Compute convolutions in float32: in bfloat16 their gradient takes twice as long."""
    return torch.autocast("cpu", enabled=False) if _learns_in_bf16() else nullcontext()


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    """Normalise queries or keys: in bfloat16 the gradient takes more than twice as long."""
    return norm(x.float() if _learns_in_bf16() else x).to(x.dtype)


# --- Attention of queries, keys and values ``(batch, n_heads, n_tokens, head_dim)``.


def attend(q: Tensor, k: Tensor, v: Tensor, q_norm: nn.Module, k_norm: nn.Module) -> Tensor:
    """Attend; the norms are those already applied to queries and keys."""
    if enabled() and v.dtype == torch.bfloat16 and v.device.type == "cpu":
        if v.shape[-2] <= _MOST_TOKENS and _largest_product(q_norm, k_norm) <= _MOST_PRODUCT:
            return attend_by_products(q, k, v)
        if torch.is_grad_enabled():
            # The gradient of torch's own takes longer in bfloat16.
            with torch.autocast("cpu", enabled=False):
                return F.scaled_dot_product_attention(q.float(), k.float(), v.float()).to(v.dtype)
    return F.scaled_dot_product_attention(q, k, v)


def _largest_product(q_norm: nn.Module, k_norm: nn.Module) -> float:
    """Bound on the scaled products: what a LayerNorm gives has length ``sqrt(dim)`` at its core."""
    bound = 1.0
    for norm in (q_norm, k_norm):
        if not isinstance(norm, nn.LayerNorm):
            return torch.inf
        weight, bias, dim = norm.weight.detach(), norm.bias.detach(), len(norm.weight)
        bound *= float(weight.abs().max() * dim**0.5 + bias.norm()) / dim**0.25
    return bound


def attend_by_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend by products of whole matrices in bfloat16.

    torch's own makes blocks that are too small for the speed of products in bfloat16. Queries and
    keys must be so short that the exponential needs no maximum taken off.
    """
    attended: Tensor = _ByProducts.apply(q * v.shape[-1] ** -0.5, k, v)
    return attended


class _ByProducts(torch.autograd.Function):
    """Sequence by sequence: tables of weights stay in the cache, and the gradient has its own."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        dim = v.shape[-1]
        # A column of ones gives the sums of the weights with the same product.
        columns = _with_column(v, 1.0)
        found = torch.empty_like(columns)
        weights = v.new_empty(*v.shape[1:-1], v.shape[-2])
        for query, key, column, out in zip(q, k, columns, found, strict=True):
            torch.bmm(query, key.mT, out=weights).exp_()
            torch.bmm(weights, column, out=out)
        sums = found[..., dim : dim + 1]
        # Whole rows: a division of parts of them takes four times as long.
        attended = (found / sums)[..., :dim]
        ctx.save_for_backward(q, k, columns, sums, attended)
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        q, k, columns, sums, attended = ctx.saved_tensors
        # The error of a weight is a product less the mean of its row, by the same product.
        means = (gradient.float() * attended.float()).sum(-1)
        scaled = _with_column(gradient, -means) / sums
        found = tuple(torch.empty_like(q) for _ in range(3))
        weights, errors = q.new_empty(2, *q.shape[1:-1], q.shape[-2])
        inputs = zip(q, k, columns, scaled, *found, strict=True)
        for query, key, column, part, of_query, of_key, of_value in inputs:
            torch.bmm(query, key.mT, out=weights).exp_()
            torch.bmm(weights.mT, part[..., : q.shape[-1]], out=of_value)
            torch.bmm(part, column.mT, out=errors).mul_(weights)
            torch.bmm(errors, key, out=of_query)
            torch.bmm(errors.mT, query, out=of_key)
        return found


def _with_column(x: Tensor, values: float | Tensor) -> Tensor:
    """Append a column to the last axis, and zeros up to a number of columns that is fast."""
    dim = x.shape[-1]
    columns = x.new_zeros(*x.shape[:-1], (dim // _LANES + 1) * _LANES)
    columns[..., :dim] = x
    columns[..., dim] = values
    return columns


# --- Errors of guessed codes, from logits ``(n_codebooks, n_levels, n_tokens, n_codes)``.


def cross_entropy(logits: Tensor, codes: Tensor) -> Tensor:
    """Cross-entropy ``(n_codebooks, n_levels, n_tokens)`` of every code, in float32."""
    if enabled() and logits.dtype == torch.bfloat16 and logits.device.type == "cpu":
        found: Tensor = _CrossEntropy.apply(logits, codes)
        return found
    each = F.cross_entropy(logits.flatten(0, 2), codes.flatten(), reduction="none")
    return each.view(codes.shape)


class _CrossEntropy(torch.autograd.Function):
    """Logits stay in bfloat16 but for one level of one codebook, whose table fits the cache."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, codes: Tensor) -> Tensor:
        total = torch.empty(codes.shape)
        for at in product(*map(range, logits.shape[:2])):
            total[at] = logits[at].float().logsumexp(-1)
        ctx.save_for_backward(logits, codes, total)
        return total - logits.gather(-1, codes[..., None]).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, codes, total = ctx.saved_tensors
        found, rows = torch.empty_like(logits), torch.arange(codes.shape[-1])
        for at in product(*map(range, logits.shape[:2])):
            error = (logits[at] - total[at][:, None]).exp_()
            error[rows, codes[at]] -= 1.0
            found[at] = error.mul_(gradient[at][:, None])
        return found, None


def guessed(logits: Tensor, codes: Tensor) -> Tensor:
    """Whether each code is the (first) likeliest, ``(n_codebooks, n_levels, n_tokens)``."""
    if not enabled() or logits.device.type != "cpu":
        return logits.argmax(-1) == codes
    # The largest value is found many times faster than its place, which few rows need.
    found = logits.gather(-1, codes[..., None]).squeeze(-1) == logits.amax(-1)
    likely = found.nonzero(as_tuple=True)
    found[likely] = logits[likely].argmax(-1) == codes[likely]
    return found


# --- Nearest codes of vectors ``(n_codebooks, n_tokens, code_dim)``.


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Find the nearest codes block by block, ranked in bfloat16 where that pays.

    For large codebooks of codes of one length, on processors that multiply in bfloat16, such
    products find the few codes that can be nearest, and float64 tells which is: the codes are
    those of exact arithmetic.
    """
    found = torch.empty(vectors.shape[:2], dtype=torch.int64, device=vectors.device)
    search = _search_ranked if _ranking_pays(codebook) else _search
    # A product per codebook: a batched one would need a table of all codebooks in memory.
    for z, codes, out in zip(vectors, codebook, found, strict=True):
        # Through the norm: squares of a whole codebook would be a second copy of it.
        half_norm = 0.5 * torch.linalg.vector_norm(codes, dim=-1).square_()
        search(z, codes, half_norm, out)
    return found


def _ranking_pays(codebook: Tensor) -> bool:
    """Whether products in bfloat16 are faster and narrow the search down to few codes."""
    _, n_codes, code_dim = codebook.shape
    if n_codes < _RANKED_CODES or n_codes % _GROUP or code_dim < _RANKED_DIM:
        return False
    if codebook.device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return codebook.device.type == "cpu" and _CPU_RANKS


def _rows_per_block(z: Tensor, codes: Tensor, n_bytes: int) -> int:
    """Tokens per table of products with all codes, each of ``n_bytes``."""
    device = _CPU if z.device.type == "cpu" else z.device.type
    size = _TABLE.get(device, _TABLE["cuda"])
    return max(1, min(4 // n_bytes * size // len(codes), len(z)))


def _search(z: Tensor, codes: Tensor, half_norm: Tensor, out: Tensor) -> None:
    """Write the nearest codes of ``(n_tokens, code_dim)`` vectors, from a table in float32."""
    rows = _rows_per_block(z, codes, 4)
    # Fresh memory for every product would cost more than finding its minima.
    table = z.new_empty(rows, len(codes))
    for block, best in zip(z.split(rows), out.split(rows), strict=True):
        distance = table[: len(block)]
        torch.addmm(half_norm, block, codes.T, alpha=-1, out=distance)
        torch.argmin(distance, -1, out=best)


def _search_ranked(z: Tensor, codes: Tensor, half_norm: Tensor, out: Tensor) -> None:
    """Write the same codes: find candidates in bfloat16 and compare these exactly.

    With unit roundoff ``u = 2**-9``, rounded factors change ``z.e`` by less than ``(2 u + u^2)
    |z| |e|`` (Cauchy-Schwarz), and the rounded product by ``u`` of itself. What is within twice
    the bound of the best product in bfloat16 can be nearest, and nothing else. Lengths of codes
    that differ widen the bound.
    """
    rows = _rows_per_block(z, codes, 2)
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
