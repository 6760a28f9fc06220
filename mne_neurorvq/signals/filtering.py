# License: BSD-3-Clause
"""The filters that a model's training signals went through, applied to a recording with MNE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray
from scipy.signal import iirnotch

from .._warnings import warn
from .bands import Band, clearly_narrower
from .channel_report import TAKE_POTENTIALS
from .gaps import around_gaps
from .modalities import find_modality
from .scale import check_recording_scale
from .trials import Trials
from .units import LARGEST_UV, too_large, unit_factor

# Share of the samples of a channel beyond the clip limit: blinks and a few artifacts stay below.
_MOST_CLIPPED = 0.05
# A high-pass this far below the model's, or a low-pass this many times above it, lets through what
# the model never saw. On three people of eegmmidb, neurorvq-eeg-small restores with an error of .03
# to .07 after 0.5-44.5 Hz or 0.25-44.5 Hz, .03 to .08 up to 50 Hz, .05 to .15 up to 60 Hz; with
# drifts below 0.1 Hz it loses up to 15 % of the amplitude, without any filter (.06 to .16) 26 %.
_WIDE_HIGHPASS_FACTOR = 0.5
_WIDE_LOWPASS_FACTOR = 1.25
# Share of the band above which a lower rate is worth a word.
_MOST_LOST = 0.25
# Sensors that preprocess does not filter, so that their info stays as it was.
_OTHER_SENSORS = frozenset(("mag", "grad", "seeg", "ecog", "dbs", "csd", "hbo", "hbr"))


@dataclass(frozen=True)
class Preprocessing:
    """Filters of a model's training signals.

    Parameters
    ----------
    highpass, lowpass : float
        Band in Hz; no low-pass if that is None. In recordings at low rates the low-pass is 0.5 Hz
        below the Nyquist frequency.
    order : int
        Order of the Butterworth band-pass, which is run forwards and backwards.
    notch : tuple of float
        Frequencies in Hz that are removed, if they are below the Nyquist frequency.
    notch_width : float
        Width of each notch at -3 dB in Hz, for one of its two passes.
    clip : float | None
        Largest absolute value, in ``unit``; None to leave values alone.
    unit : str
        Unit of ``clip``.
    needed : bool
        Whether the training signals went through these filters. Otherwise they only remove what
        disturbs, and recordings may hold more than the band.

    Examples
    --------
    >>> from mne_neurorvq.signals import NEURORVQ_EEG_PREPROCESSING
    >>> NEURORVQ_EEG_PREPROCESSING.band(sfreq=200.0)
    (0.5, 44.5)
    >>> NEURORVQ_EEG_PREPROCESSING.band(sfreq=80.0)
    (0.5, 39.5)
    """

    highpass: float
    lowpass: float | None
    order: int = 3
    notch: tuple[float, ...] = ()
    notch_width: float = 2.0
    clip: float | None = None
    unit: str = "uV"
    needed: bool = True

    def band(self, sfreq: float) -> tuple[float, float]:
        """Part of the band that a recording can hold.

        Parameters
        ----------
        sfreq : float
            Sampling rate of the recording in Hz.

        Returns
        -------
        tuple of float
            High-pass, and low-pass below half the rate, in Hz.

        Raises
        ------
        ValueError
            If nothing is left.
        """
        highest = sfreq / 2 - 0.5
        lowpass = highest if self.lowpass is None else min(self.lowpass, highest)
        if lowpass <= self.highpass:
            to = "on" if self.lowpass is None else f"to {self.lowpass:g} Hz"
            raise ValueError(
                f"A recording at sfreq={sfreq:g} Hz has nothing of the band from "
                f"{self.highpass:g} Hz {to} that the model needs."
            )
        return self.highpass, lowpass


#: What the authors of NeuroRVQ apply to EEG before resampling it to 200 Hz.
NEURORVQ_EEG_PREPROCESSING = Preprocessing(
    highpass=0.5, lowpass=44.5, order=3, notch=(50.0, 60.0, 100.0), clip=500.0, unit="uV"
)

#: What BioCodec's paper applies to EEG: 0.5-100 Hz and a notch at a frequency that it does not
#: name, here both mains frequencies and the harmonic within the band. Nothing is clipped: the
#: estimators scale by median and interquartile range, which an artifact hardly moves.
BIOCODEC_EEG_PREPROCESSING = Preprocessing(
    highpass=0.5, lowpass=100.0, order=3, notch=(50.0, 60.0, 100.0)
)

#: BrainRVQ's authors do not say how they filter. This is what LaBraM does, whose montage and units
#: they use: 0.1-75 Hz, with notches at both mains frequencies.
BRAINRVQ_EEG_PREPROCESSING = Preprocessing(
    highpass=0.1, lowpass=75.0, order=3, notch=(50.0, 60.0), unit="100uV"
)

#: What the authors of NeuroRVQ apply to EMG before resampling it to 1000 Hz.
NEURORVQ_EMG_PREPROCESSING = Preprocessing(highpass=20.0, lowpass=399.5, order=3)

#: The authors of NeuroRVQ do not filter ECG. Drifts of the baseline are removed, below 0.5 Hz: run
#: forwards and backwards, a filter up to 0.67 Hz leaves ST segments as they are (Kligfield et al.
#: 2007, recommendations of AHA, ACC and HRS).
NEURORVQ_ECG_PREPROCESSING = Preprocessing(highpass=0.5, lowpass=None, order=3, needed=False)

#: What the authors of NeuroRVQ apply to PPG before resampling it to 100 Hz.
NEURORVQ_PPG_PREPROCESSING = Preprocessing(highpass=0.5, lowpass=39.5, order=3)

#: BioCodec's paper does not say how EMG is filtered. This is what NeuroRVQ's authors do.
BIOCODEC_EMG_PREPROCESSING = NEURORVQ_EMG_PREPROCESSING


def filter_recording(
    raw: mne.io.BaseRaw,
    preprocessing: Preprocessing,
    *,
    modality: str = "eeg",
    average_reference: bool = False,
) -> mne.io.BaseRaw:
    """Give a copy in memory of a recording, filtered as the model's training signals were.

    Notches, band-pass, clipping and, if wanted, the average reference of the good channels, in this
    order, of the channels of the modality (bad ones too). Filters stop and start anew where
    recordings were concatenated or paused, and around NaN and infinite samples that an annotation
    beginning with BAD marks; these stay as they are.
    """
    if not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(
            f"raw is {type(raw).__name__}, but a continuous recording (mne.io.Raw) is needed: "
            "filter before cutting Epochs."
        )
    facts = find_modality(modality)
    if average_reference and not facts.on_the_head:
        raise ValueError(f"average_reference=True is for EEG, not for {modality.upper()}.")
    picks = np.array(facts.to_filter(raw.ch_names, raw.get_channel_types()), int)
    if len(picks) == 0:
        remedy = f"Say with set_channel_types which channels are {modality.upper()}."
        if not facts.types:
            remedy = f"Rename them (rename_channels), for example to {facts.ch_name!r}."
        if "csd" in raw.get_channel_types():
            remedy = TAKE_POTENTIALS
        kinds = f"of type {modality!r}" if facts.types else f"named as {modality.upper()}"
        raise ValueError(f"raw has no channel {kinds}. {remedy}")
    sfreq = float(raw.info["sfreq"])
    highpass, lowpass = preprocessing.band(sfreq)
    notches = [frequency for frequency in preprocessing.notch if frequency < sfreq / 2]
    raw = raw.copy().load_data(verbose="warning")
    good = np.array([pick for pick in picks if raw.ch_names[pick] not in raw.info["bads"]], int)
    with around_gaps(raw, picks.tolist()):
        _check_range(raw, good)
        check_recording_scale(raw, good, modality)
        for frequency in notches:
            _notch(raw, picks, frequency, preprocessing.notch_width)
        raw.filter(
            highpass,
            None if preprocessing.lowpass is None else lowpass,
            picks=picks,
            method="iir",
            iir_params=dict(ftype="butter", order=preprocessing.order, output="sos"),
            phase="zero",
            verbose="warning",
        )
    if not facts.on_the_head and facts.band_is_stated(raw.get_channel_types(), picks.tolist()):
        # MNE notes the filters of EEG and the like only.
        with raw.info._unlock():
            raw.info["highpass"] = max(highpass, raw.info["highpass"])
            if preprocessing.lowpass is not None:
                raw.info["lowpass"] = min(lowpass, raw.info["lowpass"])
    if preprocessing.clip is not None:
        limit = preprocessing.clip * unit_factor(preprocessing.unit, "V")
        _warn_of_clipping(raw, good, limit)
        raw.apply_function(_clip, picks=picks, limit=limit, verbose="warning")
    if average_reference:
        raw.set_eeg_reference("average", projection=False, verbose="warning")
    return raw


def check_band(
    trials: Trials,
    preprocessing: Preprocessing,
    *,
    modality: str = "eeg",
    picks: Sequence[int] = (),
    model_sfreq: float = np.inf,
) -> bool:
    """Warn, and say so, if the band of trials is clearly narrower or wider than the model's.

    Arrays, whose filters are unknown, always pass, and so do channels ``picks`` beside others of
    which a recording speaks; each item of a list is judged by its own info.
    """
    if not trials.bands:
        return False
    if not find_modality(modality).band_is_stated(trials.ch_types or (), picks):
        return False
    highpass, lowpass = preprocessing.band(trials.sfreq)
    lowpass = min(lowpass, model_sfreq / 2)
    trained = f"but the model was trained on {highpass:g}-{lowpass:g} Hz:"
    narrow = [band for band in trials.bands if clearly_narrower(band, (highpass, lowpass))]
    below = [band for band in trials.bands if band[0] < _WIDE_HIGHPASS_FACTOR * highpass]
    above = [band for band in trials.bands if band[1] > _WIDE_LOWPASS_FACTOR * lowpass]
    wide = [band for band in trials.bands if band in below or band in above]
    found = []
    if narrow:
        found.append(
            f"The Epochs were filtered to {_list(narrow)}, {trained} its codes and features mean "
            "little without the missing part."
        )
    if preprocessing.needed and wide and wide != narrow:
        causes = ["drifts"] * bool(below) + ["hum and other high frequencies"] * bool(above)
        found.append(
            f"The Epochs hold {_list(wide)}, as their info says, {trained} {' and '.join(causes)} "
            "make codes, features and reconstructions worse."
        )
    if found:
        remedy = "mne_neurorvq.preprocess(raw, pretrained) applies the model's filters"
        if not _OTHER_SENSORS.isdisjoint(trials.ch_types or ()):
            remedy += ", to EEG only: raw.pick('eeg') before"
        if (0.0, trials.sfreq / 2) in wide:  # what create_info says of arrays
            remedy += (
                ". If these Epochs were made from an array that is filtered already, their info "
                "cannot know: pass the array itself, epochs.get_data(), with ch_names=, sfreq= and "
                "unit='V'"
            )
        warn(f"{' '.join(found)} {remedy}.")
    return bool(found)


def warn_of_rate(sfreq: float, preprocessing: Preprocessing, model_sfreq: float) -> None:
    """Warn once if recordings at a rate cannot hold a good part of the band that a model reads."""
    highest = model_sfreq / 2
    if preprocessing.lowpass is not None:
        highest = min(preprocessing.lowpass, highest)
    lost = highest - sfreq / 2
    if lost > _MOST_LOST * (highest - preprocessing.highpass):
        share = lost / (highest - preprocessing.highpass)
        warn(
            f"Signals at {sfreq:g} Hz hold nothing above {sfreq / 2:g} Hz, but the model reads "
            f"{preprocessing.highpass:g}-{highest:g} Hz: {share:.0%} of that band is missing from "
            "its codes, features and reconstructions, and no filter brings it back.",
            for_good=True,
        )


def _list(bands: Sequence[Band]) -> str:
    return " and ".join(f"{highpass:g}-{lowpass:g} Hz" for highpass, lowpass in bands)


def _notch(raw: mne.io.BaseRaw, picks: NDArray[np.intp], frequency: float, width: float) -> None:
    """Apply a second-order notch, there and back, through MNE's own IIR filtering."""
    b, a = iirnotch(frequency, frequency / width, raw.info["sfreq"])
    iir_params: dict[str, Any] = dict(b=b, a=a)
    upper = min(frequency + width / 2, (frequency + raw.info["sfreq"] / 2) / 2)
    raw.filter(
        upper,  # MNE's sign of a band-stop: the high-pass above the low-pass
        frequency - width / 2,
        picks=picks,
        method="iir",
        iir_params=iir_params,
        phase="zero",
        verbose="warning",
    )


