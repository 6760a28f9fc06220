# License: BSD-3-Clause
"""The filters that a pretrained model expects, by its name."""

from __future__ import annotations

from os import PathLike
from pkgutil import resolve_name

import mne

from .. import signals
from ..signals.filtering import filter_recording
from ..weights import Pretrained
from ..weights.loading import find_config
from ..weights.systems import SYSTEMS, Config


def preprocessing_of(model: Config | Pretrained) -> signals.Preprocessing:
    """Look up how the recordings were filtered that a model was trained on."""
    return find_preprocessing(model.system, model.modality)


def find_preprocessing(system: str, modality: str) -> signals.Preprocessing:
    """Look up the filters of a system for a kind of signal, or raise NotImplementedError."""
    filters = SYSTEMS[system].preprocessing
    if modality not in filters:
        raise NotImplementedError(
            f"{modality} recordings are not supported yet for {SYSTEMS[system].title}, only "
            f"{', '.join(filters)}."
        )
    found: signals.Preprocessing = resolve_name(filters[modality])
    return found


def preprocess(
    raw: mne.io.BaseRaw,
    pretrained: str | PathLike[str] = "neurorvq-eeg-small",
    *,
    average_reference: bool = False,
) -> mne.io.BaseRaw:
    """Filter the channels of a recording that a pretrained model reads, the way it expects.

    Parameters
    ----------
    raw : mne.io.Raw
        Continuous recording; it is not changed.
    pretrained : str | path-like
        Name or path of the model.
    average_reference : bool
        Whether to re-reference to the average afterwards.

    Returns
    -------
    mne.io.Raw
        Filtered copy. For EEG models of NeuroRVQ: notches at 50, 60 and 100 Hz, a band-pass of
        0.5-44.5 Hz and clipping at 500 µV; of BioCodec: the same notches and a band-pass of
        0.5-100 Hz; of BrainRVQ: notches at 50 and 60 Hz and a band-pass of 0.1-75 Hz. For EMG: a
        band-pass of 20-399.5 Hz; for ECG: drifts below 0.5 Hz are removed; for PPG: a band-pass of
        0.5-39.5 Hz. Other channels and the rate stay: the estimators resample. Gaps (NaN, infinity)
        that annotations beginning with BAD mark stay as they are: filters stop before them and
        start anew after them.

    Raises
    ------
    ValueError
        If the recording has no channel of the modality or too low a rate, plainly another unit
        than volts, or a gap that no annotation marks.

    Warns
    -----
    UserWarning
        If more than 5 % of the samples of a channel are clipped.

    Examples
    --------
    >>> import mne, numpy as np
    >>> from mne_neurorvq import preprocess
    >>> rng = np.random.default_rng(0)
    >>> raw = mne.io.RawArray(1e-5 * rng.standard_normal((1, 2000)),
    ...                       mne.create_info(["Cz"], 250.0, "eeg"), verbose=False)
    >>> clean = preprocess(raw)
    >>> clean.info["highpass"], clean.info["lowpass"]
    (0.5, 44.5)
    """
    config = find_config(pretrained)
    facts = preprocessing_of(config)
    return filter_recording(
        raw, facts, modality=config.modality, average_reference=average_reference
    )
