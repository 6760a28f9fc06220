# License: BSD-3-Clause
"""Matching the channels of a recording to the channels that a model knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .contacts import amplifier_labels, depth_contacts, in_the_brain
from .names import OLDER_NAMES, is_derivation, name_key, pair_names, same_site
from .nets import published_sites
from .report import (
    COMPUTED_FROM,
    MARKED_BAD,
    ChannelMatch,
    ChannelReport,
    enumerate_names,
    list_by_reason,
    remedy,
    warn_of_left_out,
    wrong_type,
)
from .sites import MAX_DISTANCE_MM, Placement, nearest_sites, placed_by_sites
from .splines import FEWEST_ELECTRODES, Splines, covered_sites, spelled, spline_weights

ChannelMode = Literal["match", "strict", "nearest", "interpolate"]
_MODES = ("match", "strict", "nearest", "interpolate")

# MNE channel types that can hold signals of a modality. EDF readers call everything "eeg" and MNE
# has no type for photoplethysmograms, so types only rule out; the name decides.
TYPES = {
    "eeg": {"eeg", "eog"},
    "emg": {"emg", "eeg", "bio", "misc"},
    "ecg": {"ecg", "eeg", "bio", "misc"},
    "ppg": {"bio", "misc", "eeg"},
}

_IS_LABEL = (
    "a label of the amplifier or of a depth electrode (A1, A2, ..., B1, ...), not the name of a "
    "site"
)
_IN_THE_BRAIN = "a contact of a depth electrode or grid, not on the scalp"
_BELOW = "on the face, a cheek or the neck"
_NUMBER = (
    "a number, not the name of a site: rename it (rename_channels), or give it a position "
    "(set_montage) and pass channels='nearest'"
)
# Electrodes that a net's maker gives no site get one only where it is plainly theirs.
_BESIDE_TABLE_MM = 20.0
# Names that count channels: E11, EEG 001, EXG Channel 0, Ch1.
_COUNTED = re.compile(r"(e|eeg|ch|chan|channel|exgchannel|exg|unicorn)?[-_]?\d+")


def match_channels(
    ch_names: Sequence[str],
    vocabulary: Sequence[str],
    *,
    mode: ChannelMode = "match",
    positions: NDArray[np.floating] | None = None,
    ch_types: Sequence[str] | None = None,
    bads: Sequence[str] = (),
    modality: str = "eeg",
) -> ChannelReport:
    """Match the channels of a recording to a model's vocabulary.

    Names are compared without case, dots and spaces, without a leading ``"EEG "``, ``"EEG-"``,
    ``"RAW_"``, ``"POL "`` (or the modality), and without the name of a reference that all
    channels share (``"-REF"``, ``"-LE"``, ``"-AVG"``, ``"-A1A2"``). The same name comes
    first; only if the vocabulary lacks it, another name of the same site is tried (T3 = T7,
    T4 = T8, T5 = P7, T6 = P8, M1 = A1, M2 = A2). Bipolar names match bipolar names only (T3-T5 is
    T7-P7, and C3-A2 is no C3). Labels of an amplifier or of depth electrodes match no name: A1 to
    A32, B1 to B32 and so on, as on BioSemi's large caps, and names numbered from 1 without a gap
    that cannot all be sites (O1 to O8), or that stand beside such or alone (P1 to P10). Of several
    channels with one match the first is used. Channels marked bad and channels of types that
    cannot hold the modality's signals (triggers, for example) are left out.

    Parameters
    ----------
    ch_names : sequence of str
        Channels of the recording.
    vocabulary : sequence of str
        Channels of the model, in the order of its rows.
    mode : "match" | "strict" | "nearest" | "interpolate"
        ``"match"`` uses what matches by name. ``"strict"`` raises unless every channel matches
        that is of the modality and not marked bad. ``"nearest"`` gives free sites of the
        vocabulary to the remaining EEG channels: those of the maker's table to a net that has
        one (EGI's HydroCel nets), otherwise to the nearest electrode, the nearest pair first, after
        bringing the head to the size of the template's. ``"interpolate"`` computes free sites of
        the 10-10 system (of the 10-20 system where there are fewer than 62 electrodes) from all
        good electrodes, as far as these cover them.
    positions : array, shape (n_channels, 3) | None
        Electrode positions in metres in MNE's head frame, NaN where unknown. Unknown positions are
        taken from the 10-05 template if it has the name. Used by ``"nearest"`` and
        ``"interpolate"`` only.
    ch_types : sequence of str | None
        MNE channel types. None if nothing is known: no channel is left out for its type.
    bads : sequence of str
        Names of channels marked bad.
    modality : "eeg" | "emg" | "ecg" | "ppg"
        What the model was trained on.

    Returns
    -------
    matches : ChannelReport
        One :class:`ChannelMatch` per channel, in the order of ``ch_names``, then one for each site
        that is computed.

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
    matches, _ = match_and_interpolate(
        ch_names,
        vocabulary,
        mode=mode,
        positions=positions,
        ch_types=ch_types,
        bads=bads,
        modality=modality,
        stacklevel=3,
    )
    return matches


def match_and_interpolate(
    ch_names: Sequence[str],
    vocabulary: Sequence[str],
    *,
    mode: ChannelMode = "match",
    positions: NDArray[np.floating] | None = None,
    ch_types: Sequence[str] | None = None,
    bads: Sequence[str] = (),
    modality: str = "eeg",
    stacklevel: int = 2,
) -> tuple[ChannelReport, Splines | None]:
    """Match channels as :func:`match_channels`, and give the weights of the sites computed.

    Parameters
    ----------
    ch_names, vocabulary, mode, positions, ch_types, bads, modality
        As in :func:`match_channels`.
    stacklevel : int
        Whose line warnings point at.

    Returns
    -------
    matches : ChannelReport
        What :func:`match_channels` gives.
    splines : Splines | None
        Weights of the sites; None if none is computed.
    """
    _check_arguments(ch_names, mode, positions, ch_types, modality)
    recording = _Recording(ch_names, vocabulary, positions, ch_types, modality)
    recording.leave_out(bads)
    excluded = set(recording.found)
    recording.match_names()
    splines = None
    if modality == "eeg" and mode == "nearest":
        recording.match_positions()
    elif modality == "eeg" and mode == "interpolate":
        splines = recording.interpolate()
    matches = recording.report()
    _check_some(matches, vocabulary, mode, recording.has_positions)
    unmatched = [m for i, m in enumerate(matches) if not m.used and i not in excluded]
    if mode == "strict" and unmatched:
        raise ValueError(
            f"channels='strict', but {len(unmatched)} of {len(matches)} channels have no match: "
            f"{list_by_reason(unmatched)}. Rename them, drop them, or pass channels='match'."
        )
    if mode != "strict":
        warn_of_left_out(matches, stacklevel=stacklevel)
    return matches, splines


@dataclass
class _Recording:
    """Channels on their way to a model; what is found of them, and the sites that are computed."""

    ch_names: Sequence[str]
    vocabulary: Sequence[str]
    positions: NDArray[np.floating] | None
    ch_types: Sequence[str] | None
    modality: str
    found: dict[int, ChannelMatch] = field(default_factory=dict)
    sites: list[ChannelMatch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = [name_key(name, self.modality) for name in self.ch_names]
        is_eeg = self.modality == "eeg"
        # Triggers and other inputs are numbered as well.
        named = [key if self._may_be_eeg(i) else "" for i, key in enumerate(self.keys)]
        contacts = depth_contacts(named) if is_eeg else set()
        self.labels = contacts | (amplifier_labels(named) if is_eeg else set())
        n_channels = len(self.keys)
        known = np.full((n_channels, 3), np.nan) if self.positions is None else self.positions
        self.known = np.asarray(known, float)
        self.inside = in_the_brain(named, self.known, contacts)
        # A key with a space in it is no name of a site.
        for i in self.labels:
            self.keys[i] = f"label {self.keys[i]}"
        self.rows: dict[str, int] = {}
        for row, name in enumerate(self.vocabulary):
            self.rows.setdefault(name_key(name, self.modality), row)

    @property
    def has_positions(self) -> bool:
        return bool(np.isfinite(self.known).all(axis=1).any())

    def leave_out(self, bads: Sequence[str]) -> None:
        """Note the channels that are bad or of another type."""
        for i, name in enumerate(self.ch_names):
            if name in bads:
                self.found[i] = ChannelMatch(name, reason=MARKED_BAD)
            elif self.ch_types is not None and self.ch_types[i] not in TYPES[self.modality]:
                reason = wrong_type(self.ch_types[i], self.modality)
                self.found[i] = ChannelMatch(name, reason=reason)

    def match_names(self) -> None:
        """Find names of the vocabulary."""
        keys = {i: key for i, key in enumerate(self.keys) if i not in self.found}
        for i, pair in pair_names(keys, self.vocabulary, self.modality).items():
            name, target = self.ch_names[i], self.vocabulary[pair.index]
            if pair.rival is None:
                self.found[i] = ChannelMatch(name, target, pair.index, pair.how)
            else:
                rival = self.ch_names[pair.rival]
                reason = f"{target!r} is already used by {rival!r}"
                self.found[i] = ChannelMatch(name, reason=reason)

    def match_positions(self) -> None:
        """Put the channels that are not found yet on free sites."""
        homeless = [i for i in range(len(self.keys)) if self._is_electrode(i)]
        table = published_sites(self.keys, self.known)
        ways = self._ways(table)
        reach = MAX_DISTANCE_MM if table is None else _BESIDE_TABLE_MM
        if table is not None and ways is not None:
            free = set(self._free())
            for i in homeless:
                if table.get(i) in free:
                    distance = ways[0].distances([i], [table[i]])[0, 0]
                    self._use(i, table[i], "table", round(float(distance), 1))
        others = [i for i in homeless if i not in self.found and i not in (table or {})]
        assigned, placement = nearest_sites(
            others, self.keys, self.known, self._free(), ways, reach
        )
        for i, (site, distance) in assigned.items():
            self._use(i, site, "nearest", distance)
        below = placement.below()
        owners = {m.row: m.name for m in self.found.values() if m.used}
        for i in homeless:
            if i not in self.found and not np.isnan(placement.positions[i]).any():
                site = None if table is None else table.get(i)
                if site is not None and site not in self.rows:
                    reason = f"{spelled(site)}, {self._not_among}"
                elif i in below:
                    reason = _BELOW
                else:
                    reason = self._why_not(i, placement, owners, site, reach)
                self.found[i] = ChannelMatch(self.ch_names[i], reason=reason)

    def interpolate(self) -> Splines | None:
        """Compute free sites from the electrodes."""
        used = [i for i, match in self.found.items() if match.used]
        electrodes = {
            i
            for i in range(len(self.keys))
            if self._is_electrode(i) or (i in used and self._may_be_eeg(i, strictly=True))
        }
        bad = [i for i, match in self.found.items() if match.reason == MARKED_BAD]
        most = len(electrodes) + len(bad) - len(used)
        ways = self._ways(published_sites(self.keys, self.known))
        sites, located, placement = covered_sites(
            sorted(electrodes), self.keys, self.known, self._free(), most, ways
        )
        if not sites:
            for i in electrodes - set(used):
                if i in located:
                    reason = f"{self._no_match(i)}, and no site to compute from it"
                    if len(located) < FEWEST_ELECTRODES:
                        reason = (
                            f"{self._no_match(i)}; splines need {FEWEST_ELECTRODES} electrodes "
                            f"with positions, here are {len(located)}"
                        )
                    self.found[i] = ChannelMatch(self.ch_names[i], reason=reason)
            return None
        for i in set(located) - set(used):
            self.found[i] = ChannelMatch(self.ch_names[i], how="source", reason=COMPUTED_FROM)
        below = placement.below()
        for i in electrodes - set(used) - set(located):
            if i in below:
                self.found[i] = ChannelMatch(self.ch_names[i], reason=_BELOW)
        for i in bad:
            if self.keys[i] in sites or same_site(self.keys[i]) in sites:
                reason = f"{MARKED_BAD}: its site is computed from the others"
                self.found[i] = ChannelMatch(self.ch_names[i], how="replaced", reason=reason)
        for site, distance in sites.items():
            row = self.rows[site]
            target = self.vocabulary[row]
            self.sites.append(
                ChannelMatch(spelled(site), target, row, "spline", distance_mm=distance)
            )
        return spline_weights(located, list(sites), placement)

    def report(self) -> ChannelReport:
        recorded = (
            self.found.get(i) or ChannelMatch(name, reason=self._no_match(i))
            for i, name in enumerate(self.ch_names)
        )
        return ChannelReport((*recorded, *self.sites))

    def _may_be_eeg(self, i: int, strictly: bool = False) -> bool:
        allowed = {"eeg"} if strictly else TYPES["eeg"]
        return self.ch_types is None or self.ch_types[i] in allowed

    def _is_electrode(self, i: int) -> bool:
        """Whether this is an electrode on the scalp that is not found by its name."""
        return (
            i not in self.found
            and i not in self.inside
            and not is_derivation(self.keys[i])
            and self._may_be_eeg(i, strictly=True)
        )

    def _ways(self, table: dict[int, str] | None) -> list[Placement] | None:
        """How the electrodes of a known net lie on a head."""
        return None if table is None else [placed_by_sites(self.keys, self.known, table)]

    @property
    def _not_among(self) -> str:
        return f"not among the model's {len(self.vocabulary)} channels"

    def _free(self) -> list[str]:
        """Sites of the vocabulary that nobody has, under any of their names."""
        used = {match.row for match in self.found.values()}
        taken = {key for key, row in self.rows.items() if row in used}
        taken |= {same_site(key) for key in taken}
        # Where a vocabulary has both names of a site, models have mostly seen the newer one.
        outdated = {old for old, new in OLDER_NAMES.items() if new in self.rows}
        return [key for key in self.rows if key not in taken | outdated]

    def _use(self, i: int, site: str, how: Literal["table", "nearest"], distance: float) -> None:
        row = self.rows[site]
        self.found[i] = ChannelMatch(
            self.ch_names[i], self.vocabulary[row], row, how, distance_mm=distance
        )

    def _why_not(
        self,
        i: int,
        placement: Placement,
        owners: dict[int | None, str],
        site: str | None,
        reach: float,
    ) -> str:
        """Say who has the site that the net's maker names, or the nearest one."""
        sites = [site for site in self.rows if site in placement.template]
        sites = [site for site in sites if OLDER_NAMES.get(site) not in self.rows]
        distances = placement.distances([i], sites)[0]
        if site is None and distances.min() <= MAX_DISTANCE_MM:
            site = sites[int(distances.argmin())]
        for name in (site, same_site(site)) if site else ():
            owner = owners.get(self.rows.get(name, -1))
            if owner is not None:
                return f"its nearest site {site!r} is taken by {owner!r}"
        return f"no free site of the model within {reach:g} mm"

    def _no_match(self, i: int) -> str:
        if i in self.inside and self.has_positions:
            return _IN_THE_BRAIN
        if i in self.labels:
            return _IS_LABEL
        if is_derivation(self.keys[i]):
            return "bipolar: not matched to a single electrode"
        if _COUNTED.fullmatch(self.keys[i]) and self.modality == "eeg":
            return _NUMBER
        return self._not_among


def check_channel_types(
    ch_names: Sequence[str], ch_types: Sequence[str] | None, modality: str
) -> None:
    """Raise unless the modality is known and there is a type for every channel."""
    if modality not in TYPES:
        raise ValueError(f"modality={modality!r} is unknown: use one of {tuple(TYPES)}.")
    if ch_types is not None and len(ch_types) != len(ch_names):
        raise ValueError(f"ch_types has {len(ch_types)} entries for {len(ch_names)} channels.")


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


def _check_some(
    matches: Iterable[ChannelMatch], vocabulary: Sequence[str], mode: str, has_positions: bool
) -> None:
    """Raise if the model would get no channel, and say what helps."""
    left_out = list(matches)
    if any(match.used for match in left_out):
        return
    by_position = "channels='nearest' or 'interpolate' (on the command line --channels nearest)"
    if mode in ("nearest", "interpolate"):
        advice = "check them" if has_positions else "set_montage gives them"
        otherwise = (
            f"Rename the channels to their sites (rename_channels). channels={mode!r} goes by the "
            f"positions of electrodes: {advice}."
        )
    elif has_positions:
        otherwise = (
            "Rename the channels to their sites (rename_channels), or let the positions of the "
            f"electrodes decide: {by_position}."
        )
    else:
        otherwise = (
            "Rename the channels to their sites (rename_channels), or give the electrodes "
            f"positions (set_montage) and let those decide: {by_position}."
        )
    advice = remedy(left_out, otherwise)
    if advice == otherwise:
        otherwise = f"The model knows {enumerate_names(vocabulary)}. {otherwise}"
    else:
        otherwise = advice
    raise ValueError(
        f"None of the {len(left_out)} channels matches one of the model's: "
        f"{list_by_reason(left_out)}. {otherwise}"
    )
