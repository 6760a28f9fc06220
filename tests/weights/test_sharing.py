# License: BSD-3-Clause
"""One copy of a model in a process, and no second of imports before it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone

from mne_neurorvq import NeuroRVQTransformer, load_pretrained
from mne_neurorvq.weights import CheckpointError, save_pretrained
from mne_neurorvq.weights.sharing import shared_pretrained

TINY = "neurorvq-eeg-tiny-random"


@pytest.fixture
def folder(tiny, tmp_path):
    return save_pretrained(tmp_path / "model", tiny.tokenizer, tiny.foundation)


@pytest.mark.parametrize("kind", ["tokenizer", "foundation"])
def test_who_asks_again_gets_the_same_model_with_the_values_of_the_file(folder, kind):
    first = shared_pretrained(folder, only=kind)
    assert shared_pretrained(str(folder), only=kind) is first
    assert first.kinds == (kind,)
    own = getattr(load_pretrained(folder), kind).state_dict()
    ours = getattr(first, kind).state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in own.items())
    # And load_pretrained shares with nobody.
    assert not {t.data_ptr() for t in own.values()} & {t.data_ptr() for t in ours.values()}


def test_threads_that_ask_together_get_one_model(folder):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: shared_pretrained(folder, only="tokenizer"), range(8)))
    assert len({id(one) for one in found}) == 1


def test_a_file_that_was_replaced_is_read_anew(folder, tiny):
    first = shared_pretrained(folder, only="foundation")
    before = first.foundation.encoder.trunk.cls_token.clone()
    other = load_pretrained(folder)
    with torch.no_grad():
        other.foundation.encoder.trunk.cls_token += 1
    save_pretrained(folder, other.tokenizer, other.foundation)
    second = shared_pretrained(folder, only="foundation")
    assert second is not first
    assert torch.equal(first.foundation.encoder.trunk.cls_token, before)
    assert not torch.equal(second.foundation.encoder.trunk.cls_token, before)


def test_a_model_that_nobody_holds_is_let_go(folder, tmp_path, tiny):
    watched = weakref.ref(shared_pretrained(folder, only="tokenizer"))
    for i in range(2):
        other = save_pretrained(tmp_path / str(i), tiny.tokenizer)
        shared_pretrained(other, only="tokenizer")
    gc.collect()
    assert watched() is None


def test_errors_are_those_of_load_pretrained(tmp_path):
    with pytest.raises(ValueError, match="neither a file or folder nor the name"):
        shared_pretrained("neurorvq-eeg-tyni-random", only="tokenizer")
    with pytest.raises(CheckpointError, match="holds no model"):
        shared_pretrained(tmp_path, only="tokenizer")


def test_clones_of_a_transformer_share_their_model():
    X = np.random.default_rng(0).normal(0, 10, (2, 1, 400))
    first = NeuroRVQTransformer(TINY, ch_names=["Cz"], sfreq=200.0).fit(X)
    second = clone(first).fit(X)
    assert first._model("foundation") is second._model("foundation")
    assert first._model("tokenizer") is second._model("tokenizer")
    np.testing.assert_array_equal(first.transform(X), second.transform(X))


_READS = """
import sys
import torch
from mne_neurorvq.weights import load_pretrained
from mne_neurorvq.weights.blueprint import Blueprint
from mne_neurorvq.weights.systems import SYSTEMS
for system in SYSTEMS.values():
    for config in system.presets.values():
        Blueprint("tokenizer", config).build()
        if system.foundation is not None:
            Blueprint("foundation", config, masked_token_heads=True).build()
assert "sympy" not in sys.modules, "torch's compiler was imported"
"""


def test_a_model_before_its_weights_does_not_import_the_compiler():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", _READS], check=True, env=environment)
