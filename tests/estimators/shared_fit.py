# License: BSD-3-Clause
"""Fit one net in the processes that torchrun started; each writes what it ended with.

``python -m torch.distributed.run --standalone --nproc_per_node 2 shared_fit.py FOLDER``
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
from torch.nn.utils import parameters_to_vector

from mne_neurorvq import NeuroRVQClassifier

CASES = {
    # Batches of 8, 8 and 5, classes of different weights.
    "full": dict(finetune="full"),
    # The best epoch is not the last one.
    "best epoch": dict(
        finetune="full",
        lr=0.02,
        max_epochs=6,
        layer_decay=1.0,
        warmup_epochs=0,
        early_stopping=2,
        validation_fraction=0.3,
    ),
    "lora": dict(finetune="lora", lr=5e-3),
    # Every process draws a seed of its own, and takes that of the first.
    "no seed": dict(finetune="head", random_state=None, validation_fraction=0.3),
}


def fit(case: str, device: str) -> NeuroRVQClassifier:
    X, y = trials()
    parameters = dict(max_epochs=3, warmup_epochs=1, batch_size=8, random_state=0) | CASES[case]
    estimator = NeuroRVQClassifier(
        "neurorvq-eeg-tiny-random",
        ch_names=["C3", "Cz", "C4", "Pz"],
        sfreq=200.0,
        device=device,
        verbose=False,
        **parameters,
    )
    return estimator.fit(X, y, groups=np.arange(len(y)) % 7)


def trials() -> tuple[np.ndarray, np.ndarray]:
    X = 20 * np.random.default_rng(0).standard_normal((21, 4, 200))
    return X, np.resize(["left", "right", "right"], len(X))


def outcome(estimator: NeuroRVQClassifier) -> dict[str, np.ndarray]:
    return {
        "weights": parameters_to_vector(estimator.net_.module_.parameters()).detach().numpy(),
        "probabilities": estimator.predict_proba(trials()[0]),
        "losses": np.array([row["train_loss"] for row in estimator.history_]),
        "batches": np.array(estimator.net_.history[:, "batches", :, "train_batch_size"]),
        # The source of splits and orders, and how much was drawn from it.
        "generator": estimator.net_.iterator_train__generator.get_state().numpy(),
    }


if __name__ == "__main__":
    warnings.simplefilter("error")
    process = os.environ["RANK"]
    for case in CASES:
        fitted = pickle.loads(pickle.dumps(fit(case, "accelerate")))
        np.savez(Path(sys.argv[1]) / f"{case} {process}.npz", **outcome(fitted))
