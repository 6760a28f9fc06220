# License: BSD-3-Clause
"""Gaps in recordings: NaN and infinite samples, which filters would spread over all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil, floor

import mne
import numpy as np
from numpy.typing import NDArray

from .units import Runs, find_runs

# MNE's filters skip these annotations only; they filter across others that begin with BAD.
_LEFT_OUT = "BAD_ACQ_SKIP"
_HERE = f"{_LEFT_OUT} found by mne_neurorvq"


def marked_bad(raw: mne.io.BaseRaw, ch_name: str) -> NDArray[np.bool_]:
    """Whether each sample of a channel lies in an annotation that begins with BAD, (n_times,)."""
    return _marked(raw, "BAD", ch_name)


def find_gaps(raw: mne.io.BaseRaw, picks: Sequence[int]) -> dict[int, Runs]:
    """Find runs (start, stop) of NaN and infinite samples by channel.

    Raises a ValueError with channel, time and remedy unless an annotation marks them or the channel
    is marked bad.
    """
    gaps, dead, unmarked = {}, [], {}
    for pick in picks:
        name = raw.ch_names[pick]
        broken = ~np.isfinite(raw.get_data(picks=[pick], verbose="error")[0])
        if not broken.any():
            continue
        gaps[int(pick)] = find_runs(broken)
        if name in raw.info["bads"]:
            continue
        if broken.all():
            dead.append(name)
        elif runs := find_runs(broken & ~marked_bad(raw, name)):
            unmarked[name] = runs
    if dead:
        raise ValueError(
            f"NaN or infinite throughout: {', '.join(map(repr, dead))}. Drop such channels "
            f"(raw.drop_channels({dead})), or mark them as bad (raw.info['bads'] += {dead})."
        )
    if unmarked:
        raise ValueError(_unmarked(raw, unmarked))
    return gaps


@contextmanager
def around_gaps(raw: mne.io.BaseRaw, picks: Sequence[int]) -> Iterator[None]:
    """Have MNE's filters stop before gaps and start anew after them, while the context lasts.

    In the end a recording in memory has its annotations and its gaps as they were.
    """
    gaps = find_gaps(raw, picks)
    # A gap in a good channel interrupts all channels, since Epochs leave it out anyway; one in a
    # channel marked bad does not.
    bad = {pick: runs for pick, runs in gaps.items() if raw.ch_names[pick] in raw.info["bads"]}
    shared = sorted({run for pick, runs in gaps.items() if pick not in bad for run in runs})
    kept = {pick: raw[pick][0] for pick in bad}
    starts, stops = np.array(shared, float).reshape(-1, 2).T / raw.info["sfreq"]
    raw.annotations.append(raw.first_time + starts, stops - starts, [_HERE] * len(shared))
    try:
        if _marked(raw, _LEFT_OUT).all():
            raise ValueError(
                "raw is one gap: annotations and samples that are not finite leave nothing of it "
                "to filter."
            )
        for pick, signal in kept.items():
            raw[pick] = np.where(np.isfinite(signal), signal, 0.0)
        yield
    finally:
        raw.annotations.delete(np.flatnonzero(raw.annotations.description == _HERE))
        for pick, signal in kept.items():
            raw[pick] = np.where(np.isfinite(signal), raw[pick][0], signal)


def bridged(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw straight lines across the gaps of one channel (n_times,); zeros if it is one gap."""
    finite = np.isfinite(signal)
    if finite.all():
        return signal
    if not finite.any():
        return np.zeros_like(signal)
    at = np.arange(len(signal))
    return np.interp(at, at[finite], signal[finite])


def resample_recording(raw: mne.io.BaseRaw, sfreq: float) -> mne.io.BaseRaw:
    """Resample a recording in memory in place with MNE; gaps stay where they are."""
    gaps = find_gaps(raw, range(len(raw.ch_names)))
    for pick in gaps:
        raw[pick] = bridged(raw[pick][0][0])
    ratio = sfreq / raw.info["sfreq"]
    raw.resample(sfreq, verbose="error")
    for pick, runs in gaps.items():
        for start, stop in runs:
            raw[pick, floor(start * ratio) : min(raw.n_times, ceil(stop * ratio))] = np.nan
    return raw


def _marked(raw: mne.io.BaseRaw, kind: str, ch_name: str | None = None) -> NDArray[np.bool_]:
    """Mark samples (n_times,) in annotations that begin with ``kind``, of a channel or any."""
    marked = np.zeros(raw.n_times, bool)
    notes = raw.annotations
    for onset, duration, text, ch_names in zip(
        notes.onset - raw.first_time, notes.duration, notes.description, notes.ch_names, strict=True
    ):
        of_others = ch_name is not None and ch_names and ch_name not in ch_names
        if text.upper().startswith(kind) and not of_others:
            # A little leeway, since annotations are saved with few decimals.
            first, last = np.array([onset, onset + duration]) * raw.info["sfreq"] + 1e-3
            marked[max(0, floor(first)) : max(0, floor(last) + 1)] = True
    return marked


def _unmarked(raw: mne.io.BaseRaw, unmarked: dict[str, Runs]) -> str:
    """Say where the first gap is, and how to mark it."""
    sfreq = raw.info["sfreq"]
    name, runs = min(unmarked.items(), key=lambda item: item[1][0])
    start, stop = runs[0]
    onset = floor(1e3 * (raw.first_time + start / sfreq)) / 1e3
    duration = ceil(1e3 * (raw.first_time + stop / sfreq)) / 1e3 - onset
    n_others = sum(len(runs) for runs in unmarked.values()) - 1
    others = f" ({n_others} more gaps in {len(unmarked)} channels)" if n_others else ""
    return (
        f"Channel {name!r} is NaN or infinite from {start / sfreq:.3f} to {stop / sfreq:.3f} s"
        f"{others}: filtering and resampling would spread it over the whole recording. Mark the "
        f"gap first, with raw.annotations.append({onset:.3f}, {duration:.3f}, 'BAD_gap') "
        "(mne.preprocessing.annotate_nan finds all that are NaN): it is then left as it is, and "
        "Epochs leave it out. Or crop the recording, or drop the channel."
    )
