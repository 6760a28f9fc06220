# License: BSD-3-Clause
"""Trials: every way to hold signals gives the same numbers, and bad input never gives any."""

from __future__ import annotations

import re
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from mne_neurorvq.signals import as_trials

NAMES = ["C3", "Cz", "C4", "STI 014"]
TYPES = ["eeg", "eeg", "eeg", "stim"]
SFREQ = 160.0
N_TRIALS, N_TIMES = 6, 321


def make_raw(n_seconds: int = 30) -> mne.io.RawArray:
    info = mne.create_info(NAMES, SFREQ, TYPES)
    data = 1e-5 * np.random.default_rng(0).standard_normal((4, round(n_seconds * SFREQ)))
    raw = mne.io.RawArray(data, info, first_samp=80, verbose="error")
    return raw.set_montage("colin27_1020", on_missing="ignore") if has_colin() else raw


def has_colin() -> bool:
    return "colin27_1020" in mne.channels.get_builtin_montages()


def make_epochs(raw: mne.io.BaseRaw | None = None, **kwargs: Any) -> mne.Epochs:
    raw = make_raw() if raw is None else raw
    onsets = raw.first_samp + 100 + 600 * np.arange(N_TRIALS)
    events = np.column_stack([onsets, np.zeros(N_TRIALS, int), [1, 2, 1, 2, 2, 1]])
    metadata = pd.DataFrame({"subject": list("aabbcc"), "i": range(N_TRIALS)})
    settings = dict(tmin=0.0, tmax=2.0, baseline=None, preload=True, metadata=metadata)
    return mne.Epochs(raw, events, {"left": 1, "right": 2}, **(settings | kwargs), verbose="error")


def one_by_one(epochs: mne.Epochs) -> list[mne.Epochs]:
    return _safe_indexing(epochs, np.arange(len(epochs)))


# Epochs


def test_epochs_come_in_volts_with_all_they_know() -> None:
    epochs = make_epochs()
    epochs.info["bads"] = ["C4"]
    trials = as_trials(epochs)
    assert len(trials) == N_TRIALS
    assert trials.ch_names == tuple(NAMES)
    assert trials.ch_types == tuple(TYPES)
    assert trials.bads == ("C4",)
    assert (trials.sfreq, trials.n_times, trials.tmin, trials.unit) == (SFREQ, N_TIMES, 0.0, "V")
    assert (trials.highpass, trials.lowpass) == (0.0, 80.0)
    assert trials.event_id == {"left": 1, "right": 2}
    assert_array_equal(trials.events, epochs.events)
    pd.testing.assert_frame_equal(trials.metadata, epochs.metadata)
    assert_array_equal(trials.read(), epochs.get_data())
    assert trials.read().dtype == np.float64


@pytest.mark.skipif(not has_colin(), reason="needs a template of MNE 1.13")
def test_positions_are_those_of_the_electrodes_in_the_head_frame() -> None:
    trials = as_trials(make_epochs())
    assert trials.positions is not None
    assert np.isnan(trials.positions[3]).all()
    assert trials.positions[1, 2] > 0.1
    assert trials.positions[0, 0] < -0.05


def test_positions_in_another_frame_are_unknown() -> None:
    info = mne.create_info(["C3", "C4"], SFREQ, "eeg")
    for channel, frame in zip(info["chs"], (4, 5), strict=True):  # head, MRI
        channel["loc"][:3] = 0.05
        channel["coord_frame"] = frame
    positions = as_trials(mne.EpochsArray(np.zeros((1, 2, 5)), info, verbose="error")).positions
    assert_array_equal(positions, [[0.05] * 3, [np.nan] * 3])


def test_epochs_without_montage_have_no_positions() -> None:
    info = mne.create_info(["C3"], SFREQ, "eeg")
    trials = as_trials(mne.EpochsArray(np.zeros((1, 1, 5)), info, verbose="error"))
    assert np.isnan(trials.positions).all()


