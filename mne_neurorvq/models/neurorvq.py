# License: BSD-3-Clause
"""NeuroRVQ: four temporal scales, each with a codebook, decoded together to a spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import ConvStage, QuantizerConfig, TransformerConfig, TrunkStyle
from .foundation_model import FoundationModel
from .patch_tokenizer import PatchTokenizer, standardise, tanh_layers
from .trunk import each_scale, make_trunk, scale_norms


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
    input_scale : "none" | "segment" | "channel"
        What the input is divided by before anything else: nothing, as in the published models; a
        robust scale of the segment; or one of each channel of the segment. The scale is side
        information, and decoding multiplies by it. Codes then do not depend on the gain of the
        recording, and with ``"channel"`` not on that of any channel: normalisation in the patch
        embedding runs over all channels, where a single loud one would drown the others. A
        foundation model with ``"channel"`` is told how large each channel was against the others,
        since features need that.
    reference : "recorded" | "average" | "laplacian"
        Reference in which estimators give it signals where they are not told another.
    trained : tuple of str
        Names of the vocabulary that training has seen, if that is known: estimators take the others
        for unknown, since their embeddings are starting values. Empty for the published models.

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
        return TrunkStyle()

    @property
    def foundation_style(self) -> TrunkStyle:
        return TrunkStyle(
            layer_scale=self.foundation_layer_scale, sees_scale=self.input_scale == "channel"
        )

    @property
    def max_tokens(self) -> int:
        return self.max_patches

    def side_shape(self, n_channels: int, segments: tuple[int, ...]) -> tuple[int, ...]:
        at_once = 1 if self.one_by_one else n_channels
        n_scales = {"none": 0, "segment": 1, "channel": at_once}[self.input_scale]
        return (len(segments), n_channels // at_once * (2 + n_scales))

    def feature_names(self) -> list[str]:
        return [f"scale{k}_{i}" for k in range(len(self.scales)) for i in range(self.embed_dim)]

    def patches_per_segment(self, n_channels: int) -> int:
        return self.max_patches // (1 if self.one_by_one else max(n_channels, 1))


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

# The authors feed it emg2pose as stored, whose unit they do not state: microvolts are assumed.
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

# Millivolts of PTB-XL. The kernels are those of EEG at 200 Hz; the authors' example gives 500 Hz.
NEURORVQ_ECG = NeuroRVQConfig(
    modality="ecg",
    channels=tuple("avf avl avr i ii iii v1 v2 v3 v4 v5 v6 vx vy vz".split()),
    sfreq=200.0,
    unit="mV",
    patch_size=40,
    max_patches=600,
)

# PhysioNet's normalised units, 0 to 1, of the pulses of BIDMC.
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


class Spectrum(NamedTuple):
    """Two-sided spectrum of every patch.

    Parameters
    ----------
    amplitude : Tensor, shape (batch, n_chans, n_patches, patch_size)
        ``log1p`` of the modulus, standardised over the segment.
    sin, cos : Tensor, shape (batch, n_chans, n_patches, patch_size)
        Sine and cosine of the phase.
    side : Tensor, shape (batch, 2)
        Mean and standard deviation of the log amplitude of each segment.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import analyse
    >>> spectrum = analyse(torch.randn(2, 3, 4, 16))
    >>> spectrum.amplitude.shape, spectrum.side.shape
    (torch.Size([2, 3, 4, 16]), torch.Size([2, 2]))
    """

    amplitude: Tensor
    sin: Tensor
    cos: Tensor
    side: Tensor


def analyse(patches: Tensor) -> Spectrum:
    """Spectrum of patches, the target of the decoder.

    Parameters
    ----------
    patches : Tensor, shape (batch, n_chans, n_patches, patch_size)
        Samples.

    Returns
    -------
    Spectrum
        Standardised log amplitude, phase and the two statistics.

    Examples
    --------
    >>> import torch
    >>> spectrum = analyse(torch.randn(2, 3, 4, 16))
    >>> bool(torch.allclose(spectrum.sin**2 + spectrum.cos**2, torch.ones(1)))
    True
    """
    spectrum = torch.fft.fft(patches)
    amplitude, side = standardise(spectrum.abs().log1p())
    phase = spectrum.angle()
    return Spectrum(amplitude, phase.sin(), phase.cos(), side)


def synthesise(spectrum: Spectrum) -> Tensor:
    """Invert :func:`analyse`.

    Parameters
    ----------
    spectrum : Spectrum
        Possibly predicted: the phase need not lie on the unit circle nor the spectrum be
        Hermitian; the real part is taken.

    Returns
    -------
    Tensor, shape (batch, n_chans, n_patches, patch_size)
        Samples.

    Examples
    --------
    >>> import torch
    >>> x = torch.randn(2, 3, 4, 16)
    >>> bool(torch.allclose(synthesise(analyse(x)), x, atol=1e-4))
    True
    """
    mean, std = spectrum.side[:, 0, None, None, None], spectrum.side[:, 1, None, None, None]
    modulus = torch.expm1(spectrum.amplitude * std + mean)
    return torch.fft.ifft(torch.complex(modulus * spectrum.cos, modulus * spectrum.sin)).real


def reconstruction_losses(target: Spectrum, predicted: Spectrum, x: Tensor) -> dict[str, Tensor]:
    """Losses of the decoder, each a scalar and unweighted.

    Parameters
    ----------
    target, predicted : Spectrum
        Spectrum of the input and of the decoder.
    x : Tensor, shape (batch, n_chans, n_patches, patch_size)
        The input.

    Returns
    -------
    dict of str to Tensor
        ``amplitude``: mean squared error of the standardised log amplitude.
        ``phase``: one minus the mean cosine between the (cos, sin) vectors, plus 0.1 times the
        mean squared distance of the squared radius from 1.
        ``signal``: mean squared error of the segment-wise standardised signals.
        ``waveform``: mean squared error of the signals over the variance of the input; unlike
        the published terms it sees the amplitude.

    References
    ----------
    Barmpas et al., "NeuroRVQ" (2025), training objective, for the first three.

    Examples
    --------
    >>> import torch
    >>> x = torch.randn(2, 3, 4, 16)
    >>> target = analyse(x)
    >>> sorted(reconstruction_losses(target, target, x))
    ['amplitude', 'phase', 'signal', 'waveform']
    """
    circle = torch.stack((target.cos, target.sin), -1)
    guess = torch.stack((predicted.cos, predicted.sin), -1)
    radius = guess.square().sum(-1)
    phase = 1 - F.cosine_similarity(guess, circle, dim=-1).mean()
    rebuilt = synthesise(predicted)
    scale = x.flatten(1).var(dim=1).clamp(min=1e-8)[:, None, None, None]
    return {
        "amplitude": F.mse_loss(predicted.amplitude, target.amplitude),
        "phase": phase + 0.1 * (radius - 1).square().mean(),
        "signal": F.mse_loss(standardise(rebuilt)[0], standardise(x)[0]),
        "waveform": ((rebuilt - x).square() / scale).mean(),
    }


class NeuroRVQTokenizer(PatchTokenizer[Spectrum]):
    """Tokenizer: encoder, residual quantizer of four temporal scales, decoder.

    Parameters
    ----------
    n_outputs : None
        Not used; part of braindecode's common signature.
    n_chans : int | None
        Number of channels.
    chs_info : sequence of mapping | None
        MNE's ``info["chs"]``: the channel names, resolved here so that ``model(x)`` is enough.
    n_times : int | None
        Samples of a window, a multiple of the patch size.
    input_window_seconds : float | None
        Duration of a window.
    sfreq : float | None
        Sampling rate in Hz; must be the model's.
    config : NeuroRVQConfig | None
        Structure; None takes the published one for EEG.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQTokenizer, QuantizerConfig
    >>> small = replace(NEURORVQ_EEG, depth=1, decoder_depth=1,
    ...                 quantizer=QuantizerConfig(n_codes=16, code_dim=8))
    >>> model = NeuroRVQTokenizer(chs_info=[{"ch_name": "Cz"}], config=small).eval()
    >>> codes, side = model.encode(torch.randn(2, 1, 400))
    >>> codes.shape, side.shape
    (torch.Size([2, 1, 2, 4, 8]), torch.Size([2, 2]))
    >>> model.decode_codes(codes, side).shape
    torch.Size([2, 1, 400])
    """

    published = NEURORVQ_EEG
    _n_side_axes = 1

    config: NeuroRVQConfig

    def _make_decoder(self) -> None:
        config, width = self.config, self.config.feature_dim
        dim, size = config.embed_dim, config.patch_size
        self.from_code = nn.ModuleList(
            nn.Linear(config.quantizer.code_dim, dim) for _ in config.scales
        )
        self.decoder = make_trunk(config, config.decoder_depth, config.tokenizer_style)
        self.decoder_norms = scale_norms(config)
        self.to_amplitude = nn.Sequential(nn.Linear(width, dim), nn.GELU(), nn.Linear(dim, size))
        self.to_sin, self.to_cos = (
            tanh_layers(width, dim, size).append(nn.Tanh()) for _ in range(2)
        )

    def from_vectors(self, vectors: Tensor, side: Tensor, channel_ids: Tensor) -> Spectrum:
        x = each_scale(self.from_code, vectors).unflatten(1, (side.shape[0], -1))
        x = each_scale(self.decoder_norms, self.decoder(x, channel_ids))
        x = x.permute(1, 2, 0, 3).flatten(2).unflatten(1, (channel_ids.shape[-1], -1))
        return Spectrum(
            self.to_amplitude(x).float(), self.to_sin(x).float(), self.to_cos(x).float(), side
        )

    def _join_sides(self, sides: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(sides), dim=1)

    def _split_side(self, side: Tensor, segments: tuple[int, ...]) -> Sequence[Tensor]:
        return side.unbind(1)

    def _with_scale(self, side: Tensor, scale: Tensor | None) -> Tensor:
        return side if scale is None else torch.cat((side, scale), -1)

    def _without_scale(self, side: Tensor) -> tuple[Tensor, Tensor | None]:
        return (side, None) if self.config.input_scale == "none" else (side[:, :2], side[:, 2:])

    def _analyse(self, patches: Tensor) -> Spectrum:
        return analyse(patches)

    def _synthesise(self, view: Spectrum) -> Tensor:
        return synthesise(view)

    def _compare(self, target: Spectrum, predicted: Spectrum, patches: Tensor) -> dict[str, Tensor]:
        return reconstruction_losses(target, predicted, patches)


class NeuroRVQ(FoundationModel):
    """Foundation model: the NeuroRVQ encoder with optional heads.

    Parameters
    ----------
    n_outputs : int | None
        Size of the classification head ``final_layer``; None builds no head.
    n_chans, chs_info, n_times, input_window_seconds, sfreq
        As in :class:`NeuroRVQTokenizer`.
    config : NeuroRVQConfig | None
        Structure; None takes that of ``pretrained``, or the published one for EEG.
    masked_token_heads : bool
        Whether to have the heads of the pretraining task.
    head : "mean" | "flatten"
        Whether ``final_layer`` sees the mean over channels and patches or all of them in a row.
    pretrained : NeuroRVQ | None
        A loaded model, ``load_pretrained(name).foundation``, to start from. Its structure and the
        weights of its encoder are copied; its heads, channels and window are not. It is neither
        changed nor shared.

    Raises
    ------
    TypeError
        If ``pretrained`` is not a NeuroRVQ, for example a name.
    ValueError
        If ``config`` is not that of ``pretrained``, a channel is not in the vocabulary, or rate,
        lengths or numbers of channels contradict the model or each other.

    Notes
    -----
    The parameters of the trunk start with ``encoder.``, those of the head with ``final_layer.``.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQ
    >>> model = NeuroRVQ(n_outputs=3, chs_info=[{"ch_name": "C3"}, {"ch_name": "C4"}],
    ...                  config=replace(NEURORVQ_EEG, depth=1)).eval()
    >>> x = torch.randn(2, 2, 400)
    >>> model(x).shape
    torch.Size([2, 3])
    >>> model(x, return_features=True)["features"].shape
    torch.Size([2, 2, 2, 800])

    Start from loaded weights, with a new head:

    >>> from mne_neurorvq import load_pretrained
    >>> loaded = load_pretrained("neurorvq-eeg-tiny-random")
    >>> model = NeuroRVQ(n_outputs=3, pretrained=loaded.foundation)
    >>> model.config == loaded.config, model.final_layer.linear.out_features
    (True, 3)
    """

    published = NEURORVQ_EEG
    config: NeuroRVQConfig

    def _features(self, embeddings: Tensor, channel_ids: Tensor) -> tuple[Tensor, None]:
        features = self.encoder.trunk(embeddings, channel_ids)
        return features.permute(1, 2, 0, 3).flatten(2), None

    def _hidden_features(self, embeddings: Tensor, channel_ids: Tensor) -> Tensor:
        return self.encoder.trunk(embeddings, channel_ids)
