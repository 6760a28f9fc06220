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

from .._names import order_by_name
from .._references import Reference
from ..signals import Trials
from ..signals.bands import widest_band
from ..signals.modalities import find_modality
from ..signals.reference import mark_reference
from ..signals.trials import Provenance
from ..tokens import Tokens
from ..weights.systems import Config
from .preprocessing import preprocessing_of


def as_epochs(
    data: NDArray[np.floating],
    tokens: Tokens,
    *,
    config: Config,
    reference: Reference,
    like: Trials | None = None,
) -> mne.EpochsArray:
    """Put decoded signals ``(n_trials, n_channels, n_times)``, in volts, back into Epochs.

    ``custom_ref_applied`` tells their reference.

    ``like`` are the trials that the tokens were made of, with positions of the channels and what
    Epochs remember; where they do not say type and band of the channels, those of the model are
    taken.
    """
    if tokens.left_out:
        logger.info(f"Left out by the model, and so not restored: {', '.join(tokens.left_out)}")
    if like is None or like.info is None:
        info = _info_of_model(config, tokens)
    else:
        info = _info_of(like, like.info, tokens.ch_names)
    mark_reference(info, reference)
    provenance = Provenance() if like is None else like.provenance
    selection = provenance.selection
    if selection is None or len(set(selection.tolist())) < len(selection):
        provenance = Provenance(baseline=provenance.baseline)  # MNE holds no trial twice
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
        selection=provenance.selection,
        drop_log=provenance.drop_log,
        verbose="error",
    )
    if not np.isclose(epochs.tmin, tokens.tmin, rtol=0.0, atol=1e-9):
        # The first sample was between two ticks of the clock, where EpochsArray puts it.
        epochs.shift_time(tokens.tmin, relative=False)
    # A fact about the original, as after a filter: to subtract it again would change the signals.
    epochs.baseline = provenance.baseline
    if provenance.selection is not None and like is not None and hasattr(like.metadata, "iloc"):
        epochs.metadata.index = like.metadata.index
    return epochs


def _info_of_model(config: Config, tokens: Tokens) -> mne.Info:
    """Information of what a model decodes, which lies in the band that it was trained on."""
    ch_type = find_modality(config.modality).ch_type
    info = mne.create_info(list(tokens.ch_names), tokens.sfreq, ch_type)
    band, highest = preprocessing_of(config), tokens.sfreq / 2
    with info._unlock():
        info["highpass"] = min(band.highpass, highest)
        info["lowpass"] = min(band.lowpass or highest, highest)
    return info


def _info_of(trials: Trials, info: mne.Info, ch_names: Sequence[str]) -> mne.Info:
    """Information of some channels, whose projectors are there but not applied."""
    order, _ = order_by_name(info["ch_names"], ch_names)
    info = mne.pick_info(info, [place for place in order if place is not None])
    projectors = deepcopy(info["projs"])
    for projector in projectors:
        projector["active"] = False
    with info._unlock():
        info["projs"] = projectors
        if trials.bands:
            info["highpass"], info["lowpass"] = widest_band(trials.bands)
    return info


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
