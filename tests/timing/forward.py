# License: BSD-3-Clause
"""Features of a foundation model, against the bare matrix products of the same shapes.

    python tests/timing/forward.py [--json FILE] [--threads 2] [--repeats 7] [--size neurorvq]

The case is a foundation model for EEG of the published size (weights drawn from a seed) on trials
of 64 channels and 4 s, one trial a pass, as the transformers make it on a CPU. Four calls take
turns in one process, in alternating order after a warm-up, and medians are compared: the model in
float32 and under ``precision="bf16"``, and the matrix products that it makes (linear layers, both
products of attention, convolutions as products), on operands and into results that lie ready, in
both precisions. What is not a product (norms, GELU, softmax, sums, places, fresh memory) is in the
first two only. With the times: the agreement of the features of the two precisions.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from machine import add_clock, facts, median_seconds, report
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from mne_neurorvq.models import BRAINRVQ_EEG, NEURORVQ_EEG, BrainRVQ, NeuroRVQ

_SEED = 0
# Batch, rows, inner and columns of a product.
Shape = tuple[int, int, int, int]

# Model, trials, channels, patches, and the size of the noise in the model's unit.
_CASES: dict[str, tuple[Callable[[], NeuroRVQ | BrainRVQ], int, int, int, float]] = {
    "neurorvq": (lambda: NeuroRVQ(config=NEURORVQ_EEG), 4, 64, 4, 3.0),
    "brainrvq": (lambda: BrainRVQ(config=BRAINRVQ_EEG), 4, 64, 4, 0.03),
    # To see that this script works.
    "tiny": (lambda: NeuroRVQ(config=replace(NEURORVQ_EEG, depth=1)), 2, 3, 2, 3.0),
}


class Products(TorchDispatchMode):
    """Note the shapes of all matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[Shape] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "linear":
            x, weight = args[:2]
            self.shapes.append((1, x.numel() // x.shape[-1], *weight.shape[::-1]))
        elif name == "conv2d":
            n_out, *kernel = args[1].shape
            self.shapes.append((1, found.numel() // n_out, math.prod(kernel), n_out))
        elif name == "scaled_dot_product_attention":
            *batch, n_tokens, dim = args[0].shape
            self.shapes.append((math.prod(batch), n_tokens, dim, n_tokens))
            self.shapes.append((math.prod(batch), n_tokens, n_tokens, dim))
        return found


def bare(shapes: list[Shape], dtype: torch.dtype) -> Callable[[], None]:
    """Make the operands of products, and a call that multiplies them."""
    ready = {
        shape: (
            torch.randn(shape[0], shape[1], shape[2]).to(dtype),
            torch.randn(shape[0], shape[3], shape[2]).to(dtype).mT,
            torch.empty(shape[0], shape[1], shape[3], dtype=dtype),
        )
        for shape in set(shapes)
    }

    def multiply() -> None:
        for shape in shapes:
            one, other, out = ready[shape]
            if shape[0] == 1:
                torch.mm(one[0], other[0], out=out[0])
            else:
                torch.bmm(one, other, out=out)

    return multiply


def make_case(size: str) -> tuple[NeuroRVQ | BrainRVQ, Tensor, Tensor]:
    """Model, windows ``(n_trials, n_channels, n_times)`` and channel rows."""
    make, n_trials, n_channels, n_patches, scale = _CASES[size]
    torch.manual_seed(_SEED)
    model = make().eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            # Matrices keep the variance of their input, so that tokens differ.
            torch.nn.init.normal_(parameter, std=1 / math.sqrt(parameter[0].numel()))
    noise = torch.randn(n_trials, n_channels, n_patches * model.config.patch_size).cumsum(-1)
    return model, scale * (noise - noise.mean(-1, keepdim=True)), torch.arange(n_channels)


def features(model: NeuroRVQ | BrainRVQ, x: Tensor, rows: Tensor, *, bf16: bool) -> Tensor:
    """Features of all trials, one a pass."""
    with torch.autocast("cpu", torch.bfloat16, bf16):
        passes = [model(one, rows, return_features=True)["features"] for one in x.split(1)]
    return torch.cat(passes).float()


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds")
    parser.add_argument("--size", choices=_CASES, default="neurorvq")
    add_clock(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    machine = facts(args.threads)
    model, x, rows = make_case(args.size)
    with torch.inference_mode():
        with Products() as products:
            single = features(model, x, rows, bf16=False)
        half = features(model, x, rows, bf16=True)
        seconds = median_seconds(
            {
                "bare products": bare(products.shapes, torch.float32),
                "features": partial(features, model, x, rows, bf16=False),
                "bare products, bf16": bare(products.shapes, torch.bfloat16),
                "features, bf16": partial(features, model, x, rows, bf16=True),
            },
            args.repeats,
            warm_up=2,
            clock=args.clock,
        )
    alike = F.cosine_similarity(single.flatten(0, -2), half.flatten(0, -2), dim=-1)
    flop = sum(2 * math.prod(shape) for shape in products.shapes)
    ratios = {
        "features_over_products": seconds["features"] / seconds["bare products"],
        "speed_of_bf16": seconds["features"] / seconds["features, bf16"],
    }
    agreement = {"mean_cosine": alike.mean().item(), "least_cosine": alike.min().item()}
    table = [["call", "s", "GFLOP/s", "over bare products", "speed over float32"]]
    for name, taken in seconds.items():
        base = "bare products, bf16" if name.endswith("bf16") else "bare products"
        kind = name.removesuffix(", bf16")
        table.append(
            [
                name,
                f"{taken:.3f}",
                f"{flop / taken / 1e9:.0f}",
                f"{taken / seconds[base]:.2f}",
                f"{seconds[kind] / taken:.2f}",
            ]
        )
    print(
        f"{args.size}, {x.shape[0]} trials x {x.shape[1]} channels, {flop / 1e9:.1f} GFLOP, "
        f"medians of {args.repeats} calls; aims: features < 1.2 over bare products, bf16 > 2 x"
    )
    results = {
        "machine": machine,
        "case": {"size": args.size, "shape": tuple(x.shape), "clock": args.clock},
        "seconds": seconds,
        "gflop": flop / 1e9,
        "ratios": ratios,
        "agreement": agreement,
    }
    report(results, table, args.json)
    print(
        f"features of bf16 and float32: cosine {agreement['mean_cosine']:.6f} on average, "
        f"{agreement['least_cosine']:.6f} at least"
    )


if __name__ == "__main__":
    main()
