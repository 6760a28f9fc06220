# License: BSD-3-Clause
"""Pretraining of tokenizers and foundation models on Lightning (extra ``pretrain``)."""

from typing import Any as _Any

import lazy_loader as _lazy

from .._optional import optional as _optional

_load, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name: str) -> _Any:
    with _optional("pretraining", "pretrain"):
        return _load(name)
