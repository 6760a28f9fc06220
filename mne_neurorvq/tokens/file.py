# License: BSD-3-Clause
"""The file that holds tokens: HDF5, with the codes packed at their true bit width.

Layout, version 1::

    attributes   format = "mne-neurorvq-tokens", version = 1, sha256 = checksum of what follows
    /header      JSON, compressed with zlib (all that is neither codes nor side information)
    /codes       unsigned bytes: codes in C order, most significant bit first, no gap between them
    /side        float32

"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._writing import replacing

if TYPE_CHECKING:
    import h5py

FORMAT = "mne-neurorvq-tokens"
VERSION = 1

_SIGNATURE = b"\x89HDF\r\n\x1a\n"  # with which every HDF5 file of ours begins

# A multiple of 8, so that every block of codes ends on a byte; bounds the memory of packing.
_BLOCK = 2**18
# What h5py, zlib, JSON and NumPy raise when bytes are not what they should be.
_DAMAGE = (OSError, RuntimeError, KeyError, IndexError, AttributeError, TypeError, ValueError,
           OverflowError, MemoryError, zlib.error)  # fmt: skip


def bit_width(n_codes: int) -> int:
    """Bits that one of n_codes codes needs.

    Examples
    --------
    >>> bit_width(512), bit_width(8192), bit_width(300)
    (9, 13, 9)
    """
    return max(1, (n_codes - 1).bit_length())


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """Pack codes (n,) into bytes (ceil(n * bits / 8),); the last byte is filled up with zeros."""
    shifts = np.arange(bits - 1, -1, -1)
    return np.packbits(((codes[:, None] >> shifts) & 1).astype(np.uint8))


def unpack(packed: np.ndarray, bits: int, n: int) -> np.ndarray:
    """Undo `pack`: n codes (int32) from bytes."""
    codes = np.zeros(n, np.int32)
    for column in np.unpackbits(packed, count=n * bits).reshape(n, bits).T:
        codes = (codes << 1) | column
    return codes


def write(
    path: Path, header: dict[str, Any], codes: np.ndarray, side: np.ndarray, *, overwrite: bool
) -> None:
    """Write a file of tokens; an existing one is replaced only by a complete new one."""
    import h5py

    if path.is_dir():
        raise IsADirectoryError(
            f"{path} is a folder: name a file, for example {path / 'tokens.h5'}"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {path.parent} of {path} does not exist: create it first"
        )
    packed_header = np.frombuffer(zlib.compress(json.dumps(header).encode(), 9), np.uint8)
    try:
        with replacing(path, overwrite=overwrite) as new, h5py.File(new, "x") as file:
            file.create_dataset("header", data=packed_header)
            file.create_dataset("side", data=side)
            digest = hashlib.sha256(packed_header.tobytes() + side.tobytes())
            _write_codes(file, codes.reshape(-1), bit_width(header["n_codes"]), digest)
            # Of fixed length: for texts of any length HDF5 sets 4 KiB aside.
            texts = {"format": FORMAT, "sha256": digest.hexdigest()}
            file.attrs.update({name: np.bytes_(text) for name, text in texts.items()})
            file.attrs["version"] = VERSION
    # What HDF5 says of a full disk, if it finds out when it closes the file.
    except RuntimeError as error:
        raise OSError(
            f"{path} could not be written, is the disk full? What was there before is as it was. "
            f"({str(error).splitlines()[0]})"
        ) from error


def _write_codes(file: h5py.File, codes: np.ndarray, bits: int, digest: Any) -> None:
    dataset = file.create_dataset("codes", (math.ceil(codes.size * bits / 8),), np.uint8)
    for start in range(0, codes.size, _BLOCK):
        packed = pack(codes[start : start + _BLOCK], bits)
        offset = start * bits // 8
        dataset[offset : offset + packed.size] = packed
        digest.update(packed)


def read(path: Path) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Read a file of tokens: header, codes in the shape that the header tells, side information."""
    import h5py

    with open(path, "rb") as start:  # an absent or unreadable file gives its own error here
        if start.read(len(_SIGNATURE)) != _SIGNATURE:
            raise ValueError(f"{path} is not a file of tokens (it is not HDF5)")
    try:
        with h5py.File(path, "r") as file:
            found = (_text(file.attrs.get("format")), file.attrs.get("version"))
            if found == (FORMAT, VERSION):
                return _read_checked(file, path.stat().st_size)
    except _DAMAGE as error:
        raise ValueError(
            f"{path} is damaged or incomplete ({error}): write it again or take another copy"
        ) from error
    if found[0] == FORMAT:
        raise ValueError(
            f"{path} has version {found[1]} of the token format, and this release of mne_neurorvq "
            f"reads version {VERSION}: update mne_neurorvq"
        )
    raise ValueError(f"{path} is an HDF5 file, but not one of tokens (its format is {found[0]!r})")


def _read_checked(file: h5py.File, file_size: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    for name in ("header", "codes", "side"):
        if file[name].nbytes > file_size:
            raise ValueError(f"{name!r} claims {file[name].nbytes} of {file_size} bytes")
    packed_header, side = file["header"][()], file["side"][()]
    digest = hashlib.sha256(packed_header.tobytes() + side.tobytes())
    header = json.loads(zlib.decompress(packed_header.tobytes()))
    codes = _read_codes(file["codes"], header["shape"], bit_width(header["n_codes"]), digest)
    if digest.hexdigest() != _text(file.attrs["sha256"]):
        raise ValueError("its checksum does not agree with its content")
    return header, codes, side


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _read_codes(dataset: h5py.Dataset, shape: list[int], bits: int, digest: Any) -> np.ndarray:
    size = math.prod(shape)
    if dataset.shape != (math.ceil(size * bits / 8),):
        raise ValueError(f"{dataset.shape} bytes for {size} codes of {bits} bits")
    codes = np.empty(size, np.int16 if bits < 16 else np.int32)
    for start in range(0, size, _BLOCK):
        n = min(_BLOCK, size - start)
        offset = start * bits // 8
        packed = dataset[offset : offset + math.ceil(n * bits / 8)]
        digest.update(packed)
        codes[start : start + n] = unpack(packed, bits, n)
    return codes.reshape(shape)
