# License: BSD-3-Clause
"""The reference that a model is given: a linear map of the electrodes, computed by MNE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import mne
import numpy as np
from mne._fiff.constants import FIFF
from numpy.typing import NDArray

from .._names import is_derivation, name_key, quote
from .._references import REFERENCES, Reference
from .._warnings import warn
from .conversion import as_trials
from .laplacian import FEWEST_FOR_LAPLACIAN, current_source_density
from .modalities import find_modality, says_other
from .sites import HEAD_RADIUS, fit_sphere, template_positions
from .splines import FEWEST_ELECTRODES
from .trials import AVERAGE_PROJECTOR, CUSTOM_REFERENCE, LAPLACIAN, Trials
from .units import LOUD_IN_AVERAGE, deviations_of, loud_and_flat

#: By how many square metres the Laplacian in V/m² is multiplied. The median deviation of a channel
#: then stays near that of the recording: over S051-S060 of eegmmidb, 0.5-44.5 Hz, the quotient is
#: .0020 m² with 64 channels as with 32 or 19 of them, and .0013 to .0029 in single people.
LAPLACIAN_AREA = 0.002
_REMEDY = (
    "Pass the recording with all its electrodes: the model picks its channels afterwards. Or say "
    "reference='recorded'."
)


@dataclass(frozen=True, eq=False)
class Rereference:
    """Electrodes by their places in the recording that fit saw; positions in metres for splines."""

    kind: Reference
    electrodes: tuple[int, ...]
    positions: NDArray[np.float64] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for a file."""
        positions = None if self.positions is None else self.positions.tolist()
        return {"kind": self.kind, "electrodes": list(self.electrodes), "positions": positions}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Rereference:
        """Undo :meth:`to_dict`."""
        positions = plain["positions"]
        return cls(
            plain["kind"],
            tuple(plain["electrodes"]),
            None if positions is None else np.array(positions, float),
        )


def set_reference(epochs: mne.BaseEpochs, reference: Reference) -> mne.BaseEpochs:
    """Bring trials to a reference, as estimators do before a model's channels are picked.

    Parameters
    ----------
    epochs : mne.Epochs
        Trials, with all their electrodes; they are not changed.
    reference : "recorded" | "average" | "laplacian"
        The average is that of all good EEG channels, in each trial without those that are flat
        there or deviate 6 times as much as the median of the others (as long as these are fewer
        than half): a broken electrode would get into all others. Like those that are marked bad,
        it stays as it is. PREP's robust reference [1]_ is made so, and more. The Laplacian is what
        :func:`mne.preprocessing.compute_current_source_density` makes of them, times 0.002 m², so
        that it is in volts and about as large as the recording. Channels of other signals and
        bipolar derivations stay as they are.

    Returns
    -------
    mne.Epochs
        A copy.

    Raises
    ------
    ValueError
        If there are not enough electrodes, or an electrode has no position for the Laplacian.

    References
    ----------
    .. [1] N. Bigdely-Shamlo, T. Mullen, C. Kothe, K.-M. Su and K. A. Robbins (2015). The PREP
       pipeline: standardized preprocessing for large-scale EEG analysis. Frontiers in
       Neuroinformatics 9, 16.

    Examples
    --------
    >>> from mne_neurorvq.datasets import simulate_epochs
    >>> from mne_neurorvq.signals import set_reference
    >>> epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    >>> bool(abs(set_reference(epochs, "average").get_data().mean(axis=1)).max() < 1e-18)
    True
    """
    copy = epochs.copy().load_data()
    trials = as_trials(copy)
    found = find_reference(trials, reference)
    if found is None:
        return copy
    data = with_reference(trials, found).read()
    copy.apply_function(lambda _: data, picks="all", channel_wise=False, verbose="error")
    mark_reference(copy.info, reference)
    return copy


