# License: BSD-3-Clause
"""BrainRVQ: one feature, quantized once for the waveform and once for the spectrum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import ConvStage, QuantizerConfig, TransformerConfig, TrunkStyle
from .foundation_model import FoundationModel
from .input_scale import multiplied
from .patch_tokenizer import PatchTokenizer, standardise, tanh_layers
from .trunk import make_trunk

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
    max_patches : int
        Most patches of a channel, and rows of the time embedding.
    sfreq, patch_size, unit, n_filters, n_groups, n_heads, depth, decoder_depth, mlp_ratio, \
foundation_layer_scale
        As in :class:`NeuroRVQConfig`.
    quantizer : QuantizerConfig
        The residual quantizer, with one codebook for each domain.
    input_scale : "none" | "segment" | "channel"
        As in :class:`NeuroRVQConfig`; the side information of each patch is that of the input as
        it was, and needs no scale beside it.
    reference : "recorded" | "average" | "laplacian"
        Reference in which estimators give it signals where they are not told another.
    trained : tuple of str
        Names of the vocabulary that training has seen, if that is known: estimators take the others
        for unknown, since their embeddings are starting values. Empty for the published models.
    foundation_qkv_bias : bool
        Whether queries and values of the foundation model have a bias, as the tokenizer's do.
    foundation_drop_path : float
        In training, the share of windows that the last block of the foundation model skips.
    domains : tuple of "time" | "frequency"
        What is quantized and decoded, in the order of the codebooks; one alone is an ablation.
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
    def hierarchical_heads(self) -> bool:
        return self.token_heads == "hierarchical"

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
        return TrunkStyle(qk_norm=False, norm_eps=1e-6, class_row=True, time_from_start=True)

    @property
    def foundation_style(self) -> TrunkStyle:
        return TrunkStyle(
            qkv_bias=self.foundation_qkv_bias,
            norm_eps=1e-6,
            layer_scale=self.foundation_layer_scale,
            drop_path=self.foundation_drop_path,
            class_row=True,
            time_from_start=True,
            sees_scale=self.input_scale == "channel",
        )

    @property
    def codebook_names(self) -> tuple[str, ...]:
        return self.domains

    def side_shape(self, n_channels: int, segments: tuple[int, ...]) -> tuple[int, ...]:
        return (n_channels, sum(segments), 2)

    def feature_names(self) -> list[str]:
        return [f"feature_{i}" for i in range(self.feature_dim)]

    def patches_per_segment(self, n_channels: int) -> int:
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

# Added to the standard deviation of a patch, as the released code does.
_EPS = 1e-6


class DualView(NamedTuple):
    """Patches in the time domain, the frequency domain, or both.

    Parameters
    ----------
    waveform : Tensor, shape (batch, n_chans, n_patches, patch_size) | None
        Samples, standardised in each patch.
    amplitude : Tensor, shape (batch, n_chans, n_patches, patch_size) | None
        Modulus of the two-sided spectrum, standardised over the window.
    phase : Tensor, shape (batch, n_chans, n_patches, patch_size[, 2]) | None
        Cosine and sine of the phase, on a last axis; or its angle, standardised over the window.
    side : Tensor, shape (batch, n_chans, n_patches, 2)
        Mean and standard deviation of each patch; without the time domain those of the modulus,
        the same for all patches of a window.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import BRAINRVQ_EEG, analyse_dual
    >>> analyse_dual(torch.randn(2, 3, 4, 200), BRAINRVQ_EEG).phase.shape
    torch.Size([2, 3, 4, 200, 2])
    """

    waveform: Tensor | None
    amplitude: Tensor | None
    phase: Tensor | None
    side: Tensor


def analyse_dual(patches: Tensor, config: BrainRVQConfig) -> DualView:
    """View patches in the domains of a configuration, the targets of the decoders.

    Parameters
    ----------
    patches : Tensor, shape (batch, n_chans, n_patches, patch_size)
        Samples.
    config : BrainRVQConfig
        Which domains, and how the phase is represented.

    Returns
    -------
    DualView
        Their view and its side information.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import BRAINRVQ_EEG
    >>> view = analyse_dual(torch.randn(2, 3, 4, 200), BRAINRVQ_EEG)
    >>> bool(torch.allclose(view.waveform.std(-1), torch.ones(1), atol=1e-4))
    True
    """
    waveform = amplitude = phase = None
    var, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    std = var.sqrt()
    side = torch.cat((mean, std), -1)
    if "time" in config.domains:
        waveform = (patches - mean) / (std + _EPS)
    if "frequency" in config.domains:
        spectrum = torch.fft.fft(patches)
        amplitude, scale = standardise(spectrum.abs())
        angle = spectrum.angle()
        if config.phase == "circular":
            phase = torch.stack((angle.cos(), angle.sin()), -1)
        else:
            phase = standardise(angle)[0]
        if waveform is None:
            side = scale[:, None, None].expand_as(side)
    return DualView(waveform, amplitude, phase, side)


def synthesise_dual(view: DualView) -> Tensor:
    """Invert :func:`analyse_dual`: through the waveform where there is one.

    Parameters
    ----------
    view : DualView
        Possibly predicted: the spectrum need not be Hermitian; the real part is taken. Without a
        waveform it needs a circular phase.

    Returns
    -------
    Tensor, shape (batch, n_chans, n_patches, patch_size)
        Samples.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import BRAINRVQ_EEG, analyse_dual
    >>> x = torch.randn(2, 3, 4, 200)
    >>> bool(torch.allclose(synthesise_dual(analyse_dual(x, BRAINRVQ_EEG)), x, atol=1e-5))
    True
    """
    first, second = view.side.unbind(-1)
    if view.waveform is not None:
        return view.waveform * (second[..., None] + _EPS) + first[..., None]
    if view.amplitude is None or view.phase is None or view.phase.ndim < 5:
        raise ValueError("a view without a waveform needs an amplitude and a circular phase.")
    modulus = view.amplitude * second[..., None] + first[..., None]
    cos, sin = view.phase.unbind(-1)
    return torch.fft.ifft(torch.complex(modulus * cos, modulus * sin)).real


def dual_losses(target: DualView, predicted: DualView) -> dict[str, Tensor]:
    """Losses of the decoders, each a scalar and unweighted.

    Parameters
    ----------
    target, predicted : DualView
        Views of the input and of its reconstruction.

    Returns
    -------
    dict of str to Tensor
        For each domain that there is: ``waveform`` and ``amplitude``, mean squared errors of the
        standardised values; ``phase``, the mean squared distance between the points (cosine,
        sine), or under ``phase="angle"`` the mean squared error of the standardised angles. Each
        is 1 where nothing but zeros is predicted.

    Notes
    -----
    The released code sums them with the commitment loss, with ``phase="angle"``. The distance of
    points has no direction to divide by, as a cosine of vectors has: its gradient stays small
    while the prediction is, and does not drown those of the other losses.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import BRAINRVQ_EEG, analyse_dual
    >>> view = analyse_dual(torch.randn(2, 3, 4, 200), BRAINRVQ_EEG)
    >>> sorted(dual_losses(view, view))
    ['amplitude', 'phase', 'waveform']
    """
    losses: dict[str, Tensor] = {}
    if target.waveform is not None and predicted.waveform is not None:
        losses["waveform"] = F.mse_loss(predicted.waveform, target.waveform)
    if target.amplitude is not None and predicted.amplitude is not None:
        losses["amplitude"] = F.mse_loss(predicted.amplitude, target.amplitude)
    if target.phase is not None and predicted.phase is not None:
        error = (predicted.phase - target.phase).square()
        losses["phase"] = (error.sum(-1) if error.ndim == 5 else error).mean()
    return losses


class Decoder(nn.Module):
    """From the quantized vectors of a domain to embeddings of patches."""

    def __init__(self, config: BrainRVQConfig) -> None:
        super().__init__()
        self.from_code = nn.Linear(config.quantizer.code_dim, config.embed_dim)
        self.trunk = make_trunk(config, config.decoder_depth, config.tokenizer_style)
        self.norm = nn.LayerNorm(config.embed_dim, eps=config.tokenizer_style.norm_eps)

    def forward(self, vectors: Tensor, channel_ids: Tensor) -> Tensor:
        """Map ``(batch, n_tokens, code_dim)`` to ``(batch, n_tokens, embed_dim)``."""
        return self.norm(self.trunk(self.from_code(vectors), channel_ids))


class BrainRVQTokenizer(PatchTokenizer[DualView]):
    """Tokenizer: one encoder, a residual quantizer and a decoder for each of two domains.

    Parameters
    ----------
    n_outputs, n_chans, chs_info, n_times, input_window_seconds, sfreq
        As in :class:`NeuroRVQTokenizer`.
    config : BrainRVQConfig | None
        Structure; None takes the published one.

    Notes
    -----
    Codebook 0 is that of the time domain, codebook 1 that of the frequency domain. A signal is
    decoded from the codes of the time domain and the mean and standard deviation of each patch;
    the codes of the frequency domain describe its spectrum. A model of the frequency domain alone
    is decoded through amplitude and phase.

    References
    ----------
    BrainRVQ, https://github.com/keqicmz/BrainRVQ. This is an independent implementation.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from mne_neurorvq.models import BRAINRVQ_EEG, BrainRVQTokenizer
    >>> small = replace(BRAINRVQ_EEG, depth=1, decoder_depth=1,
    ...                 quantizer=replace(BRAINRVQ_EEG.quantizer, n_codes=16, code_dim=8))
    >>> model = BrainRVQTokenizer(chs_info=[{"ch_name": "Cz"}], config=small).eval()
    >>> codes, side = model.encode(torch.randn(2, 1, 400))
    >>> codes.shape, side.shape
    (torch.Size([2, 1, 2, 2, 3]), torch.Size([2, 1, 2, 2]))
    >>> model.decode_codes(codes, side).shape
    torch.Size([2, 1, 400])
    """

    published = BRAINRVQ_EEG
    _n_side_axes = 3
    _init_convolutions = False

    config: BrainRVQConfig

    def _make_decoder(self) -> None:
        config = self.config
        dim, size = config.embed_dim, config.patch_size
        self.decoders = nn.ModuleDict({domain: Decoder(config) for domain in config.domains})
        if "time" in config.domains:
            self.to_waveform = tanh_layers(dim, dim, size)
        if "frequency" in config.domains:
            self.to_amplitude = tanh_layers(dim, dim, size)
            n_numbers = 2 * size if config.phase == "circular" else size
            self.to_phase = tanh_layers(dim, dim, n_numbers)

    def from_vectors(self, vectors: Tensor, side: Tensor, channel_ids: Tensor) -> DualView:
        decoded = {
            domain: decoder(book.unflatten(0, (side.shape[0], -1)), channel_ids).view(
                *side.shape[:3], -1
            )
            for (domain, decoder), book in zip(self.decoders.items(), vectors, strict=True)
        }
        waveform = amplitude = phase = None
        if "time" in decoded:
            waveform = self.to_waveform(decoded["time"]).float()
        if "frequency" in decoded:
            amplitude = self.to_amplitude(decoded["frequency"]).float()
            phase = self.to_phase(decoded["frequency"]).float()
            if self.config.phase == "circular":
                phase = phase.unflatten(-1, (-1, 2))
        return DualView(waveform, amplitude, phase, side)

    def _join_sides(self, sides: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(sides), dim=2)

    def _split_side(self, side: Tensor, segments: tuple[int, ...]) -> Sequence[Tensor]:
        if side.shape[2] != sum(segments):
            raise ValueError(
                f"side must hold {sum(segments)} patches of each channel, got shape "
                f"{tuple(side.shape)}."
            )
        return side.split(segments, dim=2)

    def _with_scale(self, side: Tensor, scale: Tensor | None) -> Tensor:
        return multiplied(side, scale)

    def _without_scale(self, side: Tensor) -> tuple[Tensor, None]:
        return side, None

    def _analyse(self, patches: Tensor) -> DualView:
        return analyse_dual(patches, self.config)

    def _synthesise(self, view: DualView) -> Tensor:
        return synthesise_dual(view)

    def _compare(self, target: DualView, predicted: DualView, patches: Tensor) -> dict[str, Tensor]:
        return dual_losses(target, predicted)


class BrainRVQ(FoundationModel):
    """Foundation model: the BrainRVQ encoder with optional heads.

    Parameters
    ----------
    n_outputs : int | None
        Size of the classification head ``final_layer``; None builds no head.
    n_chans, chs_info, n_times, input_window_seconds, sfreq
        As in :class:`NeuroRVQTokenizer`.
    config : BrainRVQConfig | None
        Structure; None takes that of ``pretrained``, or the published one.
    masked_token_heads : bool
        As in :class:`NeuroRVQ`.
    head : "mean" | "flatten" | "cls"
        Whether ``final_layer`` sees the mean over channels and patches, all of them in a row, or
        the class token.
    pretrained : BrainRVQ | None
        A loaded model to start from, as in :class:`NeuroRVQ`.

    Notes
    -----
    The parameters of the trunk start with ``encoder.``, those of the head with ``final_layer.``.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from mne_neurorvq.models import BRAINRVQ_EEG, BrainRVQ
    >>> model = BrainRVQ(n_outputs=3, chs_info=[{"ch_name": "C3"}, {"ch_name": "FP1-F7"}],
    ...                  config=replace(BRAINRVQ_EEG, depth=1)).eval()
    >>> x = torch.randn(2, 2, 400)
    >>> model(x).shape
    torch.Size([2, 3])
    >>> found = model(x, return_features=True)
    >>> found["features"].shape, found["cls_token"].shape
    (torch.Size([2, 2, 2, 200]), torch.Size([2, 200]))
    """

    published = BRAINRVQ_EEG
    head_kinds = ("mean", "flatten", "cls")
    _init_convolutions = False

    config: BrainRVQConfig

    def _features(self, embeddings: Tensor, channel_ids: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.encoder.trunk(embeddings[0], channel_ids, keep_class=True)
        return tokens[:, 1:], tokens[:, 0]

    def _hidden_features(self, embeddings: Tensor, channel_ids: Tensor) -> Tensor:
        released = self.config.class_place == "first channel"
        class_channel = channel_ids[..., :1] if released else None
        tokens = self.encoder.trunk(embeddings[0], channel_ids, class_channel=class_channel)
        return tokens.expand(self.config.quantizer.n_codebooks, -1, -1, -1)
