# License: BSD-3-Clause
"""Small checkpoints in the authors' format, and the recorded ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import Hub
from huggingface_hub import constants

from mne_neurorvq import load_pretrained
from mne_neurorvq.weights import LoadedModel, to_official_state_dict

State = dict[str, torch.Tensor]


@pytest.fixture(scope="session")
def tiny() -> LoadedModel:
    """The smallest models; not to be changed."""
    return load_pretrained("neurorvq-eeg-tiny-random")


@pytest.fixture
def official_tokenizer(tiny: LoadedModel) -> State:
    """State dict of a tokenizer as the authors store it."""
    return to_official_state_dict(tiny.tokenizer)


@pytest.fixture
def official_foundation(tiny: LoadedModel) -> State:
    """State dict of a foundation model as the authors store it, without pretraining heads."""
    return to_official_state_dict(tiny.foundation)


@pytest.fixture(scope="session", params=["eeg", "emg", "ecg"])
def recorded(request: pytest.FixtureRequest, shared: Path) -> dict[str, State]:
    """Checkpoints of a recorded case, in the authors' format."""
    folder = shared / "golden" / f"neurorvq_{request.param}_small"
    states = {}
    for kind, part in (("tokenizer", "tokenizer"), ("foundation", "fm")):
        with np.load(folder / f"{part}_fp16exact.npz") as arrays:
            states[kind] = {
                name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()
            }
    return states


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A server that stands in for the Hub, and an empty cache."""
    server = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    # What the client does about a connection that fails is wait.
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    yield server
    server.close()
