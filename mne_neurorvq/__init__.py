# License: BSD-3-Clause
"""Tokens, features and signals from residual-VQ biosignal models.

The public names are those of ``__init__.pyi``; each is imported when it is first used, so that
importing the package loads neither torch nor braindecode nor matplotlib.
"""

import os as _os

import lazy_loader as _lazy

# The threads of torch spin while they wait for each other, up to seconds where other programs have
# their cores. After a thousand turns, about 10 µs, they sleep: as fast on an idle machine, and many
# times faster on a busy one. GNU OpenMP reads this when torch is loaded.
if "OMP_WAIT_POLICY" not in _os.environ:
    _os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
__all__ += ["__version__"]
