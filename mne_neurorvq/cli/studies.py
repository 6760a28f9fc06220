# License: BSD-3-Clause
"""What ``demo`` and ``compare`` run on: trials, their subjects and the tasks."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import mne
import numpy as np
from numpy.typing import NDArray

from .._table import name_ranges
from ..datasets import (
    epochs_from_recordings,
    load_eegbci,
    simulate_recordings,
    trial_column,
)
from ..datasets.heart_and_muscle import KINDS
from ..datasets.simulation import TEN_TWENTY
from ..encoding import preprocess
from ..signals.modalities import find_modality
from ..weights.loading import find_config
from ..weights.provenance import pretraining_subjects, seen_people
from .recordings import check_signals, read_file

_WINDOW = 4.0  # s
_RUNS = [4, 8, 12]
_SIMULATED_TRIALS = 12
_EEGBCI_RATE = 160.0
# What people did in the runs of eegbci: https://physionet.org/content/eegmmidb/1.0.0/
_BASELINE, _MOVEMENT, _IMAGERY = {1, 2}, {3, 5, 7, 9, 11, 13}, {4, 6, 8, 10, 12, 14}
_SUBJECT = re.compile(r"sub-[^_]+")
# A condition that a subject has fewer trials of is not scored.
_FEWEST_TRIALS = 5


@dataclass(frozen=True)
class Task:
    """Conditions to classify: the trials that take part and the class of each of these."""

    title: str
    trials: NDArray[np.bool_]
    y: NDArray[np.str_]


@dataclass(frozen=True)
class Study:
    """Trials of several subjects, and the tasks for a model there.

    ``data_set`` is the name that training records of models use; None if it is not known.
    """

    description: str
    pretrained: str
    epochs: mne.BaseEpochs
    subjects: NDArray[np.str_]
    tasks: tuple[Task, ...]
    data_set: str | None

    @cached_property
    def seen(self) -> set[str] | None:
        """Subjects that the model was pretrained on; None if it is not known."""
        if self.data_set == "simulated":
            return set()
        names = {
            who: None if self.data_set is None else (self.data_set, who)
            for who in self.subjects.tolist()
        }
        seen = seen_people(pretraining_subjects(self.pretrained), names)
        return None if seen is None else set(seen)

    @property
    def unseen(self) -> list[str]:
        """Subjects that the model was not pretrained on, as far as is known."""
        return sorted(set(self.subjects.tolist()) - (self.seen or set()))

    def seen_sentence(self) -> str:
        """Say whom the model had seen, or that it is not known."""
        if self.data_set == "simulated":
            return "No model was trained on these recordings."
        known = pretraining_subjects(self.pretrained)
        if known is None:
            return f"It is not known which subjects {self.pretrained} was trained on."
        if not known:
            return f"{self.pretrained} is untrained: it has seen no subject."
        if self.seen is None:
            whose = "; ".join(f"{name}: {name_ranges(people)}" for name, people in known.items())
            return (
                f"{self.pretrained} was trained, without labels, on recordings of {whose}. Whether "
                "these files are theirs is not known."
            )
        unseen = self.unseen
        never = f"it had never seen {name_ranges(unseen)}" if unseen else "that is all of them"
        return (
            f"In its training {self.pretrained} had seen recordings, without labels, of "
            f"{name_ranges(sorted(self.seen)) or 'none of these subjects'}; {never}."
        )


def make_study(args: argparse.Namespace, subjects: Sequence[int] = range(1, 9)) -> Study:
    """Make the study that a command's arguments name."""
    subjects = _merged(args.subjects or [subjects])
    runs = _merged(args.runs or [_RUNS])
    if args.data == ["eegbci"]:
        return eegbci_study(subjects, runs, args.pretrained)
    if args.runs:
        raise ValueError("--runs is for --data eegbci only.")
    if args.data is None or (len(args.data) == 1 and args.data[0] in KINDS):
        return simulated_study(subjects, args.pretrained, simulated_modality(args.data))
    if args.subjects:
        raise ValueError("--subjects is for --data eegbci and for simulated recordings only.")
    return file_study([Path(name) for name in args.data], args.pretrained)


