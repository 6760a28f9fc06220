# License: BSD-3-Clause
"""What is too broken to learn from is found, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mne_neurorvq.training.corpus.artefacts import (
    LIMITS,
    ArtefactLimits,
    PatchQuality,
    _count_least,
    stuck_channels,
)

EEG = LIMITS["eeg"]


def quality(data, patch_size=200):
    return PatchQuality.of(data.astype(np.float32), patch_size, 500.0, EEG.flat_deviation)


def noise(n_channels=4, n_patches=10, deviation=10.0, seed=0):
    rng = np.random.default_rng(seed)
    return deviation * rng.standard_normal((n_channels, 200 * n_patches))


def test_a_good_recording_loses_nothing():
    found = quality(noise())
    assert found.bad_channels(EEG) == {}
    assert found.bad_window(0, 10, EEG) == ""


def test_channels_that_are_flat_or_clipped_for_long_are_bad():
    data = noise()
    data[1, :1200] *= 1e-3
    data[2, :110] = 500
    data[3, :90] = 500
    assert quality(data).bad_channels(EEG) == {1: "flat", 2: "saturated"}


def test_a_channel_that_is_flat_for_half_of_the_time_is_kept():
    data = noise()
    data[1, :1000] = 0
    assert quality(data).bad_channels(EEG) == {}


def test_windows_with_clipping_or_gaps_are_bad_and_their_neighbours_are_not():
    data = noise()
    data[:, 450:465] = -495.0
    data[:, 1200:1400] = 0.0
    found = quality(data)
    reasons = [found.bad_window(start, start + 2, EEG) for start in range(0, 10, 2)]
    assert reasons == ["", "clipped", "", "flat", ""]


def test_what_is_left_out_counts_no_more():
    data = noise()
    data[2] = 500
    found = quality(data)
    assert found.bad_window(0, 10, EEG) == "clipped"
    assert found.without(found.bad_channels(EEG)).bad_window(0, 10, EEG) == ""


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda x: x.__setitem__(700, np.nan), "non-finite"),
        (lambda x: x.__setitem__(700, np.inf), "non-finite"),
        (lambda x: x.fill(3e-6), "flat"),
        (lambda x: np.clip(x, None, np.quantile(x, 0.9), out=x), "saturated"),
        (lambda x: np.clip(x, np.quantile(x, 0.9), None, out=x), "saturated"),
        (lambda x: np.clip(x, None, np.quantile(x, 0.98), out=x), None),
    ],
)
def test_channels_are_judged_before_filtering(make_raw, monkeypatch, spoil, reason):
    # Several blocks, the last one short.
    monkeypatch.setattr("mne_neurorvq.training.corpus.artefacts._BLOCK", 3.0)
    raw = make_raw(20.0)
    spoil(raw._data[4])
    assert stuck_channels(raw, EEG) == ({raw.ch_names[4]: reason} if reason else {})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_no_reason_where_they_are_marked(
    make_raw, monkeypatch, value
):
    monkeypatch.setattr("mne_neurorvq.training.corpus.artefacts._BLOCK", 3.0)
    raw = make_raw(20.0)
    raw._data[:, 500:1500] = value  # a whole block and parts of two
    raw.annotations.append(2.5, 5.0, "BAD_gap")
    assert stuck_channels(raw, EEG) == {}
    raw._data[4, 499 - 5] = value
    assert stuck_channels(raw, EEG) == {raw.ch_names[4]: "non-finite"}


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1, max_size=5))
def test_the_least_value_is_counted_over_blocks(blocks):
    least, count = np.array([np.inf]), np.array([0])
    for block in blocks:
        least, count = _count_least(np.array([block], float), least, count)
    whole = np.concatenate(blocks)
    assert least == whole.min()
    assert count == (whole == whole.min()).sum()


def test_the_limits_are_those_of_the_documentation():
    assert ArtefactLimits() == ArtefactLimits(
        flat_deviation=0.1,
        flat_channel_share=0.5,
        saturated_share=0.05,
        window_clipped_share=0.01,
        window_flat_share=0.25,
    )
