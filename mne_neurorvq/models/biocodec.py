# License: BSD-3-Clause
"""BioCodec: a causal codec of single channels with a residual quantizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .biocodec_config import BIOCODEC_EEG, BioCodecConfig
from .fast import series_per_pass
from .multiscale import biocodec_losses
from .quantizer import Quantized, ResidualVQ
from .seanet import make_decoder, make_encoder
from .signature import ChannelsInfo, check_codes, window_samples


class BioCodec(nn.Module):
    """Codec of single channels: causal encoder, residual quantizer, causal decoder.

    Parameters
    ----------
    n_outputs : None
        Not used; part of braindecode's common signature.
    n_chans : None
        Not used: each channel is coded by itself, whatever the montage.
    chs_info : None
        Not used, as ``n_chans``.
    n_times : int | None
        Samples of a window; any number.
    input_window_seconds : float | None
        Duration of a window.
    sfreq : float | None
        Sampling rate in Hz; must be the model's.
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
        """Turn windows into codes.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Scaled windows at the model's rate, of any length.
        channel_ids : Tensor | None
            Not used; part of the signature that tokenizers share.

        Returns
        -------
        codes : Tensor of int64, shape (batch, n_chans, n_patches, 1, n_levels)
            Codes of ``ceil(n_times / patch_size)`` patches.
        side : Tensor, shape (batch, n_chans, 2)
            Centre and scale of each channel, which decoding needs: 0 and, without normalisation,
            1. A caller who has scaled the windows puts in its own.

        Raises
        ------
        ValueError
            If the shape does not fit.
        """
        scaled, side = self._normalise(x)
        codes = self.quantizer.encode(self.to_vectors(scaled))
        return codes.movedim(0, 1).unflatten(0, (*x.shape[:2], -1)), side

    def encode_segments(
        self, segments: Sequence[Tensor], rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch of trials, not too many series at a time.

        ``segments`` are the scaled signals ``(batch, n_chans, n_times)`` and the centre and scale
        ``(batch, n_chans, 2)`` by which they were scaled; the codes have the type
        ``config.code_dtype``.
        """
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
        """Decode a batch of trials, not too many series at a time: their one segment."""
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
            Not used; part of the signature that tokenizers share.
        n_times : int | None
            Samples of the windows, which end in the last patch; None gives it to its end.

        Returns
        -------
        Tensor, shape (batch, n_chans, n_times)
            Windows.

        Raises
        ------
        ValueError
            If the shapes do not fit the model or a code is not in the codebook.
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
        """Reconstruct windows through the codes, or give the features of the encoder.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Scaled windows at the model's rate, of any length.
        channel_ids : Tensor | None
            Not used; part of the signature that tokenizers share.
        return_features : bool
            Whether to return features instead of a reconstruction.

        Returns
        -------
        Tensor, shape (batch, n_chans, n_times) | dict
            Reconstruction; or ``"features"``, shape ``(batch, n_chans, n_patches, latent_dim)``,
            what is quantized, and ``"cls_token"``, always None.
        """
        if return_features:
            features = self.to_vectors(self._normalise(x)[0])[0]
            return {"features": features.unflatten(0, (*x.shape[:2], -1)), "cls_token": None}
        return self.reconstruct(x)[0]

    def reconstruct(self, x: Tensor, channel_ids: Tensor | None = None) -> tuple[Tensor, Quantized]:
        """Run the whole codec; in training mode the codebooks learn.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Scaled windows at the model's rate, of any length.
        channel_ids : Tensor | None
            Not used; part of the signature that tokenizers share.

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

    def losses(
        self, x: Tensor, channel_ids: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Quantized]:
        """Training losses, each unweighted.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Scaled windows at the model's rate, of any length.
        channel_ids : Tensor | None
            Not used; part of the signature that tokenizers share.

        Returns
        -------
        losses : dict of str to Tensor
            ``code`` (commitment) and the terms of
            :func:`~mne_neurorvq.models.biocodec_losses`. The published objective weights them
            with :data:`~mne_neurorvq.models.BIOCODEC_LOSS_WEIGHTS`.
        quantized : Quantized
            Output of the quantizer, for its usage and residual norms.
        """
        _, losses, quantized = self.assess(x)
        return losses, quantized

    def assess(
        self, x: Tensor, channel_ids: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor], Quantized]:
        """Reconstruct windows and compare, in one pass.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Scaled windows at the model's rate, of any length.
        channel_ids : Tensor | None
            Not used; part of the signature that tokenizers share.

        Returns
        -------
        rebuilt : Tensor, shape (batch, n_chans, n_times)
            Reconstruction.
        losses : dict of str to Tensor
            As :meth:`losses` gives them.
        quantized : Quantized
            Output of the quantizer.
        """
        rebuilt, quantized = self.reconstruct(x)
        losses = biocodec_losses(x, rebuilt, self.config.n_ffts)
        return rebuilt, {"code": quantized.loss, **losses}, quantized

    def _normalise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scale windows as the configuration says; give centre and scale of each channel."""
        if x.ndim != 3 or not x.shape[-1]:
            raise ValueError(
                f"the input must be (batch, n_chans, n_times) with samples, got {tuple(x.shape)}."
            )
        scale = x.new_ones(*x.shape[:2], 1)
        if self.config.normalize:
            scale = x.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-8)
        return x / scale, torch.cat((torch.zeros_like(scale), scale), -1)
