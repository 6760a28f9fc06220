# License: BSD-3-Clause
"""What makes features useful: linear probes of models, by depth and by pooling.

    python tests/benchmarks/features.py MODEL... [--json FILE] [--subjects 1-16] [--never 9-12]

Trials of 4 s of PhysioNet motor imagery (runs 4, 8 and 12; MNE_DATASETS_EEGBCI_PATH names the
folder), 21 channels of the sensorimotor strip. Two tasks: imagery of the left against the right
fist, and imagery against the rest before it. Scores are balanced accuracies of
``mne_neurorvq.benchmarks.cross_subject_scores`` (linear probe, subjects apart, its strength chosen
on training subjects), on features standardised within subjects without labels: mean and standard
deviation over five folds of all subjects, and over four folds of the four that no model has seen.

For each model: the input of the first block and the output of every block of its foundation model,
averaged over channels and patches ("mean") and over patches only ("time"). The last rows are band
power.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import facts, report
from numpy.typing import NDArray
from torch import Tensor, nn

from mne_neurorvq import GroupStandardScaler, NeuroRVQTransformer, preprocess
from mne_neurorvq.benchmarks import band_power, cross_subject_scores
from mne_neurorvq.cli.compare import _STRIP
from mne_neurorvq.datasets import epochs_from_recordings, load_eegbci, trial_column
from mne_neurorvq.weights import load_pretrained

_RUNS = (4, 8, 12)
_TASKS = {"left/right": ("left", "right"), "rest/imagery": ("rest", "imagery")}


def trials(subjects: list[int], pretrained: str = "neurorvq-eeg-small") -> Any:
    """Trials of rest and imagery, filtered as a model expects."""
    recordings = [
        preprocess(raw, pretrained) for raw in load_eegbci(subjects, _RUNS, verbose="error")
    ]
    names = list(_STRIP)
    return epochs_from_recordings(recordings, 0.0, 4 - 1 / 160, picks=names, verbose="error")


class _Watched(nn.Module):
    """A foundation model that gives the averages of what passes its blocks."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._seen: list[Tensor] = []
        blocks = model.encoder.trunk.blocks
        blocks[0].register_forward_pre_hook(lambda _, given: self._seen.append(given[0]))
        for block in blocks:
            block.register_forward_hook(lambda _, __, out: self._seen.append(out))

    def forward(self, x: Tensor, rows: Tensor, return_features: bool = True) -> dict[str, Tensor]:
        """Features ``(batch, channels, 1, depth * n_features)``: patches are averaged."""
        self._seen.clear()
        self.model(x, rows, return_features=True)
        # (n_scales * batch, 1 + channels * patches, dim), the class token first
        parts = [
            part[:, 1:].unflatten(0, (-1, len(x))).unflatten(2, (x.shape[1], -1)).mean(3)
            for part in self._seen
        ]
        return {"features": torch.cat([part.permute(1, 2, 0, 3).flatten(2) for part in parts], -1)}


def features_by_depth(name: str, epochs: Any) -> dict[str, NDArray[np.floating]]:
    """Embeddings of every depth, averaged over patches: ``(n_trials, n_channels, n_features)``."""
    transformer = NeuroRVQTransformer(name).fit(epochs)
    model = _Watched(load_pretrained(name, only="foundation").require("foundation"))
    inputs = transformer._inputs(epochs)
    rows = torch.tensor(inputs.rows)
    found = []
    with torch.inference_mode():
        for (windows,) in inputs.batches(12):
            found.append(model(torch.from_numpy(windows), rows)["features"].numpy())
    stacked = np.concatenate(found)
    n_depths = len(model._seen)
    names = ["input", *(f"block {i}" for i in range(1, n_depths))]
    return dict(zip(names, np.split(stacked, n_depths, axis=-1), strict=True))


def tables(models: list[str], epochs: Any) -> dict[tuple[str, str, str], NDArray[np.floating]]:
    """All features by model, depth and pooling."""
    found = {}
    for name in models:
        label = Path(name).parent.name if Path(name).name == "model" else Path(name).name
        for depth, values in features_by_depth(name, epochs).items():
            found[label, depth, "mean"] = values.mean(axis=1)
            found[label, depth, "time"] = values.reshape(len(values), -1)
    power = band_power(epochs)
    found["band power", "", "mean"] = power.mean(axis=1)
    found["band power", "", "time"] = power.reshape(len(power), -1)
    return found


def scores(
    values: NDArray[np.floating],
    conditions: NDArray[np.str_],
    subjects: NDArray[np.str_],
    never: list[str],
) -> dict[str, tuple[float, float]]:
    """Balanced accuracy of both tasks: all subjects, and those that were never seen."""
    labels = np.where(conditions == "rest", "rest", "imagery")
    found = {}
    for task, classes in _TASKS.items():
        y = conditions if task == "left/right" else labels
        for who, wanted, n_splits in (
            ("all", np.isin(y, classes), 5),
            ("never", np.isin(y, classes) & np.isin(subjects, never), 4),
        ):
            within = GroupStandardScaler().fit_transform(values[wanted], groups=subjects[wanted])
            result = cross_subject_scores(within, y[wanted], subjects[wanted], n_splits=n_splits)
            found[f"{task}, {who}"] = (float(result.scores.mean()), float(result.scores.std()))
    return found


def numbers(text: str) -> list[int]:
    """Numbers of a range such as 1-16."""
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def parse(parser: argparse.ArgumentParser, never: str = "9-12") -> argparse.Namespace:
    """Read the arguments with those that probes share; ``threads`` are those of the environment."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--subjects", type=numbers, default=numbers("1-16"))
    parser.add_argument("--never", type=numbers, default=numbers(never))
    args = parser.parse_args()
    args.never = [f"S{number:03d}" for number in args.never]
    args.threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    torch.set_num_threads(args.threads)
    return args


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    args = parse(parser)
    machine = facts(args.threads)
    epochs = trials(args.subjects)
    conditions, subjects = (trial_column(epochs, name) for name in ("condition", "subject"))
    results: dict[str, Any] = {"machine": machine, "scores": []}
    for (model, depth, pool), values in tables(args.models, epochs).items():
        found = scores(values, conditions, subjects, args.never)
        results["scores"].append({"model": model, "depth": depth, "pool": pool, **found})
    columns = list(results["scores"][0])
    cells = [
        [f"{one[c][0]:.3f} ± {one[c][1]:.3f}" if "," in c else one[c] for c in columns]
        for one in results["scores"]
    ]
    report(results, [columns, *cells], args.json)


if __name__ == "__main__":
    main()
