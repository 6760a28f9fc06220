# License: BSD-3-Clause
"""Frozen configuration of NeuroRVQ with presets of four modalities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .config import QuantizerConfig
from .transformer_config import ConvStage, TransformerConfig, TrunkStyle


@dataclass(frozen=True)
class NeuroRVQConfig(TransformerConfig):
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

    kernels_1: tuple[int, ...] = (21, 15, 9, 5)
    kernels_2: tuple[int, ...] = (9, 7, 5, 3)

    def __post_init__(self) -> None:
        if not len(self.kernels_1) == len(self.kernels_2) == self.quantizer.n_codebooks:
            raise ValueError(
                f"kernels_1 and kernels_2 must name one width per scale "
                f"({self.quantizer.n_codebooks}), got {self.kernels_1} and {self.kernels_2}."
            )
        super().__post_init__()
        if self.embed_dim != self.patch_size:
            raise ValueError(
                f"patch_size={self.patch_size} does not divide into n_filters={self.n_filters} "
                "channels after pooling by 8: the embedding would not be as wide as a patch."
            )

    @property
    def scales(self) -> tuple[tuple[ConvStage, ...], ...]:
        """Stages of the patch embedding of each temporal scale."""
        return tuple(
            (ConvStage(first, pool=2), ConvStage(second, pool=4))
            for first, second in zip(self.kernels_1, self.kernels_2, strict=True)
        )

    @property
    def embed_dim(self) -> int:
        """Width of the embedding: pooled samples times filters."""
        return self.patch_size // 2 // 4 * self.n_filters

    @property
    def tokenizer_style(self) -> TrunkStyle:
        """Style of the tokenizer's trunks."""
        return TrunkStyle()

    @property
    def foundation_style(self) -> TrunkStyle:
        """Style of the foundation model's trunk."""
        return TrunkStyle(layer_scale=self.foundation_layer_scale)

    @property
    def max_tokens(self) -> int:
        """Most channels times patches of a segment."""
        return self.max_patches

    def side_shape(self, n_channels: int, segments: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the side information of a trial: two numbers of each segment."""
        return (len(segments), 2)

    def feature_names(self) -> list[str]:
        """Name the features of a patch."""
        return [f"scale{k}_{i}" for k in range(len(self.scales)) for i in range(self.embed_dim)]

    def patches_per_segment(self, n_channels: int) -> int:
        """Say how many patches of each channel the token budget allows.

        Parameters
        ----------
        n_channels : int
            Channels of the windows.

        Returns
        -------
        int
            The most patches; 0 if there are too many channels.
        """
        return self.max_patches // max(n_channels, 1)


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
