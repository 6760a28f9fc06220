# License: BSD-3-Clause
"""Adapters: heard by the network, trained alone, merged without a trace."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from optional_library import import_or_skip

from mne_neurorvq import NeuroRVQClassifier, load_pretrained
from mne_neurorvq.finetuning import add_adapters, merge_adapters
from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQ, WindowModel

peft = import_or_skip("peft", "lora")

TINY = "neurorvq-eeg-tiny-random"
DEPTH, WIDTH, RANK = 2, 200, 3
PROJECTIONS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


@pytest.fixture
def model():
    """Two blocks of the published width, their output large enough to be heard."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trunk = NeuroRVQ(config=replace(NEURORVQ_EEG, depth=DEPTH))
    for name, parameter in trunk.named_parameters():
        if "gamma" in name:
            parameter.data.fill_(1.0)
    generator = torch.Generator().manual_seed(1)
    return WindowModel(trunk, 3, torch.tensor([4, 7]), (2,), (1.0, 1.0), generator=generator)


@pytest.fixture
def x():
    return 20 * torch.randn(2, 2, 400, generator=torch.Generator().manual_seed(2))


def adapted(model):
    add_adapters(model, RANK, torch.Generator().manual_seed(3))
    return model


def outputs(model, x):
    with torch.no_grad():
        return model.eval()(x)


def shift(model, only=""):
    """Give the adapters an effect, as training does."""
    generator = torch.Generator().manual_seed(4)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name and only in name:
            parameter.data.normal_(0, 0.05, generator=generator)
    return model


def test_fresh_adapters_change_nothing(model, x):
    before = outputs(model, x)
    assert_array_equal(outputs(adapted(model), x), before)


@pytest.mark.parametrize("block", range(DEPTH))
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_an_adapter_at_every_projection_of_every_block_is_heard(model, x, block, projection):
    before = outputs(adapted(model), x)
    shift(model, f".blocks.{block}.{projection}.")
    assert (outputs(model, x) - before).abs().max() > 1e-3


def test_adapters_and_the_head_are_trained_and_nothing_else(model, x):
    adapted(model)
    shift(model)  # else the first factor of each pair has no gradient
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    model(x).square().sum().backward()
    with_gradient = [name for name, p in model.named_parameters() if p.grad is not None]
    assert with_gradient == trainable
    found = {name for name in trainable if ".lora_" not in name}
    assert found == {f"final_layer.{name}" for name in ("norm.weight", "norm.bias")} | {
        f"final_layer.{name}" for name in ("linear.weight", "linear.bias")
    }
    adapters = [name for name in trainable if ".lora_" in name]
    assert len(adapters) == 2 * DEPTH * len(PROJECTIONS)
    for i in range(DEPTH):
        for projection in PROJECTIONS:
            assert sum(f".blocks.{i}.{projection}.lora_" in name for name in adapters) == 2


def test_only_adapters_and_the_head_differ_after_a_step(model, x):
    state = copy.deepcopy(model.foundation.state_dict())
    adapted(model)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.5)
    head = copy.deepcopy(model.final_layer.state_dict())
    for _ in range(2):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    frozen = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): value
        for name, value in model.foundation.state_dict().items()
        if ".lora_" not in name
    }
    assert frozen.keys() == state.keys()
    for name, value in frozen.items():
        assert_array_equal(value, state[name], err_msg=name)
    for name, value in model.final_layer.state_dict().items():
        assert not torch.equal(value, head[name]), name


def test_the_merged_model_gives_what_the_adapted_one_gave(model, x):
    names = list(model.state_dict())
    plain = outputs(model, x)
    expected = outputs(shift(adapted(model)), x)
    merge_adapters(model)
    assert (expected - plain).abs().max() > 1e-2
    assert_allclose(outputs(model, x), expected, rtol=0, atol=1e-5)
    assert list(model.state_dict()) == names
    assert type(model.foundation) is NeuroRVQ
    assert all(p.requires_grad for p in model.parameters())


def test_a_merge_adds_twice_the_product_of_the_adapters(model):
    weight = model.foundation.encoder.trunk.blocks[0].attn.qkv.weight.detach().clone()
    shift(adapted(model))
    layer = model.foundation.base_model.model.encoder.trunk.blocks[0].attn.qkv
    product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    merge_adapters(model)
    found = model.foundation.encoder.trunk.blocks[0].attn.qkv.weight
    assert_allclose(found.detach(), (weight + 2 * product).detach(), rtol=0, atol=1e-6)


def test_adapters_start_from_the_generator_alone(model):
    torch.manual_seed(5)
    first = copy.deepcopy(adapted(copy.deepcopy(model)).state_dict())
    torch.manual_seed(6)
    second = adapted(model).state_dict()
    for name, value in first.items():
        assert_array_equal(value, second[name], err_msg=name)


@pytest.fixture(scope="module")
def trials():
    rng = np.random.default_rng(0)
    return 20 * rng.standard_normal((8, 2, 400)), np.tile(["left", "right"], 4)


def fit(trials, **parameters):
    settings = {"max_epochs": 1, "lr": 0.01, "random_state": 0} | parameters
    settings |= {"ch_names": ["C3", "C4"], "sfreq": 200.0}
    return NeuroRVQClassifier(TINY, finetune="lora", head="mean", **settings).fit(*trials)


@pytest.mark.parametrize("rank", [1, 4])
def test_trained_numbers_are_those_of_the_adapters_and_the_head(trials, rank):
    # The smallest model has one block; its MLP is as wide as its embedding.
    expected = rank * ((WIDTH + 3 * WIDTH) + 3 * (WIDTH + WIDTH))  # qkv; proj, fc1, fc2
    expected += 2 * 4 * WIDTH + 2 * (4 * WIDTH + 1)  # LayerNorm; linear layer of two classes
    assert fit(trials, lora_rank=rank).n_trainable_parameters_ == expected


def test_a_fit_changes_the_projections_and_the_head_and_nothing_else(trials):
    before = load_pretrained(TINY).foundation.state_dict()
    after = fit(trials).net_.module_.foundation.state_dict()
    # A heads-only module of pretraining is not kept.
    before = {name: value for name, value in before.items() if name.startswith("encoder.")}
    assert after.keys() == before.keys()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    blocks = "encoder.trunk.blocks.0."
    assert changed == {f"{blocks}{projection}.weight" for projection in PROJECTIONS}


def test_a_fitted_estimator_loads_where_there_is_no_peft(trials, tmp_path):
    fitted = fit(trials)
    fitted.save(tmp_path / "saved")
    (tmp_path / "fitted.pkl").write_bytes(pickle.dumps(fitted))
    np.save(tmp_path / "X.npy", trials[0])
    code = """
import pickle, sys
sys.modules["peft"] = None
import numpy as np
from mne_neurorvq import load_estimator
folder = sys.argv[1] + "/"
X = np.load(folder + "X.npy")
with open(folder + "fitted.pkl", "rb") as file:
    first = pickle.load(file)
second = load_estimator(folder + "saved")
np.save(folder + "found.npy", [first.predict_proba(X), second.predict_proba(X)])
assert not [name for name in sys.modules if name.startswith("peft.")]
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=300)
    for found in np.load(tmp_path / "found.npy"):
        assert_array_equal(found, fitted.predict_proba(trials[0]))


def test_without_peft_the_error_says_how_to_install_it(trials, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"needs peft.*pip install.*finetune='head' or 'full'"):
        fit(trials)
