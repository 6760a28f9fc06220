# License: BSD-3-Clause
"""Corpora of hearts, muscles and pulses: their units, windows, limits and targets."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from optional_library import import_or_skip

from mne_neurorvq.datasets import simulate_recordings
from mne_neurorvq.training import CorpusBatches, CorpusDataset, prepare_corpus, read_config


def _save(folder, modality, n_subjects=2):
    folder.mkdir()
    raws = simulate_recordings(n_subjects, 2, modality=modality, verbose=False)
    for number, raw in enumerate(raws):
        raw.save(folder / f"p{number}_raw.fif", verbose=False)
    return raws


@pytest.mark.parametrize(
    ("system", "modality", "window", "names", "unit", "size"),
    [
        ("neurorvq", "ecg", 6.0, 12, "mV", 40),
        ("neurorvq", "emg", 4.0, 4, "uV", 200),
        ("neurorvq", "ppg", 4.0, 1, "au", 80),
        ("biocodec", "emg", 4.0, 4, "uV", 1000),
    ],
)
def test_windows_are_in_the_unit_and_at_the_rate_of_the_model(
    tmp_path, system, modality, window, names, unit, size
):
    raws = _save(tmp_path / "raws", modality)
    summary = prepare_corpus(
        [tmp_path / "raws"], tmp_path / "corpus", system=system, modality=modality, window=window
    )
    assert summary["rejected"]["recordings"] == []
    assert summary["train"]["windows"] > 0
    corpus = CorpusDataset(tmp_path / "corpus", "train")
    assert (corpus.index["unit"], corpus.patch_size) == (unit, size)
    windows = [corpus[i] for i in range(len(corpus))]
    assert windows[0].data.shape == (names, round(window * corpus.index["sfreq"]))
    factor = {"mV": 1e3, "uV": 1e6, "au": 1.0}[unit]
    known = factor * raws[int(corpus.subjects[0][1])].get_data()
    found = np.concatenate([one.data for one in windows], axis=1)
    # A filter takes the slowest away, and the highest.
    np.testing.assert_allclose(found.std(axis=1), known.std(axis=1), rtol=0.3)


@pytest.mark.parametrize(
    ("modality", "target", "columns"), [("ecg", "beat", 5), ("emg", "muscle", 2)]
)
def test_targets_are_standardised_over_the_corpus(tmp_path, modality, target, columns):
    _save(tmp_path / "raws", modality, n_subjects=3)
    prepare_corpus(
        [tmp_path / "raws"], tmp_path / "corpus", modality=modality, window=4.0,
        validation_fraction=0,
    )  # fmt: skip
    corpus = CorpusDataset(tmp_path / "corpus", "train")
    config = read_config(modality=modality)
    assert list(config.foundation.learned_targets) == [target]
    crops = replace(config.crops, n_channels=(12,), n_patches=(20,))
    batches = CorpusBatches(
        corpus, config.model.config(), crops, seed=0, n_batches=len(corpus), targets=(target,)
    )
    found = [(batch.ids[0][:2], batch.targets.numpy()) for batch in batches]
    every = np.concatenate([values.reshape(-1, columns) for _, values in found])
    assert np.nanmean(every, axis=0) == pytest.approx(0, abs=0.25)
    assert np.nanstd(every, axis=0) == pytest.approx(1, abs=0.35)
    if modality == "ecg":
        assert 0 < np.isnan(every[:, 0]).mean() < 0.3  # before the first beat, after the last


def test_records_of_physionet_are_found_in_folders(tmp_path, shared):
    import_or_skip("wfdb", "ecg")
    folder = shared / "data/ecg_ptbxl/records100/00000"
    for number in ("00001", "00002"):
        for ending in ("hea", "dat"):
            shutil.copy(folder / f"{number}_lr.{ending}", tmp_path)
    summary = prepare_corpus([tmp_path], tmp_path / "corpus", modality="ecg", window=10.0)
    assert summary["train"]["recordings"] + summary["validation"]["recordings"] == 2
    assert summary["channels"]["names"] == sorted(
        ["i", "ii", "iii", "avr", "avl", "avf", *(f"v{i}" for i in range(1, 7))]
    )
