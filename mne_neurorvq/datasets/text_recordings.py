# License: BSD-3-Clause
"""Recordings of muscles and pulse waves in formats that neither MNE nor wfdb reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import mne
import numpy as np
from numpy.typing import NDArray

LOWER_LIMB_TASKS = ("gait", "sitting", "standing")
_MUSCLES = ("rectus femoris", "biceps femoris", "vastus medialis", "semitendinosus")
_COUNT = 1e-7  # V: 1e-4 mV, as the name of the arrays says
_LOWER_LIMB_RATE, _BIDMC_RATE = 1000.0, 125.0
_BIDMC_ECG = ("I", "II", "III", "V", "AVR", "AVL", "AVF", "MCL", *(f"V{i}" for i in range(1, 7)))


def load_emg_lower_limb(
    path: str | Path,
    tasks: Iterable[str] = LOWER_LIMB_TASKS,
) -> list[mne.io.RawArray]:
    """Load the data set "EMG in Lower Limb" of four thigh muscles, healthy and with knee disorders.

    Parameters
    ----------
    path : str | pathlib.Path
        Folder with a file for each person, ``N1.npz`` (healthy) or ``A1.npz`` (knee disorder). Each
        has, for each task, ``<task>_emg_1e-4mV``, integers of shape (4, n_times) in steps of
        0.1 µV.
    tasks : iterable of "gait" | "sitting" | "standing"
        Walking, extending the knee while seated, flexing it while standing.

    Returns
    -------
    recordings : list of mne.io.RawArray
        One for each person and task, in volts, of type ``"emg"``, at 1 kHz. The annotation that
        spans each is the task; ``raw.info["subject_info"]`` has the person (``his_id``, ``"N1"``)
        and their group (``last_name``, ``"healthy"`` or ``"knee disorder"``).

    Raises
    ------
    FileNotFoundError
        If the folder has no such file.
    ValueError
        If a task is unknown, or a file does not have the arrays.

    References
    ----------
    .. [1] O. Sanchez, J. Sotelo, M. Gonzales, G. Hernandez (2014). EMG dataset in Lower Limb. UCI
       Machine Learning Repository. https://doi.org/10.24432/C5ZW2K

    Examples
    --------
    >>> recordings = load_emg_lower_limb("emg_lower_limb", ["gait"])  # doctest: +SKIP
    """
    tasks = list(tasks)
    if unknown := [task for task in tasks if task not in LOWER_LIMB_TASKS]:
        raise ValueError(f"tasks must be some of {LOWER_LIMB_TASKS}, got {unknown}")
    folder = Path(path).expanduser()
    files = sorted(folder.glob("[AN]*.npz"), key=lambda file: (file.stem[0], int(file.stem[1:])))
    if not files:
        raise FileNotFoundError(f"{folder} has no files such as N1.npz and A1.npz")
    return [_lower_limb(file, task) for file in files for task in tasks]


def _lower_limb(file: Path, task: str) -> mne.io.RawArray:
    name = f"{task}_emg_1e-4mV"
    with np.load(file) as arrays:
        if name not in arrays or arrays[name].shape[:1] != (len(_MUSCLES),):
            raise ValueError(f"{file} has no array {name} of {len(_MUSCLES)} muscles")
        counts = arrays[name]
    info = mne.create_info(list(_MUSCLES), _LOWER_LIMB_RATE, "emg")
    info["description"] = f"EMG dataset in Lower Limb, {task}"
    group = "healthy" if file.stem.startswith("N") else "knee disorder"
    info["subject_info"] = {"his_id": file.stem, "last_name": group}
    raw = mne.io.RawArray(_COUNT * counts, info, verbose="error")
    duration = raw.n_times / _LOWER_LIMB_RATE
    return raw.set_annotations(mne.Annotations(0.0, duration, task))


def read_bidmc(path: str | Path) -> mne.io.RawArray:
    """Read the signals of a record of the BIDMC PPG and Respiration data set in CSV format.

    Parameters
    ----------
    path : str | pathlib.Path
        Such as ``bidmc_01_Signals.csv``. The same records in WFDB format: :func:`read_wfdb`.

    Returns
    -------
    raw : mne.io.RawArray
        At 125 Hz; leads of the ECG in volts (the file holds millivolts), of type ``"ecg"``; PLETH
        and RESP as they are, without a unit, of type ``"misc"``. The record is
        ``raw.info["subject_info"]["his_id"]``.

    Raises
    ------
    ValueError
        If the first column is not the time, or the times are not every 8 ms from 0.

    References
    ----------
    .. [1] M. A. F. Pimentel et al. (2017). Toward a robust estimation of respiratory rate from
       pulse oximeters. IEEE Transactions on Biomedical Engineering 64(8).

    Examples
    --------
    >>> raw = read_bidmc("bidmc_01_Signals.csv")  # doctest: +SKIP
    """
    names, columns = _columns(path)
    if names[0] != "Time [s]":
        raise ValueError(f"{path}: the first column is {names[0]!r}, not the times of BIDMC's CSV")
    # Times have five digits only.
    if not np.allclose(columns[0], np.arange(columns.shape[1]) / _BIDMC_RATE, atol=0.006):
        raise ValueError(f"{path}: the times are not every 8 ms from 0: it is not whole")
    types = ["ecg" if name.upper() in _BIDMC_ECG else "misc" for name in names[1:]]
    info = mne.create_info(names[1:], _BIDMC_RATE, types)
    info["description"] = "BIDMC PPG and Respiration"
    info["subject_info"] = {"his_id": Path(path).name.removesuffix("_Signals.csv")}
    factors = np.where(np.array(types) == "ecg", 1e-3, 1.0)
    return mne.io.RawArray(factors[:, None] * columns[1:], info, verbose="error")


def read_welltory(path: str | Path, sfreq: float = 30.0) -> mne.io.RawArray:
    """Read a recording of the Welltory PPG data set: a finger before the camera of a telephone.

    Parameters
    ----------
    path : str | pathlib.Path
        Folder with ``PPG.csv`` (times of the frames, mean red, green and blue) and ``RR.txt``.
    sfreq : float
        Sampling rate in Hz that the frames, which come at uneven times, are interpolated to.

    Returns
    -------
    raw : mne.io.RawArray
        Channels ``PPG R``, ``PPG G`` and ``PPG B`` of type ``"misc"``, in values of the camera (0
        to 255); light falls where blood flows in, so beats point down. The intervals
        from beat to beat of a chest strap are annotations ``"RR"``, one after the other: when the
        first began is not in the files. ``his_id`` is the name of the folder; some of the 13 people
        made two of the 21 recordings, and the files do not say who.

    References
    ----------
    .. [1] A. Neshitov et al. (2021). Wavelet analysis and self-similarity of photoplethysmography
       signals for HRV estimation and quality assessment. Sensors 21:6798.

    Examples
    --------
    >>> raw = read_welltory("data/subject_01")  # doctest: +SKIP
    """
    folder = Path(path).expanduser()
    _, (milliseconds, *colours) = _columns(folder / "PPG.csv")
    times = np.arange(milliseconds[0], milliseconds[-1], 1e3 / sfreq)
    info = mne.create_info(["PPG R", "PPG G", "PPG B"], sfreq, "misc")
    info["description"] = "Welltory PPG"
    info["subject_info"] = {"his_id": folder.name}
    data = [np.interp(times, milliseconds, colour) for colour in colours]
    raw = mne.io.RawArray(data, info, verbose="error")
    intervals = np.array((folder / "RR.txt").read_text().split(), float) / 1e3
    onsets = np.cumsum(intervals) - intervals
    kept = onsets + intervals < raw.times[-1]
    return raw.set_annotations(mne.Annotations(onsets[kept], intervals[kept], "RR"))


def _columns(path: str | Path) -> tuple[list[str], NDArray[np.float64]]:
    """Names and values (n_columns, n_rows) of a table with commas."""
    with Path(path).expanduser().open(encoding="utf-8") as file:
        names = [name.strip() for name in file.readline().split(",")]
        values = np.loadtxt(file, delimiter=",", ndmin=2)
    if values.shape[1:] != (len(names),):
        raise ValueError(f"{path} has {len(names)} names but {values.shape[-1]} columns")
    return names, values.T
