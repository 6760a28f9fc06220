# License: BSD-3-Clause
"""The reference of what a model is given: the card's unless told, kept in tokens, files, keys."""

from __future__ import annotations

from dataclasses import replace

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq import (
    BioCodecTransformer,
    BrainRVQTransformer,
    NeuroRVQClassifier,
    NeuroRVQTransformer,
    Tokens,
    load_estimator,
    load_pretrained,
)
from mne_neurorvq.analysis import rate_distortion, reconstruction_quality
from mne_neurorvq.datasets import simulate_epochs
from mne_neurorvq.signals import set_reference
from mne_neurorvq.viz import plot_reconstruction
from mne_neurorvq.weights import save_pretrained

TINY = "neurorvq-eeg-tiny-random"
MODELS = [
    (NeuroRVQTransformer, TINY),
    (BrainRVQTransformer, "brainrvq-eeg-tiny-random"),
    (BioCodecTransformer, "biocodec-eeg-tiny-random"),
]
_LEFT_OUT = pytest.mark.filterwarnings("ignore:.* channels are left out of the model")
pytestmark = pytest.mark.filterwarnings("ignore:The Epochs were filtered to")


@pytest.fixture(scope="module")
def epochs():
    return simulate_epochs(n_subjects=1, n_trials=4, verbose=False)


@pytest.fixture(scope="module")
def of_average(tmp_path_factory):
    """A model whose configuration wants the average reference."""
    loaded = load_pretrained(TINY)
    models = loaded.tokenizer, loaded.foundation
    for model in models:
        model.config = replace(model.config, reference="average")
    return save_pretrained(tmp_path_factory.mktemp("models") / "averaged", *models, dtype="float32")


@_LEFT_OUT
@pytest.mark.parametrize(("kind", "pretrained"), MODELS)
@pytest.mark.parametrize("reference", ["average", "laplacian"])
def test_the_model_is_given_the_reference_of_all_electrodes(kind, pretrained, reference, epochs):
    some = ["C3", "Cz", "C4"]
    others = {name: f"X{i}" for i, name in enumerate(epochs.ch_names) if name not in some}
    renamed = epochs.copy().rename_channels(others)
    if kind is BioCodecTransformer:  # which takes channels of any name
        renamed = epochs
    fitted = kind(pretrained, reference=reference).fit(renamed)
    recorded = kind(pretrained, reference="recorded")
    before = set_reference(epochs, reference).pick(list(fitted.ch_names_))
    assert_allclose(
        fitted.transform(renamed), recorded.fit(before).transform(before), rtol=1e-4, atol=1e-4
    )
    assert fitted.reference_ == reference
    assert {match.reference for match in fitted.channel_report_} == {reference}
    assert " reference " in str(fitted.channel_report_).splitlines()[0]


def test_the_default_is_what_the_model_says(of_average, epochs):
    fitted = NeuroRVQTransformer(of_average).fit(epochs)
    assert fitted.reference_ == "average"
    told = NeuroRVQTransformer(TINY, reference="average")
    assert_array_equal(fitted.transform(epochs), told.fit_transform(epochs))
    recorded = NeuroRVQTransformer(of_average, reference="recorded").fit(epochs)
    assert_array_equal(recorded.transform(epochs), NeuroRVQTransformer(TINY).fit_transform(epochs))


def test_too_few_electrodes_stay_as_recorded_unless_told_otherwise(of_average, epochs):
    few = epochs.copy().pick(["C3", "Cz", "C4"])
    with pytest.warns(UserWarning, match="3 good EEG electrodes cannot give"):
        model = NeuroRVQTransformer(of_average).fit(few)
    assert model.reference_ == "recorded"
    as_recorded = NeuroRVQTransformer(of_average, reference="recorded").fit_transform(few)
    assert_array_equal(model.transform(few), as_recorded)
    with pytest.warns(UserWarning, match="'average' of 3 electrodes only"):
        assert NeuroRVQTransformer(of_average, reference="average").fit(few).reference_ == "average"


def test_a_model_that_says_nothing_takes_signals_as_recorded(epochs):
    fitted = NeuroRVQTransformer(TINY).fit(epochs)
    assert fitted.reference_ == "recorded"
    assert not any(match.reference for match in fitted.channel_report_)


def test_tokens_keep_the_reference_and_decode_in_it(epochs, tmp_path):
    fitted = NeuroRVQTransformer(TINY, reference="laplacian").fit(epochs)
    tokens = fitted.tokenize(epochs)
    assert (tokens.reference, tokens[1:].reference) == ("laplacian", "laplacian")
    assert "reference: laplacian" in repr(tokens)
    tokens.save(tmp_path / "tokens.h5")
    loaded = Tokens.load(tmp_path / "tokens.h5")
    assert loaded == tokens != replace(tokens, reference="recorded")
    of_tokens = NeuroRVQTransformer(TINY).detokenize(loaded)
    rebuilt = fitted.reconstruct(epochs)
    assert_array_equal(of_tokens.get_data(), rebuilt.get_data())
    flags = {int(made.info["custom_ref_applied"]) for made in (of_tokens, rebuilt)}
    assert flags == {int(mne.io.constants.FIFF.FIFFV_MNE_CUSTOM_REF_CSD)}


