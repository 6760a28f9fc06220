# License: BSD-3-Clause
"""Whose a recording is, as far as file names tell."""

from __future__ import annotations

import re
from collections.abc import Sequence

# How two data sets name their files; the group is the person. MNE's own endings may follow (_raw).
_DATA_SETS = {
    "eegmat": re.compile(r"(Subject\d{2})_\d(?![A-Za-z0-9])"),
    "eegmmidb": re.compile(r"(S\d{3})R\d{2}(?![A-Za-z0-9])"),
}


def subjects_of(sources: Sequence[str]) -> dict[str, list[str]]:
    """Group recordings by the person, as far as file names tell.

    Parameters
    ----------
    sources : sequence of str
        File names, such as ``S001R04.edf`` (EEG motor imagery of PhysioNet) or
        ``Subject08_1.edf`` (mental arithmetic).

    Returns
    -------
    dict of str to list of str
        Data set to its people; ``other`` has the file names of unknown ones.
    """
    found: dict[str, set[str]] = {}
    for source in sources:
        data_set, person = "other", source
        for name, pattern in _DATA_SETS.items():
            if match := pattern.match(source):
                data_set, person = name, match[1]
        found.setdefault(data_set, set()).add(person)
    return {data_set: sorted(people) for data_set, people in found.items()}
