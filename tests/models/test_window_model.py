# License: BSD-3-Clause
"""Whole windows: segments are read one by one, pooled by what each patch adds, and mapped."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQ, WindowModel

ROWS = torch.tensor([4, 7])
SEGMENTS, WEIGHTS = (2, 1), (1.0, 1.0, 0.25)


@pytest.fixture(scope="module")
def foundation():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NeuroRVQ(config=replace(NEURORVQ_EEG, depth=1)).eval()


@pytest.fixture(scope="module")
def x():
    return 20 * torch.randn(3, 2, 600, generator=torch.Generator().manual_seed(1))


def model(foundation, head="mean", **settings):
    generator = torch.Generator().manual_seed(2)
    return WindowModel(foundation, 3, ROWS, SEGMENTS, WEIGHTS, head, generator).eval()


@torch.no_grad()
def features(foundation, x):
    """Features of the three patches, ``(batch, channels, patches, width)``."""
    parts = [
        foundation(part, ROWS, return_features=True)["features"]
        for part in (x[..., :400], x[..., 400:])
    ]
    return torch.cat(parts, dim=2)


@torch.no_grad()
def test_the_mean_weighs_patches_by_what_they_add(foundation, x):
    every = features(foundation, x).mean(1)
    expected = (every[:, 0] + every[:, 1] + 0.25 * every[:, 2]) / 2.25
    assert_allclose(model(foundation).pooled(x), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_flat_head_sees_every_patch_in_a_row(foundation, x):
    flat = model(foundation, "flatten").pooled(x)
    assert flat.shape == (3, 2 * 3 * 800)
    assert_allclose(flat, features(foundation, x).flatten(1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("head", ["mean", "flatten"])
@torch.no_grad()
def test_outputs_are_those_of_a_norm_and_a_linear_layer(foundation, x, head):
    network = model(foundation, head)
    pooled = network.pooled(x)
    z = (pooled - pooled.mean(1, keepdim=True)) / (pooled.var(1, correction=0) + 1e-5).sqrt()[
        :, None
    ]
    linear = network.final_layer.linear
    assert_allclose(network(x), z @ linear.weight.T + linear.bias, rtol=0, atol=1e-5)


def test_a_head_starts_as_torchs_does_from_its_own_generator(foundation):
    first, second = model(foundation).final_layer, model(foundation).final_layer
    for one, two in zip(first.parameters(), second.parameters(), strict=True):
        assert_array_equal(one.detach(), two.detach())
    bound = 800**-0.5
    assert bound * 0.95 < first.linear.weight.abs().max() <= bound
    assert 0 < first.linear.bias.abs().max() <= bound


def test_trunk_and_head_have_the_documented_prefixes(foundation):
    network = model(foundation)
    names = [name for name, _ in network.named_parameters()]
    assert {name.split(".")[0] for name in names} == {"foundation", "final_layer"}
    assert sum(name.startswith("foundation.encoder.") for name in names) == len(names) - 4
    assert list(network.state_dict()) == names  # montage and window belong to the estimator


def test_another_head_is_refused(foundation):
    with pytest.raises(ValueError, match="head must be 'mean' or 'flatten', got 'max'"):
        model(foundation, "max")
