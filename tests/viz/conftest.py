# License: BSD-3-Clause
"""Trials, their tokens and their reconstruction, of which figures are drawn."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.datasets import simulate_epochs


@pytest.fixture(autouse=True)
def _closed(close_figures):
    """Close what a test has drawn."""


@pytest.fixture(scope="session")
def epochs():
    return simulate_epochs(n_subjects=1, n_trials=4, verbose=False)


@pytest.fixture(scope="session")
def reconstruction(epochs):
    """All channels but one with noise, most of it in trial 3."""
    noise = np.random.default_rng(0).standard_normal((4, 19, 800))
    data = epochs.get_data() + 2e-6 * noise * np.array([1, 2, 3, 9])[:, None, None]
    return mne.EpochsArray(data, epochs.info, verbose=False).drop_channels(["Fp1"])


@pytest.fixture(scope="session")
def model(epochs):
    return NeuroRVQTransformer("neurorvq-eeg-tiny-random", verbose=False).fit(epochs)


@pytest.fixture(scope="session")
def tokens(model, epochs):
    return model.tokenize(epochs)
