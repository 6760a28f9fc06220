# License: BSD-3-Clause
"""``mne-neurorvq pretrain``: both stages on files, from the shell."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..models import NEURORVQ_EEG, NeuroRVQ, NeuroRVQTokenizer, QuantizerConfig
from ..weights import load_pretrained, save_pretrained
from .calibration import calibrate_amplitude
from .crops import Recording
from .recordings import read_recordings
from .report import card_sections, measure, read_curves, subjects_of
from .running import pretrain_foundation, pretrain_tokenizer
from .stages import LossWeights, StageSettings

# The masked-token heads start from nothing and have to grow: they learn four times as fast.
_FOUNDATION_LR = 3e-3

# The small model: what two cores train in an hour and a package can carry.
SMALL = replace(
    NEURORVQ_EEG,
    depth=3,
    decoder_depth=1,
    mlp_ratio=2.0,
    foundation_layer_scale=1.0,
    quantizer=QuantizerConfig(
        n_codes=1024,
        code_dim=32,
        rule="euclidean",
        dead_code_threshold=0.1,
        warmup_steps=400,
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of the subcommand.
    """
    parser.add_argument("files", nargs="+", type=Path, help="recordings to learn from")
    parser.add_argument(
        "--validation",
        nargs="+",
        type=Path,
        required=True,
        help="recordings of other subjects, watched and never used for a choice",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--report",
        nargs="+",
        type=Path,
        help="recordings of other subjects that the model card reports on (default: --validation)",
    )
    parser.add_argument(
        "--tokenizer-steps", type=int, default=8500, help="steps of the first stage (%(default)s)"
    )
    parser.add_argument(
        "--foundation-steps", type=int, default=3000, help="steps of the second (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")


def run(args: argparse.Namespace) -> None:
    """Train both stages and write the model; a run that was interrupted goes on.

    Parameters
    ----------
    args : argparse.Namespace
        What :func:`add_arguments` declared.

    Raises
    ------
    ValueError
        If a file, or a person as far as file names tell, is both learned from and reported on.
    """
    report_on = args.report or args.validation
    seen = sorted(set(args.files) & {*args.validation, *report_on})
    if seen:
        raise ValueError(f"{seen[0]} is in the training files and in --validation or --report.")
    known = _people(args.files) & _people([*args.validation, *report_on])
    if known:
        raise ValueError(
            f"{min(known)} has recordings in the training files and in --validation or --report: "
            "leave out whole people."
        )
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    train = read_recordings(args.files, SMALL)
    valid = read_recordings(args.validation, SMALL)
    tokenizer_settings = StageSettings(n_steps=args.tokenizer_steps, seed=args.seed)
    foundation_settings = StageSettings(
        n_steps=args.foundation_steps, lr=_FOUNDATION_LR, seed=args.seed
    )
    tokenizer = pretrain_tokenizer(train, valid, SMALL, tokenizer_settings, args.out / "tokenizer")
    foundation = pretrain_foundation(
        train, valid, tokenizer, foundation_settings, args.out / "foundation"
    )
    raised = calibrate_amplitude(tokenizer, train)
    record = {
        "files": [path.name for path in args.files],
        "subjects": subjects_of([path.name for path in args.files]),
        "validation": [path.name for path in args.validation],
        "report": [path.name for path in report_on],
        "tokenizer": asdict(tokenizer_settings) | {"loss_weights": asdict(LossWeights())},
        "foundation": asdict(foundation_settings),
        "log_amplitude_raised_by": raised,
        "minutes_of_signal": sum(r.data.shape[1] for r in train) / SMALL.sfreq / 60,
    }
    write_model(args.out, tokenizer, foundation, read_recordings(report_on, SMALL), record)


def _people(paths: Sequence[Path]) -> set[str]:
    """Known people: the name of another file says nothing about whose it is."""
    found = subjects_of([path.name for path in paths])
    return {person for data_set in found if data_set != "other" for person in found[data_set]}


def write_model(
    run_dir: Path,
    tokenizer: NeuroRVQTokenizer,
    foundation: NeuroRVQ,
    unseen: Sequence[Recording],
    record: dict[str, Any],
) -> None:
    """Write the folder ``model`` of a run: weights, provenance and card.

    Parameters
    ----------
    run_dir : Path
        Folder of the run.
    tokenizer, foundation : NeuroRVQTokenizer, NeuroRVQ
        The trained models. The masked-token heads, six times as large as all the rest, go to a
        file of their own beside the folder.
    unseen : sequence of Recording
        Recordings that the card reports on, measured with the weights as they are on disk.
    record : dict
        Data and settings.
    """
    folder = run_dir / "model"
    heads = foundation.masked_tokens
    assert heads is not None
    torch.save(heads.state_dict(), run_dir / "masked_token_heads.pt")
    foundation.masked_tokens = None
    save_pretrained(folder, tokenizer, foundation)
    saved = load_pretrained(folder)
    stored = saved.require("foundation")
    stored.masked_tokens = heads
    measures = measure(saved.require("tokenizer"), stored, unseen)
    curves = {stage: read_curves(run_dir / stage) for stage in ("tokenizer", "foundation")}
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    (folder / "measures.json").write_text(json.dumps(measures, indent=1) + "\n")
    (folder / "README.md").write_text(card_sections(measures, curves))
