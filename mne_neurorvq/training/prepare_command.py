# License: BSD-3-Clause
"""``mne-neurorvq prepare``: a corpus from the shell."""

from __future__ import annotations

import argparse

from ..encoding.passes import progress
from .corpus.format import SUMMARY
from .corpus.prepare import prepare_corpus
from .corpus.summary import summary_text
from .corpus.verify import verify_corpus


def run(args: argparse.Namespace) -> None:
    """Prepare the corpus and say what is in it."""
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
        progress=not progress(0, None).disable,
    )
    print(summary_text(summary))
    print(f"summary: {args.out / SUMMARY}")


def _verify(args: argparse.Namespace) -> None:
    if not args.verify:
        raise ValueError("prepare needs a SOURCE, or --verify to check the corpus that is there.")
    damaged = verify_corpus(args.out, n_jobs=args.jobs, progress=not progress(0, None).disable)
    if damaged:
        for path, reason in damaged.items():
            print(f"{path}: {reason}")
        raise ValueError(
            f"{args.out}: {len(damaged)} recordings are lost or damaged: the same command with "
            "their sources prepares them again."
        )
    print(f"{args.out}: every window is as it was written")
