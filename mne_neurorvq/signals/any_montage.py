# License: BSD-3-Clause
"""Choosing the channels for a model of single channels, which takes any montage."""

from __future__ import annotations

from collections.abc import Sequence

from .assignment import TYPES
from .channel_report import (
    MARKED_BAD,
    ChannelMatch,
    ChannelReport,
    list_by_reason,
    remedy,
    warn_of_left_out,
    wrong_type,
)
from .channels import check_channel_types


def use_channels(
    ch_names: Sequence[str],
    *,
    ch_types: Sequence[str] | None = None,
    bads: Sequence[str] = (),
    modality: str = "eeg",
) -> ChannelReport:
    """Choose the channels of a recording that a model without a vocabulary is given.

    That is every channel of the modality that is not marked bad. Where channels have the
    modality's own MNE type, only those are taken; otherwise all that could hold such signals,
    as in :func:`match_channels`.

    Parameters
    ----------
    ch_names : sequence of str
        Channels of the recording.
    ch_types : sequence of str | None
        MNE channel types. None if nothing is known: no channel is left out for its type.
    bads : sequence of str
        Names of channels marked bad.
    modality : "eeg" | "emg" | "ecg" | "ppg"
        What the model was trained on.

    Returns
    -------
    matches : ChannelReport
        One :class:`ChannelMatch` per channel, in the order of ``ch_names``. A used channel is its
        own target, and its row is its place in the recording.

    Raises
    ------
    ValueError
        If no channel is left, if a name occurs twice or ``modality`` is unknown.

    Warns
    -----
    UserWarning
        If channels are left out: once, with their names and the reasons.

    Examples
    --------
    >>> from mne_neurorvq.signals import use_channels
    >>> [(m.name, m.row, m.how) for m in use_channels(["left", "right"], ch_types=["eeg", "eeg"])]
    [('left', 0, 'any'), ('right', 1, 'any')]
    """
    check_channel_types(ch_names, ch_types, modality)
    twice = sorted({name for name in ch_names if list(ch_names).count(name) > 1})
    if twice:
        raise ValueError(f"ch_names holds {twice[0]!r} twice: give every channel its own name.")
    allowed = {modality} if modality in (ch_types or ()) else TYPES[modality]

    def reason(i: int) -> str:
        if ch_names[i] in bads:
            return MARKED_BAD
        if ch_types is not None and ch_types[i] not in allowed:
            return wrong_type(ch_types[i], modality)
        return ""

    reasons = [reason(i) for i in range(len(ch_names))]
    matches = ChannelReport(
        ChannelMatch(name, reason=why) if why else ChannelMatch(name, name, i, "any")
        for i, (name, why) in enumerate(zip(ch_names, reasons, strict=True))
    )
    left_out = [match for match in matches if not match.used]
    if len(left_out) == len(matches):
        raise ValueError(
            f"None of the {len(matches)} channels can be used: {list_by_reason(left_out)}. "
            f"{remedy(left_out)}"
        )
    warn_of_left_out(matches)
    return matches
