# License: BSD-3-Clause
"""From tokens back to Epochs: the same channels, times, events and metadata, in volts."""

from __future__ import annotations

from dataclasses import replace

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from filtered import filtered_for, filtered_info
from mne.utils import object_diff
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq import (
    BioCodecTransformer,
    BrainRVQTransformer,
    NeuroRVQTransformer,
    Tokens,
    as_array_like,
)
from mne_neurorvq.datasets import simulate_epochs
from mne_neurorvq.weights import save_pretrained

TINY = "neurorvq-eeg-tiny-random"
UNFITTED = NeuroRVQTransformer(TINY)


def fit(epochs, **parameters):
    return NeuroRVQTransformer(TINY, **parameters).fit(epochs)


def check_like(restored, epochs):
    """Everything but the signals is the same."""
    assert isinstance(restored, mne.EpochsArray)
    assert restored.ch_names == epochs.ch_names
    assert restored.info["sfreq"] == epochs.info["sfreq"]
    assert_array_equal(restored.times, epochs.times)
    assert restored.tmin == epochs.tmin
    assert_array_equal(restored.events[:, 1:], epochs.events[:, 1:])
    if len(set(epochs.events[:, 0])) == len(epochs):
        assert_array_equal(restored.events, epochs.events)
    assert restored.event_id == epochs.event_id
    # Tokens number the rows of metadata from 0; Epochs keep the numbers they had before a choice.
    assert restored.metadata.equals(epochs.metadata.reset_index(drop=True))
    assert restored.get_data().shape == epochs.get_data().shape
    assert np.isfinite(restored.get_data()).all()


def test_detokenize_gives_epochs_like_those_that_were_tokenized(make_epochs):
    epochs = make_epochs(tmin=-0.5)
    tokens = fit(epochs).tokenize(epochs)
    assert isinstance(tokens, Tokens)
    assert tokens.model == TINY
    check_like(UNFITTED.detokenize(tokens), epochs)


def test_what_tokens_decode_to_is_taken_by_the_model_that_made_them():
    """Without a warning, such as that an info without filters tells of drifts and hum."""
    epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    model = NeuroRVQTransformer().fit(epochs)
    decoded = model.detokenize(model.tokenize(epochs))
    assert (decoded.info["highpass"], decoded.info["lowpass"]) == (0.5, 44.5)
    assert model.transform(decoded).shape == model.transform(epochs).shape


def test_reconstruct_is_detokenize_after_tokenize(epochs):
    fitted = fit(epochs)
    restored = fitted.reconstruct(epochs)
    check_like(restored, epochs)
    through_tokens = UNFITTED.detokenize(fitted.tokenize(epochs))
    assert_array_equal(restored.get_data(), through_tokens.get_data())


def test_the_signals_are_those_of_the_model_in_volts(make_epochs, tiny):
    epochs = make_epochs(n_times=400, sfreq=200.0)
    microvolts = torch.from_numpy((1e6 * epochs.get_data()).astype(np.float32))
    rows = torch.tensor([tiny.config.channels.index(name.lower()) for name in epochs.ch_names])
    with torch.inference_mode():
        expected = tiny.tokenizer(microvolts, rows).numpy()
    found = fit(epochs).reconstruct(epochs).get_data()
    assert_allclose(1e6 * found, expected, rtol=1e-4, atol=1e-3 * np.abs(expected).max())


