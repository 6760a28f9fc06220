# License: BSD-3-Clause
"""BioCodec's transformer: the codes of the codec, of any montage and length, at any gain."""

from __future__ import annotations

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq import BioCodecTransformer, NeuroRVQTransformer, Tokens, load_pretrained
from mne_neurorvq.estimators import biocodec_estimators
from mne_neurorvq.signals import resample
from mne_neurorvq.weights import save_pretrained

TINY = "biocodec-eeg-tiny-random"
NAMES = ["one", "two", "three"]
RATE = 250.0
N_LEVELS = 3


def make(pretrained=TINY, **parameters):
    return BioCodecTransformer(pretrained, **({"ch_names": NAMES, "sfreq": RATE} | parameters))


@pytest.fixture
def band():
    return 0.5, 100.0


@pytest.fixture(scope="module")
def model():
    """The codec itself; not to be changed."""
    return load_pretrained(TINY).tokenizer


@pytest.fixture(scope="module")
def X():
    gains = np.random.default_rng(1).uniform(5, 50, (6, 3, 1))
    return gains * np.random.default_rng(0).standard_normal((6, 3, 500))


@pytest.fixture(scope="module")
def fitted(X):
    return make().fit(X)


def scaled(X):
    """Subtract the median of each channel and divide by its interquartile range."""
    low, centre, high = np.percentile(X, (25, 50, 75), axis=-1, keepdims=True)
    return (X - centre) / (high - low)


def codes_of(model, X):
    with torch.inference_mode():
        return model.encode(torch.tensor(scaled(X), dtype=torch.float32))[0].numpy()


# What comes out


def test_codes_are_those_of_the_codec_on_scaled_channels(model, fitted, X):
    tokens = fitted.tokenize(X)
    assert_array_equal(tokens.codes, codes_of(model, X))
    assert tokens.shape == (6, 3, 42, 1, N_LEVELS)
    assert len(np.unique(tokens.codes)) == 16
    flat = fitted.set_params(output="tokens").transform(X)
    fitted.set_params(output="embedding")
    assert flat.dtype == np.int32
    assert_array_equal(flat, tokens.codes.reshape(6, -1))


def test_side_information_is_centre_and_scale_in_microvolts(fitted, X):
    low, centre, high = np.percentile(X, (25, 50, 75), axis=-1)
    side = fitted.tokenize(X).side
    assert_allclose(side, np.stack([centre, high - low], axis=-1), rtol=1e-6)


def test_the_sum_of_all_levels_is_what_the_decoder_gets(model, X, fitted):
    codes = torch.tensor(codes_of(model, X)).flatten(0, 2).movedim(1, 0)
    with torch.inference_mode():
        vectors = model.quantizer.decode(codes)[0].reshape(6, 3, 42, -1).numpy()
    found = make(pool="none").fit_transform(X).reshape(vectors.shape)
    assert_allclose(found, vectors, atol=1e-6)
    # The last of 42 patches reaches four samples beyond the 500.
    weights = np.append(np.ones(41), 8 / 12)
    pooled = np.average(vectors, axis=2, weights=weights).mean(axis=1)
    assert_allclose(make(pool="mean").fit_transform(X), pooled, atol=1e-6)


@pytest.mark.parametrize("levels", [[0], [1, 2], [2, 0], np.array([1]), (0, 1, 2)], ids=str)
def test_levels_are_chosen_and_combined_by_name(X, levels):
    every = make(combine="concatenate", pool="time").fit(X)
    table = pd.DataFrame(every.transform(X), columns=every.get_feature_names_out())
    chosen = make(combine="concatenate", pool="time", levels=levels).fit(X)
    names = chosen.get_feature_names_out()
    assert_array_equal(chosen.transform(X), table[names].to_numpy())
    assert len(names) == len(levels) * table.shape[1] / N_LEVELS
    summed = make(combine="sum", pool="time", levels=levels).fit(X)
    parts = chosen.transform(X).reshape(6, 3, len(levels), -1)
    assert_allclose(summed.transform(X).reshape(6, 3, -1), parts.sum(axis=2), atol=1e-5)
    assert summed.transform(X).shape[1] == len(summed.get_feature_names_out())


