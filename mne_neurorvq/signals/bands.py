# License: BSD-3-Clause
"""What recordings say about their filters, and what that says of recordings joined."""

from __future__ import annotations

from collections.abc import Iterable

import mne

Band = tuple[float, float]

# A high-pass this many times above, or a low-pass this far below another band has removed what is
# in that; 1-40 Hz, a common choice, is still close to 0.5-44.5 Hz.
_HIGHPASS_FACTOR = 4.0
_LOWPASS_FACTOR = 0.8


def stated_band(info: mne.Info) -> Band:
    """Read the band that a recording states.

    Parameters
    ----------
    info : mne.Info
        Measurement information.

    Returns
    -------
    tuple of float
        High-pass and low-pass in Hz.
    """
    return float(info["highpass"]), float(info["lowpass"])


def widest_band(bands: Iterable[Band]) -> Band:
    """Join bands: what any of them lets through may be in the signals.

    Parameters
    ----------
    bands : iterable of (float, float)
        High-pass and low-pass in Hz of each.

    Returns
    -------
    tuple of float
        The lowest high-pass and the highest low-pass.

    Examples
    --------
    >>> widest_band([(0.5, 44.5), (0.1, 40.0)])
    (0.1, 44.5)
    """
    highpasses, lowpasses = zip(*bands, strict=True)
    return min(highpasses), max(lowpasses)


def clearly_narrower(band: Band, other: Band) -> bool:
    """Say whether a band leaves out much of another.

    Parameters
    ----------
    band, other : tuple of float
        High-pass and low-pass in Hz.

    Returns
    -------
    bool
        Whether its high-pass is more than 4 times, or its low-pass below 0.8 times the other's.
    """
    return band[0] > _HIGHPASS_FACTOR * other[0] or band[1] < _LOWPASS_FACTOR * other[1]
