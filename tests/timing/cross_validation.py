# License: BSD-3-Clause
"""What cross-validation costs: splitting Epochs, and folds with a frozen model.

    python tests/timing/cross_validation.py [--json FILE] [--trials 100] [--pretrained MODEL]

Splitting: seconds that scikit-learn takes to choose trials of Epochs (a list of one-trial Epochs)
and of ``as_array_like`` (a view), and that it takes to read what was chosen; trials of 64 channels
and 800 samples. Folds: seconds of ``cross_val_score`` (10 folds) of a transformer and a logistic
regression, with ``memory=None``, ``"auto"`` and an empty folder, in one process and with
``n_jobs=2``, beside one pass over all trials; the scores must be the same to the last bit. Seconds
of one process are those of its CPU: on a busy machine only they compare.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import torch
from machine import facts, report
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import _safe_indexing

from mne_neurorvq import NeuroRVQTransformer, as_array_like
from mne_neurorvq.encoding.memory import IN_PROCESS
from mne_neurorvq.models import NEURORVQ_EEG
from mne_neurorvq.signals import as_trials

_SFREQ = 200.0


def trials(n_trials: int, n_channels: int, n_times: int) -> mne.EpochsArray:
    """Noise of two classes, in volts."""
    rng = np.random.default_rng(0)
    info = mne.create_info(list(NEURORVQ_EEG.channels[:n_channels]), _SFREQ, "eeg")
    data = 1e-5 * rng.standard_normal((n_trials, n_channels, n_times))
    data[::2, 0] *= 1.5
    return mne.EpochsArray(data, info, verbose="error")


def measure_splitting(n_trials: int, repeats: int) -> dict[str, float]:
    """Seconds per 1,000 trials of choosing, and of choosing and reading."""
    epochs = trials(n_trials, 64, 800)
    view, chosen = as_array_like(epochs), np.random.default_rng(0).permutation(n_trials)

    def read(X: Any) -> None:
        as_trials(_safe_indexing(X, chosen)).read()

    calls: dict[str, Callable[[], object]] = {
        "choose, Epochs": lambda: _safe_indexing(epochs, chosen),
        "choose, view": lambda: _safe_indexing(view, chosen),
        "choose and read, Epochs": lambda: read(epochs),
        "choose and read, view": lambda: read(view),
    }
    found = {}
    for name, call in calls.items():
        taken = []
        for _ in range(repeats + 1):
            start = time.process_time()
            call()
            taken.append(time.process_time() - start)
        found[name] = 1000 * statistics.median(taken[1:]) / n_trials
    return found


def measure_folds(
    pretrained: str, epochs: mne.BaseEpochs, n_folds: int, n_jobs: int | None
) -> dict[str, Any]:
    """Seconds of one pass and of all folds, by where outputs are kept."""
    y = np.arange(len(epochs)) % 2
    X = as_array_like(epochs)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)

    def score(memory: str | None) -> np.ndarray:
        model = make_pipeline(
            NeuroRVQTransformer(pretrained, pool="mean", memory=memory),
            LogisticRegression(max_iter=1000),
        )
        return cross_val_score(model, X, y, cv=folds, n_jobs=n_jobs, scoring="neg_log_loss")

    # The time of other processes is only known on the clock.
    clock = time.perf_counter if n_jobs else time.process_time
    seconds, scores = {}, {}
    NeuroRVQTransformer(pretrained, pool="mean", memory=None).fit_transform(X[:20])  # warms up
    start = clock()
    NeuroRVQTransformer(pretrained, pool="mean", memory=None).fit_transform(X)
    seconds["one pass"] = clock() - start
    if n_jobs:
        score_of_few = make_pipeline(
            NeuroRVQTransformer(pretrained, pool="mean"), LogisticRegression()
        )
        cross_val_score(score_of_few, X[:8], y[:8], cv=2, n_jobs=n_jobs)  # starts the processes
    with tempfile.TemporaryDirectory() as folder:
        for name, memory in (("None", None), ("auto", "auto"), ("folder", folder)):
            IN_PROCESS.clear()
            start = clock()
            scores[name] = score(memory)
            seconds[f"memory={name}"] = clock() - start
    same = all(np.array_equal(found, scores["None"]) for found in scores.values())
    return {"seconds": seconds, "same_scores": same}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pretrained", default="neurorvq-eeg-small", metavar="MODEL")
    parser.add_argument("--trials", type=int, default=100, help="trials of the folds")
    parser.add_argument("--channels", type=int, default=8, help="their channels")
    parser.add_argument("--split", type=int, default=500, help="trials that are split")
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], help="processes")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds of splitting")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    machine = facts(args.threads)
    splitting = measure_splitting(args.split, args.repeats)
    epochs = trials(args.trials, args.channels, 800)
    folds = {
        f"n_jobs={jobs}": measure_folds(
            args.pretrained, epochs, args.folds, jobs if jobs > 1 else None
        )
        for jobs in args.jobs
    }
    results = {
        "machine": machine,
        "case": {
            name: getattr(args, name) for name in ("pretrained", "trials", "channels", "folds")
        },
        "splitting_seconds_per_1000": splitting,
        "folds": folds,
    }
    table = [["", "s", "x one pass"]]
    table += [[f"{name}, per 1,000 trials", f"{s:.4f}", ""] for name, s in splitting.items()]
    for where, found in folds.items():
        once = found["seconds"]["one pass"]
        for name, taken in found["seconds"].items():
            table.append([f"{where}, {name}", f"{taken:.2f}", f"{taken / once:.2f}"])
        table.append([f"{where}, same scores", str(found["same_scores"]), ""])
    report(results, table, args.json)


if __name__ == "__main__":
    main()
