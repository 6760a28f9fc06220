# License: BSD-3-Clause
"""The configuration of a pretraining run: one YAML file, every key checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from ..models import (
    NEURORVQ_ECG,
    NEURORVQ_EEG,
    NEURORVQ_EMG,
    NEURORVQ_PPG,
    NeuroRVQConfig,
    QuantizerConfig,
)
from .batches import CropSettings

_PRESETS = {
    preset.modality: preset for preset in (NEURORVQ_EEG, NEURORVQ_EMG, NEURORVQ_ECG, NEURORVQ_PPG)
}
# What the preset of the modality settles: signal and vocabulary.
_MODEL_KEYS = ("depth", "decoder_depth", "mlp_ratio", "foundation_layer_scale")


@dataclass(frozen=True)
class ModelSettings:
    """Structure of the model; the rest follows from the modality.

    Parameters
    ----------
    modality : "eeg" | "emg" | "ecg" | "ppg"
        Kind of signal: gives channels, rate, unit, patch size and convolutions.
    depth, decoder_depth, mlp_ratio, foundation_layer_scale, quantizer
        See :class:`~mne_neurorvq.models.NeuroRVQConfig`. The defaults are those of the small
        model.

    Examples
    --------
    >>> from mne_neurorvq.training import ModelSettings
    >>> ModelSettings(depth=6).config().patch_size
    200
    """

    modality: Literal["eeg", "emg", "ecg", "ppg"] = "eeg"
    depth: PositiveInt = 3
    decoder_depth: PositiveInt = 1
    mlp_ratio: PositiveFloat = 2.0
    foundation_layer_scale: NonNegativeFloat = 1.0
    quantizer: QuantizerConfig = field(
        default_factory=lambda: QuantizerConfig(
            n_codes=1024,
            code_dim=32,
            rule="euclidean",
            dead_code_threshold=0.1,
            warmup_steps=400,
        )
    )

    def config(self) -> NeuroRVQConfig:
        """Build the configuration of the model.

        Returns
        -------
        NeuroRVQConfig
            Configuration.
        """
        changes = {key: getattr(self, key) for key in _MODEL_KEYS}
        return replace(_PRESETS[self.modality], quantizer=self.quantizer, **changes)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the tokenizer's losses.

    The published objective is 1 for all but ``waveform``, which is 0 there: without it the
    amplitude of the reconstruction is free.

    Parameters
    ----------
    code, amplitude, phase, signal, waveform : float
        Weight of the term of that name, see
        :func:`~mne_neurorvq.models.reconstruction_losses`.

    Examples
    --------
    >>> from mne_neurorvq.training import LossWeights
    >>> published = LossWeights(waveform=0.0)
    >>> published.signal
    1.0
    """

    code: NonNegativeFloat = 1.0
    amplitude: NonNegativeFloat = 1.0
    phase: NonNegativeFloat = 1.0
    signal: NonNegativeFloat = 1.0
    waveform: NonNegativeFloat = 2.0


@dataclass(frozen=True)
class StageSettings:
    """Budget and optimisation of one stage.

    Parameters
    ----------
    n_steps : int
        Optimiser steps.
    accumulate : int
        Batches of each process in a step.
    lr, matrix_lr : float
        Learning rates of AdamW and of Muon (which takes the matrices of linear layers).
    weight_decay : float
        Decay of those matrices.
    lr_warmup_steps : int
        Steps of linear warm-up, before the cosine.
    max_norm : float
        Gradient norm to clip at.
    validate_every, save_every : int
        Steps between validations, and between checkpoints.

    Examples
    --------
    >>> from mne_neurorvq.training import StageSettings
    >>> StageSettings(n_steps=4000).max_norm
    1.0
    """

    n_steps: PositiveInt = 8500
    accumulate: PositiveInt = 1
    lr: PositiveFloat = 7e-4
    matrix_lr: PositiveFloat = 1.4e-3
    weight_decay: NonNegativeFloat = 0.01
    lr_warmup_steps: NonNegativeInt = 200
    max_norm: PositiveFloat = 1.0
    validate_every: PositiveInt = 500
    save_every: PositiveInt = 250


