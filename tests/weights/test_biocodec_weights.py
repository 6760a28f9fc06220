# License: BSD-3-Clause
"""BioCodec's checkpoints: the authors' and ours, read strictly, written back, told apart."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import BIOCODEC_EEG, BIOCODEC_EMG, BioCodec, QuantizerConfig
from mne_neurorvq.weights import (
    CheckpointError,
    DownloadError,
    MismatchError,
    save_pretrained,
    to_official_state_dict,
)
from mne_neurorvq.weights.blueprint import Blueprint
from mne_neurorvq.weights.official import official_layout
from mne_neurorvq.weights.official_configs import infer_blueprint
from mne_neurorvq.weights.tensors import shapes_of

TINY = "biocodec-eeg-tiny-random"


@pytest.fixture(scope="module")
def codec():
    """The smallest codec; not to be changed."""
    return load_pretrained(TINY)


@pytest.fixture
def official(codec):
    """State dict of a codec as the authors store it."""
    return to_official_state_dict(codec.tokenizer)


def _same(found, wanted):
    found, wanted = found.state_dict(), wanted.state_dict()
    assert set(found) == set(wanted)
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def _official_shapes(config):
    layout = official_layout(shapes_of(Blueprint("tokenizer", config).build().state_dict()))
    return {name: part.shape for name, part in layout.items()}


@pytest.mark.parametrize(("kind", "prefix"), [("eeg", "_orig_mod."), ("emg", "")])
def test_the_authors_checkpoints_come_back_bit_for_bit(shared, kind, prefix):
    path = shared / "golden" / "biocodec_small" / f"{kind}_small.pt"
    stored = torch.load(path, weights_only=True)["model_state_dict"]
    assert all(name.startswith(prefix) for name in stored)
    loaded = load_pretrained(path)
    assert loaded.kinds == ("tokenizer",)
    assert (loaded.config.system, loaded.config.modality) == ("biocodec", kind)
    assert loaded.tokenizer.quantizer.started
    written = to_official_state_dict(loaded.require("tokenizer", "biocodec"))
    assert set(written) == {name.removeprefix(prefix) for name in stored}
    for name, tensor in stored.items():
        assert torch.equal(written[name.removeprefix(prefix)], tensor), name


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
def test_a_checkpoint_of_the_authors_layout_loads(codec, official, prefix, wrapped, tmp_path):
    state = {prefix + name: tensor for name, tensor in official.items()}
    content = {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": {}}
    torch.save(content if wrapped else state, tmp_path / "biocodec_ckpt.pt")
    loaded = load_pretrained(tmp_path / "biocodec_ckpt.pt")
    assert loaded.config == codec.config
    _same(loaded.tokenizer, codec.tokenizer)


def test_a_codec_whose_codebooks_never_started_says_so(official, tmp_path):
    official["quantizer.vq.layers.1._codebook.inited"].zero_()
    torch.save(official, tmp_path / "model.pt")
    assert not load_pretrained(tmp_path / "model.pt").tokenizer.quantizer.started


def test_missing_unknown_and_misshapen_tensors_are_listed_together(official, tmp_path):
    del official["decoder.model.1.lstm.bias_hh_l0"]
    official["decoder.extra"] = torch.zeros(1)
    official["encoder.model.0.conv.conv.bias"] = torch.zeros(3)
    torch.save(official, tmp_path / "model.pt")
    with pytest.raises(MismatchError) as caught:
        load_pretrained(tmp_path / "model.pt")
    assert caught.value.missing == ("decoder.model.1.lstm.bias_hh_l0",)
    assert caught.value.unknown == ("decoder.extra",)
    assert caught.value.wrong_shape == ("encoder.model.0.conv.conv.bias (3,) instead of (2,)",)


def test_weights_that_are_not_numbers_are_refused(official, tmp_path):
    official["quantizer.vq.layers.2.project_out.bias"][0] = torch.nan
    torch.save(official, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"NaN or infinite values in quantizer\.vq.*_out"):
        load_pretrained(tmp_path / "model.pt")


@pytest.mark.parametrize("lost", ["encoder.model.0.", "project_in", "_codebook"])
def test_a_part_from_which_no_configuration_can_be_told_is_refused(official, lost, tmp_path):
    part = {name: tensor for name, tensor in official.items() if lost not in name}
    torch.save(part, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="only a part of a BioCodec"):
        load_pretrained(tmp_path / "model.pt")


def test_strides_of_no_known_rate_are_refused(codec, tmp_path):
    model = BioCodec(config=replace(codec.config, strides=(2, 2)))
    torch.save(to_official_state_dict(model), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"strides \(2, 2\).*\(3, 2, 2\) \(eeg\), \(3, 3, 2"):
        load_pretrained(tmp_path / "model.pt")


@settings(max_examples=20)
@given(
    preset=st.sampled_from([BIOCODEC_EEG, BIOCODEC_EMG]),
    n_filters=st.integers(1, 40),
    n_levels=st.integers(1, 9),
    n_codes=st.integers(2, 300),
    code_dim=st.integers(1, 20),
    input_dim=st.integers(1, 40),
)
def test_any_size_is_inferred_from_the_tensors(
    preset, n_filters, n_levels, n_codes, code_dim, input_dim
):
    quantizer = replace(
        preset.quantizer,
        n_levels=n_levels,
        n_codes=n_codes,
        code_dim=code_dim,
        input_dim=input_dim,
    )
    config = replace(preset, n_filters=n_filters, quantizer=quantizer)
    assert infer_blueprint(_official_shapes(config), "file") == Blueprint("tokenizer", config)


def test_a_published_codec_has_the_recorded_keys_and_shapes(shared):
    meta = json.loads((shared / "golden" / "biocodec_small" / "meta.json").read_text())
    for kind, preset in (("eeg", BIOCODEC_EEG), ("emg", BIOCODEC_EMG)):
        recorded = meta["models"][f"{kind}_full"]["state_dict"]
        assert _official_shapes(preset) == {name: tuple(s) for name, s in recorded.items()}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_saved_codec_gives_the_same_signals(codec, dtype, tmp_path):
    config = replace(codec.config, normalize=True)
    model = BioCodec(config=config).eval()
    model.load_state_dict(codec.tokenizer.state_dict())
    folder = save_pretrained(tmp_path / "codec", model, card="# A codec", dtype=dtype)
    for place in (folder, folder / "tokenizer.safetensors"):
        loaded = load_pretrained(place)
        assert loaded.config == config
        if dtype == "float32":
            _same(loaded.tokenizer, model)
            assert loaded.fingerprint == load_pretrained(TINY).fingerprint
    assert load_pretrained(folder).card == "# A codec"
    x = torch.randn(2, 3, 250, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        codes, side = loaded.tokenizer.encode(x)
        rebuilt = loaded.tokenizer.decode_codes(codes, side, n_times=250)
        assert float((codes == model.encode(x)[0]).float().mean()) > 0.98
        torch.testing.assert_close(rebuilt, loaded.tokenizer(x), rtol=1e-4, atol=1e-4)


def test_a_plain_state_dict_of_ours_has_its_configuration_inferred(codec, tmp_path):
    torch.save(codec.tokenizer.state_dict(), tmp_path / "model.pt")
    loaded = load_pretrained(tmp_path / "model.pt")
    assert loaded.config == codec.config
    _same(loaded.tokenizer, codec.tokenizer)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"normalize": True}, "normalize=False, this model normalize=True"),
        ({"dilations": (1, 3)}, r"dilations=\(1, 2\), this model dilations=\(1, 3\)"),
        (
            {"quantizer": QuantizerConfig(n_codebooks=1, n_levels=2, n_codes=8, code_dim=8)},
            "'cosine' only, this model the rule 'unit': save it with save_pretrained",
        ),
        (
            {
                "quantizer": QuantizerConfig(
                    n_codebooks=1, n_levels=2, n_codes=8, code_dim=8, rule="cosine"
                )
            },
            "input_dim=None: save it with save_pretrained",
        ),
    ],
)
def test_what_the_authors_cannot_express_is_not_written_in_their_format(codec, changes, match):
    with pytest.raises(ValueError, match=match):
        to_official_state_dict(BioCodec(config=replace(codec.config, **changes)))


def test_a_folder_whose_configuration_is_of_another_system_is_refused(
    codec, official, tiny, tmp_path
):
    ours = save_pretrained(tmp_path / "ours", codec.tokenizer)
    other = save_pretrained(tmp_path / "other", tiny.tokenizer)
    for folder in (ours, other):
        (folder / "manifest.json").unlink()
    (ours / "config.json").write_text((other / "config.json").read_text())
    with pytest.raises(CheckpointError, match=r"system is biocodec in the file and neurorvq in"):
        load_pretrained(ours)
    (other / "tokenizer.safetensors").unlink()
    torch.save(official, other / "tokenizer.pt")
    with pytest.raises(CheckpointError, match=r"'biocodec', but its folder's.*'neurorvq'"):
        load_pretrained(other)


def test_a_codec_and_a_foundation_model_are_no_pair(codec, tiny, tmp_path):
    with pytest.raises(ValueError, match="different configurations"):
        save_pretrained(tmp_path, codec.tokenizer, tiny.foundation)
    for name, system in (("tokenizer", codec), ("foundation", tiny)):
        folder = save_pretrained(tmp_path / name, **{name: getattr(system, name)})
        (folder / f"{name}.safetensors").rename(tmp_path / f"{name}.safetensors")
    with pytest.raises(CheckpointError, match="system is biocodec in the tokenizer and neurorvq"):
        load_pretrained(tmp_path)


def test_the_configuration_of_a_codec_has_no_foundation_model(codec):
    with pytest.raises(CheckpointError, match="BioCodec has no foundation model"):
        Blueprint("foundation", codec.config).build()


def test_who_needs_a_model_of_one_system_is_not_given_the_other(codec, tiny):
    assert codec.require("tokenizer", "biocodec") is codec.tokenizer
    with pytest.raises(
        ValueError, match=rf"a NeuroRVQ model is needed.*{TINY}' is a BioCodec.*neurorvq-eeg-small"
    ):
        codec.require("tokenizer")
    with pytest.raises(ValueError, match=rf"a BioCodec model is needed.*have one: bio.*{TINY}"):
        tiny.require("tokenizer", "biocodec")


def test_a_codec_has_no_embeddings_and_says_which_models_do():
    for name in (TINY, "biocodec-emg"):
        with pytest.raises(ValueError, match=rf"'{name}' holds only a tokenizer.*neurorvq-e"):
            load_pretrained(name, only="foundation")


@pytest.mark.parametrize("kind", ["eeg", "emg"])
def test_an_official_codec_is_not_downloaded_and_the_error_says_where_it_is(kind):
    with pytest.raises(
        DownloadError,
        match=r"biocodec_ckpt\.pt yourself from https://github\.com/klean2050/BioCodec-release "
        r"\(licence MIT\) and give its path",
    ) as caught:
        load_pretrained(f"biocodec-{kind}")
    assert (TINY in str(caught.value)) == (kind == "eeg")


def test_the_untrained_codec_uses_its_codes_and_answers_its_input(codec):
    x = torch.randn(4, 2, 500, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        codes, _ = codec.tokenizer.encode(x)
        rebuilt = codec.tokenizer(x)
    assert all(len(codes[..., level].unique()) > 10 for level in range(3))
    assert 0.05 < float(rebuilt.std()) < 20
    torch.manual_seed(1)
    _same(load_pretrained(TINY).tokenizer, codec.tokenizer)
