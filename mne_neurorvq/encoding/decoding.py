# License: BSD-3-Clause
"""From tokens back to signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..signals import Segmentation
from ..signals.preparation import restore
from ..tokens import Tokens
from .passes import Passes, on_device
from .progress import progress


def decode_batches(
    model: nn.Module,
    forward: Callable[[Tensor, Tensor, Tensor], Sequence[Tensor]],
    tokens: Tokens,
    *,
    unit: str,
    device: torch.device,
    batch_size: int,
    verbose: bool | None,
) -> Iterator[NDArray[np.float64]]:
    """Decode tokens, one batch of trials at a time.

    Parameters
    ----------
    model : nn.Module
        The model that made the tokens.
    forward : callable
        From codes, side information and channel rows of a batch to its segments, each
        ``(batch, n_channels, patches * patch_size)``.
    tokens : Tokens
        Codes and all that decoding needs.
    unit : str
        Unit of what ``forward`` gives.
    device : torch.device
        Where to compute.
    batch_size : int
        Trials per batch, or less, as in :func:`run_batches`.
    verbose : bool | None
        As in :func:`run_batches`.

    Yields
    ------
    ndarray, shape (n_trials, n_channels, n_times)
        Signals in volts, at the rate and of the length that the trials had.

    Raises
    ------
    ValueError
        If they are not finite: side information far from that of any signal does that.
    """
    covered = tokens.shape[2] * tokens.patch_size - tokens.overlap - tokens.padding
    segmentation = Segmentation(
        covered, tokens.patch_size, tokens.segments, tokens.overlap, tokens.padding
    )
    rows = torch.tensor(tokens.channel_rows, device=device)

    def compute(part: slice, size: int) -> list[NDArray[Any]]:
        codes = torch.from_numpy(tokens.codes[part].astype(np.int64)).to(device)
        side = torch.tensor(tokens.side[part], device=device)  # may be read-only: a memmap
        with torch.inference_mode():
            return [segment.cpu().numpy() for segment in forward(codes, side, rows)]

    with on_device(model, device), progress(len(tokens), verbose) as bar:
        for part, segments in Passes(batch_size).over(len(tokens), compute):
            for segment in segments:
                _check_finite(segment, tokens, part.start)
            yield restore(
                segments,
                segmentation,
                model_sfreq=tokens.model_sfreq,
                model_unit=unit,
                sfreq=tokens.sfreq,
                n_times=tokens.n_times,
            )
            bar.update(len(segments[0]))


def _check_finite(segment: NDArray[np.floating], tokens: Tokens, first: int) -> None:
    if not np.isfinite(segment).all():
        trial, channel = np.argwhere(~np.isfinite(segment))[0][:2]
        trial += first
        raise ValueError(
            f"trial {trial}, channel {tokens.ch_names[channel]!r}: what is decoded is not finite. "
            f"Its side information reaches {np.abs(tokens.side[trial]).max():.3g}, which no signal "
            "gives: the tokens were changed."
        )
