# License: BSD-3-Clause
"""Amplitudes of trials: each recording is judged, and a broken channel is named."""

from __future__ import annotations

import warnings
from dataclasses import replace

import hypothesis
import mne
import numpy as np
import pytest
from hypothesis import strategies as st
from optional_library import import_or_skip

from mne_neurorvq.signals import as_array_like, as_trials, check_amplitude, match_channels
from mne_neurorvq.signals.units import (
    FEWEST_SAMPLES,
    check_units_of_channels,
    levels_of,
    misfits,
    outside,
)

NAMES = ["C3", "Cz", "C4", "Pz"]
MATCHES = match_channels(NAMES, [name.lower() for name in NAMES])
ARRAY = {"ch_names": NAMES, "sfreq": 200.0}


def make(factor: float = 1.0, n_trials: int = 6, seed: int = 0) -> mne.EpochsArray:
    """Epochs of 20 uV, the trials of one half and of double that."""
    rng = np.random.default_rng(seed)
    gains = rng.uniform(0.5, 2.0, (n_trials, 4, 1))
    volts = 2e-5 * factor * gains * rng.standard_normal((n_trials, 4, 400))
    return mne.EpochsArray(volts, mne.create_info(NAMES, 200.0, "eeg"), verbose="error")


def microvolts(*factors: float, n_trials: int = 6) -> np.ndarray:
    parts = [1e6 * make(f, n_trials, seed).get_data() for seed, f in enumerate(factors)]
    return np.concatenate(parts)


def check(X, **parameters) -> frozenset[str]:
    return check_amplitude(as_trials(X, **parameters), MATCHES)


@pytest.mark.parametrize(
    ("factor", "remedy"),
    [(1e6, "1e-6"), (1e3, "1e-3"), (1e-3, "1e3"), (1e-6, "1e6"), (1e-12, "1e12"), (1e9, "1e-9")],
)
def test_the_factor_brings_epochs_to_tens_of_microvolts(factor, remedy):
    wrong = make(factor)
    with pytest.raises(ValueError, match=rf"multiply Epochs or Raw by {remedy}, for example"):
        check(wrong)
    check(wrong.apply_function(lambda x: x * float(remedy)))


@pytest.mark.parametrize("factor", [1e6, 1e3, 1e-3, 1e-6])
@pytest.mark.parametrize("place", [0, 2, 3])
def test_one_recording_of_a_list_is_named(factor, place):
    recordings = [make(factor if i == place else 1.0, seed=i) for i in range(4)]
    with pytest.raises(ValueError, match=rf"Item {place}: .* multiply item {place} by 1e"):
        check(recordings)
    with pytest.raises(ValueError, match=rf"Item {place}: "):
        check([as_array_like(recording) for recording in recordings])


def test_a_recording_in_a_braindecode_dataset_is_named_by_its_trials():
    import_or_skip("braindecode")
    from braindecode.datasets import create_from_mne_epochs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # braindecode's own
        dataset = create_from_mne_epochs(
            [make(factor) for factor in (1.0, 1e3, 1.0)],
            window_size_samples=400,
            window_stride_samples=400,
            drop_last_window=False,
        )
    with pytest.raises(ValueError, match=r"Trials 6-11: .* by 1e-3"):
        check(dataset)


@pytest.mark.parametrize("factor", [1e6, 1e3, 1e-3, 1e-6])
def test_one_recording_within_trials_is_named_by_its_trials(factor):
    X = microvolts(1, 1, factor, 1)
    with pytest.raises(
        ValueError, match=r"Trials 12-17: .*\(others: .* uV\).*multiply trials 12-17"
    ):
        check(X, **ARRAY)
    joined = mne.concatenate_epochs([make(f) for f in (1, 1, factor, 1)], verbose="error")
    with pytest.raises(ValueError, match=r"Trials 12-17: .* the recording that they come from by"):
        check(joined)
    with pytest.raises(ValueError, match="Trials 12-17: "):
        check([joined[i] for i in range(24)])
    with pytest.raises(ValueError, match="Trials 12-17 in item 1: "):
        check([make(), mne.concatenate_epochs([make(), make(factor), make()], verbose="error")])


