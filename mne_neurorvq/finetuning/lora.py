# License: BSD-3-Clause
"""Low-rank adapters on the projections of attention and MLP, through peft."""

from __future__ import annotations

import math
import re

import torch
from torch import nn

from .._optional import optional
from ..models import WindowModel

# The linear layers of a trunk block.
_ADAPTED = re.compile(r"\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.fc[12])$")


def add_adapters(model: WindowModel, rank: int, generator: torch.Generator) -> None:
    """Freeze the foundation model and put a low-rank adapter beside each of its projections.

    ``W + 2 B A`` in place of ``W``, with ``B`` starting at zero [1]_; the head stays trainable.

    References
    ----------
    .. [1] E. J. Hu et al. (2022). LoRA: Low-Rank Adaptation of Large Language Models. ICLR.
    """
    with optional("finetune='lora'", "lora", "use finetune='head' or 'full'"):
        from peft import LoraConfig, get_peft_model
    targets = [name for name, _ in model.foundation.named_modules() if _ADAPTED.search(name)]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
    model.foundation = get_peft_model(model.foundation, config)  # type: ignore[assignment]
    for name, parameter in model.foundation.named_parameters():
        if ".lora_A." in name:
            nn.init.kaiming_uniform_(parameter, a=math.sqrt(5), generator=generator)


def merge_adapters(model: WindowModel) -> None:
    """Add the adapters to the weights that they stand beside, and remove them."""
    model.foundation = model.foundation.merge_and_unload()  # type: ignore[operator]
    model.requires_grad_(True)
