# License: BSD-3-Clause
"""From signals back to Epochs."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import mne
import numpy as np
from mne.utils import logger
from numpy.typing import NDArray

from ..signals import EpochsView, Splines
from ..signals.bands import stated_band, widest_band
from ..signals.names import order_by_name
from ..tokens import Tokens
from ..weights import LoadedModel

# What is true of sites that are computed as well as of the recording.
_KEPT = (
    *("highpass", "lowpass", "line_freq", "meas_date", "subject_info", "description"),
    *("experimenter", "custom_ref_applied"),
)


def check_origin(tokens: object, model: str, loaded: LoadedModel) -> None:
    """Raise unless tokens come from a certain model.

    Parameters
    ----------
    tokens : Tokens
        What a user wants to decode.
    model : str
        Name or path of the model.
    loaded : LoadedModel
        What was loaded under this name.

    Raises
    ------
    TypeError
        If these are no tokens.
    ValueError
        If they come from another model, or hold no trial.
    """
    if not isinstance(tokens, Tokens):
        raise TypeError(f"tokens is {type(tokens).__name__}: Tokens are needed (see tokenize).")
    revision, config = loaded.revision, loaded.config
    if (tokens.model, tokens.revision) != (model, revision):
        raise ValueError(
            f"the tokens were made by pretrained={tokens.model!r}, revision={tokens.revision!r}, "
            f"but this is pretrained={model!r}, revision={revision!r}: codes mean nothing to "
            "another model. If it is the same model in another place, say so with "
            "dataclasses.replace(tokens, model=..., revision=...)."
        )
    for name, ours in (
        ("n_codes", config.quantizer.n_codes),
        ("patch_size", config.patch_size),
        ("model_sfreq", config.sfreq),
    ):
        if getattr(tokens, name) != ours:
            raise ValueError(
                f"the tokens have {name}={getattr(tokens, name)}, but {model!r} has {ours}: they "
                "were made by another model."
            )
    if tokens.fingerprint not in (None, loaded.fingerprint):
        raise ValueError(
            f"the tokens were made by {model!r} with other weights than it has now: codes mean "
            "nothing to another model. Get the version of the model that made them."
        )
    if not len(tokens):
        raise ValueError("tokens hold no trial: there is nothing to decode.")


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
    if tokens.left_out:
        logger.info(f"Left out by the model, and so not restored: {', '.join(tokens.left_out)}")
    if info is None:
        info = mne.create_info(list(tokens.ch_names), tokens.sfreq, ch_type)
    events, event_id = tokens.events, None
    if events is not None:
        events = _distinct(events, tokens.n_times)
        event_id = _name_events(events, tokens.event_id or {})
    epochs = mne.EpochsArray(
        data,
        info,
        events=events,
        tmin=tokens.tmin,
        event_id=event_id,
        metadata=_as_table(tokens.metadata),
        baseline=None,
        proj=False,
        verbose="error",
    )
    if not np.isclose(epochs.tmin, tokens.tmin, rtol=0.0, atol=1e-9):
        # The first sample was between two ticks of the clock, where EpochsArray puts it.
        epochs.shift_time(tokens.tmin, relative=False)
    return epochs


def _distinct(events: NDArray[Any], n_times: int) -> NDArray[Any]:
    """Renumber the samples of events that Epochs of several recordings have in common.

    MNE neither makes Epochs of them nor reads such a file; concatenate_epochs renumbers as well.
    """
    if len(np.unique(events[:, 0])) == len(events):
        return events
    events = events.copy()
    events[:, 0] = np.arange(len(events)) * n_times
    return events


def _name_events(events: NDArray[Any], event_id: dict[str, int]) -> dict[str, int]:
    """Name the codes that are there; those without one are named by their number."""
    present = dict.fromkeys(events[:, 2].tolist())
    names = {name: code for name, code in event_id.items() if code in present}
    return names | {str(code): code for code in present if code not in names.values()}


def _as_table(metadata: Any) -> Any:
    """Make a table of rows that come from where there was no pandas."""
    if not isinstance(metadata, list):
        return metadata
    try:
        import pandas as pd
    except ImportError:
        return metadata
    return pd.DataFrame(metadata)


def first_info(X: Any, ch_names: Sequence[str], splines: Splines | None = None) -> mne.Info | None:
    """Measurement information of some channels of Epochs, and of sites computed from them.

    Parameters
    ----------
    X : object
        Epochs, a view of them, a list of either, or anything else.
    ch_names : sequence of str
        Channels to keep, as fit saw them, and sites.
    splines : Splines | None
        Which of them are computed, and where they are.

    Returns
    -------
    mne.Info | None
        Of the first Epochs, with the widest band of all; None if X is something else.
    """
    items = X if isinstance(X, (list, tuple)) and len(X) else [X]
    if not isinstance(items[0], (mne.BaseEpochs, EpochsView)):
        return None
    first = items[0].info
    computed = {} if splines is None else dict(zip(splines.sites, splines.positions, strict=True))
    recorded = [name for name in ch_names if name not in computed]
    order, _ = order_by_name(first["ch_names"], recorded)
    picks = [place for place in order if place is not None]
    if computed:
        info = mne.create_info(list(ch_names), first["sfreq"], "eeg", verbose="error")
        montage = mne.channels.make_dig_montage(computed, coord_frame="head")
        info.set_montage(montage, on_missing="ignore", verbose="error")
    else:
        info = mne.pick_info(first, picks)
    with info._unlock():
        info["highpass"], info["lowpass"] = widest_band(stated_band(item.info) for item in items)
        if computed:
            for key in _KEPT:
                info[key] = deepcopy(first[key])
            for name, place in zip(recorded, picks, strict=True):
                info["chs"][ch_names.index(name)] = first["chs"][place] | {"ch_name": name}
    return info
