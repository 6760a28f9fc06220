# License: BSD-3-Clause
"""Untrained weights from a seed: the same bits on every platform."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..models.trunk import Trunk
from .blueprint import Blueprint
from .systems import SYSTEMS, Model

# Four 16-bit integers are summed: their sum is close to normal and exact in 64 bits.
_SUMMED = 4
_INT_STD = math.sqrt(_SUMMED * (2.0**32 - 1) / 12)


def build_untrained(blueprint: Blueprint, seed: int) -> Model:
    """Make a model whose weights follow from a seed alone.

    Only integers are drawn, from a generator of this function's own: the global random state is
    neither read nor changed, and no result depends on a vectorised transcendental function.
    """
    with torch.random.fork_rng(devices=[]):
        model = blueprint.build("cpu")
    generator = torch.Generator().manual_seed(seed)
    init_std = SYSTEMS[blueprint.config.system].init_std
    shrink = _block_output_scales(model)
    learned = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name == "quantizer.codebook":
                tensor.copy_(_unit_rows(tensor.shape, generator))
            elif name == "quantizer.started":
                tensor.fill_(True)
            elif name == "quantizer.warmup_left" or "bias" in name:
                tensor.zero_()
            elif name == "quantizer.moving_sum":
                tensor.copy_(model.state_dict()["quantizer.codebook"])
            elif name.endswith(".gain"):
                tensor.fill_(1.0)
            # Other vectors (norms, LayerScale) and buffers start as constants.
            elif tensor.ndim >= 2 and name in learned:
                width_std = tensor.shape[-1] ** -0.5
                std = width_std if init_std is None else init_std * shrink.get(name, 1.0)
                integers = _integers(tensor.shape, generator).double()
                tensor.copy_(integers * (std / _INT_STD))
    return model.eval()


def _integers(shape: torch.Size, generator: torch.Generator) -> Tensor:
    return torch.randint(-32768, 32768, (_SUMMED, *shape), generator=generator).sum(0)


def _unit_rows(shape: torch.Size, generator: torch.Generator) -> Tensor:
    rows = _integers(shape, generator)
    return rows.double() / rows.square().sum(-1, keepdim=True).double().sqrt()


def _block_output_scales(model: nn.Module) -> dict[str, float]:
    """Factor of the two output matrices of every block, which shrink with its depth."""
    return {
        f"{prefix}.blocks.{i}.{leaf}.weight": 1 / math.sqrt(2 * (i + 1))
        for prefix, trunk in model.named_modules()
        if isinstance(trunk, Trunk)
        for i in range(len(trunk.blocks))
        for leaf in ("attn.proj", "mlp.fc2")
    }
