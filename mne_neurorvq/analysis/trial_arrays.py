# License: BSD-3-Clause
"""From Epochs or arrays to signals ``(n_trials, n_channels, n_times)``, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def signals_of(name: str, X: Any, ch_names: Sequence[str] | None = None) -> NDArray[np.float64]:
    """Copy the signals of trials in their own unit; of Epochs, take the channels `ch_names`."""
    parts = _epochs_of(X)
    if parts is None:
        signals = np.array(X) if isinstance(X, (np.ndarray, list, tuple)) else np.array(None)
        if signals.dtype.kind not in "iuf":
            raise TypeError(
                f"{name} is {type(X).__name__}: Epochs, a list of Epochs or an array of real "
                "numbers is needed"
            )
        signals = signals[:, None] if signals.ndim == 2 else signals
        signals = _checked(name, signals.astype(float, copy=False))
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
    return _checked(name, np.concatenate([part.get_data(picks=picks) for part in parts]))


def signals_with_rate(name: str, X: Any, sfreq: float | None) -> tuple[NDArray[Any], float]:
    """Signals of trials in their own unit, and their sampling rate."""
    parts = _epochs_of(X)
    sfreq = _rate_of(parts or [], sfreq)
    if parts is None:
        return _checked(name, X), sfreq
    return signals_of(name, parts, parts[0].ch_names), sfreq


def paired_signals(
    original: Any, reconstruction: Any, sfreq: float | None
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Signals of both, of the channels of the reconstruction, and their sampling rate."""
    both = {"original": _epochs_of(original), "reconstruction": _epochs_of(reconstruction)}
    held = [parts for parts in both.values() if parts is not None]
    if not held:
        sfreq = _rate_of([], sfreq)
        pair = [_checked("original", original), _checked("reconstruction", reconstruction)]
    elif len(held) == 1:
        name = next(name for name, parts in both.items() if parts is None)
        raise TypeError(f"{name} is not Epochs, but the other is: pass two Epochs, or two arrays")
    else:
        sfreq = _rate_of([part for parts in held for part in parts], sfreq)
        check_references(*held)
        names = held[1][0].ch_names
        pair = [signals_of(name, parts, names) for name, parts in both.items()]
    if pair[0].shape != pair[1].shape:
        raise ValueError(
            f"original and reconstruction must have the same shape, got {pair[0].shape} and "
            f"{pair[1].shape}"
        )
    return pair[0], pair[1], sfreq


def check_references(original: Any, reconstruction: Any) -> None:
    """Raise if the second of two Epochs, or lists of them, was brought to another reference."""
    both = [_epochs_of(X) for X in (original, reconstruction)]
    if None in both:
        return
    of_original, of_other = (
        {int(part.info["custom_ref_applied"]) for part in parts or ()} for parts in both
    )
    if of_other - {0} - of_original:
        raise ValueError(
            "the reconstruction is in another reference than the original (custom_ref_applied): "
            "compare it with mne_neurorvq.signals.set_reference(epochs, transformer.reference_), "
            "which is what the model was given"
        )


def with_signals(X: Any, signals: NDArray[np.float64]) -> Any:
    """Copy trials of any kind with other signals ``(n_trials, n_channels, n_times)``."""
    parts = _epochs_of(X)
    if parts is None:
        return signals.reshape(np.shape(X))
    filled, start = [], 0
    for part in parts:
        loaded = part.copy().load_data()
        filled.append(_filled(loaded, signals[start : start + len(loaded)]))
        start += len(loaded)
    return filled if isinstance(X, (list, tuple)) else filled[0]


def nanmean(values: NDArray[np.floating], axis: int = -1) -> NDArray[np.floating]:
    """Mean over an axis without NaN; NaN (and no warning) where nothing is left."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(axis=axis) / defined.sum(axis=axis)


def _rate_of(parts: Sequence[Any], sfreq: float | None) -> float:
    """Find the sampling rate that Epochs, if there are any, and a given one agree on."""
    rates = {float(part.info["sfreq"]) for part in parts}
    rates |= set() if sfreq is None else {float(sfreq)}
    if not rates:
        raise TypeError("sfreq is missing: arrays need it, only Epochs know it")
    if len(rates) > 1:
        raise ValueError(f"the sampling rates must agree, got {sorted(rates)} Hz")
    return rates.pop()


def _checked(name: str, signals: Any) -> NDArray[Any]:
    """Return an array of finite trials, or raise and say where samples are not finite."""
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


def _epochs_of(X: Any) -> list[Any] | None:
    """List of Epochs, or None for arrays; recognised by their methods, without importing MNE."""
    parts = list(X) if isinstance(X, (list, tuple)) else [X]
    parts = [part.to_epochs() if hasattr(part, "to_epochs") else part for part in parts]
    known = [hasattr(part, "get_data") and hasattr(part, "events") for part in parts]
    return parts if parts and all(known) else None


def _filled(epochs: Any, signals: NDArray[np.float64]) -> Any:
    return epochs.apply_function(lambda _: signals, picks="all", channel_wise=False)
