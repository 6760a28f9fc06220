# License: BSD-3-Clause
"""Whatever holds the trials, the numbers are the same; whatever is wrong with them is said."""

from __future__ import annotations

import pickle
import random
import threading
import tracemalloc
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from filtered import filtered_for, filtered_info
from mne.utils import object_diff
from numpy.testing import assert_allclose, assert_array_equal
from optional_library import import_or_skip

from mne_neurorvq import (
    BioCodecTransformer,
    BrainRVQTransformer,
    NeuroRVQClassifier,
    NeuroRVQTransformer,
    as_array_like,
    load_estimator,
    preprocess,
)
from mne_neurorvq.datasets import simulate_epochs
from mne_neurorvq.datasets.montage import standard_montage
from mne_neurorvq.encoding.matched_trials import read_ahead
from mne_neurorvq.signals import as_trials
from mne_neurorvq.signals.splines import with_sites

TINY = "neurorvq-eeg-tiny-random"
NAMES = ["C3", "Cz", "C4", "Pz"]


def array_transformer(sfreq=160.0, ch_names=NAMES, **parameters):
    return NeuroRVQTransformer(TINY, ch_names=ch_names, sfreq=sfreq, **parameters)


@pytest.fixture
def expected(epochs):
    fitted = NeuroRVQTransformer(TINY).fit(epochs)
    return fitted.transform(epochs), fitted.tokenize(epochs).codes


def check_same(estimator, X, expected):
    embedding, codes = expected
    assert_allclose(estimator.fit_transform(X), embedding, rtol=0, atol=1e-6)
    assert_array_equal(estimator.tokenize(X).codes, codes)


def test_a_list_of_single_trials_is_the_epochs(epochs, expected):
    singles = [epochs[i] for i in range(len(epochs))]
    check_same(NeuroRVQTransformer(TINY), singles, expected)
    check_same(NeuroRVQTransformer(TINY), [epochs[:2], epochs[2:]], expected)


@pytest.mark.parametrize(("unit", "per_volt"), [("uV", 1e6), ("mV", 1e3), ("V", 1.0)])
def test_an_array_in_its_unit_is_the_epochs(epochs, expected, unit, per_volt):
    X = per_volt * epochs.get_data(copy=True)
    check_same(array_transformer(unit=unit), X, expected)
    check_same(array_transformer(unit=unit, ch_names=tuple(NAMES)), X.tolist(), expected)


def test_fit_on_epochs_serves_arrays_of_the_same_channels(epochs, expected):
    fitted = array_transformer().fit(epochs)
    X = 1e6 * epochs.get_data(copy=True)
    assert_allclose(fitted.transform(X), expected[0], rtol=0, atol=1e-6)


def test_one_channel_may_come_as_two_dimensions(make_epochs):
    one = make_epochs(ch_names=("Cz",))
    X = 1e6 * one.get_data(copy=True)
    embedding = NeuroRVQTransformer(TINY).fit_transform(one)
    for flat in (X[:, 0], pd.DataFrame(X[:, 0]), pd.DataFrame(X[:, 0]).add_prefix("t")):
        found = array_transformer(ch_names=["Cz"]).fit_transform(flat)
        assert_allclose(found, embedding, rtol=0, atol=1e-6)
    unnamed = NeuroRVQTransformer(TINY, sfreq=160.0)
    assert_allclose(unnamed.fit_transform(X[:, 0]), embedding, rtol=0, atol=1e-6)


