# License: BSD-3-Clause
"""scikit-learn's own checks of BioCodec's estimators, none ignored."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from mne_neurorvq import BioCodecClassifier, BioCodecTransformer

TINY = "biocodec-eeg-tiny-random"


@parametrize_with_checks(
    [
        BioCodecTransformer(TINY),
        BioCodecTransformer(TINY, scaling="fit", pool="none", combine="concatenate", levels=[2, 0]),
        BioCodecTransformer(TINY, output="tokens"),
        BioCodecTransformer("biocodec-emg-tiny-random"),
        BioCodecTransformer(TINY, output="histogram", levels=[1]),
        BioCodecClassifier(TINY, scaling="fit", max_epochs=2, batch_size=32, random_state=0),
        BioCodecClassifier(TINY, levels=[2], combine="sum", max_epochs=2, random_state=0),
    ]
)
def test_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", [BioCodecTransformer, BioCodecClassifier])
def test_checks_are_not_skipped_for_want_of_two_dimensional_input(kind):
    assert kind().__sklearn_tags__().input_tags.two_d_array
