# License: BSD-3-Clause
"""Training: windows per second, waiting for data, memory against the corpus, two processes.

    python tests/timing/training.py [--json FILE] [--corpus DIR] [--steps N] [--published]
                                    [--only TEXT]

Trains both stages for some steps, as ``mne-neurorvq pretrain`` does; each run is a process of its
own with one thread. The corpus is an hour of simulated signal (19 to 32 channels) or a given one.
"Targets" is the foundation stage without masked tokens. ``--only`` takes the runs with a text in
their name: ``--only "1 process, 0"`` compares the stages and precisions.

- ``windows/s``, ``tokens/s``: over all processes of the run; a token is a patch of a channel.
- ``signal s/s``: seconds of signal in the crops, each with all its channels, per second.
- ``s/step``: median; the three rates follow from it. Shares are of sums over the same steps. The
  first steps are left out.
- ``data``: share of the time that waits for the next batch. ``forward`` has ``codebooks`` in it,
  the update with its message to the other processes, and ``backward`` has that of the gradients.
- ``CPU ms/window``: processor time of a training process; a busy machine distorts it least.
- ``memory``: highest resident memory above that of the imports, also with the index of corpora of
  so many hours (of the same recordings again and again). Linux only.
- ``checkpoint``: its size, and the median time until it is on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any
from unittest import mock

import lightning
from lightning.pytorch.profilers import SimpleProfiler
from machine import facts, peak_bytes_of, report

from mne_neurorvq import load_pretrained
from mne_neurorvq._sealed import seal
from mne_neurorvq._writing import write_json
from mne_neurorvq.datasets import simulate_recordings
from mne_neurorvq.models import NeuroRVQTokenizer
from mne_neurorvq.models.quantizer import ResidualVQ
from mne_neurorvq.training import (
    CorpusBatches,
    CorpusDataset,
    NeuroRVQPretrainConfig,
    prepare_corpus,
    pretrain_foundation,
    pretrain_tokenizer,
    read_config,
    running,
)
from mne_neurorvq.training.checkpoints import CHECKPOINT, is_first
from mne_neurorvq.training.corpus.format import DATA, INDEX

_MIB = 2**20
_CHANGES = {
    "tokenizer": (),
    "foundation": (),
    "targets": (
        "foundation.masked_tokens=0",
        "foundation.targets={power: 0.375, laplacian_power: 0.375, slow: 0.125, "
        "laplacian_slow: 0.125, waveform: 0.5}",
    ),
}
_HOURS = (10, 1_000, 25_000)
# Steps before the codebooks start, and steps that are left out.
_WARMUP, _LEFT_OUT = 8, {"tokenizer": 12, "foundation": 4}
PUBLISHED = (
    "model.depth=12",
    "model.decoder_depth=3",
    "model.mlp_ratio=4",
    "model.foundation_layer_scale=1e-5",
    "model.quantizer.n_codes=8192",
    "model.quantizer.code_dim=128",
    "model.quantizer.rule=unit",
)


class Clock(lightning.Callback):
    """Time at the end of every step, and what was in it."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self.tokens: list[int] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *step: Any) -> None:
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())
        self.tokens.append(step[1].windows.numel() // pl_module.tokenizer.config.patch_size)


@contextmanager
def watched(clock: Clock, profiler: SimpleProfiler) -> Iterator[None]:
    """Have the trainers that are made meanwhile keep times."""
    usual, learn = running.make_trainer, ResidualVQ._learn

    def make_trainer(*arguments: Any) -> lightning.Trainer:
        trainer = usual(*arguments)
        trainer.callbacks.append(clock)
        trainer.profiler = profiler
        return trainer

    def timed(codebooks: ResidualVQ, tallies: Any) -> None:
        with profiler.profile("codebooks"):
            learn(codebooks, tallies)

    with (
        mock.patch.object(running, "make_trainer", make_trainer),
        mock.patch.object(ResidualVQ, "_learn", timed),
    ):
        yield


def measure(
    corpus: str, stage: str, *, steps: int, devices: int, changes: Sequence[str], published: bool
) -> dict[str, float]:
    """Train for some steps; to be called in a fresh process."""
    n_steps = _LEFT_OUT[stage] + steps
    config = read_config(
        changes=[
            *(PUBLISHED if published else ()),
            f"model.quantizer.warmup_steps={_WARMUP}",
            f"{stage}={{n_steps: {n_steps}, save_every: {n_steps // 2}}}",
            *changes,
        ]
    )
    clock, profiler = Clock(), SimpleProfiler()
    results: dict[str, float] = {}

    def train() -> None:
        sides = [CorpusDataset(corpus, side) for side in ("train", "validation")]
        results.update(crops(sides[0], config))
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder)
            if stage == "tokenizer":
                pretrain_tokenizer(*sides, config, run)
            else:
                tokenizer = load_pretrained("neurorvq-eeg-small").require("tokenizer")
                if published:
                    tokenizer = NeuroRVQTokenizer(config=config.model.config())
                pretrain_foundation(*sides, tokenizer, config, run)
            if is_first():
                results["checkpoint_bytes"] = (run / CHECKPOINT).stat().st_size

    with watched(clock, profiler):
        results["peak_mib"] = peak_bytes_of(train) / _MIB
    results |= times(clock, profiler.recorded_durations, steps)
    rate = devices * results["tokens_per_step"] / results["seconds_per_step"]
    windows = rate / results["tokens_per_window"]
    return results | {
        "tokens_per_second": rate,
        "windows_per_second": windows,
        "signal_seconds_per_second": windows * results["seconds_per_window"],
        "cpu_seconds_per_window": results["cpu_seconds_per_token"] * results["tokens_per_window"],
    }


