# License: BSD-3-Clause
"""Segments: every sample once, nothing lost, nothing invented."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mne_neurorvq.signals import Segmentation, plan_segments
from mne_neurorvq.signals.resampling import cut, join

LENGTHS = st.integers(1, 500)
CHANNELS = st.integers(1, 12)
PATCHES = st.integers(1, 60)
BUDGETS = st.integers(12, 40)


def plan(n_times: int, n_channels: int, patch_size: int, max_patches: int) -> Segmentation:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Windows of .* padded by reflection")
        return plan_segments(n_times, n_channels, patch_size=patch_size, max_patches=max_patches)


@given(LENGTHS, CHANNELS, PATCHES, BUDGETS)
def test_join_undoes_cut_exactly(
    n_times: int, n_channels: int, patch_size: int, max_patches: int
) -> None:
    data = np.random.default_rng(0).standard_normal((2, n_channels, n_times))
    segmentation = plan(n_times, n_channels, patch_size, max_patches)
    assert_array_equal(join(cut(data, segmentation), segmentation), data)


@given(LENGTHS, CHANNELS, PATCHES, BUDGETS)
def test_weights_count_every_sample_once(
    n_times: int, n_channels: int, patch_size: int, max_patches: int
) -> None:
    segmentation = plan(n_times, n_channels, patch_size, max_patches)
    assert segmentation.weights.sum() * patch_size == pytest.approx(n_times)
    assert (segmentation.weights > 0).all()


@given(LENGTHS, CHANNELS, PATCHES, BUDGETS)
def test_segments_are_balanced_few_and_within_the_budget(
    n_times: int, n_channels: int, patch_size: int, max_patches: int
) -> None:
    segments = plan(n_times, n_channels, patch_size, max_patches).segments
    assert max(segments) * n_channels <= max_patches
    assert max(segments) - min(segments) <= 1
    assert (len(segments) - 1) * (max_patches // n_channels) < sum(segments)


@given(LENGTHS, CHANNELS, PATCHES, BUDGETS)
def test_patches_lie_where_starts_says(
    n_times: int, n_channels: int, patch_size: int, max_patches: int
) -> None:
    segmentation = plan(n_times, n_channels, patch_size, max_patches)
    if segmentation.padding:
        return
    data = np.arange(n_times, dtype=float)[None, None].repeat(n_channels, axis=1)
    patches = np.concatenate(cut(data, segmentation), axis=-1)[0, 0].reshape(-1, patch_size)
    assert_array_equal(patches[:, 0], segmentation.starts)
    assert_array_equal(patches, segmentation.starts[:, None] + np.arange(patch_size))


def test_last_patch_ends_with_the_window() -> None:
    segmentation = plan_segments(801, 2, patch_size=200, max_patches=256)
    assert segmentation.segments == (5,)
    assert segmentation.overlap == 199
    assert segmentation.starts[-1] + 200 == 801
    assert segmentation.weights[-1] == pytest.approx(1 / 200)


def test_of_the_overlapping_patch_only_new_samples_are_taken() -> None:
    segmentation = plan_segments(5, 1, patch_size=2, max_patches=100)
    (segment,) = cut(np.arange(5.0).reshape(1, 1, 5), segmentation)
    segment[0, 0, 4] = -99  # the last patch's own idea of sample 3
    assert_array_equal(join([segment], segmentation)[0, 0], np.arange(5))


def test_short_windows_are_reflected_with_one_warning() -> None:
    with pytest.warns(UserWarning, match="3 samples .* padded by reflection") as caught:
        segmentation = plan_segments(3, 1, patch_size=8, max_patches=4)
    assert len(caught) == 1
    (segment,) = cut(np.array([[[1.0, 2.0, 3.0]]]), segmentation)
    assert_array_equal(segment[0, 0], [1, 2, 3, 2, 1, 2, 3, 2])


def test_a_single_sample_fills_a_patch() -> None:
    with pytest.warns(UserWarning, match="padded"):
        segmentation = plan_segments(1, 1, patch_size=4, max_patches=4)
    (segment,) = cut(np.full((2, 1, 1), 7.0, np.float32), segmentation)
    assert_array_equal(segment, np.full((2, 1, 4), 7.0))


def test_segments_are_contiguous_and_keep_their_type() -> None:
    segmentation = plan_segments(1100, 30, patch_size=100, max_patches=128)
    for segment in cut(np.zeros((3, 30, 1100), np.float32), segmentation):
        assert segment.flags.c_contiguous
        assert segment.dtype == np.float32


def test_more_channels_than_the_budget_raise() -> None:
    with pytest.raises(ValueError, match="n_channels=300 exceeds the 256 patches"):
        plan_segments(800, 300, patch_size=200, max_patches=256)


@pytest.mark.parametrize("name", ["n_times", "n_channels", "patch_size", "max_patches"])
def test_numbers_below_one_raise(name: str) -> None:
    numbers = {"n_times": 10, "n_channels": 1, "patch_size": 5, "max_patches": 5, name: 0}
    with pytest.raises(ValueError, match=f"{name}=0"):
        plan_segments(**numbers)


def test_a_plan_that_does_not_cover_the_window_raises() -> None:
    with pytest.raises(ValueError, match="does not cover a window of 500 samples"):
        Segmentation(n_times=500, patch_size=200, segments=(2, 1))


def test_windows_of_another_length_raise() -> None:
    segmentation = plan_segments(400, 1, patch_size=200, max_patches=4)
    with pytest.raises(ValueError, match=r"shape \(1, 1, 401\)"):
        cut(np.zeros((1, 1, 401)), segmentation)


def test_segments_of_another_length_raise() -> None:
    segmentation = plan_segments(400, 1, patch_size=200, max_patches=1)
    with pytest.raises(ValueError, match=r"\(200,\) samples; \(200, 200\) were planned"):
        join([np.zeros((1, 1, 200))], segmentation)
