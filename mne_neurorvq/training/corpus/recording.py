# License: BSD-3-Clause
"""One recording on its way into a corpus: read, filtered, judged, cut, written."""

from __future__ import annotations

import re
import shutil
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import mne
import numpy as np
from numpy.typing import NDArray

from ..._optional import optional
from ...datasets.wfdb_records import WFDB_HEADER, read_wfdb
from ...encoding.preprocessing import preprocessing_of
from ...signals import (
    ChannelReport,
    check_recording_scale,
    match_channels,
    resample,
    unit_factor,
    use_channels,
)
from ...signals.channel_report import used_channels
from ...signals.filtering import filter_recording
from ...signals.gaps import bridged
from ...signals.modalities import find_modality
from ...signals.resampling import resampled_length
from ...weights.systems import Config
from .artefacts import PatchQuality, stuck_channels
from .finding import Found
from .format import Entry, Status, window_starts
from .storage import CorpusFolder
from .window_rules import SHORTEST, STEPS, Rules
from .zarr_arrays import NOTHING, checksum, to_text, write_array

_MARKED_BAD = ("BAD", "EDGE")
# EDF readers call every channel "eeg": what a name begins with counts more.
_KIND = re.compile(r"\s*(eeg|ecg|emg|eog)\b", re.I)


class Unusable(ValueError):
    """A recording was read, but nothing of it can be used."""


def prepare_recording(found: Found, rules: Rules, folder: CorpusFolder) -> Entry:
    """Prepare one recording, up to a temporary array; whatever is wrong with it is the reason."""
    stamp = ""
    try:
        if not found.path.exists():
            raise FileNotFoundError("there is no such file")
        if not (found.path.is_file() or found.path.is_dir()):
            # A reader would wait for a pipe forever.
            raise ValueError("it is a pipe or a device, not a file")
        stamp = found.stamp
        with warnings.catch_warnings(), mne.utils.use_log_level("error"):
            # Thousands of files have thousands of remarks on their headers.
            warnings.simplefilter("ignore")
            return _prepare(found, stamp, rules, folder)
    except Exception as error:
        # What MNE raises for a broken file may be of any type, and at times without a word.
        text = " ".join(str(error).split()) or type(error).__name__
        status: Status = "rejected" if isinstance(error, Unusable) else "failed"
        return Entry(str(found.path), stamp, status, text, found.subject, found.rule)


def _prepare(found: Found, stamp: str, rules: Rules, folder: CorpusFolder) -> Entry:
    config, limits, size = rules.config, rules.limits, rules.patch_size
    raw = _open(found)
    _check_length(raw, rules)
    dropped: dict[str, list[str]] = defaultdict(list)
    with _unusable():
        raw, matches = pick_matching(raw, config)
    with _unusable(whole=True):
        # Before channels in another unit are dropped as flat or saturated.
        check_recording_scale(raw, range(len(raw.ch_names)), config.modality)
    for match in matches:
        if not match.used:
            known = match.reason == "marked bad"
            dropped["marked bad" if known else "no match"].append(match.name)
    rows = np.array(used_channels(matches)[1])

    stuck = stuck_channels(raw, limits)
    for name, reason in stuck.items():
        dropped[reason].append(name)
    rows = rows[[name not in stuck for name in raw.ch_names]]
    _check_left(rows, dropped)
    raw.drop_channels(list(stuck))

    bad_times, names = _bad_times(raw), raw.ch_names
    data = model_signals(raw, config)
    n_patches = data.shape[1] // size
    data = data[:, : n_patches * size]
    quality = PatchQuality.of(data, size, rules.clip, rules.flat_deviation)
    bad = quality.bad_channels(limits)
    for i, reason in bad.items():
        dropped[reason].append(names[i])
    kept = [i for i in range(len(names)) if i not in bad]
    rows = rows[kept]
    _check_left(rows, dropped)
    lost = _lost_windows(quality.without(bad), bad_times, rules)
    left_out = {number for numbers in lost.values() for number in numbers}
    starts = window_starts(n_patches, rules.window_patches, left_out)
    if not starts:
        raise Unusable(f"every window is {' or '.join(sorted(lost))}")

    counts = _counts(data[kept], rules, left_out)
    attributes = {"rows": rows.tolist(), "step": rules.step, "unit": rules.unit}
    target = folder.temporary(str(found.path))
    shutil.rmtree(target, ignore_errors=True)
    window_times = rules.window_patches * size
    files = write_array(target, counts, window_times, attributes | {"sfreq": config.sfreq})
    checksums = [checksum(counts[:, i * size : i * size + window_times]) for i in starts]
    return Entry(
        path=str(found.path),
        stamp=stamp,
        status="done",
        subject=found.subject,
        rule=found.rule,
        id=_identity(found.path, counts, rows),
        rows=tuple(rows.tolist()),
        names=() if config.channels else tuple(names[i] for i in kept),
        n_patches=n_patches,
        dropped=dict(dropped),
        lost=lost,
        files=files,
        checksums=to_text(checksums),
    )


@contextmanager
def _unusable(*, whole: bool = False) -> Iterator[None]:
    """Make an error of the recording's content its reason: the first sentence, or the whole."""
    try:
        yield
    except ValueError as error:
        text = str(error) if whole else str(error).partition(". ")[0]
        raise Unusable(" ".join(text.split())) from error


