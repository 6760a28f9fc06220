# License: BSD-3-Clause
"""Configurations on disk and those of the named models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..models import (
    NEURORVQ_ECG,
    NEURORVQ_EEG,
    NEURORVQ_EMG,
    NEURORVQ_PPG,
    NeuroRVQConfig,
    QuantizerConfig,
)
from .errors import CheckpointError
from .registry import BUNDLED, Pretrained

CONFIG_FILE = "config.json"
# Written into files of ours, so that another system's files are told apart.
_SYSTEM = "neurorvq"

_PRESETS = {
    preset.modality: preset for preset in (NEURORVQ_EEG, NEURORVQ_EMG, NEURORVQ_ECG, NEURORVQ_PPG)
}
_TINY = replace(
    NEURORVQ_EEG,
    depth=1,
    decoder_depth=1,
    mlp_ratio=1.0,
    quantizer=QuantizerConfig(n_levels=2, n_codes=16, code_dim=4),
)


def config_of(entry: Pretrained) -> NeuroRVQConfig:
    """Structure of a named model.

    Parameters
    ----------
    entry : Pretrained
        Its registry entry.

    Returns
    -------
    NeuroRVQConfig
        The bundled configuration, or the published one of the modality.
    """
    if entry.name == "neurorvq-eeg-tiny-random":
        return _TINY
    if entry.bundled:
        return read_config(BUNDLED / entry.name.removesuffix("-random") / CONFIG_FILE)
    return _PRESETS[entry.modality]


def config_to_json(config: NeuroRVQConfig, indent: int | None = None) -> str:
    """Write a configuration as JSON.

    Parameters
    ----------
    config : NeuroRVQConfig
        Configuration.
    indent : int | None
        Indentation; None writes one line.

    Returns
    -------
    str
        What :func:`config_from_json` takes.
    """
    return json.dumps({"system": _SYSTEM, "config": config.to_dict()}, indent=indent)


def config_from_json(text: str, source: str) -> NeuroRVQConfig:
    """Read a configuration from JSON.

    Parameters
    ----------
    text : str
        JSON text.
    source : str
        Where it is from, for errors.

    Returns
    -------
    NeuroRVQConfig
        Configuration.

    Raises
    ------
    CheckpointError
        If it is no configuration of ours.
    """
    try:
        data: Any = json.loads(text)
        if not isinstance(data, dict) or data.get("system") != _SYSTEM:
            raise ValueError(f"it does not name the system {_SYSTEM!r}")
        return NeuroRVQConfig.from_dict(data["config"])
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{source} is no configuration of this package: {error}.") from error


def read_config(path: Path) -> NeuroRVQConfig:
    """Read a configuration file.

    Parameters
    ----------
    path : Path
        ``config.json`` of a model's folder.

    Returns
    -------
    NeuroRVQConfig
        Configuration.
    """
    return config_from_json(path.read_text(encoding="utf-8"), str(path))