def test_a_file_of_tokens_that_says_nothing_is_of_the_recorded_reference(
    epochs, tmp_path, monkeypatch
):
    tokens = NeuroRVQTransformer(TINY).fit(epochs).tokenize(epochs)
    write = Tokens.save.__globals__["file"].write

    def as_before(path, header, *arrays, **options):
        del header["reference"]
        write(path, header, *arrays, **options)

    monkeypatch.setattr("mne_neurorvq.tokens.file.write", as_before)
    tokens.save(tmp_path / "tokens.h5")
    assert Tokens.load(tmp_path / "tokens.h5") == tokens


def test_a_saved_estimator_keeps_the_reference_of_fit(epochs, tmp_path):
    y = np.arange(len(epochs)) % 2
    model = NeuroRVQClassifier(TINY, reference="laplacian", finetune="head", max_epochs=1)
    loaded = load_estimator(model.fit(epochs, y).save(tmp_path))
    assert loaded.reference_ == "laplacian"
    assert_array_equal(loaded.predict_proba(epochs), model.predict_proba(epochs))


def test_outputs_in_one_reference_are_not_taken_for_those_in_another(epochs, tmp_path):
    kept = [
        NeuroRVQTransformer(TINY, reference=name, memory=tmp_path).fit_transform(epochs)
        for name in ("recorded", "average", "average")
    ]
    assert not np.allclose(kept[0], kept[1])
    assert_array_equal(kept[1], kept[2])
    alone = NeuroRVQTransformer(TINY, reference="average", memory=None).fit_transform(epochs)
    assert_array_equal(kept[1], alone)


@_LEFT_OUT
def test_a_loud_electrode_that_the_model_does_not_use_is_named(epochs):
    loud = epochs.copy().rename_channels({"O2": "X2"})
    noise = np.random.default_rng(0).standard_normal(loud._data[:, 0].shape)
    loud._data[:, loud.ch_names.index("X2")] = 5e-3 * noise
    with pytest.warns(UserWarning, match="look broken: 'X2'"):
        NeuroRVQTransformer(TINY, reference="average").fit(loud)


def test_the_result_for_a_trial_does_not_depend_on_what_comes_with_it(epochs):
    marked = epochs.copy()
    marked.info["bads"] = ["O1"]
    fitted = NeuroRVQTransformer(TINY, reference="average").fit(epochs)
    with pytest.warns(UserWarning, match="marked bad in X"):
        together = fitted.transform([epochs, marked])
    assert_array_equal(together[:4], fitted.transform(epochs))
    singles = [epochs[i] for i in range(4)]
    assert_array_equal(fitted.transform(singles), together[:4])


def test_computed_sites_have_the_reference_too(epochs):
    sparse = epochs.copy().rename_channels({"Fz": "X1"})
    fitted = NeuroRVQTransformer(TINY, channels="interpolate", reference="average").fit(sparse)
    (site,) = (match for match in fitted.channel_report_ if match.how == "spline")
    assert site.reference == "average"
    source = next(match for match in fitted.channel_report_ if match.name == "X1")
    assert source.reference == "average"


def test_a_reconstruction_is_compared_in_its_own_reference_only(epochs, close_figures):
    fitted = NeuroRVQTransformer(TINY, reference="average").fit(epochs)
    rebuilt, tokens = fitted.reconstruct(epochs), fitted.tokenize(epochs)
    for compare in (
        lambda original: reconstruction_quality(original, rebuilt),
        lambda original: plot_reconstruction(original, rebuilt, show=False),
        lambda original: rate_distortion(fitted, tokens, original),
    ):
        with pytest.raises(ValueError, match="in another reference than the original"):
            compare(epochs)
        compare(set_reference(epochs, fitted.reference_))


def test_a_reference_that_does_not_exist_is_refused(epochs):
    with pytest.raises(ValueError, match="reference='mean' must be one of"):
        NeuroRVQTransformer(TINY, reference="mean").fit(epochs)


def test_the_two_models_of_a_folder_want_one_reference(tmp_path):
    loaded = load_pretrained(TINY)
    loaded.tokenizer.config = replace(loaded.tokenizer.config, reference="average")
    with pytest.raises(ValueError, match="different configurations"):
        save_pretrained(tmp_path, loaded.tokenizer, loaded.foundation)
