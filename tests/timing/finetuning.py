# License: BSD-3-Clause
"""Fine-tuning: processor time of a step, in float32 and in bfloat16.

    python tests/timing/finetuning.py [MODEL] [--json FILE] [--epochs N] [--trials N]

One thread, steps of 16 simulated trials of 19 channels and 4 s; medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import pairwise, product
from pathlib import Path
from typing import Any, ClassVar

import torch
from machine import facts, report
from skorch.callbacks import Callback

from mne_neurorvq import NeuroRVQClassifier
from mne_neurorvq.datasets import simulate_epochs, trial_column

_BATCH = 16


class _Clock(Callback):
    """Processor time at the ends of all steps; estimators copy their callbacks."""

    ends: ClassVar[list[float]] = []

    def on_batch_end(self, net: Any, training: bool = False, **batch: Any) -> None:
        if training:
            self.ends.append(time.process_time())


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="neurorvq-eeg-small", metavar="MODEL")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--epochs", type=int, default=3, help="of each run (3)")
    parser.add_argument("--trials", type=int, default=64, help="simulated (64)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    machine = facts(threads=1)
    epochs = simulate_epochs(n_subjects=1, n_trials=args.trials, trial_duration=4.0, verbose=False)
    y = trial_column(epochs, "condition")

    steps = {}
    for finetune, precision in product(("full", "lora"), ("float32", "bf16")):
        options = {"max_epochs": args.epochs, "batch_size": _BATCH, "callbacks": [_Clock()]}
        model = NeuroRVQClassifier(
            args.model,
            finetune=finetune,
            head="mean",
            precision=precision,
            verbose=False,
            **options,
        )
        _Clock.ends.clear()
        model.fit(epochs, y)
        taken = [end - start for start, end in pairwise(_Clock.ends)]
        steps[f"{finetune}, {precision}"] = statistics.median(taken)
    rows = [("run", "CPU s/step"), *((name, f"{taken:.3f}") for name, taken in steps.items())]
    report({"machine": machine, "seconds": steps}, rows, args.json)


if __name__ == "__main__":
    main()
