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
    """High-pass and low-pass in Hz that a recording states."""
    return float(info["highpass"]), float(info["lowpass"])


def widest_band(bands: Iterable[Band]) -> Band:
    """Lowest high-pass and highest low-pass: what any band passes may be in the signals."""
    highpasses, lowpasses = zip(*bands, strict=True)
    return min(highpasses), max(lowpasses)


def clearly_narrower(band: Band, other: Band) -> bool:
    """Whether a band leaves out much of another."""
    return band[0] > _HIGHPASS_FACTOR * other[0] or band[1] < _LOWPASS_FACTOR * other[1]