def test_trials_of_a_recording_are_found_in_any_order():
    order = np.random.default_rng(0).permutation(24)
    with pytest.raises(ValueError, match="Trials ") as raised:
        check(microvolts(1, 1, 1e-6, 1)[order], **ARRAY)
    wrong = np.flatnonzero(np.isin(order, np.arange(12, 18)))
    assert str(wrong[0]) in str(raised.value)
    assert "by 1e6" in str(raised.value)


def test_microvolts_stored_as_volts_are_found_in_a_single_trial_of_a_recording():
    joined = mne.concatenate_epochs([make(n_trials=40), make(1e6, n_trials=1)], verbose="error")
    singles = [make(f, n_trials=1) for f in (1.0, 1.0, 1e6, 1.0)]
    for given, place in ((joined, 40), (singles, 2)):
        with pytest.raises(ValueError, match=rf"Trial {place}: .* by 1e-6"):
            check(given)


def test_few_trials_of_an_array_that_no_amplifier_records_are_found():
    X = microvolts(1.0, n_trials=60)
    X[7] *= 1e6
    check(X, **ARRAY)  # one may be anything
    X[8] *= 1e6
    with pytest.raises(ValueError, match=r"Trials 7-8: .* multiply trials 7-8 by 1e-6"):
        check(X, **ARRAY)


@pytest.mark.parametrize("factor", [1e3, 1e-3, 1e-6])
def test_one_recording_of_twenty_is_named_by_its_trials(factor):
    X = microvolts(1.0, n_trials=400)
    X[100:120] *= factor
    with pytest.raises(ValueError, match=r"Trials 100-119: "):
        check(X, **ARRAY)
    singles = microvolts(1.0, n_trials=60)
    singles[11:15] *= factor
    epochs = mne.EpochsArray(1e-6 * singles, make().info, verbose="error")
    with pytest.raises(ValueError, match=r"Trials 11-14: "):
        check([epochs[i] for i in range(60)])


@pytest.mark.parametrize("factor", [300.0, 1e-3])
def test_artifacts_here_and_there_are_normal(factor):
    X = microvolts(1.0, n_trials=400)
    X[[100, 101, 102, 190, 191, 273, 305]] *= factor
    check(X, **ARRAY)
    check(X[271:276], **ARRAY)


def test_the_first_of_two_factors_names_its_own_trials():
    with pytest.raises(ValueError, match=r"Trials 6-11: .* by 1e-3\.$"):
        check(microvolts(1, 1e3, 1, 1e6), **ARRAY)


@pytest.mark.parametrize("factor", [300.0, 1e-3, 1e-6, 0.0])
def test_a_single_artifact_or_flat_trial_is_normal(factor):
    X = microvolts(1.0, n_trials=20)
    X[7] *= factor
    check(X, **ARRAY)
    epochs = mne.EpochsArray(1e-6 * X, make().info, verbose="error")
    check([epochs[i] for i in range(20)])


def test_what_filters_leave_of_a_gap_is_no_other_unit():
    X = microvolts(1.0, n_trials=20)
    X[5:12] *= np.logspace(-3, -16, 7)[:, None, None]
    check(X, **ARRAY)
    X[5:12] = 1e-14 * np.random.default_rng(0).standard_normal((7, 4, 400))
    check(X, **ARRAY)


def test_amplitudes_of_people_differ():
    check([make(f, seed=i) for i, f in enumerate((0.1, 0.3, 1.0, 3.0, 10.0))])
    check(microvolts(0.1, 0.3, 1.0, 3.0, 10.0), **ARRAY)


def test_a_slow_drift_does_not_decide():
    drift = 1e-2 * np.linspace(-1, 1, 60 * 200)
    rng = np.random.default_rng(0)
    volts = drift + 1e-5 * rng.standard_normal((3, 4, 60 * 200))
    check(mne.EpochsArray(volts, make().info, verbose="error"))


def test_few_of_many_single_trials_are_read():
    trials = as_trials(np.tile(microvolts(1.0), (200, 1, 1)), **ARRAY)
    read = []

    def reader(start, stop, picks):
        read.extend(range(start, stop))
        return trials.reader(start, stop, picks)

    check_amplitude(replace(trials, reader=reader), MATCHES)
    assert len(read) < 70
    assert max(np.diff(read)) < 30  # spread over all


