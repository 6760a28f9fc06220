# License: BSD-3-Clause
"""How the weights start and move: filter bank, Muon with AdamW as one optimiser, schedule."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import AdamW, Muon

from mne_neurorvq.models import NeuroRVQTokenizer
from mne_neurorvq.training.optimisation import MuonWithAdamW, start_filter_bank, warmup_cosine

RATES = {"lr": 1e-2, "matrix_lr": 2e-2, "weight_decay": 0.1}


class _Model(nn.Module):
    """A matrix, and what is none: biases, a norm, a convolution, a table."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 6, 3)
        self.norm = nn.LayerNorm(6)
        self.linear = nn.Linear(6, 4)
        self.table = nn.Parameter(torch.randn(5, 4))
        self.frozen = nn.Linear(4, 4).requires_grad_(False)

    def forward(self, x):
        return self.frozen(
            self.linear(self.norm(self.conv(x).mean(-1))) @ self.table.T @ self.table
        )


@pytest.fixture
def model():
    torch.manual_seed(0)
    return _Model()


def _train(model, optimizers, n_steps, schedules=(), first=0):
    for step in range(first, first + n_steps):
        x = torch.randn(8, 1, 9, generator=torch.Generator().manual_seed(step))
        model.zero_grad()
        model(x).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
        for schedule in schedules:
            schedule.step()


def _apart(model):
    matrices = [model.linear.weight]
    rest = [p for p in model.parameters() if p.requires_grad and p is not matrices[0]]
    return (
        Muon(matrices, lr=2e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        AdamW(rest, lr=1e-2, betas=(0.9, 0.99), weight_decay=0.0),
    )


def _assert_same_state(one, other):
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_one_optimiser_does_what_the_two_do_apart(model):
    other, untrained = deepcopy(model), deepcopy(model)
    together, apart = MuonWithAdamW(model, **RATES), _apart(other)
    _train(model, [together], 5, [warmup_cosine(together, 2, 6)])
    _train(other, apart, 5, [warmup_cosine(part, 2, 6) for part in apart])
    _assert_same_state(model, other)
    moved = [
        n for n, p in model.named_parameters() if not torch.equal(p, untrained.get_parameter(n))
    ]
    assert len(moved) == len(list(model.parameters())) - 2
    assert not any("frozen" in name for name in moved)


def test_the_schedule_moves_both_rates(model):
    optimizer = MuonWithAdamW(model, **RATES)
    schedule = warmup_cosine(optimizer, 4, 24)
    rates = []
    for _ in range(24):
        assert [group["lr"] for part in optimizer.parts for group in part.param_groups] == [
            group["lr"] for group in optimizer.param_groups
        ]
        rates.append([group["lr"] for group in optimizer.param_groups])
        _train(model, [optimizer], 1)
        schedule.step()
    matrix_rates, other_rates = np.transpose(rates)
    np.testing.assert_allclose(other_rates[:4], [0.0025, 0.005, 0.0075, 0.01])
    cosine = 0.5 * (1 + np.cos(np.pi * np.arange(20) / 20))
    np.testing.assert_allclose(other_rates[4:], 0.01 * cosine, atol=1e-12)
    np.testing.assert_allclose(matrix_rates, 2 * other_rates)


def test_a_run_without_warm_up_starts_at_the_full_rate(model):
    optimizer = MuonWithAdamW(model, **RATES)
    warmup_cosine(optimizer, 0, 10)
    assert [group["lr"] for group in optimizer.param_groups] == [2e-2, 1e-2]


def test_an_optimiser_goes_on_from_its_state(model):
    optimizer = MuonWithAdamW(model, **RATES)
    schedule = warmup_cosine(optimizer, 2, 10)
    _train(model, [optimizer], 3, [schedule])
    resumed = deepcopy(model)
    # As a checkpoint has it: the state is of another process.
    saved = deepcopy((optimizer.state_dict(), schedule.state_dict()))
    fresh = MuonWithAdamW(resumed, **RATES)
    fresh_schedule = warmup_cosine(fresh, 2, 10)
    fresh.load_state_dict(saved[0])
    fresh_schedule.load_state_dict(saved[1])
    _train(model, [optimizer], 3, [schedule], first=3)
    _train(resumed, [fresh], 3, [fresh_schedule], first=3)
    _assert_same_state(model, resumed)


def test_a_closure_is_called_once_with_gradients_enabled(model):
    optimizer = MuonWithAdamW(model, **RATES)
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        loss = model(torch.ones(2, 1, 9)).square().mean()
        loss.backward()
        return loss.item()

    with torch.no_grad():
        assert optimizer.step(closure) > 0
    assert calls == [True]


def test_gradients_of_several_batches_are_added_and_cleared(model):
    other = deepcopy(model)
    one, two = MuonWithAdamW(model, **RATES), MuonWithAdamW(other, **RATES)
    x = torch.randn(8, 1, 9)
    model(x).square().mean().backward()
    for half in x.chunk(2):
        (other(half).square().mean() / 2).backward()
    one.step()
    two.step()
    for name, value in model.named_parameters():
        torch.testing.assert_close(value, other.get_parameter(name), msg=name)
    two.zero_grad()
    assert all(p.grad is None for p in other.parameters())


def test_muon_takes_the_matrices_of_a_tokenizer_and_adamw_the_rest(config):
    model = NeuroRVQTokenizer(config=config.model.config())
    parts = MuonWithAdamW(model, **RATES).parts
    matrices, rest = ([p for group in part.param_groups for p in group["params"]] for part in parts)
    assert all(p.ndim == 2 for p in matrices)
    assert len(matrices) + len(rest) == len(list(model.parameters()))
    assert any(p is model.encoder.trunk.pos_embed for p in rest)
    assert any(p is model.to_code[0][0].weight for p in matrices)


def test_the_filter_bank_passes_its_own_frequencies(config):
    encoder = NeuroRVQTokenizer(config=config.model.config()).encoder
    start_filter_bank(encoder, 200.0, torch.Generator().manual_seed(0))
    kernels = encoder.scales[0].conv1.weight.detach()[:, 0, 0]
    response = torch.fft.rfft(kernels, n=2000).abs()
    peaks = response.argmax(dim=1) * 200 / 2000
    for pair, frequency in enumerate((2, 9, 19, 33)):
        # A short kernel cannot hold a slow sine: it peaks a little higher.
        assert abs(peaks[2 * pair] - frequency) < 3
        assert abs(peaks[2 * pair + 1] - frequency) <= 5
