# License: BSD-3-Clause
"""Batches, devices, precision and progress: how the work is done does not show in the result."""

from __future__ import annotations

import io
import math
import re
import sys
import warnings
from contextlib import contextmanager

import mne
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.encoding import passes
from mne_neurorvq.encoding.passes import resolve_device
from mne_neurorvq.estimators.base import on_device
from mne_neurorvq.estimators.randomness import own_randomness, seed_torch
from mne_neurorvq.models import BIOCODEC_EEG, BRAINRVQ_EEG, NEURORVQ_EEG

TINY = "neurorvq-eeg-tiny-random"
NAMES = ["C3", "C4", "Pz"]
N_TRIALS = 11
X = np.random.default_rng(0).normal(0, 20, (N_TRIALS, 3, 500))


def make(**parameters):
    return NeuroRVQTransformer(TINY, ch_names=NAMES, sfreq=200.0, **parameters)


TRANSFORMERS = {size: make(batch_size=size) for size in ("auto", 1, 2, 4, 7, 32)}


@pytest.fixture(scope="module", autouse=True)
def everything():
    """Fit once, and compute all trials together."""
    return {
        size: (fitted.fit_transform(X), fitted.tokenize(X)) for size, fitted in TRANSFORMERS.items()
    }


@settings(max_examples=40)
@given(
    trials=st.lists(st.integers(0, N_TRIALS - 1), min_size=1, max_size=15),
    size=st.sampled_from(list(TRANSFORMERS)),
)
def test_a_trial_gives_the_same_bits_whatever_trials_come_with_it(everything, trials, size):
    embedding, tokens = everything[size]
    some = TRANSFORMERS[size].tokenize(X[trials])
    assert_array_equal(some.codes, tokens.codes[trials])
    assert_array_equal(some.side, tokens.side[trials])
    assert_array_equal(TRANSFORMERS[size].transform(X[trials]), embedding[trials])


def test_codes_do_not_depend_on_the_batch_size(everything):
    embedding, tokens = everything["auto"]
    for other, others in everything.values():
        assert_array_equal(others.codes, tokens.codes)
        assert_allclose(other, embedding, rtol=0, atol=2e-6)


def test_another_trial_in_the_batch_may_be_huge(everything):
    louder = X.copy()
    louder[3] *= 1e6
    kept = np.arange(N_TRIALS) != 3
    found = TRANSFORMERS["auto"].tokenize(louder)
    assert_array_equal(found.codes[kept], everything["auto"][1].codes[kept])
    assert_array_equal(TRANSFORMERS["auto"].transform(louder)[kept], everything["auto"][0][kept])


def test_trials_are_read_in_several_parts_and_kept_in_order():
    many = np.random.default_rng(1).normal(0, 20, (40, 3, 200))
    found = make(batch_size=1).fit_transform(many)  # 16 trials are read at a time
    assert_array_equal(
        found, np.concatenate([TRANSFORMERS[1].transform(one[None]) for one in many])
    )


@pytest.fixture(scope="module")
def long_window():
    """Five minutes of one channel: more patches than the model takes at once."""
    return np.random.default_rng(2).normal(0, 20, (2, 1, 300 * 200 + 50))


def test_segments_of_a_long_window_know_nothing_of_each_other(long_window):
    one = NeuroRVQTransformer(TINY, ch_names=["Cz"], sfreq=200.0, pool="none").fit(long_window)
    segments = one.segmentation_.segments
    assert len(segments) == 2
    assert sum(segments) == 301
    tokens, features = one.tokenize(long_window), one.transform(long_window).reshape(2, 301, 800)
    assert tokens.side.shape == (2, 2, 2)

    first, rest = long_window[..., : 200 * segments[0]], long_window[..., 200 * segments[0] :]
    for part, here, index in (
        (first, slice(None, segments[0]), 0),
        (rest, slice(segments[0], None), 1),
    ):
        alone = NeuroRVQTransformer(TINY, ch_names=["Cz"], sfreq=200.0, pool="none").fit(part)
        assert_array_equal(alone.tokenize(part).codes, tokens.codes[:, :, here])
        assert_allclose(alone.tokenize(part).side[:, 0], tokens.side[:, index], rtol=1e-6)
        found = alone.transform(part).reshape(2, -1, 800)
        assert_allclose(found, features[:, here], atol=2e-6)

    changed = long_window.copy()
    changed[..., 200 * segments[0] :] *= -3
    assert_array_equal(
        one.tokenize(changed).codes[:, :, : segments[0]], tokens.codes[:, :, : segments[0]]
    )
    assert (one.tokenize(changed).codes != tokens.codes).any()


