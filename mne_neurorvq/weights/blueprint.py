# License: BSD-3-Clause
"""What a checkpoint is of, inferred from its tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from .errors import CheckpointError, NotACheckpointError
from .inference import (
    PRETRAINING,
    TOKENIZER,
    count_outputs,
    infer_biocodec,
    infer_brainrvq,
    infer_neurorvq,
)
from .official import Shapes
from .official_names import BRAINRVQ_BOOKS
from .systems import SYSTEMS, Config, Foundation, Model, make_tokenizer

Kind = Literal["tokenizer", "foundation"]


@dataclass(frozen=True)
class Blueprint:
    """A model before its weights.

    Parameters
    ----------
    kind : "tokenizer" | "foundation"
        Which model.
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        Structure.
    masked_token_heads : bool
        Whether a foundation model has the heads of its pretraining.
    n_outputs : int | None
        Size of the classification head of a foundation model.
    """

    kind: Kind
    config: Config
    masked_token_heads: bool = False
    n_outputs: int | None = None

    def build(self, device: str = "meta") -> Model:
        """Make the model.

        Parameters
        ----------
        device : str
            Where; the default gives names and shapes without memory.

        Returns
        -------
        NeuroRVQTokenizer | NeuroRVQ | BioCodec | BrainRVQTokenizer | BrainRVQ
            The model, in evaluation mode.

        Raises
        ------
        CheckpointError
            If the system has no model of this kind.
        """
        with torch.device(device):
            if self.kind == "tokenizer":
                return make_tokenizer(self.config).eval()
            system = SYSTEMS[self.config.system]
            if system.foundation is None:
                raise CheckpointError(f"{system.title} has no foundation model, its codec is all.")
            foundation: Callable[..., Foundation] = system.foundation
            return foundation(
                self.n_outputs, config=self.config, masked_token_heads=self.masked_token_heads
            ).eval()


def infer_blueprint(shapes: Shapes, source: str, like: Config | None = None) -> Blueprint:
    """Infer what a checkpoint of the authors' holds.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Names and shapes of the authors' tensors.
    source : str
        Name of the file, for errors.
    like : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig | None
        Configuration of the tokenizer that goes with a foundation model: it settles what the
        latter's tensors do not show. None takes the modality's published values.

    Returns
    -------
    Blueprint
        What to build.

    Raises
    ------
    NotACheckpointError
        If the tensors are of another kind of model.
    CheckpointError
        If the modality cannot be told or the sizes contradict each other.
    """
    kind, prefix, system = _recognise(shapes, source)
    title = f"{SYSTEMS[system].title} {kind}" if system != "biocodec" else "BioCodec"
    try:
        if system == "biocodec":
            return Blueprint(kind, infer_biocodec(shapes, like, source))
        infer = infer_neurorvq if system == "neurorvq" else infer_brainrvq
        config = infer(shapes, prefix, like, source)
        if kind == "tokenizer":
            return Blueprint(kind, config)
        return Blueprint(
            kind,
            config,
            masked_token_heads=prefix == PRETRAINING or "head_pre_1.weight" in shapes,
            n_outputs=count_outputs(shapes, config, source),
        )
    except (KeyError, IndexError) as error:
        raise CheckpointError(
            f"{source} is only a part of a {title}: {error} is missing, without which its "
            "configuration cannot be told."
        ) from error


def _recognise(shapes: Shapes, source: str) -> tuple[Kind, str, str]:
    """Tell kind, prefix of the encoder's tensors and system by what only they have."""

    def has(start: str) -> bool:
        return any(name.startswith(start) for name in shapes)

    if has("quantizer.vq.layers."):
        return "tokenizer", "", "biocodec"
    if f"{TOKENIZER}pos_embed" in shapes and has("quantize_"):
        dual = any(has(f"quantize_{book}.") for book in BRAINRVQ_BOOKS)
        return "tokenizer", TOKENIZER, "brainrvq" if dual else "neurorvq"
    if f"{PRETRAINING}pos_embed" in shapes:
        return "foundation", PRETRAINING, "brainrvq"
    if "pos_embed" in shapes and has("patch_embed.conv1"):
        single = "patch_embed.conv1.weight" in shapes
        return "foundation", "", "brainrvq" if single else "neurorvq"
    titles = ", ".join(system.title for system in SYSTEMS.values())
    raise NotACheckpointError(
        f"{source} holds no model of the systems {titles}: its {len(shapes)} tensors start with "
        f"{', '.join(sorted(shapes)[:5]) or 'nothing'}."
    )
