# License: BSD-3-Clause
"""A corpus of five simulated people, the smallest models, and runs of the commands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import mne
import pytest
from safetensors.torch import load_file

from mne_neurorvq.cli import main
from mne_neurorvq.datasets import simulate_recordings
from mne_neurorvq.models import BIOCODEC_EEG, QuantizerConfig
from mne_neurorvq.training import (
    BioCodecPretrainConfig,
    BioCodecSettings,
    BrainRVQPretrainConfig,
    BrainRVQSettings,
    CorpusDataset,
    CropSettings,
    FoundationSettings,
    NeuroRVQPretrainConfig,
    NeuroRVQSettings,
    StageSettings,
    config_text,
    prepare_corpus,
)

# Names of PhysioNet's motor imagery data: the folder of one lab, and that of another.
PEOPLE = ("a/S001R04.edf", "a/S002R04.edf", "b/S003R04.edf", "b/S004R04.edf", "b/somebody.edf")
HELD_OUT = ("eegmmidb/S003", "somebody")
_STAGE = StageSettings(n_steps=12, lr_warmup_steps=2, validate_every=6, save_every=3)


class Run(NamedTuple):
    """What the commands left."""

    recordings: Path
    corpus: Path
    config_file: Path
    folder: Path
    exported: Path


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """Two folders of EDF files: people with 32, 21 and 19 channels."""
    root = tmp_path_factory.mktemp("recordings")
    for raw, name in zip(simulate_recordings(5, 4, verbose=False), PEOPLE, strict=True):
        (root / name).parent.mkdir(exist_ok=True)
        if name == PEOPLE[-1]:  # so that two processes cannot share the windows evenly
            raw.crop(tmax=30)
        mne.export.export_raw(root / name, raw, verbose="error")
    return root


@pytest.fixture(scope="session")
def corpus_folder(recordings, tmp_path_factory):
    out = tmp_path_factory.mktemp("corpora") / "corpus"
    prepare_corpus(
        [recordings / "a", recordings / "b"], out, window=4, validation_subjects=HELD_OUT
    )
    return out


@pytest.fixture
def train(corpus_folder):
    return CorpusDataset(corpus_folder, "train")


@pytest.fixture
def valid(corpus_folder):
    return CorpusDataset(corpus_folder, "validation")


@pytest.fixture(scope="session")
def config():
    """Stages of some two epochs, of a model of 0.7 million parameters."""
    quantizer = QuantizerConfig(
        n_levels=2,
        n_codes=16,
        code_dim=8,
        rule="euclidean",
        dead_code_threshold=0.1,
        warmup_steps=4,
        kmeans_tokens=200,
    )
    return NeuroRVQPretrainConfig(
        model=NeuroRVQSettings(depth=1, mlp_ratio=1.0, quantizer=quantizer),
        crops=CropSettings(64, n_channels=(4, 8), n_patches=(2, 3)),
        tokenizer=_STAGE,
        foundation=FoundationSettings(**vars(_STAGE) | {"n_steps": 6, "validate_every": 3}),
    )


@pytest.fixture(scope="session")
def biocodec_config():
    """Some two epochs of a codec of 6,000 parameters."""
    quantizer = replace(
        BIOCODEC_EEG.quantizer,
        n_levels=3,
        n_codes=16,
        code_dim=4,
        input_dim=8,
        dead_code_threshold=0.3,
    )
    return BioCodecPretrainConfig(
        model=BioCodecSettings(n_filters=2, quantizer=quantizer),
        crops=CropSettings(24, n_channels=(2, 4), n_patches=(2, 3)),
        tokenizer=replace(_STAGE, lr=3e-3, betas=(0.5, 0.9)),
    )


@pytest.fixture(scope="session")
def brainrvq_config():
    """Stages of some two epochs of a BrainRVQ of one block."""
    quantizer = QuantizerConfig(
        n_codebooks=2,
        n_levels=3,
        n_codes=16,
        code_dim=8,
        rule="euclidean",
        dead_code_threshold=0.1,
        warmup_steps=4,
        kmeans_tokens=200,
    )
    return BrainRVQPretrainConfig(
        model=BrainRVQSettings(depth=1, mlp_ratio=1.0, quantizer=quantizer),
        crops=CropSettings(64, n_channels=(4, 8), n_patches=(2, 4)),
        tokenizer=replace(_STAGE, lr=1.4e-3, matrix_lr=2.8e-3),
        foundation=FoundationSettings(**vars(_STAGE) | {"n_steps": 6, "validate_every": 3}),
    )


@pytest.fixture(scope="session")
def run(recordings, config, tmp_path_factory):
    """The four commands, undisturbed."""
    return _run(recordings, config, tmp_path_factory.mktemp("run"), ("tokenizer", "foundation"))


@pytest.fixture(scope="session")
def biocodec_run(recordings, biocodec_config, tmp_path_factory):
    """The three commands of a codec, undisturbed."""
    return _run(recordings, biocodec_config, tmp_path_factory.mktemp("biocodec"), ("tokenizer",))


@pytest.fixture(scope="session")
def brainrvq_run(recordings, brainrvq_config, tmp_path_factory):
    """The four commands of BrainRVQ, undisturbed."""
    stages = ("tokenizer", "foundation")
    return _run(recordings, brainrvq_config, tmp_path_factory.mktemp("brainrvq"), stages)


def _run(recordings, config, root, stages):
    made = Run(recordings, root / "corpus", root / "tiny.yaml", root / "run", root / "exported")
    made.config_file.write_text(config_text(config))
    pretrain = ["--corpus", made.corpus, "--config", made.config_file, "-o", made.folder]
    folders = [recordings / "a", recordings / "b"]
    options = ["--system", config.system, "--window", "4", "--validation-subjects", *HELD_OUT]
    for command in (
        ["prepare", *folders, "-o", made.corpus, *options],
        *(["pretrain", stage, *pretrain] for stage in stages),
        ["export", made.folder, "-o", made.exported, "--licence", "bsd-3-clause"],
    ):
        assert main(list(map(str, command))) == 0
    return made


@pytest.fixture(scope="session")
def content_of():
    """Everything in a folder of a model; of weights the tensors, whose header has no order.

    The manifest follows from their bytes: that it is right is seen when they are loaded.
    """

    def read(folder):
        return {
            file.name: {name: tensor.tolist() for name, tensor in load_file(file).items()}
            if file.suffix == ".safetensors"
            else file.read_bytes()
            for file in folder.iterdir()
            if file.name != "manifest.json"
        }

    return read
