# License: BSD-3-Clause
"""``mne-neurorvq benchmark``: tasks and pipelines at hand, a run, and its report."""

from __future__ import annotations

import argparse
import ast
import sys
from functools import partial
from itertools import chain
from pathlib import Path
from textwrap import fill

from .._optional import optional

# Addresses and options are to be copied.
_filled = partial(fill, width=80, break_long_words=False, break_on_hyphens=False)


def run_benchmark(args: argparse.Namespace) -> None:
    """List what is at hand, run what is not finished, or report."""
    with optional("benchmark", "benchmark"):
        from ..benchmarks.plan import Plan
        from ..benchmarks.report import write_report
        from ..benchmarks.results import finished_files
        from ..benchmarks.running import run
    if args.what == "list":
        print(_list(args))
        return
    if args.what == "run":
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
            run(plan, args.jobs, memory=args.memory, reference=args.reference)
        except RuntimeError:
            # Some cells failed; if others did not, they are worth their report.
            if finished_files(args.out):
                try:
                    print(write_report(args.out, args.reference))
                except ValueError as error:
                    print(f"there is no report: {error}", file=sys.stderr)
            raise
    print(write_report(args.out, args.reference))


def _list(args: argparse.Namespace) -> str:
    """Tasks and pipelines, with what each needs."""
    from ..benchmarks.pipeline_files import pipeline_files
    from ..benchmarks.tasks import TASKS, open_task

    parts = ["TASKS"]
    for name, task in TASKS.items():
        if task.of:
            continue
        if task.download:
            at_hand = f"To be downloaded: {task.download}."
        else:
            try:
                at_hand = f"At hand: {len(open_task(name, args.data).subject_list)} people."
            except FileNotFoundError as error:
                at_hand = f"Not at hand: {error}"
        controls = [other.removeprefix(name) for other, its in TASKS.items() if its.of == name]
        also = f" Also {', '.join(controls)}." if controls else ""
        parts.append(_entry(name, f"{task.title}.{also}", at_hand))
    parts += ["", "PIPELINES"]
    files = pipeline_files(args.pipeline_folder)
    parts += [_entry(name, _first_line(path)) for name, path in files.items()]
    return "\n".join(parts)


def _entry(name: str, first: str, *others: str) -> str:
    """Write a name and what there is to say of it, in lines of a terminal."""
    space = " " * 4
    lines = [_filled(f"{name}: {first}", subsequent_indent=space)]
    lines += [_filled(text, initial_indent=space, subsequent_indent=space) for text in others]
    return "\n".join(lines)


def _first_line(path: Path) -> str:
    """Read what a file of a pipeline says of itself; the file is not run."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return text.partition("\n")[0].strip("# ")
