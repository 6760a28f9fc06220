# License: BSD-3-Clause
"""What a heart or muscle person checks: beats, amplitudes, envelopes, and probes of features.

    python tests/timing/heart_and_muscle.py --ecg MODEL... [--ptbxl DIR] [--mitbih DIR]
    python tests/timing/heart_and_muscle.py --emg MODEL... [--thighs DIR] [--json FILE]
    python tests/timing/heart_and_muscle.py --pulses [--ecg MODEL...] [--bidmc FILE]
    python tests/timing/heart_and_muscle.py --pools --ecg MODEL... --emg MODEL...

The folders default to those below ``MNE_NEURORVQ_SHARED``. ECG: the records of folds 9 and 10 of
PTB-XL, which no model has seen, before and after the codes: R peaks (MNE's detector, lead II) that
are found again within 100 ms, their timing error, error of the QRS amplitude (peak to peak within
60 ms of the R peak, every lead), heart rate by these peaks and by those of all leads together,
correlation and SI-SDR by lead; the heart rate of MIT-BIH records against their annotators. EMG:
five people whom no model has seen: correlation and SI-SDR, correlation of the envelope (rectified,
below 6 Hz) by muscle and movement, error of the median frequency.

Probes: linear, trained on the other people, beside the random twin and features made by hand. ECG:
five superclasses of PTB-XL, trained on folds 1 to 8, tested on 9 and 10, area under the ROC curve
(chance .5); by hand, intervals and amplitudes of the mean beat. EMG: movement in windows of 2 s of
the five people, columns standardised within each person; healthy or not, of all 22 people, each
judged by a probe of the others, mean over their windows; by hand, root mean square, median
frequency and Hudgins' four (mean absolute value, zero crossings, slope sign changes, waveform
length).

``--pulses``: the heart rate of pulse waves (the steepest rises that SciPy finds), as BIDMC and
Welltory recorded them: no model of pulses is trained. BIDMC: windows of 10 s, by its ECG, which the
models of ``--ecg`` also restore. Welltory: whole recordings, the colour with the most regular
pulse, by the intervals of a chest strap.

``--pools`` compares ways to pool features, to choose the default: none of the people above is in
it. ECG: superclasses, five folds of the patients of folds 1 to 8, drawn three times, mean and
deviation of the draws. EMG: movement, each of 17 people by a probe of the others, mean and
deviation of people.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory
from typing import Any

import mne
import numpy as np
import pandas as pd
import torch
from machine import facts, report
from mne.preprocessing.ecg import qrs_detector
from numpy.typing import NDArray
from scipy.signal import butter, find_peaks, sosfiltfilt, welch
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    StratifiedGroupKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import GroupStandardScaler, preprocess
from mne_neurorvq.analysis import reconstruction_quality
from mne_neurorvq.benchmarks import untrained_twin
from mne_neurorvq.datasets import (
    load_emg_lower_limb,
    load_ptbxl,
    read_bidmc,
    read_welltory,
    read_wfdb,
    trial_column,
)
from mne_neurorvq.datasets.wfdb_records import PTBXL_CLASSES
from mne_neurorvq.training.patch_targets import find_r_peaks
from mne_neurorvq.weights import save_pretrained
from mne_neurorvq.weights.blueprint import Blueprint
from mne_neurorvq.weights.loading import find_config
from mne_neurorvq.weights.systems import SYSTEMS
from mne_neurorvq.weights.untrained import build_untrained

Array = NDArray[np.float64]

#: Whom the models of thigh muscles have not seen.
HELD_OUT = ("A2", "A7", "N3", "N8", "N11")
_TEST_FOLDS = (9, 10)
_ALPHAS = (1.0, 10.0, 100.0, 1e3, 1e4)
_AGAIN, _AROUND = 0.1, 0.06  # s
_WINDOW, _STRETCH = 2.0, 10.0  # s, of muscles and of hearts
_POOLS = ("mean", "time", "thirds")


def transformer(name: str, **given: Any) -> Any:
    """Make the transformer of a model."""
    return resolve_name(SYSTEMS[find_config(name).system].transformer)(name, **given)


def filtered(epochs: mne.BaseEpochs, name: str) -> mne.EpochsArray:
    """Filter each trial as a model expects."""
    info = epochs.info
    parts = [
        preprocess(mne.io.RawArray(trial, info, verbose="error"), name).get_data()
        for trial in epochs.get_data(copy=True)
    ]
    metadata = epochs.metadata
    return mne.EpochsArray(
        np.stack(parts), info, epochs.events, metadata=metadata, proj=False, verbose="error"
    )


def beats(signal: Array, sfreq: float) -> NDArray[np.intp]:
    """R peaks of a lead by MNE's detector, each at the largest deflection nearby."""
    found = qrs_detector(sfreq, signal, verbose="error")
    reach = round(_AROUND * sfreq)
    size = np.abs(signal - np.median(signal))
    places = [max(0, one - reach) + int(size[max(0, one - reach) : one + reach].argmax())
              for one in found]  # fmt: skip
    return np.unique(np.array(places, int))


