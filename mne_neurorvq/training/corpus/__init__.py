# License: BSD-3-Clause
"""From folders of recordings to a corpus of windows, and from there to training."""

from .windows import Corpus, Window

__all__ = ["Corpus", "Window"]
