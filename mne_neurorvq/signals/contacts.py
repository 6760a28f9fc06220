# License: BSD-3-Clause
"""Labels that look like names of sites: sockets of an amplifier, contacts of depth electrodes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .sites import site_names

_NUMBERED = re.compile(r"([a-z]{1,3}'?)(\d{1,2})")
# A shaft has at least so many numbers in a row; shorter runs occur in 10-20 rows too.
_SHORTEST_RUN = 4
# Rows of the 10-10 system end at 10, those between C and its neighbours at 6.
_LONG_RUN = 7
# Inputs that caps have beside their electrodes, and the electrodes of geodesic nets.
_OTHER_INPUTS = set(
    "e ex exg ext eeg emg ecg ekg eog bip aux ch x dc din ref gsr acc gyr erg".split()
)
# BioSemi's large caps are labelled A1, A2, ..., B1, ...: their C3 is not site C3.
_LABEL = re.compile(r"[a-h]\d{1,2}")
_LABEL_ONLY = re.compile(r"a([3-9]|\d\d)|b\d{1,2}")
_MIN_LABELS = 3
# With the number of the box, where there are two: no site has such a name.
_BOXED_LABEL = re.compile(r"\d-[a-h]\d{1,2}")
_TWO_LETTERS = re.compile("(?!fp)[a-z]{2}[z0-9]")
# Contacts lie 2 to 10 mm apart, electrodes of the densest nets more than 13 mm.
_CLOSEST_ELECTRODES_MM = 12.0


def amplifier_labels(keys: Sequence[str]) -> set[int]:
    """Find labels of an amplifier (A1 to A32, B1, ...), unless few enough to be sites."""
    has_midline = {key[0] for key in keys if len(key) == 2 and key.endswith("z")}
    certain = [key for key in keys if _LABEL_ONLY.fullmatch(key) and key[0] not in has_midline]
    boxed = {i for i, key in enumerate(keys) if _BOXED_LABEL.fullmatch(key)}
    if len(certain) < _MIN_LABELS:
        return boxed
    labels = {i for i, key in enumerate(keys) if _LABEL.fullmatch(key)}
    if not has_midline:
        return labels | boxed
    # A few scalp electrodes recorded alongside: C3 and C4 are sites, C1 to C32 are contacts.
    sites = site_names()
    strange = {keys[i][0] for i in labels if keys[i] not in sites}
    return boxed | {i for i in labels if keys[i][0] in strange}


def depth_contacts(keys: Sequence[str]) -> set[int]:
    """Find contacts of depth electrodes and grids among names that could be sites.

    Contacts of a shaft are numbered from 1 without a gap, or with one if the names cannot be those
    of a cap. Such a run is one of contacts

    - if one of its names is not a site (O3, A5, C9);
    - if all its names are sites (P1 to P10), only where nothing else speaks for a cap. Names of
      10-10 rows with two letters (FC3, PO8) outside such runs always do. Without them it is one of
      contacts if it has both names of a site (T3 and T7), or if it is long and beside such a run or
      two shafts; and, where no site at all stands outside such runs, if a shaft is beside it or all
      are long.
    """
    runs = _runs(keys)
    sites = site_names()
    midline = {key[:-1] for key in keys if key.endswith("z")}
    shafts = {
        prefix
        for prefix, members in runs.items()
        if _is_shaft(prefix, {keys[i] for i in members}, sites, midline)
    }
    doubtful = set(runs) - shafts - _OTHER_INPUTS
    in_runs = {i for prefix in shafts | doubtful for i in runs[prefix]}
    outside = {key for i, key in enumerate(keys) if i not in in_runs and key in sites}
    # FC, CP, PO and other names of two letters: no 10-20 system has them, every 10-10 cap does.
    cap = {"fc", "cp"} <= doubtful or any(_TWO_LETTERS.match(key) for key in outside)
    twice = {p for p in doubtful if not cap and _has_site_twice(keys[i] for i in runs[p])}
    shafts |= twice
    doubtful -= twice
    # Rows of one or two letters that nothing tells from those of a cap.
    cap |= not shafts and any(len(p) > 1 or len(runs[p]) < _LONG_RUN for p in doubtful)

    def is_contact(prefix: str) -> bool:
        long = len(runs[prefix]) >= _LONG_RUN
        return (long and (bool(twice) or len(shafts) > 1)) if outside else (long or bool(shafts))

    found = shafts | {p for p in doubtful if not cap and is_contact(p)}
    return {i for prefix in found for i in runs[prefix]}


def in_the_brain(
    keys: Sequence[str], positions: NDArray[np.floating], contacts: set[int]
) -> set[int]:
    """Find contacts that lie too close together for a scalp, and those without a position."""
    inside: set[int] = set()
    for members in _runs([key if i in contacts else "" for i, key in enumerate(keys)]).values():
        steps = 1e3 * np.linalg.norm(np.diff(positions[members], axis=0), axis=1)
        known = steps[np.isfinite(steps)]
        if not len(known) or np.median(known) < _CLOSEST_ELECTRODES_MM:
            inside.update(members)
    return inside


def _numbered(keys: Sequence[str]) -> dict[str, dict[int, int]]:
    """Group names by what they begin with: indices by their numbers, in ascending order."""
    numbered: dict[str, dict[int, int]] = {}
    for i, key in enumerate(keys):
        if found := _NUMBERED.fullmatch(key):
            numbered.setdefault(found[1], {})[int(found[2])] = i
    return {prefix: dict(sorted(members.items())) for prefix, members in numbered.items()}


def _runs(keys: Sequence[str]) -> dict[str, list[int]]:
    """Find names that are numbered from 1 without a gap, in the order of their numbers.

    One contact may be missing if several names are not sites, or if one site occurs twice.
    """
    sites = site_names()

    def is_run(prefix: str, members: dict[int, int]) -> bool:
        if len(members) < _SHORTEST_RUN or 0 in members:
            return False
        names = {f"{prefix}{number}" for number in members}
        odd = len(names - sites) > 1 or _has_site_twice(names)
        return max(members) <= len(members) + odd

    numbered = _numbered(keys)
    return {p: list(members.values()) for p, members in numbered.items() if is_run(p, members)}


def _has_site_twice(names: Iterable[str]) -> bool:
    return {"t3", "t7"} <= set(names)


def _is_shaft(prefix: str, members: set[str], sites: set[str], midline: set[str]) -> bool:
    if prefix in _OTHER_INPUTS:
        return False
    if not members & sites:
        return prefix not in midline
    return not members <= sites
