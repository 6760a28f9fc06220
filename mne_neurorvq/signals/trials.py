# License: BSD-3-Clause
"""Trials: one face for Epochs, lists of Epochs, arrays and braindecode datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import mne
import numpy as np
from mne._fiff.constants import FIFF
from numpy.typing import NDArray

from .bands import widest_band
from .units import LARGEST_UV, UNITLESS, too_large, unit_factor

Reader = Callable[[int, int, "list[int] | None"], NDArray[Any]]
_HEAD_FRAME = 4  # FIFFV_COORD_HEAD
#: What ``Trials.applied`` says of another reference than the recorded one.
CUSTOM_REFERENCE, LAPLACIAN = "custom_ref_applied", "a Laplacian"
#: MNE's name of the projector that subtracts the average.
AVERAGE_PROJECTOR = "Average EEG reference"
COMPLEX = "Complex data not supported: pass the real signals."


class Provenance(NamedTuple):
    """What Epochs remember of how they were made, with one entry of the log for every event."""

    selection: NDArray[np.integer] | None = None
    drop_log: tuple[tuple[str, ...], ...] | None = None
    baseline: tuple[float | None, float | None] | None = None


@dataclass(frozen=True, eq=False)
class Trials:
    """Signals of equal length cut around events, read on demand; :func:`as_trials` makes them.

    Parameters
    ----------
    ch_names : tuple of str
        Channels.
    ch_types : tuple of str | None
        MNE channel types; None for arrays.
    bads : tuple of str
        Channels marked bad.
    sfreq, n_times, tmin : float, int, float
        Sampling rate in Hz, samples of a trial, and time of the first sample in seconds.
    unit : str
        Unit of what :meth:`read` returns: "V" for MNE and braindecode objects.
    events, event_id, metadata : array of shape (n_trials, 3), dict, DataFrame | None
        As in :class:`mne.Epochs`; None for arrays.
    bands : tuple of (float, float)
        High-pass and low-pass in Hz that the recordings state, each pair once; empty for arrays.
    n_trials : int
        Number of trials.
    reader : callable
        ``reader(start, stop, picks)``, used by :meth:`read`.
    starts : tuple of int
        The first trial of each item, if X was a list of Epochs or a dataset of several.
    info : mne.Info | None
        Measurement information, that of the first of several; None for arrays.
    provenance : Provenance
        Selection, drop log and baseline of Epochs, as far as several of them agree.
    waiting : dict of str to tuple of str
        Projectors that are not applied yet, with the channels that they change.
    bads_of : tuple of tuple of str
        Channels marked bad in each item, if X was a list of Epochs or a dataset of several.
    applied : tuple of frozenset of str
        What each item says that was done to its signals: projectors that were applied, and whether
        another reference was set or a Laplacian computed.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.signals import as_trials
    >>> trials = as_trials(np.ones((5, 2, 400)), ch_names=["C3", "C4"], sfreq=200.0, unit="uV")
    >>> len(trials), trials.ch_names, trials.unit
    (5, ('C3', 'C4'), 'uV')
    """

    ch_names: tuple[str, ...]
    ch_types: tuple[str, ...] | None
    bads: tuple[str, ...]
    sfreq: float
    n_times: int
    tmin: float
    unit: str
    events: NDArray[np.integer] | None
    event_id: dict[str, int] | None
    metadata: Any
    bands: tuple[tuple[float, float], ...]
    n_trials: int
    reader: Reader = field(repr=False)
    starts: tuple[int, ...] = (0,)
    info: mne.Info | None = field(default=None, repr=False)
    provenance: Provenance = field(default=Provenance(), repr=False)
    waiting: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bads_of: tuple[tuple[str, ...], ...] = ()
    applied: tuple[frozenset[str], ...] = ()

    def __len__(self) -> int:
        return self.n_trials

    @property
    def positions(self) -> NDArray[np.float64] | None:
        """Electrode positions (n_channels, 3), see :func:`electrode_positions`; None for arrays."""
        return None if self.info is None else electrode_positions(self.info)

    @property
    def highpass(self) -> float | None:
        """High-pass in Hz of the widest band; None for arrays."""
        return widest_band(self.bands)[0] if self.bands else None

    @property
    def lowpass(self) -> float | None:
        """Low-pass in Hz of the widest band; None for arrays."""
        return widest_band(self.bands)[1] if self.bands else None

    def read(
        self, start: int = 0, stop: int | None = None, picks: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """Read some trials.

        Parameters
        ----------
        start, stop : int | None
            The first trial, and one past the last (None for the end).
        picks : sequence of int | None
            Indices of the channels to read, and to check; by default all.

        Returns
        -------
        data : array, shape (stop - start, n_picks, n_times)
            Signals in :attr:`unit`, float64. May share memory with the user's own array: do not
            write to it.

        Raises
        ------
        ValueError
            If a sample is NaN, infinite or too large for a model that computes in single precision
            (trial and channel are named), or data are complex.

        Examples
        --------
        >>> import numpy as np
        >>> from mne_neurorvq.signals import as_trials
        >>> trials = as_trials(np.ones((4, 2, 50)), ch_names=["C3", "C4"], sfreq=100.0)
        >>> trials.read(1, 3).shape
        (2, 2, 50)
        """
        stop = self.n_trials if stop is None else stop
        if not 0 <= start < stop <= self.n_trials:
            raise ValueError(
                f"Trials {start} to {stop} are not within the {self.n_trials} there are."
            )
        indices = range(len(self.ch_names)) if picks is None else picks
        data = self.reader(start, stop, None if picks is None else list(picks))
        if np.iscomplexobj(data):
            raise ValueError(COMPLEX)
        data = np.asarray(data, dtype=np.float64)
        broken = ~np.isfinite(data)
        if broken.any():
            trial, channel = np.argwhere(broken.any(axis=-1))[0]
            name = self.ch_names[indices[channel]]
            raise ValueError(self._describe_gap(int(start + trial), name, broken[trial, channel]))
        peaks = np.abs(data).max(axis=-1)
        limit = LARGEST_UV * (1 if self.unit == UNITLESS else unit_factor("uV", self.unit))
        if (peaks > limit).any():
            trial, channel = np.argwhere(peaks > limit)[0]
            where = f"Trial {start + trial}, channel {self.ch_names[indices[channel]]!r}"
            raise ValueError(too_large(where, peaks[trial, channel], self.unit))
        return data

    def _describe_gap(self, trial: int, ch_name: str, broken: NDArray[np.bool_]) -> str:
        """Say where a trial is not finite, and what helps; ``broken`` is (n_times,)."""
        what = f"Trial {trial}, channel {ch_name!r} contains NaN or inf"
        if self.events is None:
            drop = f"np.delete(X, {trial}, axis=0)"
        else:
            what += f" (its event is at sample {self.events[trial, 0]})"
            drop = f"epochs.drop_bad(); epochs.drop({trial})"
        if broken.all():
            return (
                f"{what} throughout. Drop the trial ({drop}) or, if all are so, the channel. If "
                "the recording had a gap when it was filtered, the filter has spread it: filter "
                "with mne_neurorvq.preprocess, which says where gaps are, or mark them before with "
                "the annotation BAD_ACQ_SKIP."
            )
        first = self.tmin + np.flatnonzero(broken)[0] / self.sfreq
        return (
            f"{what} from {first:.3f} s on. Drop the trial ({drop}), mark the channel as bad, or "
            "mark the gap in the recording with an annotation that begins with BAD: Epochs leave "
            "it out."
        )


def reorder_channels(
    trials: Trials, order: Sequence[int], names: Sequence[str] | None = None
) -> Trials:
    """Pick channels by their indices, and rename them."""
    spelled = [trials.ch_names[i] for i in order]
    if names is None:
        names = spelled
    if list(names) == list(trials.ch_names) == spelled:
        return trials
    new_names = {old: new for old, new in zip(spelled, names, strict=True) if old != new}
    info = trials.info
    if info is not None:
        info = mne.pick_info(info, list(order))
        if new_names:
            mne.rename_channels(info, new_names)
    return replace(
        trials,
        info=info,
        ch_names=tuple(names),
        ch_types=None if trials.ch_types is None else tuple(trials.ch_types[i] for i in order),
        bads=tuple(new_names.get(name, name) for name in trials.bads),
        bads_of=tuple(tuple(new_names.get(name, name) for name in bads) for bads in trials.bads_of),
        reader=partial(_read_reordered, trials.reader, list(order)),
    )


def settled(epochs: mne.BaseEpochs) -> mne.BaseEpochs:
    """Drop bad epochs from a copy that shares the signals; the user's object keeps its state."""
    try:
        len(epochs)
    except RuntimeError:
        # The copy shares the recording and reads it trial by trial.
        epochs = epochs.copy()
        if _none_is_annotated(epochs) and _all_are_within(epochs):
            # Otherwise MNE would read all trials to find out that none is bad.
            epochs.reject_by_annotation = False
        return epochs.drop_bad(verbose="error")
    # The user may drop trials later, and MNE changes the info in place when it picks, reorders or
    # resamples.
    epochs = copy(epochs)
    epochs.info = epochs.info.copy()
    return epochs


