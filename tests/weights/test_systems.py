# License: BSD-3-Clause
"""The table of systems: it is complete, and what it names exists."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import get_args

import pytest

from mne_neurorvq import list_pretrained
from mne_neurorvq.signals import Preprocessing
from mne_neurorvq.weights.registry import SystemName
from mne_neurorvq.weights.systems import SYSTEMS


def test_the_registry_and_the_table_know_the_same_systems():
    assert tuple(SYSTEMS) == get_args(SystemName)
    assert {entry.system for entry in list_pretrained()} == set(SYSTEMS)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_entry_belongs_to_its_system(name):
    system = SYSTEMS[name]
    assert system.config.system == name
    assert all(preset.modality == key for key, preset in system.presets.items())
    for config in (*system.presets.values(), *system.tiny.values()):
        assert isinstance(config, system.config)
    assert [getattr(system, kind) is not None for kind in system.stages] == [True] * len(
        system.stages
    )


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_is_named_exists(name):
    system = SYSTEMS[name]
    for role in ("transformer", "classifier", "regressor"):
        if (path := getattr(system, role)) is not None:
            assert resolve_name(path)().get_params()["pretrained"].startswith(name)
    for modality, path in system.preprocessing.items():
        assert modality in system.presets
        assert isinstance(resolve_name(path), Preprocessing)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_configuration_of_pretraining_is_that_of_the_system(name):
    pytest.importorskip("lightning")
    assert resolve_name(SYSTEMS[name].pretraining)().system == name
