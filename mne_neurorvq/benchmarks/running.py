# License: BSD-3-Clause
"""Running the benchmark: cell by cell, each once, whoever runs it and however often it is stopped.

The predictions of a cell are written when it is finished, and everything that is reported is
computed from them.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import mne
import numpy as np
import torch
from filelock import FileLock, Timeout
from moabb.analysis.results import get_digest
from moabb.datasets.base import BaseDataset
from moabb.paradigms.base import BaseParadigm
from sklearn.base import BaseEstimator

from .._writing import write_json, write_text
from ..encoding.memory import IN_PROCESS
from ..weights.loading import find_config
from ..weights.provenance import pretraining_subjects
from .cells import Cell, Trials, run_cell
from .pipeline_files import MODELS, NotAtHand, pipeline_files, read_pipeline, with_models
from .recordings import name_in_records
from .results import NOT_RUN
from .tasks import TASKS, Task, open_task

_PACKAGES = ("mne-neurorvq", "moabb", "mne", "numpy", "scikit-learn", "torch")


@dataclass(frozen=True)
class Plan:
    """What to run, in plain values.

    Attributes
    ----------
    out : pathlib.Path
        Folder of the run.
    tasks, pipelines : tuple of str
        Names; none are all that are at hand.
    models : tuple of str
        Models of the pipelines that have one; each comes with its twin of random weights.
    data : pathlib.Path | None
        Folder of the recordings; None is MNE's.
    folder : pathlib.Path | None
        Folder of further pipelines.
    subjects : tuple of str | None
        People to use; None takes all.
    folds : int
        Number of folds of people.
    seeds : tuple of int
        Seeds of folds and training.
    shares : tuple of float
        Shares of the training trials.
    controls : tuple of str
        ``""`` for the task itself, ``"permuted"`` and ``"identity"``.
    """

    out: Path
    tasks: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    models: tuple[str, ...] = MODELS
    data: Path | None = None
    folder: Path | None = None
    subjects: tuple[str, ...] | None = None
    folds: int = 5
    seeds: tuple[int, ...] = (0,)
    shares: tuple[float, ...] = (1.0,)
    controls: tuple[str, ...] = ("",)


def run(
    plan: Plan,
    n_jobs: int = 1,
    say: Callable[[str], None] | None = None,
    memory: float | None = None,
) -> None:
    """Run what is not finished yet.

    Parameters
    ----------
    plan : Plan
        What to run.
    n_jobs : int
        Number of processes, started by joblib's backend; -1 is one for each core. Further calls,
        here or on other machines that see the same folder, share the work.
    say : callable | None
        Called with a line for each finished cell; by default these go to standard error.
    memory : float | None
        GiB, of all processes together, in which features of frozen models are kept from fold to
        fold; None is a quarter of the machine's.

    Raises
    ------
    ValueError
        If a share is not one, ``memory`` negative, or ``n_jobs`` zero.
    RuntimeError
        In the end, if a pipeline failed.

    Examples
    --------
    >>> from pathlib import Path
    >>> plan = Plan(Path("results"), ("imagery",), ("band_power",), data=Path("recordings"))
    >>> run(plan)  # doctest: +SKIP
    """
    from joblib import Parallel, delayed, effective_n_jobs

    if not all(0 < share <= 1 for share in plan.shares):
        raise ValueError(f"shares must be above 0 and at most 1, got {plan.shares}.")
    if memory is not None and memory < 0:
        raise ValueError(f"memory={memory:g} GiB must not be negative.")
    most = _machine_bytes() / 4 if memory is None else memory * 2**30
    n_jobs = n_jobs if n_jobs > 0 else effective_n_jobs(n_jobs)
    # Other processes know the tasks of the package only.
    work = delayed(_work)(plan, dict(TASKS), say, int(most / n_jobs))
    Parallel(n_jobs=n_jobs)(work for _ in range(n_jobs))


def _machine_bytes() -> int:
    """Memory of the machine, or of its container; where neither is told, 2 GiB."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):  # Windows
        return 2**31
    try:
        return min(found, int(Path("/sys/fs/cgroup/memory.max").read_text("utf-8")))
    except (OSError, ValueError):  # there is no container, or it has no limit
        return found


def _work(
    plan: Plan, tasks: dict[str, Task], say: Callable[[str], None] | None, n_bytes: int
) -> None:
    TASKS.update(tasks)
    usual, IN_PROCESS.most_bytes = IN_PROCESS.most_bytes, n_bytes
    try:
        _run_all(plan, say or _to_stderr)
    finally:
        IN_PROCESS.most_bytes = usual


def _run_all(plan: Plan, say: Callable[[str], None]) -> None:
    groups = list(_groups(plan, say))
    start, finished = time.perf_counter(), 0
    read: dict[str, Trials] = {}
    failed: dict[str, str] = {}
    refused: set[str] = set()
    # Several processes first take a pipeline each, whose model then encodes a trial once.
    for together, group in product((False, True), groups):
        where = f"{group.task_name} {group.name}"
        with _claimed(plan.out, where) as mine:
            ended = where in failed or where in refused
            for cell in group.cells if (mine or together) and not ended else ():
                try:
                    with mne.utils.use_log_level("error"):
                        result = _run_if_new(group, cell, plan, read)
                except NotAtHand as reason:
                    refused.add(where)
                    _note(plan.out / NOT_RUN, where, str(reason))
                    say(f"NOT RUN {where}: {reason}")
                    break
                except Exception as error:  # of one pipeline, which must not end a night's run
                    failed[where] = f"{cell}: {type(error).__name__}: {error}"
                    say(f"FAILED {failed[where]}")
                    break
                if result is not None:
                    finished += 1
                    each = (time.perf_counter() - start) / finished
                    say(_line(result, len(_unfinished(groups, plan.out)), each))
    if failed:
        raise RuntimeError(f"failed: {'; '.join(failed.values())}")


