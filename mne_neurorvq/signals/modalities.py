# License: BSD-3-Clause
"""The kinds of signals: which channels hold them, how these meet a vocabulary, how large they are.

All that differs between EEG, EMG, ECG and PPG before a model is in this table and, for spellings,
in `names`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from .._names import LEADS, name_key
from .sites import site_names
from .units import EEG_AMPLITUDE, UNITLESS, Amplitude

# Names of what else is recorded beside biosignals, mostly by sensors without a type.
_OTHER = re.compile(r"\bresp|\bsp?[ao]2|\b(abp|cvp|eda|gsr|acc|gyro?)\b|\btemp(?!or)|trig|status")
# Inputs that readers call "eeg", besides those of another kind of signal.
_NO_ELECTRODE = re.compile(
    r"[hv]?eog|[lr]oc$|resp|gsr|eda|temp|stim|sti\d|status|trig|event|marker|photic|pulse|spo2|sao2|"
    r"acc|gyr|aux|dc ?\d|bip|exg?\d"
)
# Inputs without a signal of the body; what a recording says of its filters is not about them.
_NO_SIGNAL = frozenset(("stim", "misc", "syst", "exci", "ias"))


@dataclass(frozen=True)
class Modality:
    """A kind of signal.

    Channels of the MNE types ``types`` hold it, if there are any. Otherwise those of a type in
    ``vague`` may: EDF readers call everything "eeg", braindecode calls the channels of an array
    "misc", and MNE has no type for photoplethysmograms. Their names decide. ``beside`` are types of
    other channels that a vocabulary may have.

    ``matching`` says how channels find their row of a vocabulary: by name, in the order of the
    recording, or all of them the only row there is, one by one.
    """

    name: str
    types: frozenset[str]
    vague: frozenset[str]
    #: What names contain that say it, and keys of names that do.
    named: re.Pattern[str]
    amplitude: Amplitude
    #: MNE type of channels that are decoded.
    ch_type: str
    #: Name of the channel of an array that has only one.
    ch_name: str
    #: What the names of a vocabulary are.
    places: str
    #: What a channel that spoils others deviates by, against their median; None where none does.
    loud: float | None = 20.0
    matching: Literal["name", "order", "each"] = "name"
    beside: frozenset[str] = frozenset()
    keys: Callable[[], Collection[str]] = frozenset
    #: Whether electrodes have places on the head, and recordings references and noted filters.
    on_the_head: bool = False

    @property
    def has_volts(self) -> bool:
        """Whether MNE's volts mean anything for it; otherwise values are taken as they are."""
        return self.amplitude.unit != UNITLESS

    @property
    def known_types(self) -> frozenset[str]:
        """All MNE types that may hold such signals."""
        return self.types | self.vague | self.beside

    def says(self, ch_name: str) -> bool:
        """Whether a name says that a channel holds such signals."""
        found = self.named.search(ch_name.lower()) is not None
        return found or name_key(ch_name, self.name) in self.keys()

    def candidates(
        self, ch_names: Sequence[str], ch_types: Sequence[str] | None, *, by_name: bool
    ) -> set[int]:
        """Find channels that may hold such signals, by index; ``by_name`` if a vocabulary decides.

        >>> MODALITIES["emg"].candidates(["Cz", "arm"], ["eeg", "emg"], by_name=False)
        {1}
        >>> MODALITIES["emg"].candidates(["Cz", "EMG 1"], ["eeg", "eeg"], by_name=False)
        {1}
        """
        if ch_types is None:
            return set(range(len(ch_names)))
        if not self.types.isdisjoint(ch_types):
            allowed = self.types | (self.beside if by_name else frozenset())
            return {i for i, ch_type in enumerate(ch_types) if ch_type in allowed}
        vague = {i for i, kind in enumerate(ch_types) if kind in self.vague | self.beside}
        if by_name and self.on_the_head:
            return vague  # no other signal has the name of a site
        named = {i for i in vague if self.says(ch_names[i])}
        if named or by_name:
            return named
        others = [kind for kind in MODALITIES.values() if kind is not self]
        unclaimed = {
            i
            for i in vague
            if not _OTHER.search(ch_names[i].lower())
            and not any(kind.says(ch_names[i]) for kind in others)
        }
        # Where names only count, C1 is no site if C7 is none.
        counted = len({re.sub(r"\d+$", "", ch_names[i]) for i in vague}) == 1
        return vague if unclaimed and counted else unclaimed

    def to_filter(self, ch_names: Sequence[str], ch_types: Sequence[str]) -> list[int]:
        """Find the channels that filters are for, by index: of its types, or else named so."""
        own = [i for i, ch_type in enumerate(ch_types) if ch_type in self.types]
        return own or [
            i
            for i, ch_type in enumerate(ch_types)
            if ch_type in self.vague and self.says(ch_names[i])
        ]

    def band_is_stated(self, ch_types: Sequence[str], used: Sequence[int]) -> bool:
        """Whether what a recording says of its filters is about the channels used.

        MNE speaks of EEG, if there is any. Otherwise a band may be that of any other signal.
        """
        if self.on_the_head:
            return True
        own = {ch_types[i] for i in used}
        return set(ch_types) <= own | _NO_SIGNAL


