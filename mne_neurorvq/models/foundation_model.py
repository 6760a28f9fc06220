# License: BSD-3-Clause
"""Foundation models: an encoder with heads for classes and for pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import ClassVar

import torch
from torch import Tensor, nn

from .config import TransformerConfig
from .heads import TargetHead, make_head, make_token_heads
from .hub import HubMixin
from .signature import ChannelsInfo, check_config, check_length, resolve_channels
from .trunk import Encoder, apart, as_patches, init_trunk, together


class FoundationModel(HubMixin, nn.Module):
    """What the foundation models of all systems share.

    A system defines which features its encoder gives (:meth:`_features`), and which of them the
    pretraining heads see (:meth:`_hidden_features`).
    """

    published: ClassVar[TransformerConfig]
    head_kinds: ClassVar[tuple[str, ...]] = ("mean", "flatten")
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
        masked_token_heads: bool = False,
        head: str = "mean",
        pretrained: FoundationModel | None = None,
    ) -> None:
        super().__init__()
        config = _find_config(type(self), config, pretrained)
        if head not in self.head_kinds:
            kinds = " or ".join(map(repr, self.head_kinds))
            raise ValueError(f"head must be {kinds}, got {head!r}.")
        self.config = config
        self.head = head
        self.n_times = check_length(config, n_times, input_window_seconds, sfreq)
        self._channel_ids = resolve_channels(config, chs_info, n_chans)
        self.n_chans = n_chans if self._channel_ids is None else len(self._channel_ids)
        self.encoder = Encoder(config, config.foundation_style)
        self.masked_tokens = make_token_heads(config) if masked_token_heads else None
        self.target_head: TargetHead | None = None
        self.final_layer: nn.Module | None = None
        init_trunk(self, convolutions=self._init_convolutions)
        if pretrained is not None:
            # Copied, never shared: folds and clones must not train each other's weights.
            self.encoder.load_state_dict(pretrained.encoder.state_dict())
        if n_outputs is not None:
            self.reset_head(n_outputs)

    def reset_head(self, n_outputs: int) -> None:
        """Put a new classification head in place.

        Parameters
        ----------
        n_outputs : int
            Number of outputs. With ``head="flatten"`` channels and samples must be known.
        """
        width = self.config.feature_dim
        if self.head == "flatten":
            if self.n_chans is None or self.n_times is None:
                raise ValueError("head='flatten' needs n_chans (or chs_info) and n_times.")
            width *= self.n_chans * (self.n_times // self.config.patch_size)
        self.n_outputs = n_outputs
        eps = self.config.foundation_style.norm_eps
        self.final_layer = make_head(width, n_outputs, eps=eps)

    def forward(
        self, x: Tensor, channel_ids: Tensor | None = None, return_features: bool = False
    ) -> Tensor | dict[str, Tensor | None]:
        """Classify windows, or give their features.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows in the model's unit and rate.
        channel_ids : Tensor of int64, shape (n_chans,) or (batch, n_chans) | None
            Vocabulary rows, of all windows or of each; None takes those of ``chs_info``.
        return_features : bool
            Whether to return features instead of logits.

        Returns
        -------
        Tensor, shape (batch, n_outputs) | dict
            Logits; or ``"features"``, shape ``(batch, n_chans, n_patches, feature_dim)``, and
            ``"cls_token"``, shape ``(batch, feature_dim)``, or None where the system has none.
        """
        if not return_features and self.final_layer is None:
            raise ValueError("no classification head: give n_outputs or call reset_head.")
        patches, channel_ids = as_patches(self.config, x, channel_ids, self._channel_ids)
        features, cls = self._features(self.encoder.embed(patches), channel_ids)
        if return_features:
            return {"features": features.unflatten(1, patches.shape[1:3]), "cls_token": cls}
        assert self.final_layer is not None
        if self.head == "cls":
            return self.final_layer(cls)
        return self.final_layer(features.mean(1) if self.head == "mean" else features.flatten(1))

    def embed_segments(self, segments: Sequence[Tensor], rows: Tensor) -> Tensor:
        """Features of the segments of a batch of trials, ``(batch, n_chans, n_patches, width)``."""
        n_chans = len(rows)
        if self.config.one_by_one:
            segments, rows = [apart(segment) for segment in segments], rows[:1]
        parts = (self(segment, rows, return_features=True)["features"] for segment in segments)
        features = torch.cat(list(parts), dim=2)
        return together(features, n_chans) if self.config.one_by_one else features

    def _features(self, embeddings: Tensor, channel_ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features of patches, ``(batch, n_tokens, feature_dim)``, and of the class token."""
        raise NotImplementedError

    def _hidden_features(self, embeddings: Tensor, channel_ids: Tensor) -> Tensor:
        """Features for the pretraining heads, ``(n_codebooks, batch, n_tokens, embed_dim)``."""
        raise NotImplementedError

    def predict_targets(
        self, x: Tensor, mask: Tensor | None = None, channel_ids: Tensor | None = None
    ) -> Tensor:
        """Predict physiological numbers ``(batch, n_chans, n_patches, n_columns)`` of all patches.

        Where ``mask``, as in :meth:`masked_token_logits`, is True, the patch is hidden.
        """
        if self.target_head is None:
            raise ValueError("no target head: assign a TargetHead to target_head.")
        patches, channel_ids = as_patches(self.config, x, channel_ids, self._channel_ids)
        embeddings = self.encoder.embed(patches)
        if mask is not None:
            token = self.target_head.mask_token.to(embeddings.dtype)
            embeddings = torch.where(_checked_mask(mask, patches)[..., None], token, embeddings)
        features = self._features(embeddings, channel_ids)[0].unflatten(1, patches.shape[1:3])
        predicted: Tensor = self.target_head(features)
        return predicted

    def masked_token_logits(
        self,
        x: Tensor,
        mask: Tensor,
        channel_ids: Tensor | None = None,
        codes: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Predict the codes of masked patches, with symmetric masking.

        Parameters
        ----------
        x, channel_ids
            As when the model is called.
        mask : Tensor of bool, shape (batch, n_chans * n_patches) or (batch, n_chans, n_patches)
            True where the patch is hidden, in all scales.
        codes : Tensor of int64, shape (batch, n_chans, n_patches, n_codebooks, n_levels) | None
            True codes, for heads that predict a level from the levels before it; without them
            these heads continue from their own predictions. Other heads ignore them.

        Returns
        -------
        logits : Tensor, shape (n_codebooks, n_levels, n_masked, n_codes)
            Logits at the masked patches, in row-major order of the mask.
        symmetric : Tensor, shape (n_codebooks, n_levels, n_unmasked, n_codes)
            Logits at the other patches when those are hidden instead.
        """
        if self.masked_tokens is None:
            raise ValueError("no masked-token heads: build the model with masked_token_heads=True.")
        patches, channel_ids = as_patches(self.config, x, channel_ids, self._channel_ids)
        mask = _checked_mask(mask, patches)
        quantizer = self.config.quantizer
        wanted = (*patches.shape[:3], quantizer.n_codebooks, quantizer.n_levels)
        if codes is not None and codes.shape != wanted:
            raise ValueError(f"codes must have the shape {wanted}, got {tuple(codes.shape)}.")
        embeddings = self.encoder.embed(patches)
        token = self.masked_tokens.mask_token.to(embeddings.dtype)
        first, second = (
            self.masked_tokens(
                self._hidden_features(
                    torch.where(hidden[..., None], token, embeddings), channel_ids
                )[:, hidden],
                None if codes is None else codes.flatten(1, 2)[hidden].transpose(0, 1),
            )
            for hidden in (mask, ~mask)
        )
        return first, second


def _checked_mask(mask: Tensor, patches: Tensor) -> Tensor:
    """Bring a mask to ``(batch, n_tokens)``."""
    wanted = (len(patches), patches.shape[1] * patches.shape[2])
    if mask.ndim == 3:
        mask = mask.flatten(1)
    if mask.shape != wanted or mask.dtype != torch.bool:
        raise ValueError(
            f"mask must be bool of shape {wanted}, got {mask.dtype} of shape {tuple(mask.shape)}."
        )
    return mask


def _find_config(
    kind: type[FoundationModel], config: TransformerConfig | None, pretrained: object
) -> TransformerConfig:
    """Find the configuration of a model that starts from a pretrained one, or from none."""
    if config is not None:
        check_config(config, kind.published)
    if pretrained is None:
        return kind.published if config is None else config
    if not isinstance(pretrained, kind):
        name = repr(pretrained) if isinstance(pretrained, str) else "name"
        raise TypeError(
            f"pretrained must be a {kind.__name__}, got {type(pretrained).__name__}: give "
            f"load_pretrained({name}).foundation."
        )
    theirs = pretrained.config
    if config is not None and config != theirs:
        differ = [
            f.name for f in fields(config) if getattr(config, f.name) != getattr(theirs, f.name)
        ]
        raise ValueError(
            f"config differs from that of pretrained in {', '.join(differ)}: leave config out, the "
            "model takes it from pretrained."
        )
    return theirs
