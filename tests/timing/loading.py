# License: BSD-3-Clause
"""Loading a checkpoint of the published size: seconds and memory, against a naive load.

    python tests/timing/loading.py [--json FILE] [--processes 5] [--kind tokenizer]

A checkpoint of NeuroRVQ for EEG in the authors' layout (300 MB for the tokenizer) is written from
random weights into a temporary folder and read from the disk's cache. Every load is a process of
its own, in which torch and the package have been imported; medians are given. ``load_pretrained``
against ``naive``: a state dict read into memory, a model of the same tensors drawn at random, and
``load_state_dict``. Memory is above that before: ``kept`` is what stays resident when the load is
done and all but the model has been let go, ``peak`` the most that was resident in between, file
pages included. Linux only.

``second estimator``: what a second ``NeuroRVQTransformer`` of the same process adds when it is
fitted, beside the first.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import CLOCKS, add_clock, facts, peak_bytes_of, report, resident_bytes
from torch import nn

from mne_neurorvq import NeuroRVQTransformer, load_pretrained
from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQ, NeuroRVQTokenizer
from mne_neurorvq.weights import to_official_state_dict

_MIB = 2**20


class _AllTensors(nn.Module):
    """A model of the authors' layout: every tensor of the checkpoint, drawn at random."""

    def __init__(self, shapes: dict[str, torch.Size]) -> None:
        super().__init__()
        self.names = dict(zip(shapes, map(str, range(len(shapes))), strict=True))
        for name, number in self.names.items():
            self.register_buffer(number, torch.randn(shapes[name]))


def _naive(path: Path) -> nn.Module:
    state = torch.load(path, map_location="cpu", weights_only=True)
    model = _AllTensors({name: tensor.shape for name, tensor in state.items()})
    model.load_state_dict({model.names[name]: tensor for name, tensor in state.items()})
    return model


def _estimators(path: Path) -> list[NeuroRVQTransformer]:
    X = np.random.default_rng(0).normal(0, 10, (1, 1, 200))
    output = "tokens" if "tokenizer" in path.name else "embedding"

    def fitted() -> NeuroRVQTransformer:
        model = NeuroRVQTransformer(str(path), output=output, ch_names=["Cz"], sfreq=200.0)
        model.fit(X).transform(X)
        return model

    first = fitted()
    before = resident_bytes()
    second = fitted()
    print(json.dumps((resident_bytes() - before) / _MIB))
    return [first, second]


_METHODS: dict[str, Callable[[Path], Any]] = {"naive": _naive, "load_pretrained": load_pretrained}


def measure_load(path: Path, method: str, clock: str) -> dict[str, float]:
    """Seconds and memory of one load; to be called in a fresh process."""
    load_pretrained("neurorvq-eeg-tiny-random")  # imports what loading needs
    held: list[Any] = []
    before, now = resident_bytes(), CLOCKS[clock]
    start = now()
    peak = peak_bytes_of(lambda: held.append(_METHODS[method](path)))
    seconds = now() - start
    gc.collect()
    return {
        "seconds": seconds,
        "kept_mib": (resident_bytes() - before) / _MIB,
        "peak_mib": peak / _MIB,
    }


def write_checkpoint(path: Path, kind: str) -> None:
    """Write a checkpoint in the authors' layout."""
    torch.manual_seed(0)
    model: NeuroRVQTokenizer | NeuroRVQ
    if kind == "tokenizer":
        model = NeuroRVQTokenizer(config=NEURORVQ_EEG)
        model.quantizer.started.fill_(True)
    else:
        model = NeuroRVQ(config=NEURORVQ_EEG, masked_token_heads=True)
    torch.save(to_official_state_dict(model), path)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--processes", type=int, default=5, help="processes per figure")
    parser.add_argument("--kind", choices=("tokenizer", "foundation"), default="tokenizer")
    parser.add_argument("--load", nargs=2, metavar=("METHOD", "PATH"), help="load once and stop")
    add_clock(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.load:
        method, path = args.load[0], Path(args.load[1])
        if method == "estimators":
            _estimators(path)
        else:
            print(json.dumps(measure_load(path, method, args.clock)))
        return
    machine = facts(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{args.kind}.pt"
        write_checkpoint(path, args.kind)
        size = path.stat().st_size / _MIB

        def run(method: str) -> Any:
            command = [sys.executable, __file__, "--load", method, str(path), "--clock", args.clock]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            return json.loads(done.stdout)

        runs = {name: [run(name) for _ in range(args.processes)] for name in _METHODS}
        second = statistics.median(run("estimators") for _ in range(args.processes))
    loads = {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in runs.items()
    }
    table = [["load", "s", "kept MiB", "peak MiB", "kept x", "peak x"]]
    naive = loads["naive"]
    for name, row in loads.items():
        row["kept_over_naive"] = row["kept_mib"] / naive["kept_mib"]
        row["peak_over_naive"] = row["peak_mib"] / naive["peak_mib"]
        figures = [f"{row['seconds']:.3f}", f"{row['kept_mib']:.0f}", f"{row['peak_mib']:.0f}"]
        ratios = [f"{row['kept_over_naive']:.2f}", f"{row['peak_over_naive']:.2f}"]
        table.append([name, *figures, *ratios])
    print(
        f"{args.kind} of {size:.0f} MiB, medians of {args.processes} processes; aims: < 1 s and "
        "half the memory of the naive load"
    )
    results = {
        "machine": machine,
        "case": {"kind": args.kind, "file_mib": size, "clock": args.clock},
        "loads": loads,
        "second_estimator_mib": second,
    }
    report(results, table, args.json)
    print(f"a second estimator of the same process adds {second:.1f} MiB")


if __name__ == "__main__":
    main()
