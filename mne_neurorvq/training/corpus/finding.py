# License: BSD-3-Clause
"""Finding recordings in files, folders, globs and BIDS roots, and whose they are."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..._optional import optional

# What MNE or wfdb reads and what may hold biosignals from electrodes. Other endings that MNE knows
# (.mat, .txt, .dat, ...) mostly belong to something else: those files are tried if they are named.
_ENDINGS = tuple(
    """
    .edf .bdf .gdf .vhdr .ahdr .fif .fif.gz .set .cnt .eeg .mff .ds .cdt .lay .nxe .nedf .mefd .hea
    """.split()
)
# Formats in which a recording is a folder.
_FOLDERS = (".mff", ".ds", ".mefd")
# Files that belong to a recording of another name: MNE finds them by itself.
_COMPANIONS = {
    ".vhdr": (".eeg", ".dat", ".vmrk"),
    ".ahdr": (".eeg", ".dat", ".amrk"),
    ".set": (".fdt",),
    ".hea": (".dat", ".mat"),
}
# Continuations of FIF files beyond 2 GB, by MNE's names and by BIDS'.
_CONTINUATION = re.compile(r"-\d+\.fif(\.gz)?$|_split-(?!0*1_)\d+_")
# How two data sets name their files; the group is the person. MNE's own endings may follow (_raw).
_DATA_SETS = {
    "eegmat": re.compile(r"(Subject\d{2})_\d(?![A-Za-z0-9])"),
    "eegmmidb": re.compile(r"(S\d{3})R\d{2}(?![A-Za-z0-9])"),
}
_BIDS_DESCRIPTION = "dataset_description.json"
_BIDS_SUBJECT = re.compile(r"(?:^|[/_])(sub-[A-Za-z0-9]+)(?=[/_.])")


@dataclass(frozen=True)
class Found:
    """A recording that was found, or a folder in which there may be some."""

    path: Path  # absolute
    subject: str
    rule: str  # what said whose it is
    bids_root: Path | None = None  # root of the BIDS data set that it belongs to
    problem: str = ""  # why it is not a recording, but a folder that was not searched

    @property
    def stamp(self) -> str:
        """Size and time of the last change: another stamp means another content."""
        stats = [file.stat() for file in _parts(self.path)]
        return f"{sum(s.st_size for s in stats)}-{max(s.st_mtime_ns for s in stats)}"


def find_recordings(
    sources: Iterable[str | os.PathLike[str]],
    *,
    modality: str = "eeg",
    subject_from: str | None = None,
) -> list[Found]:
    """Find each recording once, in the order of the sources, and folders that were not searched.

    Files are taken whatever their ending; folders are searched with all their subfolders for the
    endings that MNE reads; one with a ``dataset_description.json`` is read as BIDS. Folders that
    cannot be read, or that links name, which are not followed, come with a problem.
    """
    pattern = _compiled(subject_from)
    found: dict[Path, Found] = {}
    for source in [os.fspath(source) for source in sources]:
        count, problems = 0, dict[Path, str]()
        for root in _matching(source):
            for path, bids_root in _recordings_in(root, modality, problems):
                subject, rule = _subject_of(path, root, bids_root, pattern)
                found.setdefault(path, Found(path, subject, rule, bids_root))
                count += 1
        for path, problem in problems.items():
            found.setdefault(path, Found(path, "", "", None, problem))
        if not count:
            others = "".join(f" {path}: {problem}." for path, problem in problems.items())
            raise ValueError(f"{source}: no recording is there ({', '.join(_ENDINGS)}).{others}")
    return list(found.values())


def _compiled(subject_from: str | None) -> re.Pattern[str] | None:
    try:
        return None if subject_from is None else re.compile(subject_from)
    except re.error as error:
        raise ValueError(
            f"subject_from={subject_from!r} is not a regular expression: {error}."
        ) from None


def _matching(source: str) -> list[Path]:
    """Absolute paths of a source that may be a glob."""
    path = Path(os.path.abspath(source))
    if path.exists():
        return [path]
    matches = sorted(glob.glob(source, recursive=True))
    if not matches:
        raise ValueError(f"{source}: there is no such file or folder.")
    return [Path(os.path.abspath(match)) for match in matches]


def _recordings_in(
    root: Path, modality: str, problems: dict[Path, str]
) -> Iterator[tuple[Path, Path | None]]:
    if root.is_file() or root.name.lower().endswith(_FOLDERS):
        yield root, None
        return
    for here, subfolders, files in _walk(root, problems):
        if _BIDS_DESCRIPTION in files:
            yield from ((path, here) for path in _bids_recordings(here, modality))
            # mne-bids passes in silence over what it cannot search.
            for subject in (name for name in subfolders if name.startswith("sub-")):
                for _ in _walk(here / subject, problems):
                    pass
            subfolders.clear()
            continue
        inside = [name for name in subfolders if name.lower().endswith(_FOLDERS)]
        subfolders[:] = [name for name in subfolders if name not in inside]
        for name in sorted(inside + files):
            if _is_recording(name, files):
                yield here / name, None


def _walk(root: Path, problems: dict[Path, str]) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Search folders but hidden ones, and note those that cannot be searched."""

    def note(error: OSError) -> None:
        problems[Path(error.filename)] = f"the folder cannot be read ({error.strerror})"

    for folder, subfolders, files in os.walk(root, onerror=note):
        here = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in subfolders:
            if (here / name).is_symlink() and not name.lower().endswith(_FOLDERS):
                problems[here / name] = "a link to a folder, not followed: name its target instead"
        yield here, subfolders, files


