# License: BSD-3-Clause
"""Whether the amplitude of arrays and recordings is that of the unit they are said to be in."""

from __future__ import annotations

from collections.abc import Sequence

import mne
import numpy as np
from numpy.typing import NDArray

from .modalities import find_modality
from .units import (
    FEWEST_SAMPLES,
    PIECE,
    UNITLESS,
    check_units_of_channels,
    deviations_of,
    levels_of,
    misfits,
    unit_error,
    unit_factor,
)

# Pieces of a recording that are judged.
_TO_JUDGE = 64
# Where artifacts have not been rejected yet, more pieces than trials must be in another unit: this
# share, or so many that follow each other for so long.
_LEAST_SHARE = 0.2
_LEAST_PIECES = 5
_LEAST_SECONDS = 20.0


def check_scale(data: NDArray[np.floating], unit: str, modality: str = "eeg") -> None:
    """Raise if the amplitude of signals only makes sense in another unit.

    What is judged is the median over trials and channels of the standard deviation of each signal,
    so that neither the offset of a DC-coupled amplifier nor a broken channel nor an artifact
    decides. Constant signals pass.

    Parameters
    ----------
    data : array, shape (..., n_times)
        Signals of the model's own channels (no trigger channels), in ``unit``.
    unit : "V" | "mV" | "100uV" | "uV" | "au"
        The unit that the data are said to be in; arbitrary units are judged for PPG only.
    modality : "eeg" | "emg" | "ecg" | "ppg"
        Kind of signal.

    Raises
    ------
    ValueError
        If that is, for EEG, below 0.1 uV or above 2 mV (for EMG 5 mV; for ECG below 1 uV or above
        50 mV; for PPG below 0.001 or above 10; of fewer than 50 samples, only below 1 nV), with
        the unit that would be right or the missing factor.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.signals import check_scale
    >>> microvolts = 20 * np.random.default_rng(0).standard_normal((2, 3, 200))
    >>> check_scale(microvolts, "uV")
    >>> check_scale(1e-6 * microvolts, "uV")
    Traceback (most recent call last):
        ...
    ValueError: The signals are said to be in 'uV' but their typical standard deviation would be
    1.96e-05 uV, which looks like volts: pass unit='V'.
    """
    unit_factor(unit, unit)  # raises if it is unknown
    signals = np.atleast_1d(np.asarray(data, dtype=np.float64))
    n_times = signals.shape[-1]
    expected = find_modality(modality).amplitude
    if unit == UNITLESS != expected.unit or not signals.size:
        return
    deviations = deviations_of(signals.reshape(1, -1, n_times), n_times)
    levels = levels_of(deviations, unit, expected)
    if misfits(levels, n_times, expected=expected).any():
        raise unit_error("The signals", levels[0], unit, expected=expected)


def check_recording_scale(
    raw: mne.io.BaseRaw, picks: Sequence[int] | NDArray[np.intp], modality: str = "eeg"
) -> None:
    """Raise if the amplitude of a recording only makes sense in another unit than volts.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording; what annotations mark as bad is not judged.
    picks : sequence of int
        The channels to judge.
    modality : "eeg" | "emg" | "ecg" | "ppg"
        Kind of signal.

    Raises
    ------
    ValueError
        If the whole, a part (as of another recording that was appended) or some channels do not
        have the amplitude of signals in volts; with the missing factor.

    Examples
    --------
    >>> import mne, numpy as np
    >>> from mne_neurorvq.signals import check_recording_scale
    >>> microvolts = 20 * np.random.default_rng(0).standard_normal((1, 2000))
    >>> info = mne.create_info(["Cz"], 250.0, "eeg")
    >>> check_recording_scale(mne.io.RawArray(1e-6 * microvolts, info, verbose=False), [0])
    """
    expected = find_modality(modality).amplitude
    unit = "V" if expected.unit != UNITLESS else UNITLESS
    if not len(picks):
        return
    size = min(raw.n_times, max(1, round(PIECE * raw.info["sfreq"])))
    starts = np.unique(np.linspace(0, raw.n_times - size, _TO_JUDGE).round().astype(int))
    deviations = [
        deviations_of(
            raw.get_data(picks, start, start + size, reject_by_annotation="NaN", verbose="error"),
            size,
        )
        for start in starts.tolist()
    ]
    if size >= FEWEST_SAMPLES:
        names = [raw.ch_names[pick] for pick in picks]
        check_units_of_channels(
            names, np.stack(deviations), unit, "The signals of channels", expected=expected
        )
    levels = levels_of(np.stack(deviations), unit, expected)
    step = raw.n_times / raw.info["sfreq"] / len(starts)
    least_run = max(_LEAST_PIECES, int(np.ceil(_LEAST_SECONDS / step)))
    wrong = misfits(levels, size, _LEAST_SHARE, least_run, expected=expected)
    if not wrong.any():
        return
    level = float(np.median(levels[wrong]))
    if wrong[levels > 0].all():
        raise unit_error(
            "The signals of the recording", level, unit, "the recording", expected=expected
        )
    first, last = starts[wrong][[0, -1]] / raw.info["sfreq"]
    raise unit_error(
        f"The signals from {first:.0f} s to {last + PIECE:.0f} s of the recording",
        level,
        unit,
        "that part, before it is joined,",
        example=False,
        expected=expected,
    )
