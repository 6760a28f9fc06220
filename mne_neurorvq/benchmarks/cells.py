# License: BSD-3-Clause
"""A cell of the benchmark: a fold of a pipeline on a task, fitted and scored by MOABB."""

from __future__ import annotations

import copy
import tempfile
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import mne
import numpy as np
import torch
from moabb.datasets.base import BaseDataset
from moabb.evaluations import CrossSubjectEvaluation
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import balanced_accuracy_score

from .splits import SubjectFold, refuse_leaks
from .steps import WithinSubjects
from .tasks import Task

#: The task itself, and what is run to see what its scores mean.
CONTROLS = ("", "permuted", "identity")
#: Folder of what could not be run, with the reasons.
NOT_RUN = "not_run"


@dataclass(frozen=True)
class Cell:
    """A fold of a pipeline on a task."""

    task: str
    pipeline: str
    control: str
    share: float
    seed: int
    fold: int

    def __str__(self) -> str:
        named = " ".join(filter(None, (self.task, self.pipeline, self.control)))
        return f"{named}, share {self.share:g}, seed {self.seed}, fold {self.fold}"

    def file(self, out: Path, digest: str) -> Path:
        """Where its result is, by a digest of the parameters that it depends on."""
        return out / "cells" / f"{self._place()}-{digest}.json"

    def note(self, out: Path) -> Path:
        """Where it is told why it could not be run."""
        return out / NOT_RUN / f"{self._place()}.txt"

    def _place(self) -> str:
        pipeline = self.pipeline.replace("/", "-").replace(":", "+")
        name = f"{self.control or 'plain'}-share{self.share:g}-seed{self.seed}-fold{self.fold}"
        return f"{self.task}/{pipeline}/{name}"


def by_cause(failed: Iterable[tuple[object, str]]) -> list[str]:
    """Tell failures, of cell and reason each: a line for each reason of a pipeline."""
    cells: dict[tuple[str, str], list[str]] = {}
    for cell, reason in failed:
        pipeline = str(cell).partition(",")[0]
        cells.setdefault((pipeline, " ".join(reason.split())), []).append(str(cell))
    return [
        f"{first}{f' and {len(others)} more' if others else ''}: {reason}"
        for (_, reason), (first, *others) in cells.items()
    ]


@dataclass
class Trials:
    """Trials of a task: Epochs, class and metadata of each, and the dataset they are from."""

    epochs: mne.BaseEpochs
    labels: NDArray[np.str_]
    metadata: Any
    dataset: BaseDataset

    @classmethod
    def read(cls, task: Task, dataset: BaseDataset) -> Self:
        """Let MOABB read and cut the recordings."""
        epochs, labels, metadata = task.paradigm.get_data(dataset, return_epochs=True)
        bad = np.flatnonzero(~np.isfinite(epochs.get_data(copy=False)).all(axis=(1, 2)))
        if len(bad):
            where = metadata.iloc[bad[0]]
            raise ValueError(
                f"run {where['run']} of {where['subject']} has values that are not finite "
                f"({len(bad)} of {len(epochs)} trials have): leave out the person with --subjects "
                "(subjects=), or mend the recording."
            )
        if len(classes := np.unique(labels)) < 2:
            raise ValueError(
                f"all {len(epochs)} trials are of the class {classes[0]}: there is nothing to tell "
                "apart. Take more people, or complete recordings."
            )
        return cls(epochs, np.asarray(labels), metadata, dataset)

    def under(self, control: str, seed: int) -> Trials:
        """Give the trials with the labels of a control."""
        if not control:
            return self
        metadata = self.metadata.copy()
        people = metadata["subject"].to_numpy()
        if control == "permuted":
            rng = np.random.default_rng(seed)
            labels = self.labels.copy()
            alone = {}
            for person in np.unique(people):
                theirs = np.flatnonzero(people == person)
                labels[theirs] = labels[rng.permutation(theirs)]
                if len(kinds := np.unique(labels[theirs])) == 1:
                    alone[person] = kinds[0]
            # Within people of one class nothing changes: these exchange theirs.
            for person, label in zip(alone, rng.permutation(list(alone.values())), strict=True):
                labels[people == person] = label
            return Trials(self.epochs, labels, metadata, self.dataset)
        # Who is it? Trained on some runs, tested on others: runs and people change places.
        metadata["recording"] = people
        metadata["subject"] = "run " + metadata["run"].astype(str)
        epochs = self.epochs.copy()
        epochs.metadata = metadata.set_axis(epochs.metadata.index)
        return Trials(epochs, people.astype(str), metadata, self.dataset)