def test_windows_of_braindecode_are_the_epochs(epochs, expected):
    import_or_skip("braindecode")
    from braindecode.datasets import BaseConcatDataset, RawDataset, create_from_mne_epochs
    from braindecode.preprocessing import create_windows_from_events

    data = np.concatenate(list(epochs.get_data(copy=True)), axis=-1)
    raw = mne.io.RawArray(data, epochs.info, verbose="error")
    raw.set_annotations(mne.Annotations(2.0 * np.arange(6), 2.0, ["a", "b"] * 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # braindecode's own
        from_recording = create_windows_from_events(
            BaseConcatDataset([RawDataset(raw)]), mapping={"a": 0, "b": 1}, preload=False
        )
        from_epochs = create_from_mne_epochs(
            [epochs[:2], epochs[2:]],
            window_size_samples=320,
            window_stride_samples=320,
            drop_last_window=False,
        )
    check_same(NeuroRVQTransformer(TINY), from_recording, expected)
    check_same(NeuroRVQTransformer(TINY), from_epochs, expected)
    check_same(NeuroRVQTransformer(TINY), from_epochs.datasets, expected)


@pytest.mark.parametrize("kind", ["read-only", "float32", "Fortran order", "reversed view", "list"])
def test_how_an_array_lies_in_memory_does_not_matter(epochs, expected, kind):
    X = 1e6 * epochs.get_data(copy=True)
    if kind == "read-only":
        X.flags.writeable = False
    X = {
        "float32": lambda: X.astype(np.float32),
        "Fortran order": lambda: np.asfortranarray(X),
        "reversed view": lambda: X[:, ::-1].copy()[:, ::-1],
        "list": lambda: list(X),
    }.get(kind, lambda: X)()
    embedding = array_transformer().fit_transform(X)
    assert_allclose(embedding, expected[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.float16])
def test_coarse_numbers_are_taken_for_what_they_are(epochs, dtype):
    X = np.round(1e6 * epochs.get_data(copy=True)).astype(dtype)
    assert_array_equal(
        array_transformer().fit_transform(X), array_transformer().fit_transform(X.astype(float))
    )


def test_a_read_only_array_at_the_rate_of_the_model_is_left_alone(transformer):
    X = np.random.default_rng(0).normal(0, 20, (2, 4, 400)).astype(np.float32)
    X.flags.writeable = False
    estimator = array_transformer(sfreq=200.0).fit(X)
    assert np.isfinite(estimator.transform(X)).all()
    assert estimator.reconstruct(X).get_data().shape == X.shape


@pytest.fixture
def on_disk(tmp_path):
    """A recording in a file, with one event a second."""
    rng = np.random.default_rng(0)
    info = mne.create_info(NAMES, 200.0, "eeg")
    raw = mne.io.RawArray(2e-5 * rng.standard_normal((4, 200 * 130)), info, verbose="error")
    raw.filter(0.5, 44.5, verbose="error")
    raw.save(tmp_path / "some_raw.fif", verbose="error")
    raw = mne.io.read_raw_fif(tmp_path / "some_raw.fif", verbose="error")
    events = np.column_stack([200 * np.arange(128), np.zeros(128, int), np.ones(128, int)])

    def read(n_trials=128, **parameters):
        given = dict(tmin=0.0, tmax=1.0 - 1 / 200, baseline=None, verbose="error") | parameters
        return mne.Epochs(raw, events[:n_trials], **given)

    return read


def test_epochs_on_disk_are_the_preloaded_ones(on_disk):
    fitted = NeuroRVQTransformer(TINY).fit(on_disk(20))
    preloaded = on_disk(20, preload=True)
    assert_array_equal(fitted.transform(on_disk(20)), fitted.transform(preloaded))
    assert_array_equal(fitted.tokenize(on_disk(20)).codes, fitted.tokenize(preloaded).codes)


def test_trials_that_reject_drops_are_left_out(on_disk):
    limit = dict(eeg=np.quantile(np.ptp(on_disk(20).get_data(verbose="error"), axis=-1), 0.9))
    lazy, preloaded = on_disk(20, reject=limit), on_disk(20, reject=limit, preload=True)
    assert 0 < len(preloaded) < 20
    tokens = NeuroRVQTransformer(TINY).fit(lazy).tokenize(lazy)
    assert_array_equal(tokens.events, preloaded.events)


def test_fitting_leaves_epochs_as_they_were(on_disk, epochs):
    lazy = on_disk(8)
    NeuroRVQTransformer(TINY).fit(lazy).reconstruct(lazy)
    assert not lazy.preload
    with pytest.raises(RuntimeError, match="bad epochs have not been dropped"):
        len(lazy)
    copy = epochs.copy()
    NeuroRVQTransformer(TINY).fit(epochs).reconstruct(epochs)
    assert_array_equal(copy.get_data(), epochs.get_data())
    assert not object_diff(copy.info, epochs.info)
    assert_array_equal(copy.events, epochs.events)
    assert copy.metadata.equals(epochs.metadata)


def test_memory_does_not_grow_with_the_number_of_trials_on_disk(on_disk):
    fitted = NeuroRVQTransformer(TINY, output="histogram", batch_size=1, memory=None)
    fitted.fit(on_disk(2))

    def peak(n_trials):
        some = on_disk(n_trials).drop_bad()
        tracemalloc.start()
        fitted.transform(some)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(128)  # what is imported or cached on first use does not count
    size_of_the_trials = 96 * 4 * 200 * 8
    assert peak(128) - peak(32) < size_of_the_trials / 4


def generator_states():
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002


def test_random_generators_are_left_untouched(epochs, tmp_path, tiny):
    from mne_neurorvq.weights import save_pretrained

    folder = save_pretrained(tmp_path / "model", tiny.tokenizer, tiny.foundation)
    before = generator_states()
    for name in (TINY, str(folder)):
        fitted = NeuroRVQTransformer(name).fit(epochs)
        fitted.transform(epochs)
        fitted.reconstruct(epochs)
    after = generator_states()
    assert before[0] == after[0]
    assert str(before[1]) == str(after[1])
    assert torch.equal(before[2], after[2])


def test_the_network_is_not_touched(epochs, monkeypatch):
    def refuse(*args):
        raise AssertionError(f"tried to reach {args}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    NeuroRVQTransformer("neurorvq-eeg")  # would be downloaded, but only by fit
    NeuroRVQTransformer(TINY).fit(epochs).reconstruct(epochs)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sample_that_is_no_number_is_named_by_trial_and_channel(epochs, value):
    epochs.get_data(copy=False)[4, 2, 17] = value
    singles = [epochs[i] for i in range(len(epochs))]
    array = 1e6 * epochs.get_data(copy=True)
    fitted = array_transformer().fit(epochs[:4])
    for X in (epochs, singles, array):
        for method in (fitted.transform, fitted.tokenize, fitted.reconstruct):
            with pytest.raises(ValueError, match="Trial 4, channel 'C4' contains NaN or inf"):
                method(X)


def test_samples_under_a_mask_are_missing_not_zero(epochs):
    X = np.ma.masked_array(1e6 * epochs.get_data(copy=True))
    assert array_transformer().fit_transform(X).shape == (6, 4 * 3 * 800)
    X[3, 1, 5] = np.ma.masked
    with pytest.raises(ValueError, match="Trial 3, channel 'Cz'"):
        array_transformer().fit_transform(X)
    coarse = np.ma.masked_array(np.ones((1, 4, 320), int))
    coarse[0, 0, 0] = np.ma.masked
    with pytest.raises(ValueError, match="Trial 0, channel 'C3'"):
        array_transformer().fit_transform(coarse)


def test_a_bad_channel_may_hold_anything(epochs):
    epochs.get_data(copy=False)[:, 3] = np.nan
    epochs.info["bads"] = ["Pz"]
    with pytest.warns(UserWarning, match=r"1 of 4 channels .* 'Pz' \(marked bad\)"):
        fitted = NeuroRVQTransformer(TINY).fit(epochs)
    assert fitted.ch_names_ == ("C3", "Cz", "C4")
    assert np.isfinite(fitted.transform(epochs)).all()


def test_a_channel_that_turns_bad_after_fit_is_used_and_named(epochs):
    fitted = NeuroRVQTransformer(TINY).fit(epochs)
    expected = fitted.transform(epochs)
    epochs.info["bads"] = ["C4"]
    with pytest.warns(UserWarning, match="C4 marked bad in X.*interpolate_bads"):
        assert_array_equal(fitted.transform(epochs), expected)


def test_microvolts_in_epochs_are_refused(epochs):
    wrong = mne.EpochsArray(1e6 * epochs.get_data(), epochs.info, verbose="error")
    with pytest.raises(ValueError, match="looks like microvolts stored as volts"):
        NeuroRVQTransformer(TINY).fit(wrong)
    fitted = NeuroRVQTransformer(TINY).fit(epochs)
    with pytest.raises(ValueError, match="looks like microvolts stored as volts"):
        fitted.transform(wrong)


def test_volts_in_an_array_of_microvolts_are_refused(epochs):
    with pytest.raises(ValueError, match=r"'uV'.*looks like volts: pass unit='V'"):
        array_transformer().fit(epochs.get_data())


def test_channels_of_other_kinds_are_left_out_and_named(make_epochs):
    mixed = make_epochs(
        ch_names=("C3", "STI 014", "C4", "HEOG"), ch_types=["eeg", "stim", "eeg", "eog"]
    )
    with pytest.warns(UserWarning, match="2 of 4 channels.*'STI 014'.*'HEOG'"):
        fitted = NeuroRVQTransformer(TINY).fit(mixed)
    assert fitted.ch_names_ == ("C3", "C4")
    assert [match.name for match in fitted.channel_report_] == mixed.ch_names
    assert_allclose(
        fitted.transform(mixed), NeuroRVQTransformer(TINY).fit_transform(mixed.pick(["C3", "C4"]))
    )


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (["EEG FP1-REF", "EEG T3-LE", "EEG O1-REF"], ["fp1", "t3", "o1"]),
        (["Fc5.", "C3..", "Iz.."], ["fc5", "c3", "iz"]),
        (["T7", "P8", "M1"], ["t7", "p8", "a1"]),
    ],
)
def test_names_of_other_habits_are_understood(names, rows):
    X = np.random.default_rng(0).normal(0, 20, (1, 3, 200))
    fitted = array_transformer(sfreq=200.0, ch_names=names).fit(X)
    assert fitted.ch_names_ == tuple(names)
    vocabulary = fitted.config_.channels
    assert [vocabulary[row] for row in fitted.tokenize(X).channel_rows] == rows


def test_a_montage_without_a_known_name_is_refused():
    X = np.random.default_rng(0).normal(0, 20, (1, 2, 200))
    for names in (["Fp1-F7", "C3-P3"], ["E1", "E2"]):
        with pytest.raises(ValueError, match=f"None of the 2 channels.*{names[0]}"):
            array_transformer(sfreq=200.0, ch_names=names).fit(X)


def test_strict_channels_let_none_be_left_out(make_epochs):
    mixed = make_epochs(ch_names=("C3", "C4", "E77"))
    with pytest.raises(ValueError, match=r"channels='strict'.*'E77'"):
        NeuroRVQTransformer(TINY, channels="strict").fit(mixed)
    assert NeuroRVQTransformer(TINY, channels="strict").fit(mixed.pick(["C3", "C4"]))


def test_unknown_names_take_the_nearest_known_sites(make_epochs):
    known = make_epochs(ch_names=("C3", "C4", "Cz", "Pz")).set_montage(standard_montage())
    unknown = known.copy().rename_channels({"C3": "E1", "C4": "E2"})
    fitted = NeuroRVQTransformer(TINY, channels="nearest").fit(unknown)
    assert [match.target for match in fitted.channel_report_] == ["c3", "c4", "cz", "pz"]
    assert_array_equal(fitted.transform(unknown), NeuroRVQTransformer(TINY).fit_transform(known))


@pytest.fixture
def labelled_cap():
    """Trials of a cap whose electrodes have labels, not names of sites."""
    montage = mne.channels.make_standard_montage("biosemi128")
    info = filtered_info(montage.ch_names, 160.0)
    rng = np.random.default_rng(0)
    # Neighbours have much in common, as on a head.
    sources = 2e-5 * rng.standard_normal((6, 4, 320))
    mixing = np.array(list(montage.get_positions()["ch_pos"].values())) @ rng.normal(size=(3, 4))
    signals = 10 * mixing @ sources + 1e-6 * rng.standard_normal((6, 128, 320))
    events = np.column_stack([np.arange(6), np.zeros(6, int), [1, 2] * 3])
    return mne.EpochsArray(signals, info, events, verbose="error").set_montage(montage)


def test_sites_are_computed_wherever_trials_are_read(labelled_cap):
    fitted = NeuroRVQTransformer(TINY, channels="interpolate", pool="time").fit(labelled_cap)
    assert fitted.ch_names_[:3] == ("Fp1", "Fpz", "Fp2")
    assert len(fitted.ch_names_) == 62
    features = fitted.transform(labelled_cap)
    assert features.shape == (6, 62 * 800)
    assert fitted.get_feature_names_out()[0].startswith("Fp1_")
    singles = [labelled_cap[i] for i in range(6)]
    assert_array_equal(fitted.transform(singles), features)
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(labelled_cap), features)
    turned = labelled_cap.copy().reorder_channels(labelled_cap.ch_names[::-1])
    assert_allclose(fitted.transform(turned), features, atol=1e-5)
    # The same as computing the sites before.
    by_hand = with_sites(as_trials(labelled_cap), fitted._fitted.splines).read(
        picks=range(128, 190)
    )
    as_named = array_transformer(ch_names=fitted.ch_names_, unit="V", pool="time")
    assert_allclose(as_named.fit_transform(by_hand), features, atol=1e-5)


