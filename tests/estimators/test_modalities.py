# License: BSD-3-Clause
"""Estimators read the signals of their model: EMG, ECG and PPG as well as EEG."""

from __future__ import annotations

import json
from dataclasses import replace

import mne
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import (
    BioCodecClassifier,
    BioCodecTransformer,
    NeuroRVQClassifier,
    NeuroRVQRegressor,
    NeuroRVQTransformer,
    Tokens,
    load_estimator,
    preprocess,
)

EEG, EMG, ECG, PPG = (f"neurorvq-{kind}-tiny-random" for kind in ("eeg", "emg", "ecg", "ppg"))
CODEC = "biocodec-emg-tiny-random"


def make_epochs(channels, sfreq, seconds, *, filtered=None, n_trials=6, seed=0):
    """Noise; ``channels`` are their names with MNE type and standard deviation."""
    rng = np.random.default_rng(seed)
    info = mne.create_info(list(channels), sfreq, [kind for kind, _ in channels.values()])
    with info._unlock():
        info["highpass"], info["lowpass"] = filtered or (0.0, sfreq / 2)
    scales = np.array([scale for _, scale in channels.values()])
    data = scales[:, None] * rng.standard_normal((n_trials, len(channels), int(seconds * sfreq)))
    return mne.EpochsArray(data, info, verbose="error")


@pytest.fixture
def ecg():
    """Four leads at 500 Hz, not filtered, in other spellings than the model's."""
    leads = dict.fromkeys(("ECG I", "MLII", "aVR", "V1"), ("ecg", 2e-4))
    return make_epochs(leads, 500.0, 4.0)


@pytest.fixture
def emg():
    """Three muscles at 1 kHz."""
    muscles = dict.fromkeys(("rectus femoris", "biceps", "vastus"), ("emg", 2e-5))
    return make_epochs(muscles, 1000.0, 2.0, filtered=(20.0, 399.5))


@pytest.fixture
def ppg():
    """Two pulses at 125 Hz, of more than one segment; for MNE they are anything."""
    pulses = {"PLETH": ("misc", 0.1), "IR": ("bio", 0.2)}
    return make_epochs(pulses, 125.0, 20.0, filtered=(0.5, 39.5))


@pytest.fixture
def mixed():
    """A recording of everything, at one rate."""
    channels = {
        **dict.fromkeys(("C3", "Cz", "C4"), ("eeg", 2e-5)),
        **dict.fromkeys(("left arm", "right arm"), ("emg", 2e-5)),
        **dict.fromkeys(("I", "II"), ("ecg", 2e-4)),
        **{"PLETH": ("misc", 0.1), "STI": ("stim", 1.0)},
    }
    return make_epochs(channels, 1000.0, 2.0, filtered=(0.5, 44.5))


