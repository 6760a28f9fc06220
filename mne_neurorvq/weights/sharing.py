# License: BSD-3-Clause
"""One copy of a model in a process and on a device, however many estimators use it.

A shared model is never moved or changed, so that no caller has to wait for another: a model that is
needed on another device is loaded a second time.
"""

from __future__ import annotations

from collections import deque
from os import PathLike
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

import torch

from .download import fetch
from .loading import LoadedModel, load_pretrained
from .registry import BUNDLED, Kind, registered

CPU = torch.device("cpu")
_SHARED: WeakValueDictionary[tuple[object, ...], LoadedModel] = WeakValueDictionary()
# The folds of a cross-validation come one after the other: the next still finds what the last let
# go, a tokenizer and a foundation model.
_RECENT: deque[LoadedModel] = deque(maxlen=2)
_LOCK = Lock()


def shared_pretrained(
    pretrained: str | PathLike[str],
    revision: str | None = None,
    *,
    only: Kind,
    device: torch.device = CPU,
) -> LoadedModel:
    """Load a pretrained model, or find the copy that this process has on a device.

    It is not to be changed. Files that have been replaced are read anew; those who hold the old
    model keep it.
    """
    files = map(_state, _files(pretrained, revision, only))
    key = (str(pretrained), revision, only, str(device), *files)
    # Two threads that load together would make two copies.
    with _LOCK:
        loaded = _SHARED.get(key)
        if loaded is None:
            loaded = load_pretrained(pretrained, revision, only=only)
            for kind in loaded.kinds:
                getattr(loaded, kind).to(device)
            _SHARED[key] = loaded
        if not any(loaded is other for other in _RECENT):
            _RECENT.append(loaded)
        return loaded


def _files(pretrained: str | PathLike[str], revision: str | None, only: Kind) -> list[Path]:
    """Files that a model is read from; without them it is drawn, or there is none."""
    path = Path(pretrained).expanduser()
    if (entry := registered(pretrained)) is not None:
        if not entry.bundled:
            files = [file for file in entry.files if file.kind == only]
            return [fetch(entry, file, revision or entry.revision) for file in files]
        path = BUNDLED / entry.name
    if path.is_dir():
        # Hidden files are on their way to a name, or away.
        return sorted(file for file in path.iterdir() if not file.name.startswith("."))
    return [path] if path.exists() else []


def _state(file: Path) -> tuple[object, ...]:
    try:
        stat = file.stat()
    except FileNotFoundError:  # just being replaced
        return (file,)
    return file.resolve(), stat.st_ino, stat.st_size, stat.st_mtime_ns
