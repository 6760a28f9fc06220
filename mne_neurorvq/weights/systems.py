# License: BSD-3-Clause
"""The table of systems: what a system consists of, from its configuration to its estimators.

To add a system, write its models (one file in ``models``), its estimators and the configuration
of its pretraining, and enter them here and its checkpoints in ``registry``. To read the authors'
files, name their tensors in ``official_names`` and infer the configuration in
``official_configs``. Whatever else differs is a method of its configuration or its models.

``doc/contributing.rst`` lists all places that a new system or modality needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..models import (
    BIOCODEC_EEG,
    BIOCODEC_EMG,
    BRAINRVQ_EEG,
    NEURORVQ_ECG,
    NEURORVQ_EEG,
    NEURORVQ_EMG,
    NEURORVQ_PPG,
    BioCodec,
    BioCodecConfig,
    BrainRVQ,
    BrainRVQConfig,
    BrainRVQTokenizer,
    NeuroRVQ,
    NeuroRVQConfig,
    NeuroRVQTokenizer,
    QuantizerConfig,
)
from .registry import Kind

Config = NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
Tokenizer = NeuroRVQTokenizer | BioCodec | BrainRVQTokenizer
Foundation = NeuroRVQ | BrainRVQ
Model = Tokenizer | Foundation


@dataclass(frozen=True)
class System:
    """A system.

    ``gives`` says which model gives which output of a transformer. Classes of higher layers are
    given as ``"module:name"``, for :func:`pkgutil.resolve_name`: this layer does not import them.
    """

    title: str
    config: type[Config]
    presets: Mapping[str, Config]
    tiny: Mapping[str, Config]
    init_std: float | None
    tokenizer: type[Tokenizer]
    foundation: type[Foundation] | None
    gives: Mapping[str, Kind]
    transformer: str
    classifier: str
    regressor: str | None
    pretraining: str
    preprocessing: Mapping[str, str]

    @property
    def stages(self) -> tuple[Kind, ...]:
        """Its kinds of model, in the order in which they are pretrained."""
        return ("tokenizer",) if self.foundation is None else ("tokenizer", "foundation")


def _by_modality(*presets: Config, **small: Any) -> dict[str, Config]:
    """Map modalities to presets, with some settings of each replaced."""
    return {preset.modality: replace(preset, **small) for preset in presets}


def _filters(system: str, *modalities: str) -> dict[str, str]:
    return {
        modality: f"mne_neurorvq.signals:{system}_{modality.upper()}_PREPROCESSING"
        for modality in modalities
    }


_NEURORVQ = (NEURORVQ_EEG, NEURORVQ_EMG, NEURORVQ_ECG, NEURORVQ_PPG)
_BIOCODEC = (BIOCODEC_EEG, BIOCODEC_EMG)


_BY_TWO: Mapping[str, Kind] = {
    "embedding": "foundation",
    "tokens": "tokenizer",
    "histogram": "tokenizer",
}
_WITH_PHYSIOLOGY: Mapping[str, Kind] = {**_BY_TWO, "physiology": "foundation"}
SYSTEMS: Mapping[str, System] = {
    "neurorvq": System(
        title="NeuroRVQ",
        config=NeuroRVQConfig,
        presets=_by_modality(*_NEURORVQ),
        tiny=_by_modality(
            *_NEURORVQ,
            depth=1,
            decoder_depth=1,
            mlp_ratio=1.0,
            quantizer=QuantizerConfig(n_levels=2, n_codes=16, code_dim=4),
        ),
        init_std=0.02,
        tokenizer=NeuroRVQTokenizer,
        foundation=NeuroRVQ,
        gives=_WITH_PHYSIOLOGY,
        transformer="mne_neurorvq:NeuroRVQTransformer",
        classifier="mne_neurorvq:NeuroRVQClassifier",
        regressor="mne_neurorvq:NeuroRVQRegressor",
        pretraining="mne_neurorvq.training:NeuroRVQPretrainConfig",
        preprocessing=_filters("NEURORVQ", "eeg", "emg", "ecg", "ppg"),
    ),
    "biocodec": System(
        title="BioCodec",
        config=BioCodecConfig,
        presets=_by_modality(*_BIOCODEC),
        tiny=_by_modality(
            *_BIOCODEC,
            n_filters=2,
            quantizer=replace(
                BIOCODEC_EEG.quantizer, n_levels=3, n_codes=16, code_dim=8, input_dim=16
            ),
        ),
        init_std=None,
        tokenizer=BioCodec,
        foundation=None,
        gives=dict.fromkeys(_BY_TWO, "tokenizer"),
        transformer="mne_neurorvq:BioCodecTransformer",
        classifier="mne_neurorvq:BioCodecClassifier",
        regressor=None,
        pretraining="mne_neurorvq.training:BioCodecPretrainConfig",
        preprocessing=_filters("BIOCODEC", "eeg", "emg"),
    ),
    "brainrvq": System(
        title="BrainRVQ",
        config=BrainRVQConfig,
        presets=_by_modality(BRAINRVQ_EEG),
        tiny=_by_modality(
            BRAINRVQ_EEG,
            depth=1,
            decoder_depth=1,
            mlp_ratio=1.0,
            quantizer=replace(BRAINRVQ_EEG.quantizer, n_codes=16, code_dim=4),
        ),
        init_std=0.02,
        tokenizer=BrainRVQTokenizer,
        foundation=BrainRVQ,
        gives=_WITH_PHYSIOLOGY,
        transformer="mne_neurorvq:BrainRVQTransformer",
        classifier="mne_neurorvq:BrainRVQClassifier",
        regressor=None,
        pretraining="mne_neurorvq.training:BrainRVQPretrainConfig",
        preprocessing=_filters("BRAINRVQ", "eeg"),
    ),
}


def make_tokenizer(config: Config) -> Tokenizer:
    """Build the tokenizer of a configuration."""
    kind: Callable[..., Tokenizer] = SYSTEMS[config.system].tokenizer
    return kind(config=config)
