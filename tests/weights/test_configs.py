# License: BSD-3-Clause
"""Configurations survive the way through JSON, and what is none is refused."""

from __future__ import annotations

import json

import pytest

from mne_neurorvq import list_pretrained
from mne_neurorvq.weights import CheckpointError
from mne_neurorvq.weights.configs import config_from_json, config_to_json


@pytest.mark.parametrize("entry", list_pretrained(), ids=lambda entry: entry.name)
def test_the_configuration_of_every_model_survives_json(entry):
    text = config_to_json(entry.config)
    assert config_from_json(text, "file") == entry.config
    assert "\n" not in text


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"system": "neurorvq"}', '{"system": "neurorvq", "config": 3}'],
)
def test_what_is_no_configuration_is_refused_with_its_place(text):
    with pytest.raises(CheckpointError, match="there is not a configuration of this package"):
        config_from_json(text, "there")


def test_an_impossible_value_is_refused(tiny):
    data = json.loads(config_to_json(tiny.config))
    data["config"]["n_heads"] = 7
    with pytest.raises(CheckpointError, match="n_heads=7"):
        config_from_json(json.dumps(data), "file")
