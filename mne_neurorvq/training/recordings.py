# License: BSD-3-Clause
"""From recording files to what pretraining cuts windows from."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import mne
import numpy as np
from numpy.typing import NDArray

from ..estimators.preprocessing import preprocessing_of
from ..signals import (
    ChannelMatch,
    match_channels,
    preprocess,
    resample,
    resampled_length,
    unit_factor,
    used_channels,
)
from ..weights.systems import Config
from .inputs import corpus_unit, vocabulary

# EDF readers call every channel "eeg": what a name begins with counts more.
_KIND = re.compile(r"\s*(eeg|ecg|ekg|emg|eog|resp|trig|status|stim|event|annotation)", re.I)


def pick_matching(
    raw: mne.io.BaseRaw, config: Config
) -> tuple[mne.io.BaseRaw, tuple[ChannelMatch, ...]]:
    """Keep the channels that the model takes, in place; from here on all are of its type.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording; changed in place, not loaded.
    config : NeuroRVQConfig | BioCodecConfig
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
        If the model takes no channel.
    """
    names = vocabulary(config)
    matches = _named(raw, names, config.modality) if names else _all_of(raw, config.modality)
    picks, _ = used_channels(matches)
    raw.pick(picks, verbose="error")
    # Filters leave other types alone: an EOG electrode that the vocabulary has would stay raw.
    kinds = dict.fromkeys(raw.ch_names, config.modality)
    raw.set_channel_types(kinds, on_unit_change="ignore", verbose="error")
    return raw, matches


def _named(raw: mne.io.BaseRaw, names: Sequence[str], modality: str) -> tuple[ChannelMatch, ...]:
    """Channels of a vocabulary."""
    with warnings.catch_warnings():
        # A corpus of many montages leaves out channels in every file: that is expected here.
        warnings.simplefilter("ignore", UserWarning)
        return match_channels(
            raw.ch_names,
            names,
            ch_types=raw.get_channel_types(),
            bads=raw.info["bads"],
            modality=modality,
        )


def _all_of(raw: mne.io.BaseRaw, modality: str) -> tuple[ChannelMatch, ...]:
    """All channels of a kind, numbered."""
    matches = []
    for row, (name, ch_type) in enumerate(zip(raw.ch_names, raw.get_channel_types(), strict=True)):
        kind = _KIND.match(name)
        if name in raw.info["bads"]:
            matches.append(ChannelMatch(name, reason="marked bad"))
        elif ch_type != modality or (kind and kind[1].lower() != modality):
            matches.append(ChannelMatch(name, reason=f"no {modality}"))
        else:
            matches.append(ChannelMatch(name, name, row, "exact"))
    if not any(match.used for match in matches):
        raise ValueError(f"None of the {len(matches)} channels holds {modality}.")
    return tuple(matches)


def model_signals(raw: mne.io.BaseRaw, config: Config) -> NDArray[np.float32]:
    """Filter a recording and bring it to the unit of the corpus and the model's rate.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording of the model's channels, preloaded or not; not changed.
    config : NeuroRVQConfig | BioCodecConfig
        Modality, unit and rate.

    Returns
    -------
    data : array, shape (n_channels, n_times)
        Signals.
    """
    filtered = preprocess(raw, preprocessing_of(config))
    factor = unit_factor("V", corpus_unit(config))
    sfreq = float(raw.info["sfreq"])
    n_times = resampled_length(raw.n_times, sfreq, config.sfreq)
    data = np.empty((len(raw.ch_names), n_times), np.float32)
    # One channel at a time: of a long recording, a second copy in double precision is too much.
    for channel, row in enumerate(data):
        signal = filtered.get_data(picks=[channel], verbose="error")[0]
        row[:] = resample(signal * factor, sfreq, config.sfreq)
    return data
