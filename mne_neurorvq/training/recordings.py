# License: BSD-3-Clause
"""From recording files to what pretraining cuts windows from."""

from __future__ import annotations

import re
import warnings

import mne
import numpy as np
from numpy.typing import NDArray

from ..encoding.preprocessing import preprocessing_of
from ..signals import (
    ChannelReport,
    filter_recording,
    match_channels,
    resample,
    unit_factor,
    use_channels,
)
from ..signals.channel_report import used_channels
from ..signals.gaps import bridged
from ..signals.resampling import resampled_length
from ..weights.systems import Config
from .inputs import corpus_unit, vocabulary

# EDF readers call every channel "eeg": what a name begins with counts more.
_KIND = re.compile(r"\s*(eeg|ecg|emg|eog)\b", re.I)


def pick_matching(raw: mne.io.BaseRaw, config: Config) -> tuple[mne.io.BaseRaw, ChannelReport]:
    """Keep the channels that the model takes, in place; from here on all are of its type.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording; changed in place, not loaded.
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        Vocabulary and modality.

    Returns
    -------
    raw : mne.io.Raw
        The same recording with the used channels only.
    matches : ChannelReport
        What happened to each channel that it had.

    Raises
    ------
    ValueError
        If the model takes no channel.
    """
    names, bads, modality = vocabulary(config), raw.info["bads"], config.modality
    with warnings.catch_warnings():
        # A corpus of many montages leaves out channels in every file: that is expected here.
        warnings.simplefilter("ignore", UserWarning)
        if names:
            types = raw.get_channel_types()
            matches = match_channels(
                raw.ch_names, names, ch_types=types, bads=bads, modality=modality
            )
        else:
            matches = use_channels(raw.ch_names, ch_types=_types(raw), bads=bads, modality=modality)
    picks, _ = used_channels(matches)
    raw.pick(picks, verbose="error")
    # Filters leave other types alone: an EOG electrode that the vocabulary has would stay raw.
    kinds = dict.fromkeys(raw.ch_names, modality)
    raw.set_channel_types(kinds, on_unit_change="ignore", verbose="error")
    return raw, matches


def _types(raw: mne.io.BaseRaw) -> list[str]:
    """Types of channels, by their names where those say it."""
    found = zip(map(_KIND.match, raw.ch_names), raw.get_channel_types(), strict=True)
    return [kind[1].lower() if kind else ch_type for kind, ch_type in found]


def model_signals(raw: mne.io.BaseRaw, config: Config) -> NDArray[np.float32]:
    """Filter a recording and bring it to the unit of the corpus and the model's rate.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording of the model's channels, preloaded or not; not changed.
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        Modality, unit and rate.

    Returns
    -------
    data : array, shape (n_channels, n_times)
        Signals.
    """
    filtered = filter_recording(raw, preprocessing_of(config))
    factor = unit_factor("V", corpus_unit(config))
    sfreq = float(raw.info["sfreq"])
    n_times = resampled_length(raw.n_times, sfreq, config.sfreq)
    data = np.empty((len(raw.ch_names), n_times), np.float32)
    # One channel at a time: of a long recording, a second copy in double precision is too much.
    for channel, row in enumerate(data):
        # What lies in gaps is not used; what lies around them must not become NaN.
        signal = bridged(filtered.get_data(picks=[channel], verbose="error")[0])
        row[:] = resample(signal * factor, sfreq, config.sfreq)
    return data
