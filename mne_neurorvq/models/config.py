# License: BSD-3-Clause
"""Frozen configurations: what those of all systems share, the quantizer's and the trunk's."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from numbers import Integral, Real
from operator import attrgetter
from typing import Any, ClassVar, Literal, NamedTuple, Self

from .._references import REFERENCES, Reference
from .fast import trials_per_pass

ResidualRule = Literal["unit", "detached", "euclidean", "gain", "cosine"]

_RULES: tuple[ResidualRule, ...] = ("unit", "detached", "euclidean", "gain", "cosine")


@dataclass(frozen=True)
class QuantizerConfig:
    """Sizes and rules of a :class:`~mne_neurorvq.models.ResidualVQ`.

    Parameters
    ----------
    n_codebooks : int
        Number of parallel codebooks (NeuroRVQ: the four temporal scales).
    n_levels : int
        Depth of the residual.
    n_codes : int
        Codes per codebook and level.
    code_dim : int
        Dimension of a code vector.
    rule : "unit" | "detached" | "euclidean" | "gain" | "cosine"
        What a level searches with and subtracts. ``"unit"`` (NeuroRVQ's rule) searches the
        direction of the residual among unit codes and subtracts the unit code from the raw
        residual. ``"detached"`` (BrainRVQ's rule) finds the same codes, but the gradient of a
        level does not pass through what it subtracts, and the loss is the commitment alone,
        summed over the levels. ``"gain"`` does as ``"unit"`` but subtracts the code times a
        learned gain of the level. ``"euclidean"`` searches and subtracts unnormalised codes.
        ``"cosine"`` (BioCodec's rule) searches and subtracts as ``"unit"`` does, but learns from
        the raw residual: its code is pulled by long vectors more than by short ones, and
        gradients go straight through to the vector, not to its direction.
    input_dim : int | None
        Under the rule ``"cosine"``, the dimension of the vectors and residuals where it is not
        ``code_dim``: each level then has linear maps of its own to ``code_dim`` and back. None
        quantizes the vectors as they are.
    decay : float
        Decay of the exponential moving averages of the codebook update.
    dead_code_threshold : float
        In training, a code used less than this share of the mean use of its level is replaced
        by a random residual of the batch. 0 (NeuroRVQ's choice) never replaces.
    warmup_steps : int
        Training steps that pass the input through unquantized before the k-means start.
    kmeans_tokens : int
        Tokens that the k-means start remembers from the last warm-up steps.

    Examples
    --------
    >>> QuantizerConfig(n_levels=2, n_codes=16, code_dim=4).bits_per_token
    32
    """

    n_codebooks: int = 4
    n_levels: int = 8
    n_codes: int = 8192
    code_dim: int = 128
    rule: ResidualRule = "unit"
    input_dim: int | None = None
    decay: float = 0.99
    dead_code_threshold: float = 0.0
    warmup_steps: int = 0
    kmeans_tokens: int = 8192

    def __post_init__(self) -> None:
        check_numbers(self, may_be_zero=("warmup_steps", "dead_code_threshold", "decay"))
        if self.rule not in _RULES:
            raise ValueError(f"rule must be one of {_RULES}, got {self.rule!r}.")
        if self.input_dim is not None and self.rule != "cosine":
            raise ValueError(
                f"input_dim={self.input_dim} is for the rule 'cosine', got rule={self.rule!r}."
            )
        if not 0.0 <= self.decay < 1.0:
            raise ValueError(f"decay must be in [0, 1), got {self.decay}.")
        if not 0.0 <= self.dead_code_threshold < 1.0:
            raise ValueError(
                f"dead_code_threshold must be in [0, 1), got {self.dead_code_threshold}."
            )

    @property
    def bits_per_token(self) -> int:
        """Bits that the codes of one token take: all codebooks and levels."""
        return self.n_codebooks * self.n_levels * (self.n_codes - 1).bit_length()


@dataclass(frozen=True)
class ModelConfig:
    """What every system's configuration provides, and the way to plain data and back."""

    system: ClassVar[str]
    # Whether the model takes signals scaled by their median and interquartile range.
    takes_scaled: ClassVar[bool] = False

    @property
    def signal_unit(self) -> str:
        """Unit of decoded signals."""
        raise NotImplementedError

    @property
    def codebook_names(self) -> tuple[str, ...]:
        """Names of the codebooks, where they have different meanings."""
        return ()

    @property
    def code_dtype(self) -> str:
        """Name of the integer type of codes as the tokenizer gives them."""
        return "int64"

    @property
    def max_tokens(self) -> int:
        """Most channels times patches in a segment; ``sys.maxsize`` without a limit."""
        return sys.maxsize

    def patches_per_segment(self, n_channels: int) -> int:
        """Return how many patches of each channel fit into one segment.

        Parameters
        ----------
        n_channels : int
            Channels of the windows.

        Returns
        -------
        int
            The most patches; 0 if there are too many channels.
        """
        raise NotImplementedError

    def trials_per_pass(self, n_channels: int, n_patches: int, device: str) -> int:
        """Return how many trials to compute in one forward pass.

        Parameters
        ----------
        n_channels, n_patches : int
            Channels, and patches of the longest segment.
        device : str
            Device type, such as ``"cpu"``.

        Returns
        -------
        int
            Trials, at least 1.
        """
        raise NotImplementedError

    def side_shape(self, n_channels: int, segments: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the side information of a trial.

        Parameters
        ----------
        n_channels : int
            Its channels.
        segments : tuple of int
            Patches of each of its segments.

        Returns
        -------
        tuple of int
            Shape; the last axis has two numbers, or more with the scales of the input.
        """
        raise NotImplementedError

    def feature_names(self) -> list[str]:
        """Name the features of a patch.

        Returns
        -------
        list of str
            Names.
        """
        raise NotImplementedError

    def with_foundation_of(self, other: ModelConfig) -> Self:
        """Take from another configuration what no tokenizer has; one of this one is the same."""
        names = [
            field.name
            for field in fields(self)
            if field.name.startswith("foundation_") or field.name in ("token_heads", "class_place")
        ]
        return replace(self, **{name: getattr(other, name) for name in names})

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build a configuration from what :meth:`to_dict` gave, possibly through JSON.

        Raises
        ------
        ValueError
            If a key is unknown or missing, or a value is impossible.
        """
        data = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in _known_fields(cls, data).items()
        }
        if "quantizer" in data:
            settings = _known_fields(QuantizerConfig, dict(data["quantizer"]))
            data["quantizer"] = QuantizerConfig(**settings)
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(f"incomplete {cls.__name__}: {error}") from error


class ConvStage(NamedTuple):
    """Convolution, GroupNorm, GELU and mean over ``pool`` samples in a patch embedding."""

    kernel: int
    stride: int = 1
    pool: int = 1


@dataclass(frozen=True)
class TrunkStyle:
    """How the trunks of the systems differ."""

    # Queries and values may have a bias; keys never have.
    qkv_bias: bool = True
    # Whether queries and keys are normalised, per head and with eps 1e-6.
    qk_norm: bool = True
    # Epsilon of the other LayerNorms.
    norm_eps: float = 1e-5
    # Initial value of the two LayerScale vectors of a block; 0 disables them.
    layer_scale: float = 0.0
    # Share of windows that the last block skips in training; it grows linearly from 0.
    drop_path: float = 0.0
    # Whether row 0 of the channel table is the class token's, channel i having row i + 1.
    # Otherwise channel i has row i, and channel 0 shares its row with the class token.
    class_row: bool = False
    # Whether the first patch has the first row of the time table. Otherwise the last has the last.
    time_from_start: bool = False
    # Whether embeddings tell how large a channel was against the others before it was scaled.
    sees_scale: bool = False


@dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """What the configurations of NeuroRVQ and BrainRVQ share."""

    modality: str
    channels: tuple[str, ...]
    sfreq: float
    patch_size: int
    max_patches: int
    unit: str = "uV"
    n_filters: int = 8
    n_groups: int = 4
    n_heads: int = 10
    depth: int = 12
    decoder_depth: int = 3
    mlp_ratio: float = 4.0
    foundation_layer_scale: float = 1e-5
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    input_scale: Literal["none", "segment", "channel"] = "none"
    reference: Reference = "recorded"
    # What is known of the training is no part of the structure.
    trained: tuple[str, ...] = field(default=(), compare=False, kw_only=True)

    def __post_init__(self) -> None:
        check_numbers(self, may_be_zero=("foundation_layer_scale", "foundation_drop_path"))
        if unknown := sorted(set(self.trained) - set(self.channels)):
            raise ValueError(f"trained holds {unknown}, which are not among the channels.")
        if len(set(self.channels)) != len(self.channels):
            raise ValueError("channels has duplicate names.")
        if self.quantizer.input_dim is not None:
            raise ValueError(
                f"the quantizer must have input_dim=None, got {self.quantizer.input_dim}: the "
                "tokenizer itself projects to code_dim."
            )
        if self.embed_dim % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must divide the embedding width {self.embed_dim}."
            )

    @property
    def hierarchical_heads(self) -> bool:
        """Whether pretraining predicts a level of the codes from the levels before it."""
        return False

    @property
    def scales(self) -> tuple[tuple[ConvStage, ...], ...]:
        """Stages of the patch embedding of each temporal scale."""
        raise NotImplementedError

    @property
    def embed_dim(self) -> int:
        """Width of the embedding: samples after the patch embedding times filters."""
        raise NotImplementedError

    @property
    def tokenizer_style(self) -> TrunkStyle:
        """Style of the tokenizer's trunks."""
        raise NotImplementedError

    @property
    def foundation_style(self) -> TrunkStyle:
        """Style of the foundation model's trunk."""
        raise NotImplementedError

    @cached_property
    def one_by_one(self) -> bool:
        """Whether channels are processed one by one: the vocabulary has only one."""
        return len(self.channels) == 1

    trials_per_pass = staticmethod(trials_per_pass)
    signal_unit = property(attrgetter("unit"))

    @property
    def feature_dim(self) -> int:
        """Width of the features of a patch: the embeddings of all scales in a row."""
        return self.embed_dim * len(self.scales)

    @property
    def patch_seconds(self) -> float:
        """Duration of a patch in seconds."""
        return self.patch_size / self.sfreq


def _known_fields(cls: type, data: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(data) - {f.name for f in fields(cls)})
    if unknown:
        raise ValueError(f"{cls.__name__} does not have the settings {unknown}.")
    return data


def check_numbers(config: Any, may_be_zero: Collection[str] = ()) -> None:
    """Reject numbers that are not positive or absurdly large, and unknown names."""
    for entry in fields(config):
        value, kind = getattr(config, entry.name), str(entry.type)
        known = _KNOWN.get(entry.name, (value,))
        if value not in known:
            raise ValueError(f"{entry.name} must be one of {known}, got {value!r}.")
        values: tuple[Any, ...]
        if kind.startswith("tuple"):
            if not isinstance(value, tuple):
                raise ValueError(f"{entry.name} must be a list, got {value!r}.")
            values, kind = value, kind.removeprefix("tuple[").partition(",")[0]
        elif kind.endswith("| None"):
            values, kind = () if value is None else (value,), kind.partition(" ")[0]
        else:
            values = (value,)
        if kind not in _TYPES:
            continue
        for one in values:
            if not isinstance(one, _TYPES[kind]) or (isinstance(one, bool) and kind != "bool"):
                raise ValueError(f"{entry.name} must be {_WORDS[kind]}, got {one!r}.")
            if kind in ("int", "float"):
                zero = one == 0 and entry.name in may_be_zero
                if one > _MOST:
                    raise ValueError(f"{entry.name} must be at most {_MOST:g}, got {one!s:.40}.")
                if not (zero or one > 0):  # nor is NaN
                    bound = "at least 1" if kind == "int" else "positive and finite"
                    raise ValueError(f"{entry.name} must be {bound}, got {one}.")


# Far beyond any size, rate or factor of a model.
_MOST = 10**9
_KNOWN: dict[str, tuple[str, ...]] = {
    "modality": ("eeg", "emg", "ecg", "ppg"),
    "unit": ("V", "mV", "uV", "100uV", "au"),
    "input_scale": ("none", "segment", "channel"),
    "reference": REFERENCES,
}
_TYPES: dict[str, Any] = {"int": Integral, "float": Real, "bool": bool, "str": str}
_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}
