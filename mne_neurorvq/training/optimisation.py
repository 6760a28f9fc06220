# License: BSD-3-Clause
"""How weights start (filter bank, projections) and move (Muon on matrices, AdamW on the rest)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from ..models import ResidualVQ
from ..models.quantizer import LevelProjections
from ..models.trunk import Encoder, PatchEmbedding

# Centre frequencies in Hz of the four GroupNorm pairs of each scale, longest kernel first.
_FILTER_BANK_HZ = ((2, 9, 19, 33), (5, 12, 22, 36), (7, 15, 26, 40), (10, 20, 30, 42))

# Length of a level's codes over that of the level before it.
_SHRINKING = 0.7


@torch.no_grad()
def start_filter_bank(encoder: Encoder, sfreq: float, generator: torch.Generator) -> None:
    """Start the convolutions of an EEG encoder as a bank of Gabor filters.

    Each GroupNorm group of the first convolution becomes a cosine and a sine of one frequency
    under a Gaussian window; the second convolution starts near the identity.
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


@torch.no_grad()
def start_projections(quantizer: ResidualVQ, generator: torch.Generator) -> None:
    """Start the maps of a quantizer to its codes and back as one orthogonal projection.

    Every level then refines what the level before it has left over, with codes 0.7 times as long.
    With maps drawn apart, each level adds to the residual instead, until the maps have learned
    about each other.
    """
    to_code, from_code = quantizer.to_code, quantizer.from_code
    assert isinstance(to_code, LevelProjections)
    assert isinstance(from_code, LevelProjections)
    n_books, _, n_out, n_in = to_code.weight.shape
    widest = max(n_in, n_out)
    square = torch.randn(n_books, widest, widest, generator=generator)
    rows = torch.linalg.qr(square)[0][:, None, :n_out, :n_in]
    lengths = _SHRINKING ** torch.arange(quantizer.config.n_levels)[:, None, None]
    to_code.weight.copy_(rows / lengths)
    from_code.weight.copy_(rows.mT * lengths)
    for maps in (to_code, from_code):
        maps.bias.zero_()


class MuonWithAdamW(Optimizer):
    """Muon for the matrices of linear and recurrent layers, AdamW for the rest, as one optimiser.

    One, because Lightning accumulates, clips and schedules the gradients of one.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float,
        matrix_lr: float,
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.99),
        head: nn.Module | None = None,
        head_lr: float = 0.0,
    ) -> None:
        matrices = [p for p in _matrices(model) if p.requires_grad]
        apart = [] if head is None else list(head.parameters())
        taken = {id(p) for p in (*matrices, *apart)}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
        groups: list[dict[str, Any]] = [{"params": rest, "lr": lr}]
        if apart:
            groups.append({"params": apart, "lr": head_lr})
        self.parts: tuple[Optimizer, Optimizer] = (
            Muon(matrices, lr=matrix_lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            AdamW(groups, betas=betas, weight_decay=0.0),
        )
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        # The same dictionaries: a schedule of the whole moves the parts.
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step both parts."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Give the states of both parts."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def _matrices(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            yield module.weight
        elif isinstance(module, nn.LSTM):
            yield from (p for p in module.parameters() if p.ndim == 2)


def warmup_cosine(optimizer: Optimizer, warmup_steps: int, n_steps: int) -> LRScheduler:
    """Linear warm-up, then a cosine down to zero, stepped per batch."""

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, n_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)
