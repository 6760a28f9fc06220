# License: BSD-3-Clause
"""The same functions for every system, through tokenize and detokenize alone."""

from __future__ import annotations

import numpy as np
import pytest

import mne_neurorvq
from mne_neurorvq import analysis, load_pretrained

SYSTEMS = {
    "NeuroRVQTransformer": "neurorvq-eeg-tiny-random",
    "BioCodecTransformer": "biocodec-eeg-tiny-random",
    "BrainRVQTransformer": "brainrvq-eeg-tiny-random",
}


@pytest.fixture(scope="module", params=SYSTEMS)
def fitted(request, epochs):
    """A transformer fitted on arrays, which tell nothing of filters, and its model's name."""
    name = SYSTEMS[request.param]
    transformer = getattr(mne_neurorvq, request.param)
    made = transformer(name, ch_names=epochs.ch_names, sfreq=160.0, verbose=False)
    return made.fit(epochs.get_data(units="uV")), name


def test_every_analysis_of_tokens_gives_a_value_for_each_codebook_and_level(fitted, epochs):
    model, name = fitted
    microvolts = epochs.get_data(units="uV")
    tokens = model.tokenize(microvolts)
    shape = tokens.shape[3:]
    assert analysis.code_usage(tokens).used.shape == shape
    assert analysis.compression(tokens).total == pytest.approx(tokens.bits_per_second)
    stability = analysis.code_stability(model, microvolts, {"mask": analysis.Mask(0.1)})
    assert stability.mean["mask"].shape == stability.chance.shape == shape
    assert (stability.mean["mask"] < stability.mean_elsewhere["mask"]).all()
    codebook = load_pretrained(name).tokenizer.quantizer.codebook
    coherence = analysis.spatial_coherence(tokens, microvolts, codebook)
    assert coherence.mean.shape == shape
    curve = analysis.rate_distortion(model, tokens, epochs)
    assert curve.bits_per_second[-1] == tokens.bits_per_second
    assert (np.diff(curve.bits_per_second) > 0).all()


def test_histograms_tell_their_levels(fitted, epochs):
    from sklearn.base import clone
    from sklearn.dummy import DummyClassifier

    microvolts = epochs.get_data(units="uV")
    n_levels = fitted[0].tokenize(microvolts[:1]).shape[-1]
    histogram = clone(fitted[0]).set_params(output="histogram")
    features = histogram.fit_transform(microvolts)
    y, groups = np.tile(["a", "b"], len(features) // 2), np.arange(len(features)) // 2
    scores = analysis.level_scores(
        DummyClassifier(), features, y, groups, cv=2, names=histogram.get_feature_names_out()
    )
    assert scores.n_columns[-1] == features.shape[1]
    assert scores.n_columns[:n_levels].tolist() == [features.shape[1] // n_levels] * n_levels