@pytest.mark.parametrize(
    ("unit", "factor"), [("V", 1e-6), ("mV", 1e-3), ("uV", 1.0), ("100uV", 0.01)]
)
def test_an_array_far_from_zero_warns_in_every_unit(unit, factor):
    X = factor * (microvolts(1.0) + np.array([62000.0, -17000.0, -2400.0, 49000.0])[:, None])
    with pytest.warns(UserWarning, match=rf"lie .* {unit} from zero, \d+ times") as caught:
        assert check(X, **ARRAY, unit=unit) == {"offset"}
    assert len(caught) == 1
    assert check(X, **ARRAY, unit="au") == frozenset()


def test_an_offset_of_one_recording_of_four_warns():
    items = [make(seed=i) for i in range(4)]
    items[2].apply_function(lambda x: x + 1e-2)
    with pytest.warns(UserWarning, match="from zero"):
        check(items)


@pytest.mark.parametrize("unit", ["uV", "au"])
def test_a_loud_and_a_flat_channel_are_named_in_one_warning(unit):
    X = microvolts(1.0)
    X[:, 1] *= 300
    X[:, 3] = 7.0
    with pytest.warns(
        UserWarning, match=r"'Cz' \(\d+ times .*'Pz' \(flat\).*info\['bads'\]"
    ) as caught:
        found = check(X - X.mean(-1, keepdims=True), **ARRAY, unit=unit)
    assert len(caught) == 1
    assert found == {"loud Cz", "flat Pz"}


def test_no_warning_is_repeated():
    X = microvolts(1.0)
    X[:, 1] *= 60
    trials = as_trials(X, **ARRAY)
    assert check_amplitude(trials, MATCHES, warned=frozenset(["loud Cz"])) == {"loud Cz"}
    X[:, 0] *= 60
    with pytest.warns(UserWarning, match=r"broken: 'C3' \(") as caught:
        check_amplitude(trials, MATCHES, warned=frozenset(["loud Cz"]))
    assert len(caught) == 1


def test_a_channel_that_is_loud_in_one_recording_of_four_is_named():
    items = [make(seed=i) for i in range(4)]
    items[2]._data[:, 0] *= 100
    with pytest.warns(UserWarning, match="'C3'"):
        check(items)


def test_an_artifact_in_one_trial_and_channels_of_usual_spread_are_no_broken_channel():
    X = microvolts(1.0, n_trials=20)
    X[4, 2] *= 1000
    X[:, 0] *= 4
    assert check(X, **ARRAY) == frozenset()


@pytest.mark.parametrize("gain", [100, 1000])
def test_of_two_channels_the_louder_is_named_and_a_single_one_has_no_others(gain):
    X = microvolts(1.0)[:, :2]
    X[:, 1] *= gain
    pair = {"ch_names": NAMES[:2], "sfreq": 200.0}
    with pytest.warns(UserWarning, match="broken: 'Cz'"):
        check_amplitude(as_trials(X, **pair), MATCHES[:2])
    one = {"ch_names": NAMES[:1], "sfreq": 200.0}
    assert check_amplitude(as_trials(X[:, :1], **one), MATCHES[:1]) == frozenset()


@pytest.mark.parametrize("factor", [1e3, 1e6])
@pytest.mark.parametrize("wrong", [[0, 2], [0, 1, 3]])
def test_channels_in_another_unit_than_the_others_are_named(factor, wrong):
    X = microvolts(1.0)
    X[:, wrong] *= factor
    named = ", ".join(repr(NAMES[i]) for i in wrong)
    remedy = f"by 1e-{round(np.log10(factor))}"
    with pytest.raises(ValueError, match=f"channels {named} .*these channels alone {remedy}"):
        check(X, **ARRAY)
    epochs = mne.EpochsArray(1e-6 * X, make().info, verbose="error")
    with pytest.raises(ValueError, match=rf"channels {named} .*takes picks=\) {remedy}"):
        check(epochs)
    with pytest.raises(ValueError, match=f"Item 1: channels {named} "):
        check([make(), epochs])
    picks = [NAMES[i] for i in wrong]
    assert check(epochs.apply_function(lambda x: x / factor, picks=picks)) == frozenset()


