# License: BSD-3-Clause
"""What a trained model does on recordings it has not seen, as figures and as a model card."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._table import markdown_table
from ..analysis import code_usage, reconstruction_quality
from ..weights.systems import Foundation, Tokenizer
from .batches import model_input, watched_batches
from .corpus.dataset import CorpusDataset
from .masked_prediction import guess_codes, random_mask
from .patch_targets import TARGETS

# Windows of each subject, and the share of their patches that is hidden first.
_MEASURED_WINDOWS, _MASK_RATIO = 64, 0.5

# How the card puts what systems differ in, and what the authors of some report.
_WINDOWS = {
    "neurorvq": "Windows of up to 4 patches, all channels.",
    "brainrvq": "Windows of up to 4 s, all channels, decoded from the codes and the mean and "
    "standard deviation of each second.",
    "biocodec": "Windows of up to 5 s, at most 8 channels of each, scaled by median and "
    "interquartile range before the codec and scaled back after it.",
}
_OF_SCALES = {"neurorvq": (" (least of 4 scales)", " (mean)")}
# Of whose codebooks the accuracies are means.
_MEAN_OF = {"neurorvq": ", mean of the scales"}
_PUBLISHED = {
    "biocodec": "The paper reports `r` 0.89, `si_sdr` 9.81 dB, all codes used and a normalised "
    "entropy above 0.92, on clinical EEG of its own: other signals, so this is no comparison of "
    "models.\n",
}

_DOMAIN_LOSSES = ("waveform", "amplitude", "phase")
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
    quality: dict[str, list[tuple[int, dict[str, float]]]] = {}
    codes, norms, losses = [], [], list[tuple[int, dict[str, float]]]()
    hits: dict[bool, list[torch.Tensor]] = {True: [], False: []}
    for subject, batch in watched_batches(corpus, config, n_windows=_MEASURED_WINDOWS):
        x, centre, scale = model_input(batch.windows, config)
        found, parts, quantized = tokenizer.assess(x, batch.channel_ids)
        losses.append((len(x), {name: float(loss) for name, loss in parts.items()}))
        rebuilt = found * scale + centre
        measures = reconstruction_quality(batch.windows.numpy(), rebuilt.numpy(), config.sfreq)
        quality.setdefault(subject, []).append((len(rebuilt), measures.summary()))
        codes.append(quantized.codes.transpose(0, 1).numpy())
        norms.append(quantized.residual_norms)
        if foundation is not None and foundation.masked_tokens is not None:
            labels = quantized.codes.movedim(0, 1).unflatten(0, (*rebuilt.shape[:2], -1))
            generator = torch.Generator().manual_seed(len(norms) - 1)
            mask = random_mask(labels.flatten(1, 2).shape[:2], _MASK_RATIO, generator)
            for told, found_right in hits.items():
                found_right.append(guess_codes(foundation, batch, labels, mask, told=told).accuracy)
    every, sizes = np.concatenate(codes), [len(part) for part in codes]
    usage = code_usage(every[:, None, None], config.quantizer.n_codes)
    commonest = usage.counts.max(-1) / usage.counts.sum(-1)
    return {
        "system": config.system,
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
    """Write a model card as Markdown."""
    names = ("z_mse", "r", "si_sdr", "gain", "nmse")
    bands = ("delta", "theta", "alpha", "beta", "gamma")
    quality = measures["subjects"]
    rows = [[source, *(q[n] for n in names)] for source, q in quality.items()]
    rows.append(["mean", *(float(np.mean([q[n] for q in quality.values()])) for n in names)])
    band_rows = [
        [name, *(float(np.mean([q[f"{name}_{b}"] for q in quality.values()])) for b in bands)]
        for name in ("r", "nmse")
    ]
    parts = [
        _data_section(record),
        "## Reconstruction of people it never saw\n",
        f"{_WINDOWS[measures['system']]} `z_mse`: error of window-wise z-scored signals; `r`: "
        "Pearson per channel; `si_sdr` in dB; `gain`: standard deviation over that of the "
        "original, in volts; `nmse`: squared error in volts over the variance.\n",
        _table(["subject", *names], rows),
        _table(["band", *bands], band_rows),
        *_domain_section(measures),
        "## Codes\n",
        _table(*_level_rows(measures)),
        _PUBLISHED.get(measures["system"], ""),
        *_masked_section(measures),
    ]
    for stage, rows_ in curves.items():
        if rows_:
            columns = list(rows_[-1])
            parts += [
                f"## Curve of the {stage} on those people\n",
                _table(columns, [[str(r["step"]), *(r[c] for c in columns[1:])] for r in rows_]),
            ]
    return "\n".join(parts)


def _data_section(record: dict[str, Any]) -> str:
    seen = record["subjects"]
    whom = (
        "It is not known whom its tokenizer had seen."
        if seen is None
        else "Subjects it has seen, without any label: "
        + "; ".join(f"{data_set}: {', '.join(people)}" for data_set, people in seen.items())
        + "."
    )
    steps = ", ".join(f"{stage} {n}" for stage, n in record["steps"].items())
    return (
        "## What it has seen\n\n"
        f"{record['hours']:.2f} hours of signal in {record['windows']} windows. {whom} Watched "
        f"while it was trained, and reported on below: {', '.join(record['validation'])}. The "
        f"weights are those after the last step (steps: {steps}).\n"
    )


def _domain_section(measures: dict[str, Any]) -> list[str]:
    """Say how well each domain is predicted, where there are domains."""
    losses = [(name, measures["losses"].get(name)) for name in _DOMAIN_LOSSES]
    rows = [[name, loss] for name, loss in losses if loss is not None]
    if not measures["codebooks"]:
        return []
    return [
        "Errors of what the decoders predict, 1 where they know nothing: `waveform` of the samples "
        "standardised in each second, `amplitude` of the spectrum, `phase` of all its bins, faint "
        "ones too.\n",
        _table(["", "error"], rows),
    ]


def _level_rows(measures: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Use of the codes by level, and by codebook where these have names."""
    used, entropy = np.array(measures["used"]), np.array(measures["entropy"])
    norms = np.array(measures["residual_norms"])
    if measures["codebooks"]:
        named = [
            [name, str(level), used[book, level], entropy[book, level], norms[book, level + 1]]
            for book, name in enumerate(measures["codebooks"])
            for level in range(used.shape[1])
        ]
        return ["codebook", "level", "used", "normalised entropy", "residual norm"], named
    least, mean = _OF_SCALES.get(measures["system"], ("", ""))
    header = ["level", f"used{least}", f"normalised entropy{mean}", "residual norm"]
    rows: list[list[Any]] = [["before", "", "", norms[:, 0].mean()]]
    for level in range(used.shape[1]):
        figures = used[:, level].min(), entropy[:, level].mean(), norms[:, level + 1].mean()
        rows.append([str(level), *figures])
    return header, rows


