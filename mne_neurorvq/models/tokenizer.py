# License: BSD-3-Clause
"""The NeuroRVQ tokenizer: encoder, residual quantizer and decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import NEURORVQ_EEG, NeuroRVQConfig
from .encoder import Encoder, each_scale, make_trunk, scale_norms, through_trunk
from .quantizer import Quantized, ResidualVQ
from .signature import (
    ChannelsInfo,
    as_patches,
    check_budget,
    check_codes,
    check_length,
    pick_channels,
    resolve_channels,
)
from .spectrum import Spectrum, analyse, reconstruction_losses, synthesise
from .trunk import init_trunk


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
        self.encoder_norms = scale_norms(config)
        self.to_code = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, code_dim))
            for _ in config.kernels_1
        )
        self.quantizer = ResidualVQ(config.quantizer)
        self.from_code = nn.ModuleList(nn.Linear(code_dim, dim) for _ in config.kernels_1)
        self.decoder = make_trunk(config, config.decoder_depth)
        self.decoder_norms = scale_norms(config)
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
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans)
            Vocabulary rows, of all windows or of each.

        Returns
        -------
        Tensor, shape (n_codebooks, batch * n_chans * n_patches, code_dim)
            Vectors to quantize.
        """
        features = self._features(patches, channel_ids)
        # The published quantizer runs in float32 whatever precision the trunk has.
        with torch.autocast(features.device.type, enabled=False):
            return each_scale(self.to_code, features.float()).flatten(1, 2)

    def _features(self, patches: Tensor, channel_ids: Tensor) -> Tensor:
        """Run the encoder and its norms: ``(n_scales, batch, n_tokens, embed_dim)``."""
        features = self.encoder(self.encoder.embed(patches), channel_ids)
        return each_scale(self.encoder_norms, features)

    def from_vectors(self, vectors: Tensor, side: Tensor, channel_ids: Tensor) -> Spectrum:
        """Decode quantized vectors to a spectrum.

        Parameters
        ----------
        vectors : Tensor, shape (n_codebooks, batch * n_chans * n_patches, code_dim)
            Quantized vectors.
        side : Tensor, shape (batch, 2)
            Mean and standard deviation of the log amplitude.
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans)
            Vocabulary rows, of all windows or of each.

        Returns
        -------
        Spectrum
            Predicted spectrum of every patch.
        """
        x = each_scale(self.from_code, vectors).unflatten(1, (len(side), -1))
        x = each_scale(self.decoder_norms, through_trunk(self.decoder, x, channel_ids))
        x = x.permute(1, 2, 0, 3).flatten(2).unflatten(1, (channel_ids.shape[-1], -1))
        return Spectrum(
            self.to_amplitude(x).float(), self.to_sin(x).float(), self.to_cos(x).float(), side
        )

    def encode(self, x: Tensor, channel_ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Turn windows into codes.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans) | None
            Vocabulary rows, of all windows or of each; None takes those of ``chs_info``.

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
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans) | None
            Vocabulary rows, of all windows or of each; None takes those of ``chs_info``.

        Returns
        -------
        Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.

        Raises
        ------
        ValueError
            If the shapes do not fit the model or a code is not in the codebook.
        """
        check_codes(self.config.quantizer, codes)
        channel_ids = pick_channels(self.config, channel_ids, self._channel_ids, codes)
        check_budget(self.config, codes.shape[1], codes.shape[2])
        if side.shape != (len(codes), 2):
            raise ValueError(f"side must be {(len(codes), 2)}, got shape {tuple(side.shape)}.")
        vectors = self.quantizer.decode(codes.flatten(0, 2).movedim(1, 0).long())
        return synthesise(self.from_vectors(vectors, side, channel_ids)).flatten(2)

    def forward(
        self, x: Tensor, channel_ids: Tensor | None = None, return_features: bool = False
    ) -> Tensor | dict[str, Tensor | None]:
        """Reconstruct windows through the codes, or give the features of the encoder.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans) | None
            Vocabulary rows, of all windows or of each; None takes those of ``chs_info``.
        return_features : bool
            Whether to return features instead of a reconstruction.

        Returns
        -------
        Tensor, shape (batch, n_chans, n_times) | dict
            Reconstruction in the unit of ``x``; or ``"features"``, shape ``(batch, n_chans,
            n_patches, n_scales * embed_dim)``, the scales concatenated before they are
            projected to code vectors, and ``"cls_token"``, always None.
        """
        if return_features:
            patches = as_patches(self.config, x)
            channel_ids = pick_channels(self.config, channel_ids, self._channel_ids, x)
            features = self._features(patches, channel_ids).permute(1, 2, 0, 3).flatten(2)
            return {"features": features.unflatten(1, patches.shape[1:3]), "cls_token": None}
        return synthesise(self.reconstruct(x, channel_ids)[0]).flatten(2)

    def reconstruct(
        self, x: Tensor, channel_ids: Tensor | None = None
    ) -> tuple[Spectrum, Spectrum, Quantized]:
        """Run the whole tokenizer; in training mode the codebooks learn.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans) | None
            Vocabulary rows, of all windows or of each; None takes those of ``chs_info``.

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
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans) | None
            Vocabulary rows, of all windows or of each; None takes those of ``chs_info``.

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
