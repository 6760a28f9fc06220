# License: BSD-3-Clause
"""Where outputs of frozen models are kept, by what determines them: in this process or a folder."""

from __future__ import annotations

import math
import stat
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from os import PathLike
from pathlib import Path
from threading import Lock
from time import time
from typing import Any, ClassVar, Protocol
from uuid import uuid4
from weakref import WeakKeyDictionary

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .._warnings import warn
from .._writing import swap
from ..models import fast

#: The parameter ``memory`` of transformers.
Memory = str | PathLike[str] | joblib.Memory | None
#: What is kept of one trial.
Values = tuple[NDArray[Any], ...]
#: Shape and type of each of them.
Layout = Sequence[tuple[tuple[int, ...], np.dtype[Any]]]
# Bytes of an entry besides its numbers: key, tuple, the arrays' own facts, measured.
_OVERHEAD = 500
# Where entries lie in a folder: beside what else a joblib.Memory keeps there.
_WITHIN = "joblib/mne_neurorvq"
_DIGEST_SIZE = sha256().digest_size
# More than NumPy writes before the numbers of an array.
_ARRAY_FACTS = 2**12
# A file that is older, in seconds, is not being written any more.
_ABANDONED = 3600.0
# Part of the cache of outputs: weights are not read anew for each call.
_DIGESTS: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


class Store(Protocol):
    """Outputs by the digests of what determines them."""

    #: Whether other processes use it at the same time.
    shared: ClassVar[bool]

    def get(self, key: str) -> Values | None:
        """Find the outputs for a trial."""

    def put(self, key: str, values: Values) -> None:
        """Keep the outputs for a trial."""


class ProcessStore:
    """Outputs in the memory of this process; those that were not used for longest go first."""

    shared: ClassVar[bool] = False

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.n_bytes = 0
        self._kept: OrderedDict[str, Values] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Values | None:
        """Find the outputs for a trial."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: str, values: Values) -> None:
        """Keep a copy of the outputs for a trial."""
        # An array of one trial would keep the memory of its whole batch.
        copies = tuple(np.array(value) for value in values)
        with self._lock:
            self._forget(key)
            self._kept[key] = copies
            self.n_bytes += _size(copies)
            while self.n_bytes > self.most_bytes:
                self._forget(next(iter(self._kept)))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self.n_bytes = 0

    def _forget(self, key: str) -> None:
        self.n_bytes -= _size(self._kept.pop(key, ()))


class FolderStore:
    """Outputs in a folder, which processes share: a file of NumPy arrays for each trial.

    An entry that is not what was written under its key, or not of the layout, is computed again. A
    folder that cannot be written keeps nothing, with a warning.
    """

    shared: ClassVar[bool] = True

    def __init__(self, folder: Path, layout: Layout | None = None) -> None:
        self._folder = folder
        self._layout = layout
        self._said: set[str] = set()

    def get(self, key: str) -> Values | None:
        """Find the outputs for a trial."""
        path = self._path(key)
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                raise ValueError("it is not a file")
            if self._layout is not None and found.st_size > _most_bytes(self._layout):
                raise ValueError(f"it has {found.st_size} bytes")
            return _unpack(key, path.read_bytes(), self._layout)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._warn_of_folder(error)
            return None
        except ValueError as error:
            self._warn("entry", f"{path} is damaged or foreign ({error}): computing it again.")
            return None

    def put(self, key: str, values: Values) -> None:
        """Keep the outputs for a trial."""
        path = self._path(key)
        part = path.with_name(f"{path.name}.{uuid4().hex}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for left in path.parent.glob("*.part"):  # by a writer that was killed
                if time() - left.lstat().st_mtime > _ABANDONED:
                    left.unlink(missing_ok=True)
            try:
                part.write_bytes(_pack(key, values))
                swap(part, path, durable=False)
            finally:
                part.unlink(missing_ok=True)
        except IsADirectoryError:
            pass  # in the place of the entry, as get has said
        except OSError as error:
            self._warn_of_folder(error)

    def _path(self, key: str) -> Path:
        # Folders with hexadecimal names are what joblib.Memory.reduce_size counts and removes.
        return self._folder / _WITHIN / key / "output.npy"

    def _warn_of_folder(self, error: OSError) -> None:
        where = f"memory={str(self._folder)!r}"
        self._warn("folder", f"{where} cannot be used ({error}): going on without it.")

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            warn(message)


def _pack(key: str, values: Values) -> bytes:
    """Write arrays one after the other, and a digest behind them."""
    content = BytesIO()
    for value in values:
        np.save(content, value, allow_pickle=False)
    return content.getvalue() + _digest(key, content.getvalue())


def _unpack(key: str, data: bytes, layout: Layout | None = None) -> Values:
    """Undo :func:`_pack`, or raise ValueError before anything is read."""
    content, digest = data[:-_DIGEST_SIZE], data[-_DIGEST_SIZE:]
    if digest != _digest(key, content):
        raise ValueError("it is not what was kept for this trial")
    # The digest may be right and the content wrong: anyone can compute a digest.
    values: list[NDArray[Any]] = []
    rest = BytesIO(content)
    while rest.tell() < len(content):
        start = rest.tell()
        shape, dtype = _array_facts(rest)
        if layout is not None and (shape, dtype) not in layout[len(values) : len(values) + 1]:
            raise ValueError(f"array {len(values)} has shape {shape} and type {dtype}")
        if math.prod(shape) * dtype.itemsize > len(content) - rest.tell():
            raise ValueError(f"array {len(values)} claims shape {shape}")
        rest.seek(start)
        values.append(np.lib.format.read_array(rest, allow_pickle=False))
    if layout is not None and len(values) != len(layout):
        raise ValueError(f"it has {len(values)} arrays")
    return tuple(values)


def _array_facts(file: BytesIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and type of the array that comes next."""
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("of another version")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    # Its header is read as a Python literal, with whatever Python raises.
    except Exception as error:
        raise ValueError("it holds no arrays") from error
    return shape, dtype


