# License: BSD-3-Clause
"""Arrays of signals: what converts to one, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse


def as_array(X: Any) -> NDArray[Any]:
    """Convert X to an array of real numbers with two or three axes.

    Parameters
    ----------
    X : array_like | list of (array, target, indices)
        An array, what NumPy converts to one, or windows of a braindecode dataset.

    Returns
    -------
    data : array, shape (n_trials, n_times) or (n_trials, n_channels, n_times)
        The signals; no copy if X is an array of numbers.

    Raises
    ------
    TypeError
        If X is sparse or holds objects that are no numbers.
    ValueError
        If X is ragged, complex, not numeric, has masked samples or another number of axes.
    """
    if issparse(X):
        raise TypeError("Sparse data was passed, but dense data is required: use X.toarray().")
    if isinstance(X, (list, tuple)) and X and all(_is_window(item) for item in X):
        X = [item[0] for item in X]
    if np.ma.is_masked(X):
        trial = int(np.argwhere(np.ma.getmaskarray(X))[0][0])
        raise ValueError(
            f"X has masked samples, the first in trial {trial}: NumPy would take what the mask "
            "hides for signal. Drop those trials or fill the gaps."
        )
    try:
        data = np.asarray(X)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"X ({type(X).__name__}) cannot be made an array: {error}. Pass Epochs, an array "
            "(n_trials, n_channels, n_times), or a list of trials of equal shape."
        ) from error
    check_real(data)
    if data.dtype.kind == "O":
        data = data.astype(np.float64)
    if data.dtype.kind not in "biuf":
        raise ValueError(f"X has values of type {data.dtype}: numbers are needed.")
    if data.ndim not in (2, 3):
        raise ValueError(
            f"Expected 2D array or 3D array, got {data.ndim}D array instead: pass X of shape "
            "(n_trials, n_channels, n_times), or (n_trials, n_times) for a single channel. "
            "Reshape your data using X.reshape(1, -1) if it is a single trial of one channel."
        )
    return data


def check_real(data: NDArray[Any]) -> None:
    """Raise if data are complex.

    Parameters
    ----------
    data : array
        Signals.

    Raises
    ------
    ValueError
        If so.
    """
    if np.iscomplexobj(data):
        raise ValueError("Complex data not supported: pass the real signals.")


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise if there are no trials, channels or samples.

    Parameters
    ----------
    shape : tuple of int
        (n_trials, n_times) or (n_trials, n_channels, n_times).

    Raises
    ------
    ValueError
        Naming the axis that is empty.
    """
    # scikit-learn's words for trials and columns, which its own checks look for.
    words = ("sample(s)", *["channel(s)"] * (len(shape) - 2), "feature(s)")
    for count, what in zip(shape, words, strict=True):
        if count < 1:
            raise ValueError(
                f"Found array with 0 {what} (shape={shape}) while a minimum of 1 is required. X "
                "needs trials, channels and samples."
            )


def _is_window(item: Any) -> bool:
    """Whether this is one ``(X, y, indices)`` of a braindecode dataset."""
    return isinstance(item, tuple) and len(item) in (3, 4) and getattr(item[0], "ndim", 0) == 2
