# License: BSD-3-Clause
"""Units of signals: factors between them, and a check that a unit can be true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Units in volts. ``"100uV"`` is BrainRVQ's (microvolts / 100); ``"au"`` has no volts.
VOLTS_PER_UNIT = {"V": 1.0, "mV": 1e-3, "100uV": 1e-4, "uV": 1e-6}
UNITLESS = "au"

# Spontaneous biosignals measured with electrodes lie well between these, in microvolts: below the
# first is what amplifiers add of themselves.
_SMALLEST_UV = 0.1
_LARGEST_UV = 1e4
# Millivolts taken for microvolts lie above, volts below.
_VOLTS_BELOW_UV = 1e-3
# Of windows so short, such as the tables of scikit-learn's checks, small deviations say nothing.
_FEWEST_SAMPLES = 50


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
    >>> unit_factor("V", "uV")
    1000000.0
    >>> unit_factor("uV", "100uV")
    0.01
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
    # A quotient of powers of ten is exact this way round: 1 / 1e-6 is not 1e6 * (1 + eps).
    exponent = round(np.log10(VOLTS_PER_UNIT[from_unit]) - np.log10(VOLTS_PER_UNIT[to_unit]))
    return float(f"1e{exponent}")


def check_unit(unit: str) -> None:
    """Raise if a unit's name is unknown.

    Parameters
    ----------
    unit : str
        Name of a unit.

    Raises
    ------
    ValueError
        If the name is not one of "V", "mV", "100uV", "uV", "au".

    Examples
    --------
    >>> check_unit("uV")
    """
    known = (*VOLTS_PER_UNIT, UNITLESS)
    if unit not in known:
        raise ValueError(f"unit={unit!r} is unknown: use one of {', '.join(map(repr, known))}.")


def check_scale(data: NDArray[np.floating], unit: str) -> None:
    """Raise if the amplitude of signals only makes sense in another unit.

    The amplitude judged is the standard deviation around the median of each trial and channel,
    of which the median over all that are not constant is taken: neither the offset of a
    DC-coupled amplifier, nor a broken channel, nor an artifact decides. Zeros pass.

    Parameters
    ----------
    data : array, shape (..., n_times)
        Signals of the model's own channels (no trigger channels), in ``unit``.
    unit : str
        The unit that the data are said to be in.

    Raises
    ------
    ValueError
        If more than 10 mV is found in data said to be volts or millivolts (they are microvolts),
        less than 1 nV in data said to be microvolts or millivolts (they are volts), or less than
        0.1 uV in data said to be microvolts (they are millivolts).

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.signals import check_scale
    >>> rng = np.random.default_rng(0)
    >>> microvolts = 20 * rng.standard_normal((2, 3, 200))
    >>> check_scale(microvolts, "uV")
    >>> check_scale(1e-6 * microvolts, "uV")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: The signals are said to be in 'uV' but ... looks like volts: pass unit='V'.
    """
    check_unit(unit)
    if unit == UNITLESS:
        return
    typical = typical_deviation(np.asarray(data, dtype=np.float64)) * unit_factor(unit, "uV")
    said = f"The signals are said to be in {unit!r} but their typical standard deviation would be "
    if unit == "V" and typical > _LARGEST_UV:
        raise ValueError(
            f"{said}{typical * 1e-6:.3g} V, which looks like microvolts stored as volts: multiply "
            "Epochs or Raw by 1e-6 (epochs.apply_function(lambda x: x * 1e-6)); for an array pass "
            "unit='uV'."
        )
    if unit == "mV" and typical > _LARGEST_UV:
        raise ValueError(
            f"{said}{typical * 1e-3:.3g} mV, which looks like microvolts: pass unit='uV'."
        )
    if unit in ("mV", "100uV", "uV") and 0 < typical < _VOLTS_BELOW_UV:
        raise ValueError(f"{said}{typical:.3g} uV, which looks like volts: pass unit='V'.")
    if unit == "uV" and 0 < typical < _SMALLEST_UV and data.shape[-1] >= _FEWEST_SAMPLES:
        raise ValueError(
            f"{said}{typical:.3g} uV, less than amplifiers add of themselves, which looks like "
            "millivolts: pass unit='mV'."
        )


def typical_deviation(data: NDArray[np.float64]) -> float:
    """Median standard deviation of the signals that are not constant; 0 if all are."""
    if data.size == 0:
        return 0.0
    centred = data - np.median(data, axis=-1, keepdims=True)
    deviations = np.sqrt(np.mean(centred**2, axis=-1))
    moving = deviations[deviations > 0]
    return float(np.median(moving)) if moving.size else 0.0
