# License: BSD-3-Clause
"""Frozen configuration of BioCodec and the presets of its two modalities."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .config import ModelConfig, QuantizerConfig, check_numbers
from .fast import series_per_pass

_QUANTIZER = QuantizerConfig(
    n_codebooks=1,
    n_levels=6,
    n_codes=256,
    code_dim=16,
    rule="cosine",
    input_dim=128,
    # The authors' two uses, of 210 that a code has on average in their batch of 512 windows.
    dead_code_threshold=0.01,
)


@dataclass(frozen=True)
class BioCodecConfig(ModelConfig):
    """Structure of a BioCodec.

    Parameters
    ----------
    modality : "eeg" | "emg"
        Kind of signal.
    sfreq : float
        Sampling rate in Hz.
    strides : tuple of int
        Strides of the decoder's stages, from the codes to the samples; the encoder has them in
        reverse.
    n_ffts : tuple of int
        Window lengths of the spectral loss.
    unit : str
        Unit of the samples: none, as the model wants scaled signals.
    n_filters : int
        Channels of the convolutions at the full rate; they double with every stage.
    dilations : tuple of int
        Dilations of the residual blocks of a stage.
    normalize : bool
        Whether the model divides each window of each channel by its root mean square. The
        published models do not.
    quantizer : QuantizerConfig
        The residual quantizer; its ``input_dim`` is the width of the latent vectors.

    Examples
    --------
    >>> from mne_neurorvq.models import BIOCODEC_EEG, BIOCODEC_EMG
    >>> BIOCODEC_EEG.patch_size, BIOCODEC_EEG.sfreq, BIOCODEC_EEG.quantizer.bits_per_token
    (12, 250.0, 48)
    >>> BIOCODEC_EMG.patch_size, BIOCODEC_EMG.sfreq
    (18, 1000.0)
    """

    system: ClassVar[str] = "biocodec"
    takes_scaled: ClassVar[bool] = True
    # It takes any channel, whatever it is called.
    channels: ClassVar[tuple[str, ...]] = ()

    modality: str
    sfreq: float
    strides: tuple[int, ...]
    n_ffts: tuple[int, ...]
    unit: str = "au"
    n_filters: int = 32
    dilations: tuple[int, ...] = (1, 2)
    normalize: bool = False
    quantizer: QuantizerConfig = _QUANTIZER

    def __post_init__(self) -> None:
        check_numbers(self)
        for name in ("strides", "dilations"):
            if not getattr(self, name):
                raise ValueError(f"{name} must not be empty.")
        if self.quantizer.n_codebooks != 1:
            raise ValueError(
                f"the quantizer must have n_codebooks=1, got {self.quantizer.n_codebooks}."
            )
        if any(n_fft % 16 for n_fft in self.n_ffts):
            raise ValueError(f"n_ffts must be multiples of 16, got {self.n_ffts}.")

    @property
    def patch_size(self) -> int:
        """Samples from one code to the next, also called hop: the product of the strides."""
        return math.prod(self.strides)

    @property
    def patch_seconds(self) -> float:
        """Duration of a patch in seconds."""
        return self.patch_size / self.sfreq

    @property
    def signal_unit(self) -> str:
        """Unit of centres and scales, and so of decoded signals."""
        return "uV"

    @property
    def code_dtype(self) -> str:
        """Name of the smallest integer type that holds the codes."""
        return "int16" if self.quantizer.n_codes <= 2**15 else "int32"

    def patches_per_segment(self, n_channels: int) -> int:
        """Most patches of a segment: there is no limit."""
        return sys.maxsize

    def trials_per_pass(self, n_channels: int, n_patches: int, device: str) -> int:
        """Trials, of so many channels and patches, of one forward pass on a type of device."""
        return max(1, series_per_pass(n_patches, device) // n_channels)

    def side_shape(self, n_channels: int, segments: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the side information of a trial: centre and scale of each channel."""
        return (n_channels, 2)

    def feature_names(self, levels: Sequence[int] | None = None) -> list[str]:
        """Name the features of a patch: the sum of all levels' vectors, or some in a row."""
        if levels is None:
            return [f"vector_{i}" for i in range(self.latent_dim)]
        return [f"level{k}_{i}" for k in levels for i in range(self.latent_dim)]

    @property
    def latent_dim(self) -> int:
        """Width of the vectors between the convolutions and the quantizer."""
        return self.quantizer.input_dim or self.quantizer.code_dim


BIOCODEC_EEG = BioCodecConfig(
    modality="eeg", sfreq=250.0, strides=(3, 2, 2), n_ffts=(32, 64, 128, 256)
)

BIOCODEC_EMG = BioCodecConfig(
    modality="emg", sfreq=1000.0, strides=(3, 3, 2), n_ffts=(128, 256, 512, 1024)
)
