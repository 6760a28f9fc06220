# License: BSD-3-Clause
"""Recordings of several people: simulated ones, and loaders around `mne.datasets`."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
