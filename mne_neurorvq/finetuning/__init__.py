# License: BSD-3-Clause
"""Fine-tuning: the published recipe on a skorch net, and low-rank adapters."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