def _open(found: Found) -> mne.io.BaseRaw:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Of a file that was cut off MNE reads what is left: a part of somebody, under the name
        # of somebody else perhaps.
        warnings.filterwarnings("error", "Number of records from the header does not match")
        if found.path.suffix.lower() == WFDB_HEADER:
            return read_wfdb(found.path)
        if found.bids_root is None:
            return mne.io.read_raw(found.path, preload=False, verbose="warning")
        with optional("a BIDS data set", "pretrain"):
            from mne_bids import get_bids_path_from_fname, read_raw_bids

        path = get_bids_path_from_fname(found.path, check=False, verbose="error")
        return read_raw_bids(path.update(root=found.bids_root), verbose="warning")


def _check_length(raw: mne.io.BaseRaw, rules: Rules) -> None:
    seconds = raw.n_times / raw.info["sfreq"]
    least = SHORTEST * rules.patch_seconds
    if seconds < least:
        raise Unusable(f"{seconds:.3g} s are shorter than {least:g} s")


def pick_matching(raw: mne.io.BaseRaw, config: Config) -> tuple[mne.io.BaseRaw, ChannelReport]:
    """Keep the channels that the model takes, in place; from here on all are of its type."""
    names, bads, modality = config.channels, raw.info["bads"], config.modality
    with warnings.catch_warnings():
        # A corpus of many montages leaves out channels in every file: that is expected here.
        warnings.simplefilter("ignore", UserWarning)
        if names:
            types = raw.get_channel_types()
            matches = match_channels(
                raw.ch_names, names, ch_types=types, bads=bads, modality=modality
            )
        else:
            matches = use_channels(raw.ch_names, ch_types=_types(raw), bads=bads, modality=modality)
    picks, _ = used_channels(matches)
    raw.pick(picks, verbose="error")
    # Filters leave other types alone: an EOG electrode that the vocabulary has would stay raw.
    kinds = dict.fromkeys(raw.ch_names, find_modality(modality).ch_type)
    raw.set_channel_types(kinds, on_unit_change="ignore", verbose="error")
    return raw, matches


def _types(raw: mne.io.BaseRaw) -> list[str]:
    """Types of channels, by their names where those say it."""
    found = zip(map(_KIND.match, raw.ch_names), raw.get_channel_types(), strict=True)
    return [kind[1].lower() if kind else ch_type for kind, ch_type in found]


def model_signals(raw: mne.io.BaseRaw, config: Config) -> NDArray[np.float32]:
    """Filter a recording and bring it to the unit of the corpus and the model's rate."""
    filtered = filter_recording(raw, preprocessing_of(config), modality=config.modality)
    volts = find_modality(config.modality).has_volts
    factor = unit_factor("V", config.signal_unit) if volts else 1.0
    sfreq = float(raw.info["sfreq"])
    n_times = resampled_length(raw.n_times, sfreq, config.sfreq)
    data = np.empty((len(raw.ch_names), n_times), np.float32)
    # One channel at a time: of a long recording, a second copy in double precision is too much.
    for channel, row in enumerate(data):
        # What lies in gaps is not used; what lies around them must not become NaN.
        signal = bridged(filtered.get_data(picks=[channel], verbose="error")[0])
        row[:] = resample(signal * factor, sfreq, config.sfreq)
    return data


def _check_left(rows: NDArray[np.int_], dropped: Mapping[str, list[str]]) -> None:
    if not len(rows):
        reasons = ", ".join(f"{len(names)} {reason}" for reason, names in sorted(dropped.items()))
        hint = " (was the recording read whole?)" if set(dropped) == {"flat"} else ""
        raise Unusable(f"no channel is left: {reasons}{hint}")


def _bad_times(raw: mne.io.BaseRaw) -> list[tuple[float, float]]:
    """Seconds from the start of the recording that annotations mark as bad."""
    return [
        (note["onset"] - raw.first_time, note["onset"] - raw.first_time + note["duration"])
        for note in raw.annotations
        if note["description"].upper().startswith(_MARKED_BAD)
    ]


def _lost_windows(
    quality: PatchQuality, bad_times: Sequence[tuple[float, float]], rules: Rules
) -> dict[str, list[int]]:
    """Numbers of the windows to leave out, by reason."""
    limits, seconds = rules.limits, rules.patch_seconds
    n_patches = quality.flat.shape[1]
    lost: dict[str, list[int]] = {}
    for number, start in enumerate(window_starts(n_patches, rules.window_patches, set())):
        stop = min(start + rules.window_patches, n_patches)
        reason = quality.bad_window(start, stop, limits)
        if any(a < stop * seconds and b > start * seconds for a, b in bad_times):
            reason = "marked bad"
        if reason:
            lost.setdefault(reason, []).append(number)
    return lost


def _counts(data: NDArray[np.float32], rules: Rules, left_out: set[int]) -> NDArray[np.int16]:
    """Signals in steps; windows that are left out become nothing, which takes no space."""
    counts = np.empty(data.shape, np.int16)
    for row, signal in zip(counts, data, strict=True):
        # Resampling overshoots the clip limit a little.
        row[:] = np.clip(np.rint(signal / rules.step), -2 * STEPS, 2 * STEPS)
    size = rules.window_patches * rules.patch_size
    for number in left_out:
        counts[:, number * size : (number + 1) * size] = NOTHING
    return counts


def _identity(path: Path, counts: NDArray[np.int16], rows: NDArray[np.int_]) -> str:
    """Name of a recording: the same for the same signals, wherever their file lies."""
    digest = blake2b(counts.tobytes(), digest_size=8)
    digest.update(rows.astype("<i8").tobytes())
    stem = re.sub(r"[^A-Za-z0-9]+", "-", path.name.partition(".")[0]).strip("-")
    return f"{stem[:40]}-{digest.hexdigest()}"