@pytest.mark.parametrize("settings", [{}, {"baseline": (0, 0.5)}, {"detrend": 1}, {"decim": 2}])
def test_epochs_on_disk_are_read_as_they_would_be_loaded(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    path = tmp_path / "test_raw.fif"
    make_raw().save(path, verbose="error")
    raw = mne.io.read_raw_fif(path, preload=False, verbose="error")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The measurement information indicates a low-pass")
        lazy = make_epochs(raw, preload=False, **settings)
        loaded = make_epochs(raw, preload=True, **settings)
    trials = as_trials(lazy)
    assert not lazy.preload
    assert_array_equal(trials.read(), loaded.get_data())
    assert_array_equal(trials.read(2, 4, picks=[1]), loaded.get_data()[2:4, [1]])


def test_undropped_bad_epochs_are_dropped_from_a_copy() -> None:
    raw = make_raw()
    raw._data[0, 900:910] = 1.0
    lazy = make_epochs(raw, preload=False, reject=dict(eeg=0.1))
    trials = as_trials(lazy)
    loaded = make_epochs(raw, preload=True, reject=dict(eeg=0.1))
    assert 0 < len(trials) == len(loaded) < N_TRIALS
    assert_array_equal(trials.read(), loaded.get_data())
    assert_array_equal(trials.events, loaded.events)
    with pytest.raises(RuntimeError, match="have not been dropped"):
        len(lazy)


def test_memory_does_not_grow_with_the_number_of_lazy_trials(tmp_path: Path) -> None:
    path = tmp_path / "test_raw.fif"
    make_raw(n_seconds=600).save(path, verbose="error")
    raw = mne.io.read_raw_fif(path, preload=False, verbose="error")
    epochs = mne.make_fixed_length_epochs(raw, 2.0, preload=False, verbose="error")
    trials = as_trials(epochs)
    size = 8 * trials.n_times * 4
    assert len(trials) * size > 40 * 5 * size
    tracemalloc.start()
    for start in range(0, len(trials), 5):
        trials.read(start, min(start + 5, len(trials)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.3 * len(trials) * size


# Lists of Epochs


def test_a_list_as_scikit_learn_makes_it_equals_the_epochs() -> None:
    epochs = make_epochs()
    whole, pieces = as_trials(epochs), as_trials(one_by_one(epochs))
    assert_array_equal(pieces.read(), whole.read())
    assert_array_equal(pieces.read(1, 5, picks=[2, 0]), whole.read(1, 5, picks=[2, 0]))
    assert_array_equal(pieces.events, whole.events)
    assert pieces.event_id == whole.event_id
    assert pieces.metadata["i"].tolist() == list(range(N_TRIALS))


def test_order_and_repeats_of_a_list_are_kept() -> None:
    epochs = make_epochs()
    order = [4, 0, 0, 5]
    trials = as_trials(_safe_indexing(epochs, np.array(order)))
    assert_array_equal(trials.read(), epochs.get_data()[order])
    assert trials.metadata["i"].tolist() == order
    train, _ = train_test_split(epochs, test_size=2, random_state=0)
    kept = as_trials(train)
    assert_array_equal(kept.read(), epochs.get_data()[kept.metadata["i"].to_numpy()])


@pytest.mark.parametrize(("start", "stop"), [(0, 6), (1, 3), (2, 3), (1, 6), (5, 6)])
def test_batches_may_cross_the_items_of_a_list(start: int, stop: int) -> None:
    epochs = make_epochs()
    trials = as_trials((epochs[:2], epochs[2:3], epochs[3:]))
    assert_array_equal(trials.read(start, stop), epochs.get_data()[start:stop])


def test_empty_items_of_a_list_are_named_and_passed_over() -> None:
    epochs = make_epochs()
    with pytest.warns(UserWarning, match="Item 1 of X is empty"):
        trials = as_trials([epochs[:2], epochs[[]], epochs[2:]])
    assert_array_equal(trials.read(), epochs.get_data())


def test_rejection_is_not_blamed_where_trials_were_not_chosen() -> None:
    epochs = make_epochs().drop([0], reason="blink", verbose="error")
    match = r"no trials: of 6 events 1 were rejected \(drop_log: blink \(1\)\), the others were not"
    for X in (epochs[:0], [epochs[:0]]):
        with pytest.raises(ValueError, match=match):
            as_trials(X)


def test_metadata_missing_in_some_items_stays_missing_there() -> None:
    first, second = make_epochs()[:2], make_epochs()[2:]
    second.metadata = None
    subjects = as_trials([first, second]).metadata["subject"]
    assert subjects[:2].tolist() == ["a", "a"]
    assert subjects[2:].isna().all()


def test_a_channel_bad_in_one_item_is_bad_in_all() -> None:
    first, second = make_epochs(), make_epochs()
    second.info["bads"] = ["C3"]
    assert as_trials([first, second]).bads == ("C3",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.drop_channels(["C4"]), "Item 1 of X has other .* item 0: C4 is missing"),
        (lambda e: e.rename_channels({"Cz": "X1"}), "item 0: Cz is missing; X1 is new"),
        (lambda e: e.decimate(2, verbose="error"), r"Item 1 of X has sfreq 80\.0, but item 0"),
        (lambda e: e.crop(0, 1), "Item 1 of X has n_times 161, but item 0 has 321"),
        (lambda e: e.shift_time(0.5), r"Item 1 of X has tmin 0\.5"),
        (lambda e: e.set_channel_types({"C4": "eog"}, on_unit_change="ignore"), "channel types"),
    ],
)
def test_items_that_do_not_belong_together_are_named(
    change: Callable[[mne.Epochs], Any], message: str
) -> None:
    other = make_epochs()
    change(other)
    with pytest.raises(ValueError, match=message):
        as_trials([make_epochs(), other])


def test_event_names_with_two_codes_raise() -> None:
    other = make_epochs()
    other.events[:, 2] += 5
    other.event_id = {"left": 6, "right": 7}
    with pytest.raises(ValueError, match="event_id 'left': 6, but an earlier one has 1"):
        as_trials([make_epochs(), other])


def test_a_list_of_epochs_and_arrays_is_refused() -> None:
    with pytest.raises(TypeError, match="Item 1 of the list X is ndarray"):
        as_trials([make_epochs(), np.zeros((2, 4, 321))])


@pytest.mark.parametrize("kind", ["raw", "evoked"])
def test_other_mne_objects_are_refused_with_the_remedy(kind: str) -> None:
    X = make_raw() if kind == "raw" else make_epochs().average()
    with pytest.raises(TypeError, match="make_fixed_length_epochs"):
        as_trials(X)


# Arrays


def test_an_array_gives_the_same_numbers_as_epochs() -> None:
    volts = make_epochs().get_data()
    trials = as_trials(1e6 * volts, ch_names=NAMES, sfreq=SFREQ)
    assert trials.unit == "uV"
    assert trials.ch_types is trials.positions is trials.events is None
    assert_allclose(1e-6 * trials.read(), volts, rtol=1e-14)
    assert_array_equal(as_trials(volts, ch_names=NAMES, sfreq=SFREQ, unit="V").read(), volts)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, object, bool])
