# License: BSD-3-Clause
"""Recordings in folders as datasets of MOABB."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import mne
from moabb.datasets import BNCI2014_001
from moabb.datasets.base import BaseDataset

from .._names import OLDER_NAMES
from ..datasets import eegbci, load_emg_lower_limb, read_wfdb
from ..datasets.montage import standard_montage
from ..datasets.simulation import TEN_TWENTY
from ..datasets.wfdb_records import PTBXL_CLASSES, ptbxl_records

_NEWER = {old.upper(): new.upper() for old, new in OLDER_NAMES.items()}


class FolderDataset(BaseDataset):
    """People whose recordings lie in a folder; a subclass says how they are named and read.

    Parameters
    ----------
    folder : path-like
        Where the files are, at any depth.
    subjects : iterable of str | None
        People to take; None takes all whose files are complete.
    """

    #: Events and their codes.
    events: ClassVar[Mapping[str, int]]
    #: Endings of the files of each person, by the name of the run.
    files: ClassVar[Mapping[str, tuple[str, ...]]]
    #: Pattern of the names of people, which their files begin with.
    person: ClassVar[str] = "*"
    #: What is wanted of each person; by default files with these endings.
    example: ClassVar[str] = ""
    #: Type of their channels.
    signal: ClassVar[str] = "eeg"
    #: Where they are to be had, and how large they are.
    source: ClassVar[str]
    #: Name of the data in records of what models were trained on.
    data_set: ClassVar[str]

    def __init__(self, folder: str | Path, subjects: Iterable[str] | None = None) -> None:
        self.folder = Path(folder)
        people = dict(sorted(self._find().items()))
        wanted = list(people) if subjects is None else [str(subject) for subject in subjects]
        absent = [subject for subject in wanted if subject not in people]
        if absent or not people:
            raise FileNotFoundError(
                f"{self.folder} has no complete recordings of {', '.join(absent) or 'anyone'}: "
                f"wanted are files such as {self._example()}. {self.source}"
            )
        self.people = people
        super().__init__(
            subjects=list(people),
            sessions_per_subject=1,
            events=dict(self.events),
            code=type(self).__name__,
            interval=[0, 1],
            paradigm="imagery",
            selected_subjects=wanted,
            return_all_modalities={self.signal: True},
        )

    def _find(self) -> dict[str, dict[str, Any]]:
        """Files by subject and run, of subjects who have all runs."""
        found: dict[str, dict[str, Path]] = {}
        for run, endings in self.files.items():
            for ending in endings:
                for path in self.folder.rglob(f"{self.person}{ending}"):
                    found.setdefault(path.name.removesuffix(ending), {}).setdefault(run, path)
        complete = {who: runs for who, runs in found.items() if len(runs) == len(self.files)}
        # In the order of the table of runs, whichever was found first.
        return {who: {run: complete[who][run] for run in self.files} for who in complete}

    def _example(self) -> str:
        if self.example:
            return self.example
        runs = ([f"{self.person}{ending}" for ending in each] for each in self.files.values())
        return ", ".join(" or ".join(names) for names in runs)

    def _get_single_subject_data(self, subject: str) -> dict[str, dict[str, mne.io.BaseRaw]]:
        runs = self.people[subject].items()
        return {"0": {str(n): self.read(found, run) for n, (run, found) in enumerate(runs)}}

    def read(self, found: Any, run: str) -> mne.io.BaseRaw:
        """Read a run that was found, with its events as annotations."""
        raw: mne.io.BaseRaw = found.copy()
        return raw

    def data_path(self, subject: str, *args: Any, **kwargs: Any) -> list[str]:
        """Give the folder: nothing is downloaded."""
        return [str(self.folder)]


class Eegmmidb(FolderDataset):
    """Imagery of the left or right fist, and rest: runs 4, 8 and 12 of PhysioNet's eegmmidb.

    Schalk et al. (2004), IEEE Trans Biomed Eng 51(6). EDF files as published, or FIF with the same
    annotations.
    """

    events: ClassVar = {"rest": 1, "left_hand": 2, "right_hand": 3}
    files: ClassVar = {run: (f"R{run}.edf", f"R{run}_raw.fif") for run in ("04", "08", "12")}
    person: ClassVar = "S???"
    source: ClassVar = "https://physionet.org/content/eegmmidb/1.0.0 (ODC-By 1.0, 2.6 MB a run)."
    data_set: ClassVar = "eegmmidb"
    _names: ClassVar = {"T0": "rest", "T1": "left_hand", "T2": "right_hand"}

    def read(self, found: Path, run: str) -> mne.io.BaseRaw:
        """Read a run."""
        read = mne.io.read_raw_edf if found.suffix == ".edf" else mne.io.read_raw_fif
        raw = read(found, preload=True, verbose="error")
        mne.datasets.eegbci.standardize(raw)
        raw.set_montage(standard_montage())
        there = set(raw.annotations.description)
        raw.annotations.rename({old: new for old, new in self._names.items() if old in there})
        return raw


class EegmmidbEyes(Eegmmidb):
    """Eyes open and closed, in windows of 4 s: runs 1 and 2 of PhysioNet's eegmmidb."""

    events: ClassVar = {"open": 1, "closed": 2}
    files: ClassVar = {run: (f"R{run}.edf", f"R{run}_raw.fif") for run in ("01", "02")}
    _names: ClassVar = {}

    def read(self, found: Path, run: str) -> mne.io.BaseRaw:
        """Read a run."""
        return in_windows(super().read(found, run), 4.0, {"01": "open", "02": "closed"}[run])


