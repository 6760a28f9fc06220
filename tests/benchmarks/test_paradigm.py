# License: BSD-3-Clause
"""Windows as trials: how long, of which classes, and without what the eyes explain."""

from __future__ import annotations

import numpy as np
import pytest
from optional_library import import_or_skip

import_or_skip("moabb", "benchmark")

from tiny_task import CHANNELS, N_RUNS, N_TRIALS, PARADIGM, TinyHands

from mne_neurorvq.benchmarks import Windows

HANDS = {"left": ["left_hand"], "right": ["right_hand"]}


def read(**settings):
    windows = Windows(HANDS, **{"duration": 2.0, "fmax": 40.0, "reference": None} | settings)
    return windows.get_data(TinyHands(2), return_epochs=True)


@pytest.mark.parametrize("rate", [None, 100.0, 128.0, 200.0])
def test_a_window_has_its_duration_and_not_a_sample_more(rate):
    epochs, labels, metadata = read(resample=rate)
    rate = rate or 100.0  # theirs
    assert len(epochs.times) == 2 * rate
    assert epochs.info["sfreq"] == rate
    assert len(labels) == 2 * N_RUNS * N_TRIALS
    assert set(metadata["subject"]) == {"P1", "P2"}


def test_events_merge_into_classes():
    merged = Windows({"hand": ["left_hand", "right_hand"]}, duration=2.0, fmax=40.0)
    _, labels, _ = merged.get_data(TinyHands(2), return_epochs=True)
    assert set(labels) == {"hand"}
    arrays, labels, _ = PARADIGM.get_data(TinyHands(2))
    assert set(labels) == {"left", "right"}
    assert arrays.shape[1:] == (len(CHANNELS), 200)


def test_an_average_reference_has_no_mean():
    epochs, _, _ = read(resample=100.0, reference="average")
    assert abs(epochs.get_data().mean(axis=1)).max() < 1e-12


def test_what_frontal_channels_explain_is_gone_and_so_are_they():
    class Blinking(TinyHands):
        def _get_single_subject_data(self, subject):
            found = super()._get_single_subject_data(subject)
            for raw in found["0"].values():
                blink = 2e-4 * np.random.default_rng(1).standard_normal(raw.n_times)
                raw._data += np.array([1.0, 1.0, 0.3, 0.3, 0.3, 0.1])[:, None] * blink
            return found

    def power(dataset, **settings):
        windows = Windows(HANDS, duration=2.0, fmax=40.0, reference=None, **settings)
        epochs, _, _ = windows.get_data(dataset, return_epochs=True)
        return epochs.ch_names, epochs.get_data()[:, -4:-1].var()

    eyes = ["Fp1", "Fp2"]
    _, clean = power(TinyHands(2))
    names, blinking = power(Blinking(2))
    left, without = power(Blinking(2), regress_out=eyes)
    assert names == CHANNELS
    assert left == CHANNELS[2:]
    assert blinking > 1.5 * clean
    assert without < 1.2 * clean
    assert power(Blinking(2), channels=eyes)[0] == eyes


def test_channels_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="the recording has no AF7, only Fp1, Fp2"):
        read(regress_out=["AF7"])


def test_a_dataset_without_the_events_is_not_valid():
    assert PARADIGM.is_valid(TinyHands(2))
    assert not Windows({"feet": ["feet"]}, duration=2.0).is_valid(TinyHands(2))
