# License: BSD-3-Clause
"""Networks of braindecode, stopped on people who are not trained on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.model_selection import GroupKFold
from skorch.callbacks import EarlyStopping, LRScheduler
from skorch.dataset import ValidSplit

from .._optional import optional
from ..encoding.passes import resolve_device

with optional("a network of braindecode", "benchmark"), warnings.catch_warnings(action="ignore"):
    # Importing it raises deprecation warnings of its dependencies.
    from braindecode import EEGClassifier


class PeopleFolds(GroupKFold):
    """GroupKFold of at most as many folds as there are people."""

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.int_], NDArray[np.int_]]]:
        """Give the trials to train on and those to watch, fold by fold."""
        n_people = len(np.unique(np.asarray(groups)))
        if n_people < 2:
            raise ValueError(
                "a network stops on a part of the training people, but there is a single one: "
                "take more people, or more folds."
            )
        return iter(GroupKFold(min(self.n_splits, n_people)).split(X, y, groups))


class SubjectNet(EEGClassifier):
    """An EEGClassifier that takes MOABB's ``subjects`` for the split only, not for its module."""

    def run_single_epoch(self, *args: Any, subjects: Any = None, **kwargs: Any) -> None:
        """Train or validate once."""
        super().run_single_epoch(*args, **kwargs)

    @property
    def n_trainable_parameters_(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.module_.parameters() if p.requires_grad)


def network(module: str, *, lr: float, max_epochs: int = 20, **settings: Any) -> SubjectNet:
    """Make a classifier of a network of braindecode.

    The weights with the lowest loss on a fifth of the training people are kept; training ends five
    epochs after them.

    Parameters
    ----------
    module : str
        Name of the network.
    lr : float
        Initial learning rate of AdamW, which falls to zero along a cosine.
    max_epochs : int
        Passes over the trials.
    **settings : dict
        Further parameters of :class:`braindecode.EEGClassifier`, such as ``batch_size``.

    Returns
    -------
    SubjectNet
        A classifier of Epochs.
    """
    with config_context(enable_metadata_routing=True):
        people = PeopleFolds(5).set_split_request(groups="subjects")
    return SubjectNet(
        module,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=lr,
        max_epochs=max_epochs,
        train_split=ValidSplit(people),
        callbacks=[
            ("schedule", LRScheduler("CosineAnnealingLR", T_max=max_epochs)),
            ("stop", EarlyStopping(patience=5, load_best=True)),
        ],
        device=str(resolve_device("auto")),
        **{"batch_size": 32, "iterator_train__drop_last": False, "verbose": 0} | settings,
    )
