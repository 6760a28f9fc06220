# License: BSD-3-Clause
"""Blocks of trials behind MNE and braindecode objects, read only when asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import eq
from os import PathLike, fspath
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from .._rates import same_rate
from .array_like import EpochsView, as_array_like
from .channel_report import TAKE_POTENTIALS
from .names import order_by_name, say_difference

Reader = Callable[[int, int, "list[int] | None"], NDArray[Any]]
_HEAD_FRAME = 4  # FIFFV_COORD_HEAD


@dataclass(frozen=True, eq=False)
class Provenance:
    """What Epochs remember of how they came about.

    Parameters
    ----------
    selection : array of int, shape (n_trials,) | None
        Number of each trial among all events, dropped ones included.
    drop_log : tuple of tuple of str | None
        Why trials were dropped, for each event; empty for those that are there.
    baseline : tuple | None
        Start and end in seconds of the interval of baseline correction.
    """

    selection: NDArray[np.integer] | None = None
    drop_log: tuple[tuple[str, ...], ...] | None = None
    baseline: tuple[float | None, float | None] | None = None


@dataclass(frozen=True, eq=False)
class Block:
    """Trials of one Epochs object or braindecode dataset.

    Parameters
    ----------
    info : mne.Info
        Channels, rate and filter settings.
    n_trials, n_times : int
        Number of trials and samples of each.
    tmin : float
        Time of the first sample in seconds.
    events : array, shape (n_trials, 3)
        MNE events.
    event_id : dict
        Names of event codes.
    metadata : DataFrame | None
        One row per trial.
    read : callable
        ``read(start, stop, picks)`` gives (stop - start, n_picks, n_times) in volts.
    provenance : Provenance
        What Epochs remember; nothing for windows of a recording.
    """

    info: mne.Info
    n_trials: int
    n_times: int
    tmin: float
    events: NDArray[np.integer]
    event_id: dict[str, int]
    metadata: Any
    read: Reader
    provenance: Provenance = Provenance()

    def take(self, trials: NDArray[np.integer]) -> Block:
        """Give some of the trials, in any order."""

        def read(start: int, stop: int, picks: list[int] | None) -> NDArray[Any]:
            return np.concatenate([self.read(i, i + 1, picks) for i in trials[start:stop].tolist()])

        metadata = self.metadata
        if isinstance(metadata, list):
            metadata = [metadata[i] for i in trials]
        elif metadata is not None:
            metadata = metadata.iloc[trials]
        return replace(
            self,
            n_trials=len(trials),
            events=self.events[trials],
            metadata=metadata,
            read=read,
            provenance=Provenance(baseline=self.provenance.baseline),
        )

    @property
    def signature(self) -> dict[str, Any]:
        """What must be the same in all blocks that are joined."""
        return {
            "ch_names": list(self.info["ch_names"]),
            "channel types": self.info.get_channel_types(),
            "sfreq": float(self.info["sfreq"]),
            "n_times": self.n_times,
            "tmin": round(self.tmin, 6),
        }


def blocks_of(X: Any) -> list[Block] | None:
    """Take apart Epochs, views of them, datasets of braindecode and lists of these.

    Parameters
    ----------
    X : object
        What a user passed.

    Returns
    -------
    blocks : list of Block | None
        None if X is nothing of that kind (an array, probably).

    Raises
    ------
    TypeError
        If X is another object of MNE, braindecode or torch, a path, or a list that mixes kinds.
    """
    if isinstance(X, (mne.BaseEpochs, EpochsView)):
        return [_from_view(as_array_like(X))]
    if _is_from(X, "mne"):
        raise TypeError(
            f"X is {type(X).__name__}: trials are needed. Filter a recording "
            "(mne_neurorvq.preprocess) and cut it into Epochs, for example with "
            "mne.make_fixed_length_epochs(raw, duration=4.0)."
        )
    if isinstance(X, (str, PathLike)):
        raise TypeError(
            f"X is the path {fspath(X)!r}, not what it holds: read it first, Epochs with "
            "mne.read_epochs, a recording with mne.io.read_raw, which is then cut into trials, for "
            "example with mne.make_fixed_length_epochs(raw, duration=4.0)."
        )
    if _is_dataset(X):
        return _from_dataset(X)
    if isinstance(X, (list, tuple)):
        for item in X:
            if isinstance(item, (str, PathLike)) or _is_from(item, "mne"):
                blocks_of(item)  # raises for what is not to be in a list
        known = [isinstance(item, EpochsView) or is_recorded(item) for item in X]
        if any(known) and not all(known):
            i = known.index(False)
            raise TypeError(
                f"Item {i} of the list X is {type(X[i]).__name__}, but others are Epochs or "
                "datasets: pass objects of one kind."
            )
        if any(known):
            return [block for item in X for block in blocks_of(item) or []]
    return None


def is_recorded(item: Any) -> bool:
    """Whether an object brings its channels: one of MNE, a view, or a dataset.

    Parameters
    ----------
    item : object
        What a user passed, or an item of a list.

    Returns
    -------
    bool
        False for what is, or may become, an array.
    """
    return isinstance(item, EpochsView) or _is_from(item, "mne") or _is_dataset(item)


def with_same_channels(blocks: Sequence[Block]) -> list[Block]:
    """Bring blocks to the channels of the first, by name, and check that they belong together.

    Parameters
    ----------
    blocks : sequence of Block
        At least one block.

    Returns
    -------
    list of Block
        Blocks with the same names, in the same order.

    Raises
    ------
    ValueError
        If they have other channels, rate, length or time of the first sample: naming the first
        block that differs, what differs, and the remedy.
    """
    wanted = list(blocks[0].info["ch_names"])
    blocks = [_in_order(block, i, wanted) for i, block in enumerate(blocks)]
    first = blocks[0].signature
    for i, block in enumerate(blocks[1:], start=1):
        if block.info is blocks[0].info and block.n_times == blocks[0].n_times:
            continue
        for what, value in block.signature.items():
            same = same_rate if what == "sfreq" else eq
            if not same(value, first[what]):
                remedy = (
                    "Bring all to the same channel types (set_channel_types), rate (resample) and "
                    "window (crop)."
                )
                if what == "channel types" and "csd" in {*value, *first[what]}:
                    remedy = TAKE_POTENTIALS
                raise ValueError(
                    f"Item {i} of X has {what} {_short(value)}, but item 0 has "
                    f"{_short(first[what])}. {remedy}"
                )
    return list(blocks)


def _in_order(block: Block, i: int, wanted: list[str]) -> Block:
    """Give a block the names and the order that are wanted."""
    names = list(block.info["ch_names"])
    if names == wanted:
        return block
    order, new = order_by_name(names, wanted)
    picks = [place for place in order if place is not None]
    if new or len(picks) < len(wanted):
        missing = [name for name, place in zip(wanted, order, strict=True) if place is None]
        raise ValueError(
            f"Item {i} of X has other channels than item 0: {say_difference(missing, new)}. Keep "
            "those that all have (mne.channels.equalize_channels)."
        )
    info = mne.pick_info(block.info, picks)
    spelled = {names[place]: name for place, name in zip(picks, wanted, strict=True)}
    if any(old != name for old, name in spelled.items()):
        mne.rename_channels(info, spelled)
    return replace(block, info=info, read=partial(read_picked, block.read, picks))


def read_picked(
    read: Reader, order: list[int], start: int, stop: int, picks: list[int] | None
) -> NDArray[Any]:
    """Read channels by their places in another order."""
    return read(start, stop, order if picks is None else [order[i] for i in picks])


def electrode_positions(info: mne.Info) -> NDArray[np.float64]:
    """Electrode positions in the head frame in metres, NaN where unknown.

    Parameters
    ----------
    info : mne.Info
        Channels.

    Returns
    -------
    positions : array, shape (n_channels, 3)
        Positions.
    """
    positions = np.full((len(info["chs"]), 3), np.nan)
    for i, channel in enumerate(info["chs"]):
        location = np.asarray(channel["loc"][:3], dtype=float)
        if channel["coord_frame"] == _HEAD_FRAME and np.isfinite(location).all() and location.any():
            positions[i] = location
    return positions


def waiting_projectors(infos: Sequence[mne.Info]) -> dict[str, tuple[str, ...]]:
    """Projectors that are not applied, with the channels that they change.

    Parameters
    ----------
    infos : sequence of mne.Info
        Of what is joined.

    Returns
    -------
    dict of str to tuple of str
        Channels by the description of the projector.
    """
    different = {id(info): info for info in infos}.values()
    return {
        str(projector["desc"]): tuple(projector["data"]["col_names"])
        for info in different
        for projector in info["projs"]
        if not projector["active"]
    }


def _from_view(view: EpochsView) -> Block:
    return Block(
        view.info,
        len(view),
        view.shape[2],
        view.tmin,
        view.events,
        view.event_id,
        view.metadata,
        view.read,
        Provenance(view.selection, view.drop_log, view.baseline),
    )


def _is_dataset(X: Any) -> bool:
    return _is_from(X, "braindecode") or _is_from(X, "torch.utils.data")


def _is_from(X: Any, package: str) -> bool:
    """Whether this is an object of a package, or of a class derived from one of its."""
    return any(f"{base.__module__}.".startswith(f"{package}.") for base in type(X).__mro__)


def _from_dataset(dataset: Any) -> list[Block]:
    if hasattr(dataset, "datasets"):
        return [block for part in dataset.datasets for block in _from_dataset(part)]
    if hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
        return _from_subset(dataset)
    if not _is_from(dataset, "braindecode"):
        raise TypeError(
            f"X is, or holds, a {type(dataset).__name__} of torch, which does not say what its "
            "channels are: pass Epochs, a dataset of braindecode, or the array with ch_names= and "
            "sfreq=."
        )
    if not hasattr(dataset, "crop_inds"):
        raise TypeError(
            f"X is braindecode's {type(dataset).__name__}, which is not cut into windows: use "
            "braindecode.preprocessing.create_windows_from_events or create_fixed_length_windows."
        )
    if dataset.transform is not None:
        raise ValueError(
            f"X is a braindecode {type(dataset).__name__} with a transform, which would change "
            "signals unseen: apply it before, or set dataset.transform = None."
        )
    if hasattr(dataset, "windows"):
        return [_from_view(as_array_like(dataset.windows))]
    return [_from_windowed_raw(dataset)]


def _from_subset(subset: Any) -> list[Block]:
    """Windows that torch's Subset or random_split chose, in their order."""
    blocks = _from_dataset(subset.dataset)
    starts = np.cumsum([0, *(block.n_trials for block in blocks)])
    if starts[-1] != len(subset.dataset):
        raise ValueError(
            f"X is a Subset of {len(subset.dataset)} windows, of which MNE drops all but "
            f"{starts[-1]}: call drop_bad() on the Epochs before they are split."
        )
    chosen = np.arange(starts[-1])[np.asarray(subset.indices, dtype=int)]
    owners = np.searchsorted(starts, chosen, side="right") - 1
    runs = np.split(np.arange(len(chosen)), np.flatnonzero(np.diff(owners)) + 1)
    if not len(chosen):
        return [blocks[0].take(chosen)]
    return [blocks[owners[run[0]]].take(chosen[run] - starts[owners[run[0]]]) for run in runs]


