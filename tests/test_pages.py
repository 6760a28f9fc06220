# License: BSD-3-Clause
"""Pages of the documentation that are made from the registry and the cards."""

from __future__ import annotations

import re
import runpy
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
