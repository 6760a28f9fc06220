# License: BSD-3-Clause
"""Checks of amplitudes: a wrong unit, an offset, a loud or flat channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._references import Reference
from .._warnings import warn
from .channel_report import ChannelMatch
from .modalities import MODALITIES
from .trials import Trials
from .units import (
    FEWEST_SAMPLES,
    LEAST_RUN,
    LOUD_IN_AVERAGE,
    PIECE,
    UNITLESS,
    Amplitude,
    check_units_of_channels,
    deviations_of,
    levels_of,
    loud_and_flat,
    median_of_moving,
    misfits,
    outside,
    unit_error,
    unit_factor,
)

Recording = tuple[int | None, NDArray[np.intp]]
# Trials that are read of all, and at least of each recording.
_TO_JUDGE = 64
_OF_EACH = 4
# Trials in memory at a time.
_AT_ONCE = 8

# Offsets beyond this many standard deviations make reconstructions clearly worse.
_LARGEST_OFFSET = 3.0
# In fewer trials it is an artifact.
_LEAST_TRIALS = 0.1
# Levels that one factor corrects differ by fewer decades.
_DECADES = 1.5


def check_amplitude(
    trials: Trials,
    matches: Sequence[ChannelMatch],
    *,
    joint: bool = True,
    warned: frozenset[str] = frozenset(),
    modality: str = "eeg",
    reference: Reference = "recorded",
) -> frozenset[str]:
    """Check that the amplitude of trials makes sense in their unit, and look for broken channels.

    Some trials, spread evenly over all, are read. The unit is judged for each recording (an array,
    or an item with more than one trial of a list of Epochs or dataset), and within it for groups of
    trials, four or more in a row, and for groups of channels that differ from the others by orders
    of magnitude. A single trial may be an artifact, or flat: it raises only if no amplifier could
    have recorded it, and it is not from an array.

    Parameters
    ----------
    trials : Trials
        The trials.
    matches : sequence of ChannelMatch
        Report of :func:`match_channels`: only channels that take part are judged.
    joint : bool
        Whether the model sees all channels together, so that a loud one, or one far from zero,
        spoils the codes of the others. Otherwise only the unit is judged.
    warned : frozenset of str
        What an earlier call returned: there is no second warning of it.
    modality : "eeg" | "emg" | "ecg" | "ppg"
        Kind of signal.
    reference : "recorded" | "average" | "laplacian"
        What the model is given: channels that an average leaves out are named.

    Returns
    -------
    frozenset of str
        What there was to warn of: ``"rare"``, ``"offset"``, and channels by name.

    Raises
    ------
    ValueError
        If an amplitude only makes sense in another unit. The message names the item, trials or
        channels, and the factor.

    Warns
    -----
    UserWarning
        If the amplitude of a recording is rare, so that a factor of 1000 is likely; if the signals
        lie more than 3 standard deviations from zero (not in arbitrary units), or
        if a channel is 20 times as loud as the median of the others (for EMG, 200 times; where
        there is an average reference, 6 times), or flat, in more than a tenth of the trials.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.signals import as_trials, check_amplitude, match_channels
    >>> volts = 1e-5 * np.random.default_rng(0).standard_normal((5, 1, 200))
    >>> trials = as_trials(volts, ch_names=["Cz"], sfreq=200.0, unit="V")
    >>> check_amplitude(trials, match_channels(["Cz"], ["cz"]))
    frozenset()
    """
    # Channels of the recording, those included that sites or the reference are computed from.
    recorded_matches = matches[: len(trials.ch_names)]
    picks = [
        i
        for i, m in enumerate(recorded_matches)
        if m.row is not None or m.how == "source" or m.reference
    ]
    # Items of one trial are what scikit-learn makes of a recording that it splits: they have no
    # number, and count as one recording.
    every = np.arange(trials.n_trials)
    items = np.split(every, trials.starts[1:])
    single = [item for item in items if len(item) == 1]
    recordings: list[Recording] = [(n, item) for n, item in enumerate(items) if len(item) > 1]
    if len(items) == 1:
        recordings = [(None, every)]
    elif single:
        recordings.append((None, np.concatenate(single)))
    spread = [(every, _TO_JUDGE), *((item, _OF_EACH) for _, item in recordings)]
    places = [
        item[np.linspace(0, len(item) - 1, most).round().astype(int)] for item, most in spread
    ]
    chosen = np.unique(np.concatenate(places))
    deviations, means = _measure(trials, picks, chosen)
    members = [np.isin(chosen, indices) for _, indices in recordings]
    expected, loud = MODALITIES[modality].amplitude, MODALITIES[modality].loud
    judged = trials.unit != UNITLESS or expected.unit == UNITLESS
    # Where no deviation is unusual, no median of channels or trials is.
    if (
        judged
        and outside(
            deviations * unit_factor(trials.unit, expected.unit), trials.n_times, expected
        ).any()
    ):
        for (number, indices), member in zip(recordings, members, strict=True):
            _check_unit(
                trials, picks, number, indices, chosen[member], deviations[member], expected
            )
    if trials.n_times < FEWEST_SAMPLES:
        return frozenset()
    typical = [float(median_of_moving(deviations[member].ravel())) for member in members]
    rare = 0.0
    for member, deviation in zip(members, typical, strict=True) if judged else ():
        level = deviation * unit_factor(trials.unit, expected.unit)
        if not expected.rare[0] <= level <= expected.rare[1]:
            # Of two channels, the louder one says little.
            level = float(median_of_moving(levels_of(deviations[member], trials.unit, expected)))
            rare = rare if expected.rare[0] <= level <= expected.rare[1] else level
    found = {"rare"} if rare else set()
    if rare and "rare" not in warned:
        what, factor = ("small", "1e3") if rare < expected.usual else ("large", "1e-3")
        warn(
            f"A typical standard deviation of {_rounded(rare)} {expected.unit} is rare: "
            f"{expected.kind} has {expected.rare[0]:g} to {expected.rare[1]:g}. Look whether the "
            f"signals are 1000 times too {what}; if so, multiply them by {factor}."
        )
    if not joint:
        return frozenset(found)
    spoil = "The model sees all channels together, so that they spoil the codes of the others. "
    if reference == "average":
        loud, spoil = LOUD_IN_AVERAGE, "The average reference of such trials leaves them out. "
    apart = loud_and_flat(deviations, loud)
    broken = {}
    if np.any(apart):
        broken = _broken_channels([trials.ch_names[i] for i in picks], deviations, *apart)
    new = [text for key, text in broken.items() if key not in warned]
    if new:
        warn(
            f"Channels that look broken: {', '.join(new)}. {spoil if loud else ''}"
            "Mark them as bad before fit (epochs.info['bads']), drop them, or repair them "
            "(epochs.interpolate_bads, after epochs.set_montage)."
        )
    times, offset = 0.0, 0.0
    for member, usual in zip(members, typical, strict=True) if judged else ():
        # Median over trials, since an artifact is not an offset; RMS over channels, since one
        # channel spoils the codes of the others.
        distance = float(np.sqrt(np.mean(np.median(np.abs(means[member]), axis=0) ** 2)))
        if 0 < _LARGEST_OFFSET * usual < distance and distance / usual > times:
            times, offset = distance / usual, distance
    if times and "offset" not in warned:
        warn(
            f"The signals lie {_rounded(offset)} {trials.unit} from zero, {_rounded(times)} times "
            "their standard deviation, but models are trained on high-passed signals: codes and "
            "features mean little. mne_neurorvq.preprocess(raw, pretrained) applies the model's "
            "filters."
        )
    return frozenset([*found, *broken, *(["offset"] if times else [])])


def _measure(
    trials: Trials, picks: Sequence[int], indices: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Deviations and means of trials, both (n_trials, n_channels); neighbours are read together."""
    piece = max(1, round(PIECE * trials.sfreq))
    deviations, means = [], []
    for run in np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1):
        for start in range(run[0], run[-1] + 1, _AT_ONCE):
            signals = trials.read(start, min(start + _AT_ONCE, run[-1] + 1), picks)
            deviations.append(deviations_of(signals, piece))
            means.append(signals.mean(axis=-1))
    return np.concatenate(deviations), np.concatenate(means)


