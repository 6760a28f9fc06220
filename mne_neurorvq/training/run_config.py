# License: BSD-3-Clause
"""The configuration of a pretraining run: one YAML file, every key checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from ..weights.systems import SYSTEMS
from .brainrvq_pretraining import BrainRVQPretrainConfig
from .neurorvq_pretraining import NeuroRVQPretrainConfig
from .settings import PretrainConfig

FoundationPretrainConfig = NeuroRVQPretrainConfig | BrainRVQPretrainConfig
# Of a file or a change that names none, as all were before there were several.
_DEFAULT = "neurorvq"
# What a run did before it had these keys. They are missing in a whole file that an earlier version
# wrote, whose run must go on as it was begun.
_BEFORE: dict[str, dict[str, Any]] = {
    "model": {"input_scale": "none"},
    "crops": {"restore": "noisy", "bad_channels": 0.0},
}


def read_config(
    path: str | Path | None = None,
    changes: Sequence[str] = (),
    *,
    system: str = _DEFAULT,
    modality: str = "eeg",
) -> PretrainConfig:
    """Read a configuration, check it and change single values.

    Parameters
    ----------
    path : str | Path | None
        YAML file; what it leaves out has its default, or, in the file that a run of an earlier
        version wrote, what that version did. None takes all defaults.
    changes : sequence of str
        Such as ``"tokenizer.n_steps=4000"``; values are YAML. For weights, a single number is that
        of each (``"foundation.targets=0"``).
    system : "neurorvq" | "biocodec" | "brainrvq"
        Whose configuration it is, unless the file or a change says so (``system=biocodec``).
    modality : "eeg" | "emg" | "ecg" | "ppg"
        Kind of signal, unless the file or a change says so (``model.modality=ecg``); defaults are
        those of the small model of that kind.

    Returns
    -------
    NeuroRVQPretrainConfig | BioCodecPretrainConfig | BrainRVQPretrainConfig
        Configuration.

    Raises
    ------
    ValueError
        If a key is unknown or a value impossible.

    Examples
    --------
    >>> from mne_neurorvq.training import read_config
    >>> read_config(changes=["model.depth=6", "hardware.devices=4"]).model.depth
    6
    >>> read_config(changes=["model.n_filters=32"], system="biocodec").model.n_filters
    32
    >>> read_config(changes=["model.dept=6"])
    Traceback (most recent call last):
    ...
    ValueError: model.dept: unknown key (there are: modality, depth, decoder_depth, mlp_ratio, ...
    """
    try:
        given = [_content(path), *map(_nested, changes)]
        named = [part["system"] for part in given if "system" in part]
        kind: Any = config_of_system(named[-1] if named else system)
        values = asdict(kind.small(_modality(given, modality, kind().system)))
        if values.keys() <= given[0].keys():
            given[0] = _as_begun(values, given[0])
        for part in given:
            values = _merged(values, part)
        return TypeAdapter[PretrainConfig](kind).validate_python(values)
    except yaml.YAMLError as error:
        raise ValueError(f"the configuration is not YAML: {error}") from error
    except ValidationError as error:
        problems = [_problem(detail) for detail in error.errors()]
        raise ValueError("\n  ".join(["the configuration cannot be used:", *problems])) from error


def _modality(given: Sequence[Mapping[str, Any]], otherwise: str, system: str) -> str:
    """Find the last kind of signal that is given and that the system has."""
    models = [part["model"] for part in given if isinstance(part.get("model"), dict)]
    named = [otherwise, *(model["modality"] for model in models if "modality" in model)]
    return named[-1] if named[-1] in list(SYSTEMS[system].presets) else "eeg"


def _content(path: str | Path | None) -> dict[str, Any]:
    content = {} if path is None else yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    if not isinstance(content, dict):
        raise ValueError(f"the configuration must have keys, got {content!r}.")
    return content


def _as_begun(values: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """Complete a whole configuration by what earlier versions did where it says nothing."""
    for section, before in _BEFORE.items():
        known = {key: value for key, value in before.items() if key in values[section]}
        if isinstance(whole[section], dict):
            whole = whole | {section: known | whole[section]}
    return whole


def config_of_system(system: Any) -> type[PretrainConfig]:
    """Look up the class of the configurations of a system."""
    if not isinstance(system, str) or system not in SYSTEMS:
        raise ValueError(f"system={system!r} is none of {', '.join(SYSTEMS)}.")
    found: type[PretrainConfig] = resolve_name(SYSTEMS[system].pretraining)
    return found


def _problem(detail: Mapping[str, Any]) -> str:
    place = ".".join(map(str, detail["loc"]))
    if detail["type"] == "value_error":  # a check of ours, which names what it found
        return f"{place}: {detail['ctx']['error']}" if place else str(detail["ctx"]["error"])
    return f"{place}={detail['input']!r}: {detail['msg']}"


def _merged(values: dict[str, Any], given: Any, place: str = "") -> dict[str, Any]:
    """Replace what is given, at any depth; what is not there cannot be."""
    if not isinstance(given, dict):
        raise ValueError(f"{place} must have keys, got {given!r}.")
    merged = dict(values)
    for key, value in given.items():
        here = f"{place}.{key}" if place else str(key)
        if key not in values:
            raise ValueError(f"{here}: unknown key (there are: {', '.join(values)}).")
        if isinstance(own := values[key], dict):
            every = _is_number(value) and all(map(_is_number, own.values()))
            value = dict.fromkeys(own, value) if every else _merged(own, value, here)
        merged[key] = value
    return merged


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _nested(change: str) -> dict[str, Any]:
    name, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"{change!r} must be KEY=VALUE, such as tokenizer.n_steps=4000.")
    value = yaml.safe_load(text)
    for key in reversed(name.strip().split(".")):
        value = {key: value}
    return value


def config_text(config: PretrainConfig) -> str:
    """Write a configuration as YAML.

    Parameters
    ----------
    config : PretrainConfig
        Configuration.

    Returns
    -------
    str
        What :func:`read_config` takes.

    Examples
    --------
    >>> from mne_neurorvq.training import NeuroRVQPretrainConfig, config_text
    >>> print(config_text(NeuroRVQPretrainConfig())[:16])
    system: neurorvq
    """
    return yaml.safe_dump(plain_config(config), sort_keys=False, default_flow_style=None)


def plain_config(config: PretrainConfig) -> dict[str, Any]:
    """Turn a configuration into nested dictionaries, lists and numbers."""
    plain: dict[str, Any] = TypeAdapter(type(config)).dump_python(config, mode="json")
    return plain
