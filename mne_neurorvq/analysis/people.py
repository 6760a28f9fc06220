# License: BSD-3-Clause
"""What scores of people say: who counts, the interval of a mean, and whether two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, t

if TYPE_CHECKING:
    import pandas as pd

_RESAMPLES = 9999


def of_unseen(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of a task, of the people whom no model had seen in pretraining."""
    if "seen_by_any" in scores:  # of models, too, of which these are not among the scores
        return scores[~scores["seen_by_any"].astype(bool)]
    return scores[~scores["person"].isin(scores.loc[scores["seen"].eq(True), "person"])]


def by_share(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Score of each person (row) with each share (column), by pipeline, the best first.

    People whom no model had seen, without controls; of each pipeline those who have all its shares.
    """
    plain = of_unseen(scores[scores["control"].isin(["", np.nan])])
    found = {
        str(name): own.pivot_table("balanced_accuracy", "person", "share").dropna()
        for name, own in plain.groupby("pipeline")
    }
    return dict(sorted(found.items(), key=lambda item: -item[1].iloc[:, -1].mean()))


def interval(values: NDArray[np.floating]) -> tuple[float, float]:
    """Bootstrap interval of a mean over people, at 95 %; of one person there is none."""
    if len(values) < 2:
        return np.nan, np.nan
    if np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    found = bootstrap(
        (values,), np.mean, n_resamples=_RESAMPLES, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)


def corrected_p(differences: NDArray[np.floating], n_folds: int) -> float:
    """Two-sided p of the corrected resampled t-test over folds, whose training sets overlap.

    ``differences`` are of all folds of all seeds. Nadeau and Bengio (2003), Machine Learning 52.
    """
    n = len(differences)
    if min(n, n_folds) < 2 or np.ptp(differences) < 1e-12:  # too few to tell a spread
        return np.nan
    # With as many people in every fold, this is the ratio of those tested to those trained on.
    ratio = 1 / (n_folds - 1)
    statistic = differences.mean() / np.sqrt((1 / n + ratio) * differences.var(ddof=1))
    return float(2 * t.sf(abs(statistic), n - 1))
