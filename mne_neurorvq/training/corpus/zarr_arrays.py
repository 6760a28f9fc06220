# License: BSD-3-Clause
"""The array of one recording: written with checksums, and never read without comparing them.

A codec of Zarr tells damaged bytes before they are unpacked. The checksum of each window, which
the index has, also tells whole bytes in the wrong place.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from fsspec import AbstractFileSystem
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

#: Stands for what is not there: windows that were left out, and data that were lost. No signal
#: has it.
NOTHING = np.iinfo(np.int16).min

# Windows that one shard file holds at most: some 50 MB.
_SHARD_WINDOWS = 256
_REMEDY = "'mne-neurorvq prepare SOURCE... -o DIR --verify' with its sources prepares it again"
# What Zarr raises when bytes are not what they should be; not what a network raises.
_DAMAGE = (ValueError, RuntimeError, LookupError, TypeError, ArithmeticError, MemoryError,
           AttributeError, FileNotFoundError)  # fmt: skip


def write_array(
    path: Path, counts: NDArray[np.int16], window_times: int, attributes: dict[str, Any]
) -> dict[str, int]:
    """Write the signals of a recording; windows of nothing take no space."""
    n_channels, n_times = counts.shape
    n_windows = min(-(-n_times // window_times), _SHARD_WINDOWS)
    array = zarr.create_array(
        path,
        shape=counts.shape,
        dtype=np.int16,
        chunks=(n_channels, window_times),
        shards=(n_channels, n_windows * window_times),
        compressors=(BloscCodec(cname="lz4", clevel=3, shuffle="bitshuffle"), Crc32cCodec()),
        fill_value=NOTHING,
        dimension_names=("channel", "time"),
        attributes=attributes,
    )
    array[:] = counts
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): file.stat().st_size for file in files}


def checksum(counts: NDArray[np.int16]) -> int:
    """CRC-32 of the signals of a window."""
    return zlib.crc32(np.ascontiguousarray(counts, "<i2").data)


def to_text(checksums: Sequence[int]) -> str:
    """Write checksums with eight digits each."""
    return "".join(f"{one:08x}" for one in checksums)


def from_text(checksums: str) -> NDArray[np.uint32]:
    """Undo :func:`to_text`."""
    return np.frombuffer(bytes.fromhex(checksums), ">u4").astype(np.uint32)


def what_is_lost(filesystem: AbstractFileSystem, folder: str, files: Mapping[str, int]) -> str:
    """Say which file of an array is not there, or not all of it, without reading any."""
    for name, n_bytes in files.items():
        try:
            found = filesystem.info(f"{folder}/{name}")["size"]
        except (FileNotFoundError, NotADirectoryError):
            return f"{folder}/{name} is not there"
        if found not in (n_bytes, None):  # some servers do not say
            return f"{folder}/{name} has {found} bytes instead of {n_bytes}"
    return ""


def open_array(
    where: str, rows: Sequence[int], n_times: int, options: Mapping[str, Any] | None = None
) -> zarr.Array[Any]:
    """Open an array that has certain channels and a certain length."""
    try:
        array = zarr.open_array(where, mode="r", storage_options=dict(options or {}) or None)
        wanted = ((len(rows), n_times), np.dtype(np.int16), [int(row) for row in rows])
        found = (array.shape, array.dtype, array.attrs.get("rows"))
    except _DAMAGE as error:
        raise ValueError(f"{where} is damaged ({error}): {_REMEDY}.") from error
    if found != wanted:
        differences = "; ".join(
            f"{b} instead of {a}" for a, b in zip(wanted, found, strict=True) if a != b
        )
        raise ValueError(f"{where} is not what the index says ({differences}): {_REMEDY}.")
    return array


def read_window(array: zarr.Array[Any], start: int, stop: int, expected: int) -> NDArray[np.int16]:
    """Read the signals of a window in steps."""
    where = f"{str(array.store_path).removeprefix('file://')}: samples {start} to {stop} are"
    try:
        counts = np.asarray(array[:, start:stop])
    except _DAMAGE as error:
        raise ValueError(f"{where} damaged ({error}): {_REMEDY}.") from error
    if checksum(counts) != expected:
        what = "lost" if (counts == NOTHING).any() else "damaged, or those of another recording"
        raise ValueError(f"{where} {what}: {_REMEDY}.")
    return counts
