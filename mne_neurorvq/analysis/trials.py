# License: BSD-3-Clause
"""Signals of trials, and trials with other signals, whatever holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def signals_of(name: str, X: Any, ch_names: Sequence[str] | None = None) -> NDArray[np.float64]:
    """Copy the signals of trials.

    Parameters
    ----------
    name : str
        Name of X in errors.
    X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times)
        Trials. An array of two axes holds trials of one channel.
    ch_names : sequence of str | None
        The channels to take of Epochs, and those that an array must have; None takes all.

    Returns
    -------
    ndarray, shape (n_trials, n_channels, n_times)
        Signals in the unit of X: volts for Epochs.

    Raises
    ------
    TypeError
        If X is something else.
    ValueError
        If a channel is not there, or samples are NaN or infinite.
    """
    parts = _epochs_of(X)
    if parts is None:
        signals = np.array(X) if isinstance(X, (np.ndarray, list, tuple)) else np.array(None)
        if signals.dtype.kind not in "iuf":
            raise TypeError(
                f"{name} is {type(X).__name__}: Epochs, a list of Epochs or an array of real "
                "numbers is needed"
            )
        signals = signals[:, None] if signals.ndim == 2 else signals
        signals = checked_signals(name, signals.astype(float, copy=False))
        if ch_names is not None and signals.shape[1] != len(ch_names):
            raise ValueError(
                f"{name} has {signals.shape[1]} channels, but the tokens have {len(ch_names)}: "
                "pass those channels in the order of tokens.ch_names"
            )
        return signals
    for part in parts:
        missing = [channel for channel in ch_names or () if channel not in part.ch_names]
        if missing:
            raise ValueError(f"{name} lacks the channel {missing[0]!r}")
    picks = None if ch_names is None else list(ch_names)
    return checked_signals(name, np.concatenate([part.get_data(picks=picks) for part in parts]))


def paired_signals(
    original: Any, reconstruction: Any, sfreq: float | None
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Signals of trials and of their reconstruction, channel by channel.

    Parameters
    ----------
    original, reconstruction : Epochs | list of Epochs | array
        Trials; of Epochs the channels that the reconstruction has are taken, by name.
    sfreq : float | None
        Sampling rate in Hz; Epochs know theirs.

    Returns
    -------
    original, reconstruction : ndarray, shape (n_trials, n_channels, n_times)
        Signals in the same unit.
    sfreq : float
        Their sampling rate in Hz.

    Raises
    ------
    TypeError
        If one holds Epochs and the other an array, or an array comes without its rate.
    ValueError
        If rates, shapes or channels do not agree, or samples are NaN or infinite.
    """
    both = {"original": _epochs_of(original), "reconstruction": _epochs_of(reconstruction)}
    held = [parts for parts in both.values() if parts is not None]
    if not held:
        if sfreq is None:
            raise TypeError("sfreq is missing: arrays need it, only Epochs know it")
        pair = [checked_signals("original", original)]
        pair.append(checked_signals("reconstruction", reconstruction))
    elif len(held) == 1:
        name = next(name for name, parts in both.items() if parts is None)
        raise TypeError(f"{name} is no Epochs, but the other is: pass two Epochs, or two arrays")
    else:
        rates = {float(part.info["sfreq"]) for parts in held for part in parts}
        rates |= set() if sfreq is None else {float(sfreq)}
        if len(rates) > 1:
            raise ValueError(f"the sampling rates must agree, got {sorted(rates)} Hz")
        (sfreq,) = rates
        names = held[1][0].ch_names
        pair = [signals_of(name, parts, names) for name, parts in both.items()]
    if pair[0].shape != pair[1].shape:
        raise ValueError(
            f"original and reconstruction must have the same shape, got {pair[0].shape} and "
            f"{pair[1].shape}"
        )
    return pair[0], pair[1], float(sfreq)


def with_signals(X: Any, signals: NDArray[np.float64]) -> Any:
    """Make trials like X with other signals.

    Parameters
    ----------
    X : Epochs | list of Epochs | array
        Trials, see :func:`signals_of`.
    signals : ndarray, shape (n_trials, n_channels, n_times)
        Signals of all its channels, in its unit.

    Returns
    -------
    Epochs | list of Epochs | ndarray
        Of the kind and with the names, times and events of X.
    """
    parts = _epochs_of(X)
    if parts is None:
        return signals.reshape(np.shape(X))
    filled, start = [], 0
    for part in parts:
        loaded = part.copy().load_data()
        filled.append(_filled(loaded, signals[start : start + len(loaded)]))
        start += len(loaded)
    return filled if isinstance(X, (list, tuple)) else filled[0]


def checked_signals(name: str, signals: Any) -> NDArray[Any]:
    """Make an array of finite trials, or raise and say where they are not.

    Parameters
    ----------
    name : str
        Name of the signals in errors.
    signals : array-like
        Signals.

    Returns
    -------
    ndarray, shape (n_trials, n_channels, n_times)
        The same signals.

    Raises
    ------
    ValueError
        If the shape is another, or samples are NaN or infinite.
    """
    signals = np.asarray(signals)
    if signals.ndim != 3 or 0 in signals.shape or signals.dtype.kind not in "iuf":
        raise ValueError(
            f"{name} must be real numbers of shape (n_trials, n_channels, n_times), none of them "
            f"zero, got dtype {signals.dtype} and shape {signals.shape}"
        )
    for number, trial in enumerate(signals):
        finite = np.isfinite(trial).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"{name} has NaN or infinite samples in trial {number}, channel "
                f"{int(np.argmin(finite))}: drop the trial or interpolate the channel"
            )
    return signals


def nanmean(values: NDArray[np.floating], axis: int = -1) -> NDArray[np.floating]:
    """Mean over an axis without NaN; NaN (and no warning) where nothing is left."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(axis=axis) / defined.sum(axis=axis)


def _epochs_of(X: Any) -> list[Any] | None:
    """Epochs as a list, recognised by what they can do: MNE is not needed for arrays."""
    parts = list(X) if isinstance(X, (list, tuple)) else [X]
    # A view of Epochs makes Epochs of itself.
    parts = [part.to_epochs() if hasattr(part, "to_epochs") else part for part in parts]
    known = [hasattr(part, "get_data") and hasattr(part, "events") for part in parts]
    return parts if len(parts) and all(known) else None


def _filled(epochs: Any, signals: NDArray[np.float64]) -> Any:
    return epochs.apply_function(lambda _: signals, picks="all", channel_wise=False)