def test_every_segment_is_decoded_with_its_own_scale(long_window):
    one = NeuroRVQTransformer(TINY, ch_names=["Cz"], sfreq=200.0)
    quiet_then_loud = long_window * np.linspace(0.1, 10, long_window.shape[-1])
    restored = one.fit(quiet_then_loud).reconstruct(quiet_then_loud).get_data()
    split = 200 * one.segmentation_.segments[0]
    for part, here in ((slice(None, split), "start"), (slice(split, None), "end")):
        window = quiet_then_loud[..., part]
        alone = one.fit(window).reconstruct(window).get_data()
        scale = np.abs(alone).max()
        assert_allclose(restored[..., part], alone, rtol=0, atol=1e-4 * scale, err_msg=here)


def test_a_long_window_is_pooled_over_all_its_segments(long_window):
    parameters = dict(ch_names=["Cz"], sfreq=200.0)
    every = NeuroRVQTransformer(TINY, pool="none", **parameters).fit_transform(long_window)
    weights = np.append(np.ones(300), 50 / 200)
    expected = np.average(every.reshape(2, 301, 800), axis=1, weights=weights)
    found = NeuroRVQTransformer(TINY, pool="mean", **parameters).fit_transform(long_window)
    assert_allclose(found, expected, atol=1e-5)


def test_a_short_window_is_padded_with_one_warning():
    short = np.random.default_rng(0).normal(0, 20, (3, 3, 90))
    fitted = make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        embedding = fitted.fit_transform(short)
        restored = fitted.reconstruct(short)
        fitted.tokenize(short)
    assert len(caught) == 1
    assert "90 samples" in str(caught[0].message)
    assert "padded by reflection" in str(caught[0].message)
    assert restored.get_data().shape == short.shape
    # 110 samples are more than there are to reflect: NumPy goes back and forth.
    reflected = np.pad(short, [(0, 0), (0, 0), (0, 110)], mode="reflect")
    assert_array_equal(embedding, make().fit_transform(reflected))


def test_codes_are_computed_in_single_precision_whatever_the_precision():
    half = make(precision="bf16").fit(X)
    assert_array_equal(half.tokenize(X).codes, TRANSFORMERS["auto"].tokenize(X).codes)


def test_half_precision_is_close_and_comes_as_float32(everything):
    found = make(precision="bf16").fit_transform(X)
    expected = everything["auto"][0]
    assert found.dtype == np.float32
    difference = np.abs(found - expected)
    assert difference.max() > 0
    assert difference.mean() < 0.02 * np.abs(expected).mean()


def test_automatic_precision_is_single(everything):
    assert_array_equal(make(precision="float32").fit_transform(X), everything["auto"][0])


class Screen(io.StringIO):
    def isatty(self):
        return True


@contextmanager
def _watched(monkeypatch):
    """Give a terminal that somebody watches, in which every bar shows at once."""
    # Not in a fixture: pytest puts its own stream back before the test.
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setattr(passes, "_PATIENCE", 0.0)
    monkeypatch.delenv("CI", raising=False)
    with mne.utils.use_log_level("INFO"):
        yield screen


def test_a_terminal_shows_a_bar_with_the_time_that_is_left(monkeypatch):
    fitted = make(batch_size=2).fit(X)
    fitted.tokenize(X[:5])
    with _watched(monkeypatch) as screen:
        fitted.tokenize(X)  # of which some are stored already
    assert f"{N_TRIALS}/{N_TRIALS}" in screen.getvalue()
    assert re.search(r"\[\d\d:\d\d<\d\d:\d\d", screen.getvalue())


def test_ci_a_quiet_mne_and_a_log_have_no_bar(monkeypatch):
    fitted = make().fit(X)
    with _watched(monkeypatch) as screen:
        with mne.utils.use_log_level("WARNING"):
            fitted.tokenize(X)
        monkeypatch.setenv("CI", "true")
        fitted.tokenize(X)
        monkeypatch.delenv("CI")
        monkeypatch.setattr(Screen, "isatty", lambda self: False)
        fitted.tokenize(X)
    assert screen.getvalue() == ""


def test_a_notebook_shows_a_bar_although_it_is_no_terminal(monkeypatch):
    def make_bar(bar, **given):
        bar.disable = given["disable"]

    of_notebook = type("tqdm", (), {"__module__": "tqdm.notebook", "__init__": make_bar})
    with _watched(monkeypatch):
        monkeypatch.setattr(Screen, "isatty", lambda self: False)
        assert passes.progress(1, None).disable
        monkeypatch.setattr(passes, "tqdm", of_notebook)
        assert not passes.progress(1, None).disable


@pytest.mark.parametrize("verbose", [True, False, None])
def test_a_progress_bar_shows_if_asked_for(capsys, verbose):
    make(verbose=verbose).fit(X).reconstruct(X)
    out, err = capsys.readouterr()
    assert out == ""
    if verbose:
        assert f"{N_TRIALS}/{N_TRIALS}" in err
    else:
        assert err == ""


