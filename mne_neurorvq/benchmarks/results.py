# License: BSD-3-Clause
"""From predictions to scores: of people, their means, intervals and differences."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    f1_score,
    roc_auc_score,
)

from ..analysis.people import by_seed, corrected_p, in_folds, of_unseen, spread

METRICS = ("balanced_accuracy", "roc_auc", "pr_auc", "kappa", "weighted_f1")
#: Pipeline that the others are compared with.
REFERENCE = "band_power"
_SEEN = ", seen"
_COMPARED = ("difference", "difference_low", "difference_high", "p")
_KEYS = ["task", "pipeline", "control", "share", "seed", "fold", "n_folds"]


def finished_files(out: Path) -> list[Path]:
    """Files of the finished cells of a run."""
    return sorted(out.glob("cells/*/*/*.json"))


def read_results(out: Path) -> list[dict[str, Any]]:
    """Read the finished cells of a run; those of a task must be of the same folds of people."""
    cells = [_read_cell(path) for path in finished_files(out)]
    if not cells:
        raise ValueError(
            f"{out} has no finished cell: run the benchmark into it first "
            f"(mne-neurorvq benchmark run {out})."
        )
    refuse_mixed(out, cells)
    n_folds: dict[tuple[str, str], int] = {}
    for cell in cells:
        where = cell["task"], cell["control"]
        # Cells of development versions do not say how many folds there are.
        n_folds[where] = max(n_folds.get(where, 0), cell.get("n_folds", cell["fold"] + 1))
    return [{**cell, "n_folds": n_folds[cell["task"], cell["control"]]} for cell in cells]


def one_of_each(out: Path) -> list[dict[str, Any]]:
    """Read a finished cell of each pipeline on each task, by all that its name says of them."""
    files = finished_files(out)
    of_each = {(path.parent, path.stem.rpartition("-")[2]): path for path in files}
    return [_read_cell(path) for path in of_each.values()]


def _read_cell(path: Path) -> dict[str, Any]:
    try:
        cell: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete it and run the benchmark again, which computes "
            "this fold anew."
        ) from error
    return cell


def refuse_mixed(out: Path, cells: Iterable[dict[str, Any]]) -> None:
    """Refuse cells of a task that are of different people, folds or parameters.

    Those that are only asked for have no trials.
    """
    runs: dict[tuple[str, str], dict[str, Any]] = {}
    first: dict[str, dict[str, Any]] = {}
    for cell in cells:
        task, pipeline = cell["task"], cell["pipeline"]
        remedy = f"take another folder, or remove those that are not meant ({out / 'cells' / task})"
        other = runs.setdefault((task, pipeline), cell)
        if other["digest"] != cell["digest"]:
            raise ValueError(
                f"{out} has cells of {pipeline} on {task} of two runs with different people, "
                f"folds or parameters, {_told(other)} and {_told(cell)}: {remedy}."
            )
        # Cells of development versions do not say their protocol.
        if "protocol" in cell:
            other = first.setdefault(task, cell)
            if other["protocol"] != cell["protocol"]:
                raise ValueError(
                    f"{out} has cells of {other['pipeline']} and {pipeline} on {task} with "
                    f"different people, folds or windows, which cannot be compared: {remedy}."
                )


def _told(cell: dict[str, Any]) -> str:
    """Name the files of a run by what is seen of it in one of its cells."""
    tested = cell["trials"]["subject"]
    people = {*cell["trained_people"], *tested}
    folds = f"{cell['n_folds']} folds" if "n_folds" in cell else "folds"
    files = f"*-{cell['digest']}.json" if tested else "what is asked for now"
    return f"{files} ({folds} of {len(people)} people, {cell['parameters']})"


def people_scores(cells: list[dict[str, Any]]) -> pd.DataFrame:
    """Score each person of each cell.

    Where a person of a task does not have all classes (one record, one diagnosis), the people of
    each of its folds are scored together, as one (``n_people`` says of how many): those whom no
    model of the task had seen, and the others apart. ``seen`` is whether the model of the pipeline
    had seen them, ``seen_by_any`` whether one of the task had, finished folds or not.
    """
    rows: list[dict[str, Any]] = []
    seen_in: dict[str, set[str]] = {}
    by_fold: set[tuple[str, str]] = set()
    for cell in cells:
        seen_in.setdefault(cell["task"], set()).update(cell["seen"] or ())
        own = pd.DataFrame({name: cell["trials"][name] for name in ("subject", "y")})
        if own.groupby("subject")["y"].nunique().min() < len(cell["classes"]):
            by_fold.add((cell["task"], cell["control"]))
    for cell in cells:
        trials = pd.DataFrame({k: v for k, v in cell["trials"].items() if k != "scores"})
        decision = np.array(cell["trials"]["scores"])
        classes = np.arange(len(cell["classes"]))
        subjects = trials["subject"]
        known = subjects.isin(seen_in[cell["task"]])
        people = subjects
        if (cell["task"], cell["control"]) in by_fold:
            people = f"fold {cell['fold']}" + known.map({True: _SEEN, False: ""})
        for person, index in trials.groupby(people).indices.items():
            y, predicted = (trials[name].to_numpy()[index] for name in ("y", "predicted"))
            theirs = set(subjects.iloc[index])
            n_seen = None if cell["seen"] is None else len(theirs.intersection(cell["seen"]))
            row = {
                # Alone in a fold, it is the same person in folds of other seeds.
                "person": person if len(theirs) > 1 else subjects.iloc[index[0]],
                "n_people": len(theirs),
                "n_seen": n_seen,
                "seen": None if n_seen is None else n_seen > 0,
                "seen_by_any": bool(known.iloc[index[0]]),
                "n_trials": len(y),
                "chance": 1 / len(classes),
                **_metrics(y, predicted, decision[index], classes),
            }
            rows.append({**{key: cell[key] for key in _KEYS}, **row})
    return pd.DataFrame(rows)


def _metrics(
    y: NDArray[np.int_],
    predicted: NDArray[np.int_],
    decision: NDArray[np.floating],
    classes: NDArray[np.int_],
) -> dict[str, float]:
    hot = (y[:, None] == classes).astype(int)
    if len(classes) == 2:
        # Of the second class, whether there are probabilities of both or one decision.
        decision, hot = (decision[:, 1] if decision.ndim == 2 else decision), hot[:, 1]
    complete = len(np.unique(y)) == len(classes)
    with warnings.catch_warnings():
        # Of a class that nobody who is tested has, the score does not take account.
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        balanced = balanced_accuracy_score(y, predicted)
    return {
        "balanced_accuracy": balanced,
        # One class against the others, the mean of the classes.
        "roc_auc": roc_auc_score(hot, decision) if complete else np.nan,
        "pr_auc": average_precision_score(hot, decision) if complete else np.nan,
        "kappa": cohen_kappa_score(y, predicted, labels=classes),
        "weighted_f1": f1_score(y, predicted, average="weighted", zero_division=0.0),
    }


def summary(scores: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Summarise the scores of a task: a row for each pipeline, the best first.

    ``scores`` are of one task, control and share. Means are over people whom no model of the table
    has seen (`spread`). Differences are from ``reference``, person by person, of the people and
    folds that both have; their p is that of the corrected resampled t-test over folds and seeds,
    adjusted for the number of pipelines (Benjamini and Hochberg 1995, J R Stat Soc B 57).
    """
    unseen, folds = of_unseen(scores), in_folds(scores)
    everyone = scores.groupby("pipeline")["balanced_accuracy"].mean()
    rows = []
    for pipeline, own in scores.groupby("pipeline", sort=False):
        fresh = unseen[unseen["pipeline"] == pipeline]
        values, mean, low, high = spread(by_seed(unseen, str(pipeline)), folds)
        row: dict[str, Any] = {
            "pipeline": pipeline,
            "n_people": _n_people(fresh),
            "n_scored": len(values),
            "n_all": _n_people(own),
            "n_seen": _n_people(own[own["seen"].eq(True)], "n_seen"),
            "seen_known": bool(own["seen"].notna().all()),
            "mean": mean,
            "low": low,
            "high": high,
            "all_people": everyone[pipeline],
            **{
                metric: by_seed(unseen, str(pipeline), metric).mean(axis=int(folds)).mean()
                for metric in METRICS[1:]
            },
        }
        rows.append(row | _difference(unseen, str(pipeline), reference, folds))
    table = pd.DataFrame(rows).sort_values("mean", ascending=False, ignore_index=True)
    tested = table["p"].notna()
    if tested.any():
        table.loc[tested, "p"] = false_discovery_control(table.loc[tested, "p"])
    return table


def _n_people(scores: pd.DataFrame, count: str = "n_people") -> int:
    """Count people; where those of a fold are scored together, a fold of each seed has others."""
    of_folds = scores.groupby("seed")[count].sum().max() if len(scores) else 0
    return max(scores["person"].nunique(), int(of_folds))


def _difference(
    unseen: pd.DataFrame, pipeline: str, reference: str, folds: bool
) -> dict[str, float]:
    """Mean difference of a pipeline from another over the people and folds that both have."""
    difference = by_seed(unseen, pipeline) - by_seed(unseen, reference)
    values, *found = spread(difference, folds)
    if pipeline == reference or not len(values):
        return {**dict.fromkeys(_COMPARED, np.nan), "n_compared": 0}
    fold = unseen[unseen["pipeline"] == pipeline].set_index(["person", "seed"])["fold"]
    of_folds = difference.unstack().dropna().groupby(["seed", fold]).mean().to_numpy()
    p = corrected_p(of_folds, int(unseen["n_folds"].max()), float(unseen["share"].max()))
    return {**dict(zip(_COMPARED, (*found, p), strict=True)), "n_compared": len(values)}
