# License: BSD-3-Clause
"""Small folders of simulated recordings, and the corpora made of them."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest

from mne_neurorvq.datasets import simulate_recordings
from mne_neurorvq.training import prepare_corpus

SITES = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2".split()


def _make_raw(seconds=26.0, seed=0, *, names=SITES, sfreq=200.0, volts=1e-5):
    """Noise whose spectrum falls, in volts."""
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((len(names), round(seconds * sfreq)))
    data += np.roll(data, 1, axis=1) + np.roll(data, 2, axis=1)
    info = mne.create_info(list(names), sfreq, "eeg")
    return mne.io.RawArray(volts * data, info, verbose="error")


def _save(raw, path):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".edf":
        raw.export(path, verbose="error")
    else:
        raw.save(path, verbose="error")
    return path


@pytest.fixture(scope="session")
def make_raw():
    return _make_raw


@pytest.fixture(scope="session")
def save():
    return _save


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Four people of three montages, two of them with two recordings."""
    root = tmp_path_factory.mktemp("recordings")
    for number, raw in enumerate(simulate_recordings(3, 2, sfreq=250.0, verbose=False)):
        _save(raw, root / f"person{number}" / "first_raw.fif")
    for number in (0, 3):
        _save(_make_raw(seed=number, sfreq=160.0), root / f"person{number}" / "second.edf")
    return root


@pytest.fixture(scope="session")
def corpus(folder, tmp_path_factory):
    """A corpus of them, in windows of 6 s."""
    out = tmp_path_factory.mktemp("corpus") / "corpus"
    prepare_corpus([folder], out, window=6, validation_subjects=["person2"])
    return out
