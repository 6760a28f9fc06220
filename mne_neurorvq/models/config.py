# License: BSD-3-Clause
"""Frozen configurations: of the quantizer, and of NeuroRVQ with presets of four modalities."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, Self

ResidualRule = Literal["unit", "euclidean", "gain", "cosine"]

_RULES: tuple[ResidualRule, ...] = ("unit", "euclidean", "gain", "cosine")


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
    rule : "unit" | "euclidean" | "gain" | "cosine"
        What a level searches with and subtracts. ``"unit"`` (NeuroRVQ's rule) searches the
        direction of the residual among unit codes and subtracts the unit code from the raw
        residual. ``"gain"`` does the same but subtracts the code times a learned gain of the
        level. ``"euclidean"`` searches and subtracts unnormalised codes. ``"cosine"``
        (BioCodec's rule) searches and subtracts as ``"unit"`` does, but learns from the raw
        residual: its code is pulled by long vectors more than by short ones, and gradients go
        straight through to the vector, not to its direction.
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
        for name in ("n_codebooks", "n_levels", "n_codes", "code_dim"):
            check_positive(name, getattr(self, name))
        if self.rule not in _RULES:
            raise ValueError(f"rule must be one of {_RULES}, got {self.rule!r}.")
        if self.input_dim is not None:
            check_positive("input_dim", self.input_dim)
            if self.rule != "cosine":
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
    """What the configurations of all systems share: the way to plain data and back."""

    system: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON-able plain data.

        Returns
        -------
        dict
            What :meth:`from_dict` takes.
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build a configuration from plain data.

        Parameters
        ----------
        data : dict
            What :meth:`to_dict` returned, possibly through JSON.

        Returns
        -------
        ModelConfig
            The configuration.

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


@dataclass(frozen=True)
class NeuroRVQConfig(ModelConfig):
    """Structure of a NeuroRVQ tokenizer and of the foundation model that goes with it.

    Parameters
    ----------
    modality : "eeg" | "emg" | "ecg" | "ppg"
        Kind of signal.
    channels : tuple of str
        Channel vocabulary in lower case; the index of a name is its embedding row.
    sfreq : float
        Sampling rate in Hz.
    patch_size : int
        Samples per patch; also the embedding width.
    max_patches : int
        Token budget of a segment (channels times patches) and rows of the time embedding.
    unit : str
        Unit of the samples.
    kernels_1, kernels_2 : tuple of int
        Widths of the first and second temporal convolution of each scale.
    n_filters, n_groups : int
        Channels of the convolutions and groups of their GroupNorm.
    n_heads : int
        Attention heads.
    depth, decoder_depth : int
        Transformer blocks of the encoder (tokenizer and foundation model) and of the decoder.
    mlp_ratio : float
        Hidden width of the MLP of a block over the embedding width.
    foundation_layer_scale : float
        Initial LayerScale of the foundation model's blocks. The tokenizer has none.
    quantizer : QuantizerConfig
        The residual quantizer.

    Examples
    --------
    >>> from mne_neurorvq.models import NEURORVQ_EEG
    >>> NEURORVQ_EEG.embed_dim, len(NEURORVQ_EEG.channels), NEURORVQ_EEG.patch_seconds
    (200, 104, 1.0)
    """

    system: ClassVar[str] = "neurorvq"

    modality: str
    channels: tuple[str, ...]
    sfreq: float
    patch_size: int
    max_patches: int
    unit: str = "uV"
    kernels_1: tuple[int, ...] = (21, 15, 9, 5)
    kernels_2: tuple[int, ...] = (9, 7, 5, 3)
    n_filters: int = 8
    n_groups: int = 4
    n_heads: int = 10
    depth: int = 12
    decoder_depth: int = 3
    mlp_ratio: float = 4.0
    foundation_layer_scale: float = 1e-5
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)

    def __post_init__(self) -> None:
        for name in ("patch_size", "max_patches", "n_heads", "depth", "decoder_depth"):
            check_positive(name, getattr(self, name))
        if len(set(self.channels)) != len(self.channels):
            raise ValueError("channels has duplicate names.")
        if not len(self.kernels_1) == len(self.kernels_2) == self.quantizer.n_codebooks:
            raise ValueError(
                f"kernels_1 and kernels_2 must name one width per scale "
                f"({self.quantizer.n_codebooks}), got {self.kernels_1} and {self.kernels_2}."
            )
        if self.quantizer.input_dim is not None:
            raise ValueError(
                f"the quantizer must have input_dim=None, got {self.quantizer.input_dim}: the "
                "tokenizer itself projects to code_dim."
            )
        if self.embed_dim != self.patch_size:
            raise ValueError(
                f"patch_size={self.patch_size} does not divide into n_filters={self.n_filters} "
                "channels after pooling by 8: the embedding would not be as wide as a patch."
            )
        if self.embed_dim % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must divide the embedding width {self.embed_dim}."
            )

    @property
    def embed_dim(self) -> int:
        """Width of the embedding: pooled samples times filters."""
        return self.patch_size // 2 // 4 * self.n_filters

    @property
    def patch_seconds(self) -> float:
        """Duration of a patch in seconds."""
        return self.patch_size / self.sfreq


def _known_fields(cls: type, data: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(data) - {f.name for f in fields(cls)})
    if unknown:
        raise ValueError(f"{cls.__name__} does not have the settings {unknown}.")
    return data


def check_positive(name: str, value: int) -> None:
    """Refuse a size below 1."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")


