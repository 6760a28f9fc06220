# License: BSD-3-Clause
"""Pretraining of tokenizers and foundation models on Lightning (extra ``pretrain``).

The way of the data, and where to change it::

    corpus                          recordings to windows on a disk
    crops, planning, batches        windows to batches: references, gains, sizes, order
    settings, *_pretraining         configurations: what systems share, and what differs
    tokenizer_stage                 the objective of a tokenizer
    foundation_stage                that of a foundation model, the sum of
        masked_prediction             the codes of hidden patches, and
        patch_targets                 physiological numbers of all patches
    optimisation, trainer, running  from a stage to a trained model, through interruptions
    *_command, model_card           the commands, and what they leave
"""

from typing import Any as _Any

import lazy_loader as _lazy

from .._optional import optional as _optional

_load, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name: str) -> _Any:
    with _optional("pretraining", "pretrain"):
        return _load(name)
