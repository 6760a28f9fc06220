# License: BSD-3-Clause
"""Making and reading a corpus: windows per second against the disk, memory against its size.

    python tests/timing/corpus.py [--json FILE] [--recordings SOURCE...] [--seconds S]

- ``prepare``: hours of signal prepared per hour of one process, and the highest resident memory
  above that of the imports, for one, four and sixteen recordings of the same length (simulated, 32
  channels, 10 minutes at 250 Hz). Each is a process of its own. Linux only.
- ``index``: memory of a CorpusDataset of so many windows.
- ``read``: windows per second of a DataLoader in shuffled order, warm, and what the same number of
  bytes takes in sequence.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import mne
import numpy as np
from machine import facts, peak_bytes_of, report
from torch.utils.data import DataLoader

from mne_neurorvq._sealed import seal
from mne_neurorvq._writing import write_json
from mne_neurorvq.datasets import simulate_recordings
from mne_neurorvq.training import CorpusDataset, prepare_corpus
from mne_neurorvq.training.corpus.format import INDEX

_MIB = 2**20
_COUNTS = (1, 4, 16)
_HOURS = (10, 1_000, 25_000)
_WORKERS = (0, 1, 2, 4)


def make_recordings(folder: Path, count: int) -> None:
    """Simulate recordings that differ in their noise only."""
    folder.mkdir()
    (raw,) = simulate_recordings(1, 70, sfreq=250.0, verbose=False)
    for number in range(count):
        shifted = mne.io.RawArray(raw.get_data() * (1 + number / 100), raw.info, verbose="error")
        shifted.save(folder / f"{number}_raw.fif", verbose="error")


def measure_prepare(folder: Path) -> dict[str, float]:
    """Prepare a folder; to be called in a fresh process."""
    with tempfile.TemporaryDirectory() as warm:
        make_recordings(Path(warm) / "one", 1)
        prepare_corpus([Path(warm) / "one"], Path(warm) / "corpus")
        summary: dict[str, Any] = {}
        start = time.perf_counter()

        def call() -> None:
            summary.update(prepare_corpus([folder], Path(warm) / "all", validation_fraction=0))

        peak = peak_bytes_of(call)
        hours = (time.perf_counter() - start) / 3600
    return {"peak_mib": peak / _MIB, "hours_per_hour": summary["train"]["hours"] / hours}


def measure_index(hours: int) -> dict[str, float]:
    """Open a corpus of so many hours, in recordings of half an hour; in a fresh process."""
    recordings = [
        [f"R{i:06d}-0123456789abcdef", "S", 0, 1800, [], {}, f"{i:08x}" * 150]
        for i in range(2 * hours)
    ]
    index = {"window_patches": 12, "patch_size": 200, "step": 0.05, "subjects": {"S": "train"}}
    with tempfile.TemporaryDirectory() as folder:
        content = {**index, "montages": [list(range(32))], "recordings": recordings}
        write_json(Path(folder) / INDEX, seal(content), indent=None)
        del recordings, content
        kept = []
        peak = peak_bytes_of(lambda: kept.append(CorpusDataset(folder, "train")))
    return {"windows": len(kept[0]), "peak_mib": peak / _MIB}


def measure_read(corpus: Path, n_workers: int, seconds: float) -> float:
    """Windows per second of a DataLoader."""
    windows = CorpusDataset(corpus, "train")
    sampler = np.random.default_rng(0).permutation(len(windows)).tolist()

    def batches() -> Iterator[list[Any]]:
        loader = DataLoader(
            windows,
            batch_size=16,
            sampler=sampler,
            num_workers=n_workers,
            collate_fn=list,
            persistent_workers=n_workers > 0,
        )
        return chain.from_iterable(repeat(loader))

    taken = batches()
    for _ in range(4 * (n_workers + 1)):
        next(taken)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        count += len(next(taken))
    return count / (time.perf_counter() - start)


def read_in_sequence(corpus: Path) -> float:
    """Windows per second if all bytes are read one after the other."""
    start = time.perf_counter()
    for path in sorted((corpus / "data").rglob("*")):
        if path.is_file():
            path.read_bytes()
    return len(CorpusDataset(corpus, "train")) / (time.perf_counter() - start)


def _in_a_process(*arguments: str) -> dict[str, float]:
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--recordings", type=Path, nargs="+", help="default: simulated ones")
    parser.add_argument("--seconds", type=float, default=10.0, help="of every reading (10)")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--index", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prepare or args.index:
        figures = measure_prepare(args.prepare) if args.prepare else measure_index(args.index)
        print(json.dumps(figures))
        return
    machine = facts(threads=1)
    table = [("what", "of", "MiB", "windows/s", "hours/hour")]
    results: dict[str, Any] = {"machine": machine, "prepare": {}, "index": {}, "read": {}}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for count in _COUNTS:
            make_recordings(root / str(count), count)
            row = results["prepare"][count] = _in_a_process("--prepare", str(root / str(count)))
            memory, speed = f"{row['peak_mib']:.0f}", f"{row['hours_per_hour']:.0f}"
            table.append(("prepare", f"{count} recordings", memory, "", speed))
        for hours in _HOURS:
            row = results["index"][hours] = _in_a_process("--index", str(hours))
            size = f"{row['windows']:.0f} windows"
            table.append(("index", size, f"{row['peak_mib']:.0f}", "", ""))
        corpus = root / "corpus"
        prepare_corpus(args.recordings or [root / "16"], corpus, validation_fraction=0)
        results["read"] = {"in sequence": max(read_in_sequence(corpus) for _ in range(3))}
        for n in _WORKERS:
            results["read"][f"{n} workers"] = measure_read(corpus, n, args.seconds)
        for what, speed in results["read"].items():
            table.append(("read", what, "", f"{speed:.0f}", ""))
    report(results, table, args.json)


if __name__ == "__main__":
    main()
