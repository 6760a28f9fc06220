# License: BSD-3-Clause
"""BrainRVQ's checkpoints: the authors' and ours, read strictly, written back, told apart."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_neurorvq import list_pretrained, load_pretrained
from mne_neurorvq.models import BRAINRVQ_EEG, BrainRVQ, BrainRVQTokenizer
from mne_neurorvq.weights import (
    CheckpointError,
    MismatchError,
    NotOnHubError,
    save_pretrained,
    to_official_state_dict,
)
from mne_neurorvq.weights.blueprint import Blueprint
from mne_neurorvq.weights.official import official_layout
from mne_neurorvq.weights.official_configs import infer_blueprint
from mne_neurorvq.weights.tensors import shapes_of

TINY = "brainrvq-eeg-tiny-random"
KINDS = ("tokenizer", "foundation")
# A change of these numbers changes what tests and documentation elsewhere show.
DIGESTS = {
    "tokenizer": "f41d8a5dc0db1dafca134cf30c194b83cd042e32ec3ff29b6a1cd427091c7819",
    "foundation": "40a5b586d62d050131cbf46779c98896d6a7052ee64218230710f243cd4d39bb",
}
# What the released code has, and the files that it wrote.
RELEASED = replace(BRAINRVQ_EEG, phase="angle", class_place="first channel")


@pytest.fixture(scope="module")
def tiny_brain():
    """The smallest models; not to be changed."""
    return load_pretrained(TINY)


@pytest.fixture(scope="module")
def recorded_states(shared):
    """The recorded checkpoints, in the authors' format."""
    states = {}
    for part in ("ddrvq", "pretrain", "finetune"):
        path = shared / "golden" / "brainrvq_small" / f"{part}_fp16exact.npz"
        with np.load(path) as arrays:
            states[part] = {
                name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()
            }
    return states


def _small(**changes):
    quantizer = replace(RELEASED.quantizer, n_codes=8, code_dim=4)
    small = {"depth": 1, "decoder_depth": 1, "mlp_ratio": 1.0, "quantizer": quantizer}
    return replace(RELEASED, **{**small, **changes})


@pytest.fixture
def official():
    """State dicts of the three kinds of files, as the authors' code writes them."""
    torch.manual_seed(0)
    pretraining = to_official_state_dict(BrainRVQ(config=_small(), masked_token_heads=True))
    # What no output needs, and they write nevertheless.
    pretraining["student.lm_head.weight"] = torch.zeros(8, 200)
    pretraining["student.lm_head.bias"] = torch.zeros(8)
    for book in "tf":
        pretraining[f"token_embed_{book}.2.weight"] = torch.zeros(8, 200)
    return {
        "tokenizer": to_official_state_dict(BrainRVQTokenizer(config=_small())),
        "pretraining": pretraining,
        "finetuning": to_official_state_dict(BrainRVQ(3, config=_small())),
    }


def _load(state, tmp_path, **settings):
    torch.save(state, tmp_path / "model.pt")
    return load_pretrained(tmp_path / "model.pt", **settings)


def _same(found, wanted):
    found, wanted = found.state_dict(), wanted.state_dict()
    assert set(found) == set(wanted)
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def _official_shapes(blueprint):
    layout = official_layout(shapes_of(blueprint.build().state_dict()))
    return {name: part.shape for name, part in layout.items()}


@pytest.mark.parametrize(
    ("part", "kind", "unread"),
    [
        ("ddrvq", "tokenizer", 0),
        # The head that the loss does not reach (two tensors), the embeddings of the last level.
        ("pretrain", "foundation", 4),
        ("finetune", "foundation", 0),
    ],
)
def test_the_authors_checkpoints_come_back_bit_for_bit(
    recorded_states, part, kind, unread, tmp_path
):
    stored = recorded_states[part]
    model = _load(stored, tmp_path).require(kind, "brainrvq")
    written = to_official_state_dict(model)
    assert set(written) <= set(stored)
    assert len(stored) - len(written) == unread
    for name, tensor in written.items():
        assert torch.equal(tensor, stored[name]), name


def test_their_files_show_what_the_released_code_does(recorded_states, tmp_path):
    tokenizer = _load(recorded_states["ddrvq"], tmp_path).config
    assert (tokenizer.phase, tokenizer.class_place) == ("angle", "first channel")
    pretraining = _load(recorded_states["pretrain"], tmp_path)
    assert pretraining.config.token_heads == "hierarchical"
    assert not pretraining.config.foundation_qkv_bias
    assert pretraining.foundation.masked_tokens is not None
    finetuning = _load(recorded_states["finetune"], tmp_path)
    assert finetuning.config.foundation_qkv_bias
    assert finetuning.foundation.n_outputs == 4
    assert finetuning.foundation.masked_tokens is None


