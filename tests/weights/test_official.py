# License: BSD-3-Clause
"""The authors' checkpoints and ours are the same numbers under two sets of names."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import (
    NEURORVQ_ECG,
    NEURORVQ_EEG,
    NEURORVQ_EMG,
    NEURORVQ_PPG,
    NeuroRVQ,
    NeuroRVQTokenizer,
    QuantizerConfig,
)
from mne_neurorvq.weights import (
    CheckpointError,
    MismatchError,
    NotACheckpointError,
    to_official_state_dict,
)
from mne_neurorvq.weights.blueprint import Blueprint
from mne_neurorvq.weights.official import official_layout
from mne_neurorvq.weights.official_configs import infer_blueprint
from mne_neurorvq.weights.tensors import shapes_of


def _official_shapes(blueprint):
    layout = official_layout(shapes_of(blueprint.build().state_dict()))
    return {name: part.shape for name, part in layout.items()}


@pytest.mark.parametrize("kind", ["tokenizer", "foundation"])
def test_reading_and_writing_a_recorded_checkpoint_gives_it_back_bit_for_bit(
    recorded, kind, tmp_path
):
    torch.save(recorded[kind], tmp_path / "model.pt")
    model = load_pretrained(tmp_path / "model.pt").require(kind)
    written = to_official_state_dict(model)
    assert set(written) == set(recorded[kind])
    for name, tensor in recorded[kind].items():
        assert written[name].dtype == torch.float32
        assert torch.equal(written[name], tensor), name


def test_what_is_written_does_not_share_memory_with_the_model(tiny):
    model = NeuroRVQ(config=tiny.config)
    before = model.encoder.trunk.cls_token.detach().clone()
    to_official_state_dict(model)["cls_token"].fill_(7.0)
    assert torch.equal(model.encoder.trunk.cls_token, before)


def test_a_checkpoint_whose_codebooks_never_started_says_so(official_tokenizer, tmp_path):
    official_tokenizer["quantize_2.layers.1.embedding.initted"].zero_()
    torch.save(official_tokenizer, tmp_path / "model.pt")
    assert not load_pretrained(tmp_path / "model.pt").tokenizer.quantizer.started


def test_the_running_sums_of_the_authors_are_not_needed_for_any_output(
    official_tokenizer, tmp_path, tiny
):
    official_tokenizer["quantize_1.layers.0.embedding.embed_avg"].fill_(3.0)
    torch.save(official_tokenizer, tmp_path / "model.pt")
    loaded = load_pretrained(tmp_path / "model.pt").tokenizer
    assert torch.equal(loaded.quantizer.codebook, tiny.tokenizer.quantizer.codebook)


@pytest.mark.parametrize("rule", ["euclidean", "gain"])
def test_a_residual_rule_that_the_authors_do_not_have_is_not_written_in_their_format(tiny, rule):
    config = replace(tiny.config, quantizer=replace(tiny.config.quantizer, rule=rule))
    with pytest.raises(ValueError, match=f"'{rule}'.*save_pretrained"):
        to_official_state_dict(NeuroRVQTokenizer(config=config))


def test_other_numbers_of_groups_are_not_written_in_the_authors_format(tiny):
    with pytest.raises(ValueError, match="n_groups=2"):
        to_official_state_dict(NeuroRVQ(config=replace(tiny.config, n_groups=2)))


@pytest.mark.parametrize(
    "preset",
    [NEURORVQ_EEG, NEURORVQ_EMG, NEURORVQ_ECG, NEURORVQ_PPG],
    ids=lambda preset: preset.modality,
)
def test_the_published_configurations_are_inferred_from_their_tensors(preset):
    for blueprint in (
        Blueprint("tokenizer", preset),
        Blueprint("foundation", preset),
        Blueprint("foundation", preset, masked_token_heads=True, n_outputs=3),
    ):
        assert infer_blueprint(_official_shapes(blueprint), "file") == blueprint


@settings(max_examples=25)
@given(
    preset=st.sampled_from([NEURORVQ_EEG, NEURORVQ_EMG, NEURORVQ_ECG, NEURORVQ_PPG]),
    depth=st.integers(1, 13),
    decoder_depth=st.integers(1, 3),
    hidden=st.integers(1, 900),
    n_heads=st.sampled_from([1, 2, 4, 5, 8]),
    n_levels=st.integers(1, 12),
    n_codes=st.integers(2, 40),
    code_dim=st.integers(1, 20),
    max_patches=st.integers(1, 700),
    kernels=st.lists(st.integers(1, 60), min_size=8, max_size=8),
)
def test_any_configuration_is_inferred_from_the_tensors_of_its_tokenizer(
    preset, depth, decoder_depth, hidden, n_heads, n_levels, n_codes, code_dim, max_patches, kernels
):
    config = replace(
        preset,
        depth=depth,
        decoder_depth=decoder_depth,
        mlp_ratio=max(hidden / preset.embed_dim, 1 / preset.embed_dim),
        n_heads=n_heads,
        max_patches=max_patches,
        kernels_1=tuple(kernels[:4]),
        kernels_2=tuple(kernels[4:]),
        quantizer=QuantizerConfig(n_levels=n_levels, n_codes=n_codes, code_dim=code_dim),
    )
    shapes = _official_shapes(Blueprint("tokenizer", config))
    inferred = infer_blueprint(shapes, "file")
    assert _official_shapes(inferred) == shapes
    assert replace(inferred.config, mlp_ratio=config.mlp_ratio) == config


def test_every_width_of_the_mlp_is_found_exactly(tiny):
    shapes = _official_shapes(Blueprint("foundation", tiny.config))
    for hidden in range(1, 1000):
        shapes["blocks.0.mlp.fc1.weight"] = (hidden, 200)
        assert int(200 * infer_blueprint(shapes, "file").config.mlp_ratio) == hidden


def test_a_foundation_model_takes_from_its_tokenizer_what_its_tensors_do_not_show(tiny):
    shapes = _official_shapes(Blueprint("foundation", tiny.config))
    assert infer_blueprint(shapes, "file", tiny.config).config == tiny.config
    assert infer_blueprint(shapes, "file").config.quantizer == NEURORVQ_EEG.quantizer


def test_a_foundation_model_without_layer_scale_is_built_without(official_foundation, tmp_path):
    kept = {name: t for name, t in official_foundation.items() if "gamma" not in name}
    torch.save(kept, tmp_path / "model.pt")
    assert load_pretrained(tmp_path / "model.pt").config.foundation_layer_scale == 0.0


def test_a_table_of_a_strange_number_of_channels_is_refused(official_tokenizer, tmp_path):
    official_tokenizer["encoder.pos_embed"] = torch.zeros(34, 200)
    torch.save(official_tokenizer, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"33 channels.*104 \(eeg\)"):
        load_pretrained(tmp_path / "model.pt")


def test_missing_unknown_and_misshapen_tensors_are_listed_together(official_tokenizer, tmp_path):
    del official_tokenizer["decoder.blocks.0.norm1.weight"]
    official_tokenizer["decoder.extra"] = torch.zeros(1)
    official_tokenizer["encode_task_layer_1.0.bias"] = torch.zeros(3)
    torch.save(official_tokenizer, tmp_path / "model.pt")
    with pytest.raises(MismatchError) as caught:
        load_pretrained(tmp_path / "model.pt")
    assert caught.value.missing == ("decoder.blocks.0.norm1.weight",)
    assert caught.value.unknown == ("decoder.extra",)
    assert caught.value.wrong_shape == ("encode_task_layer_1.0.bias (3,) instead of (200,)",)
    for part in ("1 missing tensor: decoder.blocks", "1 unknown tensor: decoder.extra", "(200,)"):
        assert part in str(caught.value)


def test_a_half_matching_checkpoint_names_the_first_tensors_and_counts_the_rest(
    official_tokenizer, tmp_path
):
    half = {name: t for name, t in official_tokenizer.items() if not name.startswith("decode")}
    half |= {f"other.{i}": torch.zeros(1) for i in range(12)}
    half["decoder.blocks.0.norm1.weight"] = torch.zeros(200)
    torch.save(half, tmp_path / "model.pt")
    with pytest.raises(
        MismatchError, match=r"12 unknown tensors: .*other\.9, and 2 more"
    ) as caught:
        load_pretrained(tmp_path / "model.pt")
    assert len(caught.value.missing) == sum(n.startswith("decode") for n in official_tokenizer) - 1


def test_a_part_from_which_no_configuration_can_be_told_is_refused(official_tokenizer, tmp_path):
    part = {name: t for name, t in official_tokenizer.items() if ".mlp." not in name}
    torch.save(part, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"only a part.*mlp\.fc1\.weight"):
        load_pretrained(tmp_path / "model.pt")


def test_another_model_is_no_checkpoint_of_this_package(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "model.pt")
    with pytest.raises(
        NotACheckpointError, match=r"no model of the systems NeuroRVQ.*bias, weight"
    ):
        load_pretrained(tmp_path / "model.pt")


def test_the_unused_tensors_of_a_foundation_model_may_be_there_or_not(
    official_foundation, tmp_path, tiny
):
    extra = {
        f"fc_norm_{b}.{leaf}": torch.ones(200) for b in range(1, 5) for leaf in ("weight", "bias")
    }
    extra |= {"mask_token": torch.zeros(1, 1, 200), "norm_pre.weight": torch.ones(200)}
    torch.save(official_foundation | extra, tmp_path / "model.pt")
    model = load_pretrained(tmp_path / "model.pt").foundation
    assert model.masked_tokens is None
    ours = tiny.foundation.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in model.state_dict().items())


def test_the_unused_tensors_of_a_foundation_model_are_unknown_to_a_tokenizer(
    official_tokenizer, tmp_path
):
    torch.save(official_tokenizer | {"mask_token": torch.zeros(1, 1, 200)}, tmp_path / "model.pt")
    with pytest.raises(MismatchError, match="unknown tensor: mask_token"):
        load_pretrained(tmp_path / "model.pt")


def test_a_missing_pretraining_head_is_noticed(recorded, tmp_path):
    state = dict(recorded["foundation"])
    del state["head_pre_5.weight"]
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(MismatchError, match="head_pre_"):
        load_pretrained(tmp_path / "model.pt")


def test_a_classification_head_over_the_mean_is_loaded(official_foundation, tmp_path):
    head = {
        "fc_norm.weight": torch.ones(800),
        "fc_norm.bias": torch.zeros(800),
        "head.weight": torch.randn(3, 800, generator=torch.Generator().manual_seed(0)),
        "head.bias": torch.zeros(3),
    }
    torch.save(official_foundation | head, tmp_path / "model.pt")
    model = load_pretrained(tmp_path / "model.pt").foundation
    assert torch.equal(model.final_layer.linear.weight, head["head.weight"])
    assert model(torch.zeros(2, 1, 200), torch.tensor([0])).shape == (2, 3)
    assert set(to_official_state_dict(model)) == set(official_foundation | head)


def test_a_classification_head_over_flattened_patches_is_refused_with_a_remedy(
    official_foundation, tmp_path
):
    head = {"head.weight": torch.zeros(3, 1600), "head.bias": torch.zeros(3)}
    torch.save(official_foundation | head, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"1600 features.*Delete 'head\.\*'"):
        load_pretrained(tmp_path / "model.pt")
