# License: BSD-3-Clause
"""Codebooks of processes that train together: equal to the bit, and those of one process.

The file is also the program that each of the two processes runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import nn

from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQTokenizer, QuantizerConfig, ResidualVQ

RULES = ("unit", "euclidean", "gain", "cosine")
# Tokens per step of each process; the first three steps only remember theirs.
SIZES = ((40, 70), (64, 16), (50, 50), (80, 31), (25, 90), (60, 60), (33, 44), (90, 12))
N_WARMUP, N_STEPS = 3, len(SIZES)
# The k-means start has room for its own step, the two before it and not the first.
QUANTIZER = QuantizerConfig(
    n_codebooks=2,
    n_levels=3,
    n_codes=24,
    code_dim=6,
    decay=0.9,
    dead_code_threshold=0.3,
    warmup_steps=N_WARMUP,
    kmeans_tokens=250,
)
TOKENIZER = replace(
    NEURORVQ_EEG,
    depth=1,
    decoder_depth=1,
    mlp_ratio=1.0,
    quantizer=QuantizerConfig(
        n_levels=2, n_codes=8, code_dim=8, rule="gain", dead_code_threshold=0.2, warmup_steps=1
    ),
)
QUANTIZER_BYTES = 4 * 2 * 3 * (24 * (6 + 1) + 1)


def _quantizer(rule, dead_code_threshold=QUANTIZER.dead_code_threshold):
    config = replace(QUANTIZER, rule=rule, dead_code_threshold=dead_code_threshold)
    if rule == "cosine":
        config = replace(config, input_dim=6, code_dim=4)
    model = ResidualVQ(config).train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return model


def _vectors(step, part):
    """Vectors of a step: those of one process, or of both where ``part`` is None."""
    generator = torch.Generator().manual_seed(step)
    # Drifting, so that codes die.
    drift = torch.full((6,), 0.8 * step)
    both = [3 * torch.randn(2, n, 6, generator=generator) + drift for n in SIZES[step]]
    return torch.cat(both, dim=1) if part is None else both[part]


def _train_quantizer(rule, part, **settings):
    torch.manual_seed(part or 0)
    model = _quantizer(rule, **settings)
    for step in range(N_STEPS):
        codes = model(_vectors(step, part)).codes
    return {**model.state_dict(), "codes": codes}


class _Losses(nn.Module):
    """The sum of a tokenizer's losses as an output, for DistributedDataParallel."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.tokenizer = NeuroRVQTokenizer(config=TOKENIZER)

    def forward(self, x, channel_ids):
        losses, _ = self.tokenizer.losses(x, channel_ids)
        return sum(losses.values())


def _train_tokenizer(part):
    model = _Losses().train()
    torch.manual_seed(part or 0)
    trained = (
        model
        if part is None
        else nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        x = 20 * torch.randn(6, 2, 200, generator=generator)
        rows = torch.randint(104, (6, 2), generator=generator)
        if part is not None:
            x, rows = x[3 * part : 3 * part + 3], rows[3 * part : 3 * part + 3]
        model.zero_grad()
        trained(x, rows).backward()
        # By hand: torch.optim takes longer to import than all of this.
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.05 * parameter.grad
    return model.state_dict()


def _messages_of_a_step(part):
    """Bytes of each message of a step after the start that replaces no code."""
    model = _quantizer("gain", dead_code_threshold=0.0)
    for step in range(N_WARMUP + 1):
        model(_vectors(step, part))
    messages = []
    send = dist.all_reduce

    def counted(tensor, *args, **kwargs):
        messages.append(tensor.numel() * tensor.element_size())
        return send(tensor, *args, **kwargs)

    dist.all_reduce = counted
    model(_vectors(N_WARMUP + 1, part))
    model.eval()(_vectors(N_WARMUP + 1, part))
    dist.all_reduce = send
    return messages


def _process(rank, folder):
    torch.set_num_threads(1)
    meeting = dist.FileStore(str(folder / "meeting"), 2)
    dist.init_process_group("gloo", store=meeting, rank=rank, world_size=2)
    results = {rule: _train_quantizer(rule, rank) for rule in RULES}
    results["tokenizer"] = _train_tokenizer(rank)
    results["messages"] = _messages_of_a_step(rank)
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What the two processes ended with."""
    folder = tmp_path_factory.mktemp("processes")
    started = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(folder)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert not any(process.returncode for process in started), "\n".join(errors)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def _assert_as_one(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("key", [*RULES, "tokenizer"])
def test_two_processes_hold_the_same_numbers_to_the_last_bit(both, key):
    first, second = (result[key] for result in both)
    unequal = [
        name for name in first if name != "codes" and not torch.equal(first[name], second[name])
    ]
    assert not unequal


@pytest.mark.parametrize("rule", RULES)
def test_two_processes_learn_as_one_with_the_joined_batch(both, rule):
    wanted = _train_quantizer(rule, None)
    codes = torch.cat([result[rule].pop("codes") for result in both], dim=1)
    assert torch.equal(codes, wanted.pop("codes"))
    _assert_as_one(both[0][rule], wanted)


@pytest.mark.parametrize("rule", RULES)
def test_the_steps_compared_start_and_replace_codes(rule):
    with_policy = _train_quantizer(rule, None)
    without = _train_quantizer(rule, None, dead_code_threshold=0.0)
    n_start = sum(sum(sizes) for sizes in SIZES[1 : N_WARMUP + 1])
    assert bool((with_policy["start_size"].sum(-1) == n_start).all())
    assert not torch.equal(with_policy["codebook"], without["codebook"])


def test_a_tokenizer_trained_by_two_processes_is_that_of_one_with_the_joined_batch(both):
    wanted = _train_tokenizer(None)
    assert wanted["tokenizer.quantizer.started"]
    _assert_as_one(both[0]["tokenizer"], wanted)


def test_a_step_sends_one_message_of_the_documented_size_and_evaluation_none(both):
    assert [result["messages"] for result in both] == [[QUANTIZER_BYTES]] * 2


if __name__ == "__main__":
    _process(int(sys.argv[1]), Path(sys.argv[2]))