# What the three inputs need, beside their model.
CASES = {
    "emg": (EMG, {}, 3 * 800, (6, 3, 10, 4, 2)),
    "ecg": (ECG, {}, 160, (6, 4, 20, 4, 2)),
    "ppg": (PPG, {"output": "histogram"}, 128, (6, 2, 25, 4, 2)),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_model_picks_the_channels_of_its_signals_and_gives_all_outputs(kind, request, tmp_path):
    epochs = request.getfixturevalue(kind)
    name, options, width, shape = CASES[kind]
    model = NeuroRVQTransformer(name, **options).fit(epochs)
    assert model.ch_names_ == tuple(epochs.ch_names)
    assert model.transform(epochs).shape == (6, width)
    tokens = model.tokenize(epochs)
    assert tokens.codes.shape == shape
    rebuilt = model.reconstruct(epochs)
    assert rebuilt.get_channel_types() == epochs.get_channel_types()
    assert rebuilt.get_data().shape == epochs.get_data().shape
    tokens.save(tmp_path / "tokens.h5")
    decoded = NeuroRVQTransformer(name).detokenize(Tokens.load(tmp_path / "tokens.h5"))
    assert_allclose(decoded.get_data(), rebuilt.get_data(), rtol=1e-5, atol=1e-12)
    assert set(decoded.get_channel_types()) == {"misc" if kind == "ppg" else kind}
    loaded = load_estimator(model.save(tmp_path / "model"))
    assert_array_equal(loaded.transform(epochs), model.transform(epochs))


@pytest.mark.parametrize(("kind", "unit", "factor"), [("emg", "uV", 1e6), ("ecg", "mV", 1e3)])
def test_epochs_and_arrays_in_the_unit_of_the_model_are_the_same_signals(
    kind, unit, factor, request
):
    epochs = request.getfixturevalue(kind)
    model = NeuroRVQTransformer(CASES[kind][0], output="tokens")
    expected = model.fit_transform(epochs)
    array = dict(ch_names=epochs.ch_names, sfreq=epochs.info["sfreq"], unit=unit)
    found = model.set_params(**array).fit_transform(factor * epochs.get_data())
    assert (found == expected).mean() > 0.999  # but for rounding of the factor


@pytest.mark.filterwarnings("ignore:A typical standard deviation")  # noise of 16 mV
@pytest.mark.parametrize("kind", ["emg", "ecg"])
def test_codes_features_and_signals_are_those_of_the_authors(kind, shared, tmp_path):
    folder = shared / "golden" / f"neurorvq_{kind}_small"
    for part, name in (("tokenizer", "tokenizer"), ("fm", "foundation")):
        with np.load(folder / f"{part}_fp16exact.npz") as arrays:
            state = {k: torch.from_numpy(v.astype(np.float32)) for k, v in arrays.items()}
        torch.save(state, tmp_path / f"{name}.pt")
    names = json.loads((folder / "meta.json").read_text())["channels"]
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "fm_io.npz") as features:
        x, pooled = inputs["x"], features["fm_pooled800"]
    with np.load(folder / "tokenizer_io.npz") as recorded:
        io = dict(recorded)
    unit, rate, volts = ("uV", 1000.0, 1e-6) if kind == "emg" else ("mV", 200.0, 1e-3)
    given = dict(ch_names=names, sfreq=rate, unit=unit)
    model = NeuroRVQTransformer(str(tmp_path), pool="mean", **given).fit(x)
    assert [match.target for match in model.channel_report_] == names
    assert_allclose(model.transform(x), pooled, rtol=0, atol=1e-5)
    codes = model.tokenize(x).codes
    # Channel by channel, patch by patch; the authors' own get_tokens of 16 levels, which mixes
    # scales and levels up, is not what is wanted.
    found = codes.transpose(3, 4, 0, 1, 2).reshape(io["tokens"].shape)
    certain = io["token_margin"] > 1e-5
    assert certain.mean() > 0.999
    assert_array_equal(found[certain], io["tokens"][certain])
    assert codes.shape[-1] == (16 if kind == "emg" else 8)
    signals = model.reconstruct(x).get_data() / volts
    wanted = io["rec_signal"].reshape(len(x), len(names), -1)
    assert_allclose(signals, wanted, rtol=0, atol=2e-4)


def test_pulses_are_processed_one_by_one(ppg):
    both = NeuroRVQTransformer(PPG, output="tokens").fit(ppg)
    tokens, signals = both.tokenize(ppg), both.reconstruct(ppg).get_data()
    for i, name in enumerate(ppg.ch_names):
        alone = NeuroRVQTransformer(PPG, output="tokens").fit(ppg.copy().pick([name]))
        assert alone.ch_names_ == (name,)
        one = alone.tokenize(ppg.copy().pick([name]))
        assert_array_equal(one.codes[:, 0], tokens.codes[:, i])
        assert_allclose(one.side, tokens.side[..., 2 * i : 2 * i + 2], rtol=1e-5)
        found = alone.reconstruct(ppg.copy().pick([name])).get_data()[:, 0]
        assert_allclose(found, signals[:, i], rtol=0, atol=1e-6)


def test_a_pulse_has_no_embedding_but_codes():
    pulse = 0.1 * np.random.default_rng(0).standard_normal((3, 400))
    with pytest.raises(ValueError, match="Of its codes, output='tokens'"):
        NeuroRVQTransformer(PPG).fit(pulse)


def test_a_long_pulse_is_cut_where_the_model_has_read_enough(ppg):
    model = NeuroRVQTransformer(PPG, output="tokens").fit(ppg)
    assert max(model.segmentation_.segments) <= model.config_.max_patches == 12


def test_values_of_a_pulse_are_taken_as_they_are(ppg):
    model = NeuroRVQTransformer(PPG, output="tokens")
    expected = model.fit_transform(ppg)
    model.set_params(ch_names=ppg.ch_names, sfreq=125.0)
    assert_array_equal(model.fit_transform(ppg.get_data()), expected)
    with pytest.raises(ValueError, match=r"typical standard deviation would be .*: multiply"):
        model.fit(3e4 * ppg.get_data())


