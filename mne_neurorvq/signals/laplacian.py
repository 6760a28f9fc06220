# License: BSD-3-Clause
"""The surface Laplacian of a montage as a matrix, computed by MNE."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import mne
import numpy as np
from numpy.typing import NDArray

from .sites import template_positions

#: Splines through fewer electrodes say little about what lies between them.
FEWEST_FOR_LAPLACIAN = 16


def current_source_density(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute MNE's Laplacian as a matrix, in 1/m², of electrodes ``(n_electrodes, 3)``."""
    places = {str(i): place for i, place in enumerate(positions)}
    info = mne.create_info(list(places), 1.0, "eeg", verbose="error")
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"), verbose="error")
    # What it makes of one volt at each electrode in turn.
    impulses = mne.EvokedArray(np.eye(len(places)), info, verbose="error")
    density = mne.preprocessing.compute_current_source_density(impulses, verbose="error")
    matrix: NDArray[np.float64] = density.data
    return matrix


@lru_cache(maxsize=64)
def _matrix(names: tuple[str, ...]) -> NDArray[np.float64]:
    sites = template_positions()[0]
    known = [i for i, name in enumerate(names) if name in sites]
    matrix = np.full((len(names), len(names)), np.nan)
    if len(known) < FEWEST_FOR_LAPLACIAN:
        return matrix
    positions = np.array([sites[names[i]] for i in known])
    matrix[known] = 0.0
    matrix[np.ix_(known, known)] = current_source_density(positions)
    return matrix


def laplacian_matrix(names: Sequence[str]) -> NDArray[np.float64]:
    """Compute the matrix that turns signals into their surface Laplacian.

    Parameters
    ----------
    names : sequence of str
        Lower-case 10-05 names of the channels, which get the positions of the template head.

    Returns
    -------
    matrix : array, shape (n_channels, n_channels)
        That of :func:`mne.preprocessing.compute_current_source_density`. Channels without a
        position have rows of NaN and columns of zeros; with fewer than 16 positions all rows are
        NaN.

    Examples
    --------
    >>> names = ("fp1 fp2 f7 f3 fz f4 f8 t7 c3 cz c4 t8 p7 p3 pz p4 p8 o1 o2 ecg").split()
    >>> matrix = laplacian_matrix(names)
    >>> bool(np.allclose(matrix[:19] @ np.ones(20), 0))  # what all channels share is removed
    True
    >>> bool(np.isnan(matrix[19]).all())
    True
    """
    return _matrix(tuple(names)).copy()