def test_a_folder_of_their_files_gives_a_pair(recorded_states, tmp_path):
    torch.save(recorded_states["ddrvq"], tmp_path / "brainrvq_tokenizer.pt")
    torch.save(recorded_states["pretrain"], tmp_path / "brainrvq_foundation.pt")
    loaded = load_pretrained(tmp_path)
    assert loaded.kinds == KINDS
    assert loaded.foundation.config == loaded.tokenizer.config == loaded.config
    folder = save_pretrained(tmp_path / "ours", loaded.tokenizer, loaded.foundation)
    assert load_pretrained(folder).config == loaded.config


def test_the_encoder_of_a_pretraining_alone_is_a_foundation_model(official, tmp_path):
    whole = _load(official["pretraining"], tmp_path).foundation
    wanted = whole.encoder
    part = {name: t for name, t in official["pretraining"].items() if name.startswith("student.")}
    for state in (part, {name.removeprefix("student."): t for name, t in part.items()}):
        loaded = _load(state, tmp_path).foundation
        _same(loaded.encoder, wanted)
        assert loaded.masked_tokens is None
        assert loaded.final_layer is None


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("name", ["tokenizer", "pretraining", "finetuning"])
def test_checkpoints_of_training_loops_are_unwrapped(official, name, prefix, tmp_path):
    state = {prefix + key: tensor for key, tensor in official[name].items()}
    kind = "tokenizer" if name == "tokenizer" else "foundation"
    found = _load({"model": state, "epoch": 3}, tmp_path)
    assert found.kinds == (kind,)
    _same(getattr(found, kind), getattr(_load(official[name], tmp_path), kind))


@pytest.mark.parametrize(
    ("name", "lost", "extra"),
    [
        ("tokenizer", "decoder_f.fc_norm.weight", "decoder_x.bias"),
        ("tokenizer", "quantize_t.layers.1.embedding.embed_avg", "head.weight"),
        ("pretraining", "fusion_norm_t.2.bias", "lm_heads_x.0.weight"),
        ("pretraining", "token_embed_f.1.weight", "student.fc_norm.weight"),
        ("finetuning", "fc_norm.bias", "blocks.0.attn.extra"),
    ],
)
def test_missing_and_unknown_tensors_are_listed_together(official, name, lost, extra, tmp_path):
    state = official[name]
    del state[lost]
    state[extra] = torch.zeros(1)
    with pytest.raises(MismatchError) as caught:
        _load(state, tmp_path)
    assert caught.value.missing == (lost,)
    assert caught.value.unknown == (extra,)


def test_a_part_from_which_no_configuration_can_be_told_is_refused(official, tmp_path):
    for name, title, lost in (
        ("tokenizer", "BrainRVQ tokenizer", "quantize_t.layers.0"),
        ("pretraining", "BrainRVQ foundation", "lm_heads_"),
        ("finetuning", "BrainRVQ foundation", "time_embed"),
    ):
        part = {key: t for key, t in official[name].items() if not key.startswith(lost)}
        with pytest.raises(CheckpointError, match=f"only a part of a {title}"):
            _load(part, tmp_path)


def test_a_head_over_the_class_token_is_refused_with_a_remedy(official, tmp_path):
    state = {name.replace("fc_norm.", "norm."): t for name, t in official["finetuning"].items()}
    with pytest.raises(CheckpointError, match=r"over the class token.*Delete 'head\.\*'"):
        _load(state, tmp_path)
    rest = {name: t for name, t in state.items() if not name.startswith("head.")}
    assert _load(rest, tmp_path).foundation.final_layer is None


def test_another_vocabulary_is_refused(official, tmp_path):
    state = official["tokenizer"]
    state["encoder.pos_embed"] = torch.zeros(1, 137, 200)
    with pytest.raises(CheckpointError, match=r"136 channels; the published vocabulary.*has 128"):
        _load(state, tmp_path)


def test_embeddings_of_another_width_are_refused(official, tmp_path):
    state = official["tokenizer"]
    state["decode_task_layer_time.2.weight"] = torch.zeros(160, 200)
    state["decode_task_layer_angle.2.weight"] = torch.zeros(160, 200)
    with pytest.raises(CheckpointError, match="width 200; patches of 160 samples and 8 filters"):
        _load(state, tmp_path)


