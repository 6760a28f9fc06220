# License: BSD-3-Clause
"""Matching the channels of a recording to the channels that a model knows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .sites import MAX_DISTANCE_MM, nearest_sites

ChannelMode = Literal["match", "strict", "interpolate"]
_MODES = ("match", "strict", "interpolate")

# Names of one and the same site; used only where a vocabulary lacks the name itself.
_ALIASES = (("t3", "t7"), ("t4", "t8"), ("t5", "p7"), ("t6", "p8"), ("m1", "a1"), ("m2", "a2"))
_NEWER_NAME = dict(_ALIASES[:4])
_OTHER_NAME = {a: b for pair in _ALIASES for a, b in (pair, pair[::-1])}

# MNE channel types that can hold signals of a modality. EDF readers call everything "eeg" and MNE
# has no type for photoplethysmograms, so types only rule out; the name decides.
TYPES = {
    "eeg": {"eeg", "eog"},
    "emg": {"emg", "eeg", "bio", "misc"},
    "ecg": {"ecg", "eeg", "bio", "misc"},
    "ppg": {"bio", "misc", "eeg"},
}

# BioSemi's large caps and depth electrodes are labelled A1, A2, ..., B1, ...: their C3 is no C3.
# No 10-20 montage has names like A3 or B1.
_LABEL = re.compile(r"[a-h]\d{1,2}")
_LABEL_ONLY = re.compile(r"a([3-9]|\d\d)|b\d{1,2}")
_MIN_LABELS = 4

MARKED_BAD = "marked bad"
_IS_LABEL = "a label of the amplifier (A1, A2, ..., B1, ...), not the name of a site"
_TOO_FAR = f"no free site of the model within {MAX_DISTANCE_MM:g} mm"


@dataclass(frozen=True)
class ChannelMatch:
    """What happened to one channel of a recording.

    Parameters
    ----------
    name : str
        The channel's name in the recording.
    target : str | None
        The model's name for it; None if it is left out.
    row : int | None
        Index of ``target`` in the model's vocabulary; in the recording if it has none.
    how : "exact" | "alias" | "interpolated" | "any" | None
        By the same name, by another name of the same site, or by position; "any" if the model
        takes whatever channel there is.
    reason : str
        Why the channel is left out; empty if it is used.
    distance_mm : float | None
        Distance to the model's site, for channels matched by position.

    Examples
    --------
    >>> ChannelMatch("Fz", target="fz", row=55, how="exact").used
    True
    """

    name: str
    target: str | None = None
    row: int | None = None
    how: Literal["exact", "alias", "interpolated", "any"] | None = None
    reason: str = ""
    distance_mm: float | None = None

    @property
    def used(self) -> bool:
        """Whether the model gets this channel."""
        return self.row is not None


def match_channels(
    ch_names: Sequence[str],
    vocabulary: Sequence[str],
    *,
    mode: ChannelMode = "match",
    positions: NDArray[np.floating] | None = None,
    ch_types: Sequence[str] | None = None,
    bads: Sequence[str] = (),
    modality: str = "eeg",
) -> tuple[ChannelMatch, ...]:
    """Match the channels of a recording to a model's vocabulary.

    Names are compared without case, dots and spaces, without a leading ``"EEG "`` (the modality)
    and a trailing ``"-REF"`` or ``"-LE"``. The same name comes first; only if the vocabulary
    lacks it, another name of the same site is tried (T3 = T7, T4 = T8, T5 = P7, T6 = P8,
    M1 = A1, M2 = A2). Where no channel has the modality's type, names decide of those of type
    "misc". Bipolar names match bipolar names only (T3-T5 is T7-P7). Where electrodes
    are labelled A1 to A32, B1 to B32 and so on, as on BioSemi's large caps, these labels match no
    name. Of several channels with one match the first is used. Channels marked bad and channels
    of types that cannot hold the modality's signals (triggers, for example) are left out.

    Parameters
    ----------
    ch_names : sequence of str
        Channels of the recording.
    vocabulary : sequence of str
        Channels of the model, in the order of its rows.
    mode : "match" | "strict" | "interpolate"
        ``"match"`` uses what matches. ``"strict"`` raises unless every channel matches that is of
        the modality and not marked bad. ``"interpolate"`` puts the remaining EEG channels on the
        nearest free sites of the vocabulary, one channel to a site, after bringing
        the head to the size of the template's.
    positions : array, shape (n_channels, 3) | None
        Electrode positions in metres in MNE's head frame, NaN where unknown. Unknown positions are
        taken from the 10-05 template if it has the name. Used by ``"interpolate"`` only.
    ch_types : sequence of str | None
        MNE channel types. None if nothing is known: no channel is left out for its type.
    bads : sequence of str
        Names of channels marked bad.
    modality : "eeg" | "emg" | "ecg" | "ppg"
        What the model was trained on.

    Returns
    -------
    matches : tuple of ChannelMatch
        One per channel, in the order of ``ch_names``.

    Raises
    ------
    ValueError
        If no channel matches; if one does not in mode ``"strict"``; if lengths differ or ``mode``
        or ``modality`` are unknown.

    Warns
    -----
    UserWarning
        If channels are left out: once, with their names and the reasons.

    Examples
    --------
    >>> from mne_neurorvq.signals import match_channels
    >>> matches = match_channels(["EEG T7-REF", "Cz."], ["cz", "t3"])
    >>> [(m.target, m.row, m.how) for m in matches]
    [('t3', 1, 'alias'), ('cz', 0, 'exact')]
    """
    _check_arguments(ch_names, mode, positions, ch_types, modality)
    keys = [_key(name, modality) for name in ch_names]
    labels = _amplifier_labels(keys) if modality == "eeg" else set()
    # A key with a space in it is no name of a site.
    keys = [f"label {key}" if i in labels else key for i, key in enumerate(keys)]
    rows: dict[str, int] = {}
    for row, name in enumerate(vocabulary):
        rows.setdefault(_key(name, modality), row)

    found: dict[int, ChannelMatch] = {}
    for i, name in enumerate(ch_names):
        if name in bads:
            found[i] = ChannelMatch(name, reason=MARKED_BAD)
        elif ch_types is not None and ch_types[i] not in _named_types(ch_types, modality):
            found[i] = ChannelMatch(name, reason=wrong_type(ch_types[i], modality))
    excluded = set(found)
    taken: dict[int, str] = {}
    for how in ("exact", "alias"):
        for i, name in enumerate(ch_names):
            key = _find(keys[i], rows, how)
            if i in found or key is None:
                continue
            row = rows[key]
            if row in taken:
                reason = f"{vocabulary[row]!r} is already used by {taken[row]!r}"
                found[i] = ChannelMatch(name, reason=reason)
            else:
                taken[row] = name
                found[i] = ChannelMatch(name, vocabulary[row], row, how)
    if mode == "interpolate" and modality == "eeg":
        _match_positions(found, keys, ch_names, vocabulary, rows, positions, ch_types)
    matches = tuple(
        found.get(
            i, ChannelMatch(name, reason=_IS_LABEL if i in labels else _no_match(key, vocabulary))
        )
        for i, (name, key) in enumerate(zip(ch_names, keys, strict=True))
    )
    _report(matches, vocabulary, mode, excluded)
    return matches


def used_channels(matches: Sequence[ChannelMatch]) -> tuple[list[int], list[int]]:
    """Give the indices of the used channels in the recording and in the vocabulary.

    Parameters
    ----------
    matches : sequence of ChannelMatch
        Report of :func:`match_channels`.

    Returns
    -------
    picks : list of int
        Index in the recording of every channel that is used, ascending.
    rows : list of int
        Its row in the vocabulary.

    Examples
    --------
    >>> from mne_neurorvq.signals import match_channels, used_channels
    >>> used_channels(match_channels(["Cz", "Fz"], ["fz", "pz", "cz"]))
    ([0, 1], [2, 0])
    """
    pairs = [(i, m.row) for i, m in enumerate(matches) if m.row is not None]
    return [i for i, _ in pairs], [row for _, row in pairs]


def _key(name: str, modality: str) -> str:
    key = re.sub(rf"^{modality}\s+", "", name.strip().lower())
    key = re.sub(r"[.\s]", "", key)
    # MNE tells derivations of one name apart by "-0", "-1": "T8-P8-0" is T8-P8.
    key = re.sub(r"^([^-]+-[^-]*[a-z][^-]*)-\d+$", r"\1", key)
    return re.sub(r"-(ref|le)$", "", key)


def _amplifier_labels(keys: Sequence[str]) -> set[int]:
    """Find labels of an amplifier, if so many are there that they cannot be names of sites."""
    if sum(_LABEL_ONLY.fullmatch(key) is not None for key in keys) < _MIN_LABELS:
        return set()
    return {i for i, key in enumerate(keys) if _LABEL.fullmatch(key)}


def _find(key: str, rows: dict[str, int], how: str) -> str | None:
    wanted = key if how == "exact" else _other_name(key)
    return wanted if wanted in rows else None


def _other_name(key: str) -> str:
    """Give the other name of a site; of a derivation, with the newer names of its sites."""
    if _is_bipolar(key):
        return "-".join(_NEWER_NAME.get(site, site) for site in key.split("-"))
    return _OTHER_NAME.get(key, key)


def _is_bipolar(key: str) -> bool:
    # MNE tells channels of one name apart by "-0", "-1": those are not bipolar.
    return re.fullmatch(r"[^-]+-[^-]*[a-z][^-]*", key) is not None


def _match_positions(
    found: dict[int, ChannelMatch],
    keys: Sequence[str],
    ch_names: Sequence[str],
    vocabulary: Sequence[str],
    rows: dict[str, int],
    positions: NDArray[np.floating] | None,
    ch_types: Sequence[str] | None,
) -> None:
    """Put the channels that are not found yet on the nearest free sites."""
    homeless = [
        i
        for i, key in enumerate(keys)
        if i not in found and not _is_bipolar(key) and (ch_types is None or ch_types[i] == "eeg")
    ]
    used = {match.row for match in found.values()}
    # Where a vocabulary has both names of a site, models have mostly seen the newer one.
    outdated = {old for old, new in _ALIASES if new in rows}
    free = [key for key, row in rows.items() if row not in used and key not in outdated]
    known = np.full((len(keys), 3), np.nan) if positions is None else np.asarray(positions, float)
    for i, (site, distance) in nearest_sites(homeless, keys, known, free).items():
        if site is None:
            if not np.isnan(distance):
                found[i] = ChannelMatch(ch_names[i], reason=_TOO_FAR)
            continue
        row = rows[site]
        found[i] = ChannelMatch(
            ch_names[i], vocabulary[row], row, "interpolated", distance_mm=distance
        )


def _named_types(ch_types: Sequence[str], modality: str) -> set[str]:
    """Types of the channels whose names may match."""
    # Where nothing is typed as EEG, nobody has said what the channels hold: braindecode makes
    # "misc" of the channels of an array.
    return TYPES[modality] if modality in ch_types else TYPES[modality] | {"misc"}


def wrong_type(ch_type: str, modality: str) -> str:
    """Say why a channel of another type is left out."""
    return f"type {ch_type!r} holds no {modality.upper()}"


def _no_match(key: str, vocabulary: Sequence[str]) -> str:
    if _is_bipolar(key):
        return "bipolar: not matched to a single electrode"
    return f"not among the model's {len(vocabulary)} channels"


def _check_arguments(
    ch_names: Sequence[str],
    mode: str,
    positions: NDArray[np.floating] | None,
    ch_types: Sequence[str] | None,
    modality: str,
) -> None:
    if mode not in _MODES:
        raise ValueError(f"channels={mode!r} is unknown: use one of {_MODES}.")
    check_channel_types(ch_names, ch_types, modality)
    if positions is not None and np.shape(positions) != (len(ch_names), 3):
        raise ValueError(
            f"positions has shape {np.shape(positions)}; {len(ch_names)} channels need "
            f"({len(ch_names)}, 3)."
        )


def check_channel_types(
    ch_names: Sequence[str], ch_types: Sequence[str] | None, modality: str
) -> None:
    """Raise unless the modality is known and there is a type for every channel."""
    if modality not in TYPES:
        raise ValueError(f"modality={modality!r} is unknown: use one of {tuple(TYPES)}.")
    if ch_types is not None and len(ch_types) != len(ch_names):
        raise ValueError(f"ch_types has {len(ch_types)} entries for {len(ch_names)} channels.")


def _report(
    matches: Sequence[ChannelMatch],
    vocabulary: Sequence[str],
    mode: str,
    excluded: set[int],
) -> None:
    left_out = [match for match in matches if not match.used]
    if len(left_out) == len(matches):
        raise ValueError(
            f"None of the {len(matches)} channels matches one of the model's: "
            f"{list_by_reason(left_out)}. The model knows {_enumerate(vocabulary)}. Rename the "
            "channels (rename_channels), or pass channels='interpolate' if the electrodes have "
            "positions (set_montage)."
        )
    unmatched = [m for i, m in enumerate(matches) if not m.used and i not in excluded]
    if mode == "strict" and unmatched:
        raise ValueError(
            f"channels='strict', but {len(unmatched)} of {len(matches)} channels have no match: "
            f"{list_by_reason(unmatched)}. Rename them, drop them, or pass channels='match'."
        )
    if mode != "strict" and left_out:
        warnings.warn(
            f"{len(left_out)} of {len(matches)} channels are left out of the model: "
            f"{list_by_reason(left_out)}.",
            UserWarning,
            stacklevel=3,
        )


def list_by_reason(left_out: Sequence[ChannelMatch]) -> str:
    """List channels that are left out, those with one reason together."""
    names: dict[str, list[str]] = {}
    for match in left_out:
        names.setdefault(match.reason, []).append(match.name)
    return "; ".join(f"{_enumerate(group)} ({reason})" for reason, group in names.items())


def _enumerate(names: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
