# License: BSD-3-Clause
"""Checks of the parts of tokens: each returns its part in the form in which it is held."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

# Codes are held as int32 at most.
MOST_CODES = 2**31

_SELECTORS = "trials are selected by an integer, a slice, or a 1-D array of integers or booleans"


def rows(item: Any, n_trials: int) -> np.ndarray:
    """Return the positions of the trials that an index selects."""
    trials = np.arange(n_trials)
    if isinstance(item, slice):
        return trials[item]
    # A column of a table as well, such as tokens.metadata["subject"] == "S001".
    as_list = isinstance(item, (list, range)) or hasattr(item, "to_numpy")
    index = np.asarray(item) if as_list else item
    if isinstance(index, np.ndarray) and index.ndim:
        if not index.size and not isinstance(item, np.ndarray):
            index = index.astype(int)  # NumPy takes an empty list for floats
        if index.ndim != 1 or index.dtype.kind not in "biu":
            raise IndexError(f"{_SELECTORS}, got dtype {index.dtype} and shape {index.shape}")
        return trials[index]
    try:
        position = operator.index(index)
    except TypeError:
        raise IndexError(f"{_SELECTORS}, got {item!r}") from None
    if isinstance(item, bool) or not -n_trials <= position < n_trials:
        raise IndexError(f"trial {item} is not one of the {n_trials} trials")
    return trials[[position]]


def integer(name: str, value: Any, lowest: int | None = None, highest: int = 2**63 - 1) -> int:
    """Return a Python integer within bounds."""
    try:
        result = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if lowest is not None and result < lowest:
        raise ValueError(f"{name} must be at least {lowest}, got {result}")
    if result > highest:
        raise ValueError(f"{name} must be at most {highest}, got {result:.3g}")
    return result


def number(name: str, value: Any, *, positive: bool) -> float:
    """Return a finite Python float."""
    try:
        result = float(value)
    except OverflowError:  # of a larger integer
        result = np.inf
    if not np.isfinite(result) or (positive and result <= 0):
        raise ValueError(f"{name} must be a {'positive ' * positive}finite number, got {value!r}")
    return result


def text(name: str, value: Any) -> str | None:
    """Return a string or None."""
    if not isinstance(value, (str, type(None))):
        raise TypeError(f"{name} must be a string or None, got {value!r}")
    return value


def names(name: str, values: Any) -> tuple[str, ...]:
    """Return a tuple of Python strings."""
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{name} must be a sequence of strings, got {values!r}")
    return tuple(str(value) for value in values)


def codes(values: Any, n_codes: int, axes: tuple[str, ...]) -> np.ndarray:
    """Return contiguous signed codes of five axes, each from 0 to n_codes - 1."""
    values = np.asarray(values)
    if values.ndim != len(axes) or 0 in values.shape[1:]:
        raise ValueError(
            f"codes must have the axes {axes}, of which only the first may be empty, got shape "
            f"{values.shape}"
        )
    if values.dtype.kind not in "iu":
        raise TypeError(f"codes must be integers, got dtype {values.dtype}")
    if values.size and (values.min() < 0 or values.max() >= n_codes):
        place = np.unravel_index(np.argmax((values < 0) | (values >= n_codes)), values.shape)
        where = ", ".join(f"{axis} {int(i)}" for axis, i in zip(axes, place, strict=True))
        raise ValueError(
            f"codes must be from 0 to {n_codes - 1} (n_codes={n_codes}), got {values[place]} at "
            f"{where}"
        )
    return np.ascontiguousarray(values, np.int16 if n_codes <= 2**15 else np.int32)


def side(
    values: Any, n_trials: int, n_segments: int, n_channels: int, n_patches: int
) -> np.ndarray:
    """Return finite side information as float32: of segments, of channels, or of patches."""
    with np.errstate(over="ignore"):  # found below, with its place
        values = np.ascontiguousarray(values, np.float32)
    shapes = ((n_segments,), (n_channels,), (n_channels, n_patches))
    if values.ndim < 3 or values.shape[0] != n_trials or values.shape[1:-1] not in shapes:
        raise ValueError(
            f"side must have shape (n_trials={n_trials}, n_segments={n_segments}, n_side), "
            f"(n_trials, n_channels={n_channels}, n_side) or "
            f"(n_trials, n_channels, n_patches={n_patches}, n_side), got {values.shape}"
        )
    if not np.isfinite(values).all():
        trial, place = np.argwhere(~np.isfinite(values))[0][:2]
        of = "segment" if values.shape[1:-1] == (n_segments,) else "channel"
        raise ValueError(
            f"side has a NaN or infinite value (as float32) in trial {trial}, {of} {place}"
        )
    return values


def events(values: Any, n_trials: int) -> np.ndarray | None:
    """Return events as int64."""
    if values is None:
        return None
    values = np.asarray(values)
    if not values.size and values.dtype == float:  # NumPy takes an empty list for floats
        values = values.reshape(-1, 3).astype(int)
    if values.shape != (n_trials, 3) or values.dtype.kind not in "iu":
        raise ValueError(
            f"events must be integers of shape (n_trials={n_trials}, 3), got dtype {values.dtype} "
            f"and shape {values.shape}"
        )
    return values.astype(np.int64)


def event_id(values: Any) -> dict[str, int] | None:
    """Return a dict from names to event codes."""
    if values is None:
        return None
    labels = names("the keys of event_id", tuple(values))
    return {label: integer(f"event_id[{label!r}]", values[label]) for label in labels}
