# License: BSD-3-Clause
"""What a tokenizer learns to bear: noise that it is not to restore, and bad channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mne_neurorvq import load_pretrained
from mne_neurorvq.training import CropSettings, StageSettings, TokenizerStage, read_config
from mne_neurorvq.training.batches import Batch
from mne_neurorvq.training.crops import crop

ROBUST = CropSettings(gain_spread=0.0, noise_spread=0.1, restore="clean")
DATA = (10 * np.random.default_rng(0).standard_normal((4, 800)).cumsum(-1)).astype(np.float32)


def _crop(settings, seed=0, **options):
    rng = np.random.default_rng(seed)
    return crop(DATA, np.arange(4), (4, 4), settings, patch_size=200, rng=rng, **options)


def test_the_clean_signal_is_that_without_noise():
    plain = _crop(replace(ROBUST, noise_spread=0.0, restore="noisy"))
    noisy = _crop(replace(ROBUST, restore="noisy"))
    found = _crop(ROBUST)
    np.testing.assert_array_equal(found.clean, plain.data)
    np.testing.assert_array_equal(found.data, noisy.data)
    assert noisy.clean is plain.clean is None


def test_a_codec_scales_the_clean_signal_as_the_noisy_one():
    found = _crop(replace(ROBUST, gain_spread=0.5), scaled=True)
    both = np.stack([found.data, found.clean])
    assert np.abs(both).max() < 10
    noise = (both[0] - both[1]).std(-1)
    assert (noise > 0).all()
    # Quartiles of the noisy signal are one apart before the gain, those of the clean one less.
    width = np.diff(np.quantile(both, (0.25, 0.75), axis=-1), axis=0)[0]
    np.testing.assert_allclose(width[0], width[0, 0], rtol=1e-5)


def test_one_channel_of_some_windows_is_flat_or_noise_in_signal_and_target():
    settings = replace(ROBUST, bad_channels=0.5)
    kinds = []
    for seed in range(200):
        found = _crop(settings, seed)
        changed = np.abs(found.clean - DATA[found.picks]).max(-1) > 0
        assert changed.sum() <= 1
        if not changed.any():
            kinds.append("none")
        elif not found.clean[changed].any():
            assert not found.data[changed].any()
            kinds.append("flat")
        else:
            kinds.append("noise")
            assert found.clean[changed].std() > 5 * DATA[found.picks][changed].std()
    shares = [kinds.count(kind) / len(kinds) for kind in ("none", "flat", "noise")]
    np.testing.assert_allclose(shares, [0.5, 0.25, 0.25], atol=0.1)


@pytest.mark.parametrize(("n_channels", "reference"), [(7, "recorded"), (8, "average")])
def test_the_average_is_that_of_eight_channels_at_least(n_channels, reference):
    """As the estimators take it: that of two would make one the negative of the other."""
    data = np.tile(DATA, (2, 1))[:n_channels]
    settings, rng = CropSettings(gain_spread=0.0, average_reference=1.0), np.random.default_rng(0)
    rows = np.arange(n_channels)
    found = crop(data, rows, (n_channels, 4), settings, patch_size=200, rng=rng)
    assert found.reference == reference
    expected = data - data.mean(0) if reference == "average" else data
    np.testing.assert_array_equal(found.data, expected[found.picks])


@pytest.mark.parametrize("system", ["neurorvq", "brainrvq", "biocodec"])
def test_the_loss_is_that_of_restoring_the_clean_signal(system):
    tokenizer = load_pretrained(f"{system}-eeg-tiny-random").tokenizer
    stage = TokenizerStage(tokenizer, StageSettings(n_steps=2))
    stage.log = stage.log_dict = lambda *_, **__: None
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 2, 3, 400, generator=generator)
    rows = torch.tensor([[1, 2, 3], [3, 2, 1]])
    batches = [
        Batch(x + 0.1 * noise, rows, [], None, clean) for clean in (None, x, x + 0.1 * noise)
    ]
    noisy, clean, same = (stage.training_step(batch, 0).item() for batch in batches)
    assert noisy == same != clean


@pytest.mark.parametrize("system", ["neurorvq", "brainrvq"])
def test_small_models_are_trained_to_bear_gain_and_noise(system):
    config = read_config(system=system)
    assert config.model.config().input_scale == "channel"
    assert config.crops.noise_spread > 0
    assert config.crops.restore == "clean"


@pytest.mark.parametrize("system", ["neurorvq", "brainrvq"])
def test_a_configuration_says_what_the_input_is_divided_by(system):
    config = read_config(changes=["model.input_scale=segment"], system=system)
    assert config.model.config().input_scale == "segment"
    with pytest.raises(ValueError, match="input_scale"):
        read_config(changes=["model.input_scale=trial"], system=system)
