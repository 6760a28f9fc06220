# License: BSD-3-Clause
"""Units of signals, the factors between them, and which standard deviations indicate another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Runs = list[tuple[int, int]]

#: Units in volts. ``"100uV"`` is BrainRVQ's (microvolts / 100); ``"au"`` has no volts.
VOLTS_PER_UNIT = {"V": 1.0, "mV": 1e-3, "100uV": 1e-4, "uV": 1e-6}
UNITLESS = "au"

#: Models square and sum in single precision: codes and features of larger values, in microvolts or
#: arbitrary units, are meaningless.
LARGEST_UV = 1e15


@dataclass(frozen=True)
class Amplitude:
    """Usual standard deviation of a kind of signal, and limits that none of them crosses.

    The limits leave room for noise and artifacts, with and without filters. Amplifier noise lies
    below the first. Recordings between them and ``rare`` may be real, or wrong by a factor of 1000.
    """

    usual: float
    smallest: float
    largest: float
    kind: str
    unit: str = "uV"
    rare: tuple[float, float] = (0.0, np.inf)


#: More than half of the channels of an EEG are never beyond. Recordings of 43 people (eegmmidb,
#: S017-S060) deviate by 8.7 to 67 microvolts, single trials of 4 s by 5 to 200, and filtered to
#: 30-44.5 Hz by 1.1 to 23.
EEG_AMPLITUDE = Amplitude(usual=20.0, smallest=0.1, largest=2e3, kind="EEG", rare=(0.5, 500.0))
# No amplifier reaches a volt.
_IMPOSSIBLE = 1e6
# Deviations of shorter windows, such as the tables of scikit-learn's checks, say little.
FEWEST_SAMPLES = 50
_SMALLEST_OF_FEW = 1e-3

# Deviations are taken over so many seconds: drifts are slower.
PIECE = 2.0
# Trials of another unit differ from the others by this factor, but among themselves by less. They
# are at least this share of the trials (fewer may be artifacts, or flat), or so many follow each
# other, which artifacts hardly do.
_OTHER_UNIT = 100.0
_LEAST_SHARE = 0.1
LEAST_RUN = 4
# Deviations this far below the others, or of fewer roundings, count as zero.
_DUST = 1e-9
_ROUNDINGS = 100

# A channel this far below the median of the channels is flat.
FLAT = 1e-3
#: Electrodes that deviate so many times as much as the median of the others have no part in an
#: average. Sound ones reach 6.3 in the blinks of one person and 5.7 in those of 42 others
#: (eegmmidb, S017-S060, trials of 4 s, 64 channels); 20 times the quietest of a 10-20 cap is 6.4 or
#: more.
LOUD_IN_AVERAGE = 6.0

# Channels in another unit are at least this share of all if they are louder, or quieter; fewer are
# broken. At least so many decades lie between them and the others, and their medians differ from a
# factor of 1000 or 1000000 by no more than so many.
_LEAST_LOUDER = 0.25
_LEAST_QUIETER = 0.5
_GAP = 1.5
_DECADES_FROM_FACTOR = 0.75

_NAMES = {"V": "volts", "mV": "millivolts", "uV": "microvolts"}


def unit_factor(from_unit: str, to_unit: str) -> float:
    """Give the number that turns values in one unit into values in another.

    Parameters
    ----------
    from_unit, to_unit : "V" | "mV" | "100uV" | "uV" | "au"
        The units. ``"au"`` (arbitrary units) converts to itself only.

    Returns
    -------
    factor : float
        ``values_in_to_unit = factor * values_in_from_unit``.

    Raises
    ------
    ValueError
        If a unit is unknown, or if one of the two is ``"au"``.

    Examples
    --------
    >>> from mne_neurorvq.signals import unit_factor
    >>> unit_factor("V", "uV"), unit_factor("uV", "100uV")
    (1000000.0, 0.01)
    """
    known = (*VOLTS_PER_UNIT, UNITLESS)
    for unit in (from_unit, to_unit):
        if unit not in known:
            raise ValueError(f"unit={unit!r} is unknown: use one of {', '.join(map(repr, known))}.")
    if from_unit == to_unit:
        return 1.0
    if UNITLESS in (from_unit, to_unit):
        raise ValueError(
            f"unit {from_unit!r} cannot be converted to {to_unit!r}: arbitrary units have no "
            f"volts. Bring the signal to {to_unit!r} yourself and pass unit={to_unit!r}."
        )
    # Exact, unlike the quotient of the two.
    exponent = round(np.log10(VOLTS_PER_UNIT[from_unit]) - np.log10(VOLTS_PER_UNIT[to_unit]))
    return float(f"1e{exponent}")


def too_large(where: str, peak: float, unit: str) -> str:
    """Say that a value is beyond what models can hold."""
    return (
        f"{where} has values up to {peak:.3g} {unit}, too large for single precision: check the "
        "unit and drop what is broken."
    )


def check_units_of_channels(
    names: Sequence[str],
    deviations: NDArray[np.float64],
    unit: str,
    who: str,
    how: str = " (apply_function takes picks=)",
    expected: Amplitude = EEG_AMPLITUDE,
) -> None:
    """Raise if some channels are in another unit; ``deviations`` are (n_trials, n_channels).

    ``who`` stands before the names, ``how`` says how to multiply some channels.
    """
    levels = median_of_moving(deviations.T) * unit_factor(unit, expected.unit)
    order = np.argsort(levels)[(levels == 0).sum() :]
    gaps = np.diff(np.log10(levels[order])) > _GAP
    for split in (np.flatnonzero(gaps) + 1).tolist():
        quieter, louder = order[:split], order[split:]
        for wrong, others, share in (
            (louder, quieter, _LEAST_LOUDER),
            (quieter, louder, _LEAST_QUIETER),
        ):
            level, usual = np.median(levels[wrong]), np.median(levels[others])
            apart = abs(np.log10(level / usual))
            power = 3 * round(apart / 3)
            if (
                power in (3, 6)
                and abs(apart - power) < _DECADES_FROM_FACTOR
                and len(wrong) >= share * len(order)
                and (len(wrong) > 1 or power == 6)
                and outside(level, FEWEST_SAMPLES, expected)
                and not outside(usual, FEWEST_SAMPLES, expected)
            ):
                named = ", ".join(repr(names[i]) for i in np.sort(wrong))
                raise unit_error(
                    f"{who} {named}",
                    level,
                    unit,
                    f"these channels alone{how}",
                    others=f"{usual:.3g} {expected.unit}",
                    example=False,
                    expected=expected,
                )


def deviations_of(signals: NDArray[np.float64], piece: int) -> NDArray[np.float64]:
    """Typical standard deviation of signals ``(..., n_times)`` within pieces; 0 if constant."""
    n_times = signals.shape[-1]
    count = max(1, n_times // piece)
    size = n_times // count
    pieces = signals[..., : count * size].reshape(*signals.shape[:-1], count, size)
    with np.errstate(over="ignore", invalid="ignore"):
        deviations = np.nan_to_num(pieces.std(axis=-1), posinf=1e150)
    rounding = _ROUNDINGS * np.finfo(np.float64).eps * np.abs(pieces).max(axis=-1)
    return median_of_moving(np.where(deviations > rounding, deviations, 0.0))


def median_of_moving(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median over the last axis without zeros; 0 if there are only zeros."""
    ordered = np.sort(values, axis=-1)
    first = (ordered == 0).sum(axis=-1, keepdims=True)
    last = ordered.shape[-1] - 1
    pair = np.concatenate([(first + last) // 2, (first + last + 1) // 2], axis=-1)
    medians: NDArray[np.float64] = np.take_along_axis(ordered, np.minimum(pair, last), -1).mean(-1)
    return medians


def loud_and_flat(
    deviations: NDArray[np.float64], most: float | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which channels are loud or flat beside the others, by trial; both (n_trials, n_channels)."""
    if deviations.shape[1] < 2:
        return np.zeros_like(deviations, bool), np.zeros_like(deviations, bool)
    typical = median_of_moving(deviations)[:, None]
    # The median of the others, if one is above it.
    others = median_of_moving(np.sort(deviations)[:, :-1])[:, None]
    loud = np.zeros_like(deviations, bool)
    if most is not None:
        loud = (others > 0) & (deviations > most * others)
    return loud, deviations < FLAT * typical


def levels_of(
    deviations: NDArray[np.float64], unit: str, expected: Amplitude = EEG_AMPLITUDE
) -> NDArray[np.float64]:
    """Typical deviation of each trial in the unit of what is expected; 0 if it is constant.

    Of two channels it is the lower one unless that is flat: loudness says little about the unit.
    """
    flat = deviations < FLAT * median_of_moving(deviations)[..., None]
    ordered = np.sort(np.where(flat, 0.0, deviations), axis=-1)
    first = (ordered == 0).sum(axis=-1, keepdims=True)
    last = ordered.shape[-1] - 1
    lower = np.minimum((first + last) // 2, last)
    levels: NDArray[np.float64] = np.take_along_axis(ordered, lower, -1)[..., 0]
    return levels * unit_factor(unit, expected.unit)


def outside(levels: Any, n_times: int, expected: Amplitude = EEG_AMPLITUDE) -> Any:
    """Which levels of trials of n_times samples no such signal has; 0 is allowed."""
    if n_times < FEWEST_SAMPLES:
        return (levels > 0) & (levels < _SMALLEST_OF_FEW)
    return (levels > expected.largest) | ((levels > 0) & (levels < expected.smallest))


def misfits(
    levels: NDArray[np.float64],
    n_times: int,
    least_share: float = _LEAST_SHARE,
    least_run: int = LEAST_RUN,
    *,
    recorded: bool = True,
    expected: Amplitude = EEG_AMPLITUDE,
) -> NDArray[np.bool_]:
    """Which trials of a recording are in another unit: all, a group or a run of them, or none.

    Nothing recorded by an amplifier can exceed its range, not even in a single trial.
    """
    moving = levels > _DUST * levels.max()
    if not moving.any():
        return moving
    typical = np.median(levels[moving])
    wrong = moving & outside(levels, n_times, expected)
    if outside(typical, n_times, expected):
        return wrong if wrong.any() else moving
    for apart in (levels > typical * _OTHER_UNIT, levels < typical / _OTHER_UNIT):
        group = levels[wrong & apart]
        enough = len(group) > 1 and len(group) >= least_share * moving.sum()
        if enough and group.max() <= _OTHER_UNIT * group.min():
            return wrong & apart
        for start, stop in find_runs(wrong & apart) if len(group) else ():
            run = levels[start:stop]
            if len(run) >= least_run and run.max() <= _OTHER_UNIT * run.min():
                return wrong & (np.arange(len(levels)) >= start) & (np.arange(len(levels)) < stop)
    impossible = wrong & (levels > _IMPOSSIBLE)
    return impossible if recorded or impossible.sum() > 1 else np.zeros_like(moving)


def find_runs(mask: NDArray[np.bool_]) -> Runs:
    """Find where (start, stop) true values follow each other."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)).reshape(-1, 2)
    return [(start, stop) for start, stop in edges.tolist()]


def unit_error(
    who: str,
    level: float,
    unit: str,
    what: str = "",
    *,
    others: str = "",
    example: bool = True,
    expected: Amplitude = EEG_AMPLITUDE,
) -> ValueError:
    """Say in which unit signals of a level in the expected unit seem to be, and how to correct it.

    ``what`` is what to multiply; without it, X is an array, and its ``unit=`` may be changed.
    """
    true_unit, factor = _true_unit(level, unit, expected)
    remedy = f"multiply {what or 'them'} by {factor}"
    if expected.unit == UNITLESS:
        looks = f"far from the {expected.usual:g} of the signals that models have seen"
    elif true_unit is not None:
        looks = f"which looks like {_NAMES[true_unit]}"
        if what:
            looks += f" stored as {_NAMES.get(unit, unit)}"
        else:
            remedy = f"pass unit={true_unit!r}"
    elif level < expected.usual:
        looks = "less than amplifiers add of themselves"
    else:
        looks = f"more than any {expected.kind} has"
    if what and example:
        remedy += f", for example with load_data().apply_function(lambda x: x * {factor})"
    beside = f" (others: {others})" if others else ""
    return ValueError(
        f"{who} are said to be in {unit!r} but their typical standard deviation would be "
        f"{level * unit_factor(expected.unit, unit):.3g} {unit}{beside}, {looks}: {remedy}."
    )


def _true_unit(level: float, unit: str, expected: Amplitude) -> tuple[str | None, str]:
    """Find the unit in which signals of a level are usual, and the factor that makes them so."""
    ratio = np.log10(expected.usual / level)
    if expected.unit == UNITLESS:
        return None, f"1e{round(ratio)}"
    for other in _NAMES:
        exponent = round(np.log10(unit_factor(other, unit)))
        if abs(exponent - ratio) <= 1.5:
            return other, f"1e{exponent}"
    return None, f"1e{3 * round(ratio / 3)}"
