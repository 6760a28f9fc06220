# License: BSD-3-Clause
"""What makes features useful: linear probes of models, by depth and by pooling.

    python tests/timing/features.py MODEL... [--json FILE] [--subjects 1-16] [--never 9-12]
    python tests/timing/features.py MODEL... --eye-free [--subjects 51-60] [--folder FIF]
                                                 [--eegmat FOLDER] [--eyes 1 3 15 42]
                                                 [--pools time thirds] [--folds 6]
                                                 [--outputs embedding histogram physiology]

Trials of 4 s of PhysioNet motor imagery (runs 4, 8 and 12; MNE_DATASETS_EEGBCI_PATH names the
folder), 21 channels of the sensorimotor strip. Two tasks: imagery of the left against the right
fist, and imagery against the rest before it. Scores are balanced accuracies of
``mne_neurorvq.benchmarks.cross_subject_scores`` (linear probe across subjects, its strength chosen
on training subjects), on features standardised within subjects without labels: mean and standard
deviation over people, of all in five folds, and of the four that no model has seen in four folds.

For each model: the input of the first block and the output of every block of its foundation model,
averaged over channels and patches ("mean") and over patches only ("time"). The last rows are band
power.

With ``--eye-free``, eye movements are removed first, since the targets of that dataset appear on
the left and right of a screen. Six frontal channels, low-passed at 5 Hz, are regressed out
of every channel within each recording, without labels. Models and band power are then compared
under the recorded and the average reference (of all 64 channels): each person is classified by
a ridge classifier trained on the others, on the people outside their fold (``--folds``), or on
others altogether (``--train 9-60``).
``--folder`` has recordings that MNE's loader does not, as ``S051/S051R04_raw.fif``; ``--eegmat``
has recordings of mental arithmetic against rest, and ``--eyes`` names people whose runs 1 and 2 are
told apart (eyes open, closed); nothing is removed from these. Band power of thirds is computed in
each third of a trial.
"""

from __future__ import annotations

import argparse
import os
from itertools import product
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import mne
import numpy as np
import torch
from machine import facts, report
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, GroupKFold, LeaveOneGroupOut, PredefinedSplit
from torch import Tensor, nn

from mne_neurorvq import GroupStandardScaler, NeuroRVQTransformer, preprocess
from mne_neurorvq.benchmarks import band_power, cross_subject_scores
from mne_neurorvq.datasets import epochs_from_recordings, load_eegbci, trial_column
from mne_neurorvq.weights import load_pretrained
from mne_neurorvq.weights.loading import find_config
from mne_neurorvq.weights.systems import SYSTEMS

#: Channels over the sensorimotor strip.
STRIP = "FC5 FC3 FC1 FCz FC2 FC4 FC6 C5 C3 C1 Cz C2 C4 C6 CP5 CP3 CP1 CPz CP2 CP4 CP6".split()
_RUNS = (4, 8, 12)
_ALPHAS = (0.1, 1.0, 10.0, 100.0)
_FRONTAL = ("Fp1", "Fp2", "AF7", "AF8", "F7", "F8")
_TASKS = {"left/right": ("left", "right"), "rest/imagery": ("rest", "imagery")}


def trials(subjects: list[int], pretrained: str = "neurorvq-eeg-small") -> Any:
    """Trials of rest and imagery, filtered as a model expects."""
    recordings = [
        preprocess(raw, pretrained) for raw in load_eegbci(subjects, _RUNS, verbose="error")
    ]
    return epochs_from_recordings(recordings, 0.0, 4 - 1 / 160, picks=STRIP, verbose="error")