@pytest.mark.parametrize("output", ["tokens", "histogram"])
def test_levels_are_chosen_among_codes_as_well(X, output):
    every = make(output=output, pool="time").fit(X)
    table = pd.DataFrame(every.transform(X), columns=every.get_feature_names_out())
    some = make(output=output, pool="time", levels=[2, 1]).fit(X)
    found = some.set_output(transform="pandas").transform(X)
    pd.testing.assert_frame_equal(found, table[found.columns])
    assert {name.split("_level")[1][0] for name in found.columns} == {"1", "2"}


def test_tokens_keep_all_levels_whatever_is_shown(fitted, X):
    some = make(levels=[2]).fit(X)
    assert some.tokenize(X) == fitted.tokenize(X)
    assert_array_equal(some.reconstruct(X).get_data(), fitted.reconstruct(X).get_data())


# Gain, offset and unit


@pytest.mark.parametrize("gain", [2.0, 2.0**-5, -4.0])
def test_codes_do_not_change_at_all_with_a_gain_that_is_a_power_of_two(fitted, X, gain):
    found = fitted.tokenize(gain * X).codes
    assert_array_equal(found, fitted.tokenize(np.sign(gain) * X).codes)


@settings(max_examples=15)
@given(gain=st.floats(0.05, 20), offset=st.floats(-1e4, 1e4))
def test_codes_hardly_change_with_any_gain_and_offset(fitted, X, gain, offset):
    changed = gain * X + offset * np.ones((1, 3, 1))
    assert (fitted.tokenize(changed).codes == fitted.tokenize(X).codes).mean() > 0.99


def test_codes_of_a_fifth_more_gain_agree(fitted, X):
    assert (fitted.tokenize(1.2 * X).codes == fitted.tokenize(X).codes).mean() > 0.99
    assert_allclose(fitted.transform(1.2 * X), fitted.transform(X), atol=1e-2)


def test_an_offset_far_beyond_single_precision_changes_no_code(fitted, X):
    assert_array_equal(fitted.tokenize(X + 1e7).codes, fitted.tokenize(X).codes)


def test_volts_give_the_codes_of_microvolts(fitted, X):
    volts = make(unit="V").fit(1e-6 * X).tokenize(1e-6 * X)
    assert_array_equal(volts.codes, fitted.tokenize(X).codes)
    assert_allclose(volts.side, fitted.tokenize(X).side, rtol=1e-6)


def test_what_is_decoded_has_the_gain_and_offset_of_what_was_encoded(fitted, X):
    restored = fitted.reconstruct(X).get_data()
    assert_allclose(fitted.reconstruct(4 * X + 100).get_data(), 4 * restored + 1e-4, atol=1e-9)


def test_a_scale_learned_in_fit_leaves_gain_in_the_codes(X):
    learned = make(scaling="fit").fit(X)
    codes = learned.tokenize(X).codes
    louder = (learned.tokenize(1.2 * X).codes == codes).mean()
    assert 0.2 < louder < 0.97
    # Trained on louder trials the gain is part of the scale again.
    assert_array_equal(make(scaling="fit").fit(2 * X).tokenize(2 * X).codes, codes)
    low, centre, high = np.quantile(
        X.swapaxes(0, 1).reshape(3, -1), (0.25, 0.5, 0.75), axis=1, method="inverted_cdf"
    )
    assert_array_equal(learned.centre_, centre)
    assert_array_equal(learned.scale_, high - low)
    assert_allclose(learned.tokenize(X[:2]).side, np.stack([[centre, high - low]] * 2).mT)


def test_a_learned_scale_comes_back_in_volts(X):
    learned = make(scaling="fit").fit(X)
    tokens = learned.tokenize(X)
    assert_array_equal(learned.reconstruct(X).get_data(), make().detokenize(tokens).get_data())


