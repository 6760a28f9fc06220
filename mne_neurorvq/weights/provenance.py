# License: BSD-3-Clause
"""The subjects whose recordings a model was trained on."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from os import PathLike
from pathlib import Path

from .download import fetch_folder
from .loading import KINDS, is_repository
from .manifest import read_file
from .registry import BUNDLED, registered

TRAINING_FILE = "training.json"
MEASURES_FILE = "measures.json"


def pretraining_subjects(pretrained: str | PathLike[str]) -> dict[str, tuple[str, ...]] | None:
    """Subjects whose recordings a model has seen, without labels, when it was pretrained.

    >>> from mne_neurorvq.weights.provenance import pretraining_subjects
    >>> pretraining_subjects("neurorvq-eeg-tiny-random")
    {}
    >>> pretraining_subjects("neurorvq-eeg") is None  # the authors do not say
    True
    """
    folder = Path(pretrained)
    if is_repository(pretrained):
        folder = fetch_folder(pretrained, None, KINDS[:1])
    if (entry := registered(pretrained)) is not None:
        if entry.seed is not None:
            return {}
        folder = BUNDLED / entry.name
    content = read_file(folder, TRAINING_FILE)
    return None if content is None else _subjects(content, folder / TRAINING_FILE)


def data_set_and_person(subject: str) -> tuple[str, str]:
    """Split the name of a subject of a corpus; people of no named data set are of "other"."""
    data_set, slash, person = subject.partition("/")
    return (data_set, person) if slash else ("other", subject)


def seen_people(
    known: Mapping[str, Collection[str]] | None, names: Mapping[str, tuple[str, str] | None]
) -> list[str] | None:
    """Say whom of some people a model has seen; None if it is not known.

    ``known`` is what `pretraining_subjects` gives, ``names`` the data set of each person and their
    name there, or None.

    >>> seen_people({"eegmmidb": ("S001",)}, {"1": ("eegmmidb", "S001"), "2": ("eegmat", "S001")})
    ['1']
    """
    if not known:
        return None if known is None else []
    if None in names.values():
        return None
    records = {(data_set, person) for data_set, people in known.items() for person in people}
    return [who for who, name in names.items() if name in records]


def _subjects(content: bytes, path: Path) -> dict[str, tuple[str, ...]] | None:
    try:
        subjects = json.loads(content)["subjects"]
        if subjects is None:
            return None
        if not all(
            isinstance(names, list) and all(isinstance(name, str) for name in names)
            for names in subjects.values()
        ):
            raise TypeError("a data set has something else than a list of names")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} must hold {{'subjects': {{data set: [names]}}}}, but: "
            f"{type(error).__name__}: {error}"
        ) from error
    return {data_set: tuple(names) for data_set, names in subjects.items()}
