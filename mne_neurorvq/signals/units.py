# License: BSD-3-Clause
"""Units of signals, the factors between them, and the largest values."""

from __future__ import annotations

import numpy as np

#: Units in volts. ``"100uV"`` is BrainRVQ's (microvolts / 100); ``"au"`` has no volts.
VOLTS_PER_UNIT = {"V": 1.0, "mV": 1e-3, "100uV": 1e-4, "uV": 1e-6}
UNITLESS = "au"

#: Models square and sum in single precision: codes and features of larger values, in microvolts or
#: arbitrary units, are meaningless.
LARGEST_UV = 1e15


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
    for unit in (from_unit, to_unit):
        check_unit(unit)
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


def check_unit(unit: str) -> None:
    """Raise if a unit's name is unknown."""
    known = (*VOLTS_PER_UNIT, UNITLESS)
    if unit not in known:
        raise ValueError(f"unit={unit!r} is unknown: use one of {', '.join(map(repr, known))}.")


def too_large(where: str, peak: float, unit: str) -> str:
    """Say that a value is beyond what models can hold."""
    return (
        f"{where} has values up to {peak:.3g} {unit}, too large for single precision: check the "
        "unit and drop what is broken."
    )
