# License: BSD-3-Clause
"""The reference of what a model is given: the card's unless told, kept in tokens, files, keys."""

from __future__ import annotations

import re
from dataclasses import replace

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    rebuilt = fitted.reconstruct(epochs)  # nothing undoes a Laplacian
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
    with pytest.warns(UserWarning, match=r"look broken: 'X2' .* average .* leaves them out"):
        fitted = NeuroRVQTransformer(TINY, reference="average").fit(loud)
    (told,) = (match for match in fitted.channel_report_ if match.reason.startswith("looks broken"))
    assert (told.name, told.reference) == ("X2", "average")


BUNDLED = [
    (NeuroRVQTransformer, "neurorvq-eeg-small"),
    (BrainRVQTransformer, "brainrvq-eeg-small"),
]


@pytest.mark.filterwarnings("ignore:Channels that look broken")
@pytest.mark.parametrize(("kind", "pretrained"), BUNDLED)
@settings(max_examples=6)
@given(bad=st.integers(0, 18), gain=st.sampled_from([20, 300]))
def test_a_channel_that_is_too_large_changes_no_code_at_any_level(kind, pretrained, bad, gain):
    clean = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    marked, loud = clean.copy(), clean.copy()
    marked.info["bads"] = [clean.ch_names[bad]]
    without_it = set_reference(marked, "average")
    without_it.info["bads"] = []
    loud._data[:, bad] *= gain
    model = kind(pretrained, memory=None).fit(loud)
    assert model.reference_ == "average"
    recorded = kind(pretrained, reference="recorded", memory=None).fit(without_it)
    assert_array_equal(model.tokenize(loud).codes, recorded.tokenize(without_it).codes)
    others = np.delete(np.arange(19), bad)
    of_loud = reconstruction_quality(loud, model.reconstruct(loud)).r[:, others]
    model = kind(pretrained, memory=None).fit(clean)
    of_clean = reconstruction_quality(clean, model.reconstruct(clean)).r[:, others]
    assert abs(of_loud.mean() - of_clean.mean()) < 0.02


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


@pytest.mark.parametrize(("kind", "pretrained"), MODELS)
def test_a_reconstruction_has_the_reference_of_the_recording(kind, pretrained, epochs):
    fitted = kind(pretrained, reference="average").fit(epochs)
    averaged = set_reference(epochs, "average").get_data()
    decoded = fitted.detokenize(fitted.tokenize(epochs)).get_data()
    rebuilt = fitted.reconstruct(epochs)
    expected = decoded + epochs.get_data() - averaged
    assert_allclose(rebuilt.get_data(), expected, rtol=0, atol=1e-15)
    assert rebuilt.info["custom_ref_applied"] == epochs.info["custom_ref_applied"]
    microvolts = kind(pretrained, reference="average", ch_names=epochs.ch_names, sfreq=200.0)
    of_array = microvolts.fit(1e6 * epochs.get_data()).reconstruct(1e6 * epochs.get_data())
    assert_allclose(of_array.get_data(), rebuilt.get_data(), rtol=0, atol=1e-9)


def test_what_has_no_part_in_the_average_gets_none_back(epochs):
    more = epochs.copy().rename_channels({"O1": "O1-A2"})
    fitted = BioCodecTransformer("biocodec-eeg-tiny-random", reference="average").fit(more)
    used = [match.name for match in fitted.channel_report_ if match.used and not match.reference]
    decoded = fitted.detokenize(fitted.tokenize(more))
    rebuilt = fitted.reconstruct(more)
    assert_array_equal(rebuilt.get_data(picks=used), decoded.get_data(picks=used))


def test_sites_that_were_computed_have_the_reference_of_the_recording(epochs):
    sparse = epochs.copy().rename_channels({"Fz": "X1"})
    options = {"channels": "interpolate", "output": "tokens"}
    fitted = NeuroRVQTransformer(TINY, reference="average", **options).fit(sparse)
    average = (sparse.get_data() - set_reference(sparse, "average").get_data())[:, :1]
    decoded = fitted.detokenize(fitted.tokenize(sparse)).get_data()
    found = fitted.reconstruct(sparse).get_data()
    assert_allclose(found, decoded + average, rtol=0, atol=1e-15)


def test_signals_are_compared_in_one_reference_only(epochs, close_figures):
    fitted = NeuroRVQTransformer(TINY, reference="average").fit(epochs)
    tokens = fitted.tokenize(epochs)
    rebuilt, decoded = fitted.reconstruct(epochs), fitted.detokenize(tokens)
    assert reconstruction_quality(epochs, rebuilt).r.shape == (4, 19)
    plot_reconstruction(epochs, rebuilt, show=False)
    for compare in (
        lambda original: reconstruction_quality(original, decoded),
        lambda original: plot_reconstruction(original, decoded, show=False),
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


def _of_references(epochs, flags):
    """A list of the same trials, some with an average that the info mentions."""
    return [epochs.copy().set_eeg_reference(verbose="error") if f else epochs for f in flags]


@given(st.lists(st.booleans(), min_size=2, max_size=4))
@settings(max_examples=10, deadline=None)
def test_recordings_of_several_references_are_refused_unless_they_are_brought_to_one(flags):
    epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    X = _of_references(epochs, flags)
    recorded, averaged = (NeuroRVQTransformer(TINY, reference=r) for r in ("recorded", "average"))
    if len(set(flags)) > 1:
        i = flags.index(not flags[0])
        has, lacks = (0, i) if flags[0] else (i, 0)
        told = f"X mixes references: item {has} has 'custom_ref_applied', item {lacks} none"
        with pytest.raises(ValueError, match=told):
            recorded.fit(X)
    else:
        recorded.fit(X)
    assert_allclose(averaged.fit_transform(X), averaged.transform([epochs] * len(X)), atol=1e-3)


def test_a_laplacian_among_recordings_is_refused_whatever_the_reference(epochs):
    X = [epochs, set_reference(epochs, "laplacian")]
    for reference in ("recorded", "average"):
        with pytest.raises(ValueError, match="item 1 has 'a Laplacian', item 0 none"):
            NeuroRVQTransformer(TINY, reference=reference).fit(X)


def test_another_reference_than_in_fit_is_told(epochs):
    other = epochs.copy().set_eeg_reference(verbose="error")
    with pytest.warns(UserWarning, match="another reference than what fit saw"):
        NeuroRVQTransformer(TINY, reference="recorded").fit(epochs).transform(other)
    NeuroRVQTransformer(TINY, reference="average").fit(epochs).transform(other)


def test_projectors_of_some_recordings_are_told(epochs):
    projected = epochs.copy()
    eeg = projected.copy().pick("eeg")
    projected.add_proj(mne.compute_proj_epochs(eeg, n_eeg=1, verbose="error"))
    projected.apply_proj(verbose="error")
    named = re.escape(projected.info["projs"][0]["desc"])
    with pytest.warns(UserWarning, match=f"X mixes projectors: '{named}' applied in item 0 or ite"):
        NeuroRVQTransformer(TINY).fit([epochs, projected])
