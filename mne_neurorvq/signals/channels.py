# License: BSD-3-Clause
"""Matching the channels of a recording to the channels that a model knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .assignment import TYPES, Assignment
from .channel_report import (
    ChannelMatch,
    ChannelReport,
    enumerate_names,
    list_by_reason,
    remedy,
    warn_of_left_out,
    wrong_type,
)
from .splines import Splines

ChannelMode = Literal["match", "strict", "nearest", "interpolate"]
_MODES = ("match", "strict", "nearest", "interpolate")


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
    T4 = T8, T5 = P7, T6 = P8, M1 = A1, M2 = A2). Where no channel has the modality's type, names
    decide of those of type "misc". Bipolar names match bipolar names only (T3-T5 is
    T7-P7, and C3-A2 is no C3). Labels of an amplifier or of depth electrodes match no name: A1 to
    A32, B1 to B32 and so on, as on BioSemi's large caps, and names numbered from 1 without a gap
    that cannot all be sites (O1 to O8), or that stand beside such or alone (P1 to P10). Of several
    channels with one match the first is used. Channels marked bad and channels of types that
    cannot hold the modality's signals (triggers, for example) are left out.

    Parameters
    ----------
    ch_names : sequence of str
        Channels of the assignment.
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
) -> tuple[ChannelReport, Splines | None]:
    """Match channels as :func:`match_channels`; also give weights of computed sites, if any."""
    _check_arguments(ch_names, mode, positions, ch_types, modality)
    assignment = Assignment(ch_names, vocabulary, positions, ch_types, modality)
    assignment.leave_out(bads)
    excluded = set(assignment.found)
    assignment.match_names()
    splines = None
    if modality == "eeg" and mode == "nearest":
        assignment.match_positions()
    elif modality == "eeg" and mode == "interpolate":
        splines = assignment.interpolate()
    matches = assignment.report()
    _check_some(matches, vocabulary, mode, assignment.has_positions)
    unmatched = [m for i, m in enumerate(matches) if not m.used and i not in excluded]
    if mode == "strict" and unmatched:
        raise ValueError(
            f"channels='strict', but {len(unmatched)} of {len(matches)} channels have no match: "
            f"{list_by_reason(unmatched)}. Rename them, drop them, or pass channels='match'."
        )
    if mode != "strict":
        warn_of_left_out(matches)
    return matches, splines


def check_channel_types(
    ch_names: Sequence[str], ch_types: Sequence[str] | None, modality: str
) -> None:
    """Raise unless the modality is known and there is a type for every channel."""
    if modality not in TYPES:
        raise ValueError(f"modality={modality!r} is unknown: use one of {tuple(TYPES)}.")
    if ch_types is not None and len(ch_types) != len(ch_names):
        raise ValueError(f"ch_types has {len(ch_types)} entries for {len(ch_names)} channels.")


def check_types_of_fit(
    ch_names: Sequence[str],
    ch_types: Sequence[str],
    fitted_types: Sequence[str] | None,
    modality: str,
) -> None:
    """Raise if channels that a model uses have other types than in fit (None: nothing was known).

    Types by which readers call the same signals may change.
    """
    may_hold = TYPES[modality] | {"misc"}
    alike = may_hold - {"eog"}  # who says "eog" has decided
    changed = []
    for i, (name, now) in enumerate(zip(ch_names, ch_types, strict=True)):
        before = None if fitted_types is None else fitted_types[i]
        if now == before or (now in may_hold and before is None) or {now, before} <= alike:
            continue
        reason = wrong_type(now, modality) if now not in may_hold else f"type {now!r}"
        if before is not None:
            reason += f", but fit saw type {before!r}"
        changed.append(ChannelMatch(name, reason=reason))
    if changed:
        raise ValueError(
            f"X has channels of other types than the model was fitted to: "
            f"{list_by_reason(changed)}. {remedy(changed)}"
        )


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
    raise ValueError(
        f"None of the {len(left_out)} channels matches one of the model's: "
        f"{list_by_reason(left_out)}. "
        f"{remedy(left_out) or _how_to_match(vocabulary, mode, has_positions)}"
    )


def _how_to_match(vocabulary: Sequence[str], mode: str, has_positions: bool) -> str:
    known = f"The model knows {enumerate_names(vocabulary)}. Rename the channels to their sites"
    if mode in ("nearest", "interpolate"):
        advice = "check them" if has_positions else "set_montage gives them"
        return (
            f"{known} (rename_channels). channels={mode!r} goes by the positions of electrodes: "
            f"{advice}."
        )
    positions = "" if has_positions else "give the electrodes positions (set_montage) and "
    return (
        f"{known} (rename_channels), or {positions}let positions decide: channels='nearest' or "
        "'interpolate' (on the command line --channels nearest)."
    )
