# License: BSD-3-Clause
"""Records in PhysioNet's WFDB format, and PTB-XL, which consists of them."""

from __future__ import annotations

import ast
import csv
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import mne
import numpy as np

from .._optional import optional
from ..signals.units import VOLTS_PER_UNIT
from .epoching import attach_table

#: Ending of the file that a record is named by.
WFDB_HEADER = ".hea"

#: Superclasses of the diagnoses of PTB-XL.
PTBXL_CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")

_NAMED_TYPE = re.compile(r"(eeg|emg|eog)\b", re.I)
_PTBXL_RATES = {100: "filename_lr", 500: "filename_hr"}


def read_wfdb(path: str | Path) -> mne.io.RawArray:
    """Read a record in WFDB format, the format of PhysioNet.

    Parameters
    ----------
    path : str | pathlib.Path
        The header, ``100.hea``, or the record without an ending, ``100``. Its other files lie
        beside it. Needs `wfdb <https://wfdb.readthedocs.io>`__ (extra ``ecg``).

    Returns
    -------
    raw : mne.io.RawArray
        Channels measured in volts, of whatever prefix, are in volts; their type is ``"ecg"`` unless
        their name begins with EEG, EMG or EOG. All others (pulse waves, pressures, breathing) keep
        the unit of the record and have the type ``"misc"``. Samples that the record says to be
        invalid are NaN. The name of the record is in ``raw.info["subject_info"]["his_id"]``; marks
        of the first annotator found of ``atr``, ``qrs`` and ``ecg`` are annotations (``"N"``, a
        normal beat, ``"V"``, a premature ventricular one, and so on).

    Raises
    ------
    FileNotFoundError
        If there is no such record, or one of its files is missing.
    ValueError
        If the header does not say the sampling rate.
    ImportError
        If wfdb is not installed.

    Examples
    --------
    >>> raw = read_wfdb("mit-bih/100.hea")  # doctest: +SKIP
    """
    with optional("a WFDB record", "ecg"):
        import wfdb
    stem = Path(path).expanduser()
    stem = stem.with_suffix("") if stem.suffix.lower() == WFDB_HEADER else stem
    if not stem.with_name(f"{stem.name}{WFDB_HEADER}").is_file():
        raise FileNotFoundError(f"there is no WFDB record {stem}: {stem.name}.hea is missing")
    record = wfdb.rdrecord(str(stem))
    if not record.fs:
        raise ValueError(f"the header of {stem} does not say a sampling rate: name another record")
    factors = [VOLTS_PER_UNIT.get(unit.replace("µ", "u")) for unit in record.units]
    types = [_type(name, factor) for name, factor in zip(record.sig_name, factors, strict=True)]
    info = mne.create_info(list(record.sig_name), float(record.fs), types)
    info["description"] = "; ".join([f"WFDB record {record.record_name}", *record.comments])
    info["subject_info"] = {"his_id": str(record.record_name)}
    data = np.array([1.0 if factor is None else factor for factor in factors])
    raw = mne.io.RawArray(data[:, None] * record.p_signal.T, info, verbose="error")
    return _with_marks(raw, stem)


def _type(name: str, factor: float | None) -> str:
    named = _NAMED_TYPE.match(name)
    if factor is None:
        return "misc"
    return named[1].lower() if named else "ecg"


def _with_marks(raw: mne.io.RawArray, stem: Path) -> mne.io.RawArray:
    import wfdb

    for annotator in ("atr", "qrs", "ecg"):
        if not stem.with_name(f"{stem.name}.{annotator}").is_file():
            continue
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            # wfdb 4.3 uses what pandas 3.1 gives up.
            marks = wfdb.rdann(str(stem), annotator)
        notes = marks.aux_note or [""] * len(marks.symbol)
        # A change of rhythm is '+', and its note says which: '(AFIB'.
        names = [
            f"{symbol}{note.strip(chr(0))}"
            for symbol, note in zip(marks.symbol, notes, strict=True)
        ]
        rate = float(marks.fs or raw.info["sfreq"])
        return raw.set_annotations(mne.Annotations(marks.sample / rate, 0.0, names))
    return raw


