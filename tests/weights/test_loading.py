# License: BSD-3-Clause
"""Names, folders and files all lead to the same models, or to an error that says why not."""

from __future__ import annotations

import shutil
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from safetensors.torch import save_file

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import NeuroRVQ, NeuroRVQTokenizer
from mne_neurorvq.weights import (
    CheckpointError,
    LoadedModel,
    MismatchError,
    TruncatedError,
    save_pretrained,
    to_official_state_dict,
)

KINDS = ("tokenizer", "foundation")


def _same(found, wanted):
    found, wanted = found.state_dict(), wanted.state_dict()
    assert set(found) == set(wanted)
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


@pytest.fixture
def folder(tiny, tmp_path):
    return save_pretrained(
        tmp_path / "models", tiny.tokenizer, tiny.foundation, card="# A card", dtype="float32"
    )


@pytest.fixture
def loose(folder):
    """Folder whose files nothing binds: each is judged by what it holds."""
    (folder / "manifest.json").unlink()
    return folder


def test_a_folder_gives_both_models_the_configuration_and_the_card(folder, tiny):
    loaded = load_pretrained(folder)
    _same(loaded.tokenizer, tiny.tokenizer)
    _same(loaded.foundation, tiny.foundation)
    assert loaded.config == loaded.tokenizer.config == loaded.foundation.config == tiny.config
    assert loaded.card == "# A card"
    assert loaded.name == str(folder)
    assert loaded.revision is None
    assert loaded.kinds == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_of_ours_gives_its_model(folder, tiny, kind):
    loaded = load_pretrained(str(folder / f"{kind}.safetensors"))
    assert loaded.kinds == (kind,)
    assert loaded.config == tiny.config
    _same(loaded.require(kind), getattr(tiny, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_one_file_of_the_authors_gives_its_model(tiny, kind, suffix, tmp_path):
    state = to_official_state_dict(getattr(tiny, kind))
    path = tmp_path / f"model{suffix}"
    torch.save(state, path) if suffix == ".pt" else save_file(state, path)
    _same(
        load_pretrained(path).require(kind).encoder.trunk.blocks,
        getattr(tiny, kind).encoder.trunk.blocks,
    )


@pytest.mark.parametrize("rule", ["unit", "euclidean", "gain"])
def test_a_plain_state_dict_of_ours_has_its_configuration_inferred(tiny, rule, tmp_path):
    quantizer = replace(tiny.config.quantizer, rule=rule)
    model = NeuroRVQTokenizer(config=replace(tiny.config, quantizer=quantizer))
    if rule == "gain":
        model.quantizer.gain[0, 1] = 0.5
    if rule == "euclidean":
        model.quantizer.codebook.mul_(1.5)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    loaded = load_pretrained(tmp_path / "model.pt")
    assert loaded.config == model.config
    _same(loaded.tokenizer, model)


def test_a_folder_of_the_authors_files_gives_both_models(tiny, tmp_path):
    for kind, name in zip(KINDS, ("tokenizer", "foundation_model"), strict=True):
        path = tmp_path / f"NeuroRVQ_EEG_{name}_v1.pt"
        torch.save(to_official_state_dict(getattr(tiny, kind)), path)
    loaded = load_pretrained(tmp_path)
    _same(loaded.tokenizer, tiny.tokenizer)
    assert loaded.foundation.config == tiny.config
    assert loaded.card is None


def test_models_come_in_evaluation_mode_on_the_cpu_and_can_be_trained(folder):
    for name in (folder, "neurorvq-eeg-tiny-random"):
        loaded = load_pretrained(name)
        for model in (loaded.tokenizer, loaded.foundation):
            assert not any(module.training for module in model.modules())
            assert all(parameter.requires_grad for parameter in model.parameters())
            for tensor in model.state_dict().values():
                assert tensor.device.type == "cpu"
                assert tensor.dtype in (torch.float32, torch.bool, torch.int64)


def test_two_calls_share_no_memory(folder):
    for name in (folder, "neurorvq-eeg-tiny-random"):
        first, second = load_pretrained(name), load_pretrained(name)
        with torch.no_grad():
            first.tokenizer.encoder.trunk.cls_token.add_(1.0)
        assert not torch.equal(
            first.tokenizer.encoder.trunk.cls_token, second.tokenizer.encoder.trunk.cls_token
        )


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_may_be_overwritten_while_its_model_lives(tiny, suffix, tmp_path):
    state = to_official_state_dict(tiny.foundation)
    path = tmp_path / f"model{suffix}"
    torch.save(state, path) if suffix == ".pt" else save_file(state, path)
    model = load_pretrained(path).foundation
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert torch.equal(model.encoder.trunk.pos_embed, tiny.foundation.encoder.trunk.pos_embed)


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_two_models_can_be_loaded_alone(folder, kind):
    other = folder / f"{KINDS[1 - KINDS.index(kind)]}.safetensors"
    other.write_bytes(b"not read")
    assert load_pretrained(folder, only=kind).kinds == (kind,)
    assert load_pretrained("neurorvq-eeg-tiny-random", only=kind).kinds == (kind,)


def test_a_model_that_is_not_there_raises_and_names_where_to_find_one(loose):
    (loose / "foundation.safetensors").unlink()
    loaded = load_pretrained(loose)
    assert loaded.foundation is None
    with pytest.raises(ValueError, match=r"embeddings need.*only a tokenizer.*neurorvq-eeg-small"):
        loaded.require("foundation")
    with pytest.raises(ValueError, match=r"embeddings need.*only a tokenizer.*neurorvq-eeg-small"):
        load_pretrained(loose, only="foundation")
    with pytest.raises(ValueError, match=r"'neurorvq-ppg' holds only a tokenizer model\."):
        load_pretrained("neurorvq-ppg", only="foundation")
    alone = load_pretrained("neurorvq-eeg-tiny-random", only="foundation")
    with pytest.raises(ValueError, match=r"codes and reconstructions need.*only a foundation"):
        alone.require("tokenizer")


def test_a_file_of_the_other_kind_is_refused(loose):
    with pytest.raises(ValueError, match=r"holds only a tokenizer model\..*neurorvq-eeg-small"):
        load_pretrained(loose / "tokenizer.safetensors", only="foundation")
    shutil.copy(loose / "tokenizer.safetensors", loose / "foundation.safetensors")
    with pytest.raises(CheckpointError, match="should hold a foundation model but holds a token"):
        load_pretrained(loose)


def test_an_impossible_choice_is_refused():
    with pytest.raises(ValueError, match="only must be one of"):
        load_pretrained("neurorvq-eeg-tiny-random", only="decoder")


def test_a_folder_without_models_and_one_with_too_many_are_refused(loose, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no model"):
        load_pretrained(tmp_path / "empty")
    (loose / "tokenizer.safetensors").rename(loose / "a_tokenizer.pt")
    shutil.copy(loose / "a_tokenizer.pt", loose / "b_tokenizer.pt")
    with pytest.raises(CheckpointError, match=r"a_tokenizer\.pt, b_tokenizer\.pt"):
        load_pretrained(loose)


def test_a_configuration_file_that_contradicts_the_weights_is_refused(loose, tiny):
    path = loose / "config.json"
    text = path.read_text()
    path.write_text(text.replace('"rule": "unit"', '"rule": "gain"'))
    with pytest.raises(CheckpointError, match=r"quantizer\.rule is unit in the file and gain in"):
        load_pretrained(loose)
    path.write_text(text.replace('"neurorvq"', '"something else"'))
    with pytest.raises(CheckpointError, match=r"config\.json is not a configuration"):
        load_pretrained(loose)
    path.write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json is not a configuration"):
        load_pretrained(loose)
    path.write_text(text.replace('"depth"', '"height"'))
    with pytest.raises(CheckpointError, match="height"):
        load_pretrained(loose)


def test_a_configuration_file_settles_what_files_of_the_authors_do_not_show(loose, tiny):
    for kind in KINDS:
        (loose / f"{kind}.safetensors").unlink()
    torch.save(to_official_state_dict(tiny.foundation), loose / "foundation.pt")
    assert load_pretrained(loose).config == tiny.config
    text = (loose / "config.json").read_text()
    (loose / "config.json").write_text(text.replace('"depth": 1', '"depth": 2'))
    with pytest.raises(MismatchError, match=r"missing tensors: blocks\.1\."):
        load_pretrained(loose)


def test_models_of_two_modalities_are_no_pair(loose, tiny):
    config = replace(tiny.config, modality="emg")
    other = save_pretrained(loose / "other", tokenizer=NeuroRVQTokenizer(config=config))
    (loose / "config.json").unlink()
    shutil.copy(other / "tokenizer.safetensors", loose)
    with pytest.raises(CheckpointError, match="modality is emg in the tokenizer and eeg in the f"):
        load_pretrained(loose)


def test_pretraining_heads_of_other_codebooks_are_no_pair(loose, tiny):
    more = replace(tiny.config, quantizer=replace(tiny.config.quantizer, n_levels=3))
    other = save_pretrained(
        loose / "other", foundation=NeuroRVQ(config=more, masked_token_heads=True)
    )
    (loose / "config.json").unlink()
    shutil.copy(other / "foundation.safetensors", loose)
    with pytest.raises(CheckpointError, match="n_levels is 2 in the tokenizer and 3 in the f"):
        load_pretrained(loose)


@pytest.mark.parametrize("change", ["missing", "unknown", "shape", "nan", "truncated"])
def test_a_damaged_file_of_ours_is_refused(loose, tiny, change):
    path = loose / "foundation.safetensors"
    state = dict(tiny.foundation.state_dict())
    error, match = MismatchError, r"encoder\.trunk\.pos_embed"
    if change == "missing":
        del state["encoder.trunk.pos_embed"]
    elif change == "unknown":
        state["encoder.trunk.more"] = torch.zeros(1)
        match = r"1 unknown tensor: encoder\.trunk\.more"
    elif change == "shape":
        state["encoder.trunk.pos_embed"] = torch.zeros(7, 200)
        match = r"encoder\.trunk\.pos_embed \(7, 200\) instead of \(105, 200\)"
    elif change == "nan":
        state["encoder.trunk.pos_embed"] = torch.full((105, 200), float("nan"))
        error, match = CheckpointError, r"NaN or infinite values in encoder\.trunk\.pos_embed"
    else:
        path.write_bytes(path.read_bytes()[:-1])
        error, match = TruncatedError, "foundation.safetensors is truncated"
    if change != "truncated":
        save_file(state, path)
    with pytest.raises(error, match=match):
        load_pretrained(loose)


def test_an_unknown_name_suggests_those_that_are_close():
    with pytest.raises(ValueError, match="Did you mean 'neurorvq-eeg-small'"):
        load_pretrained("neurorvq-eeg-smal")
    with pytest.raises(ValueError, match=r"'zzz' is neither a file.*Names: neurorvq-eeg-small"):
        load_pretrained("zzz")


@pytest.mark.parametrize("path", ["no/such/folder", "model.safetensors", "model.pt"])
def test_a_path_that_does_not_exist_is_called_that(path):
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        load_pretrained(path)


def test_a_revision_is_refused_where_nothing_is_downloaded(folder):
    with pytest.raises(ValueError, match=r"revision='v1' .*is a path"):
        load_pretrained(folder, revision="v1")
    with pytest.raises(ValueError, match=r"revision='v1' .*part of the package"):
        load_pretrained("neurorvq-eeg-tiny-random", revision="v1")


def test_a_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "neurorvq-eeg-tiny-random").mkdir()
    assert load_pretrained("neurorvq-eeg-tiny-random").kinds == KINDS


def test_what_is_loaded_cannot_be_exchanged(tiny):
    assert isinstance(tiny, LoadedModel)
    with pytest.raises(FrozenInstanceError):
        tiny.tokenizer = None
