# License: BSD-3-Clause
"""Pretraining of BioCodec: its settings, whose defaults are those of the small model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, cast

import torch
from pydantic import NonNegativeFloat, PositiveInt

from ..models import BIOCODEC_EEG, BIOCODEC_LOSS_WEIGHTS, BioCodec, BioCodecConfig, QuantizerConfig
from ..weights.systems import SYSTEMS, Model
from .crops import CropSettings
from .optimisation import start_projections
from .settings import CardText, ModelSettings, PretrainConfig, StageSettings


@dataclass(frozen=True)
class BioCodecSettings(ModelSettings):
    """Structure of a BioCodec; the rest follows from the modality.

    Parameters
    ----------
    modality : "eeg" | "emg"
        Kind of signal: gives rate, strides and the spectra of the loss.
    n_filters, quantizer
        See :class:`~mne_neurorvq.models.BioCodecConfig`. The defaults are those of the small
        model.

    Examples
    --------
    >>> from mne_neurorvq.training import BioCodecSettings
    >>> BioCodecSettings(n_filters=32).config().patch_size
    12
    """

    modality: Literal["eeg", "emg"] = "eeg"
    n_filters: PositiveInt = 16
    # Of a short run: after 150 steps the normalised entropy is 0.9, with a threshold of 0.1 it is
    # 0.6, for the same error.
    quantizer: QuantizerConfig = field(
        default_factory=lambda: replace(BIOCODEC_EEG.quantizer, dead_code_threshold=0.5)
    )

    def __post_init__(self) -> None:
        if self.quantizer.warmup_steps:
            raise ValueError(
                f"quantizer.warmup_steps={self.quantizer.warmup_steps} must be 0: without codes "
                "the maps to them and back would learn nothing."
            )

    def config(self) -> BioCodecConfig:
        preset = cast(BioCodecConfig, SYSTEMS["biocodec"].presets[self.modality])
        return replace(preset, n_filters=self.n_filters, quantizer=self.quantizer)


@dataclass(frozen=True)
class BioCodecLossWeights:
    """Weights of the losses of BioCodec, by default the published ones.

    Parameters
    ----------
    code, waveform, spectral : float
        Weight of the commitment and of the terms of
        :func:`~mne_neurorvq.models.biocodec_losses`.

    Examples
    --------
    >>> from mne_neurorvq.training import BioCodecLossWeights
    >>> BioCodecLossWeights()
    BioCodecLossWeights(code=0.25, waveform=0.2, spectral=1.0)
    """

    code: NonNegativeFloat = BIOCODEC_LOSS_WEIGHTS["code"]
    waveform: NonNegativeFloat = BIOCODEC_LOSS_WEIGHTS["waveform"]
    spectral: NonNegativeFloat = BIOCODEC_LOSS_WEIGHTS["spectral"]


@dataclass(frozen=True, kw_only=True)
class BioCodecPretrainConfig(PretrainConfig):
    """Everything that a pretraining run of BioCodec depends on, but for the corpus.

    Parameters
    ----------
    system, seed, model, crops, losses, tokenizer, hardware
        See :class:`PretrainConfig`.

    Notes
    -----
    Patches of ``crops`` are those of the corpus, one second each: by default, four channels of each
    window, 5 s long, and noise.

    Examples
    --------
    >>> from mne_neurorvq.training import BioCodecPretrainConfig
    >>> BioCodecPretrainConfig().crops.n_patches
    (5,)
    """

    card: ClassVar = CardText(
        windows="Windows of up to 5 s, at most 8 channels of each, scaled by median and "
        "interquartile range before the codec and scaled back after it.",
        published="The paper reports `r` 0.89, `si_sdr` 9.81 dB, all codes used and a normalised "
        "entropy above 0.92, on clinical EEG of its own: other signals, so this is no comparison "
        "of models.\n",
    )

    system: Literal["biocodec"] = "biocodec"
    model: BioCodecSettings = field(default_factory=BioCodecSettings)
    crops: CropSettings = field(
        default_factory=lambda: CropSettings(80, n_channels=(4,), n_patches=(5,), noise_spread=0.3)
    )
    losses: BioCodecLossWeights = field(default_factory=BioCodecLossWeights)
    tokenizer: StageSettings = field(
        default_factory=lambda: StageSettings(
            n_steps=7000, lr=3e-3, matrix_lr=6e-3, betas=(0.5, 0.9), lr_warmup_steps=300
        )
    )

    @staticmethod
    def start(model: Model, generator: torch.Generator) -> None:
        assert isinstance(model, BioCodec)
        start_projections(model.quantizer, generator)