def test_a_reconstruction_has_the_sites_that_were_computed(labelled_cap):
    labelled_cap.info["description"] = "somebody"
    fitted = NeuroRVQTransformer(TINY, channels="interpolate").fit(labelled_cap)
    restored = fitted.reconstruct(labelled_cap)
    assert tuple(restored.ch_names) == fitted.ch_names_
    assert restored.info["description"] == "somebody"
    assert restored.get_data().shape == (6, 62, 320)
    assert_array_equal(restored.events, labelled_cap.events)
    where = restored.get_montage().get_positions()["ch_pos"]
    assert where["O1"][1] < -0.05 < 0.05 < where["Fp1"][1]
    assert fitted.tokenize(labelled_cap).left_out == ()


def test_a_bad_channel_is_computed_from_the_others():
    montage = mne.channels.make_standard_montage("biosemi64")
    info = filtered_info(montage.ch_names, 160.0)
    signals = 2e-5 * np.random.default_rng(0).standard_normal((2, 64, 320))
    signals[:, montage.ch_names.index("Cz")] = np.nan
    epochs = mne.EpochsArray(signals, info, verbose="error").set_montage(montage)
    epochs.info["bads"] = ["Cz"]
    fitted = NeuroRVQTransformer(TINY, channels="interpolate").fit(epochs)
    assert fitted.ch_names_[-1] == "Cz"
    restored = fitted.reconstruct(epochs)
    assert restored.info["bads"] == []
    assert np.isfinite(restored.get_data()).all()
    assert_allclose(
        restored.get_montage().get_positions()["ch_pos"]["F3"],
        epochs.get_montage().get_positions()["ch_pos"]["F3"],
        atol=1e-6,
    )
    epochs.info["bads"] = ["Cz", "FC1"]
    with pytest.warns(UserWarning, match="FC1 marked bad in X"):
        fitted.transform(epochs)


