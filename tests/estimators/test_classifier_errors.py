# License: BSD-3-Clause
"""Bad input: an error that names what is wrong, never a wrong number."""

from __future__ import annotations

import re

import mne
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from mne_neurorvq import NeuroRVQClassifier, NeuroRVQRegressor

TINY = "neurorvq-eeg-tiny-random"
N = 12


def make(kind=NeuroRVQClassifier, pretrained=TINY, **parameters):
    settings = {"finetune": "head", "max_epochs": 1, "ch_names": ["C3", "C4"], "sfreq": 200.0}
    return kind(pretrained, **(settings | parameters))


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(0, 20, (N, 2, 400))


@pytest.fixture
def y():
    return np.tile(["left", "rest"], N // 2)


@pytest.mark.parametrize(
    ("parameter", "value", "error", "remedy"),
    [
        ("finetune", "all", ValueError, "'full', 'head', 'lora'"),
        ("head", "max", ValueError, "'mean', 'flatten'"),
        ("max_epochs", 0, ValueError, ">= 1"),
        ("max_epochs", 2.5, TypeError, "int"),
        ("batch_size", 0, ValueError, ">= 1"),
        ("batch_size", "auto", TypeError, "int"),
        ("lora_rank", -1, ValueError, ">= 1"),
        ("lr", 0, ValueError, "> 0"),
        ("lr", "5e-4", TypeError, "float"),  # what PyYAML makes of 5e-4
        ("lr", float("nan"), ValueError, "finite"),
        ("lr", float("inf"), ValueError, "finite"),
        ("layer_decay", 0, ValueError, "> 0"),
        ("layer_decay", 1.1, ValueError, "<= 1"),
        ("layer_decay", float("nan"), ValueError, "finite"),
        ("weight_decay", -0.1, ValueError, ">= 0"),
        ("weight_decay", float("inf"), ValueError, "finite"),
        ("warmup_epochs", -1, ValueError, ">= 0"),
        ("warmup_epochs", float("nan"), ValueError, "finite"),
        ("validation_fraction", 0.0, ValueError, "between 0 and 1"),
        ("validation_fraction", 3, ValueError, "between 0 and 1"),
        ("early_stopping", -1, ValueError, ">= 0"),
        ("early_stopping", None, TypeError, "int"),
        ("callbacks", "ProgressBar", TypeError, "list of skorch callbacks"),
        ("callbacks", [1], TypeError, "holds 1, which is not a skorch callback"),
        ("class_weight", "balance", ValueError, "balanced"),
        ("class_weight", {"left": -1.0, "rest": 1.0}, ValueError, "positive"),
        ("class_weight", {"left": 0.0, "rest": 1.0}, ValueError, "positive"),
        ("class_weight", {"rest": 1.0, "lefft": 2.0}, ValueError, "left"),
        ("channels", "fuzzy", ValueError, "'match', 'strict', 'nearest', 'interpolate'"),
        ("unit", "µV", ValueError, "'V', 'mV'"),
        ("device", "gpu", ValueError, "'auto' or a torch device"),
        ("precision", "fp16", ValueError, "'auto', 'float32', 'bf16'"),
        ("verbose", 2, ValueError, "None, True, False"),
        ("revision", "v2", ValueError, "models that are downloaded"),
        ("ch_names", ["C3"], ValueError, "one name per channel"),
        ("sfreq", -200.0, ValueError, "positive number of Hz"),
        ("pretrained", None, TypeError, "name of a model"),
    ],
)
def test_an_impossible_parameter_is_named_with_the_remedy(X, y, parameter, value, error, remedy):
    with pytest.raises(error) as caught:
        make(**{parameter: value}).fit(X, y)
    assert parameter in str(caught.value)
    assert remedy in str(caught.value)


def test_nothing_is_checked_or_loaded_before_fit():
    made = make(pretrained="no such model", finetune="?", max_epochs=-1, device="?")
    assert vars(made).keys() == set(made.get_params())


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function", "save"])
def test_fit_comes_first(X, method):
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(make(), method)(X)


def test_one_class_is_no_classification(X):
    with pytest.raises(ValueError, match="y has one class only, 'left': a classifier needs two"):
        make().fit(X, ["left"] * N)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.linspace(0, 1, N), "Unknown label type: continuous"),
        ([np.nan] + [1.0] * (N - 1), "y contains NaN"),
        ([None, "left"] * (N // 2), "Unknown label type"),
        (np.eye(2, dtype=int)[[0, 1] * (N // 2)], "1d array"),
        (["left", "rest"], "inconsistent numbers of samples.*12, 2"),
        (None, r"y to be passed.*y=epochs.events\[:, 2\]"),
    ],
    ids=["values", "nan", "none in it", "two columns", "too few", "none"],
)
def test_labels_that_are_none_are_refused(X, labels, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make().fit(X, labels)


def test_epochs_do_not_give_their_labels_by_themselves(epochs):
    for kind in (NeuroRVQClassifier, NeuroRVQRegressor):
        with pytest.raises(ValueError, match=r"y to be passed.*y=epochs.events\[:, 2\]"):
            make(kind).fit(epochs, None)


def test_fewer_trials_than_a_batch_are_one_batch(X, y):
    small = make(batch_size=500, random_state=0, lr=0.01).fit(X, y)
    exact = make(batch_size=N, random_state=0, lr=0.01).fit(X, y)
    assert_array_equal(small.predict_proba(X), exact.predict_proba(X))


@pytest.mark.parametrize("finetune", ["head", "full"])
def test_two_trials_are_enough(X, y, finetune):
    assert make(finetune=finetune).fit(X[:2], y[:2]).predict(X).shape == (N,)


def test_a_class_with_no_trial_to_train_on_is_named(X, y):
    groups = np.where(y == "left", "a", "b")
    with pytest.raises(ValueError, match="class 'left' has no trial to train on"):
        make(validation_groups=["a"]).fit(X, y, groups=groups)
    with pytest.raises(ValueError, match=r"class 'rest' has no trial to .*sample_weight 0"):
        make().fit(X, y, sample_weight=(y == "left").astype(float))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_found(X, y, value):
    fitted = make().fit(X, y)
    X[7, 1, 3] = value
    for method in (lambda: make().fit(X, y), lambda: fitted.predict(X)):
        with pytest.raises(ValueError, match=r"Trial 7, channel 'C4' contains NaN or inf"):
            method()


def test_volts_are_not_microvolts(X, y):
    with pytest.raises(ValueError, match="looks like volts: pass unit='V'"):
        make().fit(1e-6 * X, y)
    with pytest.raises(ValueError, match="looks like volts: pass unit='V'"):
        make().fit(X, y).predict(1e-6 * X)


def test_a_wrong_rate_shows_in_the_length(X, y):
    fitted = make().fit(X, y).set_params(sfreq=250.0)
    with pytest.raises(ValueError, match=r"X has windows of 1\.6 s, but fit saw 2 s: crop"):
        fitted.predict(X)


def test_windows_of_another_length_are_refused(X, y):
    fitted = make().fit(X, y)
    with pytest.raises(ValueError, match=r"X has windows of 1\.5 s, but fit saw 2 s: crop"):
        fitted.predict_proba(X[..., :300])


def test_another_montage_at_prediction_is_refused(make_epochs):
    epochs = make_epochs(n_times=200, sfreq=200.0)
    fitted = make().fit(epochs, [0, 1] * 3)
    with pytest.raises(ValueError, match="other channels than fit saw: Pz is missing"):
        fitted.predict(epochs.copy().drop_channels(["Pz"]))
    other = epochs.copy().reorder_channels(["Cz", "C3", "C4", "Pz"])
    assert_array_equal(fitted.predict_proba(other), fitted.predict_proba(epochs))


def test_no_known_channel_is_an_error(X, y):
    with pytest.raises(ValueError, match="X1"):
        make(ch_names=["X1", "X2"]).fit(X, y)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"sample_weight has shape \(3,\), but there are 12 trials"),
        (np.ones((N, 1)), r"sample_weight has shape \(12, 1\), but there are 12 trials"),
        (1.0, r"sample_weight has shape \(1,\), but there are 12 trials"),
        (np.r_[np.ones(4), -1, np.ones(7)], "sample_weight of trial 4 is negative"),
        (np.zeros(N), "sample_weight is zero for every trial"),
        (np.r_[np.nan, np.ones(11)], "sample_weight contains NaN"),
        (["heavy"] * N, "could not convert"),
    ],
)
def test_weights_that_are_none_are_refused(X, y, weights, message):
    with pytest.raises(ValueError, match=message):
        make().fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("groups", [["a"] * 3, np.ones((N, 2)), "subject"])
def test_groups_are_one_per_trial(X, y, groups):
    with pytest.raises(ValueError, match=r"groups has shape .*, but there are 12 trials"):
        make(validation_fraction=0.5).fit(X, y, groups=groups)


@pytest.mark.parametrize(
    ("how", "groups", "message"),
    [
        ({"validation_groups": ["a"]}, None, r"validation_groups needs fit\(X, y, groups="),
        ({"validation_groups": ["c"]}, "ab", r"validation_groups names \['c'\]"),
        ({"validation_groups": ["a", "b"]}, "ab", "validation_groups names every group"),
        ({"validation_fraction": 0.5, "validation_groups": ["a"]}, "ab", "give one"),
        ({"validation_fraction": 0.5}, "aa", "all trials belong to 'a'"),
        ({"validation_fraction": 0.9}, "ab", "validation_fraction=0.9 cannot split 2 groups"),
        ({"validation_fraction": 0.01}, None, "validation_fraction=0.01 cannot split 12 trials"),
    ],
)
def test_an_impossible_validation_says_why(X, y, how, groups, message):
    groups = None if groups is None else np.repeat(list(groups), N // 2)
    with pytest.raises(ValueError, match=message):
        make(**how).fit(X, y, groups=groups)


def test_early_stopping_needs_trials_to_watch(X, y):
    with pytest.raises(ValueError, match="early_stopping=3 needs trials to watch: give validation"):
        make(early_stopping=3).fit(X, y)
    groups = np.repeat(["a", "b"], N // 2)
    with pytest.raises(ValueError, match="early_stopping=True needs trials to watch"):
        make(early_stopping=True, validation_groups=["a"]).fit(
            X, y, groups=groups, sample_weight=(groups == "b").astype(float)
        )


@pytest.mark.parametrize("kind", [NeuroRVQClassifier, NeuroRVQRegressor])
def test_weights_must_leave_a_trial_to_train_on(X, kind):
    groups = np.repeat(["a", "b"], N // 2)
    weights = (groups == "a").astype(float)
    with pytest.raises(ValueError, match="not in validation has sample_weight 0"):
        make(kind, validation_groups=["a"]).fit(X, np.tile([0, 1], N // 2), weights, groups)


@pytest.mark.parametrize("kind", [NeuroRVQClassifier, NeuroRVQRegressor])
def test_training_that_diverges_is_an_error(X, kind):
    y = np.tile([0, 1], N // 2)
    diverging = make(kind, finetune="full", lr=1e6, max_epochs=4, warmup_epochs=0)
    with pytest.raises(ValueError, match=r"the loss of epoch \d is (nan|inf).*lr=1e\+06, or"):
        diverging.fit(X, y)
    with pytest.raises(NotFittedError):
        diverging.predict(X)


def test_weights_that_the_last_step_spoilt_are_noticed(X, y):
    # The loss of the only batch is computed before its step.
    spoilt = make(finetune="head", lr=3e37, warmup_epochs=0, weight_decay=50.0, batch_size=N)
    with pytest.raises(ValueError, match=r"training diverged: final_layer\..* is not finite"):
        spoilt.fit(X, y)


def test_a_parameter_spoilt_after_fit_is_noticed(X, y):
    fitted = make().fit(X, y)
    for parameter, value in (("precision", "fp16"), ("head", "max"), ("device", "gpu")):
        with pytest.raises(ValueError, match=f"{parameter}='{value}'"):
            fitted.set_params(**{parameter: value}).predict(X)
        fitted.set_params(precision="auto", head="mean", device="auto")


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([np.nan] + [1.0] * (N - 1), "y contains NaN"),
        (["strong"] * N, "could not convert|dtype"),
        (np.ones((N, 2)), "1d array"),
        ([1.0, 2.0], "inconsistent numbers of samples"),
    ],
)
def test_a_regressor_wants_one_number_per_trial(X, targets, message):
    with pytest.raises(ValueError, match=message):
        make(NeuroRVQRegressor).fit(X, targets)


def test_bad_channels_at_prediction_are_named(make_epochs):
    epochs = make_epochs(n_times=200, sfreq=200.0)
    fitted = make().fit(epochs, [0, 1] * 3)
    epochs.info["bads"] = ["Cz"]
    with pytest.warns(UserWarning, match="Cz marked bad in X, but good in what fit saw"):
        fitted.predict(epochs)


def test_channels_that_the_model_does_not_know_are_left_out_with_one_warning(X, y):
    with pytest.warns(UserWarning, match=re.compile("EMG1")) as caught:
        fitted = make(ch_names=["C3", "EMG1"]).fit(X, y)
    assert len(caught) == 1
    assert fitted.ch_names_ == ("C3",)
    assert fitted.predict(X).shape == (N,)


def test_empty_epochs_are_an_error(make_epochs):
    empty = make_epochs(n_times=200, sfreq=200.0)[:0]
    assert isinstance(empty, mne.BaseEpochs)
    with pytest.raises(ValueError, match=r"0 sample.*X needs trials"):
        make().fit(empty, [])


def test_parameters_may_be_numbers_of_numpy_as_grids_give_them(X, y):
    """A grid such as ``np.array([4, 8])`` hands on its scalars."""
    given = {"batch_size": np.int64(4), "max_epochs": np.int64(2)}
    plain = {name: value.item() for name, value in given.items()}
    assert_array_equal(
        make(random_state=0, **given).fit(X, y).predict_proba(X),
        make(random_state=0, **plain).fit(X, y).predict_proba(X),
    )


@pytest.mark.parametrize("odd", [None, 7])
def test_groups_of_several_kinds_are_refused(X, y, odd):
    groups = np.array(["a", "b", odd] * (N // 3), dtype=object)
    with pytest.raises(ValueError, match="groups must be all text or all numbers"):
        make(validation_fraction=0.3).fit(X, y, groups=groups)


def test_early_stopping_may_be_a_boolean_of_numpy(X, y):
    """A grid such as ``np.array([True, False])`` hands on its scalars."""
    given = {"validation_fraction": 0.3, "random_state": 0, "max_epochs": 2}
    for stop in (True, False):
        assert_array_equal(
            make(early_stopping=np.bool_(stop), **given).fit(X, y).predict_proba(X),
            make(early_stopping=stop, **given).fit(X, y).predict_proba(X),
        )


def test_only_ratios_of_weights_count(X, y):
    tiny, one = (
        make(random_state=0).fit(X, y, sample_weight=np.full(len(y), weight))
        for weight in (1e-300, 1.0)
    )
    assert_array_equal(tiny.predict_proba(X), one.predict_proba(X))


@pytest.mark.parametrize("value", [1e200, -1e308])
def test_impossible_targets_are_refused_with_the_value(X, value):
    targets = np.arange(N, dtype=float)
    targets[3] = value
    with pytest.raises(ValueError, match=re.escape(f"y has values up to {value:g}")):
        make(NeuroRVQRegressor).fit(X, targets)
