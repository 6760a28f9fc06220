# License: BSD-3-Clause
"""Tables as text and, in notebooks, as HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from math import isnan


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, align: str) -> str:
    """Write a table in Markdown that is also readable as it is.

    >>> print(markdown_table(["name", "n"], [["left", "1"], ["right", "10"]], align="lr"))
    | name  |  n |
    | :---- | -: |
    | left  |  1 |
    | right | 10 |
    """
    # A rule of one character is none.
    widths = [max(2, *(len(row[column]) for row in (head, *rows))) for column in range(len(head))]
    rule = [
        f":{'-' * (width - 1)}" if side == "l" else f"{'-' * (width - 1)}:"
        for width, side in zip(widths, align, strict=True)
    ]
    lines = (head, rule, *rows)
    return "\n".join(
        f"| {' | '.join(_padded(*cell) for cell in zip(line, widths, align, strict=True))} |"
        for line in lines
    )


def with_interval(mean: float, low: float, high: float, sign: str = "") -> str:
    """Write a mean with its interval, as far as they are known; of differences with ``sign="+"``.

    >>> with_interval(0.051, -0.01, 0.1, "+")
    '+0.051 [-0.010, +0.100]'
    >>> nan = float("nan")
    >>> with_interval(0.051, nan, nan), with_interval(nan, nan, nan)
    ('0.051', '')
    """
    if isnan(mean):
        return ""
    return f"{mean:{sign}.3f}" + ("" if isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]")


def name_ranges(names: Sequence[str]) -> str:
    """Join names by commas; three or more with consecutive numbers become a range.

    >>> name_ranges(["S001", "S002", "S003", "S007", "S008"])
    'S001-S003, S007, S008'
    """
    runs: list[list[str]] = []
    for name in sorted(names):
        if runs and _follows(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    short = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs]
    return ", ".join(short)


def _follows(name: str, other: str) -> bool:
    """Whether two names differ only in their last number, by one."""
    pattern = re.compile(r"(.*?)(\d+)")
    first, second = pattern.fullmatch(name), pattern.fullmatch(other)
    if first is None or second is None or first[1] != second[1]:
        return False
    return int(second[2]) == int(first[2]) + 1


# More rows than these are folded until somebody wants to see them.
_UNFOLDED = 20


def html_table(title: str, rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Write a table in HTML that folds to its title; all colours are those of the page.

    >>> html_table("1 < 2", [["a", "b"]])
    '<details open><summary>1 &lt; 2</summary><table><tr><td ...>a</td><td ...>b</td></tr>...'
    """

    def row(cells: Sequence[str], tag: str) -> str:
        style = 'style="text-align:left;white-space:pre-wrap"'
        joined = "".join(f"<{tag} {style}>{escape(cell)}</{tag}>" for cell in cells)
        return f"<tr>{joined}</tr>"

    body = "".join([row(head, "th") if head else "", *(row(cells, "td") for cells in rows)])
    opened = " open" if len(rows) <= _UNFOLDED else ""
    summary = f"<summary>{escape(title)}</summary>"
    return f"<details{opened}>{summary}<table>{body}</table></details>"


def _padded(cell: str, width: int, side: str) -> str:
    return cell.ljust(width) if side == "l" else cell.rjust(width)
