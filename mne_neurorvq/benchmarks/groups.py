# License: BSD-3-Clause
"""What a plan amounts to: pipelines on tasks with their cells, checked before any is computed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import product
from typing import Any

import numpy as np
from moabb.analysis.results import get_digest
from moabb.datasets.base import BaseDataset
from moabb.paradigms.base import BaseParadigm
from sklearn.base import BaseEstimator

from ..weights.loading import find_config
from .cells import Cell
from .pipeline_files import MODELS, PipelineFile, pipeline_files, read_pipeline, with_models
from .plan import Plan
from .recordings import standard_folder
from .results import REFERENCE, one_of_each, refuse_mixed
from .tasks import TASKS, open_task


@dataclass
class Group:
    """Cells of a pipeline on a task."""

    task_name: str
    name: str
    model: str | None
    pipeline: BaseEstimator
    dataset: BaseDataset
    #: People whom the weights of a file had seen, by data set; None if nobody knows.
    seen: Mapping[str, Sequence[str]] | None
    #: What its cells have in common, before they are run.
    facts: dict[str, Any]
    cells: list[Cell]


def groups_of(plan: Plan) -> tuple[list[Group], list[str], list[str]]:
    """Give what is to run, and what is left out: of what somebody named, and of all else."""
    groups: list[Group] = []
    left_out: dict[tuple[bool, str, str], list[str]] = {}

    def leave_out(what: str, why: str, *tasks: str, named: bool = True) -> None:
        left_out.setdefault((named, what, why), []).extend(tasks)

    pipelines = list(_pipelines(plan, partial(leave_out, named=_named(plan, True))))
    at_hand = (name for name, task in TASKS.items() if not task.download)
    for task_name in plan.tasks or at_hand:
        try:
            dataset = open_task(task_name, plan.data, plan.subjects)
        except FileNotFoundError as error:
            if plan.tasks:
                raise
            if plan.subjects:
                leave_out(task_name, str(error))
            continue  # not at hand, which `benchmark list` says
        signal = getattr(TASKS[task_name].paradigm, "signal", "eeg")
        for name, model, pipeline, file in pipelines:
            if signal not in file.signals:
                if model is None or model in plan.models:  # its twin goes with it
                    why = f"it is for {' and '.join(file.signals)}"
                    leave_out(model or name, why, task_name, named=_named(plan, bool(model)))
                continue
            given = TASKS[task_name].paradigm, plan.folds, dataset.subject_list
            digest, protocol = _digests(pipeline, *given)
            facts = {
                "task": task_name,
                "pipeline": name,
                "digest": digest,
                # What the scores of all pipelines on a task must have in common.
                "protocol": protocol,
                "parameters": re.sub(r" at 0x\w+", "", " ".join(repr(pipeline).split())),
            }
            cells = [
                Cell(task_name, name, control, share, seed, fold)
                for control, share, seed in product(plan.controls, plan.shares, plan.seeds)
                # Controls are of the largest share, which the tables are of.
                if not control or share == max(plan.shares)
                for fold in range(n_folds(plan, control))
            ]
            made = Group(task_name, name, model, pipeline, dataset, file.seen, facts, cells)
            groups.append(made)
    told: dict[bool, list[str]] = {True: [], False: []}
    for (named, what, why), tasks in left_out.items():
        where = f" on {', '.join(dict.fromkeys(tasks))}" if tasks else ""
        told[named].append(f"{what}{where}: {why}")
    return groups, told[True], told[False]


def n_folds(plan: Plan, control: str) -> int:
    """Folds of people; runs, which identity is about, are fewer."""
    return 2 if control == "identity" else plan.folds


def _named(plan: Plan, has_model: bool) -> bool:
    """Whether somebody asked for a pipeline, or for the model in it."""
    return bool(plan.pipelines) or (has_model and plan.models != MODELS)


def _digests(
    pipeline: BaseEstimator, paradigm: BaseParadigm, *others: int | list[Any]
) -> tuple[str, str]:
    """Digest what a cell depends on, with and without its pipeline."""
    # By what MOABB would score does not count: all is computed from the predictions.
    windows = {**vars(paradigm), "settings": {}, **getattr(paradigm, "settings", {})}
    windows.pop("scorer", None)
    # Arrays as they are, not the first and last of their numbers.
    with np.printoptions(threshold=sys.maxsize, floatmode="unique"):
        facts = repr(sorted(windows.items())), *others
        both = (get_digest(pipeline), *facts), facts
    return _digest(both[0]), _digest(both[1])


def _digest(facts: tuple[Any, ...]) -> str:
    return sha256(repr(facts).encode()).hexdigest()[:12]


def _pipelines(
    plan: Plan, leave_out: Callable[[str, str], None] = lambda what, why: None
) -> Iterator[tuple[str, str | None, BaseEstimator, PipelineFile]]:
    """Name, model, estimator and file of each pipeline that is wanted or can be imported."""
    files = pipeline_files(plan.folder)
    unknown = [name for name in plan.pipelines if name not in files]
    if unknown:
        raise ValueError(f"there is no pipeline {', '.join(unknown)}, only {', '.join(files)}.")
    for name in plan.pipelines or files:
        try:
            read = read_pipeline(files[name])
        except ImportError:
            if plan.pipelines or files[name].parent == plan.folder:
                raise
            continue
        if read.download and not plan.pipelines:
            continue  # nothing is downloaded that was not asked for
        for made, model, estimator in with_models(name, read.pipeline, plan.models, leave_out):
            own = read
            if model is not None:
                own = read._replace(signals=(find_config(model).modality,))
            yield made, model, estimator, own


def look_ahead(plan: Plan, say: Callable[[str], None], reference: str | None) -> None:
    """Say what is left out, and refuse what could only be refused after all is computed."""
    groups, named, others = groups_of(plan)
    for line in named:
        say(f"left out {line}")
    if not groups:
        here = standard_folder(plan.data)
        reasons = named + others or [f"{here} has no recordings of a task (see benchmark list)"]
        raise ValueError(f"nothing is left to run: {'; '.join(reasons)}.")
    finished = one_of_each(plan.out)
    asked = [
        {
            **group.facts,
            "n_folds": plan.folds,
            "trained_people": group.dataset.subject_list,
            "trials": {"subject": []},
        }
        for group in groups
    ]
    refuse_mixed(plan.out, [*finished, *asked])
    names = {cell["pipeline"] for cell in [*finished, *asked]}
    if reference not in (None, REFERENCE, *names):
        raise ValueError(f"there is no reference {reference}, only {', '.join(sorted(names))}.")
