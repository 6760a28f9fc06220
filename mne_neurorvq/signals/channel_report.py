# License: BSD-3-Clause
"""What happened to the channels of a recording, and how that is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .._names import quote
from .._table import html_table, markdown_table
from .._warnings import warn

MARKED_BAD = "marked bad"
_NAME = "and the name does not say that it holds"
_MOST_OF_A_TYPE = 4
COMPUTED_FROM = "one of the electrodes that sites are computed from"
TAKE_POTENTIALS = (
    "Models take potentials: pass the signals from before compute_current_source_density."
)


@dataclass(frozen=True)
class ChannelMatch:
    """What happened to one channel of a recording.

    Parameters
    ----------
    name : str
        The channel's name in the recording; of a computed site, its name.
    target : str | None
        The model's name for it; None if the model does not get it.
    row : int | None
        Index of ``target`` in the model's vocabulary; in the recording if it has none.
    how : str | None
        ``"exact"`` or ``"alias"``, by the same name or another name of the same site; ``"table"``,
        by the table of the net's maker; ``"nearest"``, by position; ``"order"``, as the next of the
        recording (EMG). ``"spline"`` marks a computed site, ``"source"`` an electrode that is only
        used to compute sites, ``"replaced"`` a bad one whose site is computed. ``"any"`` if the
        model takes any channel. None if it is left out.
    reason : str
        Why the model does not get the channel, or an average goes without it; otherwise empty.
    distance_mm : float | None
        For channels matched by position, distance to the model's site; for a site that is
        computed, distance to the nearest electrode.
    reference : str
        Reference in whose computation the channel takes part and that its signals get, such as
        ``"average"``; empty if they stay as recorded.

    Examples
    --------
    >>> ChannelMatch("Fz", target="fz", row=55, how="exact").used
    True
    """

    name: str
    target: str | None = None
    row: int | None = None
    how: (
        Literal[
            "exact", "alias", "table", "nearest", "order", "spline", "source", "replaced", "any"
        ]
        | None
    ) = None
    reason: str = ""
    distance_mm: float | None = None
    reference: str = ""

    @property
    def used(self) -> bool:
        """Whether the model gets this channel."""
        return self.row is not None

    @property
    def left_out(self) -> bool:
        """Whether the channel plays no part at all, or only in the reference."""
        return self.how is None


class ChannelReport(tuple[ChannelMatch, ...]):
    """What happened to each channel: a tuple of :class:`ChannelMatch` that prints as a table.

    In notebooks the table folds.

    Parameters
    ----------
    iterable : iterable of ChannelMatch
        One for each channel.

    Examples
    --------
    >>> from mne_neurorvq.signals import match_channels
    >>> match_channels(["EEG T7-REF", "Cz."], ["cz", "t3"])
    | channel    | site | how   |
    | :--------- | :--- | :---- |
    | EEG T7-REF | t3   | alias |
    | Cz.        | cz   | exact |
    """

    __slots__ = ()

    def __repr__(self) -> str:
        head, rows, align = self._columns()
        return markdown_table(head, rows, align=align)

    def _repr_html_(self) -> str:
        head, rows, _ = self._columns()
        left_out = sum(match.left_out for match in self)
        title = f"{len(self)} channels: {sum(match.used for match in self)} used"
        return html_table(f"{title}, {left_out} left out" if left_out else title, rows, head)

    def _columns(self) -> tuple[list[str], list[list[str]], str]:
        """Head, rows and alignment of the table, without columns that are empty."""
        head = ["channel", "site", "how", "mm", "reference", "why not"]
        rows = [
            [
                match.name,
                match.target or "",
                match.how or "left out",
                "" if match.distance_mm is None else f"{match.distance_mm:.1f}",
                match.reference,
                match.reason,
            ]
            for match in self
        ]
        kept = [k for k in range(6) if k < 3 or any(row[k] for row in rows)]
        align = "".join("lllrll"[k] for k in kept)
        return [head[k] for k in kept], [[row[k] for k in kept] for row in rows], align


def used_channels(matches: Sequence[ChannelMatch]) -> tuple[list[int], list[int]]:
    """Give indices of the used channels in the recording, ascending, and in the vocabulary.

    Computed sites come after the channels of the recording, see :func:`with_sites`.

    >>> from mne_neurorvq.signals import match_channels
    >>> from mne_neurorvq.signals.channel_report import used_channels
    >>> used_channels(match_channels(["Cz", "Fz"], ["fz", "pz", "cz"]))
    ([0, 1], [2, 0])
    """
    pairs = [(i, m.row) for i, m in enumerate(matches) if m.row is not None]
    return [i for i, _ in pairs], [row for _, row in pairs]


def wrong_type(ch_type: str, modality: str, *, vague: bool = False) -> str:
    """Say why a channel of another type is left out, or of a ``vague`` one that may hold any."""
    if vague:
        return f"type {ch_type!r}, {_NAME} {modality.upper()}"
    return f"type {ch_type!r} holds no {modality.upper()}"


def remedy(left_out: Sequence[ChannelMatch]) -> str:
    """Say what helps if all channels are marked bad or of another type; otherwise ''."""
    reasons = {match.reason for match in left_out}
    if any("'csd'" in reason for reason in reasons):
        return TAKE_POTENTIALS
    if reasons == {MARKED_BAD}:
        return (
            "Take those that are good off the list (info['bads']), or drop what is broken; "
            "interpolate_bads needs good ones."
        )
    if all(reason == MARKED_BAD or reason.startswith("type ") for reason in reasons):
        if any(_NAME in reason for reason in reasons):
            return (
                "If they hold it, say so by their types (set_channel_types) or, where MNE has no "
                "type, by their names (rename_channels)."
            )
        return "If a type is wrong, say what the channels hold (set_channel_types)."
    return ""


def warn_of_left_out(matches: Sequence[ChannelMatch]) -> None:
    """Warn once of all channels that are left out."""
    left_out = [match for match in matches if match.left_out]
    if left_out:
        n_recorded = sum(match.how != "spline" for match in matches)
        warn(
            f"{len(left_out)} of {n_recorded} channels are left out of the model: "
            f"{list_by_reason(left_out)}."
        )


def list_by_reason(left_out: Sequence[ChannelMatch]) -> str:
    """List channels that are left out, those with one reason together.

    Of many whose type says it, the number is enough: nobody looks for a net of EEG in an ECG.

    >>> eeg = [ChannelMatch(f"E{i}", reason=wrong_type("eeg", "ecg")) for i in range(64)]
    >>> list_by_reason([*eeg, ChannelMatch("V", reason=MARKED_BAD)])
    "64 channels (type 'eeg' holds no ECG); 'V' (marked bad)"
    """
    names: dict[str, list[str]] = {}
    for match in left_out:
        names.setdefault(match.reason, []).append(match.name)
    return "; ".join(f"{_named(group, reason)} ({reason})" for reason, group in names.items())


def _named(names: Sequence[str], reason: str) -> str:
    if len(names) > _MOST_OF_A_TYPE and reason.startswith("type "):
        return f"{len(names)} channels"
    return quote(names)
