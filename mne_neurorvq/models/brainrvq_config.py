# License: BSD-3-Clause
"""Frozen configuration of BrainRVQ and the preset of its modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from .config import QuantizerConfig
from .transformer_config import ConvStage, TransformerConfig, TrunkStyle

#: Weights of the cross-entropies of the levels in BrainRVQ's pretraining.
BRAINRVQ_LEVEL_WEIGHTS = (1.0, 0.5, 0.25)

_DOMAINS = ("time", "frequency")
_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "phase": ("circular", "angle"),
        "token_heads": ("hierarchical", "parallel"),
        "class_place": ("own", "first channel"),
    }
)
_STAGES = (ConvStage(15, stride=8), ConvStage(3), ConvStage(3))
_QUANTIZER = QuantizerConfig(n_codebooks=2, n_levels=3, code_dim=64, rule="detached")


@dataclass(frozen=True)
class BrainRVQConfig(TransformerConfig):
    """Structure of a BrainRVQ tokenizer and of the foundation model that goes with it.

    Parameters
    ----------
    modality : "eeg"
        Kind of signal.
    channels : tuple of str
        Channel vocabulary in lower case; channel ``i`` has row ``i + 1`` of the embedding, row 0
        is the class token's. Bipolar derivations are channels of their own.
    sfreq : float
        Sampling rate in Hz.
    patch_size : int
        Samples per patch.
    max_patches : int
        Most patches of a channel, and rows of the time embedding.
    unit : str
        Unit of the samples.
    n_filters, n_groups : int
        Channels of the convolutions and groups of their GroupNorm.
    n_heads : int
        Attention heads.
    depth, decoder_depth : int
        Transformer blocks of the encoder (tokenizer and foundation model) and of each decoder.
    mlp_ratio : float
        Hidden width of the MLP of a block over the embedding width.
    foundation_layer_scale : float
        Initial LayerScale of the foundation model's blocks. The tokenizer has none.
    quantizer : QuantizerConfig
        The residual quantizer, with one codebook for each domain.
    foundation_qkv_bias : bool
        Whether queries and values of the foundation model have a bias, as the tokenizer's do.
    foundation_drop_path : float
        In training, the share of windows that the last block of the foundation model skips.
    domains : tuple of "time" | "frequency"
        What is quantized and decoded, in the order of the codebooks. One alone is an ablation.
    phase : "circular" | "angle"
        What the spectral decoder predicts: cosine and sine of the phase, or, as the released code
        does, the angle, which jumps at ±π.
    token_heads : "hierarchical" | "parallel"
        Whether pretraining predicts a level from the codes of the levels before it, or all levels
        by themselves.
    class_place : "own" | "first channel"
        Which place the class token has in pretraining. The released code gives it that of the
        first channel there, but its own in fine-tuning. Only weights that were pretrained by
        that code should have the second.

    Raises
    ------
    ValueError
        If a value is impossible or two contradict each other.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from mne_neurorvq.models import BRAINRVQ_EEG
    >>> BRAINRVQ_EEG.embed_dim, len(BRAINRVQ_EEG.channels), BRAINRVQ_EEG.quantizer.bits_per_token
    (200, 128, 78)
    >>> quantizer = replace(BRAINRVQ_EEG.quantizer, n_codebooks=1)
    >>> time_only = replace(BRAINRVQ_EEG, domains=("time",), quantizer=quantizer)
    """

    system: ClassVar[str] = "brainrvq"

    unit: str = "100uV"
    foundation_layer_scale: float = 0.1
    quantizer: QuantizerConfig = _QUANTIZER
    foundation_qkv_bias: bool = False
    foundation_drop_path: float = 0.1
    domains: tuple[str, ...] = _DOMAINS
    phase: Literal["circular", "angle"] = "circular"
    token_heads: Literal["hierarchical", "parallel"] = "hierarchical"
    class_place: Literal["own", "first channel"] = "own"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.domains not in (_DOMAINS, *((domain,) for domain in _DOMAINS)):
            raise ValueError(
                f"domains must be {_DOMAINS}, or one of the two, got {self.domains!r}."
            )
        if self.quantizer.n_codebooks != len(self.domains):
            raise ValueError(
                f"the quantizer must have a codebook for each of domains={self.domains}: "
                f"n_codebooks={len(self.domains)}, got {self.quantizer.n_codebooks}."
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {choices}, got {getattr(self, name)!r}.")
        if self.phase == "angle" and "time" not in self.domains:
            raise ValueError(
                "phase='angle' needs the time domain, through which such a model is decoded: use "
                "phase='circular'."
            )
        if not 0.0 <= self.foundation_drop_path < 1.0:
            raise ValueError(
                f"foundation_drop_path must be in [0, 1), got {self.foundation_drop_path}."
            )

    @property
    def scales(self) -> tuple[tuple[ConvStage, ...], ...]:
        """Stages of the patch embedding; there is one temporal scale."""
        return (_STAGES,)

    @property
    def embed_dim(self) -> int:
        """Width of the embedding: samples after the first convolution times filters."""
        return -(-self.patch_size // _STAGES[0].stride) * self.n_filters

    @property
    def tokenizer_style(self) -> TrunkStyle:
        """Style of the tokenizer's trunks."""
        return TrunkStyle(qk_norm=False, norm_eps=1e-6, class_row=True, time_from_start=True)

    @property
    def foundation_style(self) -> TrunkStyle:
        """Style of the foundation model's trunk."""
        return TrunkStyle(
            qkv_bias=self.foundation_qkv_bias,
            norm_eps=1e-6,
            layer_scale=self.foundation_layer_scale,
            drop_path=self.foundation_drop_path,
            class_row=True,
            time_from_start=True,
        )

    @property
    def codebook_names(self) -> tuple[str, ...]:
        """Names of the codebooks: the domains."""
        return self.domains

    def side_shape(self, n_channels: int, segments: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the side information of a trial: two numbers of each patch."""
        return (n_channels, sum(segments), 2)

    def feature_names(self) -> list[str]:
        """Name the features of a patch."""
        return [f"feature_{i}" for i in range(self.feature_dim)]

    def patches_per_segment(self, n_channels: int) -> int:
        """Say how many patches of each channel the model takes at once.

        Parameters
        ----------
        n_channels : int
            Channels of the windows; any number.

        Returns
        -------
        int
            The most patches.
        """
        return self.max_patches


# The electrodes of the released code in the order of their embedding rows, then those of its
# bipolar derivations that have one.
_EEG_CHANNELS = tuple(
    """
    fp1 fpz fp2 af9 af7 af5 af3 af1 afz af2 af4 af6 af8 af10 f9 f7 f5 f3 f1 fz f2 f4 f6 f8 f10 ft9
    ft7 fc5 fc3 fc1 fcz fc2 fc4 fc6 ft8 ft10 t9 t7 c5 c3 c1 cz c2 c4 c6 t8 t10 tp9 tp7 cp5 cp3 cp1
    cpz cp2 cp4 cp6 tp8 tp10 p9 p7 p5 p3 p1 pz p2 p4 p6 p8 p10 po9 po7 po5 po3 po1 poz po2 po4 po6
    po8 po10 o1 oz o2 o9 cb1 cb2 iz o10 t3 t5 t4 t6 m1 m2 a1 a2 cfc1 cfc2 cfc3 cfc4 cfc5 cfc6 cfc7
    cfc8 ccp1 ccp2 ccp3 ccp4 ccp5 ccp6 ccp7 ccp8 t1 t2 ftt9h ttp7h tpp9h ftt10h tpp8h tpp10h
    fp1-f7 f7-t7 t7-p7 p7-o1 fp2-f8 f8-t8 t8-p8 p8-o2
    """.split()
)

BRAINRVQ_EEG = BrainRVQConfig(
    modality="eeg", channels=_EEG_CHANNELS, sfreq=200.0, patch_size=200, max_patches=30
)