def between_samples(peaks: NDArray[np.intp], signal: Array) -> Array:
    """Where the parabolas through the samples around peaks are highest, in samples.

    At 100 Hz and 80 beats a minute, a sample is a beat a minute.
    """
    size = np.abs(signal - np.median(signal))
    inside = peaks[(peaks > 0) & (peaks < len(signal) - 1)]
    before, at, after = (size[inside + k] for k in (-1, 0, 1))
    bend = np.minimum(before - 2 * at + after, -1e-12 * size.max())
    return np.asarray(inside + np.clip((before - after) / (2 * bend), -0.5, 0.5))


def rate(peaks: NDArray[Any], sfreq: float, middle: Callable[..., Any] = np.median) -> float:
    """Heart rate in beats a minute, by the median interval, which forgives a beat or two."""
    return 60 * sfreq / float(middle(np.diff(peaks))) if len(peaks) > 2 else float("nan")


def rate_of_first(leads: Array, sfreq: float) -> float:
    """Heart rate by the R peaks of MNE's detector in the first lead."""
    return rate(beats(leads[0], sfreq), sfreq)


def rate_of_all(leads: Array, sfreq: float) -> float:
    """Heart rate by the R peaks of all leads together: beats over time, all of them."""
    return rate(find_r_peaks(1e3 * leads, sfreq), sfreq, np.mean)


def compare_hearts(before: Array, after: Array, sfreq: float, lead: int) -> dict[str, Array]:
    """Compare two ECGs ``(n_channels, n_times)`` beat by beat."""
    one, two = beats(before[lead], sfreq), beats(after[lead], sfreq)
    inside = one[(one > _AGAIN * sfreq) & (one < before.shape[1] - _AGAIN * sfreq)]
    errors = two[np.abs(two[:, None] - inside).argmin(axis=0)] - inside if len(two) else inside
    again = np.abs(errors) <= _AGAIN * sfreq if len(two) else np.zeros(len(inside), bool)
    reach = round(_AROUND * sfreq)
    sizes = [
        np.array([np.ptp(x[:, max(0, i - reach) : i + reach], axis=1) for i in inside])
        for x in (before, after)
    ]
    return {
        "timing ms": 1e3 * errors[again] / sfreq,
        "found": again,
        "extra": np.array([max(0, len(two) - len(one))]),
        "QRS mV": 1e3 * (sizes[1] - sizes[0]),
        "QRS %": 100 * (sizes[1] / sizes[0] - 1),
        "rate": np.diff(
            [
                rate(between_samples(*pair), sfreq)
                for pair in ((one, before[lead]), (two, after[lead]))
            ]
        ),
        "rate of all leads": np.diff([rate_of_all(x, sfreq) for x in (before, after)]),
    }


