# License: BSD-3-Clause
"""What a trained model does on recordings it has not seen: figures, and the model card."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._table import markdown_table
from ..analysis import code_usage, reconstruction_quality
from ..analysis.reconstruction import bands_below
from ..weights.provenance import data_set_and_person
from ..weights.systems import Foundation, Tokenizer
from .batches import model_input, watched_batches
from .corpus.dataset import CorpusDataset
from .masked_prediction import guess_codes, random_mask
from .patch_targets import TARGETS
from .run_config import config_of_system
from .settings import CardText

# Windows of each subject, and the share of their patches that is hidden first.
_MEASURED_WINDOWS, _MASK_RATIO = 64, 0.5

_DOMAIN_LOSSES = ("waveform", "amplitude", "phase")
_IN_BANDS = ("r", "nmse")
_CURVE_COLUMNS = (
    "valid_r",
    "valid_signal",
    "valid_waveform",
    "valid_amplitude",
    "valid_phase",
    "valid_spectral",
    "valid_loss",
    "valid_accuracy_0",
    "valid_accuracy_1",
    "valid_accuracy_2",
    *(f"valid_{name}_{which}" for name in TARGETS for which in ("hidden", "visible")),
)


@torch.inference_mode()
def measure(
    tokenizer: Tokenizer, foundation: Foundation | None, corpus: CorpusDataset
) -> dict[str, Any]:
    """Measure reconstruction, use of the codes and masked-token prediction.

    At most 64 windows of each subject are looked at, spread over all there are. What a model takes
    scaled is scaled as the estimators do, and brought back before it is compared.
    """
    config = tokenizer.config
    bands = bands_below(config.modality, config.sfreq)
    quality: dict[str, list[tuple[int, dict[str, float]]]] = {}
    codes, norms, losses = [], [], list[tuple[int, dict[str, float]]]()
    hits: dict[bool, list[torch.Tensor]] = {True: [], False: []}
    for subject, batch in watched_batches(corpus, config, n_windows=_MEASURED_WINDOWS):
        x, centre, scale = model_input(batch.windows, config)
        found, parts, quantized = tokenizer.assess(x, batch.channel_ids)
        losses.append((len(x), {name: float(loss) for name, loss in parts.items()}))
        rebuilt = found * scale + centre
        signals = batch.windows.numpy(), rebuilt.numpy()
        measures = reconstruction_quality(*signals, config.sfreq, bands=bands)
        quality.setdefault(subject, []).append((len(rebuilt), measures.summary()))
        codes.append(quantized.codes.transpose(0, 1).numpy())
        norms.append(quantized.residual_norms)
        if foundation is not None and foundation.masked_tokens is not None:
            labels = quantized.codes.movedim(0, 1).unflatten(0, (*rebuilt.shape[:2], -1))
            generator = torch.Generator().manual_seed(len(norms) - 1)
            mask = random_mask(labels.flatten(1, 2).shape[:2], _MASK_RATIO, generator)
            for given, accuracies in hits.items():
                guesses = guess_codes(foundation, batch, labels, mask, true_levels=given)
                accuracies.append(guesses.accuracy)
    every, sizes = np.concatenate(codes), [len(part) for part in codes]
    usage = code_usage(every[:, None, None], config.quantizer.n_codes)
    commonest = usage.counts.max(-1) / usage.counts.sum(-1)
    return {
        "system": config.system,
        "bands": list(bands),
        "subjects": {subject: _mean(parts) for subject, parts in quality.items()},
        "losses": _mean(losses),
        "codebooks": list(config.codebook_names),
        "n_codes": config.quantizer.n_codes,
        "n_tokens": len(every),
        "used": usage.used.tolist(),
        "entropy": usage.normalized_entropy.tolist(),
        "residual_norms": _mean_of_tokens(norms, sizes),
        "masked_accuracy": _mean_of_tokens(hits[True], sizes),
        "fed_back_accuracy": _mean_of_tokens(hits[False], sizes),
        "commonest_code": commonest.tolist(),
    }


def _mean_of_tokens(
    values: Sequence[torch.Tensor], n_tokens: Sequence[int]
) -> list[list[float]] | None:
    """Average over all tokens: batches may be of one short window, or of many long ones."""
    if not values:
        return None
    means: list[list[float]] = np.average(np.stack(values), axis=0, weights=n_tokens).tolist()
    return means


def _mean(parts: Sequence[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Average measures over batches, by the number of windows."""
    weights = [n for n, _ in parts]
    names = parts[0][1]
    return {
        name: float(np.average([measures[name] for _, measures in parts], weights=weights))
        for name in names
    }


def read_curves(run_dir: Path) -> list[dict[str, float]]:
    """Read the validation curves that a run logged."""
    rows: dict[int, dict[str, float]] = {}
    for path in sorted(run_dir.glob("logs/*/metrics.csv"), key=lambda p: int(p.parent.name[5:])):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                found = {key: float(row[key]) for key in _CURVE_COLUMNS if row.get(key)}
                if found:
                    step = int(row["step"]) + 1
                    rows[step] = {"step": step, **found}
    return [rows[step] for step in sorted(rows)]


