# License: BSD-3-Clause
"""Encoding to tokens: patches per second and peak memory, against a plain loop.

    python tests/timing/encoding.py [--json FILE] [--threads 2] [--repeats 7] [--size full]

The case ``full`` is the published NeuroRVQ tokenizer for EEG (12 encoder blocks, 4 codebooks of 8
levels, 8192 codes of 128 dimensions; weights drawn from a seed) on 8 trials of 64 channels and 4 s;
``brainrvq`` is that of BrainRVQ (12 blocks, 2 codebooks of 3 levels, 8192 codes of 64 dimensions)
on as many. Three methods take turns in one process, in alternating order after a warm-up, and
medians are compared:

- ``plain loop``: see plain_loop.py, all trials at once;
- ``encode``: ``encode`` of the tokenizer, all trials at once;
- ``encode in passes``: the same in the passes that the transformers make on a CPU.

Memory: every method runs in its own processes. The figure is the highest resident memory (the
kernel's VmHWM) during one call, minus the resident memory after the model and the windows were made
and the method had run once on a single patch, so weights, libraries and windows are left out;
activations, tables and codes are included. ``peak`` is the median over normal processes: it
includes freed blocks that the allocator keeps, which differ by a factor of two from run to run.
``live`` is one process whose allocator returns freed blocks at once. Linux with glibc only."""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from machine import add_clock, facts, median_seconds, peak_bytes_of, report
from plain_loop import plain_encode
from torch import Tensor
from torch.nn import functional as F

from mne_neurorvq.models import (
    BRAINRVQ_EEG,
    NEURORVQ_EEG,
    BrainRVQConfig,
    BrainRVQTokenizer,
    NeuroRVQConfig,
    NeuroRVQTokenizer,
    QuantizerConfig,
)

Tokenizer = NeuroRVQTokenizer | BrainRVQTokenizer

_SEED = 0
_MIB = 2**20
_BASELINE = "plain loop"


@dataclass(frozen=True)
class Case:
    """A model and what it encodes."""

    config: NeuroRVQConfig | BrainRVQConfig
    n_trials: int
    n_channels: int
    n_patches: int
    scale: float = 3.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the windows."""
        return self.n_trials, self.n_channels, self.n_patches * self.config.patch_size

    def model(self) -> Tokenizer:
        """Make the model; matrices keep the variance of their input, so that tokens differ."""
        torch.manual_seed(_SEED)
        kind = NeuroRVQTokenizer if self.config.system == "neurorvq" else BrainRVQTokenizer
        model = kind(config=self.config).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=1 / math.sqrt(parameter[0].numel()))
        return model

    def windows(self) -> tuple[Tensor, Tensor]:
        """Draw red noise in the model's unit and name its channels by vocabulary rows."""
        generator = torch.Generator().manual_seed(_SEED)
        noise = torch.randn(self.shape, generator=generator).cumsum(-1)
        return self.scale * (noise - noise.mean(-1, keepdim=True)), torch.arange(self.n_channels)


_CASES = {
    "full": Case(NEURORVQ_EEG, n_trials=8, n_channels=64, n_patches=4),
    "brainrvq": Case(BRAINRVQ_EEG, n_trials=8, n_channels=64, n_patches=4, scale=0.03),
    # To see that this script works.
    "tiny": Case(
        replace(
            NEURORVQ_EEG,
            depth=1,
            decoder_depth=1,
            quantizer=QuantizerConfig(n_levels=2, n_codes=64, code_dim=16),
        ),
        n_trials=2,
        n_channels=3,
        n_patches=2,
    ),
}

# Figures of the table: title and format.
_COLUMNS = {
    "seconds": ("s", ".3f"),
    "patches_per_second": ("patches/s", ".0f"),
    "peak_mib": ("peak MiB", ".0f"),
    "live_mib": ("live MiB", ".0f"),
    "speed_over_plain": ("speed x", ".2f"),
    "peak_over_plain": ("peak x", ".2f"),
    "live_over_plain": ("live x", ".2f"),
}


def _encode(model: Tokenizer, x: Tensor, channel_ids: Tensor) -> Tensor:
    return model.encode(x, channel_ids)[0]


def _encode_in_passes(model: Tokenizer, x: Tensor, channel_ids: Tensor) -> Tensor:
    n_channels, n_patches = x.shape[1], x.shape[2] // model.config.patch_size
    size = model.config.trials_per_pass(n_channels, n_patches, x.device.type)
    return torch.cat([_encode(model, part, channel_ids) for part in x.split(size)])


_METHODS: dict[str, Callable[[Tokenizer, Tensor, Tensor], Tensor]] = {
    _BASELINE: plain_encode,
    "encode": _encode,
    "encode in passes": _encode_in_passes,
}


def measure_peak(case: Case, method: str) -> int:
    """Bytes of memory above the weights; to be called in a fresh process."""
    model, (x, rows), encode = case.model(), case.windows(), _METHODS[method]
    encode(model, x[:1, :1, : case.config.patch_size], rows[:1])
    return peak_bytes_of(lambda: encode(model, x, rows))


