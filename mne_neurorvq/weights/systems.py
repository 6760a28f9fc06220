# License: BSD-3-Clause
"""The systems and what belongs to each: the one place that lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

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
)

Config = NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
Tokenizer = NeuroRVQTokenizer | BioCodec | BrainRVQTokenizer
Foundation = NeuroRVQ | BrainRVQ
Model = Tokenizer | Foundation


class System(NamedTuple):
    """What a system consists of.

    Parameters
    ----------
    title : str
        Its name in messages.
    config : type
        Class of its configurations.
    presets : mapping of str to Config
        The published configuration of each modality.
    tokenizer : type
        Class of its tokenizers.
    foundation : type | None
        Class of its foundation models, if it has any.
    """

    title: str
    config: type[Config]
    presets: Mapping[str, Config]
    tokenizer: type[Tokenizer]
    foundation: type[Foundation] | None


def _by_modality(*presets: Config) -> dict[str, Config]:
    return {preset.modality: preset for preset in presets}


SYSTEMS: Mapping[str, System] = {
    "neurorvq": System(
        "NeuroRVQ",
        NeuroRVQConfig,
        _by_modality(NEURORVQ_EEG, NEURORVQ_EMG, NEURORVQ_ECG, NEURORVQ_PPG),
        NeuroRVQTokenizer,
        NeuroRVQ,
    ),
    "biocodec": System(
        "BioCodec", BioCodecConfig, _by_modality(BIOCODEC_EEG, BIOCODEC_EMG), BioCodec, None
    ),
    "brainrvq": System(
        "BrainRVQ", BrainRVQConfig, _by_modality(BRAINRVQ_EEG), BrainRVQTokenizer, BrainRVQ
    ),
}


def make_tokenizer(config: Config) -> Tokenizer:
    """Build the tokenizer of a configuration.

    Parameters
    ----------
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        Structure.

    Returns
    -------
    NeuroRVQTokenizer | BioCodec | BrainRVQTokenizer
        The tokenizer.
    """
    kind: Callable[..., Tokenizer] = SYSTEMS[config.system].tokenizer
    return kind(config=config)
