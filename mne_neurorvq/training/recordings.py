# License: BSD-3-Clause
"""From recording files to what pretraining cuts windows from."""

from __future__ import annotations

import warnings

import mne
import numpy as np
from numpy.typing import NDArray

from ..estimators.preprocessing import preprocessing_of
from ..models import NeuroRVQConfig
from ..signals import (
    ChannelMatch,
    match_channels,
    preprocess,
    resample,
    resampled_length,
    unit_factor,
    used_channels,
)


def pick_matching(
    raw: mne.io.BaseRaw, config: NeuroRVQConfig
) -> tuple[mne.io.BaseRaw, tuple[ChannelMatch, ...]]:
    """Keep the channels that the model knows, in place; from here on all are of its type.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording; changed in place, not loaded.
    config : NeuroRVQConfig
        Vocabulary and modality.

    Returns
    -------
    raw : mne.io.Raw
        The same recording with the used channels only.
    matches : tuple of ChannelMatch
        What happened to each channel that it had.

    Raises
    ------
    ValueError
        If no channel is in the vocabulary.
    """
    with warnings.catch_warnings():
        # A corpus of many montages leaves out channels in every file: that is expected here.
        warnings.simplefilter("ignore", UserWarning)
        matches = match_channels(
            raw.ch_names,
            config.channels,
            ch_types=raw.get_channel_types(),
            bads=raw.info["bads"],
            modality=config.modality,
        )
    picks, _ = used_channels(matches)
    raw.pick(picks, verbose="error")
    # Filters leave other types alone: an EOG electrode that the vocabulary has would stay raw.
    kinds = dict.fromkeys(raw.ch_names, config.modality)
    raw.set_channel_types(kinds, on_unit_change="ignore", verbose="error")
    return raw, matches


def model_signals(raw: mne.io.BaseRaw, config: NeuroRVQConfig) -> NDArray[np.float32]:
    """Filter a recording and bring it to the model's unit and rate.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording of the model's channels, preloaded or not; not changed.
    config : NeuroRVQConfig
        Modality, unit and rate.

    Returns
    -------
    data : array, shape (n_channels, n_times)
        Signals.
    """
    filtered = preprocess(raw, preprocessing_of(config))
    factor = unit_factor("V", config.unit)
    sfreq = float(raw.info["sfreq"])
    n_times = resampled_length(raw.n_times, sfreq, config.sfreq)
    data = np.empty((len(raw.ch_names), n_times), np.float32)
    # One channel at a time: of a long recording, a second copy in double precision is too much.
    for channel, row in enumerate(data):
        signal = filtered.get_data(picks=[channel], verbose="error")[0]
        row[:] = resample(signal * factor, sfreq, config.sfreq)
    return data