class _Recorder:
    """A scorer for MOABB that keeps what was predicted."""

    def __init__(self) -> None:
        self.parts: list[dict[str, Any]] = []
        self.n_trained: int | None = None

    def __call__(self, estimator: Any, X: mne.BaseEpochs, y: NDArray[np.int_]) -> float:
        predicted = estimator.predict(X)
        scores = (
            estimator.predict_proba(X)
            if hasattr(estimator, "predict_proba")
            else estimator.decision_function(X)
        )
        self.parts.append(
            {
                "subject": X.metadata["subject"].astype(str).tolist(),
                "session": X.metadata["session"].astype(str).tolist(),
                "y": np.asarray(y).tolist(),
                "predicted": np.asarray(predicted).tolist(),
                "scores": np.round(np.asarray(scores, float), 6).tolist(),
            }
        )
        count = getattr(estimator[-1], "n_trainable_parameters_", None)
        self.n_trained = None if count is None else int(count)
        with warnings.catch_warnings():
            # Of a class that nobody who is tested has, the score does not take account.
            warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
            return float(balanced_accuracy_score(y, predicted))

    def trials(self) -> dict[str, list[Any]]:
        """All predictions, session by session."""
        return {name: [v for part in self.parts for v in part[name]] for name in self.parts[0]}


def run_cell(
    cell: Cell, pipeline: BaseEstimator, trials: Trials, task: Task, n_folds: int
) -> dict[str, Any]:
    """Fit and score a fold by MOABB, and give its predictions with all that they depend on."""
    trials = trials.under(cell.control, cell.seed)
    people = trials.metadata["subject"].to_numpy()
    settings: dict[str, Any] = {"n_splits": n_folds, "fold": cell.fold, "share": cell.share}
    fold = SubjectFold(**settings, random_state=cell.seed)
    ((train, test),) = fold.split(people, trials.labels, people)
    refuse_leaks(trials.epochs, train, test, trials.metadata)
    if len(new := np.setdiff1d(trials.labels[test], trials.labels[train])):
        those = np.unique(people[test][np.isin(trials.labels[test], new)]).astype(str)
        raise ValueError(
            f"nobody who is trained on in fold {cell.fold} has the class {', '.join(new)}, which "
            f"is tested in {', '.join(those)}: take more people, or more or other folds (--folds, "
            "--seeds)."
        )
    recorder = _Recorder()
    paradigm = copy.copy(task.paradigm)
    paradigm.scorer = recorder
    # The trials are there already; MOABB would read and cut them anew for each fold.
    paradigm.get_data = lambda **_: (trials.epochs, trials.labels, trials.metadata)
    dataset = copy.copy(trials.dataset)
    dataset.subject_list = np.unique(people).tolist()
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        torch.manual_seed(cell.seed)
        evaluation = CrossSubjectEvaluation(
            paradigm,
            [dataset],
            return_epochs=True,
            random_state=cell.seed,
            cv_class=SubjectFold,
            cv_kwargs=settings,
            hdf5_path=folder,
        )
        seeded = _seeded(pipeline, cell.seed, cell.fold)
        if task.across:
            seeded = _unscaled(seeded)
        start = time.process_time()
        results = list(evaluation.evaluate(dataset, {cell.pipeline: seeded}, None, None))
    return {
        **asdict(cell),
        "moabb": [
            {name: result[name] for name in ("session", "score", "time", "n_samples")}
            for result in results
        ],
        # Of all threads, for fit and test: what it costs on a machine that others use, too.
        "cpu_seconds": time.process_time() - start,
        "classes": np.unique(trials.labels[train]).tolist(),
        "trained_people": np.unique(people[train]).astype(str).tolist(),
        "n_trained_parameters": recorder.n_trained,
        "trials": recorder.trials(),
    }


def _unscaled(pipeline: BaseEstimator) -> BaseEstimator:
    """Leave features as they are, where scaling within people would take away what is asked."""
    steps = [
        name for name, step in pipeline.get_params().items() if isinstance(step, WithinSubjects)
    ]
    return pipeline.set_params(**{f"{name}__scaler": None for name in steps})


def _seeded(pipeline: BaseEstimator, seed: int, fold: int) -> BaseEstimator:
    """Clone a pipeline and set every ``random_state``, which depends on seed and fold only."""
    pipeline = clone(pipeline)
    # scikit-learn accepts at most 32 bits.
    state = int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])
    names = [name for name in pipeline.get_params() if name.split("__")[-1] == "random_state"]
    return pipeline.set_params(**dict.fromkeys(names, state))
