# License: BSD-3-Clause
"""``mne-neurorvq prepare``: a corpus from the shell."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...weights.systems import SYSTEMS
from .prepare import prepare_corpus, verify_corpus
from .storage import SUMMARY
from .summary import summary_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of the subcommand.
    """
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
        help=f"whose models are to learn from it: {', '.join(SYSTEMS)} (default: neurorvq)",
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


def run(args: argparse.Namespace) -> None:
    """Prepare the corpus and say what is in it.

    Parameters
    ----------
    args : argparse.Namespace
        What :func:`add_arguments` declared.

    Raises
    ------
    ValueError
        If there are no sources, or a corpus that is only verified is damaged.
    """
    if not args.sources:
        _verify(args)
        return
    summary = prepare_corpus(
        args.sources,
        args.out,
        system=args.system,
        modality=args.modality,
        window=args.window,
        validation_fraction=args.validation_fraction,
        validation_subjects=args.validation_subjects,
        subject_from=args.subject_from,
        n_jobs=args.jobs,
        seed=args.seed,
        verify=args.verify,
        progress=True,
    )
    print(summary_text(summary))
    print(f"summary: {args.out / SUMMARY}")


def _verify(args: argparse.Namespace) -> None:
    if not args.verify:
        raise ValueError("prepare needs a SOURCE, or --verify to check the corpus that is there.")
    damaged = verify_corpus(args.out, n_jobs=args.jobs, progress=True)
    if damaged:
        for path, reason in damaged.items():
            print(f"{path}: {reason}")
        raise ValueError(
            f"{args.out}: {len(damaged)} recordings are lost or damaged: the same command with "
            "their sources prepares them again."
        )
    print(f"{args.out}: every window is as it was written")
