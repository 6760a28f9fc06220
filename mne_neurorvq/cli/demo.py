# License: BSD-3-Clause
"""``mne-neurorvq demo``: the whole path, as a report with figures."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from .. import viz
from .._references import Reference
from .._table import markdown_table, name_ranges, with_interval
from .._writing import replacing, write_text
from ..analysis import (
    CodeUsage,
    ReconstructionQuality,
    code_usage,
    reconstruction_quality,
)
from ..analysis.reconstruction import bands_below
from ..benchmarks import CrossSubjectScores, cross_subject_scores, representations
from ..estimators import GroupStandardScaler
from ..signals import set_reference
from ..tokens import Tokens
from ..weights import load_pretrained
from ..weights.loading import find_config
from ..weights.registry import registered
from ..weights.systems import SYSTEMS
from .messages import Watch
from .outputs import write_csv
from .studies import Study, Task, make_study, simulated_modality

# Quality needs no more trials than this; an hour of EEG would only take longer.
_QUALITY_TRIALS = 64
_FOLDS = 4
_FEWEST_UNSEEN = 3
_TITLE = "# mne-neurorvq demo"
_GIVEN = {
    "recorded": "as recorded",
    "average": "with an average reference",
    "laplacian": "as surface Laplacian",
}


def run_demo(args: argparse.Namespace) -> None:
    """Run the demo."""
    start = time.perf_counter()
    with mne.utils.use_log_level("warning"), Watch("reading the recordings") as watch:
        args.out = args.out or Path("mne-neurorvq-demo", Path((args.data or ["eeg"])[0]).stem)
        args.pretrained = args.pretrained or _trained_model(simulated_modality(args.data))
        study = make_study(args)
        args.out.mkdir(parents=True, exist_ok=True)
        report = _Report(args.out, f"{args.pretrained} on {study.description}")
        epochs = study.epochs
        sfreq = epochs.info["sfreq"]
        report.say(
            f"{_TITLE}: {args.pretrained}",
            f"{study.description}. {len(epochs)} trials of {len(epochs.times) / sfreq:g} s, "
            f"{len(epochs.ch_names)} channels, {sfreq:g} Hz, filtered as the model expects. "
            f"Subjects: {name_ranges(sorted(set(study.subjects.tolist())))}.",
            study.seen_sentence(),
        )
        watch.step = "tokens and reconstructions"
        given = _GIVEN[_show_tokens(report, args, study)]
        _show_scores(report, args, study, watch, given)
    report.say("## Next", _next_steps(args, study))
    report.say(f"{time.perf_counter() - start:.0f} s. In {args.out}: {_listed(args.out)}.")


def _next_steps(args: argparse.Namespace, study: Study) -> str:
    """Say where scores of real people are, and how to go on with recordings of one's own."""
    simulated = study.data_set == "simulated"
    of_people = "Simulated people say nothing about real ones: " if simulated else ""
    make = SYSTEMS[find_config(args.pretrained).system].transformer.rpartition(":")[2]
    return (
        f"- {of_people}scores of people whom no model has seen, without their eye movements, with "
        "controls, are on the page Benchmark of the documentation and in the card of the model "
        f"(`load_pretrained({args.pretrained!r}).card`).\n"
        "- Your recordings: `mne-neurorvq demo --data one.edf two.edf ...`; from `mne.Epochs` in "
        f"Python: `mne_neurorvq.{make}({args.pretrained!r}).fit_transform(epochs)`.\n"
        "- Your labels: `mne-neurorvq benchmark --help`, with people, eyes and chance as controls."
    )


def _listed(folder: Path) -> str:
    """Name the files of a report, tables first."""
    files = sorted(folder.iterdir(), key=lambda path: (path.suffix == ".png", path.name))
    return ", ".join(path.name for path in files if path.suffix in (".md", ".csv", ".png"))


def _trained_model(modality: str) -> str:
    """Name the small model of a kind of signal."""
    if registered(name := f"neurorvq-{modality}-small") is None:
        raise ValueError(
            f"No model in the package was trained on {modality.upper()}: choose one with "
            f"--pretrained, neurorvq-{modality} (the authors', a download) or "
            f"neurorvq-{modality}-tiny-random (untrained)."
        )
    return name


