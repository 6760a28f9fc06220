# License: BSD-3-Clause
"""What a checkpoint is of, inferred from its tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from ..models import (
    NEURORVQ_ECG,
    NEURORVQ_EEG,
    NEURORVQ_EMG,
    NEURORVQ_PPG,
    NeuroRVQ,
    NeuroRVQConfig,
    NeuroRVQTokenizer,
)
from .errors import CheckpointError, NotACheckpointError
from .official import Shapes

Kind = Literal["tokenizer", "foundation"]

# The published vocabularies have different sizes: the number of rows names the modality.
_PRESETS = {
    len(preset.channels): preset
    for preset in (NEURORVQ_EEG, NEURORVQ_EMG, NEURORVQ_ECG, NEURORVQ_PPG)
}


@dataclass(frozen=True)
class Blueprint:
    """A model before its weights.

    Parameters
    ----------
    kind : "tokenizer" | "foundation"
        Which model.
    config : NeuroRVQConfig
        Structure.
    masked_token_heads : bool
        Whether a foundation model has the heads of its pretraining.
    n_outputs : int | None
        Size of the classification head of a foundation model.
    """

    kind: Kind
    config: NeuroRVQConfig
    masked_token_heads: bool = False
    n_outputs: int | None = None

    def build(self, device: str = "meta") -> NeuroRVQTokenizer | NeuroRVQ:
        """Make the model.

        Parameters
        ----------
        device : str
            Where; the default gives names and shapes without memory.

        Returns
        -------
        NeuroRVQTokenizer | NeuroRVQ
            The model, in evaluation mode.
        """
        with torch.device(device):
            if self.kind == "tokenizer":
                return NeuroRVQTokenizer(config=self.config).eval()
            return NeuroRVQ(
                self.n_outputs, config=self.config, masked_token_heads=self.masked_token_heads
            ).eval()


def infer_blueprint(shapes: Shapes, source: str, like: NeuroRVQConfig | None = None) -> Blueprint:
    """Infer what a checkpoint of the authors' holds.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Names and shapes of the authors' tensors.
    source : str
        Name of the file, for errors.
    like : NeuroRVQConfig | None
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
    if "encoder.pos_embed" in shapes and any(name.startswith("quantize_") for name in shapes):
        kind, prefix = "tokenizer", "encoder."
    elif "pos_embed" in shapes and any(name.startswith("patch_embed.conv1_") for name in shapes):
        kind, prefix = "foundation", ""
    else:
        raise NotACheckpointError(
            f"{source} holds no NeuroRVQ model: its {len(shapes)} tensors start with "
            f"{', '.join(sorted(shapes)[:5]) or 'nothing'}."
        )
    try:
        config = _infer_config(shapes, prefix, like, source)
        if kind == "tokenizer":
            return Blueprint("tokenizer", config)
        return Blueprint(
            "foundation",
            config,
            masked_token_heads="head_pre_1.weight" in shapes,
            n_outputs=_n_outputs(shapes, config, source),
        )
    except (KeyError, IndexError) as error:
        raise CheckpointError(
            f"{source} is only a part of a NeuroRVQ {kind}: {error} is missing, without which its "
            "configuration cannot be told."
        ) from error


def _infer_config(
    shapes: Shapes, prefix: str, like: NeuroRVQConfig | None, source: str
) -> NeuroRVQConfig:
    rows, width = shapes[f"{prefix}pos_embed"]
    preset = like if like is not None else _PRESETS.get(rows - 1)
    if preset is None or len(preset.channels) != rows - 1:
        known = ", ".join(f"{len(p.channels)} ({p.modality})" for p in _PRESETS.values())
        raise CheckpointError(
            f"{source} has a table of {rows - 1} channels; the published vocabularies have "
            f"{known}. Its channel names, rate and unit cannot be told."
        )
    n_scales = _count(shapes, rf"{prefix}patch_embed.conv1_", start=1)
    scales = range(1, n_scales + 1)
    settings: dict[str, Any] = {
        "patch_size": width,
        "max_patches": shapes[f"{prefix}time_embed"][0],
        "kernels_1": tuple(shapes[f"{prefix}patch_embed.conv1_{b}.weight"][-1] for b in scales),
        "kernels_2": tuple(shapes[f"{prefix}patch_embed.conv2_{b}.weight"][-1] for b in scales),
        "n_filters": shapes[f"{prefix}patch_embed.conv1_1.weight"][0],
        "n_heads": width // shapes[f"{prefix}blocks.0.attn.q_norm.weight"][0],
        "depth": _count(shapes, f"{prefix}blocks."),
        "mlp_ratio": _ratio(shapes[f"{prefix}blocks.0.mlp.fc1.weight"][0], width),
    }
    quantizer = replace(preset.quantizer, n_codebooks=n_scales)
    if prefix:
        n_codes, code_dim = shapes["quantize_1.layers.0.embedding.weight"]
        settings["decoder_depth"] = _count(shapes, "decoder.blocks.")
        quantizer = replace(
            quantizer,
            n_levels=_count(shapes, "quantize_1.layers."),
            n_codes=n_codes,
            code_dim=code_dim,
        )
    elif "head_pre_1.weight" in shapes:
        n_heads = _count(shapes, "head_pre_", start=1)
        if n_heads % n_scales:
            raise CheckpointError(
                f"{source} has {n_heads} pretraining heads, which {n_scales} scales cannot share."
            )
        quantizer = replace(
            quantizer, n_levels=n_heads // n_scales, n_codes=shapes["head_pre_1.weight"][0]
        )
    if not prefix:
        scaled = "blocks.0.gamma_1" in shapes
        settings["foundation_layer_scale"] = preset.foundation_layer_scale if scaled else 0.0
    try:
        return replace(preset, **settings, quantizer=quantizer)
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from error


def _count(names: Iterable[str], prefix: str, start: int = 0) -> int:
    """How many numbers in a row, from ``start``, follow a prefix."""
    numbers = {
        int(digits)
        for name in names
        if name.startswith(prefix) and (digits := name[len(prefix) :].partition(".")[0]).isdigit()
    }
    count = 0
    while start + count in numbers:
        count += 1
    if not count:
        raise KeyError(f"{prefix}{start}")
    return count


def _ratio(hidden: int, width: int) -> float:
    """Find the ratio that gives exactly ``hidden`` when the model multiplies and truncates."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)


def _n_outputs(shapes: Shapes, config: NeuroRVQConfig, source: str) -> int | None:
    if "head.weight" not in shapes:
        return None
    n_outputs, width = shapes["head.weight"]
    pooled = config.embed_dim * len(config.kernels_1)
    if width != pooled:
        raise CheckpointError(
            f"{source} has a classification head over {width} features, that is over flattened "
            f"patches of a fixed montage and length; only heads over the mean ({pooled}) are "
            "loaded. Delete 'head.*' and 'fc_norm.*' from the file to load the rest."
        )
    return n_outputs
