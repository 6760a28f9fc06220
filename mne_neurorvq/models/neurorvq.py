# License: BSD-3-Clause
"""NeuroRVQ: the multi-scale tokenizer and the foundation model on the same encoder."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import NEURORVQ_EEG, NeuroRVQConfig
from .quantizer import Quantized, ResidualVQ
from .signature import as_patches, check_budget, check_length, pick_channels, resolve_channels
from .spectrum import Spectrum, analyse, reconstruction_losses, synthesise
from .trunk import Trunk, init_trunk

ChannelsInfo = Sequence[Mapping[str, Any]]


class PatchEmbedding(nn.Module):
    """Temporal convolutions of one scale, from patches to embeddings.

    Parameters
    ----------
    config : NeuroRVQConfig
        Filters and groups.
    kernel_1, kernel_2 : int
        Widths of the two convolutions.

    Notes
    -----
    Convolutions never cross patches, but the GroupNorm statistics run over all channels and
    patches of the segment.
    """

    def __init__(self, config: NeuroRVQConfig, kernel_1: int, kernel_2: int) -> None:
        super().__init__()
        width, groups = config.n_filters, config.n_groups
        self.conv1 = nn.Conv2d(1, width, (1, kernel_1), padding=(0, kernel_1 // 2))
        self.norm1 = nn.GroupNorm(groups, width)
        self.conv2 = nn.Conv2d(width, width, (1, kernel_2), padding=(0, kernel_2 // 2))
        self.norm2 = nn.GroupNorm(groups, width)

    def forward(self, patches: Tensor) -> Tensor:
        """Map ``(batch, n_tokens, patch_size)`` to ``(batch, n_tokens, embed_dim)``."""
        x = F.avg_pool2d(F.gelu(self.norm1(self.conv1(patches[:, None]))), (1, 2))
        x = F.avg_pool2d(F.gelu(self.norm2(self.conv2(x))), (1, 4))
        return x.permute(0, 2, 3, 1).flatten(2)


class Encoder(nn.Module):
    """Patch embeddings of all scales and the trunk that they share.

    Parameters
    ----------
    config : NeuroRVQConfig
        Structure.
    layer_scale : float
        Initial LayerScale of the blocks; 0 leaves it out.
    """

    def __init__(self, config: NeuroRVQConfig, layer_scale: float = 0.0) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchEmbedding(config, *kernels)
            for kernels in zip(config.kernels_1, config.kernels_2, strict=True)
        )
        self.trunk = _make_trunk(config, config.depth, layer_scale)

    def embed(self, patches: Tensor) -> Tensor:
        """Patch embeddings of every scale.

        Parameters
        ----------
        patches : Tensor, shape (batch, n_chans, n_patches, patch_size)
            Samples.

        Returns
        -------
        Tensor, shape (n_scales, batch, n_chans * n_patches, embed_dim)
            Embeddings, channel-major.
        """
        tokens = patches.flatten(1, 2)
        return torch.stack([scale(tokens) for scale in self.scales])

    def forward(self, embeddings: Tensor, channel_ids: Tensor) -> Tensor:
        """Run all scales through the trunk as one batch.

        Parameters
        ----------
        embeddings : Tensor, shape (n_scales, batch, n_tokens, embed_dim)
            What :meth:`embed` gave.
        channel_ids : Tensor of int64, shape (n_chans,)
            Vocabulary rows.

        Returns
        -------
        Tensor, shape (n_scales, batch, n_tokens, embed_dim)
            Output of the last block.
        """
        return _through(self.trunk, embeddings, channel_ids)


def _make_trunk(config: NeuroRVQConfig, depth: int, layer_scale: float = 0.0) -> Trunk:
    return Trunk(
        config.embed_dim,
        config.n_heads,
        depth,
        config.mlp_ratio,
        len(config.channels),
        config.max_patches,
        layer_scale,
    )


def _through(trunk: Trunk, x: Tensor, channel_ids: Tensor) -> Tensor:
    return trunk(x.flatten(0, 1), channel_ids).unflatten(0, x.shape[:2])


def _scale_norms(config: NeuroRVQConfig) -> nn.ModuleList:
    return nn.ModuleList(nn.LayerNorm(config.embed_dim) for _ in config.kernels_1)


def _each_scale(modules: nn.ModuleList, x: Tensor) -> Tensor:
    """Apply the module of each scale to its slice of the first axis."""
    return torch.stack([module(part) for module, part in zip(modules, x, strict=True)])


class NeuroRVQTokenizer(nn.Module):
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
    config : NeuroRVQConfig
        Structure.

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

    def __init__(
        self,
        n_outputs: int | None = None,
        n_chans: int | None = None,
        chs_info: ChannelsInfo | None = None,
        n_times: int | None = None,
        input_window_seconds: float | None = None,
        sfreq: float | None = None,
        *,
        config: NeuroRVQConfig = NEURORVQ_EEG,
    ) -> None:
        super().__init__()
        self.config = config
        self.n_times = check_length(config, n_times, input_window_seconds, sfreq)
        self._channel_ids = resolve_channels(config, chs_info, n_chans)
        dim, code_dim = config.embed_dim, config.quantizer.code_dim
        self.encoder = Encoder(config)
        self.encoder_norms = _scale_norms(config)
        self.to_code = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, code_dim))
            for _ in config.kernels_1
        )
        self.quantizer = ResidualVQ(config.quantizer)
        self.from_code = nn.ModuleList(nn.Linear(code_dim, dim) for _ in config.kernels_1)
        self.decoder = _make_trunk(config, config.decoder_depth)
        self.decoder_norms = _scale_norms(config)
        width = dim * len(config.kernels_1)
        self.to_amplitude = nn.Sequential(
            nn.Linear(width, dim), nn.GELU(), nn.Linear(dim, config.patch_size)
        )
        self.to_sin, self.to_cos = (
            nn.Sequential(
                nn.Linear(width, dim), nn.Tanh(), nn.Linear(dim, config.patch_size), nn.Tanh()
            )
            for _ in range(2)
        )
        init_trunk(self)

    def to_vectors(self, patches: Tensor, channel_ids: Tensor) -> Tensor:
        """Encode patches up to the quantizer.

        Parameters
        ----------
        patches : Tensor, shape (batch, n_chans, n_patches, patch_size)
            Samples.
        channel_ids : Tensor of int64, shape (n_chans,)
            Vocabulary rows.

        Returns
        -------
        Tensor, shape (n_codebooks, batch * n_chans * n_patches, code_dim)
            Vectors to quantize.
        """
        features = self.encoder(self.encoder.embed(patches), channel_ids)
        features = _each_scale(self.encoder_norms, features)
        # The published quantizer runs in float32 whatever precision the trunk has.
        with torch.autocast(features.device.type, enabled=False):
            return _each_scale(self.to_code, features.float()).flatten(1, 2)

    def from_vectors(self, vectors: Tensor, side: Tensor, channel_ids: Tensor) -> Spectrum:
        """Decode quantized vectors to a spectrum.

        Parameters
        ----------
        vectors : Tensor, shape (n_codebooks, batch * n_chans * n_patches, code_dim)
            Quantized vectors.
        side : Tensor, shape (batch, 2)
            Mean and standard deviation of the log amplitude.
        channel_ids : Tensor of int64, shape (n_chans,)
            Vocabulary rows.

        Returns
        -------
        Spectrum
            Predicted spectrum of every patch.
        """
        x = _each_scale(self.from_code, vectors).unflatten(1, (len(side), -1))
        x = _each_scale(self.decoder_norms, _through(self.decoder, x, channel_ids))
        x = x.permute(1, 2, 0, 3).flatten(2).unflatten(1, (len(channel_ids), -1))
        return Spectrum(
            self.to_amplitude(x).float(), self.to_sin(x).float(), self.to_cos(x).float(), side
        )

    def encode(self, x: Tensor, channel_ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Turn windows into codes.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.
        channel_ids : Tensor of int64, shape (n_chans,) | None
            Vocabulary rows; None takes those of ``chs_info``.

        Returns
        -------
        codes : Tensor of int64, shape (batch, n_chans, n_patches, n_codebooks, n_levels)
            Codes.
        side : Tensor, shape (batch, 2)
            Mean and standard deviation of the log amplitude, which decoding needs.

        Raises
        ------
        ValueError
            If the length, the number of channels or the token budget do not fit.
        """
        patches = as_patches(self.config, x)
        channel_ids = pick_channels(self.config, channel_ids, self._channel_ids, x)
        codes = self.quantizer.encode(self.to_vectors(patches, channel_ids))
        return codes.movedim(0, 1).unflatten(0, patches.shape[:3]), analyse(patches).side

    def decode_codes(
        self, codes: Tensor, side: Tensor, channel_ids: Tensor | None = None
    ) -> Tensor:
        """Turn codes and side information back into windows.

        Parameters
        ----------
        codes : Tensor of int64, shape (batch, n_chans, n_patches, n_codebooks, n_levels)
            Codes; fewer levels than the model has give a coarser signal.
        side : Tensor, shape (batch, 2)
            Mean and standard deviation of the log amplitude.
        channel_ids : Tensor of int64, shape (n_chans,) | None
            Vocabulary rows; None takes those of ``chs_info``.

        Returns
        -------
        Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.

        Raises
        ------
        ValueError
            If the shapes do not fit the model or a code is not in the codebook.
        """
        quantizer = self.config.quantizer
        if (
            codes.ndim != 5
            or codes.shape[3] != quantizer.n_codebooks
            or not 1 <= codes.shape[4] <= quantizer.n_levels
        ):
            raise ValueError(
                "codes must be (batch, n_chans, n_patches, "
                f"{quantizer.n_codebooks}, 1..{quantizer.n_levels}), got {tuple(codes.shape)}."
            )
        channel_ids = pick_channels(self.config, channel_ids, self._channel_ids, codes)
        check_budget(self.config, codes.shape[1], codes.shape[2])
        if side.shape != (len(codes), 2):
            raise ValueError(f"side must be {(len(codes), 2)}, got shape {tuple(side.shape)}.")
        if codes.numel() and (codes.min() < 0 or codes.max() >= quantizer.n_codes):
            raise ValueError(
                f"codes must lie in 0..{quantizer.n_codes - 1}, got {codes.min().item()}.."
                f"{codes.max().item()}."
            )
        vectors = self.quantizer.decode(codes.flatten(0, 2).movedim(1, 0).long())
        return synthesise(self.from_vectors(vectors, side, channel_ids)).flatten(2)

    def forward(self, x: Tensor, channel_ids: Tensor | None = None) -> Tensor:
        """Reconstruct windows through the codes.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.
        channel_ids : Tensor of int64, shape (n_chans,) | None
            Vocabulary rows; None takes those of ``chs_info``.

        Returns
        -------
        Tensor, shape (batch, n_chans, n_times)
            Reconstruction in the unit of ``x``.
        """
        return synthesise(self.reconstruct(x, channel_ids)[0]).flatten(2)

    def reconstruct(
        self, x: Tensor, channel_ids: Tensor | None = None
    ) -> tuple[Spectrum, Spectrum, Quantized]:
        """Run the whole tokenizer; in training mode the codebooks learn.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.
        channel_ids : Tensor of int64, shape (n_chans,) | None
            Vocabulary rows; None takes those of ``chs_info``.

        Returns
        -------
        predicted, target : Spectrum
            Spectra of the reconstruction and of the input.
        quantized : Quantized
            Output of the quantizer.
        """
        patches = as_patches(self.config, x)
        channel_ids = pick_channels(self.config, channel_ids, self._channel_ids, x)
        target = analyse(patches)
        quantized = self.quantizer(self.to_vectors(patches, channel_ids))
        return self.from_vectors(quantized.vectors, target.side, channel_ids), target, quantized

    def losses(
        self, x: Tensor, channel_ids: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Quantized]:
        """Training losses, each unweighted.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.
        channel_ids : Tensor of int64, shape (n_chans,) | None
            Vocabulary rows; None takes those of ``chs_info``.

        Returns
        -------
        losses : dict of str to Tensor
            ``code`` (commitment) and the terms of
            :func:`~mne_neurorvq.models.reconstruction_losses`. The published objective is
            ``code + amplitude + phase + signal``.
        quantized : Quantized
            Output of the quantizer, for its usage and residual norms.
        """
        predicted, target, quantized = self.reconstruct(x, channel_ids)
        losses = reconstruction_losses(target, predicted, as_patches(self.config, x))
        return {"code": quantized.loss, **losses}, quantized


