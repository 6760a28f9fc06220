# License: BSD-3-Clause
"""What a tokenizer of any system makes of windows, in one pass."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ..models import (
    BioCodec,
    Quantized,
    biocodec_losses,
    reconstruction_losses,
    synthesise,
)
from ..weights.systems import Tokenizer


class Reconstruction(NamedTuple):
    """Windows through the codes and back.

    Attributes
    ----------
    windows : Tensor, shape (n_windows, n_channels, n_times)
        Reconstruction of what the model took.
    losses : dict of str to Tensor
        The losses of training, each unweighted.
    quantized : Quantized
        Output of the quantizer.
    """

    windows: Tensor
    losses: dict[str, Tensor]
    quantized: Quantized


def reconstruct(tokenizer: Tokenizer, windows: Tensor, channel_ids: Tensor) -> Reconstruction:
    """Run a whole tokenizer.

    Parameters
    ----------
    tokenizer : NeuroRVQTokenizer | BioCodec
        Tokenizer.
    windows : Tensor, shape (n_windows, n_channels, n_times)
        What the model takes.
    channel_ids : Tensor of int64, shape (n_windows, n_channels)
        Rows of the channels.

    Returns
    -------
    Reconstruction
        Signals, losses and codes.
    """
    if isinstance(tokenizer, BioCodec):
        rebuilt, quantized = tokenizer.reconstruct(windows)
        losses = biocodec_losses(windows, rebuilt, tokenizer.config.n_ffts)
    else:
        predicted, target, quantized = tokenizer.reconstruct(windows, channel_ids)
        patches = windows.unflatten(-1, (-1, tokenizer.config.patch_size))
        losses = reconstruction_losses(target, predicted, patches)
        rebuilt = synthesise(predicted).flatten(2)
    return Reconstruction(rebuilt, {"code": quantized.loss, **losses}, quantized)
