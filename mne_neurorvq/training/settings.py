# License: BSD-3-Clause
"""What the configurations of all systems share: budgets, objectives, hardware.

What differs by system is in ``*_pretraining.py``, one module for each, which derive from these. The
table of systems (:mod:`mne_neurorvq.weights.systems`) names their configurations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from ..weights.systems import Config, Model, Tokenizer
from .corpus.dataset import CorpusDataset
from .crops import CropSettings
from .patch_targets import TARGETS

_Decay = Annotated[float, Field(ge=0, lt=1)]


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
        Learning rates of AdamW, and of Muon, which takes the matrices of linear and recurrent
        layers.
    betas : tuple of float
        Decays of AdamW's moving averages.
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
    betas: tuple[_Decay, _Decay] = (0.9, 0.99)
    weight_decay: NonNegativeFloat = 0.01
    lr_warmup_steps: NonNegativeInt = 200
    max_norm: PositiveFloat = 1.0
    validate_every: PositiveInt = 500
    save_every: PositiveInt = 250


@dataclass(frozen=True)
class FoundationSettings(StageSettings):
    """What a foundation model learns, with budget and optimisation.

    The objective is the weighted sum of two terms: ``masked_tokens``, the cross-entropy of the
    codes of hidden patches, and ``targets``, the squared errors of physiological numbers that one
    linear layer tells from the features of each patch, hidden or not.

    Parameters
    ----------
    n_steps, accumulate, lr, matrix_lr, betas, weight_decay, lr_warmup_steps, max_norm
        See :class:`StageSettings`.
    validate_every, save_every
        See :class:`StageSettings`.
    start : "tokenizer" | "random"
        Whether the encoder starts as the tokenizer's or untrained.
    masked_tokens : float
        Weight of the masked-token prediction.
    targets : dict of str to float
        Weight of the mean squared error of each target. EEG, standardised within a recording:
        ``power`` and ``laplacian_power``, the log power in six bands of the channel and of the
        surface Laplacian; ``slow`` and ``laplacian_slow``, means of both halves of the patch
        below 4 Hz; ``envelope`` and ``laplacian_envelope``, the log power in 8-13 and 13-30 Hz
        in each quarter of the patch; ``waveform``, the signal below 12 Hz in 16 bins of the
        patch. ECG, standardised over the corpus: ``beat``, the log interval from R peak to R
        peak, the place of the patch in it, and the highest and lowest value of the lead. EMG,
        likewise: ``muscle``, the log root mean square and the median frequency.
    head_lr : float
        Learning rate (of AdamW) of that linear layer.

    Examples
    --------
    >>> from mne_neurorvq.training import read_config
    >>> config = read_config(changes=["foundation.targets.slow=0", "foundation.targets.power=1"])
    >>> list(config.foundation.learned_targets.items())[:2]
    [('power', 1.0), ('laplacian_power', 0.375)]
    """

    start: Literal["tokenizer", "random"] = "tokenizer"
    masked_tokens: NonNegativeFloat = 1.0
    targets: Mapping[str, NonNegativeFloat] = field(
        default_factory=lambda: dict.fromkeys(TARGETS, 0.0)
    )
    head_lr: PositiveFloat = 3e-3

    def __post_init__(self) -> None:
        for name in self.targets:
            if name not in TARGETS:
                raise ValueError(f"targets.{name}: unknown (there are: {', '.join(TARGETS)}).")
        if not (self.masked_tokens or self.learned_targets):
            raise ValueError("neither masked_tokens nor any of the targets has a weight.")

    @property
    def learned_targets(self) -> dict[str, float]:
        """Targets with a weight, in the order that their columns have."""
        return {name: self.targets[name] for name in TARGETS if self.targets.get(name)}


#: What foundation models of EEG learn by default: the recipe of the small ones.
EEG_FOUNDATION: Mapping[str, Any] = MappingProxyType(
    {
        "start": "random",
        "masked_tokens": 0.0,
        "targets": {
            **dict.fromkeys(TARGETS, 0.0),
            **dict.fromkeys(("power", "laplacian_power"), 0.375),
            **dict.fromkeys(("slow", "laplacian_slow"), 0.125),
            **dict.fromkeys(("envelope", "laplacian_envelope"), 0.375),
            "waveform": 0.5,
        },
        "lr": 5e-4,
        "lr_warmup_steps": 100,
    }
)


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
        ``"32-true"``, or ``"bf16-mixed"``, faster on a GPU or a CPU with bfloat16 products.
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
class ModelSettings:
    """Structure of a model as a configuration of pretraining gives it."""

    modality: str

    def config(self) -> Config:
        """Build the configuration of the model.

        Returns
        -------
        NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
            Configuration.
        """
        raise NotImplementedError


class CardText(NamedTuple):
    """How the model card of a system puts what systems differ in."""

    windows: str  # what was reconstructed
    of_codebooks: tuple[str, str] = ("", "")  # how usage and entropy join the codebooks
    accuracy_of: str = ""  # how the accuracies do
    published: str = ""  # what the authors report


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Everything that a pretraining run depends on, but for the corpus.

    This is what the configurations of all systems have; each adds its own.

    Parameters
    ----------
    system : str
        Name of the system.
    seed : int
        Seed of weights, crops and masks.
    model : NeuroRVQSettings | BioCodecSettings | BrainRVQSettings
        Structure.
    crops : CropSettings
        Batches.
    losses : NeuroRVQLossWeights | BioCodecLossWeights | BrainRVQLossWeights
        Weights of the tokenizer's losses.
    tokenizer : StageSettings
        Budget of the tokenizer.
    hardware : Hardware
        What to train on.

    Examples
    --------
    >>> from mne_neurorvq.training import BioCodecPretrainConfig, PretrainConfig
    >>> isinstance(BioCodecPretrainConfig(), PretrainConfig)
    True
    """

    card: ClassVar[CardText]

    system: str
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    model: ModelSettings
    crops: CropSettings
    losses: Any
    tokenizer: StageSettings
    hardware: Hardware = field(default_factory=Hardware)

    def __post_init__(self) -> None:
        on_the_head = self.model.modality == "eeg" and self.model.config().channels
        if self.crops.laplacian_reference and not on_the_head:
            raise ValueError(
                f"crops.laplacian_reference={self.crops.laplacian_reference:g}, but channels of "
                "this model have no places on the head: make it 0."
            )
        warmup = self.model.config().quantizer.warmup_steps
        if self.tokenizer.n_steps * self.tokenizer.accumulate <= warmup:
            raise ValueError(
                f"tokenizer.n_steps={self.tokenizer.n_steps} must be more than "
                f"model.quantizer.warmup_steps={warmup}, after which the codebooks start."
            )
        foundation: FoundationSettings | None = getattr(self, "foundation", None)
        for name in foundation.learned_targets if foundation else ():
            if TARGETS[name].modality != self.model.modality:
                raise ValueError(
                    f"foundation.targets.{name} is of {TARGETS[name].modality}, but model.modality "
                    f"is {self.model.modality}: give it no weight."
                )

    @classmethod
    def small(cls, modality: str) -> Self:
        """Give the defaults for a kind of signal: those of the small model.

        Parameters
        ----------
        modality : str
            Kind of signal that the system has.

        Returns
        -------
        PretrainConfig
            Configuration.

        Examples
        --------
        >>> from mne_neurorvq.training import NeuroRVQPretrainConfig
        >>> NeuroRVQPretrainConfig.small("ecg").model.quantizer.n_codes
        256
        """
        make: Any = cls  # each system's has defaults
        default: Self = make()
        return replace(default, model=replace(default.model, modality=modality))

    @staticmethod
    def start(model: Model, generator: torch.Generator) -> None:
        """Start an untrained model where training gets on faster than from random weights.

        Parameters
        ----------
        model : NeuroRVQTokenizer | BioCodec | BrainRVQTokenizer | NeuroRVQ | BrainRVQ
            Changed in place.
        generator : torch.Generator
            Random number generator.
        """

    @staticmethod
    def finish(tokenizer: Tokenizer, corpus: CorpusDataset) -> dict[str, float]:
        """Correct a trained tokenizer.

        Parameters
        ----------
        tokenizer : NeuroRVQTokenizer | BioCodec | BrainRVQTokenizer
            Changed in place.
        corpus : CorpusDataset
            The windows it has learned from.

        Returns
        -------
        dict
            What was done, for the record of the run.
        """
        return {}
