# License: BSD-3-Clause
"""A plan of the benchmark: what is wrong in it is told by name when it is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from optional_library import import_or_skip

import_or_skip("moabb", "benchmark")

from mne_neurorvq.benchmarks import Plan


@pytest.mark.parametrize("name", ["tasks", "pipelines", "models", "subjects", "controls"])
def test_a_name_in_place_of_several_is_refused(name):
    with pytest.raises(TypeError, match=rf"^{name} must be a tuple, such as \('imagery',\), got"):
        Plan(Path("x"), **{name: "imagery"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": ("telepathy",)}, "tasks: 'telepathy' is none of imagery, "),
        ({"controls": ("", "permute")}, "controls: 'permute' is none of .*'permuted', 'identity'"),
        ({"shares": (1.5,)}, "shares: 1.5 is not above 0 and at most 1"),
        ({"seeds": (-1,)}, "seeds: -1 is no count from 0 on"),
        ({"seeds": ()}, "seeds must not be empty"),
        ({"folds": 1}, "folds must be at least 2, got 1"),
    ],
)
def test_what_there_is_not_is_named_with_its_parameter(given, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Plan(Path("x"), **given)


def test_a_single_number_in_place_of_several_is_refused():
    with pytest.raises(TypeError, match=r"^seeds must be a tuple, such as \(3,\), got 3"):
        Plan(Path("x"), seeds=3)


def test_paths_and_lists_are_taken_as_they_come():
    plan = Plan("x", ["imagery"], data="recordings")
    assert plan == Plan(Path("x"), ("imagery",), data=Path("recordings"))