def test_the_overlapping_patch_gives_only_its_new_samples(make_epochs, tiny):
    epochs = make_epochs(n_times=300, sfreq=200.0)
    x = (1e6 * epochs.get_data()).astype(np.float32)
    windows = torch.from_numpy(np.concatenate([x[..., :200], x[..., 100:]], axis=-1))
    rows = torch.tensor([tiny.config.channels.index(name.lower()) for name in epochs.ch_names])
    with torch.inference_mode():
        both = tiny.tokenizer(windows, rows).numpy()
    expected = np.concatenate([both[..., :200], both[..., 300:]], axis=-1)
    found = 1e6 * fit(epochs).reconstruct(epochs).get_data()
    assert_allclose(found, expected, rtol=1e-4, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("sfreq", "n_times"),
    [(160.0, 641), (250.0, 1001), (512.0, 1025), (100.0, 301), (333.3333, 700), (200.0, 399)],
)
def test_rates_and_lengths_are_restored_exactly(make_epochs, sfreq, n_times):
    epochs = make_epochs(n_trials=3, n_times=n_times, sfreq=sfreq, tmin=-0.25)
    fitted = fit(epochs)
    check_like(fitted.reconstruct(epochs), epochs)
    check_like(UNFITTED.detokenize(fitted.tokenize(epochs)), epochs)


def test_a_window_shorter_than_a_patch_is_restored_to_its_length(make_epochs):
    epochs = make_epochs(n_times=100)
    with pytest.warns(UserWarning, match="shorter than one patch"):
        fitted = fit(epochs)
    check_like(fitted.reconstruct(epochs), epochs)


def test_a_first_sample_between_two_ticks_stays_there(epochs):
    shifted = epochs.copy().shift_time(0.0037, relative=True)
    restored = fit(shifted).reconstruct(shifted)
    assert_allclose(restored.times, shifted.times, rtol=0, atol=1e-12)


def test_what_comes_back_of_a_list_states_the_widest_band(make_epochs):
    first, second = make_epochs(), make_epochs(seed=1)
    with second.info._unlock():
        second.info["highpass"], second.info["lowpass"] = 0.25, 50.0
    restored = fit([first, second]).reconstruct([first, second])
    assert (restored.info["highpass"], restored.info["lowpass"]) == (0.25, 50.0)
    assert (first.info["highpass"], first.info["lowpass"]) == (0.5, 44.5)


def test_decimated_epochs_keep_their_times():
    rng = np.random.default_rng(0)
    info = mne.create_info(["C3", "C4"], 1000.0, "eeg")
    raw = mne.io.RawArray(2e-5 * rng.standard_normal((2, 9000)), info, verbose="error")
    raw.filter(0.5, 44.5, verbose="error")
    events = np.array([[1001, 0, 1], [5003, 0, 1]])
    epochs = mne.Epochs(
        raw, events, tmin=-0.2, tmax=1.5, decim=3, baseline=None, verbose="error", preload=True
    )
    restored = fit(epochs).reconstruct(epochs)
    assert_allclose(restored.times, epochs.times, rtol=0, atol=1e-12)
    assert_array_equal(restored.events, epochs.events)


def test_reconstruct_keeps_positions_and_filter_settings(epochs):
    epochs.filter(0.6, 44.0, method="iir", verbose="error")
    restored = fit(epochs).reconstruct(epochs)
    assert not object_diff(restored.info, epochs.info)
    assert_allclose(restored.info["chs"][2]["loc"][:3], epochs.info["chs"][2]["loc"][:3])


def test_channels_left_out_of_the_model_are_missing_and_named(make_epochs):
    mixed = make_epochs(ch_names=("C3", "STI", "C4", "E77"), ch_types=["eeg", "stim", "eeg", "eeg"])
    mixed.info["bads"] = ["C3"]
    with pytest.warns(UserWarning, match="3 of 4 channels"):
        fitted = fit(mixed)
    restored, tokens = fitted.reconstruct(mixed), fitted.tokenize(mixed)
    assert restored.ch_names == ["C4"]
    assert_allclose(restored.info["chs"][0]["loc"][:3], mixed.info["chs"][2]["loc"][:3])
    assert tokens.ch_names == ("C4",)
    assert tokens.left_out == ("C3", "STI", "E77")


def rejected(**settings):
    rng = np.random.default_rng(0)
    info = filtered_info(["C3", "C4"], 200.0)
    raw = mne.io.RawArray(2e-5 * rng.standard_normal((2, 6000)), info, verbose="error")
    events = np.column_stack([np.arange(500, 5000, 500), np.zeros(9, int), [1, 2, 1] * 3])
    epochs = mne.Epochs(
        raw,
        events,
        tmin=-0.5,
        tmax=1.0,
        baseline=(None, 0),
        metadata=pd.DataFrame({"answer": 10 * np.arange(9)}),
        preload=True,
        verbose="error",
        **settings,
    )
    return epochs.drop([1, 4], reason="blink", verbose="error")