def test_the_scale_is_learned_from_all_trials_however_many_are_read_at_a_time(X, monkeypatch):
    expected = make(scaling="fit").fit(X)
    monkeypatch.setattr(biocodec_estimators, "_TRIALS_PER_READ", 4)
    monkeypatch.setattr("mne_neurorvq.encoding.passes._IN_MEMORY", 0)
    found = make(scaling="fit").fit(X)
    assert_array_equal(found.scale_, expected.scale_)
    assert_array_equal(found.centre_, expected.centre_)


# What hardly moves, and what moves too much


def test_a_constant_channel_comes_back_as_it_was(X, fitted):
    quiet = X.copy()
    quiet[1, 2] = 7.0
    tokens = fitted.tokenize(quiet)
    assert_array_equal(tokens.side[1, 2], [7, 0])
    restored = fitted.reconstruct(quiet).get_data()
    assert_allclose(restored[1, 2], 7e-6, rtol=1e-6)
    others = np.ones((6, 3), bool)
    others[1, 2] = False
    assert_array_equal(tokens.codes[others], fitted.tokenize(X).codes[others])
    assert np.isfinite(fitted.transform(quiet)).all()


def test_rounding_of_a_resampled_constant_is_no_signal():
    constant = np.full((1, 3, 640), 123.4)
    fitted = make(sfreq=160.0).fit(constant)
    with pytest.warns(UserWarning, match="no signal: its only trial is constant"):
        tokens = fitted.tokenize(constant)
    assert_array_equal(tokens.side[..., 1], 0)


@pytest.mark.parametrize("gain", [1.0, 8.0])
def test_a_channel_without_interquartile_range_is_divided_by_its_deviation(X, fitted, gain):
    blinks = np.zeros((6, 3, 500))
    blinks[..., 100:150] = 20 * np.hanning(50)
    side = fitted.tokenize(gain * blinks).side
    assert_allclose(side[..., 1], gain * blinks.std(axis=-1), rtol=1e-6)
    assert_array_equal(fitted.tokenize(gain * blinks).codes, fitted.tokenize(blinks).codes)
    assert np.isfinite(fitted.reconstruct(blinks).get_data()).all()


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from([0.0, 1.0, -1.0, 1e-9, 3e8, -1e14, 123.4]), min_size=1, max_size=30)
)
def test_nothing_becomes_infinite_or_undefined(samples):
    window = np.array(samples)[None, None]
    embedding = make(ch_names=["Cz"], pool="none")
    if np.ptp(window) and np.std(window) < 1e-3:
        with pytest.raises(ValueError, match="less than amplifiers add of themselves"):
            embedding.fit(window)
        return
    embedding.fit(window)
    tokens = embedding.tokenize(window)
    assert np.isfinite(tokens.side).all()
    assert np.isfinite(embedding.transform(window)).all()
    assert np.isfinite(embedding.reconstruct(window).get_data()).all()


def test_a_channel_constant_in_fit_is_silent_and_may_not_wake(X):
    quiet = X.copy()
    quiet[:, 1] = 3.0
    with pytest.warns(UserWarning, match=r"two constant in all trials.*scaling='fit'"):
        learned = make(scaling="fit").fit(quiet)
    assert_allclose(learned.reconstruct(quiet).get_data()[:, 1], 3e-6, rtol=1e-6)
    elsewhere = quiet.copy()
    elsewhere[:, 1] = 100.0
    assert_allclose(learned.reconstruct(elsewhere).get_data()[:, 1], 1e-4, rtol=1e-6)
    woken = quiet.copy()
    woken[4, 1] = X[4, 1]
    with pytest.raises(ValueError, match=r"Trial 4, channel 'two' moves, but was constant"):
        learned.tokenize(woken)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("scaling", ["trial", "fit"])
def test_samples_that_are_no_numbers_are_found(X, value, scaling):
    broken = X.copy()
    broken[2, 1, 30] = value
    with pytest.raises(ValueError, match=r"Trial 2, channel 'two' contains NaN or inf"):
        make(scaling=scaling).fit(broken).transform(broken)


