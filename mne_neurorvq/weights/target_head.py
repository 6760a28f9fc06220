# License: BSD-3-Clause
"""The layer beside a foundation model that tells physiological numbers of its features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch

from ..models.heads import TargetHead
from .errors import CheckpointError
from .manifest import Folder
from .reading import Content, check_fit, fill
from .tensors import read_tensors

TARGET_HEAD = "target_head.safetensors"
#: Key of its metadata, a list of the names of the numbers.
TARGET_COLUMNS = "mne_neurorvq.columns"


def has_target_head(folder: Folder) -> bool:
    """Whether there is such a layer, and it belongs to the model that is there now."""
    return TARGET_HEAD in folder.digests if folder.digests else folder.has(TARGET_HEAD)


def read_target_head(folder: Folder) -> Content:
    """Open its file."""
    return folder.read(TARGET_HEAD, read_tensors)


def make_target_head(content: Content, config: Any, source: str) -> TargetHead | None:
    """Make the layer; None if its file, of an earlier version, does not name the numbers."""
    tensors, metadata = content
    if TARGET_COLUMNS not in metadata:
        return None
    try:
        columns = json.loads(metadata[TARGET_COLUMNS])
        names = isinstance(columns, list) and all(isinstance(name, str) for name in columns)
        if not names or len(set(columns)) < len(columns):
            raise ValueError(f"{columns!r:.200} is no list of different names")
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{source} does not name the numbers it tells: {error}") from None
    with torch.device("meta"):
        check_fit(blank_target_head(columns, config), tensors, source)
    head = blank_target_head(columns, config)
    fill(head, tensors, source)
    return head.eval()


def blank_target_head(columns: Sequence[str], config: Any) -> TargetHead:
    """Build the layer for numbers with these names, which its ``sizes`` keep."""
    return TargetHead(dict.fromkeys(columns, 1), config)