def _merged(parts: Iterable[Sequence[int]]) -> list[int]:
    """Numbers of several ranges, each once."""
    return list(dict.fromkeys(number for part in parts for number in part))


def simulated_modality(data: Sequence[str] | None) -> str:
    """Kind of signal that is to be simulated, and that a demo is about by default."""
    return data[0] if data and len(data) == 1 and data[0] in KINDS else "eeg"


def simulated_study(subjects: Sequence[int], pretrained: str, modality: str = "eeg") -> Study:
    """Simulate a study."""
    recordings = simulate_recordings(
        max(subjects), _SIMULATED_TRIALS, modality=modality, trial_duration=_WINDOW
    )
    recordings = [preprocess(recordings[number - 1], pretrained) for number in subjects]
    picks, codes, others = TEN_TWENTY, None, "imagery"
    if modality in KINDS:
        kind = KINDS[modality]
        picks, others = list(kind.ch_names), "movement" if modality == "emg" else "exercise"
        # Beats are marked too.
        codes = {name: code for code, name in enumerate(kind.conditions, start=1)}
    epochs = _cut(recordings, recordings[0].info["sfreq"], codes, picks=picks)
    return _study(
        f"SIMULATED recordings, no measurements, of {len(subjects)} people",
        pretrained,
        epochs,
        others,
        "simulated",
    )


def eegbci_study(subjects: Sequence[int], runs: Sequence[int], pretrained: str) -> Study:
    """Cut the PhysioNet EEG Motor Movement/Imagery recordings into trials."""
    kinds = {"movement": _MOVEMENT, "imagery": _IMAGERY, "baseline": _BASELINE}
    present = [name for name, numbers in kinds.items() if numbers & set(runs)]
    if "baseline" in present and len(present) > 1:
        raise ValueError(
            f"--runs {' '.join(map(str, runs))}: runs 1 and 2 (eyes open, eyes closed) have other "
            "conditions than the rest; run them by themselves."
        )
    recordings = [
        _in_windows(preprocess(raw, pretrained)) for raw in load_eegbci(subjects, list(runs))
    ]
    return _study(
        f"PhysioNet EEG Motor Movement/Imagery, runs {', '.join(map(str, runs))}",
        pretrained,
        # Some people were recorded at another rate than the others.
        _cut(recordings, _EEGBCI_RATE),
        " or ".join(present),
        "eegmmidb",
    )


def file_study(files: Sequence[Path], pretrained: str) -> Study:
    """Cut recordings into trials: at their annotations if those can be scored, else anywhere."""
    recordings = [_in_windows(_read(path, pretrained)) for path in files]
    rate = min(float(raw.info["sfreq"]) for raw in recordings)
    modality = find_config(pretrained).modality
    picks: str | list[str] = "eeg"
    if modality != "eeg":
        first = recordings[0]
        found = find_modality(modality).to_filter(first.ch_names, first.get_channel_types())
        picks = [first.ch_names[i] for i in found]
    # Annotations of hearts are beats, not conditions.
    scored = _scored_conditions(recordings) if modality in ("eeg", "emg") else []
    if len(scored) > 1:
        codes = {name: code for code, name in enumerate(scored, start=1)}
        epochs = _cut(recordings, rate, codes, picks)
    else:
        epochs = _cut([_windows_anywhere(raw) for raw in recordings], rate, {"window": 1}, picks)
    names = {_subject_of(path) for path in files}
    kind = "subjects by their BIDS names" if _by_bids(files) else "each taken as another subject"
    people = f"{len(names)} subject{'s' * (len(names) > 1)}"
    description = "1 file" if len(files) == 1 else f"{len(files)} files ({people}: {kind})"
    return _study(description, pretrained, epochs, "the others", None)


def _study(
    description: str, pretrained: str, epochs: mne.BaseEpochs, others: str, data_set: str | None
) -> Study:
    subjects = trial_column(epochs, "subject")
    conditions = trial_column(epochs, "condition")
    tasks = _tasks(conditions, others) if len(np.unique(subjects)) > 1 else ()
    return Study(description, pretrained, epochs, subjects, tasks, data_set)


