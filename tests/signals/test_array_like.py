# License: BSD-3-Clause
"""A view of Epochs: indexed like an array, it gives what the Epochs hold."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import mne
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.model_selection import KFold, train_test_split
from sklearn.utils import _safe_indexing

from mne_neurorvq.signals import EpochsView, as_array_like, as_trials

N_TRIALS, N_TIMES, SFREQ = 7, 50, 100.0


def make_raw() -> mne.io.RawArray:
    info = mne.create_info(["C3", "C4", "STI"], SFREQ, ["eeg", "eeg", "stim"])
    data = 1e-5 * np.random.default_rng(0).standard_normal((3, 1000))
    return mne.io.RawArray(data, info, verbose="error")


def make_epochs(raw: mne.io.BaseRaw, **settings: Any) -> mne.Epochs:
    events = np.column_stack([100 * np.arange(N_TRIALS), np.zeros(N_TRIALS, int), [1, 2] * 3 + [3]])
    metadata = pd.DataFrame({"subject": list("aabbccd")}, index=range(10, 10 + N_TRIALS))
    given = dict(tmin=0, tmax=0.49, baseline=None, preload=True, metadata=metadata) | settings
    return mne.Epochs(raw, events, {"a": 1, "b": 2, "c": 3}, **given, verbose="error")


LOADED = make_epochs(make_raw())
DATA = LOADED.get_data()


@pytest.fixture
def lazy(tmp_path: Path) -> mne.Epochs:
    path = tmp_path / "test_raw.fif"
    make_raw().save(path, fmt="double", verbose="error")
    raw = mne.io.read_raw_fif(path, preload=False, verbose="error")
    return make_epochs(raw, preload=False).drop_bad()


def same(view: EpochsView, epochs: mne.BaseEpochs) -> None:
    """The view must be these Epochs in all that estimators read."""
    found, expected = as_trials(view), as_trials(epochs)
    assert_array_equal(found.read(), expected.read())
    assert_array_equal(found.read(picks=[1]), expected.read(picks=[1]))
    assert_array_equal(found.events, expected.events)
    assert found.event_id == expected.event_id
    assert found.metadata.equals(expected.metadata)
    for name in ("ch_names", "ch_types", "sfreq", "tmin", "unit", "bads", "highpass", "lowpass"):
        assert getattr(found, name) == getattr(expected, name)


whole = st.integers(-N_TRIALS, N_TRIALS - 1)
keys = st.one_of(
    whole,
    whole.map(np.int64),
    st.slices(N_TRIALS),
    st.lists(whole),
    st.lists(whole, min_size=1).map(np.array),
    st.lists(st.booleans(), min_size=N_TRIALS, max_size=N_TRIALS),
    st.lists(st.booleans(), min_size=N_TRIALS, max_size=N_TRIALS).map(np.array),
)


@given(keys)
def test_an_index_gives_the_trials_that_it_gives_of_the_array(key: Any) -> None:
    found = as_array_like(LOADED)[key]
    expected = DATA[key]
    assert found.shape == expected.shape
    assert_array_equal(np.asarray(found), expected)
    assert_array_equal(as_array_like(LOADED)[key, ...], expected)
    assert isinstance(found, np.ndarray if expected.ndim == 2 else EpochsView)


@given(st.lists(whole, min_size=1), st.data())
def test_an_index_of_an_index_gives_the_same(first: list[int], data: st.DataObject) -> None:
    within = st.integers(0, len(first) - 1)
    second = data.draw(st.one_of(within, st.slices(len(first)), st.lists(within)))
    found = as_array_like(LOADED)[first][second]
    assert_array_equal(np.asarray(found), DATA[first][second])


@given(st.lists(whole, min_size=1))
def test_part_of_a_view_knows_all_that_part_of_the_epochs_knows(key: list[int]) -> None:
    same(as_array_like(LOADED)[key], LOADED[key])
    same(as_array_like(LOADED), LOADED)


def test_epochs_on_disk_are_read_when_they_are_asked_for(lazy: mne.Epochs) -> None:
    view = as_array_like(lazy)
    assert view.shape == (N_TRIALS, 3, N_TIMES)
    same(view, lazy)
    same(view[[5, 0, 0]], lazy[[5, 0, 0]])
    assert_array_equal(view[2], DATA[2])
    assert not lazy.preload
    assert not view[[5, 0]].to_epochs().preload


def test_bad_epochs_that_are_not_dropped_yet_are_dropped_from_a_copy() -> None:
    raw = make_raw()
    raw._data[0, 110:120] = 1.0
    lazy = make_epochs(raw, preload=False, reject=dict(eeg=0.1))
    view = as_array_like(lazy)
    assert len(view) == N_TRIALS - 1
    assert_array_equal(view, DATA[[0, *range(2, N_TRIALS)]])
    with pytest.raises(RuntimeError, match="have not been dropped"):
        len(lazy)


def test_trials_under_bad_annotations_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "test_raw.fif"
    raw = make_raw().set_annotations(mne.Annotations([2.1, 4.1], 0.1, ["BAD jump", "blink"]))
    raw.save(path, fmt="double", verbose="error")
    raw = mne.io.read_raw_fif(path, preload=False, verbose="error")
    assert_array_equal(as_array_like(make_epochs(raw, preload=False)), np.delete(DATA, 2, axis=0))


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5, 6], [5, 6, 0, 1, 2, 3, 4]])
def test_trials_beyond_the_recording_are_dropped(order: list[int]) -> None:
    raw = make_raw().crop(tmax=6.2)
    events = np.array([[100 * i, 0, 1] for i in order])
    settings = dict(tmin=0, tmax=0.49, baseline=None, preload=False, verbose="error")
    whole = [i for i in order if i < 6]
    assert_array_equal(as_array_like(mne.Epochs(raw, events, **settings)), DATA[whole])


def test_without_a_reason_to_drop_not_all_trials_are_read(lazy: mne.Epochs) -> None:
    epochs = make_epochs(lazy._raw, preload=False)
    assert epochs.reject_by_annotation
    read = []
    epochs._raw.__class__ = type(
        "Watched",
        (type(epochs._raw),),
        {
            "_read_segment": lambda self, *args, **kwargs: (
                read.append(args) or super(type(self), self)._read_segment(*args, **kwargs)
            )
        },
    )
    view = as_array_like(epochs)
    assert len(view) == N_TRIALS
    assert len(read) <= 6  # the first and the last trial, several times
    assert epochs.reject_by_annotation
    assert_array_equal(view, DATA)
    assert len(read) >= N_TRIALS


def test_trials_that_are_dropped_later_do_not_move_those_of_the_view() -> None:
    epochs = LOADED.copy()
    view = as_array_like(epochs)[[1, 4]]
    epochs.drop([0, 1], verbose="error")
    assert_array_equal(view, DATA[[1, 4]])


@pytest.mark.parametrize(
    "change",
    [
        lambda epochs: epochs.crop(0.1, 0.3),
        lambda epochs: epochs.resample(50.0, verbose="error"),
        lambda epochs: epochs.decimate(2, verbose="error"),
        lambda epochs: epochs.pick(["C4", "STI"]),
        lambda epochs: epochs.drop_channels(["C3"]),
        lambda epochs: epochs.reorder_channels(["STI", "C4", "C3"]),
        lambda epochs: epochs.rename_channels({"C3": "F3"}),
    ],
)
def test_epochs_that_are_changed_later_leave_the_view_as_it_was(change: Any) -> None:
    epochs = LOADED.copy()
    view = as_array_like(epochs)
    part = view[[1, 4]]
    change(epochs)
    same(view, LOADED)
    same(part, LOADED[[1, 4]])


def test_loaded_signals_are_shared_not_copied() -> None:
    assert np.shares_memory(
        as_trials(as_array_like(LOADED)).read(2, 5), LOADED.get_data(copy=False)
    )


def test_a_view_and_its_parts_pickle(lazy: mne.Epochs) -> None:
    for epochs in (LOADED, lazy):
        view = as_array_like(epochs)
        assert_array_equal(pickle.loads(pickle.dumps(view)), DATA)
        same(pickle.loads(pickle.dumps(view[[3, 1]])), epochs[[3, 1]])
    assert joblib.hash(as_array_like(LOADED)) == joblib.hash(as_array_like(LOADED.copy()))


def test_scikit_learn_splits_a_view_into_views() -> None:
    view = as_array_like(LOADED)
    for train, test in KFold(3, shuffle=True, random_state=0).split(view):
        same(_safe_indexing(view, train), LOADED[train])
        same(_safe_indexing(view, test), LOADED[test])
    same(_safe_indexing(view, np.arange(N_TRIALS) % 2 == 0), LOADED[::2])
    train, test = train_test_split(view, random_state=0)
    assert len(train) + len(test) == N_TRIALS
    assert isinstance(train, EpochsView)


def test_a_view_of_a_view_is_the_view() -> None:
    view = as_array_like(LOADED)[1:]
    assert as_array_like(view) is view


def test_views_join_as_epochs_do() -> None:
    view = as_array_like(LOADED)
    found = as_trials([view[:2], LOADED[2:5], view[5:]])
    assert_array_equal(found.read(), DATA)
    assert_array_equal(found.events, LOADED.events)


def test_a_view_becomes_epochs_again() -> None:
    view = as_array_like(LOADED)
    for found, expected in ((view, LOADED), (view[[4, 2]], LOADED[[4, 2]])):
        same(found, found.to_epochs())
        same(found, expected)
        assert isinstance(found.to_epochs(), mne.BaseEpochs)
        assert not np.shares_memory(found.to_epochs().get_data(copy=False), LOADED._data)


def test_where_pandas_is_absent_metadata_stay_rows() -> None:
    epochs = LOADED.copy()
    epochs._metadata = epochs.metadata.to_dict("records")
    assert as_array_like(epochs)[[6, 0]].metadata == [{"subject": "d"}, {"subject": "a"}]


def test_conversion_follows_numpy() -> None:
    view = as_array_like(LOADED)
    assert np.asarray(view, np.float32).dtype == np.float32
    assert np.asarray(view[[]]).shape == (0, 3, N_TIMES)
    copy = np.asarray(view)
    copy[:] = 0
    assert_array_equal(LOADED.get_data(), DATA)
    with pytest.raises(ValueError, match="without a copy"):
        np.array(view, copy=False)


@pytest.mark.parametrize("key", [(slice(None), 0), (0, 0), np.zeros((2, 2), int), None, True])
def test_only_trials_are_indexed(key: Any) -> None:
    with pytest.raises(IndexError):
        as_array_like(LOADED)[key]


@pytest.mark.parametrize("key", [N_TRIALS, [0, N_TRIALS], [True], "left"])
def test_trials_that_are_not_there_are_an_error(key: Any) -> None:
    with pytest.raises(IndexError):
        as_array_like(LOADED)[key]


@pytest.mark.parametrize("X", [DATA, [LOADED], make_raw()])
def test_what_is_no_epochs_is_refused(X: Any) -> None:
    with pytest.raises(TypeError, match=r"mne\.Epochs are needed"):
        as_array_like(X)