class Eegmat(FolderDataset):
    """Rest and mental arithmetic, in windows of 4 s: PhysioNet's eegmat.

    Zyma et al. (2019), Data 4(1).
    """

    events: ClassVar = {"rest": 1, "arithmetic": 2}
    files: ClassVar = {"rest": ("_1.edf",), "arithmetic": ("_2.edf",)}
    person: ClassVar = "Subject??"
    source: ClassVar = "https://physionet.org/content/eegmat/1.0.0 (ODC-By 1.0, 175 MB)."
    data_set: ClassVar = "eegmat"

    def read(self, found: Path, run: str) -> mne.io.BaseRaw:
        """Read a run."""
        raw = mne.io.read_raw_edf(found, preload=True, verbose="error")
        raw.pick([name for name in raw.ch_names if name.startswith("EEG ") and "A2-A1" not in name])
        raw.rename_channels(lambda name: name.removeprefix("EEG ").strip())
        raw.set_montage(standard_montage())
        return in_windows(raw, 4.0, run)


class Origin(FolderDataset):
    """Windows of 4 s of two data sets, to be told apart: eegmmidb, and rest of eegmat.

    The 19 sites of the 10-20 system, which both have.
    """

    events: ClassVar = {"eegmmidb": 1, "eegmat": 2}
    example: ClassVar = "S???R04.edf of all runs, and Subject??_1.edf with _2.edf"
    source: ClassVar = f"{Eegmmidb.source} {Eegmat.source}"
    data_set: ClassVar = ""  # that of each person

    def _find(self) -> dict[str, dict[str, Any]]:
        """Find the first run of each person of both."""
        found = {}
        for kind in (Eegmmidb, Eegmat):
            part = kind(self.folder)
            run = next(iter(kind.files))
            for person, runs in part.people.items():
                found[f"{kind.data_set} {person}"] = {kind.data_set: (part, runs[run], run)}
        return found

    def read(self, found: Any, run: str) -> mne.io.BaseRaw:
        """Read a run."""
        part, path, its_run = found
        raw = part.read(path, its_run)
        raw.rename_channels(lambda name: _NEWER.get(name, name))
        return in_windows(raw.pick(TEN_TWENTY), 4.0, run)


class PtbXl(FolderDataset):
    """Electrocardiograms of 10 s with the superclass of their diagnoses: PTB-XL at 100 Hz.

    Wagner et al. (2020), Scientific Data 7:154. Records without a diagnosis are left out; those of
    several superclasses are "several".
    """

    events: ClassVar = {"NORM": 1, "MI": 2, "STTC": 3, "CD": 4, "HYP": 5, "several": 6}
    files: ClassVar = {"records": ("ptbxl_database.csv",)}
    source: ClassVar = "https://physionet.org/content/ptb-xl/1.0.3 (CC BY 4.0, 1.8 GB)."
    data_set: ClassVar = "ptbxl"
    signal: ClassVar = "ecg"

    def _find(self) -> dict[str, dict[str, Any]]:
        """Find records by patient and number."""
        table = next(self.folder.rglob(*self.files["records"]), None)
        if table is None:
            return {}
        found: dict[str, dict[str, Any]] = {}
        for header, row in ptbxl_records(table.parent):
            names = [name for name in PTBXL_CLASSES if row[name]]
            if names:
                name = names[0] if len(names) == 1 else "several"
                found.setdefault(row["subject"], {})[str(row["recording"])] = header, name
        return found

    def read(self, found: Any, run: str) -> mne.io.BaseRaw:
        """Read a record."""
        header, name = found
        return read_wfdb(header).set_annotations(mne.Annotations([0.0], [10.0], [name]))


