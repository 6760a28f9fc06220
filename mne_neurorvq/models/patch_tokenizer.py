# License: BSD-3-Clause
"""What tokenizers of patches share: encoder, quantizer and the way through both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from .config import TransformerConfig
from .input_scale import divided, input_scale, multiplied
from .quantizer import Quantized, ResidualVQ
from .signature import ChannelsInfo, check_codes, check_config, check_length, resolve_channels
from .tokenizer import Tokenizer
from .trunk import Encoder, apart, as_patches, each_scale, init_trunk, scale_norms, together


class View(Protocol):
    """What a decoder predicts of patches, with the side information that decoding needs."""

    @property
    def side(self) -> Tensor:
        """Few numbers of each window, or of each patch."""


V = TypeVar("V", bound=View)


class PatchTokenizer(Tokenizer, Generic[V]):
    """What the tokenizers of NeuroRVQ and BrainRVQ share: everything up to the quantized vectors.

    A system decodes these to a view of the patches (:meth:`from_vectors`) and defines what the view
    of an input is (:meth:`_analyse`), which signal has a view (:meth:`_synthesise`) and how two
    views differ (:meth:`_compare`). Patches, views and vectors are those of the scaled input; the
    side information tells the scale (:meth:`_with_scale`, :meth:`_without_scale`).
    """

    published: ClassVar[TransformerConfig]
    # Windows, channels and patches: how many of these axes the side information has.
    _n_side_axes: ClassVar[int]
    # Whether convolutions start like linear layers.
    _init_convolutions: ClassVar[bool] = True

    config: TransformerConfig

    def __init__(
        self,
        n_outputs: int | None = None,
        n_chans: int | None = None,
        chs_info: ChannelsInfo | None = None,
        n_times: int | None = None,
        input_window_seconds: float | None = None,
        sfreq: float | None = None,
        *,
        config: TransformerConfig | None = None,
    ) -> None:
        super().__init__()
        config = self.published if config is None else config
        check_config(config, self.published)
        self.config = config
        self.n_times = check_length(config, n_times, input_window_seconds, sfreq)
        self._channel_ids = resolve_channels(config, chs_info, n_chans)
        dim, code_dim = config.embed_dim, config.quantizer.code_dim
        self.encoder = Encoder(config, config.tokenizer_style)
        self.encoder_norms = scale_norms(config)
        self.to_code = nn.ModuleList(tanh_layers(dim, dim, code_dim) for _ in config.scales)
        self.quantizer = ResidualVQ(config.quantizer)
        self._make_decoder()
        init_trunk(self, convolutions=self._init_convolutions)

    def _make_decoder(self) -> None:
        raise NotImplementedError

    def from_vectors(self, vectors: Tensor, side: Tensor, channel_ids: Tensor) -> V:
        """Decode quantized vectors.

        Parameters
        ----------
        vectors : Tensor, shape (n_codebooks, batch * n_chans * n_patches, code_dim)
            Quantized vectors.
        side : Tensor, shape (batch, 2) or (batch, n_chans, n_patches, 2)
            Side information of the view.
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans)
            Vocabulary rows.

        Returns
        -------
        Spectrum | DualView
            What is predicted of every patch.
        """
        raise NotImplementedError

    def _analyse(self, patches: Tensor) -> V:
        raise NotImplementedError

    def _synthesise(self, view: V) -> Tensor:
        raise NotImplementedError

    def _compare(self, target: V, predicted: V, patches: Tensor) -> dict[str, Tensor]:
        raise NotImplementedError

    def _with_scale(self, side: Tensor, scale: Tensor | None) -> Tensor:
        """Side information of the input, from that of a view and the scale of the input."""
        raise NotImplementedError

    def _without_scale(self, side: Tensor) -> tuple[Tensor, Tensor | None]:
        """Side information of a view, and the scale that the view is to be multiplied by."""
        raise NotImplementedError

    def to_vectors(self, patches: Tensor, channel_ids: Tensor) -> Tensor:
        """Encode scaled patches up to the quantizer: ``(n_codebooks, n_tokens, code_dim)``.

        Where there is one temporal scale, the vectors are the same for all codebooks.
        """
        features = self._features(patches, channel_ids)
        # The published quantizers run in float32 whatever precision the trunk has.
        with torch.autocast(features.device.type, enabled=False):
            vectors = each_scale(self.to_code, features.float()).flatten(1, 2)
        return vectors.expand(self.config.quantizer.n_codebooks, -1, -1)

    def _features(self, patches: Tensor, channel_ids: Tensor) -> Tensor:
        """Run the encoder and its norms: ``(n_scales, batch, n_tokens, embed_dim)``."""
        features = self.encoder.trunk(self.encoder.embed(patches, scaled=True), channel_ids)
        return each_scale(self.encoder_norms, features)

    def encode(self, x: Tensor, channel_ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        patches, scale, channel_ids = self._patches(x, channel_ids)
        codes = self.quantizer.encode(self.to_vectors(patches, channel_ids))
        side = self._with_scale(self._analyse(patches).side, scale)
        return codes.movedim(0, 1).unflatten(0, patches.shape[:3]), side

    def encode_segments(self, segments: Sequence[Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        n_chans = len(rows)
        if self.config.one_by_one:
            segments, rows = [apart(segment) for segment in segments], rows[:1]
        codes, sides = zip(*(self.encode(segment, rows) for segment in segments), strict=True)
        joined, side = torch.cat(codes, dim=2), self._join_sides(sides)
        if self.config.one_by_one:
            # The numbers of the channels of a segment in a row.
            side = together(side[:, None], n_chans).transpose(1, 2).flatten(2)
            joined = together(joined, n_chans)
        return joined, side

    def decode_segments(
        self, codes: Tensor, side: Tensor, rows: Tensor, segments: tuple[int, ...]
    ) -> list[Tensor]:
        n_chans = len(rows)
        if self.config.one_by_one:
            codes, rows = apart(codes), rows[:1]
            side = apart(side.unflatten(-1, (n_chans, -1)).transpose(1, 2))[:, 0]
        parts = zip(codes.split(segments, dim=2), self._split_side(side, segments), strict=True)
        decoded = [self.decode_codes(part, own, rows) for part, own in parts]
        return [together(part, n_chans) for part in decoded] if self.config.one_by_one else decoded

    def _join_sides(self, sides: Sequence[Tensor]) -> Tensor:
        raise NotImplementedError

    def _split_side(self, side: Tensor, segments: tuple[int, ...]) -> Sequence[Tensor]:
        raise NotImplementedError

    def decode_codes(
        self, codes: Tensor, side: Tensor, channel_ids: Tensor | None = None
    ) -> Tensor:
        check_codes(self.config.quantizer, codes)
        codes, channel_ids = as_patches(self.config, codes, channel_ids, self._channel_ids)
        n_side = self.config.side_shape(codes.shape[1], (codes.shape[2],))[-1]
        wanted = (*codes.shape[: self._n_side_axes], n_side)
        if side.shape != wanted:
            raise ValueError(f"side must be {wanted}, got shape {tuple(side.shape)}.")
        vectors = self.quantizer.decode(codes.flatten(0, 2).movedim(1, 0).long())
        side, scale = self._without_scale(side)
        view = self.from_vectors(vectors, side, channel_ids)
        return multiplied(self._synthesise(view), scale).flatten(2)

    def forward(
        self, x: Tensor, channel_ids: Tensor | None = None, return_features: bool = False
    ) -> Tensor | dict[str, Tensor | None]:
        if return_features:
            patches, _, channel_ids = self._patches(x, channel_ids)
            features = self._features(patches, channel_ids).permute(1, 2, 0, 3).flatten(2)
            return {"features": features.unflatten(1, patches.shape[1:3]), "cls_token": None}
        patches, scale, channel_ids = self._patches(x, channel_ids)
        predicted = self._predict(patches, channel_ids, self._analyse(patches))[0]
        return multiplied(self._synthesise(predicted), scale).flatten(2)

    def reconstruct(self, x: Tensor, channel_ids: Tensor | None = None) -> tuple[V, V, Quantized]:
        """Run the whole tokenizer; in training mode the codebooks learn.

        Parameters
        ----------
        x, channel_ids
            As in :meth:`encode`.

        Returns
        -------
        predicted, target : Spectrum | DualView
            Views of the reconstruction and of the scaled input, for NeuroRVQ spectra.
        quantized : Quantized
            Output of the quantizer.
        """
        patches, _, channel_ids = self._patches(x, channel_ids)
        target = self._analyse(patches)
        predicted, quantized = self._predict(patches, channel_ids, target)
        return predicted, target, quantized

    def _predict(self, patches: Tensor, channel_ids: Tensor, target: V) -> tuple[V, Quantized]:
        quantized = self.quantizer(self.to_vectors(patches, channel_ids))
        return self.from_vectors(quantized.vectors, target.side, channel_ids), quantized

    def losses(
        self, x: Tensor, channel_ids: Tensor | None = None, clean: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Quantized]:
        losses, quantized, _, _ = self._learn(x, channel_ids, clean)
        return losses, quantized

    def assess(
        self, x: Tensor, channel_ids: Tensor | None = None, clean: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor], Quantized]:
        losses, quantized, predicted, scale = self._learn(x, channel_ids, clean)
        return multiplied(self._synthesise(predicted), scale).flatten(2), losses, quantized

    def _learn(
        self, x: Tensor, channel_ids: Tensor | None, clean: Tensor | None
    ) -> tuple[dict[str, Tensor], Quantized, V, Tensor | None]:
        """Losses and codes, and what is predicted, with the scale that it is to have."""
        patches, scale, channel_ids = self._patches(x, channel_ids)
        wanted = patches
        if clean is not None:
            wanted, scale, _ = self._patches(clean, channel_ids)
        target = self._analyse(wanted)
        predicted, quantized = self._predict(patches, channel_ids, target)
        losses = {"code": quantized.loss, **self._compare(target, predicted, wanted)}
        return losses, quantized, predicted, scale

    def _patches(
        self, x: Tensor, channel_ids: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Scaled patches of windows ``(batch, n_chans, n_times)``, scale, rows of channels."""
        patches, channel_ids = as_patches(self.config, x, channel_ids, self._channel_ids)
        scale = input_scale(patches, self.config.input_scale)
        return divided(patches, scale), scale, channel_ids


def tanh_layers(n_in: int, hidden: int, n_out: int) -> nn.Sequential:
    """Build two linear layers around a Tanh."""
    return nn.Sequential(nn.Linear(n_in, hidden), nn.Tanh(), nn.Linear(hidden, n_out))


def standardise(x: Tensor) -> tuple[Tensor, Tensor]:
    """Standardise over all but the first axis; give mean and deviation, too, ``(batch, 2)``."""
    flat = x.flatten(1)
    var, mean = torch.var_mean(flat, dim=1, keepdim=True)
    std = var.clamp(min=1e-8).sqrt()
    return ((flat - mean) / std).view_as(x), torch.cat((mean, std), dim=1)
