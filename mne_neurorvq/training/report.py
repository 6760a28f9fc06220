# License: BSD-3-Clause
"""What a trained model does on recordings it has not seen, as figures and as a model card."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._table import markdown_table
from ..analysis import code_usage, reconstruction_quality
from ..models import NeuroRVQ, NeuroRVQTokenizer
from .crops import Batch, Recording, validation_batches
from .stages import masked_token_scores

# How two data sets name their files; the group is the person.
_DATA_SETS = {
    "eegmat": re.compile(r"(Subject\d{2})_\d\b"),
    "eegmmidb": re.compile(r"(S\d{3})R\d{2}\b"),
}
_CURVE_COLUMNS = ("valid_r", "valid_signal", "valid_waveform", "valid_loss", "valid_accuracy_0")


@torch.inference_mode()
def measure(
    tokenizer: NeuroRVQTokenizer, foundation: NeuroRVQ | None, recordings: Sequence[Recording]
) -> dict[str, Any]:
    """Measure reconstruction, use of the codes and masked-token prediction.

    Parameters
    ----------
    tokenizer : NeuroRVQTokenizer
        Trained tokenizer.
    foundation : NeuroRVQ | None
        Trained foundation model with its masked-token heads.
    recordings : sequence of Recording
        Recordings of people that training did not see.

    Returns
    -------
    dict
        ``recordings`` (measures of each, see
        :func:`~mne_neurorvq.analysis.reconstruction_quality`), ``used``, ``entropy``,
        ``residual_norms`` per level, and per level ``masked_accuracy`` beside
        ``commonest_code``, what guessing the commonest code would reach.
    """
    quality: dict[str, dict[str, float]] = {}
    codes, norms, hits = [], [], list[torch.Tensor]()
    for recording in recordings:
        originals, rebuilt = [], []
        for batch in _windows(recording, tokenizer):
            x, ids = batch.windows, batch.channel_ids
            found, side = tokenizer.encode(x, ids)
            originals.append(x.numpy())
            rebuilt.append(tokenizer.decode_codes(found, side, ids).numpy())
            codes.append(found.flatten(0, 2).numpy())
            patches = x.unflatten(-1, (-1, tokenizer.config.patch_size))
            norms.append(tokenizer.quantizer(tokenizer.to_vectors(patches, ids)).residual_norms)
            if foundation is not None:
                generator = torch.Generator().manual_seed(len(hits))
                hits.append(masked_token_scores(foundation, batch, found, generator)[1])
        quality[recording.source] = reconstruction_quality(
            np.concatenate(originals), np.concatenate(rebuilt), tokenizer.config.sfreq
        ).summary()
    every = np.concatenate(codes)
    usage = code_usage(every[:, None, None], tokenizer.config.quantizer.n_codes)
    commonest = usage.counts.max(-1) / usage.counts.sum(-1)
    return {
        "recordings": quality,
        "n_codes": tokenizer.config.quantizer.n_codes,
        "n_tokens": len(every),
        "used": usage.used.tolist(),
        "entropy": usage.normalized_entropy.tolist(),
        "residual_norms": torch.stack(norms).mean(0).tolist(),
        "masked_accuracy": torch.stack(hits).mean(0).tolist() if hits else None,
        "commonest_code": commonest.tolist(),
    }


def _windows(recording: Recording, tokenizer: NeuroRVQTokenizer) -> Iterator[Batch]:
    """Every four patches of a recording, one after another."""
    n_windows = recording.data.shape[1] // (4 * tokenizer.config.patch_size)
    yield from validation_batches([recording], tokenizer.config, n_windows=n_windows)


def read_curves(run_dir: Path) -> list[dict[str, float]]:
    """Read the validation curves that a run logged.

    Parameters
    ----------
    run_dir : Path
        Folder of one stage.

    Returns
    -------
    list of dict
        One per validation, with the step (of the optimiser) and the measures.
    """
    rows: dict[int, dict[str, float]] = {}
    for path in sorted(run_dir.glob("logs/*/metrics.csv"), key=lambda p: int(p.parent.name[5:])):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                found = {key: float(row[key]) for key in _CURVE_COLUMNS if row.get(key)}
                if found:
                    step = int(row["step"]) + 1
                    rows[step] = {"step": step, **found}
    return [rows[step] for step in sorted(rows)]


def card_sections(measures: dict[str, Any], curves: dict[str, list[dict[str, float]]]) -> str:
    """Write measures and curves as Markdown.

    Parameters
    ----------
    measures : dict
        What :func:`measure` returned.
    curves : dict of str to list of dict
        What :func:`read_curves` returned, by stage.

    Returns
    -------
    str
        Sections of a model card.
    """
    names = ("z_mse", "r", "si_sdr", "gain", "nmse")
    bands = ("delta", "theta", "alpha", "beta", "gamma")
    quality = measures["recordings"]
    rows = [[source, *(q[n] for n in names)] for source, q in quality.items()]
    rows.append(["mean", *(float(np.mean([q[n] for q in quality.values()])) for n in names)])
    band_rows = [
        [name, *(float(np.mean([q[f"{name}_{b}"] for q in quality.values()])) for b in bands)]
        for name in ("r", "nmse")
    ]
    parts = [
        "## Reconstruction of people it never saw\n",
        "Windows of 4 s, all channels. `z_mse`: error of window-wise z-scored signals; `r`: "
        "Pearson per channel; `si_sdr` in dB; `gain`: standard deviation over that of the "
        "original, in volts; `nmse`: squared error in volts over the variance.\n",
        _table(["recording", *names], rows),
        _table(["band", *bands], band_rows),
        "## Codes\n",
        _table(
            ["level", "used (least of 4 scales)", "normalised entropy (mean)", "residual norm"],
            _level_rows(measures),
        ),
    ]
    if measures["masked_accuracy"]:
        accuracy, chance = (
            np.mean(measures[name], axis=0) for name in ("masked_accuracy", "commonest_code")
        )
        parts += [
            "## Masked-token accuracy (half of the patches hidden, mean of the scales)\n",
            _table(
                ["level", "accuracy", "always the commonest code", "uniform chance"],
                [
                    [str(i), a, c, 1 / measures["n_codes"]]
                    for i, (a, c) in enumerate(zip(accuracy, chance, strict=True))
                ],
                digits=4,
            ),
        ]
    for stage, rows_ in curves.items():
        if rows_:
            columns = list(rows_[-1])
            parts += [
                f"## Curve of the {stage} on those people\n",
                _table(columns, [[str(r["step"]), *(r[c] for c in columns[1:])] for r in rows_]),
            ]
    return "\n".join(parts)


def _level_rows(measures: dict[str, Any]) -> list[list[Any]]:
    used, entropy = np.array(measures["used"]), np.array(measures["entropy"])
    norms = np.mean(measures["residual_norms"], axis=0)
    rows: list[list[Any]] = [["before", "", "", float(norms[0])]]
    for level in range(used.shape[1]):
        least, mean = float(used[:, level].min()), float(entropy[:, level].mean())
        rows.append([str(level), least, mean, float(norms[level + 1])])
    return rows


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]], digits: int = 3) -> str:
    cells = [[v if isinstance(v, str) else f"{v:.{digits}f}" for v in row] for row in rows]
    return markdown_table(header, cells, align="l" + "r" * (len(header) - 1)) + "\n"


def subjects_of(sources: Sequence[str]) -> dict[str, list[str]]:
    """Group recordings by the person, as far as file names tell.

    Parameters
    ----------
    sources : sequence of str
        File names, such as ``S001R04.edf`` (EEG motor imagery of PhysioNet) or
        ``Subject08_1.edf`` (mental arithmetic).

    Returns
    -------
    dict of str to list of str
        Data set to its people; ``other`` has the file names of unknown ones.
    """
    found: dict[str, set[str]] = {}
    for source in sources:
        data_set, person = "other", source
        for name, pattern in _DATA_SETS.items():
            if match := pattern.match(source):
                data_set, person = name, match[1]
        found.setdefault(data_set, set()).add(person)
    return {data_set: sorted(people) for data_set, people in found.items()}
