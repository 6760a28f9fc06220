# License: BSD-3-Clause
"""``mne-neurorvq compare``: fine-tuned models beside their peers, as a table."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pkgutil import resolve_name

import mne
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier

from .. import viz
from .._writing import replacing, write_text
from ..benchmarks import (
    BraindecodeClassifier,
    ClassifierScores,
    FoldResult,
    classifier_table,
    compare_classifiers,
    comparison,
    csp_lda,
    untrained_twin,
)
from ..benchmarks.tables import name_ranges
from ..signals.names import order_by_name
from ..weights.loading import find_config
from ..weights.systems import SYSTEMS
from .arguments import ROWS
from .messages import Watch
from .outputs import write_csv
from .studies import Study, make_study

_STRIP = tuple(
    "FC5 FC3 FC1 FCz FC2 FC4 FC6 C5 C3 C1 Cz C2 C4 C6 CP5 CP3 CP1 CPz CP2 CP4 CP6".split()
)
_KINDS = {"full": "all weights", "lora": "LoRA", "head": "head only"}
_PEERS = {
    "eegnet": "EEGNet",
    "shallow": "ShallowFBCSPNet",
    "csp": "CSP + LDA",
    "chance": "chance",
}
# The published recipe warms up in 4 of 20 epochs.
_WARMUP_SHARE = 0.2


def run_compare(args: argparse.Namespace) -> None:
    """Compare classifiers."""
    start = time.perf_counter()
    classifiers = _classifiers(args)
    reference = args.reference or ("csp" if "csp" in classifiers else next(iter(classifiers)))
    if reference not in classifiers:
        raise ValueError(f"--reference: {reference} is not among --rows.")
    with mne.utils.use_log_level("warning"), Watch("reading the recordings") as watch:
        study = make_study(args)
        watch.step = "training and testing"
        epochs, y, subjects, title = _trials(study, args.channels)
        results = compare_classifiers(
            {_label(row, args.pretrained): model for row, model in classifiers.items()},
            epochs,
            y,
            subjects,
            n_splits=args.splits,
            seeds=args.seeds,
            cache=args.out / "folds",
            on_fold=_say,
        )
    text = "\n\n".join(
        [
            f"# mne-neurorvq compare: {args.pretrained}",
            _introduction(study, epochs),
            _table(args, study, results, classifiers, reference, title),
            f"{(time.perf_counter() - start) / 60:.1f} minutes, without the folds that were there "
            f"already. Fits on {args.device if args.device != 'auto' else _device()}.",
        ]
    )
    print(text)
    write_text(args.out / "report.md", f"{text}\n")
    rows = [
        (name, result.seeds[seed], fold, f"{score:.6f}", f"{result.minutes[seed, fold]:.4f}")
        for name, result in results.items()
        for (seed, fold), score in np.ndenumerate(result.scores)
    ]
    head = ("classifier", "seed", "fold", "balanced_accuracy", "minutes")
    write_csv(args.out / "scores.csv", head, rows)
    figure = viz.plot_scores(results, title=title, show=False)
    figure.supxlabel(study.description, fontsize=8, color="0.4")
    with replacing(args.out / "scores.png") as new:
        figure.savefig(new, dpi=120)


def _classifiers(args: argparse.Namespace) -> dict[str, ClassifierMixin]:
    """Make the classifiers of the rows that are wanted, in the order of the table."""
    system = SYSTEMS[find_config(args.pretrained).system]
    kind = resolve_name(system.classifier)
    known = kind().get_params()
    twin = untrained_twin(args.pretrained)
    if twin is None and any(row.startswith("random-") for row in args.rows or ()):
        raise ValueError(f"--rows: {args.pretrained} has no twin with random weights.")
    # Some classifiers leave the model as it is and train only their own head.
    possible = [
        row
        for row in ROWS
        if (twin or not row.startswith("random-"))
        and ("finetune" in known or row in (*_PEERS, "head", "random-head"))
    ]
    wanted = args.rows or possible
    if not set(wanted) <= set(possible):
        raise ValueError(
            f"--rows: {system.title} models are not fine-tuned, only a head is trained over their "
            f"codes. Choose from {', '.join(possible)}."
        )
    if "head" not in known and args.head != "mean":
        raise ValueError(f"--head: {system.title} has the published head only. Leave it out.")
    budget = {"max_epochs": args.epochs, "batch_size": args.batch_size, "device": args.device}
    settings = budget | {
        "head": args.head,
        "warmup_epochs": _WARMUP_SHARE * args.epochs,
    }

    def make(row: str) -> ClassifierMixin:
        if row == "chance":
            return DummyClassifier(strategy="most_frequent")
        if row == "csp":
            return csp_lda()
        if row in _PEERS:
            return BraindecodeClassifier(_PEERS[row], **budget)
        given = settings | {"finetune": row.removeprefix("random-")}
        return kind(
            twin if row.startswith("random-") else args.pretrained,
            **{name: value for name, value in given.items() if name in known},
        )

    return {row: make(row) for row in ROWS if row in wanted}


def _label(row: str, pretrained: str) -> str:
    if row in _PEERS:
        return _PEERS[row]
    kind = _KINDS[row.removeprefix("random-")]
    return f"{'random weights' if row.startswith('random-') else pretrained}, {kind}"


def _trials(
    study: Study, channels: list[str] | None
) -> tuple[mne.BaseEpochs, NDArray[np.str_], NDArray[np.str_], str]:
    """Trials, classes and subjects of the last task, which compares the fewest conditions."""
    if not study.tasks:
        raise ValueError(
            "nothing to compare on: this takes at least two subjects who share at least two "
            "annotated conditions."
        )
    task = study.tasks[-1]
    epochs = study.epochs[task.trials]
    if channels is None:
        found, _ = order_by_name(epochs.ch_names, _STRIP)
        channels = epochs.ch_names if None in found else list(_STRIP)
    order, _ = order_by_name(epochs.ch_names, channels)
    absent = [name for name, place in zip(channels, order, strict=True) if place is None]
    if absent:
        modes = set(absent) & {"match", "strict", "nearest", "interpolate"}
        raise ValueError(
            f"--channels {' '.join(channels)}: the recordings have no {', '.join(absent)}, only "
            f"{', '.join(epochs.ch_names)}."
            + (" compare takes names of channels here." if modes else "")
        )
    channels = [epochs.ch_names[place] for place in order if place is not None]
    title = task.title[0].upper() + task.title[1:]
    return epochs.pick(channels), task.y, study.subjects[task.trials], title


def _say(fold: FoldResult) -> None:
    print(
        f"seed {fold.seed}, fold {fold.fold}, {fold.name}: {fold.score:.3f} "
        f"({fold.minutes:.1f} min)",
        file=sys.stderr,
        flush=True,
    )


def _introduction(study: Study, epochs: mne.BaseEpochs) -> str:
    sfreq = epochs.info["sfreq"]
    return (
        f"{study.description}. Trials of {len(epochs.times) / sfreq:g} s at {sfreq:g} Hz, "
        f"{len(epochs.ch_names)} channels ({', '.join(epochs.ch_names)}), filtered as the model "
        f"expects. {study.seen_sentence()}"
    )


def _table(
    args: argparse.Namespace,
    study: Study,
    results: dict[str, ClassifierScores],
    classifiers: Mapping[str, ClassifierMixin],
    reference: str,
    title: str,
) -> str:
    labels = {row: _label(row, args.pretrained) for row in classifiers}
    unseen = study.unseen
    compared = [
        f"- {comparison(results, labels[kind], labels[f'random-{kind}'])}"
        for kind in _KINDS
        if kind in labels and f"random-{kind}" in labels
    ]
    made = [f"- {labels[row]}: `{' '.join(repr(classifiers[row]).split())}`" for row in labels]
    return classifier_table(
        results,
        title=title,
        reference=labels[reference],
        budget=(
            f"Epochs of training: {args.epochs}, in batches of {args.batch_size}, for every row "
            "that is trained by epochs, without early stopping: the last weights are tested."
        ),
        apart={f"never seen ({name_ranges(unseen)})": unseen} if study.seen and unseen else None,
        notes=["\n".join(lines) for lines in (compared, made) if lines],
    )


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"the CPU (threads: {torch.get_num_threads()})"
