# License: BSD-3-Clause
"""What the configurations of models over patches share: sizes, and what a trunk can do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .config import ModelConfig, QuantizerConfig, check_numbers
from .fast import tokens_per_pass


class ConvStage(NamedTuple):
    """Convolution, GroupNorm, GELU and mean pooling of a patch embedding.

    Parameters
    ----------
    kernel : int
        Width of the convolution.
    stride : int
        Its step.
    pool : int
        Samples that are averaged afterwards.
    """

    kernel: int
    stride: int = 1
    pool: int = 1


@dataclass(frozen=True)
class TrunkStyle:
    """What the trunks of the systems do differently.

    Parameters
    ----------
    qkv_bias : bool
        Whether queries and values have a bias; keys never have.
    qk_norm : bool
        Whether queries and keys are normalised.
    norm_eps : float
        Epsilon of the LayerNorms of the blocks; that of queries and keys is always 1e-6.
    layer_scale : float
        Initial value of the two LayerScale vectors of a block; 0 leaves them out.
    drop_path : float
        In training, the share of windows that the last block leaves as they are; it grows
        linearly from 0 at the first.
    class_row : bool
        Whether row 0 of the channel table is the class token's own, channel ``i`` then having row
        ``i + 1``. Otherwise channel ``i`` has row ``i``, and channel 0 shares its row with the
        class token.
    time_from_start : bool
        Whether the first patch has the first row of the time table. Otherwise the last patch has
        the last one.
    """

    qkv_bias: bool = True
    qk_norm: bool = True
    norm_eps: float = 1e-5
    layer_scale: float = 0.0
    drop_path: float = 0.0
    class_row: bool = False
    time_from_start: bool = False


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

    def __post_init__(self) -> None:
        check_numbers(self, may_be_zero=("foundation_layer_scale", "foundation_drop_path"))
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

    def patches_per_segment(self, n_channels: int) -> int:
        """Say how many patches of each channel the model takes at once.

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
        """Trials, of segments of so many patches, of one forward pass on a type of device."""
        return max(1, tokens_per_pass(device) // (n_channels * n_patches))

    @property
    def signal_unit(self) -> str:
        """Unit of decoded signals."""
        return self.unit

    @property
    def feature_dim(self) -> int:
        """Width of the features of a patch: the embeddings of all scales in a row."""
        return self.embed_dim * len(self.scales)

    @property
    def patch_seconds(self) -> float:
        """Duration of a patch in seconds."""
        return self.patch_size / self.sfreq