def heart_rows(name: str, epochs: mne.BaseEpochs) -> dict[str, float]:
    """Fidelity of a model for ECG."""
    epochs = filtered(epochs, name)
    model = transformer(name, output="tokens").fit(epochs)
    rebuilt = model.reconstruct(epochs)
    picks = rebuilt.ch_names
    before, after = epochs.get_data(picks=picks), rebuilt.get_data()
    sfreq = epochs.info["sfreq"]
    found = [
        compare_hearts(*pair, sfreq, picks.index("II")) for pair in zip(before, after, strict=True)
    ]
    joined = {key: [part[key] for part in found] for key in found[0]}
    timing = np.abs(np.concatenate(joined["timing ms"]))
    by_lead, by_all = (np.abs(np.concatenate(joined[k])) for k in ("rate", "rate of all leads"))
    quality = reconstruction_quality(before, after, sfreq, bands={})
    return {
        "R peaks found": float(np.concatenate(joined["found"]).mean()),
        "beats more than there were": float(np.concatenate(joined["extra"]).sum()),
        "R peak error, mean ms": float(timing.mean()),
        "R peak error, 95 % ms": float(np.quantile(timing, 0.95)),
        "QRS error, mean mV": float(np.abs(np.concatenate(joined["QRS mV"])).mean()),
        "QRS error, median %": float(np.median(np.abs(np.concatenate(joined["QRS %"])))),
        "records within 1 beat/min, lead II": float((by_lead <= 1).mean()),
        "records within 1 beat/min, all leads": float((by_all <= 1).mean()),
        "largest error of the heart rate, all leads": float(by_all.max()),
        "r": float(np.nanmean(quality.r)),
        "SI-SDR dB": float(np.nanmean(quality.si_sdr)),
        **{f"r, {lead}": float(r) for lead, r in zip(picks, np.nanmean(quality.r, 0), strict=True)},
        **{
            f"SI-SDR dB, {lead}": float(value)
            for lead, value in zip(picks, np.nanmean(quality.si_sdr, 0), strict=True)
        },
    }


def holter_rows(name: str, folder: Path) -> dict[str, float]:
    """Heart rate in five minutes of MIT-BIH records by annotators, before and after the codes."""
    rows = {}
    for file in sorted(folder.glob("*.hea")):
        raw = preprocess(read_wfdb(file).crop(tmax=300.0), name)
        epochs = mne.make_fixed_length_epochs(raw, _STRETCH, preload=True, verbose="error")
        rebuilt = transformer(name, output="tokens").fit(epochs).reconstruct(epochs)
        sfreq, leads = epochs.info["sfreq"], rebuilt.ch_names
        marks = raw.annotations.onset[[len(d) == 1 for d in raw.annotations.description]]
        starts = _STRETCH * np.arange(len(epochs))
        inside = [marks[(marks >= t) & (marks < t + _STRETCH)] for t in starts]
        for detector, found, middle in (
            ("first lead", rate_of_first, np.median),
            ("all leads", rate_of_all, np.mean),
        ):
            known = np.array([rate(one, 1.0, middle) for one in inside])
            before, after = (
                np.abs(np.array([found(x, sfreq) for x in signals]) - known) <= 1
                for signals in (epochs.get_data(picks=leads), rebuilt.get_data())
            )
            title = f"record {file.stem}, {detector}, windows within 1 beat/min"
            rows[f"{title}, before"], rows[f"{title}, after"] = before.mean(), after.mean()
            rows[f"{title}, after, of those before"] = after[before].mean()
    return rows


