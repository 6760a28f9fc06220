# License: BSD-3-Clause
"""Memory and time of transforming many windows that are read from disk.

    python tests/timing/flat_memory.py [--json FILE] [--windows 10000 100000]

A process of its own for each number of windows (4 channels of 1 s at 250 Hz) and each source: lazy
Epochs of one recording, and a folder of files, each with lazy Epochs of its own. Peak: highest
resident memory of ``transform`` above what the process held after a first call, when the weights
and the libraries were there; it includes the result. With ``--compare``, the same call without the
thread that reads ahead. CPU seconds are those of all threads: on a busy machine only they compare.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mne
import numpy as np
import torch
from machine import facts, peak_bytes_of, report

from mne_neurorvq import NeuroRVQTransformer, as_array_like
from mne_neurorvq.encoding import matched_trials

_NAMES = ["C3", "Cz", "C4", "Pz"]
_SFREQ = 250.0
_FILES = {"recording": 1, "folder": 20}
_MIB = 2**20


def write(folder: Path, n_windows: int, n_files: int) -> None:
    """Write recordings of noise, a part at a time."""
    each = int(n_windows / n_files * _SFREQ)
    info = mne.create_info(_NAMES, _SFREQ, "eeg")
    for number in range(n_files):  # all different: what is known already is not computed again
        noise = 1e-5 * np.random.default_rng(number).standard_normal((len(_NAMES), each))
        raw = mne.io.RawArray(noise, info, verbose="error")
        raw.save(folder / f"{number:03d}_raw.fif", verbose="error")


def windows(folder: Path) -> list[Any]:
    """Lazy Epochs of all files."""
    found = []
    for path in sorted(folder.glob("???_raw.fif")):
        raw = mne.io.read_raw_fif(path, preload=False, verbose="error")
        found.append(mne.make_fixed_length_epochs(raw, 1.0, preload=False, verbose="error"))
    return found


def measure(pretrained: str, folder: Path, ahead: bool) -> dict[str, float]:
    """Peak and duration of transforming what is in a folder."""
    if not ahead:
        matched_trials.read_ahead = iter
    parts = windows(folder)
    model = NeuroRVQTransformer(pretrained, pool="mean", memory=None, verbose=False)
    transformer = model.fit(parts)
    transformer.transform(as_array_like(parts[0])[:512])
    taken = {}

    def call() -> None:
        start, of_cpu = time.perf_counter(), time.process_time()
        result = transformer.transform(parts)
        taken["seconds"] = time.perf_counter() - start
        taken["cpu_seconds"] = time.process_time() - of_cpu
        taken["result_mib"] = result.nbytes / _MIB

    peak = peak_bytes_of(call)
    return {"peak_mib": peak / _MIB, **taken}


def apart(args: argparse.Namespace, folder: Path, ahead: bool) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--of", str(folder), "--pretrained", args.pretrained]
    command += ["--threads", str(args.threads), *(["--ahead"] if ahead else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pretrained", default="neurorvq-eeg-tiny-random", metavar="MODEL")
    parser.add_argument("--windows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--sources", nargs="+", choices=_FILES, default=list(_FILES))
    parser.add_argument("--compare", action="store_true", help="also without reading ahead")
    parser.add_argument("--of", type=Path, metavar="FOLDER", help="print one measurement and stop")
    parser.add_argument("--ahead", action="store_true", help="of one measurement: read ahead")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.of:
        print(json.dumps(measure(args.pretrained, args.of, args.ahead)))
        return
    machine = facts(args.threads)
    rows: list[dict[str, Any]] = []
    for n_windows in args.windows:
        for source in args.sources:
            with tempfile.TemporaryDirectory() as folder:
                write(Path(folder), n_windows, _FILES[source])
                for ahead in (True, False) if args.compare else (True,):
                    facts_of_row = {"windows": n_windows, "source": source, "ahead": ahead}
                    rows.append(facts_of_row | apart(args, Path(folder), ahead))
                    print(rows[-1], file=sys.stderr)
    case = {"pretrained": args.pretrained, "channels": len(_NAMES), "sfreq": _SFREQ}
    table = [list(rows[0])]
    for row in rows:
        table.append([f"{v:.1f}" if isinstance(v, float) else str(v) for v in row.values()])
    report({"machine": machine, "case": case, "rows": rows}, table, args.json)


if __name__ == "__main__":
    main()
