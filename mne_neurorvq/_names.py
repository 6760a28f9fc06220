# License: BSD-3-Clause
"""Names of channels: which of them mean the same channel. The only place that compares them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

# What readers and amplifiers put before the name of a channel, besides the modality.
_PREFIXES = ("eeg", "raw", "pol")
_MORE_PREFIXES = {"ecg": ("ekg", "lead", "frank")}
# Between the two. "ECG -aVR" is aVR turned over, and its minus sign is not one of these.
_SEPARATORS = {"ecg": r"(?:[\s:._]+|-)"}
# References that all channels of a recording have in common: their names add nothing. A single
# ear or mastoid is not among them: C3-A2 is a derivation.
_REFERENCES = (
    r"ref\d*|reference|common|[cv]ref|cms|g\d+|0v|le|re|ler|cle|cre|lre|lm|"
    r"linked(?: ?ears| ?mastoids)?|avg|ave?|average|mean|car|ar|a1 ?\+? ?a2|a12|m1 ?\+? ?m2|m12"
)
# "C3-Avg Ref" and "C3-((A1+A2)/2)" are C3 as well.
_REFERENCE = re.compile(
    rf"(?<=[a-z\d])[\s._]*[-:_/\s][\s._]*"
    rf"\(*({_REFERENCES})(?:[\s._]*ref(?:erence)?)?\)?(?:\s*/\s*2)?\)?[\s._]*$"
)
# MNE tells derivations of one name apart by "-0", "-1": "T8-P8-0" is T8-P8.
_NUMBERED = re.compile(r"^([^-]+-[^-]*[a-z][^-]*)-\d+$")

#: Names of one and the same site, the older one first, and names of the ears.
OLDER_NAMES = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}
_SAME_SITES = (*OLDER_NAMES.items(), ("m1", "a1"), ("m2", "a2"))
_OTHER_NAME = {a: b for pair in _SAME_SITES for a, b in (pair, pair[::-1])}

#: Leads of an electrocardiogram: the twelve, and those of Frank.
LEADS = frozenset("i ii iii avr avl avf v1 v2 v3 v4 v5 v6 vx vy vz".split())
# Other names of them: of the two electrodes, without a space after the prefix, modified leads (MLII
# is lead II with electrodes on the trunk, MCL1 is close to V1), and those of other countries.
_OTHER_LEAD = {
    **{"la-ra": "i", "ll-ra": "ii", "ll-la": "iii", "mcl1": "v1", "mcl6": "v6"},
    **{axis: f"v{axis}" for axis in "xyz"},
    **{prefix + lead: lead for lead in LEADS for prefix in ("ecg", "ekg", "lead")},
    **{
        prefix + number: lead
        for prefix in ("ml", "d", "l")
        for lead, arabic in (("i", "1"), ("ii", "2"), ("iii", "3"))
        for number in (lead, arabic)
    },
}

How = Literal["exact", "alias"]


class Pairing(NamedTuple):
    """Index of the name meant, and of the rival that has taken it already (None if it is free)."""

    place: int
    how: How
    rival: int | None = None


def name_key(name: str, modality: str = "eeg") -> str:
    """Reduce a name to lower case without dots, spaces, prefixes and common references.

    >>> [name_key(name) for name in ("EEG Fp1-REF", "EEG-C3", "RAW_TP9", "C4-LER", "Fp1-F7")]
    ['fp1', 'c3', 'tp9', 'c4', 'fp1-f7']
    >>> [name_key(name, "ecg") for name in ("ECG II", "Lead aVR", "ECG -aVR")]
    ['ii', 'avr', '-avr']
    """
    # Some devices write Roman numerals as single characters.
    key = unicodedata.normalize("NFKC", name) if modality == "ecg" else name
    key = re.sub("[‐-―−]", "-", key.strip().lower())
    prefixes = "|".join((*_PREFIXES, modality, *_MORE_PREFIXES.get(modality, ())))
    separator = _SEPARATORS.get(modality, r"[\s:._-]+")
    key = re.sub(rf"^(?:(?:{prefixes}){separator}(?=\S))+", "", key)
    key = _REFERENCE.sub("", _NUMBERED.sub(r"\1", key))
    return re.sub(r"[.\s]", "", key)


def is_derivation(key: str) -> bool:
    """Whether a key names the difference of two electrodes."""
    # Neither the "-1" that MNE appends to a second channel of the same name nor the number of an
    # amplifier's box, "1-A1", is an electrode.
    return re.fullmatch(r"[^-]*[a-z][^-]*-[^-]*[a-z][^-]*", key) is not None


def same_site(key: str, modality: str = "eeg") -> str:
    """Give the other name of a site or lead; of a derivation, with the newer names of its sites."""
    if modality == "ecg":
        return _OTHER_LEAD.get(key, key)
    if modality != "eeg":
        return key
    if is_derivation(key):
        return "-".join(OLDER_NAMES.get(site, site) for site in key.split("-"))
    return _OTHER_NAME.get(key, key)


def pair_names(
    keys: Mapping[int, str], known: Sequence[str], modality: str = "eeg"
) -> dict[int, Pairing]:
    """Find the known name that each key means, by the index of the key.

    The same name comes first; only where the known names lack it, another name of the same site.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(known):
        places.setdefault(name_key(name, modality), place)
    found: dict[int, Pairing] = {}
    taken: dict[int, int] = {}
    hows: tuple[How, ...] = ("exact", "alias")
    for how in hows:
        for i, key in keys.items():
            index = places.get(key if how == "exact" else same_site(key, modality))
            if i in found or index is None:
                continue
            found[i] = Pairing(index, how, taken.get(index))
            taken.setdefault(index, i)
    return found


def order_by_name(
    names: Sequence[str], wanted: Sequence[str]
) -> tuple[list[int | None], list[str]]:
    """Find wanted channels among names: their indices (None if missing), and the names left over.

    >>> order_by_name(["EEG C4-REF", "Cz", "EXTRA"], ["Cz", "C3", "C4"])
    ([1, None, 0], ['EXTRA'])
    """
    # Names that are equal to the letter may mean anything, and are never mixed up.
    places = {name: i for i, name in enumerate(names)}
    order = [places.get(name) for name in wanted]
    left = [j for j, i in enumerate(order) if i is None]
    if left:
        free = {i: name_key(name) for i, name in enumerate(names) if i not in set(order)}
        pairs = pair_names(free, [wanted[j] for j in left])
        for i, pair in pairs.items():
            if pair.rival is None:
                order[left[pair.place]] = i
    used = set(order)
    return order, [name for i, name in enumerate(names) if i not in used]


def say_difference(missing: Iterable[str], new: Iterable[str], most: int = 10) -> str:
    """Say which channels are missing or new: ``"Cz is missing; EXTRA is new"``."""
    parts = []
    for names, what in ((list(missing), "missing"), (list(new), "new")):
        if names:
            verb = "is" if len(names) == 1 else "are"
            parts.append(f"{shorten(names, most)} {verb} {what}")
    return "; ".join(parts)


def shorten(names: Sequence[str], most: int) -> str:
    """List names, but not too many."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def quote(names: Sequence[str], most: int = 20) -> str:
    """List names in quotes, but not too many."""
    return shorten([repr(name) for name in names], most)