def test_volts_said_to_be_microvolts_are_refused(X):
    with pytest.raises(ValueError, match="looks like volts: pass unit='V'"):
        make().fit(1e-6 * X)
    with pytest.raises(ValueError, match="'au' cannot be converted to 'uV'"):
        make(unit="au").fit(X)


# Channels


def test_any_channel_is_used_by_its_own_name(fitted, X):
    assert fitted.ch_names_ == tuple(NAMES)
    assert [(m.target, m.row, m.how) for m in fitted.channel_report_] == [
        ("one", 0, "any"),
        ("two", 1, "any"),
        ("three", 2, "any"),
    ]


def test_channels_of_other_types_and_bad_ones_are_left_out_with_one_warning(make_epochs):
    names = ("EOG 1", "C3", "blue", "TRIG", "Pz-A1")
    epochs = make_epochs(ch_names=names, ch_types=["eog", "eeg", "eeg", "stim", "eeg"])
    epochs.info["bads"] = ["blue"]
    with pytest.warns(UserWarning, match=r"3 of 5 channels are left out") as caught:
        fitted = BioCodecTransformer(TINY).fit(epochs)
    assert len(caught) == 1
    assert fitted.ch_names_ == ("C3", "Pz-A1")
    tokens = fitted.tokenize(epochs)
    assert tokens.channel_rows == (1, 4)
    assert tokens.left_out == ("EOG 1", "blue", "TRIG")
    alone = BioCodecTransformer(TINY).fit(epochs.copy().pick(["C3", "Pz-A1"]))
    assert_array_equal(alone.tokenize(epochs.copy().pick(["C3", "Pz-A1"])).codes, tokens.codes)


def test_channels_do_not_see_each_other(fitted, X):
    alone = make(ch_names=["two"]).fit(X[:, 1:2]).tokenize(X[:, 1:2])
    assert_array_equal(alone.codes[:, 0], fitted.tokenize(X).codes[:, 1])


def test_another_montage_after_fit_is_refused(make_epochs):
    fitted = BioCodecTransformer(TINY).fit(make_epochs())
    with pytest.raises(ValueError, match="C4, Pz are missing"):
        fitted.transform(make_epochs().pick(["C3", "Cz"]))


# Length and rate


