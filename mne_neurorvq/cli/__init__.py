# License: BSD-3-Clause
"""The command ``mne-neurorvq``."""

from .commands import main

__all__ = ["main"]