class MaskedTokenHeads(nn.Module):
    """What masked-token prediction adds to the encoder: mask token, norm and linear heads.

    Parameters
    ----------
    config : NeuroRVQConfig
        Structure.
    """

    def __init__(self, config: NeuroRVQConfig) -> None:
        super().__init__()
        quantizer, dim = config.quantizer, config.embed_dim
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.norm = nn.LayerNorm(dim)
        shape = (quantizer.n_codebooks, quantizer.n_levels, quantizer.n_codes)
        self.weight = nn.Parameter(torch.empty(*shape, dim))
        self.bias = nn.Parameter(torch.zeros(shape))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of every code.

        Parameters
        ----------
        features : Tensor, shape (n_codebooks, n_masked, embed_dim)
            Block outputs at the masked positions.

        Returns
        -------
        Tensor, shape (n_codebooks, n_levels, n_masked, n_codes)
            Logits.
        """
        features = self.norm(features)
        logits = torch.baddbmm(
            self.bias.flatten(1)[:, None], features, self.weight.flatten(1, 2).transpose(1, 2)
        )
        return logits.unflatten(-1, self.bias.shape[1:]).transpose(1, 2)


class NeuroRVQ(nn.Module):
    """Foundation model: the NeuroRVQ encoder with optional heads.

    Parameters
    ----------
    n_outputs : int | None
        Size of the classification head ``final_layer``; None leaves it out.
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
    config : NeuroRVQConfig
        Structure.
    masked_token_heads : bool
        Whether to have the heads of the pretraining task.
    head : "mean" | "flatten"
        Whether ``final_layer`` sees the mean over channels and patches or all of them in a row.

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
        config: NeuroRVQConfig = NEURORVQ_EEG,
        masked_token_heads: bool = False,
        head: Literal["mean", "flatten"] = "mean",
    ) -> None:
        super().__init__()
        if head not in ("mean", "flatten"):
            raise ValueError(f"head must be 'mean' or 'flatten', got {head!r}.")
        self.config = config
        self.head = head
        self.n_times = check_length(config, n_times, input_window_seconds, sfreq)
        self._channel_ids = resolve_channels(config, chs_info, n_chans)
        self.n_chans = n_chans if self._channel_ids is None else len(self._channel_ids)
        self.encoder = Encoder(config, config.foundation_layer_scale)
        self.masked_tokens = MaskedTokenHeads(config) if masked_token_heads else None
        self.final_layer: nn.Module | None = None
        init_trunk(self)
        if n_outputs is not None:
            self.reset_head(n_outputs)

    def reset_head(self, n_outputs: int) -> None:
        """Put a new classification head in place.

        Parameters
        ----------
        n_outputs : int
            Number of outputs.

        Raises
        ------
        ValueError
            If ``head="flatten"`` and the number of channels or samples is unknown.
        """
        width = self.config.embed_dim * len(self.config.kernels_1)
        if self.head == "flatten":
            if self.n_chans is None or self.n_times is None:
                raise ValueError("head='flatten' needs n_chans (or chs_info) and n_times.")
            width *= self.n_chans * (self.n_times // self.config.patch_size)
        self.n_outputs = n_outputs
        layers = OrderedDict(norm=nn.LayerNorm(width), linear=nn.Linear(width, n_outputs))
        self.final_layer = nn.Sequential(layers)

    def forward(
        self, x: Tensor, channel_ids: Tensor | None = None, return_features: bool = False
    ) -> Tensor | dict[str, Tensor | None]:
        """Classify windows, or give their features.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.
        channel_ids : Tensor of int64, shape (n_chans,) | None
            Vocabulary rows; None takes those of ``chs_info``.
        return_features : bool
            Whether to return features instead of logits.

        Returns
        -------
        Tensor, shape (batch, n_outputs) | dict
            Logits; or ``"features"``, shape ``(batch, n_chans, n_patches, n_scales *
            embed_dim)``, the scales concatenated, and ``"cls_token"``, always None.

        Raises
        ------
        ValueError
            If the input does not fit, or logits are asked for without a head.
        """
        if not return_features and self.final_layer is None:
            raise ValueError("no classification head: give n_outputs or call reset_head.")
        patches = as_patches(self.config, x)
        channel_ids = pick_channels(self.config, channel_ids, self._channel_ids, x)
        features = self.encoder(self.encoder.embed(patches), channel_ids)
        features = features.permute(1, 2, 0, 3).flatten(2)
        if return_features:
            return {"features": features.unflatten(1, patches.shape[1:3]), "cls_token": None}
        assert self.final_layer is not None
        pooled = features.mean(1) if self.head == "mean" else features.flatten(1)
        return self.final_layer(pooled)

    def masked_token_logits(
        self, x: Tensor, mask: Tensor, channel_ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predict the codes of masked patches, with symmetric masking.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.
        mask : Tensor of bool, shape (batch, n_chans * n_patches) or (batch, n_chans, n_patches)
            True where the patch is hidden, in all scales.
        channel_ids : Tensor of int64, shape (n_chans,) | None
            Vocabulary rows; None takes those of ``chs_info``.

        Returns
        -------
        logits : Tensor, shape (n_codebooks, n_levels, n_masked, n_codes)
            Logits at the masked patches, in row-major order of the mask.
        symmetric : Tensor, shape (n_codebooks, n_levels, n_unmasked, n_codes)
            Logits at the other patches when those are hidden instead.

        Raises
        ------
        ValueError
            If the model has no masked-token heads or the mask does not fit.
        """
        if self.masked_tokens is None:
            raise ValueError("no masked-token heads: build the model with masked_token_heads=True.")
        patches = as_patches(self.config, x)
        channel_ids = pick_channels(self.config, channel_ids, self._channel_ids, x)
        n_tokens = patches.shape[1] * patches.shape[2]
        if mask.ndim == 3:
            mask = mask.flatten(1)
        if mask.shape != (len(x), n_tokens) or mask.dtype != torch.bool:
            raise ValueError(
                f"mask must be bool of shape {(len(x), n_tokens)}, got {mask.dtype} of shape "
                f"{tuple(mask.shape)}."
            )
        embeddings = self.encoder.embed(patches)
        token = self.masked_tokens.mask_token.to(embeddings.dtype)
        first, second = (
            self.masked_tokens(
                self.encoder(torch.where(hidden[..., None], token, embeddings), channel_ids)[
                    :, hidden
                ]
            )
            for hidden in (mask, ~mask)
        )
        return first, second