@dataclass(frozen=True)
class Hardware:
    """What to train on; all of it is handed to :class:`lightning.Trainer`.

    Parameters
    ----------
    accelerator : str
        ``"auto"``, ``"cpu"`` or ``"gpu"``.
    devices : int
        Processes of a node.
    nodes : int
        Nodes.
    precision : str
        ``"32-true"`` or ``"bf16-mixed"``.
    workers : int
        Processes that read the corpus, for each training process.

    Examples
    --------
    >>> from mne_neurorvq.training import Hardware
    >>> Hardware(devices=8, nodes=2, precision="bf16-mixed").nodes
    2
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: PositiveInt = 1
    nodes: PositiveInt = 1
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    workers: NonNegativeInt = 0


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that a pretraining run depends on, but for the corpus.

    Parameters
    ----------
    seed : int
        Seed of weights, crops and masks.
    model : ModelSettings
        Structure.
    crops : CropSettings
        Batches.
    losses : LossWeights
        Objective of the tokenizer.
    mask_ratio : float
        Share of the patches that the first of the two passes of the foundation stage hides.
    tokenizer, foundation : StageSettings
        The stages.
    hardware : Hardware
        What to train on.

    Examples
    --------
    >>> from mne_neurorvq.training import PretrainConfig
    >>> PretrainConfig().foundation.lr
    0.003
    """

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    model: ModelSettings = field(default_factory=ModelSettings)
    crops: CropSettings = field(default_factory=CropSettings)
    losses: LossWeights = field(default_factory=LossWeights)
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    tokenizer: StageSettings = field(default_factory=StageSettings)
    # The masked-token heads start from nothing and have to grow: they learn four times as fast.
    foundation: StageSettings = field(
        default_factory=lambda: StageSettings(n_steps=10_000, lr=3e-3)
    )
    hardware: Hardware = field(default_factory=Hardware)

    def __post_init__(self) -> None:
        warmup = self.model.quantizer.warmup_steps
        if self.tokenizer.n_steps * self.tokenizer.accumulate <= warmup:
            raise ValueError(
                f"tokenizer.n_steps={self.tokenizer.n_steps} must be more than "
                f"model.quantizer.warmup_steps={warmup}, after which the codebooks start."
            )


_CHECKED = TypeAdapter(PretrainConfig)


def read_config(path: str | Path | None = None, changes: Sequence[str] = ()) -> PretrainConfig:
    """Read a configuration, check it and change single values.

    Parameters
    ----------
    path : str | Path | None
        YAML file; what it leaves out has its default. None takes all defaults.
    changes : sequence of str
        Such as ``"tokenizer.n_steps=4000"``; values are YAML.

    Returns
    -------
    PretrainConfig
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
    >>> read_config(changes=["model.dept=6"])
    Traceback (most recent call last):
    ...
    ValueError: model.dept: unknown key (there are: modality, depth, decoder_depth, mlp_ratio, ...
    """
    values = asdict(PretrainConfig())
    try:
        if path is not None:
            values = _merged(values, yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {})
        for change in changes:
            values = _merged(values, _nested(change))
        return _CHECKED.validate_python(values)
    except yaml.YAMLError as error:
        raise ValueError(f"the configuration is not YAML: {error}") from error
    except ValidationError as error:
        problems = [_told(detail) for detail in error.errors()]
        raise ValueError("\n  ".join(["the configuration cannot be used:", *problems])) from error


def _told(detail: Mapping[str, Any]) -> str:
    place = ".".join(map(str, detail["loc"]))
    if detail["type"] == "value_error":  # a check of ours, which names what it found
        return f"{place}: {detail['ctx']['error']}" if place else str(detail["ctx"]["error"])
    return f"{place}={detail['input']!r}: {detail['msg']}"


def _merged(values: dict[str, Any], given: Any, place: str = "") -> dict[str, Any]:
    """Replace what is given, at any depth; what is not there cannot be."""
    if not isinstance(given, dict):
        raise ValueError(f"{place or 'the configuration'} must have keys, got {given!r}.")
    merged = dict(values)
    for key, value in given.items():
        here = f"{place}.{key}" if place else str(key)
        if key not in values:
            raise ValueError(f"{here}: unknown key (there are: {', '.join(values)}).")
        nested = isinstance(values[key], dict)
        merged[key] = _merged(values[key], value, here) if nested else value
    return merged


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
    >>> from mne_neurorvq.training import PretrainConfig, config_text
    >>> print(config_text(PretrainConfig())[:7])
    seed: 0
    """
    return yaml.safe_dump(plain_config(config), sort_keys=False, default_flow_style=None)


def plain_config(config: PretrainConfig) -> dict[str, Any]:
    """Turn a configuration into nested dictionaries, lists and numbers.

    Parameters
    ----------
    config : PretrainConfig
        Configuration.

    Returns
    -------
    dict
        Plain data.
    """
    return _CHECKED.dump_python(config, mode="json")