def _from_windowed_raw(dataset: Any) -> Block:
    raw = dataset.raw
    starts, stops = np.asarray(dataset.crop_inds)[:, 1:].T
    lengths = np.unique(stops - starts)
    if len(lengths) != 1:
        raise ValueError(
            f"The windows of the dataset have {lengths.tolist()} samples: windows of one length "
            "are needed."
        )

    def read(start: int, stop: int, picks: list[int] | None) -> NDArray[Any]:
        windows = [
            raw.get_data(picks=picks, start=a, stop=b, verbose="error")
            for a, b in zip(starts[start:stop], stops[start:stop], strict=True)
        ]
        return np.stack(windows)

    codes, event_id = _codes(dataset)
    events = np.column_stack([starts + raw.first_samp, np.zeros_like(starts), codes])
    return Block(
        raw.info, len(starts), int(lengths[0]), 0.0, events, event_id, dataset.metadata, read
    )


def _codes(dataset: Any) -> tuple[NDArray[np.integer], dict[str, int]]:
    """Event codes of windows: integer targets as they are, others counted in sorted order."""
    if dataset.targets_from != "metadata":
        return np.ones(len(dataset), int), {"window": 1}
    targets = list(dataset.y)
    if all(isinstance(target, (int, np.integer)) for target in targets):
        return np.array(targets, int), {str(code): int(code) for code in sorted(set(targets))}
    names = sorted({str(target) for target in targets})
    event_id = {name: code for code, name in enumerate(names, start=1)}
    return np.array([event_id[str(target)] for target in targets]), event_id


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
