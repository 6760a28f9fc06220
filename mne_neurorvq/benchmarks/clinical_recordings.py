# License: BSD-3-Clause
"""Sleep, memory and clinical EEG in folders as datasets of MOABB."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import mne
import numpy as np
import pandas as pd

from ..datasets.montage import standard_montage
from .recordings import FolderDataset, in_windows

_TUH = "The Temple University Hospital EEG corpus, on request: https://isip.piconepress.com."
# Minutes of wake that are kept before and after sleep.
_WAKE = 30
_TEN_TWENTY = "Fp1 Fp2 F7 F3 Fz F4 F8 T3 C3 Cz C4 T4 T5 P3 Pz P4 T6 O1 O2".split()


class SleepEdf(FolderDataset):
    """Sleep stages in windows of 30 s, two channels: the cassette study of Sleep-EDF.

    Kemp et al. (2000), IEEE Trans Biomed Eng 47(9). Stages are those of Rechtschaffen and Kales;
    wake is kept for 30 min before and after sleep.
    """

    events: ClassVar = {"W": 1, "S1": 2, "S2": 3, "S3": 4, "S4": 5, "REM": 6}
    example: ClassVar = "SC4???E0-PSG.edf with SC4???E?-Hypnogram.edf"
    source: ClassVar = (
        "https://physionet.org/content/sleep-edfx/1.0.0 (ODC-By 1.0, 8.1 GB), or "
        "mne.datasets.sleep_physionet.age.fetch_data."
    )
    data_set: ClassVar = "sleep-edfx"
    _names: ClassVar = {
        "Sleep stage W": "W",
        **{f"Sleep stage {stage}": f"S{stage}" for stage in "1234"},
        "Sleep stage R": "REM",
    }

    def _find(self) -> dict[str, dict[str, Any]]:
        """Find the nights of each person, SC4ssN, with their stages."""
        found: dict[str, dict[str, Any]] = {}
        for path in sorted(self.folder.rglob("SC4???*-PSG.edf")):
            stages = next(path.parent.glob(f"{path.name[:6]}*-Hypnogram.edf"), None)
            if stages is not None:
                found.setdefault(path.name[:5], {})[path.name[5]] = path, stages
        return found

    def read(self, found: Any, run: str) -> mne.io.BaseRaw:
        """Read a night."""
        path, stages = found
        raw = mne.io.read_raw_edf(path, include=["EEG Fpz-Cz", "EEG Pz-Oz"], verbose="error")
        raw.set_channel_types(dict.fromkeys(raw.ch_names, "eeg"))
        notes = mne.read_annotations(stages)
        notes = notes[np.flatnonzero(np.isin(notes.description, list(self._names)))]
        notes.rename({old: new for old, new in self._names.items() if old in notes.description})
        asleep = notes[np.flatnonzero(notes.description != "W")]
        first = asleep.onset.min() - 60 * _WAKE
        last = (asleep.onset + asleep.duration).max() + 60 * _WAKE
        windows = in_windows(raw.set_annotations(notes, emit_warning=False), 30.0).annotations
        wanted = (windows.onset >= first) & (windows.onset + windows.duration <= last)
        return raw.set_annotations(windows[np.flatnonzero(wanted)], emit_warning=False)


class DigitSpan(FolderDataset):
    """Thirteen digits that are remembered, or only heard: ds003838 of OpenNeuro.

    Pavlov et al. (2022), Scientific Data 9:325. Events are the first digits of sequences of 13.
    """

    events: ClassVar = {"control": 1, "memory": 2}
    example: ClassVar = "*_task-memory_eeg.set with *_task-memory_events.tsv"
    source: ClassVar = "https://openneuro.org/datasets/ds003838 (CC0), with the .fdt of each .set."
    data_set: ClassVar = "ds003838"

    def _find(self) -> dict[str, dict[str, Any]]:
        """Find people whose recording and table of events lie side by side."""
        found: dict[str, dict[str, Any]] = {}
        for table in sorted(self.folder.rglob("*_task-memory_events.tsv")):
            recording = table.with_name(table.name.replace("_events.tsv", "_eeg.set"))
            if recording.exists():
                found[table.name.partition("_")[0]] = {"memory": (recording, table)}
        return found

    def read(self, found: Any, run: str) -> mne.io.BaseRaw:
        """Read a recording."""
        recording, table = found
        raw = mne.io.read_raw_eeglab(recording, preload=True, verbose="error")
        raw.set_montage(standard_montage(), on_missing="ignore", verbose="error")
        events = pd.read_csv(table, sep="\t")
        # Such as "memory 01/13 correct: memorize digit 1 (first) in 13 digit sequence".
        kind = events["trial_type"].str.extract(r"^(memory|control) 0?1/13\b", expand=False)
        first = kind.notna()
        notes = mne.Annotations(events["onset"][first], 0.0, kind[first])
        return raw.set_annotations(notes, emit_warning=False)


class Tuab(FolderDataset):
    """Normal or abnormal recordings in windows of 10 s: TUAB.

    Lopez de Diego (2017), thesis, Temple University; windows as in BIOT, Yang et al. (2023),
    NeurIPS. People of whom there are both kinds are left out.
    """

    events: ClassVar = {"normal": 1, "abnormal": 2}
    example: ClassVar = "normal/*_s???_t???.edf or abnormal/*_s???_t???.edf"
    source: ClassVar = f"TUAB, folders normal and abnormal. {_TUH}"
    data_set: ClassVar = "tuab"

    def _find(self) -> dict[str, dict[str, Any]]:
        """Find the recordings of each person, with the folder that says what they are."""
        found: dict[str, dict[str, Any]] = {}
        for path in sorted(self.folder.rglob("*_s???_t???.edf")):
            kind = set(path.parts) & set(self.events)
            if kind:
                found.setdefault(path.name.partition("_")[0], {})[path.stem] = path, kind.pop()
        kinds = {who: {kind for _, kind in runs.values()} for who, runs in found.items()}
        return {who: runs for who, runs in found.items() if len(kinds[who]) == 1}

    def read(self, found: Any, run: str) -> mne.io.BaseRaw:
        """Read a recording."""
        path, kind = found
        return in_windows(ten_twenty(path), 10.0, kind)


class Tuev(FolderDataset):
    """Six kinds of events in windows of 5 s around them: TUEV.

    Harati et al. (2015), IEEE SPMB; windows as in BIOT, Yang et al. (2023), NeurIPS, but an event
    that is marked on several channels is one trial.
    """

    events: ClassVar = {"spsw": 1, "gped": 2, "pled": 3, "eyem": 4, "artf": 5, "bckg": 6}
    example: ClassVar = "*.edf with *.rec"
    source: ClassVar = f"TUEV, each .edf with its .rec. {_TUH}"
    data_set: ClassVar = "tuev"

    def _find(self) -> dict[str, dict[str, Any]]:
        """Find the recordings of each person, who has a folder, with their marks."""
        found: dict[str, dict[str, Any]] = {}
        for marks in sorted(self.folder.rglob("*.rec")):
            if marks.with_suffix(".edf").exists():
                found.setdefault(marks.parent.name, {})[marks.stem] = marks
        return found

    def read(self, found: Any, run: str) -> mne.io.BaseRaw:
        """Read a recording."""
        raw = ten_twenty(found.with_suffix(".edf"))
        # Channel, start and stop in s, code.
        marks = np.genfromtxt(found, delimiter=",", ndmin=2)
        once = np.unique(marks[:, [1, 3]], axis=0)
        names = {code: name for name, code in self.events.items()}
        notes = mne.Annotations(once[:, 0], 1.0, [names[int(code)] for code in once[:, 1]])
        return raw.set_annotations(notes, emit_warning=False)


def ten_twenty(path: Path) -> mne.io.BaseRaw:
    """Read the 19 channels of the 10-20 system, named as in ``EEG FP1-REF`` or ``EEG FP1-LE``."""
    raw = mne.io.read_raw_edf(path, verbose="error")
    plain = {name: re.sub(r"^EEG |-(REF|LE)$", "", name).upper() for name in raw.ch_names}
    wanted = {name.upper(): name for name in _TEN_TWENTY}
    raw.rename_channels({name: wanted[short] for name, short in plain.items() if short in wanted})
    absent = [name for name in _TEN_TWENTY if name not in raw.ch_names]
    if absent:
        raise ValueError(f"{path} has no channel {', '.join(absent)}: leave it out.")
    return raw.pick(_TEN_TWENTY).set_montage(standard_montage())