def _check_range(raw: mne.io.BaseRaw, picks: NDArray[np.intp]) -> None:
    """Raise if a value of a loaded recording would overflow in the filters or the model."""
    for pick in picks:
        signal = raw.get_data([pick])
        peak = np.abs(signal[np.isfinite(signal)]).max(initial=0)
        if peak > LARGEST_UV * unit_factor("uV", "V"):
            raise ValueError(too_large(f"Channel {raw.ch_names[pick]!r}", peak, "V"))


def _warn_of_clipping(raw: mne.io.BaseRaw, picks: NDArray[np.intp], limit: float) -> None:
    """Name the channels, the worst first, of which clipping changes more than a little."""
    shares = {
        raw.ch_names[pick]: float((np.abs(raw.get_data([pick])) > limit).mean()) for pick in picks
    }
    worst = sorted((n for n in shares if shares[n] > _MOST_CLIPPED), key=lambda n: -shares[n])
    if worst:
        named = ", ".join(f"{name!r} ({shares[name]:.0%})" for name in worst[:20])
        more = f" and {len(worst) - 20} more channels" if len(worst) > 20 else ""
        warn(
            f"Clipping at {limit * unit_factor('V', 'uV'):g} uV, as the model expects, flattens "
            f"many samples of {named}{more}. Mark broken channels as bad (raw.info['bads']) or "
            "repair them (raw.interpolate_bads), and annotate artifacts as BAD before preprocess."
        )


def _clip(signal: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    return np.where(np.isinf(signal), signal, np.clip(signal, -limit, limit))
