# License: BSD-3-Clause
"""Positions of 10-05 sites, and of electrodes with other names among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import mne
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

#: Electrodes farther than this from every free site are left out; neighbours are 20-40 mm apart.
MAX_DISTANCE_MM = 30.0

# Both are 10-05 positions, on two different heads; a recording is compared with both.
_TEMPLATES = ("colin27_1005", "fsaverage_1005")
_TEMPLATES_BEFORE_MNE_1_13 = ("standard_1005",)
# The older 10-05 names of the row between FC and C.
_OTHER_NAMES = {f"cfc{i}": f"fcc{i}" for i in range(1, 7)}
# Sites that the templates lack.
_MORE_NAMES = "t1 t2 sp1 sp2 cb1 cb2 ccp7 ccp8 cfc7 cfc8 o9 o10 m1 m2 a1 a2 t3 t4 t5 t6"
# 10-05 sites between those of the 10-10 system.
_BETWEEN = re.compile(r"[a-z]{3}\d+h?|[a-z]+\d+h|[a-z]{3}z")
# A sphere through fewer electrodes, or of a size that heads do not have, is not used.
_MIN_ON_SPHERE = 8
HEAD_RADIUS = (0.06, 0.14)
# The lowest row of the 10-10 system. Electrodes that lie lower are on the face or neck; caps that
# sit low reach a little below it at the back, and nothing but nets does in front of the ears.
_LOWEST_ROW = "f9 f10 ft9 ft10 t9 t10 tp9 tp10 p9 p10 iz".split()
_BELOW_FRONT_MM, _BELOW_BACK_MM = 8.0, 16.0

_Sphere = tuple[NDArray[np.float64], float]
Positions = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Placement:
    """Electrodes (n_electrodes, 3), NaN where unknown, on a template head; both in metres."""

    template: Positions
    positions: NDArray[np.float64]

    @property
    def sphere(self) -> _Sphere:
        """Centre and radius of the template."""
        return fit_sphere(np.array(list(self.template.values())))

    def distances(self, electrodes: Sequence[int], sites: Sequence[str]) -> NDArray[np.float64]:
        """Distances in mm, ``(n_electrodes, n_sites)``."""
        targets = np.array([self.template[site] for site in sites])
        distances: NDArray[np.float64] = 1e3 * cdist(self.positions[list(electrodes)], targets)
        return distances

    def below(self) -> set[int]:
        """Electrodes on the face, the cheeks or the neck."""
        row = np.array([self.template[site] for site in _LOWEST_ROW])
        design = np.column_stack([row[:, :2], np.ones(len(row))])
        slope = np.linalg.lstsq(design, row[:, 2], rcond=None)[0]
        heights = self.positions[:, 2] - self.positions[:, :2] @ slope[:2] - slope[2]
        in_front = self.positions[:, 1] > self.template["t9"][1]
        lowest = np.where(in_front, -_BELOW_FRONT_MM, -_BELOW_BACK_MM)
        return set(np.flatnonzero(1e3 * heights < lowest).tolist())


def placements(names: Sequence[str], positions: NDArray[np.floating]) -> Iterator[Placement]:
    """Put electrodes on each template head in each way that makes sense.

    Head models differ: the same cap lies up to 3 cm apart on MNE's spherical and realistic
    templates, more than the distance between neighbours. So there are two templates, and electrodes
    are placed as they are and after fitting the sphere through them to the template's.
    """
    for template in template_positions():
        for aligned in _alignments(positions, np.array(list(template.values()))):
            yield _completed(template, aligned, names)


def nearest_sites(
    wanted: Sequence[int],
    names: Sequence[str],
    positions: NDArray[np.floating],
    free: Sequence[str],
    ways: Iterable[Placement] | None = None,
    reach: float = MAX_DISTANCE_MM,
) -> tuple[dict[int, tuple[str, float]], Placement]:
    """Give free sites to the nearest electrodes, the nearest pair first, on the best placement.

    Sites between those of the 10-10 system, such as CCP3, come last: the electrode nearest to C3 is
    C3's even if it lies nearer to them. Electrodes on face and neck, or farther than ``reach`` mm
    from every site, get none.

    >>> cz = template_positions()[0]["cz"]
    >>> nearest_sites([0], ["e1"], cz[None], ["fz", "cz"])[0]
    {0: ('cz', 0.0)}
    """
    best: tuple[float, dict[int, tuple[str, float]], Placement] | None = None
    for placement in ways or placements(names, positions):
        sites = [site for site in free if site in placement.template]
        below = placement.below()
        located = [
            i for i in wanted if i not in below and not np.isnan(placement.positions[i]).any()
        ]
        distances = placement.distances(located, sites) if sites and located else np.empty((0, 0))
        between = np.array([_BETWEEN.fullmatch(site) is not None for site in sites], bool)
        cost, pairs = _assign(distances, between, reach)
        if best is None or cost < best[0]:
            assigned = {located[i]: (sites[j], distance) for i, j, distance in pairs}
            best = cost, assigned, placement
    assert best is not None
    return best[1], best[2]


def placed_by_sites(
    names: Sequence[str], positions: NDArray[np.floating], known: Mapping[int, str]
) -> Placement:
    """Move, turn and scale electrodes to lie nearest to the known sites of some of them."""
    electrodes = list(known)
    best: tuple[float, Placement] | None = None
    for template in template_positions():
        targets = np.array([template[known[i]] for i in electrodes])
        moved = _similarity(positions[electrodes], targets)(positions)
        misfit = float(np.linalg.norm(moved[electrodes] - targets, axis=1).mean())
        if best is None or misfit < best[0]:
            best = misfit, _completed(template, moved, names)
    assert best is not None
    return best[1]


@cache
def site_names() -> set[str]:
    """Lower-case names of all 10-05 sites, older ones among them."""
    return {*template_positions()[0], *_MORE_NAMES.split()}


@cache
def template_positions() -> tuple[Positions, ...]:
    """Positions (3,) in metres of all 10-05 sites by lower-case name, on each template."""
    builtin = mne.channels.get_builtin_montages()
    names = [name for name in _TEMPLATES if name in builtin] or _TEMPLATES_BEFORE_MNE_1_13
    return tuple(montage_positions(name) for name in names)


@cache
def montage_positions(montage_name: str) -> Positions:
    """Positions of a montage in MNE's head frame, by lower-case names."""
    montage = mne.channels.make_standard_montage(montage_name)
    # Only an Info transforms a montage to the head frame, in which recordings store positions.
    info = mne.create_info(montage.ch_names, 1.0, "eeg", verbose="error")
    info.set_montage(montage, verbose="error")
    sites = {ch["ch_name"].lower(): np.array(ch["loc"][:3], float) for ch in info["chs"]}
    for other, name in _OTHER_NAMES.items():
        if name in sites:
            sites.setdefault(other, sites[name])
    return sites


