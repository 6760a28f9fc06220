# License: BSD-3-Clause
"""What a tokenizer of any system makes of windows, in one pass."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ..models import BioCodec, Quantized, biocodec_losses
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
    if not isinstance(tokenizer, BioCodec):
        return Reconstruction(*tokenizer.assess(windows, channel_ids))
    rebuilt, quantized = tokenizer.reconstruct(windows)
    losses = biocodec_losses(windows, rebuilt, tokenizer.config.n_ffts)
    return Reconstruction(rebuilt, {"code": quantized.loss, **losses}, quantized)
