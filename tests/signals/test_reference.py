# License: BSD-3-Clause
"""The reference of signals is MNE's, of good electrodes only, and says where it cannot be had."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq.datasets import simulate_epochs
from mne_neurorvq.signals import as_trials, set_reference
from mne_neurorvq.signals.reference import LAPLACIAN_AREA, find_reference, with_reference


@pytest.fixture(scope="module")
def epochs():
    """Trials whose head shape has the electrodes there are and no others."""
    epochs = simulate_epochs(n_subjects=1, n_trials=4, verbose=False)
    places = {ch["ch_name"]: ch["loc"][:3].copy() for ch in epochs.info["chs"]}
    return epochs.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))


def _referenced(X, kind, fitted=None, **facts):
    trials = as_trials(X, **facts)
    return with_reference(trials, fitted or find_reference(trials, kind))


def test_the_average_is_that_of_mne_without_the_bad_channels(epochs):
    marked = epochs.copy()
    marked.info["bads"] = ["Fz", "O1"]
    expected = marked.copy().set_eeg_reference("average", verbose=False)
    found = set_reference(marked, "average")
    assert_allclose(found.get_data(), expected.get_data(), rtol=0, atol=1e-18)
    assert found.info["custom_ref_applied"] == expected.info["custom_ref_applied"]
    good = mne.pick_types(marked.info, eeg=True)
    assert_allclose(found.get_data(picks=good).mean(axis=1), 0, atol=1e-18)


def test_the_laplacian_is_that_of_mne_and_about_as_large_as_the_recording(epochs):
    density = mne.preprocessing.compute_current_source_density(epochs, verbose=False)
    found = set_reference(epochs, "laplacian").get_data()
    assert_allclose(found, LAPLACIAN_AREA * density.get_data(), rtol=0, atol=1e-17)
    assert 0.3 < np.median(found.std(-1)) / np.median(epochs.get_data().std(-1)) < 3


def test_the_recorded_reference_changes_nothing(epochs):
    same = set_reference(epochs, "recorded")
    assert_array_equal(same.get_data(), epochs.get_data())
    assert same.info["custom_ref_applied"] == epochs.info["custom_ref_applied"]


def test_arrays_have_names_and_the_template_instead_of_positions(epochs):
    volts = epochs.get_data()
    facts = {"ch_names": epochs.ch_names, "sfreq": epochs.info["sfreq"], "unit": "V"}
    average = _referenced(volts, "average", **facts).read()
    assert_array_equal(average, _referenced(epochs, "average").read())
    laplacian = _referenced(volts, "laplacian", **facts).read()
    r = np.corrcoef(laplacian.ravel(), set_reference(epochs, "laplacian").get_data().ravel())
    assert r[0, 1] > 0.99


def test_other_signals_and_bipolar_derivations_have_no_part_in_it(epochs):
    data = epochs.get_data()
    names = [*epochs.ch_names, "EEG ECG", "EEG A2-A1", "VEOG", "DC01"]
    loud = np.concatenate([data, 1e-3 * np.ones_like(data[:, :4])], axis=1)
    info = mne.create_info(names, epochs.info["sfreq"], "eeg")
    more = mne.EpochsArray(loud, info, verbose=False)
    found = _referenced(more, "average").read()
    assert_allclose(found[:, :-4], _referenced(epochs, "average").read(), rtol=0, atol=1e-18)
    assert_array_equal(found[:, -4:], loud[:, -4:])


def test_channels_of_another_type_have_no_part_in_it(epochs):
    typed = epochs.copy().set_channel_types({"Fp1": "eog"})
    found = set_reference(typed, "average")
    assert_array_equal(found.get_data(picks="Fp1"), epochs.get_data(picks="Fp1"))
    assert_allclose(found.get_data(picks="eeg").mean(axis=1), 0, atol=1e-18)


def test_every_recording_of_a_list_has_its_own_bad_channels(epochs):
    other = epochs.copy()
    other.info["bads"] = ["C3"]
    fitted = find_reference(as_trials(epochs), "average")
    found = _referenced([epochs, other, epochs], "average", fitted).read()
    parts = [set_reference(part, "average").get_data() for part in (epochs, other, epochs)]
    assert_array_equal(found, np.concatenate(parts))
    # In whatever parts it is read.
    assert_array_equal(_referenced([epochs, other], "average", fitted).read(2, 6), found[2:6])


def test_a_bad_channel_may_be_broken_and_a_good_one_is_named(epochs):
    broken = epochs.copy()
    broken._data[1, 3] = np.nan
    fitted = find_reference(as_trials(epochs), "average")
    trials = _referenced([epochs, broken], "average", fitted)
    with pytest.raises(ValueError, match=r"Trial 5, channel 'F3' contains NaN"):
        trials.read(picks=[0])
    broken.info["bads"] = ["F3"]
    assert np.isfinite(_referenced([epochs, broken], "average", fitted).read(picks=[0])).all()


SIGNALS = 1e-5 * np.random.default_rng(0).standard_normal((3, 64, 400))
SIGNALS *= np.random.default_rng(1).uniform(0.5, 2.5, (1, 64, 1))


def _cap(signals, bads=()):
    info = mne.create_info([f"E{i}" for i in range(signals.shape[1])], 100.0, "eeg")
    info["bads"] = [f"E{i}" for i in bads]
    return mne.EpochsArray(signals.copy(), info, verbose=False)


def _average_of_the_good(signals, bads):
    return _cap(signals, bads).set_eeg_reference("average", verbose=False).get_data()


@settings(max_examples=20)
@given(
    n_channels=st.sampled_from([8, 20, 21, 64]),
    bad=st.integers(0, 7),
    gain=st.one_of(st.just(0.0), st.floats(20, 1e4)),
)
def test_an_electrode_that_is_loud_or_flat_is_left_out_as_if_it_were_marked(n_channels, bad, gain):
    signals = SIGNALS[:, :n_channels].copy()
    signals[:, bad] *= gain
    expected = _average_of_the_good(signals, [bad])
    found = set_reference(_cap(signals), "average").get_data()
    assert_allclose(found, expected, rtol=0, atol=1e-15)
    others = np.delete(np.arange(n_channels), bad)
    unspoilt = _average_of_the_good(SIGNALS[:, :n_channels], [bad])
    assert_allclose(found[:, others], unspoilt[:, others], rtol=0, atol=1e-18)


@pytest.mark.parametrize("gain", [0.2, 1.0, 4.0])
def test_an_electrode_that_is_merely_larger_or_smaller_stays_in_the_average(gain):
    signals = 1e-5 * SIGNALS / SIGNALS.std(-1, keepdims=True)
    signals[:, 5] *= gain
    found = set_reference(_cap(signals), "average").get_data()
    assert_allclose(found, _average_of_the_good(signals, []), rtol=0, atol=1e-18)


def test_an_electrode_is_left_out_of_the_average_of_those_trials_only_in_which_it_is_broken():
    signals = SIGNALS[:, :21].copy()
    signals[1, 3, 100:150] += 1e-3  # it pops
    signals[2, 4] = 0
    expected = SIGNALS[:, :21].copy()
    for trial, bads in enumerate(([], [3], [4])):
        expected[trial] = _average_of_the_good(signals, bads)[trial]
    trials = _referenced(_cap(signals), "average")
    assert_allclose(trials.read(), expected, rtol=0, atol=1e-18)
    one_by_one = np.concatenate([trials.read(i, i + 1) for i in (2, 1, 0)])
    assert_array_equal(one_by_one, trials.read()[::-1])
    assert_array_equal(_referenced(_cap(signals[::-1]), "average").read(), trials.read()[::-1])
    assert_array_equal(trials.read(picks=[3, 8]), trials.read()[:, [3, 8]])


@pytest.mark.parametrize("n_flat", [32, 63])
def test_where_half_of_the_electrodes_are_flat_none_is_left_out(n_flat):
    signals = SIGNALS.copy()
    signals[:, :n_flat] = 0
    found = set_reference(_cap(signals), "average").get_data()
    assert_allclose(found, _average_of_the_good(signals, []), rtol=0, atol=1e-18)


def test_marked_and_broken_electrodes_are_left_out_together():
    signals = SIGNALS[:, :21].copy()
    signals[:, 2] *= 100
    signals[:, 7] *= 3
    found = set_reference(_cap(signals, [7]), "average").get_data()
    assert_allclose(found, _average_of_the_good(signals, [2, 7]), rtol=0, atol=1e-15)


def test_an_average_projector_that_waits_changes_nothing_and_is_not_told(epochs):
    waiting = epochs.copy().set_eeg_reference("average", projection=True, verbose=False)
    assert as_trials(waiting).waiting
    trials = _referenced(waiting, "average")
    assert not trials.waiting
    assert_array_equal(trials.read(), _referenced(epochs, "average").read())
    assert not set_reference(waiting, "average").info["projs"]


def test_electrodes_without_a_position_are_named(epochs):
    moved = epochs.copy().rename_channels({"Fz": "X1"})
    moved.info["chs"][4]["loc"][:3] = np.nan
    with pytest.raises(ValueError, match=r"none of 'X1': give them \(epochs.set_montage\)"):
        find_reference(as_trials(moved), "laplacian")
    moved.info["bads"] = ["X1"]
    found = find_reference(as_trials(moved), "laplacian")
    assert moved.ch_names.index("X1") not in found.electrodes


def test_positions_in_another_unit_are_no_head(epochs):
    places = {ch["ch_name"]: 1e3 * ch["loc"][:3] for ch in epochs.info["chs"]}
    montage = mne.channels.make_dig_montage(places, coord_frame="head")
    wrong = epochs.copy().set_montage(montage)
    with pytest.raises(ValueError, match=r"radius .* m, which is not a head's"):
        find_reference(as_trials(wrong), "laplacian")


@pytest.mark.parametrize(
    ("kind", "n_channels", "message"),
    [
        ("average", 1, "needs at least 2 good EEG electrodes, but there is 1, bipolar"),
        ("laplacian", 15, "needs at least 16 good EEG electrodes, but there are 15"),
    ],
)
def test_too_few_electrodes_make_no_reference(epochs, kind, n_channels, message):
    few = epochs.copy().pick(epochs.ch_names[:n_channels])
    with pytest.raises(ValueError, match=message):
        find_reference(as_trials(few), kind)


def test_the_average_of_a_few_electrodes_is_warned_of(epochs):
    few = epochs.copy().pick(["C3", "C4"])
    with pytest.warns(UserWarning, match=r"of 2 electrodes only .* Pass the recording with all"):
        set_reference(few, "average")


@pytest.mark.parametrize("kind", ["laplacian", "average"])
def test_of_a_laplacian_no_other_reference_is_made(epochs, kind):
    laplacian = set_reference(epochs, "laplacian")
    with pytest.raises(ValueError, match="are a Laplacian already"):
        set_reference(laplacian, kind)
    with pytest.warns(UserWarning, match="a Laplacian already .* they stay as they are"):
        assert find_reference(as_trials(laplacian), kind, insist=False) is None


def test_a_bad_electrode_has_no_laplacian(epochs):
    fitted = find_reference(as_trials(epochs), "laplacian")
    marked = epochs.copy()
    marked.info["bads"] = ["Cz"]
    trials = _referenced(marked, "laplacian", fitted)
    with pytest.raises(ValueError, match="cannot be computed for 'Cz': marked bad in X"):
        trials.read()
    assert np.isfinite(trials.read(picks=[0])).all()
    dropped = marked.copy().drop_channels("Cz")
    expected = set_reference(dropped, "laplacian").get_data(picks=[0])
    assert_allclose(trials.read(picks=[0]), expected, rtol=0, atol=1e-17)


def test_an_unknown_reference_is_refused(epochs):
    with pytest.raises(ValueError, match="reference='mastoids' must be one of"):
        set_reference(epochs, "mastoids")
