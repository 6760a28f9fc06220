# License: BSD-3-Clause
"""The published classification head of BioCodec: from codes to classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from .biocodec import BIOCODEC_EEG, BioCodecConfig
from .signature import check_codes

_N_HEADS = 8
_MLP_RATIO = 4
_LAYER_DROPOUT = 0.2
_HEAD_DROPOUT = 0.5
_POSITION_BASE = 10_000.0


class BioCodecHead(nn.Module):
    """Classification head over the codes of a frozen BioCodec.

    Embeddings of the codes, a transformer layer over the patches of each channel, one over the
    channels of each patch, the mean over patches and a perceptron over all channels.

    Parameters
    ----------
    n_outputs : int
        Number of classes.
    n_chans : int
        Number of channels.
    config : BioCodecConfig
        Structure of the codec.
    levels : sequence of int | None
        Levels of the codes to use; None uses all.
    combine : "concatenate" | "sum"
        What becomes of the embeddings of the levels. The paper finds concatenation better; the
        released code sums.

    Notes
    -----
    Positions of patches and channels are sinusoids, so that windows may have any length.
    Embeddings longer than 1 are shortened to 1: the parameter itself in training, only what is
    looked up in evaluation.

    References
    ----------
    BioCodec (2025, arXiv 2510.09095).

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import BioCodec, BioCodecHead
    >>> codec = BioCodec().eval()
    >>> codes, _ = codec.encode(torch.randn(4, 3, 250))
    >>> head = BioCodecHead(n_outputs=2, n_chans=3)
    >>> head.start_from(codec.quantizer.codebook)
    >>> head(codes).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        n_outputs: int,
        n_chans: int,
        *,
        config: BioCodecConfig = BIOCODEC_EEG,
        levels: Sequence[int] | None = None,
        combine: Literal["concatenate", "sum"] = "concatenate",
    ) -> None:
        super().__init__()
        quantizer = config.quantizer
        self.config, self.n_chans, self.combine = config, n_chans, combine
        self.levels = _check_levels(levels, quantizer.n_levels)
        if combine not in ("concatenate", "sum"):
            raise ValueError(f"combine must be 'concatenate' or 'sum', got {combine!r}.")
        dim = quantizer.code_dim * (len(self.levels) if combine == "concatenate" else 1)
        if dim % _N_HEADS:
            raise ValueError(
                f"embeddings of {dim} features do not divide into {_N_HEADS} heads: choose other "
                "levels."
            )
        self.embedding = nn.Parameter(
            torch.randn(len(self.levels), quantizer.n_codes, quantizer.code_dim)
        )
        self.patch_layer, self.channel_layer = (
            nn.TransformerEncoderLayer(
                dim,
                _N_HEADS,
                _MLP_RATIO * dim,
                dropout=_LAYER_DROPOUT,
                activation="gelu",
                batch_first=True,
            )
            for _ in range(2)
        )
        self.final_layer = nn.Sequential(
            nn.Dropout(_HEAD_DROPOUT),
            nn.Linear(n_chans * dim, _MLP_RATIO * dim),
            nn.GELU(),
            nn.Dropout(_HEAD_DROPOUT),
            nn.Linear(_MLP_RATIO * dim, n_outputs),
        )

    @torch.no_grad()
    def start_from(self, codebook: Tensor) -> None:
        """Set the embeddings from the codes of a codec.

        Parameters
        ----------
        codebook : Tensor, shape (1, n_levels, n_codes, code_dim)
            Codes of all levels; each column is standardised, then each row brought to length 1.
        """
        codes = codebook[0, list(self.levels)]
        std, mean = torch.std_mean(codes, dim=1, keepdim=True)
        centred = (codes - mean) / (std + 1e-8)
        self.embedding.copy_(centred / centred.norm(dim=-1, keepdim=True))

    def embed(self, codes: Tensor) -> Tensor:
        """Look up the embeddings of codes.

        Parameters
        ----------
        codes : Tensor of int64, shape (batch, n_chans, n_patches, 1, n_levels)
            Codes, as :meth:`BioCodec.encode` gives them.

        Returns
        -------
        Tensor, shape (batch, n_chans, n_patches, dim)
            Embeddings of the levels, summed or one after the other.
        """
        check_codes(self.config.quantizer, codes)
        if codes.shape[1] != self.n_chans:
            raise ValueError(f"codes of {codes.shape[1]} channels for a head of {self.n_chans}.")
        if codes.shape[-1] <= max(self.levels):
            raise ValueError(
                f"codes of {codes.shape[-1]} levels lack the level {max(self.levels)} of the head."
            )
        used = codes[..., 0, list(self.levels)].long()
        rows = self._tables()[torch.arange(len(self.levels), device=codes.device), used]
        return rows.flatten(-2) if self.combine == "concatenate" else rows.sum(-2)

    def forward(self, codes: Tensor) -> Tensor:
        """Classify windows by their codes.

        Parameters
        ----------
        codes : Tensor of int64, shape (batch, n_chans, n_patches, 1, n_levels)
            Codes, as :meth:`BioCodec.encode` gives them.

        Returns
        -------
        Tensor, shape (batch, n_outputs)
            Logits.
        """
        x = self.embed(codes)
        n_chans, n_patches, dim = x.shape[1:]
        x = self.patch_layer((x + _sinusoids(n_patches, dim, x)).flatten(0, 1))
        x = x.unflatten(0, (-1, n_chans)).transpose(1, 2)
        x = self.channel_layer((x + _sinusoids(n_chans, dim, x)).flatten(0, 1))
        return self.final_layer(x.unflatten(0, (-1, n_patches)).mean(1).flatten(1))

    def _tables(self) -> Tensor:
        """Embeddings of length 1 at most."""
        lengths = self.embedding.detach().norm(dim=-1, keepdim=True)
        shrink = torch.where(lengths > 1, 1 / (lengths + 1e-7), 1.0)
        if not self.training:
            return self.embedding * shrink
        with torch.no_grad():
            self.embedding.mul_(shrink)
        return self.embedding


def _check_levels(levels: Sequence[int] | None, n_levels: int) -> tuple[int, ...]:
    chosen = tuple(range(n_levels)) if levels is None else tuple(levels)
    if not chosen or len(set(chosen)) != len(chosen) or not set(chosen) <= set(range(n_levels)):
        raise ValueError(f"levels must be different ones of 0..{n_levels - 1}, got {levels}.")
    return chosen


def _sinusoids(n_positions: int, dim: int, like: Tensor) -> Tensor:
    """Sines and cosines of positions, alternating: ``(n_positions, dim)``."""
    rates = _POSITION_BASE ** (-torch.arange(0, dim, 2, device=like.device) / dim)
    angles = torch.arange(n_positions, device=like.device)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1).to(like.dtype)
