# License: BSD-3-Clause
"""How the authors name the tensors of their models: one table for each model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from .tensors import NOTHING

# Our names -> theirs. A "#" before a group adds one: they count scales from 1.
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
# The codebooks of BrainRVQ, and the domain of each.
BRAINRVQ_BOOKS: Mapping[str, str] = {"t": "time", "f": "frequency"}
_BRAINRVQ_TOKENIZER_NAMES = (
    (r"^encoder\.scales\.0\.", "encoder.patch_embed."),
    (r"^encoder\.trunk\.", "encoder."),
    (r"^encoder_norms\.0\.", "encoder.fc_norm."),
    (r"^to_code\.0\.", "encode_task_layer."),
    (r"^decoders\.(t|f)\w*\.from_code\.", r"decoder_\1.patch_embed.proj."),
    (r"^decoders\.(t|f)\w*\.trunk\.", r"decoder_\1."),
    (r"^decoders\.(t|f)\w*\.norm\.", r"decoder_\1.fc_norm."),
    (r"^to_waveform\.", "decode_task_layer_time."),
    (r"^to_amplitude\.", "decode_task_layer_amp."),
    (r"^to_phase\.", "decode_task_layer_angle."),
)
_BRAINRVQ_HEAD_NAMES = (
    (r"^final_layer\.norm\.", "fc_norm."),
    (r"^final_layer\.linear\.", "head."),
)
_BIOCODEC_NAMES = (
    (r"^(encoder|decoder)\.", r"\1.model."),
    (r"\.(conv|convtr)\.gain$", r".\1.\1.parametrizations.weight.original0"),
    (r"\.(conv|convtr)\.direction$", r".\1.\1.parametrizations.weight.original1"),
    (r"\.(conv|convtr)\.bias$", r".\1.\1.bias"),
)
# Tensors that only models of one system have.
_BIOCODEC_MARK = "encoder.0.conv.direction"
_BRAINRVQ_MARK = "encoder.scales.0.conv3.weight"
_HEADS = ("masked_tokens.weight", "masked_tokens.bias")


class Naming(NamedTuple):
    """How the authors of a model name its tensors."""

    names: tuple[tuple[str, str], ...]
    by_level: Mapping[str, tuple[str, ...]] = {}
    books: Sequence[str] = ()
    ours_only: tuple[str, ...] = ()
    ignored: str = NOTHING
    leading: str = NOTHING
    trailing: str = NOTHING

    def rename(self, name: str) -> str:
        """Give the authors' name of a tensor that they do not store by level."""
        for pattern, replacement in self.names:
            name = re.sub(pattern, replacement, name)
        return re.sub(r"#(\d+)", lambda match: str(int(match[1]) + 1), name)

    def shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Give their shape of a tensor that they do not store by level."""
        leading = (1,) if re.search(self.leading, name) else ()
        trailing = (1, 1) if re.search(self.trailing, name) else ()
        return (*leading, *shape, *trailing)

    def parts(self, name: str, book: int, level: int, n_levels: int) -> list[str]:
        """Give their names of a level of a tensor that they store by level."""
        fields = {
            "book": self.books[book] if self.books else str(book + 1),
            "level": level,
            "next": level + 1,
            "number": n_levels * book + level + 1,
        }
        return [template.format(**fields) for template in self.by_level[name]]


def naming_of(ours: Collection[str]) -> Naming:
    """Choose the table for a model by the names of its tensors."""
    if _BIOCODEC_MARK in ours:
        return _BIOCODEC
    tokenizer = "quantizer.codebook" in ours
    if _BRAINRVQ_MARK not in ours:
        return _TOKENIZER if tokenizer else _FOUNDATION
    if not tokenizer:
        pretraining = "masked_tokens.weight" in ours
        return _BRAINRVQ_PRETRAINING if pretraining else _BRAINRVQ_FOUNDATION
    books = [
        book
        for book, domain in BRAINRVQ_BOOKS.items()
        if f"decoders.{domain}.from_code.weight" in ours
    ]
    return _BRAINRVQ_TOKENIZER._replace(books=books)


def _levels(layer: str, leaves: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Put the place of a level before the names of its tensors."""
    return {name: tuple(layer + leaf for leaf in theirs) for name, theirs in leaves.items()}


