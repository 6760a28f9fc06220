# License: BSD-3-Clause
"""Who is on which side, and what a person is told."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mne_neurorvq.training.corpus.summary import split_subjects, summary_text

PEOPLE = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=30, unique=True)


def split(subjects, *, fraction=0.2, named=None, seed=0, before=None):
    return split_subjects(subjects, fraction=fraction, named=named, seed=seed, before=before or {})


@given(PEOPLE, PEOPLE, st.floats(0.01, 0.9), st.integers(0, 5))
def test_nobody_changes_sides_when_others_come_and_no_side_is_empty(first, more, fraction, seed):
    before = split(first, fraction=fraction, seed=seed)
    after = split(first + more, fraction=fraction, seed=seed, before=before)
    assert {name: after[name] for name in before} == before
    assert set(after) == {*first, *more}
    for sides in (before, after):
        assert len(sides) == 1 or set(sides.values()) == {"train", "validation"}


@given(PEOPLE, st.randoms())
def test_the_split_does_not_depend_on_the_order(subjects, random):
    shuffled = random.sample(subjects, len(subjects))
    assert split(subjects) == split(shuffled + subjects)


def test_about_the_share_that_was_asked_for_is_held_back_and_the_seed_decides_who():
    people = [f"S{i:04d}" for i in range(2000)]
    one, other = split(people), split(people, seed=1)
    for sides in (one, other):
        assert 340 < list(sides.values()).count("validation") < 460
    assert one != other


def test_named_subjects_are_held_back_and_nobody_else():
    sides = split(["a", "b", "c"], named=["b"])
    assert sides == {"a": "train", "b": "validation", "c": "train"}


def test_without_a_share_or_with_one_person_nobody_is_held_back():
    assert set(split(["a", "b", "c"], fraction=0.0).values()) == {"train"}
    people = [f"S{i}" for i in range(50)]
    assert all(split([name], fraction=0.9) == {name: "train"} for name in people)


def test_who_is_held_back_of_a_few_would_be_held_back_of_many_first():
    people = [f"S{i}" for i in range(20)]
    (one,) = (name for name, side in split(people, fraction=1e-9).items() if side == "validation")
    shares = np.linspace(0.01, 0.9, 90)
    held_back = [split(people, fraction=share) for share in shares]
    assert all(sides[one] == "validation" for sides in held_back)


def test_the_text_names_what_was_left_out_and_what_should_be_known():
    side = dict(subjects=2, recordings=30, windows=10, hours=1.0)
    summary = {
        "train": side,
        "validation": dict.fromkeys(side, 0),
        "channels": {"fewest": 1, "median": 2, "most": 3, "names": ["cz"]},
        "bytes": 5_000_000,
        "rejected": {
            "recordings": [{"path": f"{i}.edf", "reason": "torn"} for i in range(25)],
            "channels": {"flat": 4},
            "windows": {},
        },
        "subjects_by": {"file name": 30},
    }
    text = summary_text(summary)
    for part in (
        "| train      |        2 |         30 |      10 |  1.00 |",
        "5.0 MB, 500000 bytes a window",
        "channels left out: 4 flat",
        "windows left out: none",
        "30 recordings say nothing about whose they are",
        "nobody is on the validation side",
        "25 files or folders left out",
        "  0.edf: torn",
        "... and 5 more",
    ):
        assert part in text
