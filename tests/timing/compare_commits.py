# License: BSD-3-Clause
"""The figures of speed.py for two commits, side by side.

    python tests/timing/compare_commits.py BEFORE AFTER [--json FILE] [options of speed.py]

Each commit is checked out into a temporary worktree, and the scripts beside this file measure its
package: the same measure for both. What a commit lacks fails there and is left out of the table.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from machine import facts, report
from speed import Figure, add_options, run_all

_ROOT = Path(__file__).parents[2]


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(_ROOT), *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """Have a commit in a folder for a while."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(path), commit)
        try:
            yield path
        finally:
            _git("worktree", "remove", "--force", str(path))


def table_of(before: list[Figure], after: list[Figure]) -> list[list[str]]:
    """Make the table of figures that both have, and of what is new."""
    known = {(figure.benchmark, figure.name): figure for figure in before}
    rows = [["benchmark", "figure", "before", "after", "after / before"]]
    for figure in after:
        old = known.get((figure.benchmark, figure.name))
        was = "" if old is None else f"{old.value:.4g} {old.unit}".strip()
        ratio = f"{figure.value / old.value:.2f}" if old is not None and old.value else ""
        now = f"{figure.value:.4g} {figure.unit}".strip()
        rows.append([figure.benchmark, figure.name, was, now, ratio])
    return rows


def main() -> None:
    """Measure both and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", metavar="BEFORE", help="commit")
    parser.add_argument("after", metavar="AFTER", help="commit")
    add_options(parser)
    args = parser.parse_args()
    machine = facts(args.threads) | {"clock": args.clock}
    commits = {end: _git("rev-parse", getattr(args, end)) for end in ("before", "after")}
    figures: dict[str, list[Figure]] = {}
    for end, commit in commits.items():
        with worktree(commit) as tree:
            figures[end] = run_all(args, tree)
    results = {
        "machine": machine,
        "commits": commits,
        "figures": {end: [asdict(figure) for figure in found] for end, found in figures.items()},
    }
    report(results, table_of(figures["before"], figures["after"]), args.json)


if __name__ == "__main__":
    main()
