# License: BSD-3-Clause
"""What the benchmarks share: facts of the machine, alternating calls, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")

CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def facts(threads: int) -> dict[str, Any]:
    """Describe the machine, and how busy it is: contended figures should be recognisable.

    Parameters
    ----------
    threads : int
        Threads that the benchmark computes with.

    Returns
    -------
    dict
        JSON-able facts.
    """
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before": round(os.getloadavg()[0], 2),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "mne_neurorvq": version("mne-neurorvq"),
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def add_clock(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a clock to the options of a benchmark."""
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu: time of this process only, for busy machines; threads add up",
    )


def median_seconds(
    calls: Mapping[str, Callable[[], object]], repeats: int, warm_up: int, clock: str = "wall"
) -> dict[str, float]:
    """Median time of calls that take turns, in alternating order.

    Parameters
    ----------
    calls : mapping of str to callable
        What to time.
    repeats : int
        Timed rounds.
    warm_up : int
        Rounds before them.
    clock : "wall" | "cpu"
        What is read: the time that passes, or that which this process computes.

    Returns
    -------
    dict of str to float
        Median seconds of each call.
    """
    now = CLOCKS[clock]
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warm_up + repeats):
        for name in list(calls)[:: 1 if turn % 2 else -1]:
            start = now()
            calls[name]()
            times[name].append(now() - start)
    return {name: statistics.median(taken[warm_up:]) for name, taken in times.items()}


def peak_bytes_of(call: Callable[[], object]) -> int:
    """Highest resident memory during a call, above the resident memory before it.

    Parameters
    ----------
    call : callable
        What to measure.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    OSError
        On other systems than Linux, whose kernel can forget the peak of what went before.
    """
    before = resident_bytes()
    _CLEAR_REFS.write_text("5")  # resets VmHWM, which getrusage's ru_maxrss does not allow
    call()
    return max(0, _status_bytes("VmHWM") - before)


def resident_bytes() -> int:
    """Resident memory of this process, from Linux's kernel."""
    return _status_bytes("VmRSS")


def _status_bytes(field: str) -> int:
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def report(results: Mapping[str, Any], rows: Sequence[Sequence[str]], path: Path | None) -> None:
    """Print facts and a table; write everything as JSON if asked to.

    Parameters
    ----------
    results : mapping
        JSON-able results with the facts under ``"machine"``.
    rows : sequence of sequence of str
        Table, header first.
    path : Path | None
        JSON file.
    """
    print(", ".join(f"{name} {value}" for name, value in results["machine"].items()))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        first, *others = (
            f"{cell:{'>' if i else '<'}{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join((first, *others)))
    sys.stdout.flush()
    if path is not None:
        path.write_text(json.dumps(results, indent=1) + "\n")
