# License: BSD-3-Clause
"""Joining the trials of several recordings: a list of Epochs, or a dataset of several."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._names import order_by_name, say_difference
from .._rates import same_rate
from .._warnings import warn
from .channel_report import TAKE_POTENTIALS
from .trials import Provenance, Trials, reorder_channels


def join_trials(items: Sequence[Trials]) -> Trials:
    """Put trials that belong together one after another; channels are those of the first."""
    first = items[0]
    items = [_match_channels(item, i, first.ch_names) for i, item in enumerate(items)]
    for i, item in enumerate(items):
        _check_alike(item, i, first)
    starts = np.cumsum([0, *map(len, items)]).tolist()
    empty = [i for i, item in enumerate(items) if not len(item)]
    if empty and len(empty) < len(items):
        named = f"Item {empty[0]} of X is" if len(empty) == 1 else f"Items {empty} of X are"
        warn(f"{named} empty: only the trials of the others are there.")

    def read(start: int, stop: int, picks: list[int] | None) -> NDArray[Any]:
        parts = []
        k = bisect_right(starts, start) - 1
        while start < stop:
            last = min(stop, starts[k + 1])
            if last > start:
                parts.append(items[k].reader(start - starts[k], last - starts[k], picks))
            start, k = last, k + 1
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    provenance = _join_provenance(items)
    return replace(
        first,
        bads=tuple(dict.fromkeys(name for item in items for name in item.bads)),
        events=np.concatenate([item.events for item in items]),
        event_id=_join_event_ids(items),
        metadata=_join_metadata(items, provenance.selection),
        bands=tuple(dict.fromkeys(band for item in items for band in item.bands)),
        n_trials=starts[-1],
        reader=read,
        starts=tuple(starts[:-1]),
        provenance=provenance,
        waiting={name: at for item in items for name, at in item.waiting.items()},
        bads_of=tuple(item.bads for item in items),
        applied=tuple(one for item in items for one in item.applied),
    )


def check_rejection(items: Sequence[Trials]) -> None:
    """Raise if there are no trials because all of them were rejected or not chosen."""
    logs = [why for item in items for why in item.provenance.drop_log or ()]
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


def _match_channels(item: Trials, i: int, wanted: Sequence[str]) -> Trials:
    """Bring an item to the channels of the first, by name."""
    if item.ch_names == wanted:
        return item
    order, new = order_by_name(item.ch_names, wanted)
    picks = [place for place in order if place is not None]
    if new or len(picks) < len(wanted):
        missing = [name for name, place in zip(wanted, order, strict=True) if place is None]
        raise ValueError(
            f"Item {i} of X has other channels than item 0: {say_difference(missing, new)}. Keep "
            "those that all have (mne.channels.equalize_channels)."
        )
    return reorder_channels(item, picks, wanted)


def _check_alike(item: Trials, i: int, first: Trials) -> None:
    """Raise unless an item has the types, rate and window of the first."""
    for what, same in (
        ("channel types", item.ch_types == first.ch_types),
        ("sfreq", same_rate(item.sfreq, first.sfreq)),
        ("n_times", item.n_times == first.n_times),
        ("tmin", round(item.tmin, 6) == round(first.tmin, 6)),
    ):
        if not same:
            found, expected = (getattr(t, what.replace("channel ", "ch_")) for t in (item, first))
            remedy = (
                "Bring all to the same channel types (set_channel_types), rate (resample) and "
                "window (crop)."
            )
            if what == "channel types" and "csd" in {*found, *expected}:
                remedy = TAKE_POTENTIALS
            raise ValueError(
                f"Item {i} of X has {what} {_short(found)}, but item 0 has {_short(expected)}. "
                f"{remedy}"
            )


def _join_event_ids(items: Sequence[Trials]) -> dict[str, int]:
    joined: dict[str, int] = {}
    for i, item in enumerate(items):
        for name, code in (item.event_id or {}).items():
            if joined.setdefault(name, code) != code:
                raise ValueError(
                    f"Item {i} of X has event_id {name!r}: {code}, but an earlier one has "
                    f"{joined[name]}. Give events of one name the same code in all."
                )
    return joined


def _join_metadata(items: Sequence[Trials], selection: NDArray[np.integer] | None) -> Any:
    if all(item.metadata is None for item in items):
        return None
    # Where pandas is absent MNE holds metadata as a list of dicts.
    if all(isinstance(item.metadata, list | None) for item in items):
        return [row for item in items for row in item.metadata or [{}] * item.n_trials]
    import pandas as pd

    frames = [
        pd.DataFrame(index=range(item.n_trials)) if item.metadata is None else item.metadata
        for item in items
    ]
    joined = pd.concat(frames, ignore_index=True)
    return joined if selection is None else joined.set_index(selection)


def _join_provenance(items: Sequence[Trials]) -> Provenance:
    first = items[0].provenance
    same = all(item.provenance.baseline == first.baseline for item in items)
    selections = []
    log: tuple[tuple[str, ...], ...] = ()
    for item in items:
        selection, drop_log = item.provenance.selection, item.provenance.drop_log
        # Of Epochs that scikit-learn has split, every single trial has the log of all.
        single = item.n_trials == 1 and len(drop_log or ()) > 1
        if selection is None or drop_log is None or single:
            return Provenance(baseline=first.baseline if same else None)
        selections.append(len(log) + selection)
        log += drop_log
    return Provenance(np.concatenate(selections), log, first.baseline if same else None)


def _short(value: Any) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 200 else f"{text[:200]}..."
