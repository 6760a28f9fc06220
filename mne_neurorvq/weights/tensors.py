# License: BSD-3-Clause
"""Tensors from checkpoint files, whatever wrote them."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import (
    CheckpointError,
    MismatchError,
    NotACheckpointError,
    TruncatedError,
    first_few,
)
from .manifest import opened

Shapes = Mapping[str, tuple[int, ...]]
#: A regular expression that finds nothing.
NOTHING = "(?!)"

# A training loop may have stored the state dict beside its optimizer's, and a wrapper may have
# prefixed every name. BrainRVQ's pretraining calls its encoder so; alone it needs no prefix.
_WRAPPERS = ("model", "state_dict", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.", "student.")
_ZIP = b"PK\x03\x04"
# How torch.save begins a file of its old format; other pickles begin otherwise.
_PICKLE = b"\x80\x02"
# What the format allows for the description of the tensors.
_MAX_HEADER = 100_000_000
# What may stand for what: precision is converted, another kind of number is another tensor.
_KINDS = {
    "floating point": (torch.float16, torch.bfloat16, torch.float32, torch.float64),
    "whole numbers": (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
    "flags": (torch.bool,),
}


def read_tensors(path: Path, digest: str | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a checkpoint and, if it has any, its metadata."""
    with opened(path, digest) as file:
        start = file.read(9)
        if not start:
            raise TruncatedError(
                f"{path} is empty: the download or copy was interrupted. Get it again."
            )
        metadata: dict[str, str] = {}
        if start.startswith((_ZIP, _PICKLE)):
            content = _read_torch(path)
        elif start[8:] == b"{":
            content, metadata = _read_safetensors(path)
        else:
            raise NotACheckpointError(
                f"{path} is not a checkpoint: neither torch.save nor safetensors wrote it."
            )
    tensors = _plain_names(content, path)
    _check_plain(tensors, path)
    return tensors, metadata


def _read_torch(path: Path) -> Any:
    is_zip = zipfile.is_zipfile(path)
    with path.open("rb") as file:
        if file.read(4) == _ZIP and not is_zip:
            raise _truncated(path)
    try:
        # A mapped file leaves on disk what is never read, such as "embed_avg". It is given by its
        # name, of which torch must not take that it is of another format.
        if is_zip and not path.name.endswith(".safetensors"):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        with path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except EOFError as error:
        raise _truncated(path) from error
    except pickle.UnpicklingError as error:
        raise NotACheckpointError(
            f"{path} holds Python objects other than tensors, which are not loaded because "
            f"unpickling them could run any code: {str(error).splitlines()[0]}"
        ) from error
    except RuntimeError as error:
        message = str(error).splitlines()[0]
        if "unexpected EOF" in message or "corrupted" in message:
            raise _truncated(path) from error
        raise NotACheckpointError(f"{path} is not a checkpoint: {message}") from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    _check_safetensors_length(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise NotACheckpointError(f"{path} is not a checkpoint: {error}") from error


def _check_safetensors_length(path: Path) -> None:
    """Tell a file that ends early from one that never was a checkpoint."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        if header_size > _MAX_HEADER:
            raise NotACheckpointError(f"{path} is not a checkpoint: its header has no end.")
        if 8 + header_size > size:
            raise _truncated(path)
        try:
            header = json.loads(file.read(header_size))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name[:2] != "__"]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise NotACheckpointError(f"{path} is not a checkpoint: {error}") from error
    if 8 + header_size + max(ends, default=0) > size:
        raise _truncated(path)


def _truncated(path: Path) -> TruncatedError:
    return TruncatedError(
        f"{path} is truncated: it ends after {path.stat().st_size} bytes, before its tensors do. "
        "Get it again."
    )


def _plain_names(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for wrapper in _WRAPPERS:
            if isinstance(content.get(wrapper), Mapping):
                content = content[wrapper]
                break
    if not isinstance(content, Mapping) or not content:
        kind = type(content).__name__
        raise NotACheckpointError(f"{path} holds no tensors: its content is a {kind}.")
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise NotACheckpointError(
            f"{path} is not a state dict: {first_few(others)} are not tensors."
        )
    names = {name: name for name in content}
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in names):
            names = {name.removeprefix(prefix): old for name, old in names.items()}
    return {name: content[old] for name, old in names.items()}


def _check_plain(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that are not numbers in a row, and those that claim more than is there."""
    wrong = [
        name
        for name, tensor in tensors.items()
        if tensor.is_nested  # which has no layout or size to ask for
        or tensor.layout != torch.strided
        or tensor.device.type != "cpu"
        or tensor.is_quantized
        or tensor.nbytes > tensor.untyped_storage().nbytes()
    ]
    if wrong:
        raise NotACheckpointError(
            f"{path} has tensors without numbers of their own (sparse, quantized, repeated, or "
            f"only described): {first_few(wrong)}."
        )


def _kind(dtype: torch.dtype) -> str:
    return next(kind for kind, dtypes in _KINDS.items() if dtype in dtypes)


def check_finite(tensors: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that are not numbers."""
    bad = [name for name, tensor in tensors.items() if not _is_finite(tensor)]
    if bad:
        more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise CheckpointError(
            f"{source} has NaN or infinite values in {', '.join(bad[:10])}{more}."
        )


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    # Both carry NaN on, and need no memory: isfinite takes twice that of the tensor.
    return all(bool(end.isfinite()) for end in torch.aminmax(tensor))


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of a state dict."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def check_tensors(
    wanted: Mapping[str, tuple[tuple[int, ...], torch.dtype]],
    found: Mapping[str, Tensor],
    source: str,
    ignored: str = NOTHING,
) -> None:
    """Refuse the tensors of a file unless they are those of a model, by name, shape and kind.

    Unknown tensors pass if the regular expression ``ignored`` finds something in their names.
    """
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted and not re.search(ignored, name)]
    wrong_shape, wrong_type = [], []
    for name, (shape, dtype) in wanted.items():
        if (tensor := found.get(name)) is None:
            continue
        if tensor.shape != shape:
            wrong_shape.append(f"{name} {tuple(tensor.shape)} instead of {shape}")
        if tensor.dtype not in _KINDS[kind := _kind(dtype)]:
            dtype_name = str(tensor.dtype).removeprefix("torch.")
            wrong_type.append(f"{name} ({dtype_name} instead of {kind})")
    if missing or unknown or wrong_shape or wrong_type:
        raise MismatchError(source, missing, unknown, wrong_shape, wrong_type)
