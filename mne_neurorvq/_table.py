# License: BSD-3-Clause
"""Tables as text and, in notebooks, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, align: str) -> str:
    """Write a table in Markdown that is also readable as it is.

    >>> print(markdown_table(["name", "n"], [["left", "1"], ["right", "10"]], align="lr"))
    | name  |  n |
    | :---- | -: |
    | left  |  1 |
    | right | 10 |
    """
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    rule = [
        f":{'-' * (width - 1)}" if side == "l" else f"{'-' * (width - 1)}:"
        for width, side in zip(widths, align, strict=True)
    ]
    lines = (head, rule, *rows)
    return "\n".join(
        f"| {' | '.join(_padded(*cell) for cell in zip(line, widths, align, strict=True))} |"
        for line in lines
    )


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
