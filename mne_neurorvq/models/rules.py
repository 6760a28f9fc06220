# License: BSD-3-Clause
"""The rules of residual quantization: what a level looks up and subtracts, how its codes learn.

``unit``, ``detached`` and ``cosine`` are those of the published NeuroRVQ, BrainRVQ and BioCodec;
their weights need them. For a new model take ``euclidean``, which restored signals best in our
trials, or ``gain`` if codes should be directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

# Weight of NeuroRVQ's term that pulls a chosen code towards the residual it leaves.
_RESIDUAL_WEIGHT = 0.4


class Step(NamedTuple):
    """What a level does to a batch: the code that joins the sum, the next residual, the loss."""

    code: Tensor
    residual: Tensor
    loss: Tensor


class Batch(NamedTuple):
    """What a level learns from: of each code, the vectors that chose it, summed and counted."""

    sums: Tensor
    counts: Tensor

    @property
    def means(self) -> Tensor:
        """Means of the vectors, ``(n_codes, code_dim)``; zero where there are none."""
        return self.sums / self.counts.clamp(min=1)[:, None]


class Averages(NamedTuple):
    """Moving averages of a level of a codebook."""

    codes: Tensor
    size: Tensor
    moving_sum: Tensor | None
    decay: float


class Rule:
    """Base of all rules; unless overridden, directions are looked up among unit codes."""

    # Whether codes are unit vectors.
    unit_codes = True
    # Whether each level multiplies its codes by a learned gain.
    learns_gain = False
    # Whether codes are the directions of moving sums of vectors, which are then kept.
    keeps_sums = False

    def look_up(self, vectors: Tensor) -> Tensor:
        """Return what is compared with the codes: here the directions of the vectors."""
        return F.normalize(vectors, dim=-1)

    def learns_from(self, vectors: Tensor, searched: Tensor) -> Tensor:
        """Return what commits to a code and moves it: here what was looked up."""
        return searched

    def subtract(
        self, residual: Tensor, chosen: Tensor, learns: Tensor, from_code: Callable[..., Tensor]
    ) -> Step:
        """Subtract a code; here each level has its own gradient, and the residual passes none."""
        code = from_code(_straight_through(chosen, learns))
        return Step(code, residual - code.detach(), F.mse_loss(learns, chosen))

    def output(self, z: Tensor, total: Tensor) -> Tensor:
        """Set the gradient of the sum of the codes: here that of its terms."""
        return total

    def loss(self, by_level: Tensor) -> Tensor:
        """Join the losses of the levels."""
        return by_level.mean()

    def move(self, old: Averages, batch: Batch) -> Tensor:
        """Move codes towards the directions of the vectors that chose them."""
        directions = F.normalize(batch.means, dim=-1)
        return F.normalize(old.decay * old.codes + (1 - old.decay) * directions, dim=-1)


class UnitRule(Rule):
    """NeuroRVQ: a unit code is subtracted from the raw residual, its gradient with it."""

    def subtract(
        self, residual: Tensor, chosen: Tensor, learns: Tensor, from_code: Callable[..., Tensor]
    ) -> Step:
        """Subtract with the gradient of the direction; the loss sees the residual, too."""
        code = _straight_through(chosen, learns)
        residual = residual - code
        pull = F.mse_loss(code, residual.detach())
        return Step(code, residual, F.mse_loss(learns, chosen) + _RESIDUAL_WEIGHT * pull)


class DetachedRule(Rule):
    """BrainRVQ: unit codes of looked-up directions, as in the base, with the losses summed."""

    def loss(self, by_level: Tensor) -> Tensor:
        """Sum the losses of the levels."""
        return by_level.sum()


class CosineRule(Rule):
    """BioCodec: unit codes learn from the raw vectors, long ones pulling more."""

    keeps_sums = True

    def learns_from(self, vectors: Tensor, searched: Tensor) -> Tensor:
        """Return the vectors."""
        return vectors

    def move(self, old: Averages, batch: Batch) -> Tensor:
        """Move codes to the direction of the moving sum of what chose them."""
        assert old.moving_sum is not None
        moving_sum = old.moving_sum.mul_(old.decay).add_(batch.sums, alpha=1 - old.decay)
        return F.normalize(moving_sum, dim=-1)


class EuclideanRule(Rule):
    """The textbook: vectors are looked up as they are, among codes of any length."""

    unit_codes = False

    def look_up(self, vectors: Tensor) -> Tensor:
        """Return the vectors."""
        return vectors

    def subtract(
        self, residual: Tensor, chosen: Tensor, learns: Tensor, from_code: Callable[..., Tensor]
    ) -> Step:
        """Subtract the code; the gradient goes through :meth:`output`."""
        # The loss first: autograd sums gradients in reverse order, and order decides rounding.
        loss = F.mse_loss(residual, chosen)
        return Step(chosen, residual - chosen, loss)

    def output(self, z: Tensor, total: Tensor) -> Tensor:
        """Pass the gradient straight through to the input."""
        return _straight_through(total, z)

    def move(self, old: Averages, batch: Batch) -> Tensor:
        """Move codes to the mean of all that chose them, the past weighted by its size."""
        past = old.decay * old.size
        size = (past + (1 - old.decay) * batch.counts).clamp(min=1e-12)
        return (past[:, None] * old.codes + (1 - old.decay) * batch.sums) / size[:, None]


class GainRule(EuclideanRule):
    """The euclidean rule on unit codes, each level multiplying its codes by a learned gain."""

    unit_codes = True
    learns_gain = True
    look_up = Rule.look_up
    move = Rule.move


def _straight_through(code: Tensor, learns: Tensor) -> Tensor:
    """Combine the value of ``code`` with the gradient of ``learns``."""
    return learns + (code - learns).detach()


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "unit": UnitRule(),
        "detached": DetachedRule(),
        "cosine": CosineRule(),
        "euclidean": EuclideanRule(),
        "gain": GainRule(),
    }
)