@pytest.mark.parametrize("view", [lambda e: e, as_array_like, lambda e: [e]])
def test_reconstruct_keeps_what_rejection_left(view, tmp_path):
    epochs = rejected()
    restored = fit(epochs).reconstruct(view(epochs))
    assert_array_equal(restored.selection, [0, 2, 3, 5, 6, 7, 8])
    assert restored.drop_log == epochs.drop_log
    assert restored.metadata.equals(epochs.metadata)
    assert restored.baseline == epochs.baseline
    assert_array_equal(restored.events, epochs.events)
    restored.metadata = None  # MNE reads it with pandas calls that newer versions warn of
    restored.save(tmp_path / "some-epo.fif", verbose="error")
    again = mne.read_epochs(tmp_path / "some-epo.fif", verbose="error")
    assert_array_equal(again.selection, restored.selection)
    assert again.drop_log == restored.drop_log


def test_lists_are_numbered_as_mne_concatenates_them():
    epochs = rejected()
    joined = mne.concatenate_epochs([epochs, epochs], verbose="error")
    restored = fit(epochs).reconstruct([epochs, epochs])
    assert_array_equal(restored.selection, joined.selection)
    assert restored.drop_log == joined.drop_log
    assert restored.metadata.equals(joined.metadata)
    singles = fit(epochs).reconstruct([epochs[i] for i in range(len(epochs))])
    assert_array_equal(singles.selection, np.arange(len(epochs)))


def test_some_trials_of_a_view_keep_their_numbers():
    epochs = rejected()
    restored = fit(epochs).reconstruct(as_array_like(epochs)[[3, 0]])
    chosen = epochs[[3, 0]]
    assert_array_equal(restored.selection, chosen.selection)
    assert restored.drop_log == chosen.drop_log
    assert restored.metadata.equals(chosen.metadata)


def test_no_projector_is_called_applied_that_the_reconstruction_does_not_satisfy():
    epochs = rejected().set_eeg_reference("average", projection=True, verbose="error")
    applied = epochs.copy().apply_proj(verbose="error")
    restored = fit(applied).reconstruct(applied)
    assert [projector["active"] for projector in restored.info["projs"]] == [False]
    assert applied.info["projs"][0]["active"]
    means = restored.copy().apply_proj(verbose="error").get_data().mean(axis=1)
    assert_allclose(means, 0, atol=1e-12)


def test_events_that_share_samples_are_told_apart_in_order(make_epochs):
    parts = [make_epochs(seed=seed) for seed in (0, 1)]
    assert_array_equal(parts[0].events, parts[1].events)
    restored = fit(parts).reconstruct(parts)
    codes = np.concatenate([part.events[:, 1:] for part in parts])
    assert_array_equal(restored.events[:, 1:], codes)
    assert (np.diff(restored.events[:, 0]) >= len(restored.times)).all()
    assert list(restored.metadata["subject"]) == 2 * list(parts[0].metadata["subject"])
    assert_array_equal(restored["rest"].events[:, 2], 1)


def test_trials_may_be_repeated(epochs):
    chosen = epochs[[4, 1, 1, 3]]
    fitted = fit(epochs)
    restored = fitted.reconstruct(chosen)
    check_like(restored, chosen)
    assert_array_equal(restored.get_data()[1], restored.get_data()[2])
    assert_array_equal(restored.get_data(), fitted.reconstruct(epochs)[[4, 1, 1, 3]].get_data())


def test_single_trials_of_a_list_keep_names_events_and_metadata(epochs):
    singles = [epochs[i] for i in (5, 0, 3)]
    restored = fit(epochs).reconstruct(singles)
    check_like(restored, epochs[[5, 0, 3]])
    assert_allclose(restored.info["chs"][0]["loc"][:3], epochs.info["chs"][0]["loc"][:3])