@settings(max_examples=20)
@given(
    depth=st.integers(1, 13),
    decoder_depth=st.integers(1, 3),
    hidden=st.integers(1, 900),
    n_heads=st.sampled_from([1, 2, 4, 5, 8]),
    n_levels=st.integers(1, 5),
    n_codes=st.integers(2, 40),
    code_dim=st.integers(1, 20),
    max_patches=st.integers(1, 60),
    bias=st.booleans(),
    angle=st.booleans(),
)
def test_any_size_is_inferred_from_the_tensors(
    depth,
    decoder_depth,
    hidden,
    n_heads,
    n_levels,
    n_codes,
    code_dim,
    max_patches,
    bias,
    angle,
):
    quantizer = replace(RELEASED.quantizer, n_levels=n_levels, n_codes=n_codes, code_dim=code_dim)
    config = replace(
        RELEASED,
        depth=depth,
        decoder_depth=decoder_depth,
        mlp_ratio=hidden / 200,
        max_patches=max_patches,
        foundation_qkv_bias=bias,
        phase="angle" if angle else "circular",
        quantizer=quantizer,
    )
    # Heads of the tokenizer's attention, and biases of the other model, are nowhere to be seen.
    tokenizer = Blueprint("tokenizer", replace(config, foundation_qkv_bias=False))
    found = infer_blueprint(_official_shapes(tokenizer), "file")
    assert int(200 * found.config.mlp_ratio) == int(200 * config.mlp_ratio)
    ratio = found.config.mlp_ratio
    assert replace(found, config=replace(found.config, mlp_ratio=config.mlp_ratio)) == tokenizer
    config = replace(config, n_heads=n_heads, mlp_ratio=ratio)
    if n_levels > 1:
        pretraining = Blueprint("foundation", config, masked_token_heads=True)
        assert infer_blueprint(_official_shapes(pretraining), "file", config) == pretraining
    finetuning = Blueprint("foundation", config, n_outputs=3)
    assert infer_blueprint(_official_shapes(finetuning), "file", config) == finetuning


@pytest.mark.parametrize("domains", [("time",), ("frequency",)])
def test_the_domain_of_a_single_one_is_inferred(domains):
    quantizer = replace(BRAINRVQ_EEG.quantizer, n_codebooks=1)
    config = _small(domains=domains, quantizer=quantizer, phase="circular")
    found = infer_blueprint(_official_shapes(Blueprint("tokenizer", config)), "file")
    assert found.config == config
    heads = _official_shapes(Blueprint("foundation", config, masked_token_heads=True))
    assert infer_blueprint(heads, "file", config).config == config
    with pytest.raises(CheckpointError, match="heads of one domain; which one cannot be inferred"):
        infer_blueprint(heads, "file")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_saved_models_give_the_same_signals(tiny_brain, dtype, tmp_path):
    folder = save_pretrained(
        tmp_path / "pair", tiny_brain.tokenizer, tiny_brain.foundation, card="# Two", dtype=dtype
    )
    loaded = load_pretrained(folder)
    assert loaded.config == tiny_brain.config
    assert loaded.card == "# Two"
    for kind in KINDS:
        one = load_pretrained(folder / f"{kind}.safetensors")
        assert one.kinds == (kind,)
        assert one.config == tiny_brain.config
        if dtype == "float32":
            _same(loaded.require(kind, "brainrvq"), getattr(tiny_brain, kind))
    x = 0.2 * torch.randn(2, 3, 400, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([0, 5, 120])
    with torch.no_grad():
        codes, side = loaded.tokenizer.encode(x, rows)
        assert float((codes == tiny_brain.tokenizer.encode(x, rows)[0]).float().mean()) > 0.9
        rebuilt = loaded.tokenizer.decode_codes(codes, side, rows)
        torch.testing.assert_close(rebuilt, loaded.tokenizer(x, rows), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("heads", ["hierarchical", "parallel"])
def test_pretraining_heads_are_saved_with_their_model(heads, tmp_path):
    torch.manual_seed(0)
    config = _small(token_heads=heads, class_place="own")
    model = BrainRVQ(config=config, masked_token_heads=True).eval()
    folder = save_pretrained(tmp_path / "model", foundation=model, dtype="float32")
    loaded = load_pretrained(folder)
    assert loaded.config == config
    _same(loaded.foundation, model)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", ["detached", "euclidean"])
def test_a_plain_state_dict_of_ours_has_its_configuration_inferred(kind, rule, tmp_path):
    config = _small(phase="circular", class_place="own")
    if kind == "tokenizer":
        config = replace(config, quantizer=replace(config.quantizer, rule=rule))
        model = BrainRVQTokenizer(config=config)
        if rule == "euclidean":
            model.quantizer.codebook.mul_(1.5)
    else:
        quantizer = replace(config.quantizer, code_dim=64)
        config = replace(config, decoder_depth=3, quantizer=quantizer)
        model = BrainRVQ(config=config, masked_token_heads=True)
    loaded = _load(model.state_dict(), tmp_path)
    assert loaded.config == config
    _same(getattr(loaded, kind), model)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"phase": "circular"}, "phase=angle, this model phase=circular"),
        ({"n_groups": 2}, "n_groups=4, this model n_groups=2"),
        (
            {"domains": ("time",), "quantizer": replace(RELEASED.quantizer, n_codebooks=1)},
            r"domains=\('time', 'frequency'\), this model",
        ),
        (
            {"quantizer": replace(RELEASED.quantizer, rule="unit")},
            "'detached' only, this model the rule 'unit': save it with save_pretrained",
        ),
    ],
)
def test_tokenizers_that_the_authors_cannot_express_are_not_written(changes, match):
    with torch.device("meta"):
        model = BrainRVQTokenizer(config=replace(RELEASED, depth=1, decoder_depth=1, **changes))
    with pytest.raises(ValueError, match=match):
        to_official_state_dict(model)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"class_place": "own"}, "class_place=first channel, this model class_place=own"),
        ({"token_heads": "parallel"}, "token_heads=hierarchical, this model token_heads=parallel"),
    ],
)
def test_pretraining_that_the_authors_cannot_express_is_not_written(changes, match):
    config = _small(**changes)
    with pytest.raises(ValueError, match=match):
        to_official_state_dict(BrainRVQ(config=config, masked_token_heads=True))
    # For fine-tuning it makes no difference.
    assert "blocks.0.gamma_1" in to_official_state_dict(BrainRVQ(config=config))


