# License: BSD-3-Clause
"""What the files of a corpus are called and hold.

::

    corpus.json          settings, written once; another run must have the same
    recordings.jsonl     journal: one line for each recording that was dealt with, appended
    data/<recording>/    Zarr v3 array (n_channels, n_times) of int16, sharded, with checksums
    index.json           what training reads: subjects, montages, recordings
    summary.json         what a person reads

Settings, index and each line of the journal carry a digest of themselves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ..._sealed import DIGEST, is_whole

SETTINGS, JOURNAL, INDEX, SUMMARY = "corpus.json", "recordings.jsonl", "index.json", "summary.json"
DATA = "data"
INDEX_REMEDY = (
    "delete it, and the 'mne-neurorvq prepare' command that made the corpus writes it again."
)
#: Version of the layout. Before the second one there were no checksums.
FORMAT = 2

Status = Literal["done", "rejected", "failed"]


@dataclass(frozen=True)
class Entry:
    """What became of one recording: a line of the journal."""

    path: str  # its file
    stamp: str  # tells whether the file has changed since
    status: Status  # in the corpus; read, but of no use; not read
    reason: str = ""  # why it is not in the corpus
    subject: str = ""
    rule: str = ""  # what said whose it is
    id: str = ""  # its name in the corpus, the same for the same signals
    rows: tuple[int, ...] = ()  # vocabulary rows, or numbers of its channels in the recording
    names: tuple[str, ...] = ()  # of its channels where there is no vocabulary
    n_patches: int = 0
    dropped: dict[str, list[str]] = field(default_factory=dict)  # channels left out, by reason
    lost: dict[str, list[int]] = field(default_factory=dict)  # windows left out, by reason
    files: dict[str, int] = field(default_factory=dict)  # bytes of each file of its array
    checksums: str = ""  # those of its windows, eight digits each

    @property
    def left_out(self) -> set[int]:
        """Numbers of the windows left out."""
        return {number for numbers in self.lost.values() for number in numbers}

    @property
    def signals(self) -> str:
        """What only recordings with the same signals have in common."""
        return self.id.rpartition("-")[2]


class Recording(NamedTuple):
    """What training has to know of a recording: a row of the index."""

    id: str
    subject: str
    montage: int
    n_patches: int
    left_out: list[int]
    files: dict[str, int]
    checksums: str


def window_starts(n_patches: int, window_patches: int, left_out: set[int]) -> list[int]:
    """First patches of the windows of a recording, but for those left out.

    Windows follow each other; the rest is a window too if it has at least two patches.
    """
    starts = range(0, n_patches - 1, window_patches)
    return [start for number, start in enumerate(starts) if number not in left_out]


def unseal(text: str | bytes, where: str, remedy: str) -> dict[str, Any]:
    """Read content that was sealed."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is damaged ({error}): {remedy}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{where} is damaged (it holds no settings of a corpus): {remedy}")
    _check_format(content.get("format", FORMAT if DIGEST in content else 1), where)
    if not is_whole(content):
        raise ValueError(f"{where} is damaged or was changed by hand: {remedy}")
    del content[DIGEST]
    return content


def _check_format(found: object, where: str) -> None:
    if found == 1:
        raise ValueError(
            f"{where} belongs to a corpus of an earlier version, without checksums: lost data "
            "would be read as signals. Prepare it again in a new folder: "
            "'mne-neurorvq prepare SOURCE... -o NEW_FOLDER'."
        )
    if isinstance(found, int) and found > FORMAT:
        raise ValueError(
            f"{where} has format {found}, and this release of mne_neurorvq reads format {FORMAT}: "
            "update mne_neurorvq."
        )