def test_only_current_source_density_or_only_bad_channels_get_advice_that_helps():
    epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    density = mne.preprocessing.compute_current_source_density(epochs)
    for model in (NeuroRVQTransformer(TINY), BioCodecTransformer("biocodec-eeg-tiny-random")):
        with pytest.raises(ValueError, match="before compute_current_source_density") as error:
            model.fit(density)
        assert "ename" not in str(error.value)
    epochs.info["bads"] = epochs.ch_names
    for mode in ("match", "strict", "nearest", "interpolate"):
        with pytest.raises(ValueError, match=r"marked bad\)\. Take those that are good") as error:
            NeuroRVQTransformer(TINY, channels=mode).fit(epochs)
        assert "ename" not in str(error.value)
    with pytest.raises(ValueError, match=r"marked bad\)\. Take those that are good"):
        BioCodecTransformer("biocodec-eeg-tiny-random").fit(epochs)


def test_current_source_density_is_refused_in_lists_and_after_fit():
    epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    density = mne.preprocessing.compute_current_source_density(epochs)
    for items in ([epochs, density], [density, epochs]):
        with pytest.raises(
            ValueError, match=r"Item 1 of X .* before compute_current_source"
        ) as error:
            NeuroRVQTransformer(TINY).fit(items)
        assert "set_channel_types" not in str(error.value)
    names = epochs.ch_names
    array = 1e6 * epochs.get_data()
    of_array = array_transformer(sfreq=epochs.info["sfreq"], ch_names=names).fit(array)
    codec = BioCodecTransformer("biocodec-eeg-tiny-random")
    with pytest.warns(UserWarning, match="filtered to"):
        codec.fit(epochs)
    for fitted in (NeuroRVQTransformer(TINY).fit(epochs), codec, of_array):
        with pytest.raises(ValueError, match=r"type 'csd' holds no EEG.* before compute_current"):
            fitted.transform(density)


