# License: BSD-3-Clause
"""Information of channels whose signals were filtered as a system wants them."""

from __future__ import annotations

from collections.abc import Sequence

import mne

#: What `preprocess` writes into the info, by the name of the system.
BANDS = {"neurorvq": (0.5, 44.5), "brainrvq": (0.1, 75.0), "biocodec": (0.5, 99.5)}


def filtered_info(
    ch_names: Sequence[str],
    sfreq: float,
    system: str = "neurorvq",
    ch_types: str | Sequence[str] = "eeg",
) -> mne.Info:
    """Make an info that says so."""
    info = mne.create_info(list(ch_names), sfreq, ch_types, verbose="error")
    highpass, lowpass = BANDS[system]
    with info._unlock():
        info["highpass"], info["lowpass"] = highpass, min(lowpass, sfreq / 2 - 0.5)
    return info


def filtered_for(epochs: mne.BaseEpochs, system: str) -> mne.BaseEpochs:
    """Make Epochs say that they were filtered for another system."""
    highpass, lowpass = BANDS[system]
    with epochs.info._unlock():
        epochs.info["highpass"] = highpass
        epochs.info["lowpass"] = min(lowpass, epochs.info["sfreq"] / 2 - 0.5)
    return epochs