def _check_unit(
    trials: Trials,
    picks: Sequence[int],
    number: int | None,
    indices: NDArray[np.intp],
    chosen: NDArray[np.intp],
    deviations: NDArray[np.float64],
    expected: Amplitude,
) -> None:
    """Raise if channels, a group of trials or all of a recording are in another unit."""
    recorded = trials.ch_types is not None
    if trials.n_times >= FEWEST_SAMPLES:
        check_units_of_channels(
            [trials.ch_names[i] for i in picks],
            deviations,
            trials.unit,
            "The signals of channels" if number is None else f"Item {number}: channels",
            **({} if recorded else {"how": ""}),
            expected=expected,
        )
    levels = levels_of(deviations, trials.unit, expected)
    wrong = misfits(levels, trials.n_times, recorded=recorded, expected=expected)
    strange = np.isin(indices, chosen[outside(levels, trials.n_times, expected)])
    if strange.any() and not wrong.any():
        # The neighbours of these trials tell an artifact from another recording.
        near = np.convolve(strange, np.ones(2 * LEAST_RUN - 1))[LEAST_RUN - 1 : 1 - LEAST_RUN] > 0
        near |= np.isin(indices, chosen)
        levels = levels_of(_measure(trials, picks, indices[near])[0], trials.unit, expected)
        wrong = misfits(levels, trials.n_times, recorded=recorded, expected=expected)
    if wrong.any():
        # All the trials of the recording are read only now, to name those that are wrong.
        every = levels_of(_measure(trials, picks, indices)[0], trials.unit, expected)
        level = np.sort(levels[wrong])[(wrong.sum() - 1) // 2]
        raise _error_of_trials(trials, number, indices, every, level, expected)


def _error_of_trials(
    trials: Trials,
    number: int | None,
    indices: NDArray[np.intp],
    levels: NDArray[np.float64],
    level: float,
    expected: Amplitude,
) -> ValueError:
    """Name the trials of a recording whose levels are wrong by the same factor as a given one."""
    usual = expected.usual
    alike = outside(levels, trials.n_times, expected) & ((levels > usual) == (level > usual))
    with np.errstate(divide="ignore"):
        same_factor = alike & (np.abs(np.log10(levels / level)) < _DECADES)
    if same_factor.sum() < (1 - _LEAST_TRIALS) * alike.sum():
        alike = same_factor  # the others need another factor
    level = float(np.median(levels[alike])) if alike.any() else level
    rest = (levels > 0) & ~alike
    is_array = trials.ch_types is None
    if not rest.any() and len(indices) == len(trials):
        what = "" if is_array else "Epochs or Raw"
        return unit_error("The signals", level, trials.unit, what, expected=expected)
    if not rest.any() and number is not None:
        return unit_error(
            f"Item {number}: the signals", level, trials.unit, f"item {number}", expected=expected
        )
    named = _name_trials(indices[alike]) + ("" if number is None else f" in item {number}")
    return unit_error(
        f"{named.capitalize()}: the signals",
        level,
        trials.unit,
        named if is_array else "the recording that they come from",
        others=f"{np.median(levels[rest]):.3g} {expected.unit}" if rest.any() else "",
        example=not is_array,
        expected=expected,
    )


def _broken_channels(
    names: Sequence[str],
    deviations: NDArray[np.float64],
    loud: NDArray[np.bool_],
    flat: NDArray[np.bool_],
) -> dict[str, str]:
    """Describe the channels that are loud or flat in more than a few trials, by a key for each."""
    found = {}
    for i, name in enumerate(names):
        if loud[:, i].mean() > _LEAST_TRIALS:
            others = median_of_moving(np.delete(deviations[loud[:, i]], i, axis=1))
            times = _rounded(np.median(deviations[loud[:, i], i] / others))
            found[f"loud {name}"] = f"{name!r} ({times} times the deviation of the others)"
        elif flat[:, i].mean() > _LEAST_TRIALS:
            found[f"flat {name}"] = f"{name!r} (flat)"
    return found


def _rounded(value: float) -> str:
    """One digit, so that all folds of a recording give the same message."""
    return f"{float(f'{value:.1g}'):g}"


def _name_trials(numbers: NDArray[np.intp]) -> str:
    """Name trials by ascending numbers, those that follow each other as a range."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    texts = [f"{part[0]}" if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts]
    more = f" and {len(texts) - 10} more ranges" if len(texts) > 10 else ""
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(texts[:10])}{more}"


def warn_of_silence(trials: Trials, silent: Sequence[int]) -> None:
    """Warn of the trials, by number, that are constant in every channel that a model gets."""
    if trials.n_times < FEWEST_SAMPLES:
        return
    if len(silent) < len(trials):
        named = _name_trials(np.sort(silent)).capitalize()
        found = f"{named} of {len(trials)} {'is' if len(silent) == 1 else 'are'}"
    elif len(trials) == 1:
        found = "X holds no signal: its only trial is"
    else:
        found = f"X holds no signal: all {len(trials)} trials are"
    warn(
        f"{found} constant in every channel that the model gets: such codes and features mean "
        "nothing. Drop them (epochs.drop, or flat= when Epochs are made), and look "
        "whether the recording was read whole."
    )
