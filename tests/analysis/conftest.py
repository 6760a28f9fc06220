# License: BSD-3-Clause
"""Trials, a model that is small enough to run on them, and tokens made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mne
import numpy as np
import pytest

from mne_neurorvq import NeuroRVQTransformer, Tokens
from mne_neurorvq.datasets import simulate_epochs

TINY = "neurorvq-eeg-tiny-random"


def make_tokens(codes: np.ndarray, *, n_codes: int, **parts: Any) -> Tokens:
    """Tokens of patches of one second at 100 Hz, unless told otherwise."""
    n_trials, n_channels, n_patches = codes.shape[:3]
    parts = {"sfreq": 100.0, "patch_size": 100, "overlap": 0, **parts}
    parts = {"model_sfreq": parts["sfreq"], **parts}
    covered = n_patches * parts["patch_size"] - parts["overlap"]
    return Tokens(
        **{
            "codes": codes,
            "side": np.zeros((n_trials, 1, 2)),
            "n_codes": n_codes,
            "model": "by hand",
            "ch_names": tuple(f"ch{channel}" for channel in range(n_channels)),
            "channel_rows": tuple(range(n_channels)),
            "n_times": round(covered / parts["model_sfreq"] * parts["sfreq"]),
            "segments": (n_patches,),
            **parts,
        }
    )


class Counter:
    """The codec whose every code is known: patches do not see each other, nor do channels.

    The code of level 0 is the integer part of the patch's mean in microvolts, that of level 1 the
    next decimal digit.
    """

    n_codes = 1000

    def __init__(self, patch_size: int = 10) -> None:
        self.patch_size = patch_size

    def tokenize(self, X: Any) -> Tokens:
        volts = X.get_data() if hasattr(X, "get_data") else 1e-6 * np.asarray(X)
        patches = volts.reshape(*volts.shape[:2], -1, self.patch_size)
        tenths = np.round(1e7 * patches.mean(axis=-1)).astype(int)
        codes = np.stack([tenths // 10, tenths % 10], axis=-1)[:, :, :, None]
        return make_tokens(codes, n_codes=self.n_codes, patch_size=self.patch_size)


@pytest.fixture(scope="session")
def epochs() -> mne.EpochsArray:
    """Four trials of nineteen channels, 4 s at 160 Hz."""
    return simulate_epochs(n_subjects=2, n_trials=2, sfreq=160.0, verbose=False).pick(
        ["F3", "F4", "C3", "C4", "O1", "O2"]
    )


@pytest.fixture(scope="session")
def model(epochs: mne.EpochsArray) -> NeuroRVQTransformer:
    """The untrained model, with the channels of these trials."""
    return NeuroRVQTransformer(TINY, verbose=False).fit(epochs)


@pytest.fixture(scope="session")
def tokens(model: NeuroRVQTransformer, epochs: mne.EpochsArray) -> Tokens:
    """Tokens of these trials."""
    return model.tokenize(epochs)


@pytest.fixture(scope="session")
def constructed() -> Callable[..., Tokens]:
    """Make tokens by hand."""
    return make_tokens


@pytest.fixture(scope="session")
def counter() -> type[Counter]:
    """The codec whose every code is known."""
    return Counter