@pytest.mark.parametrize(
    ("model", "taken"),
    [
        (NeuroRVQTransformer(EEG), ("C3", "Cz", "C4")),
        (NeuroRVQTransformer(EMG), ("left arm", "right arm")),
        (BioCodecTransformer(CODEC), ("left arm", "right arm")),
        (NeuroRVQTransformer(ECG), ("I", "II")),
        (NeuroRVQTransformer(PPG, output="tokens"), ("PLETH",)),
    ],
    ids=lambda value: getattr(value, "pretrained", ""),
)
def test_of_a_mixed_recording_each_model_takes_its_own(model, taken, mixed):
    with pytest.warns(UserWarning, match="left out of the model") as caught:
        model.fit(mixed)
    assert len(caught) == 1  # nothing about filters, of which MNE only knows those of EEG
    assert model.ch_names_ == taken
    assert model.reconstruct(mixed).ch_names == list(taken)


@pytest.mark.filterwarnings("ignore:.*left out of the model:UserWarning")
def test_a_union_puts_the_features_of_all_signals_side_by_side(mixed):
    models = [
        ("brain", NeuroRVQTransformer(EEG)),
        ("muscles", BioCodecTransformer(CODEC)),
        ("heart", NeuroRVQTransformer(ECG)),
        ("pulse", NeuroRVQTransformer(PPG, output="histogram")),
    ]
    union = make_union(*(model for _, model in models))
    joined = union.fit_transform(mixed)
    alone = [model.fit_transform(mixed) for _, model in models]
    assert_array_equal(joined, np.hstack(alone))
    assert len(set(union.get_feature_names_out())) == joined.shape[1]
    assert joined.shape[1] == 3 * 3 * 800 + 2 * 16 + 160 + 128
    scaled = make_pipeline(union, StandardScaler()).fit_transform(mixed)
    assert np.isfinite(scaled).all()


@pytest.mark.parametrize("finetune", ["head", "lora", "full"])
def test_fine_tuning_learns_from_an_ecg(finetune, ecg):
    if finetune == "lora":
        pytest.importorskip("peft")
    y = np.tile(["calm", "stressed"], 3)
    slower = ecg.copy()
    slower._data[y == "calm"] = 2e-4 * np.sin(np.arange(2000) / 20)
    model = NeuroRVQClassifier(
        ECG, finetune=finetune, max_epochs=30, lr=5e-3, warmup_epochs=1, random_state=0
    )
    assert model.fit(slower, y).score(slower, y) == 1.0
    assert model.ch_names_ == tuple(ecg.ch_names)


def test_fine_tuning_learns_from_an_emg(emg):
    force = np.linspace(1, 3, 6)
    stronger = emg.copy()
    stronger._data *= force[:, None, None]
    model = NeuroRVQRegressor(EMG, finetune="head", max_epochs=60, lr=5e-3, random_state=0)
    assert model.fit(stronger, force).score(stronger, force) > 0.5
    codec = BioCodecClassifier(CODEC, scaling="fit", max_epochs=1, random_state=0)
    assert codec.fit(emg, [0, 1] * 3).predict(emg).shape == (6,)


def test_the_codec_of_muscles_has_a_code_each_18_ms(emg):
    model = BioCodecTransformer(CODEC).fit(emg)
    tokens = model.tokenize(emg)
    assert (tokens.model_sfreq, tokens.patch_size, tokens.codes.shape[2]) == (1000.0, 18, 112)
    assert model.reconstruct(emg).get_channel_types() == ["emg"] * 3


def test_one_parameter_feeds_a_model_at_another_rate(ecg, tmp_path):
    by_default = NeuroRVQTransformer(ECG).fit(ecg)
    assert by_default.tokenize(ecg).model_sfreq == 200.0
    model = NeuroRVQTransformer(ECG, model_sfreq=500).fit(ecg)
    assert model.config_ == replace(by_default.config_, sfreq=500.0)
    tokens = model.tokenize(ecg)
    assert (tokens.model_sfreq, tokens.shape[2], by_default.tokenize(ecg).shape[2]) == (500, 50, 20)
    # Tokens know the rate, whoever decodes them.
    assert_array_equal(
        by_default.detokenize(tokens).get_data(), model.detokenize(tokens).get_data()
    )
    array = NeuroRVQTransformer(ECG, ch_names=ecg.ch_names, sfreq=500.0, unit="V", model_sfreq=500)
    assert_array_equal(array.fit_transform(ecg.get_data()), model.transform(ecg))
    loaded = load_estimator(model.save(tmp_path))
    assert_array_equal(loaded.transform(ecg), model.transform(ecg))
    with pytest.raises(ValueError, match="model_sfreq == 0"):
        NeuroRVQTransformer(ECG, model_sfreq=0).fit(ecg)


