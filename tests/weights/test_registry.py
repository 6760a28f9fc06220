# License: BSD-3-Clause
"""The registry says where every named model is, whose it is and what it holds."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from mne_neurorvq import list_pretrained
from mne_neurorvq.models import (
    BIOCODEC_EEG,
    BIOCODEC_EMG,
    NEURORVQ_ECG,
    NEURORVQ_EEG,
    NEURORVQ_EMG,
    NEURORVQ_PPG,
)
from mne_neurorvq.weights.registry import BUNDLED, find_pretrained

OFFICIAL = "ntinosbarmpas/NeuroRVQ"


def _by_source(source, system="neurorvq"):
    return [
        entry for entry in list_pretrained() if (entry.source, entry.system) == (source, system)
    ]


def test_names_are_unique_and_found():
    names = [entry.name for entry in list_pretrained()]
    assert len(set(names)) == len(names)
    assert [find_pretrained(name).name for name in names] == names


def test_every_model_names_its_licence_citation_and_contents():
    for entry in list_pretrained():
        assert entry.citation
        assert entry.kinds
        assert entry.commercial == (entry.licence in ("BSD-3-Clause", "MIT"))
        assert entry.bundled == (entry.source in ("bundled", "seed"))
        assert {file.kind for file in entry.files} == (set() if entry.bundled else set(entry.kinds))
        assert bool(entry.url) != entry.bundled


def test_the_official_models_are_pinned_and_their_known_hashes_recorded():
    official = _by_source("official")
    assert [entry.modality for entry in official] == ["eeg", "emg", "ecg", "ppg"]
    hashes = []
    for entry in official:
        assert entry.licence == "CC BY-NC 4.0"
        assert re.fullmatch("[0-9a-f]{40}", entry.revision)
        for file in entry.files:
            assert file.repo == OFFICIAL
            hashes.append(file.sha256)
    known = [value for value in hashes if value is not None]
    # That of the EMG foundation model has not been seen.
    assert len(known) == len(hashes) - 1 == 6
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in known)
    assert len(set(known)) == len(known)


def test_only_the_ppg_model_and_the_codecs_lack_a_foundation_model():
    for entry in list_pretrained():
        has_one = entry.system != "biocodec" and entry.modality != "ppg"
        assert ("foundation" in entry.kinds) == has_one


def test_the_official_codecs_are_named_with_their_place_and_licence():
    official = _by_source("official", "biocodec")
    assert [entry.modality for entry in official] == ["eeg", "emg"]
    for entry in official:
        assert entry.licence == "MIT"
        assert entry.commercial
        assert entry.url == "https://github.com/klean2050/BioCodec-release"
        assert re.fullmatch("[0-9a-f]{40}", entry.revision)
        assert [(file.kind, file.path, file.on_hub) for file in entry.files] == [
            ("tokenizer", "biocodec_ckpt.pt", False)
        ]
    assert [entry.config for entry in official] == [BIOCODEC_EEG, BIOCODEC_EMG]


def test_the_rehosts_of_braindecode_are_listed():
    repos = {file.repo for entry in _by_source("re-host") for file in entry.files}
    assert repos == {
        *(f"braindecode/neurorvq-{modality}-pretrained" for modality in ("eeg", "ecg", "emg")),
        *(
            f"braindecode/neurorvq-tokenizer-{modality}-pretrained"
            for modality in ("eeg", "ecg", "emg", "ppg")
        ),
    }


@pytest.mark.parametrize("preset", [NEURORVQ_EEG, NEURORVQ_EMG, NEURORVQ_ECG, NEURORVQ_PPG])
def test_an_official_model_has_the_configuration_of_its_modality(preset):
    assert find_pretrained(f"neurorvq-{preset.modality}").config == preset


def test_the_random_twin_has_the_structure_of_the_small_model():
    small = find_pretrained("neurorvq-eeg-small")
    assert small.config == find_pretrained("neurorvq-eeg-small-random").config
    assert (BUNDLED / small.name / "config.json").is_file()


def test_an_entry_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        list_pretrained()[0].licence = "none"


def test_the_registry_is_listed_without_loading_torch():
    code = "import sys, mne_neurorvq; mne_neurorvq.list_pretrained(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
