# License: BSD-3-Clause
"""Bringing windows of any amplitude to one size, so that their codes do not depend on it."""

from __future__ import annotations

import torch
from torch import Tensor

# The median deviation of what a model sees: that of EEG in microvolts, for which the logarithm of
# an amplitude plus one is nearly that of the amplitude.
_SIZE = 10.0
# A channel is made larger by at most so much more than the channel in the middle: what is left of
# a flat channel is rounding.
_LEAST = 1e-3


def input_scale(patches: Tensor, per: str) -> Tensor | None:
    """Scale of patches ``(batch, n_chans, n_patches, size)`` by which they are to be divided.

    It is ``(batch, n_chans)`` of each channel or ``(batch, 1)`` of the segment, in proportion to
    the median deviation from the median of the channel; None where nothing is scaled. Zeros have
    the scale 1.
    """
    if per == "none":
        return None
    signals = patches.detach().flatten(2)
    deviation = (signals - middle(signals)).abs()
    if per == "segment":
        deviation = deviation.flatten(1)[:, None]
    scale = middle(deviation).squeeze(-1)
    # More than half of the samples are the same: a pulse.
    scale = torch.where(scale > 0, scale, deviation.square().mean(-1).sqrt()) / _SIZE
    scale = scale.maximum(_LEAST * middle(scale))
    return torch.where(scale > 0, scale, 1.0)


def middle(values: Tensor) -> Tensor:
    """Median over the last axis, which stays, ``(..., 1)``; of two in the middle the lower."""
    if torch.compiler.is_exporting():  # ONNX has no median
        place = (values.shape[-1] - 1) // 2
        return values.sort(-1).values[..., place : place + 1]
    return values.median(-1, keepdim=True).values


def divided(patches: Tensor, scale: Tensor | None) -> Tensor:
    """Divide patches by their scale, if there is one."""
    return patches if scale is None else patches / scale[..., None, None]


def multiplied(patches: Tensor, scale: Tensor | None) -> Tensor:
    """Multiply patches by their scale, if there is one."""
    return patches if scale is None else patches * scale[..., None, None]
