# License: BSD-3-Clause
"""Models to and from folders and repositories, against a server that answers as the Hub does."""

from __future__ import annotations

import mne
import numpy as np
import pytest
import torch
import yaml
from hub_server import COMMIT, REPO, TOKEN

from mne_neurorvq import NeuroRVQTransformer, load_pretrained
from mne_neurorvq.models import BioCodec, BrainRVQ, BrainRVQTokenizer, NeuroRVQ, NeuroRVQTokenizer
from mne_neurorvq.weights import HashError, NotOnHubError, OfflineError, push_to_hub
from mne_neurorvq.weights.provenance import pretraining_subjects

NAME = f"hf://{REPO}"
TINY = "neurorvq-eeg-tiny-random"
CLASSES = {
    NeuroRVQTokenizer: TINY,
    NeuroRVQ: TINY,
    BrainRVQTokenizer: "brainrvq-eeg-tiny-random",
    BrainRVQ: "brainrvq-eeg-tiny-random",
    BioCodec: "biocodec-eeg-tiny-random",
}


def same(a, b):
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(
        torch.equal(left[name], right[name]) for name in left
    )


@pytest.mark.parametrize("kind", CLASSES)
def test_a_model_of_every_class_comes_back_from_a_folder_and_from_the_hub(kind, hub, tmp_path):
    model = kind.from_pretrained(CLASSES[kind])
    assert type(model) is kind
    assert same(kind.from_pretrained(model.save_pretrained(tmp_path, dtype="float32")), model)
    address = model.push_to_hub(REPO, token=TOKEN, dtype="float32", licence="mit")
    assert address == f"{hub.url}/{REPO}/commit/{COMMIT}"
    for name in (REPO, NAME):
        assert same(kind.from_pretrained(name), model)


def test_a_repository_of_both_models_is_a_name_like_any_other(hub, tiny):
    push_to_hub(REPO, tiny.tokenizer, tiny.foundation, token=TOKEN, dtype="float32")
    loaded = load_pretrained(NAME)
    assert (loaded.kinds, loaded.revision, loaded.name) == (tiny.kinds, COMMIT, NAME)
    assert same(loaded.foundation, tiny.foundation)
    x = np.random.default_rng(0).normal(0, 20, (2, 2, 400))
    of_hub, of_name = (
        NeuroRVQTransformer(name, ch_names=["C3", "C4"], sfreq=200.0).fit(x)
        for name in (NAME, TINY)
    )
    np.testing.assert_array_equal(of_hub.transform(x), of_name.transform(x))
    np.testing.assert_array_equal(of_hub.tokenize(x).codes, of_name.tokenize(x).codes)
    assert pretraining_subjects(NAME) is None


def test_the_card_has_yaml_that_the_hub_reads(hub, tiny):
    tiny.tokenizer.push_to_hub(REPO, token=TOKEN, licence="cc-by-4.0")
    _, head, text = hub.files["README.md"].decode().split("---\n", 2)
    facts = yaml.safe_load(head)
    assert facts["license"] == "cc-by-4.0"
    assert facts["library_name"] == "mne-neurorvq"
    assert facts["tags"] == ["eeg", "neurorvq", "residual-vector-quantization"]
    assert f'load_pretrained("{NAME}")' in text
    assert load_pretrained(NAME).card == hub.files["README.md"].decode()


def test_a_card_of_the_users_own_is_kept(hub, tiny):
    tiny.tokenizer.push_to_hub(REPO, token=TOKEN, card="---\nlicense: mit\n---\nMine.")
    assert hub.files["README.md"] == b"---\nlicense: mit\n---\nMine."
    tiny.tokenizer.push_to_hub(REPO, token=TOKEN, card="Mine.", licence="mit")
    assert hub.files["README.md"].decode().endswith(f"# {REPO}\n\nMine.")


def test_what_is_cached_is_loaded_without_the_network(hub, tiny, monkeypatch):
    push_to_hub(REPO, tiny.tokenizer, token=TOKEN)
    load_pretrained(NAME)
    hub.close()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load_pretrained(NAME).kinds == ("tokenizer",)
    with pytest.raises(OfflineError, match=r"manifest\.json of someone/other is not in the cache"):
        load_pretrained("hf://someone/other")


def test_only_the_wanted_model_is_fetched(hub, tiny):
    push_to_hub(REPO, tiny.tokenizer, tiny.foundation, token=TOKEN)
    hub.requests.clear()
    NeuroRVQTokenizer.from_pretrained(REPO)
    assert any("tokenizer.safetensors" in path for path in hub.requests)
    assert not any("foundation.safetensors" in path for path in hub.requests)


def test_a_file_that_is_not_of_the_commit_is_refused(hub, tiny):
    push_to_hub(REPO, tiny.tokenizer, token=TOKEN)
    hub.files["config.json"] += b" "
    with pytest.raises(
        HashError, match=r"config\.json of someone/models is not the registered file"
    ):
        load_pretrained(NAME)


def test_arguments_of_the_constructor_make_a_model_with_a_new_head():
    info = mne.create_info(["C3", "C4"], 200.0, "eeg")
    model = NeuroRVQ.from_pretrained(TINY, n_outputs=3, chs_info=info["chs"])
    assert model(torch.randn(2, 2, 400)).shape == (2, 3)
    assert same(model.encoder, load_pretrained(TINY).foundation.encoder)
    tokenizer = NeuroRVQTokenizer.from_pretrained(TINY, chs_info=info["chs"])
    assert same(tokenizer, load_pretrained(TINY).tokenizer)
    assert tokenizer(torch.randn(2, 2, 400)).shape == (2, 2, 400)


def test_a_model_of_another_class_and_a_repository_of_others_are_named(hub):
    with pytest.raises(ValueError, match="a BrainRVQ model is needed here"):
        BrainRVQ.from_pretrained(TINY)
    hub.files["model.safetensors"] = b""
    with pytest.raises(NotOnHubError, match=r"hf://someone/models.*push_to_hub"):
        NeuroRVQ.from_pretrained(REPO)


def test_a_path_that_is_not_there_names_the_way_to_the_hub():
    with pytest.raises(FileNotFoundError, match=r"no file or folder 'me/model'.*'hf://me/model'"):
        load_pretrained("me/model")


def test_nothing_to_push_is_an_error_before_anything_is_sent(hub):
    with pytest.raises(ValueError, match="nothing to save"):
        push_to_hub(REPO, token=TOKEN)
    assert not hub.requests


def test_a_saved_head_comes_back_with_the_channels_it_is_given(tmp_path):
    chs_info = mne.create_info(["C3", "C4"], 200.0, "eeg")["chs"]
    model = NeuroRVQ.from_pretrained(TINY, n_outputs=2, chs_info=chs_info)
    model.save_pretrained(tmp_path / "model", dtype="float32")
    windows = torch.randn(3, 2, 400)
    loaded = NeuroRVQ.from_pretrained(tmp_path / "model", chs_info=chs_info)
    torch.testing.assert_close(loaded(windows), model(windows))
    with pytest.warns(UserWarning, match="drawn anew"):
        other = NeuroRVQ.from_pretrained(tmp_path / "model", n_outputs=3, chs_info=chs_info)
    assert other(windows).shape == (3, 3)
