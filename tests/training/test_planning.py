# License: BSD-3-Clause
"""Every window is in one batch of an epoch, whatever the sizes and however many processes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mne_neurorvq.training import CropSettings
from mne_neurorvq.training.crops import crop
from mne_neurorvq.training.planning import plan_batches, share_of_rank

SIZES = st.lists(st.tuples(st.integers(1, 70), st.integers(2, 12)), min_size=8, max_size=60)
SETTINGS = st.builds(
    CropSettings,
    tokens_per_batch=st.integers(1, 600),
    n_channels=st.lists(st.integers(1, 64), min_size=1, max_size=4).map(tuple),
    n_patches=st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple),
)
RANKS = st.integers(1, 8)
BUDGET, LONGEST = 256, 9


def _plan(sizes, settings, n_ranks=1, seed=0):
    n_channels, n_patches = np.array(sizes, np.int32).T
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(sizes))
    return plan_batches(
        n_channels,
        n_patches,
        order,
        settings,
        max_tokens=BUDGET,
        max_patches=LONGEST,
        rng=rng,
        multiple_of=n_ranks,
    )


def _windows(plan):
    return [i for batch in plan for i in batch.windows.tolist()]


@given(SIZES, SETTINGS, RANKS)
def test_every_window_is_in_one_batch(sizes, settings, n_ranks):
    plan = _plan(sizes, settings, n_ranks)
    assert sorted(_windows(plan)) == list(range(len(sizes)))
    assert all(len(batch.windows) for batch in plan)


@given(SIZES, SETTINGS, RANKS)
def test_batches_stay_within_windows_and_budgets(sizes, settings, n_ranks):
    for batch in _plan(sizes, settings, n_ranks):
        tokens = batch.n_channels * batch.n_patches
        assert 1 <= tokens <= BUDGET
        assert batch.n_patches <= LONGEST
        if tokens > 1:
            assert len(batch.windows) * tokens <= settings.tokens_per_batch
        for i in batch.windows:
            assert batch.n_channels <= sizes[i][0]
            assert batch.n_patches <= sizes[i][1]


@given(SIZES, SETTINGS)
def test_crops_have_the_sizes_asked_for_unless_the_window_or_the_model_is_smaller(sizes, settings):
    for batch in _plan(sizes, settings):
        for i in batch.windows:
            budget = min(BUDGET, settings.tokens_per_batch)
            assert batch.n_channels in {min(c, sizes[i][0], budget) for c in settings.n_channels}
            longest = min(LONGEST, budget // batch.n_channels)
            assert batch.n_patches in {min(p, sizes[i][1], longest) for p in settings.n_patches}


@given(SIZES, SETTINGS, RANKS)
def test_processes_have_as_many_batches_and_together_all(sizes, settings, n_ranks):
    plan = _plan(sizes, settings, n_ranks)
    shares = [share_of_rank(plan, rank, n_ranks) for rank in range(n_ranks)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(_windows([b for share in shares for b in share])) == list(range(len(sizes)))


@given(SIZES, SETTINGS, RANKS)
def test_sharing_out_changes_fewer_batches_than_there_are_processes(sizes, settings, n_ranks):
    assert abs(len(_plan(sizes, settings, n_ranks)) - len(_plan(sizes, settings))) < n_ranks


def test_batches_of_one_window_are_joined_under_smaller_crops():
    settings = CropSettings(32, n_channels=(8,), n_patches=(4,))
    plan = _plan([(8, 4)] * 9, settings, n_ranks=4)
    assert sorted(_windows(plan)) == list(range(9))
    assert [len(batch.windows) for batch in plan].count(2) == 1
    assert {(batch.n_channels, batch.n_patches) for batch in plan} == {(8, 4), (8, 2)}


@given(SIZES, SETTINGS, st.integers(0, 5))
def test_a_plan_is_a_function_of_its_seed(sizes, settings, seed):
    first, again = (_plan(sizes, settings, seed=seed) for _ in range(2))
    assert [b.windows.tolist() for b in first] == [b.windows.tolist() for b in again]
    assert [b.n_channels * b.n_patches for b in first] == [
        b.n_channels * b.n_patches for b in again
    ]


def test_another_seed_makes_another_plan():
    plans = [_plan([(8, 4)] * 40, CropSettings(64), seed=seed) for seed in range(2)]
    assert _windows(plans[0]) != _windows(plans[1])


@given(SIZES)
def test_full_batches_follow_the_order_and_the_rest_comes_last(sizes):
    n_channels, n_patches = np.array(sizes, np.int32).T
    order = np.random.default_rng(0).permutation(len(sizes))
    settings = CropSettings(48, n_channels=(4, 8), n_patches=(2, 3))
    plan = plan_batches(
        n_channels,
        n_patches,
        order,
        settings,
        max_tokens=BUDGET,
        max_patches=LONGEST,
        rng=np.random.default_rng(1),
    )
    place = {window: i for i, window in enumerate(order.tolist())}
    full = [
        len(b.windows) == max(1, settings.tokens_per_batch // (b.n_channels * b.n_patches))
        for b in plan
    ]
    assert full == sorted(full, reverse=True)
    filled = [place[int(b.windows[-1])] for b, is_full in zip(plan, full, strict=True) if is_full]
    assert filled == sorted(filled)
    for batch in plan:
        places = [place[i] for i in batch.windows.tolist()]
        assert places == sorted(places)


def test_fewer_windows_than_processes_are_refused():
    with pytest.raises(ValueError, match="3 windows cannot be shared out among 4 processes"):
        _plan([(8, 4)] * 3, CropSettings(), n_ranks=4)


def test_a_crop_is_a_part_of_its_window_and_names_its_channels():
    channel, time = np.mgrid[:6, :80].astype(np.float32)
    settings = CropSettings(gain_spread=0.0)
    starts, montages = set(), set()
    for seed in range(40):
        data, rows, *_ = crop(
            1000 * channel + time,
            np.arange(6) + 50,
            (3, 4),
            settings,
            patch_size=10,
            rng=np.random.default_rng(seed),
        )
        assert data.shape == (3, 40)
        assert len(set(rows.tolist())) == 3
        np.testing.assert_array_equal(data // 1000, np.tile((rows - 50)[:, None], 40))
        np.testing.assert_array_equal(np.diff(data), 1)
        starts.add(int(data[0, 0] % 1000))
        montages.add(tuple(rows.tolist()))
    assert len(montages) > 20
    assert {0, 40} <= starts <= set(range(41))


def test_a_gain_has_the_spread_of_its_logarithm():
    gains = [
        crop(
            np.ones((1, 10), np.float32),
            np.zeros(1, np.int64),
            (1, 1),
            CropSettings(gain_spread=0.3),
            patch_size=10,
            rng=np.random.default_rng(seed),
        )[0]
        for seed in range(400)
    ]
    assert all(np.ptp(gain) == 0 for gain in gains)
    logs = np.log([gain[0, 0] for gain in gains])
    assert abs(logs.std() - 0.3) < 0.04
    assert abs(logs.mean()) < 0.05
