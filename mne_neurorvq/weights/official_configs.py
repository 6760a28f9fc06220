# License: BSD-3-Clause
"""Configurations inferred from the shapes of the authors' tensors, one function for each system."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..models import BRAINRVQ_EEG, BioCodecConfig, BrainRVQConfig, NeuroRVQConfig
from ..models.config import TransformerConfig
from .blueprint import Blueprint
from .errors import CheckpointError, NotACheckpointError
from .official_names import BRAINRVQ_BOOKS
from .registry import Kind
from .systems import SYSTEMS, Config
from .tensors import Shapes

# How the encoder's tensors begin in the authors' files.
TOKENIZER, PRETRAINING = "encoder.", "student."

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


def infer_blueprint(shapes: Shapes, source: str, like: Config | None = None) -> Blueprint:
    """Infer what a checkpoint of the authors' holds.

    ``like`` is the configuration of the tokenizer that goes with a foundation model, for what the
    latter's tensors do not show; without it the published values of the modality are taken.
    """
    kind, prefix, system = _recognise(shapes, source)
    try:
        config = _INFER[system](shapes, prefix, like, source)
        if kind == "tokenizer" or not isinstance(config, TransformerConfig):
            return Blueprint(kind, config)
        return Blueprint(
            kind,
            config,
            masked_token_heads=prefix == PRETRAINING or "head_pre_1.weight" in shapes,
            n_outputs=_count_outputs(shapes, config, source),
        )
    except (KeyError, IndexError) as error:
        raise CheckpointError(
            f"{source} is only a part of a {SYSTEMS[system].title} {kind}: {error} is missing, "
            "without which its configuration cannot be inferred."
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


def _biocodec(shapes: Shapes, prefix: str, like: Config | None, source: str) -> BioCodecConfig:
    layer, kernel = "quantizer.vq.layers.", ".parametrizations.weight.original1"
    n_filters = shapes[f"encoder.model.0.conv.conv{kernel}"][0]
    code_dim, input_dim = shapes[f"{layer}0.project_in.weight"]
    n_codes = shapes[f"{layer}0._codebook.embed"][0]
    n_levels = _count(shapes, layer)
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
            "Its sampling rate cannot be inferred."
        )
    quantizer = replace(
        preset.quantizer,
        n_levels=n_levels,
        n_codes=n_codes,
        code_dim=code_dim,
        input_dim=input_dim,
    )
    return replace(preset, n_filters=n_filters, quantizer=quantizer)


def _neurorvq(shapes: Shapes, prefix: str, like: Config | None, source: str) -> NeuroRVQConfig:
    rows, width = shapes[f"{prefix}pos_embed"]
    preset = like if isinstance(like, NeuroRVQConfig) else _BY_ROWS.get(rows - 1)
    if preset is None or len(preset.channels) != rows - 1:
        known = ", ".join(f"{len(p.channels)} ({p.modality})" for p in _BY_ROWS.values())
        raise CheckpointError(
            f"{source} has a table of {rows - 1} channels; the published vocabularies have "
            f"{known}. Its channel names, rate and unit cannot be inferred."
        )
    n_scales = _count(shapes, rf"{prefix}patch_embed.conv1_", start=1)
    scales = range(1, n_scales + 1)
    settings = _trunk_settings(shapes, prefix, width) | {
        "patch_size": width,
        "kernels_1": tuple(shapes[f"{prefix}patch_embed.conv1_{b}.weight"][-1] for b in scales),
        "kernels_2": tuple(shapes[f"{prefix}patch_embed.conv2_{b}.weight"][-1] for b in scales),
        "n_filters": shapes[f"{prefix}patch_embed.conv1_1.weight"][0],
        "n_heads": width // shapes[f"{prefix}blocks.0.attn.q_norm.weight"][0],
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
        settings["foundation_layer_scale"] = _layer_scale(shapes, prefix, preset)
    try:
        return replace(preset, **settings, quantizer=quantizer)
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from error


def _brainrvq(shapes: Shapes, prefix: str, like: Config | None, source: str) -> BrainRVQConfig:
    rows, width = shapes[f"{prefix}pos_embed"][-2:]
    preset = like if isinstance(like, BrainRVQConfig) else BRAINRVQ_EEG
    if len(preset.channels) != rows - 1:
        raise CheckpointError(
            f"{source} has a table of {rows - 1} channels; the published vocabulary of BrainRVQ "
            f"has {len(preset.channels)}. Its channel names cannot be inferred."
        )
    settings = _trunk_settings(shapes, prefix, width) | {
        "n_filters": shapes[f"{prefix}patch_embed.conv1.weight"][0],
        # That of the code which made the file.
        "class_place": "first channel",
    }
    if prefix == TOKENIZER:
        settings |= _brainrvq_decoders(shapes)
    else:
        settings |= {
            "n_heads": width // shapes[f"{prefix}blocks.0.attn.q_norm.weight"][0],
            "foundation_qkv_bias": f"{prefix}blocks.0.attn.q_bias" in shapes,
            "foundation_layer_scale": _layer_scale(shapes, prefix, preset),
        }
    if prefix == PRETRAINING:
        settings |= _brainrvq_heads(shapes, preset if preset is like else None, source)
    quantizer = replace(preset.quantizer, **settings.pop("quantizer", {}))
    try:
        config = replace(preset, **settings, quantizer=quantizer)
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from error
    if config.embed_dim != width:
        raise CheckpointError(
            f"{source} has embeddings of width {width}; patches of {config.patch_size} samples "
            f"and {config.n_filters} filters give {config.embed_dim}."
        )
    return config


def _brainrvq_decoders(shapes: Shapes) -> dict[str, Any]:
    """Infer what only a tokenizer shows."""
    books = [book for book in BRAINRVQ_BOOKS if f"decoder_{book}.pos_embed" in shapes]
    book = books[0] if books else "t"
    n_codes, code_dim = shapes[f"quantize_{book}.layers.0.embedding.weight"]
    name = {"t": "time", "f": "amp"}[book]
    settings: dict[str, Any] = {
        "patch_size": shapes[f"decode_task_layer_{name}.2.weight"][0],
        "decoder_depth": _count(shapes, f"decoder_{book}.blocks."),
        "domains": tuple(BRAINRVQ_BOOKS[book] for book in books),
        "quantizer": {
            "n_codebooks": len(books),
            "n_levels": _count(shapes, f"quantize_{book}.layers."),
            "n_codes": n_codes,
            "code_dim": code_dim,
        },
    }
    if "f" in books:
        n_numbers = shapes["decode_task_layer_angle.2.weight"][0]
        settings["phase"] = "angle" if n_numbers == settings["patch_size"] else "circular"
    return settings


def _brainrvq_heads(shapes: Shapes, like: BrainRVQConfig | None, source: str) -> dict[str, Any]:
    """Infer what only the pretraining heads show."""
    books = [book for book in BRAINRVQ_BOOKS if f"lm_heads_{book}.0.weight" in shapes]
    domains = tuple(BRAINRVQ_BOOKS[book] for book in books)
    if len(books) == 1:
        if like is None or len(like.domains) > 1:
            raise CheckpointError(
                f"{source} has pretraining heads of one domain; which one cannot be inferred "
                "without a config.json beside it."
            )
        domains = like.domains
    first = f"lm_heads_{books[0] if books else 't'}."
    embedded = any(name.startswith("token_embed_") for name in shapes)
    return {
        "domains": domains,
        "token_heads": "hierarchical" if embedded else "parallel",
        "quantizer": {
            "n_codebooks": len(domains),
            "n_levels": _count(shapes, first),
            "n_codes": shapes[f"{first}0.weight"][0],
        },
    }


def _trunk_settings(shapes: Shapes, prefix: str, width: int) -> dict[str, Any]:
    return {
        "max_patches": shapes[f"{prefix}time_embed"][-2],
        "depth": _count(shapes, f"{prefix}blocks."),
        "mlp_ratio": _ratio(shapes[f"{prefix}blocks.0.mlp.fc1.weight"][0], width),
    }


def _layer_scale(shapes: Shapes, prefix: str, preset: TransformerConfig) -> float:
    """Its start: the trained values do not show it."""
    return preset.foundation_layer_scale if f"{prefix}blocks.0.gamma_1" in shapes else 0.0


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


def _count_outputs(shapes: Shapes, config: TransformerConfig, source: str) -> int | None:
    """Count the outputs of the classification head of a foundation model, if it has one."""
    if "head.weight" not in shapes:
        return None
    n_outputs, width = shapes["head.weight"]
    pooled = config.feature_dim
    if width != pooled:
        raise CheckpointError(
            f"{source} has a classification head over {width} features, that is over flattened "
            f"patches of a fixed montage and length; only heads over the mean ({pooled}) are "
            "loaded. Delete 'head.*' and 'fc_norm.*' from the file to load the rest."
        )
    if "fc_norm.weight" not in shapes:
        raise CheckpointError(
            f"{source} has a classification head over the class token; only heads over the mean "
            "are loaded. Delete 'head.*' and 'norm.*' from the file to load the rest."
        )
    return n_outputs


_INFER: Mapping[str, Callable[[Shapes, str, Config | None, str], Config]] = {
    "neurorvq": _neurorvq,
    "biocodec": _biocodec,
    "brainrvq": _brainrvq,
}
