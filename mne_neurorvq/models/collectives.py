# License: BSD-3-Clause
"""What processes that train together agree on; without a process group each works alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist


def n_processes() -> int:
    """Count the processes of the default group; 1 without one.

    Returns
    -------
    int
        World size.
    """
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _rank() -> int:
    return dist.get_rank() if n_processes() > 1 else 0


def all_sum(*tensors: Tensor) -> list[Tensor]:
    """Sum tensors over all processes, in one message.

    Parameters
    ----------
    *tensors : Tensor
        Of one dtype and device; of the same shapes in every process.

    Returns
    -------
    list of Tensor
        The sums, bit-equal in all processes; without a process group the tensors themselves.

    Examples
    --------
    >>> import torch
    >>> all_sum(torch.ones(2), torch.zeros(1))
    [tensor([1., 1.]), tensor([0.])]
    """
    if n_processes() == 1:
        return list(tensors)
    message = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(message)
    parts = message.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def shared_generator(device: torch.device) -> torch.Generator:
    """Make a generator that draws the same in all processes.

    Parameters
    ----------
    device : torch.device
        Where messages travel; the generator itself is on the CPU.

    Returns
    -------
    torch.Generator
        Seeded from the global random state of the first process.
    """
    seed = torch.randint(2**62, ())
    if _rank() > 0:
        seed.zero_()
    (seed,) = all_sum(seed.to(device))
    return torch.Generator().manual_seed(int(seed))


class Share(NamedTuple):
    """The rows of this process among those of all processes.

    Parameters
    ----------
    places : Tensor of int64, shape (n_rows,)
        Ascending numbers of the own rows in the joined sequence.
    n_total : int
        Length of the joined sequence.
    """

    places: Tensor
    n_total: int

    def own_rows(self, x: Tensor, wanted: Tensor, *leading: Tensor) -> Tensor:
        """Look up rows of the joined sequence; those of other processes are zero.

        The sum over all processes has every row, without rounding.

        Parameters
        ----------
        x : Tensor, shape (..., n_rows, dim)
            The own rows.
        wanted : Tensor of int64, shape (n_wanted,)
            Numbers in the joined sequence.
        *leading : Tensor of int64, shape (n_wanted,)
            Index into each of the axes before the rows.

        Returns
        -------
        Tensor, shape (n_wanted, dim)
            Rows, or zeros.

        Examples
        --------
        >>> import torch
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
    """Find the place of the own rows among those of all processes, in the order of their ranks.

    Parameters
    ----------
    n_rows : int
        Rows of this process.
    device : torch.device
        Where messages travel.

    Returns
    -------
    Share
        Numbers of the own rows, and how many there are in all.

    Examples
    --------
    >>> import torch
    >>> share_of(3, torch.device("cpu"))
    Share(places=tensor([0, 1, 2]), n_total=3)
    """
    own = torch.arange(n_rows, device=device)
    if n_processes() == 1:
        return Share(own, n_rows)
    sizes = torch.zeros(n_processes(), dtype=torch.int64, device=device)
    sizes[_rank()] = n_rows
    (sizes,) = all_sum(sizes)
    return Share(own + sizes[: _rank()].sum(), int(sizes.sum()))


def one_after_another(shares: Sequence[Share]) -> Share:
    """Join the shares of several steps, one joined sequence after the other.

    Parameters
    ----------
    shares : sequence of Share
        One of each step.

    Returns
    -------
    Share
        Numbers of the own rows of all steps.

    Examples
    --------
    >>> import torch
    >>> one_after_another([Share(torch.tensor([1]), 2), Share(torch.tensor([0, 1]), 3)])
    Share(places=tensor([1, 2, 3]), n_total=5)
    """
    places, n_total = [], 0
    for share in shares:
        places.append(share.places + n_total)
        n_total += share.n_total
    return Share(torch.cat(places), n_total)
