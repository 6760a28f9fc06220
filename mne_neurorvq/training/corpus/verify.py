# License: BSD-3-Clause
"""What is lost or damaged of a corpus."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from .finding import Found
from .format import Entry
from .jobs import ordered_results
from .storage import CorpusFolder


def verify_corpus(
    corpus: str | os.PathLike[str], *, n_jobs: int = 1, progress: bool = False
) -> dict[str, str]:
    """Read all signals of a corpus and compare them with their checksums; change nothing.

    Parameters
    ----------
    corpus : str or path-like
        Folder that :func:`prepare_corpus` made.
    n_jobs : int
        Processes.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    dict of str to str
        What is wrong with recordings, by their files; empty if nothing is.

    Raises
    ------
    FileNotFoundError
        If there is no corpus.
    ValueError
        If its settings, journal or index are damaged, or its arrays cannot be reached.

    Examples
    --------
    >>> import tempfile
    >>> from mne_neurorvq.datasets import simulate_recordings
    >>> from mne_neurorvq.training import prepare_corpus, verify_corpus
    >>> folder = tempfile.mkdtemp()
    >>> for raw in simulate_recordings(n_subjects=2, n_trials=2, verbose=False):
    ...     name = raw.info["subject_info"]["his_id"]
    ...     _ = raw.save(f"{folder}/{name}_raw.fif", verbose=False)
    >>> _ = prepare_corpus([folder], f"{folder}/corpus", window=6)
    >>> verify_corpus(f"{folder}/corpus")
    {}
    """
    folder = CorpusFolder(Path(corpus))
    if not folder.path.is_dir():
        raise FileNotFoundError(f"{folder.path}: there is no such folder.")
    settings = folder.settings()
    if settings is None:
        raise FileNotFoundError(f"{folder.path} is empty: there is no corpus to verify.")
    entries = folder.journal()
    folder.check_reachable(entries)
    lost = find_lost(folder, entries, settings, n_jobs, True, progress)
    return {entry.path: entry.reason for entry in lost}


def find_lost(
    folder: CorpusFolder,
    entries: Mapping[str, Entry],
    settings: Mapping[str, Any],
    n_jobs: int,
    verify: bool,
    progress: bool,
) -> list[Entry]:
    """Look for recordings that are not whole in the corpus any more: they have failed."""
    done = [entry for entry in entries.values() if entry.status == "done"]
    sizes = settings["patch_size"], settings["window_patches"]
    # What was found damaged before, or written by a run that was killed, is not in the index.
    trusted = set() if verify else folder.indexed() or {entry.id for entry in done}
    check = partial(_damage, folder=folder, sizes=sizes, trusted=trusted)
    results = ordered_results(check, done, n_jobs if verify else 1)
    shown = tqdm(results, "verified", len(done), disable=not (progress and verify))
    return [
        failed(entry, "cannot be read" if damage is None else damage)
        for entry, damage in shown
        if damage != ""
    ]


def _damage(entry: Entry, folder: CorpusFolder, sizes: tuple[int, int], trusted: set[str]) -> str:
    return folder.damage(entry, *sizes, verify=entry.id not in trusted)


def failed(recording: Found | Entry, reason: str) -> Entry:
    """Give the entry of a recording that was not read, or is not whole any more."""
    path, subject, rule = str(recording.path), recording.subject, recording.rule
    return Entry(path, "", "failed", reason, subject, rule)
