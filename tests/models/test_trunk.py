# License: BSD-3-Clause
"""The blocks that the models share, against their formulas."""

from __future__ import annotations

import copy

import pytest
import torch

from mne_neurorvq.models import NEURORVQ_EEG
from mne_neurorvq.models.config import TrunkStyle
from mne_neurorvq.models.fast import attend_by_products
from mne_neurorvq.models.trunk import Attention, Block, PatchEmbedding, Trunk


@torch.no_grad()
def test_attention_is_that_of_the_formula():
    torch.manual_seed(0)
    layer = Attention(12, 3).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    weights = layer.qkv.weight.chunk(3)
    biases = (layer.q_bias, torch.zeros(12, dtype=torch.float64), layer.v_bias)
    q, k, v = (
        (x @ w.T + b).unflatten(-1, (3, 4)).transpose(1, 2)
        for w, b in zip(weights, biases, strict=True)
    )

    def norm(z, layer):
        z = (z - z.mean(-1, keepdim=True)) / (z.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()
        return z * layer.weight + layer.bias

    scores = norm(q, layer.q_norm) @ norm(k, layer.k_norm).transpose(-1, -2) / 4**0.5
    wanted = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    wanted = wanted @ layer.proj.weight.T + layer.proj.bias
    torch.testing.assert_close(layer(x), wanted)


@torch.no_grad()
def test_layer_scale_weighs_what_a_block_adds():
    torch.manual_seed(0)
    plain, scaled = Block(8, 2, 2.0), Block(8, 2, 2.0, style=TrunkStyle(layer_scale=1.0))
    scaled.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(1, 3, 8)
    torch.testing.assert_close(plain(x), scaled(x))
    assert not hasattr(plain.gamma_1, "shape")
    scaled.gamma_1.zero_()
    scaled.gamma_2.zero_()
    assert torch.equal(scaled(x), x)


@torch.no_grad()
def test_a_trunk_counts_time_from_the_end_and_never_uses_its_last_place():
    torch.manual_seed(0)
    trunk = Trunk(8, 2, 1, 2.0, n_channels=5, max_patches=6)
    for table in (trunk.cls_token, trunk.pos_embed, trunk.time_embed):
        torch.nn.init.normal_(table)
    x, rows = torch.randn(2, 6, 8), torch.tensor([4, 1])
    before = trunk(x, rows)

    def changed_by(table, row):
        other = copy.deepcopy(trunk)
        getattr(other, table)[row] += torch.arange(8.0)
        return bool((other(x, rows) - before).abs().max() > 1e-3)

    # Two channels of three patches: the last three rows.
    assert [changed_by("time_embed", row) for row in range(6)] == [False] * 3 + [True] * 3
    # Row 0 belongs to the class token, too, which every patch attends to.
    assert [changed_by("pos_embed", row) for row in range(6)] == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]
    assert changed_by("cls_token", 0)


@torch.no_grad()
def test_places_counted_from_the_start_leave_the_class_token_its_own():
    torch.manual_seed(0)
    style = TrunkStyle(class_row=True, time_from_start=True)
    trunk = Trunk(8, 2, 1, 2.0, n_channels=5, max_patches=6, style=style)
    for table in (trunk.cls_token, trunk.pos_embed, trunk.time_embed):
        torch.nn.init.normal_(table)
    x, rows = torch.randn(2, 6, 8), torch.tensor([4, 1])

    def changed_by(table, row, **settings):
        other = copy.deepcopy(trunk)
        getattr(other, table)[row] += torch.arange(8.0)
        apart = other(x, rows, **settings) - trunk(x, rows, **settings)
        return bool(apart.abs().max() > 1e-3)

    assert [changed_by("time_embed", row) for row in range(6)] == [True] * 3 + [False] * 3
    places = [True, False, True, False, False, True]
    assert [changed_by("pos_embed", row) for row in range(6)] == places
    # Unless it takes the place of a channel.
    given = {"class_channel": rows[:1]}
    places[0] = False
    assert [changed_by("pos_embed", row, **given) for row in range(6)] == places
    each = trunk(x, rows.expand(2, -1), class_channel=rows[:1].expand(2, -1))
    torch.testing.assert_close(each, trunk(x, rows, **given))


@torch.no_grad()
def test_the_class_token_comes_first_where_it_is_kept():
    torch.manual_seed(0)
    trunk = Trunk(8, 2, 1, 2.0, n_channels=5, max_patches=6)
    x, rows = torch.randn(2, 6, 8), torch.tensor([4, 1])
    kept = trunk(x, rows, keep_class=True)
    assert kept.shape == (2, 7, 8)
    assert torch.equal(kept[:, 1:], trunk(x, rows))


