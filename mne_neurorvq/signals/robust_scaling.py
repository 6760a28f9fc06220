# License: BSD-3-Clause
"""Bringing signals of any amplitude to one scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# A spread below this many roundings of the largest value is rounding, not signal.
_ROUNDINGS = 100


def robust_scale(
    data: NDArray[np.floating[Any]],
) -> tuple[NDArray[np.floating[Any]], NDArray[np.float64], NDArray[np.float64]]:
    """Subtract the median of each signal and divide by its interquartile range.

    This is how BioCodec was trained (arXiv 2510.09095). Gain and offset of the signals do not
    change the result.

    Parameters
    ----------
    data : array, shape (..., n_times)
        Signals in any unit.

    Returns
    -------
    scaled : array, shape (..., n_times)
        Signals without unit, in the precision of ``data``; zeros where a signal is constant.
    centre : array, shape (...)
        Median of each signal.
    scale : array, shape (...)
        Interquartile range of each signal; the standard deviation where that is zero, 0 where the
        signal is constant. ``scaled * scale + centre`` restores the signals.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.signals import robust_scale
    >>> robust_scale(np.array([[2.0, 4.0, 6.0, 8.0, 100.0]]))
    (array([[-1. , -0.5,  0. ,  0.5, 23.5]]), array([6.]), array([4.]))
    """
    centre, scale = robust_statistics(data)
    return scale_by(data, centre, scale), centre, scale


def robust_statistics(
    data: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give median and interquartile range of signals (..., n_times), weighted by sample if asked.

    The scale is the standard deviation where the range is zero, and 0 where the signal is constant
    but for rounding. Weighted quartiles are values of samples; unweighted ones are interpolated.
    """
    quartiles = (0.25, 0.5, 0.75)
    if weights is None:
        low, centre, high = np.quantile(data, quartiles, axis=-1)
    else:
        data, weights = data[..., weights > 0], weights[weights > 0]
        low, centre, high = np.quantile(
            data, quartiles, axis=-1, weights=weights, method="inverted_cdf"
        )
    scale = (high - low).astype(np.float64)
    least = _ROUNDINGS * np.finfo(data.dtype).eps * np.abs(data).max(axis=-1)
    if (scale <= least).any():
        wide = data.astype(np.float64)
        mean = np.average(wide, axis=-1, weights=weights, keepdims=True)
        deviation = np.sqrt(np.average((wide - mean) ** 2, axis=-1, weights=weights))
        scale = np.where(scale > least, scale, np.where(deviation > least, deviation, 0.0))
    return centre.astype(np.float64), scale


def scale_by(
    data: NDArray[np.floating[Any]],
    centre: NDArray[np.floating[Any]],
    scale: NDArray[np.floating[Any]],
) -> NDArray[np.floating[Any]]:
    """Subtract a centre from each signal (..., n_times), divide by a scale; zeros where it is 0."""
    divisor = np.where(scale > 0, scale, np.inf)
    return ((data - centre[..., None]) / divisor[..., None]).astype(data.dtype)
