# License: BSD-3-Clause
"""Pages of the documentation: what is made from the registry and the cards, and code that runs."""

from __future__ import annotations

import ast
import builtins
import re
import runpy
import textwrap
from pathlib import Path

import pytest
from optional_library import import_or_skip

from mne_neurorvq.weights import list_pretrained

DOC = Path(__file__).resolve().parents[1] / "doc"


@pytest.fixture(scope="module")
def pages():
    import_or_skip("markdown_it", "doc")
    return runpy.run_path(str(DOC / "model_pages.py"))


def test_the_tables_of_names_list_every_model_once_and_say_what_is_not_commercial(pages):
    tables = [
        pages["registry_table"](*sources)
        for sources in (("bundled",), ("official", "re-host"), ("seed",))
    ]
    named = re.findall(r"(?:``|:doc:`cards/)([\w-]+)`", "".join(tables))
    assert sorted(named) == sorted(entry.name for entry in list_pretrained())
    closed = [e for e in list_pretrained() if not e.commercial and e.licence != "none given"]
    assert "".join(tables).count("not commercial") == len(closed)


def test_every_card_is_a_page_with_its_sections(pages):
    for entry in pages["with_cards"]():
        page = pages["card_page"](entry, has_figure=True)
        assert page.startswith(entry.name)
        assert "What it has seen\n----------------" in page
        assert "<table" in page


def test_a_table_whose_words_do_not_fit_a_page_is_turned_and_others_are_not(pages):
    def turn(names):
        head, line, body = "|".join(names), "---|" * 12, "|".join(map(str, range(12)))
        table = f"|{head}|\n|{line}\n|{body}|\n"
        return table, re.sub(r"(?:^\|.*\n)+", pages["turned"], table, flags=re.MULTILINE)

    _, turned = turn([f"a_long_name_{i}" for i in range(12)])
    assert turned.splitlines()[:3] == ["|a_long_name_0|0|", "|---|---|", "|a_long_name_1|1|"]
    narrow, same = turn([f"c{i}" for i in range(12)])
    assert narrow == same


READERS_OWN = {"epochs", "files", "filtered", "folder", "subjects", "y"}
"""Names in the code of pages that stand for what the reader has."""


def _code(text):
    """Every Python block of a page as plain code, in the order of the page."""
    block = re.compile(
        r"^( *)\.\. code-block:: python\n\n((?:(?:\1 +.*)?\n)+)"
        r"|^```python\n((?:.*\n)*?)```|^ *>>> .*\n(?: *(?:>>>|\.\.\.).*\n)*",
        re.MULTILINE,
    )
    for found in re.finditer(block, text):
        if ">>> " in found[0][:20]:
            yield re.sub(r"^ *(?:>>>|\.\.\.) ?", "", found[0], flags=re.MULTILINE)
        else:
            yield textwrap.dedent(found[2] or found[3])


@pytest.mark.parametrize(
    "page", sorted([*DOC.glob("*.rst"), DOC.parent / "README.md"]), ids=lambda page: page.name
)
def test_code_of_a_page_compiles_and_uses_names_that_the_page_brings(page):
    brought = {*dir(builtins), *READERS_OWN}
    for code in _code(page.read_text(encoding="utf-8")):
        nodes = list(ast.walk(ast.parse(code)))
        for node in nodes:
            if isinstance(node, ast.alias):
                brought.add((node.asname or node.name).split(".")[0])
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                brought.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                brought.add(node.name)
            elif isinstance(node, ast.arg):
                brought.add(node.arg)
        unknown = {node.id for node in nodes if isinstance(node, ast.Name)} - brought
        assert not unknown, f"{page.name} brings no {sorted(unknown)}, used in:\n{code}"