def test_any_real_type_is_read_as_float64(dtype: Any) -> None:
    X = np.ones((2, 3, 4)).astype(dtype)
    data = as_trials(X, ch_names=["a", "b", "c"], sfreq=100.0).read()
    assert data.dtype == np.float64
    assert_array_equal(data, 1.0)


def test_nested_lists_are_arrays() -> None:
    trials = as_trials([[[1, 2], [3, 4]]], ch_names=["C3", "C4"], sfreq=100.0)
    assert_array_equal(trials.read(), [[[1, 2], [3, 4]]])


def test_a_table_is_trials_of_one_channel_by_default() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trials = as_trials(np.ones((5, 7)), default_sfreq=200.0)
    assert trials.read().shape == (5, 1, 7)
    assert (trials.ch_names, trials.sfreq) == (("Cz",), 200.0)


def test_a_table_may_name_its_channel_and_rate() -> None:
    trials = as_trials(np.ones((5, 7)), ch_names=["Oz"], sfreq=100.0, default_sfreq=200.0)
    assert (trials.ch_names, trials.sfreq) == (("Oz",), 100.0)
    trials = as_trials(np.ones((5, 7)), sfreq=100.0, default_sfreq=200.0)
    assert (trials.ch_names, trials.sfreq) == (("Cz",), 100.0)
    with pytest.raises(ValueError, match="pass sfreq="):
        as_trials(np.ones((5, 7)), ch_names=["Oz"], default_sfreq=200.0)


