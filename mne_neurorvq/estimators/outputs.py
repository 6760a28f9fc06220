# License: BSD-3-Clause
"""From signals back to Epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from ..tokens import Tokens


def as_epochs(
    data: NDArray[np.floating], tokens: Tokens, *, ch_type: str, info: mne.Info | None = None
) -> mne.EpochsArray:
    """Put decoded signals back into Epochs.

    Parameters
    ----------
    data : ndarray, shape (n_trials, n_channels, n_times)
        Signals in volts.
    tokens : Tokens
        Names, times, events and metadata.
    ch_type : str
        MNE type of the channels when ``info`` is not known.
    info : mne.Info | None
        Measurement information of the channels, with their positions.

    Returns
    -------
    mne.EpochsArray
        The signals.
    """
    if info is None:
        info = mne.create_info(list(tokens.ch_names), tokens.sfreq, ch_type)
    events, event_id = tokens.events, tokens.event_id
    if events is not None:
        events = _distinct(events, tokens.n_times)
        present = set(events[:, 2].tolist())
        event_id = {name: code for name, code in (event_id or {}).items() if code in present}
    return mne.EpochsArray(
        data,
        info,
        events=events,
        tmin=tokens.tmin,
        event_id=event_id or None,
        metadata=tokens.metadata,
        baseline=None,
        proj=False,
        verbose="error",
    )


def _distinct(events: NDArray[Any], n_times: int) -> NDArray[Any]:
    """Renumber the samples of events that Epochs of several recordings have in common."""
    if len(np.unique(events[:, 0])) == len(events):
        return events
    events = events.copy()
    events[:, 0] = np.arange(len(events)) * n_times
    return events


def first_info(X: Any, ch_names: Sequence[str]) -> mne.Info | None:
    """Measurement information of some channels of Epochs.

    Parameters
    ----------
    X : object
        Epochs, a list of Epochs, or anything else.
    ch_names : sequence of str
        Channels to keep.

    Returns
    -------
    mne.Info | None
        Of the first Epochs; None if X is something else.
    """
    if isinstance(X, (list, tuple)) and len(X):
        X = X[0]
    if not isinstance(X, mne.BaseEpochs):
        return None
    return mne.pick_info(X.info, [X.ch_names.index(name) for name in ch_names])