class _Watched(nn.Module):
    """A foundation model that gives the averages of what passes its blocks."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._seen: list[Tensor] = []
        blocks = model.encoder.trunk.blocks
        blocks[0].register_forward_pre_hook(lambda _, given: self._seen.append(given[0]))
        for block in blocks:
            block.register_forward_hook(lambda _, __, out: self._seen.append(out))

    def forward(self, x: Tensor, rows: Tensor, return_features: bool = True) -> dict[str, Tensor]:
        """Features ``(batch, channels, 1, depth * n_features)``: patches are averaged."""
        self._seen.clear()
        self.model(x, rows, return_features=True)
        # (n_scales * batch, 1 + channels * patches, dim), the class token first
        parts = [
            part[:, 1:].unflatten(0, (-1, len(x))).unflatten(2, (x.shape[1], -1)).mean(3)
            for part in self._seen
        ]
        return {"features": torch.cat([part.permute(1, 2, 0, 3).flatten(2) for part in parts], -1)}


def features_by_depth(name: str, epochs: Any) -> dict[str, NDArray[np.floating]]:
    """Embeddings of every depth, averaged over patches: ``(n_trials, n_channels, n_features)``."""
    transformer = NeuroRVQTransformer(name).fit(epochs)
    model = _Watched(load_pretrained(name, only="foundation").require("foundation"))
    matched = transformer._match_again(epochs)
    rows = torch.tensor(matched.used[1])
    found = []
    with torch.inference_mode():
        for _, (windows,) in matched.batches(12):
            found.append(model(torch.from_numpy(windows), rows)["features"].numpy())
    stacked = np.concatenate(found)
    n_depths = len(model._seen)
    names = ["input", *(f"block {i}" for i in range(1, n_depths))]
    return dict(zip(names, np.split(stacked, n_depths, axis=-1), strict=True))


def without_eyes(raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
    """Regress slow frontal signals out of all channels, in a copy."""
    eyes = raw.copy().load_data(verbose="error").filter(None, 5.0, verbose="error")
    frontal = eyes.get_data(picks=list(_FRONTAL))
    frontal -= frontal.mean(axis=1, keepdims=True)
    cleaned = raw.copy().load_data(verbose="error")
    data = cleaned.get_data()
    weights = np.linalg.lstsq(frontal.T, (data - data.mean(axis=1, keepdims=True)).T, rcond=None)[0]
    cleaned._data[:] = data - weights.T @ frontal
    return cleaned


def read_folder(folder: Path, subjects: list[int]) -> list[mne.io.BaseRaw]:
    """Recordings of motor imagery that were written as FIF."""
    found = []
    for number in subjects:
        for file in sorted(folder.glob(f"S{number:03d}/S{number:03d}R*_raw.fif")):
            raw = mne.io.read_raw_fif(file, preload=True, verbose="error")
            raw.annotations.rename({"T0": "rest", "T1": "left", "T2": "right"})
            raw.info["subject_info"] = {"his_id": f"S{number:03d}"}
            found.append(raw)
    return found


def read_eegmat(folder: Path) -> list[mne.io.BaseRaw]:
    """Recordings of rest and mental arithmetic, marked every four seconds."""
    found = []
    for file in sorted(folder.glob("Subject*_[12].edf")):
        raw = mne.io.read_raw_edf(file, preload=True, verbose="error")
        raw.rename_channels(lambda name: name.removeprefix("EEG ").strip())
        raw.pick([name for name in raw.ch_names if name not in ("A2-A1", "ECG ECG", "ECG")])
        raw.info["subject_info"] = {"his_id": file.stem.partition("_")[0]}
        found.append(_marked(raw, {"1": "rest", "2": "arithmetic"}[file.stem[-1]]))
    return found


def read_eyes(subjects: list[int]) -> list[mne.io.BaseRaw]:
    """Recordings of eyes open and closed, marked every four seconds."""
    runs = {"open": 1, "closed": 2}
    return [
        _marked(raw, condition)
        for condition, run in runs.items()
        for raw in load_eegbci(subjects, run, verbose="error")
    ]


def _marked(raw: mne.io.BaseRaw, condition: str) -> mne.io.BaseRaw:
    onsets = np.arange(0.0, raw.times[-1] - 4.0, 4.0)
    return raw.set_annotations(mne.Annotations(onsets, 4.0, condition))


def people_scores(
    values: NDArray[np.floating],
    y: NDArray[np.str_],
    subjects: NDArray[np.str_],
    n_folds: int | None = None,
    trained_on: frozenset[str] = frozenset(),
) -> NDArray[np.float64]:
    """Balanced accuracy on each person of a classifier of the others, on within-person columns.

    Its strength is chosen on those others, people apart. With folds it is trained on the people of
    the other folds, or it is trained on people who are not scored.
    """
    within = GroupStandardScaler().fit_transform(values, groups=subjects)
    # A ridge sees the products of trials only: as many columns as trials are enough.
    weights, vectors = np.linalg.eigh(within @ within.T / within.shape[1])
    columns = vectors * np.sqrt(weights.clip(min=0))
    ridge = RidgeClassifier(class_weight="balanced")
    known = np.isin(subjects, list(trained_on))
    folds: Any = LeaveOneGroupOut() if n_folds is None else GroupKFold(n_folds)
    if known.any():
        folds = PredefinedSplit(np.where(known, -1, 0))
    predicted = np.empty_like(y)
    for train, test in folds.split(columns, groups=subjects):
        inner = GroupKFold(min(5, len(set(subjects[train].tolist()))))
        search = GridSearchCV(ridge, {"alpha": _ALPHAS}, scoring="balanced_accuracy", cv=inner)
        search.fit(columns[train], y[train], groups=subjects[train])
        predicted[test] = search.predict(columns[test])
    people = [subjects == one for one in np.unique(subjects[~known])]
    return np.array([balanced_accuracy_score(y[who], predicted[who]) for who in people])


def eye_free(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Scores of every person by reference, task and features."""
    sets: dict[str, tuple[list[mne.io.BaseRaw], dict[str, tuple[str, ...]], list[str]]] = {}
    if args.subjects:
        raws = []
        for number in [*args.subjects, *args.train]:
            if args.folder is not None and (args.folder / f"S{number:03d}").is_dir():
                raws += read_folder(args.folder, [number])
            else:
                raws += load_eegbci(number, _RUNS, verbose="error")
        lowest = min(raw.info["sfreq"] for raw in raws)
        raws = [raw if raw.info["sfreq"] == lowest else raw.resample(lowest) for raw in raws]
        sets["eegmmidb"] = ([*map(without_eyes, map(filtered, raws))], _TASKS, STRIP)
    if args.eegmat is not None:
        raws = [*map(filtered, read_eegmat(args.eegmat))]
        sets["eegmat"] = (raws, {"arithmetic": ("rest", "arithmetic")}, raws[0].ch_names)
    if args.eyes:
        raws = [*map(filtered, read_eyes(args.eyes))]
        sets["eyes"] = (raws, {"eyes": ("open", "closed")}, raws[0].ch_names)
    rows = []
    trained_on = frozenset(f"S{number:03d}" for number in args.train)
    for recordings, tasks, names in sets.values():
        for reference in args.references:
            raws = recordings
            if reference == "average":
                raws = [r.copy().set_eeg_reference("average", verbose="error") for r in raws]
            last = 4 - 1 / raws[0].info["sfreq"]
            epochs = epochs_from_recordings(raws, 0.0, last, picks=names, verbose="error")
            conditions, subjects = (trial_column(epochs, n) for n in ("condition", "subject"))
            features = {"band power": power_of(epochs, 1)}
            if "thirds" in args.pools:
                features["band power, pool=thirds"] = power_of(epochs, 3)
            for name, output, pool in product(args.models, args.outputs, args.pools):
                if output == "physiology" and not has_physiology(name):
                    continue
                make = resolve_name(SYSTEMS[find_config(name).system].transformer)
                model = make(name, output=output, pool=pool, reference="recorded")
                label = name if output == "embedding" else f"{name}, {output}"
                label = label if pool == "time" else f"{label}, pool={pool}"
                features[label] = model.fit_transform(epochs)
            for task, classes in tasks.items():
                y = conditions
                if task == "rest/imagery":
                    y = np.where(conditions == "rest", "rest", "imagery")
                wanted = np.isin(y, classes)
                for label, values in features.items():
                    found = people_scores(
                        values[wanted], y[wanted], subjects[wanted], args.folds, trained_on
                    )
                    row = {"task": task, "reference": reference, "features": label}
                    rows.append(row | {"people": found.tolist()})
    return rows


