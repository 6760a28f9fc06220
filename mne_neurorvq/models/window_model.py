# License: BSD-3-Clause
"""A foundation model over whole windows: segments, pooling and a head of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from .foundation_model import FoundationModel
from .heads import make_head


class WindowModel(nn.Module):
    """A foundation model with a head, for windows of one montage and length.

    Windows beyond the model's token budget come as several segments in a row; the head sees the
    features of all of them.

    Parameters
    ----------
    foundation : NeuroRVQ | BrainRVQ
        Gives the features of a segment; its own head is not used.
    n_outputs : int
        Outputs of the head.
    channel_ids : Tensor of int64, shape (n_chans,)
        Vocabulary rows of the channels.
    segments : sequence of int
        Patches of each segment.
    patch_weights : sequence of float
        What each patch adds to the window: 1, or less where the last one overlaps its neighbour.
    head : "mean" | "flatten"
        Whether the head sees the mean over channels and patches or all of them in a row.
    generator : torch.Generator | None
        Source of the head's first weights.

    Notes
    -----
    The parameters of the trunk start with ``foundation.encoder.``, those of the head with
    ``final_layer.``.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQ, WindowModel
    >>> trunk = NeuroRVQ(config=replace(NEURORVQ_EEG, depth=1))
    >>> model = WindowModel(trunk, 3, torch.tensor([4, 7]), segments=(2, 1),
    ...                     patch_weights=(1, 1, 0.5))
    >>> model(torch.randn(5, 2, 600)).shape
    torch.Size([5, 3])
    """

    channel_ids: Tensor

    def __init__(
        self,
        foundation: FoundationModel,
        n_outputs: int,
        channel_ids: Tensor,
        segments: Sequence[int],
        patch_weights: Sequence[float],
        head: Literal["mean", "flatten"] = "mean",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if head not in ("mean", "flatten"):
            raise ValueError(f"head must be 'mean' or 'flatten', got {head!r}.")
        self.foundation = foundation
        config = foundation.config
        self.segments = tuple(int(n) * config.patch_size for n in segments)
        self.head = head
        weights = torch.as_tensor(patch_weights, dtype=torch.float32)
        self.register_buffer("channel_ids", channel_ids, persistent=False)
        share = weights / (weights.sum() * len(channel_ids))
        self.register_buffer("share", share, persistent=False)
        width = config.feature_dim
        if head == "flatten":
            width *= len(channel_ids) * sum(segments)
        self.n_outputs = n_outputs
        eps = config.foundation_style.norm_eps
        self.final_layer = make_head(width, n_outputs, generator, eps=eps)

    def pooled(self, x: Tensor) -> Tensor:
        """Features as the head sees them.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_patches * patch_size)
            The segments of windows in a row, in the model's unit and rate.

        Returns
        -------
        Tensor, shape (batch, width)
            Features.
        """
        features = self.foundation.embed_segments(x.split(self.segments, dim=-1), self.channel_ids)
        if self.head == "flatten":
            return features.flatten(1)
        return torch.einsum("bcpf,p->bf", features, self.share.to(features.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the head.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_patches * patch_size)
            The segments of windows in a row, in the model's unit and rate.

        Returns
        -------
        Tensor, shape (batch, n_outputs)
            Logits, or predictions.
        """
        return self.final_layer(self.pooled(x))
