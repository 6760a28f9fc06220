# License: BSD-3-Clause
"""The pretrained models that have a name: where they are, whose they are and how to cite them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .systems import Config

SystemName = Literal["neurorvq", "biocodec", "brainrvq"]
Kind = Literal["tokenizer", "foundation"]
Source = Literal["bundled", "seed", "official", "re-host"]

BUNDLED = Path(__file__).parent / "bundled"

_REPO = "ntinosbarmpas/NeuroRVQ"
_REVISION = "d944b87f44ae0ba2923b2f10d0518f23f6803b76"
_NON_COMMERCIAL = "CC BY-NC 4.0"
_CITATION = (
    "Barmpas et al., NeuroRVQ: Multi-Scale EEG Tokenization for Generative Large Brainwave "
    "Models (2025)"
)
_HUGGING_FACE = "huggingface.co"
_BIOCODEC_REPO = "klean2050/BioCodec-release"
_BIOCODEC_REVISION = "575bf6ea7ae14a34754b217d9b940597a16951bd"
_BIOCODEC_CITATION = "BioCodec (2025), arXiv 2510.09095"
_BRAINRVQ_REPO = "keqicmz/BrainRVQ"
_BRAINRVQ_CITATION = f"BrainRVQ, https://github.com/{_BRAINRVQ_REPO}"
_NO_LICENCE = "none given"


@dataclass(frozen=True)
class WeightsFile:
    """A file on the Hugging Face Hub or another host.

    Parameters
    ----------
    kind : "tokenizer" | "foundation"
        What it holds.
    repo : str
        Repository.
    path : str
        Path in the repository; empty where the file is announced but not published.
    sha256 : str | None
        Hash of its content at the registered revision, where known.
    host : str
        Where the repository is. Only files of the Hub are downloaded; others are fetched by hand.

    Examples
    --------
    >>> from mne_neurorvq.weights import list_pretrained
    >>> official = {entry.name: entry for entry in list_pretrained()}["neurorvq-ppg"]
    >>> official.files[0].path
    'pretrained_models/tokenizers/NeuroRVQ_PPG_tokenizer_v1.pt'
    """

    kind: Kind
    repo: str
    path: str
    sha256: str | None = None
    host: str = _HUGGING_FACE

    @property
    def on_hub(self) -> bool:
        """Whether the Hugging Face Hub has it, so that it is downloaded when needed."""
        return self.host == _HUGGING_FACE

    @property
    def published(self) -> bool:
        """Whether anyone can get it."""
        return bool(self.path)


@dataclass(frozen=True)
class Pretrained:
    """A named model.

    Parameters
    ----------
    name : str
        What ``load_pretrained`` and the estimators take.
    modality : "eeg" | "emg" | "ecg" | "ppg"
        Kind of signal.
    kinds : tuple of "tokenizer" | "foundation"
        What it holds.
    source : "bundled" | "seed" | "official" | "re-host"
        In the package; made from a seed; the authors' checkpoints; copies of them by others.
    licence : str
        Licence of the weights.
    citation : str
        What to cite.
    files : tuple of WeightsFile
        Files to download; none for models in the package.
    revision : str | None
        Commit of the repository that ``files`` was registered from; None for the newest.
    seed : int | None
        Seed of untrained weights.
    notes : str
        What else to know.
    system : "neurorvq" | "biocodec" | "brainrvq"
        Whose architecture it has.

    Examples
    --------
    >>> from mne_neurorvq.weights import list_pretrained
    >>> small = list_pretrained()[0]
    >>> small.name, small.kinds, small.bundled, small.licence
    ('neurorvq-eeg-small', ('tokenizer', 'foundation'), True, 'BSD-3-Clause')
    """

    name: str
    modality: str
    kinds: tuple[Kind, ...]
    source: Source
    licence: str
    citation: str
    files: tuple[WeightsFile, ...] = ()
    revision: str | None = None
    seed: int | None = None
    notes: str = ""
    system: SystemName = "neurorvq"

    @property
    def bundled(self) -> bool:
        """Whether the model works without a download."""
        return not self.files

    @property
    def commercial(self) -> bool:
        """Whether the licence allows commercial use."""
        return "NC" not in self.licence and self.licence != _NO_LICENCE

    @property
    def url(self) -> str:
        """Page of the model's repository; empty for models in the package."""
        return f"https://{self.files[0].host}/{self.files[0].repo}" if self.files else ""

    @property
    def config(self) -> Config:
        """Structure: rate, unit and sizes, and the channel vocabulary of what has one.

        For a download these are the published values; what is loaded is inferred from the file.
        """
        from .configs import config_of

        return config_of(self)