def _most_bytes(layout: Layout) -> int:
    sizes = (math.prod(shape) * dtype.itemsize + _ARRAY_FACTS for shape, dtype in layout)
    return sum(sizes) + _DIGEST_SIZE


def _digest(key: str, content: bytes) -> bytes:
    return sha256(key.encode() + content).digest()


#: What estimators with ``memory="auto"`` share.
IN_PROCESS = ProcessStore(2**29)


def find_store(memory: Any, layout: Layout | None = None) -> Store | None:
    """Find the store that the parameter ``memory`` names; it takes entries of a layout only."""
    if memory is None:
        return None
    if isinstance(memory, str) and memory == "auto":
        return IN_PROCESS
    if isinstance(memory, (str, PathLike)):
        return FolderStore(Path(memory), layout)
    return None if memory.location is None else FolderStore(Path(memory.location), layout)


def check_memory(memory: Any) -> None:
    """Raise TypeError unless the parameter ``memory`` names a store."""
    if not isinstance(memory, (str, PathLike, joblib.Memory, type(None))) or memory == "":
        raise TypeError(f"memory={memory!r} must be 'auto', None, a folder or a joblib.Memory.")
    if isinstance(memory, joblib.Memory) and memory.backend != "local":
        raise TypeError(
            f"memory={memory!r} keeps what it has in {memory.backend!r}: it must be a folder."
        )


def _size(values: Values) -> int:
    return sum(value.nbytes for value in values) + _OVERHEAD if values else 0


def describe_model(model: nn.Module, device: torch.device) -> str:
    """Say what a model computes, to the last bit.

    That is structure, weights, and all that rounding depends on: versions, processor, threads,
    precision, and whether the fast paths are used.
    """
    if device.type == "cuda":
        processor = torch.cuda.get_device_name(device)
    else:
        processor = f"{torch.backends.cpu.get_cpu_capability()} {torch.get_num_threads()}"
    return repr(
        (
            type(model).__qualname__,
            model.config,
            _digest_of_weights(model),
            version("mne-neurorvq"),
            torch.__version__,
            device.type,
            processor,
            fast.enabled(),
            _precision(),
        )
    )


def key_of(prefix: Any, inputs: Values) -> str:
    """Digest of what determines the outputs for a trial: a prefix, and the model's inputs."""
    digest = prefix.copy()
    for part in inputs:
        trial = np.ascontiguousarray(part)
        digest.update(f"{trial.dtype}{trial.shape}".encode())
        digest.update(trial.data)
    return str(digest.hexdigest())


def _digest_of_weights(model: nn.Module) -> str:
    """Digest of all tensors of a model, which estimators do not change once it is loaded."""
    if model not in _DIGESTS:
        digest = sha256()
        for name, tensor in model.state_dict().items():
            digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().data)
        _DIGESTS[model] = digest.hexdigest()
    return _DIGESTS[model]


def _precision() -> object:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # it was set for each backend apart
        backends: Any = torch.backends
        return [one.matmul.fp32_precision for one in (backends.cuda, backends.mkldnn)]
