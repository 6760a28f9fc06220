# License: BSD-3-Clause
"""``mne-neurorvq benchmark``: tasks and pipelines at hand, a run, and its report."""

from __future__ import annotations

import argparse
import ast
from itertools import chain
from pathlib import Path

from .._optional import optional
from .._table import markdown_table


def run_benchmark(args: argparse.Namespace) -> None:
    """List what is at hand, run what is not finished, or report."""
    with optional("benchmark", "benchmark"):
        from ..benchmarks.report import write_report
        from ..benchmarks.running import Plan, run
        from ..benchmarks.tasks import TASKS
    if args.what == "list":
        print(_list(args))
        return
    if args.what == "run":
        for name in args.tasks:
            if name not in TASKS:
                raise ValueError(f"--tasks: {name} is none of {', '.join(TASKS)}.")
        plan = Plan(
            args.out,
            tasks=tuple(args.tasks),
            pipelines=tuple(args.pipelines),
            models=tuple(args.models),
            data=args.data,
            folder=args.pipeline_folder,
            subjects=None if args.subjects is None else tuple(chain(*args.subjects)),
            folds=args.folds,
            seeds=tuple(args.seeds),
            shares=tuple(args.shares),
            controls=("", *args.controls),
        )
        try:
            run(plan, args.jobs, memory=args.memory)
        except RuntimeError:
            # Some pipelines failed; the others are worth their report.
            print(write_report(args.out, args.reference))
            raise
    print(write_report(args.out, args.reference))


def _list(args: argparse.Namespace) -> str:
    """Tables of the tasks and pipelines, with what each needs."""
    from ..benchmarks.pipeline_files import pipeline_files
    from ..benchmarks.tasks import TASKS, open_task

    tasks = []
    for name, task in TASKS.items():
        if task.download:
            tasks.append([name, task.title, f"to be downloaded: {task.download}"])
            continue
        try:
            at_hand = f"{len(open_task(name, args.data).subject_list)} people"
        except FileNotFoundError as error:
            at_hand = " ".join(str(error).split())
        control = f", {task.control}" if task.control else ""
        tasks.append([name, f"{task.title}{control}", at_hand])
    pipelines = [
        [name, _first_line(path)] for name, path in pipeline_files(args.pipeline_folder).items()
    ]
    return "\n\n".join(
        [
            markdown_table(["task", "what is told apart", "at hand"], tasks, align="lll"),
            markdown_table(["pipeline", "what it is"], pipelines, align="ll"),
        ]
    )


def _first_line(path: Path) -> str:
    """Read what a file of a pipeline says of itself; the file is not run."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return text.partition("\n")[0].strip("# ")