def test_channels_that_the_model_uses_keep_their_types_after_fit(epochs, tmp_path):
    fitted = NeuroRVQTransformer(TINY).fit(epochs)
    expected = fitted.transform(epochs)
    for model in (fitted, load_estimator(fitted.save(tmp_path))):
        for kind in ("ecog", "eog"):
            other = epochs.copy().set_channel_types({"C3": kind}, on_unit_change="ignore")
            with pytest.raises(ValueError, match=f"'C3' .type '{kind}'.* but fit saw type 'eeg'"):
                model.transform(other)
        untold = epochs.copy().set_channel_types(
            dict.fromkeys(epochs.ch_names, "misc"), on_unit_change="ignore"
        )
        assert_array_equal(model.transform(untold), expected)


@pytest.mark.parametrize(
    ("X", "problem"),
    [
        (np.ones((2, 4, 320)) + 1j, "[Cc]omplex"),
        (np.ones((2, 4, 320, 1)), "4D array"),
        (np.ones(320), "1D array"),
        (np.ones((0, 4, 320)), "0 sample"),
        (np.ones((2, 4, 0)), "0 feature"),
        ([np.ones((4, 320)), np.ones((4, 300))], "inhomogeneous"),
        (np.full((2, 4, 320), "a"), "numeric"),
        (None, "array"),
    ],
)
def test_what_holds_no_trials_is_refused(X, problem):
    with pytest.raises((ValueError, TypeError), match=problem):
        array_transformer().fit(X)