def _masked_section(measures: dict[str, Any]) -> list[str]:
    """Accuracy of guessing hidden codes, beside that of knowing nothing."""
    if not measures["masked_accuracy"]:
        return []
    keys = ["masked_accuracy", "commonest_code"]
    header = ["level", "accuracy", "always the commonest code", "uniform chance"]
    chance, named = 1 / measures["n_codes"], measures["codebooks"]
    if named:
        keys.insert(1, "fed_back_accuracy")
        header = ["codebook", "level", "accuracy", "of guessed levels before", *header[2:]]
    found = np.array([measures[key] for key in keys])
    if named:
        rows = [
            [name, str(level), *found[:, book, level], chance]
            for book, name in enumerate(named)
            for level in range(found.shape[-1])
        ]
    else:
        means = found.mean(axis=1)
        rows = [[str(level), *figures, chance] for level, figures in enumerate(means.T)]
    mean_of = _MEAN_OF.get(measures["system"], "")
    return [
        f"## Masked-token accuracy (half of the patches hidden{mean_of})\n",
        _table(header, rows, digits=4),
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]], digits: int = 3) -> str:
    cells = [[v if isinstance(v, str) else f"{v:.{digits}f}" for v in row] for row in rows]
    return markdown_table(header, cells, align="l" + "r" * (len(header) - 1)) + "\n"
