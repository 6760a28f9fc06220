# License: BSD-3-Clause
"""What scores of people say: who counts, intervals of means, and the corrected test."""

from __future__ import annotations

import numpy as np
import pytest
from optional_library import import_or_skip
from scipy.stats import t

from mne_neurorvq.analysis.people import corrected_p, interval, of_unseen, spread

pd = import_or_skip("pandas", "benchmark")


def test_whom_a_model_has_seen_is_in_no_curve():
    scores = pd.DataFrame({"person": ["a", "b", "a"], "seen": [True, False, None]})
    assert of_unseen(scores)["person"].tolist() == ["b"]


def test_an_interval_holds_the_mean_and_shrinks_with_people():
    values = np.random.default_rng(0).normal(0.6, 0.1, 100)
    low, high = interval(values[:10])
    assert low < values[:10].mean() < high
    few, many = high - low, np.ptp(interval(values))
    assert many < few
    assert np.isnan(interval(values[:1])).all()
    assert interval(np.full(3, 0.5)) == (0.5, 0.5)


def test_people_have_the_mean_of_their_seeds_and_folds_an_interval_for_each_seed():
    scores = pd.DataFrame([[0.5, 0.7, 0.6], [0.9, 0.5, np.nan]])
    people, folds = spread(scores, folds=False), spread(scores, folds=True)
    np.testing.assert_allclose(people.values, [0.7, 0.6, 0.6])
    assert (people.low, people.high) == interval(people.values)
    assert folds.mean == pytest.approx((0.6 + 0.7) / 2)
    ends = interval(np.array([0.5, 0.7, 0.6])), interval(np.array([0.9, 0.5]))
    np.testing.assert_allclose((folds.low, folds.high), np.mean(ends, axis=0))
    assert np.isnan(spread(scores[:0], folds=True)[1:]).all()


def test_the_corrected_test_divides_by_the_trials_that_were_trained_on():
    differences = np.array([0.3, 0.1, 0.2])
    for share in (1.0, 0.1):
        ratio = 2 / (4 * share)  # of six people two are tested
        statistic = 0.2 / np.sqrt((1 / 3 + ratio) * differences.var(ddof=1))
        assert corrected_p(differences, 3, share) == pytest.approx(2 * t.sf(statistic, 2))
