# License: BSD-3-Clause
"""How the authors name what ours have: one table for each of their models.

Both directions and the inference of a configuration from tensors rest on these facts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

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
_BIOCODEC_NAMES = (
    (r"^(encoder|decoder)\.", r"\1.model."),
    (r"\.(conv|convtr)\.gain$", r".\1.\1.parametrizations.weight.original0"),
    (r"\.(conv|convtr)\.direction$", r".\1.\1.parametrizations.weight.original1"),
    (r"\.(conv|convtr)\.bias$", r".\1.\1.bias"),
)
# What they have as a 1 x 1 convolution, or as a length for each kernel.
_TRAILING_AXES = re.compile(r"^from_code\.\d+\.weight$|\.(conv|convtr)\.gain$")
# Under every model a tensor that this one does not have: ours are told apart by it.
_BIOCODEC_MARK = "encoder.0.conv.direction"


class Naming(NamedTuple):
    """How the authors of a model name its tensors.

    Attributes
    ----------
    names : tuple of (str, str)
        Regular expressions of ours and what they become. A "#" before a group means one more:
        they count from 1.
    layer : str
        Where a level of the quantizer lies.
    leaves : mapping of str to tuple of str
        Our tensors that they store by level -> what each level calls them. Only the first name is
        read; the others are written as copies.
    ours_only : tuple of str
        What ours have beyond theirs: constants under their residual rule.
    """

    names: tuple[tuple[str, str], ...]
    layer: str = ""
    leaves: Mapping[str, tuple[str, ...]] = {}
    ours_only: tuple[str, ...] = ()

    def rename(self, name: str) -> str:
        """Give the authors' name of a tensor that they do not store by level."""
        for pattern, replacement in self.names:
            name = re.sub(pattern, replacement, name)
        return re.sub(r"#(\d+)", lambda match: str(int(match[1]) + 1), name)


def naming_of(ours: Collection[str]) -> Naming:
    """Choose the table for a model of ours.

    Parameters
    ----------
    ours : collection of str
        Names of its tensors.

    Returns
    -------
    Naming
        That of the NeuroRVQ tokenizer, its foundation model or BioCodec.
    """
    if _BIOCODEC_MARK in ours:
        return _BIOCODEC
    return _TOKENIZER if "quantizer.codebook" in ours else _FOUNDATION


def official_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape that the authors give to a tensor of ours.

    Parameters
    ----------
    name : str
        Our name.
    shape : tuple of int
        Our shape.

    Returns
    -------
    tuple of int
        Theirs.
    """
    return (*shape, 1, 1) if _TRAILING_AXES.search(name) else tuple(shape)


_TOKENIZER = Naming(
    _TOKENIZER_NAMES,
    layer="quantize_{book}.layers.{level}.",
    leaves={
        # They also store the sums of the k-means start, which nothing reads afterwards.
        "quantizer.codebook": ("embedding.weight", "embedding.embed_avg"),
        "quantizer.cluster_size": ("cluster_size",),
        "quantizer.start_size": ("embedding.cluster_size",),
        "quantizer.started": ("embedding.initted",),
    },
    ours_only=("quantizer.gain", "quantizer.warmup_left", "quantizer.moving_sum"),
)
_FOUNDATION = Naming(_FOUNDATION_NAMES)
_BIOCODEC = Naming(
    _BIOCODEC_NAMES,
    layer="quantizer.vq.layers.{level}.",
    leaves={
        "quantizer.codebook": ("_codebook.embed",),
        "quantizer.moving_sum": ("_codebook.embed_avg",),
        "quantizer.cluster_size": ("_codebook.cluster_size",),
        "quantizer.started": ("_codebook.inited",),
        "quantizer.to_code.weight": ("project_in.weight",),
        "quantizer.to_code.bias": ("project_in.bias",),
        "quantizer.from_code.weight": ("project_out.weight",),
        "quantizer.from_code.bias": ("project_out.bias",),
    },
    ours_only=("quantizer.gain", "quantizer.warmup_left", "quantizer.start_size"),
)
