# License: BSD-3-Clause
"""The causal convolutional encoder and decoder of BioCodec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from .biocodec import BioCodecConfig


# Widths of the first and last convolution and of those of the residual blocks, as published.
_KERNEL = 3
_LSTM_LAYERS = 2


def reflect_pad(x: Tensor, left: int, right: int) -> Tensor:
    """Pad the last axis of ``(batch, n_filters, n_times)`` by reflection, however short it is.

    Where there is too little to mirror, the signal continues with zeros.

    >>> reflect_pad(torch.tensor([[[1.0, 2.0, 3.0]]]), 2, 1)
    tensor([[[3., 2., 1., 2., 3., 2.]]])
    >>> reflect_pad(torch.tensor([[[1.0, 2.0]]]), 3, 0)
    tensor([[[0., 0., 2., 1., 2.]]])
    """
    missing = max(0, max(left, right) + 1 - x.shape[-1])
    padded = F.pad(F.pad(x, (0, missing)), (left, right), mode="reflect")
    return padded[..., : padded.shape[-1] - missing]


class NormedKernel(nn.Module):
    """Weights of a convolution as directions and lengths.

    Salimans and Kingma, "Weight Normalization" (2016). The first weights are those of ``plain``.
    """

    def __init__(self, plain: nn.Conv1d | nn.ConvTranspose1d) -> None:
        super().__init__()
        direction = plain.weight.detach().clone()
        self.direction = nn.Parameter(direction)
        # On a meta tensor, vector_norm would import a second's worth of Python.
        gain = direction.new_empty(len(direction)) if direction.is_meta else _lengths(direction)
        self.gain = nn.Parameter(gain)
        self.bias = plain.bias

    def forward(self) -> Tensor:
        """Return the weights, of the shape that the convolution has."""
        scale = self.gain / _lengths(self.direction)
        return self.direction * scale[:, None, None]


def _lengths(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight, dim=(1, 2))


class CausalConv(nn.Module):
    """Convolution whose output sees no later sample than the last of its stride."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.conv = NormedKernel(nn.Conv1d(n_in, n_out, kernel))
        self.stride, self.dilation = stride, dilation
        self._left = (kernel - 1) * dilation + 1 - stride

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, n_in, n_times)`` to ``(batch, n_out, ceil(n_times / stride))``."""
        x = reflect_pad(x, self._left, -x.shape[-1] % self.stride)
        return F.conv1d(x, self.conv(), self.conv.bias, stride=self.stride, dilation=self.dilation)


class CausalTransposedConv(nn.Module):
    """Transposed convolution whose output sees no later input than its own."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.convtr = NormedKernel(nn.ConvTranspose1d(n_in, n_out, kernel))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, n_in, n_times)`` to ``(batch, n_out, n_times * stride)``."""
        y = F.conv_transpose1d(x, self.convtr(), self.convtr.bias, stride=self.stride)
        return y[..., : x.shape[-1] * self.stride]


class ResidualBlock(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.ELU(),
            CausalConv(dim, dim, _KERNEL, dilation=dilation),
            nn.ELU(),
            CausalConv(dim, dim, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape ``(batch, dim, n_times)``."""
        return x + self.block(x)


class SkipLSTM(nn.Module):
    """Recurrent layers beside an identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, _LSTM_LAYERS)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape ``(batch, dim, n_times)``."""
        y, _ = self.lstm(x.permute(2, 0, 1))
        return x + y.permute(1, 2, 0)


def make_encoder(config: BioCodecConfig) -> nn.Sequential:
    """Build the encoder: ``(batch, 1, n_times)`` to ``(batch, latent_dim, n_patches)``."""
    dim = config.n_filters
    layers: list[nn.Module] = [CausalConv(1, dim, _KERNEL)]
    for stride in reversed(config.strides):
        layers += [ResidualBlock(dim, dilation) for dilation in config.dilations]
        layers += [nn.ELU(), CausalConv(dim, 2 * dim, 2 * stride, stride)]
        dim *= 2
    return nn.Sequential(
        *layers, SkipLSTM(dim), nn.ELU(), CausalConv(dim, config.latent_dim, _KERNEL)
    )


def make_decoder(config: BioCodecConfig) -> nn.Sequential:
    """Build the decoder: ``(batch, latent_dim, n_patches)`` to ``(batch, 1, n_times)``."""
    dim = config.n_filters * 2 ** len(config.strides)
    layers: list[nn.Module] = [CausalConv(config.latent_dim, dim, _KERNEL), SkipLSTM(dim)]
    for stride in config.strides:
        layers += [nn.ELU(), CausalTransposedConv(dim, dim // 2, 2 * stride, stride)]
        dim //= 2
        layers += [ResidualBlock(dim, dilation) for dilation in config.dilations]
    return nn.Sequential(*layers, nn.ELU(), CausalConv(dim, 1, _KERNEL))