def test_an_array_needs_names_and_rate() -> None:
    X = np.zeros((2, 3, 50))
    with pytest.raises(ValueError, match="pass ch_names= and sfreq="):
        as_trials(X, default_sfreq=200.0)
    with pytest.raises(ValueError, match="pass sfreq= "):
        as_trials(X, ch_names=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"names 2 channel\(s\) but X has 3"):
        as_trials(X, ch_names=["a", "b"], sfreq=100.0)
    with pytest.raises(ValueError, match="as a list"):
        as_trials(X, ch_names="abc", sfreq=100.0)


@pytest.mark.parametrize("sfreq", [0, -100.0, np.nan, np.inf, True])
def test_impossible_rates_are_refused(sfreq: float) -> None:
    with pytest.raises(ValueError, match="must be a positive number of Hz"):
        as_trials(np.zeros((2, 1, 50)), ch_names=["a"], sfreq=sfreq)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((0, 3, 5)), r"0 sample\(s\) \(shape=\(0, 3, 5\)\) while a minimum of 1"),
        (np.zeros((0, 5)), r"0 sample\(s\)"),
        (np.zeros((5, 0)), r"0 feature\(s\) \(shape=\(5, 0\)\) while a minimum of 1 is required"),
        (np.zeros((5, 0, 5)), r"0 channel\(s\)"),
        (np.zeros(5), "got 1D array instead"),
        (np.zeros((1, 2, 3, 4)), "got 4D array instead"),
        ([], "got 1D array instead"),
        ([np.zeros((2, 5)), np.zeros((2, 6))], "a list of trials of equal shape"),
        (np.ones((2, 1, 5)) * 1j, "Complex data not supported"),
        (np.array([["a", "b"]]), "numbers are needed"),
    ],
)
def test_what_is_no_trials_is_refused(X: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_trials(X, default_sfreq=200.0)


def test_objects_that_are_no_numbers_raise_as_in_scikit_learn() -> None:
    X = np.ones((3, 4), dtype=object)
    X[0, 0] = {"foo": "bar"}
    with pytest.raises(TypeError, match=r"argument must be .* string.* number"):
        as_trials(X, default_sfreq=200.0)


def test_sparse_matrices_are_refused() -> None:
    with pytest.raises(TypeError, match="dense data is required"):
        as_trials(csr_array(np.eye(3)), default_sfreq=200.0)


def test_epochs_without_trials_are_refused() -> None:
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        as_trials(make_epochs()[[]])


def test_unknown_units_are_refused() -> None:
    with pytest.raises(ValueError, match="unit='volts' is unknown"):
        as_trials(make_epochs(), unit="volts")


# Reading


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_raise_with_trial_and_channel(value: float) -> None:
    epochs = make_epochs()
    epochs._data[4, 2, 17] = value
    for X in (epochs, one_by_one(epochs)):
        trials = as_trials(X)
        trials.read(0, 4)
        with pytest.raises(ValueError, match="Trial 4, channel 'C4' contains NaN or inf"):
            trials.read(3, 6)


def test_the_error_says_when_the_event_was_and_a_remedy_that_helps() -> None:
    epochs = make_epochs()
    epochs._data[4, 2, 17:] = np.nan
    sample = epochs.events[4, 0]
    with pytest.raises(ValueError, match=rf"at sample {sample}\) from 0\.106 s on") as caught:
        as_trials(epochs).read()
    remedy = re.search(r"epochs\.drop_bad\(\); epochs\.drop\(4\)", str(caught.value))
    assert remedy is not None
    exec(remedy[0], {"epochs": epochs})
    assert np.isfinite(as_trials(epochs).read()).all()


def test_a_trial_that_is_nan_throughout_points_at_the_filter() -> None:
    epochs = make_epochs()
    epochs._data[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"Trial 4.* throughout.*preprocess.* BAD_ACQ_SKIP"):
        as_trials(epochs).read()
    X = epochs.get_data()
    with pytest.raises(ValueError, match=r"Trial 4, .*np\.delete\(X, 4, axis=0\)"):
        as_trials(X, ch_names=NAMES, sfreq=SFREQ, unit="V").read()


def test_joined_trials_state_each_band_and_the_widest() -> None:
    first, second = make_epochs(), make_epochs()
    for epochs, band in ((first, (0.5, 40.0)), (second, (0.1, 30.0))):
        with epochs.info._unlock():
            epochs.info["highpass"], epochs.info["lowpass"] = band
    trials = as_trials([first, second, first])
    assert trials.bands == ((0.5, 40.0), (0.1, 30.0))
    assert (trials.highpass, trials.lowpass) == (0.1, 40.0)


@pytest.mark.parametrize(("sfreq", "one"), [(SFREQ * (1 + 5e-7), True), (SFREQ - 0.01, False)])
def test_items_of_rates_that_are_one_belong_together(sfreq: float, one: bool) -> None:
    first, second = make_epochs(), make_epochs()
    with second.info._unlock():
        second.info["sfreq"] = sfreq
    if one:
        assert len(as_trials([first, second])) == 2 * N_TRIALS
    else:
        with pytest.raises(ValueError, match=r"Item 1 of X has sfreq 159\.99.*resample"):
            as_trials([first, second])


def test_channels_that_are_not_read_are_not_checked() -> None:
    epochs = make_epochs()
    epochs._data[4, 2, 17] = np.nan
    trials = as_trials(epochs)
    assert np.isfinite(trials.read(picks=[0, 1])).all()
    with pytest.raises(ValueError, match="channel 'C4'"):
        trials.read(picks=[1, 2])


def test_complex_epochs_are_refused() -> None:
    epochs = make_epochs().pick("eeg").apply_hilbert(verbose="error")
    with pytest.raises(ValueError, match="Complex data not supported"):
        as_trials(epochs).read()


def test_trials_that_do_not_exist_cannot_be_read() -> None:
    trials = as_trials(make_epochs())
    for start, stop in [(0, 7), (3, 3), (-1, 2), (6, 7)]:
        with pytest.raises(ValueError, match="not within the 6 there are"):
            trials.read(start, stop)


def test_a_rate_that_is_no_number_is_named() -> None:
    with pytest.raises(ValueError, match="sfreq='160' must be a positive number"):
        as_trials(np.ones((2, 1, 100)), ch_names=["Cz"], sfreq="160")


def test_masked_samples_are_not_taken_for_signal() -> None:
    X = np.ma.masked_array(np.ones((3, 1, 100)))
    assert len(as_trials(X, ch_names=["Cz"], sfreq=100.0)) == 3
    X[2, 0, 4] = np.ma.masked
    with pytest.raises(ValueError, match="masked samples, the first in trial 2"):
        as_trials(X, ch_names=["Cz"], sfreq=100.0)
