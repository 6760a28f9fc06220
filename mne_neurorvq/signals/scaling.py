# License: BSD-3-Clause
"""Bringing signals of any amplitude to one scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def robust_scale(
    data: NDArray[np.floating[Any]],
) -> tuple[NDArray[np.floating[Any]], NDArray[np.float64], NDArray[np.float64]]:
    """Subtract the median of each signal and divide by its interquartile range.

    That is what BioCodec was trained on. Another gain or offset of the signals changes nothing
    of the result.

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
        Interquartile range of each signal; the standard deviation where that is zero, 1 where
        that is zero too. ``scaled * scale + centre`` are the signals again.

    References
    ----------
    BioCodec (2025, arXiv 2510.09095), whose code scales each channel of a recording so.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.signals import robust_scale
    >>> scaled, centre, scale = robust_scale(np.array([[2.0, 4.0, 6.0, 8.0, 100.0]]))
    >>> scaled, centre, scale
    (array([[-1. , -0.5,  0. ,  0.5, 23.5]]), array([6.]), array([4.]))
    """
    low, centre, high = np.percentile(data, (25, 50, 75), axis=-1)
    scale = high - low
    if not scale.all():
        deviation = np.std(data, axis=-1, dtype=np.float64)
        scale = np.where(scale > 0, scale, np.where(deviation > 0, deviation, 1.0))
    scaled = (data - centre[..., None]) / scale[..., None]
    return scaled.astype(data.dtype), centre.astype(np.float64), scale.astype(np.float64)
