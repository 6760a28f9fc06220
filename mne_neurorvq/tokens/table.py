# License: BSD-3-Clause
"""Tokens as a table, as a labelled array, and in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._optional import optional

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

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


def array_of(tokens: Tokens) -> xr.DataArray:
    """Codes with the names of their axes, see :meth:`Tokens.to_xarray`."""
    with optional("to_xarray", "xarray"):
        import xarray as xr
    n_trials, _, n_patches, *_ = tokens.shape
    coords: dict[str, Any] = {
        "trial": np.arange(n_trials),
        "channel": list(tokens.ch_names),
        "patch": np.arange(n_patches),
        "time": ("patch", tokens.patch_times, {"units": "s"}),
    }
    if tokens.events is not None:
        coords["event"] = ("trial", _event_names(tokens))
    for name, values in _columns(tokens).items():
        if name in coords or name in tokens.axes:
            raise ValueError(
                f"the metadata have a column {name!r}, which is the name of an axis or coordinate "
                "of the codes: rename the column."
            )
        coords[name] = ("trial", values)
    # What a netCDF file takes.
    named = ("model", "n_codes", "sfreq", "model_sfreq", "patch_size", "reference")
    attrs = {name: getattr(tokens, name) for name in named}
    return xr.DataArray(tokens.codes, coords, tokens.axes, "codes", attrs)


def _columns(tokens: Tokens) -> dict[str, np.ndarray]:
    metadata = tokens.metadata
    if isinstance(metadata, list):
        names = metadata[0] if metadata else ()
        return {name: np.array([row.get(name) for row in metadata]) for name in names}
    return {} if metadata is None else {n: metadata[n].to_numpy() for n in metadata.columns}


def facts_of(tokens: Tokens) -> list[list[str]]:
    """Lines of name and value, for a table."""
    first, *_, last = tokens.patch_times if tokens.shape[2] > 1 else tokens.patch_times.repeat(2)
    facts = {
        "model": " ".join(filter(None, [tokens.model, tokens.revision])),
        "signals": f"{tokens.n_times} samples at {tokens.sfreq:g} Hz from {tokens.tmin:g} s",
        "patches": f"{tokens.patch_size / tokens.model_sfreq:g} s, from {first:g} to {last:g} s",
        "channels": ", ".join(tokens.ch_names),
        "left out": ", ".join(tokens.left_out),
        "reference": tokens.reference,
        "rate": f"{tokens.bits_per_second:.4g} bits/s and channel, with side information",
    }
    if tokens.events is not None:
        names, counts = np.unique(_event_names(tokens).astype(str), return_counts=True)
        pairs = zip(names, counts, strict=True)
        facts["events"] = ", ".join(f"{name}: {count}" for name, count in pairs)
    return [[name, value] for name, value in facts.items() if value]


def _event_names(tokens: Tokens) -> np.ndarray:
    assert tokens.events is not None
    names = {code: name for name, code in reversed((tokens.event_id or {}).items())}
    return np.array([names.get(code, str(code)) for code in tokens.events[:, 2].tolist()], object)
