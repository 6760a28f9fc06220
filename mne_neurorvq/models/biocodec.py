# License: BSD-3-Clause
"""BioCodec: a causal codec of single channels with a residual quantizer."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from .._references import Reference
from .config import ModelConfig, QuantizerConfig, check_numbers
from .fast import series_per_pass
from .quantizer import Quantized, ResidualVQ
from .seanet import make_decoder, make_encoder, reflect_pad
from .signature import ChannelsInfo, check_codes, window_samples
from .tokenizer import Tokenizer

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
    reference : "recorded" | "average" | "laplacian"
        Reference in which estimators give it signals where they are not told another.

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
    trained: ClassVar[tuple[str, ...]] = ()

    modality: str
    sfreq: float
    strides: tuple[int, ...]
    n_ffts: tuple[int, ...]
    unit: str = "au"
    n_filters: int = 32
    dilations: tuple[int, ...] = (1, 2)
    normalize: bool = False
    quantizer: QuantizerConfig = _QUANTIZER
    reference: Reference = "recorded"

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
        return sys.maxsize

    def trials_per_pass(self, n_channels: int, n_patches: int, device: str) -> int:
        return max(1, series_per_pass(n_patches, device) // n_channels)

    def side_shape(self, n_channels: int, segments: tuple[int, ...]) -> tuple[int, ...]:
        return (n_channels, 2)

    def feature_names(self, levels: Sequence[int] | None = None) -> list[str]:
        """Name the features of a patch.

        Parameters
        ----------
        levels : sequence of int | None
            Levels whose vectors are in a row; None for the sum over all.

        Returns
        -------
        list of str
            Names.
        """
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


BIOCODEC_LOSS_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"code": 0.25, "waveform": 0.2, "spectral": 1.0}
)

# From here on an error of the waveform counts linearly.
_BETA = 0.7
_PHASE_WEIGHT = 0.2
_STEPS_PER_WINDOW = 8


def spectrogram(series: Tensor, n_fft: int) -> Tensor:
    """Amplitude (``log1p``), cosine and sine of the phase, ``(n_series, 3, n_rows, n_windows)``."""
    step = n_fft // _STEPS_PER_WINDOW
    if series.shape[-1] < step:
        raise ValueError(
            f"windows of {series.shape[-1]} samples are too short for a spectrum of n_fft={n_fft}: "
            f"they must have at least {step}."
        )
    margin = (n_fft - step) // 2
    spectrum = torch.stft(
        reflect_pad(series[:, None], margin, margin)[:, 0],
        n_fft,
        step,
        window=torch.hann_window(n_fft, device=series.device),
        center=False,
        return_complex=True,
    )
    amplitude = spectrum.abs()
    phase = spectrum / amplitude.clamp(min=1e-8)
    return torch.stack((amplitude.log1p(), phase.real, phase.imag), 1)


def biocodec_losses(x: Tensor, rebuilt: Tensor, n_ffts: Sequence[int]) -> dict[str, Tensor]:
    """Losses of a reconstruction, each a scalar and unweighted.

    Parameters
    ----------
    x, rebuilt : Tensor, shape (batch, n_chans, n_times)
        Signals and their reconstruction.
    n_ffts : sequence of int
        Window lengths of the spectra.

    Returns
    -------
    dict of str to Tensor
        ``waveform``: Huber loss that is linear beyond an error of 0.7, over 0.7.
        ``spectral``: mean absolute plus mean squared difference of the spectrograms (``log1p`` of
        the amplitude; cosine and sine of the phase, each times 0.2), summed over ``n_ffts``.

    References
    ----------
    BioCodec (2025, arXiv 2510.09095), section 2.2.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import BIOCODEC_LOSS_WEIGHTS
    >>> x = torch.randn(2, 3, 100)
    >>> losses = biocodec_losses(x, x, n_ffts=(32, 64))
    >>> float(sum(BIOCODEC_LOSS_WEIGHTS[name] * value for name, value in losses.items()))
    0.0
    """
    weights = x.new_tensor((1.0, _PHASE_WEIGHT, _PHASE_WEIGHT))[:, None, None]
    spectral = x.new_zeros(())
    for n_fft in n_ffts:
        wanted, found = (
            weights * spectrogram(signal.flatten(0, 1), n_fft) for signal in (x, rebuilt)
        )
        spectral = spectral + F.l1_loss(found, wanted) + F.mse_loss(found, wanted)
    return {"waveform": F.smooth_l1_loss(rebuilt, x, beta=_BETA), "spectral": spectral}


class BioCodec(Tokenizer):
    """Codec of single channels: causal encoder, residual quantizer, causal decoder.

    Parameters
    ----------
    n_outputs, n_chans, chs_info : None
        Part of braindecode's common signature, but not used: each channel is coded by itself.
    n_times, input_window_seconds, sfreq
        As in :class:`NeuroRVQTokenizer`; a window may have any number of samples.
    config : BioCodecConfig
        Structure.

    Notes
    -----
    The codes depend on the scale of the signal. The published models were trained on channels of
    which the median had been subtracted and which had been divided by their interquartile range.

    The codec is causal, so that it could run on a stream: the codes of a patch depend on the
    samples up to the end of the patch and on no later one, and a reconstructed sample on the codes
    up to its own patch. Two borders are exceptions, because padding is by reflection: the first
    three patches are coded, and the first two decoded, when all three are there; and a last patch
    that the window does not fill is completed. Hence the codes of a window of three or more whole
    patches are the first codes of every window that begins with it.

    The codec always computes in float32: the codes would change under autocast.

    References
    ----------
    BioCodec (2025, arXiv 2510.09095). Défossez et al., "High Fidelity Neural Audio Compression"
    (2022), for encoder and decoder.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from mne_neurorvq.models import BIOCODEC_EEG, BioCodec
    >>> model = BioCodec(config=replace(BIOCODEC_EEG, n_filters=4)).eval()
    >>> codes, side = model.encode(torch.randn(2, 3, 1003))
    >>> codes.shape, side.shape
    (torch.Size([2, 3, 84, 1, 6]), torch.Size([2, 3, 2]))
    >>> model.decode_codes(codes, side, n_times=1003).shape
    torch.Size([2, 3, 1003])
    """

    def __init__(
        self,
        n_outputs: int | None = None,
        n_chans: int | None = None,
        chs_info: ChannelsInfo | None = None,
        n_times: int | None = None,
        input_window_seconds: float | None = None,
        sfreq: float | None = None,
        *,
        config: BioCodecConfig = BIOCODEC_EEG,
    ) -> None:
        super().__init__()
        self.config = config
        self.n_times = window_samples(config.sfreq, n_times, input_window_seconds, sfreq)
        self.encoder = make_encoder(config)
        self.quantizer = ResidualVQ(config.quantizer)
        self.decoder = make_decoder(config)

    def to_vectors(self, x: Tensor) -> Tensor:
        """Encode windows up to the quantizer.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows, after normalisation where the configuration has it.

        Returns
        -------
        Tensor, shape (1, batch * n_chans * n_patches, latent_dim)
            Vectors to quantize.
        """
        with torch.autocast(x.device.type, enabled=False):
            vectors = self.encoder(x.float().flatten(0, 1)[:, None])
            return vectors.mT.flatten(0, 1)[None]

    def from_vectors(self, vectors: Tensor, side: Tensor) -> Tensor:
        """Decode quantized vectors.

        Parameters
        ----------
        vectors : Tensor, shape (1, batch * n_chans * n_patches, latent_dim)
            Quantized vectors.
        side : Tensor, shape (batch, n_chans, 2)
            Centre and scale of each channel.

        Returns
        -------
        Tensor, shape (batch, n_chans, n_patches * patch_size)
            Windows; the last patch may reach beyond them.
        """
        n_series = side.shape[0] * side.shape[1]
        with torch.autocast(vectors.device.type, enabled=False):
            series = self.decoder(vectors[0].unflatten(0, (n_series, -1)).mT)
        x = series[:, 0].unflatten(0, side.shape[:2])
        return x * side[..., 1, None] + side[..., 0, None]

    def encode(self, x: Tensor, channel_ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        scaled, side = self._normalise(x)
        codes = self.quantizer.encode(self.to_vectors(scaled))
        return codes.movedim(0, 1).unflatten(0, (*x.shape[:2], -1)), side

    def encode_segments(
        self, segments: Sequence[Tensor], rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        scaled, side = segments
        n_patches = -(-scaled.shape[-1] // self.config.patch_size)
        size = series_per_pass(n_patches, scaled.device.type)
        parts = scaled.flatten(0, 1)[None].split(size, dim=1)
        codes, own = zip(*(self.encode(part) for part in parts), strict=True)
        codes, own = (torch.cat(x, 1)[0].unflatten(0, scaled.shape[:2]) for x in (codes, own))
        centre, scale = side.unbind(-1)
        side = torch.stack((centre + scale * own[..., 0], scale * own[..., 1]), -1)
        return codes.to(getattr(torch, self.config.code_dtype)), side

    def decode_segments(
        self, codes: Tensor, side: Tensor, rows: Tensor | None, segments: tuple[int, ...]
    ) -> list[Tensor]:
        size = series_per_pass(codes.shape[2], codes.device.type)
        pairs = zip(
            codes.flatten(0, 1)[None].split(size, dim=1),
            side.flatten(0, 1)[None].split(size, dim=1),
            strict=True,
        )
        series = torch.cat([self.decode_codes(*pair) for pair in pairs], dim=1)
        return [series[0].unflatten(0, codes.shape[:2])]

    def decode_codes(
        self,
        codes: Tensor,
        side: Tensor,
        channel_ids: Tensor | None = None,
        *,
        n_times: int | None = None,
    ) -> Tensor:
        """Turn codes and side information back into windows.

        Parameters
        ----------
        codes : Tensor of int64, shape (batch, n_chans, n_patches, 1, n_levels)
            Codes; fewer levels than the model has give a coarser signal.
        side : Tensor, shape (batch, n_chans, 2)
            Centre and scale of each channel: the signal is multiplied by the scale, then the
            centre added.
        channel_ids : Tensor | None
            Not used.
        n_times : int | None
            Samples of the windows, which end in the last patch; None gives it to its end.

        Returns
        -------
        Tensor, shape (batch, n_chans, n_times)
            Windows.
        """
        check_codes(self.config.quantizer, codes)
        if side.shape != (*codes.shape[:2], 2):
            raise ValueError(
                f"side must be {(*codes.shape[:2], 2)}, got shape {tuple(side.shape)}."
            )
        covered = codes.shape[2] * self.config.patch_size
        if n_times is not None and not covered - self.config.patch_size < n_times <= covered:
            raise ValueError(
                f"n_times={n_times} does not end in the last of {codes.shape[2]} patches of "
                f"{self.config.patch_size} samples."
            )
        vectors = self.quantizer.decode(codes.flatten(0, 2).movedim(1, 0).long())
        return self.from_vectors(vectors, side)[..., :n_times]

    def forward(
        self, x: Tensor, channel_ids: Tensor | None = None, return_features: bool = False
    ) -> Tensor | dict[str, Tensor | None]:
        if return_features:
            features = self.to_vectors(self._normalise(x)[0])[0]
            return {"features": features.unflatten(0, (*x.shape[:2], -1)), "cls_token": None}
        return self.reconstruct(x)[0]

    def reconstruct(self, x: Tensor, channel_ids: Tensor | None = None) -> tuple[Tensor, Quantized]:
        """Run the whole codec; in training mode the codebooks learn.

        Parameters
        ----------
        x, channel_ids
            As in :meth:`encode`.

        Returns
        -------
        rebuilt : Tensor, shape (batch, n_chans, n_times)
            Reconstruction.
        quantized : Quantized
            Output of the quantizer.
        """
        scaled, side = self._normalise(x)
        quantized = self.quantizer(self.to_vectors(scaled))
        return self.from_vectors(quantized.vectors, side)[..., : x.shape[-1]], quantized

    def assess(
        self, x: Tensor, channel_ids: Tensor | None = None, clean: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor], Quantized]:
        rebuilt, quantized = self.reconstruct(x)
        losses = biocodec_losses(x if clean is None else clean, rebuilt, self.config.n_ffts)
        return rebuilt, {"code": quantized.loss, **losses}, quantized

    def _normalise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scale windows as configured; return them with the centre and scale of each channel."""
        if x.ndim != 3 or not x.shape[-1]:
            raise ValueError(
                f"the input must be (batch, n_chans, n_times) with samples, got {tuple(x.shape)}."
            )
        scale = x.new_ones(*x.shape[:2], 1)
        if self.config.normalize:
            scale = x.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-8)
        return x / scale, torch.cat((torch.zeros_like(scale), scale), -1)
