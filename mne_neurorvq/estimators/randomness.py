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
    """Restore torch's own generators afterwards.

    All threads share them: fits that draw from them (``draws``) wait for one another.
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
    """Draw the seed of a fit; without a random_state a new one, from no global generator."""
    if random_state is None:
        return secrets.randbelow(2**31)
    return int(check_random_state(random_state).randint(2**31 - 1))


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed torch's own generators of the CPU and of one GPU."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
