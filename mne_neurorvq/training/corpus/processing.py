# License: BSD-3-Clause
"""One recording on its way into a corpus: read, filtered, judged, cut, written."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from ..._optional import optional
from ...encoding.preprocessing import find_preprocessing, preprocessing_of
from ...signals import ChannelMatch, ChannelReport, check_recording_scale, unit_factor
from ...signals.channel_report import used_channels
from ...weights.systems import SYSTEMS, Config
from ..inputs import corpus_patch, corpus_unit, vocabulary
from ..recordings import model_signals, pick_matching
from .arrays import NOTHING, checksum, to_text, write_array
from .quality import LIMITS, PatchQuality, stuck_channels
from .sealed import FORMAT
from .sources import Found
from .storage import CorpusFolder, Entry, Status, window_starts

# Steps from zero to the clip limit: 0.05 uV for EEG, finer than the noise of any amplifier. A step
# that is the same for all lets quiet channels take fewer bytes.
_STEPS = 10_000
# A window has at least this many patches.
SHORTEST = 2
_MARKED_BAD = ("BAD", "EDGE")


class Unusable(ValueError):
    """A recording was read, but nothing of it can be used."""


@dataclass(frozen=True)
class Rules:
    """How recordings become windows.

    Parameters
    ----------
    system : str
        Whose models are to learn from them.
    modality : str
        Kind of signal.
    window_patches : int
        Patches of a window.
    """

    system: str
    modality: str
    window_patches: int

    @classmethod
    def of(cls, system: str, modality: str, window: float) -> Rules:
        """Check what the user says.

        Parameters
        ----------
        system : str
            Whose models are to learn from them.
        modality : str
            Kind of signal.
        window : float
            Length of a window in seconds.

        Returns
        -------
        Rules
            The rules.

        Raises
        ------
        NotImplementedError
            If the modality's preprocessing is not known.
        ValueError
            If there is no such system, or a window is no whole number of patches, or of too few.
        """
        if system not in SYSTEMS:
            raise ValueError(f"system={system!r} is none of {', '.join(SYSTEMS)}.")
        find_preprocessing(system, modality)
        config = SYSTEMS[system].presets[modality]
        seconds = corpus_patch(config) / config.sfreq
        patches = round(window / seconds)
        if patches < SHORTEST or abs(patches * seconds - window) > 1e-9:
            raise ValueError(
                f"window={window:g} s must be a multiple of the patch ({seconds:g} s), and at "
                f"least {SHORTEST * seconds:g} s."
            )
        return cls(system, modality, patches)

    @property
    def config(self) -> Config:
        """Vocabulary, unit and rate of the system's models."""
        return SYSTEMS[self.system].presets[self.modality]

    @property
    def patch_size(self) -> int:
        """Samples of a patch of the corpus."""
        return corpus_patch(self.config)

    @property
    def patch_seconds(self) -> float:
        """Duration of a patch of the corpus."""
        return self.patch_size / self.config.sfreq

    @property
    def clip(self) -> float:
        """Largest value in the unit of the corpus."""
        preprocessing, unit = preprocessing_of(self.config), corpus_unit(self.config)
        if preprocessing.clip is None:
            return LIMITS[self.modality].clip * unit_factor("uV", unit)
        return preprocessing.clip * unit_factor(preprocessing.unit, unit)

    @property
    def flat_deviation(self) -> float:
        """Least standard deviation of a patch that is not flat, in the unit of the corpus."""
        return LIMITS[self.modality].flat_deviation * unit_factor("uV", corpus_unit(self.config))

    @property
    def step(self) -> float:
        """What a count stands for, in the unit of the corpus."""
        return self.clip / _STEPS

    def settings(self) -> dict[str, Any]:
        """All that decides what the windows are, JSON-able."""
        config = self.config
        return {
            "format": FORMAT,
            "system": self.system,
            "modality": self.modality,
            "sfreq": config.sfreq,
            "unit": corpus_unit(config),
            "patch_size": self.patch_size,
            "window_patches": self.window_patches,
            "step": self.step,
            "channels": list(vocabulary(config)),
            "preprocessing": asdict(preprocessing_of(self.config)),
            "limits": asdict(LIMITS[self.modality]),
        }