def test_a_recording_is_refused_with_the_remedy(epochs):
    raw = mne.io.RawArray(epochs.get_data()[0], epochs.info, verbose="error")
    with pytest.raises(TypeError, match="make_fixed_length_epochs"):
        NeuroRVQTransformer(TINY).fit(raw)
    with pytest.raises(TypeError, match="EvokedArray: trials are needed"):
        NeuroRVQTransformer(TINY).fit(epochs.average())


def test_epochs_of_another_band_cause_one_warning(make_epochs):
    narrow = make_epochs(n_times=1600).filter(8.0, 13.0, verbose="error")
    with pytest.warns(
        UserWarning, match=r"filtered to 8-13 Hz.*preprocess\(raw, pretrained\)"
    ) as caught:
        NeuroRVQTransformer(TINY).fit(narrow).transform(narrow)
    assert len(caught) == 1


@pytest.mark.parametrize("offset", [0.0, 1e-3])
def test_unfiltered_epochs_cause_one_warning_and_preprocess_ends_it(offset):
    rng = np.random.default_rng(0)
    info = mne.create_info(NAMES, 200.0, "eeg")
    raw = mne.io.RawArray(2e-5 * rng.standard_normal((4, 4000)) + offset, info, verbose="error")
    epochs, filtered = (
        mne.make_fixed_length_epochs(recording, 2.0, preload=True, verbose="error")
        for recording in (raw, preprocess(raw, TINY))
    )
    with pytest.warns(
        UserWarning, match=r"hold 0-100 Hz.*trained on 0\.5-44\.5 Hz.*preprocess\(raw, pretrained\)"
    ) as caught:
        NeuroRVQTransformer(TINY).fit(epochs).transform(epochs)
    assert len(caught) == 1
    fitted = NeuroRVQTransformer(TINY).fit(filtered)
    fitted.transform(filtered)
    with pytest.warns(UserWarning, match="hold 0-100 Hz"):
        fitted.transform(epochs)


@pytest.mark.parametrize("sfreq", [199.99, 249.99])
def test_windows_of_minutes_at_a_rate_near_the_models_have_its_patches(make_epochs, sfreq):
    epochs = make_epochs(2, round(200 * sfreq), sfreq, ("Cz",))
    transformer = NeuroRVQTransformer(TINY).fit(epochs)
    tokens = transformer.tokenize(epochs)
    assert tokens.shape[2] == 200
    assert tokens.overlap == 0
    assert tokens.patch_times[-1] == 199
    restored = transformer.reconstruct(epochs)
    assert restored.get_data().shape == epochs.get_data().shape
    assert restored.info["sfreq"] == sfreq


