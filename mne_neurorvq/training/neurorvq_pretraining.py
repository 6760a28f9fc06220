# License: BSD-3-Clause
"""Pretraining of NeuroRVQ: its settings, whose defaults are those of the small model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ..models import NeuroRVQ, NeuroRVQConfig, NeuroRVQTokenizer, QuantizerConfig
from ..weights.systems import SYSTEMS, Model, Tokenizer
from .calibration import calibrate_amplitude
from .corpus.dataset import CorpusDataset
from .crops import CropSettings
from .masked_prediction import EvenMasking
from .optimisation import start_filter_bank
from .patch_targets import TARGETS
from .settings import (
    EEG_FOUNDATION,
    CardText,
    FoundationSettings,
    ModelSettings,
    PretrainConfig,
    StageSettings,
)

# What the preset of the modality does not decide: all but signal and vocabulary.
_MODEL_KEYS = (
    "depth",
    "decoder_depth",
    "mlp_ratio",
    "foundation_layer_scale",
    "quantizer",
    "input_scale",
)


_SMALL_QUANTIZER = QuantizerConfig(
    n_codes=1024, code_dim=32, rule="euclidean", dead_code_threshold=0.1, warmup_steps=400
)
# What the small models of other signals than EEG have of their own. Patches last 0.2 s, of
# PPG, whose channels are taken one by one, 0.8 s.
_SMALL: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "ecg": {
        "model": {
            "depth": 4,
            "decoder_depth": 2,
            "mlp_ratio": 4.0,
            "quantizer": replace(_SMALL_QUANTIZER, n_codes=256, code_dim=16),
        },
        "crops": {
            "tokens_per_batch": 1200,
            "n_channels": (1, 2, 3, 6, 8, 12, 12, 12),
            "n_patches": (10, 15, 20, 20, 25, 25, 25, 50),
        },
        "targets": {"beat": 1.0},
    },
    "emg": {
        "model": {
            "depth": 1,
            "mlp_ratio": 0.5,
            "quantizer": replace(_SMALL_QUANTIZER, n_levels=16, n_codes=256, code_dim=16),
        },
        "crops": {"n_channels": (1, 2, 4, 4, 8), "n_patches": (5, 10, 20, 30)},
        "targets": {"muscle": 1.0},
    },
    "ppg": {"crops": {"n_channels": (1,), "n_patches": (4, 6, 8, 12)}},
}


@dataclass(frozen=True)
class NeuroRVQSettings(ModelSettings):
    """Structure of a NeuroRVQ; the rest follows from the modality.

    Parameters
    ----------
    modality : "eeg" | "emg" | "ecg" | "ppg"
        Kind of signal: gives channels, rate, unit, patch size and convolutions.
    depth, decoder_depth, mlp_ratio, foundation_layer_scale, quantizer, input_scale
        See :class:`~mne_neurorvq.models.NeuroRVQConfig`. The defaults are those of the small
        model.

    Examples
    --------
    >>> from mne_neurorvq.training import NeuroRVQSettings
    >>> NeuroRVQSettings(depth=6).config().patch_size
    200
    """

    modality: Literal["eeg", "emg", "ecg", "ppg"] = "eeg"
    depth: PositiveInt = 3
    decoder_depth: PositiveInt = 1
    mlp_ratio: PositiveFloat = 2.0
    foundation_layer_scale: NonNegativeFloat = 1.0
    input_scale: Literal["none", "segment", "channel"] = "channel"
    quantizer: QuantizerConfig = _SMALL_QUANTIZER

    def config(self) -> NeuroRVQConfig:
        preset = cast(NeuroRVQConfig, SYSTEMS["neurorvq"].presets[self.modality])
        return replace(preset, **{key: getattr(self, key) for key in _MODEL_KEYS})


@dataclass(frozen=True)
class NeuroRVQLossWeights:
    """Weights of the losses of NeuroRVQ's tokenizer.

    The published objective is 1 for all but ``waveform``, which is 0 there: without it the
    amplitude of the reconstruction is free.

    Parameters
    ----------
    code, amplitude, phase, signal, waveform : float
        Weight of the term of that name, see
        :func:`~mne_neurorvq.models.reconstruction_losses`.

    Examples
    --------
    >>> from mne_neurorvq.training import NeuroRVQLossWeights
    >>> published = NeuroRVQLossWeights(waveform=0.0)
    >>> published.signal
    1.0
    """

    code: NonNegativeFloat = 1.0
    amplitude: NonNegativeFloat = 1.0
    phase: NonNegativeFloat = 1.0
    signal: NonNegativeFloat = 1.0
    waveform: NonNegativeFloat = 2.0


@dataclass(frozen=True, kw_only=True)
class NeuroRVQPretrainConfig(PretrainConfig):
    """Everything that a pretraining run of NeuroRVQ depends on, but for the corpus.

    Parameters
    ----------
    system, seed, model, crops, losses, tokenizer, hardware
        See :class:`PretrainConfig`.
    foundation : FoundationSettings
        What the foundation model learns, and its budget.
    mask_ratio : float
        Share of the patches that the first of the two passes of the foundation stage hides.

    Examples
    --------
    >>> from mne_neurorvq.training import NeuroRVQPretrainConfig
    >>> NeuroRVQPretrainConfig().foundation.lr
    0.0005
    """

    card: ClassVar = CardText(
        windows="Windows of up to 4 s, all channels.",
        of_codebooks=(" (least of 4 scales)", " (mean)"),
        accuracy_of=", mean of the scales",
    )

    system: Literal["neurorvq"] = "neurorvq"
    model: NeuroRVQSettings = field(default_factory=NeuroRVQSettings)
    crops: CropSettings = field(
        default_factory=lambda: CropSettings(
            noise_spread=0.1, restore="clean", bad_channels=0.1, average_reference=0.5
        )
    )
    losses: NeuroRVQLossWeights = field(default_factory=NeuroRVQLossWeights)
    tokenizer: StageSettings = field(default_factory=StageSettings)
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    foundation: FoundationSettings = field(
        default_factory=lambda: FoundationSettings(n_steps=4000, **EEG_FOUNDATION)
    )

    @classmethod
    def small(cls, modality: str) -> Self:
        if modality == "eeg":
            return super().small(modality)
        default, changed = cls(), _SMALL[modality]
        model = replace(default.model, **{"modality": modality, **changed.get("model", {})})
        crops = replace(default.crops, average_reference=0.0, **changed["crops"])
        # The masked-token heads start from nothing and have to grow: they learn four times as fast.
        targets = {**dict.fromkeys(TARGETS, 0.0), **changed.get("targets", {})}
        foundation = FoundationSettings(n_steps=10_000, lr=3e-3, targets=targets)
        return replace(default, model=model, crops=crops, foundation=foundation)

    @property
    def masking(self) -> EvenMasking:
        """How patches are chosen that are hidden."""
        return EvenMasking(self.mask_ratio)

    @staticmethod
    def start(model: Model, generator: torch.Generator) -> None:
        assert isinstance(model, NeuroRVQTokenizer | NeuroRVQ)
        if model.config.modality == "eeg":
            start_filter_bank(model.encoder, model.config.sfreq, generator)

    @staticmethod
    def finish(tokenizer: Tokenizer, corpus: CorpusDataset) -> dict[str, float]:
        assert isinstance(tokenizer, NeuroRVQTokenizer)
        return {"log_amplitude_raised_by": calibrate_amplitude(tokenizer, corpus)}
