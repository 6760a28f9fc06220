# License: BSD-3-Clause
"""The layout of the authors' checkpoints: names, shapes and the way there and back.

Their names are derived from ours by one table, so that both directions and the inference of a
configuration from tensors rest on the same facts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..models import NeuroRVQ, NeuroRVQTokenizer
from .errors import MismatchError

Shapes = Mapping[str, tuple[int, ...]]

# Ours -> theirs. A "#" before a group means one more: they count scales from 1.
_SHARED_NAMES = (
    (r"^encoder\.scales\.(\d+)\.(conv1|norm1|conv2|norm2)\.", r"encoder.patch_embed.\2_#\1."),
    (r"^encoder\.trunk\.", "encoder."),
)
_TOKENIZER_NAMES = (
    *_SHARED_NAMES,
    (r"^encoder_norms\.(\d+)\.", r"encoder.fc_norm_#\1."),
    (r"^to_code\.(\d+)\.", r"encode_task_layer_#\1."),
    (r"^from_code\.(\d+)\.", r"decoder.patch_embed_#\1.proj."),
    (r"^decoder_norms\.(\d+)\.", r"decoder.fc_norm_#\1."),
    (r"^to_amplitude\.", "decode_task_layer_amplitude."),
    (r"^to_sin\.", "decode_task_layer_angle_sin."),
    (r"^to_cos\.", "decode_task_layer_angle_cos."),
)
_FOUNDATION_NAMES = (
    *_SHARED_NAMES,
    (r"^encoder\.", ""),
    (r"^masked_tokens\.norm\.", "norm_pre."),
    (r"^masked_tokens\.mask_token$", "mask_token"),
    (r"^final_layer\.norm\.", "fc_norm."),
    (r"^final_layer\.linear\.", "head."),
)
# Buffers of the quantizer -> leaves of each of their layers. The authors also store the sums of
# the k-means start ("embed_avg"), which nothing reads afterwards: it is written as the codebook.
_QUANTIZER_LEAVES = {
    "quantizer.codebook": ("embedding.weight", "embedding.embed_avg"),
    "quantizer.cluster_size": ("cluster_size",),
    "quantizer.start_size": ("embedding.cluster_size",),
    "quantizer.started": ("embedding.initted",),
}
# What ours have beyond them: constants under their residual rule.
_OURS_ONLY = ("quantizer.gain", "quantizer.warmup_left")
# Tensors of a foundation model that no output of it needs: norms of a path that the pretraining
# does not take, and what is left of the pretraining heads when the heads themselves are gone.
_IGNORED = re.compile(r"^(fc_norm_\d+\.(weight|bias)|mask_token|norm_pre\.(weight|bias))$")


class Part(NamedTuple):
    """Where a tensor of the authors' lies in ours.

    Attributes
    ----------
    ours : str
        Our tensor.
    at : tuple of int
        Its slice; empty for all of it.
    shape : tuple of int
        Shape of the authors' tensor.
    """

    ours: str
    at: tuple[int, ...]
    shape: tuple[int, ...]


def official_layout(ours: Shapes) -> dict[str, Part]:
    """Names and shapes of the authors' tensors for a model of ours.

    Parameters
    ----------
    ours : mapping of str to tuple of int
        Names and shapes of the state dict of a :class:`~mne_neurorvq.models.NeuroRVQTokenizer`
        or :class:`~mne_neurorvq.models.NeuroRVQ`.

    Returns
    -------
    dict of str to Part
        For each of the authors' tensors, where it lies in ours.
    """
    names = _TOKENIZER_NAMES if "quantizer.codebook" in ours else _FOUNDATION_NAMES
    layout: dict[str, Part] = {}
    for name, shape in ours.items():
        if name in _QUANTIZER_LEAVES:
            layout |= _quantizer_parts(name, shape, tuple(ours["quantizer.codebook"][:2]))
        elif name in ("masked_tokens.weight", "masked_tokens.bias"):
            leaf, n_levels = name.rpartition(".")[2], shape[1]
            for book, level in _pairs(*shape[:2]):
                number = n_levels * book + level + 1
                layout[f"head_pre_{number}.{leaf}"] = Part(name, (book, level), tuple(shape[2:]))
        elif name not in _OURS_ONLY:
            # Their step from codes to embeddings is a 1 x 1 convolution.
            linear = name.startswith("from_code.") and name.endswith(".weight")
            theirs = (*shape, 1, 1) if linear else tuple(shape)
            layout[_rename(name, names)] = Part(name, (), theirs)
    return layout


def _quantizer_parts(name: str, shape: tuple[int, ...], books: tuple[int, ...]) -> dict[str, Part]:
    scalar = name == "quantizer.started"
    return {
        f"quantize_{book + 1}.layers.{level}.{leaf}": (
            Part(name, (), (1,)) if scalar else Part(name, (book, level), tuple(shape[2:]))
        )
        for book, level in _pairs(*books)
        for leaf in _QUANTIZER_LEAVES[name]
    }


def _pairs(n_books: int, n_levels: int) -> list[tuple[int, int]]:
    return [(book, level) for book in range(n_books) for level in range(n_levels)]


def _rename(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"#(\d+)", lambda match: str(int(match[1]) + 1), name)


def to_official_state_dict(model: NeuroRVQTokenizer | NeuroRVQ) -> dict[str, Tensor]:
    """State dict of a model under the authors' names and shapes.

    Parameters
    ----------
    model : NeuroRVQTokenizer | NeuroRVQ
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
    ``embed_avg``: the sums of the k-means start, which no computation reads. It is written as
    a copy of the codebook.

    Examples
    --------
    >>> from mne_neurorvq.weights import load_pretrained, to_official_state_dict
    >>> from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQ
    >>> from dataclasses import replace
    >>> model = NeuroRVQ(config=replace(NEURORVQ_EEG, depth=1))
    >>> sorted(to_official_state_dict(model))[-3:]
    ['patch_embed.norm2_4.weight', 'pos_embed', 'time_embed']
    """
    config = model.config
    if isinstance(model, NeuroRVQTokenizer) and config.quantizer.rule != "unit":
        raise ValueError(
            "the authors' code has the residual rule 'unit' only, this model the rule "
            f"{config.quantizer.rule!r}: save it with save_pretrained instead."
        )
    if config.n_groups != 4:
        raise ValueError(f"the authors' code has 4 groups, this model n_groups={config.n_groups}.")
    state = model.state_dict()
    return {
        name: state[part.ours][part.at].float().reshape(part.shape).clone()
        for name, part in official_layout(shapes_of(state)).items()
    }


def from_official_state_dict(
    official: Mapping[str, Tensor], model: NeuroRVQTokenizer | NeuroRVQ, source: str
) -> dict[str, Tensor]:
    """State dict of a model of ours from the authors' tensors.

    Parameters
    ----------
    official : mapping of str to Tensor
        The authors' tensors.
    model : NeuroRVQTokenizer | NeuroRVQ
        The model that they are for, possibly on the meta device.
    source : str
        Name of the file, for errors.

    Returns
    -------
    dict of str to Tensor
        A complete state dict of ``model``.

    Raises
    ------
    MismatchError
        If a tensor is missing, unknown or of another shape.
    """
    wanted = model.state_dict()
    layout = official_layout(shapes_of(wanted))
    unknown = [name for name in official if name not in layout and not is_ignored(name, model)]
    check_tensors(
        {name: part.shape for name, part in layout.items()},
        {name: tuple(tensor.shape) for name, tensor in official.items() if name in layout},
        unknown,
        source,
    )
    ours = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in wanted.items()}
    for name, part in layout.items():
        target = ours[part.ours]
        if not name.endswith((".embed_avg", ".initted")):
            target[part.at] = official[name].to(target.dtype).reshape(target[part.at].shape)
    if "quantizer.started" in ours:
        ours["quantizer.gain"].fill_(1.0)
        started = [bool(official[name]) for name in layout if name.endswith(".initted")]
        ours["quantizer.started"].fill_(all(started))
    return ours


def is_ignored(name: str, model: NeuroRVQTokenizer | NeuroRVQ) -> bool:
    """Whether a tensor of the authors' may be left unread.

    Parameters
    ----------
    name : str
        Its name.
    model : NeuroRVQTokenizer | NeuroRVQ
        The model to be filled.

    Returns
    -------
    bool
        True for the unused norms and stray pretraining tensors of a foundation model.
    """
    return isinstance(model, NeuroRVQ) and bool(_IGNORED.match(name))


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of a state dict.

    Parameters
    ----------
    state : mapping of str to Tensor
        A state dict.

    Returns
    -------
    dict of str to tuple of int
        The shapes.
    """
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def check_tensors(wanted: Shapes, found: Shapes, unknown: list[str], source: str) -> None:
    """Compare the tensors of a file with those of a model.

    Parameters
    ----------
    wanted, found : mapping of str to tuple of int
        Shapes of the model's tensors and of those of the file that it knows.
    unknown : list of str
        Tensors of the file that the model does not know.
    source : str
        Name of the file.

    Raises
    ------
    MismatchError
        If they differ.
    """
    missing = [name for name in wanted if name not in found]
    wrong = [
        f"{name} {found[name]} instead of {shape}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    if missing or unknown or wrong:
        raise MismatchError(source, missing, unknown, wrong)
