# License: BSD-3-Clause
"""What a process trains on: a function of its number, whatever reads it and wherever it began."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mne_neurorvq.models import NEURORVQ_EEG
from mne_neurorvq.training import CorpusBatches, CropSettings
from mne_neurorvq.training import batches as batches_module
from mne_neurorvq.training.batches import watched_batches

N_BATCHES = 14
MAX_PATCHES = 256


@pytest.fixture
def batches(train, config):
    def make(**changes):
        settings = {"seed": 3, "n_batches": N_BATCHES} | changes
        return CorpusBatches(train, config.model.config(), config.crops, **settings)

    return make


class _Sizes(SimpleNamespace):
    """A corpus of which only the sizes are asked."""

    def __len__(self):
        return len(self.n_channels)


def _sizes_only(n_windows, **settings):
    corpus = _Sizes(
        n_channels=np.tile(np.arange(4, 34), n_windows)[:n_windows],
        n_patches=np.tile((12, 12, 7), n_windows)[:n_windows],
    )
    config = replace(NEURORVQ_EEG, max_patches=MAX_PATCHES)
    return CorpusBatches(corpus, config, CropSettings(256), n_batches=10**6, **settings)


def _assert_equal(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.ids == other.ids
        assert torch.equal(one.windows, other.windows)
        assert torch.equal(one.channel_ids, other.channel_ids)


def test_a_run_that_goes_on_gets_the_batches_that_are_left(batches):
    undisturbed = list(batches())
    assert len(undisturbed) == N_BATCHES
    for first in (1, 9, N_BATCHES):
        _assert_equal(list(batches(first=first)), undisturbed[first:])


# A worker is a fork; the parent only waits for it.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize(("n_workers", "first"), [(1, 0), (2, 5)])
def test_worker_processes_change_nothing(batches, n_workers, first):
    loader = DataLoader(batches(first=first), batch_size=None, num_workers=n_workers)
    _assert_equal(list(loader), list(batches(first=first)))


def test_another_seed_makes_other_batches(batches):
    one, other = (next(iter(batches(seed=seed))) for seed in (3, 4))
    assert one.ids != other.ids


def test_an_epoch_has_every_window_once_and_the_next_one_in_another_order(batches, train):
    per_epoch = {0: [], 1: []}
    reader = batches()
    for epoch, plan in reader._planned(range(100)):
        if epoch > 1:
            break
        per_epoch[epoch].append(reader._read(epoch, plan))
    everything = sorted(train[i].id for i in range(len(train)))
    for read in per_epoch.values():
        assert sorted(i for batch in read for i in batch.ids) == everything
    first, second = ([batch.ids for batch in read] for read in per_epoch.values())
    assert first != second


def test_a_window_is_cropped_anew_in_every_epoch(batches):
    reader = batches()
    (_, plan), *_ = reader._planned(range(1))
    first, second = (reader._read(epoch, plan) for epoch in range(2))
    assert first.ids == second.ids
    for one, other in zip(first.windows, second.windows, strict=True):
        assert not torch.allclose(one / one.std(), other / other.std())


@given(st.integers(1, 6), st.integers(20, 90), st.integers(0, 3))
def test_processes_share_every_epoch(n_ranks, n_windows, seed):
    seen = {0: Counter(), 1: Counter()}
    for rank in range(n_ranks):
        for epoch, plan in _sizes_only(n_windows, seed=seed, rank=rank, n_ranks=n_ranks)._parts():
            if epoch > 1:
                break
            seen[epoch].update(i for batch in plan for i in batch.windows.tolist())
    assert seen[0] == seen[1] == Counter(range(n_windows))


def test_a_large_corpus_is_planned_in_parts_that_have_every_window_once(monkeypatch):
    monkeypatch.setattr(batches_module, "_PLANNED_AT_ONCE", 64)
    seen, n_parts = Counter(), 0
    for epoch, plan in _sizes_only(1000, seed=0, rank=0, n_ranks=1)._parts():
        if epoch:
            break
        n_parts += 1
        windows = [i for batch in plan for i in batch.windows.tolist()]
        assert len(windows) <= 64
        # Shuffled over all of the corpus, not within the part.
        assert np.ptp(windows) > 500
        seen.update(windows)
    assert n_parts == 16
    assert seen == Counter(range(1000))
    whole = _sizes_only(1000, seed=0)
    some = [plan.windows.tolist() for _, plan in whole._planned(range(40, 60))]
    every = [plan.windows.tolist() for _, plan in whole._planned(range(60))]
    assert some == every[40:]


def test_a_crop_is_part_of_its_window_but_for_the_gain(batches, train):
    windows = {train[i].id: train[i] for i in range(len(train))}
    gains = []
    for batch in batches():
        n_times = batch.windows.shape[-1]
        assert n_times % 200 == 0
        for i, name in enumerate(batch.ids):
            window, rows = windows[name], batch.channel_ids[i].tolist()
            assert len(set(rows)) == len(rows)
            picks = [window.rows.tolist().index(row) for row in rows]
            crop, whole = batch.windows[i].double().numpy(), window.data[picks].astype(float)
            parts = np.lib.stride_tricks.sliding_window_view(whole, n_times, axis=1)
            gain = crop[0].std() / parts[0].std(axis=-1)
            errors = np.abs(crop[:, None] - gain[:, None] * parts).max(axis=(0, 2))
            assert errors.min() < 1e-3 * crop.std()
            gains.append(gain[errors.argmin()])
    assert 0.05 < np.log(gains).std() < 0.4


def test_the_windows_to_watch_never_change_and_are_of_every_subject(valid, config):
    model = config.model.config()
    first, again = (watched_batches(valid, model, n_windows=5) for _ in range(2))
    _assert_equal([batch for _, batch in first], [batch for _, batch in again])
    found = Counter()
    windows = {valid[i].id: valid[i] for i in range(len(valid))}
    for subject, batch in first:
        for i, name in enumerate(batch.ids):
            window = windows[name]
            assert window.subject == subject
            n_channels, n_times = batch.windows[i].shape
            np.testing.assert_array_equal(batch.windows[i], window.data[:n_channels, :n_times])
            np.testing.assert_array_equal(batch.channel_ids[i], window.rows[:n_channels])
            assert n_channels * n_times // model.patch_size <= model.max_patches
        found[subject] += len(batch.ids)
    assert found == {"eegmmidb/S003": 5, "somebody": 5}


@pytest.mark.parametrize("n_ranks", [2, 3, 7])
def test_processes_share_the_windows_to_watch_and_none_has_nothing(valid, config, n_ranks):
    model = config.model.config()
    shares = [watched_batches(valid, model, rank=rank, n_ranks=n_ranks) for rank in range(n_ranks)]
    assert all(len(batch.ids) for share in shares for _, batch in share)
    assert all(shares)
    found = sorted(i for share in shares for _, batch in share for i in batch.ids)
    assert found == sorted(i for _, batch in watched_batches(valid, model) for i in batch.ids)


def test_more_processes_than_windows_to_watch_are_refused(valid, config):
    with pytest.raises(ValueError, match="cannot be shared out among 99 processes"):
        watched_batches(valid, config.model.config(), rank=0, n_ranks=99)
