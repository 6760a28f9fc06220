# License: BSD-3-Clause
"""The linear probe, and steps that know whose a trial is."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects
from mne_neurorvq.benchmarks.steps import log_power, slow_potentials, time_domain
from mne_neurorvq.datasets import simulate_epochs


@parametrize_with_checks([LinearProbe(), LinearProbe("ridge")])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def _study(n_columns=4):
    rng = np.random.default_rng(0)
    y, subjects = np.tile([0, 1], 60), np.repeat(list("abcdef"), 20)
    X = rng.standard_normal((120, n_columns))
    X[:, 0] += y
    return X, y, subjects


@pytest.mark.parametrize("n_columns", [4, 300])
def test_a_ridge_probe_is_scikit_learns_ridge_at_the_chosen_strength(n_columns):
    X, y, subjects = _study(n_columns)
    probe = LinearProbe("ridge").fit(X, y, subjects=subjects)
    scaled = StandardScaler().fit_transform(X)
    plain = RidgeClassifier(alpha=probe.strength_, class_weight="balanced").fit(scaled, y)
    np.testing.assert_allclose(
        probe.decision_function(X), plain.decision_function(scaled), atol=1e-6
    )


def test_without_people_the_strength_is_in_the_middle():
    X, y, _ = _study()
    probe = LinearProbe().fit(X, y)
    assert probe.strength_ == 1e-2
    plain = LogisticRegression(C=1e-2, max_iter=5000).fit(StandardScaler().fit_transform(X), y)
    np.testing.assert_array_equal(
        probe.predict(X), plain.predict(StandardScaler().fit_transform(X))
    )


@pytest.mark.parametrize("kind", ["logistic", "ridge"])
def test_subjects_of_whom_one_alone_has_a_class_are_refused_with_the_remedy(kind):
    y, subjects = np.repeat([0, 0, 0, 1], 20), np.repeat(list("abcd"), 20)
    X = np.random.default_rng(0).standard_normal((80, 3))
    with pytest.raises(ValueError, match=r"without d all trials are of class 0: .*subjects=None"):
        LinearProbe(kind).fit(X, y, subjects=subjects)
    assert LinearProbe(kind).fit(X, y).strength_ > 0


def test_subjects_are_as_many_as_trials():
    X, y, subjects = _study()
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[120, 10\]"):
        LinearProbe().fit(X, y, subjects=subjects[:10])


def test_scaling_within_people_removes_what_is_theirs_and_uses_no_one_else():
    epochs = simulate_epochs(n_subjects=3, n_trials=4, verbose=False)
    step = WithinSubjects(FunctionTransformer(log_power), StandardScaler()).fit(epochs[:4])
    rows = step.transform(epochs)
    alone = step.transform(epochs[8:])
    np.testing.assert_allclose(rows[8:], alone, atol=1e-9)
    np.testing.assert_allclose(rows[4:8].mean(axis=0), 0, atol=1e-9)


def test_without_a_scaler_features_stay_as_they_are():
    epochs = simulate_epochs(n_subjects=2, n_trials=4, verbose=False)
    step = WithinSubjects(FunctionTransformer(log_power), None).fit(epochs)
    np.testing.assert_array_equal(step.transform(epochs), log_power(epochs))


def test_where_people_have_one_trial_there_is_nothing_to_scale_within():
    epochs = simulate_epochs(n_subjects=3, n_trials=2, verbose=False)
    step = WithinSubjects(FunctionTransformer(log_power), StandardScaler())
    np.testing.assert_array_equal(step.fit_transform(epochs[::2]), log_power(epochs[::2]))
    with pytest.raises(ValueError, match="subject sim-03 has a single trial"):
        step.fit(epochs).transform(epochs[:5])


def test_time_domain_features_are_sizes_and_rates():
    epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    epochs._data[:] = 1e-5 * np.sin(2 * np.pi * 10 * epochs.times + 0.1)
    features = time_domain(epochs).reshape(2, 4, 4, 19)[0, 0, :, 0]
    assert features[0] == pytest.approx(np.log10(10 * 2 / np.pi), abs=0.01)  # µV
    assert features[2:] == pytest.approx([0.1, 0.1], abs=0.01)  # twice 10 in 200 samples


def test_slow_potentials_are_those_below_four_hertz():
    epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    t = epochs.times
    for frequency, kept in ((1.0, True), (12.0, False)):
        wave = epochs.copy()
        wave._data[:] = 1e-5 * np.sin(2 * np.pi * frequency * t)
        slow = slow_potentials(wave)
        assert slow.shape == (2, 19 * 16)
        assert (slow.std() > 5) == kept  # µV


def test_power_of_the_laplacian_forgets_what_all_electrodes_share():
    epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    moved = epochs.copy()
    moved._data += 1e-4 * np.sin(2 * np.pi * 10 * epochs.times)
    same = log_power(moved, laplacian=True) - log_power(epochs, laplacian=True)
    assert abs(same).max() < 0.05
    assert (log_power(moved) - log_power(epochs)).max() > 0.5