def load_ptbxl(
    path: str | Path,
    *,
    sfreq: Literal[100, 500] = 100,
    folds: Iterable[int] | None = None,
) -> mne.EpochsArray:
    """Load the records of PTB-XL that are in a folder, with their diagnoses.

    Parameters
    ----------
    path : str | pathlib.Path
        Folder with ``ptbxl_database.csv``, ``scp_statements.csv`` and ``records100`` or
        ``records500``, as it is downloaded from PhysioNet. Records of the table whose files are not
        there are left out. Needs wfdb (extra ``ecg``).
    sfreq : 100 | 500
        Which of its two versions, by the sampling rate in Hz.
    folds : iterable of int | None
        Folds to load, of 1 to 10; by default all. A person is in one fold only.

    Returns
    -------
    epochs : mne.EpochsArray
        Each record is a trial of 10 s and 12 leads, in volts. ``epochs.metadata`` has the columns
        ``subject`` (the patient), ``recording`` (``ecg_id``), ``fold``, ``age``, ``sex`` (0 male, 1
        female), and one of 0 and 1 for each of the superclasses NORM, MI, STTC, CD and HYP, of
        which a record may have several, or none.

    Raises
    ------
    FileNotFoundError
        If a table is missing, or no record is there.

    Notes
    -----
    A record has a superclass if any of its diagnostic statements belongs to it, whatever its
    likelihood. The authors recommend folds 9 and 10 for validation and testing: their labels were
    checked by people [1]_.

    References
    ----------
    .. [1] P. Wagner et al. (2020). PTB-XL, a large publicly available electrocardiography dataset.
       Scientific Data 7:154.

    Examples
    --------
    >>> epochs = load_ptbxl("ptb-xl", folds=[9, 10])  # doctest: +SKIP
    """
    files, rows = zip(*ptbxl_records(path, sfreq, folds), strict=True)
    recordings = [read_wfdb(file) for file in files]
    info = recordings[0].info.copy()
    info["description"], info["subject_info"] = "PTB-XL", None
    data = np.stack([raw.get_data(picks=info["ch_names"]) for raw in recordings])
    events = np.column_stack([np.arange(len(data)) * data.shape[-1], np.zeros(len(data), int)])
    events = np.column_stack([events, np.ones(len(data), int)]).astype(int)
    epochs = mne.EpochsArray(data, info, events, event_id={"ECG": 1}, proj=False, verbose="error")
    attach_table(epochs, rows)
    return epochs


def ptbxl_records(
    path: str | Path, sfreq: Literal[100, 500] = 100, folds: Iterable[int] | None = None
) -> list[tuple[Path, dict[str, Any]]]:
    """Find the records of PTB-XL that are in a folder: header and row of metadata of each."""
    folder = Path(path).expanduser()
    if sfreq not in _PTBXL_RATES:
        raise ValueError(f"sfreq must be 100 or 500, got {sfreq!r}")
    superclass = {
        row[""]: row["diagnostic_class"]
        for row in _table(folder / "scp_statements.csv")
        if row["diagnostic"] == "1.0"
    }
    wanted = None if folds is None else {str(int(fold)) for fold in folds}
    found = []
    for row in _table(folder / "ptbxl_database.csv"):
        file = folder / f"{row[_PTBXL_RATES[sfreq]]}.hea"
        if (wanted is None or row["strat_fold"] in wanted) and file.is_file():
            found.append((file, _diagnoses(row, superclass)))
    if not found:
        raise FileNotFoundError(
            f"{folder} has no records of {sfreq} Hz{'' if wanted is None else ' of these folds'}: "
            "download them from https://physionet.org/content/ptb-xl/"
        )
    return found


def _table(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: name the folder of PTB-XL that holds it")
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def _diagnoses(row: dict[str, str], superclass: dict[str, str]) -> dict[str, Any]:
    found = {superclass.get(code) for code in ast.literal_eval(row["scp_codes"])}
    return {
        "subject": f"patient{float(row['patient_id']):.0f}",
        "recording": int(row["ecg_id"]),
        "fold": int(row["strat_fold"]),
        "age": float(row["age"] or "nan"),
        "sex": int(row["sex"]),
        **{name: int(name in found) for name in PTBXL_CLASSES},
    }