@torch.no_grad()
def test_biases_and_norms_can_be_left_out():
    torch.manual_seed(0)
    bare = Attention(12, 3, TrunkStyle(qkv_bias=False, qk_norm=False))
    assert sorted(name for name, _ in bare.named_parameters()) == [
        "proj.bias",
        "proj.weight",
        "qkv.weight",
    ]
    x = torch.randn(2, 5, 12)
    q, k, v = ((x @ w.T).unflatten(-1, (3, 4)).transpose(1, 2) for w in bare.qkv.weight.chunk(3))
    wanted = (q @ k.transpose(-1, -2) / 2).softmax(-1) @ v
    torch.testing.assert_close(bare(x), bare.proj(wanted.transpose(1, 2).flatten(2)))


def test_the_norms_of_blocks_have_the_epsilon_of_the_style():
    for eps in (1e-5, 1e-6):
        block = Block(8, 2, 2.0, TrunkStyle(norm_eps=eps))
        assert block.norm1.eps == block.norm2.eps == eps
        assert block.attn.q_norm.eps == block.attn.k_norm.eps == 1e-6


@torch.no_grad()
def test_a_dropped_path_adds_nothing_or_so_much_more_that_the_mean_stays():
    torch.manual_seed(0)
    block = Block(8, 2, 2.0, drop_path=0.75)
    torch.nn.init.zeros_(block.mlp.fc2.weight)
    torch.nn.init.zeros_(block.mlp.fc2.bias)
    x = torch.randn(1, 5, 8)
    whole = block.eval()(x) - x
    added = block.train()(x.expand(400, -1, -1)) - x
    dropped = added.abs().amax((1, 2)) < 1e-6
    assert 0.68 < float(dropped.float().mean()) < 0.82
    torch.testing.assert_close(added[~dropped], 4 * whole.expand(int((~dropped).sum()), -1, -1))


def _exact(q, k, v):
    """Attention in float64."""
    q, k, v = q.double(), k.double(), v.double()
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v


@torch.no_grad()
@pytest.mark.parametrize("head_dim", [5, 15, 16, 20])
def test_attention_by_products_in_bfloat16_rounds_little_more_than_that_of_torch(head_dim):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 70, head_dim).bfloat16()
    wanted = _exact(q, k, v)
    ours, theirs = (
        (attend(q, k, v) - wanted).square().mean().sqrt()
        for attend in (attend_by_products, torch.nn.functional.scaled_dot_product_attention)
    )
    assert ours < 4 * theirs
    assert ours < 0.01 * wanted.std()


@torch.no_grad()
def test_attention_in_bfloat16_takes_off_a_maximum_where_exponentials_could_overflow():
    torch.manual_seed(0)
    layer = Attention(12, 3)
    x = torch.randn(2, 5, 12)
    for scale in (1.0, 30.0):
        layer.q_norm.weight.fill_(scale)
        layer.k_norm.weight.fill_(scale)
        with torch.autocast("cpu", torch.bfloat16):
            found = layer(x).float()
        torch.testing.assert_close(found, layer(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("head_dim", [5, 16])
def test_the_gradient_of_attention_by_products_rounds_little(head_dim):
    torch.manual_seed(0)
    signals = torch.randn(3, 2, 4, 70, head_dim).bfloat16().requires_grad_()
    upstream = torch.randn(2, 4, 70, head_dim).bfloat16()
    (found,) = torch.autograd.grad(attend_by_products(*signals), signals, upstream)
    (wanted,) = torch.autograd.grad(_exact(*signals), signals, upstream.double())
    for ours, exact in zip(found, wanted, strict=True):
        assert (ours - exact).norm() < 0.01 * exact.norm()


def test_what_learns_in_bfloat16_convolves_in_float32():
    torch.manual_seed(0)
    embedding, patches = PatchEmbedding(NEURORVQ_EEG.scales[0], 8, 4), torch.randn(2, 3, 200)
    with torch.autocast("cpu", torch.bfloat16):
        learning = embedding(patches)
        with torch.no_grad():
            found = embedding(patches)
    assert torch.equal(learning, embedding(patches))
    assert found.dtype == torch.bfloat16


def test_what_learns_in_bfloat16_attends_in_float32_where_exponentials_could_overflow(monkeypatch):
    torch.manual_seed(0)
    layer, x = Attention(12, 3), torch.randn(2, 5, 12)
    for norm in (layer.q_norm, layer.k_norm):
        torch.nn.init.constant_(norm.weight, 3.0)
    seen = []
    usual = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda q, k, v: seen.append({q.dtype, k.dtype, v.dtype}) or usual(q, k, v),
    )
    layer(x).square().sum().backward()
    wanted = layer.qkv.weight.grad.clone()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    assert found.dtype == torch.bfloat16
    found.float().square().sum().backward()
    assert seen == [{torch.float32}] * 2
    assert (layer.qkv.weight.grad - wanted).norm() < 0.05 * wanted.norm()
