# License: BSD-3-Clause
"""Preparation: what a model eats depends on the signal alone, and comes back as it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq.encoding.matched_trials import MatchedTrials
from mne_neurorvq.models import NEURORVQ_EEG
from mne_neurorvq.signals import (
    NEURORVQ_EEG_PREPROCESSING,
    ChannelMatch,
    Segmentation,
    Trials,
    as_trials,
    check_amplitude,
    match_channels,
    plan_segments,
)
from mne_neurorvq.signals.channel_report import used_channels
from mne_neurorvq.signals.filtering import check_band, filter_recording
from mne_neurorvq.signals.resampling import resampled_length, restore

VOCABULARY = ["c3", "c4", "cz", "fz"]
NAMES = ["Fz", "Cz", "C4"]
MODEL = {"model_sfreq": 200.0, "model_unit": "uV"}


def make_epochs(sfreq: float, n_times: int, n_trials: int = 5) -> mne.EpochsArray:
    """Sums of sines between 2 and 35 Hz, in volts."""
    rng = np.random.default_rng(0)
    times = np.arange(n_times) / sfreq
    frequencies = rng.uniform(2, 35, (n_trials, 3, 6, 1))
    phases = rng.uniform(0, 2 * np.pi, (n_trials, 3, 6, 1))
    data = 1e-5 * np.sin(2 * np.pi * frequencies * times + phases).sum(axis=2)
    info = mne.create_info(NAMES, sfreq, "eeg")
    return mne.EpochsArray(data, info, verbose="error")


def plan_for(trials: Trials, n_channels: int, max_patches: int = 6) -> Segmentation:
    n_times = resampled_length(trials.n_times, trials.sfreq, MODEL["model_sfreq"])
    return plan_segments(n_times, n_channels, patch_size=200, max_patches=max_patches)


def prepare(
    trials: Trials,
    matches: Sequence[ChannelMatch],
    segmentation: Segmentation,
    start: int = 0,
    stop: int | None = None,
) -> list[np.ndarray]:
    matched = MatchedTrials(trials, matches, used_channels(matches), segmentation, NEURORVQ_EEG)
    return matched.prepared(start, len(trials) if stop is None else stop)


def prepared(trials: Trials, **batch: int) -> list[np.ndarray]:
    matches = match_channels(trials.ch_names, VOCABULARY)
    return prepare(trials, matches, plan_for(trials, len(matches)), **batch)


def test_segments_are_in_the_models_unit_rate_and_precision() -> None:
    epochs = make_epochs(200.0, 900)
    segments = prepared(as_trials(epochs))
    assert [s.shape for s in segments] == [(5, 3, 400), (5, 3, 400), (5, 3, 200)]
    assert {s.dtype for s in segments} == {np.dtype(np.float32)}
    microvolts = 1e6 * epochs.get_data()
    assert_array_equal(segments[0], microvolts[..., :400].astype(np.float32))
    assert_array_equal(segments[2], microvolts[..., 700:].astype(np.float32))


def test_every_kind_of_input_gives_the_same_segments() -> None:
    epochs = make_epochs(160.0, 640)
    truth = prepared(as_trials(epochs))
    as_list = prepared(as_trials([epochs[i] for i in range(5)]))
    in_volts = prepared(as_trials(epochs.get_data(), ch_names=NAMES, sfreq=160.0, unit="V"))
    array = prepared(as_trials(1e6 * epochs.get_data(), ch_names=NAMES, sfreq=160.0))
    for a, b, c, d in zip(truth, as_list, in_volts, array, strict=True):
        assert_array_equal(a, b)
        assert_array_equal(a, c)
        assert_array_equal(a, d)


@pytest.mark.parametrize("sfreq", [160.0, 200.0, 512.0])
def test_a_trial_becomes_the_same_in_any_batch(sfreq: float) -> None:
    trials = as_trials(make_epochs(sfreq, round(3.3 * sfreq)))
    together = prepared(trials)
    for i in range(len(trials)):
        for whole, alone in zip(together, prepared(trials, start=i, stop=i + 1), strict=True):
            assert_array_equal(alone[0], whole[i])


def test_only_matched_channels_reach_the_model_in_the_order_of_the_recording() -> None:
    epochs = make_epochs(200.0, 400)
    epochs.info["bads"] = ["Cz"]
    epochs._data[:, 1] = np.nan
    trials = as_trials(epochs)
    with pytest.warns(UserWarning, match="'Cz' .marked bad"):
        matches = match_channels(trials.ch_names, VOCABULARY, bads=trials.bads)
    (segment,) = prepare(trials, matches, plan_for(trials, 2))
    assert_array_equal(segment, (1e6 * epochs.get_data()[:, [0, 2]]).astype(np.float32))


def test_the_users_signals_are_not_changed() -> None:
    epochs = make_epochs(160.0, 640)
    before = epochs.get_data()
    prepared(as_trials(epochs))
    assert_array_equal(epochs.get_data(), before)


@pytest.mark.parametrize(
    ("sfreq", "n_times"),
    [(160.0, 640), (160.0, 641), (200.0, 850), (250.0, 1001), (500.0, 2001), (512.0, 2048)],
)
def test_restore_undoes_prepare(sfreq: float, n_times: int) -> None:
    epochs = make_epochs(sfreq, n_times)
    trials = as_trials(epochs)
    plan = plan_for(trials, 3)
    restored = restore(prepared(trials), plan, **MODEL, sfreq=sfreq, n_times=n_times)
    truth = epochs.get_data()
    assert restored.shape == truth.shape
    inside = slice(round(0.25 * sfreq), -round(0.25 * sfreq))
    assert_allclose(restored[..., inside], truth[..., inside], atol=3e-3 * np.abs(truth).max())
    if sfreq == 200.0:
        assert_allclose(restored, truth, rtol=1e-6)


def test_short_windows_come_back_at_their_own_length() -> None:
    trials = as_trials(make_epochs(160.0, 100))
    with pytest.warns(UserWarning, match="shorter than one patch"):
        plan = plan_for(trials, 3)
    matches = match_channels(trials.ch_names, VOCABULARY)
    segments = prepare(trials, matches, plan)
    restored = restore(segments, plan, **MODEL, sfreq=160.0, n_times=100, unit="uV")
    truth = 1e6 * trials.read()
    assert restored.shape == truth.shape
    assert_allclose(restored[..., 40:-40], truth[..., 40:-40], atol=0.05 * np.abs(truth).max())


@pytest.mark.parametrize("value", [2e15, 1e300])
def test_values_too_large_for_single_precision_raise_with_trial_and_channel(value: float) -> None:
    X = np.random.default_rng(0).normal(0, 20, (3, 1, 200))
    X[2, 0, 5] = -value
    trials = as_trials(X, ch_names=["Cz"], sfreq=200.0)
    with pytest.raises(ValueError, match=r"Trial 2, channel 'Cz' has values up to .* too large"):
        prepared(trials)


def test_samples_that_are_not_finite_raise_with_trial_and_channel() -> None:
    epochs = make_epochs(160.0, 640)
    epochs._data[3, 0, 5] = np.nan
    with pytest.raises(ValueError, match="Trial 3, channel 'Fz' contains NaN or inf"):
        prepared(as_trials(epochs), start=2)


def test_epochs_that_hold_microvolts_are_found_out() -> None:
    epochs = make_epochs(160.0, 640)
    epochs._data *= 1e6
    trials = as_trials(epochs)
    with pytest.raises(ValueError, match=r"microvolts stored as volts: multiply .* by 1e-6"):
        check_amplitude(trials, match_channels(NAMES, VOCABULARY))


def test_trigger_channels_do_not_look_like_microvolts() -> None:
    epochs = make_epochs(200.0, 400)
    info = mne.create_info(["Fz", "S1", "S2"], 200.0, ["eeg", "stim", "stim"])
    data = epochs.get_data()
    data[:, 1:] = np.random.default_rng(0).integers(0, 9, data[:, 1:].shape)
    trials = as_trials(mne.EpochsArray(data, info, verbose="error"))
    with pytest.warns(UserWarning, match="'S1', 'S2' .type 'stim'"):
        matches = match_channels(trials.ch_names, VOCABULARY, ch_types=trials.ch_types)
    check_amplitude(trials, matches)


def test_one_flat_trial_does_not_look_like_volts() -> None:
    data = 20 * np.random.default_rng(0).standard_normal((4, 1, 200))
    data[0] *= 1e-9
    trials = as_trials(data, ch_names=["Cz"], sfreq=200.0)
    check_amplitude(trials, (ChannelMatch("Cz", "cz", 2, "exact"),))
    with pytest.raises(ValueError, match="looks like volts"):
        check_amplitude(
            as_trials(1e-6 * data, ch_names=["Cz"], sfreq=200.0), match_channels(["Cz"], ["cz"])
        )


def test_a_real_recording_goes_all_the_way_and_back(shared: Path) -> None:
    folder = shared / "data" / "MNE-eegbci-data/files/eegmmidb/1.0.0/S001"
    raw = mne.io.read_raw_edf(folder / "S001R04.edf", verbose="error").crop(0, 24)
    raw = filter_recording(raw, NEURORVQ_EEG_PREPROCESSING)
    epochs = mne.make_fixed_length_epochs(raw, 4.0, verbose="error")
    trials = as_trials(epochs)
    check_band(trials, NEURORVQ_EEG_PREPROCESSING)
    matches = match_channels(
        trials.ch_names, NEURORVQ_EEG.channels, mode="strict", ch_types=trials.ch_types
    )
    check_amplitude(trials, matches)
    plan = plan_for(trials, 64, max_patches=NEURORVQ_EEG.max_patches)
    segments = prepare(trials, matches, plan)
    assert [s.shape for s in segments] == [(6, 64, 800)]
    assert 5 < np.median(segments[0].std(axis=-1)) < 100
    restored = restore(segments, plan, **MODEL, sfreq=160.0, n_times=640)
    error = restored - trials.read()
    assert error.std() < 0.01 * trials.read().std()