def power_of(epochs: mne.BaseEpochs, n_parts: int) -> NDArray[np.floating]:
    """Band power of every channel in equal parts of the trials."""
    parts = np.array_split(np.arange(len(epochs.times)), n_parts)
    edges = [(epochs.times[part[0]], epochs.times[part[-1]]) for part in parts]
    powers = [band_power(epochs.copy().crop(*edge)) for edge in edges]
    return np.concatenate(powers, axis=-1).reshape(len(epochs), -1)


def has_physiology(name: str) -> bool:
    """Whether a model has learned to tell physiological numbers."""
    return load_pretrained(name).target_head is not None


def filtered(raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
    """Filter as NeuroRVQ expects."""
    return preprocess(raw, "neurorvq-eeg-small")


def eye_free_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Mean and standard deviation over people; differences from band power and the first model."""
    first = next(row["features"] for row in rows if not row["features"].startswith("band power"))
    cells = [["task", "reference", "features", "mean ± SD", "above band power", f"above {first}"]]
    found = {
        (row["task"], row["reference"], row["features"]): np.array(row["people"]) for row in rows
    }
    for (task, reference, features), values in found.items():
        told = [
            _difference(values - found[task, reference, other]) if features != other else ""
            for other in ("band power", first)
        ]
        name = str(Path(features).parent.name if Path(features).name == "model" else features)
        score = f"{values.mean():.3f} ± {values.std():.3f}"
        cells.append([task, reference, name, score, *told])
    return cells


def _difference(values: NDArray[np.float64]) -> str:
    """Mean, its standard error, and for how many people it is positive."""
    error = values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():+.3f} ± {error:.3f} ({(values > 0).sum()}/{len(values)})"


def tables(models: list[str], epochs: Any) -> dict[tuple[str, str, str], NDArray[np.floating]]:
    """All features by model, depth and pooling."""
    found = {}
    for name in models:
        label = Path(name).parent.name if Path(name).name == "model" else Path(name).name
        for depth, values in features_by_depth(name, epochs).items():
            found[label, depth, "mean"] = values.mean(axis=1)
            found[label, depth, "time"] = values.reshape(len(values), -1)
    power = band_power(epochs)
    found["band power", "", "mean"] = power.mean(axis=1)
    found["band power", "", "time"] = power.reshape(len(power), -1)
    return found


def scores(
    values: NDArray[np.floating],
    conditions: NDArray[np.str_],
    subjects: NDArray[np.str_],
    never: list[str],
) -> dict[str, tuple[float, float]]:
    """Balanced accuracy of both tasks: all subjects, and those that were never seen."""
    labels = np.where(conditions == "rest", "rest", "imagery")
    found = {}
    for task, classes in _TASKS.items():
        y = conditions if task == "left/right" else labels
        for who, wanted, n_splits in (
            ("all", np.isin(y, classes), 5),
            ("never", np.isin(y, classes) & np.isin(subjects, never), 4),
        ):
            within = GroupStandardScaler().fit_transform(values[wanted], groups=subjects[wanted])
            result = cross_subject_scores(within, y[wanted], subjects[wanted], n_splits=n_splits)
            found[f"{task}, {who}"] = (result.mean, float(result.scores.std()))
    return found


def numbers(text: str) -> list[int]:
    """Numbers of ranges such as 1-16 or 17-41,43-60; none of an empty text."""
    ranges = [part.partition("-") for part in text.split(",") if part]
    return [n for first, _, last in ranges for n in range(int(first), int(last or first) + 1)]


def parse(parser: argparse.ArgumentParser, never: str = "9-12") -> argparse.Namespace:
    """Read the arguments with those that probes share; ``threads`` are those of the environment."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--subjects", type=numbers, default=numbers("1-16"))
    parser.add_argument("--never", type=numbers, default=numbers(never))
    args = parser.parse_args()
    args.never = [f"S{number:03d}" for number in args.never]
    args.threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    torch.set_num_threads(args.threads)
    return args


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--eye-free", action="store_true", help="without eye movements")
    parser.add_argument("--references", nargs="+", default=["recorded", "average"])
    parser.add_argument("--pools", nargs="+", default=["time"], help="poolings, with --eye-free")
    parser.add_argument("--outputs", nargs="+", default=["embedding"], help="with --eye-free")
    parser.add_argument("--folds", type=int, help="folds of people, with --eye-free")
    parser.add_argument("--train", type=numbers, default=[], help="with --eye-free: train on these")
    parser.add_argument("--eyes", nargs="+", type=int, help="people of the eyes, with --eye-free")
    parser.add_argument("--folder", type=Path, help="recordings as FIF, with --eye-free")
    parser.add_argument("--eegmat", type=Path, help="recordings of arithmetic, with --eye-free")
    args = parse(parser)
    if args.eye_free:
        rows = eye_free(args)
        report({"machine": facts(args.threads), "scores": rows}, eye_free_table(rows), args.json)
        return
    machine = facts(args.threads)
    epochs = trials(args.subjects)
    conditions, subjects = (trial_column(epochs, name) for name in ("condition", "subject"))
    results: dict[str, Any] = {"machine": machine, "scores": []}
    for (model, depth, pool), values in tables(args.models, epochs).items():
        found = scores(values, conditions, subjects, args.never)
        results["scores"].append({"model": model, "depth": depth, "pool": pool, **found})
    columns = list(results["scores"][0])
    cells = [
        [f"{one[c][0]:.3f} ± {one[c][1]:.3f}" if "," in c else one[c] for c in columns]
        for one in results["scores"]
    ]
    report(results, [columns, *cells], args.json)


if __name__ == "__main__":
    main()