def test_a_rate_that_cannot_hold_the_band_is_told_with_what_is_lost():
    armband = make_epochs(dict.fromkeys("abcdefgh", ("emg", 1e-5)), 200.0, 2.0, filtered=(20, 99.5))
    with pytest.warns(UserWarning, match=r"at 200 Hz hold nothing above 100 Hz.* 79% of that"):
        NeuroRVQTransformer(EMG).fit(armband).transform(armband)
    model, data = NeuroRVQTransformer(EMG, ch_names=list("abcdefgh"), sfreq=200.0), armband._data
    model.fit_transform(1e6 * data)  # once is enough, for all recordings at this rate
    slower = NeuroRVQTransformer(EMG, ch_names=list("abcdefgh"), sfreq=150.0)
    with pytest.warns(UserWarning, match=r"at 150 Hz hold nothing above 75 Hz"):
        slower.fit(1e6 * data)


def test_a_rate_that_was_made_an_error_is_one_again():
    muscles = make_epochs({"a": ("emg", 1e-5)}, 200.0, 2.0, filtered=(20, 99.5))
    for _ in range(2):
        with pytest.raises(UserWarning, match="hold nothing above 100 Hz"):
            NeuroRVQTransformer(EMG).fit(muscles)


def test_an_array_of_one_channel_is_a_usual_one():
    beat = 0.2 * np.random.default_rng(0).standard_normal((3, 400))
    assert NeuroRVQTransformer(ECG, unit="mV").fit(beat).ch_names_ == ("II",)
    assert NeuroRVQTransformer(PPG, output="tokens").fit(beat).ch_names_ == ("PPG",)


@pytest.mark.parametrize("kind", CASES)
def test_preprocess_filters_the_channels_of_the_signal_alone(kind, mixed):
    raw = mne.io.RawArray(np.hstack(mixed.get_data()), mixed.info, verbose=False)
    name, options, *_ = CASES[kind]
    filtered = preprocess(raw, name)
    model = NeuroRVQTransformer(name, **options)
    with pytest.warns(UserWarning, match="left out"):
        mine = model.fit(mixed).ch_names_
    changed = [
        name
        for name in raw.ch_names
        if not np.array_equal(filtered.get_data(name), raw.get_data(name))
    ]
    assert changed == list(mine)


@pytest.mark.parametrize(
    ("kind", "band"), [("emg", (20.0, 399.5)), ("ecg", (0.5, 500.0)), ("ppg", (0.5, 39.5))]
)
def test_what_preprocess_filters_passes_without_a_warning(kind, band, request):
    epochs = make_epochs({"PPG" if kind == "ppg" else "II": ("bio", 0.1)}, 1000.0, 8.0)
    if kind != "ppg":
        epochs = make_epochs({"II": (kind, 2e-5)}, 1000.0, 8.0)
    raw = mne.io.RawArray(np.hstack(epochs.get_data()), epochs.info, verbose=False)
    name, options, *_ = CASES[kind]
    clean = preprocess(raw, name)
    assert (clean.info["highpass"], clean.info["lowpass"]) == band
    cut = mne.make_fixed_length_epochs(clean, 4.0, preload=True, verbose="error")
    NeuroRVQTransformer(name, **options).fit(cut)
    if kind != "ecg":  # whose models have seen signals without a filter
        cut = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose="error")
        with pytest.warns(UserWarning, match="but the model was trained on"):
            NeuroRVQTransformer(name, **options).fit(cut)


def test_a_gap_in_a_pulse_is_refused_with_channel_and_time(ppg):
    ppg._data[2, 1, 250:300] = np.nan
    with pytest.raises(ValueError, match=r"Trial 2, channel 'IR' contains NaN.* from 2.000 s on"):
        NeuroRVQTransformer(PPG, output="tokens").fit(ppg)


def test_a_pulse_far_from_zero_and_a_flat_one_are_named(ppg):
    ppg._data += 5
    with pytest.warns(UserWarning, match="lie 5 au from zero"):
        NeuroRVQTransformer(PPG, output="tokens").fit(ppg)
    ppg._data -= 5
    ppg._data[:, 0] = 0
    with pytest.warns(UserWarning, match=r"broken: 'PLETH' \(flat\)\. Mark"):
        NeuroRVQTransformer(PPG, output="tokens").fit(ppg)


def test_a_band_is_compared_with_what_reaches_the_model(ecg):
    with ecg.info._unlock():
        ecg.info.update(highpass=0.05, lowpass=150.0)
    NeuroRVQTransformer(ECG).fit(ecg)  # fed at 200 Hz
    with ecg.info._unlock():
        ecg.info.update(lowpass=40.0)
    with pytest.warns(UserWarning, match=r"0.05-40 Hz, but the model was trained on 0.5-100 Hz"):
        NeuroRVQTransformer(ECG).fit(ecg)
