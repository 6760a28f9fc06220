# License: BSD-3-Clause
"""scikit-learn's own checks, none ignored."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from mne_neurorvq import (
    GroupStandardScaler,
    NeuroRVQClassifier,
    NeuroRVQRegressor,
    NeuroRVQTransformer,
)

TINY = "neurorvq-eeg-tiny-random"


@pytest.mark.filterwarnings(
    # scikit-learn's arrays have a handful of samples: less than a patch.
    "ignore:Windows of .* shorter than one patch:UserWarning"
)
@pytest.mark.filterwarnings(
    # Nor do its checks know groups.
    "ignore:GroupStandardScaler was fitted without groups:UserWarning"
)
@parametrize_with_checks(
    [
        NeuroRVQTransformer(TINY),
        NeuroRVQTransformer(TINY, pool="none"),
        NeuroRVQTransformer(TINY, output="tokens"),
        NeuroRVQTransformer(TINY, output="histogram"),
        # As few epochs as leave the required accuracy of 0.83 a margin.
        NeuroRVQClassifier(TINY, finetune="head", max_epochs=8, lr=2e-3, random_state=0),
        NeuroRVQClassifier(
            TINY, finetune="full", max_epochs=3, lr=2e-3, warmup_epochs=0, random_state=0
        ),
        NeuroRVQClassifier(
            TINY,
            finetune="lora",
            max_epochs=3,
            lr=4e-3,
            warmup_epochs=1,
            batch_size=16,
            random_state=0,
        ),
        NeuroRVQRegressor(TINY, finetune="head", random_state=0),
        NeuroRVQTransformer("neurorvq-ecg-tiny-random"),
        NeuroRVQTransformer("neurorvq-ppg-tiny-random", output="histogram"),
        NeuroRVQClassifier(
            "neurorvq-emg-tiny-random", finetune="head", max_epochs=8, lr=2e-3, random_state=0
        ),
        GroupStandardScaler(),
    ]
)
def test_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_checks_are_not_skipped_for_want_of_two_dimensional_input():
    assert NeuroRVQTransformer().__sklearn_tags__().input_tags.two_d_array