def on_sphere(positions: NDArray[np.floating], sphere: _Sphere) -> NDArray[np.float64] | None:
    """Move electrodes so that the sphere through them becomes another; None if none fits them."""
    known = positions[~np.isnan(positions).any(axis=1)]
    if len(known) < _MIN_ON_SPHERE:
        return None
    centre, radius = fit_sphere(known)
    if not HEAD_RADIUS[0] < radius < HEAD_RADIUS[1]:
        return None
    moved: NDArray[np.float64] = (positions - centre) * (sphere[1] / radius) + sphere[0]
    return moved


def fit_sphere(points: NDArray[np.float64]) -> _Sphere:
    """Least squares on ``|p|^2 = 2 p.c + (r^2 - |c|^2)``, which is linear in c and the bracket."""
    design = np.column_stack([2 * points, np.ones(len(points))])
    solution = np.linalg.lstsq(design, (points**2).sum(axis=1), rcond=None)[0]
    centre = solution[:3]
    return centre, float(np.sqrt(solution[3] + centre @ centre))


def _completed(
    template: Positions, positions: NDArray[np.float64], names: Sequence[str]
) -> Placement:
    """Take unknown positions from the template if it has the name."""
    for i in np.flatnonzero(np.isnan(positions).any(axis=1)).tolist():
        positions[i] = template.get(names[i], np.nan)
    return Placement(template, positions)


def _similarity(
    points: NDArray[np.floating], targets: NDArray[np.float64]
) -> Callable[[NDArray[np.floating]], NDArray[np.float64]]:
    """Least squares by rotation, scale and shift (Umeyama, 1991)."""
    middle, their_middle = points.mean(axis=0), targets.mean(axis=0)
    left, values, right = np.linalg.svd((points - middle).T @ (targets - their_middle))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    turn = left @ np.diag(signs) @ right
    scale = (values * signs).sum() / ((points - middle) ** 2).sum()

    def moved(other: NDArray[np.floating]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = (other - middle) @ turn * scale + their_middle
        return result

    return moved


def _alignments(
    positions: NDArray[np.floating], template: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Give the positions unchanged and, if a sphere fits them, moved to the template's sphere."""
    unchanged = np.array(positions, dtype=np.float64)
    moved = on_sphere(unchanged, fit_sphere(template))
    return [unchanged] if moved is None else [unchanged, moved]


def _assign(
    distances: NDArray[np.float64], last: NDArray[np.bool_], reach: float
) -> tuple[float, list[tuple[int, int, float]]]:
    """Mean cost, and pairs within reach, nearest first but for the ``last`` sites."""
    pairs: list[tuple[int, int, float]] = []
    taken: tuple[set[int], set[int]] = set(), set()
    order = distances + np.where(last, 1e6, 0.0) if distances.size else distances
    for flat in np.argsort(order, axis=None, kind="stable").tolist():
        i, j = divmod(flat, distances.shape[1])
        if distances[i, j] <= reach and i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
            pairs.append((i, j, round(float(distances[i, j]), 1)))
    possible = min(distances.shape)
    if not possible:
        return np.inf, []
    # No more than ``reach`` for a missing pair: part of a cap belongs where it lies, not where it
    # would find more sites.
    total = sum(distance for *_, distance in pairs) + reach * (possible - len(pairs))
    return total / possible, pairs
