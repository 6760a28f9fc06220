# License: BSD-3-Clause
"""Trials of braindecode's datasets of windows, and of torch's subsets of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .trials import Provenance, Trials, settled, trials_of_recording


def is_dataset(X: Any) -> bool:
    """Whether this is an object of braindecode, or a dataset of torch."""
    return is_from(X, "braindecode") or is_from(X, "torch.utils.data")


def is_from(X: Any, package: str) -> bool:
    """Whether this is an object of a package, or of a class derived from one of its."""
    return any(f"{base.__module__}.".startswith(f"{package}.") for base in type(X).__mro__)


def trials_of_dataset(dataset: Any) -> list[Trials]:
    """Trials of each recording in a dataset."""
    if hasattr(dataset, "datasets"):
        return [item for part in dataset.datasets for item in trials_of_dataset(part)]
    if hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
        return _from_subset(dataset)
    if not is_from(dataset, "braindecode"):
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
        return [trials_of_recording(settled(dataset.windows))]
    return [_from_windowed_raw(dataset)]


def _from_subset(subset: Any) -> list[Trials]:
    """Trials of the windows that torch's Subset or random_split chose, in their order."""
    items = trials_of_dataset(subset.dataset)
    starts = np.cumsum([0, *map(len, items)])
    if starts[-1] != len(subset.dataset):
        raise ValueError(
            f"X is a Subset of {len(subset.dataset)} windows, of which MNE drops all but "
            f"{starts[-1]}: call drop_bad() on the Epochs before they are split."
        )
    chosen = np.arange(starts[-1])[np.asarray(subset.indices, dtype=int)]
    owners = np.searchsorted(starts, chosen, side="right") - 1
    runs = np.split(np.arange(len(chosen)), np.flatnonzero(np.diff(owners)) + 1)
    if not len(chosen):
        return [_take(items[0], chosen)]
    return [_take(items[owners[run[0]]], chosen[run] - starts[owners[run[0]]]) for run in runs]


def _take(trials: Trials, chosen: NDArray[np.integer]) -> Trials:
    """Take some of the trials, in any order."""

    def read(start: int, stop: int, picks: list[int] | None) -> NDArray[Any]:
        return np.concatenate([trials.reader(i, i + 1, picks) for i in chosen[start:stop].tolist()])

    metadata = trials.metadata
    if isinstance(metadata, list):
        metadata = [metadata[i] for i in chosen]
    elif metadata is not None:
        metadata = metadata.iloc[chosen]
    return replace(
        trials,
        n_trials=len(chosen),
        events=None if trials.events is None else trials.events[chosen],
        metadata=metadata,
        reader=read,
        provenance=Provenance(baseline=trials.provenance.baseline),
    )


def _from_windowed_raw(dataset: Any) -> Trials:
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
    recording = SimpleNamespace(
        info=raw.info,
        times=np.arange(lengths[0]) / raw.info["sfreq"],
        events=events,
        event_id=event_id,
        metadata=dataset.metadata,
        selection=None,
        drop_log=None,
        baseline=None,
    )
    return trials_of_recording(recording, read)


def _codes(dataset: Any) -> tuple[NDArray[np.integer], dict[str, int]]:
    """Event codes of windows: integer targets unchanged, others numbered in sorted order."""
    if dataset.targets_from != "metadata":
        return np.ones(len(dataset), int), {"window": 1}
    targets = list(dataset.y)
    if all(isinstance(target, (int, np.integer)) for target in targets):
        return np.array(targets, int), {str(code): int(code) for code in sorted(set(targets))}
    names = sorted({str(target) for target in targets})
    event_id = {name: code for code, name in enumerate(names, start=1)}
    return np.array([event_id[str(target)] for target in targets]), event_id
