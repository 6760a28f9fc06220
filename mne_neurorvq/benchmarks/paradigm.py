# License: BSD-3-Clause
"""The paradigm of all tasks: windows at events, with or without what the eyes explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mne
import numpy as np
from moabb.datasets.preprocessing import EpochsToEvents, EventsToLabels, make_fixed_pipeline
from moabb.paradigms.base import BaseParadigm
from sklearn.preprocessing import FunctionTransformer

#: Sites around the eyes, on which these are louder than the brain.
FRONTAL = tuple("Fp1 Fpz Fp2 AF7 AF3 AFz AF4 AF8 F7 F8 FT7 FT8".split())

_EYES_BELOW = 5.0


class Windows(BaseParadigm):
    """Windows at events as trials of any MOABB dataset, at one rate.

    Parameters
    ----------
    classes : dict of str to sequence of str
        Events of each class.
    duration, tmin : float
        Length of a window, and where it starts, in s, after the beginning of the dataset's
        interval, which is the event unless MOABB's table of the dataset says otherwise.
    fmin, fmax : float | None
        Edges of the pass band in Hz.
    resample : float | None
        Rate in Hz to which recordings are brought; None keeps theirs.
    reference : str | None
        Reference of the EEG channels, such as ``"average"``; None keeps the recorded one.
    channels : sequence of str | None
        Channels to use, in this order; None takes all of EEG.
    regress_out : sequence of str
        Channels that are regressed out of all others within each recording, without labels, and
        then left out.
    signal : "eeg" | "ecg" | "emg"
        Type of the channels that are filtered and taken.
    scorer : str | callable
        What MOABB's evaluations score by, as in scikit-learn.

    Notes
    -----
    A window has ``duration * rate`` samples: the one at its end belongs to the next. The
    regression is that of :class:`mne.preprocessing.EOGRegression`, learned below 5 Hz.

    Examples
    --------
    >>> hands = Windows({"left": ["left_hand"], "right": ["right_hand"]}, duration=4.0)
    >>> hands.scoring
    'balanced_accuracy'
    """

    def __init__(
        self,
        classes: Mapping[str, Sequence[str]],
        *,
        duration: float,
        tmin: float = 0.0,
        fmin: float | None = 0.5,
        fmax: float | None = 45.0,
        resample: float | None = 200.0,
        reference: str | None = "average",
        channels: Sequence[str] | None = None,
        regress_out: Sequence[str] = (),
        signal: str = "eeg",
        scorer: Any = "balanced_accuracy",
    ) -> None:
        #: What it was made with.
        self.settings = {
            name: value for name, value in locals().items() if name not in ("self", "__class__")
        }
        rate = resample or np.inf
        super().__init__(
            filters=[[fmin, fmax]],
            events=[event for events in classes.values() for event in events],
            tmin=tmin,
            tmax=tmin + duration - 1 / rate,
            channels=None if channels is None else list(channels),
            scorer=scorer,
        )
        self.classes = {name: list(events) for name, events in classes.items()}
        self.signal = signal

    @property
    def datasets(self) -> list[Any]:
        """No dataset of MOABB is taken unless it is named."""
        return []

    @property
    def scoring(self) -> Any:
        """What evaluations score by."""
        return self.scorer

    def is_valid(self, dataset: Any) -> bool:
        """Whether a dataset has all events."""
        return set(self.events) <= set(dataset.event_id)

    def used_events(self, dataset: Any) -> dict[str, int]:
        """Codes of the events in a dataset."""
        return {event: dataset.event_id[event] for event in self.events}

    def make_labels_pipeline(
        self, dataset: Any, return_epochs: bool = False, return_raws: bool = False
    ) -> Any:
        """Make what turns codes of events into classes."""
        codes = self.used_events(dataset)
        merged = {name: [codes[event] for event in own] for name, own in self.classes.items()}
        labels = EventsToLabels(event_id=merged)
        return make_fixed_pipeline(EpochsToEvents(), labels) if return_epochs else labels

    def _get_epochs_pipeline(self, return_epochs: bool, return_raws: bool, dataset: Any) -> Any:
        made = super()._get_epochs_pipeline(return_epochs, return_raws, dataset)
        if made is None or self.settings["resample"] is not None:
            return made
        return make_fixed_pipeline(made, FunctionTransformer(_without_end))

    def _get_raw_pipelines(self) -> list[Any]:
        names = ("signal", "fmin", "fmax", "resample", "reference", "regress_out")
        settings = {name: self.settings[name] for name in names}
        return [make_fixed_pipeline(FunctionTransformer(_prepared, kw_args=settings))]


def _without_end(epochs: mne.BaseEpochs) -> mne.BaseEpochs:
    """Leave out the sample at the end, which belongs to the next window."""
    return epochs.load_data().crop(epochs.tmin, epochs.tmax, include_tmax=False)


def _prepared(
    raw: mne.io.BaseRaw,
    signal: str,
    fmin: float | None,
    fmax: float | None,
    resample: float | None,
    reference: str | None,
    regress_out: Sequence[str],
) -> mne.io.BaseRaw:
    """Filter as MOABB does, resample, reference, and regress channels out of the others."""
    raw = raw.copy().load_data(verbose="error")
    raw.filter(fmin, fmax, picks=signal, method="iir", verbose="error")
    if resample is not None and raw.info["sfreq"] != resample:
        raw.resample(resample, verbose="error")
    if reference is not None:
        raw.set_eeg_reference(reference, projection=False, verbose="error")
    leave_out = list(regress_out)
    if not leave_out:
        return raw
    absent = [name for name in leave_out if name not in raw.ch_names]
    if absent:
        raise ValueError(
            f"regress_out: the recording has no {', '.join(absent)}, only "
            f"{', '.join(raw.ch_names)}."
        )
    # Says that the reference is as it is meant to be, which the regression asks for.
    raw.set_eeg_reference([], verbose="error")
    regression = mne.preprocessing.EOGRegression(picks="eeg", picks_artifact=leave_out)
    # How eyes spread is learned where they are louder than the brain, and holds at all frequencies.
    slow = raw.copy().filter(None, _EYES_BELOW, verbose="error")
    return regression.fit(slow).apply(raw).drop_channels(leave_out)
