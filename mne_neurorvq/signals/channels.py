# License: BSD-3-Clause
"""Matching the channels of a recording to the channels that a model knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .._names import quote
from .assignment import Assignment, excluded_channels
from .channel_report import (
    ChannelMatch,
    ChannelReport,
    list_by_reason,
    remedy,
    warn_of_left_out,
    wrong_type,
)
from .modalities import Modality, find_modality
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
    trained: Sequence[str] | None = None,
) -> ChannelReport:
    """Match the channels of a recording to a model's vocabulary.

    Names are compared without case, dots and spaces, without a leading ``"EEG "``, ``"EEG-"``,
    ``"RAW_"``, ``"POL "`` (or the modality), and without the name of a reference that all channels
    share (``"-REF"``, ``"-LE"``, ``"-AVG"``, ``"-A1A2"``). An equal name is preferred; if the
    vocabulary lacks it, another name of the same site is tried (T3 = T7, T4 = T8, T5 = P7, T6 = P8,
    M1 = A1, M2 = A2). Channels of the modality's MNE type are taken, if there are any; otherwise
    those of types by which readers call anything (for EEG "misc"; for others "eeg", "bio" and
    "misc"). Bipolar names match bipolar names only (T3-T5 is T7-P7, and C3-A2 is not C3). Labels of
    an amplifier or of depth electrodes match nothing: A1 to A32, B1 to B32 and so on, as on
    BioSemi's large caps, and names numbered from 1 without a gap that cannot all be sites (O1 to
    O8), or that are found beside such names or alone (P1 to P10). If several channels match one
    name, the first is used. Channels marked bad and channels of types that cannot hold the
    modality's signals (triggers, for example) are left out.

    Leads of an ECG have their usual names, with or without "ECG", "EKG" or "Lead" before them, and
    others that mean the same (MLII, DII, LL-RA; X, Y and Z of Frank). Channels of an EMG, whatever
    they are called, are given c1, c2 and so on in their order, unless all are called so. Those of a
    PPG all get the only row there is: a model processes them one by one.

    Parameters
    ----------
    ch_names : sequence of str
        Channels of the recording.
    vocabulary : sequence of str
        Channels of the model, in the order of its rows.
    mode : "match" | "strict" | "nearest" | "interpolate"
        ``"match"`` uses what matches by name. ``"strict"`` raises unless every good channel of the
        modality matches. ``"nearest"`` gives free sites of the vocabulary to the remaining EEG
        channels: by the maker's table for nets that have one (EGI's HydroCel nets), otherwise to
        the nearest electrode, the nearest pair first, after scaling the head to the template's
        size. ``"interpolate"`` computes free sites of the 10-10 system (of the 10-20 system for
        fewer than 62 electrodes) from all good electrodes, as far as these cover them.
    positions : array, shape (n_channels, 3) | None
        Electrode positions in metres in MNE's head frame, NaN where unknown. Unknown positions are
        taken from the 10-05 template if it has the name. Used by ``"nearest"`` and
        ``"interpolate"`` only.
    ch_types : sequence of str | None
        MNE channel types. None if they are unknown: no channel is left out for its type.
    bads : sequence of str
        Names of channels marked bad.
    modality : "eeg" | "emg" | "ecg" | "ppg"
        What the model was trained on.
    trained : sequence of str | None
        Names of the vocabulary that it was trained on, ``config.trained``: the others count as
        unknown. None or nothing stands for all.

    Returns
    -------
    matches : ChannelReport
        One :class:`ChannelMatch` per channel, in the order of ``ch_names``, then one for each site
        that is computed.

    Raises
    ------
    ValueError
        If no channel matches, or one does not in mode ``"strict"``; if lengths differ; if ``mode``
        or ``modality`` is unknown; if a mode that goes by positions on the head is asked of another
        modality than EEG.

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
    return match_and_interpolate(
        ch_names,
        vocabulary,
        mode=mode,
        positions=positions,
        ch_types=ch_types,
        bads=bads,
        modality=modality,
        trained=trained,
    )[0]


