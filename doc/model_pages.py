# License: BSD-3-Clause
"""Pages made from the registry and the cards of the models: nothing in them is written by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from mne_neurorvq.weights import Pretrained, list_pretrained
from mne_neurorvq.weights.registry import BUNDLED

WIDEST = 80  # characters of a table


def with_cards() -> list[Pretrained]:
    """Models whose weights and cards are in the package."""
    return [entry for entry in list_pretrained() if entry.source == "bundled"]


def origin(entry: Pretrained) -> str:
    """Say where published weights are and how to get them."""
    if not entry.files[0].published:
        return "announced, not published"
    how = "downloaded once" if entry.files[0].on_hub else "from your copy of the file"
    return f"`{entry.files[0].repo} <{entry.url}>`__, {how}"


def licence(entry: Pretrained) -> str:
    """Name the licence, with hyphens that do not end a line, and what it forbids."""
    words = entry.licence.replace("-", "\N{NON-BREAKING HYPHEN}")
    return (
        words if entry.commercial or entry.licence == "none given" else f"{words}: not commercial"
    )


def registry_table(*sources: str) -> str:
    """Names that estimators take, as a list-table."""
    rows = [("name", "signal", "holds", "licence", "weights")]
    for entry in list_pretrained():
        if entry.source in sources:
            card = entry.source == "bundled"
            name = f":doc:`cards/{entry.name}`" if card else f"``{entry.name}``"
            where = origin(entry) if entry.files else ""
            holds = ", ".join(entry.kinds)
            rows.append((name, entry.modality.upper(), holds, licence(entry), where))
    if not any(entry.files for entry in list_pretrained() if entry.source in sources):
        rows = [row[:4] for row in rows]
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def errors(measures: dict) -> Figure:
    """What each person's signals lose in each band, of people that were not trained on."""
    people = list(measures["subjects"].values())
    bands = measures.get("bands", ["delta", "theta", "alpha", "beta", "gamma"])
    figure = Figure(figsize=(7.1, 2.6), layout="constrained")
    ax = figure.subplots()
    for i, band in enumerate(["all", *bands]):
        values = [person["nmse" if band == "all" else f"nmse_{band}"] for person in people]
        ax.scatter([i] * len(values), values, s=22, color="0.5", alpha=0.7)
        ax.plot([i - 0.2, i + 0.2], [sum(values) / len(values)] * 2, color="#D55E00", lw=2)
    ax.axhline(1, color="0.5", lw=1, ls="--")
    ax.text(len(bands) + 0.45, 0.92, "all is lost", ha="right", va="top", color="0.45", fontsize=8)
    ax.set_yscale("log")
    ax.set_xticks(range(len(bands) + 1), ["all", *bands])
    ax.set(xlabel="band", ylabel="squared error / variance")
    return figure


def narrowest(rows: list[tuple[str, ...]]) -> int:
    """Count the characters that a table needs side by side: the longest word of each column."""
    columns = zip(*rows, strict=True)
    return sum(max(len(word) for cell in column for word in cell.split()) for column in columns)


def turned(table: re.Match[str]) -> str:
    """Swap rows and columns of a Markdown table that does not fit a page and does when turned."""
    rows = [tuple(line.strip()[1:-1].split("|")) for line in table[0].strip().splitlines()]
    del rows[1]
    columns = list(zip(*rows, strict=True))
    if not all(cell.strip() for row in rows for cell in row):
        return table[0]
    if narrowest(rows) <= WIDEST or narrowest(columns) >= narrowest(rows):
        return table[0]
    columns.insert(1, ("---",) * len(rows))
    return "".join(f"|{'|'.join(column)}|\n" for column in columns)


def card_page(entry: Pretrained, has_figure: bool) -> str:
    """Turn the card of a model, which is Markdown, into a page."""
    text = (BUNDLED / entry.name / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    text = re.sub(r"\A\s*# .*\n", "", text)
    text = re.sub(r"(?:^\|.*\n)+", turned, text, flags=re.MULTILINE)
    markdown = MarkdownIt("commonmark").enable("table")
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    lines = [entry.name, "=" * len(entry.name), ""]
    if has_figure:
        lines += [
            f".. figure:: {entry.name}.svg",
            "   :figclass: wide",
            "   :alt: Error of reconstructions by band, a point for each person.",
            "",
            "   Reconstructions of people it was not trained on: a point for each, and the mean.",
            "",
        ]
    for title, body in zip(["", *parts[1::2]], parts[::2], strict=True):
        if title:
            lines += [title, "-" * len(title), ""]
        html = markdown.render(body)
        frame = '<div class="pst-scrollable-table-container"><table class="table">'
        html = html.replace("<table>", frame).replace("</table>", "</table></div>")
        lines += [".. raw:: html", "", *(f"   {line}" for line in html.splitlines()), ""]
    return "\n".join(lines)


def write_model_pages(folder: Path) -> None:
    """Write the table, and a page and a figure for each card, where they have changed."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        "in-package.inc": registry_table("bundled"),
        "published.inc": registry_table("official", "re-host"),
        "untrained.inc": registry_table("seed"),
    }
    for entry in with_cards():
        measures = BUNDLED / entry.name / "measures.json"
        if measures.exists():
            figure = errors(json.loads(measures.read_text(encoding="utf-8")))
            figure.savefig(folder / f"{entry.name}.svg", metadata={"Date": None})
        written[f"{entry.name}.rst"] = card_page(entry, measures.exists())
    for name, text in written.items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
