# License: BSD-3-Clause
"""The recorded cases of the authors' code, their checkpoints read by the public loader."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import BioCodec, BrainRVQ, BrainRVQTokenizer, NeuroRVQ, NeuroRVQTokenizer

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


@dataclass(frozen=True)
class RecordedBrainRVQ:
    """The case of BrainRVQ: its three checkpoints, one input, and what came out."""

    meta: dict[str, Any]
    inputs: Arrays
    tokenizer_io: Arrays
    pretraining_io: Arrays
    finetuning_io: Arrays
    masking_io: Arrays
    tokenizer: BrainRVQTokenizer
    pretraining: BrainRVQ
    finetuning: BrainRVQ

    @property
    def x(self) -> torch.Tensor:
        return torch.from_numpy(self.inputs["x"])

    @property
    def mask(self) -> torch.Tensor:
        return torch.from_numpy(self.inputs["mask"])

    @property
    def channel_ids(self) -> torch.Tensor:
        names = [name.lower() for name in self.meta["channels"]]
        return torch.tensor([self.tokenizer.config.channels.index(name) for name in names])


@pytest.fixture(scope="session")
def brain(shared: Path, tmp_path_factory: Any) -> RecordedBrainRVQ:
    """The case of BrainRVQ; the checkpoints go through the public loader."""
    folder = shared / "golden" / "brainrvq_small"
    scratch = tmp_path_factory.mktemp("brainrvq")
    for part in ("ddrvq", "pretrain", "finetune"):
        arrays = _arrays(folder / f"{part}_fp16exact.npz")
        state = {name: torch.from_numpy(a.astype(np.float32)) for name, a in arrays.items()}
        torch.save(state, scratch / f"{part}.pt")
    return RecordedBrainRVQ(
        meta=json.loads((folder / "meta.json").read_text()),
        inputs=_arrays(folder / "inputs.npz"),
        tokenizer_io=_arrays(folder / "ddrvq_io.npz"),
        pretraining_io=_arrays(folder / "pretrain_io.npz"),
        finetuning_io=_arrays(folder / "finetune_io.npz"),
        masking_io=_arrays(folder / "masking_io.npz"),
        tokenizer=load_pretrained(scratch / "ddrvq.pt").require("tokenizer", "brainrvq"),
        pretraining=load_pretrained(scratch / "pretrain.pt").require("foundation", "brainrvq"),
        finetuning=load_pretrained(scratch / "finetune.pt").require("foundation", "brainrvq"),
    )


@pytest.fixture(scope="session")
def codec_folder(shared: Path) -> Path:
    """Where the cases of BioCodec are."""
    return shared / "golden" / "biocodec_small"


@pytest.fixture(scope="session", params=["eeg_small", "emg_small", "eeg_full", "emg_full"])
def recorded_codec(
    request: pytest.FixtureRequest, codec_folder: Path, tmp_path_factory: Any
) -> RecordedCodec:
    """A case of BioCodec with its model."""
    return _read_codec(request.param, codec_folder, tmp_path_factory.mktemp(request.param))


@dataclass(frozen=True)
class RecordedCodec:
    """A model, and for each of its cases the input and what came out."""

    name: str
    meta: dict[str, Any]
    outputs: dict[str, np.ndarray]
    inputs: dict[str, torch.Tensor]
    model: BioCodec


def _read_codec(name: str, folder: Path, scratch: Path) -> RecordedCodec:
    """Read a case; the checkpoint goes through the public loader."""
    kind, _, size = name.partition("_")
    meta = json.loads((folder / "meta.json").read_text())["models"][name]
    checkpoint = folder / f"{name}.pt"
    if size == "full":
        checkpoint = scratch / f"{name}.pt"
        torch.save(_from_recipe(meta), checkpoint)
    with np.load(folder / f"{name}_io.npz") as stored:
        outputs = dict(stored)
    with np.load(folder / "inputs.npz") as stored:
        signals = {key: torch.from_numpy(stored[key]) for key in stored}
    sources = {"eeg": "eeg", "odd": "eeg_odd", "emg": "emg"}
    sources["norm"] = "eeg_odd" if kind == "eeg" else "emg"
    return RecordedCodec(
        name,
        meta,
        outputs,
        {case: signals[key] for case, key in sources.items() if f"{case}_codes" in outputs},
        load_pretrained(checkpoint).require("tokenizer", "biocodec"),
    )


def _from_recipe(meta: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Weights of which only seed and shapes are recorded, made as they were."""
    generator = torch.Generator().manual_seed(meta["seed"])
    state: dict[str, torch.Tensor] = {}
    for name, shape in sorted(meta["state_dict"].items()):
        leaf = name.rpartition(".")[2]
        if leaf == "inited":
            state[name] = torch.ones(shape)
        elif leaf != "embed_avg":
            integers = torch.randint(-32768, 32768, shape, generator=generator, dtype=torch.int64)
            uniform = integers.double() / 32768.0 * math.sqrt(3.0)
            state[name] = _scaled(name, leaf, uniform)
    for name in meta["state_dict"]:
        if name.endswith("embed_avg"):
            state[name] = state[name.removesuffix("_avg")].clone()
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].numpy().tobytes())
    assert digest.hexdigest() == meta["sha256"]
    return state


def _scaled(name: str, leaf: str, uniform: torch.Tensor) -> torch.Tensor:
    if leaf == "embed":
        return (uniform / uniform.norm(dim=-1, keepdim=True)).float()
    offset, scale = 0.0, 1.0 / math.sqrt(math.prod(uniform.shape[1:]))
    if leaf == "cluster_size":
        offset, scale = 2.0, 0.5
    elif leaf == "original0":
        offset, scale = 1.0, 0.2
    elif uniform.ndim <= 1:
        scale = 0.1
    elif "lstm" in name:
        scale *= 0.8
    return (offset + scale * uniform).half().float()