class _Report:
    """Prints as it goes, and keeps the same text in a file beside the figures."""

    def __init__(self, folder: Path, caption: str) -> None:
        self.folder = folder
        self._caption = caption
        self._path = folder / "report.md"
        if self._path.exists() and self._path.read_text("utf-8").startswith(_TITLE):
            # Scores of an earlier demo, on other tasks perhaps, would stand beside this report.
            for old in (folder / "scores.csv", *folder.glob("scores-*.png")):
                old.unlink(missing_ok=True)
        self._text = ""
        write_text(self._path, self._text)

    def say(self, *paragraphs: str) -> None:
        text = "\n\n".join(paragraphs) + "\n"
        print(text, flush=True)
        self._text += f"{text}\n"
        write_text(self._path, self._text)

    def save(self, name: str, figure: Any) -> None:
        import matplotlib.pyplot as plt

        # A figure that is passed on must still say what it was made from.
        figure.supxlabel(self._caption, fontsize=8, color="0.4")
        with replacing(self.folder / f"{name}.png") as new:
            figure.savefig(new, dpi=120)
        plt.close(figure)


def _show_tokens(report: _Report, args: argparse.Namespace, study: Study) -> Reference:
    """Tokens and reconstructions of some trials, of subjects the model never saw if there are.

    Returns the reference of the signals that the model is given.
    """
    unseen = np.isin(study.subjects, study.unseen)
    candidates = np.flatnonzero(unseen if unseen.any() else np.ones_like(unseen))
    n_taken = min(len(candidates), _QUALITY_TRIALS)
    taken = candidates[np.linspace(0, len(candidates) - 1, n_taken).round().astype(int)]
    epochs = study.epochs[taken]
    config = find_config(args.pretrained)
    make = resolve_name(SYSTEMS[config.system].transformer)
    model = make(args.pretrained, output="tokens", device=args.device, batch_size=args.batch_size)
    tokens = model.fit(epochs).tokenize(epochs)
    rebuilt, epochs = model.detokenize(tokens), set_reference(epochs, model.reference_)
    quality = reconstruction_quality(
        epochs.get_data(picks=list(tokens.ch_names), verbose="error"),
        rebuilt.get_data(copy=False),
        tokens.sfreq,
        bands=bands_below(config.modality, tokens.sfreq),
    )
    usage = code_usage(tokens.codes, tokens.n_codes)
    few = f"{n_taken} of {len(study.epochs)} trials, evenly spread"
    text = "All trials" if n_taken == len(study.epochs) else few
    if study.seen:
        text += f", of subjects that the model {'never saw' if unseen.any() else 'was trained on'}"
    report.say(f"## Tokens\n\n{text}.", _token_text(tokens, usage))
    given = f"Of the signals that the model is given, {_GIVEN[model.reference_]}:"
    report.say("## Reconstruction", given, *_quality_text(quality))
    typical = quality.trial("median")
    report.save(
        "reconstruction", viz.plot_reconstruction(epochs, rebuilt, trial=typical, show=False)
    )
    report.save("codes", viz.plot_tokens(tokens, trial=typical, show=False))
    report.save("code-usage", viz.plot_codebook_usage(usage, show=False))
    reference: Reference = model.reference_
    return reference


def _token_text(tokens: Tokens, usage: CodeUsage) -> str:
    sizes = " × ".join(
        f"{size} {axis}{'' if size == 1 else 'es' if axis == 'patch' else 's'}"
        for size, axis in zip(tokens.shape, tokens.axes, strict=True)
    )
    levels = [str(level) for level in range(tokens.shape[-1])]
    rows = [
        ["codes used (%)", *(f"{100 * v:.0f}" for v in usage.used.mean(axis=0))],
        ["normalised entropy (%)", *(f"{100 * v:.0f}" for v in usage.normalized_entropy.mean(0))],
    ]
    lines = [
        f"Codes: {sizes}, each of {tokens.n_codes}.",
        f"Rate: {tokens.bits_per_second:.0f} bits/s per channel, side information included (16-bit "
        f"samples at {tokens.sfreq:g} Hz: {16 * tokens.sfreq:.0f}).",
        f"Use of the codes by {usage.n_tokens:,} tokens, mean of the codebooks:\n",
        markdown_table(["level", *levels], rows, align="l" + "r" * len(levels)),
    ]
    if tokens.left_out:
        lines.insert(1, f"Channels that the model does not use: {', '.join(tokens.left_out)}.")
    return "\n".join(lines)


def _quality_text(quality: ReconstructionQuality) -> list[str]:
    means = quality.summary()
    bands = list(quality.bands)
    rows = [
        ["correlation r", *(f"{means[f'r_{band}']:.3f}" for band in bands)],
        ["error / power", *(f"{means[f'nmse_{band}']:.3f}" for band in bands)],
    ]
    return [
        f"z-scored MSE {means['z_mse']:.3f} (0 is perfect, 2 is chance), r {means['r']:.3f}, "
        f"SI-SDR {means['si_sdr']:.1f} dB, amplitude {means['gain']:.3f} of the original, error in "
        f"volts {means['nmse']:.3f} of the variance.",
        markdown_table(["band", *bands], rows, align="l" + "r" * len(bands)),
    ]