def _is_recording(name: str, others: Sequence[str]) -> bool:
    """Whether a file of a folder starts a recording, going by its name."""
    lower = name.lower()
    if name.startswith(".") or not lower.endswith(_ENDINGS) or _CONTINUATION.search(lower):
        return False
    stem = Path(name).stem
    # BrainVision's .eeg is read through its header.
    return not any(
        stem + header in others
        for header, companions in _COMPANIONS.items()
        if lower.endswith(companions)
    )


def _bids_recordings(root: Path, modality: str) -> list[Path]:
    with optional(f"a BIDS data set such as {root}", "pretrain"):
        from mne_bids import find_matching_paths
    # Not below sub-*: derivatives are somebody's results, not recordings.
    matches = find_matching_paths(
        root, datatypes=modality, suffixes=modality, ignore_json=True, ignore_nosub=True
    )
    paths = {Path(os.path.abspath(match.fpath)) for match in matches}
    return sorted(
        path
        for path in paths
        if _is_recording(path.name, [other.name for other in path.parent.iterdir()])
    )


def _subject_of(
    path: Path, root: Path, bids_root: Path | None, pattern: re.Pattern[str] | None
) -> tuple[str, str]:
    """Subject and the rule that found it."""
    if pattern is not None:
        match = pattern.search(path.as_posix())
        if match is None:
            raise ValueError(f"subject_from={pattern.pattern!r} finds nothing in {path}.")
        return match[1] if pattern.groups else match[0], "subject_from"
    if bids_root is not None:
        match = _BIDS_SUBJECT.search(path.relative_to(bids_root).as_posix())
        if match is not None:
            # Another data set's sub-01 is somebody else.
            return f"{bids_root.name}/{match[1]}", "BIDS"
    for data_set, names in _DATA_SETS.items():
        if match := names.match(path.name):
            return f"{data_set}/{match[1]}", "name known"
    match = _BIDS_SUBJECT.search(path.name)
    if match is not None:
        return match[1], "BIDS"
    below = path.relative_to(root).parts
    if len(below) > 1:
        # The first, not the last: sessions and montages often have folders inside a person's.
        return below[0], "folder"
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name, "file name"


def _parts(path: Path) -> list[Path]:
    """All files of a recording."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file()) or [path]
    parts = [path]
    for companion in _COMPANIONS.get(path.suffix.lower(), ()):
        other = path.with_suffix(companion)
        if other.exists():
            parts.append(other)
    return parts
