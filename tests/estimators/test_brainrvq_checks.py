# License: BSD-3-Clause
"""scikit-learn's own checks of BrainRVQ's estimators, none ignored.

Histograms and adapters are checked with NeuroRVQ: the code is the same.
"""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from mne_neurorvq import BrainRVQClassifier, BrainRVQTransformer

TINY = "brainrvq-eeg-tiny-random"


@pytest.mark.filterwarnings(
    # scikit-learn's arrays have a handful of samples: less than a patch.
    "ignore:Windows of .* shorter than one patch:UserWarning"
)
@parametrize_with_checks(
    [
        BrainRVQTransformer(TINY),
        BrainRVQTransformer(TINY, pool="none"),
        BrainRVQTransformer(TINY, output="tokens"),
        BrainRVQClassifier(TINY, finetune="head", max_epochs=8, lr=5e-3, random_state=0),
        BrainRVQClassifier(
            TINY,
            finetune="full",
            max_epochs=3,
            lr=2e-3,
            warmup_epochs=0,
            batch_size=32,
            random_state=0,
        ),
    ]
)
def test_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", [BrainRVQTransformer, BrainRVQClassifier])
def test_checks_are_not_skipped_for_want_of_two_dimensional_input(kind):
    assert kind().__sklearn_tags__().input_tags.two_d_array