def _show_scores(
    report: _Report, args: argparse.Namespace, study: Study, watch: Watch, given: str
) -> None:
    if not study.tasks:
        report.say(
            "## Scores",
            "None: this takes at least two subjects who share at least two annotated conditions.",
        )
        return
    system = SYSTEMS[find_config(args.pretrained).system]
    if getattr(load_pretrained(args.pretrained), system.gives["embedding"]) is None:
        report.say("## Scores", f"None: {args.pretrained} has no foundation model, for features.")
        return
    watch.step = f"features of {len(study.epochs)} trials"
    features = representations(
        study.epochs, args.pretrained, device=args.device, batch_size=args.batch_size
    )
    report.say("## Scores on subjects that the classifier had not seen", _rows(features, given))
    groups = {"": np.ones(len(study.epochs), bool)}
    if study.seen and len(study.unseen) >= _FEWEST_UNSEEN:
        groups[", only subjects that the model never saw"] = np.isin(study.subjects, study.unseen)
    rows: list[Sequence[object]] = []
    for task, (where, part) in product(study.tasks, groups.items()):
        watch.step = f"scores, {task.title}"
        title = f"{task.title[0].upper()}{task.title[1:]}{where}"
        results = _score(args, study, task, part, features)
        report.say(f"### {title}", *_score_text(results, features, int((task.trials & part).sum())))
        report.save(
            _file_name(f"scores {task.title}", "never-seen" if where else ""),
            viz.plot_benchmark(results, title=title, show=False),
        )
        for name, result in results.items():
            for person, fold, score in zip(
                result.people, result.folds[0], result.scores[0], strict=True
            ):
                rows.append((title, name, fold, person, f"{score:.6f}"))
    head = ("task", "features", "fold", "person", "balanced_accuracy")
    write_csv(report.folder / "scores.csv", head, rows)


def _rows(features: dict[str, NDArray[np.floating]], given: str) -> str:
    """Say what the rows of the tables are."""
    rows = {
        "embedding": "features of the model, for each channel and third of a trial",
        "physiology": "numbers with names that one linear layer reads off them, "
        '`output="physiology"`',
        "untrained twin": "features of the same network with random weights; what is above them, "
        "training has added",
        "band power": "log power in each band, mean of the channels",
        "band power per channel": "log power in each band of each channel",
    }
    lines = [f"- **{name}**: {rows[name]}." for name in features]
    return f"All are of the same trials and channels, {given}.\n\n" + "\n".join(lines)


def _score(
    args: argparse.Namespace,
    study: Study,
    task: Task,
    part: NDArray[np.bool_],
    features: dict[str, NDArray[np.floating]],
) -> dict[str, CrossSubjectScores]:
    """Score a task on a part of the trials."""
    trials = task.trials & part
    groups = study.subjects[trials]
    return {
        name: cross_subject_scores(
            GroupStandardScaler().fit_transform(values[trials], groups=groups),
            task.y[part[task.trials]],
            groups,
            n_splits=min(_FOLDS, len(np.unique(groups))),
            n_jobs=args.jobs,
        )
        for name, values in features.items()
    }


def _score_text(
    results: dict[str, CrossSubjectScores],
    features: dict[str, NDArray[np.floating]],
    n_trials: int,
) -> list[str]:
    """Protocol and table."""
    first = next(iter(results.values()))
    n_folds, n_classes = first.folds.max() + 1, len(first.classes)
    protocol = (
        f"{len(first.people)} subjects ({name_ranges(first.people)}), {n_trials} trials. Folds: "
        f"GroupKFold({n_folds}) over subjects, none in both training and test. Classifier: "
        "logistic regression on columns that are standardised within each subject, without "
        "labels; its strength is chosen within the training subjects. Balanced accuracy, mean "
        f"over subjects and 95 % bootstrap interval. Chance: {1 / n_classes:.3f}."
    )
    reference = results["band power per channel"]
    rows = []
    for name, result in results.items():
        cells = [name, str(features[name].shape[1])]
        cells.append(with_interval(result.mean, *result.interval))
        if result is reference:
            difference = ""
        else:
            difference = with_interval(*result.difference_from(reference)[:3], "+")
        rows.append([*cells, difference])
    head = ["features", "columns", "balanced accuracy", "difference from band power per channel"]
    return [protocol, markdown_table(head, rows, align="lrrr")]


def _file_name(*parts: str) -> str:
    """Name without what a file system or a shell may not like; conditions may be called anything.

    >>> _file_name("scores Stimulus/S  1 against rest", "never-seen")
    'scores-Stimulus-S-1-against-rest-never-seen'
    """
    return "-".join(re.sub(r"\W+", "-", part)[:80].strip("-") for part in parts if part)
