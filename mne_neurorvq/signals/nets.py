# License: BSD-3-Clause
"""Geodesic sensor nets, and the table in which their maker equates electrodes and 10-10 sites."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .sites import fit_sphere, montage_positions, on_sphere

# E1 as MNE and EGI write it, "EEG 001" as older versions do.
_ELECTRODE = re.compile(r"e?0*([1-9]\d*)")
# Electrodes of another net with the same numbers lie farther away on average, digitised ones less.
_SAME_NET_MM = 20.0
_FEWEST = 8


@dataclass(frozen=True)
class Net:
    """A net: MNE's name of its montage, and 10-10 sites with the numbers of their electrodes."""

    montage: str
    equivalents: str

    @property
    def electrodes(self) -> dict[str, int]:
        """Number of the electrode of each site."""
        pairs = (pair.split("=") for pair in self.equivalents.split())
        return {site: int(number) for site, number in pairs}


# P. Luu and T. Ferree (2005). Determination of the HydroCel Geodesic Sensor Nets' average electrode
# positions and their 10-10 international equivalents. Technical note, Electrical Geodesics, Inc.
NETS = (
    Net(
        "GSN-HydroCel-32",
        "fp1=1 fp2=2 f7=11 f3=3 fz=17 f4=4 f8=12 t7=13 c3=5 c4=6 t8=14 p7=15 p3=7 pz=19 p4=8 p8=16 "
        "o1=9 oz=20 o2=10",
    ),
    Net(
        "GSN-HydroCel-65_1.0",
        "fp1=10 fp2=5 f7=18 f3=12 fz=6 f4=60 f8=58 fcz=4 t7=24 c3=20 c4=50 t8=52 p7=30 p3=28 pz=34 "
        "p4=42 p8=44 o1=35 oz=37 o2=39",
    ),
    Net(
        "GSN-HydroCel-129",
        "fp1=22 fpz=15 fp2=9 af7=26 af3=23 afz=16 af4=3 af8=2 f9=32 f7=33 f5=27 f3=24 f1=19 fz=11 "
        "f2=4 f4=124 f6=123 f8=122 f10=1 ft9=38 ft7=34 fc5=28 fc3=29 fc1=13 fcz=6 fc2=112 fc4=111 "
        "fc6=117 ft8=116 ft10=121 t9=44 t7=45 c5=41 c3=36 c1=30 c2=105 c4=104 c6=103 t8=108 "
        "t10=114 tp9=57 tp7=46 cp5=47 cp3=42 cp1=37 cpz=55 cp2=87 cp4=93 cp6=98 tp8=102 tp10=100 "
        "p9=64 p7=58 p5=51 p3=52 p1=60 pz=62 p2=85 p4=92 p6=97 p8=96 p10=95 po7=65 po3=67 poz=72 "
        "po4=77 po8=90 o1=70 oz=75 o2=83",
    ),
    Net(
        "GSN-HydroCel-257",
        "fp1=37 fpz=26 fp2=18 af7=46 af3=34 af4=12 af8=10 f9=252 f7=47 f5=48 f3=36 f1=29 fz=21 "
        "f2=5 f4=224 f6=222 f8=2 f10=226 ft9=67 ft7=62 fc5=49 fc3=42 fc1=24 fcz=15 fc2=207 fc4=206 "
        "fc6=213 ft8=211 ft10=219 t9=68 t7=69 c5=64 c3=59 c1=44 c2=185 c4=183 c6=194 t8=202 "
        "t10=210 tp9=94 tp7=84 cp5=76 cp3=66 cp1=79 cpz=81 cp2=143 cp4=164 cp6=172 tp8=179 "
        "tp10=190 p9=106 p7=96 p5=86 p3=87 p1=88 pz=101 p2=142 p4=153 p6=162 p8=170 p10=169 "
        "po7=97 po3=109 poz=119 po4=140 po8=161 o1=116 oz=126 o2=150",
    ),
)


def published_sites(keys: Sequence[str], positions: NDArray[np.floating]) -> dict[int, str] | None:
    """Sites by channel in the table of a net's maker; None if this is not a known net."""
    numbers = {
        int(found[1]): i for i, key in enumerate(keys) if (found := _ELECTRODE.fullmatch(key))
    }
    located = {n: i for n, i in numbers.items() if not np.isnan(positions[i]).any()}
    if len(located) < _FEWEST:
        return None
    for net in NETS:
        known = montage_positions(net.montage)
        if not all(f"e{n}" in known for n in located):
            continue
        theirs = np.array([known[f"e{n}"] for n in located])
        # Through the electrodes at hand only: part of a net has another sphere than the whole net.
        ours = on_sphere(np.array([positions[i] for i in located.values()]), fit_sphere(theirs))
        if ours is None:
            return None
        if 1e3 * np.linalg.norm(ours - theirs, axis=1).mean() < _SAME_NET_MM:
            return {numbers[n]: site for site, n in net.electrodes.items() if n in numbers}
    return None