def list_pretrained() -> tuple[Pretrained, ...]:
    """Named models, those in the package first.

    Returns
    -------
    tuple of Pretrained
        The registry.

    Examples
    --------
    >>> from mne_neurorvq import list_pretrained
    >>> [entry.name for entry in list_pretrained() if entry.bundled]
    ['neurorvq-eeg-small', 'neurorvq-eeg-small-random', 'neurorvq-eeg-tiny-random',
     'biocodec-eeg-small', 'biocodec-eeg-small-random', 'biocodec-eeg-tiny-random',
     'brainrvq-eeg-small', 'brainrvq-eeg-small-random', 'brainrvq-eeg-tiny-random']
    """
    return _REGISTRY


def find_pretrained(name: str) -> Pretrained:
    """Look up a name."""
    for entry in _REGISTRY:
        if entry.name == name:
            return entry
    names = [entry.name for entry in _REGISTRY]
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    raise ValueError(
        f"{name!r} is neither a file or folder nor the name of a pretrained model. {hint}"
        f"Names: {', '.join(names)}."
    )


_SHA256 = {
    ("eeg", "tokenizer"): "d3e850e160b1a558c529466b1c0b8cebe8888a5e02824979886dd226187b2725",
    ("emg", "tokenizer"): "0d255bcc9f1c75ccc374cba06eab476f15bf5fb2a87115d6dc8d2dc0adadce49",
    ("ecg", "tokenizer"): "b1524ed02fd912c86d3ba13a50375312578bc1ef7afe39cddbcac2dfd97680ea",
    ("ppg", "tokenizer"): "8221b752e645d0819d02d81f036f90d434fe2bc34e708c78a263c480e1009e79",
    ("eeg", "foundation"): "d14ef4eae2d4594d5f1f709226a3bb5f362afd84b68050d5da0fa0586aea886a",
    ("ecg", "foundation"): "d32f00bdc80e7dff508da289d85fec243aeaf6541acd89d608bc321ba156e1a7",
}
_MODALITY_NOTES = {
    "eeg": "",
    "emg": "",
    "ecg": "Nominally 200 Hz; the authors' own example feeds it 500 Hz.",
    "ppg": "No foundation model was published.",
}


def _kinds(modality: str) -> tuple[Kind, ...]:
    return ("tokenizer",) if modality == "ppg" else ("tokenizer", "foundation")


def _official(modality: str) -> Pretrained:
    paths: dict[Kind, str] = {
        "tokenizer": f"tokenizers/NeuroRVQ_{modality.upper()}_tokenizer_v1.pt",
        "foundation": f"foundation_models/NeuroRVQ_{modality.upper()}_foundation_model_v1.pt",
    }
    return Pretrained(
        name=f"neurorvq-{modality}",
        modality=modality,
        kinds=_kinds(modality),
        source="official",
        licence=_NON_COMMERCIAL,
        citation=_CITATION,
        files=tuple(
            WeightsFile(
                kind, _REPO, f"pretrained_models/{paths[kind]}", _SHA256.get((modality, kind))
            )
            for kind in _kinds(modality)
        ),
        revision=_REVISION,
        notes=_MODALITY_NOTES[modality],
    )


def _rehost(modality: str) -> Pretrained:
    repos: dict[Kind, str] = {
        "tokenizer": f"braindecode/neurorvq-tokenizer-{modality}-pretrained",
        "foundation": f"braindecode/neurorvq-{modality}-pretrained",
    }
    return Pretrained(
        name=f"neurorvq-{modality}-braindecode",
        modality=modality,
        kinds=_kinds(modality),
        source="re-host",
        licence=_NON_COMMERCIAL,
        citation=_CITATION,
        files=tuple(
            WeightsFile(kind, repos[kind], "model.safetensors") for kind in _kinds(modality)
        ),
        notes=(
            "braindecode's conversion of the authors' checkpoints. It loads where its tensors "
            f"have the authors' names; otherwise use 'neurorvq-{modality}'."
        ),
    )


