# License: BSD-3-Clause
"""From a name or a path to loaded models: registry, download, checkpoint formats."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
