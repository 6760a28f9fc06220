# License: BSD-3-Clause
"""From values per channel and patch to one row per trial."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Pool = Literal["mean", "channel", "time", "none"]
POOLS: tuple[Pool, ...] = get_args(Pool)
#: What a user may call a pooling: by what is averaged over, or by what is kept.
PoolName = Literal["mean", "channel", "time", "none", "keep_channels"]
POOL_NAMES: tuple[PoolName, ...] = get_args(PoolName)


def find_pool(name: PoolName) -> Pool:
    """Find the pooling of a name.

    Parameters
    ----------
    name : "mean" | "channel" | "time" | "none" | "keep_channels"
        What the user calls it.

    Returns
    -------
    "mean" | "channel" | "time" | "none"
        By what is averaged over.
    """
    return "time" if name == "keep_channels" else name


def pool_embedding(
    features: NDArray[np.floating], weights: NDArray[np.floating], pool: Pool
) -> NDArray[np.floating]:
    """Average over channels, patches, both or neither, and flatten.

    Parameters
    ----------
    features : ndarray, shape (n_trials, n_channels, n_patches, n_features)
        Embedding of every patch.
    weights : ndarray, shape (n_patches,)
        What each patch adds to the window, see :class:`~mne_neurorvq.signals.Segmentation`.
    pool : "mean" | "channel" | "time" | "none"
        Average over channels and patches, over channels, over patches, or not at all.

    Returns
    -------
    ndarray, shape (n_trials, n_columns)
        The axes left, flattened in order.

    Examples
    --------
    >>> x = np.arange(12.0).reshape(1, 2, 3, 2)
    >>> pool_embedding(x, np.ones(3), "mean")
    array([[5., 6.]])
    >>> pool_embedding(x, np.ones(3), "time").shape
    (1, 4)
    """
    if pool in ("mean", "time"):
        share = (weights / weights.sum()).astype(features.dtype)
        features = np.einsum("ncpf,p->ncf", features, share)
    if pool in ("mean", "channel"):
        features = features.mean(axis=1)
    return features.reshape(len(features), -1)


def pool_histogram(
    codes: NDArray[np.integer], n_codes: int, weights: NDArray[np.floating], pool: Pool
) -> NDArray[np.float32]:
    """Count how often each code is used.

    Parameters
    ----------
    codes : ndarray of int, shape (n_trials, n_channels, n_patches, n_codebooks, n_levels)
        Codes.
    n_codes : int
        Codes per codebook and level.
    weights : ndarray, shape (n_patches,)
        What each patch adds to the window.
    pool : "mean" | "channel" | "time"
        Count over channels and patches, over channels, or over patches.

    Returns
    -------
    ndarray of float32, shape (n_trials, n_columns)
        Shares: those of one codebook and level sum to one. Columns in the order
        (channel,) (patch,) codebook, level, code.

    Examples
    --------
    >>> codes = np.array([0, 2, 2]).reshape(1, 1, 3, 1, 1)
    >>> pool_histogram(codes, 4, np.ones(3), "mean").round(2)
    array([[0.33, 0.  , 0.67, 0.  ]], dtype=float32)
    """
    _, n_channels, n_patches, *books = codes.shape
    kept = (n_channels if pool == "time" else 1, n_patches if pool == "channel" else 1)
    channel, patch, book, level = np.ogrid[tuple(slice(n) for n in codes.shape[1:])]
    places = (np.minimum(channel, kept[0] - 1), np.minimum(patch, kept[1] - 1), book, level)
    first = np.ravel_multi_index(np.broadcast_arrays(*places), (*kept, *books)) * n_codes
    share = np.broadcast_to(weights[:, None, None], codes.shape[1:]).ravel()
    n_columns = int(np.prod((*kept, *books))) * n_codes
    counts = np.stack([np.bincount((first + one).ravel(), share, n_columns) for one in codes])
    shares = counts.reshape(-1, n_codes)
    shares = shares / shares.sum(axis=-1, keepdims=True)
    return shares.reshape(len(codes), -1).astype(np.float32)


def column_names(
    pool: Pool, ch_names: tuple[str, ...], n_patches: int, ending: list[str]
) -> NDArray[np.object_]:
    """Names of the columns that pooling leaves.

    Parameters
    ----------
    pool : "mean" | "channel" | "time" | "none"
        Pooling.
    ch_names : tuple of str
        Channels.
    n_patches : int
        Patches of a window.
    ending : list of str
        Names of the values of one patch.

    Returns
    -------
    ndarray of object, shape (n_columns,)
        For example ``Cz_patch0_scale1_17``.
    """
    channels = [f"{name}_" for name in ch_names] if pool in ("time", "none") else [""]
    patches = (
        [f"patch{patch}_" for patch in range(n_patches)] if pool in ("channel", "none") else [""]
    )
    return np.array([c + p + e for c in channels for p in patches for e in ending], dtype=object)
