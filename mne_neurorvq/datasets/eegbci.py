# License: BSD-3-Clause
"""Reading the PhysioNet EEG Motor Movement/Imagery data set through MNE."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import mne

from .montage import standard_montage

_KEY = "MNE_DATASETS_EEGBCI_PATH"
_FOLDER = "MNE-eegbci-data"
# What T1 and T2 mean, by run: https://physionet.org/content/eegmmidb/1.0.0/
_HANDS = (3, 4, 7, 8, 11, 12)
_BASELINES = {1: "eyes_open", 2: "eyes_closed"}


def check_numbers(name: str, values: int | Iterable[int], highest: int) -> list[int]:
    """Return a list of numbers from 1 to the highest."""
    numbers = [int(v) for v in values] if isinstance(values, Iterable) else [int(values)]
    wrong = [number for number in numbers if not 1 <= number <= highest]
    if wrong or not numbers:
        raise ValueError(f"{name} must be from 1 to {highest}, got {wrong or 'none'}")
    return numbers


def find_folder(path: str | Path | None) -> Path | None:
    """Return the folder that holds MNE's folder of the data set; None is MNE's default."""
    if path is None:
        path = mne.get_config(_KEY)
    if path is None:
        return None
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"the folder {folder} for the EEGBCI data does not exist: create it"
        )
    return folder.parent if folder.name == _FOLDER else folder


def read_subject(subject: int, runs: list[int], folder: Path | None) -> list[mne.io.BaseRaw]:
    """Read runs of one person."""
    # update_path=False: MNE neither asks whether to store the path nor stores it.
    try:
        files = mne.datasets.eegbci.load_data(subject, runs, path=folder, update_path=False)
    except OSError as error:
        raise OSError(
            f"runs {runs} of subject {subject} are not in {folder or 'the folder of MNE'} and "
            f"cannot be downloaded: {error}. Where {_KEY} names the folder that holds {_FOLDER}, "
            "no network is needed."
        ) from error
    return [_read_run(file, subject, run) for file, run in zip(files, runs, strict=True)]


def _read_run(file: Path, subject: int, run: int) -> mne.io.BaseRaw:
    # Some files have annotations that reach beyond their end, of which MNE warns; trials cut at
    # them are left out.
    raw = mne.io.read_raw_edf(file, verbose="error")
    mne.datasets.eegbci.standardize(raw)
    raw.set_montage(standard_montage())
    raw.info["subject_info"] = {"his_id": f"S{subject:03d}"}
    raw.info["description"] = f"PhysioNet eegmmidb, run {run}"
    if run in _BASELINES:
        meanings = {"T0": _BASELINES[run]}
    elif run in _HANDS:
        meanings = {"T0": "rest", "T1": "left", "T2": "right"}
    else:
        meanings = {"T0": "rest", "T1": "hands", "T2": "feet"}
    found = set(raw.annotations.description)
    raw.annotations.rename({code: name for code, name in meanings.items() if code in found})
    return raw