# They also store the sums of the k-means start, which nothing reads afterwards.
_UNIT_LEVELS = {
    "quantizer.codebook": ("embedding.weight", "embedding.embed_avg"),
    "quantizer.cluster_size": ("cluster_size",),
    "quantizer.start_size": ("embedding.cluster_size",),
    "quantizer.started": ("embedding.initted",),
}
_UNIT_ONLY = ("quantizer.gain", "quantizer.warmup_left", "quantizer.moving_sum")
_TABLES = r"trunk\.(pos|time)_embed$"

_TOKENIZER = Naming(
    _TOKENIZER_NAMES,
    _levels("quantize_{book}.layers.{level}.", _UNIT_LEVELS),
    ours_only=_UNIT_ONLY,
    trailing=r"^from_code\.\d+\.weight$",
)
# Unread: norms of a path that the pretraining does not take, and what is left of the pretraining
# heads when the heads themselves are gone.
_FOUNDATION = Naming(
    _FOUNDATION_NAMES,
    {name: ("head_pre_{number}." + name.rpartition(".")[2],) for name in _HEADS},
    ignored=r"^(fc_norm_\d+\.(weight|bias)|mask_token|norm_pre\.(weight|bias))$",
)
_BIOCODEC = Naming(
    _BIOCODEC_NAMES,
    _levels(
        "quantizer.vq.layers.{level}.",
        {
            "quantizer.codebook": ("_codebook.embed",),
            "quantizer.moving_sum": ("_codebook.embed_avg",),
            "quantizer.cluster_size": ("_codebook.cluster_size",),
            "quantizer.started": ("_codebook.inited",),
            "quantizer.to_code.weight": ("project_in.weight",),
            "quantizer.to_code.bias": ("project_in.bias",),
            "quantizer.from_code.weight": ("project_out.weight",),
            "quantizer.from_code.bias": ("project_out.bias",),
        },
    ),
    ours_only=("quantizer.gain", "quantizer.warmup_left", "quantizer.start_size"),
    # A length for each kernel.
    trailing=r"\.(conv|convtr)\.gain$",
)
_BRAINRVQ_TOKENIZER = Naming(
    _BRAINRVQ_TOKENIZER_NAMES,
    _levels("quantize_{book}.layers.{level}.", _UNIT_LEVELS),
    ours_only=_UNIT_ONLY,
    leading=_TABLES,
    trailing=r"\.from_code\.weight$",
)
_BRAINRVQ_FOUNDATION = Naming(
    (
        (r"^encoder\.scales\.0\.", "patch_embed."),
        (r"^encoder\.trunk\.", ""),
        *_BRAINRVQ_HEAD_NAMES,
    ),
    # What is left of the pretraining, and the norm of a head that is gone.
    ignored=r"^(mask_token|(lm_head|norm|fc_norm)\.(weight|bias))$",
    leading=_TABLES,
)
_BRAINRVQ_PRETRAINING = Naming(
    (
        (r"^encoder\.scales\.0\.", "student.patch_embed."),
        (r"^encoder\.trunk\.", "student."),
        (r"^masked_tokens\.norm\.", "student.norm."),
        (r"^masked_tokens\.mask_token$", "student.mask_token"),
        *_BRAINRVQ_HEAD_NAMES,
    ),
    {name: ("lm_heads_{book}.{level}." + name.rpartition(".")[2],) for name in _HEADS}
    | {
        "masked_tokens.embedding": ("token_embed_{book}.{level}.weight",),
        "masked_tokens.fusion_weight": ("fusion_norm_{book}.{next}.weight",),
        "masked_tokens.fusion_bias": ("fusion_norm_{book}.{next}.bias",),
    },
    books=tuple(BRAINRVQ_BOOKS),
    # A head that their loss does not reach, and the embeddings of the last level.
    ignored=r"^(student\.lm_head\.(weight|bias)|token_embed_[tf]\.\d+\.weight)$",
    leading=_TABLES,
)
