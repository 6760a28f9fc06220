# License: BSD-3-Clause
"""Assigning channels to a model: by name, by position, or as part of a computed site."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .._names import OLDER_NAMES, is_derivation, name_key, pair_names, same_site
from .channel_report import COMPUTED_FROM, MARKED_BAD, ChannelMatch, ChannelReport, wrong_type
from .contacts import amplifier_labels, depth_contacts, in_the_brain
from .modalities import find_modality, says_other
from .nets import published_sites
from .sites import MAX_DISTANCE_MM, Placement, nearest_sites, placed_by_sites
from .splines import FEWEST_ELECTRODES, Splines, covered_sites, spelled, spline_weights

_IS_LABEL = (
    "a label of the amplifier or of a depth electrode (A1, A2, ..., B1, ...), not the name of a "
    "site"
)
_SAYS_OTHER = (
    "of type 'eeg', but the name says that it holds another signal: say which "
    "(set_channel_types), or rename it (rename_channels)"
)
_NO_LEAD = "names no lead: say which one it is (rename_channels)"
_DIFFERENCE_OF_LEADS = "a difference of two leads, none of the model's"
_IN_THE_BRAIN = "a contact of a depth electrode or grid, not on the scalp"
_UNTRAINED = "known to the model by name only: it was not trained on any such channel"
_BELOW = "on the face, a cheek or the neck"
_NUMBER = (
    "a number, not the name of a site: rename it (rename_channels), or give it a position "
    "(set_montage)"
)
# Electrodes without a site in the table of a net's maker get one only if it is this close.
_BESIDE_TABLE_MM = 20.0
# Names that count channels: E11, EEG 001, EXG Channel 0, Ch1.
_COUNTED = re.compile(r"(e|eeg|ch|chan|channel|exgchannel|exg|unicorn)?[-_]?\d+")


def excluded_channels(
    ch_names: Sequence[str],
    ch_types: Sequence[str] | None,
    bads: Sequence[str],
    modality: str,
    *,
    by_name: bool,
) -> dict[int, ChannelMatch]:
    """Find channels that are marked bad, or hold other signals, by their indices."""
    facts = find_modality(modality)
    may_hold = facts.candidates(ch_names, ch_types, by_name=by_name)
    types = facts.types.intersection(ch_types or ()) or facts.known_types
    excluded = {}
    for i, name in enumerate(ch_names):
        if name in bads:
            excluded[i] = ChannelMatch(name, reason=MARKED_BAD)
        elif ch_types is not None and i not in may_hold:
            vague = ch_types[i] in types
            excluded[i] = ChannelMatch(name, reason=wrong_type(ch_types[i], modality, vague=vague))
        elif ch_types and facts.on_the_head and not by_name and says_other(name):
            excluded[i] = ChannelMatch(name, reason=_SAYS_OTHER)
    return excluded


@dataclass
class Assignment:
    """Channels that are being assigned: the matches found so far, and the computed sites."""

    ch_names: Sequence[str]
    vocabulary: Sequence[str]
    positions: NDArray[np.floating] | None
    ch_types: Sequence[str] | None
    modality: str
    trained: Sequence[str] | None = None
    found: dict[int, ChannelMatch] = field(default_factory=dict)
    sites: list[ChannelMatch] = field(default_factory=list)
    by_position: bool = False

    def __post_init__(self) -> None:
        self.facts = find_modality(self.modality)
        self.keys = [name_key(name, self.modality) for name in self.ch_names]
        is_eeg = self.facts.on_the_head
        # Triggers and other inputs may be numbered as well.
        named = [key if self._may_be_eeg(i) else "" for i, key in enumerate(self.keys)]
        contacts = depth_contacts(named) if is_eeg else set()
        self.labels = contacts | (amplifier_labels(named) if is_eeg else set())
        n_channels = len(self.keys)
        known = np.full((n_channels, 3), np.nan) if self.positions is None else self.positions
        self.known = np.asarray(known, float)
        self.inside = in_the_brain(named, self.known, contacts)
        # No site has a space in its key.
        for i in self.labels:
            self.keys[i] = f"label {self.keys[i].replace('-', ' ')}"
        self.names = self.vocabulary
        if self.trained:
            self.names = [name for name in self.vocabulary if name in self.trained]
        untrained = set(self.vocabulary) - set(self.names)
        self.untrained = {name_key(name, self.modality) for name in untrained}
        self.rows: dict[str, int] = {}
        for name in self.names:
            row = self.vocabulary.index(name)
            self.rows.setdefault(name_key(name, self.modality), row)

    @property
    def has_positions(self) -> bool:
        """Whether any channel has a position of its own."""
        return bool(np.isfinite(self.known).all(axis=1).any())

    def leave_out(self, bads: Sequence[str]) -> None:
        """Note the channels that are bad or hold other signals."""
        by_name = self.facts.matching == "name"
        self.found = excluded_channels(
            self.ch_names, self.ch_types, bads, self.modality, by_name=by_name
        )

    def match_names(self) -> None:
        """Find names of the vocabulary; or its places, where names of recordings say nothing."""
        keys = {i: key for i, key in enumerate(self.keys) if i not in self.found}
        if self.facts.matching == "each":
            for i in keys:
                self.found[i] = ChannelMatch(self.ch_names[i], self.vocabulary[0], 0, "any")
            return
        if self.facts.matching == "order" and not set(keys.values()) <= set(self.rows):
            self._match_in_order()
            return
        for i, pair in pair_names(keys, self.names, self.modality).items():
            name, target = self.ch_names[i], self.names[pair.place]
            if pair.rival is None:
                row = self.vocabulary.index(target)
                self.found[i] = ChannelMatch(name, target, row, pair.how)
            else:
                rival = self.ch_names[pair.rival]
                reason = f"{target!r} is already used by {rival!r}"
                self.found[i] = ChannelMatch(name, reason=reason)

    def _match_in_order(self) -> None:
        """Give channels the places c1, c2 and so on as they come; bad ones keep theirs free."""
        channels = self.facts.candidates(self.ch_names, self.ch_types, by_name=False)
        places = sorted(self.vocabulary, key=lambda name: (len(name), name))
        for place, i in enumerate(sorted(channels)):
            name = self.ch_names[i]
            if place >= len(places):
                reason = f"beyond the {len(places)} channels that the model takes"
                self.found.setdefault(i, ChannelMatch(name, reason=reason))
            elif i not in self.found:
                row = self.vocabulary.index(places[place])
                self.found[i] = ChannelMatch(name, places[place], row, "order")

    def match_positions(self) -> None:
        """Assign the remaining channels to free sites."""
        self.by_position = True
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
                official = None if table is None else table.get(i)
                if official is not None and official not in self.rows:
                    reason = f"{spelled(official)}, {self._not_among}"
                elif i in below:
                    reason = _BELOW
                else:
                    reason = self._why_not(i, placement, owners, official, reach)
                self.found[i] = ChannelMatch(self.ch_names[i], reason=reason)

    def interpolate(self) -> Splines | None:
        """Compute free sites from the electrodes."""
        self.by_position = True
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
        """Say what happened to every channel, and which sites are computed."""
        recorded = (
            self.found.get(i) or ChannelMatch(name, reason=self._no_match(i))
            for i, name in enumerate(self.ch_names)
        )
        return ChannelReport((*recorded, *self.sites))

    def _may_be_eeg(self, i: int, strictly: bool = False) -> bool:
        facts = find_modality("eeg")
        allowed = facts.types if strictly else facts.types | facts.beside
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
        return f"not among the model's {len(self.names)} channels"

    def _free(self) -> list[str]:
        """Sites of the vocabulary that no channel has taken, under any of their names."""
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
        """Say which channel has taken the site of the net's table, or else the nearest one."""
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
        if {self.keys[i], same_site(self.keys[i], self.modality)} & self.untrained:
            return _UNTRAINED
        if i in self.inside and self.has_positions:
            return _IN_THE_BRAIN
        if i in self.labels:
            return _IS_LABEL
        if self.modality == "ecg":
            if self.facts.says(self.ch_names[i]):
                return _NO_LEAD
            return _DIFFERENCE_OF_LEADS if is_derivation(self.keys[i]) else self._not_among
        if self.ch_types and self.ch_types[i] == "eeg" and says_other(self.ch_names[i]):
            return _SAYS_OTHER
        if is_derivation(self.keys[i]):
            return "bipolar: not matched to a single electrode"
        if _COUNTED.fullmatch(self.keys[i]) and self.facts.on_the_head:
            return _NUMBER if self.by_position else f"{_NUMBER} and pass channels='nearest'"
        return self._not_among
