# License: BSD-3-Clause
"""Models that scale their input give codes that do not depend on gains, and restore signals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mne_neurorvq import BrainRVQTransformer, NeuroRVQTransformer, load_pretrained
from mne_neurorvq.analysis import Gain, code_stability
from mne_neurorvq.datasets import simulate_epochs
from mne_neurorvq.models import BrainRVQ, BrainRVQTokenizer, NeuroRVQ, NeuroRVQTokenizer
from mne_neurorvq.weights import save_pretrained

MODELS = {
    "neurorvq": (NeuroRVQTokenizer, NeuroRVQ, NeuroRVQTransformer),
    "brainrvq": (BrainRVQTokenizer, BrainRVQ, BrainRVQTransformer),
}
ROWS = torch.tensor([3, 41, 60, 1])
EVERY = [(system, per) for system in MODELS for per in ("segment", "channel")]


def _config(system, per, **changes):
    return replace(load_pretrained(f"{system}-eeg-tiny-random").config, input_scale=per, **changes)


def _tokenizer(system, per, **changes):
    torch.manual_seed(0)
    return MODELS[system][0](config=_config(system, per, **changes)).eval()


def _windows(n_trials=3, n_patches=3):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n_trials, len(ROWS), 200 * n_patches, generator=generator).cumsum(-1)
    return torch.tensor([0.5, 2.0, 1.0, 30.0])[:, None] * (x - x.mean(-1, keepdim=True))


@pytest.mark.parametrize(("system", "per"), EVERY)
@pytest.mark.parametrize("gain", [1.2, 0.01, 3e4])
def test_a_gain_changes_no_code_and_is_restored(system, per, gain):
    model, x = _tokenizer(system, per), _windows()
    with torch.inference_mode():
        (codes, side), (louder, own) = model.encode(x, ROWS), model.encode(gain * x, ROWS)
        rebuilt, again = model.decode_codes(codes, side, ROWS), model.decode_codes(codes, own, ROWS)
    assert (louder == codes).float().mean() > 0.999
    torch.testing.assert_close(again / gain, rebuilt, rtol=1e-3, atol=1e-3)
    assert side.shape[1:] == model.config.side_shape(4, (3,))[-side.ndim + 1 :]


@pytest.mark.parametrize("system", MODELS)
def test_a_loud_channel_changes_no_code_of_any_channel_if_each_is_scaled(system):
    x = _windows()
    loud = x.clone()
    loud[:, 1] *= 500
    equal = {}
    for per in ("none", "segment", "channel"):
        model = _tokenizer(system, per)
        with torch.inference_mode():
            codes, found = model.encode(x, ROWS)[0], model.encode(loud, ROWS)[0]
        equal[per] = (found == codes).float().mean()
    assert equal["channel"] > 0.999
    assert max(equal["none"], equal["segment"]) < 0.9


@pytest.mark.parametrize(("system", "per"), EVERY)
def test_a_call_codes_and_decodes(system, per):
    model, x = _tokenizer(system, per), _windows()
    with torch.inference_mode():
        decoded = model.decode_codes(*model.encode(x, ROWS), ROWS)
        torch.testing.assert_close(model(x, ROWS), decoded)
        torch.testing.assert_close(model.assess(x, ROWS)[0], decoded)


@pytest.mark.parametrize("per", ["segment", "channel"])
def test_the_spectrum_alone_is_restored_in_the_size_of_the_input(per):
    quantizer = replace(load_pretrained("brainrvq-eeg-tiny-random").config.quantizer, n_codebooks=1)
    model = _tokenizer("brainrvq", per, domains=("frequency",), quantizer=quantizer)
    x = _windows()
    patches, scale, _ = model._patches(x, ROWS)
    side = model._with_scale(model._analyse(patches).side, scale)
    view = model._analyse(patches)._replace(side=model._without_scale(side)[0])
    torch.testing.assert_close(model._synthesise(view).flatten(2), x, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("system", "per"), EVERY)
def test_flat_channels_and_pulses_are_finite(system, per):
    model, x = _tokenizer(system, per), _windows()
    x[0, 0] = 0
    x[1] = 7
    x[2, 2] = 0
    x[2, 2, 50] = 100
    with torch.inference_mode():
        codes, side = model.encode(x, ROWS)
        assert torch.isfinite(side).all()
        assert torch.isfinite(model.decode_codes(codes, side, ROWS)).all()


@pytest.mark.parametrize("system", MODELS)
def test_rounding_in_a_flat_channel_stays_small(system):
    model, x = _tokenizer(system, "channel"), _windows()
    x[:, 0] *= 1e-7
    patches, _, _ = model._patches(x, ROWS)
    assert patches[:, 0].std() < 0.1 < patches[:, 1].std()


@pytest.mark.parametrize("system", MODELS)
def test_features_do_not_depend_on_the_gain_and_tell_channels_of_different_size(system):
    torch.manual_seed(0)
    model = MODELS[system][1](config=_config(system, "channel")).eval()
    torch.nn.init.normal_(model.encoder.scale_embed)
    x = _windows()
    louder = x.clone()
    louder[:, 1] *= 3

    def features(windows):
        with torch.inference_mode():
            return model(windows, ROWS, return_features=True)["features"]

    torch.testing.assert_close(features(5 * x), features(x), rtol=1e-3, atol=1e-4)
    assert (features(louder) - features(x))[:, 1].abs().mean() > 0.01


@pytest.mark.parametrize(("system", "per"), EVERY)
def test_what_is_to_be_restored_may_differ_from_the_input(system, per):
    model, x = _tokenizer(system, per), _windows()
    noisy = x + 0.1 * x.std() * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        own, _ = model.losses(noisy, ROWS)
        same, _ = model.losses(noisy, ROWS, noisy.clone())
        clean, quantized = model.losses(noisy, ROWS, x)
    assert own == same
    assert own["phase"] != clean["phase"]
    codes = quantized.codes.movedim(0, 1).unflatten(0, (*x.shape[:2], 3))
    assert torch.equal(codes, model.encode(noisy, ROWS)[0])


@pytest.mark.filterwarnings("ignore:.*filter:UserWarning")
@pytest.mark.parametrize(("system", "per"), EVERY)
def test_estimators_code_and_restore_louder_trials(system, per, tmp_path):
    folder = save_pretrained(tmp_path / "model", _tokenizer(system, per))
    epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    model = MODELS[system][2](folder, output="tokens", verbose=False).fit(epochs)
    assert code_stability(model, epochs, {"louder": Gain(1.2)}).mean["louder"].min() > 0.999
    tokens = model.tokenize(epochs)
    # The scales are among the bits that are counted.
    plain = save_pretrained(tmp_path / "plain", _tokenizer(system, "none"))
    without = MODELS[system][2](plain, output="tokens", verbose=False).fit(epochs).tokenize(epochs)
    assert (tokens.bits_per_second > without.bits_per_second) == (system == "neurorvq")
    louder = epochs.copy()
    louder._data *= 1.2
    rebuilt, wanted = model.reconstruct(louder).get_data(), model.reconstruct(epochs).get_data()
    np.testing.assert_allclose(rebuilt, 1.2 * wanted, rtol=1e-3, atol=1e-3 * wanted.std())
