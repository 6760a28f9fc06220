# License: BSD-3-Clause
"""The steps from annotated recordings of several people to trials in one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mne
import numpy as np
from mne.utils import logger

from .._names import order_by_name, shorten
from .._rates import same_rate
from .._warnings import warn
from ..signals.bands import clearly_narrower, stated_band, widest_band
from ..signals.gaps import resample_recording


def subjects_of(recordings: Sequence[mne.io.BaseRaw]) -> list[str]:
    """Return the subject of each recording."""
    subjects = []
    for number, raw in enumerate(recordings):
        subject = (raw.info["subject_info"] or {}).get("his_id")
        if not subject:
            raise ValueError(
                f"recording {number} does not say whose it is: set "
                "raw.info['subject_info'] = {'his_id': ...}"
            )
        subjects.append(subject)
    return subjects


def common_channels(
    recordings: Sequence[mne.io.BaseRaw], picks: str | Sequence[str]
) -> list[list[str]]:
    """Names of the channels that all recordings have, as each recording spells them.

    They are in the order of the first recording, or of picks.
    """
    if isinstance(picks, str):
        available = [
            [n for n, t in zip(raw.ch_names, raw.get_channel_types(), strict=True) if t == picks]
            for raw in recordings
        ]
        wanted = available[0]
    else:
        available = [list(raw.ch_names) for raw in recordings]
        wanted = list(picks)
    places = [order_by_name(names, wanted)[0] for names in available]
    if not isinstance(picks, str):
        for number, found in enumerate(places):
            missing = [name for name, i in zip(wanted, found, strict=True) if i is None]
            if missing:
                raise ValueError(f"recording {number} has no channels {missing}: change picks=")
    shared = [column for column in zip(*places, strict=True) if None not in column]
    if not shared:
        types = sorted({kind for raw in recordings for kind in raw.get_channel_types()})
        raise ValueError(
            f"the recordings have no channel of type {picks!r} in common: set picks= to one of "
            f"their types, {', '.join(types)}, or to names of channels"
        )
    chosen = [[names[column[k]] for column in shared] for k, names in enumerate(available)]
    if isinstance(picks, str):
        left_out = dict.fromkeys(
            name
            for names, kept in zip(available, chosen, strict=True)
            for name in names
            if name not in kept
        )
        if left_out:
            warn(
                f"{len(shared)} channels are in all recordings; left out: "
                f"{shorten(list(left_out), 20)}. picks= names the channels to take."
            )
    return chosen


def common_rate(recordings: Sequence[mne.io.BaseRaw]) -> float:
    """Return the sampling rate that all recordings share."""
    rates = [float(raw.info["sfreq"]) for raw in recordings]
    if not all(same_rate(rates[0], rate) for rate in rates):
        raise ValueError(
            f"the recordings have sampling rates of {sorted(set(rates))} Hz: pass sfreq= to "
            "resample them"
        )
    return rates[0]


def common_events(
    recordings: Sequence[mne.io.BaseRaw], event_id: Mapping[str, int] | None
) -> dict[str, int]:
    """Event codes of the annotations to cut at; every recording has one of them."""
    if event_id is None:
        found = {str(d) for raw in recordings for d in raw.annotations.description}
        names = sorted(d for d in found if not d.upper().startswith(("BAD", "EDGE")))
        event_id = {name: code for code, name in enumerate(names, start=1)}
    if len(set(event_id.values())) < len(event_id):
        raise ValueError(f"event_id must give each annotation its own code, got {dict(event_id)}")
    for number, raw in enumerate(recordings):
        found = {str(d) for d in raw.annotations.description}
        if not event_id or not found:
            raise ValueError(
                f"recording {number} has no annotations to cut at: raw.set_annotations("
                "mne.Annotations(0, raw.times[-1], 'rest')) makes one condition of a file, which "
                "chunk_duration= cuts into trials"
            )
        if not found & set(event_id):
            raise ValueError(
                f"recording {number} has none of the annotations {sorted(event_id)}; it has "
                f"{sorted(found)}: change event_id="
            )
    return dict(event_id)


def stack_trials(
    recordings: Sequence[mne.io.BaseRaw],
    tmin: float,
    tmax: float,
    event_id: dict[str, int],
    names: list[list[str]],
    sfreq: float,
    chunk_duration: float | None,
) -> tuple[mne.EpochsArray, np.ndarray]:
    """Cut all recordings: the trials, and the position of the recording of each.

    ``names`` are those of the same channels in each recording.
    """
    # An upper bound is allocated and filled, so that no second copy of all trials is ever held.
    most = sum(len(_events(raw, event_id, chunk_duration)) for raw in recordings)
    data, events, origins, infos = np.empty(0), [], [], []
    n, offset = 0, 0
    for number, raw in enumerate(recordings):
        epochs = _cut(raw, tmin, tmax, event_id, names[number], sfreq, chunk_duration)
        if not data.size:
            data = np.empty((most, len(names[0]), len(epochs.times)))
        if len(epochs):
            data[n : n + len(epochs)] = epochs.get_data(picks=names[number], copy=False)
        n += len(epochs)
        # Sample numbers go on from recording to recording: MNE wants each to occur once.
        events.append(epochs.events + [offset - round(raw.first_time * sfreq), 0, 0])
        offset += round(raw.n_times / raw.info["sfreq"] * sfreq) + 1
        origins.append(np.full(len(epochs), number))
        infos.append(_spelled(epochs.info, names[number], names[0]))
    if not n:
        raise ValueError(f"no trial from {tmin:g} to {tmax:g} s lies within its recording")
    if n < most:
        logger.info(f"{most - n} of {most} trials left out: marked BAD, or beyond the recording")
    origin = np.concatenate(origins)
    present = np.concatenate(events)
    used = {name: code for name, code in event_id.items() if code in present[:, 2]}
    epochs = mne.EpochsArray(
        data[:n], _merged(infos), present, tmin, used, proj=False, verbose="error"
    )
    return epochs, origin


def attach_table(epochs: mne.EpochsArray, rows: list[dict[str, Any]]) -> None:
    """Give trials their metadata: a DataFrame, or a list of dicts where pandas is absent."""
    try:
        import pandas as pd
    except ImportError:
        epochs.metadata = rows
    else:
        epochs.metadata = pd.DataFrame(rows)


def _events(
    raw: mne.io.BaseRaw, event_id: dict[str, int], chunk_duration: float | None
) -> np.ndarray:
    """Events ``(n, 3)`` of annotations, or of the chunks of long ones."""
    return mne.events_from_annotations(
        raw, event_id, chunk_duration=chunk_duration, verbose="error"
    )[0]


def _cut(
    raw: mne.io.BaseRaw,
    tmin: float,
    tmax: float,
    event_id: dict[str, int],
    names: list[str],
    sfreq: float,
    chunk_duration: float | None,
) -> mne.Epochs:
    if not same_rate(raw.info["sfreq"], sfreq):
        raw = resample_recording(raw.copy().pick(names).load_data(verbose="error"), sfreq)
    return mne.Epochs(
        raw,
        _events(raw, event_id, chunk_duration),
        event_id,
        tmin,
        tmax,
        baseline=None,
        picks=names,
        preload=True,
        proj=False,
        on_missing="ignore",
        verbose="error",
    )


def _spelled(info: mne.Info, own: list[str], common: list[str]) -> mne.Info:
    """Info of channels in the order, and with the names, that all recordings get."""
    info = mne.pick_info(info, [info["ch_names"].index(name) for name in own])
    mne.rename_channels(info, dict(zip(own, common, strict=True)), verbose="error")
    return info


def _merged(infos: list[mne.Info]) -> mne.Info:
    """Info of the first recording, without what is not true of all."""
    info = infos[0].copy()
    bads = {name for other in infos for name in other["bads"]}
    info["bads"] = [name for name in info["ch_names"] if name in bads]
    if len({other["description"] for other in infos}) > 1:
        info["description"] = None
    if len({(other["subject_info"] or {}).get("his_id") for other in infos}) > 1:
        info["subject_info"] = None
    with info._unlock():
        info["highpass"], info["lowpass"] = widest = widest_band(map(stated_band, infos))
        if len(infos) > 1:
            info["meas_date"] = None
    for number, other in enumerate(infos):
        band = stated_band(other)
        if clearly_narrower(band, widest):
            warn(
                f"recording {number} was filtered to {band[0]:g}-{band[1]:g} Hz, others to "
                f"{widest[0]:g}-{widest[1]:g} Hz, which is all that the info of the trials says: "
                "filter all alike, for example with mne_neurorvq.preprocess"
            )
            break
    return info