def find_reference(
    trials: Trials, kind: Reference, modality: str = "eeg", *, insist: bool = True
) -> Rereference | None:
    """Find the electrodes that make a reference, and check that they do; None for the recorded.

    Without insisting, signals of too few electrodes stay as recorded, with a warning.
    """
    if kind not in REFERENCES:
        raise ValueError(f"reference={kind!r} must be one of {REFERENCES}.")
    if kind == "recorded":
        return None
    if modality != "eeg":
        raise ValueError(
            f"reference={kind!r} is for EEG, but the model takes {modality.upper()}: use "
            "reference='recorded'."
        )
    if not insist and any(LAPLACIAN in one for one in trials.applied):
        warn(
            f"The model was made for the reference {kind!r}, but the signals are a Laplacian "
            "already (custom_ref_applied): they stay as they are. Pass the recording, or say "
            "reference='recorded'."
        )
        return None
    electrodes = _electrodes(trials)
    good = [i for i in electrodes if trials.ch_names[i] not in trials.bads]
    enough = {"average": FEWEST_ELECTRODES, "laplacian": FEWEST_FOR_LAPLACIAN}[kind]
    if not insist and len(good) < enough:
        warn(
            f"The model was made for the reference {kind!r}, which {len(good)} good EEG electrode"
            f"{'' if len(good) == 1 else 's'} cannot give (it takes {enough}): signals stay as "
            f"recorded. {_REMEDY}"
        )
        return None
    _check_number(kind, len(good))
    if len(good) < FEWEST_ELECTRODES:
        warn(
            f"reference={kind!r} of {len(good)} electrodes only is far from that of a whole cap, "
            f"which models know. {_REMEDY}"
        )
    if kind == "average":
        return Rereference(kind, tuple(electrodes))
    positions = _positions(trials, electrodes)
    unknown = [
        trials.ch_names[i]
        for i, place in zip(electrodes, positions, strict=True)
        if i in good and np.isnan(place).any()
    ]
    if unknown:
        raise ValueError(
            f"reference='laplacian' needs the positions of all electrodes, but there are none of "
            f"{quote(unknown)}: give them (epochs.set_montage), or mark or drop what is not an "
            "electrode on the scalp (set_channel_types, info['bads'])."
        )
    located = ~np.isnan(positions).any(axis=1)  # a bad one without stays out of it
    electrodes, positions = np.array(electrodes)[located].tolist(), positions[located]
    radius = fit_sphere(positions)[1]
    if not HEAD_RADIUS[0] < radius < HEAD_RADIUS[1]:
        raise ValueError(
            f"reference='laplacian': the electrodes lie on a sphere of radius {radius:.3g} m, "
            "which is not a head's. Positions are in metres (epochs.set_montage)."
        )
    return Rereference(kind, tuple(electrodes), positions)


def check_alike(
    trials: Trials, reference: Rereference | None, of_fit: frozenset[str] | None = None
) -> None:
    """Raise if items have different references and keep them; warn of what else was done to some.

    ``of_fit`` is what was done to what fit saw, None where that is not known.
    """
    names = {CUSTOM_REFERENCE, LAPLACIAN, AVERAGE_PROJECTOR}
    if reference is not None:  # whichever of the others they have, the result is the same
        names = {LAPLACIAN}
    first = trials.applied[0]
    i = next((i for i, one in enumerate(trials.applied) if (one ^ first) & names), None)
    if i is not None:
        has, lacks = (i, 0) if trials.applied[i] & names else (0, i)
        said = [quote(sorted(trials.applied[k] & names)) or "none" for k in (has, lacks)]
        raise ValueError(
            f"X mixes references: item {has} has {said[0]}, item {lacks} {said[1]}. A model would "
            "take them for a difference between recordings: bring all to one "
            "(epochs.set_eeg_reference), or pass reference='average'."
        )
    changed = frozenset() if of_fit is None else (first ^ of_fit) & names - set(trials.waiting)
    if changed:
        warn(
            f"X has another reference than what fit saw: {quote(sorted(changed))} in one of them "
            "only. Bring both to one (epochs.set_eeg_reference), or fit with reference='average'."
        )
    other = {CUSTOM_REFERENCE, LAPLACIAN, AVERAGE_PROJECTOR}
    i = next((i for i, one in enumerate(trials.applied) if (one ^ first) - other), None)
    if i is not None:
        warn(
            f"X mixes projectors: {quote(sorted((first ^ trials.applied[i]) - other), 6)} applied "
            f"in item 0 or item {i}, but not in both. A model would take that for a difference "
            "between recordings: apply the same to all (epochs.add_proj, epochs.apply_proj)."
        )


def kind_of(reference: Rereference | None) -> Reference:
    """Name a reference; None is the recorded one."""
    return "recorded" if reference is None else reference.kind


def with_reference(trials: Trials, reference: Rereference) -> Trials:
    """Bring trials with the channels of fit to a reference."""
    if trials.applied and all(LAPLACIAN in one for one in trials.applied):
        raise ValueError(
            f"reference={reference.kind!r}, but the signals are a Laplacian already "
            "(custom_ref_applied): pass the recording, or reference='recorded'."
        )
    # Whether that is applied or not, the result is the same.
    waiting = {name: where for name, where in trials.waiting.items() if name != AVERAGE_PROJECTOR}
    return replace(trials, waiting=waiting, reader=partial(_read, trials, reference))


def mark_reference(info: mne.Info, reference: Reference) -> None:
    """Note in MNE's way that signals have another reference than the recorded one."""
    if reference == "recorded":
        return
    flag = FIFF.FIFFV_MNE_CUSTOM_REF_ON
    if reference == "laplacian":
        flag = FIFF.FIFFV_MNE_CUSTOM_REF_CSD
    with info._unlock():
        info["custom_ref_applied"] = flag
        info["projs"] = [p for p in info["projs"] if p["desc"] != AVERAGE_PROJECTOR]


def _electrodes(trials: Trials) -> list[int]:
    """Find EEG electrodes, bad ones too."""
    eeg = find_modality("eeg").candidates(trials.ch_names, trials.ch_types, by_name=False)
    return [
        i
        for i in sorted(eeg)
        if not is_derivation(name_key(trials.ch_names[i])) and not says_other(trials.ch_names[i])
    ]