@dataclass
class _Group:
    """Cells of a pipeline on a task."""

    task_name: str
    name: str
    model: str | None
    pipeline: BaseEstimator
    dataset: BaseDataset
    digest: str
    protocol: str
    cells: list[Cell]


def _groups(plan: Plan, say: Callable[[str], None]) -> Iterator[_Group]:
    pipelines = list(_pipelines(plan))
    at_hand = (name for name, task in TASKS.items() if not task.download)
    for task_name in plan.tasks or at_hand:
        try:
            dataset = open_task(task_name, plan.data, plan.subjects)
        except FileNotFoundError as error:
            if plan.tasks:
                raise
            if plan.subjects:
                say(f"left out {task_name}: {error}")
            continue  # not at hand, which `benchmark list` says
        signal = getattr(TASKS[task_name].paradigm, "signal", "eeg")
        for name, model, pipeline, signals in pipelines:
            if signal not in signals:
                continue
            given = TASKS[task_name].paradigm, plan.folds, dataset.subject_list
            digest, protocol = _digests(pipeline, *given)
            cells = [
                Cell(task_name, name, control, share, seed, fold)
                for control, share, seed in product(plan.controls, plan.shares, plan.seeds)
                # Controls are of the largest share, which the tables are of.
                if not control or share == max(plan.shares)
                for fold in range(_n_folds(plan, control))
            ]
            yield _Group(task_name, name, model, pipeline, dataset, digest, protocol, cells)


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


def _pipelines(plan: Plan) -> Iterator[tuple[str, str | None, BaseEstimator, tuple[str, ...]]]:
    """Name, model, estimator and signals of each pipeline that is wanted or can be imported."""
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
        for made, model, estimator in with_models(name, read.pipeline, plan.models):
            own = read.signals if model is None else (find_config(model).modality,)
            yield made, model, estimator, own


def _unfinished(groups: Sequence[_Group], out: Path) -> list[Cell]:
    return [c for group in groups for c in group.cells if not c.file(out, group.digest).exists()]


def _run_if_new(
    group: _Group, cell: Cell, plan: Plan, read: dict[str, Trials]
) -> dict[str, Any] | None:
    """Run a cell, unless it is finished or someone is at it."""
    path = cell.file(plan.out, group.digest)
    if path.exists():
        return None
    with _claimed(plan.out, str(path)) as mine:
        if not mine or path.exists():
            return None
        task = TASKS[cell.task]
        if cell.task not in read:
            read.clear()
            read[cell.task] = Trials.read(task, group.dataset)
        result = run_cell(cell, group.pipeline, read[cell.task], task, _n_folds(plan, cell.control))
        result |= {
            "digest": group.digest,
            # What the scores of all pipelines on a task must have in common.
            "protocol": group.protocol,
            "n_folds": _n_folds(plan, cell.control),
            "model": group.model,
            # People whom the model had seen, without labels; None if nobody knows.
            "seen": _seen(group.model, group.dataset),
            "parameters": re.sub(r" at 0x\w+", "", " ".join(repr(group.pipeline).split())),
            "environment": environment(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, result, indent=None)
    return result


def _seen(model: str | None, dataset: BaseDataset) -> list[str] | None:
    known = {} if model is None else pretraining_subjects(model)
    if not known:
        return None if known is None else []
    names = {who: name_in_records(dataset, who) for who in dataset.subject_list}
    if None in names.values():
        return None
    seen = {(data_set, person) for data_set, people in known.items() for person in people}
    return [str(who) for who, name in names.items() if name in seen]


def _n_folds(plan: Plan, control: str) -> int:
    """Folds of people; runs, which identity is about, are fewer."""
    return 2 if control == "identity" else plan.folds


def _line(result: dict[str, Any], n_left: int, seconds_each: float) -> str:
    score = np.mean([part["score"] for part in result["moabb"]])
    named = [result["task"], result["pipeline"], result["control"]]
    took = f"{result['cpu_seconds']:.1f} s of CPU"
    left = f"{n_left} left, about {n_left * seconds_each / 60:.0f} min" if n_left else "finished"
    where = f"share {result['share']:g}, seed {result['seed']}, fold {result['fold']}"
    return f"{' '.join(filter(None, named))}, {where}: {score:.3f} ({took}); {left}"


def _note(folder: Path, where: str, reason: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{where.replace('/', '-')}.txt", f"{reason}\n")


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _claimed(out: Path, what: str) -> Iterator[bool]:
    """Say whether this process alone is at something; the system ends the claim of a dead one."""
    folder = out / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / sha256(what.encode()).hexdigest()[:32])
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def environment() -> dict[str, str]:
    """Say what a cell was computed with."""
    found = {name: version(name) for name in _PACKAGES}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {
        "python": platform.python_version(),
        **found,
        "system": platform.system(),
        "device": device,
    }
