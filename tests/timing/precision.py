# License: BSD-3-Clause
"""The effect of bfloat16 on embeddings: their agreement with float32, and a linear probe on both.

    python tests/timing/precision.py [MODEL ...] [--json FILE] [--pool time]
        [--subjects 1-16] [--never 9-12]

Trials and probe are those of features.py: trials of 4 s of PhysioNet motor imagery (runs 4, 8 and
12; MNE_DATASETS_EEGBCI_PATH names the folder), 21 channels of the sensorimotor strip; balanced
accuracies of a linear probe across subjects, on embeddings standardised within subjects. Models:
those of NeuroRVQ in the package, unless others are named.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from features import parse, scores, trials
from machine import facts, report

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.datasets import trial_column


def measure(name: str, pool: str, people: list[int], never: list[str]) -> dict[str, Any]:
    """Agreement and scores of one model."""
    epochs = trials(people, name)
    conditions, subjects = (trial_column(epochs, column) for column in ("condition", "subject"))
    embeddings = {}
    codes = {}
    for precision in ("float32", "bf16"):
        model = NeuroRVQTransformer(
            name, pool=pool, precision=precision, memory=None, verbose=False
        )
        embeddings[precision] = model.fit_transform(epochs)
        codes[precision] = model.tokenize(epochs[:50]).codes
    single, half = embeddings.values()
    cosine = (single * half).sum(1) / (
        np.linalg.norm(single, axis=1) * np.linalg.norm(half, axis=1)
    )
    probes = {
        precision: scores(values, conditions, subjects, never)
        for precision, values in embeddings.items()
    }
    return {
        "mean_cosine": float(cosine.mean()),
        "least_cosine": float(cosine.min()),
        "same_codes": bool(np.array_equal(*codes.values())),
        "scores": {
            task: {precision: probes[precision][task][0] for precision in probes}
            for task in probes["float32"]
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=["neurorvq-eeg-small"], metavar="MODEL")
    parser.add_argument("--pool", choices=("mean", "time"), default="time")
    args = parse(parser)
    machine = facts(args.threads)
    models = {name: measure(name, args.pool, args.subjects, args.never) for name in args.models}
    rows = [["model", "task", "float32", "bf16", "difference"]]
    for name, found in models.items():
        for task, each in found["scores"].items():
            single, half = each["float32"], each["bf16"]
            rows.append([name, task, f"{single:.4f}", f"{half:.4f}", f"{half - single:+.4f}"])
    report({"machine": machine, "models": models}, rows, args.json)
    for name, found in models.items():
        print(
            f"{name}: cosine {found['mean_cosine']:.6f} on average, {found['least_cosine']:.6f} "
            f"at least; codes {'equal' if found['same_codes'] else 'DIFFERENT'}"
        )


if __name__ == "__main__":
    main()
