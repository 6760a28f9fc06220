# License: BSD-3-Clause
"""Configurations on disk and those of the named models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import CheckpointError
from .registry import BUNDLED, Pretrained
from .systems import SYSTEMS, Config

CONFIG_FILE = "config.json"
# A thousand times what a configuration takes.
_MAX_TEXT = 5_000_000


def config_of(entry: Pretrained) -> Config:
    """Structure of a named model."""
    if entry.name.endswith("-tiny-random"):
        return SYSTEMS[entry.system].tiny[entry.modality]
    if entry.bundled:
        return read_config(BUNDLED / entry.name.removesuffix("-random") / CONFIG_FILE)
    return SYSTEMS[entry.system].presets[entry.modality]


def config_to_json(config: Config, indent: int | None = None) -> str:
    """Write a configuration as JSON."""
    return json.dumps({"system": config.system, "config": config.to_dict()}, indent=indent)


def config_from_json(text: str | bytes, source: str) -> Config:
    """Read a configuration from JSON."""
    try:
        if len(text) > _MAX_TEXT:
            raise ValueError(f"{len(text)} bytes are too many")
        data: Any = json.loads(text)
        if not isinstance(data, dict) or data.get("system") not in SYSTEMS:
            raise ValueError(f"it does not name one of the systems {', '.join(SYSTEMS)}")
        return SYSTEMS[data["system"]].config.from_dict(data["config"])
    # What a value that cannot be leads to, before or while it is checked.
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
            RecursionError) as error:  # fmt: skip
        raise CheckpointError(
            f"{source} is not a configuration of this package: {error}."
        ) from error


def read_config(path: Path) -> Config:
    """Read a configuration file."""
    return config_from_json(path.read_bytes(), str(path))
