# License: BSD-3-Clause
"""Downloads, against a server on this machine that answers as the Hugging Face Hub does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub_server import COMMIT, REPO

from mne_neurorvq import load_pretrained
from mne_neurorvq.weights import (
    DownloadError,
    HashError,
    NotOnHubError,
    OfflineError,
    Pretrained,
    TruncatedError,
    WeightsFile,
    download,
    loading,
    registry,
    to_official_state_dict,
)

SLEEP = time.sleep
NAME = "neurorvq-eeg-here"


@pytest.fixture
def entry(hub, monkeypatch, tiny, tmp_path):
    """A registered model whose files the server has."""
    files = []
    for kind in ("tokenizer", "foundation"):
        torch.save(to_official_state_dict(getattr(tiny, kind)), tmp_path / "made.pt")
        content = (tmp_path / "made.pt").read_bytes()
        hub.files[f"sub/{kind}.pt"] = content
        digest = hashlib.sha256(content).hexdigest()
        files.append(WeightsFile(kind, REPO, f"sub/{kind}.pt", digest))
    made = Pretrained(
        name=NAME,
        modality="eeg",
        kinds=("tokenizer", "foundation"),
        source="official",
        licence="CC BY-NC 4.0",
        citation="Someone (2025)",
        files=tuple(files),
        revision=COMMIT,
    )
    _register(monkeypatch, made)
    monkeypatch.setattr(download, "_warned", {NAME})
    return made


def _register(monkeypatch, entry):
    monkeypatch.setattr(registry, "_REGISTRY", (*registry._REGISTRY[:3], entry))


def test_a_registered_model_is_downloaded_and_loaded(hub, entry, tiny):
    loaded = load_pretrained(NAME)
    assert loaded.name == NAME
    assert loaded.revision == COMMIT
    for kind in entry.kinds:
        found, wanted = loaded.require(kind).state_dict(), getattr(tiny, kind).state_dict()
        assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_what_is_cached_is_loaded_without_a_word_to_the_network(hub, entry, monkeypatch):
    load_pretrained(NAME)
    load_pretrained(NAME, revision="main")
    hub.requests.clear()
    load_pretrained(NAME)
    load_pretrained(NAME, revision="main")
    assert not hub.requests
    hub.close()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    load_pretrained(NAME)


def test_only_the_wanted_model_is_downloaded(hub, entry):
    load_pretrained(NAME, only="tokenizer")
    assert any("tokenizer" in path for path in hub.requests)
    assert not any("foundation" in path for path in hub.requests)


def test_a_revision_is_passed_on_and_remembered(hub, entry):
    assert load_pretrained(NAME, revision="v2").revision == "v2"
    assert all("/resolve/v2/" in path for path in hub.requests if "/resolve/" in path)


def test_offline_without_a_cached_copy_says_both_and_offers_a_way(hub, entry, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"not in the cache.*HF_HUB_OFFLINE is set.*eeg-small"):
        load_pretrained(NAME)
    assert not hub.requests


def test_a_hub_out_of_reach_is_called_that_at_once(hub, entry, monkeypatch):
    monkeypatch.setattr(time, "sleep", SLEEP)
    hub.close()
    start = time.perf_counter()
    with pytest.raises(OfflineError, match=r"not in the cache.*out of reach.*eeg-small"):
        load_pretrained(NAME)
    assert time.perf_counter() - start < 3


def test_a_hub_that_does_not_answer_is_not_waited_for(hub, entry, monkeypatch):
    monkeypatch.setattr(hub, "answer", lambda request, body: SLEEP(8))
    start = time.perf_counter()
    with pytest.raises(OfflineError, match=r"no answer within 2 s; HF_HUB_ETAG_TIMEOUT sets how"):
        load_pretrained(NAME)
    assert time.perf_counter() - start < 3


def test_a_repository_a_revision_and_a_file_that_do_not_exist_are_told_apart(
    hub, entry, monkeypatch
):
    with pytest.raises(NotOnHubError, match=f"{REPO} has no revision 'v9'"):
        load_pretrained(NAME, revision="v9")
    files = tuple(replace(file, path="gone.pt") for file in entry.files)
    _register(monkeypatch, replace(entry, files=files))
    with pytest.raises(NotOnHubError, match=f"there is no file gone.pt of {REPO}"):
        load_pretrained(NAME)
    files = tuple(replace(file, repo="someone/gone") for file in entry.files)
    _register(monkeypatch, replace(entry, files=files))
    with pytest.raises(NotOnHubError, match="there is no repository someone/gone"):
        load_pretrained(NAME)


def test_a_download_that_breaks_off_leaves_nothing_that_looks_whole(hub, entry, tmp_path):
    hub.cut_after = 1000
    with pytest.raises(DownloadError, match=r"download of sub/tokenizer\.pt.*broke off"):
        load_pretrained(NAME)
    hub.cut_after = None
    assert load_pretrained(NAME).kinds == entry.kinds


def test_a_file_with_another_hash_is_refused_and_not_kept(hub, entry, tiny):
    good = hub.files["sub/tokenizer.pt"]
    hub.files["sub/tokenizer.pt"] = good[:-1] + b"\x01"
    for _ in range(2):
        with pytest.raises(HashError, match=r"sub/tokenizer\.pt.*not the registered file"):
            load_pretrained(NAME)
    hub.files["sub/tokenizer.pt"] = good
    assert load_pretrained(NAME).kinds == entry.kinds


def test_the_hash_of_another_revision_is_not_asked_for(hub, entry, tiny, tmp_path):
    changed = to_official_state_dict(tiny.tokenizer)
    changed["encoder.cls_token"] = changed["encoder.cls_token"] + 1
    torch.save(changed, tmp_path / "changed.pt")
    hub.files["sub/tokenizer.pt"] = (tmp_path / "changed.pt").read_bytes()
    with pytest.raises(HashError):
        load_pretrained(NAME)
    assert load_pretrained(NAME, revision="v2").kinds == entry.kinds


def test_a_file_of_unknown_hash_that_ends_early_is_called_truncated(hub, entry, monkeypatch):
    _register(
        monkeypatch, replace(entry, files=tuple(replace(f, sha256=None) for f in entry.files))
    )
    hub.files["sub/tokenizer.pt"] = hub.files["sub/tokenizer.pt"][:5000]
    with pytest.raises(TruncatedError, match="is truncated"):
        load_pretrained(NAME)


def test_a_licence_that_forbids_commercial_use_is_named_once_at_the_first_download(
    hub, entry, monkeypatch
):
    monkeypatch.setattr(download, "_warned", set())
    with pytest.warns(UserWarning, match=r"CC BY-NC 4\.0: not for commercial use") as caught:
        load_pretrained(NAME)
    assert len(caught) == 1
    monkeypatch.setattr(download, "_warned", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_pretrained(NAME)


def test_the_environment_of_the_hub_is_respected(hub, entry, tmp_path):
    code = (
        "from mne_neurorvq.weights import download, registry\n"
        f"entry = registry.find_pretrained('neurorvq-ppg')\n"
        f"file = registry.WeightsFile('tokenizer', {REPO!r}, 'sub/tokenizer.pt')\n"
        "print(download.fetch(entry, file, None))"
    )
    home = tmp_path / "home"
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    path = Path(done.stdout.strip().splitlines()[-1])
    assert path.is_relative_to(home)
    assert path.read_bytes() == hub.files["sub/tokenizer.pt"]
    offline = environment | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=offline, capture_output=True, text=True, timeout=120
    )
    assert "OfflineError: sub/tokenizer.pt" in done.stderr


def test_loading_modules_touches_no_network():
    code = (
        "import socket\n"
        "def refuse(*args, **kwargs): raise SystemExit('network')\n"
        "socket.socket.connect = refuse\n"
        "import mne_neurorvq.weights as w\n"
        "[getattr(w, name) for name in w.__all__]\n"
        "w.load_pretrained('neurorvq-eeg-tiny-random', only='foundation')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_registry_is_read_at_every_call(entry):
    assert loading.find_pretrained(NAME) is entry