def match_and_interpolate(
    ch_names: Sequence[str],
    vocabulary: Sequence[str],
    *,
    mode: ChannelMode = "match",
    positions: NDArray[np.floating] | None = None,
    ch_types: Sequence[str] | None = None,
    bads: Sequence[str] = (),
    modality: str = "eeg",
    trained: Sequence[str] | None = None,
) -> tuple[ChannelReport, Splines | None]:
    """Match channels as :func:`match_channels`; also give weights of computed sites, if any."""
    if mode not in _MODES:
        raise ValueError(f"channels={mode!r} is unknown: use one of {_MODES}.")
    facts = _check_types(ch_names, ch_types, modality)
    if not facts.on_the_head and mode in ("nearest", "interpolate"):
        raise ValueError(
            f"channels={mode!r} goes by positions on the head, which {modality.upper()} has not: "
            "use 'match' or 'strict'."
        )
    if positions is not None and np.shape(positions) != (len(ch_names), 3):
        raise ValueError(
            f"positions has shape {np.shape(positions)}; {len(ch_names)} channels need "
            f"({len(ch_names)}, 3)."
        )
    assignment = Assignment(ch_names, vocabulary, positions, ch_types, modality, trained)
    assignment.leave_out(bads)
    excluded = set(assignment.found)
    assignment.match_names()
    splines = None
    if mode == "nearest":
        assignment.match_positions()
    elif mode == "interpolate":
        splines = assignment.interpolate()
    matches = assignment.report()
    if not any(match.used for match in matches):
        names, placed = assignment.names, assignment.has_positions
        advice = remedy(matches) or _how_to_match(names, mode, placed, facts)
        raise ValueError(
            f"None of the {len(matches)} channels matches one of the model's: "
            f"{list_by_reason(matches)}. {advice}"
        )
    unmatched = [m for i, m in enumerate(matches) if not m.used and i not in excluded]
    if mode == "strict" and unmatched:
        raise ValueError(
            f"channels='strict', but {len(unmatched)} of {len(matches)} channels have no match: "
            f"{list_by_reason(unmatched)}. Rename them, drop them, or pass channels='match'."
        )
    if mode != "strict":
        warn_of_left_out(matches)
    return matches, splines


def use_channels(
    ch_names: Sequence[str],
    *,
    ch_types: Sequence[str] | None = None,
    bads: Sequence[str] = (),
    modality: str = "eeg",
) -> ChannelReport:
    """Choose the channels of a recording that a model without a vocabulary is given.

    These are all good channels of the modality's MNE type. If there are none of that type, they are
    those of any type that can hold such signals, as in :func:`match_channels`, whose names say so
    ("EMG 1"), or else whose names do not say that they hold others (Cz, ECG).

    Parameters
    ----------
    ch_names : sequence of str
        Channels of the recording.
    ch_types : sequence of str | None
        MNE channel types. None if they are unknown: no channel is left out for its type.
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
    _check_types(ch_names, ch_types, modality)
    twice = sorted({name for name in ch_names if list(ch_names).count(name) > 1})
    if twice:
        raise ValueError(f"ch_names holds {twice[0]!r} twice: give every channel its own name.")
    excluded = excluded_channels(ch_names, ch_types, bads, modality, by_name=False)
    matches = ChannelReport(
        excluded.get(i) or ChannelMatch(name, name, i, "any") for i, name in enumerate(ch_names)
    )
    left_out = [match for match in matches if not match.used]
    if len(left_out) == len(matches):
        raise ValueError(
            f"None of the {len(matches)} channels can be used: {list_by_reason(left_out)}. "
            f"{remedy(left_out)}"
        )
    warn_of_left_out(matches)
    return matches


def check_types_of_fit(
    ch_names: Sequence[str],
    ch_types: Sequence[str],
    fitted_types: Sequence[str] | None,
    modality: str,
) -> None:
    """Raise if channels that a model uses have other types than in fit (None: nothing was known).

    Types by which readers call the same signals may change.
    """
    facts = find_modality(modality)
    may_hold = facts.known_types | {"misc"}
    alike = may_hold - facts.beside  # "eog" is always a decision
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


def _check_types(
    ch_names: Sequence[str], ch_types: Sequence[str] | None, modality: str
) -> Modality:
    """Look up the modality; raise unless it is known and there is a type for every channel."""
    facts = find_modality(modality)
    if ch_types is not None and len(ch_types) != len(ch_names):
        raise ValueError(f"ch_types has {len(ch_types)} entries for {len(ch_names)} channels.")
    return facts


def _how_to_match(
    vocabulary: Sequence[str], mode: str, has_positions: bool, facts: Modality
) -> str:
    known = f"The model knows {quote(vocabulary)}. Rename the channels to their {facts.places}"
    if not facts.on_the_head:
        return f"{known} (rename_channels)."
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
