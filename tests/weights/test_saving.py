# License: BSD-3-Clause
"""What is saved is small, complete and gives the same models back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import BrainRVQ, NeuroRVQ, NeuroRVQTokenizer
from mne_neurorvq.weights import CheckpointError, save_pretrained
from mne_neurorvq.weights.blueprint import Blueprint
from mne_neurorvq.weights.manifest import _waiting
from mne_neurorvq.weights.provenance import pretraining_subjects
from mne_neurorvq.weights.untrained import build_untrained


@pytest.fixture
def tokenizer(tiny):
    """A tokenizer with numbers in its buffers that half precision would spoil."""
    model = NeuroRVQTokenizer(config=tiny.config)
    model.load_state_dict(tiny.tokenizer.state_dict())
    model.quantizer.cluster_size.fill_(100_000.1)
    model.quantizer.warmup_left.fill_(123_457)
    return model


@pytest.mark.parametrize(("dtype", "atol"), [("float16", 1e-3), ("float32", 0.0)])
def test_a_saved_model_is_loaded_again(tokenizer, tmp_path, dtype, atol):
    save_pretrained(tmp_path, tokenizer, dtype=dtype)
    found, wanted = load_pretrained(tmp_path).tokenizer.state_dict(), tokenizer.state_dict()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=atol)
    for name in ("cluster_size", "start_size", "started", "warmup_left", "gain"):
        assert torch.equal(found[f"quantizer.{name}"], wanted[f"quantizer.{name}"])


@pytest.mark.parametrize("system", ["neurorvq", "brainrvq"])
def test_a_model_may_be_trained_on_every_name_of_its_vocabulary(tmp_path, system):
    """Of which there are more than tensors in its file."""
    tiny = load_pretrained(f"{system}-eeg-tiny-random")
    foundation = tiny.foundation
    foundation.config = replace(foundation.config, trained=foundation.config.channels)
    save_pretrained(tmp_path, foundation=foundation)
    assert load_pretrained(tmp_path).config.trained == foundation.config.channels


def test_saving_in_half_precision_twice_changes_nothing_more(tokenizer, tmp_path):
    once = load_pretrained(save_pretrained(tmp_path / "once", tokenizer)).tokenizer
    twice = load_pretrained(save_pretrained(tmp_path / "twice", once)).tokenizer
    for name, tensor in once.state_dict().items():
        assert torch.equal(twice.state_dict()[name], tensor)


def test_half_precision_holds_matrices_and_codebooks_only(tokenizer, tmp_path):
    path = save_pretrained(tmp_path, tokenizer) / "tokenizer.safetensors"
    with safe_open(path, framework="pt") as file:
        halves = {name for name in file.keys() if file.get_tensor(name).dtype == torch.float16}  # noqa: SIM118
    assert "quantizer.codebook" in halves
    assert "encoder.trunk.blocks.0.mlp.fc1.weight" in halves
    assert not any(name.endswith((".bias", "norm1.weight", "cluster_size")) for name in halves)
    float32 = save_pretrained(tmp_path / "float32", tokenizer, dtype="float32")
    assert path.stat().st_size < 0.6 * (float32 / "tokenizer.safetensors").stat().st_size


def test_the_heads_of_a_foundation_model_are_saved_with_it(tiny, tmp_path):
    model = NeuroRVQ(5, config=tiny.config, masked_token_heads=True).eval()
    save_pretrained(tmp_path, foundation=model, dtype="float32")
    loaded = load_pretrained(tmp_path).foundation
    assert torch.equal(loaded.masked_tokens.weight, model.masked_tokens.weight)
    assert torch.equal(loaded.final_layer.linear.weight, model.final_layer.linear.weight)


def test_the_folder_says_what_it_holds(tiny, tmp_path):
    folder = save_pretrained(tmp_path / "a" / "b", tiny.tokenizer, tiny.foundation, card="text")
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md",
        "config.json",
        "foundation.safetensors",
        "manifest.json",
        "tokenizer.safetensors",
    ]
    assert json.loads((folder / "config.json").read_text())["config"]["modality"] == "eeg"


def test_a_number_beyond_half_precision_is_refused(tokenizer, tmp_path):
    with torch.no_grad():
        tokenizer.to_code[1][0].weight[0, 0] = 1e5
    with pytest.raises(ValueError, match=r"to_code\.1\.0\.weight.*dtype='float32'"):
        save_pretrained(tmp_path / "models", tokenizer)
    assert not (tmp_path / "models").exists()
    save_pretrained(tmp_path / "models", tokenizer, dtype="float32")


def test_weights_that_are_not_numbers_are_refused(tokenizer, tmp_path):
    with torch.no_grad():
        tokenizer.decoder.cls_token[..., 0] = float("inf")
    with pytest.raises(CheckpointError, match=r"the tokenizer has NaN.*decoder\.cls_token"):
        save_pretrained(tmp_path, tokenizer)


def test_the_folder_has_what_only_the_foundation_model_says(tmp_path):
    tiny = load_pretrained("brainrvq-eeg-tiny-random")
    config = replace(tiny.config, foundation_layer_scale=0.2, token_heads="parallel")
    assert config != tiny.tokenizer.config
    loaded = load_pretrained(save_pretrained(tmp_path, tiny.tokenizer, BrainRVQ(config=config)))
    assert loaded.config == loaded.tokenizer.config == loaded.foundation.config == config
    assert tiny.tokenizer.config == tiny.config


def test_what_cannot_be_saved_is_said(tiny, tmp_path):
    with pytest.raises(ValueError, match="nothing to save"):
        save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="dtype must be"):
        save_pretrained(tmp_path, tiny.tokenizer, dtype="bfloat16")
    with pytest.raises(ValueError, match="different configurations"):
        save_pretrained(tmp_path, tiny.tokenizer, NeuroRVQ(config=replace(tiny.config, depth=2)))
    flat = NeuroRVQ(2, n_chans=1, n_times=200, config=tiny.config, head="flatten")
    with pytest.raises(ValueError, match="flattened patches"):
        save_pretrained(tmp_path, foundation=flat)
    assert not list(tmp_path.iterdir())


# ---- all or nothing


@pytest.fixture
def pairs(tiny):
    """Two pairs of models of one configuration."""
    others = {
        kind: build_untrained(Blueprint(kind, tiny.config), seed)
        for seed, kind in enumerate(("tokenizer", "foundation"), start=100)
    }
    return {"tokenizer": tiny.tokenizer, "foundation": tiny.foundation}, others


def _signs(folder):
    loaded = load_pretrained(folder)
    models = (loaded.tokenizer, loaded.foundation)
    sums = [model.encoder.trunk.cls_token.detach().sum().item() for model in models]
    return [*sums, loaded.card]


class Killed(BaseException):
    """As if the process had ended."""


@pytest.mark.parametrize("step", range(16))
def test_a_save_that_is_killed_anywhere_leaves_the_old_models_or_the_new(
    pairs, tmp_path, monkeypatch, step
):
    old, new = pairs
    save_pretrained(tmp_path / "new", **new, card="new")
    save_pretrained(tmp_path, **old, card="old")
    wanted = {"old": _signs(tmp_path), "new": _signs(tmp_path / "new")}
    steps = []

    def count(function):
        def counted(*args, **kwargs):
            if len(steps) >= step:  # a process that has ended does not tidy up either
                raise Killed
            steps.append(function.__name__)
            return function(*args, **kwargs)

        return counted

    for owner, name in ((Path, "write_bytes"), (Path, "write_text"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, count(getattr(owner, name)))
    monkeypatch.setattr(os, "replace", count(os.replace))
    with contextlib.suppress(Killed):
        save_pretrained(tmp_path, **new, card="new")
    monkeypatch.undo()
    found = _signs(tmp_path)
    # Four files, the manifest, and their places: from then on the new ones count.
    assert found == wanted["new" if step >= 10 else "old"]
    assert pretraining_subjects(tmp_path) is None
    save_pretrained(tmp_path, **old, card="old")
    assert _signs(tmp_path) == wanted["old"]
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_half_of_the_same_file_that_a_killed_save_left_never_takes_its_place(
    pairs, tmp_path, monkeypatch
):
    old, _ = pairs
    save_pretrained(tmp_path, **old, card="old")
    before = _signs(tmp_path)

    def half(path, content, write=Path.write_bytes):
        write(path, content[: len(content) // 2])
        raise Killed

    def killed(*args, **kwargs):
        raise Killed

    monkeypatch.setattr(Path, "write_bytes", half)
    monkeypatch.setattr(Path, "unlink", killed)
    with contextlib.suppress(Killed):
        save_pretrained(tmp_path, **old, card="old")
    monkeypatch.undo()
    assert _signs(tmp_path) == before
    # As earlier versions left it: under the name that the manifest asks for.
    content = (tmp_path / "foundation.safetensors").read_bytes()
    waiting = _waiting(tmp_path, "foundation.safetensors", sha256(content).hexdigest())
    waiting.write_bytes(content[: len(content) // 2])
    save_pretrained(tmp_path, tokenizer=old["tokenizer"])
    assert _signs(tmp_path) == before
    assert not waiting.exists()


def test_what_is_no_file_is_named_and_as_a_card_blocks_nothing(tiny, tmp_path):
    def pipe(path):
        os.mkfifo(path)

    def loop(path):
        path.symlink_to(path.name)

    for make in (pipe, loop, Path.mkdir):
        folder = save_pretrained(tmp_path / make.__name__, tiny.tokenizer, card="saved")
        (folder / "README.md").unlink()
        make(folder / "README.md")
        with pytest.warns(UserWarning, match=r"README\.md is not the card that was saved"):
            assert load_pretrained(folder).card is None
        (folder / "tokenizer.safetensors").unlink()
        make(folder / "tokenizer.safetensors")
        with pytest.raises(CheckpointError, match=r"tokenizer\.safetensors is not the file that"):
            load_pretrained(folder)
        (folder / "manifest.json").unlink()
        make(folder / "manifest.json")
        with pytest.raises((CheckpointError, OSError), match=r"manifest\.json"):
            load_pretrained(folder)


def test_saving_binds_what_an_older_folder_holds_and_believes_no_changed_file(tiny, tmp_path):
    save_pretrained(tmp_path, tiny.tokenizer, card="saved")
    for name in ("training.json", "measures.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "manifest.json").unlink()
    save_pretrained(tmp_path, foundation=tiny.foundation)
    bound = json.loads((tmp_path / "manifest.json").read_text())["sha256"]
    assert {"README.md", "training.json", "measures.json", "tokenizer.safetensors"} <= set(bound)
    (tmp_path / "README.md").write_text("another")
    (tmp_path / "training.json").write_text('{"subjects": {}}')
    with pytest.warns(UserWarning, match=r"README\.md is not the card that was saved"):
        save_pretrained(tmp_path, tiny.tokenizer)
    with pytest.warns(UserWarning, match=r"README\.md is not the card that was saved"):
        load_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"training\.json is not the file that was saved"):
        pretraining_subjects(tmp_path)


def test_a_full_disk_leaves_the_old_models(pairs, tmp_path):
    resource = pytest.importorskip("resource")
    old, new = pairs
    save_pretrained(tmp_path, **old)
    before = _signs(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            save_pretrained(tmp_path, **new)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert _signs(tmp_path) == before
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_a_model_that_was_loaded_lives_on_when_its_folder_is_saved_again(pairs, tmp_path):
    old, new = pairs
    save_pretrained(tmp_path, **old, dtype="float32")
    path = tmp_path / "tokenizer.safetensors"
    with safe_open(path, framework="pt") as file:
        kept = file.get_tensor("encoder.trunk.cls_token")
        save_pretrained(tmp_path, **new, dtype="float32")
        assert torch.equal(kept, old["tokenizer"].encoder.trunk.cls_token)


def test_a_mixture_of_two_folders_is_refused(pairs, tmp_path):
    folders = [save_pretrained(tmp_path / str(i), **pair) for i, pair in enumerate(pairs)]
    shutil.copy(folders[1] / "foundation.safetensors", folders[0])
    with pytest.raises(CheckpointError, match=r"foundation\.safetensors is not the file that was"):
        load_pretrained(folders[0])
    assert load_pretrained(folders[0], only="tokenizer").kinds == ("tokenizer",)
    (folders[0] / "foundation.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"foundation\.safetensors is missing, but was saved"):
        load_pretrained(folders[0])
    save_pretrained(folders[0], **pairs[1])
    assert _signs(folders[0]) == _signs(folders[1])


def test_one_model_is_saved_beside_another_only_if_they_go_together(pairs, tiny, tmp_path):
    old, new = pairs
    save_pretrained(tmp_path, **old, card="old")
    save_pretrained(tmp_path, tokenizer=new["tokenizer"])
    loaded = load_pretrained(tmp_path)
    assert loaded.card == "old"
    torch.testing.assert_close(
        loaded.foundation.encoder.trunk.cls_token,
        old["foundation"].encoder.trunk.cls_token,
        rtol=0,
        atol=1e-3,
    )
    before = _signs(tmp_path)
    with pytest.raises(ValueError, match="foundation model of another configuration"):
        save_pretrained(tmp_path, NeuroRVQTokenizer(config=replace(tiny.config, depth=2)))
    assert _signs(tmp_path) == before


def test_a_card_that_was_changed_is_told_and_one_that_is_no_text_blocks_nothing(tiny, tmp_path):
    save_pretrained(tmp_path, tiny.tokenizer, card="saved")
    (tmp_path / "README.md").write_bytes(b"caf\xe9")
    with pytest.warns(UserWarning, match=r"README\.md is not the card that was saved"):
        assert load_pretrained(tmp_path).card == "caf\ufffd"
    (tmp_path / "manifest.json").unlink()
    assert load_pretrained(tmp_path).card == "caf\ufffd"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", "[" * 100_000, '{"format": 2}', "caf\xe9", '{"format":1,"sha256":[]}']
    + [
        json.dumps({"format": 1, "sha256": {name: digest}})
        for name, digest in [("../x", "0" * 64), ("/etc/x", "0" * 64), ("a", "0"), ("a", 1)]
    ],
)
def test_a_damaged_manifest_is_named_and_replaced(tiny, tmp_path, text):
    save_pretrained(tmp_path, tiny.tokenizer)
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"manifest\.json is not a list of the files"):
        load_pretrained(tmp_path)
    save_pretrained(tmp_path, tiny.tokenizer)
    assert load_pretrained(tmp_path).kinds == ("tokenizer",)


@pytest.mark.slow
def test_readers_find_one_pair_or_the_other_while_others_save(pairs, tmp_path):
    saved = [
        save_pretrained(tmp_path / str(i), **pair, card=str(i)) for i, pair in enumerate(pairs)
    ]
    signs = [_signs(folder) for folder in saved]
    folder = save_pretrained(tmp_path / "folder", **pairs[0], card="0")
    children = []
    for i, pair in enumerate(pairs):
        if not (pid := os.fork()):
            for _ in range(10):
                save_pretrained(folder, **pair, card=str(i))
            os._exit(0)
        children.append(pid)
    found = []
    while children:
        found.append(_signs(folder))
        children = [pid for pid in children if os.waitpid(pid, os.WNOHANG) == (0, 0)]
    assert all(sign in signs for sign in found)
    assert _signs(folder) in signs
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]
