# License: BSD-3-Clause
"""Figures. As in MNE, each function takes ``axes=`` and ``show=`` and returns the figure."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
