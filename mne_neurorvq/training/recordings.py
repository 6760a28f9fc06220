# License: BSD-3-Clause
"""From recording files to what pretraining crops windows from."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import mne
import numpy as np

from ..models import NeuroRVQConfig
from ..signals import (
    NEURORVQ_EEG_PREPROCESSING,
    match_channels,
    preprocess,
    resample,
    unit_factor,
    used_channels,
)
from .crops import Recording


def read_recordings(paths: Iterable[str | Path], config: NeuroRVQConfig) -> list[Recording]:
    """Read, filter and resample recordings.

    Parameters
    ----------
    paths : iterable of str or Path
        Files of any format that MNE reads.
    config : NeuroRVQConfig
        Vocabulary, unit and rate of the model.

    Returns
    -------
    list of Recording
        In the order of ``paths``.

    Raises
    ------
    ValueError
        If no channel of a file is in the vocabulary.

    Examples
    --------
    >>> import tempfile
    >>> from mne_neurorvq.datasets import simulate_recordings
    >>> from mne_neurorvq.models import NEURORVQ_EEG
    >>> from mne_neurorvq.training import read_recordings
    >>> (raw,) = simulate_recordings(n_subjects=1, n_trials=2, verbose=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     raw.save(f"{folder}/one_raw.fif", verbose=False)
    ...     (recording,) = read_recordings([f"{folder}/one_raw.fif"], NEURORVQ_EEG)
    [PosixPath('...one_raw.fif')]
    >>> recording.source, recording.data.dtype
    ('one_raw.fif', dtype('float32'))
    """
    return [_read(Path(path), config) for path in paths]


def _read(path: Path, config: NeuroRVQConfig) -> Recording:
    raw = mne.io.read_raw(path, preload=True, verbose="error")
    raw = preprocess(raw, NEURORVQ_EEG_PREPROCESSING)
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
    picks, rows = used_channels(matches)
    data = raw.get_data(picks=picks) * unit_factor("V", config.unit)
    data = resample(data, raw.info["sfreq"], config.sfreq)
    return Recording(data.astype(np.float32), np.array(rows), path.name)
