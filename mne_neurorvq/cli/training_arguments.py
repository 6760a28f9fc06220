# License: BSD-3-Clause
"""Arguments of the commands of pretraining; importing this loads no library."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from ..weights.registry import SystemName

_SYSTEMS = ", ".join(get_args(SystemName))


def add_prepare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``prepare``."""
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="files that MNE reads, folders of them, globs, BIDS data sets; none to --verify only",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the corpus; if it is there, the command goes on and adds to it",
    )
    parser.add_argument(
        "--system",
        default="neurorvq",
        metavar="NAME",
        help=f"whose models are to learn from it: {_SYSTEMS} (default: neurorvq)",
    )
    parser.add_argument("--modality", default="eeg", help="kind of signal (default: eeg)")
    parser.add_argument(
        "--window",
        type=float,
        default=12.0,
        metavar="S",
        help="longest window in s, a multiple of the model's patch, of BioCodec 1 s (default: 12)",
    )
    split = parser.add_mutually_exclusive_group()
    split.add_argument(
        "--validation-fraction",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="expected share of the subjects that is held back for validation (default: 0.1)",
    )
    split.add_argument(
        "--validation-subjects", nargs="+", metavar="NAME", help="names of these subjects instead"
    )
    parser.add_argument(
        "--subject-from",
        metavar="REGEX",
        help=(
            "finds the subject in a path: the first group, or all that matches (default: BIDS "
            "entity, known file names, folder below the source, file name)"
        ),
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split (default: 0)")
    parser.add_argument(
        "--verify",
        action="store_true",
        help=(
            "read all that the corpus has and compare it with its checksums; what is damaged is "
            "prepared again from its source, or only reported where no source is given"
        ),
    )


def add_pretrain_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pretrain``."""
    parser.add_argument(
        "stage",
        choices=("tokenizer", "foundation", "config"),
        help="what to train, the tokenizer first; 'config' prints the configuration",
    )
    parser.add_argument("--corpus", metavar="DIR", help="folder or URL that 'prepare' made")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file (default: small)")
    parser.add_argument(
        "--system",
        metavar="NAME",
        help=(
            f"whose architecture: {_SYSTEMS} (default: that of the file, else of the corpus, else "
            "neurorvq)"
        ),
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        action="extend",
        metavar="KEY=VALUE",
        help="change single values, such as tokenizer.n_steps=4000 hardware.devices=4",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="NAME",
        help="name or path of the tokenizer that the foundation model learns from (default: RUN's)",
    )
    parser.add_argument("-o", "--out", type=Path, metavar="RUN", help="folder of the run")


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``export``."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a pretraining run")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="DIR", help="new folder of the model"
    )
    parser.add_argument("--name", help="name of the model (default: that of DIR)")
    parser.add_argument(
        "--licence",
        default="other",
        help="licence of the weights as the Hugging Face hub spells it, such as bsd-3-clause "
        "(default: other)",
    )
    parser.add_argument(
        "--official",
        action="store_true",
        help="also write the authors' key format (for models with their residual rule)",
    )
