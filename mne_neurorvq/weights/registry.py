# License: BSD-3-Clause
"""The registered pretrained models: where they are, whose they are and how to cite them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .systems import Config

SystemName = Literal["neurorvq", "biocodec", "brainrvq"]
Kind = Literal["tokenizer", "foundation"]
Source = Literal["bundled", "seed", "official", "re-host"]

BUNDLED = Path(__file__).parent / "bundled"

_HUGGING_FACE = "huggingface.co"
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
        Where the repository is. Only files of the Hub are downloaded; get others by hand.

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
        """Whether it can be obtained at all."""
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
        Its architecture.

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
        """Structure: rate, unit and sizes, and, where there is one, the channel vocabulary.

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
     'brainrvq-eeg-small', 'brainrvq-eeg-small-random', 'brainrvq-eeg-tiny-random',
     'neurorvq-emg-small', 'neurorvq-emg-small-random', 'neurorvq-emg-tiny-random',
     'neurorvq-ecg-small', 'neurorvq-ecg-small-random', 'neurorvq-ecg-tiny-random',
     'neurorvq-ppg-tiny-random',
     'biocodec-emg-small', 'biocodec-emg-small-random', 'biocodec-emg-tiny-random']
    """
    return _REGISTRY


def registered(pretrained: str | PathLike[str]) -> Pretrained | None:
    """Return the entry of a named model; None for a path."""
    return next((entry for entry in _REGISTRY if entry.name == pretrained), None)


def find_pretrained(name: str) -> Pretrained:
    """Look up a name."""
    if (entry := registered(name)) is not None:
        return entry
    names = [entry.name for entry in _REGISTRY]
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    raise ValueError(
        f"{name!r} is neither a file or folder nor the name of a pretrained model. {hint}"
        f"Names: {', '.join(names)}."
    )


_OURS = "BSD-3-Clause"
_NON_COMMERCIAL = "CC BY-NC 4.0"
_BOTH: tuple[Kind, ...] = ("tokenizer", "foundation")
_CITATIONS: dict[SystemName, str] = {
    "neurorvq": (
        "Barmpas et al., NeuroRVQ: Multi-Scale EEG Tokenization for Generative Large Brainwave "
        "Models (2025)"
    ),
    "biocodec": "BioCodec (2025), arXiv 2510.09095",
    "brainrvq": "BrainRVQ, https://github.com/keqicmz/BrainRVQ",
}
_TRAINED = "Trained for this package; its card says on which recordings and subjects."
_TWIN = "Untrained twin of '{}': what the architecture does by itself."
_TINY = "Untrained and as small as possible, for tests and documentation."


def _in_package(
    system: SystemName,
    kinds: tuple[Kind, ...],
    modality: str = "eeg",
    *,
    tiny_seed: int,
    twin_seed: int | None = None,
) -> Iterator[Pretrained]:
    """Give the trained small model and its untrained twin, if there are these, and a tiny one."""
    small = f"{system}-{modality}-small"
    named: list[tuple[str, int | None, str]] = []
    if twin_seed is not None:
        named = [(small, None, _TRAINED), (f"{small}-random", twin_seed, _TWIN.format(small))]
    named.append((f"{system}-{modality}-tiny-random", tiny_seed, _TINY))
    for name, seed, notes in named:
        yield Pretrained(
            name=name,
            modality=modality,
            kinds=kinds,
            source="bundled" if seed is None else "seed",
            licence=_OURS,
            citation=_CITATIONS[system],
            seed=seed,
            notes=notes,
            system=system,
        )


_NEURORVQ_SHA256 = {
    ("eeg", "tokenizer"): "d3e850e160b1a558c529466b1c0b8cebe8888a5e02824979886dd226187b2725",
    ("emg", "tokenizer"): "0d255bcc9f1c75ccc374cba06eab476f15bf5fb2a87115d6dc8d2dc0adadce49",
    ("ecg", "tokenizer"): "b1524ed02fd912c86d3ba13a50375312578bc1ef7afe39cddbcac2dfd97680ea",
    ("ppg", "tokenizer"): "8221b752e645d0819d02d81f036f90d434fe2bc34e708c78a263c480e1009e79",
    ("eeg", "foundation"): "d14ef4eae2d4594d5f1f709226a3bb5f362afd84b68050d5da0fa0586aea886a",
    ("ecg", "foundation"): "d32f00bdc80e7dff508da289d85fec243aeaf6541acd89d608bc321ba156e1a7",
}
_NEURORVQ_NOTES = {
    "eeg": "",
    "emg": (
        "Fed with microvolts. The unit of the signals that it was trained on (emg2pose) is not "
        "stated."
    ),
    "ecg": (
        "Fed with 200 Hz, for which its convolutions are designed, their widths being those of the "
        "EEG model; so does braindecode. The authors' own example feeds it 500 Hz: for that, pass "
        "model_sfreq=500."
    ),
    "ppg": (
        "No foundation model was published. Fed with PhysioNet's normalised units (0 to 1), as in "
        "the authors' example."
    ),
}


def _neurorvq(modality: str, *, rehost: bool) -> Pretrained:
    """Describe the authors' models of a modality, or braindecode's copies of them."""
    kinds = ("tokenizer",) if modality == "ppg" else _BOTH
    name, files = f"neurorvq-{modality}", []
    for kind in kinds:
        if rehost:
            part = "-tokenizer" if kind == "tokenizer" else ""
            repo = f"braindecode/neurorvq{part}-{modality}-pretrained"
            files.append(WeightsFile(kind, repo, "model.safetensors"))
        else:
            folder = "tokenizers" if kind == "tokenizer" else "foundation_models"
            what = "tokenizer" if kind == "tokenizer" else "foundation_model"
            path = f"pretrained_models/{folder}/NeuroRVQ_{modality.upper()}_{what}_v1.pt"
            digest = _NEURORVQ_SHA256.get((modality, kind))
            files.append(WeightsFile(kind, "ntinosbarmpas/NeuroRVQ", path, digest))
    return Pretrained(
        name=f"{name}-braindecode" if rehost else name,
        modality=modality,
        kinds=kinds,
        source="re-host" if rehost else "official",
        licence=_NON_COMMERCIAL,
        citation=_CITATIONS["neurorvq"],
        files=tuple(files),
        revision=None if rehost else "d944b87f44ae0ba2923b2f10d0518f23f6803b76",
        notes=(
            "braindecode's conversion of the authors' checkpoints. It loads where its tensors "
            f"have the authors' names; otherwise use '{name}'."
            if rehost
            else _NEURORVQ_NOTES[modality]
        ),
    )


def _biocodec(modality: str) -> Pretrained:
    repo = "klean2050/BioCodec-release"
    return Pretrained(
        name=f"biocodec-{modality}",
        modality=modality,
        kinds=("tokenizer",),
        source="official",
        licence="MIT",
        citation=_CITATIONS["biocodec"],
        files=(WeightsFile("tokenizer", repo, "biocodec_ckpt.pt", host="github.com"),),
        revision="575bf6ea7ae14a34754b217d9b940597a16951bd",
        notes=(
            "Not downloaded: give the path of the authors' file. Those of EEG and EMG have one "
            "layout; the strides show which one it is."
        ),
        system="biocodec",
    )


_REGISTRY: tuple[Pretrained, ...] = (
    *_in_package("neurorvq", _BOTH, twin_seed=1, tiny_seed=2),
    *_in_package("biocodec", ("tokenizer",), twin_seed=5, tiny_seed=3),
    *_in_package("brainrvq", _BOTH, twin_seed=6, tiny_seed=4),
    *_in_package("neurorvq", _BOTH, "emg", twin_seed=12, tiny_seed=7),
    *_in_package("neurorvq", _BOTH, "ecg", twin_seed=11, tiny_seed=8),
    *_in_package("neurorvq", ("tokenizer",), "ppg", tiny_seed=9),
    *_in_package("biocodec", ("tokenizer",), "emg", twin_seed=13, tiny_seed=10),
    *(_neurorvq(modality, rehost=False) for modality in _NEURORVQ_NOTES),
    *(_neurorvq(modality, rehost=True) for modality in _NEURORVQ_NOTES),
    *(_biocodec(modality) for modality in ("eeg", "emg")),
    Pretrained(
        name="brainrvq-eeg",
        modality="eeg",
        kinds=_BOTH,
        source="official",
        licence=_NO_LICENCE,
        citation=_CITATIONS["brainrvq"],
        files=tuple(WeightsFile(kind, "keqicmz/BrainRVQ", "", host="github.com") for kind in _BOTH),
        notes="Announced by the authors, not published. A file of their code's format loads.",
        system="brainrvq",
    ),
)