_ANY = frozenset(("eeg", "bio", "misc"))

MODALITIES = {
    modality.name: modality
    for modality in (
        Modality(
            name="eeg",
            types=frozenset(("eeg",)),
            vague=frozenset(("misc",)),
            beside=frozenset(("eog",)),
            named=re.compile(r"\beeg|^e\d+$"),
            keys=site_names,
            on_the_head=True,
            amplitude=EEG_AMPLITUDE,
            ch_type="eeg",
            ch_name="Cz",
            places="sites",
        ),
        # The quietest of 22 people's thigh muscles deviates by 2 microvolts, the loudest by 340;
        # of muscles side by side, one may rest while another contracts.
        Modality(
            name="emg",
            types=frozenset(("emg",)),
            vague=_ANY,
            named=re.compile(r"emg"),
            amplitude=Amplitude(usual=20.0, smallest=0.1, largest=5e3, kind="EMG", rare=(1.0, 1e3)),
            ch_type="emg",
            ch_name="EMG",
            places="places",
            loud=200.0,
            matching="order",
        ),
        # Leads of PTB-XL deviate by 25 to 1750 microvolts.
        Modality(
            name="ecg",
            types=frozenset(("ecg",)),
            vague=_ANY,
            named=re.compile(r"e[ck]g|\blead|^mc?l(i+|\d)$"),
            keys=lambda: LEADS,
            amplitude=Amplitude(
                usual=200.0, smallest=1.0, largest=5e4, kind="ECG", rare=(10.0, 5e3)
            ),
            ch_type="ecg",
            ch_name="II",
            places="leads",
        ),
        # PhysioNet's normalised units, between 0 and 1, in which BIDMC deviates by 0.07.
        Modality(
            name="ppg",
            types=frozenset(),
            vague=_ANY,
            named=re.compile(r"ppg|pleth|bvp|(?<![a-z])(ir|red|infrared)(?![a-z])"),
            amplitude=Amplitude(usual=0.1, smallest=1e-3, largest=10.0, kind="PPG", unit=UNITLESS),
            ch_type="misc",
            ch_name="PPG",
            places="places",
            loud=None,  # none spoils another
            matching="each",
        ),
    )
}


def find_modality(name: str) -> Modality:
    """Look up a kind of signal."""
    if name not in MODALITIES:
        raise ValueError(f"modality={name!r} is unknown: use one of {tuple(MODALITIES)}.")
    return MODALITIES[name]


def says_other(ch_name: str) -> bool:
    """Whether the name of a channel of type "eeg" says that it holds another signal.

    >>> [name for name in ("ECG", "HEOG", "EKG1", "Resp", "Fp1", "E12", "A1") if says_other(name)]
    ['ECG', 'HEOG', 'EKG1', 'Resp']
    """
    others = (kind for kind in MODALITIES.values() if not kind.on_the_head)
    return _NO_ELECTRODE.match(name_key(ch_name)) is not None or any(
        kind.says(ch_name) for kind in others
    )
