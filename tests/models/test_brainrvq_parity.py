# License: BSD-3-Clause
"""BrainRVQ computes what the authors' code computed, on the recorded case."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from mne_neurorvq.models import (
    BRAINRVQ_EEG,
    BRAINRVQ_LEVEL_WEIGHTS,
    BrainRVQ,
    ResidualVQ,
    analyse_dual,
    draw_mask,
    information_scores,
    information_weight,
    limit_runs,
    token_cross_entropy,
)

# 1e-4 would let a wrong epsilon of a LayerNorm pass.
ATOL = 5e-6
# A margin below this leaves the choice between two codes to rounding.
MARGIN = 1e-5
BOOKS = "tf"
FACTS = {"patch_size": 200, "sfreq": 200.0}


def _close(found, wanted, atol=ATOL):
    found = found.detach().numpy() if isinstance(found, torch.Tensor) else found
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=atol)


def _patches(brain):
    return brain.x.unflatten(-1, (-1, 200))


def _codes(brain):
    """Recorded codes, ``(batch, n_chans, n_patches, 2, 3)``."""
    books = np.stack([brain.tokenizer_io[f"tokens_{book}"] for book in BOOKS])
    codes = torch.from_numpy(books.astype(np.int64)).permute(2, 3, 0, 1)
    return codes.unflatten(1, (6, 4))


def test_the_vocabulary_has_the_recorded_rows(brain):
    wanted = brain.meta["standard_1020"]
    assert [name.upper() for name in BRAINRVQ_EEG.channels] == [n.upper() for n in wanted[:128]]
    rows = brain.inputs["input_chans"].tolist()
    assert [0, *(brain.channel_ids + 1).tolist()] == rows


@torch.no_grad()
def test_codes_are_those_of_the_authors(brain):
    codes, _ = brain.tokenizer.encode(brain.x, brain.channel_ids)
    found = codes.permute(3, 4, 0, 1, 2).flatten(3).numpy()
    for book, indices in zip(BOOKS, found, strict=True):
        certain = brain.tokenizer_io[f"margin_{book}"] > MARGIN
        assert certain.all()
        np.testing.assert_array_equal(indices, brain.tokenizer_io[f"tokens_{book}"])


@torch.no_grad()
def test_the_encoder_gives_the_recorded_embeddings_features_and_vectors(brain):
    model, io = brain.tokenizer, brain.tokenizer_io
    _close(model.encoder.embed(_patches(brain))[0], io["patch_embed"])
    features = model(brain.x, brain.channel_ids, return_features=True)["features"]
    _close(features.flatten(1, 2), io["encoder_features"])
    vectors = model.to_vectors(_patches(brain), brain.channel_ids)
    for book in vectors:
        _close(book.unflatten(0, (3, -1)), io["to_quantizer"])


@torch.no_grad()
def test_the_quantizers_sum_the_recorded_vectors(brain):
    _, _, quantized = brain.tokenizer.reconstruct(brain.x, brain.channel_ids)
    for book, vectors in zip(BOOKS, quantized.vectors, strict=True):
        found = vectors.unflatten(0, (3, 6, 4)).permute(0, 3, 1, 2)
        _close(found, brain.tokenizer_io[f"quantized_{book}"])


@torch.no_grad()
def test_targets_are_the_recorded_ones(brain):
    target, io = analyse_dual(_patches(brain), brain.tokenizer.config), brain.tokenizer_io
    _close(target.waveform, io["target_time"])
    _close(target.amplitude, io["target_amp"])
    _close(target.phase, io["target_angle"])


@torch.no_grad()
def test_the_decoders_predict_the_recorded_waveform_and_spectrum(brain):
    predicted, _, _ = brain.tokenizer.reconstruct(brain.x, brain.channel_ids)
    _close(predicted.waveform.flatten(1, 2), brain.tokenizer_io["rec_time"])
    _close(predicted.amplitude.flatten(1, 2), brain.tokenizer_io["rec_amp"])
    _close(predicted.phase.flatten(1, 2), brain.tokenizer_io["rec_angle"])


@torch.no_grad()
def test_codes_and_two_numbers_a_patch_give_the_recorded_waveform(brain):
    codes, side = brain.tokenizer.encode(brain.x, brain.channel_ids)
    decoded = brain.tokenizer.decode_codes(codes, side, brain.channel_ids)
    patches = _patches(brain)
    mean, std = patches.mean(-1, keepdim=True), patches.std(-1, keepdim=True)
    wanted = torch.from_numpy(brain.tokenizer_io["rec_time"]).unflatten(1, (6, 4))
    _close(decoded, (wanted * (std + 1e-6) + mean).flatten(2).numpy())


@torch.no_grad()
def test_every_loss_term_and_their_sum_are_the_recorded_ones(brain):
    losses, _ = brain.tokenizer.losses(brain.x, brain.channel_ids)
    io = brain.tokenizer_io
    assert set(losses) == {"code", "waveform", "amplitude", "phase"}
    assert float(losses["code"]) == pytest.approx(
        float(io["loss_quant_t"] + io["loss_quant_f"]), abs=ATOL
    )
    recorded = {
        "waveform": "loss_rec_time_loss",
        "amplitude": "loss_rec_loss",
        "phase": "loss_rec_angle_loss",
    }
    for name, theirs in recorded.items():
        assert float(losses[name]) == pytest.approx(float(io[theirs]), abs=ATOL)
    assert float(sum(losses.values())) == pytest.approx(float(io["loss_total"]), abs=ATOL)


@pytest.mark.parametrize("book", range(2))
@torch.no_grad()
def test_the_commitment_of_each_domain_is_the_recorded_one(brain, book):
    whole = brain.tokenizer.quantizer
    alone = ResidualVQ(replace(whole.config, n_codebooks=1)).eval()
    alone.load_state_dict(
        {n: t[book : book + 1] if t.ndim else t for n, t in whole.state_dict().items()}
    )
    vectors = torch.from_numpy(brain.tokenizer_io["to_quantizer"]).flatten(0, 1)[None]
    recorded = float(brain.tokenizer_io[f"loss_quant_{BOOKS[book]}"])
    assert float(alone(vectors).loss) == pytest.approx(recorded, abs=ATOL)


@pytest.mark.parametrize("taught", [True, False], ids=["teacher", "argmax"])
@torch.no_grad()
def test_masked_token_logits_are_the_recorded_ones_in_both_directions(brain, taught):
    codes = _codes(brain) if taught else None
    found = brain.pretraining.masked_token_logits(brain.x, brain.mask, brain.channel_ids, codes)
    prefix = "teacher" if taught else "eval_argmax"
    for logits, ending in zip(found, ("", "_sym"), strict=True):
        for book, one in zip(BOOKS, logits, strict=True):
            _close(one, brain.pretraining_io[f"{prefix}_{book}{ending}"])


@torch.no_grad()
def test_the_cross_entropies_are_the_recorded_ones(brain):
    codes = _codes(brain)
    logits = brain.pretraining.masked_token_logits(brain.x, brain.mask, brain.channel_ids, codes)
    by_level = token_cross_entropy(logits, codes, brain.mask)
    weighted = by_level @ torch.tensor(BRAINRVQ_LEVEL_WEIGHTS)
    io = brain.pretraining_io
    wanted = [[io[f"loss_rec{ending}_{book}"] for book in BOOKS] for ending in ("", "_sym")]
    np.testing.assert_allclose(weighted, np.array(wanted), rtol=0, atol=1e-5)
    assert float(weighted.sum()) == pytest.approx(float(io["loss_pretrain_total"]), abs=2e-5)


@pytest.mark.parametrize(
    ("hidden", "name"), [(True, "student_all"), (False, "student_all_unmasked")]
)
@torch.no_grad()
def test_the_pretrained_trunk_gives_the_recorded_tokens(brain, hidden, name):
    model = brain.pretraining
    embeddings = model.encoder.embed(_patches(brain))[0]
    if hidden:
        token = model.masked_tokens.mask_token
        embeddings = torch.where(brain.mask[..., None], token, embeddings)
    assert model.config.class_place == "first channel"
    tokens = model.encoder.trunk(
        embeddings, brain.channel_ids, class_channel=brain.channel_ids[:1], keep_class=True
    )
    _close(model.masked_tokens.norm(tokens), brain.pretraining_io[name])


@torch.no_grad()
def test_the_place_of_the_class_token_in_pretraining_is_one_setting(brain):
    given = brain.pretraining
    sane = BrainRVQ(config=replace(given.config, class_place="own"), masked_token_heads=True)
    sane.load_state_dict(given.state_dict())
    ours = sane.eval().masked_token_logits(brain.x, brain.mask, brain.channel_ids)[0]
    theirs = given.masked_token_logits(brain.x, brain.mask, brain.channel_ids)[0]
    assert (ours - theirs).abs().max() > 1e-3
    # It is told apart in pretraining only.
    features = [m(brain.x, brain.channel_ids, return_features=True) for m in (sane, given)]
    assert torch.equal(features[0]["cls_token"], features[1]["cls_token"])


@torch.no_grad()
def test_pooled_features_and_logits_are_the_recorded_ones(brain):
    model, io = brain.finetuning, brain.finetuning_io
    found = model(brain.x, brain.channel_ids, return_features=True)
    norm, linear = model.final_layer.norm, model.final_layer.linear
    _close(norm(found["features"].mean((1, 2))), io["features_pooled"])
    _close(norm(found["features"]).flatten(1, 2), io["features_patch"])
    tokens = torch.cat((found["cls_token"][:, None], found["features"].flatten(1, 2)), dim=1)
    _close(norm(tokens), io["features_all"])
    _close(model(brain.x, brain.channel_ids), io["logits"])
    _close(linear(norm(tokens)), io["logits_all_tokens"])


@torch.no_grad()
def test_a_head_over_the_class_token_gives_the_recorded_logits(brain):
    model = BrainRVQ(4, config=brain.finetuning.config, head="cls").eval()
    model.load_state_dict(copy.deepcopy(brain.finetuning.state_dict()))
    cls = model(brain.x, brain.channel_ids, return_features=True)["cls_token"]
    _close(model.final_layer.norm(cls), brain.finetuning_io["cls_features"])
    _close(model(brain.x, brain.channel_ids), brain.finetuning_io["cls_logits"])


def test_information_scores_are_the_recorded_ones(brain):
    io = brain.masking_io
    _close(information_scores(brain.x, **FACTS).flatten(1), io["info_scores"])
    longer = torch.from_numpy(io["info_x_long"])
    _close(information_scores(longer, **FACTS).flatten(1), io["info_scores_long"])


@pytest.mark.parametrize("longest", [1, 3, 5])
def test_runs_are_cut_as_recorded(brain, longest):
    found = limit_runs(torch.from_numpy(brain.masking_io["limit_in"]), longest)
    np.testing.assert_array_equal(found.numpy(), brain.masking_io[f"limit_out_{longest}"])


def test_the_weight_of_the_information_grows_as_recorded(brain):
    found = [information_weight(epoch / 20) for epoch in range(21)]
    np.testing.assert_allclose(found, brain.masking_io["curriculum_weight_20"], atol=1e-7)


@pytest.mark.parametrize("guided", [True, False])
def test_masks_of_one_seed_are_the_recorded_ones(brain, guided):
    x = torch.from_numpy(brain.masking_io["info_x_long"])
    generator = torch.Generator().manual_seed(0)
    # The recorded one was made with a weight between 0.365 and 0.48.
    found = draw_mask(x, 0.44, generator, guided=guided, runs="window", **FACTS)
    name = "importance_mask_seed0" if guided else "random_mask_seed0"
    np.testing.assert_array_equal(found.flatten(1).numpy(), brain.masking_io[name])


def test_full_size_models_have_the_published_sizes():
    from mne_neurorvq.weights.blueprint import Blueprint
    from mne_neurorvq.weights.official import official_layout
    from mne_neurorvq.weights.tensors import shapes_of

    released = replace(BRAINRVQ_EEG, phase="angle", class_place="first channel")
    layout = official_layout(shapes_of(Blueprint("tokenizer", released).build().state_dict()))
    shapes = {name: part.shape for name, part in layout.items()}
    wanted = {
        "encoder.pos_embed": (1, 129, 200),
        "encoder.time_embed": (1, 30, 200),
        "encoder.blocks.11.attn.qkv.weight": (600, 200),
        "encoder.blocks.0.mlp.fc1.weight": (800, 200),
        "decoder_f.patch_embed.proj.weight": (200, 64, 1, 1),
        "decoder_t.blocks.2.attn.v_bias": (200,),
        "quantize_t.layers.2.embedding.weight": (8192, 64),
        "decode_task_layer_angle.2.weight": (200, 200),
    }
    assert {name: shapes.get(name) for name in wanted} == wanted
    assert "encoder.blocks.0.attn.q_norm.weight" not in shapes
