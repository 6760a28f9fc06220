# License: BSD-3-Clause
"""What a checkpoint is of, inferred from its tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from ..models import BioCodecConfig, NeuroRVQ, NeuroRVQConfig
from .errors import CheckpointError, NotACheckpointError
from .official import Shapes
from .systems import SYSTEMS, Config, Model, make_tokenizer

Kind = Literal["tokenizer", "foundation"]

# The published vocabularies have different sizes: the number of rows names the modality.
_BY_ROWS = {
    len(preset.channels): preset
    for preset in SYSTEMS["neurorvq"].presets.values()
    if isinstance(preset, NeuroRVQConfig)
}
_BY_STRIDES = {
    preset.strides: preset
    for preset in SYSTEMS["biocodec"].presets.values()
    if isinstance(preset, BioCodecConfig)
}


@dataclass(frozen=True)
class Blueprint:
    """A model before its weights.

    Parameters
    ----------
    kind : "tokenizer" | "foundation"
        Which model.
    config : NeuroRVQConfig | BioCodecConfig
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
        NeuroRVQTokenizer | NeuroRVQ | BioCodec
            The model, in evaluation mode.

        Raises
        ------
        CheckpointError
            If the system has no model of this kind.
        """
        with torch.device(device):
            if self.kind == "tokenizer":
                return make_tokenizer(self.config).eval()
            if not isinstance(self.config, NeuroRVQConfig):
                title = SYSTEMS[self.config.system].title
                raise CheckpointError(f"{title} has no foundation model, its codec is all.")
            return NeuroRVQ(
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
    like : NeuroRVQConfig | BioCodecConfig | None
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
    if any(name.startswith("quantizer.vq.layers.") for name in shapes):
        return Blueprint("tokenizer", _infer_biocodec(shapes, like, source))
    if "encoder.pos_embed" in shapes and any(name.startswith("quantize_") for name in shapes):
        kind, prefix = "tokenizer", "encoder."
    elif "pos_embed" in shapes and any(name.startswith("patch_embed.conv1_") for name in shapes):
        kind, prefix = "foundation", ""
    else:
        raise NotACheckpointError(
            f"{source} holds no NeuroRVQ model nor BioCodec: its {len(shapes)} tensors start with "
            f"{', '.join(sorted(shapes)[:5]) or 'nothing'}."
        )
    try:
        config = _infer_neurorvq(shapes, prefix, like, source)
        if kind == "tokenizer":
            return Blueprint("tokenizer", config)
        return Blueprint(
            "foundation",
            config,
            masked_token_heads="head_pre_1.weight" in shapes,
            n_outputs=_n_outputs(shapes, config, source),
        )
    except (KeyError, IndexError) as error:
        raise _only_a_part(source, f"NeuroRVQ {kind}", error) from error


def _only_a_part(source: str, of: str, error: LookupError) -> CheckpointError:
    return CheckpointError(
        f"{source} is only a part of a {of}: {error} is missing, without which its configuration "
        "cannot be told."
    )


def _infer_biocodec(shapes: Shapes, like: Config | None, source: str) -> BioCodecConfig:
    layer, kernel = "quantizer.vq.layers.", ".parametrizations.weight.original1"
    try:
        n_filters = shapes[f"encoder.model.0.conv.conv{kernel}"][0]
        code_dim, input_dim = shapes[f"{layer}0.project_in.weight"]
        n_codes = shapes[f"{layer}0._codebook.embed"][0]
        n_levels = _count(shapes, layer)
    except KeyError as error:
        raise _only_a_part(source, "BioCodec", error) from error
    # In the order of the layers; a kernel spans two strides.
    widths = {
        int(name.split(".")[2]): shape[-1] // 2
        for name, shape in shapes.items()
        if name.startswith("decoder.") and name.endswith(f".convtr.convtr{kernel}")
    }
    strides = tuple(widths[i] for i in sorted(widths))
    preset = like if isinstance(like, BioCodecConfig) else _BY_STRIDES.get(strides)
    if preset is None or preset.strides != strides:
        known = ", ".join(f"{p.strides} ({p.modality})" for p in _BY_STRIDES.values())
        raise CheckpointError(
            f"{source} is a BioCodec with the strides {strides}; the published ones are {known}. "
            "Its sampling rate cannot be told."
        )
    quantizer = replace(
        preset.quantizer,
        n_levels=n_levels,
        n_codes=n_codes,
        code_dim=code_dim,
        input_dim=input_dim,
    )
    return replace(preset, n_filters=n_filters, quantizer=quantizer)


def _infer_neurorvq(
    shapes: Shapes, prefix: str, like: Config | None, source: str
) -> NeuroRVQConfig:
    rows, width = shapes[f"{prefix}pos_embed"]
    preset = like if isinstance(like, NeuroRVQConfig) else _BY_ROWS.get(rows - 1)
    if preset is None or len(preset.channels) != rows - 1:
        known = ", ".join(f"{len(p.channels)} ({p.modality})" for p in _BY_ROWS.values())
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
