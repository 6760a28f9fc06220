# License: BSD-3-Clause
"""From a checkpoint file to a model, ours or the authors'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..models import BRAINRVQ_EEG, BrainRVQConfig
from ..models.config import ResidualRule
from .blueprint import Blueprint
from .configs import config_from_json
from .errors import CheckpointError
from .official import from_official_state_dict, official_layout
from .official_configs import infer_blueprint
from .systems import Config, Model
from .tensors import check_finite, check_tensors, shapes_of

# Keys of the metadata of our safetensors files.
METADATA_CONFIG = "mne_neurorvq.config"
METADATA_KIND = "mne_neurorvq.kind"

# Tensors and metadata of a file.
Content = tuple[Mapping[str, Tensor], Mapping[str, str]]

# How some of our tensors begin, and none of the authors'.
_OURS = ("encoder.trunk.", "encoder.scales.", "quantizer.codebook")


def make_model(
    content: Content, source: str, config: Config | None = None, like: Config | None = None
) -> Model:
    """Make a model of the tensors of a file, ours or the authors'.

    ``config`` is what the folder says that the file holds; ``like``, the configuration of the
    tokenizer beside a foundation model, stands in for what the latter's tensors do not show.
    """
    tensors, metadata = content
    if any(name.startswith(_OURS) for name in tensors):
        blueprint = _our_blueprint(tensors, metadata, config, like, source)
        model = blueprint.build_for(shapes_of(tensors), source)
        state = _our_state(tensors, model, source)
    else:
        blueprint = infer_blueprint(shapes_of(tensors), source, config or like)
        if config is not None and config.system != blueprint.config.system:
            raise CheckpointError(
                f"{source} holds a model of the system {blueprint.config.system!r}, but its "
                f"folder's config.json is of {config.system!r}."
            )
        blueprint = replace(blueprint, config=config or blueprint.config)
        model = blueprint.build_for(shapes_of(tensors), source)
        state = from_official_state_dict(tensors, model, source)
    check_finite(state, source)
    model.load_state_dict(state, assign=True)
    return model


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Fill a module with the tensors of a file, strictly."""
    state = _our_state(tensors, module, source)
    check_finite(state, source)
    module.load_state_dict(state, assign=True)


def _our_blueprint(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    config: Config | None,
    like: Config | None,
    source: str,
) -> Blueprint:
    if METADATA_CONFIG in metadata:
        written = config_from_json(metadata[METADATA_CONFIG], f"the metadata of {source}")
        if config is not None and config != written:
            raise CheckpointError(
                f"{source} was written with another configuration than its folder's config.json: "
                f"{_differences(written, config)}."
            )
        config = config or written
    if config is None:
        return _inferred_blueprint(tensors, like, source)
    if "quantizer.codebook" in tensors or metadata.get(METADATA_KIND) == "tokenizer":
        return Blueprint("tokenizer", config)
    head = tensors.get("final_layer.linear.bias")
    return Blueprint(
        "foundation",
        config,
        masked_token_heads=any(name.startswith("masked_tokens.") for name in tensors),
        n_outputs=None if head is None else len(head),
    )


def _inferred_blueprint(
    tensors: Mapping[str, Tensor], like: Config | None, source: str
) -> Blueprint:
    """Infer the blueprint of a plain state dict of ours, by way of the authors' names."""
    try:
        layout = official_layout(shapes_of(tensors))
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{source} is only a part of a model: {error} is missing.") from error
    shapes = {name: part.shape for name, part in layout.items()}
    blueprint = infer_blueprint(shapes, source, like)
    config = blueprint.config
    if isinstance(config, BrainRVQConfig):
        # Not made by the authors' code, as the inference takes for granted.
        place = like.class_place if isinstance(like, BrainRVQConfig) else BRAINRVQ_EEG.class_place
        config = replace(config, class_place=place)
    if blueprint.kind == "tokenizer":
        rule = _residual_rule(tensors, config.quantizer.rule)
        config = replace(config, quantizer=replace(config.quantizer, rule=rule))
    return replace(blueprint, config=config)


def _residual_rule(tensors: Mapping[str, Tensor], published: ResidualRule) -> ResidualRule:
    """Tell the rule from a quantizer's buffers: its sums, its gains, or the length of its codes."""
    if "quantizer.moving_sum" in tensors:
        return "cosine"
    if "quantizer.gain" in tensors and bool((tensors["quantizer.gain"] != 1).any()):
        return "gain"
    codebook = tensors["quantizer.codebook"]
    if not codebook.is_floating_point():  # refused when it is read
        return published
    lengths = codebook.float().norm(dim=-1)
    # Half precision leaves a unit row within a thousandth of 1.
    return published if bool(((lengths - 1).abs() < 5e-3).all()) else "euclidean"


def check_fit(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Refuse the tensors of a file that are not those of a module, but for their values."""
    state = module.state_dict()
    facts = {name: (tuple(value.shape), value.dtype) for name, value in state.items()}
    check_tensors(facts, tensors, source)


def _our_state(tensors: Mapping[str, Tensor], model: nn.Module, source: str) -> dict[str, Tensor]:
    check_fit(model, tensors, source)
    # Copies: the file stays free to be replaced while the model lives.
    return {
        name: torch.empty(value.shape, dtype=value.dtype).copy_(tensors[name])
        for name, value in model.state_dict().items()
    }


def _differences(written: Config, given: Config) -> str:
    if written.system != given.system:
        return f"the system is {written.system} in the file and {given.system} in config.json"
    ours, theirs = _flat(written), _flat(given)
    return ", ".join(
        f"{name} is {ours[name]} in the file and {theirs[name]} in config.json"
        for name in ours
        if ours[name] != theirs[name]
    )


def _flat(config: Config) -> dict[str, object]:
    settings = config.to_dict()
    quantizer = settings.pop("quantizer")
    return settings | {f"quantizer.{name}": value for name, value in quantizer.items()}