def test_the_announced_weights_are_named_and_the_error_says_that_there_are_none():
    entry = {entry.name: entry for entry in list_pretrained()}["brainrvq-eeg"]
    assert entry.config == BRAINRVQ_EEG
    assert entry.kinds == KINDS
    assert not any(file.published for file in entry.files)
    assert not entry.commercial
    assert entry.url == "https://github.com/keqicmz/BrainRVQ"
    with pytest.raises(
        NotOnHubError,
        match=r"'brainrvq-eeg' have been announced but not published: watch https://github\.com/"
        r"keqicmz/BrainRVQ\. If you have.*load_pretrained\. Without a download: brainrvq-eeg-small",
    ):
        load_pretrained("brainrvq-eeg")
    others = [entry for entry in list_pretrained() if entry.name != "brainrvq-eeg"]
    assert all(file.published for entry in others for file in entry.files)


@pytest.mark.parametrize("kind", KINDS)
def test_who_needs_a_model_of_one_system_is_not_given_another(tiny_brain, tiny, kind):
    assert tiny_brain.require(kind, "brainrvq") is getattr(tiny_brain, kind)
    with pytest.raises(
        ValueError, match=rf"a NeuroRVQ model is needed.*{TINY}' is a BrainRVQ.*neurorvq-eeg-small"
    ):
        tiny_brain.require(kind)
    with pytest.raises(ValueError, match=r"BrainRVQ model is needed.*have one: brainrvq-eeg-small"):
        tiny.require(kind, "brainrvq")


def test_a_lack_of_embeddings_points_to_models_of_the_same_system(tiny_brain, tmp_path):
    folder = save_pretrained(tmp_path / "tokenizer", tiny_brain.tokenizer)
    with pytest.raises(ValueError, match=r"only a tokenizer model.*have one: brainrvq-eeg-small"):
        load_pretrained(folder).require("foundation", "brainrvq")


def test_models_of_two_systems_are_no_pair(tiny_brain, tiny, tmp_path):
    with pytest.raises(ValueError, match="different configurations"):
        save_pretrained(tmp_path, tiny.tokenizer, tiny_brain.foundation)
    for name, system in (("tokenizer", tiny), ("foundation", tiny_brain)):
        folder = save_pretrained(tmp_path / name, **{name: getattr(system, name)})
        (folder / f"{name}.safetensors").rename(tmp_path / f"{name}.safetensors")
    with pytest.raises(CheckpointError, match="system is neurorvq in the tokenizer and brainrvq"):
        load_pretrained(tmp_path)


def test_a_head_over_the_class_token_is_not_saved(tmp_path):
    model = BrainRVQ(2, config=_small(), head="cls")
    with pytest.raises(ValueError, match="head over the class token is not saved"):
        save_pretrained(tmp_path, foundation=model)


@pytest.mark.parametrize("kind", KINDS)
def test_the_untrained_weights_are_these_bits(tiny_brain, kind):
    digest = hashlib.sha256()
    for name, tensor in sorted(getattr(tiny_brain, kind).state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    assert digest.hexdigest() == DIGESTS[kind]


@torch.no_grad()
def test_the_untrained_models_tell_windows_apart(tiny_brain):
    generator = torch.Generator().manual_seed(0)
    x, rows = 0.2 * torch.randn(8, 4, 800, generator=generator), torch.arange(4)
    codes, _ = tiny_brain.tokenizer.encode(x, rows)
    for level in codes.flatten(0, 2).movedim(0, -1).flatten(0, 1):
        assert len(level.unique()) > 8
    features = tiny_brain.foundation(x, rows, return_features=True)["features"].mean((1, 2))
    assert features.std(0).mean() > 0.01
