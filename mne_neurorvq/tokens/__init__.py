# License: BSD-3-Clause
"""Tokens: codes of trials with all that decoding needs."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