@pytest.mark.parametrize("proj", [True, False, "delayed"])
def test_epochs_with_projections_and_baseline_are_read_as_mne_reads_them(proj):
    rng = np.random.default_rng(0)
    info = mne.create_info(NAMES, 200.0, "eeg")
    raw = mne.io.RawArray(2e-5 * rng.standard_normal((4, 4000)), info, verbose="error")
    raw.filter(0.5, 44.5, verbose="error")
    raw.set_eeg_reference("average", projection=True, verbose="error")
    events = np.array([[400, 0, 1], [1200, 0, 1], [2000, 0, 1]])
    lazy = mne.Epochs(
        raw, events, tmin=-0.5, tmax=1.0, baseline=(None, 0), proj=proj, verbose="error"
    )
    X = 1e6 * lazy.copy().load_data().get_data()
    waits = proj is not True
    with pytest.warns(UserWarning, match="not applied") if waits else nullcontext():
        found = NeuroRVQTransformer(TINY).fit_transform(lazy)
    assert_allclose(found, array_transformer(sfreq=200.0).fit_transform(X), atol=1e-5)


def referenced(epochs):
    return epochs.copy().set_eeg_reference("average", projection=True, verbose="error")


def test_projectors_that_wait_are_named_once(epochs):
    waiting = referenced(epochs)
    with pytest.warns(UserWarning, match=r"'Average EEG reference'.*apply_proj\(\)") as caught:
        NeuroRVQTransformer(TINY).fit_transform(waiting)
    assert len(caught) == 1
    applied = waiting.copy().apply_proj(verbose="error")
    fitted = NeuroRVQTransformer(TINY).fit(applied)
    with pytest.warns(UserWarning, match="not applied"):
        fitted.transform(waiting)
    with pytest.raises(ValueError, match="X mixes references: item 0 has 'Average EEG reference'"):
        fitted.transform([applied[:2], waiting[2:]])


def test_projectors_of_other_channels_may_wait(make_epochs):
    mixed = make_epochs(ch_names=("C3", "EMG1", "EMG2"), ch_types=["eeg", "emg", "emg"])
    parts = {"row_names": None, "col_names": ["EMG1", "EMG2"], "nrow": 1, "ncol": 2}
    vector = mne.Projection(
        active=False, data=dict(parts, data=np.ones((1, 2))), desc="of the arm", kind=1
    )
    mixed.add_proj(vector, verbose="error")
    with pytest.warns(UserWarning, match="2 of 3 channels are left out") as caught:
        NeuroRVQTransformer(TINY).fit(mixed)
    assert len(caught) == 1


def test_trials_that_were_all_rejected_are_said_to_be(epochs):
    rejected = epochs.copy().drop_bad({"eeg": 1e-9}, verbose="error")
    for X in (rejected, [rejected], as_array_like(rejected)):
        with pytest.raises(ValueError, match=r"all 6 were rejected \(drop_log: C3 \(6\)"):
            NeuroRVQTransformer(TINY).fit(X)
    with pytest.raises(ValueError, match="0 sample"):
        NeuroRVQTransformer(TINY).fit(epochs[:0])


@pytest.mark.parametrize("wrap", [str, Path, lambda name: [name], lambda name: [Path(name)]])
def test_a_path_is_told_to_be_read_first(wrap):
    with pytest.raises(TypeError, match=r"path 'some-epo\.fif'.*mne\.read_epochs"):
        NeuroRVQTransformer(TINY).fit(wrap("some-epo.fif"))


def test_the_arrays_of_braindecode_are_matched_by_name(epochs, expected):
    datasets = import_or_skip("braindecode.datasets", "braindecode")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # braindecode's own
        given = datasets.create_from_X_y(
            epochs.get_data(copy=True),
            [0, 1] * 3,
            drop_last_window=False,
            sfreq=epochs.info["sfreq"],
            ch_names=epochs.ch_names,
        )
    assert set(given.datasets[0].raw.get_channel_types()) == {"misc"}
    check_same(NeuroRVQTransformer(TINY), given, expected)
    split = torch.utils.data.random_split(given, [4, 2], torch.Generator().manual_seed(0))
    fitted = NeuroRVQTransformer(TINY).fit(given)
    for part in split:
        assert_array_equal(fitted.transform(part), fitted.transform(given)[part.indices])


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_flat_trial_stays_flat_and_finite(value):
    X = np.full((2, 4, 320), value)
    estimator = array_transformer()
    with pytest.warns(UserWarning, match="no signal: all 2 trials are constant"):
        assert np.isfinite(estimator.fit_transform(X)).all()
    with pytest.warns(UserWarning, match="no signal: all 2 trials are constant"):
        restored = 1e6 * estimator.reconstruct(X).get_data()
    assert np.isfinite(restored).all()
    if value == 0:
        assert np.abs(restored).max() < 1e-3