def prepare_recording(found: Found, rules: Rules, folder: CorpusFolder) -> Entry:
    """Prepare one recording; whatever is wrong with it becomes a reason.

    Parameters
    ----------
    found : Found
        The recording.
    rules : Rules
        How it becomes windows.
    folder : CorpusFolder
        The corpus; the array is written to its temporary place only.

    Returns
    -------
    Entry
        What became of it.
    """
    stamp = ""
    try:
        if not found.path.exists():
            raise FileNotFoundError("there is no such file")
        if not (found.path.is_file() or found.path.is_dir()):
            # A reader would wait for a pipe forever.
            raise ValueError("it is a pipe or a device, no file")
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
    config, limits = rules.config, LIMITS[rules.modality]
    raw = _open(found)
    _check_length(raw, rules)
    raw, matches = _picked(raw, config)
    _check_unit(raw)
    dropped = _by_reason((_why_unmatched(match), match.name) for match in matches if not match.used)
    rows = np.array(used_channels(matches)[1])

    stuck = stuck_channels(raw, limits)
    _merge(dropped, ((reason, name) for name, reason in stuck.items()))
    rows = rows[[name not in stuck for name in raw.ch_names]]
    _check_left(rows, dropped)
    raw.drop_channels(list(stuck))

    bad_times = _bad_times(raw)
    names = raw.ch_names
    data = model_signals(raw, config)
    n_patches = data.shape[1] // rules.patch_size
    data = data[:, : n_patches * rules.patch_size]
    quality = PatchQuality.of(data, rules.patch_size, rules.clip, rules.flat_deviation)
    bad = quality.bad_channels(limits)
    _merge(dropped, ((reason, names[i]) for i, reason in bad.items()))
    kept = [i for i in range(len(names)) if i not in bad]
    _check_left(rows[kept], dropped)
    lost = _lost_windows(quality.without(bad), bad_times, rules)
    left_out = {number for numbers in lost.values() for number in numbers}
    starts = window_starts(n_patches, rules.window_patches, left_out)
    if not starts:
        raise Unusable(f"every window is {' or '.join(sorted(lost))}")

    counts = _counts(data[kept], rules, left_out)
    identity = _identity(found.path, counts, rows[kept])
    attributes = {"rows": rows[kept].tolist(), "step": rules.step, "unit": corpus_unit(config)}
    target = folder.temporary(str(found.path))
    shutil.rmtree(target, ignore_errors=True)
    window_times = rules.window_patches * rules.patch_size
    files = write_array(target, counts, window_times, attributes | {"sfreq": config.sfreq})
    first = [start * rules.patch_size for start in starts]
    checksums = [checksum(counts[:, i : i + window_times]) for i in first]
    return Entry(
        path=str(found.path),
        stamp=stamp,
        status="done",
        subject=found.subject,
        rule=found.rule,
        id=identity,
        rows=tuple(rows[kept].tolist()),
        names=() if vocabulary(config) else tuple(names[i] for i in kept),
        n_patches=n_patches,
        dropped=dropped,
        lost=lost,
        files=files,
        checksums=to_text(checksums),
    )


def _open(found: Found) -> mne.io.BaseRaw:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Of a file that was cut off MNE reads what is left: a part of somebody, under the name
        # of somebody else perhaps.
        warnings.filterwarnings("error", "Number of records from the header does not match")
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


def _picked(raw: mne.io.BaseRaw, config: Config) -> tuple[mne.io.BaseRaw, ChannelReport]:
    try:
        return pick_matching(raw, config)
    except ValueError as error:
        raise Unusable(" ".join(str(error).partition(". ")[0].split())) from error


def _check_unit(raw: mne.io.BaseRaw) -> None:
    """Judge the unit before channels in another one are dropped as flat or saturated."""
    try:
        check_recording_scale(raw, range(len(raw.ch_names)))
    except ValueError as error:
        raise Unusable(" ".join(str(error).split())) from error


def _why_unmatched(match: ChannelMatch) -> str:
    return "marked bad" if match.reason == "marked bad" else "no match"


def _by_reason(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    _merge(grouped, pairs)
    return grouped


def _merge(grouped: dict[str, list[str]], pairs: Iterable[tuple[str, str]]) -> None:
    for reason, name in pairs:
        grouped.setdefault(reason, []).append(name)


def _check_left(rows: NDArray[np.int_], dropped: dict[str, list[str]]) -> None:
    if not len(rows):
        told = ", ".join(f"{len(names)} {reason}" for reason, names in sorted(dropped.items()))
        hint = " (was the recording read whole?)" if set(dropped) == {"flat"} else ""
        raise Unusable(f"no channel is left: {told}{hint}")


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
    limits, seconds = LIMITS[rules.modality], rules.patch_seconds
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
        row[:] = np.clip(np.rint(signal / rules.step), -2 * _STEPS, 2 * _STEPS)
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
