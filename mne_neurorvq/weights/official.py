# License: BSD-3-Clause
"""State dicts from the authors' checkpoints, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..models import BrainRVQ, BrainRVQTokenizer
from .official_names import Naming, naming_of
from .systems import SYSTEMS, Model, Tokenizer
from .tensors import Shapes, check_finite, check_tensors, shapes_of

_STARTED = "quantizer.started"
# Structure that the authors' code fixes and their tensors do not show, or not unmistakably.
_FIXED: Mapping[str, Mapping[str, object]] = {
    "neurorvq": {"n_groups": 4, "input_scale": "none"},
    "biocodec": {"dilations": (1, 2), "normalize": False},
    "brainrvq": {"n_groups": 4, "input_scale": "none"},
}
_BRAINRVQ_TOKENIZER_FIXED = {"domains": ("time", "frequency"), "phase": "angle"}
_BRAINRVQ_HEADS_FIXED = {
    "domains": ("time", "frequency"),
    "token_heads": "hierarchical",
    "class_place": "first channel",
}


class Part(NamedTuple):
    """Where a tensor of the authors lies in one of ours."""

    ours: str
    at: tuple[int, ...]
    shape: tuple[int, ...]
    read: bool = True


def official_layout(ours: Shapes) -> dict[str, Part]:
    """Find the authors' tensors, and where each lies in ours, from the shapes of our tensors."""
    naming = naming_of(ours)
    layout: dict[str, Part] = {}
    for name, shape in ours.items():
        if name in naming.by_level:
            books = () if shape else tuple(ours["quantizer.codebook"][:2])
            layout |= _level_parts(name, shape, naming, books)
        elif name not in naming.ours_only:
            layout[naming.rename(name)] = Part(name, (), naming.shape(name, shape))
    return layout


def _level_parts(
    name: str, shape: tuple[int, ...], naming: Naming, books: tuple[int, ...]
) -> dict[str, Part]:
    flag = not shape  # one for the whole quantizer, which they have in every level
    n_books, n_levels = books if flag else shape[:2]
    layout: dict[str, Part] = {}
    for book in range(n_books):
        for level in range(n_levels):
            at, part = ((), (1,)) if flag else ((book, level), tuple(shape[2:]))
            for i, theirs in enumerate(naming.parts(name, book, level, n_levels)):
                layout[theirs] = Part(name, at, part, read=not i and not flag)
    return layout


def to_official_state_dict(model: Model) -> dict[str, Tensor]:
    """State dict of a model under the authors' names and shapes.

    Parameters
    ----------
    model : NeuroRVQTokenizer | NeuroRVQ | BioCodec | BrainRVQTokenizer | BrainRVQ
        A model under the authors' residual rule.

    Returns
    -------
    dict of str to Tensor
        What the authors' class loads: copies in float32.

    Raises
    ------
    ValueError
        If the model has settings that the authors' code cannot express.

    Notes
    -----
    Reading a checkpoint and writing it again gives the same tensors bit for bit, but for
    NeuroRVQ's and BrainRVQ's ``embed_avg``: the sums of the k-means start, which no computation
    reads. It is written as a copy of the codebook. BrainRVQ's ``lm_head`` and the last
    ``token_embed``, which no computation reads either, are not written.

    Examples
    --------
    >>> from mne_neurorvq.weights import load_pretrained, to_official_state_dict
    >>> from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQ
    >>> from dataclasses import replace
    >>> model = NeuroRVQ(config=replace(NEURORVQ_EEG, depth=1))
    >>> sorted(to_official_state_dict(model))[-3:]
    ['patch_embed.norm2_4.weight', 'pos_embed', 'time_embed']
    """
    _check_expressible(model)
    state = model.state_dict()
    return {
        name: state[part.ours][part.at].float().reshape(part.shape).clone()
        for name, part in official_layout(shapes_of(state)).items()
    }


def _check_expressible(model: Model) -> None:
    """Refuse settings that the authors' code does not have: their tensors would not show them."""
    system = SYSTEMS[model.config.system]
    published = next(iter(system.presets.values()))
    rule, theirs = model.config.quantizer.rule, published.quantizer.rule
    if isinstance(model, Tokenizer) and rule != theirs:
        raise ValueError(
            f"the authors' code has the residual rule {theirs!r} only, this model the rule "
            f"{rule!r}: save it with save_pretrained instead, or train with "
            f"model.quantizer.rule={theirs}."
        )
    if model.config.quantizer.input_dim is None and published.quantizer.input_dim is not None:
        raise ValueError(
            "the authors' code has projections in every level, this model input_dim=None: save it "
            "with save_pretrained instead."
        )
    fixed = dict(_FIXED[model.config.system])
    if isinstance(model, BrainRVQTokenizer):
        fixed |= _BRAINRVQ_TOKENIZER_FIXED
    elif isinstance(model, BrainRVQ) and model.masked_tokens is not None:
        fixed |= _BRAINRVQ_HEADS_FIXED
    for name, value in fixed.items():
        ours = getattr(model.config, name)
        if ours != value:
            raise ValueError(f"the authors' code has {name}={value}, this model {name}={ours}.")


def from_official_state_dict(
    official: Mapping[str, Tensor], model: Model, source: str
) -> dict[str, Tensor]:
    """Convert the authors' tensors to the state dict of a model (possibly of meta tensors)."""
    wanted = model.state_dict()
    layout = official_layout(shapes_of(wanted))
    flags = [name for name, part in layout.items() if part.ours == _STARTED]
    facts = {name: (part.shape, wanted[part.ours].dtype) for name, part in layout.items()}
    # Flags are numbers in their files.
    facts |= {name: (layout[name].shape, torch.float32) for name in flags}
    check_tensors(facts, official, source, naming_of(wanted).ignored)
    # Tensors that no computation reads, too: they would show that the file is damaged.
    check_finite({name: official[name] for name in layout}, source)
    ours = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in wanted.items()}
    for name, part in layout.items():
        target = ours[part.ours]
        if part.read:
            target[part.at] = official[name].to(target.dtype).reshape(target[part.at].shape)
    if _STARTED in ours:
        ours["quantizer.gain"].fill_(1.0)
        ours[_STARTED].fill_(all(bool(official[name]) for name in flags))
    return ours
