# License: BSD-3-Clause
"""The files that a command makes of files: their names, what they were made with, whole or not."""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import __version__
from .._writing import json_text, replacing, sha256_of

# What follows the name of a recording, and the name of a recording in BIDS.
_ENDINGS = {
    "tokenize": ("-tokens.h5", "tokens.h5"),
    "reconstruct": ("-reconstructed-epo.fif", "epo.fif"),
    "embedding": ("-embedding.npz", "embedding.npz"),
    "physiology": ("-physiology.npz", "physiology.npz"),
}
# Entities and the suffix, after which MNE's files may say what they hold.
_BIDS = re.compile(r"(sub-[^\W_]+(?:_[a-z]+-[^\W_]+)*)_[^\W_]+(?:-epo|-raw)?")
#: Arguments that an output depends on, and how they are given.
_SETTINGS = {
    "pretrained": "--pretrained",
    "channels": "--channels",
    "reference": "--reference",
    "window": "--window",
    "no_filter": "--no-filter",
    "output": "--output",
    "pool": "--pool",
}
# In the record: the output that it is of.
_DIGEST = "sha256"


def outputs(
    kind: str, files: Sequence[Path], out: Path, description: str
) -> list[tuple[Path, Path]]:
    """Name the output of each file, which a command or its ``--output`` makes; all differ.

    Of a recording that is named as BIDS wants it the output is so too, with the description.
    """
    sources: dict[Path, Path] = {}
    for source in files:
        ending, suffix = _ENDINGS[kind]
        name = f"{_stem(source)}{ending}"
        if (found := _BIDS.fullmatch(_stem(source))) is not None:
            entities = re.sub(r"_desc-[^\W_]+", "", found[1])
            name = f"{entities}_desc-{description}_{suffix}"
        target = out / name
        if target in sources:
            raise ValueError(
                f"{sources[target]} and {source} would both become {target}: rename one, or give "
                "them different -o folders."
            )
        sources[target] = source
    return [(source, target) for target, source in sources.items()]


def settings_of(args: argparse.Namespace, source: Path) -> dict[str, Any]:
    """Gather what an output depends on."""
    given = {name: getattr(args, name) for name in _SETTINGS if hasattr(args, name)}
    known_by: dict[str, Any] = {"file": source.name}
    if source.is_file():
        known_by["bytes"] = source.stat().st_size
    return {**given, "pretrained": str(args.pretrained), **known_by}


def differences(target: Path, settings: dict[str, Any]) -> str | None:
    """Say what an output that is there was made with instead."""
    try:
        # Earlier versions had no choice of these.
        then = {"reference": None, "output": "embedding"} | json.loads(
            _record(target).read_text("utf-8")
        )
        if then[_DIGEST] != sha256_of(target):  # of another output, as a killed process leaves it
            raise ValueError
        changed = [name for name in settings if then[name] != settings[name]]
    except (OSError, ValueError, KeyError, TypeError):
        return f"nothing beside it ({_record(target).name}) says what it was made with"
    if not changed:
        return None
    if {"file", "bytes"} & set(changed):
        return f"it was made of another file ({then['file']}, {then.get('bytes', '?')} bytes)"
    was = ", ".join(f"{_SETTINGS[name]} {then[name]}" for name in changed)
    return f"it was made with {was} (now {', '.join(str(settings[name]) for name in changed)})"


@contextmanager
def complete(target: Path, settings: dict[str, Any]) -> Iterator[Path]:
    """Give a path to write to, which becomes the output only when everything is written."""
    with replacing(target) as new:
        yield new
        # The first two are those of sidecar files in BIDS.
        known = {
            "GeneratedBy": {"Name": "mne_neurorvq", "Version": __version__},
            "Sources": [settings["file"]] if "file" in settings else [],
        }
        record = json_text({**known, **settings, _DIGEST: sha256_of(new)})
        new.with_name(_record(target).name).write_text(record, encoding="utf-8")


def _stem(path: Path) -> str:
    """Name without its format: ``sub-01_eeg`` for ``sub-01_eeg.fif.gz``."""
    return Path(path.name.removesuffix(".gz")).stem


def _record(target: Path) -> Path:
    return target.with_suffix(".json")


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table of scores."""
    with replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
