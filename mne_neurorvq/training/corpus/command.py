# License: BSD-3-Clause
"""``mne-neurorvq prepare``: a corpus from the shell."""

from __future__ import annotations

import argparse

from .prepare import prepare_corpus
from .storage import SUMMARY
from .summary import summary_text


def run(args: argparse.Namespace) -> None:
    """Prepare the corpus and say what is in it.

    Parameters
    ----------
    args : argparse.Namespace
        Arguments of the command.
    """
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
        progress=True,
    )
    print(summary_text(summary))
    print(f"summary: {args.out / SUMMARY}")
