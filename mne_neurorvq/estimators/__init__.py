# License: BSD-3-Clause
"""The scikit-learn face: thin estimators over signals, models, weights and tokens."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
