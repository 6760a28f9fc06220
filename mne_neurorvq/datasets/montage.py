# License: BSD-3-Clause
"""Positions of the electrodes of the 10-20, 10-10 and 10-5 systems."""

from __future__ import annotations

from functools import cache

import mne


@cache
def standard_montage() -> mne.channels.DigMontage:
    """Return MNE's template positions; do not change them."""
    # Before MNE 1.13 the montage had another name, which newer releases warn of.
    known = mne.channels.get_builtin_montages()
    name = "colin27_1005" if "colin27_1005" in known else "standard_1005"
    return mne.channels.make_standard_montage(name)