def _tasks(conditions: NDArray[np.str_], others: str) -> tuple[Task, ...]:
    """Rest against all else, and all else against each other."""
    active = sorted(set(conditions.tolist()) - {"rest"})
    resting = conditions == "rest"
    tasks = []
    if resting.any() and active:
        y = np.where(resting, "rest", others)
        tasks.append(Task(f"rest against {others}", np.ones(len(y), bool), y))
    if len(active) > 1:
        tasks.append(Task(" against ".join(active), ~resting, conditions[~resting]))
    return tuple(tasks)


def _cut(
    recordings: Sequence[mne.io.BaseRaw],
    sfreq: float,
    event_id: dict[str, int] | None = None,
    picks: str | list[str] = "eeg",
) -> mne.EpochsArray:
    # MNE includes the sample at tmax: without this a trial would have one sample too many.
    tmax = _WINDOW - 1 / sfreq
    return epochs_from_recordings(recordings, 0.0, tmax, event_id, picks=picks, sfreq=sfreq)


def _read(path: Path, pretrained: str) -> mne.io.BaseRaw:
    try:
        raw = read_file(path)
        if isinstance(raw, mne.BaseEpochs):
            raise ValueError("it holds trials; give the recording that they were cut from")
        check_signals(raw, pretrained)
        raw.load_data(verbose="error")
        raw.info["bads"] += _flat_channels(raw)
        raw = preprocess(raw, pretrained)
    except Exception as error:
        # What MNE raises for a broken file may be of any type and rarely names the file.
        raise ValueError(f"{path}: {error}") from error
    if raw.n_times < _WINDOW * raw.info["sfreq"]:
        raise ValueError(f"{path}: {raw.times[-1]:g} s are shorter than a window of {_WINDOW:g} s")
    raw.info["subject_info"] = {"his_id": _subject_of(path)}
    return raw


def _flat_channels(raw: mne.io.BaseRaw) -> list[str]:
    """Channels without a signal, such as the reference: not marked bad in most files."""
    flat = [name for name in raw.ch_names if np.ptp(raw.get_data(picks=[name])) == 0]
    return [name for name in flat if name not in raw.info["bads"]]


def _by_bids(files: Sequence[Path]) -> bool:
    return all(_SUBJECT.match(path.name) for path in files)


def _subject_of(path: Path) -> str:
    found = _SUBJECT.match(path.name)
    return found.group() if found else path.name


def _in_windows(raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
    """Split long annotations, such as of eyes that are closed, into as many windows as fit."""
    kept = mne.Annotations([], [], [], orig_time=raw.annotations.orig_time)
    for note in raw.annotations:
        is_bad = note["description"].upper().startswith(("BAD", "EDGE"))
        # A file's annotations are in seconds: a hundredth more or less is rounding.
        n_windows = 1 if is_bad else max(1, int((note["duration"] + 0.01) // _WINDOW))
        for window in range(n_windows):
            kept.append(
                note["onset"] + window * _WINDOW,
                note["duration"] if n_windows == 1 else _WINDOW,
                note["description"],
            )
    return raw.set_annotations(kept, verbose="error")


def _windows_anywhere(raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
    """Annotate successive windows; what is marked bad stays marked."""
    marks = [note["description"].upper().startswith(("BAD", "EDGE")) for note in raw.annotations]
    notes = raw.annotations[np.flatnonzero(marks)]
    n_windows = int(raw.n_times / raw.info["sfreq"] // _WINDOW)
    onsets = raw.first_time + np.arange(n_windows) * _WINDOW
    if raw.annotations.orig_time is None:
        onsets -= raw.first_time
    windows = mne.Annotations(onsets, _WINDOW, "window", orig_time=raw.annotations.orig_time)
    return raw.set_annotations(notes + windows, verbose="error")


def _scored_conditions(recordings: Sequence[mne.io.BaseRaw]) -> list[str]:
    """Conditions that every subject has enough trials of."""
    counts: dict[str, dict[str, int]] = {}
    for raw in recordings:
        subject = counts.setdefault(raw.info["subject_info"]["his_id"], {})
        for description in raw.annotations.description:
            if not description.upper().startswith(("BAD", "EDGE")):
                subject[description] = subject.get(description, 0) + 1
    first, *others = counts.values()
    return sorted(
        name
        for name in first
        if all(subject.get(name, 0) >= _FEWEST_TRIALS for subject in (first, *others))
    )