class LowerLimb(FolderDataset):
    """Four thigh muscles while walking, extending and flexing the knee, in windows of 2 s.

    Sanchez et al. (2014), EMG dataset in Lower Limb, UCI Machine Learning Repository. N2 is left
    out: sitting and standing are, sample by sample, those of N1.
    """

    events: ClassVar = {"gait": 1, "sitting": 2, "standing": 3}
    files: ClassVar = {"person": ("N1.npz",)}
    source: ClassVar = "https://doi.org/10.24432/C5ZW2K, as arrays: load_emg_lower_limb says how."
    data_set: ClassVar = "emg_lower_limb"
    signal: ClassVar = "emg"

    def _find(self) -> dict[str, dict[str, Any]]:
        """Find recordings by person and movement."""
        first = next(self.folder.rglob(*self.files["person"]), None)
        found: dict[str, dict[str, Any]] = {}
        for raw in [] if first is None else load_emg_lower_limb(first.parent):
            movement = str(raw.annotations.description[0])
            person = raw.info["subject_info"]["his_id"]
            if person == "N2":
                continue
            found.setdefault(person, {})[movement] = in_windows(raw, 2.0, movement)
        return found


class GrazWithEyes(BNCI2014_001):
    """BCI competition IV 2a with its EOG electrodes as EEG at the sites next to them.

    All were recorded against the left mastoid, EOG on the left, in the middle and on the right.
    """

    sites: ClassVar = {"EOG1": "Fp1", "EOG2": "Fpz", "EOG3": "Fp2"}

    def _get_single_subject_data(self, subject: int) -> dict[str, dict[str, mne.io.BaseRaw]]:
        found: dict[str, dict[str, mne.io.BaseRaw]] = super()._get_single_subject_data(subject)
        for runs in found.values():
            for raw in runs.values():
                raw.set_channel_types(dict.fromkeys(self.sites, "eeg"), verbose="error")
                raw.rename_channels(self.sites)
                raw.set_montage(standard_montage(), on_missing="ignore")
        return found


def name_in_records(dataset: BaseDataset, person: Any) -> tuple[str, str] | None:
    """Give data set and name of a person in records of what models were trained on, if known."""
    if isinstance(dataset, Origin):
        data_set, _, name = person.partition(" ")
        return data_set, name
    if dataset.code == "PhysionetMotorImagery":  # MOABB's eegmmidb
        return Eegmmidb.data_set, f"S{person:03d}"
    known = getattr(dataset, "data_set", None)
    return None if known is None else (known, str(person))


def in_windows(raw: mne.io.BaseRaw, duration: float, name: str | None = None) -> mne.io.BaseRaw:
    """Split annotations, or all of the recording under a name, into successive windows."""
    if name is not None:
        raw.set_annotations(mne.Annotations(0.0, raw.n_times / raw.info["sfreq"], name))
    events, codes = mne.events_from_annotations(raw, chunk_duration=duration, verbose="error")
    names = {code: description for description, code in codes.items()}
    # Annotations count from the date of the measurement or, without one, from the first sample.
    date = raw.info["meas_date"]
    notes = mne.annotations_from_events(
        events,
        raw.info["sfreq"],
        names,
        first_samp=raw.first_samp if date is None else 0,
        orig_time=date,
        verbose="error",
    )
    notes.set_durations(duration)
    return raw.set_annotations(notes, verbose="error")


def standard_folder(data: Path | None) -> Path:
    """Folder of recordings: the one given, or where MNE keeps its own."""
    if data is not None:
        return data
    folder = eegbci.find_folder(None) or mne.get_config("MNE_DATA")
    return Path(folder or "~/mne_data").expanduser()
