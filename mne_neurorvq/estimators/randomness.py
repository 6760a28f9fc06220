# License: BSD-3-Clause
"""Where chance comes from in a fit, so that nothing outside it is touched."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from sklearn.utils import check_random_state

_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def own_randomness(device: torch.device, draws: bool) -> Iterator[None]:
    """Give torch's own generators back as they were.

    Parameters
    ----------
    device : torch.device
        Where is trained.
    draws : bool
        Whether training draws from those generators. All threads share them: such fits then wait
        for one another.

    Yields
    ------
    None
        Nothing.
    """
    alone = _ONE_AT_A_TIME if draws else nullcontext()
    with alone, torch.random.fork_rng([device] if device.type == "cuda" else []):
        # torch forks the generators of CUDA only.
        state = torch.mps.get_rng_state() if device.type == "mps" else None
        try:
            yield
        finally:
            if state is not None:
                torch.mps.set_rng_state(state)


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Draw the seed of a fit.

    Parameters
    ----------
    random_state : int | RandomState | None
        The parameter of an estimator.

    Returns
    -------
    int
        Without a random_state a new one, so that no global generator is touched.
    """
    if random_state is None:
        return secrets.randbelow(2**31)
    return int(check_random_state(random_state).randint(2**31 - 1))


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed torch's own generators of the CPU and of one GPU.

    Parameters
    ----------
    seed : int
        Seed.
    device : torch.device
        The generators of no other device are seeded.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
