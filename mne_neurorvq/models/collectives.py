# License: BSD-3-Clause
"""What processes that train together agree on; without a process group each works alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist


def n_processes() -> int:
    """Count the processes of the default group; 1 without one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _rank() -> int:
    return dist.get_rank() if n_processes() > 1 else 0


def all_sum(*tensors: Tensor) -> list[Tensor]:
    """Sum tensors of one dtype and device over all processes, in one message.

    The sums are bit-equal in all processes; without a process group they are the tensors.
    """
    if n_processes() == 1:
        return list(tensors)
    message = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(message)
    parts = message.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def shared_generator(device: torch.device) -> torch.Generator:
    """Make a generator, on the CPU, that draws the same in all processes.

    It is seeded from the global random state of the first one; messages travel on ``device``.
    """
    seed = torch.randint(2**62, ())
    if _rank() > 0:
        seed.zero_()
    (seed,) = all_sum(seed.to(device))
    return torch.Generator().manual_seed(int(seed))


class Share(NamedTuple):
    """The rows of this process in the sequence that all processes hold together."""

    # Ascending numbers of the own rows, (n_rows,), and the length of the whole sequence.
    places: Tensor
    n_total: int

    def own_rows(self, x: Tensor, wanted: Tensor, *leading: Tensor) -> Tensor:
        """Look up rows ``wanted`` of the whole sequence in the own rows ``(..., n_rows, dim)``.

        Rows of other processes are zero: the sum over all has every row, without rounding.
        ``leading`` index the axes before the rows.

        >>> share = Share(torch.tensor([2, 3]), 5)
        >>> share.own_rows(torch.tensor([[7.0], [9.0]]), torch.tensor([3, 4]))
        tensor([[9.],
                [0.]])
        """
        index = torch.searchsorted(self.places, wanted)
        mine = torch.isin(wanted, self.places)
        rows = x.new_zeros(len(wanted), x.shape[-1])
        rows[mine] = x[tuple(axis[mine] for axis in (*leading, index))]
        return rows


def share_of(n_rows: int, device: torch.device) -> Share:
    """Place the own rows among those of all processes, in the order of their ranks."""
    own = torch.arange(n_rows, device=device)
    if n_processes() == 1:
        return Share(own, n_rows)
    sizes = torch.zeros(n_processes(), dtype=torch.int64, device=device)
    sizes[_rank()] = n_rows
    (sizes,) = all_sum(sizes)
    return Share(own + sizes[: _rank()].sum(), int(sizes.sum()))


def one_after_another(shares: Sequence[Share]) -> Share:
    """Join the shares of several steps, one sequence after the other.

    >>> one_after_another([Share(torch.tensor([1]), 2), Share(torch.tensor([0, 1]), 3)])
    Share(places=tensor([1, 2, 3]), n_total=5)
    """
    places, n_total = [], 0
    for share in shares:
        places.append(share.places + n_total)
        n_total += share.n_total
    return Share(torch.cat(places), n_total)
