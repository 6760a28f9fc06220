# License: BSD-3-Clause
"""The rules of residual quantization: what a level looks up and subtracts, how its codes learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor
from torch.nn import functional as F

Map = Callable[[Tensor], Tensor]

# Weight of NeuroRVQ's term that pulls a chosen code towards the residual it leaves.
_RESIDUAL_WEIGHT = 0.4


def _straight_through(code: Tensor, learns: Tensor) -> Tensor:
    """Give the value of ``code`` and the gradient of ``learns``."""
    return learns + (code - learns).detach()


class Rule:
    """What a level looks up and subtracts, and how its codes learn; tensors ``(..., code_dim)``."""

    # Whether codes are unit vectors, among which directions are looked up.
    unit_codes = True
    # Whether a code is subtracted and summed with a learned length.
    learns_gain = False
    # Whether codes are the directions of moving sums of vectors, which are then kept.
    keeps_sums = False

    def look_up(self, vectors: Tensor) -> Tensor:
        """Give what the nearest code is searched for: here the direction of the vectors."""
        return F.normalize(vectors, dim=-1)

    def learns_from(self, vectors: Tensor, searched: Tensor) -> Tensor:
        """Choose what commits to a code and moves it: the vectors, or what was looked up."""
        return searched

    def subtract(
        self, residual: Tensor, chosen: Tensor, learns: Tensor, from_code: Map
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Subtract a chosen code: what joins the sum, the next residual and the loss.

        Here each level passes its own gradient straight through, and none through the residual.
        """
        code = from_code(_straight_through(chosen, learns))
        return code, residual - code.detach(), F.mse_loss(learns, chosen)

    def output(self, z: Tensor, total: Tensor) -> Tensor:
        """Give the sum of the codes its gradient; here it has that of its terms."""
        return total

    def loss(self, by_level: Tensor) -> Tensor:
        """Join the losses of the levels."""
        return by_level.mean()

    def move(
        self,
        codes: Tensor,
        size: Tensor,
        moving_sum: Tensor,
        sums: Tensor,
        counts: Tensor,
        keep: float,
    ) -> Tensor:
        """Move codes ``(n_codes, code_dim)`` towards the vectors that chose them in a batch."""
        means = F.normalize(sums / counts.clamp(min=1)[:, None], dim=-1)
        return F.normalize(keep * codes + (1 - keep) * means, dim=-1)


class UnitRule(Rule):
    """NeuroRVQ: a unit code is subtracted from the raw residual, its gradient with it."""

    def subtract(
        self, residual: Tensor, chosen: Tensor, learns: Tensor, from_code: Map
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Subtract with the gradient of the direction; the loss sees the residual, too."""
        code = _straight_through(chosen, learns)
        residual = residual - code
        pull = F.mse_loss(code, residual.detach())
        return code, residual, F.mse_loss(learns, chosen) + _RESIDUAL_WEIGHT * pull


class DetachedRule(Rule):
    """BrainRVQ: the same codes, no gradient through what is subtracted, losses summed."""

    def loss(self, by_level: Tensor) -> Tensor:
        """Sum the losses of the levels."""
        return by_level.sum()


class EuclideanRule(Rule):
    """The textbook's: the vectors themselves are looked up among codes of any length."""

    unit_codes = False

    def look_up(self, vectors: Tensor) -> Tensor:
        """Give the vectors as they are."""
        return vectors

    def subtract(
        self, residual: Tensor, chosen: Tensor, learns: Tensor, from_code: Map
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Subtract the code; the gradient goes through :meth:`output`."""
        # In this order: gradients are added up in the reverse one, and would round otherwise.
        loss = F.mse_loss(residual, chosen)
        return chosen, residual - chosen, loss

    def output(self, z: Tensor, total: Tensor) -> Tensor:
        """Give the sum the gradient of the input."""
        return _straight_through(total, z)

    def move(
        self,
        codes: Tensor,
        size: Tensor,
        moving_sum: Tensor,
        sums: Tensor,
        counts: Tensor,
        keep: float,
    ) -> Tensor:
        """Move codes to the mean of all that chose them, the past weighted by its size."""
        past = keep * size
        total = (past + (1 - keep) * counts).clamp(min=1e-12)
        return (past[:, None] * codes + (1 - keep) * sums) / total[:, None]


class GainRule(EuclideanRule):
    """As NeuroRVQ's, but each level subtracts its unit codes times a learned gain."""

    unit_codes = True
    learns_gain = True
    look_up = Rule.look_up
    move = Rule.move


class CosineRule(Rule):
    """BioCodec: unit codes that learn from the raw vectors, long ones pulling more."""

    keeps_sums = True

    def learns_from(self, vectors: Tensor, searched: Tensor) -> Tensor:
        """Choose the vectors."""
        return vectors

    def move(
        self,
        codes: Tensor,
        size: Tensor,
        moving_sum: Tensor,
        sums: Tensor,
        counts: Tensor,
        keep: float,
    ) -> Tensor:
        """Move codes to the direction of the moving sum of what chose them."""
        return F.normalize(moving_sum.mul_(keep).add_(sums, alpha=1 - keep), dim=-1)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "unit": UnitRule(),
        "detached": DetachedRule(),
        "euclidean": EuclideanRule(),
        "gain": GainRule(),
        "cosine": CosineRule(),
    }
)
