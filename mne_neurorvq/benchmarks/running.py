# License: BSD-3-Clause
"""Running the benchmark: cell by cell, each once, whoever runs it and however often it is stopped.

The predictions of a cell are written when it is finished, and everything that is reported is
computed from them.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import mne
import numpy as np
import torch
from filelock import FileLock, Timeout

from .._writing import write_json, write_text
from ..encoding.memory import IN_PROCESS
from ..weights.provenance import pretraining_subjects, seen_people
from .cells import Cell, Trials, by_cause, run_cell
from .groups import Group, groups_of, look_ahead, n_folds
from .pipeline_files import NotAtHand
from .plan import Plan
from .recordings import name_in_records
from .results import finished_files
from .tasks import TASKS, Task

_PACKAGES = ("mne-neurorvq", "moabb", "mne", "numpy", "scikit-learn", "torch")


def run(
    plan: Plan,
    n_jobs: int = 1,
    say: Callable[[str], None] | None = None,
    memory: float | None = None,
    reference: str | None = None,
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
        Called with a line for each finished cell, and for what is left out of what was named; by
        default these go to standard error.
    memory : float | None
        GiB, of all processes together, in which features of frozen models are kept from fold to
        fold; None is a quarter of the machine's.
    reference : str | None
        Pipeline that the report is to compare the others with, which must be one of them.

    Raises
    ------
    ValueError
        Before anything is computed: if nothing is left to run, ``out`` has cells of other people,
        folds or parameters, there is no such pipeline or reference, ``memory`` is negative, or
        ``n_jobs`` zero.
    RuntimeError
        In the end, if a cell failed, or nothing that was asked for could be had.

    Examples
    --------
    >>> from pathlib import Path
    >>> plan = Plan(Path("results"), ("imagery",), ("band_power",), data=Path("recordings"))
    >>> run(plan)  # doctest: +SKIP
    """
    from joblib import Parallel, delayed, effective_n_jobs

    if memory is not None and memory < 0:
        raise ValueError(f"memory={memory:g} GiB must not be negative.")
    most = _machine_bytes() / 4 if memory is None else memory * 2**30
    n_jobs = n_jobs if n_jobs > 0 else effective_n_jobs(n_jobs)
    say = say or _to_stderr
    look_ahead(plan, say, reference)
    # Other processes know the tasks of the package only.
    work = delayed(_work)(plan, dict(TASKS), say, int(most / n_jobs))
    found = Parallel(n_jobs=n_jobs)(work for _ in range(n_jobs))
    failed = {cell: reason for each, _ in found for cell, reason in each.items()}
    refused = {where: reason for _, each in found for where, reason in each.items()}
    if failed:
        raise RuntimeError(f"failed: {'; '.join(by_cause(failed.items()))}")
    if refused and not finished_files(plan.out):
        raise RuntimeError(f"nothing could be run: {'; '.join(by_cause(refused.items()))}")


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
    plan: Plan, tasks: dict[str, Task], say: Callable[[str], None], n_bytes: int
) -> tuple[dict[Cell, str], dict[str, str]]:
    TASKS.update(tasks)
    usual, IN_PROCESS.most_bytes = IN_PROCESS.most_bytes, n_bytes
    try:
        return _run_all(plan, say)
    finally:
        IN_PROCESS.most_bytes = usual


def _run_all(plan: Plan, say: Callable[[str], None]) -> tuple[dict[Cell, str], dict[str, str]]:
    """Run what nobody is at; give the cells that failed, and the pipelines not at hand, and why."""
    groups, *_ = groups_of(plan)
    start, finished = time.perf_counter(), 0
    read: dict[str, Trials | Exception] = {}
    failed: dict[Cell, str] = {}
    refused: dict[str, str] = {}
    # Several processes first take a pipeline each, whose model then encodes a trial once.
    for together, group in product((False, True), groups):
        where = f"{group.task_name} {group.name}"
        with _claimed(plan.out, where) as mine:
            for cell in group.cells if (mine or together) else ():
                if where in refused or _given_up(cell, failed, plan):
                    continue
                try:
                    with mne.utils.use_log_level("error"):
                        result = _run_if_new(group, cell, plan, read)
                except NotAtHand as reason:
                    refused[where] = str(reason)
                    say(f"NOT RUN {_note(plan.out, cell, where, str(reason))}")
                except Exception as error:  # of one cell, which must not end a night's run
                    failed[cell] = f"{type(error).__name__}: {error}"
                    say(f"FAILED {_note(plan.out, cell, str(cell), failed[cell])}")
                else:
                    if result is not None:
                        finished += 1
                        each = (time.perf_counter() - start) / finished
                        say(_line(cell, result, len(_unfinished(groups, plan.out)), each))
    return failed, refused


def _given_up(cell: Cell, failed: Mapping[Cell, str], plan: Plan) -> bool:
    """Whether a cell has failed, or all folds of a seed, with which another would fail, too."""
    folds = range(n_folds(plan, cell.control))
    return cell in failed or any(
        all(replace(cell, seed=seed, fold=fold) in failed for fold in folds) for seed in plan.seeds
    )


def _unfinished(groups: Sequence[Group], out: Path) -> list[Path]:
    files = (cell.file(out, each.facts["digest"]) for each in groups for cell in each.cells)
    return [path for path in files if not path.exists()]


def _run_if_new(
    group: Group, cell: Cell, plan: Plan, read: dict[str, Trials | Exception]
) -> dict[str, Any] | None:
    """Run a cell, unless it is finished or someone is at it."""
    path = cell.file(plan.out, group.facts["digest"])
    if path.exists():
        return None
    with _claimed(plan.out, str(path)) as mine:
        if not mine or path.exists():
            return None
        of = n_folds(plan, cell.control)
        trials = _read(group, read)
        result = run_cell(cell, group.pipeline, trials, TASKS[cell.task], of)
        result |= group.facts | {
            "n_folds": of,
            "model": group.model,
            # People whom the model had seen, without labels; None if nobody knows.
            "seen": _seen(group),
            "environment": environment(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, result, indent=None)
        cell.note(plan.out).unlink(missing_ok=True)
    return result


def _read(group: Group, read: dict[str, Trials | Exception]) -> Trials:
    """Read the trials of a task, of one at a time and once, though it fail."""
    name = group.task_name
    if name not in read:
        read.clear()
        try:
            read[name] = Trials.read(TASKS[name], group.dataset)
        except Exception as error:
            read[name] = error.with_traceback(None)  # which would keep the recordings
    found = read[name]
    if isinstance(found, Exception):
        raise found
    return found


def _seen(group: Group) -> list[str] | None:
    known = group.seen if group.model is None else pretraining_subjects(group.model)
    people = group.dataset.subject_list
    return seen_people(known, {str(who): name_in_records(group.dataset, who) for who in people})


def _line(cell: Cell, result: dict[str, Any], n_left: int, seconds_each: float) -> str:
    score = np.mean([part["score"] for part in result["moabb"]])
    took = f"{result['cpu_seconds']:.1f} s of CPU"
    left = f"{n_left} left, about {n_left * seconds_each / 60:.0f} min" if n_left else "finished"
    return f"{cell}: {score:.3f} ({took}); {left}"


def _note(out: Path, cell: Cell, where: str, reason: str) -> str:
    """Keep for the report why a cell was not run, until it is; give the line."""
    path = cell.note(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f"{where}\n{reason}\n")
    return f"{where}: {reason}"


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
