# License: BSD-3-Clause
"""What scores of people say: who counts, the interval of a mean, and whether two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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


def in_folds(scores: pd.DataFrame) -> bool:
    """Whether the people of a fold are scored together, as those of other seeds' folds are not."""
    return "n_people" in scores and bool(scores["n_people"].max() > 1)


def by_seed(scores: pd.DataFrame, pipeline: str, metric: str = "balanced_accuracy") -> pd.DataFrame:
    """Scores of a pipeline: a row for each seed, a column for each person (or fold)."""
    return scores[scores["pipeline"] == pipeline].pivot_table(metric, "seed", "person")


class Spread(NamedTuple):
    """Scores of people (or folds), their mean and its interval at 95 %."""

    values: NDArray[np.floating]
    mean: float
    low: float
    high: float


def spread(scores: pd.DataFrame, folds: bool) -> Spread:
    """Mean and interval of scores, or of their differences, as `by_seed` lays them out.

    Of people, the mean over seeds is taken first. A fold holds other people under each seed: what
    is given is the mean of the seeds' own means and of the ends of their own intervals.
    """
    rows = [row for _, row in scores.iterrows()] if folds else [scores.mean()]
    samples = [row.dropna().to_numpy(float) for row in rows if row.notna().any()]
    if not samples:
        return Spread(np.empty(0), np.nan, np.nan, np.nan)
    found = [(own.mean(), *interval(own)) for own in samples]
    return Spread(np.concatenate(samples), *map(float, np.mean(found, axis=0)))


def by_share(scores: pd.DataFrame) -> dict[str, dict[float, Spread]]:
    """Scores with each share of the training trials, by pipeline, the best first.

    People whom no model had seen, without controls; of each pipeline those who have all its shares.
    """
    plain = of_unseen(scores[scores["control"].isin(["", np.nan])])
    whole = {
        str(name): own.pivot_table("balanced_accuracy", ["seed", "person"], "share").dropna()
        for name, own in plain.groupby("pipeline")
    }
    found = {
        name: {share: spread(own.unstack(), in_folds(scores)) for share, own in shares.items()}
        for name, shares in whole.items()
        if len(shares)
    }
    return dict(sorted(found.items(), key=lambda item: -[*item[1].values()][-1].mean))


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


def corrected_p(differences: NDArray[np.floating], n_folds: int, share: float = 1.0) -> float:
    """Two-sided p of the corrected resampled t-test over folds, whose training sets overlap.

    ``differences`` are of all folds of all seeds, with a share of the training trials. Nadeau and
    Bengio (2003), Machine Learning 52.
    """
    n = len(differences)
    if min(n, n_folds) < 2 or np.ptp(differences) < 1e-12:  # too few to tell a spread
        return np.nan
    # With as many trials in every fold, this is the ratio of those tested to those trained on.
    ratio = 1 / (share * (n_folds - 1))
    statistic = differences.mean() / np.sqrt((1 / n + ratio) * differences.var(ddof=1))
    return float(2 * t.sf(abs(statistic), n - 1))
