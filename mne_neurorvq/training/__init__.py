# License: BSD-3-Clause
"""Pretraining of tokenizers and foundation models on Lightning (extra ``pretrain``)."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
