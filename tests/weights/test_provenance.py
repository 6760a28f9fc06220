# License: BSD-3-Clause
"""Whose recordings a model was trained on."""

from __future__ import annotations

import json

import pytest

from mne_neurorvq import list_pretrained
from mne_neurorvq.weights.provenance import pretraining_subjects, seen_people


def test_the_file_in_a_models_folder_says_whom_it_has_seen(tmp_path):
    content = {"subjects": {"eegmmidb": ["S001", "S002"], "eegmat": []}}
    (tmp_path / "training.json").write_text(json.dumps(content))
    expected = {"eegmmidb": ("S001", "S002"), "eegmat": ()}
    assert pretraining_subjects(tmp_path) == expected
    assert pretraining_subjects(str(tmp_path)) == expected


def test_without_that_file_it_is_not_known(tmp_path):
    assert pretraining_subjects(tmp_path) is None
    (tmp_path / "model.pt").touch()
    assert pretraining_subjects(tmp_path / "model.pt") is None


@pytest.mark.parametrize("entry", list_pretrained(), ids=lambda entry: entry.name)
def test_untrained_models_have_seen_nobody_and_of_downloads_it_is_not_known(entry):
    known = pretraining_subjects(entry.name)
    if entry.seed is not None:
        assert known == {}
    elif not entry.bundled:
        assert known is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"subjects": ["S001"]}',
        '{"subjects": {"x": "S001"}}',
        '{"subjects": {"x": [1]}}',
    ],
)
def test_a_file_that_says_something_else_is_named(tmp_path, text):
    (tmp_path / "training.json").write_text(text)
    with pytest.raises(ValueError, match=r"training\.json must hold"):
        pretraining_subjects(tmp_path)


def test_people_are_looked_up_by_data_set_and_name():
    names = {"1": ("a", "S1"), "2": ("b", "S1"), "3": ("a", "S2")}
    assert seen_people({"a": ("S1", "S3")}, names) == ["1"]
    assert seen_people({}, {**names, "4": None}) == []
    assert seen_people({"a": ("S1",)}, {**names, "4": None}) is None
    assert seen_people(None, names) is None
