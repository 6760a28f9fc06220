# License: BSD-3-Clause
"""Tokenizer and foundation model beyond the recorded cases: shapes, symmetries, refusals."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQ, NeuroRVQTokenizer

ROWS = torch.tensor([36, 7, 60])


@pytest.fixture(scope="module")
def tiny():
    return load_pretrained("neurorvq-eeg-tiny-random")


@pytest.fixture(scope="module")
def masked(tiny):
    """A foundation model with the heads of the pretraining."""
    torch.manual_seed(0)
    model = NeuroRVQ(config=tiny.config, masked_token_heads=True).eval()
    model.encoder.load_state_dict(tiny.foundation.encoder.state_dict())
    return model


def _windows(n_trials=3, n_channels=3, n_patches=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 20 * torch.randn(n_trials, n_channels, 200 * n_patches, generator=generator)


@torch.no_grad()
def test_a_reconstruction_is_the_decoding_of_the_codes(tiny):
    x = _windows()
    codes, side = tiny.tokenizer.encode(x, ROWS)
    assert codes.shape == (3, 3, 2, 4, 2)
    assert codes.dtype == torch.int64
    assert side.shape == (3, 2)
    decoded = tiny.tokenizer.decode_codes(codes, side, ROWS)
    torch.testing.assert_close(decoded, tiny.tokenizer(x, ROWS), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_codes_and_features_do_not_depend_on_the_other_trials(tiny):
    x = _windows()
    codes, side = tiny.tokenizer.encode(x, ROWS)
    features = tiny.foundation(x, ROWS, return_features=True)["features"]
    for i in range(3):
        alone = tiny.tokenizer.encode(x[i : i + 1], ROWS)
        assert torch.equal(alone[0][0], codes[i])
        torch.testing.assert_close(alone[1][0], side[i])
        one = tiny.foundation(x[i : i + 1], ROWS, return_features=True)["features"][0]
        torch.testing.assert_close(one, features[i], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_order_of_the_channels_does_not_matter(tiny):
    x, order = _windows(), torch.tensor([2, 0, 1])
    features = tiny.foundation(x, ROWS, return_features=True)["features"]
    turned = tiny.foundation(x[:, order], ROWS[order], return_features=True)["features"]
    torch.testing.assert_close(turned, features[:, order], atol=1e-5, rtol=1e-5)
    codes, side = tiny.tokenizer.encode(x, ROWS)
    decoded = tiny.tokenizer.decode_codes(codes, side, ROWS)
    turned = tiny.tokenizer.decode_codes(codes[:, order], side, ROWS[order])
    torch.testing.assert_close(turned, decoded[:, order], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_place_of_a_channel_matters(tiny):
    x = _windows()
    one, other = (
        tiny.foundation(x, rows, return_features=True)["features"] for rows in (ROWS, ROWS + 1)
    )
    assert (one - other).abs().max() > 1e-2


@torch.no_grad()
def test_names_given_to_the_constructor_are_rows_given_to_the_call(tiny):
    chs = [{"ch_name": name} for name in ("Cz", "C1", "AF7")]
    rows = torch.tensor([tiny.config.channels.index(ch["ch_name"].lower()) for ch in chs])
    x = _windows()
    model = NeuroRVQ(chs_info=chs, config=tiny.config).eval()
    model.load_state_dict(tiny.foundation.state_dict())
    found = model(x, return_features=True)["features"]
    assert torch.equal(found, tiny.foundation(x, rows, return_features=True)["features"])
    tokenizer = NeuroRVQTokenizer(chs_info=chs, config=tiny.config).eval()
    tokenizer.load_state_dict(tiny.tokenizer.state_dict())
    assert torch.equal(tokenizer.encode(x)[0], tiny.tokenizer.encode(x, rows)[0])


@pytest.mark.parametrize(
    "shape", [(2,), (2, 3, 1, 4), (2, 3, 1, 3, 2), (2, 3, 1, 4, 3), (2, 3, 1, 4, 0)]
)
def test_codes_of_another_shape_are_refused(tiny, shape):
    codes = torch.zeros(shape, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"codes must be.*4, 1\.\.2"):
        tiny.tokenizer.decode_codes(codes, torch.ones(2, 2), ROWS)


@pytest.mark.parametrize("value", [-1, 16])
def test_codes_that_are_not_in_the_codebook_are_refused(tiny, value):
    codes = torch.full((1, 3, 1, 4, 2), value)
    with pytest.raises(ValueError, match=r"codes must lie in 0\.\.15"):
        tiny.tokenizer.decode_codes(codes, torch.ones(1, 2), ROWS)


@pytest.mark.parametrize("shape", [(2, 2), (1, 2), (4, 3), (4,)])
def test_side_information_for_other_trials_is_refused(tiny, shape):
    codes = torch.zeros((4, 3, 1, 4, 2), dtype=torch.int64)
    with pytest.raises(ValueError, match="side must be"):
        tiny.tokenizer.decode_codes(codes, torch.ones(shape), ROWS)


def test_codes_beyond_the_token_budget_are_refused(tiny):
    codes = torch.zeros((1, 3, 86, 4, 2), dtype=torch.int64)
    with pytest.raises(ValueError, match="token budget"):
        tiny.tokenizer.decode_codes(codes, torch.ones(1, 2), ROWS)


@pytest.mark.parametrize("row", [-1, 104])
def test_rows_that_are_not_in_the_vocabulary_are_refused(tiny, row):
    rows = torch.tensor([36, row, 60])
    with pytest.raises(ValueError, match=r"channel_ids must lie in 0\.\.103"):
        tiny.foundation(_windows(), rows, return_features=True)
    with pytest.raises(ValueError, match="channel_ids"):
        tiny.tokenizer.encode(_windows(), rows)
    codes = torch.zeros((1, 3, 1, 4, 2), dtype=torch.int64)
    with pytest.raises(ValueError, match="channel_ids"):
        tiny.tokenizer.decode_codes(codes, torch.ones(1, 2), rows)


@torch.no_grad()
def test_fewer_levels_decode_to_another_signal(tiny):
    codes, side = tiny.tokenizer.encode(_windows(), ROWS)
    whole = tiny.tokenizer.decode_codes(codes, side, ROWS)
    coarse = tiny.tokenizer.decode_codes(codes[..., :1], side, ROWS)
    assert coarse.shape == whole.shape
    assert (coarse - whole).abs().max() > 0


def test_the_losses_reach_every_weight_of_the_tokenizer(tiny):
    model = copy.deepcopy(tiny.tokenizer).train()
    losses, _ = model.losses(_windows(), ROWS)
    assert set(losses) == {"code", "amplitude", "phase", "signal", "waveform"}
    sum(losses.values()).backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.any())
    ]
    assert not without


def test_the_masked_token_loss_reaches_every_weight_of_the_foundation_model(masked):
    model = copy.deepcopy(masked).train()
    mask = torch.rand(3, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    first, second = model.masked_token_logits(_windows(), mask, ROWS)
    (first.logsumexp(-1).mean() + second.square().mean()).backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.any())
    ]
    assert not without


@torch.no_grad()
def test_the_inverted_mask_swaps_the_two_predictions(masked):
    x = _windows()
    mask = torch.rand(3, 3, 2, generator=torch.Generator().manual_seed(1)) < 0.4
    first, second = masked.masked_token_logits(x, mask, ROWS)
    n_masked = int(mask.sum())
    assert first.shape == (4, 2, n_masked, 16)
    assert second.shape == (4, 2, 18 - n_masked, 16)
    swapped = masked.masked_token_logits(x, ~mask.flatten(1), ROWS)
    assert torch.equal(swapped[0], second)
    assert torch.equal(swapped[1], first)


@torch.no_grad()
def test_logits_come_in_the_order_of_the_mask(masked):
    x = _windows()
    everything = torch.ones(3, 6, dtype=torch.bool)
    hidden, _ = masked.masked_token_logits(x, everything, ROWS)
    # With all content hidden only the place is left: the same for every trial.
    by_trial = hidden.unflatten(2, (3, 6))
    torch.testing.assert_close(by_trial[:, :, 0], by_trial[:, :, 2], atol=1e-5, rtol=1e-5)
    assert (by_trial[:, :, 0, 0] - by_trial[:, :, 0, 1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    "mask",
    [
        torch.ones(3, 5, dtype=torch.bool),
        torch.ones(3, 6),
        torch.ones(2, 6, dtype=torch.bool),
        torch.ones(6, dtype=torch.bool),
    ],
    ids=["tokens", "dtype", "trials", "axes"],
)
def test_a_mask_that_does_not_fit_is_refused(masked, mask):
    with pytest.raises(ValueError, match=r"mask must be bool of shape \(3, 6\)"):
        masked.masked_token_logits(_windows(), mask, ROWS)


def test_a_model_without_pretraining_heads_says_so(tiny):
    with pytest.raises(ValueError, match="masked_token_heads=True"):
        tiny.foundation.masked_token_logits(_windows(), torch.ones(3, 6).bool(), ROWS)


def test_a_model_without_a_classification_head_says_so(tiny):
    with pytest.raises(ValueError, match="no classification head"):
        tiny.foundation(_windows(), ROWS)


@torch.no_grad()
def test_features_are_those_that_the_head_sees(tiny):
    model = NeuroRVQ(4, config=tiny.config).eval()
    found = model(_windows(), ROWS, return_features=True)
    assert found["features"].shape == (3, 3, 2, 800)
    assert found["cls_token"] is None
    logits = model.final_layer(found["features"].mean((1, 2)))
    torch.testing.assert_close(model(_windows(), ROWS), logits)


@torch.no_grad()
def test_a_flat_head_sees_all_patches_in_a_row(tiny):
    model = NeuroRVQ(4, n_chans=3, n_times=400, config=tiny.config, head="flatten").eval()
    assert model.final_layer.linear.in_features == 3 * 2 * 800
    features = model(_windows(), ROWS, return_features=True)["features"]
    torch.testing.assert_close(model(_windows(), ROWS), model.final_layer(features.flatten(1)))


def test_a_flat_head_needs_to_know_the_window(tiny):
    with pytest.raises(ValueError, match="needs n_chans"):
        NeuroRVQ(4, n_times=400, config=tiny.config, head="flatten")
    with pytest.raises(ValueError, match="head must be 'mean' or 'flatten', got 'max'"):
        NeuroRVQ(config=tiny.config, head="max")


def test_a_new_head_leaves_the_encoder(tiny):
    model = NeuroRVQ(4, config=tiny.config)
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    model.reset_head(7)
    assert model.n_outputs == 7
    assert model(_windows(), ROWS).shape == (3, 7)
    assert all(torch.equal(before[n], value) for n, value in model.encoder.state_dict().items())
    names = {name.partition(".")[0] for name in model.state_dict()}
    assert names == {"encoder", "final_layer"}


@torch.no_grad()
def test_a_new_model_starts_from_the_published_initialisation(tiny):
    torch.manual_seed(0)
    model = NeuroRVQTokenizer(config=tiny.config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif parameter.ndim == 1:
            assert bool((parameter == 1).all()), name
        elif parameter.numel() > 1000:
            depth = 2**0.5 if name.endswith(("attn.proj.weight", "mlp.fc2.weight")) else 1.0
            assert float(parameter.std()) == pytest.approx(0.02 / depth, rel=0.1), name


def test_pretrained_weights_of_the_encoder_are_copied_and_nothing_else(masked):
    given = copy.deepcopy(masked).requires_grad_(False).bfloat16()
    given.reset_head(5)
    chs = [{"ch_name": name} for name in ("Cz", "C1", "AF7")]
    model = NeuroRVQ(2, chs_info=chs, masked_token_heads=True, pretrained=given)
    assert model.config == given.config
    assert model.final_layer.linear.out_features == 2
    wanted = given.encoder.state_dict()
    for name, value in model.encoder.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, wanted[name].float()), name
        assert value.data_ptr() != wanted[name].data_ptr()
    assert not torch.equal(model.masked_tokens.weight, given.masked_tokens.weight.float())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert NeuroRVQ(pretrained=given).masked_tokens is None


def test_a_configuration_beside_pretrained_weights_must_be_theirs(tiny):
    assert NeuroRVQ(config=tiny.config, pretrained=tiny.foundation).config == tiny.config
    other = replace(tiny.config, depth=2, max_patches=128)
    with pytest.raises(ValueError, match="differs from that of pretrained in max_patches, depth:"):
        NeuroRVQ(config=other, pretrained=tiny.foundation)


@pytest.mark.parametrize("wrap", [lambda loaded: loaded, lambda loaded: loaded.tokenizer])
def test_what_is_no_foundation_model_is_no_pretrained_model(tiny, wrap):
    given = wrap(tiny)
    wanted = rf"must be a NeuroRVQ, got {type(given).__name__}: give load_pretrained\(name\)\.found"
    with pytest.raises(TypeError, match=wanted):
        NeuroRVQ(2, pretrained=given)
    with pytest.raises(TypeError, match=r"got str: give load_pretrained\('small'\)\.foundation"):
        NeuroRVQ(2, pretrained="small")


def test_without_pretrained_weights_the_structure_is_the_published_one():
    with torch.device("meta"):
        assert NeuroRVQ().config == NEURORVQ_EEG
