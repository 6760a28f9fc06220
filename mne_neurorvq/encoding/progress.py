# License: BSD-3-Clause
"""Progress bars that appear by themselves when work takes long."""

from __future__ import annotations

from tqdm.auto import tqdm

# Seconds of work after which a progress bar appears by itself.
_PATIENCE = 3.0


def progress(total: int, verbose: bool | None, unit: str = "trial") -> tqdm:
    """Make a bar to enter and update; None shows it in a terminal when the work takes long."""
    return tqdm(
        total=total,
        unit=unit,
        delay=0.0 if verbose else _PATIENCE,
        disable=None if verbose is None else not verbose,
    )
