# License: BSD-3-Clause
"""Metadata of trials as plain data: a DataFrame, or a list of dicts where pandas is absent.

MNE-Python holds the metadata of epochs in the same two forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Metadata: TypeAlias = "pd.DataFrame | list[dict[str, Any]]"

_PLAIN = (str, int, float, bool, type(None))
_OF_KIND = {"b": bool, "i": int, "u": int, "f": float}
_REMEDY = "convert it to text or numbers first, for example with .astype(str)"


def is_frame(metadata: object) -> bool:
    """Whether metadata is a DataFrame, without importing pandas."""
    return hasattr(metadata, "iloc") and hasattr(metadata, "columns")


def check_metadata(metadata: Any, n_trials: int) -> Metadata | None:
    """Return metadata of n_trials rows, numbered from 0 as MNE numbers them."""
    if metadata is None:
        return None
    if is_frame(metadata):
        metadata = metadata.reset_index(drop=True)
    elif isinstance(metadata, (list, tuple)) and all(isinstance(r, Mapping) for r in metadata):
        metadata = [dict(row) for row in metadata]
    else:
        raise TypeError(
            "metadata must be a pandas DataFrame, a list of dicts (one for each trial) or None, "
            f"got {type(metadata).__name__}"
        )
    if len(metadata) != n_trials:
        raise ValueError(f"metadata has {len(metadata)} rows, but there are {n_trials} trials")
    return metadata


def take_rows(metadata: Metadata | None, rows: np.ndarray) -> Metadata | None:
    """Select rows by their positions."""
    if metadata is None:
        return None
    if isinstance(metadata, list):
        return [metadata[row] for row in rows]
    return metadata.iloc[rows]


def same_metadata(a: Metadata | None, b: Metadata | None) -> bool:
    """Whether two metadata have the same columns, types and values."""
    if a is None or b is None or isinstance(a, list) or isinstance(b, list):
        return a is b if a is None or b is None else type(a) is type(b) and bool(a == b)
    return list(a.columns) == list(b.columns) and bool(a.equals(b))


def encode_metadata(metadata: Metadata | None) -> Any:
    """Turn metadata into something that JSON can hold without loss, or raise."""
    if metadata is None:
        return None
    if isinstance(metadata, list):
        for number, row in enumerate(metadata):
            for name, value in row.items():
                _check_name(name)
                _check_plain(name, number, value)
        return {"rows": metadata}
    names = list(metadata.columns)
    for name in names:
        _check_name(name)
        if names.count(name) > 1:
            raise ValueError(f"metadata has {names.count(name)} columns named {name!r}: rename one")
    return {
        "columns": [_encode_column(name, metadata[name]) for name in names],
        "n_rows": len(metadata),
    }


def decode_metadata(encoded: Any, n_trials: int) -> Metadata | None:
    """Undo `encode_metadata`; without pandas a table becomes a list of dicts."""
    if encoded is None:
        return None
    if "rows" in encoded:
        rows = list(encoded["rows"])
        for number, row in enumerate(rows):
            for name, value in row.items():
                _check_plain(name, number, value)
        return rows
    # Checked before anything of that size is built.
    columns = {column["name"]: column for column in encoded["columns"]}
    lengths = {encoded["n_rows"], *(len(column["values"]) for column in columns.values())}
    if lengths != {n_trials} or len(columns) < len(encoded["columns"]):
        raise ValueError(f"metadata have {lengths} rows, and codes {n_trials} trials")
    for name, column in columns.items():
        _check_column(name, column["dtype"], column["values"])
    try:
        import pandas as pd
    except ImportError:
        return [
            {name: column["values"][row] for name, column in columns.items()}
            for row in range(n_trials)
        ]
    table = {name: _decode_column(column) for name, column in columns.items()}
    return pd.DataFrame(table, index=range(n_trials))


def _check_column(name: str, dtype: str, values: list[Any]) -> None:
    """Raise unless a column has a type that `_encode_column` writes, and values of this type."""
    types: tuple[type, ...] = _PLAIN if dtype == "object" else (str, type(None))
    if dtype not in ("object", "str", "string"):
        kind = np.dtype(dtype)
        if kind.kind not in _OF_KIND or kind.itemsize > 8:
            raise TypeError(f"metadata column {name!r} has dtype {dtype!r}")
        types = (_OF_KIND[kind.kind],)
    for row, value in enumerate(values):
        if type(value) not in types:
            raise TypeError(f"metadata column {name!r} of {dtype} holds {value!r} in row {row}")


def _encode_column(name: str, column: pd.Series) -> dict[str, Any]:
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.StringDtype):
        values = [value if isinstance(value, str) else None for value in column]
    elif isinstance(dtype, np.dtype) and dtype.kind in _OF_KIND and dtype.itemsize <= 8:
        values = column.tolist()
    elif dtype.kind == "O" and isinstance(dtype, np.dtype):
        values = list(column)
        for number, value in enumerate(values):
            _check_plain(name, number, value)
    else:
        raise TypeError(
            f"metadata column {name!r} has dtype {dtype}, which cannot be saved (text, integers, "
            f"floats and booleans can): {_REMEDY}"
        )
    return {"name": name, "dtype": str(dtype), "values": values}


def _decode_column(column: dict[str, Any]) -> pd.Series:
    import pandas as pd

    if column["dtype"] in ("str", "string"):
        values = pd.Series(column["values"], dtype=object)
        dtype = pd.api.types.pandas_dtype(column["dtype"])
        # Before pandas 3 "str" means object.
        return values.astype(dtype) if isinstance(dtype, pd.StringDtype) else values
    return pd.Series(column["values"], dtype=column["dtype"])


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"names of metadata columns must be strings to be saved, got {name!r}")


def _check_plain(name: str, row: int, value: object) -> None:
    if type(value) not in _PLAIN:
        raise TypeError(
            f"metadata column {name!r} holds a {type(value).__name__} in row {row}, which cannot "
            f"be saved: {_REMEDY}"
        )
