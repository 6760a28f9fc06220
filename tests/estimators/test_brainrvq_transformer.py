# License: BSD-3-Clause
"""BrainRVQ's transformer: its codes, volts from tokens alone, long windows, many channels."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import BrainRVQTransformer, NeuroRVQTransformer, Tokens, load_pretrained
from mne_neurorvq.models import BRAINRVQ_EEG
from mne_neurorvq.weights import save_pretrained

TINY = "brainrvq-eeg-tiny-random"
NAMES = ["C3", "FP1-F7", "Cz"]
N_TRIALS = 7
X = 20 * np.random.default_rng(0).standard_normal((N_TRIALS, 3, 400))  # microvolts


def make(pretrained=TINY, **parameters):
    return BrainRVQTransformer(
        pretrained, **({"ch_names": NAMES, "sfreq": 200.0, "memory": None} | parameters)
    )


@pytest.fixture
def band():
    return 0.1, 75.0


@pytest.fixture(scope="module")
def brain():
    """Both models themselves; not to be changed."""
    return load_pretrained(TINY)


@pytest.fixture(scope="module")
def fitted():
    return make().fit(X)


@pytest.fixture(scope="module")
def tokens(fitted):
    return fitted.tokenize(X)


def windows(microvolts):
    return torch.tensor(microvolts / 100, dtype=torch.float32)


def rows(names):
    return torch.tensor([BRAINRVQ_EEG.channels.index(name.lower()) for name in names])


# What comes out


def test_codes_and_features_are_those_of_the_models_in_tenths_of_millivolts(brain, fitted, tokens):
    with torch.inference_mode():
        codes, side = brain.tokenizer.encode(windows(X), rows(NAMES))
        features = brain.foundation(windows(X), rows(NAMES), return_features=True)["features"]
    assert_array_equal(tokens.codes, codes)
    assert_allclose(tokens.side, side, rtol=1e-5, atol=1e-7)
    assert tokens.shape == (N_TRIALS, 3, 2, 2, 3)
    found = make(pool="none").fit_transform(X)
    assert_allclose(found.reshape(features.shape), features, atol=1e-5)
    assert_allclose(make(pool="mean").fit_transform(X), features.mean((1, 2)), atol=1e-5)


def test_side_information_is_mean_and_deviation_of_each_patch(tokens):
    patches = X.reshape(N_TRIALS, 3, 2, 200) / 100
    expected = np.stack([patches.mean(-1), patches.std(-1, ddof=1)], axis=-1)
    assert_allclose(tokens.side, expected, rtol=1e-4, atol=1e-6)
    # Three levels of 4 bits in two codebooks, and two floats, for each second.
    assert tokens.bits_per_second == 2 * 3 * 4 + 2 * 32


def test_columns_have_names(fitted):
    names = make(pool="time").fit(X).get_feature_names_out()
    assert names[[0, -1]].tolist() == ["C3_feature_0", "Cz_feature_199"]
    flat = make(output="tokens").fit(X)
    assert flat.transform(X).dtype == np.int32
    assert flat.get_feature_names_out()[-1] == "Cz_patch1_codebook1_level2"
    histogram = make(output="histogram").fit(X)
    table = histogram.transform(X).reshape(N_TRIALS, 6, 16)
    assert_allclose(table.sum(-1), 1, rtol=1e-6)
    assert len(histogram.get_feature_names_out()) == 96


# Signals from tokens


def test_the_signals_are_those_of_the_model_in_volts(brain, fitted):
    with torch.inference_mode():
        expected = brain.tokenizer(windows(X), rows(NAMES)).numpy()
    found = fitted.reconstruct(X)
    assert_allclose(found.get_data(), 1e-4 * expected, rtol=1e-4, atol=1e-9)
    assert found.ch_names == NAMES


def test_tokens_alone_are_decoded(fitted, tokens, tmp_path):
    tokens.save(tmp_path / "tokens.h5")
    loaded = Tokens.load(tmp_path / "tokens.h5")
    assert loaded == tokens
    expected = fitted.reconstruct(X).get_data()
    assert_array_equal(BrainRVQTransformer(TINY).detokenize(loaded).get_data(), expected)
    some = BrainRVQTransformer(TINY).detokenize(loaded[[4, 1]]).get_data()
    assert_allclose(some, expected[[4, 1]], rtol=0, atol=1e-10)


@settings(max_examples=6)
@given(gain=st.floats(0.01, 100), offset=st.floats(-500, 500))
def test_what_is_decoded_has_the_mean_and_deviation_of_the_side_information(tokens, gain, offset):
    decoder = BrainRVQTransformer(TINY)
    own = decoder.detokenize(tokens).get_data()
    louder = replace(tokens, side=gain * tokens.side + np.array([offset / 100, 0]))
    found = decoder.detokenize(louder).get_data()
    assert_allclose(found, gain * own + 1e-6 * offset, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(("unit", "per_microvolt"), [("V", 1e-6), ("mV", 1e-3), ("100uV", 1e-2)])
def test_the_unit_of_arrays_changes_nothing(tokens, fitted, unit, per_microvolt):
    other = make(unit=unit).fit(per_microvolt * X)
    assert_array_equal(other.tokenize(per_microvolt * X).codes, tokens.codes)
    rebuilt = other.reconstruct(per_microvolt * X).get_data()
    assert_allclose(rebuilt, fitted.reconstruct(X).get_data(), rtol=1e-4, atol=1e-9)


def test_a_gain_is_in_the_side_information(fitted, tokens):
    assert_allclose(fitted.tokenize(3 * X).side, 3 * tokens.side, rtol=1e-4, atol=1e-6)
    loud, own = fitted.reconstruct(3 * X).get_data(), fitted.reconstruct(X).get_data()
    assert loud.std() == pytest.approx(3 * own.std(), rel=0.1)


def test_volts_taken_for_microvolts_are_refused():
    with pytest.raises(ValueError, match="looks like volts: pass unit='V'"):
        make().fit(1e-6 * X)


@pytest.mark.parametrize("value", [0.0, 50.0])
def test_a_flat_window_is_decoded_flat(fitted, value):
    flat = X.copy()
    flat[2] = value
    with pytest.warns(UserWarning, match="Trial 2 of"):
        tokens = fitted.tokenize(flat)
    assert_allclose(tokens.side[2, ..., 1], 0, atol=1e-6)
    assert_allclose(fitted.detokenize(tokens).get_data()[2], 1e-6 * value, atol=1e-9)
    with pytest.warns(UserWarning, match="Trial 2 of"):
        assert np.isfinite(fitted.transform(flat)).all()


def test_epochs_come_back_with_their_rate_times_and_events(make_epochs):
    epochs = make_epochs(n_times=777, sfreq=250.0, tmin=-0.5)
    restored = BrainRVQTransformer(TINY).fit(epochs).reconstruct(epochs)
    assert restored.get_data().shape == epochs.get_data().shape
    assert_array_equal(restored.events, epochs.events)
    assert_allclose(restored.times, epochs.times)
    assert restored.metadata.equals(epochs.metadata)


def test_the_overlapping_patch_gives_only_its_new_samples(brain, fitted):
    short = X[..., :300]
    both = np.concatenate([short[..., :200], short[..., 100:]], axis=-1)
    with torch.inference_mode():
        codes, side = brain.tokenizer.encode(windows(both), rows(NAMES))
        expected = brain.tokenizer(windows(both), rows(NAMES)).numpy()
    tokens = fitted.tokenize(short)
    assert_array_equal(tokens.codes, codes)
    assert_allclose(tokens.side, side, rtol=1e-5, atol=1e-7)
    found = fitted.detokenize(tokens).get_data()
    kept = np.concatenate([expected[..., :200], expected[..., 300:]], axis=-1)
    assert_allclose(found, 1e-4 * kept, rtol=1e-4, atol=1e-9)


# Segments and batches


def test_a_window_beyond_30_s_becomes_segments_that_know_nothing_of_each_other():
    window = 20 * np.random.default_rng(1).standard_normal((2, 2, 61 * 200 + 50))
    one = make(ch_names=["Cz", "Pz"], pool="none").fit(window)
    segments = one.segmentation_.segments
    assert segments == (21, 21, 20)
    tokens, features = one.tokenize(window), one.transform(window).reshape(2, 2, 62, 200)
    assert tokens.side.shape == (2, 2, 62, 2)
    rebuilt = one.reconstruct(window).get_data()
    assert rebuilt.shape == window.shape
    for start, stop in ((0, 21), (21, 42)):
        part = window[..., 200 * start : 200 * stop]
        alone = make(ch_names=["Cz", "Pz"], pool="none").fit(part)
        found = alone.tokenize(part)
        assert_array_equal(found.codes, tokens.codes[:, :, start:stop])
        assert_allclose(found.side, tokens.side[:, :, start:stop], rtol=1e-6)
        assert_allclose(alone.transform(part).reshape(2, 2, 21, 200), features[:, :, start:stop],
                        atol=2e-6)  # fmt: skip
        assert_allclose(alone.detokenize(found).get_data(), rebuilt[..., 200 * start : 200 * stop],
                        rtol=1e-4, atol=1e-9)  # fmt: skip
    pooled = make(ch_names=["Cz", "Pz"], pool="mean").fit_transform(window)
    weights = np.append(np.ones(61), 0.25)
    assert_allclose(pooled, np.average(features, axis=2, weights=weights).mean(1), atol=2e-6)


def test_30_s_are_one_segment_however_many_channels():
    names = list(BRAINRVQ_EEG.channels)
    many = 20 * np.random.default_rng(2).standard_normal((1, 128, 400))
    everything = make(ch_names=names).fit(many)
    assert everything.segmentation_.segments == (2,)
    assert all(match.how == "exact" for match in everything.channel_report_)
    tokens = everything.tokenize(many)
    assert tokens.channel_rows == tuple(range(128))
    assert everything.detokenize(tokens).get_data().shape == many.shape
    for n_patches, segments in ((30, (30,)), (31, (16, 15))):
        few = 20 * np.random.default_rng(3).standard_normal((1, 12, 200 * n_patches))
        assert make(ch_names=names[:12]).fit(few).segmentation_.segments == segments


def test_a_window_shorter_than_a_patch_is_restored_to_its_length():
    short = X[..., :90]
    with pytest.warns(UserWarning, match="shorter than one patch"):
        fitted = make().fit(short)
    with pytest.warns(UserWarning, match="shorter than one patch"):
        assert make().fit(short).segmentation_.padding == 110
    assert fitted.reconstruct(short).get_data().shape == short.shape


TRANSFORMERS = {size: make(batch_size=size) for size in ("auto", 1, 3)}


@settings(max_examples=8)
@given(
    trials=st.lists(st.integers(0, N_TRIALS - 1), min_size=1, max_size=9),
    size=st.sampled_from(list(TRANSFORMERS)),
)
def test_a_trial_gives_the_same_bits_whatever_trials_come_with_it(tokens, trials, size):
    model = (
        TRANSFORMERS[size] if hasattr(TRANSFORMERS[size], "config_") else TRANSFORMERS[size].fit(X)
    )
    found = model.tokenize(X[trials])
    assert_array_equal(found.codes, tokens.codes[trials])
    assert_array_equal(found.side, model.tokenize(X).side[trials])
    assert_array_equal(model.transform(X[trials]), model.transform(X)[trials])


# Channels


def test_bipolar_channels_are_kept_apart_from_their_electrodes():
    names = ["Fp1", "EEG FP1-F7", "F7-REF", "T3", "T7", "FP1-F3", "O1-C3"]
    trials = 20 * np.random.default_rng(4).standard_normal((2, 7, 200))
    with pytest.warns(UserWarning, match=r"2 of 7 channels .*'FP1-F3', 'O1-C3' \(bipolar"):
        fitted = make(ch_names=names).fit(trials)
    report = [(match.target, match.how) for match in fitted.channel_report_]
    assert report == [
        ("fp1", "exact"),
        ("fp1-f7", "exact"),
        ("f7", "exact"),
        ("t3", "exact"),
        ("t7", "exact"),
        (None, None),
        (None, None),
    ]
    assert fitted.channel_report_[5].reason == "bipolar: not matched to a single electrode"
    tokens = fitted.tokenize(trials)
    assert tokens.ch_names == tuple(names[:5])
    assert tokens.left_out == ("FP1-F3", "O1-C3")
    as_electrode = make(ch_names=["Fp1"]).fit(trials[:, :1]).transform(trials[:, :1])
    as_bipolar = make(ch_names=["Fp1-F7"]).fit(trials[:, :1]).transform(trials[:, :1])
    assert not np.allclose(as_electrode, as_bipolar)
    with pytest.raises(ValueError, match=r"channels='strict'.*'FP1-F3'"):
        make(ch_names=names, channels="strict").fit(trials)


def test_unknown_names_take_the_nearest_electrode_never_a_derivation(make_epochs):
    unknown = make_epochs(n_times=200, sfreq=200.0)
    unknown.rename_channels({"C3": "E1", "C4": "E2"})
    fitted = BrainRVQTransformer(TINY, channels="nearest").fit(unknown)
    targets = [match.target for match in fitted.channel_report_]
    assert [targets[1], targets[3]] == ["cz", "pz"]
    assert all(match.used and "-" not in match.target for match in fitted.channel_report_)


def test_a_band_too_narrow_is_named(make_epochs):
    epochs = make_epochs(n_times=400, sfreq=200.0)
    with epochs.info._unlock():
        epochs.info["highpass"], epochs.info["lowpass"] = 0.5, 44.5
    NeuroRVQTransformer("neurorvq-eeg-tiny-random").fit(epochs)
    with pytest.warns(UserWarning, match=r"44\.5.*75"):
        BrainRVQTransformer(TINY).fit(epochs)


# Models


def test_a_model_of_another_system_is_refused(tokens):
    with pytest.raises(ValueError, match="is a NeuroRVQ model, but BrainRVQTransformer needs"):
        make("neurorvq-eeg-tiny-random").fit(X)
    with pytest.raises(ValueError, match="is a BrainRVQ model, but NeuroRVQTransformer needs"):
        NeuroRVQTransformer(TINY).detokenize(tokens)


def test_the_announced_weights_are_not_to_be_had_and_the_error_says_so():
    with pytest.raises(OSError, match="not published"):
        make("brainrvq-eeg").fit(X)


def test_a_model_in_a_folder_serves_as_well(fitted, tmp_path, brain):
    folder = save_pretrained(tmp_path / "model", brain.tokenizer, brain.foundation, dtype="float32")
    assert_array_equal(make(str(folder)).fit_transform(X), fitted.transform(X))


def test_codes_and_waveforms_are_the_recorded_ones_of_the_authors(shared, tmp_path):
    folder = shared / "golden" / "brainrvq_small"
    with np.load(folder / "ddrvq_fp16exact.npz") as arrays:
        state = {name: torch.from_numpy(a.astype(np.float32)) for name, a in arrays.items()}
    torch.save(state, tmp_path / "tokenizer.pt")
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "ddrvq_io.npz") as recorded:
        x, codes = inputs["x"], np.stack([recorded["tokens_t"], recorded["tokens_f"]])
        waveform = recorded["rec_time"].reshape(3, 6, 4, 200)
    names = json.loads((folder / "meta.json").read_text())["channels"]
    model = make(str(tmp_path / "tokenizer.pt"), ch_names=names, unit="100uV", output="tokens")
    tokens = model.fit(x).tokenize(x)
    # Recorded by codebook, level, trial, and channel and patch.
    assert_array_equal(tokens.codes, codes.reshape(2, 3, 3, 6, 4).transpose(2, 3, 4, 0, 1))
    patches = x.reshape(3, 6, 4, 200)
    mean, std = patches.mean(-1, keepdims=True), patches.std(-1, ddof=1, keepdims=True)
    expected = 1e-4 * (waveform * (std + 1e-6) + mean).reshape(x.shape)
    assert_allclose(model.detokenize(tokens).get_data(), expected, rtol=0, atol=1e-9)


# In scikit-learn


def test_epochs_are_cross_validated_over_subjects(make_epochs):
    epochs = make_epochs(n_trials=18, n_times=200, sfreq=200.0)
    y = np.where(epochs.metadata["label"] == 1, "left", "rest")
    epochs.get_data(copy=False)[y == "left", 2] *= 4
    pipeline = make_pipeline(
        BrainRVQTransformer(TINY, pool="time"), StandardScaler(), LogisticRegression()
    )
    subjects = epochs.metadata["subject"].to_numpy()
    scores = cross_val_score(pipeline, epochs, y, groups=subjects, cv=GroupKFold(3))
    assert scores.shape == (3,)
    assert scores.mean() > 0.8


def test_a_pickled_transformer_gives_the_same_bits(fitted, tokens):
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.transform(X), fitted.transform(X))
    assert again.tokenize(X) == tokens
