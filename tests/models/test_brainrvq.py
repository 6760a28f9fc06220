# License: BSD-3-Clause
"""BrainRVQ beyond the recorded case: symmetries, ablations, gradients, refusals."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
import torch

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import (
    BRAINRVQ_EEG,
    NEURORVQ_EEG,
    BrainRVQ,
    BrainRVQConfig,
    BrainRVQTokenizer,
    NeuroRVQ,
    WindowModel,
    token_cross_entropy,
)

NAMES = ("Cz", "FP1-F7", "Fp1")
ROWS = torch.tensor([41, 120, 0])
# Windows of three montages, the last two of which are the same.
MIXED = torch.tensor([[41, 120, 0], [3, 127, 60], [60, 3, 127], [60, 3, 127]])


@pytest.fixture(scope="module")
def tiny():
    return load_pretrained("brainrvq-eeg-tiny-random")


def _config(**changes):
    small = load_pretrained("brainrvq-eeg-tiny-random").config
    if "domains" in changes:
        changes["quantizer"] = replace(small.quantizer, n_codebooks=len(changes["domains"]))
    return replace(small, **changes)


def _tokenizer(**changes):
    torch.manual_seed(0)
    return BrainRVQTokenizer(config=_config(**changes)).eval()


def _foundation(**changes):
    torch.manual_seed(0)
    config = _config(foundation_drop_path=0.0, **changes)
    return BrainRVQ(config=config, masked_token_heads=True).eval()


@pytest.fixture(scope="module")
def masked():
    """A foundation model with the heads of the pretraining; not to be changed."""
    return _foundation()


def _windows(n_trials=3, n_patches=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.2 * torch.randn(n_trials, 3, 200 * n_patches, generator=generator)


def _mask(share=0.5, seed=0, n_trials=3):
    return torch.rand(n_trials, 6, generator=torch.Generator().manual_seed(seed)) < share


def _close(found, wanted, atol=1e-5):
    torch.testing.assert_close(found, wanted, atol=atol, rtol=1e-5)


def _without_gradient(model):
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.any())
    ]


@pytest.mark.parametrize("domains", [("time", "frequency"), ("time",), ("frequency",)])
@torch.no_grad()
def test_a_reconstruction_is_the_decoding_of_the_codes(domains):
    model, x = _tokenizer(domains=domains), _windows()
    codes, side = model.encode(x, ROWS)
    assert codes.shape == (3, 3, 2, len(domains), 3)
    assert codes.dtype == torch.int64
    assert side.shape == (3, 3, 2, 2)
    decoded = model.decode_codes(codes, side, ROWS)
    assert decoded.shape == x.shape
    _close(decoded, model(x, ROWS))
    part = model.decode_codes(codes[1:2], side[1:2], ROWS)
    _close(part[0], decoded[1])


@torch.no_grad()
def test_a_signal_is_decoded_from_the_codes_of_the_time_domain(tiny):
    codes, side = tiny.tokenizer.encode(_windows(), ROWS)
    decoded = tiny.tokenizer.decode_codes(codes, side, ROWS)
    other = codes.clone()
    other[..., 1, :] = (other[..., 1, :] + 1) % 16
    assert torch.equal(tiny.tokenizer.decode_codes(other, side, ROWS), decoded)
    other = codes.clone()
    other[..., 0, :] = (other[..., 0, :] + 1) % 16
    assert (tiny.tokenizer.decode_codes(other, side, ROWS) - decoded).abs().max() > 1e-3


@torch.no_grad()
def test_side_information_is_the_offset_and_size_of_each_patch(tiny):
    codes, side = tiny.tokenizer.encode(_windows(), ROWS)
    decoded = tiny.tokenizer.decode_codes(codes, side, ROWS).unflatten(-1, (2, 200))
    side[0, 1, 1] = side[0, 1, 1] * torch.tensor([1.0, 3.0]) + torch.tensor([0.5, 0.0])
    changed = tiny.tokenizer.decode_codes(codes, side, ROWS).unflatten(-1, (2, 200))
    mean = side[0, 1, 1, 0]
    _close(changed[0, 1, 1], 3 * (decoded[0, 1, 1] - (mean - 0.5)) + mean, atol=1e-4)
    changed[0, 1, 1] = decoded[0, 1, 1]
    assert torch.equal(changed, decoded)


@torch.no_grad()
def test_fewer_levels_decode_to_another_signal(tiny):
    codes, side = tiny.tokenizer.encode(_windows(), ROWS)
    whole = tiny.tokenizer.decode_codes(codes, side, ROWS)
    coarse = tiny.tokenizer.decode_codes(codes[..., :1], side, ROWS)
    assert coarse.shape == whole.shape
    assert (coarse - whole).abs().max() > 1e-4


@torch.no_grad()
def test_a_mixed_batch_gives_what_each_window_gives_alone(tiny, masked):
    x, mask = _windows(4), torch.zeros(4, 3, 2, dtype=torch.bool)
    mask[:, 1:, 0] = True
    codes, side = tiny.tokenizer.encode(x, MIXED)
    decoded = tiny.tokenizer.decode_codes(codes, side, MIXED)
    found = masked(x, MIXED, return_features=True)
    both = masked.masked_token_logits(x, mask, MIXED, codes)
    for i, rows in enumerate(MIXED):
        one = x[i : i + 1]
        alone = tiny.tokenizer.encode(one, rows)
        assert torch.equal(alone[0], codes[i : i + 1])
        _close(alone[1], side[i : i + 1])
        _close(tiny.tokenizer.decode_codes(*alone, rows), decoded[i : i + 1])
        features = masked(one, rows, return_features=True)
        _close(features["features"], found["features"][i : i + 1])
        _close(features["cls_token"], found["cls_token"][i : i + 1])
        logits = masked.masked_token_logits(one, mask[i : i + 1], rows, codes[i : i + 1])
        for part, whole, n_hidden in zip(logits, both, (2, 4), strict=True):
            _close(part, whole[:, :, n_hidden * i : n_hidden * (i + 1)])


@torch.no_grad()
def test_the_order_of_the_channels_does_not_matter(tiny, masked):
    x, order = _windows(), torch.tensor([2, 0, 1])
    codes, side = tiny.tokenizer.encode(x, ROWS)
    turned = tiny.tokenizer.encode(x[:, order], ROWS[order])
    assert torch.equal(turned[0], codes[:, order])
    decoded = tiny.tokenizer.decode_codes(codes, side, ROWS)
    _close(tiny.tokenizer.decode_codes(*turned, ROWS[order]), decoded[:, order])
    found = masked(x, ROWS, return_features=True)
    again = masked(x[:, order], ROWS[order], return_features=True)
    _close(again["features"], found["features"][:, order])
    _close(again["cls_token"], found["cls_token"])
    # In pretraining, too: the class token has a place of its own.
    mask = torch.zeros(3, 3, 2, dtype=torch.bool)
    mask[:, 0] = True
    logits = masked.masked_token_logits(x, mask, ROWS)[0]
    _close(masked.masked_token_logits(x[:, order], mask[:, order], ROWS[order])[0], logits)


@torch.no_grad()
def test_a_bipolar_channel_is_not_its_first_electrode(tiny):
    x = _windows()
    one, other = (
        tiny.foundation(x, rows, return_features=True)["features"]
        for rows in (torch.tensor([41, 120, 0]), torch.tensor([41, 0, 120]))
    )
    assert (one - other).abs().max() > 1e-2
    found = BrainRVQ(chs_info=[{"ch_name": name} for name in NAMES], config=tiny.config)
    assert found._channel_ids.tolist() == ROWS.tolist()


@pytest.mark.parametrize("name", ["F3-C3", "FP1-F3", "E12"])
def test_channels_without_a_row_are_refused(tiny, name):
    with pytest.raises(ValueError, match=rf"\['{name}'\] are not in the eeg vocabulary of 128"):
        BrainRVQ(chs_info=[{"ch_name": name}], config=tiny.config)


def test_windows_may_have_thirty_patches_of_any_number_of_channels(tiny):
    assert tiny.config.patches_per_segment(128) == 30
    with torch.no_grad():
        codes, _ = tiny.tokenizer.encode(torch.zeros(1, 20, 30 * 200), torch.arange(20))
    assert codes.shape == (1, 20, 30, 2, 3)
    with pytest.raises(ValueError, match="3 channels x 31 patches exceed the token budget, 30"):
        tiny.tokenizer.encode(torch.zeros(1, 3, 31 * 200), ROWS)


@pytest.mark.parametrize("name", ["brainrvq-eeg-tiny-random", "neurorvq-eeg-tiny-random"])
@torch.no_grad()
def test_an_assessment_is_the_reconstruction_with_its_losses(name):
    model, x = load_pretrained(name).tokenizer, _windows()
    rebuilt, losses, quantized = model.assess(x, ROWS.clamp(max=100))
    assert torch.equal(rebuilt, model(x, ROWS.clamp(max=100)))
    wanted, again = model.losses(x, ROWS.clamp(max=100))
    assert losses == wanted
    assert torch.equal(quantized.codes, again.codes)


@pytest.mark.parametrize("phase", ["circular", "angle"])
def test_the_losses_reach_every_weight_of_the_tokenizer(phase):
    model = _tokenizer(phase=phase).train()
    losses, quantized = model.losses(_windows(), ROWS)
    assert set(losses) == {"code", "waveform", "amplitude", "phase"}
    assert quantized.codes.shape == (2, 18, 3)
    sum(losses.values()).backward()
    assert not _without_gradient(model)


@pytest.mark.parametrize(
    ("domains", "terms"),
    [(("time",), {"code", "waveform"}), (("frequency",), {"code", "amplitude", "phase"})],
)
def test_a_single_domain_has_its_own_losses_and_no_other_weights(domains, terms):
    model = _tokenizer(domains=domains).train()
    losses, _ = model.losses(_windows(), ROWS)
    assert set(losses) == terms
    sum(losses.values()).backward()
    assert not _without_gradient(model)
    assert set(model.decoders) == set(domains)
    assert model.quantizer.codebook.shape[0] == 1


@pytest.mark.parametrize("phase", ["circular", "angle"])
def test_a_window_of_zeros_trains_nothing_to_nan(phase):
    model = _tokenizer(phase=phase).train()
    losses, _ = model.losses(torch.zeros(2, 3, 400), ROWS)
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_each_domain_learns_its_own_codebooks_from_one_feature():
    model = _tokenizer().train()
    before = model.quantizer.codebook.clone()
    model.quantizer.started.fill_(True)
    model.losses(_windows(), ROWS)
    moved = (model.quantizer.codebook - before).abs().amax((2, 3))
    assert (moved > 0).all()
    patches = _windows().unflatten(-1, (2, 200))
    vectors = model.to_vectors(patches, ROWS)
    assert torch.equal(vectors[0], vectors[1])


@torch.no_grad()
def test_a_level_is_predicted_from_the_levels_before_it_and_from_no_other(masked, tiny):
    x, mask = _windows(), _mask()
    codes, _ = tiny.tokenizer.encode(x, ROWS)
    told = masked.masked_token_logits(x, mask, ROWS, codes)[0]
    for level in range(3):
        other = codes.clone()
        other[..., 0, level] = (other[..., 0, level] + 1) % 16
        changed = masked.masked_token_logits(x, mask, ROWS, other)[0] - told
        by_level = changed.abs().amax((2, 3))
        assert by_level[1].max() == 0  # the other domain
        assert [bool(value > 1e-4) for value in by_level[0]] == [False, level < 1, level < 2]


@torch.no_grad()
def test_without_codes_the_heads_go_on_from_their_likeliest_guesses(masked):
    x, mask = _windows(), _mask()
    free = masked.masked_token_logits(x, mask, ROWS)
    codes = torch.zeros(3, 6, 2, 3, dtype=torch.int64)
    for logits, hidden in zip(free, (mask, ~mask), strict=True):
        codes[hidden] = logits.argmax(-1).permute(2, 0, 1)
    codes = codes.unflatten(1, (3, 2))
    for one, other in zip(free, masked.masked_token_logits(x, mask, ROWS, codes), strict=True):
        assert torch.equal(one, other)


@torch.no_grad()
def test_parallel_heads_do_not_look_at_the_codes(tiny):
    model, x, mask = _foundation(token_heads="parallel"), _windows(), _mask()
    codes, _ = tiny.tokenizer.encode(x, ROWS)
    free = model.masked_token_logits(x, mask, ROWS)
    assert free[0].shape == (2, 3, int(mask.sum()), 16)
    told = model.masked_token_logits(x, mask, ROWS, codes)
    assert torch.equal(free[0], told[0])
    assert not hasattr(model.masked_tokens, "embedding")


@torch.no_grad()
def test_the_inverted_mask_swaps_the_two_predictions(masked):
    x, mask = _windows(), _mask(0.4, seed=1)
    first, second = masked.masked_token_logits(x, mask.unflatten(1, (3, 2)), ROWS)
    assert first.shape == (2, 3, int(mask.sum()), 16)
    assert second.shape == (2, 3, int((~mask).sum()), 16)
    swapped = masked.masked_token_logits(x, ~mask, ROWS)
    assert torch.equal(swapped[0], second)
    assert torch.equal(swapped[1], first)


@pytest.mark.parametrize("heads", ["hierarchical", "parallel"])
def test_the_masked_token_loss_reaches_every_weight_of_the_foundation_model(heads, tiny):
    model = _foundation(token_heads=heads).train()
    x, mask = _windows(), _mask()
    codes, _ = tiny.tokenizer.encode(x, ROWS)
    logits = model.masked_token_logits(x, mask, ROWS, codes)
    token_cross_entropy(logits, codes, mask).sum().backward()
    assert not _without_gradient(model)


def test_codes_for_other_windows_are_refused(masked):
    for shape in ((2, 3, 2, 2, 3), (3, 3, 2, 2, 2), (3, 6, 2, 3)):
        codes = torch.zeros(shape, dtype=torch.int64)
        with pytest.raises(ValueError, match=r"codes must have the shape \(3, 3, 2, 2, 3\)"):
            masked.masked_token_logits(_windows(), _mask(), ROWS, codes)


def test_cross_entropy_is_that_of_each_codebook_level_and_mask():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(5, (2, 3, 1, 2, 3), generator=generator)
    mask = torch.tensor([[True, False, False], [True, True, False]])
    logits = tuple(torch.randn(2, 3, n, 5, generator=generator) for n in (3, 3))
    found = token_cross_entropy(logits, codes, mask)
    assert found.shape == (2, 2, 3)
    for i, hidden in enumerate((mask, ~mask)):
        labels = codes[:, :, 0][hidden]
        for book in range(2):
            for level in range(3):
                logp = logits[i][book, level].log_softmax(-1)
                wanted = -logp[torch.arange(3), labels[:, book, level]].mean()
                torch.testing.assert_close(found[i, book, level], wanted)
    nothing = (torch.zeros(2, 3, 0, 5), torch.zeros(2, 3, 6, 5))
    assert not token_cross_entropy(nothing, codes, torch.zeros_like(mask))[0].any()


@pytest.mark.parametrize("head", ["mean", "flatten", "cls"])
@torch.no_grad()
def test_a_head_sees_what_its_name_says(tiny, head):
    torch.manual_seed(0)
    model = BrainRVQ(4, 3, n_times=400, config=tiny.config, head=head).eval()
    found = model(_windows(), ROWS, return_features=True)
    assert found["features"].shape == (3, 3, 2, 200)
    assert found["cls_token"].shape == (3, 200)
    seen = {
        "mean": found["features"].mean((1, 2)),
        "flatten": found["features"].flatten(1),
        "cls": found["cls_token"],
    }
    _close(model(_windows(), ROWS), model.final_layer(seen[head]))
    assert model.final_layer.norm.eps == 1e-6
    model.reset_head(7)
    assert model(_windows(), ROWS).shape == (3, 7)


@torch.no_grad()
def test_a_window_model_pools_its_segments(tiny):
    generator = torch.Generator().manual_seed(0)
    model = WindowModel(tiny.foundation, 2, ROWS, (2, 1), (1, 1, 0.5), generator=generator)
    x = _windows(n_patches=3)
    parts = [
        tiny.foundation(part, ROWS, return_features=True)["features"]
        for part in (x[..., :400], x[..., 400:])
    ]
    every = torch.cat(parts, dim=2).mean(1)
    wanted = (every[:, 0] + every[:, 1] + 0.5 * every[:, 2]) / 2.5
    _close(model.eval().pooled(x), wanted)
    assert model.final_layer.norm.eps == 1e-6


def test_blocks_are_left_out_in_training_only_and_more_the_deeper():
    model = BrainRVQ(config=_config(depth=3, foundation_drop_path=0.4))
    assert [block.drop_path for block in model.encoder.trunk.blocks] == [0.0, 0.2, 0.4]
    x = _windows()
    with torch.no_grad():
        torch.manual_seed(0)
        one, other = (model.train()(x, ROWS, return_features=True)["features"] for _ in range(2))
        assert not torch.equal(one, other)
        one, other = (model.eval()(x, ROWS, return_features=True)["features"] for _ in range(2))
        assert torch.equal(one, other)


def test_pretrained_weights_of_the_encoder_are_copied_and_nothing_else(masked):
    chs = [{"ch_name": name} for name in NAMES]
    model = BrainRVQ(2, chs_info=chs, masked_token_heads=True, pretrained=masked)
    assert model.config == masked.config
    wanted = masked.encoder.state_dict()
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, wanted[name]), name
        assert value.data_ptr() != wanted[name].data_ptr()
    assert not torch.equal(model.masked_tokens.weight, masked.masked_tokens.weight)


def test_models_and_configurations_of_other_systems_are_refused(tiny):
    other = load_pretrained("neurorvq-eeg-tiny-random").foundation
    with pytest.raises(TypeError, match=r"must be a BrainRVQ, got NeuroRVQ: give load_pretrained"):
        BrainRVQ(pretrained=other)
    with pytest.raises(TypeError, match="must be a NeuroRVQ, got BrainRVQ"):
        NeuroRVQ(pretrained=tiny.foundation)
    with pytest.raises(TypeError, match="config must be a NeuroRVQConfig, got BrainRVQConfig"):
        NeuroRVQ(config=tiny.config)
    with pytest.raises(TypeError, match="config must be a BrainRVQConfig, got NeuroRVQConfig"):
        BrainRVQTokenizer(config=NEURORVQ_EEG)


@torch.no_grad()
def test_a_new_model_starts_from_the_published_initialisation():
    torch.manual_seed(0)
    for model in (_tokenizer(), _foundation()):
        for name, parameter in model.named_parameters():
            if name.endswith("bias") and "conv" not in name:
                assert not parameter.any(), name
            elif name.endswith(("gamma_1", "gamma_2")):
                assert bool((parameter == 0.1).all()), name
            elif name.endswith("fusion_weight") or (parameter.ndim == 1 and "conv" not in name):
                assert bool((parameter == 1).all()), name
            elif parameter.numel() > 1000 and "conv" not in name:
                depth = 2**0.5 if name.endswith(("attn.proj.weight", "mlp.fc2.weight")) else 1.0
                assert float(parameter.std()) == pytest.approx(0.02 / depth, rel=0.1), name
    # Signals are small numbers: convolutions start as torch's do.
    bound = 15**-0.5
    first = _tokenizer().encoder.scales[0].conv1.weight
    assert 0.9 * bound < float(first.abs().max()) <= bound


def test_a_configuration_survives_json():
    config = _config(phase="angle", token_heads="parallel", foundation_qkv_bias=True)
    assert BrainRVQConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    data = _config(domains=("time",)).to_dict()
    assert BrainRVQConfig.from_dict(json.loads(json.dumps(data))).domains == ("time",)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"domains": ("frequency", "time")}, "domains must be"),
        ({"domains": ()}, "or one of the two, got"),
        ({"domains": ("time",)}, r"n_codebooks=1, got 2"),
        ({"phase": "raw"}, r"phase must be one of \('circular', 'angle'\), got 'raw'"),
        ({"token_heads": "both"}, "token_heads must be one of"),
        ({"class_place": "zero"}, "class_place must be one of"),
        ({"foundation_drop_path": 1.0}, r"foundation_drop_path must be in \[0, 1\), got 1.0"),
        ({"n_heads": 7}, "n_heads=7 must divide the embedding width 200"),
        ({"max_patches": 0}, "max_patches must be at least 1"),
    ],
)
def test_a_structure_that_cannot_be_built_is_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        replace(BRAINRVQ_EEG, **changes)


def test_a_spectrum_alone_is_decoded_through_a_circular_phase():
    quantizer = replace(BRAINRVQ_EEG.quantizer, n_codebooks=1)
    with pytest.raises(ValueError, match="phase='angle' needs the time domain"):
        replace(BRAINRVQ_EEG, domains=("frequency",), quantizer=quantizer, phase="angle")


def test_other_widths_of_patches_give_other_embeddings():
    config = _config(patch_size=100, n_filters=4, n_groups=2, n_heads=4)
    assert config.embed_dim == 52
    model = BrainRVQTokenizer(config=config).eval()
    x = 0.2 * torch.randn(1, 2, 300, generator=torch.Generator().manual_seed(0))
    codes, side = model.encode(x, ROWS[:2])
    assert codes.shape == (1, 2, 3, 2, 3)
    assert model.decode_codes(codes, side, ROWS[:2]).shape == x.shape


def test_evaluation_changes_no_buffer(tiny):
    model = copy.deepcopy(tiny.tokenizer)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model.losses(_windows(), ROWS)
        model.decode_codes(*model.encode(_windows(), ROWS), ROWS)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