# The vocabularies are facts of the published checkpoints, in the order of their embedding rows,
# oddities included ("p08" beside "po8").
_EEG_CHANNELS = tuple(
    """
    a1 a2 af3 af4 af7 af8 afz c1 c2 c3 c4 c5 c6 ccp1 ccp2 ccp3 ccp4 ccp5 ccp6 ccp7 ccp8 cfc1 cfc2
    cfc3 cfc4 cfc5 cfc6 cfc7 cfc8 cp1 cp2 cp3 cp4 cp5 cp6 cpz cz eog f1 f10 f2 f3 f4 f5 f6 f7 f8 f9
    fc1 fc2 fc3 fc4 fc5 fc6 fcz fp1 fp2 fpz ft7 ft8 fz iz loc o1 o2 oz p08 p1 p10 p2 p3 p4 p5 p6 p7
    p8 p9 po1 po10 po2 po3 po4 po7 po8 po9 poz pz roc sp1 sp2 t1 t10 t2 t3 t4 t5 t6 t7 t8 t9 tp10
    tp7 tp8 tp9
    """.split()
)

NEURORVQ_EEG = NeuroRVQConfig(
    modality="eeg", channels=_EEG_CHANNELS, sfreq=200.0, patch_size=200, max_patches=256
)

NEURORVQ_EMG = NeuroRVQConfig(
    modality="emg",
    channels=tuple("c1 c10 c11 c12 c13 c14 c15 c16 c2 c3 c4 c5 c6 c7 c8 c9".split()),
    sfreq=1000.0,
    unit="uV",
    patch_size=200,
    max_patches=256,
    kernels_1=(51, 17, 8, 5),
    kernels_2=(25, 9, 4, 3),
    quantizer=QuantizerConfig(n_levels=16),
)

NEURORVQ_ECG = NeuroRVQConfig(
    modality="ecg",
    channels=tuple("avf avl avr i ii iii v1 v2 v3 v4 v5 v6 vx vy vz".split()),
    sfreq=200.0,
    unit="mV",
    patch_size=40,
    max_patches=600,
)

NEURORVQ_PPG = NeuroRVQConfig(
    modality="ppg",
    channels=("ppg_c1",),
    sfreq=100.0,
    unit="au",
    patch_size=80,
    max_patches=12,
    kernels_1=(41, 31, 17, 9),
    kernels_2=(17, 13, 9, 5),
)