def _none_is_annotated(epochs: mne.BaseEpochs) -> bool:
    descriptions = [] if epochs.annotations is None else epochs.annotations.description
    return not any(text.lower().startswith("bad") for text in descriptions)


def _all_are_within(epochs: mne.BaseEpochs) -> bool:
    """Whether all trials are as long as the first and the last of them, which are whole."""
    samples = epochs.events[:, 0]
    if not len(samples) or (np.diff(samples) < 0).any():
        return False
    return len(epochs[[0, -1]].drop_bad(verbose="error")) == 2


def trials_of_recording(recording: Any, reader: Reader | None = None) -> Trials:
    """Trials in volts of Epochs or, with their reader, of what has their attributes."""
    info = recording.info
    ch_types = tuple(info.get_channel_types())
    band = float(info["highpass"]), float(info["lowpass"])
    applied = {str(projector["desc"]) for projector in info["projs"] if projector["active"]}
    if flag := int(info["custom_ref_applied"]):
        laplacian = flag == FIFF.FIFFV_MNE_CUSTOM_REF_CSD
        applied.add(LAPLACIAN if laplacian else CUSTOM_REFERENCE)
    return Trials(
        ch_names=tuple(info["ch_names"]),
        ch_types=ch_types,
        bads=tuple(info["bads"]),
        sfreq=float(info["sfreq"]),
        n_times=len(recording.times),
        tmin=float(recording.times[0]),
        unit="V",
        events=recording.events,
        event_id=dict(recording.event_id),
        metadata=recording.metadata,
        # braindecode calls the channels of an array "misc": their filters are unknown.
        bands=() if set(ch_types) == {"misc"} else (band,),
        n_trials=len(recording.events),
        reader=reader
        or (
            lambda start, stop, picks: recording.get_data(
                picks=picks, item=slice(start, stop), copy=False, verbose="error"
            )
        ),
        info=info,
        provenance=Provenance(recording.selection, recording.drop_log, recording.baseline),
        waiting={
            str(projector["desc"]): tuple(projector["data"]["col_names"])
            for projector in info["projs"]
            if not projector["active"]
        },
        applied=(frozenset(applied),),
    )


def electrode_positions(info: mne.Info) -> NDArray[np.float64]:
    """Electrode positions in the head frame in metres (n_channels, 3), NaN where unknown."""
    positions = np.array([ch["loc"][:3] for ch in info["chs"]], float).reshape(-1, 3)
    in_head = np.array([ch["coord_frame"] == _HEAD_FRAME for ch in info["chs"]], bool)
    known = in_head & np.isfinite(positions).all(axis=1) & positions.any(axis=1)
    positions[~known] = np.nan
    return positions


def _read_reordered(
    read: Reader, order: list[int], start: int, stop: int, picks: list[int] | None
) -> NDArray[Any]:
    return read(start, stop, order if picks is None else [order[i] for i in picks])
