# License: BSD-3-Clause
"""Files of all formats that MNE reads, by their ending."""

from __future__ import annotations

from pathlib import Path

import mne

_EPOCHS = tuple(f"{mark}epo.fif{zipped}" for mark in "-_" for zipped in ("", ".gz"))


def read_recording(path: Path, *, preload: bool = False) -> mne.io.BaseRaw:
    """Read a recording.

    Parameters
    ----------
    path : Path
        The file, or the folder of formats that are one.
    preload : bool
        Whether to read the signals at once.

    Returns
    -------
    mne.io.BaseRaw
        The recording.
    """
    # MNE knows this ending of EGI's simple binary format, but does not look for it.
    read = mne.io.read_raw_egi if path.suffix.lower() == ".raw" else mne.io.read_raw
    return read(path, preload=preload, verbose="error")


def read_recording_or_epochs(path: Path) -> mne.io.BaseRaw | mne.BaseEpochs:
    """Read a recording, or Epochs from a file that holds such.

    Parameters
    ----------
    path : Path
        The file, or the folder of formats that are one.

    Returns
    -------
    mne.io.BaseRaw | mne.BaseEpochs
        What it holds, from disk when asked for where the format allows that.
    """
    if path.name.endswith(_EPOCHS):
        return mne.read_epochs(path, preload=False, verbose="error")
    try:
        return read_recording(path)
    except TypeError:
        # What MNE raises for EEGLAB's files of several trials.
        if path.suffix.lower() != ".set":
            raise
        return mne.read_epochs_eeglab(path, verbose="error")