def test_the_models_are_left_on_the_cpu_and_unchanged(tiny):
    fitted = make(batch_size=4).fit(X)
    before = {name: value.clone() for name, value in tiny.tokenizer.state_dict().items()}
    fitted.reconstruct(X)
    after = fitted._model("tokenizer").state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {value.device.type for value in after.values()} == {"cpu"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without an accelerator")
def test_a_device_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"device='cuda'.*no CUDA device: use device='auto'"):
        make(device="cuda").fit(X)
    assert resolve_device("auto") == torch.device("cpu")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is such a device")
def test_apples_device_is_missed_in_one_sentence():
    expected = r"device='mps', but torch sees no MPS device: use device='auto'\."
    with pytest.raises(ValueError, match=f"^{expected}$"):
        make(device="mps").fit(X)


@pytest.mark.skipif(not torch.backends.mps.is_available(), reason="needs an Apple GPU")
def test_apples_device_gives_nearly_the_same_numbers():
    fitted = make(device="mps").fit(X)
    assert_allclose(fitted.transform(X), make(device="cpu").fit_transform(X), atol=1e-3)
    before = torch.mps.get_rng_state()
    with own_randomness(torch.device("mps"), draws=True):
        seed_torch(0, torch.device("mps"))
    assert torch.equal(torch.mps.get_rng_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_accelerator_gives_the_results_of_the_cpu(everything):
    fitted = make(device="cuda").fit(X)
    assert_allclose(fitted.transform(X), make(device="cpu").fit_transform(X), atol=1e-3)
    agreement = fitted.tokenize(X).codes == make(device="cpu").fit(X).tokenize(X).codes
    assert agreement.mean() > 0.999


@pytest.mark.parametrize(
    ("device", "problem"),
    [("gpu", "not 'auto' or a torch device"), (None, "not 'auto'"), ("meta", "does not work")],
)
def test_a_device_that_torch_cannot_compute_on_is_an_error(device, problem):
    with pytest.raises(ValueError, match=f"device={device!r}.*{problem}"):
        make(device=device).fit(X)


@given(st.integers(1, 10**3), st.integers(1, 10**3))
def test_the_automatic_batch_is_never_empty(n_channels, n_patches):
    for config in (NEURORVQ_EEG, BRAINRVQ_EEG, BIOCODEC_EEG):
        assert config.trials_per_pass(n_channels, n_patches, "cpu") >= 1


def test_a_batch_size_may_be_an_integer_of_numpy():
    found = make(batch_size=np.int64(2)).fit_transform(X)
    assert_array_equal(found, make(batch_size=2).fit_transform(X))


@contextmanager
def _memory_for(n_sequences, *trunks):
    """Let trunks run out of memory with more sequences."""

    def check(trunk, given):
        if math.prod(given[0].shape[:-2]) > n_sequences:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    hooks = [trunk.register_forward_pre_hook(check) for trunk in trunks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def test_out_of_memory_halves_the_batch_and_goes_on():
    fitted = make(batch_size=8).fit(X)
    wanted = make(batch_size=2).fit(X)
    foundation, tokenizer = fitted._model("foundation"), fitted._model("tokenizer")
    trunks = foundation.encoder.trunk, tokenizer.encoder.trunk, tokenizer.decoder
    signals = wanted.reconstruct(X).get_data(copy=False)
    n_scales = 4
    for compute in (
        lambda: assert_array_equal(fitted.transform(X), wanted.transform(X)),
        lambda: assert_array_equal(fitted.tokenize(X).codes, wanted.tokenize(X).codes),
    ):
        with _memory_for(3 * n_scales, *trunks), pytest.warns(UserWarning, match="fit") as told:
            compute()
        messages = [str(one.message) for one in told]
        assert [message[:32] for message in messages] == [
            "8 trials at a time do not fit in",
            "4 trials at a time do not fit in",
        ]
        assert "batch_size=2" in messages[-1]
    tokens = fitted.tokenize(X)
    with _memory_for(3 * n_scales, *trunks), pytest.warns(UserWarning, match="do not fit"):
        found = fitted.detokenize(tokens).get_data(copy=False)
    assert_allclose(found, signals, atol=1e-9)


def test_a_trial_that_does_not_fit_into_memory_is_an_error():
    fitted = make(batch_size=2).fit(X)
    with (
        _memory_for(3, fitted._model("foundation").encoder.trunk),
        pytest.warns(UserWarning, match="going on with 1"),
        pytest.raises(torch.OutOfMemoryError),
    ):
        fitted.transform(X)


def test_a_model_elsewhere_is_copied_and_one_that_is_there_is_not():
    model = torch.nn.Linear(2, 2)
    assert on_device(model, torch.device("cpu")) is model
    elsewhere = on_device(model, torch.device("meta"))
    assert (elsewhere.weight.device.type, model.weight.device.type) == ("meta", "cpu")
    assert on_device(elsewhere, torch.device("meta")) is elsewhere
