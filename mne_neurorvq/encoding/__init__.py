# License: BSD-3-Clause
"""The engine: frozen models over trials. Trials and tensors in, arrays and Tokens out."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
