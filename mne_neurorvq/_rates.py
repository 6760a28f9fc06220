# License: BSD-3-Clause
"""When two sampling rates are one."""

from __future__ import annotations

#: Share by which rates may differ and still be one. Rates that files give as decimals (333.3333 Hz)
#: or compute from intervals differ less; the end of a window of an hour moves by 3.6 ms. Rates that
#: were measured differ more: taken for 200 Hz, 199.99 Hz is 3 samples late after five minutes.
RATE_TOLERANCE = 1e-6


def same_rate(sfreq: float, other: float) -> bool:
    """Say whether two sampling rates are one, to within :data:`RATE_TOLERANCE`.

    >>> same_rate(333.3333, 1000 / 3), same_rate(199.99, 200.0)
    (True, False)
    """
    return bool(abs(sfreq - other) <= RATE_TOLERANCE * max(sfreq, other))