def test_arrays_come_back_as_volts_with_the_names_given():
    X = np.random.default_rng(0).normal(0, 20, (3, 2, 400))
    fitted = NeuroRVQTransformer(TINY, ch_names=["C3", "EEG C4-REF"], sfreq=200.0).fit(X)
    restored = fitted.reconstruct(X)
    assert restored.ch_names == ["C3", "EEG C4-REF"]
    assert restored.get_channel_types() == ["eeg", "eeg"]
    assert len(restored) == 3
    in_volts = NeuroRVQTransformer(TINY, ch_names=["C3", "C4"], sfreq=200.0, unit="V")
    assert_allclose(in_volts.fit(1e-6 * X).reconstruct(1e-6 * X).get_data(), restored.get_data())


def test_tokens_from_a_file_are_decoded_by_a_transformer_that_was_never_fitted(epochs, tmp_path):
    fitted = fit(epochs)
    tokens = fitted.tokenize(epochs)
    tokens.save(tmp_path / "tokens.h5")
    restored = UNFITTED.detokenize(Tokens.load(tmp_path / "tokens.h5"))
    assert_array_equal(restored.get_data(), fitted.reconstruct(epochs).get_data())
    check_like(restored, epochs)


def test_some_of_the_tokens_are_decoded_to_those_trials(epochs):
    fitted = fit(epochs)
    restored = UNFITTED.detokenize(fitted.tokenize(epochs)[[3, 0]])
    check_like(restored, epochs[[3, 0]])
    whole = fitted.reconstruct(epochs).get_data()
    assert_allclose(restored.get_data(), whole[[3, 0]], rtol=1e-5, atol=1e-10)


def test_tokens_in_read_only_memory_are_decoded(epochs):
    tokens = fit(epochs).tokenize(epochs)
    codes, side = tokens.codes.copy(), tokens.side.copy()
    codes.flags.writeable = side.flags.writeable = False
    restored = UNFITTED.detokenize(replace(tokens, codes=codes, side=side))
    assert_array_equal(restored.get_data(), UNFITTED.detokenize(tokens).get_data())


def test_tokens_of_another_model_are_refused(epochs, tiny, tmp_path):
    tokens = fit(epochs).tokenize(epochs)
    folder = save_pretrained(tmp_path / "model", tiny.tokenizer, dtype="float32")
    other = NeuroRVQTransformer(str(folder))
    with pytest.raises(ValueError, match=f"made by pretrained='{TINY}'.*this is .*{folder}"):
        other.detokenize(tokens)
    same = replace(tokens, model=str(folder))
    assert_array_equal(other.detokenize(same).get_data(), UNFITTED.detokenize(tokens).get_data())
    with pytest.raises(ValueError, match=r"revision='v2'.*revision=None"):
        UNFITTED.detokenize(replace(tokens, revision="v2"))


def test_tokens_that_the_model_cannot_have_made_are_refused(epochs):
    tokens = fit(epochs).tokenize(epochs)
    with pytest.raises(ValueError, match=r"n_codes=99.*has 16"):
        UNFITTED.detokenize(replace(tokens, n_codes=99))
    with pytest.raises(ValueError, match=r"patch_size=100.*has 200"):
        UNFITTED.detokenize(replace(tokens, patch_size=100, model_sfreq=100.0))
    with pytest.raises(ValueError, match="channel_ids must lie in"):
        UNFITTED.detokenize(replace(tokens, channel_rows=(0, 1, 2, 900)))


