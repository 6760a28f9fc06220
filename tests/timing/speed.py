# License: BSD-3-Clause
"""All figures of speed and memory, absolute and as ratios, with a description of the machine.

    python tests/timing/speed.py [--json FILE] [--threads 2] [--clock wall] [--only NAME ...]

Every benchmark is a process of its own, one after the other: some minutes in all. Ratios compare
alternating measurements of one process, so they carry over to other machines; absolute values do
not. On a busy machine ``--threads 1 --clock cpu`` measures CPU time instead of wall-clock time.
``--quick`` takes fewer rounds. Two commits: compare_commits.py."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import CLOCKS, facts, report

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Figure:
    """A line of the table: a value, and its ratio to the value it is compared with."""

    benchmark: str
    name: str
    value: float
    unit: str
    ratio: float | None = None
    against: str = ""
    aim: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A script, its options, and what to take from its results."""

    script: str
    options: str
    quick: str
    figures: Callable[[Mapping[str, Any]], Iterable[tuple[Any, ...]]]


def _encoding(least_speed: float) -> Callable[[Mapping[str, Any]], Iterable[tuple[Any, ...]]]:
    def figures(found: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
        loop = "plain loop"
        for method, row in found["methods"].items():
            aim = "" if method == loop else f"> {least_speed:g}"
            yield method, row["seconds"], "s", row["speed_over_plain"], loop, aim
            for kind in ("peak", "live"):
                if f"{kind}_mib" in row:
                    aim = "" if method == loop else "< 0.5"
                    ratio = row[f"{kind}_over_plain"]
                    yield f"{method}, {kind} memory", row[f"{kind}_mib"], "MiB", ratio, loop, aim
        yield "codes equal to those of the plain loop", 100 * found["codes"]["equal"], "%"

    return figures


def _codec(found: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    seconds = found["seconds"]
    base = "channel by channel"
    for method, taken in seconds.items():
        aim = "" if method == base else "> 1.5"
        yield method, taken, "s", seconds[base] / taken, base, aim


def _forward(found: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    seconds, ratios = found["seconds"], found["ratios"]
    products = "bare products"
    yield products, seconds[products], "s"
    ratio = ratios["features_over_products"]
    yield "features, float32", seconds["features"], "s", ratio, products, "< 1.2"
    ratio = ratios["speed_of_bf16"]
    yield "features, bf16", seconds["features, bf16"], "s", ratio, "float32", "> 2"
    yield "least cosine of bf16 and float32", found["agreement"]["least_cosine"], ""


def _loading(found: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for name, row in found["loads"].items():
        ours = name != "naive"
        yield name, row["seconds"], "s", None, "", "< 1 s" if ours else ""
        for kind in ("kept", "peak"):
            ratio, aim = row[f"{kind}_over_naive"], "< 0.5" if ours else ""
            yield f"{name}, {kind} memory", row[f"{kind}_mib"], "MiB", ratio, "naive", aim
    yield "second estimator, memory", found["second_estimator_mib"], "MiB"


def _import_time(found: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for name, row in found["starts"].items():
        aim = "" if row["aim"] is None else f"< {row['aim']} s"
        yield name, row["seconds"], "s", None, "", aim


def _cross_validation(found: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for name, taken in found["splitting_seconds_per_1000"].items():
        yield f"{name}, 1,000 trials", taken, "s"
    for where, folds in found["folds"].items():
        seconds = folds["seconds"]
        for name, taken in seconds.items():
            ratio = None if name == "one pass" else taken / seconds["one pass"]
            yield f"{where}, {name}", taken, "s", ratio, "one pass"


def _flat_memory(found: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for row in found["rows"]:
        name = f"{row['windows']} windows, {row['source']}"
        yield f"{name}, peak memory", row["peak_mib"], "MiB", None, "", "< 1024 MiB"
        yield name, row["cpu_seconds"], "s"


_BENCHMARKS: dict[str, Benchmark] = {
    "encoding, NeuroRVQ": Benchmark(
        "encoding.py",
        "--size full --repeats 7 --processes 1 {threads} {clock}",
        "--size full --repeats 1 --warm-up 1 --no-memory {threads} {clock}",
        _encoding(4),
    ),
    "encoding, BrainRVQ": Benchmark(
        "encoding.py",
        "--size brainrvq --repeats 7 --processes 1 {threads} {clock}",
        "--size brainrvq --repeats 1 --warm-up 1 --no-memory {threads} {clock}",
        _encoding(3),
    ),
    "encoding, BioCodec": Benchmark(
        "codec.py", "--repeats 7 {threads} {clock}", "--repeats 1 {threads} {clock}", _codec
    ),
    "features, NeuroRVQ": Benchmark(
        "forward.py", "--repeats 7 {threads} {clock}", "--repeats 3 {threads} {clock}", _forward
    ),
    "features, BrainRVQ": Benchmark(
        "forward.py",
        "--size brainrvq --repeats 7 {threads} {clock}",
        "--size brainrvq --repeats 3 {threads} {clock}",
        _forward,
    ),
    "loading": Benchmark("loading.py", "--processes 3 {clock}", "--processes 1 {clock}", _loading),
    "import": Benchmark("import_time.py", "--repeats 7", "--repeats 1", _import_time),
    "cross-validation": Benchmark(
        "cross_validation.py",
        "--trials 60 --split 200 --repeats 3 {threads}",
        "--trials 20 --split 50 --repeats 1 --folds 5 --jobs 1 {threads}",
        _cross_validation,
    ),
    "flat memory": Benchmark(
        "flat_memory.py",
        "--windows 2000 10000 --sources recording {threads}",
        "--windows 1000 --sources recording {threads}",
        _flat_memory,
    ),
    # To see that this script works.
    "tiny": Benchmark("forward.py", "", "--size tiny --repeats 1 {threads} {clock}", _forward),
}
NAMES = tuple(name for name in _BENCHMARKS if name != "tiny")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all runs take."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--quick", action="store_true", help="few rounds, no memory of encoding")
    parser.add_argument("--only", nargs="+", choices=_BENCHMARKS, default=NAMES, metavar="NAME")


def run_all(args: argparse.Namespace, package: Path | None = None) -> list[Figure]:
    """Run benchmarks, each in a process of its own.

    Parameters
    ----------
    args : Namespace
        The options of :func:`add_options`.
    package : Path | None
        Folder of the package to measure; None takes that which is installed.

    Returns
    -------
    list of Figure
        What they found; those that fail say so and are left out.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    if package is not None:
        environment["PYTHONPATH"] = str(package)
    figures: list[Figure] = []
    for name in args.only:
        benchmark = _BENCHMARKS[name]
        options = (benchmark.quick if args.quick else benchmark.options).format(
            threads=f"--threads {args.threads}", clock=f"--clock {args.clock}"
        )
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "results.json"
            command = [sys.executable, str(_FOLDER / benchmark.script), *options.split()]
            done = subprocess.run(
                [*command, "--json", str(written)], env=environment, capture_output=True, text=True
            )
            if done.returncode:
                last = (done.stderr.strip() or "no message").splitlines()[-1]
                print(f"{name}: failed: {last}", file=sys.stderr, flush=True)
                continue
            found = json.loads(written.read_text())
        figures += [Figure(name, *figure) for figure in benchmark.figures(found)]
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return figures


def table_of(figures: Iterable[Figure]) -> list[list[str]]:
    """Make the table of all figures."""
    rows = [["benchmark", "figure", "value", "ratio", "to", "aim"]]
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        value = f"{figure.value:.4g} {figure.unit}".strip()
        rows.append([figure.benchmark, figure.name, value, ratio, figure.against, figure.aim])
    return rows


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    args = parser.parse_args()
    machine = facts(args.threads) | {"clock": args.clock}
    figures = run_all(args)
    results = {"machine": machine, "figures": [asdict(figure) for figure in figures]}
    report(results, table_of(figures), args.json)
    if len({figure.benchmark for figure in figures}) < len(set(args.only)):
        sys.exit(1)


if __name__ == "__main__":
    main()