def pulse_intervals(signal: Array, sfreq: float) -> Array:
    """Intervals in s between the steepest rises of a pulse wave, in stretches of 10 s."""
    length, found = round(_STRETCH * sfreq), []
    for start in range(0, len(signal) - length // 2, length):
        slope = np.gradient(signal[start : start + length])
        rises, _ = find_peaks(slope, distance=0.4 * sfreq, prominence=1.5 * slope.std())
        found.append(np.diff(between_samples(rises, slope)) / sfreq)
    return np.concatenate(found)


def irregularity(intervals: Array) -> float:
    """Median deviation from the median, as a share of it: large where there is no pulse."""
    middle = np.median(intervals) if len(intervals) > 5 else np.nan
    return float(np.nan_to_num(np.median(np.abs(intervals - middle)) / middle, nan=np.inf))


def pulse_rows(bidmc: Path, welltory: Path, models: list[str]) -> dict[str, float]:
    """Heart rate of pulse waves against hearts, and of hearts after the codes."""
    raw = read_bidmc(bidmc)
    for name in ("neurorvq-ppg", *(models or ["neurorvq-ecg"])[:1]):
        raw = preprocess(raw, name)
    epochs = mne.make_fixed_length_epochs(raw, _STRETCH, preload=True, verbose="error")
    sfreq, leads = raw.info["sfreq"], ["AVR", "II"]
    hearts = np.array([rate_of_all(x, sfreq) for x in epochs.get_data(picks=leads)])
    waves = epochs.get_data(picks=["PLETH"])[:, 0]
    told = {"pulse": [60 / np.median(pulse_intervals(x, sfreq)) for x in waves]}
    for name in models:
        rebuilt = transformer(name, output="tokens").fit(epochs).reconstruct(epochs)
        told[f"ECG after {name}"] = [rate_of_all(x, sfreq) for x in rebuilt.get_data(picks=leads)]
    rows = {}
    for title, values in told.items():
        rows |= _errors(f"BIDMC, {title}, windows", np.array(values) - hearts)
    found = []
    for folder in sorted(welltory.glob("subject_*")):
        raw = preprocess(read_welltory(folder), "neurorvq-ppg")
        colours = [pulse_intervals(-x, raw.info["sfreq"]) for x in raw.get_data()]  # beats go down
        best = min(colours, key=irregularity)
        found.append(60 / np.median(best) - 60 / np.median(raw.annotations.duration))
    return rows | _errors("Welltory, recordings", np.array(found))


def _errors(title: str, errors: Array) -> dict[str, float]:
    size = np.abs(errors)
    return {
        title: float(len(size)),
        f"{title} within 1 beat/min": float((size <= 1).mean()),
        f"{title}, median error": float(np.median(size)),
        f"{title}, largest error": float(size.max()),
    }


def hand_made_heart(epochs: mne.BaseEpochs) -> Array:
    """Intervals, and amplitudes of the waves of the mean beat in every lead."""
    sfreq = epochs.info["sfreq"]

    def part(beat: Array, start: float, stop: float) -> Array:
        return beat[:, round((0.3 + start) * sfreq) : round((0.3 + stop) * sfreq)]

    def signed(values: Array) -> Array:
        return np.take_along_axis(values, np.abs(values).argmax(1)[:, None], 1)[:, 0]

    rows = []
    for signals in 1e3 * epochs.get_data(copy=False):
        peaks = find_r_peaks(signals, sfreq)
        intervals = np.diff(peaks) / sfreq
        before, after = round(0.3 * sfreq), round(0.5 * sfreq)
        inside = peaks[(peaks >= before) & (peaks < signals.shape[1] - after)]
        beat = np.median([signals[:, i - before : i + after] for i in inside], axis=0)
        beat = beat - np.median(part(beat, -0.12, -0.06), axis=1, keepdims=True)
        energy = np.sqrt((np.diff(beat, axis=1) ** 2).sum(axis=0))
        near = energy[round(0.15 * sfreq) : round(0.45 * sfreq)]
        repolarisation = np.abs(part(beat, 0.15, 0.45)).sum(axis=0)
        rows.append(
            np.concatenate(
                [
                    [np.median(intervals), intervals.std(), (near > 0.15 * near.max()).sum()],
                    [repolarisation.argmax(), np.abs(part(beat, -0.25, -0.1)).sum(0).argmax()],
                    signed(part(beat, -0.25, -0.1)),  # P
                    part(beat, -0.08, 0.0).min(axis=1),  # Q
                    part(beat, -0.06, 0.06).max(axis=1),  # R
                    part(beat, 0.0, 0.1).min(axis=1),  # S
                    part(beat, 0.08, 0.1).mean(axis=1),  # ST
                    signed(part(beat, 0.15, 0.45)),  # T
                ]
            )
        )
    return np.array(rows)


def _probe(groups: NDArray[np.str_], scoring: str = "balanced_accuracy") -> GridSearchCV:
    """Linear probe whose strength is chosen on people apart."""
    probe = make_pipeline(StandardScaler(), RidgeClassifier(class_weight="balanced"))
    inner = GroupKFold(min(4, len(np.unique(groups))))
    return GridSearchCV(probe, {"ridgeclassifier__alpha": _ALPHAS}, scoring=scoring, cv=inner)


def diagnosis_scores(values: Array, epochs: mne.BaseEpochs) -> dict[str, float]:
    """Area under the curve of each superclass on folds 9 and 10."""
    test = np.isin(trial_column(epochs, "fold"), _TEST_FOLDS)
    people = trial_column(epochs, "subject")
    found = {}
    for name in PTBXL_CLASSES:
        y = trial_column(epochs, name)
        search = _probe(people[~test], "roc_auc")
        search.fit(values[~test], y[~test], groups=people[~test])
        found[name] = float(roc_auc_score(y[test], search.decision_function(values[test])))
    return {"macro": float(np.mean(list(found.values()))), **found}


def muscle_windows(recordings: list[mne.io.BaseRaw], name: str) -> mne.EpochsArray:
    """Windows of all recordings, filtered, with the person and the movement."""
    parts, rows = [], []
    for raw in recordings:
        windows = mne.make_fixed_length_epochs(preprocess(raw, name), _WINDOW, verbose="error")
        parts.append(windows.get_data(verbose="error"))
        who = raw.info["subject_info"]["his_id"]
        rows += [(who, raw.annotations.description[0])] * len(parts[-1])
    data = np.concatenate(parts)
    events = np.column_stack([np.arange(len(data)) * data.shape[-1], *np.zeros((2, len(data)))])
    metadata = [{"subject": who, "condition": task} for who, task in rows]
    epochs = mne.EpochsArray(data, recordings[0].info, events.astype(int), verbose="error")
    epochs.metadata = pd.DataFrame(metadata)
    return epochs


def envelope(signals: Array, sfreq: float) -> Array:
    """Rectified, below 6 Hz."""
    return np.asarray(sosfiltfilt(butter(4, 6.0, fs=sfreq, output="sos"), np.abs(signals)))


def median_frequency(signals: Array, sfreq: float) -> Array:
    """Frequency in Hz that halves the power of each signal."""
    hz, power = welch(signals, sfreq, nperseg=min(512, signals.shape[-1]))
    total = np.cumsum(power, axis=-1)
    return np.asarray(hz[(total < total[..., -1:] / 2).sum(axis=-1)])


def muscle_rows(name: str, epochs: mne.BaseEpochs) -> dict[str, float]:
    """Fidelity of a model for EMG."""
    model = transformer(name, output="tokens").fit(epochs)
    rebuilt = model.reconstruct(epochs)
    sfreq, picks = epochs.info["sfreq"], rebuilt.ch_names
    before, after = epochs.get_data(picks=picks), rebuilt.get_data()
    quality = reconstruction_quality(before, after, sfreq, bands={})
    one, two = envelope(before, sfreq), envelope(after, sfreq)
    r = np.array([[np.corrcoef(a, b)[0, 1] for a, b in zip(*pair, strict=True)]
                  for pair in zip(one, two, strict=True)])  # fmt: skip
    error = np.abs(median_frequency(after, sfreq) - median_frequency(before, sfreq))
    tasks = trial_column(epochs, "condition")
    return {
        "r": float(np.nanmean(quality.r)),
        "SI-SDR dB": float(np.nanmean(quality.si_sdr)),
        "gain": float(np.nanmedian(quality.gain)),
        "r of the envelope": float(r.mean()),
        "median frequency error, Hz": float(error.mean()),
        **{
            f"r of the envelope, {muscle}, {task}": float(r[tasks == task, i].mean())
            for i, muscle in enumerate(picks)
            for task in np.unique(tasks)
        },
    }


def hand_made_muscle(epochs: mne.BaseEpochs) -> Array:
    """Root mean square, median frequency and Hudgins' four of every muscle."""
    x = 1e6 * epochs.get_data(copy=False)
    slope = np.diff(x, axis=-1)

    def changes(values: Array, least: float) -> Array:
        large = np.abs(np.diff(values, axis=-1)) > least
        return np.asarray(((values[..., 1:] * values[..., :-1] < 0) & large).mean(axis=-1))

    columns = [
        np.log(x.std(axis=-1)),
        median_frequency(x, epochs.info["sfreq"]),
        np.log(np.abs(x).mean(axis=-1)),
        changes(x, 2.0),
        changes(slope, 2.0),
        np.log(np.abs(slope).mean(axis=-1)),
    ]
    return np.concatenate(columns, axis=1)


def movement_score(values: Array, y: Any, people: Any) -> float:
    """Balanced accuracy for the movement on the people held out."""
    within = GroupStandardScaler().fit_transform(values, groups=people)
    test = np.isin(people, HELD_OUT)
    fitted = _probe(people[~test]).fit(within[~test], y[~test], groups=people[~test])
    return float(balanced_accuracy_score(y[test], fitted.predict(within[test])))


def health_scores(values: Array, people: Any) -> tuple[float, int]:
    """Area under the curve over people, each judged by a probe of the others, and people right."""
    # Two of the three recordings of N1 and N2 hold the same signals: they are one person here.
    people = np.where(people == "N2", "N1", people)
    y = np.array([one.startswith("A") for one in people])
    told = np.empty(len(y))
    for train, test in LeaveOneGroupOut().split(values, groups=people):
        fitted = _probe(people[train]).fit(values[train], y[train], groups=people[train])
        told[test] = fitted.decision_function(values[test])
    means = np.array([[told[people == one].mean(), one.startswith("A")] for one in set(people)])
    right = int(((means[:, 0] > 0) == means[:, 1]).sum())
    return float(roc_auc_score(means[:, 1], means[:, 0])), right


def diagnoses_by_draw(values: Array, epochs: mne.BaseEpochs) -> list[float]:
    """Area under the curve, mean of the superclasses, of each draw of folds of patients."""
    people = trial_column(epochs, "subject")
    areas = []
    for seed in range(3):
        found = []
        for name in PTBXL_CLASSES:
            y, told = trial_column(epochs, name), np.empty(len(epochs))
            folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
            for train, test in folds.split(values, y, people):
                search = _probe(people[train], "roc_auc")
                search.fit(values[train], y[train], groups=people[train])
                told[test] = search.decision_function(values[test])
            found.append(roc_auc_score(y, told))
        areas.append(float(np.mean(found)))
    return areas


def movement_by_person(values: Array, epochs: mne.BaseEpochs) -> list[float]:
    """Balanced accuracy for the movement of each person, by a probe of the others."""
    people, y = trial_column(epochs, "subject"), trial_column(epochs, "condition")
    within = GroupStandardScaler().fit_transform(values, groups=people)
    scores = []
    for train, test in LeaveOneGroupOut().split(within, groups=people):
        fitted = _probe(people[train]).fit(within[train], y[train], groups=people[train])
        scores.append(float(balanced_accuracy_score(y[test], fitted.predict(within[test]))))
    return scores


def compare_pools(args: argparse.Namespace, results: dict[str, Any]) -> None:
    """Compare poolings on people on whom nothing else is measured."""
    for name in args.ecg:
        epochs = filtered(load_ptbxl(args.ptbxl, folds=range(1, 9)), name)
        for title, values in embeddings([name], lambda _, e=epochs: e, _POOLS).items():
            scores = diagnoses_by_draw(values, epochs)
            results[title] = {"mean": np.mean(scores), "deviation of draws": np.std(scores)}
    for name in args.emg:
        epochs = muscle_windows(load_emg_lower_limb(args.thighs), name)
        epochs = epochs[~np.isin(trial_column(epochs, "subject"), HELD_OUT)]
        for title, values in embeddings([name], lambda _, e=epochs: e, _POOLS).items():
            scores = movement_by_person(values, epochs)
            results[title] = {"mean": np.mean(scores), "deviation of people": np.std(scores)}


def twin_of(name: str, folder: Path) -> str:
    """Find the random twin of a named model, or make one of the same structure."""
    if (named := untrained_twin(name)) is not None:
        return named
    config = find_config(name)
    kind = SYSTEMS[config.system].gives["embedding"]
    model: Any = build_untrained(Blueprint(kind, config), seed=1)
    path = folder / f"random twin of {name.replace('/', ' ')}"
    return str(save_pretrained(path, **{kind: model}))


def embeddings(
    names: list[str], epochs_of: Callable[[str], Any], pools: tuple[str, ...] = _POOLS[:2]
) -> dict[str, Array]:
    """Features of models and of their random twins, averaged over time, and over channels too."""
    found = {}
    with TemporaryDirectory() as folder:
        for name in names:
            for label, one in {name: name, f"twin of {name}": twin_of(name, Path(folder))}.items():
                for pool in pools:
                    made = transformer(one, pool=pool).fit_transform(epochs_of(name))
                    found[f"{label}, pool={pool}"] = made
    return found


class _Told(dict[str, Any]):
    """Results that are told as soon as they are there: probes take a while."""

    def __setitem__(self, title: str, values: Any) -> None:
        print(f"{title}: {values}", flush=True)
        super().__setitem__(title, values)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = Path(os.environ.get("MNE_NEURORVQ_SHARED", ".")) / "data"
    parser.add_argument("--ecg", nargs="+", default=[], metavar="MODEL")
    parser.add_argument("--emg", nargs="+", default=[], metavar="MODEL")
    parser.add_argument("--ptbxl", type=Path, default=data / "ecg_ptbxl")
    parser.add_argument("--mitbih", type=Path, default=data / "ecg_mitbih")
    parser.add_argument("--thighs", type=Path, default=data / "emg_lower_limb")
    parser.add_argument("--bidmc", type=Path, default=data / "ppg_bidmc/bidmc_01_Signals.csv")
    parser.add_argument("--welltory", type=Path, default=data / "ppg_welltory/data")
    parser.add_argument("--pulses", action="store_true", help="measure pulse waves instead")
    parser.add_argument("--pools", action="store_true", help="compare ways to pool instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    args = parser.parse_args()
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    torch.set_num_threads(threads)
    mne.set_log_level("error")
    results: dict[str, Any] = _Told({"machine": facts(threads)})
    if args.pools:
        compare_pools(args, results)
    elif args.pulses:
        results["pulses"] = pulse_rows(args.bidmc, args.welltory, args.ecg)
    elif args.ecg:
        epochs = load_ptbxl(args.ptbxl)
        unseen = epochs[np.isin(trial_column(epochs, "fold"), _TEST_FOLDS)]
        for name in args.ecg:
            results[f"{name}, fidelity"] = heart_rows(name, unseen) | holter_rows(name, args.mitbih)
        records = {name: filtered(epochs, name) for name in args.ecg}
        features = embeddings(args.ecg, records.__getitem__)
        features["intervals and amplitudes"] = hand_made_heart(records[args.ecg[0]])
        for name, values in features.items():
            results[f"{name}, diagnoses (AUROC)"] = diagnosis_scores(values, epochs)
    if args.emg and not (args.pools or args.pulses):
        recordings = load_emg_lower_limb(args.thighs)
        windows = {name: muscle_windows(recordings, name) for name in args.emg}
        for name, epochs in windows.items():
            unseen = epochs[np.isin(trial_column(epochs, "subject"), HELD_OUT)]
            results[f"{name}, fidelity"] = muscle_rows(name, unseen)
        features = embeddings(args.emg, windows.__getitem__)
        first = windows[args.emg[0]]
        features["by hand"] = hand_made_muscle(first)
        people, y = trial_column(first, "subject"), trial_column(first, "condition")
        for name, values in features.items():
            area, right = health_scores(values, people)
            results[f"{name}, probes"] = {
                "movement": movement_score(values, y, people),
                "healthy or not, AUROC of people": area,
                "people right": right,
            }
    rows = [["", "value"]]
    for title, values in results.items():
        if title != "machine":
            rows += [[f"{title}: {key}", f"{value:.3f}"] for key, value in values.items()]
    report(results, rows, args.json)


if __name__ == "__main__":
    main()
