# License: BSD-3-Clause
"""The residual quantizer under each rule, against formulas written out again in NumPy."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_neurorvq.models import QuantizerConfig, ResidualVQ, fast, kmeans, nearest_codes

# "projected" is the rule "cosine" with maps of each level from and to another dimension.
RULES = ("unit", "detached", "euclidean", "gain", "cosine", "projected")
all_rules = pytest.mark.parametrize("rule", RULES)


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _make(rule="unit", seed=0, started=True, **settings):
    """A quantizer with random codebooks and, under the rule "gain", random gains."""
    settings = {"n_codebooks": 2, "n_levels": 3, "n_codes": 12, "code_dim": 5} | settings
    if rule == "projected":
        rule, settings = "cosine", {"input_dim": 7} | settings
    config = QuantizerConfig(rule=rule, **settings)
    model = ResidualVQ(config).eval().requires_grad_(False)
    generator = _generator(seed)
    book = torch.randn(model.codebook.shape, generator=generator)
    if rule == "euclidean":
        model.codebook.copy_(0.7 * book)
    else:
        model.codebook.copy_(torch.nn.functional.normalize(book, dim=-1))
    if rule == "gain":
        model.gain.copy_(0.2 + torch.rand(model.gain.shape, generator=generator))
    # The same for all seeds, and of a scale that keeps residuals in the range of the codes.
    for i, parameter in enumerate(model.parameters()):
        parameter.copy_(0.3 * torch.randn(parameter.shape, generator=_generator(i)))
    model.cluster_size.copy_(1 + torch.rand(model.cluster_size.shape, generator=generator))
    if rule == "cosine":
        model.moving_sum.copy_(1.5 * model.codebook)
    model.started.fill_(started)
    return model


def _vectors(model, n_tokens=40, seed=1, scale=2.0):
    width = model.config.input_dim or model.config.code_dim
    shape = (model.config.n_codebooks, n_tokens, width)
    return scale * torch.randn(shape, generator=_generator(seed))


class Level(NamedTuple):
    """What a level does, by the book."""

    vectors: np.ndarray
    searched: np.ndarray
    chosen: np.ndarray
    subtracted: np.ndarray
    residual: np.ndarray
    index: np.ndarray
    margin: np.ndarray


def _by_the_book(model, z):
    """Every level of every codebook, in float64, with explicit differences."""
    state = {name: value.double().numpy() for name, value in model.state_dict().items()}
    books = []
    for book, residual in enumerate(z.detach().double().numpy()):
        levels = []
        for level in range(model.config.n_levels):
            codes = state["codebook"][book, level]
            vectors = _mapped(state, "to_code", book, level, residual)
            lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
            searched = vectors if model.config.rule == "euclidean" else vectors / lengths
            distances = ((searched[:, None] - codes[None]) ** 2).sum(-1)
            index = distances.argmin(-1)
            two = np.sort(distances, axis=-1)[:, :2]
            code = codes[index] * state["gain"][book, level]
            subtracted = _mapped(state, "from_code", book, level, code)
            residual = residual - subtracted
            levels.append(
                Level(vectors, searched, codes[index], subtracted, residual, index, two @ [-1, 1])
            )
        books.append(levels)
    return books


def _mapped(state, name, book, level, vectors):
    if f"{name}.weight" not in state:
        return vectors
    weight, bias = (state[f"{name}.{leaf}"][book, level] for leaf in ("weight", "bias"))
    return np.einsum("oi,ti->to", weight, vectors) + bias


def _codes(books):
    return np.stack([np.stack([level.index for level in levels], -1) for levels in books])


def _margins(books):
    return np.min([[level.margin for level in levels] for levels in books])


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    n_books=st.integers(1, 3),
    n_tokens=st.integers(0, 30),
    n_codes=st.integers(1, 40),
    dim=st.integers(1, 9),
    block=st.integers(1, 200),
    scale=st.floats(0.01, 100),
)
def test_the_nearest_code_is_the_nearest_whatever_the_block(
    seed, n_books, n_tokens, n_codes, dim, block, scale
):
    generator = _generator(seed)
    vectors = scale * torch.randn(n_books, n_tokens, dim, generator=generator)
    codebook = scale * torch.randn(n_books, n_codes, dim, generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fast._TABLE, "cpu", block)
        found = nearest_codes(vectors, codebook)
    assert found.dtype == torch.int64
    assert found.shape == (n_books, n_tokens)
    distances = torch.cdist(vectors.double(), codebook.double()).square()
    chosen = distances.gather(-1, found[..., None])[..., 0]
    torch.testing.assert_close(chosen, distances.amin(-1), rtol=1e-4, atol=1e-5 * scale**2)


def test_the_first_of_two_equal_codes_is_chosen():
    codebook = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]])
    vectors = torch.tensor([[[0.1, 0.9], [0.9, 0.1]]])
    assert nearest_codes(vectors, codebook).tolist() == [[1, 0]]


@all_rules
@pytest.mark.parametrize("seed", range(3))
def test_codes_and_their_sum_are_those_of_the_written_out_search(rule, seed):
    model = _make(rule, seed=seed)
    z = _vectors(model, seed=seed + 10)
    books = _by_the_book(model, z)
    assert _margins(books) > 1e-5
    codes = model.encode(z)
    np.testing.assert_array_equal(codes.numpy(), _codes(books))
    wanted = np.stack([sum(level.subtracted for level in levels) for levels in books])
    np.testing.assert_allclose(model.decode(codes).numpy(), wanted, atol=1e-5)
    quantized = model(z)
    assert torch.equal(quantized.codes, codes)
    np.testing.assert_allclose(quantized.vectors.numpy(), wanted, atol=1e-5)


@all_rules
def test_residual_norms_are_the_means_before_and_after_each_level(rule):
    model = _make(rule)
    z = _vectors(model)
    wanted = [
        [np.linalg.norm(r, axis=-1).mean() for r in (first, *(level.residual for level in levels))]
        for first, levels in zip(z.numpy(), _by_the_book(model, z), strict=True)
    ]
    np.testing.assert_allclose(model(z).residual_norms.numpy(), wanted, rtol=1e-5)


@all_rules
def test_the_loss_is_that_of_the_formula(rule):
    model = _make(rule)
    z = _vectors(model)
    total = 0.0
    for first, levels in zip(z.double().numpy(), _by_the_book(model, z), strict=True):
        before = [first, *(level.residual for level in levels)]
        for residual, level in zip(before, levels, strict=False):
            if rule in ("unit", "detached"):
                total += ((level.chosen - level.searched) ** 2).mean()
            if rule == "unit":
                total += 0.4 * ((level.chosen - level.residual) ** 2).mean()
            elif model.config.rule == "cosine":
                total += ((level.vectors - level.chosen) ** 2).mean()
            elif rule != "detached":
                total += ((residual - level.subtracted) ** 2).mean()
    # Summed over the codebooks; over the levels too under one rule, else their mean.
    total /= 1 if rule == "detached" else model.config.n_levels
    assert float(model(z).loss) == pytest.approx(total, rel=1e-5)


@all_rules
def test_fewer_levels_decode_to_a_coarser_sum(rule):
    model = _make(rule)
    z = _vectors(model)
    codes = model.encode(z)
    partial = np.stack([levels[0].subtracted for levels in _by_the_book(model, z)])
    np.testing.assert_allclose(model.decode(codes[..., :1]).numpy(), partial, atol=1e-6)


@all_rules
def test_evaluation_changes_nothing(rule):
    model = _make(rule, dead_code_threshold=0.5, started=False, warmup_steps=3)
    before = copy.deepcopy(model.state_dict())
    z = _vectors(model)
    kept = z.clone()
    model.decode(model.encode(z))
    model(z)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(z, kept)


@all_rules
def test_codes_do_not_depend_on_what_else_is_in_the_batch(rule):
    model = _make(rule)
    z = _vectors(model, n_tokens=30)
    together = model.encode(z)
    alone = torch.cat([model.encode(z[:, i : i + 1]) for i in range(30)], dim=1)
    assert torch.equal(together, alone)


@all_rules
def test_gradients_go_straight_through_to_the_input(rule):
    model = _make(rule, n_levels=1)
    z = _vectors(model).requires_grad_()
    weights = torch.randn(z.shape, generator=_generator(3))
    (gradient,) = torch.autograd.grad((model(z).vectors * weights).sum(), z)
    if rule in ("unit", "detached"):
        # That of the direction of z: no component along z.
        unit = torch.nn.functional.normalize(z, dim=-1)
        wanted = (weights - (weights * unit).sum(-1, keepdim=True) * unit) / z.norm(
            dim=-1, keepdim=True
        )
        torch.testing.assert_close(gradient, wanted.detach(), rtol=1e-4, atol=1e-5)
    elif rule == "projected":
        # Through the maps there and back, as if the code were what it stands for.
        there, back = (m.weight[:, 0] for m in (model.to_code, model.from_code))
        wanted = weights @ back @ there
        torch.testing.assert_close(gradient, wanted.detach(), rtol=1e-4, atol=1e-5)
    else:
        torch.testing.assert_close(gradient, weights)


@pytest.mark.parametrize("rule", ["detached", "cosine", "projected"])
def test_each_level_passes_its_own_gradient_and_none_through_the_residual(rule):
    model = _make(rule)
    z = _vectors(model).requires_grad_()
    weights = torch.randn(z.shape, generator=_generator(3))
    (gradient,) = torch.autograd.grad((model(z).vectors * weights).sum(), z)
    wanted = 3 * weights
    if rule == "detached":
        # The directions of z less a constant, level by level.
        residual, wanted = z.detach(), torch.zeros_like(z)
        for level, index in enumerate(model.encode(z.detach()).unbind(-1)):
            length = residual.norm(dim=-1, keepdim=True)
            along = (weights * residual).sum(-1, keepdim=True) * residual / length**2
            wanted = wanted + (weights - along) / length
            residual = residual - model.codebook[torch.arange(2)[:, None], level, index]
    if rule == "projected":
        maps = (model.from_code.weight @ model.to_code.weight).sum(1)
        wanted = weights @ maps
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", ["cosine", "projected"])
def test_codes_are_the_directions_of_their_moving_sums_from_the_start_on(rule):
    model = _make(rule, started=False, n_codes=16, dead_code_threshold=0.3).train()
    before = model.codebook.clone()
    for seed in range(6):
        model(_vectors(model, n_tokens=12, seed=seed))
        directions = torch.nn.functional.normalize(model.moving_sum, dim=-1)
        torch.testing.assert_close(directions, model.codebook)
    assert not torch.allclose(before, model.codebook)


@all_rules
def test_the_loss_pulls_the_input_towards_its_codes(rule):
    model = _make(rule)
    z = _vectors(model)
    first = float(model(z).loss)
    for _ in range(20):
        z = z.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(model(z).loss, z)
        z = z - 5.0 * gradient
    assert float(model(z.detach()).loss) < first


@all_rules
def test_a_training_step_moves_the_averages_by_the_formula(rule):
    model = _make(rule, n_codes=6)
    z = _vectors(model)
    books = _by_the_book(model, z)
    before = {name: value.double().numpy().copy() for name, value in model.state_dict().items()}
    keep = model.config.decay
    model.train()(z)
    for book, levels in enumerate(books):
        residuals = [z[book].double().numpy(), *(level.residual for level in levels)]
        for level, step in enumerate(levels):
            size, codes = before["cluster_size"][book, level], before["codebook"][book, level]
            for k in range(6):
                members = step.searched[step.index == k]
                new_size = keep * size[k] + (1 - keep) * len(members)
                assert float(model.cluster_size[book, level, k]) == pytest.approx(
                    new_size, rel=1e-5
                )
                wanted = codes[k]
                if model.config.rule == "cosine":
                    total = keep * before["moving_sum"][book, level, k]
                    total = total + (1 - keep) * step.vectors[step.index == k].sum(0)
                    np.testing.assert_allclose(
                        model.moving_sum[book, level, k].numpy(), total, rtol=1e-4, atol=1e-5
                    )
                    wanted = total / np.linalg.norm(total)
                elif len(members) and rule == "euclidean":
                    total = keep * size[k] * codes[k] + (1 - keep) * members.sum(0)
                    wanted = total / new_size
                elif len(members):
                    mean = members.mean(0)
                    wanted = keep * codes[k] + (1 - keep) * mean / np.linalg.norm(mean)
                    wanted = wanted / np.linalg.norm(wanted)
                np.testing.assert_allclose(
                    model.codebook[book, level, k].numpy(), wanted, rtol=1e-4, atol=1e-6
                )
            gain = before["gain"][book, level]
            if rule == "gain":
                projection = (residuals[level] * step.chosen).sum(-1).mean()
                gain = keep * gain + (1 - keep) * projection
            assert float(model.gain[book, level]) == pytest.approx(gain, rel=1e-5)


@all_rules
def test_training_looks_up_before_it_learns(rule):
    model = _make(rule, decay=0.1)
    z = _vectors(model)
    wanted = model(z)
    found = model.train()(z)
    assert torch.equal(found.codes, wanted.codes)
    torch.testing.assert_close(found.vectors, wanted.vectors, rtol=1e-5, atol=1e-5)


@all_rules
def test_the_first_training_step_starts_the_codebooks_from_its_vectors(rule):
    model = _make(rule, started=False, n_codes=8).train()
    z = _vectors(model, n_tokens=200)
    norms = model(z).residual_norms
    assert model.started
    assert torch.equal(model.start_size.sum(-1), torch.full((2, 3), 200.0))
    codebook = model.codebook.clone()
    model.eval()(z)
    assert torch.equal(model.codebook, codebook)
    if rule in ("euclidean", "gain"):
        # The other rules subtract unit codes, whatever is left.
        assert bool((norms[:, 1:] < norms[:, :-1]).all())


@all_rules
def test_a_start_is_repeatable_and_leaves_the_global_random_state(rule):
    model, other = _make(rule, started=False), _make(rule, seed=5, started=False)
    z = _vectors(model, n_tokens=100)
    state = torch.get_rng_state()
    model.start(z, generator=_generator(0))
    other.start(z, generator=_generator(0))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model.codebook, other.codebook)
    torch.testing.assert_close(model.gain, other.gain)


def test_a_start_under_the_gain_rule_sets_the_mean_projection():
    model = _make("gain", started=False, n_levels=2)
    z = _vectors(model, n_tokens=300)
    model.start(z, generator=_generator(0))
    for book, levels in enumerate(_by_the_book(model, z)):
        residuals = [z[book].double().numpy(), levels[0].residual]
        for level, step in enumerate(levels):
            projection = (residuals[level] * step.chosen).sum(-1).mean()
            assert float(model.gain[book, level]) == pytest.approx(projection, rel=1e-3)


def test_warm_up_passes_vectors_through_and_counts_down():
    model = _make("euclidean", started=False, warmup_steps=2).train()
    codebook = model.codebook.clone()
    for left in (1, 0):
        z = _vectors(model, n_tokens=20, seed=left).requires_grad_()
        quantized = model(z)
        assert torch.equal(quantized.vectors, z)
        assert quantized.codes.shape == (2, 20, 0)
        assert float(quantized.loss) == 0.0
        assert quantized.residual_norms.shape == (2, 1)
        assert int(model.warmup_left) == left
        assert torch.equal(model.codebook, codebook)
        assert not model.started
    assert model(_vectors(model, n_tokens=20)).codes.shape == (2, 20, 3)
    assert model.started


def test_warm_up_does_not_hold_in_evaluation():
    model = _make("euclidean", started=False, warmup_steps=2).eval()
    assert model(_vectors(model)).codes.shape[-1] == 3
    assert int(model.warmup_left) == 2


def test_a_start_remembers_the_last_vectors_of_the_warm_up():
    model = _make(started=False, warmup_steps=4, kmeans_tokens=10).train()
    for seed in range(5):
        model(_vectors(model, n_tokens=6, seed=seed))
    # Two batches of six reach ten; a third would not be needed.
    assert torch.equal(model.start_size.sum(-1), torch.full((2, 3), 12.0))
    assert not model._remembered


@all_rules
def test_codes_that_nothing_chooses_are_replaced(rule):
    used = {}
    # What random maps leave of the mean is short.
    spread = 0.1 if rule == "projected" else 0.5
    for threshold in (0.0, 0.2):
        model = _make(
            rule, n_codebooks=1, n_levels=1, n_codes=16, decay=0.8, dead_code_threshold=threshold
        )
        width = model.config.input_dim or 5
        opposite = -model.to_code(torch.ones(1, 1, width), 0)[0, 0]
        model.codebook[0, 0, 4:] = torch.nn.functional.normalize(
            opposite + 0.01 * model.codebook[0, 0, 4:], dim=-1
        )
        model.train()
        torch.manual_seed(0)
        for seed in range(30):
            z = _vectors(model, n_tokens=200, seed=seed, scale=spread) + 1.0
            codes = model(z).codes
        used[threshold] = len(codes.unique())
    assert used[0.0] <= 6
    assert used[0.2] >= 14


def test_a_replaced_code_is_a_vector_of_the_batch():
    model = _make("unit", n_codebooks=1, n_levels=1, decay=0.0, dead_code_threshold=0.5)
    model.codebook[0, 0, 1:] = torch.tensor([-1.0, 0, 0, 0, 0])
    model.codebook[0, 0, 0] = torch.tensor([1.0, 0, 0, 0, 0])
    z = _vectors(model) + torch.tensor([20.0, 0, 0, 0, 0])
    model.train()(z)
    directions = torch.nn.functional.normalize(z[0], dim=-1)
    same = (model.codebook[0, 0, 1:, None] == directions).all(-1)
    assert bool(same.any(-1).all())


def test_without_a_policy_unused_codes_stay():
    model = _make("unit", n_codes=64)
    before = model.codebook.clone()
    codes = model.train()(_vectors(model, n_tokens=5)).codes
    for book in range(2):
        for level in range(3):
            unused = np.setdiff1d(np.arange(64), codes[book, :, level].numpy())
            assert torch.equal(model.codebook[book, level, unused], before[book, level, unused])


@pytest.mark.parametrize("rule", ["unit", "gain"])
def test_codes_stay_unit_vectors_through_training(rule):
    model = _make(rule, started=False, dead_code_threshold=0.1).train()
    for seed in range(10):
        model(_vectors(model, seed=seed))
    lengths = model.codebook.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


@all_rules
def test_codes_do_not_depend_on_the_precision_of_the_trunk(rule):
    model = _make(rule, n_codes=200, code_dim=8)
    z = _vectors(model, n_tokens=300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model.encode(z)
        quantized = model(z)
    assert torch.equal(found, model.encode(z))
    assert torch.equal(quantized.codes, found)


def _distortion(samples, means):
    return float(torch.cdist(samples, means).amin(-1).square().sum())


@pytest.mark.parametrize("cosine", [False, True])
def test_k_means_lowers_the_distortion_of_its_start(cosine):
    samples = torch.randn(300, 4, generator=_generator(0)) + 1.0
    means, counts = kmeans(samples, 8, cosine=cosine, generator=_generator(1))
    assert float(counts.sum()) == 300
    if cosine:
        samples = torch.nn.functional.normalize(samples, dim=-1)
        torch.testing.assert_close(means.norm(dim=-1), torch.ones(8))
    start = samples[torch.randperm(300, generator=_generator(1))[:8]]
    assert _distortion(samples, means) < 0.8 * _distortion(samples, start)


def test_k_means_finds_clusters_that_are_far_apart():
    centres = 100 * torch.eye(4)
    samples = centres.repeat(50, 1) + torch.randn(200, 4, generator=_generator(0))
    # A start with one sample of each.
    seed = next(
        seed
        for seed in range(100)
        if len((torch.randperm(200, generator=_generator(seed))[:4] % 4).unique()) == 4
    )
    means, counts = kmeans(samples, 4, cosine=False, generator=_generator(seed))
    assert counts.tolist() == [50.0] * 4
    order = means.argmax(-1).argsort()
    wanted = torch.stack([samples[i::4].mean(0) for i in range(4)])
    torch.testing.assert_close(means[order], wanted)


def test_one_cluster_is_the_mean():
    samples = torch.randn(30, 3, generator=_generator(0))
    means, counts = kmeans(samples, 1, cosine=False)
    torch.testing.assert_close(means[0], samples.mean(0))
    assert counts.tolist() == [30.0]


def test_more_clusters_than_samples_leaves_the_rest_where_they_started():
    samples = torch.randn(3, 2, generator=_generator(0))
    means, counts = kmeans(samples, 10, cosine=False, generator=_generator(0))
    assert float(counts.sum()) == 3
    assert float(torch.cdist(means, samples).amin(-1).max()) < 1e-6


def test_gradients_of_the_rule_euclidean_add_up_in_one_order_to_the_last_bit():
    torch.manual_seed(0)
    config = QuantizerConfig(n_codebooks=1, n_levels=3, n_codes=8, code_dim=4, rule="euclidean")
    quantizer = ResidualVQ(config).eval()
    z = torch.randn(1, 50, 4, requires_grad=True)
    found = quantizer(z)
    (grad,) = torch.autograd.grad(found.loss + found.vectors.sin().sum(), z)
    residual, total, losses = z, torch.zeros_like(z), []
    for level in range(3):
        code = quantizer.codebook[0, level][found.codes[..., level]]
        # The loss of a level comes before its subtraction: training is reproduced by this order.
        losses.append(torch.nn.functional.mse_loss(residual, code))
        residual, total = residual - code, total + code
    vectors = z + (total - z).detach()
    loss = torch.stack(losses).mean() + vectors.sin().sum()
    assert torch.equal(grad, torch.autograd.grad(loss, z)[0])
