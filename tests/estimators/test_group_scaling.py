# License: BSD-3-Clause
"""Group-wise standardisation, against every group by itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import GroupStandardScaler


@st.composite
def grouped_features(draw):
    n_trials = draw(st.integers(1, 30))
    labels = draw(st.sampled_from([["a", "bb", "c"], [3, -1, 7], [2.5, 0.5, 1.0]]))
    groups = draw(st.lists(st.sampled_from(labels), min_size=n_trials, max_size=n_trials))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    scale = 10.0 ** draw(st.integers(-6, 6))
    shift = scale * draw(st.integers(-100, 100))
    return shift + scale * rng.standard_normal((n_trials, 3)), groups


@given(grouped_features())
def test_every_group_gets_its_own_mean_and_deviation(drawn):
    X, groups = drawn
    found = GroupStandardScaler().fit_transform(X, groups=groups)
    for group in set(groups):
        rows = np.array([label == group for label in groups])
        part = X[rows]
        deviation = part.std(axis=0)
        lone = rows.sum() == 1
        expected = np.zeros_like(part) if lone else (part - part.mean(axis=0)) / deviation
        assert_allclose(found[rows], expected, atol=1e-8)


@given(grouped_features())
def test_a_group_does_not_depend_on_the_others(drawn):
    X, groups = drawn
    rows = np.array([label == groups[0] for label in groups])
    everyone = GroupStandardScaler().fit_transform(X, groups=groups)
    louder = np.where(rows[:, None], X, 1000 * X + 7)
    assert_array_equal(
        GroupStandardScaler().fit_transform(louder, groups=groups)[rows], everyone[rows]
    )
    alone = GroupStandardScaler().fit_transform(X[rows], groups=[groups[0]] * rows.sum())
    assert_array_equal(alone, everyone[rows])


@pytest.mark.filterwarnings("ignore:GroupStandardScaler was fitted without groups:UserWarning")
@given(grouped_features())
def test_without_groups_it_is_the_standard_scaler(drawn):
    X, _ = drawn
    half = X[: max(1, len(X) // 2)]
    assert_array_equal(
        GroupStandardScaler().fit(half).transform(X), StandardScaler().fit(half).transform(X)
    )


def test_groups_need_not_have_been_seen_by_fit():
    X = np.array([[1.0], [3.0], [10.0], [30.0]])
    fitted = GroupStandardScaler().fit(X, groups=list("aabb"))
    assert_allclose(fitted.transform(X[2:], groups=["new", "new"]).ravel(), [-1, 1])


def test_the_index_of_a_series_of_groups_does_not_matter():
    X = np.array([[1.0], [10.0], [3.0], [30.0]])
    groups = pd.Series(["a", "b", "a", "b"], index=[9, 2, 5, 1])
    found = GroupStandardScaler().fit_transform(X, groups=groups)
    assert_allclose(found.ravel(), [-1, -1, 1, 1])


def test_a_constant_feature_and_a_lone_trial_become_zero():
    X = np.array([[5.0, 1.0], [5.0, 2.0], [7.0, 3.0]])
    found = GroupStandardScaler().fit_transform(X, groups=["a", "a", "b"])
    assert_allclose(found, [[0, -1], [0, 1], [0, 0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_precision_of_the_features_is_kept_and_they_are_not_changed(dtype):
    X = np.array([[1.0], [3.0]], dtype)
    found = GroupStandardScaler().fit_transform(X, groups=["a", "a"])
    assert found.dtype == dtype
    assert_array_equal(X, np.array([[1.0], [3.0]], dtype))


def test_groups_left_out_after_a_fit_with_groups_are_missed():
    X = np.ones((4, 1))
    fitted = GroupStandardScaler().fit(X, groups=list("aabb"))
    with pytest.raises(ValueError, match=r"groups is missing.*set_transform_request"):
        fitted.transform(X)
    with pytest.warns(UserWarning, match="without groups"):
        fitted.fit(X)
    assert fitted.transform(X).shape == (4, 1)


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_trial_without_a_group_is_named(missing):
    groups = np.array([1.0, 1.0, missing, 2.0], dtype=object)
    with pytest.raises(ValueError, match="no group for trial 2"):
        GroupStandardScaler().fit_transform(np.ones((4, 1)), groups=groups)


def test_another_number_of_groups_than_trials_is_an_error():
    with pytest.raises(ValueError, match="inconsistent numbers"):
        GroupStandardScaler().fit_transform(np.ones((4, 1)), groups=["a", "b"])
    with pytest.raises(ValueError, match="inconsistent numbers"):
        GroupStandardScaler().fit(np.ones((4, 1)), groups=["a", "b"])


def test_names_of_columns_are_kept():
    table = pd.DataFrame({"alpha": [1.0, 3.0], "beta": [2.0, 4.0]}, index=["t1", "t2"])
    scaler = GroupStandardScaler().set_output(transform="pandas")
    found = scaler.fit_transform(table, groups=["a", "a"])
    assert list(found.columns) == ["alpha", "beta"]
    assert list(found.index) == ["t1", "t2"]
    assert list(scaler.get_feature_names_out()) == ["alpha", "beta"]


def test_groups_that_scikit_learn_does_not_pass_on_are_missed():
    rng = np.random.default_rng(0)
    X, y, groups = rng.standard_normal((12, 3)), [0, 1] * 6, np.repeat([1, 2, 3], 4)
    pipeline = make_pipeline(GroupStandardScaler(), LogisticRegression())
    with pytest.warns(UserWarning, match=r"without groups.*set_fit_request\(groups=True\)"):
        cross_val_score(pipeline, X, y, groups=groups, cv=GroupKFold(3))
    GroupStandardScaler().fit_transform(X, groups=groups)  # says nothing