def _biocodec(modality: str) -> Pretrained:
    return Pretrained(
        name=f"biocodec-{modality}",
        modality=modality,
        kinds=("tokenizer",),
        source="official",
        licence="MIT",
        citation=_BIOCODEC_CITATION,
        files=(WeightsFile("tokenizer", _BIOCODEC_REPO, "biocodec_ckpt.pt", host="github.com"),),
        revision=_BIOCODEC_REVISION,
        notes=(
            "Not downloaded: give the path of the authors' file. Those of EEG and EMG have one "
            "layout; which it is is told from the strides."
        ),
        system="biocodec",
    )


_REGISTRY: tuple[Pretrained, ...] = (
    Pretrained(
        name="neurorvq-eeg-small",
        modality="eeg",
        kinds=("tokenizer", "foundation"),
        source="bundled",
        licence="BSD-3-Clause",
        citation=_CITATION,
        notes="Trained for this package; its card says on which recordings and subjects.",
    ),
    Pretrained(
        name="neurorvq-eeg-small-random",
        modality="eeg",
        kinds=("tokenizer", "foundation"),
        source="seed",
        licence="BSD-3-Clause",
        citation=_CITATION,
        seed=1,
        notes="Untrained twin of 'neurorvq-eeg-small': what the architecture does by itself.",
    ),
    Pretrained(
        name="neurorvq-eeg-tiny-random",
        modality="eeg",
        kinds=("tokenizer", "foundation"),
        source="seed",
        licence="BSD-3-Clause",
        citation=_CITATION,
        seed=2,
        notes="Untrained and as small as possible, for tests and documentation.",
    ),
    Pretrained(
        name="biocodec-eeg-small",
        modality="eeg",
        kinds=("tokenizer",),
        source="bundled",
        licence="BSD-3-Clause",
        citation=_BIOCODEC_CITATION,
        notes="Trained for this package; its card says on which recordings and subjects.",
        system="biocodec",
    ),
    Pretrained(
        name="biocodec-eeg-small-random",
        modality="eeg",
        kinds=("tokenizer",),
        source="seed",
        licence="BSD-3-Clause",
        citation=_BIOCODEC_CITATION,
        seed=5,
        notes="Untrained twin of 'biocodec-eeg-small': what the architecture does by itself.",
        system="biocodec",
    ),
    Pretrained(
        name="biocodec-eeg-tiny-random",
        modality="eeg",
        kinds=("tokenizer",),
        source="seed",
        licence="BSD-3-Clause",
        citation=_BIOCODEC_CITATION,
        seed=3,
        notes="Untrained and as small as possible, for tests and documentation.",
        system="biocodec",
    ),
    Pretrained(
        name="brainrvq-eeg-small",
        modality="eeg",
        kinds=("tokenizer", "foundation"),
        source="bundled",
        licence="BSD-3-Clause",
        citation=_BRAINRVQ_CITATION,
        notes="Trained for this package; its card says on which recordings and subjects.",
        system="brainrvq",
    ),
    Pretrained(
        name="brainrvq-eeg-small-random",
        modality="eeg",
        kinds=("tokenizer", "foundation"),
        source="seed",
        licence="BSD-3-Clause",
        citation=_BRAINRVQ_CITATION,
        seed=6,
        notes="Untrained twin of 'brainrvq-eeg-small': what the architecture does by itself.",
        system="brainrvq",
    ),
    Pretrained(
        name="brainrvq-eeg-tiny-random",
        modality="eeg",
        kinds=("tokenizer", "foundation"),
        source="seed",
        licence="BSD-3-Clause",
        citation=_BRAINRVQ_CITATION,
        seed=4,
        notes="Untrained and as small as possible, for tests and documentation.",
        system="brainrvq",
    ),
    *(_official(modality) for modality in ("eeg", "emg", "ecg", "ppg")),
    *(_rehost(modality) for modality in ("eeg", "emg", "ecg", "ppg")),
    *(_biocodec(modality) for modality in ("eeg", "emg")),
    Pretrained(
        name="brainrvq-eeg",
        modality="eeg",
        kinds=("tokenizer", "foundation"),
        source="official",
        licence=_NO_LICENCE,
        citation=_BRAINRVQ_CITATION,
        files=tuple(
            WeightsFile(kind, _BRAINRVQ_REPO, "", host="github.com") for kind in _kinds("eeg")
        ),
        notes="Announced by the authors, not published. A file of their code's format loads.",
        system="brainrvq",
    ),
)
