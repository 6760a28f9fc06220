# License: BSD-3-Clause
"""Blocks of trials behind MNE and braindecode objects, read only when asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import eq
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from .._rates import same_rate
from .array_like import EpochsView, as_array_like
from .names import order_by_name, say_difference

Reader = Callable[[int, int, "list[int] | None"], NDArray[Any]]
_HEAD_FRAME = 4  # FIFFV_COORD_HEAD


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
    """

    info: mne.Info
    n_trials: int
    n_times: int
    tmin: float
    events: NDArray[np.integer]
    event_id: dict[str, int]
    metadata: Any
    read: Reader

    @property
    def signature(self) -> dict[str, Any]:
        """What must be the same in all blocks that are joined."""
        return {
            "ch_names": list(self.info["ch_names"]),
            "channel kinds": [int(ch["kind"]) for ch in self.info["chs"]],
            "sfreq": float(self.info["sfreq"]),
            "n_times": self.n_times,
            "tmin": round(self.tmin, 6),
        }


def blocks_of(X: Any) -> list[Block] | None:
    """Take apart Epochs, views of them, braindecode datasets and lists of these.

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
        If X is another MNE or braindecode object, or a list that mixes kinds.
    """
    if isinstance(X, (mne.BaseEpochs, EpochsView)):
        return [_from_view(as_array_like(X))]
    if _is_from(X, "mne"):
        raise TypeError(
            f"X is {type(X).__name__}: trials are needed. Filter a recording "
            "(mne_neurorvq.preprocess) and cut it into Epochs, for example with "
            "mne.make_fixed_length_epochs(raw, duration=4.0)."
        )
    if _is_braindecode(X):
        return _from_braindecode(X)
    if isinstance(X, (list, tuple)):
        for item in X:
            if _is_from(item, "mne") and not isinstance(item, mne.BaseEpochs):
                blocks_of(item)
        known = [
            isinstance(item, (mne.BaseEpochs, EpochsView)) or _is_braindecode(item) for item in X
        ]
        if any(known) and not all(known):
            i = known.index(False)
            raise TypeError(
                f"Item {i} of the list X is {type(X[i]).__name__}, but others are Epochs or "
                "datasets: pass objects of one kind."
            )
        if any(known):
            return [block for item in X for block in blocks_of(item) or []]
    return None


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
                raise ValueError(
                    f"Item {i} of X has {what} {_short(value)}, but item 0 has "
                    f"{_short(first[what])}. Bring all to the same channel types "
                    "(set_channel_types), rate (resample) and window (crop)."
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
    )


def _is_braindecode(X: Any) -> bool:
    return _is_from(X, "braindecode")


def _is_from(X: Any, package: str) -> bool:
    """Whether this is an object of a package, or of a class derived from one of its."""
    return any(base.__module__.partition(".")[0] == package for base in type(X).__mro__)


def _from_braindecode(dataset: Any) -> list[Block]:
    if hasattr(dataset, "datasets"):
        return [block for part in dataset.datasets for block in _from_braindecode(part)]
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
