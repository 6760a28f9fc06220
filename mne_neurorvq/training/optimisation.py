# License: BSD-3-Clause
"""How the weights start and move: filter-bank convolutions, Muon on matrices, AdamW on the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from ..models.encoder import Encoder, PatchEmbedding

# Centre frequencies in Hz of the four GroupNorm pairs of each scale, longest kernel first.
_FILTER_BANK_HZ = ((2, 9, 19, 33), (5, 12, 22, 36), (7, 15, 26, 40), (10, 20, 30, 42))


@torch.no_grad()
def start_filter_bank(encoder: Encoder, sfreq: float, generator: torch.Generator) -> None:
    """Start the convolutions of an EEG encoder as a bank of Gabor filters.

    Each GroupNorm group of the first convolution becomes a cosine and a sine of one frequency
    under a Gaussian window; the second convolution starts near the identity.

    Parameters
    ----------
    encoder : Encoder
        Changed in place.
    sfreq : float
        Sampling rate in Hz.
    generator : torch.Generator
        Source of the small noise on the second convolution.
    """
    for scale, frequencies in zip(encoder.scales, _FILTER_BANK_HZ, strict=True):
        assert isinstance(scale, PatchEmbedding)
        width = scale.conv1.weight.shape[-1]
        time = (torch.arange(width) - (width - 1) / 2) / sfreq
        window = torch.exp(-0.5 * (time / (time.max() / 1.5)) ** 2)
        for i, frequency in enumerate(frequencies):
            phase = 2 * math.pi * frequency * time
            for j, wave in enumerate((phase.cos(), phase.sin())):
                kernel = window * wave
                scale.conv1.weight[2 * i + j, 0, 0] = kernel / kernel.norm().clamp(min=1e-6)
        noise = torch.randn(scale.conv2.weight.shape, generator=generator)
        scale.conv2.weight.copy_(0.02 * noise)
        for i in range(len(scale.conv2.weight)):
            scale.conv2.weight[i, i, 0, scale.conv2.weight.shape[-1] // 2] += 1.0


class MuonWithAdamW(Optimizer):
    """Muon for the matrices of linear layers and AdamW for everything else, as one optimiser.

    One, because Lightning accumulates, clips and schedules the gradients of one.

    Parameters
    ----------
    model : nn.Module
        Its parameters that require a gradient are optimised.
    lr : float
        Learning rate of AdamW.
    matrix_lr : float
        Learning rate of Muon, adjusted to match the update size of AdamW.
    weight_decay : float
        Decoupled weight decay of the matrices; the rest is not decayed.
    """

    def __init__(
        self, model: nn.Module, *, lr: float, matrix_lr: float, weight_decay: float
    ) -> None:
        linear = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
        matrices = [p for p in linear if p.requires_grad]
        taken = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
        self.parts: tuple[Optimizer, Optimizer] = (
            Muon(matrices, lr=matrix_lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            AdamW(rest, lr=lr, betas=(0.9, 0.99), weight_decay=0.0),
        )
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        # The same dictionaries: a schedule of the whole moves the parts.
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step both parts.

        Parameters
        ----------
        closure : callable | None
            Computes the loss and its gradients.

        Returns
        -------
        float | None
            What ``closure`` returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Give the states of both parts.

        Returns
        -------
        dict
            For :meth:`load_state_dict`.
        """
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave.

        Parameters
        ----------
        state_dict : dict
            States of both parts.
        """
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def warmup_cosine(optimizer: Optimizer, warmup_steps: int, n_steps: int) -> LRScheduler:
    """Linear warm-up, then a cosine down to zero, stepped per batch.

    Parameters
    ----------
    optimizer : Optimizer
        What to schedule.
    warmup_steps, n_steps : int
        Steps of the warm-up and of the whole run.

    Returns
    -------
    LRScheduler
        The schedule.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, n_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)
