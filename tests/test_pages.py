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


def test_every_card_is_a_page_with_its_sections_and_tables_that_fit(pages):
    for entry in pages["with_cards"]():
        page = pages["card_page"](entry, has_figure=True)
        assert page.startswith(entry.name)
        assert "What it has seen\n----------------" in page
        heads = re.findall(r"<thead>.*?</thead>", page, flags=re.DOTALL)
        assert max(head.count("<th") - head.count("<thead") for head in heads) <= pages["WIDEST"]


def test_a_table_that_is_too_wide_is_turned(pages):
    head = "|".join(f"c{i}" for i in range(12))
    table = f"|{head}|\n|{'---|' * 12}\n|{'|'.join(map(str, range(12)))}|\n"
    turned = re.sub(r"(?:^\|.*\n)+", pages["turned"], table, flags=re.MULTILINE).splitlines()
    assert turned[:4] == ["|c0|0|", "|---|---|", "|c1|1|", "|c2|2|"]
    assert len(turned) == 13
