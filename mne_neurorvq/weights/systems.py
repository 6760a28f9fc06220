# License: BSD-3-Clause
"""The systems and what belongs to each: the one place that lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..models import (
    BIOCODEC_EEG,
    BIOCODEC_EMG,
    NEURORVQ_ECG,
    NEURORVQ_EEG,
    NEURORVQ_EMG,
    NEURORVQ_PPG,
    BioCodec,
    BioCodecConfig,
    NeuroRVQ,
    NeuroRVQConfig,
    NeuroRVQTokenizer,
)

Config = NeuroRVQConfig | BioCodecConfig
Tokenizer = NeuroRVQTokenizer | BioCodec
# Only NeuroRVQ has a foundation model.
Model = Tokenizer | NeuroRVQ


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
    """

    title: str
    config: type[Config]
    presets: Mapping[str, Config]


def _by_modality(*presets: Config) -> dict[str, Config]:
    return {preset.modality: preset for preset in presets}


SYSTEMS: Mapping[str, System] = {
    "neurorvq": System(
        "NeuroRVQ",
        NeuroRVQConfig,
        _by_modality(NEURORVQ_EEG, NEURORVQ_EMG, NEURORVQ_ECG, NEURORVQ_PPG),
    ),
    "biocodec": System("BioCodec", BioCodecConfig, _by_modality(BIOCODEC_EEG, BIOCODEC_EMG)),
}


def make_tokenizer(config: Config) -> Tokenizer:
    """Build the tokenizer of a configuration.

    Parameters
    ----------
    config : NeuroRVQConfig | BioCodecConfig
        Structure.

    Returns
    -------
    NeuroRVQTokenizer | BioCodec
        The tokenizer.
    """
    if isinstance(config, BioCodecConfig):
        return BioCodec(config=config)
    return NeuroRVQTokenizer(config=config)
