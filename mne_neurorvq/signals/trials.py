# License: BSD-3-Clause
"""Trials: one face for Epochs, lists of Epochs, arrays and braindecode datasets."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from .._warnings import warn
from .arrays import as_array, check_real, check_shape
from .bands import stated_band, widest_band
from .sources import (
    Block,
    Provenance,
    Reader,
    blocks_of,
    electrode_positions,
    read_picked,
    waiting_projectors,
    with_same_channels,
)
from .units import LARGEST_UV, UNITLESS, check_unit, too_large, unit_factor


@dataclass(frozen=True, eq=False)
class Trials:
    """Signals of equal length cut around events, read when asked.

    Made by :func:`as_trials`.

    Parameters
    ----------
    ch_names : tuple of str
        Channels.
    ch_types : tuple of str | None
        MNE channel types; None for arrays.
    positions : array, shape (n_channels, 3) | None
        Electrode positions in metres in MNE's head frame, NaN where unknown; None for arrays.
    bads : tuple of str
        Channels marked bad.
    sfreq : float
        Sampling rate in Hz.
    n_times : int
        Samples of a trial.
    tmin : float
        Time of the first sample in seconds.
    unit : str
        Unit of what :meth:`read` returns: "V" for MNE and braindecode objects.
    events : array, shape (n_trials, 3) | None
        MNE events; None for arrays.
    event_id : dict | None
        Names of the event codes.
    metadata : DataFrame | None
        One row per trial.
    bands : tuple of (float, float)
        High-pass and low-pass in Hz that the recordings state, each pair once: one, or several of
        a list whose items were filtered differently; empty for arrays.
    n_trials : int
        Number of trials.
    reader : callable
        ``reader(start, stop, picks)``, used by :meth:`read`.
    starts : tuple of int
        The first trial of each item, where X was a list of Epochs or a dataset of several.
    info : mne.Info | None
        Measurement information, that of the first of several; None for arrays.
    provenance : Provenance
        What Epochs remember of how they came about, as far as several of them agree.
    waiting : dict of str to tuple of str
        Projectors that are not applied, with the channels that they change.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.signals import as_trials
    >>> trials = as_trials(np.ones((5, 2, 400)), ch_names=["C3", "C4"], sfreq=200.0, unit="uV")
    >>> len(trials), trials.ch_names, trials.unit
    (5, ('C3', 'C4'), 'uV')
    >>> trials.read(start=3).shape
    (2, 2, 400)
    """

    ch_names: tuple[str, ...]
    ch_types: tuple[str, ...] | None
    positions: NDArray[np.float64] | None
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

    def __len__(self) -> int:
        return self.n_trials

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
        start : int
            The first trial.
        stop : int | None
            One past the last trial; by default to the end.
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
        stop = len(self) if stop is None else stop
        if not 0 <= start < stop <= len(self):
            raise ValueError(f"Trials {start} to {stop} are not within the {len(self)} there are.")
        indices = range(len(self.ch_names)) if picks is None else picks
        data = self.reader(start, stop, None if picks is None else list(picks))
        check_real(data)
        data = np.asarray(data, dtype=np.float64)
        broken = ~np.isfinite(data)
        if broken.any():
            trial, channel = np.argwhere(broken.any(axis=-1))[0]
            name = self.ch_names[indices[channel]]
            raise ValueError(self._about_gap(int(start + trial), name, broken[trial, channel]))
        peaks = np.abs(data).max(axis=-1)
        limit = LARGEST_UV * (1 if self.unit == UNITLESS else unit_factor("uV", self.unit))
        if (peaks > limit).any():
            trial, channel = np.argwhere(peaks > limit)[0]
            where = f"Trial {start + trial}, channel {self.ch_names[indices[channel]]!r}"
            raise ValueError(too_large(where, peaks[trial, channel], self.unit))
        return data

    def _about_gap(self, trial: int, ch_name: str, broken: NDArray[np.bool_]) -> str:
        """Say where a trial has samples that are not finite, and what helps."""
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


def in_order(trials: Trials, order: Sequence[int]) -> Trials:
    """Give trials their channels in another order.

    Parameters
    ----------
    trials : Trials
        The trials.
    order : sequence of int
        Index of every channel that is wanted.

    Returns
    -------
    Trials
        The same trials with these channels.
    """
    if list(order) == list(range(len(trials.ch_names))):
        return trials
    types, positions, info = trials.ch_types, trials.positions, trials.info
    return replace(
        trials,
        info=None if info is None else mne.pick_info(info, list(order)),
        ch_names=tuple(trials.ch_names[i] for i in order),
        ch_types=None if types is None else tuple(types[i] for i in order),
        positions=None if positions is None else positions[list(order)],
        reader=partial(read_picked, trials.reader, list(order)),
    )


def as_trials(
    X: Any,
    *,
    ch_names: Sequence[str] | None = None,
    sfreq: float | None = None,
    unit: str = "uV",
    default_ch_name: str = "Cz",
    default_sfreq: float | None = None,
) -> Trials:
    """Make trials of whatever holds signals.

    Parameters
    ----------
    X : Epochs | list of Epochs | array | WindowsDataset | BaseConcatDataset
        - :class:`mne.Epochs` of any kind, in volts, or a view of them (:func:`as_array_like`). If
          they are not preloaded, they are read in batches; if bad epochs are not dropped yet,
          they are dropped from a copy first.
        - A list of Epochs, as scikit-learn makes when it splits Epochs: same channels (in any
          order), rate and window in all. A channel marked bad in one of them is marked bad in all.
        - An array (n_trials, n_channels, n_times), or what converts to one, in ``unit``.
        - An array (n_trials, n_times), taken as trials of one channel.
        - braindecode's ``WindowsDataset``, ``EEGWindowsDataset`` or a ``BaseConcatDataset`` of
          them. They hold MNE objects, so they are in volts: leave out a preprocessing step that
          multiplies by 1e6.
        - torch's ``Subset`` of such a dataset, which ``random_split`` makes, and ``ConcatDataset``.
        - A list of braindecode's ``(X, y, indices)``, as scikit-learn makes when it splits such a
          dataset; it has lost names, rate and unit and is treated as an array.
    ch_names : sequence of str | None
        Channels of an array. Epochs and datasets bring their own.
    sfreq : float | None
        Sampling rate of an array in Hz. Epochs and datasets bring their own.
    unit : "V" | "mV" | "100uV" | "uV" | "au"
        Unit of an array. Epochs and datasets are in volts.
    default_ch_name : str
        Channel of a two-dimensional array if ``ch_names`` is None.
    default_sfreq : float | None
        Rate of a two-dimensional array if ``ch_names`` and ``sfreq`` are None.

    Returns
    -------
    trials : Trials
        The trials, in the order given; nothing is read yet.

    Raises
    ------
    TypeError
        If X is of another kind: a Raw, a path, a sparse matrix, a mixed list.
    ValueError
        If there are no trials (because all were rejected, for example), channels or samples; if
        an array has no names or rate, or has complex or non-numeric values; if the Epochs of a
        list do not belong together.

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> from mne_neurorvq.signals import as_trials
    >>> info = mne.create_info(["C3", "C4"], sfreq=160.0, ch_types="eeg")
    >>> volts = 1e-5 * np.random.default_rng(0).standard_normal((3, 2, 320))
    >>> trials = as_trials(mne.EpochsArray(volts, info, verbose="error"))
    >>> len(trials), trials.ch_names, trials.sfreq, trials.unit
    (3, ('C3', 'C4'), 160.0, 'V')
    >>> trials = as_trials(1e6 * volts, ch_names=["C3", "C4"], sfreq=160.0)
    >>> trials.unit
    'uV'
    """
    check_unit(unit)
    blocks = blocks_of(X)
    if blocks is not None:
        return _from_blocks(blocks)
    data = as_array(X)
    check_shape(data.shape)
    if data.ndim == 2:
        if ch_names is None:
            ch_names = [default_ch_name]
            sfreq = default_sfreq if sfreq is None else sfreq
        data = data[:, np.newaxis, :]
    return _from_array(data, ch_names, sfreq, unit)


def _from_blocks(blocks: Sequence[Block]) -> Trials:
    blocks = with_same_channels(blocks)
    info = blocks[0].info
    starts = np.cumsum([0, *(block.n_trials for block in blocks)])
    n_trials = int(starts[-1])
    if n_trials == 0:
        _check_rejection(blocks)
    empty = [i for i, block in enumerate(blocks) if not block.n_trials]
    if empty and n_trials:
        items = f"Item {empty[0]} of X is" if len(empty) == 1 else f"Items {empty} of X are"
        warn(f"{items} empty: only the trials of the others are there.")
    check_shape((n_trials, len(info["ch_names"]), blocks[0].n_times))
    provenance = _join_provenance(blocks)
    every_bad = [name for block in blocks for name in block.info["bads"]]
    return Trials(
        ch_names=tuple(info["ch_names"]),
        ch_types=tuple(info.get_channel_types()),
        positions=electrode_positions(info),
        bads=tuple(dict.fromkeys(every_bad)),
        sfreq=float(info["sfreq"]),
        n_times=blocks[0].n_times,
        tmin=blocks[0].tmin,
        unit="V",
        events=np.concatenate([block.events for block in blocks]),
        event_id=_join_event_ids(blocks),
        metadata=_join_metadata(blocks, provenance.selection),
        bands=tuple(dict.fromkeys(stated_band(block.info) for block in blocks if _is_told(block))),
        n_trials=n_trials,
        reader=partial(_read_blocks, blocks, starts.tolist()),
        starts=tuple(starts[:-1].tolist()),
        info=info,
        provenance=provenance,
        waiting=waiting_projectors([block.info for block in blocks]),
    )


def _is_told(block: Block) -> bool:
    """Whether filters are known: of what braindecode makes of arrays, all "misc", they are not."""
    return set(block.info.get_channel_types()) != {"misc"}


def _check_rejection(blocks: Sequence[Block]) -> None:
    """Raise if there are no trials because all of them were rejected or not chosen."""
    logs = [why for block in blocks for why in block.provenance.drop_log or ()]
    rejected = [why for why in logs if set(why) - {"IGNORED"}]
    if rejected:
        counts = Counter(reason for why in rejected for reason in why)
        reasons = ", ".join(f"{reason} ({count})" for reason, count in counts.most_common(5))
        more = f" and {len(counts) - 5} more" if len(counts) > 5 else ""
        if len(rejected) < len(logs):
            # Events of other conditions are "IGNORED" in the log, and so are trials that indexing
            # has left out.
            raise ValueError(
                f"X has no trials: of {len(logs)} events {len(rejected)} were rejected (drop_log: "
                f"{reasons}{more}), the others were not chosen (IGNORED). Choose others, or change "
                "what rejects them; epochs.plot_drop_log() shows all reasons."
            )
        raise ValueError(
            f"X has no trials left: all {len(rejected)} were rejected (drop_log: {reasons}{more}). "
            "Change what rejects them (reject=, flat=, annotations that begin with BAD), or repair "
            "the channels that are named; epochs.plot_drop_log() shows all reasons."
        )


def _read_blocks(
    blocks: Sequence[Block], starts: list[int], start: int, stop: int, picks: list[int] | None
) -> NDArray[Any]:
    parts = []
    k = bisect_right(starts, start) - 1
    while start < stop:
        last = min(stop, starts[k + 1])
        if last > start:
            parts.append(blocks[k].read(start - starts[k], last - starts[k], picks))
        start, k = last, k + 1
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _join_event_ids(blocks: Sequence[Block]) -> dict[str, int]:
    joined: dict[str, int] = {}
    for i, block in enumerate(blocks):
        for name, code in block.event_id.items():
            if joined.setdefault(name, code) != code:
                raise ValueError(
                    f"Item {i} of X has event_id {name!r}: {code}, but an earlier one has "
                    f"{joined[name]}. Give events of one name the same code in all."
                )
    return joined


def _join_metadata(blocks: Sequence[Block], selection: NDArray[np.integer] | None) -> Any:
    if all(block.metadata is None for block in blocks):
        return None
    if len(blocks) == 1:
        return blocks[0].metadata
    # Where pandas is absent MNE holds metadata as a list of dicts.
    if all(isinstance(block.metadata, list | None) for block in blocks):
        return [row for block in blocks for row in block.metadata or [{}] * block.n_trials]
    import pandas as pd

    frames = [
        pd.DataFrame(index=range(block.n_trials)) if block.metadata is None else block.metadata
        for block in blocks
    ]
    joined = pd.concat(frames, ignore_index=True)
    return joined if selection is None else joined.set_index(selection)


def _join_provenance(blocks: Sequence[Block]) -> Provenance:
    first = blocks[0].provenance
    if len(blocks) == 1:
        return first
    same = all(block.provenance.baseline == first.baseline for block in blocks)
    selections = []
    log: tuple[tuple[str, ...], ...] = ()
    for block in blocks:
        selection, drop_log = block.provenance.selection, block.provenance.drop_log
        # Of Epochs that scikit-learn has split, every single trial has the log of all.
        single = block.n_trials == 1 and len(drop_log or ()) > 1
        if selection is None or drop_log is None or single:
            return Provenance(baseline=first.baseline if same else None)
        selections.append(len(log) + selection)
        log += drop_log
    return Provenance(np.concatenate(selections), log, first.baseline if same else None)


def _from_array(
    data: NDArray[Any], ch_names: Sequence[str] | None, sfreq: float | None, unit: str
) -> Trials:
    if ch_names is None or sfreq is None:
        needed = {"ch_names=": ch_names, "sfreq=": sfreq}
        missing = " and ".join(name for name, value in needed.items() if value is None)
        raise ValueError(
            f"X is an array of shape {data.shape}, which says nothing about channels and rate: "
            f"pass {missing} (or Epochs, which know)."
        )
    if isinstance(ch_names, str) or len(ch_names) != data.shape[1]:
        count = 1 if isinstance(ch_names, str) else len(ch_names)
        raise ValueError(
            f"ch_names={ch_names!r} names {count} channel(s) but X has {data.shape[1]}: pass one "
            "name per channel, as a list."
        )
    number = isinstance(sfreq, (int, float, np.number)) and not isinstance(sfreq, bool)
    if not (number and np.isfinite(sfreq) and sfreq > 0):
        raise ValueError(f"sfreq={sfreq!r} must be a positive number of Hz.")

    def read(start: int, stop: int, picks: list[int] | None) -> NDArray[Any]:
        part = data[start:stop]
        return part if picks is None else part[:, picks]

    return Trials(
        ch_names=tuple(str(name) for name in ch_names),
        ch_types=None,
        positions=None,
        bads=(),
        sfreq=float(sfreq),
        n_times=data.shape[2],
        tmin=0.0,
        unit=unit,
        events=None,
        event_id=None,
        metadata=None,
        bands=(),
        n_trials=data.shape[0],
        reader=read,
    )
