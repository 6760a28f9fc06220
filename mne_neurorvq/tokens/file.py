# License: BSD-3-Clause
"""The file that holds tokens: HDF5, with the codes packed at their true bit width.

Layout, version 1::

    attributes   format = "mne-neurorvq-tokens", version = 1, sha256 = checksum of what follows
    /header      JSON, compressed with zlib (all that is neither codes nor side information)
    /codes       unsigned bytes: codes in C order, most significant bit first, no gap between them
    /side        float32

All three are stored contiguously and without filters, and the file holds nothing else: nothing
unpacks to more than the file holds, except the header, which is bounded.
"""

from __future__ import annotations

import hashlib
import json
import math
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._writing import replacing
from .checks import MOST_CODES, integer

if TYPE_CHECKING:
    import h5py

FORMAT = "mne-neurorvq-tokens"
VERSION = 1

_SIGNATURE = b"\x89HDF\r\n\x1a\n"  # with which every HDF5 file of ours begins

# Bytes to which a header may unpack: so many, and so many for each byte of codes and side
# information. Names and metadata repeat themselves, but every trial has codes of its own; parsed
# JSON takes twenty times its bytes.
_HEADER, _HEADER_PER_BYTE = 2**20, 2
_DATASETS = {"header", "side", "codes"}
_ENDINGS = (".h5", ".hdf5")

# A multiple of 8, so that every block of codes ends on a byte; bounds the memory of packing.
_BLOCK = 2**18
# What h5py, zlib, JSON and NumPy raise for damaged files.
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
    if path.suffix.lower() not in _ENDINGS:
        raise ValueError(
            f"{path} does not end in {' or '.join(_ENDINGS)}: tokens are saved as HDF5, whatever "
            f"the name says. Name it {path.with_suffix(_ENDINGS[0]).name!r}"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {path.parent} of {path} does not exist: create it first"
        )
    n_packed = math.ceil(codes.size * bit_width(header["n_codes"]) / 8)
    packed_header = _pack_header(header, n_packed + side.nbytes)
    try:
        with replacing(path, overwrite=overwrite) as new, h5py.File(new, "x") as file:
            file.create_dataset("header", data=packed_header)
            file.create_dataset("side", data=side)
            digest = hashlib.sha256(packed_header.tobytes() + side.tobytes())
            _write_codes(file, codes.reshape(-1), bit_width(header["n_codes"]), digest)
            # Of fixed length, since HDF5 reserves 4 KiB for others.
            texts = {"format": FORMAT, "sha256": digest.hexdigest()}
            file.attrs.update({name: np.bytes_(text) for name, text in texts.items()})
            file.attrs["version"] = VERSION
    except RuntimeError as error:  # how HDF5 reports a full disk when it closes the file
        raise OSError(
            f"{path} could not be written, is the disk full? An existing file is unchanged. "
            f"({str(error).splitlines()[0]})"
        ) from error


def _write_codes(file: h5py.File, codes: np.ndarray, bits: int, digest: Any) -> None:
    dataset = file.create_dataset("codes", (math.ceil(codes.size * bits / 8),), np.uint8)
    for start in range(0, codes.size, _BLOCK):
        packed = pack(codes[start : start + _BLOCK], bits)
        offset = start * bits // 8
        dataset[offset : offset + packed.size] = packed
        digest.update(packed)


def _pack_header(header: dict[str, Any], n_bytes: int) -> np.ndarray:
    """Compress a header, unless it would unpack to more than it may beside so many bytes."""
    text = json.dumps(header).encode()
    level = 9 if len(text) <= _most(0, n_bytes) else 0
    return np.frombuffer(zlib.compress(text, level), np.uint8)


def _most(n_packed: int, n_bytes: int) -> int:
    """Bytes that a header may unpack to beside so many of codes and side information."""
    return max(n_packed, _HEADER + _HEADER_PER_BYTE * n_bytes)


