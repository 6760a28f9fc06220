# License: BSD-3-Clause
"""Count what a training step computes, moves and keeps, and estimate the cost of an epoch.

    python tests/timing/training_cost.py [--json FILE]

Nothing is timed. A step of each stage runs on the CPU under bf16 autocast, with two batches, and
every operation that PyTorch dispatches is counted: the difference of the batches is the cost of a
token (a patch of a channel), the rest is the cost of a step, whatever its batch.

- ``bf16``, ``fp32``: floating point operations of products, convolutions and attention.
- ``moved``: bytes of all operands and results, as if no two operations were fused.
- ``launches``: operations of a step, without views; on a GPU each launches a kernel. ``at once``:
  if the search of codes, which goes in blocks, went through the whole batch at once.
- ``kept``: bytes that the forward pass keeps for the backward pass, per token.
- ``messages``: bytes that the processes sum in a step: gradients, and counts and sums of codebooks.

What follows is arithmetic, not a measurement: these over the rates of an accelerator, for a step,
and in the second table in minutes for an epoch, one crop of every window of 12 s. The slowest of
products, memory and launches counts, and the messages come on top of it. ``filled`` is the mean
batch over the largest: the processes wait for the one with the largest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import facts, report
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, register_flop_formula, sdpa_flop_count
from training import PUBLISHED

from mne_neurorvq.models import NeuroRVQ, NeuroRVQTokenizer, QuantizerConfig
from mne_neurorvq.training import (
    Batch,
    CropSettings,
    FoundationStage,
    NeuroRVQPretrainConfig,
    TokenizerStage,
    read_config,
)
from mne_neurorvq.training.planning import plan_batches

_CHANNELS, _PATCHES = 32, 4
# Two batches for each size: so large that the search of codes goes in one block, and in two.
_WINDOWS = {"small": (16, 32), "published": (4, 8)}
# An H200: products of dense matrices in FLOP/s, memory in B/s; and seconds for a launch.
_BF16, _FP32, _MEMORY, _LAUNCH = 989e12, 67e12, 4.8e12, 10e-6
_SHARES = (0.4, 0.1)
# Accelerators, and B/s of each into the network: NVLink within a node, 400 Gb/s between nodes.
_LINKS = {1: 450e9, 8: 450e9, 64: 50e9}
_TOKENS = {"small": 65_536, "published": 16_384}
_HOURS, _SECONDS = (1_000, 25_000), 12
# Channels of a window: half as in a clinic, half as in a laboratory.
_MONTAGES = (21, 64)
# What allocates or reads a number, and computes nothing.
_NOTHING = {
    f"aten::{name}"
    for name in ("detach", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")
} | {"aten::_local_scalar_dense", "aten::_unsafe_view"}
_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_ATTENTION_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@register_flop_formula(_ATTENTION)
def _attention(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(q, k, v)


@register_flop_formula(_ATTENTION_BACKWARD)
def _attention_backward(_: Any, q: Any, k: Any, v: Any, *__: Any, **___: Any) -> int:
    # Two and a half times as many products.
    return 5 * sdpa_flop_count(q, k, v) // 2


@dataclass
class Counts:
    """What operations compute and move."""

    bf16: float = 0
    fp32: float = 0
    moved: float = 0
    launches: float = 0
    kept: float = 0

    def __sub__(self, other: Counts) -> Counts:
        return Counts(
            **{name: value - getattr(other, name) for name, value in asdict(self).items()}
        )

    def __mul__(self, factor: float) -> Counts:
        return Counts(**{name: factor * value for name, value in asdict(self).items()})


class Counter(TorchDispatchMode):
    """Count what is dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()
        self._kept: set[int] = set()

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        """Note a tensor that autograd saves."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._kept:
            self._kept.add(storage.data_ptr())
            self.counts.kept += storage.nbytes()
        return tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func.is_view or func._schema.name in _NOTHING:
            return out
        operands = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        results = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        counts = self.counts
        counts.launches += 1
        counts.moved += sum(t.nbytes for t in {id(t): t for t in operands + results}.values())
        if func._overloadpacket in flop_registry:
            flops = flop_registry[func._overloadpacket](*args, **kwargs, out_val=out)
            if any(t.dtype == torch.bfloat16 for t in operands):
                counts.bf16 += flops
            else:
                counts.fp32 += flops
        return out


def make_stage(name: str, config: NeuroRVQPretrainConfig) -> TokenizerStage | FoundationStage:
    """Build a stage whose codebooks have started."""
    tokenizer = NeuroRVQTokenizer(config=config.model.config())
    tokenizer.quantizer.started.fill_(True)
    tokenizer.quantizer.cluster_size.fill_(1.0)  # no dead codes
    if name == "tokenizer":
        return TokenizerStage(tokenizer, config.tokenizer)
    foundation = NeuroRVQ(config=tokenizer.config, masked_token_heads=True)
    return FoundationStage(foundation, tokenizer, config.foundation)


def make_batch(n_windows: int, config: NeuroRVQPretrainConfig) -> Batch:
    """Draw noise."""
    model = config.model.config()
    x = 30 * torch.randn(n_windows, _CHANNELS, _PATCHES * model.patch_size)
    rows = [torch.randperm(len(model.channels))[:_CHANNELS] for _ in range(n_windows)]
    return Batch(x, torch.stack(rows), [""] * n_windows)


def count_step(
    stage: TokenizerStage | FoundationStage, optimizer: torch.optim.Optimizer, batch: Batch
) -> dict[str, Counts]:
    """Count a step, by its phases."""
    found: dict[str, Counts] = {}

    def counted(phase: str, call: Callable[[], Any]) -> Any:
        counter = Counter()
        with counter, saved_tensors_hooks(counter.keep, lambda tensor: tensor):
            out = call()
        found[phase] = counter.counts
        return out

    with torch.autocast("cpu", torch.bfloat16):
        loss = counted("forward", lambda: stage.training_step(batch, 0))
    counted("backward", loss.backward)
    counted("optimizer", optimizer.step)
    optimizer.zero_grad()
    return found


def count_stage(size: str, name: str) -> dict[str, Any]:
    """Count a stage of a size; to be called in a fresh process."""
    # Lightning warns that there is no trainer whose log it could write to.
    warnings.simplefilter("ignore")
    config = read_config(changes=PUBLISHED if size == "published" else ())
    stage = make_stage(name, config).train()
    optimizer = stage.configure_optimizers()["optimizer"]
    count_step(stage, optimizer, make_batch(1, config))  # the optimizer makes its averages
    found = [count_step(stage, optimizer, make_batch(n, config)) for n in _WINDOWS[size]]
    each = _CHANNELS * _PATCHES
    few, many = (each * n for n in _WINDOWS[size])
    phases = {}
    for phase in found[0]:
        one, more = (counts[phase] for counts in found)
        token = (more - one) * (1 / (many - few))
        phases[phase] = {"token": asdict(token), "step": asdict(one - token * few)}
    parameters = [p for p in stage.model.parameters() if p.requires_grad]
    q: QuantizerConfig = stage.tokenizer.config.quantizer
    codebooks = 4 * q.n_codebooks * q.n_levels * (q.n_codes * (q.code_dim + 1) + 1)
    return {
        "phases": phases,
        "gradient_bytes": sum(4 * p.numel() for p in parameters),
        "codebook_bytes": codebooks if name == "tokenizer" else 0,
    }


def crops(n_tokens: int, n_processes: int) -> tuple[float, float]:
    """Tokens of a mean crop, and of a mean batch over the most that it may have."""
    n = 65_536  # what a run plans at once
    plan = plan_batches(
        np.resize(_MONTAGES, n),
        np.full(n, _SECONDS),
        np.arange(n),
        CropSettings(n_tokens),
        max_patches=256,
        rng=np.random.default_rng(0),
        multiple_of=n_processes,
    )
    total = sum(len(batch.windows) * batch.n_channels * batch.n_patches for batch in plan)
    return total / n, total / len(plan) / n_tokens


def estimate(counts: dict[str, Any], n_tokens: int) -> dict[str, float]:
    """Seconds of a step of so many tokens on one accelerator, each bound by itself."""
    phases = counts["phases"].values()
    total = {
        what: sum(phase["step"][what] + n_tokens * phase["token"][what] for phase in phases)
        for what in asdict(Counts())
    }
    arithmetic = total["bf16"] / _BF16 + total["fp32"] / _FP32
    return {
        **{f"arithmetic_at_{share}": arithmetic / share for share in _SHARES},
        "memory": total["moved"] / _MEMORY,
        "launches": total["launches"] * _LAUNCH,
        "launches_at_once": sum(phase["step"]["launches"] for phase in phases) * _LAUNCH,
    }


def epochs(bounds: dict[str, float], message: float, n_tokens: int) -> list[dict[str, float]]:
    """Minutes that each bound gives for an epoch, and the messages of a ring of processes."""
    found = []
    for hours in _HOURS:
        for n, link in _LINKS.items():
            crop, filled = crops(n_tokens, n)
            steps = hours * 3600 / _SECONDS * crop / (filled * n_tokens * n)
            seconds = {**bounds, "messages": 2 * message / link * (n > 1)}
            row = {"hours": hours, "accelerators": n, "steps": steps, "filled": filled}
            found.append(row | {what: steps * each / 60 for what, each in seconds.items()})
    return found


def count_row(name: str, counts: dict[str, Any], bounds: dict[str, float]) -> tuple[str, ...]:
    phases = counts["phases"].values()
    token = {w: sum(p["token"][w] for p in phases) for w in ("bf16", "fp32", "moved", "kept")}
    launches = bounds["launches"] / _LAUNCH
    return (
        name,
        *(f"{value / 1e6:.2f} M" for value in token.values()),
        f"{launches:.0f}",
        *(f"{counts[f'{what}_bytes'] / 1e6:.1f} MB" for what in ("gradient", "codebook")),
        *(f"{1000 * value:.0f} ms" for value in bounds.values()),
    )


def main() -> None:
    """Count and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--count", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.count:
        print(json.dumps(count_stage(*args.count)))
        return
    results: dict[str, Any] = {"machine": facts(threads=1)}
    counted: list[tuple[str, ...]] = [_COUNTED]
    followed: list[tuple[str, ...]] = [_FOLLOWS]
    for size, n_tokens in _TOKENS.items():
        for stage in ("tokenizer", "foundation"):
            name, command = f"{size} {stage}", [sys.executable, __file__, "--count", size, stage]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            counts = json.loads(done.stdout.splitlines()[-1])
            bounds = estimate(counts, n_tokens)
            message = counts["gradient_bytes"] + counts["codebook_bytes"]
            found = epochs(bounds, message, n_tokens)
            results[name] = {**counts, "seconds_per_step": bounds, "epochs": found}
            counted.append(count_row(name, counts, bounds))
            followed += [(name, *(f"{value:.3g}" for value in row.values())) for row in found]
    report(results, counted, args.json)
    assumed = {"bf16": _BF16, "fp32": _FP32, "memory": _MEMORY, "launch": _LAUNCH}
    assumed |= {f"tokens per step, {size}": n for size, n in _TOKENS.items()}
    report({"machine": assumed}, followed, None)


_BOUNDS = (*(f"products at {share:.0%}" for share in _SHARES), "memory", "launches", "at once")
_COUNTED = (
    "stage", "bf16", "fp32", "moved", "kept", "launches", "gradients", "codebooks", *_BOUNDS
)  # fmt: skip
_FOLLOWS = ("stage", "hours", "accelerators", "steps", "filled", *_BOUNDS, "messages")


if __name__ == "__main__":
    main()
