# License: BSD-3-Clause
"""The blocks that the models share, against their formulas."""

from __future__ import annotations

import copy

import torch

from mne_neurorvq.models.trunk import Attention, Block, Trunk


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
    plain, scaled = Block(8, 2, 2.0), Block(8, 2, 2.0, layer_scale=1.0)
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