def peak_in_a_process(size: str, method: str, threads: int, environment: dict[str, str]) -> int:
    """Run :func:`measure_peak` in a fresh process, with additions to the environment."""
    command = [sys.executable, __file__, "--size", size, "--threads", str(threads)]
    done = subprocess.run(
        [*command, "--peak-of", method],
        check=True,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    return int(done.stdout)


def measure_memory(size: str, threads: int, n_processes: int) -> dict[str, dict[str, float]]:
    """Memory of every method, in MiB and over the plain loop.

    Parameters
    ----------
    size : str
        Name of the case.
    threads : int
        Threads that the processes compute with.
    n_processes : int
        Processes whose median is the peak.

    Returns
    -------
    dict of str to dict
        Figures of every method.
    """
    figures: dict[str, dict[str, float]] = {}
    for name in _METHODS:
        peaks = [peak_in_a_process(size, name, threads, {}) for _ in range(n_processes)]
        # Blocks from this size on are given back when they are freed.
        live = peak_in_a_process(size, name, threads, {"MALLOC_MMAP_THRESHOLD_": str(_MIB)})
        figures[name] = {
            "peak_mib": statistics.median(peaks) / _MIB,
            "lowest_peak_mib": min(peaks) / _MIB,
            "highest_peak_mib": max(peaks) / _MIB,
            "live_mib": live / _MIB,
        }
    for row in figures.values():
        for kind in ("peak", "live"):
            row[f"{kind}_over_plain"] = row[f"{kind}_mib"] / figures[_BASELINE][f"{kind}_mib"]
    return figures


def compare_codes(case: Case, model: Tokenizer, codes: Mapping[str, Tensor]) -> dict[str, float]:
    """Compare the codes of the methods with those of the plain loop.

    Parameters
    ----------
    case : Case
        What was encoded.
    model : NeuroRVQTokenizer
        The model.
    codes : mapping of str to Tensor
        Codes of every method.

    Returns
    -------
    dict
        ``equal``: share of equal codes. ``largest_margin``: where a token's codes differ for the
        first time, how much farther in squared distance one is than the other, in float64; below
        1e-5 it is rounding that decides. ``distinct``: share of the codes that occur at all.
    """
    x, rows = case.windows()
    vectors = model.to_vectors(x.unflatten(-1, (-1, case.config.patch_size)), rows).double()
    plain, *ours = (part.flatten(0, 2).movedim(1, 0) for part in codes.values())
    margins = [0.0]
    for other in ours:
        for book, token in (other != plain).any(-1).nonzero().tolist():
            residual, books = vectors[book, token], model.quantizer.codebook[book].double()
            level = int((other[book, token] != plain[book, token]).nonzero()[0])
            for earlier in range(level):
                residual = residual - books[earlier, plain[book, token, earlier]]
            pair = books[level, torch.stack((other, plain))[:, book, token, level]]
            one, two = (F.normalize(residual, dim=-1) - pair).square().sum(-1).tolist()
            margins.append(abs(one - two))
    return {
        "equal": torch.stack([other == plain for other in ours]).double().mean().item(),
        "largest_margin": max(margins),
        "distinct": plain.unique().numel() / case.config.quantizer.n_codes,
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds")
    parser.add_argument("--warm-up", type=int, default=2, help="rounds before them")
    parser.add_argument("--processes", type=int, default=5, help="processes per memory figure")
    parser.add_argument("--no-memory", action="store_true", help="measure times only")
    parser.add_argument("--size", choices=_CASES, default="full")
    add_clock(parser)
    parser.add_argument("--peak-of", choices=_METHODS, help="print one method's peak and stop")
    args = parser.parse_args()
    case = _CASES[args.size]
    torch.set_num_threads(args.threads)
    with torch.inference_mode():
        if args.peak_of:
            print(measure_peak(case, args.peak_of))
            return
        machine = facts(args.threads)
        memory = {} if args.no_memory else measure_memory(args.size, args.threads, args.processes)
        model, (x, rows) = case.model(), case.windows()
        codes: dict[str, Tensor] = {}

        def call(method: str) -> None:
            codes[method] = _METHODS[method](model, x, rows)

        calls = {name: partial(call, name) for name in _METHODS}
        seconds = median_seconds(calls, args.repeats, args.warm_up, args.clock)
        agreement = compare_codes(case, model, {name: codes[name] for name in _METHODS})
    n_patches = case.n_trials * case.n_channels * case.n_patches
    methods = {
        name: {
            "seconds": seconds[name],
            "patches_per_second": n_patches / seconds[name],
            "speed_over_plain": seconds[_BASELINE] / seconds[name],
            **memory.get(name, {}),
        }
        for name in _METHODS
    }
    columns = {key: column for key, column in _COLUMNS.items() if key in methods[_BASELINE]}
    table = [["method", *(title for title, _ in columns.values())]]
    for name, row in methods.items():
        table.append([name, *(f"{row[key]:{form}}" for key, (_, form) in columns.items())])
    print(
        f"{args.size} size, {case.n_trials} trials x {case.n_channels} channels x "
        f"{case.n_patches * case.config.patch_seconds:g} s, medians of {args.repeats} calls "
        f"(peak: {args.processes} processes); x: over the plain loop, aims speed > 2 and "
        "memory < 0.5"
    )
    results = {
        "machine": machine,
        "case": {
            "size": args.size,
            "shape": case.shape,
            "repeats": args.repeats,
            "clock": args.clock,
        },
        "methods": methods,
        "codes": agreement,
    }
    report(results, table, args.json)
    print(
        f"codes equal to the plain loop's: {agreement['equal']:.4%} (largest margin of a "
        f"different one: {agreement['largest_margin']:.1e}; {agreement['distinct']:.0%} of the "
        "codes occur)"
    )


if __name__ == "__main__":
    main()