def crops(corpus: CorpusDataset, config: NeuroRVQPretrainConfig) -> dict[str, float]:
    """Mean size of a crop in the first epoch, or in the first part of a large one."""
    model = config.model.config()
    _, plan = next(CorpusBatches(corpus, model, config.crops, seed=0, n_batches=1)._parts())
    n = sum(len(batch.windows) for batch in plan)
    patches = sum(len(batch.windows) * batch.n_patches for batch in plan)
    tokens = sum(len(batch.windows) * batch.n_patches * batch.n_channels for batch in plan)
    return {
        "windows_in_epoch": len(corpus),
        "tokens_per_window": tokens / n,
        "seconds_per_window": patches / n * model.patch_seconds,
    }


def times(clock: Clock, durations: dict[str, list[float]], n: int) -> dict[str, float]:
    """Reduce what the last steps took; the tokens are those of one process."""
    wall, cpu = clock.wall[-n - 1 :], clock.cpu[-n - 1 :]

    def share(ending: str) -> float:
        """Of an action that happens in every step, or in none."""
        found = [taken for name, taken in durations.items() if name.endswith(ending)]
        return sum(sum(taken[-n:]) for taken in found) / (wall[-1] - wall[0])

    forward, backward = share("Strategy.training_step"), share("Strategy.backward")
    return {
        "seconds_per_step": statistics.median(b - a for a, b in pairwise(wall)),
        "tokens_per_step": sum(clock.tokens[-n:]) / n,
        "cpu_seconds_per_token": (cpu[-1] - cpu[0]) / sum(clock.tokens[-n:]),
        "share_data": share(".train_dataloader_next"),
        "share_forward": forward,
        "share_backward": backward,
        # The step of the optimizer calls the other two.
        "share_optimizer": share("Stage.optimizer_step") - forward - backward,
        "share_codebooks": share("codebooks"),
        "checkpoint_seconds": statistics.median(durations["save_checkpoint"]),
    }


def make_corpus(folder: Path) -> Path:
    """Six simulated people of ten minutes each."""
    for raw in simulate_recordings(6, 70, verbose=False):
        raw.save(folder / f"{raw.info['subject_info']['his_id']}_raw.fif", verbose="error")
    prepare_corpus([folder], folder / "corpus", validation_fraction=0.1)
    return folder / "corpus"


def grown(corpus: Path, hours: int, folder: Path) -> Path:
    """Make the index of a corpus of so many hours, of the recordings of another."""
    index = CorpusDataset(corpus).index
    own = sum(CorpusDataset(corpus, side).hours for side in ("train", "validation"))
    index["recordings"] *= max(1, round(hours / own))
    folder.mkdir()
    (folder / DATA).symlink_to(corpus / DATA)
    write_json(folder / INDEX, seal(index), indent=None)
    return folder


def in_a_process(**what: Any) -> dict[str, Any]:
    """Measure in a fresh process with one thread."""
    command = [sys.executable, __file__, "--measure", json.dumps(what)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def runs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name the runs, and say what is particular to each."""
    layouts = ((1, 0, "32-true"), (1, 0, "bf16-mixed"), (1, 1, "32-true"), (2, 0, "32-true"))
    for name, (devices, workers, precision) in product(_CHANGES, layouts):
        title = f"{name}, {devices} process{'es' * (devices > 1)}, {workers} workers, {precision}"
        hardware = f"hardware={{accelerator: cpu, devices: {devices}, workers: {workers}, "
        changes = [*_CHANGES[name], f"{hardware}precision: {precision}}}"]
        stage = "tokenizer" if name == "tokenizer" else "foundation"
        yield title, {"stage": stage, "devices": devices, "changes": changes}


def row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    shares = (f"{100 * found[f'share_{what}']:.1f} %" for what in _SHARES)
    return (
        name,
        *(f"{found[what]:.1f}" for what in ("windows_per_second", "signal_seconds_per_second")),
        f"{found['tokens_per_second']:.0f}",
        f"{found['seconds_per_step']:.3f}",
        *shares,
        f"{1000 * found['cpu_seconds_per_window']:.1f}",
        f"{found['peak_mib']:.0f}",
        f"{found['checkpoint_bytes'] / 1e6:.1f} MB, {found['checkpoint_seconds']:.2f} s",
    )


_SHARES = ("data", "forward", "codebooks", "backward", "optimizer")
_HEADER = (
    "run", "windows/s", "signal s/s", "tokens/s", "s/step", *_SHARES, "CPU ms/window", "memory MiB",
    "checkpoint",
)  # fmt: skip


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--corpus", type=Path, help="prepared corpus (default: a simulated one)")
    parser.add_argument("--steps", type=int, default=24, help="measured steps of every run (24)")
    parser.add_argument("--published", action="store_true", help="the published size instead")
    parser.add_argument("--only", default="", metavar="TEXT", help="runs with this in their name")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        found = measure(**args.measure)
        if is_first():
            print(json.dumps(found))
        return
    machine = facts(threads=1)
    results: dict[str, Any] = {"machine": machine, "runs": {}, "memory": {}}
    table = [_HEADER]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = args.corpus or make_corpus(folder)
        run = partial(in_a_process, steps=args.steps, published=args.published)
        for title, what in runs():
            if args.only in title:
                results["runs"][title] = found = run(corpus=str(corpus), **what)
                table.append(row(title, found))
        for hours in () if args.only else _HOURS:
            larger = grown(corpus.absolute(), hours, folder / str(hours))
            n_windows = len(CorpusDataset(larger, "train"))
            found = run(corpus=str(larger), **next(runs())[1] | {"steps": 12})
            results["memory"][n_windows] = found
            table.append(row(f"tokenizer, {n_windows:,} windows", found))
    report(results, table, args.json)


if __name__ == "__main__":
    main()
