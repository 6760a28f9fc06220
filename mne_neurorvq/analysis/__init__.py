# License: BSD-3-Clause
"""What tokens keep, lose and cost: measures shared by all models."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
