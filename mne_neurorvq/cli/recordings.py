# License: BSD-3-Clause
"""Files of any format that MNE or wfdb reads."""

from __future__ import annotations

from pathlib import Path

import mne

from ..datasets.wfdb_records import WFDB_HEADER, read_wfdb
from ..signals.modalities import MODALITIES
from ..weights.loading import find_config
from .messages import PROGRAM, one_line

_EPOCHS = tuple(f"{mark}epo.fif{zipped}" for mark in "-_" for zipped in ("", ".gz"))
_TABLES = frozenset((".csv", ".tsv", ".txt"))
_READ_TABLES = (
    "MNE cannot read it: a table does not say what its columns are. In Python, "
    "mne_neurorvq.datasets.read_bidmc reads bidmc_01_Signals.csv, and read_welltory a folder with "
    "PPG.csv; of another table, such as a Myo armband's, make mne.io.RawArray. Then "
    "raw.save('x_raw.fif'), and name that file"
)


def read_file(path: Path) -> mne.io.BaseRaw | mne.BaseEpochs:
    """Read a recording, or the trials that a file holds; signals stay on the disk if they can."""
    if not path.exists():
        raise FileNotFoundError("there is no such file")
    if path.suffix.lower() == WFDB_HEADER:
        return read_wfdb(path)
    try:
        if path.name.endswith(_EPOCHS):
            return mne.read_epochs(path, preload=False, verbose="error")
        if path.suffix.lower() == ".raw":  # EGI's older format, which read_raw does not know
            return mne.io.read_raw_egi(path, preload=False, verbose="error")
        try:
            return mne.io.read_raw(path, preload=False, verbose="error")
        except TypeError:
            # What MNE raises for trials of EEGLAB.
            if path.suffix.lower() != ".set":
                raise
            return mne.read_epochs_eeglab(path, verbose="error")
    except Exception as error:
        if path.suffix.lower() in _TABLES:
            raise ValueError(_READ_TABLES) from error
        # Readers raise errors of any type, some without a message.
        raise ValueError(f"MNE cannot read it: {one_line(error)}") from error


def check_signals(raw: mne.io.BaseRaw, pretrained: str) -> None:
    """Raise if a recording has no channel of the kind that a model reads, and say what it has."""
    wanted = find_config(pretrained).modality
    names, types = raw.ch_names, raw.get_channel_types()
    there = [name for name, kind in MODALITIES.items() if kind.to_filter(names, types)]
    if wanted not in there and there:
        raise ValueError(
            f"{pretrained} reads {wanted.upper()}, of which there is no channel, only "
            f"{' and '.join(map(str.upper, there))}: --pretrained names a model for that "
            f"('{PROGRAM} models' lists them)"
        )
