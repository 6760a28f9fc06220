# License: BSD-3-Clause
"""A model over a batch of trials, in full passes as large as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from .._warnings import warn

T = TypeVar("T")
Arrays = tuple[NDArray[Any], ...]
#: From segments ``(size, n_channels, n_times)`` and rows of the vocabulary to tensors (size, ...).
Forward = Callable[[list[Tensor], Tensor], Tensor | Sequence[Tensor]]


@dataclass
class Passes:
    """Parts of batches of ``size`` trials or, where memory does not suffice, of fewer."""

    size: int

    def over(self, n_trials: int, compute: Callable[[slice, int], T]) -> Iterator[tuple[slice, T]]:
        """Compute successive parts of a batch, and what does not fit into memory in halves.

        ``compute`` takes the place of a part, which may end behind the batch, and the number of
        trials of a full one. Once parts have become smaller they stay so, with a warning.
        """
        start = 0
        while start < n_trials:
            part = slice(start, start + self.size)
            try:
                outputs = compute(part, self.size)
            except torch.OutOfMemoryError:
                if self.size == 1:
                    raise
                self.size //= 2
                warn(
                    f"{part.stop - part.start} trials at a time do not fit into memory: going on "
                    f"with {self.size}. Set batch_size={self.size} to begin with that."
                )
                continue
            yield part, outputs
            start = part.stop


def run(
    forward: Forward,
    batch: list[NDArray[Any]],
    rows: Tensor,
    passes: Passes,
    *,
    bf16: bool = False,
) -> Iterator[Arrays]:
    """Apply a model to a batch on the device of ``rows``; give the outputs of each pass."""
    device, n_trials = rows.device, len(batch[0])

    def compute(part: slice, size: int) -> Arrays:
        segments = [fill_up(array[part], size) for array in batch]
        if device.type == "cuda":  # from pinned memory they go beside other work
            segments = [one.pin_memory().to(device, non_blocking=True) for one in segments]
        segments = [one.to(device) for one in segments]
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, bf16):
            found = forward(segments, rows)
        outputs = (found,) if isinstance(found, Tensor) else found
        return tuple(
            (output.float() if output.is_floating_point() else output).cpu().numpy()
            for output in outputs
        )

    for part, outputs in passes.over(n_trials, compute):
        n_new = min(part.stop, n_trials) - part.start
        yield tuple(output[:n_new] for output in outputs)


def fill_up(segment: NDArray[Any], size: int) -> Tensor:
    """Fill a batch ``(n_trials, n_channels, n_times)`` up to ``size`` trials with its last one.

    Matrix products of other shapes round differently, and a code at a near tie could then depend
    on how many trials were passed.
    """
    window = torch.from_numpy(segment)
    missing = size - len(window)
    return torch.cat((window, window[-1:].expand(missing, -1, -1))) if missing else window
