# License: BSD-3-Clause
"""Libraries that only some tests need: absent or broken, they skip these and no others."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

import pytest

from mne_neurorvq._optional import optional


def import_or_skip(name: str, extra: str | None = None) -> ModuleType:
    """Import a library; where that fails, skip the test, or the module, and say why."""
    try:
        with optional("this test", extra or name), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what its libraries say to each other
            return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(str(error), allow_module_level=True)