@pytest.mark.parametrize("n_times", [1, 2, 11, 12, 13, 36, 499])
def test_windows_of_any_length_are_one_segment_and_come_back(n_times):
    window = np.random.default_rng(0).normal(0, 20, (2, 3, n_times))
    fitted = make().fit(window)
    tokens = fitted.tokenize(window)
    assert tokens.segments == (-(-n_times // 12),)
    assert tokens.padding == -n_times % 12
    assert tokens.overlap == 0
    assert fitted.reconstruct(window).get_data().shape == window.shape
    assert fitted.transform(window).shape == (2, 3 * 3 * 16)


def test_a_window_at_another_rate_is_resampled_first(fitted, X):
    slow = resample(X, RATE, 200.0)
    tokens = make(sfreq=200.0).fit(slow).tokenize(slow)
    assert_array_equal(tokens.codes, fitted.tokenize(resample(slow, 200.0, RATE)).codes)
    assert (tokens.sfreq, tokens.n_times, tokens.model_sfreq) == (200.0, 400, 250.0)
    assert make().detokenize(tokens).get_data().shape == slow.shape


def test_ten_minutes_are_one_window(model):
    long = np.random.default_rng(0).normal(0, 20, (1, 1, 150_000))
    fitted = make(ch_names=["Cz"]).fit(long)
    assert fitted.segmentation_.segments == (12_500,)
    # The codec is causal: what begins alike is coded alike, once the scale is the same.
    assert_array_equal(fitted.tokenize(long).codes, codes_of(model, long))


def test_windows_of_other_lengths_are_pooled_to_the_same_columns(fitted, X):
    assert_array_equal(fitted.transform(X[..., :300]), make().fit_transform(X[..., :300]))
    with pytest.raises(ValueError, match=r"windows of 25 patches, but fit saw 42"):
        make(output="tokens").fit(X).transform(X[..., :300])


# Back to signals


def test_signals_are_decoded_with_centre_and_scale(model, fitted, X):
    tokens = fitted.tokenize(X)
    with torch.inference_mode():
        unscaled = model.decode_codes(
            torch.tensor(tokens.codes).long(), torch.tensor([0.0, 1.0]).expand(6, 3, 2)
        )
    microvolts = unscaled.numpy()[..., :500] * tokens.side[..., 1:] + tokens.side[..., :1]
    assert_allclose(1e6 * fitted.reconstruct(X).get_data(), microvolts, atol=1e-4)


def test_times_events_metadata_and_positions_come_back(make_epochs):
    epochs = make_epochs(tmin=-0.5, n_times=321)
    fitted = BioCodecTransformer(TINY).fit(epochs)
    restored = fitted.reconstruct(epochs)
    assert_allclose(restored.times, epochs.times)
    assert restored.info["sfreq"] == 160.0
    assert_array_equal(restored.events, epochs.events)
    assert restored.event_id == epochs.event_id
    pd.testing.assert_frame_equal(restored.metadata, epochs.metadata)
    assert restored.get_montage().get_positions()["ch_pos"].keys() == {"C3", "Cz", "C4", "Pz"}


def test_tokens_on_disk_decode_without_fit(make_epochs, tmp_path):
    epochs = make_epochs()
    fitted = BioCodecTransformer(TINY).fit(epochs)
    fitted.tokenize(epochs).save(tmp_path / "tokens.h5")
    tokens = Tokens.load(tmp_path / "tokens.h5")
    decoded = BioCodecTransformer(TINY).detokenize(tokens[[4, 1]])
    assert_array_equal(decoded.get_data(), fitted.reconstruct(epochs[[4, 1]]).get_data())
    # 27 patches of three codes of 4 bits, and two floats, in two seconds.
    assert tokens.shape[2] == 42
    assert tokens.bits_per_second == (42 * 3 * 4 + 2 * 32) / 2


def test_a_codec_that_normalises_by_itself_comes_back_in_volts(X, tmp_path):
    from dataclasses import replace

    from mne_neurorvq.models import BioCodec

    plain = load_pretrained(TINY).tokenizer
    config = replace(plain.config, normalize=True)
    own = BioCodec(config=config).eval()
    own.load_state_dict(plain.state_dict())
    folder = save_pretrained(tmp_path / "model", own, dtype="float32")
    fitted = make(str(folder)).fit(X)
    with torch.inference_mode():
        rebuilt = own(torch.tensor(scaled(X), dtype=torch.float32)).numpy()
    low, centre, high = np.percentile(X, (25, 50, 75), axis=-1, keepdims=True)
    expected = 1e-6 * (rebuilt * (high - low) + centre)
    assert_allclose(fitted.reconstruct(X).get_data(), expected, atol=1e-10)


# Parameters and models


@pytest.mark.parametrize(
    ("parameter", "value", "remedy"),
    [
        ("output", "codes", "'embedding', 'tokens', 'histogram'"),
        ("pool", "max", "'mean', 'channel', 'time', 'thirds', 'none'"),
        ("combine", "concat", "'sum', 'concatenate'"),
        ("scaling", "recording", "'trial', 'fit'"),
        ("levels", [0, 3], "different levels of 0..2"),
        ("levels", [1, 1], "different levels of 0..2"),
        ("levels", [], "different levels of 0..2"),
        ("levels", [0.0], "different levels of 0..2"),
        ("levels", [True], "different levels of 0..2"),
        ("levels", 1, "different levels of 0..2"),
        ("levels", "all", "different levels of 0..2"),
        ("batch_size", 0, "at least 1"),
        ("device", "gpu", "'auto' or a torch device"),
        ("unit", "µV", "'V', 'mV'"),
    ],
)
def test_an_impossible_parameter_is_named_with_its_value_and_the_remedy(
    X, parameter, value, remedy
):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        make(**{parameter: value}).fit(X)
    assert f"{parameter}={value!r}" in str(caught.value)
    assert remedy in str(caught.value)


def test_a_name_given_twice_is_refused(X):
    with pytest.raises(ValueError, match="ch_names holds 'a' twice"):
        make(ch_names=["a", "b", "a"]).fit(X)


def test_each_estimator_says_whose_model_it_needs(X):
    with pytest.raises(ValueError, match=r"is a NeuroRVQ model, but BioCodecTransformer needs one"):
        make("neurorvq-eeg").fit(X)  # before a download
    with pytest.raises(ValueError, match=r"is a BioCodec model, but NeuroRVQTransformer needs one"):
        NeuroRVQTransformer(TINY, ch_names=["Cz"], sfreq=RATE).fit(X[:, :1])


def test_a_path_of_another_system_is_refused(X, tmp_path):
    folder = save_pretrained(
        tmp_path / "model", load_pretrained("neurorvq-eeg-tiny-random").tokenizer
    )
    with pytest.raises(ValueError, match=r"a BioCodec model is needed here, but .* is a NeuroRVQ"):
        make(str(folder)).fit(X)


def test_a_path_serves_as_well(X, fitted, model, tmp_path):
    folder = save_pretrained(tmp_path / "model", model, dtype="float32")
    found = make(folder).fit(X)
    assert_array_equal(found.transform(X), fitted.transform(X))
    assert found.tokenize(X).fingerprint == fitted.tokenize(X).fingerprint


def test_tokens_of_another_model_are_refused(X):
    tokens = NeuroRVQTransformer("neurorvq-eeg-tiny-random", ch_names=["Cz"], sfreq=200.0)
    tokens = tokens.fit(X[:, :1]).tokenize(X[:, :1])
    with pytest.raises(ValueError, match="codes mean nothing to another model"):
        make().detokenize(tokens)


def test_a_narrow_band_warns(make_epochs):
    epochs = make_epochs(sfreq=250.0)
    with epochs.info._unlock():
        epochs.info["lowpass"] = 45.0
    with pytest.warns(UserWarning, match=r"trained on 0\.5-100 Hz.*pretrained"):
        BioCodecTransformer(TINY).fit(epochs)


def test_an_offset_is_no_reason_to_warn(make_epochs):
    epochs = make_epochs()
    moved = epochs.copy().apply_function(lambda x: x + 1e-2)
    codes = [BioCodecTransformer(TINY).fit(e).tokenize(e).codes for e in (epochs, moved)]
    assert (codes[0] == codes[1]).mean() > 0.99


def test_a_refit_replaces_everything(make_epochs, X):
    fitted = make(scaling="fit").fit(X)
    fitted.set_params(scaling="trial", ch_names=None, sfreq=None)
    epochs = make_epochs()
    fitted.fit(epochs)
    fresh = BioCodecTransformer(TINY).fit(epochs)
    assert vars(fitted).keys() == vars(fresh).keys()
    assert_array_equal(fitted.transform(epochs), fresh.transform(epochs))


def test_another_scaling_after_fit_asks_for_another_fit(X):
    fitted = make().fit(X).set_params(scaling="fit")
    with pytest.raises(ValueError, match="scaling='trial', but now it is 'fit': fit again"):
        fitted.transform(X)


def test_output_levels_and_pool_may_change_without_another_fit(X):
    fitted = make().fit(X)
    for parameters in (
        {"output": "histogram", "levels": [1]},
        {"output": "embedding", "combine": "concatenate", "pool": "time"},
    ):
        found = fitted.set_params(**parameters).transform(X)
        assert_array_equal(found, make(**fitted.get_params()).fit_transform(X))
        assert found.shape[1] == len(fitted.get_feature_names_out())


def test_an_epochs_array_and_the_array_in_it_agree(make_epochs):
    epochs = make_epochs()
    info = mne.pick_info(epochs.info, range(4))
    array = BioCodecTransformer(TINY, ch_names=info["ch_names"], sfreq=160.0, unit="V")
    found = array.fit_transform(epochs.get_data())
    assert_array_equal(found, BioCodecTransformer(TINY).fit_transform(epochs))
