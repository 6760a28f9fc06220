# License: BSD-3-Clause
"""From sources to a corpus that grows and never does anything twice."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..._sealed import seal
from ..._writing import write_json
from ..locks import only_writer
from .finding import Found, find_recordings
from .format import INDEX, SUMMARY, Entry
from .jobs import LIMIT, ordered_results
from .recording import prepare_recording
from .storage import CorpusFolder
from .summary import make_index, split_subjects, summarise
from .verify import failed, find_lost
from .window_rules import Rules


def prepare_corpus(
    sources: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    system: str = "neurorvq",
    modality: str = "eeg",
    window: float = 12.0,
    validation_fraction: float = 0.1,
    validation_subjects: Sequence[str] | None = None,
    subject_from: str | None = None,
    n_jobs: int = 1,
    seed: int = 0,
    verify: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Turn recordings into a corpus of windows to pretrain on.

    Each recording is read with MNE, its channels are matched to the vocabulary of the system (all
    of the modality are taken where there is none), it passes the system's filters and its
    channels and windows are judged by fixed limits. What is
    left is cut into successive windows of all channels. A file that cannot be read or used is
    reported and skipped. What is done is kept: the same call takes up a run that was stopped at
    any moment, and with more sources it adds to the corpus. A recording whose files in the corpus
    were lost is prepared again if it is among the sources, and reported if not. What the corpus
    has of a recording is replaced only once that has been read again.

    Parameters
    ----------
    sources : iterable of str or path-like
        Files, folders (searched with their subfolders), globs and BIDS roots.
    out : str or path-like
        Folder of the corpus; new, or one that was begun with the same settings.
    system : "neurorvq" | "biocodec" | "brainrvq"
        System whose models are to learn from it: gives filters, rate and channels.
    modality : str
        Kind of signal.
    window : float
        Longest window in seconds, a multiple of the model's patch (BioCodec: of a second);
        training crops shorter ones.
    validation_fraction : float
        Expected share of the subjects that is held back for validation.
    validation_subjects : sequence of str | None
        Names of these subjects, instead of a share by hash.
    subject_from : str | None
        Regular expression that finds the subject in a path: its first group, or all that matches.
        None takes the first that there is of the BIDS entity (with the name of the data set), a
        file name of a known data set, the folder below the source, the name of the file.
    n_jobs : int
        Processes, each with one recording in memory. With more than one, a recording that takes two
        hours, as one that a reader hangs on, is reported and skipped.
    seed : int
        Seed of the split.
    verify : bool
        Whether to read all signals that the corpus has and to compare them with their checksums;
        what is damaged counts as lost. Without, only the sizes of the files are compared.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    dict
        Summary, also in ``summary.json``: for ``train`` and ``validation`` the numbers of
        subjects, recordings, windows and hours; ``channels`` (number and names); ``bytes``;
        ``rejected`` recordings with their reasons (so are folders that could not be searched), and
        channels and windows by reason;
        ``subjects`` of both sides, and ``subjects_by`` what they were found.

    Raises
    ------
    ValueError
        If an argument is impossible, the folder has another corpus or one without checksums,
        somebody else is writing to it, its own files are damaged, its arrays cannot be reached, or
        no recording at all can be used.
    NotImplementedError
        If the modality's preprocessing is not known.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mne_neurorvq.datasets import simulate_recordings
    >>> from mne_neurorvq.training import prepare_corpus
    >>> folder = Path(tempfile.mkdtemp())
    >>> for raw in simulate_recordings(n_subjects=2, n_trials=2, verbose=False):
    ...     name = raw.info["subject_info"]["his_id"]
    ...     _ = raw.save(folder / f"{name}_raw.fif", verbose=False)
    >>> summary = prepare_corpus([folder], folder / "corpus", window=6)
    >>> summary["train"]
    {'subjects': 1, 'recordings': 1, 'windows': 3, 'hours': 0.005}
    >>> summary["rejected"]["recordings"]
    []
    """
    rules = Rules.of(system, modality, window)
    _check_split(validation_fraction, validation_subjects, n_jobs)
    settings = rules.settings() | {
        "validation_fraction": validation_fraction,
        "validation_subjects": validation_subjects and sorted(validation_subjects),
        "subject_from": subject_from,
        "seed": seed,
    }
    everything = find_recordings(sources, modality=modality, subject_from=subject_from)
    found = [one for one in everything if not one.problem]
    not_searched = {str(one.path): one.problem for one in everything if one.problem}
    folder = CorpusFolder(Path(out))
    with only_writer(folder.path, "preparing this corpus"):
        # First: another version's journal is read in another way.
        folder.settings()
        entries = folder.journal()
        # A name that is misspelt must not become a setting of a new corpus.
        _check_named(validation_subjects, found, entries)
        folder.check_settings(settings)
        folder.check_reachable(entries)
        folder.clean(entries)
        lost = find_lost(folder, entries, settings, n_jobs, verify, progress)
        ledger = _Ledger(folder, entries, {entry.path: entry for entry in lost})
        todo = [one for one in found if not ledger.is_done(one)]
        prepare = partial(prepare_recording, rules=rules, folder=folder)
        results = ordered_results(prepare, todo, n_jobs)
        for one, entry in tqdm(results, "recordings", len(todo), disable=not progress):
            ledger.add(entry or _died(one))
        foreign = folder.clean(ledger.entries)
        not_used = {str(path): "lies in the corpus, and is not of it" for path in foreign}
        summary = _conclude(
            folder, ledger.present(), settings, not_searched | ledger.not_read | not_used
        )
        # Once more: what only the index before this one named.
        folder.clean(ledger.entries)
        return summary