@pytest.mark.parametrize(
    "kind",
    [NeuroRVQTransformer, BioCodecTransformer, BrainRVQTransformer],
    ids=lambda k: k.__name__,
)
def test_side_information_of_no_signal_is_refused(epochs, kind):
    transformer = kind(TINY.replace("neurorvq", kind.__name__.removesuffix("Transformer").lower()))
    filtered_for(epochs, kind._system)
    tokens = transformer.set_params(batch_size=2).fit(epochs).tokenize(epochs)
    side = tokens.side.copy()
    side[3, -1] = 3e38
    with pytest.raises(ValueError, match=r"trial 3, channel '.*': what is decoded is not finite"):
        transformer.detokenize(replace(tokens, side=side))
    shape = (len(tokens), tokens.shape[1], 7)
    with pytest.raises(ValueError, match="side must"):
        transformer.detokenize(replace(tokens, side=np.zeros(shape)))


def test_what_holds_no_tokens_is_refused(epochs):
    tokens = fit(epochs).tokenize(epochs)
    with pytest.raises(TypeError, match="ndarray: Tokens are needed"):
        UNFITTED.detokenize(tokens.codes)
    with pytest.raises(ValueError, match="no trial"):
        UNFITTED.detokenize(tokens[:0])


def test_events_without_a_name_are_named_by_their_number(epochs):
    tokens = fit(epochs).tokenize(epochs)
    restored = UNFITTED.detokenize(replace(tokens, event_id={"rest": 1, "never": 9}))
    assert restored.event_id == {"rest": 1, "2": 2}
    assert_array_equal(restored.events, epochs.events)
    nameless = UNFITTED.detokenize(replace(tokens, events=None))
    assert len(nameless) == len(epochs)


def test_metadata_of_a_machine_without_pandas_becomes_a_table(epochs):
    tokens = fit(epochs).tokenize(epochs)
    rows = epochs.metadata.to_dict("records")
    restored = UNFITTED.detokenize(replace(tokens, metadata=rows))
    assert restored.metadata.equals(epochs.metadata)


def test_reconstructions_may_be_saved_and_read_again(epochs, tmp_path):
    epochs.metadata = None  # MNE reads it with pandas calls that newer versions warn of
    restored = fit(epochs).reconstruct([epochs, epochs])
    restored.save(tmp_path / "some-epo.fif", verbose="error")
    again = mne.read_epochs(tmp_path / "some-epo.fif", verbose="error")
    assert_array_equal(again.events, restored.events)
    assert_allclose(again.get_data(), restored.get_data(), rtol=1e-6, atol=1e-12)
    concatenated = mne.concatenate_epochs([restored, restored], verbose="error")
    assert len(concatenated) == 4 * len(epochs)


def test_tokens_of_other_weights_under_the_same_name_are_refused(epochs):
    fitted = NeuroRVQTransformer(TINY).fit(epochs)
    tokens = fitted.tokenize(epochs)
    with pytest.raises(ValueError, match="with other weights than it has now"):
        fitted.detokenize(replace(tokens, fingerprint="0" * 16))
    unknown = replace(tokens, fingerprint=None)
    np.testing.assert_array_equal(
        fitted.detokenize(unknown).get_data(), fitted.detokenize(tokens).get_data()
    )


@pytest.mark.parametrize(
    "model",
    [
        NeuroRVQTransformer(TINY),
        BrainRVQTransformer("brainrvq-eeg-tiny-random"),
        BioCodecTransformer("biocodec-eeg-tiny-random"),
    ],
    ids=["neurorvq", "brainrvq", "biocodec"],
)
def test_the_first_levels_alone_are_decoded(epochs, model):
    tokens = model.fit(filtered_for(epochs, model._system)).tokenize(epochs)
    n_levels = tokens.shape[-1]
    whole = model.detokenize(tokens).get_data()
    assert_array_equal(model.detokenize(tokens, levels=n_levels).get_data(), whole)
    coarse = model.detokenize(tokens, levels=1).get_data()
    first = replace(tokens, codes=tokens.codes[..., :1])
    assert_array_equal(coarse, model.detokenize(first).get_data())
    assert not np.array_equal(coarse, whole)
    for wrong in (0, n_levels + 1):
        with pytest.raises(ValueError, match=f"levels == {wrong}"):
            model.detokenize(tokens, levels=wrong)
    with pytest.raises(TypeError, match="levels must be"):
        model.detokenize(tokens, levels=[0])
