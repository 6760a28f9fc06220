# License: BSD-3-Clause
"""Tokens as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._optional import optional

if TYPE_CHECKING:
    import pandas as pd

    from .record import Tokens


def table_of(tokens: Tokens) -> pd.DataFrame:
    """One row for each trial, channel and patch, see :meth:`Tokens.to_dataframe`."""
    with optional("to_dataframe", "benchmark"):
        import pandas as pd
    n_trials, n_channels, n_patches, n_codebooks, n_levels = tokens.shape
    columns: dict[str, Any] = {"trial": np.repeat(np.arange(n_trials), n_channels * n_patches)}
    if tokens.events is not None:
        columns["event"] = np.repeat(_event_names(tokens), n_channels * n_patches)
    columns["ch_name"] = np.tile(np.repeat(tokens.ch_names, n_patches), n_trials)
    columns["patch"] = np.tile(np.arange(n_patches), n_trials * n_channels)
    columns["time"] = np.tile(tokens.patch_times, n_trials * n_channels)
    for codebook in range(n_codebooks):
        for level in range(n_levels):
            codes = tokens.codes[..., codebook, level].ravel()
            columns[f"codebook{codebook}_level{level}"] = codes
    return pd.DataFrame(columns)


def _event_names(tokens: Tokens) -> np.ndarray:
    assert tokens.events is not None
    names = {code: name for name, code in reversed((tokens.event_id or {}).items())}
    return np.array([names.get(code, str(code)) for code in tokens.events[:, 2].tolist()], object)
