# License: BSD-3-Clause
"""Small checkpoints in the authors' format, and the recorded ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

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
