# License: BSD-3-Clause
"""Tokens, features and signals from residual-VQ biosignal models.

The public names are those of ``__init__.pyi``; each is imported when it is first used, so that
importing the package loads neither torch nor braindecode nor matplotlib.
"""

import lazy_loader as _lazy

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
__all__ += ["__version__"]