def card_text(
    record: dict[str, Any], measures: dict[str, Any], curves: dict[str, list[dict[str, float]]]
) -> str:
    """Write a model card as Markdown, of what :func:`measure` and :func:`read_curves` gave."""
    text = config_of_system(measures["system"]).card
    names = ("z_mse", "r", "si_sdr", "gain", "nmse")
    bands = measures["bands"]
    quality = measures["subjects"]

    def mean(name: str) -> float:
        return float(np.mean([of_subject[name] for of_subject in quality.values()]))

    before = _seen_before(record)
    parts = [
        _data_section(record, before),
        f"## Reconstruction of people {'who were watched' if before else 'it never saw'}\n",
        f"{text.windows} `z_mse`: error of window-wise z-scored signals; `r`: "
        "Pearson per channel; `si_sdr` in dB; `gain`: standard deviation over that of the "
        "original, in volts; `nmse`: squared error in volts over the variance.\n",
        _table(
            ["subject", *names],
            [
                *([subject, *(found[n] for n in names)] for subject, found in quality.items()),
                ["mean", *map(mean, names)],
            ],
        ),
        _table(
            ["band", *bands], [[name, *(mean(f"{name}_{b}") for b in bands)] for name in _IN_BANDS]
        ),
        *_domain_section(measures),
        "## Codes\n",
        _usage_table(measures, text),
        text.published,
        *_masked_section(measures, text),
    ]
    for stage, rows in curves.items():
        if rows:
            columns = list(rows[-1])
            parts += [
                f"## Curve of the {stage} on those people\n",
                _table(columns, [[str(r["step"]), *(r[c] for c in columns[1:])] for r in rows]),
            ]
    return "\n".join(parts)


def _data_section(record: dict[str, Any], before: Sequence[str]) -> str:
    seen = record["subjects"]
    whom = "It is not known whom its tokenizer had seen."
    if seen is not None:
        people = (f"{data_set}: {', '.join(names)}" for data_set, names in seen.items())
        whom = f"Subjects it has seen, without any label: {'; '.join(people)}."
    steps = ", ".join(f"{stage} {n}" for stage, n in record["steps"].items())
    caution = f" Its tokenizer had learned from {', '.join(before)}." if before else ""
    return (
        "## What it has seen\n\n"
        f"{record['hours']:.2f} hours of signal in {record['windows']} windows. {whom} Watched "
        f"while it was trained, and reported on below: {', '.join(record['validation'])}.{caution} "
        f"The weights are those after the last step (steps: {steps}).\n"
    )


def _seen_before(record: dict[str, Any]) -> list[str]:
    """Name the people who were watched and whose signals the tokenizer had learned from."""
    seen = record["subjects"] or {}
    people = {(data_set, person) for data_set, names in seen.items() for person in names}
    return [who for who in record["validation"] if data_set_and_person(who) in people]


def _domain_section(measures: dict[str, Any]) -> list[str]:
    """How well each domain is predicted, where there are domains."""
    if not measures["codebooks"]:
        return []
    losses = measures["losses"]
    return [
        "Errors of what the decoders predict, 1 where they know nothing: `waveform` of the samples "
        "standardised in each second, `amplitude` of the spectrum, `phase` of all its bins, faint "
        "ones too.\n",
        _table(["", "error"], [[name, losses[name]] for name in _DOMAIN_LOSSES if name in losses]),
    ]


def _usage_table(measures: dict[str, Any], text: CardText) -> str:
    """Use of the codes by level, and by codebook where these have names."""
    used, entropy = np.array(measures["used"]), np.array(measures["entropy"])
    norms = np.array(measures["residual_norms"])
    figures = np.stack([used, entropy, norms[:, 1:]])
    if measures["codebooks"]:
        header = ["codebook", "level", "used", "normalised entropy", "residual norm"]
        return _table(header, _by_codebook(measures["codebooks"], figures))
    least, mean = text.of_codebooks
    joined = zip(used.min(0), entropy.mean(0), norms[:, 1:].mean(0), strict=True)
    return _table(
        ["level", f"used{least}", f"normalised entropy{mean}", "residual norm"],
        [
            ["before", "", "", norms[:, 0].mean()],
            *([str(level), *of_level] for level, of_level in enumerate(joined)),
        ],
    )


def _masked_section(measures: dict[str, Any], text: CardText) -> list[str]:
    """Accuracy of guessing hidden codes, beside that of knowing nothing."""
    if not measures["masked_accuracy"]:
        return []
    named, chance = measures["codebooks"], 1 / measures["n_codes"]
    keys = ["masked_accuracy", "commonest_code"]
    header = ["level", "accuracy", "always the commonest code", "uniform chance"]
    if named:
        keys.insert(1, "fed_back_accuracy")
        header = ["codebook", "level", "accuracy", "of guessed levels before", *header[2:]]
    figures = np.array([measures[key] for key in keys])
    if named:
        rows = _by_codebook(named, figures)
    else:
        rows = [[str(level), *found] for level, found in enumerate(figures.mean(axis=1).T)]
    return [
        f"## Masked-token accuracy (half of the patches hidden{text.accuracy_of})\n",
        _table(header, [[*row, chance] for row in rows], digits=4),
    ]


def _by_codebook(names: Sequence[str], figures: NDArray[np.floating]) -> list[list[Any]]:
    """Rows of a table, of ``(n_figures, n_codebooks, n_levels)``."""
    return [
        [name, str(level), *figures[:, book, level]]
        for book, name in enumerate(names)
        for level in range(figures.shape[-1])
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]], digits: int = 3) -> str:
    cells = [[v if isinstance(v, str) else f"{v:.{digits}f}" for v in row] for row in rows]
    return markdown_table(header, cells, align="l" + "r" * (len(header) - 1)) + "\n"
