# License: BSD-3-Clause
"""Features of many columns in two dimensions."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from .._optional import optional

Method = Literal["pca", "umap"]


def feature_map(
    features: ArrayLike, method: Method = "pca", *, random_state: int = 0
) -> tuple[NDArray[np.float64], tuple[str, str]]:
    """Bring features to two dimensions.

    Parameters
    ----------
    features : array-like, shape (n_trials, n_columns)
        Features; each column is standardised first.
    method : "pca" | "umap"
        The first two principal components, or UMAP [1]_ (of umap-learn: extra `umap`), whose
        distances and sizes of clusters mean little.
    random_state : int
        Seed.

    Returns
    -------
    points : array, shape (n_trials, 2)
        The trials.
    axes : tuple of str
        What the two dimensions are, with the share of the variance that they explain.

    References
    ----------
    .. [1] L. McInnes, J. Healy & J. Melville (2018). UMAP: uniform manifold approximation and
       projection for dimension reduction. arXiv 1802.03426.

    Examples
    --------
    >>> import numpy as np
    >>> line = np.linspace(0, 1, 20)[:, None] * [1.0, 2.0, 3.0]
    >>> points, axes = feature_map(line)
    >>> points.shape, axes
    ((20, 2), ('PC 1 (100 % of variance)', 'PC 2 (0 % of variance)'))
    """
    features = np.asarray(features, float)
    if features.ndim != 2 or min(features.shape) < 2 or not np.isfinite(features).all():
        raise ValueError(
            "features must be finite and of shape (n_trials, n_columns), two of each at least, "
            f"got shape {features.shape}: pool them, or drop trials that have no features"
        )
    scaled = StandardScaler().fit_transform(features)
    if method == "pca":
        pca = PCA(2, random_state=random_state)
        points = pca.fit_transform(scaled)
        shares = 100 * pca.explained_variance_ratio_
        first, second = (f"PC {i + 1} ({v:.0f} % of variance)" for i, v in enumerate(shares))
        return points, (first, second)
    if method != "umap":
        raise ValueError(f"method must be one of {get_args(Method)}, got {method!r}")
    with optional("method='umap'", "umap", "use method='pca'"):
        from umap import UMAP
    # With a seed, UMAP runs in one thread, and warns unless it is told to.
    umap = UMAP(random_state=random_state, n_jobs=1)
    return umap.fit_transform(scaled), ("UMAP 1", "UMAP 2")
