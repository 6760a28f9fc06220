# License: BSD-3-Clause
"""Measures of what tokens keep of the signals, what they lose and what they cost."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
