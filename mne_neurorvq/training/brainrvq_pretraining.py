# License: BSD-3-Clause
"""Pretraining of BrainRVQ: its settings, whose defaults are those of the small model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal, cast

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ..models import BRAINRVQ_EEG, BrainRVQConfig, QuantizerConfig
from ..weights.systems import SYSTEMS
from .crops import CropSettings
from .masked_prediction import GuidedMasking
from .settings import (
    EEG_FOUNDATION,
    CardText,
    FoundationSettings,
    ModelSettings,
    PretrainConfig,
    StageSettings,
)

_BOTH = BRAINRVQ_EEG.domains
# What neither the preset of the modality nor the domains decide.
_MODEL_KEYS = (
    "depth",
    "decoder_depth",
    "mlp_ratio",
    "foundation_layer_scale",
    "foundation_qkv_bias",
    "foundation_drop_path",
    "phase",
    "token_heads",
    "class_place",
    "input_scale",
)


@dataclass(frozen=True)
class BrainRVQSettings(ModelSettings):
    """Structure of a BrainRVQ; the rest follows from the modality.

    Parameters
    ----------
    modality : "eeg"
        Kind of signal: gives channels, rate, unit and patch size.
    domains : "both" | "time" | "frequency"
        What is quantized and decoded; each domain has a codebook.
    depth, decoder_depth, mlp_ratio, foundation_layer_scale, foundation_qkv_bias
        See :class:`~mne_neurorvq.models.BrainRVQConfig`. The defaults are those of the small
        model.
    foundation_drop_path, phase, token_heads, class_place, input_scale, quantizer
        See there, too; the number of codebooks follows from the domains.

    Examples
    --------
    >>> from mne_neurorvq.training import BrainRVQSettings
    >>> BrainRVQSettings(domains="time").config().quantizer.n_codebooks
    1
    """

    modality: Literal["eeg"] = "eeg"
    domains: Literal["both", "time", "frequency"] = "both"
    depth: PositiveInt = 3
    decoder_depth: PositiveInt = 1
    mlp_ratio: PositiveFloat = 2.0
    foundation_layer_scale: NonNegativeFloat = 1.0
    # The tokenizer's encoder, from which that of the foundation model starts, has these biases.
    foundation_qkv_bias: bool = True
    foundation_drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    phase: Literal["circular", "angle"] = "circular"
    token_heads: Literal["hierarchical", "parallel"] = "hierarchical"
    class_place: Literal["own", "first channel"] = "own"
    input_scale: Literal["none", "segment", "channel"] = "channel"
    quantizer: QuantizerConfig = field(
        default_factory=lambda: QuantizerConfig(
            n_codebooks=2,
            n_levels=3,
            n_codes=2048,
            code_dim=32,
            rule="euclidean",
            # Of two thousand codes, a batch of few windows uses few: a tenth leaves half unused.
            dead_code_threshold=0.4,
            warmup_steps=400,
        )
    )

    def __post_init__(self) -> None:
        if self.quantizer.n_codebooks != len(_BOTH):
            raise ValueError(
                f"quantizer.n_codebooks={self.quantizer.n_codebooks} must be {len(_BOTH)}: "
                "domains says which of the two there are."
            )

    def config(self) -> BrainRVQConfig:
        preset = cast(BrainRVQConfig, SYSTEMS["brainrvq"].presets[self.modality])
        domains = _BOTH if self.domains == "both" else (self.domains,)
        return replace(
            preset,
            domains=domains,
            quantizer=replace(self.quantizer, n_codebooks=len(domains)),
            **{key: getattr(self, key) for key in _MODEL_KEYS},
        )


@dataclass(frozen=True)
class BrainRVQLossWeights:
    """Weights of the losses of BrainRVQ's tokenizer, by default the published ones.

    Parameters
    ----------
    code, waveform, amplitude, phase : float
        Weight of the commitment and of the terms of :func:`~mne_neurorvq.models.dual_losses`.

    Examples
    --------
    >>> from mne_neurorvq.training import BrainRVQLossWeights
    >>> BrainRVQLossWeights()
    BrainRVQLossWeights(code=1.0, waveform=1.0, amplitude=1.0, phase=1.0)
    """

    code: NonNegativeFloat = 1.0
    waveform: NonNegativeFloat = 1.0
    amplitude: NonNegativeFloat = 1.0
    phase: NonNegativeFloat = 1.0


@dataclass(frozen=True, kw_only=True)
class BrainRVQPretrainConfig(PretrainConfig):
    """Everything that a pretraining run of BrainRVQ depends on, but for the corpus.

    Parameters
    ----------
    system, seed, model, crops, losses, tokenizer, hardware
        See :class:`PretrainConfig`.
    foundation : FoundationSettings
        What the foundation model learns, and its budget.
    masking : GuidedMasking
        Which patches the foundation stage hides, and the weights of its levels.

    Examples
    --------
    >>> from mne_neurorvq.training import BrainRVQPretrainConfig
    >>> max(BrainRVQPretrainConfig().crops.n_patches)
    30
    """

    card: ClassVar = CardText(
        windows="Windows of up to 4 s, all channels, decoded from the codes and the mean and "
        "standard deviation of each second."
    )

    system: Literal["brainrvq"] = "brainrvq"
    model: BrainRVQSettings = field(default_factory=BrainRVQSettings)
    crops: CropSettings = field(
        default_factory=lambda: CropSettings(
            n_patches=(2, 3, 4, 4, 4, 6, 8, 12, 30),
            noise_spread=0.1,
            restore="clean",
            bad_channels=0.1,
            average_reference=0.5,
        )
    )
    losses: BrainRVQLossWeights = field(default_factory=BrainRVQLossWeights)
    tokenizer: StageSettings = field(
        default_factory=lambda: StageSettings(n_steps=9000, lr=1.4e-3, matrix_lr=2.8e-3)
    )
    masking: GuidedMasking = field(default_factory=GuidedMasking)
    foundation: FoundationSettings = field(
        default_factory=lambda: FoundationSettings(n_steps=3000, **EEG_FOUNDATION)
    )