def test_broken_channels_do_not_hide_that_others_are_in_another_unit():
    X = np.concatenate([microvolts(1.0), microvolts(2.0)], axis=1)
    X[:, 4:] *= 1e6
    X[:, 7] *= 200
    X[:, 0] *= 1e-7
    names = [*NAMES, "F3", "F4", "P3", "P4"]
    matches = match_channels(names, [name.lower() for name in names])
    with pytest.raises(ValueError, match=r"channels 'F3', 'F4', 'P3', 'P4' .* by 1e-6"):
        check_amplitude(as_trials(X, ch_names=names, sfreq=200.0), matches)


def test_channels_that_are_left_out_do_not_count():
    epochs = make()
    epochs._data[:, 1] *= 300
    epochs.info["bads"] = ["Cz"]
    trials = as_trials(epochs)
    with pytest.warns(UserWarning, match="marked bad"):
        matches = match_channels(NAMES, [name.lower() for name in NAMES], bads=trials.bads)
    assert check_amplitude(trials, matches) == frozenset()


def test_where_channels_are_coded_alone_only_the_unit_is_judged():
    X = microvolts(1.0) + 1e4
    X[:, 1] *= 300
    assert check_amplitude(as_trials(X, **ARRAY), MATCHES, joint=False) == frozenset()
    with pytest.raises(ValueError, match="pass unit='V'"):
        check_amplitude(as_trials(1e-6 * X, **ARRAY), MATCHES, joint=False)


@pytest.mark.parametrize("value", [1e308, -1e300, 2e15])
def test_values_beyond_single_precision_are_refused_in_every_input(value):
    X = microvolts(1.0)
    X[3, 2, 5] = value
    volts = 1e-6 * X
    with np.errstate(over="ignore"):
        epochs = mne.EpochsArray(volts if abs(value) < 1e300 else X, make().info, verbose="error")
    for given in (epochs, [epochs[i] for i in range(6)], as_array_like(epochs)):
        with pytest.raises(ValueError, match="Trial 3, channel 'C4' has values up to"):
            check(given)
    for unit, factor in (("uV", 1.0), ("V", 1e-6), ("au", 1.0)):
        with pytest.raises(ValueError, match="Trial 3, channel 'C4' has values up to"):
            check(factor * X, **ARRAY, unit=unit)


@pytest.mark.parametrize("n_times", [20, 400])
@pytest.mark.parametrize("seed", range(20))
def test_another_unit_shows_in_an_unusual_deviation(n_times, seed):
    """What is looked into only where one is; from limit to limit, with flat channels and trials."""
    rng = np.random.default_rng(seed)
    limits = (-1, np.log10(2e3)) if n_times > 50 else (-3, 9)
    deviations = 10 ** rng.uniform(*limits, (12, 1)) * np.ones((12, 8))
    if seed % 2:
        deviations = 10 ** rng.uniform(*limits, (1, 8)) * np.ones((12, 8))
    deviations[rng.random((12, 8)) < 0.1 * (seed % 3)] = 0.0
    deviations[rng.integers(12)] = 0.0
    assert not outside(deviations, n_times).any()
    few = n_times < FEWEST_SAMPLES
    levels = levels_of(deviations, "uV")
    assert not misfits(levels, n_times, recorded=not few).any()
    if not few:
        check_units_of_channels(list("abcdefgh"), deviations, "uV", "Channels")


@hypothesis.given(st.floats(1.1, 200.0), st.sampled_from([1e3, 1e-3]))
@hypothesis.settings(deadline=None)
def test_a_factor_of_a_thousand_never_passes_unsaid(deviation, factor):
    """For every deviation that trials of 43 people have, however they were filtered."""
    X = deviation * np.random.default_rng(0).standard_normal((6, 4, 400))
    assert "rare" not in check(X, **ARRAY)
    told = "typical standard deviation would be|1000 times too (large|small); if so, multiply them"
    with pytest.raises((ValueError, UserWarning), match=told):
        check(factor * X, **ARRAY)


def test_a_rare_amplitude_is_told_once():
    epochs = make(0.01)
    with pytest.warns(UserWarning, match=r"deviation of 0\.\d uV is rare: EEG has 0\.5 to 500"):
        found = check(epochs)
    assert check_amplitude(as_trials(epochs), MATCHES, warned=found) == {"rare"}
