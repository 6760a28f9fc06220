# License: BSD-3-Clause
"""Recordings of several people: simulated ones, and loaders around `mne.datasets`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import mne
import numpy as np
from mne.utils import logger, verbose

from ..signals import NEURORVQ_EEG_PREPROCESSING
from ..signals.filtering import filter_recording
from . import eegbci, epoching, heart_and_muscle, simulation

# Usual sampling rate of simulated EEG, and the least.
_EEG_RATES = (200.0, 100.0)


@verbose
def simulate_recordings(
    n_subjects: int = 8,
    n_trials: int = 20,
    *,
    modality: Literal["eeg", "ecg", "emg", "ppg"] = "eeg",
    trial_duration: float = 4.0,
    sfreq: float | None = None,
    random_state: int = 0,
    verbose: bool | str | int | None = None,
) -> list[mne.io.RawArray]:
    """Simulate recordings of several people: brain, heart, muscles or pulse.

    The recordings are SIMULATED, and say so in ``raw.info["description"]`` and in the log. Each
    alternates ``trial_duration`` seconds of rest with as much of something else: imagery of the
    left or right hand (EEG), exercise (ECG, PPG), extension or flexion of the knee (EMG).

    Parameters
    ----------
    n_subjects : int
        Number of people, one recording each.
    n_trials : int
        Number of trials of each person that are not rest, an even number; as many of rest.
    modality : "eeg" | "ecg" | "emg" | "ppg"
        Kind of signal.
    trial_duration : float
        Duration of a trial in s.
    sfreq : float | None
        Sampling rate in Hz; by default 200 for EEG, 500 for ECG, 1000 for EMG and 125 for PPG.
    random_state : int
        Seed. A person depends on it and on their own number only, not on ``n_subjects``.
    verbose : bool | str | int | None
        Level of the log, as in MNE.

    Returns
    -------
    recordings : list of mne.io.RawArray
        In volts (PPG: without a unit, of type ``"misc"``), with the conditions as annotations and
        ``"sim-01"``, ``"sim-02"``, ... in ``raw.info["subject_info"]["his_id"]``. EEG has electrode
        positions, and montages of 32, 21 and 19 channels take turns; the 19 of the 10-20 system
        are in all of them. In ECG and PPG an annotation ``"beat"`` marks each R peak, or maximum of
        the pulse wave.

    Notes
    -----
    EEG: people differ in the frequency of their alpha rhythm (8.5 to 11.5 Hz), its power, the gain
    and noise of their amplifier, the slope of the background and the strength of their response.
    Sources are current dipoles in an unbounded homogeneous conductor, projected on the electrode
    positions: a background with a 1/f spectrum, an occipital alpha rhythm, blinks, and mu
    rhythms over both motor cortices. During imagery the mu rhythm is suppressed, more on the side
    opposite to the hand. Nothing is simulated below 0.5 Hz.

    ECG: five Gaussian waves of one dipole, which Dower's matrix [1]_ projects on 12 leads,
    breathing and noise. The heart beats 52 to 76 times a minute, half as fast again in exercise.
    PPG: two Gaussian waves for each such beat. EMG: noise with a peak at 60 to 90 Hz, of each of
    four muscles, as loud as the muscle works; a twentieth of each is in all channels.

    References
    ----------
    .. [1] G. E. Dower (1968). A lead synthesizer for the Frank system to simulate the standard
       12-lead electrocardiogram. Journal of Electrocardiology 1(1).

    Examples
    --------
    >>> recordings = simulate_recordings(n_subjects=2, n_trials=4, verbose=False)
    >>> recordings[1].info["subject_info"]["his_id"], len(recordings[1].ch_names)
    ('sim-02', 21)
    >>> sorted(set(recordings[0].annotations.description.tolist()))
    ['left', 'rest', 'right']
    >>> (heart,) = simulate_recordings(1, 2, modality="ecg", verbose=False)
    >>> beats = heart.annotations.onset[heart.annotations.description == "beat"]
    >>> print(f"{60 * (len(beats) - 1) / (beats[-1] - beats[0]):.0f} beats/min")
    72 beats/min
    """
    if n_subjects < 1:
        raise ValueError(f"n_subjects must be at least 1, got {n_subjects}")
    if n_trials < 2 or n_trials % 2:
        raise ValueError(f"n_trials must be even and at least 2, got {n_trials}")
    if not 1 <= trial_duration < np.inf:
        raise ValueError(f"trial_duration must be at least 1 s, got {trial_duration}")
    if modality != "eeg" and modality not in heart_and_muscle.KINDS:
        others = ", ".join(heart_and_muscle.KINDS)
        raise ValueError(f"modality must be one of eeg, {others}, got {modality!r}")
    usual, least = _EEG_RATES
    simulate = simulation.simulate_raw
    if modality != "eeg":
        usual, least = heart_and_muscle.KINDS[modality].rates
        simulate = partial(heart_and_muscle.simulate_raw, modality)
    rate = usual if sfreq is None else sfreq
    if not least <= rate < np.inf:
        raise ValueError(f"sfreq must be at least {least:g} Hz, got {sfreq}")
    recordings = [
        simulate(subject, n_trials, trial_duration, rate, random_state)
        for subject in range(n_subjects)
    ]
    logger.info(
        f"SIMULATED {n_subjects} {modality.upper()} recordings of {recordings[0].times[-1]:.0f} s "
        f"(random_state={random_state}): these are not measurements"
    )
    return recordings


@verbose
def simulate_epochs(
    n_subjects: int = 8,
    n_trials: int = 20,
    *,
    conditions: Sequence[str] = ("left", "right"),
    trial_duration: float = 4.0,
    sfreq: float = 200.0,
    random_state: int = 0,
    verbose: bool | str | int | None = None,
) -> mne.EpochsArray:
    """Simulate filtered trials of several people on the channels that all of them have.

    The recordings of `simulate_recordings` pass the filters of the NeuroRVQ models for EEG
    (:func:`mne_neurorvq.preprocess`) before they are cut.

    Parameters
    ----------
    n_subjects, n_trials, trial_duration, sfreq, random_state, verbose
        As in `simulate_recordings`.
    conditions : sequence of str
        The conditions to keep, of ``"rest"``, ``"left"`` and ``"right"``. Rest differs from
        imagery in power over both hemispheres, left from right in its lateralisation only.

    Returns
    -------
    epochs : mne.EpochsArray
        Of the 19 channels of the 10-20 system, with the columns ``subject``, ``recording`` and
        ``condition`` in ``epochs.metadata``: groups and labels for cross-validation.

    Examples
    --------
    >>> epochs = simulate_epochs(n_subjects=3, n_trials=4, verbose=False)
    >>> epochs.get_data(copy=False).shape
    (12, 19, 800)
    >>> epochs.metadata["condition"].value_counts().sort_index().to_dict()
    {'left': 6, 'right': 6}
    """
    unknown = sorted(set(conditions) - set(simulation.CONDITIONS))
    if unknown or not conditions or isinstance(conditions, str):
        raise ValueError(f"conditions must be some of {simulation.CONDITIONS}, got {conditions!r}")
    recordings = simulate_recordings(
        n_subjects,
        n_trials,
        trial_duration=trial_duration,
        sfreq=sfreq,
        random_state=random_state,
    )
    event_id = {name: code for code, name in enumerate(conditions, start=1)}
    filtered = [filter_recording(raw, NEURORVQ_EEG_PREPROCESSING) for raw in recordings]
    return epochs_from_recordings(
        filtered,
        tmin=0.0,
        tmax=trial_duration - 1 / sfreq,
        event_id=event_id,
        picks=simulation.TEN_TWENTY,
    )


@verbose
def load_eegbci(
    subjects: int | Iterable[int],
    runs: int | Iterable[int] = (4, 8, 12),
    *,
    path: str | Path | None = None,
    verbose: bool | str | int | None = None,
) -> list[mne.io.BaseRaw]:
    """Load recordings of the PhysioNet EEG Motor Movement/Imagery data set.

    Parameters
    ----------
    subjects : int | iterable of int
        Numbers of the people, 1 to 109.
    runs : int | iterable of int
        Numbers of the runs, 1 to 14; 4, 8 and 12 are imagery of the left or right hand.
    path : str | pathlib.Path | None
        The folder that holds ``MNE-eegbci-data``, or that folder itself. By default the one named
        by ``MNE_DATASETS_EEGBCI_PATH`` (environment or MNE's configuration), else MNE's own. Files
        that are there are read without a network; others are downloaded into it by MNE.
    verbose : bool | str | int | None
        Level of the log, as in MNE.

    Returns
    -------
    recordings : list of mne.io.Raw
        One for each run of each person, not preloaded, in volts, with the channel names of the
        10-10 system and their positions. Annotations say what happened (``"rest"``, ``"left"``,
        ``"right"``; ``"hands"``, ``"feet"``; ``"eyes_open"``, ``"eyes_closed"``), and
        ``raw.info["subject_info"]["his_id"]`` who it was (``"S001"``).

    Notes
    -----
    MNE's configuration is left as it is. Some people were recorded at 128 Hz instead of 160 Hz,
    and some have shorter or missing trials: see the documentation of the data set [1]_, [2]_.

    References
    ----------
    .. [1] G. Schalk et al. (2004). BCI2000: A general-purpose brain-computer interface system.
       IEEE Transactions on Biomedical Engineering 51(6).
    .. [2] A. L. Goldberger et al. (2000). PhysioBank, PhysioToolkit, and PhysioNet. Circulation
       101(23).

    Examples
    --------
    >>> from mne_neurorvq.datasets import load_eegbci
    >>> recordings = load_eegbci([1, 2])  # doctest: +SKIP
    """
    subjects = eegbci.check_numbers("subjects", subjects, 109)
    runs = eegbci.check_numbers("runs", runs, 14)
    folder = eegbci.find_folder(path)
    return [raw for subject in subjects for raw in eegbci.read_subject(subject, runs, folder)]


@verbose
def epochs_from_recordings(
    recordings: Sequence[mne.io.BaseRaw],
    tmin: float,
    tmax: float,
    event_id: Mapping[str, int] | None = None,
    *,
    picks: str | Sequence[str] = "eeg",
    sfreq: float | None = None,
    chunk_duration: float | None = None,
    verbose: bool | str | int | None = None,
) -> mne.EpochsArray:
    """Cut annotated recordings of several people into trials, in one object.

    Parameters
    ----------
    recordings : sequence of mne.io.Raw
        Annotated recordings. Whose they are is in ``raw.info["subject_info"]["his_id"]``.
    tmin, tmax : float
        Start and end of a trial in s, relative to the annotation, both included as in
        `mne.Epochs`: ``tmax=4 - 1 / sfreq`` gives 4 s.
    event_id : dict of str to int | None
        Event code of each annotation to cut at. By default all annotations but those that begin
        with ``BAD`` or ``EDGE``, numbered from 1 in alphabetical order.
    picks : str | sequence of str
        Type of the channels to take, or their names, which every recording must have.
    sfreq : float | None
        Rate in Hz to resample to; by default the recordings' own, which they must share.
    chunk_duration : float | None
        Trials in an annotation begin so many seconds apart, as many as fit, as in
        :func:`mne.events_from_annotations`: for blocks of a condition. None cuts one at its onset.
    verbose : bool | str | int | None
        Level of the log, as in MNE.

    Returns
    -------
    epochs : mne.EpochsArray
        In the order of the recordings. ``epochs.metadata`` has the columns ``subject`` (the
        ``his_id``), ``recording`` (position in ``recordings``) and ``condition``.

    Raises
    ------
    ValueError
        If recordings share no channels, differ in their sampling rate, do not say whose they are,
        or have no such annotation.

    Notes
    -----
    With differing montages only the channels that all recordings have are kept, with the names and
    in the order of the first; one warning tells what is left out. Names are compared as in
    :func:`~mne_neurorvq.signals.match_channels`. A channel that is bad in one recording is marked
    bad. Trials that overlap an annotation beginning with ``BAD`` or reach beyond their recording
    are left out and logged. No filter, baseline or reference is applied.

    Examples
    --------
    >>> recordings = simulate_recordings(n_subjects=3, n_trials=4, verbose=False)
    >>> epochs = epochs_from_recordings(
    ...     recordings, tmin=0.0, tmax=3.995, event_id={"left": 1, "right": 2},
    ...     picks=["C3", "Cz", "C4"], verbose=False)
    >>> len(epochs), len(epochs.ch_names)
    (12, 3)
    >>> sorted(set(trial_column(epochs, "subject").tolist()))
    ['sim-01', 'sim-02', 'sim-03']
    """
    recordings = list(recordings)
    if not recordings:
        raise ValueError("recordings is empty: pass at least one annotated recording")
    subjects = epoching.subjects_of(recordings)
    names = epoching.common_channels(recordings, picks)
    rate = epoching.common_rate(recordings) if sfreq is None else float(sfreq)
    codes = epoching.common_events(recordings, event_id)
    epochs, origin = epoching.stack_trials(
        recordings, tmin, tmax, codes, names, rate, chunk_duration
    )
    labels = {code: name for name, code in codes.items()}
    rows = [
        {"subject": subjects[recording], "recording": recording, "condition": labels[code]}
        for recording, code in zip(origin.tolist(), epochs.events[:, 2].tolist(), strict=True)
    ]
    epoching.attach_table(epochs, rows)
    return epochs


def trial_column(epochs: mne.BaseEpochs, name: str) -> np.ndarray:
    """Return a column of the metadata of trials, whether pandas is installed or not.

    Parameters
    ----------
    epochs : mne.Epochs
        Trials with metadata.
    name : str
        The column, for example ``"subject"`` (groups) or ``"condition"`` (labels).

    Returns
    -------
    values : array, shape (n_trials,)
        Its values.

    Raises
    ------
    KeyError
        If there is no such column.

    Examples
    --------
    >>> epochs = simulate_epochs(n_subjects=2, n_trials=2, verbose=False)
    >>> trial_column(epochs, "subject").tolist()
    ['sim-01', 'sim-01', 'sim-02', 'sim-02']
    """
    metadata = epochs.metadata
    rows = metadata if isinstance(metadata, list) else [] if metadata is None else None
    columns = list(metadata.columns) if rows is None else sorted({n for row in rows for n in row})
    if name not in columns:
        raise KeyError(f"the trials have no metadata column {name!r}, only {columns}")
    values = metadata[name] if rows is None else [row[name] for row in rows]
    return np.array(list(values))