def _check_number(kind: Reference, n_good: int) -> None:
    needed = 2 if kind == "average" else FEWEST_FOR_LAPLACIAN
    if n_good < needed:
        raise ValueError(
            f"reference={kind!r} needs at least {needed} good EEG electrodes, but there "
            f"{'is' if n_good == 1 else 'are'} {n_good}, bipolar derivations aside. {_REMEDY}"
        )


def _positions(trials: Trials, electrodes: Sequence[int]) -> NDArray[np.float64]:
    """Positions of electrodes; where unknown, those of the template if it has the name."""
    template = template_positions()[0]
    known = trials.positions
    places = np.full((len(electrodes), 3), np.nan) if known is None else known[list(electrodes)]
    for i in np.flatnonzero(np.isnan(places).any(axis=1)).tolist():
        places[i] = template.get(name_key(trials.ch_names[electrodes[i]]), np.nan)
    return places


def _read(
    trials: Trials, reference: Rereference, start: int, stop: int, picks: list[int] | None
) -> NDArray[Any]:
    wanted = list(range(len(trials.ch_names))) if picks is None else picks
    rows = [k for k, i in enumerate(wanted) if i in set(reference.electrodes)]
    if not rows:
        return trials.read(start, stop, wanted)
    parts = []
    for first, last, bads in _runs(trials, start, stop):
        good = [i for i in reference.electrodes if trials.ch_names[i] not in bads]
        _check_number(reference.kind, len(good))
        # Trials.read names a channel that is not finite.
        needed = sorted({*good, *wanted})
        place = {i: k for k, i in enumerate(needed)}
        recorded = trials.read(first, last, needed)
        part = recorded[:, [place[i] for i in wanted]]
        takes_part = np.ones((last - first, len(good)), bool)
        if reference.kind == "average":
            takes_part = _takes_part(recorded[:, [place[i] for i in good]])
        for pattern in np.unique(takes_part, axis=0):
            alike = (takes_part == pattern).all(axis=1)
            sound = [i for i, taken in zip(good, pattern, strict=True) if taken]
            sources, weights = _weights(trials, reference, sound, [wanted[k] for k in rows])
            signals = recorded[alike][:, [place[i] for i in sources]]
            part[np.ix_(alike, rows)] = weights @ signals
        parts.append(part)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _takes_part(signals: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which electrodes ``(n_trials, n_electrodes, n_times)`` make the average of their trial.

    Where fewer than half of them are alike nobody knows which are sound: all do.
    """
    loud, flat = loud_and_flat(deviations_of(signals, signals.shape[-1]), LOUD_IN_AVERAGE)
    broken = loud | flat
    return ~broken | (broken.mean(axis=1, keepdims=True) >= 0.5)


def _runs(trials: Trials, start: int, stop: int) -> Iterator[tuple[int, int, frozenset[str]]]:
    """Successive trials of recordings in which the same channels are bad."""
    stops = [*trials.starts[1:], trials.n_trials]
    every = trials.bads_of or (trials.bads,) * len(stops)
    begun, bads = start, None
    for first, last, marked in zip(trials.starts, stops, every, strict=True):
        if last <= start or first >= stop or first == last:
            continue
        if bads is not None and frozenset(marked) != bads:
            yield begun, first, bads
            begun = first
        bads = frozenset(marked)
    if bads is not None:
        yield begun, stop, bads


def _weights(
    trials: Trials, reference: Rereference, good: Sequence[int], wanted: Sequence[int]
) -> tuple[list[int], NDArray[np.float64]]:
    """Electrodes that signals are computed from, and weights ``(n_wanted, n_electrodes)``."""
    bad = [i for i in wanted if i not in set(good)]
    named = quote([trials.ch_names[i] for i in bad])
    if reference.positions is None:
        matrix = _average(len(good), len(bad))
    elif bad:
        raise ValueError(
            f"reference='laplacian' cannot be computed for {named}: marked bad in X, but good in "
            "what fit saw. Interpolate bad channels (epochs.interpolate_bads), or fit again."
        )
    else:
        place = {i: k for k, i in enumerate(reference.electrodes)}
        matrix = _laplacian(reference.positions[[place[i] for i in good]].tobytes())
    sources = [*good, *bad]
    return sources, matrix[[sources.index(i) for i in wanted]]


@lru_cache(maxsize=64)
def _average(n_good: int, n_bad: int) -> NDArray[np.float64]:
    """Give what MNE makes of one volt at each electrode; bad ones, the last, have no part in it."""
    names = [str(i) for i in range(n_good + n_bad)]
    info = mne.create_info(names, 1.0, "eeg", verbose="error")
    info["bads"] = names[n_good:]
    impulses = mne.EvokedArray(np.eye(len(names)), info, verbose="error")
    matrix: NDArray[np.float64] = impulses.set_eeg_reference("average", verbose="error").data
    return matrix


@lru_cache(maxsize=64)
def _laplacian(positions: bytes) -> NDArray[np.float64]:
    return LAPLACIAN_AREA * current_source_density(np.frombuffer(positions).reshape(-1, 3))