def test_the_offset_of_an_amplifier_causes_one_warning(epochs):
    volts = epochs.get_data() + 1e-3
    shifted = mne.EpochsArray(volts, epochs.info, verbose="error")
    with pytest.warns(UserWarning, match=r"V from zero, .*preprocess\(raw, pretrained\)") as caught:
        transformer = NeuroRVQTransformer(TINY).fit(shifted)
    assert len(caught) == 1
    transformer.transform(shifted)  # says it no more


def test_arrays_far_from_zero_warn_as_epochs_do(epochs):
    X = 1e6 * epochs.get_data() + 2e4
    with pytest.warns(
        UserWarning, match=r"uV from zero, .*preprocess\(raw, pretrained\)"
    ) as caught:
        array_transformer().fit(X).transform(X)
    assert len(caught) == 1


@pytest.mark.parametrize("kind", [NeuroRVQTransformer, BrainRVQTransformer])
def test_a_loud_channel_is_named_once_by_fit_or_by_what_meets_it_first(kind, epochs):
    model = kind(kind().pretrained.replace("small", "tiny-random"))
    filtered_for(epochs, kind._system)
    loud = epochs.copy()
    loud._data[:, 2] *= 100
    with pytest.warns(UserWarning, match=r"look broken: 'C4' \(\d+ times") as caught:
        model.fit(loud).reconstruct(loud)
    assert len(caught) == 1
    model.fit(epochs)
    with pytest.warns(UserWarning, match=r"look broken: 'C4' \(\d+ times"):
        model.transform(loud)


def test_a_loud_channel_spoils_no_other_code_of_a_codec_of_single_channels(epochs):
    model = BioCodecTransformer("biocodec-eeg-tiny-random")
    model.fit(filtered_for(epochs, "biocodec"))
    loud = epochs.copy()
    loud._data[:, 2] *= 128  # of the same bits
    assert_array_equal(model.tokenize(loud).codes, model.tokenize(epochs).codes)


def test_one_recording_of_four_in_another_unit_is_named(make_epochs):
    items = [make_epochs(seed=i) for i in range(4)]
    fitted = NeuroRVQTransformer(TINY).fit(items)
    items[3].apply_function(lambda x: 1e3 * x)
    for method in (NeuroRVQTransformer(TINY).fit, fitted.transform, fitted.reconstruct):
        with pytest.raises(ValueError, match=r"Item 3: .* multiply item 3 by 1e-3"):
            method(items)


@pytest.mark.parametrize(
    "kind", [NeuroRVQTransformer, BrainRVQTransformer, BioCodecTransformer, NeuroRVQClassifier]
)
def test_trials_without_signal_are_named(kind, make_epochs):
    name = kind().pretrained.replace("small", "tiny-random")
    epochs = filtered_for(make_epochs(n_trials=80), kind._system)
    epochs._data[[3, 40, 41]] = 0
    if kind is NeuroRVQClassifier:
        fit = partial(kind(name, max_epochs=1).fit, y=np.arange(80) % 2)
    else:
        fit = kind(name).fit_transform
    with pytest.warns(UserWarning, match=r"Trials 3, 40-41 of 80 are constant.*drop") as caught:
        fit(epochs)
    assert len(caught) == 1


def test_reading_runs_one_batch_ahead_and_no_further():
    read, second = [], threading.Event()

    def batches():
        for number in range(5):
            read.append(number)
            if number == 1:
                second.set()
            yield number

    ahead = read_ahead(batches())
    assert next(ahead) == 0
    assert second.wait(timeout=60)  # nobody has asked for it yet
    assert read == [0, 1]
    assert next(ahead) == 1
    assert max(read) <= 2
    ahead.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("read-ahead")]


def test_an_error_of_reading_comes_where_the_batch_is_asked_for():
    def batches():
        yield 0
        raise ValueError("broken")

    ahead = read_ahead(batches())
    assert next(ahead) == 0
    with pytest.raises(ValueError, match="broken"):
        next(ahead)
