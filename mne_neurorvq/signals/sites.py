# License: BSD-3-Clause
"""Positions of 10-05 sites, and the nearest sites to electrodes of unknown name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import mne
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

#: Electrodes farther than this from every free site are left out; neighbours lie 20-40 mm apart.
MAX_DISTANCE_MM = 30.0

# Both are 10-05 positions, on two different heads; a recording is compared with both.
_TEMPLATES = ("colin27_1005", "fsaverage_1005")
_TEMPLATES_BEFORE_MNE_1_13 = ("standard_1005",)
# The older 10-05 names of the row between FC and C.
_OTHER_NAMES = {f"cfc{i}": f"fcc{i}" for i in range(1, 7)}
# A sphere through fewer electrodes, or of a size that no head has, says nothing about the head.
_MIN_ON_SPHERE = 8
_HEAD_RADIUS = (0.06, 0.14)

_Sphere = tuple[NDArray[np.float64], float]


def nearest_sites(
    wanted: Sequence[int],
    names: Sequence[str],
    positions: NDArray[np.floating],
    free: Sequence[str],
) -> dict[int, tuple[str | None, float]]:
    """Assign electrodes to the nearest 10-05 sites, one electrode to a site.

    Head models differ: the same cap lies up to 3 cm apart on MNE's spherical and realistic
    templates, more than the distance between neighbours. The electrodes are therefore compared
    with two templates, as they are and after fitting the sphere through them to
    the template's, and the comparison with the smallest mean distance counts.

    Parameters
    ----------
    wanted : sequence of int
        Indices of the electrodes to be assigned.
    names : sequence of str
        Lower-case names of all electrodes; a name of the template gives an unknown position.
    positions : array, shape (n_electrodes, 3)
        Positions in metres in MNE's head frame, NaN where unknown.
    free : sequence of str
        Lower-case names of sites that may be taken.

    Returns
    -------
    assigned : dict
        For each of ``wanted``: site and distance in mm; site None and distance inf if it is too
        far from all free sites; site None and distance NaN if it has no position.

    Examples
    --------
    >>> cz = template_positions()[0]["cz"]
    >>> nearest_sites([0], ["e1"], cz[None], ["fz", "cz"])
    {0: ('cz', 0.0)}
    """
    best: dict[int, tuple[str | None, float]] = dict.fromkeys(wanted, (None, np.nan))
    lowest = np.inf
    for template in template_positions():
        sites = [site for site in free if site in template]
        if not sites:
            continue
        targets = np.array([template[site] for site in sites])
        for aligned in _alignments(positions, np.array(list(template.values()))):
            for i in np.flatnonzero(np.isnan(aligned).any(axis=1)).tolist():
                aligned[i] = template.get(names[i], np.nan)
            located = [i for i in wanted if not np.isnan(aligned[i]).any()]
            if not located:
                continue
            distances = 1e3 * cdist(aligned[located], targets)
            cost, pairs = _assign(distances)
            if cost < lowest:
                lowest = cost
                best |= dict.fromkeys(located, (None, np.inf))
                best |= {located[k]: (sites[j], distance) for k, j, distance in pairs}
    return best


@lru_cache(maxsize=1)
def template_positions() -> tuple[dict[str, NDArray[np.float64]], ...]:
    """Positions of all 10-05 sites in MNE's head frame, on each template head.

    Returns
    -------
    templates : tuple of dict
        Lower-case name to position in metres, shape (3,).

    Examples
    --------
    >>> sorted(template_positions()[0])[:2]
    ['a1', 'a2']
    """
    builtin = mne.channels.get_builtin_montages()
    names = [name for name in _TEMPLATES if name in builtin] or _TEMPLATES_BEFORE_MNE_1_13
    return tuple(_head_positions(name) for name in names)


def _head_positions(montage_name: str) -> dict[str, NDArray[np.float64]]:
    montage = mne.channels.make_standard_montage(montage_name)
    # Only an Info brings a montage into the head frame, in which recordings store positions.
    info = mne.create_info(montage.ch_names, 1.0, "eeg", verbose="error")
    info.set_montage(montage, verbose="error")
    sites = {ch["ch_name"].lower(): np.array(ch["loc"][:3], float) for ch in info["chs"]}
    for other, name in _OTHER_NAMES.items():
        sites.setdefault(other, sites[name])
    return sites


def _alignments(
    positions: NDArray[np.floating], template: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Give the positions as they are and, if a sphere fits them, on the template's sphere."""
    unchanged = np.array(positions, dtype=np.float64)
    known = unchanged[~np.isnan(unchanged).any(axis=1)]
    if len(known) < _MIN_ON_SPHERE:
        return [unchanged]
    centre, radius = fitted_sphere(known)
    if not _HEAD_RADIUS[0] < radius < _HEAD_RADIUS[1]:
        return [unchanged]
    template_centre, template_radius = fitted_sphere(template)
    moved = (unchanged - centre) * (template_radius / radius) + template_centre
    return [unchanged, moved]


def fitted_sphere(points: NDArray[np.float64]) -> _Sphere:
    """Least squares on ``|p|^2 = 2 p.c + (r^2 - |c|^2)``, which is linear in c and the bracket."""
    design = np.column_stack([2 * points, np.ones(len(points))])
    solution = np.linalg.lstsq(design, (points**2).sum(axis=1), rcond=None)[0]
    centre = solution[:3]
    return centre, float(np.sqrt(solution[3] + centre @ centre))


def _assign(distances: NDArray[np.float64]) -> tuple[float, list[tuple[int, int, float]]]:
    """Pair electrodes with sites within reach, as many and as near as possible; mean cost first."""
    unreachable = 1e3 * MAX_DISTANCE_MM
    cost = np.where(distances > MAX_DISTANCE_MM, unreachable, distances)
    electrodes, sites = linear_sum_assignment(cost)
    chosen = cost[electrodes, sites]
    pairs = [
        (int(i), int(j), round(float(c), 1))
        for i, j, c in zip(electrodes, sites, chosen, strict=True)
        if c < unreachable
    ]
    return float(chosen.mean()), pairs
