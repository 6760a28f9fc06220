# License: BSD-3-Clause
"""Sites computed from the electrodes around them, by MNE's spherical splines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError
from scipy.spatial.distance import cdist

from .sites import Placement, nearest_sites
from .trials import Trials

# The 19 electrodes of the 10-20 system with the ends of its midline, and those of the 10-10 system.
_SPARSE = "fp1 fpz fp2 f7 f3 fz f4 f8 t7 c3 cz c4 t8 p7 p3 pz p4 p8 o1 oz o2".split()
_DENSE = [
    *"fp1 fpz fp2 af7 af3 afz af4 af8 f7 f5 f3 f1 fz f2 f4 f6 f8 ft7 fc5 fc3 fc1 fcz fc2".split(),
    *"fc4 fc6 ft8 t7 c5 c3 c1 cz c2 c4 c6 t8 tp7 cp5 cp3 cp1 cpz cp2 cp4 cp6 tp8 p7 p5".split(),
    *"p3 p1 pz p2 p4 p6 p8 po7 po3 poz po4 po8 o1 oz o2 iz".split(),
]
# Splines through fewer electrodes say little about the places between them.
FEWEST_ELECTRODES = 8
# Sites farther than this from every electrode, or from the area covered, are not computed.
# Neighbours are up to 56 mm apart in a cap of 32, 75 mm in the 10-20 system.
_FARTHEST_MM = 60.0
_BEYOND_MM = 20.0


@dataclass(frozen=True, eq=False)
class Splines:
    """Weights (n_sites, n_sources), each row adding up to 1, and positions of sites in metres."""

    sources: tuple[int, ...]
    sites: tuple[str, ...]
    positions: NDArray[np.float64]
    weights: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for a file."""
        return {
            "sources": list(self.sources),
            "sites": list(self.sites),
            "positions": self.positions.tolist(),
            "weights": self.weights.tolist(),
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Splines:
        """Undo :meth:`to_dict`."""
        return cls(
            tuple(plain["sources"]),
            tuple(plain["sites"]),
            np.array(plain["positions"]),
            np.array(plain["weights"]),
        )


def covered_sites(
    sources: Sequence[int],
    names: Sequence[str],
    positions: NDArray[np.floating],
    free: Sequence[str],
    most: int,
    ways: Sequence[Placement] | None = None,
) -> tuple[dict[str, float], list[int], Placement]:
    """Choose free sites within the area that electrodes cover, with distances in mm.

    These are at most so many of the 10-10 system if there are as many electrodes, else of the 10-20
    system. Also gives the electrodes that lie on the scalp, and how all lie on the template head.
    """
    _, placement = nearest_sites(sources, names, positions, _DENSE, ways)
    below = placement.below()
    located = [i for i in sources if i not in below and not np.isnan(placement.positions[i]).any()]
    if len(located) < FEWEST_ELECTRODES:
        return {}, located, placement
    standard = _DENSE if len(located) >= len(_DENSE) else _SPARSE
    sites = [site for site in standard if site in free]
    if not sites:
        return {}, located, placement
    nearest = placement.distances(located, sites).min(axis=0)
    covered = _within(placement, located, sites) & (nearest <= _FARTHEST_MM)
    order = [k for k in np.argsort(nearest, kind="stable").tolist() if covered[k]][:most]
    return {sites[k]: round(float(nearest[k]), 1) for k in sorted(order)}, located, placement


def spline_weights(located: Sequence[int], sites: Sequence[str], placement: Placement) -> Splines:
    """Compute the weights of sites from located electrodes with MNE's ``interpolate_to``."""
    centre, _ = placement.sphere
    here = {str(i): placement.positions[i] - centre for i in located}
    there = {site: placement.template[site] - centre for site in sites}
    info = mne.create_info(list(here), 1.0, "eeg", verbose="error")
    info.set_montage(mne.channels.make_dig_montage(here, coord_frame="head"), verbose="error")
    # The matrix is what becomes of a unit impulse at each electrode.
    impulses = mne.EvokedArray(np.eye(len(here)), info, verbose="error")
    montage = mne.channels.make_dig_montage(there, coord_frame="head")
    # The head is centred: before MNE 1.13 only the electrodes were moved by the origin.
    mapped = impulses.interpolate_to(montage, origin=(0.0, 0.0, 0.0), method="spline")
    names = tuple(spelled(site) for site in sites)
    positions = np.array([placement.template[site] for site in sites])
    return Splines(tuple(located), names, positions, mapped.get_data(picks=list(sites)))


def with_sites(trials: Trials, splines: Splines | None) -> Trials:
    """Append computed sites (none if splines is None) to the channels of trials, read on demand."""
    if splines is None:
        return trials
    types, info = trials.ch_types, trials.info
    if info is not None:
        sites = mne.create_info(list(splines.sites), trials.sfreq, "eeg", verbose="error")
        places = dict(zip(splines.sites, splines.positions, strict=True))
        montage = mne.channels.make_dig_montage(places, coord_frame="head")
        sites.set_montage(montage, on_missing="ignore", verbose="error")
        # A label, or a channel marked bad, may have the name of a site.
        kept = [i for i, name in enumerate(info["ch_names"]) if name not in splines.sites]
        info = mne.pick_info(info, kept)
        with info._unlock():
            info["chs"] += sites["chs"]
            info._update_redundant()
    return replace(
        trials,
        info=info,
        ch_names=(*trials.ch_names, *splines.sites),
        ch_types=None if types is None else (*types, *("eeg" for _ in splines.sites)),
        reader=partial(_read, trials, splines),
    )


def _read(
    trials: Trials, splines: Splines, start: int, stop: int, picks: list[int] | None
) -> NDArray[Any]:
    n_recorded = len(trials.ch_names)
    wanted = range(n_recorded + len(splines.sites)) if picks is None else picks
    computed = [i for i in wanted if i >= n_recorded]
    sources = set(splines.sources) if computed else set()
    needed = sorted(sources | {i for i in wanted if i < n_recorded})
    # Trials.read names a channel that is not finite.
    recorded = trials.read(start, stop, needed)
    place = {i: k for k, i in enumerate(needed)}
    data = np.empty((stop - start, len(wanted), recorded.shape[-1]))
    for k, i in enumerate(wanted):
        if i < n_recorded:
            data[:, k] = recorded[:, place[i]]
    if computed:
        weights = splines.weights[[i - n_recorded for i in computed]]
        signals = recorded[:, [place[i] for i in splines.sources]]
        data[:, [k for k, i in enumerate(wanted) if i >= n_recorded]] = weights @ signals
    return data


def _within(
    placement: Placement, located: Sequence[int], sites: Sequence[str]
) -> NDArray[np.bool_]:
    """Whether sites lie in the area that electrodes cover, or just beyond its edge."""
    centre, radius = placement.sphere
    here = _flattened(placement.positions[list(located)] - centre)
    there = _flattened(np.array([placement.template[site] for site in sites]) - centre)
    beyond = _BEYOND_MM / (1e3 * radius)
    near = cdist(there, here).min(axis=1) <= beyond
    try:
        inside: NDArray[np.bool_] = Delaunay(here).find_simplex(there) >= 0
    except QhullError:  # all on one line
        return near
    return inside | near


def _flattened(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map a head, seen from above, to the plane, keeping distances from the vertex."""
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    angle = np.arccos(np.clip(unit[:, 2], -1, 1))
    across = np.hypot(unit[:, 0], unit[:, 1])
    scale = np.divide(angle, across, out=np.ones_like(angle), where=across > 0)
    return unit[:, :2] * scale[:, None]


def spelled(site: str) -> str:
    """Spell the name of a site as usual: Fp1, AFz, CPz."""
    name = site.upper().replace("FP", "Fp") if site.startswith("fp") else site.upper()
    return f"{name[:-1]}z" if name.endswith("Z") else name