class _Ledger:
    """What became of all recordings, and what the corpus has lost, while more are prepared."""

    def __init__(
        self, folder: CorpusFolder, entries: dict[str, Entry], lost: dict[str, Entry]
    ) -> None:
        self.folder, self.entries, self.lost = folder, entries, lost
        # The file of each signal: a copy on the other side of the split would be a leak.
        self.files = {
            e.signals: e.path for e in entries.values() if e.status == "done" and e.path not in lost
        }
        # Why a recording that the corpus has could not be read again.
        self.not_read: dict[str, str] = {}

    def is_done(self, found: Found) -> bool:
        """Whether nothing is left to do; files that could not be read are tried again."""
        entry = self.entries.get(str(found.path))
        if entry is None or entry.path in self.lost or entry.status == "failed":
            return False
        try:
            changed = entry.stamp != found.stamp
        except OSError:
            changed = entry.stamp != ""
        # A copy is of use once the other file has changed.
        known = entry.status == "done" or not entry.id or entry.signals in self.files
        return known and not changed

    def add(self, entry: Entry) -> None:
        """Make a recording part of the corpus, if it can be used and is not a copy."""
        before = self.entries.get(entry.path)
        if entry.status == "failed" and before is not None and before.status == "done":
            # It was not read: what there is of it may be all there is.
            if entry.path in self.lost:
                lost = self.lost[entry.path]
                reason = f"{lost.reason}, and not prepared again: {entry.reason}"
                self.lost[entry.path] = replace(lost, reason=reason)
            else:
                self.not_read[entry.path] = f"as it was before, now: {entry.reason}"
            return
        copied = self.files.get(entry.signals, entry.path)
        if entry.status == "done" and copied != entry.path:
            entry = replace(entry, status="rejected", reason=f"the same signals as {copied}")
        self.lost.pop(entry.path, None)
        for other in [o for o in self.lost if self.entries[o].signals == entry.signals]:
            # These signals are there again, of a copy.
            self.folder.commit(self.lost[other])
            self.entries[other] = self.lost.pop(other)
        self.folder.commit(entry)
        if before is not None and self.files.get(before.signals) == before.path:
            del self.files[before.signals]
        if entry.status == "done":
            self.files[entry.signals] = entry.path
        self.entries[entry.path] = entry

    def present(self) -> list[Entry]:
        """List what became of every recording; what is lost has failed."""
        return [self.lost.get(entry.path, entry) for entry in self.entries.values()]


def _check_split(fraction: float, named: Sequence[str] | None, n_jobs: int) -> None:
    if not 0 <= fraction < 1:
        raise ValueError(f"validation_fraction={fraction} must be at least 0 and below 1.")
    if isinstance(named, str):
        raise ValueError(f"validation_subjects={named!r} must be a list of names.")
    if n_jobs < 1:
        raise ValueError(f"n_jobs={n_jobs} must be at least 1.")


def _check_named(
    named: Sequence[str] | None, found: Sequence[Found], entries: Mapping[str, Entry]
) -> None:
    everyone = {one.subject for one in found} | {entry.subject for entry in entries.values()}
    absent = sorted(set(named or ()) - everyone)
    if absent:
        some = sorted(everyone)
        raise ValueError(
            f"validation_subjects has {absent[0]!r}, who has no recording; there are "
            f"{', '.join(some[:10])}{' ...' if len(some) > 10 else ''}."
        )


def _died(found: Found) -> Entry:
    hours = LIMIT / 3600
    return failed(
        found,
        f"the process that prepared it was killed (too large for the memory?), or took more than "
        f"{hours:g} h",
    )


def _conclude(
    folder: CorpusFolder,
    entries: Sequence[Entry],
    settings: dict[str, Any],
    not_searched: Mapping[str, str],
) -> dict[str, Any]:
    """Split the subjects; write index and summary."""
    done = [entry for entry in entries if entry.status == "done"]
    before = folder.index()
    sides = split_subjects(
        [entry.subject for entry in done],
        fraction=settings["validation_fraction"],
        named=settings["validation_subjects"],
        seed=settings["seed"],
        before=before["subjects"] if before else {},
    )
    summary = summarise(entries, sides, settings, not_searched)
    write_json(folder.path / SUMMARY, summary)
    if not done:
        first = entries[0]
        raise ValueError(
            f"none of the {len(entries)} recordings can be used; {first.path}: {first.reason}"
        )
    write_json(folder.path / INDEX, seal(make_index(done, sides, settings)), indent=None)
    return summary
