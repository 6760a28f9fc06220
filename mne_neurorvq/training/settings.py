# License: BSD-3-Clause
"""What the configurations of all systems have: crops, budget of a stage, hardware."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from ..weights.systems import Config
from .batches import CropSettings

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


class ModelSettings(Protocol):
    """Structure of a model as a configuration of pretraining gives it."""

    @property
    def modality(self) -> str:
        """Kind of signal."""

    def config(self) -> Config:
        """Build the configuration of the model."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Everything that a pretraining run depends on, but for the corpus.

    This is what the configurations of all systems have; each adds its own.

    Parameters
    ----------
    system : str
        Whose architecture.
    seed : int
        Seed of weights, crops and masks.
    model : ModelSettings
        Structure.
    crops : CropSettings
        Batches.
    losses : dataclass
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

    system: str
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    model: ModelSettings
    crops: CropSettings
    losses: Any
    tokenizer: StageSettings
    hardware: Hardware = field(default_factory=Hardware)

    def __post_init__(self) -> None:
        warmup = self.model.config().quantizer.warmup_steps
        if self.tokenizer.n_steps * self.tokenizer.accumulate <= warmup:
            raise ValueError(
                f"tokenizer.n_steps={self.tokenizer.n_steps} must be more than "
                f"model.quantizer.warmup_steps={warmup}, after which the codebooks start."
            )
