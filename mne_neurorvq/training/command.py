# License: BSD-3-Clause
"""``mne-neurorvq pretrain``: both stages on files, from the shell."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import torch

from ..models import NEURORVQ_EEG, QuantizerConfig
from .recordings import read_recordings
from .running import pretrain_foundation, pretrain_tokenizer
from .stages import LossWeights, StageSettings

logger = logging.getLogger(__name__)

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
    parser.add_argument("--tokenizer-steps", type=int, default=8000)
    parser.add_argument("--foundation-steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")


def run(args: argparse.Namespace) -> None:
    """Train the tokenizer, then the foundation model; both can be interrupted and go on.

    Parameters
    ----------
    args : argparse.Namespace
        What :func:`add_arguments` declared.
    """
    shared = sorted(set(args.files) & set(args.validation))
    if shared:
        raise ValueError(f"{shared[0]} is both in the training files and in --validation.")
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    train = read_recordings(args.files, SMALL)
    valid = read_recordings(args.validation, SMALL)
    tokenizer_settings = StageSettings(n_steps=args.tokenizer_steps, seed=args.seed)
    foundation_settings = StageSettings(n_steps=args.foundation_steps, seed=args.seed)
    record = {
        "files": [path.name for path in args.files],
        "validation": [path.name for path in args.validation],
        "config": SMALL.to_dict(),
        "tokenizer": asdict(tokenizer_settings) | {"loss_weights": asdict(LossWeights())},
        "foundation": asdict(foundation_settings),
    }
    (args.out / "settings.json").write_text(json.dumps(record, indent=1))
    tokenizer = pretrain_tokenizer(train, valid, SMALL, tokenizer_settings, args.out / "tokenizer")
    foundation = pretrain_foundation(
        train, valid, tokenizer, foundation_settings, args.out / "foundation"
    )
    torch.save(tokenizer.state_dict(), args.out / "tokenizer.pt")
    torch.save(foundation.state_dict(), args.out / "foundation.pt")
