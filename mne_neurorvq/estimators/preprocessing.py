# License: BSD-3-Clause
"""The filters that a pretrained model expects, by its name."""

from __future__ import annotations

from os import PathLike

import mne

from .. import signals
from ..weights import list_pretrained, load_pretrained

_BY_MODALITY = {"eeg": signals.NEURORVQ_EEG_PREPROCESSING}


def preprocessing_of(modality: str) -> signals.Preprocessing:
    """Look up how the recordings were filtered that models of a modality were trained on.

    Parameters
    ----------
    modality : str
        Kind of signal.

    Returns
    -------
    Preprocessing
        Band, notches and clipping.

    Raises
    ------
    NotImplementedError
        If the modality has none yet.
    """
    try:
        return _BY_MODALITY[modality]
    except KeyError:
        raise NotImplementedError(
            f"{modality} recordings are not supported yet, only {', '.join(_BY_MODALITY)}."
        ) from None


def preprocess(
    raw: mne.io.BaseRaw,
    pretrained: str | PathLike[str] = "neurorvq-eeg-small",
    *,
    average_reference: bool = False,
) -> mne.io.BaseRaw:
    """Filter a recording the way a pretrained model expects.

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
        Filtered copy: for EEG, notches at 50, 60 and 100 Hz, a band-pass of 0.5-44.5 Hz and
        clipping at 500 µV. The rate stays: the estimators resample.

    Raises
    ------
    ValueError
        If the recording has no channel of the modality or too low a rate.

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
    modality = registered_modality(pretrained) or load_pretrained(pretrained).config.modality
    facts = preprocessing_of(modality)
    return signals.preprocess(raw, facts, average_reference=average_reference)


def registered_modality(pretrained: str | PathLike[str]) -> str | None:
    """Kind of signal of a named model, without a download; None for a path."""
    modalities = {entry.name: entry.modality for entry in list_pretrained()}
    return modalities.get(str(pretrained))
