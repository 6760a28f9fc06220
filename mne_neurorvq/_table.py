# License: BSD-3-Clause
"""Tables as text."""

from __future__ import annotations

from collections.abc import Sequence


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


def _padded(cell: str, width: int, side: str) -> str:
    return cell.ljust(width) if side == "l" else cell.rjust(width)
