# License: BSD-3-Clause
"""From what users hold to what a model eats: trials, channels, units, rates and segments."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
