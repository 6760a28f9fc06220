# License: BSD-3-Clause
"""A fit that fails, or is interrupted, leaves every estimator as it was before."""

from __future__ import annotations

import sys

import mne
import numpy as np
import pytest
from filtered import filtered_info
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback

from mne_neurorvq import (
    BioCodecClassifier,
    BioCodecTransformer,
    BrainRVQClassifier,
    BrainRVQTransformer,
    GroupStandardScaler,
    NeuroRVQClassifier,
    NeuroRVQRegressor,
    NeuroRVQTransformer,
)

N = 8
Y = np.tile([0, 1], N // 2)
TINY = {
    "NeuroRVQ": "neurorvq-eeg-tiny-random",
    "BrainRVQ": "brainrvq-eeg-tiny-random",
    "BioCodec": "biocodec-eeg-tiny-random",
}
TRANSFORMERS = [
    kind(TINY[name], output=output, memory=None, **extra)
    for name, kind, extra in (
        ("NeuroRVQ", NeuroRVQTransformer, {}),
        ("BrainRVQ", BrainRVQTransformer, {}),
        ("BioCodec", BioCodecTransformer, {"scaling": "fit"}),
    )
    for output in ("tokens", "embedding")
]
TRAINED = [
    NeuroRVQClassifier(TINY["NeuroRVQ"], finetune="head", max_epochs=2, random_state=0),
    NeuroRVQRegressor(TINY["NeuroRVQ"], finetune="head", max_epochs=2, random_state=0),
    BrainRVQClassifier(TINY["BrainRVQ"], finetune="head", max_epochs=2, random_state=0),
    BioCodecClassifier(TINY["BioCodec"], scaling="fit", max_epochs=2, random_state=0),
]


def name_of(estimator):
    return f"{type(estimator).__name__}-{getattr(estimator, 'output', '')}".rstrip("-")


def epochs(estimator, ch_names=("Fz", "Cz", "Pz"), scale=1e-5, seed=0):
    data = scale * np.random.default_rng(seed).standard_normal((N, len(ch_names), 400))
    info = filtered_info(ch_names, 200.0, estimator._system)
    return mne.EpochsArray(data, info, verbose="error")


class Interruption(Callback):
    """Stands for Ctrl-C within the first epoch."""

    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


@pytest.fixture(params=[*TRANSFORMERS, *TRAINED], ids=name_of)
def fitted(request):
    estimator = type(request.param)(**request.param.get_params())
    return estimator.fit(epochs(estimator), Y)


def outputs(estimator):
    method = getattr(estimator, "transform", None) or estimator.predict
    return method(epochs(estimator))


def microvolts(estimator):
    return epochs(estimator, ("O1", "O2", "Oz"), scale=10.0)


def broken(estimator):
    trials = epochs(estimator, ("O1", "O2", "Oz"))
    trials._data[2, 1, 7] = np.nan
    return trials


@pytest.mark.parametrize("bad", [microvolts, broken])
def test_bad_trials_of_another_montage_change_nothing(fitted, bad):
    before, state = outputs(fitted), dict(vars(fitted))
    fit = getattr(fitted, "fit_transform", fitted.fit)
    with pytest.raises(ValueError, match=r"multiply|NaN"):
        fit(bad(fitted), Y)
    assert vars(fitted) == state
    assert_array_equal(outputs(fitted), before)


def test_a_fit_of_another_montage_forgets_the_earlier_one(fitted):
    fresh = type(fitted)(**fitted.get_params()).fit(epochs(fitted, ("O1", "Oz"), seed=1), Y)
    again = fitted.fit(epochs(fitted, ("O1", "Oz"), seed=1), Y)
    assert again is fitted
    assert vars(again).keys() == vars(fresh).keys()
    assert again.ch_names_ == ("O1", "Oz")


@pytest.mark.parametrize("estimator", TRAINED, ids=name_of)
def test_an_interrupted_training_keeps_the_earlier_classifier(estimator):
    fitted = type(estimator)(**estimator.get_params()).fit(epochs(estimator), Y)
    before, state = outputs(fitted), dict(vars(fitted))
    fitted.set_params(callbacks=[Interruption()])
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(epochs(fitted, ("O1", "Oz"), seed=1), Y)
    assert vars(fitted) == state | {"callbacks": fitted.callbacks}
    assert_array_equal(outputs(fitted), before)


def test_targets_that_are_refused_keep_the_earlier_classifier():
    fitted = type(TRAINED[0])(**TRAINED[0].get_params()).fit(epochs(TRAINED[0]), Y)
    before = outputs(fitted)
    with pytest.raises(ValueError, match="one class only"):
        fitted.fit(epochs(fitted, ("O1", "Oz")), np.zeros(N, int))
    assert_array_equal(outputs(fitted), before)


@pytest.mark.parametrize("estimator", [*TRANSFORMERS[::2], TRAINED[0]], ids=name_of)
def test_a_first_fit_that_fails_fits_nothing(estimator):
    unfitted = type(estimator)(**estimator.get_params())
    with pytest.raises(ValueError, match="multiply"):
        unfitted.fit(microvolts(unfitted), Y)
    assert vars(unfitted) == unfitted.get_params()
    with pytest.raises(NotFittedError):
        outputs(unfitted)


@pytest.mark.parametrize("estimator", TRANSFORMERS[::2], ids=name_of)
def test_an_interruption_anywhere_leaves_one_whole_state(estimator):
    """Interrupt at each call of a function of the engine, and each line of the wrapper."""
    first, second = epochs(estimator), epochs(estimator, ("O1", "Oz"), seed=1)
    fitted = type(estimator)(**estimator.get_params()).fit(first)
    step = 0
    while True:
        before = dict(vars(fitted))
        if interrupted(lambda: fitted.fit(second), step):
            whole = vars(fitted) == before or fitted.ch_names_ == ("O1", "Oz")
            assert whole, f"half a state after {step} calls"
            fitted.fit(first)
            step += 1
        else:
            break
    assert step > 20
    assert fitted.ch_names_ == ("O1", "Oz")


def interrupted(work, n_calls):
    """Do some work, and interrupt it at a call; say whether there was so late a one."""
    left = n_calls

    def interrupt(frame, event, argument):
        nonlocal left
        file = frame.f_code.co_filename
        in_wrapper = file.endswith("mne_neurorvq/_fitting.py")
        estimator = "mne_neurorvq/estimators" in file or "mne_neurorvq/encoding" in file
        own = (in_wrapper or estimator) and not frame.f_code.co_name.startswith("<")
        if own and event in ("call", "line"):
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
            left -= 1
        return interrupt if in_wrapper else None

    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_a_scaler_that_meets_a_trial_without_a_group_stays_as_it_was():
    rng = np.random.default_rng(0)
    scaler = GroupStandardScaler().fit(rng.standard_normal((6, 3)), groups=[1, 1, 1, 2, 2, 2])
    state = dict(vars(scaler))
    with pytest.raises(ValueError, match="no group for trial 1"):
        scaler.fit_transform(rng.standard_normal((2, 5)), groups=["a", None])
    assert vars(scaler) == state
