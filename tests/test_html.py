# License: BSD-3-Clause
"""What notebooks show of tokens, of a loaded model and of a report of channels."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mne_neurorvq import NeuroRVQTransformer, Tokens, datasets, load_pretrained
from mne_neurorvq._table import name_ranges
from mne_neurorvq.signals import match_channels

TINY = "neurorvq-eeg-tiny-random"


class Page(HTMLParser):
    """Tags that are open, those that were there, and the text of the cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def fitted() -> NeuroRVQTransformer:
    epochs = datasets.simulate_epochs(n_subjects=1, n_trials=2)
    return NeuroRVQTransformer(TINY).fit(epochs)


@pytest.fixture(scope="module")
def tokens(fitted) -> Tokens:
    return fitted.tokenize(datasets.simulate_epochs(n_subjects=1, n_trials=2))


def test_tokens_show_their_model_channels_rate_and_events(tokens):
    page = Page(tokens._repr_html_())
    facts = dict(page.rows)
    assert "2 trials × 19 channels × 4 patches" in tokens._repr_html_()
    assert facts["model"] == TINY
    assert facts["channels"] == ", ".join(tokens.ch_names)
    assert facts["events"] == "left: 1, right: 1"
    assert facts["rate"].startswith(f"{tokens.bits_per_second:.4g} bits/s")
    assert facts["patches"] == "1 s, from 0 to 3 s"


def test_a_loaded_model_shows_its_size_and_what_it_reads():
    loaded = load_pretrained(TINY)
    facts = dict(Page(loaded._repr_html_()).rows)
    n = sum(parameter.numel() for parameter in loaded.tokenizer.parameters())
    assert facts["tokenizer"] == f"{n:,} parameters"
    assert facts["signals"] == "EEG in uV at 200 Hz"
    assert facts["licence"] == "BSD-3-Clause"
    assert len(repr(loaded)) < 100


def test_a_report_shows_what_it_prints_and_counts_what_is_left_out(fitted):
    with pytest.warns(UserWarning, match="1 of 2 channels"):
        report = match_channels(["Cz", "X <1>"], ["cz", "t3"])
    page = Page(report._repr_html_())
    lines = [line.split("|")[1:-1] for line in repr(report).split("\n")]
    printed = [[cell.strip() for cell in line] for line in lines]
    assert page.rows == [printed[0], *printed[2:]]
    assert "2 channels: 1 used, 1 left out" in report._repr_html_()


def test_what_is_long_is_folded_and_what_is_short_is_not(tokens):
    short = match_channels(["Cz"], ["cz"])
    names = [f"E{n}" for n in range(64)]
    long = match_channels(names, names)
    assert "<details open>" in short._repr_html_()
    assert "<details>" in long._repr_html_()


def test_nothing_has_a_colour_or_a_script_so_that_every_theme_is_readable(tokens, fitted):
    for shown in (tokens, load_pretrained(TINY), fitted.channel_report_):
        page = Page(shown._repr_html_())
        assert page.tags <= {"details", "summary", "table", "tr", "th", "td"}
        assert {name for name, _ in page.attributes} <= {"open", "style"}
        assert "color" not in shown._repr_html_()


def test_text_of_a_user_is_text(tokens):
    named = replace(tokens, model="<b>mine</b>")
    assert dict(Page(named._repr_html_()).rows)["model"] == "<b>mine</b>"


def test_tokens_without_trials_events_or_several_patches_have_their_table(tokens):
    assert "| 0 trials ×" in tokens[:0]._repr_html_()
    one = replace(tokens, events=None, event_id=None)
    assert "events" not in dict(Page(one._repr_html_()).rows)


def test_the_diagram_of_scikit_learn_is_drawn_before_and_after_fitting(fitted):
    assert "NeuroRVQTransformer" in NeuroRVQTransformer(TINY)._repr_html_()
    assert "NeuroRVQTransformer" in fitted._repr_html_()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ""),
        (["b", "a"], "a, b"),
        (["S009", "S010", "S011"], "S009-S011"),
        (["sub-1", "sub-2", "x-3"], "sub-1, sub-2, x-3"),
    ],
)
def test_consecutive_names_are_shortened(names, expected):
    assert name_ranges(names) == expected
