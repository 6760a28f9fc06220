# License: BSD-3-Clause
"""From values per channel and patch to one row per trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .._warnings import warn
from ..signals import Segmentation

Pool = Literal["mean", "channel", "time", "thirds", "none"]
POOLS: tuple[Pool, ...] = get_args(Pool)
#: What a user may call a pooling: by what is averaged over, by what is kept, or by default.
PoolName = Literal["auto", "mean", "channel", "time", "thirds", "none", "keep_channels"]
POOL_NAMES: tuple[PoolName, ...] = get_args(PoolName)
_MANY_COLUMNS = 1_000_000

# The default, thirds elsewhere. Features of trained models, on people of whom nothing else is
# measured: of muscles, thirds tell movements apart no better than whole windows (.915 and .913;
# BioCodec .719 and .748), averages over muscles worse; of hearts, neither thirds (.691) nor leads
# (.694) tell more of diagnoses than averages (.705).
POOL_OF_FEATURES: dict[str, Pool] = {"emg": "time", "ecg": "mean"}


def pool_embedding(
    features: NDArray[np.floating], plan: Segmentation, pool: Pool
) -> NDArray[np.floating]:
    """Average ``(n_trials, n_channels, n_patches, n_features)`` and flatten what is left.

    >>> x = np.arange(12.0).reshape(1, 2, 3, 2)
    >>> plan = Segmentation(n_times=600, patch_size=200, segments=(3,))
    >>> pool_embedding(x, plan, "mean")
    array([[5., 6.]])
    >>> pool_embedding(x, plan, "time").shape
    (1, 4)
    """
    if pool in ("mean", "time"):
        share = (plan.weights / plan.weights.sum()).astype(features.dtype)
        features = np.einsum("ncpf,p->ncf", features, share)
    elif pool == "thirds":
        features = np.einsum("ncpf,tp->nctf", features, plan.thirds.astype(features.dtype))
    if pool in ("mean", "channel"):
        features = features.mean(axis=1)
    return features.reshape(len(features), -1)


def pool_histogram(
    codes: NDArray[np.integer], n_codes: int, plan: Segmentation, pool: Pool
) -> NDArray[np.float32]:
    """Count the codes ``(n_trials, n_channels, n_patches, n_codebooks, n_levels)``.

    Shares, of which those of one codebook and level sum to one, in columns in the order
    (channel,) (patch or third,) codebook, level, code.

    >>> codes = np.array([0, 2, 2]).reshape(1, 1, 3, 1, 1)
    >>> plan = Segmentation(n_times=600, patch_size=200, segments=(3,))
    >>> pool_histogram(codes, 4, plan, "mean").round(2)
    array([[0.33, 0.  , 0.67, 0.  ]], dtype=float32)
    """
    n_trials, n_channels, n_patches, *books = codes.shape
    kept = (n_channels if pool in ("time", "thirds") else 1, n_patches if pool == "channel" else 1)
    channel, patch, book, level = np.ogrid[tuple(slice(n) for n in codes.shape[1:])]
    places = (np.minimum(channel, kept[0] - 1), np.minimum(patch, kept[1] - 1), book, level)
    first = np.ravel_multi_index(np.broadcast_arrays(*places), (*kept, *books)) * n_codes
    n_columns = int(np.prod((*kept, *books))) * n_codes
    parts = []
    for weights in plan.thirds if pool == "thirds" else [plan.weights]:
        share = np.broadcast_to(weights[:, None, None], codes.shape[1:]).ravel()
        counts = np.stack([np.bincount((first + one).ravel(), share, n_columns) for one in codes])
        shares = counts.reshape(-1, n_codes)
        shares = shares / shares.sum(axis=-1, keepdims=True)
        parts.append(shares.reshape(n_trials, kept[0], -1).astype(np.float32))
    found = parts[0] if len(parts) == 1 else np.stack(parts, axis=2)
    return found.reshape(n_trials, -1)


def warn_of_columns(
    output: str, pool: Pool, n_channels: int, n_patches: int, n_values: int
) -> None:
    """Warn of far more columns than a classifier learns from; ``n_values`` are those of a patch."""
    axes = {"channels": n_channels} if pool in ("time", "thirds", "none") else {}
    axes |= {"patches": n_patches} if pool in ("channel", "none") else {}
    axes |= {"thirds": 3} if pool == "thirds" else {}
    n_columns = math.prod(axes.values()) * n_values
    if output != "tokens" and n_columns > _MANY_COLUMNS:
        of = " x ".join(f"{size} {axis}" for axis, size in axes.items())
        warn(
            f"output={output!r} with pool={pool!r} gives {n_columns:,} columns, "
            f"{4e-6 * n_columns:.0f} MB a trial: {of} x {n_values:,} values. pool='mean' gives "
            f"{n_values:,}."
        )


def column_names(
    pool: Pool, ch_names: tuple[str, ...], n_patches: int, ending: list[str]
) -> NDArray[np.object_]:
    """Name the columns that pooling leaves, for example ``Cz_patch0_scale1_17``.

    ``ending`` are the names of the values of one patch.
    """
    channels = [f"{name}_" for name in ch_names] if pool in ("time", "thirds", "none") else [""]
    kept = {"channel": ("patch", n_patches), "none": ("patch", n_patches), "thirds": ("third", 3)}
    of_time, n_times = kept.get(pool, ("", 0))
    times = [f"{of_time}{i}_" for i in range(n_times)] or [""]
    return np.array([c + t + e for c in channels for t in times for e in ending], dtype=object)


def vectors_of(
    codes: NDArray[np.integer], tables: Sequence[NDArray[np.float32]], *, summed: bool
) -> NDArray[np.floating]:
    """Look up the vectors of the levels of codes ``(n_trials, n_channels, n_patches, n_levels)``.

    The vectors of several levels are summed, or stand one behind the other.
    """
    vectors = (table[codes[..., level]] for level, table in enumerate(tables))
    return reduce(np.add, vectors) if summed else np.concatenate(list(vectors), axis=-1)