def read(path: Path) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Read a file of tokens: header, codes in the shape that the header tells, side information."""
    import h5py

    mode = path.stat().st_mode  # an absent or unreadable file gives its own error here
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError(f"{path} is a pipe or a device: copy what it gives into a file first")
    with open(path, "rb") as start:
        if start.read(len(_SIGNATURE)) != _SIGNATURE:
            raise ValueError(f"{path} is not a file of tokens (it is not HDF5)")
    with damage_named(path), h5py.File(path, "r") as file:
        found = _attribute(file, "format"), _attribute(file, "version")
        if found == (FORMAT, VERSION):
            return _read_checked(file, path.stat().st_size)
    if found[0] == FORMAT:
        raise ValueError(
            f"{path} has version {found[1]} of the token format, and this release of mne_neurorvq "
            f"reads version {VERSION}: update mne_neurorvq"
        )
    raise ValueError(f"{path} is an HDF5 file, but not one of tokens (its format is {found[0]!r})")


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Name the file in whatever error a damaged or impossible file causes."""
    try:
        yield
    except _DAMAGE as error:
        raise ValueError(
            f"{path} is damaged or incomplete ({error}): write it again or take another copy"
        ) from error


def _attribute(file: h5py.File, name: str) -> Any:
    """Read a short text or a number; None if what is there is neither, however large it is."""
    if name not in file.attrs:
        return None
    facts = file.attrs.get_id(name)
    if facts.shape != () or facts.dtype.kind not in "Siu" or facts.dtype.itemsize > 64:
        return None
    value = file.attrs[name]
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _dataset(file: h5py.File, name: str, dtype: type, file_size: int) -> h5py.Dataset:
    """Find a data set that is stored plainly in this file: not packed, linked, or external."""
    import h5py

    link = file.get(name, getlink=True)
    dataset = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name!r} is not a data set of this file")
    if dataset.dtype != dtype:
        raise ValueError(f"{name!r} is of type {dataset.dtype}")
    facts = dataset.id.get_create_plist()
    is_plain = facts.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
    if not is_plain or facts.get_nfilters() or facts.get_external_count():
        raise ValueError(f"{name!r} is packed, or lies in other files")
    if dataset.nbytes > file_size:
        raise ValueError(f"{name!r} claims {dataset.nbytes} of {file_size} bytes")
    if dataset.id.get_storage_size() != dataset.nbytes:
        raise ValueError(f"{name!r} was never written")
    return dataset


def _read_checked(file: h5py.File, file_size: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    packed_codes = _dataset(file, "codes", np.uint8, file_size)
    packed_header = _dataset(file, "header", np.uint8, file_size)[()]
    side = _dataset(file, "side", np.float32, file_size)[()]
    others = len(file.keys() - _DATASETS)
    if others:
        raise ValueError(f"it holds {others} more than {', '.join(sorted(_DATASETS))}")
    digest = hashlib.sha256(packed_header.tobytes() + side.tobytes())
    most = _most(packed_header.size, packed_codes.nbytes + side.nbytes)
    header = _unpack_header(packed_header.tobytes(), most)
    shape = [integer("shape", n, lowest=0) for n in header["shape"]]
    bits = bit_width(integer("n_codes", header["n_codes"], lowest=1, highest=MOST_CODES))
    codes = _read_codes(packed_codes, shape, bits, digest)
    if digest.hexdigest() != _attribute(file, "sha256"):
        raise ValueError("its checksum does not agree with its content")
    return header, codes, side


def _unpack_header(packed: bytes, most: int) -> dict[str, Any]:
    unpacking = zlib.decompressobj()
    text = unpacking.decompress(packed, most + 1)
    if not unpacking.eof or len(text) > most:
        raise ValueError(f"its header is cut off, or unpacks to more than {most} bytes")
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError(f"its header is a {type(header).__name__}")
    return header


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
