# License: BSD-3-Clause
"""The recorded cases of the authors' code, their checkpoints read by the public loader."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import NeuroRVQ, NeuroRVQTokenizer

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Golden:
    """A recorded case."""

    variant: str
    folder: Path
    meta: dict[str, Any]
    inputs: Arrays
    tokenizer_io: Arrays
    fm_io: Arrays
    tokenizer: NeuroRVQTokenizer
    foundation: NeuroRVQ

    @property
    def x(self) -> torch.Tensor:
        return torch.from_numpy(self.inputs["x"])

    @property
    def channel_ids(self) -> torch.Tensor:
        channels = self.tokenizer.config.channels
        return torch.tensor([channels.index(name) for name in self.meta["channels"]])


def _arrays(path: Path) -> Arrays:
    with np.load(path) as stored:
        return dict(stored)


@pytest.fixture(scope="session", params=["eeg", "emg", "ecg"])
def golden(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: Any) -> Golden:
    """A case with its models."""
    folder = shared / "golden" / f"neurorvq_{request.param}_small"
    scratch = tmp_path_factory.mktemp(request.param)
    for part in ("tokenizer", "fm"):
        arrays = _arrays(folder / f"{part}_fp16exact.npz")
        state = {name: torch.from_numpy(a.astype(np.float32)) for name, a in arrays.items()}
        torch.save(state, scratch / f"{part}.pt")
    return Golden(
        variant=request.param,
        folder=folder,
        meta=json.loads((folder / "meta.json").read_text()),
        inputs=_arrays(folder / "inputs.npz"),
        tokenizer_io=_arrays(folder / "tokenizer_io.npz"),
        fm_io=_arrays(folder / "fm_io.npz"),
        tokenizer=load_pretrained(scratch / "tokenizer.pt").require("tokenizer"),
        foundation=load_pretrained(scratch / "fm.pt").require("foundation"),
    )
