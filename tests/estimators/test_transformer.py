# License: BSD-3-Clause
"""Parameters, fits and refits: nothing impossible is accepted and nothing stale is used."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.weights import save_pretrained, to_official_state_dict

TINY = "neurorvq-eeg-tiny-random"


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(0, 20, (3, 2, 320))


def make(pretrained=TINY, **parameters):
    given = {"ch_names": ["C3", "C4"], "sfreq": 160.0} | parameters
    return NeuroRVQTransformer(pretrained, **given)


@pytest.mark.parametrize(
    ("parameter", "value", "remedy"),
    [
        ("output", "codes", "'embedding', 'tokens', 'histogram'"),
        ("output", None, "'embedding', 'tokens', 'histogram'"),
        ("pool", "max", "'mean', 'channel', 'time', 'thirds', 'none'"),
        ("precision", "fp16", "'auto', 'float32', 'bf16'"),
        ("verbose", "error", "None, True, False"),
        ("channels", "fuzzy", "'match', 'strict', 'nearest', 'interpolate'"),
        ("unit", "µV", "'V', 'mV', '100uV', 'uV'"),
        ("device", "gpu", "'auto' or a torch device"),
        ("batch_size", 0, "at least 1"),
        ("batch_size", 2.5, "'auto' or a positive integer"),
        ("batch_size", "big", "'auto' or a positive integer"),
        ("batch_size", True, "'auto' or a positive integer"),
        ("sfreq", -160.0, "positive number of Hz"),
        ("sfreq", float("nan"), "positive number of Hz"),
        ("ch_names", ["C3"], "one name per channel"),
        ("ch_names", "C3", "one name per channel"),
        ("revision", "v2", "for models that are downloaded"),
    ],
)
def test_an_impossible_parameter_is_named_with_its_value_and_the_remedy(
    X, parameter, value, remedy
):
    with pytest.raises(ValueError, match=f"{parameter}={value!r}".replace("[", r"\[")) as caught:
        make(**{parameter: value}).fit(X)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("parameter", ["ch_names", "sfreq"])
def test_an_array_needs_names_and_a_rate(X, parameter):
    with pytest.raises(ValueError, match=rf"shape \(3, 2, 320\).*pass {parameter}="):
        make(**{parameter: None}).fit(X)


@pytest.mark.parametrize("pretrained", [None, 3, ["neurorvq-eeg-small"], b"neurorvq-eeg-small"])
def test_a_model_is_named_by_text_or_path(X, pretrained):
    with pytest.raises(TypeError, match=r"pretrained=.* must be the name of a model"):
        make(pretrained).fit(X)
    with pytest.raises(TypeError, match=r"pretrained=.* must be the name of a model"):
        make(pretrained).detokenize(make().fit(X).tokenize(X))


def test_an_unknown_name_suggests_a_known_one(X):
    with pytest.raises(ValueError, match=r"'neurorvq-eeg-tyni-random'.*Did you mean.*tiny-random"):
        make("neurorvq-eeg-tyni-random").fit(X)


def test_histograms_need_something_to_count_over(X):
    with pytest.raises(ValueError, match=r"pool='none'.*output='tokens'"):
        make(output="histogram", pool="none").fit(X)


def test_nothing_is_checked_or_loaded_before_fit():
    assert vars(make("no such model", output="?", pool="?", device="?")).keys() == set(
        make().get_params()
    )


@pytest.mark.parametrize(
    "method", ["transform", "tokenize", "reconstruct", "get_feature_names_out"]
)
def test_fit_comes_first(X, method):
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(make(), method)(X)


def test_a_parameter_spoilt_after_fit_is_noticed(X):
    for parameter, value in (("pool", "max"), ("output", "codes"), ("precision", "fp16")):
        fitted = make().fit(X).set_params(**{parameter: value})
        with pytest.raises(ValueError, match=f"{parameter}={value!r}"):
            fitted.transform(X)


def test_another_model_after_fit_asks_for_another_fit(X, tiny, tmp_path):
    folder = save_pretrained(tmp_path / "model", tiny.tokenizer, tiny.foundation)
    fitted = make().fit(X).set_params(pretrained=str(folder))
    for method in (fitted.transform, fitted.tokenize, fitted.reconstruct):
        with pytest.raises(ValueError, match=f"{TINY}.*{folder}.*fit again"):
            method(X)
    assert fitted.fit(X).tokenize(X).model == str(folder)


def test_a_refit_reads_the_model_again(X, tiny, tmp_path):
    folder = save_pretrained(tmp_path / "model", foundation=tiny.foundation)
    fitted = make(str(folder)).fit(X)
    before = fitted.transform(X)
    state = to_official_state_dict(tiny.foundation)
    torch.save({name: -value for name, value in state.items()}, folder / "foundation.pt")
    (folder / "foundation.safetensors").unlink()
    (folder / "config.json").unlink()
    (folder / "manifest.json").unlink()
    assert_array_equal(fitted.transform(X), before)
    assert not np.allclose(fitted.fit_transform(X), before)


def test_a_refit_with_another_montage_rate_and_length_replaces_everything(X, make_epochs):
    table = pd.DataFrame(X[:, 0], columns=[f"t{i}" for i in range(320)])
    fitted = make(ch_names=["C3"], pool="mean").fit(table)
    assert fitted.n_features_in_ == 320
    assert list(fitted.feature_names_in_) == list(table.columns)
    names = fitted.get_feature_names_out()

    other = make_epochs(n_times=1000, sfreq=250.0, ch_names=("Pz", "Cz", "C4"))
    fitted.fit(other)
    fresh = make(pool="mean").fit(other)
    assert fitted.n_features_in_ == 3
    assert not hasattr(fitted, "feature_names_in_")
    assert fitted.ch_names_ == ("Pz", "Cz", "C4")
    assert fitted.segmentation_ == fresh.segmentation_
    assert fitted.channel_report_ == fresh.channel_report_
    assert vars(fitted).keys() == vars(fresh).keys()
    assert_array_equal(fitted.transform(other), fresh.transform(other))
    assert_array_equal(fitted.get_feature_names_out(), names)  # no channels in them

    fitted.fit(X[:, :1])
    assert fitted.ch_names_ == ("C3",)
    assert fitted.transform(X[:, :1]).shape == (3, 800)


def test_output_and_pool_may_change_without_another_fit(X):
    fitted = make().fit(X)
    for output in ("histogram", "tokens", "embedding"):
        found = fitted.set_params(output=output, pool="time").transform(X)
        assert_array_equal(found, make(output=output, pool="time").fit_transform(X))
        assert found.shape[1] == len(fitted.get_feature_names_out())


def test_channels_of_fit_are_taken_by_name_in_any_order(make_epochs):
    epochs = make_epochs()
    fitted = NeuroRVQTransformer(TINY, pool="time").fit(epochs)
    other = epochs.copy().reorder_channels(["Pz", "C4", "Cz", "C3"])
    other.rename_channels({"C4": "EEG C4-REF"})
    assert_array_equal(fitted.transform(other), fitted.transform(epochs))
    assert_array_equal(
        fitted.tokenize([other[0], epochs[1]]).codes, fitted.tokenize(epochs[:2]).codes
    )
    restored = fitted.reconstruct(other)
    assert restored.ch_names == ["C3", "Cz", "EEG C4-REF", "Pz"]
    assert_array_equal(restored.get_data(), fitted.reconstruct(epochs).get_data())
    array = make(ch_names=epochs.ch_names, sfreq=160.0, pool="time").fit(1e6 * epochs.get_data())
    turned = array.set_params(ch_names=other.ch_names).transform(1e6 * other.get_data())
    assert_allclose(turned, fitted.transform(epochs), atol=1e-6)


def test_channels_that_are_missing_or_new_are_named(make_epochs):
    epochs = make_epochs()
    fitted = NeuroRVQTransformer(TINY).fit(epochs)
    with pytest.raises(ValueError, match="C4, Pz are missing"):
        fitted.tokenize(epochs.copy().pick(["C3", "Cz"]))
    renamed = epochs.copy().rename_channels({"Cz": "EXTRA"})
    with pytest.raises(ValueError, match=r"saw: Cz is missing; EXTRA is new\. Pass the"):
        fitted.transform(renamed)


@pytest.mark.parametrize(
    "parameters",
    [{"pool": "none"}, {"pool": "channel"}, {"output": "tokens"}],
    ids=lambda given: "-".join(given.values()),
)
def test_windows_of_other_lengths_are_refused_where_columns_would_differ(make_epochs, parameters):
    epochs = make_epochs(n_times=640)
    fitted = NeuroRVQTransformer(TINY, **parameters).fit(epochs)
    with pytest.raises(ValueError, match=r"windows of 2 patches, but fit saw 4.*pool='mean'"):
        fitted.transform(make_epochs(n_times=320))
    # 3.5 patches are four, the last of which overlaps: the columns are the same.
    shorter = make_epochs(n_times=560)
    assert fitted.transform(shorter).shape == fitted.transform(epochs).shape


def test_windows_of_other_lengths_and_rates_are_pooled_to_the_same_columns(make_epochs):
    fitted = NeuroRVQTransformer(TINY).fit(make_epochs(n_times=640))
    for n_times, sfreq in ((320, 160.0), (1001, 250.0)):
        other = make_epochs(n_times=n_times, sfreq=sfreq)
        found = fitted.transform(other)
        assert_array_equal(found, NeuroRVQTransformer(TINY).fit_transform(other))


def test_a_foundation_model_alone_gives_embeddings_only(X, tiny, tmp_path):
    folder = save_pretrained(tmp_path / "model", foundation=tiny.foundation, dtype="float32")
    for path in (folder, folder / "foundation.safetensors"):
        fitted = make(str(path)).fit(X)
        assert_array_equal(fitted.transform(X), make().fit_transform(X))
        refusal = "need a tokenizer model, but .* holds only a foundation model"
        with pytest.raises(ValueError, match=refusal):
            fitted.tokenize(X)
        for output in ("tokens", "histogram"):
            with pytest.raises(ValueError, match=refusal):
                make(str(path), output=output).fit(X)


def test_a_tokenizer_alone_gives_codes_only(X, tiny, tmp_path):
    torch.save(to_official_state_dict(tiny.tokenizer), tmp_path / "tokenizer.pt")
    fitted = make(str(tmp_path / "tokenizer.pt"), output="tokens").fit(X)
    assert_array_equal(fitted.transform(X), make(output="tokens").fit_transform(X))
    with pytest.raises(ValueError, match=r"need a foundation model, but .* only a tokenizer model"):
        make(str(tmp_path / "tokenizer.pt")).fit(X)


def test_the_tokenizer_knows_its_codes_if_the_foundation_model_does_not(X, tiny, tmp_path):
    # Files of the authors without their pretraining heads: how many codes there are is not in one
    # of the two.
    torch.save(to_official_state_dict(tiny.tokenizer), tmp_path / "tokenizer.pt")
    torch.save(to_official_state_dict(tiny.foundation), tmp_path / "foundation.pt")
    fitted = make(str(tmp_path), output="embedding").fit(X)
    tokens = fitted.tokenize(X)
    assert tokens.n_codes == tiny.tokenizer.config.quantizer.n_codes
    assert fitted.detokenize(tokens).get_data().shape == X.shape
    fitted.set_params(output="histogram")
    assert fitted.transform(X).shape[1] == len(fitted.get_feature_names_out())


def test_a_path_object_serves_as_well(X, tiny, tmp_path):
    folder = save_pretrained(tmp_path / "model", tiny.tokenizer, tiny.foundation)
    assert_array_equal(make(folder).fit_transform(X), make(str(folder)).fit_transform(X))
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*gone\.pt"):
        make(tmp_path / "gone.pt").fit(X)


def test_the_report_says_what_happened_to_every_channel(make_epochs):
    epochs = make_epochs(ch_names=("C3", "Nonsense", "T3"))
    with pytest.warns(UserWarning, match=r"1 of 3 channels .*'Nonsense'"):
        report = NeuroRVQTransformer(TINY).fit(epochs).channel_report_
    assert [(m.name, m.target, m.how, m.used) for m in report] == [
        ("C3", "c3", "exact", True),
        ("Nonsense", None, None, False),
        ("T3", "t3", "exact", True),
    ]
    assert "not among the model's 104 channels" in report[1].reason


def test_the_embedding_is_the_recorded_feature_of_the_authors(shared, tmp_path):
    folder = shared / "golden" / "neurorvq_eeg_small"
    for part, kind in (("tokenizer", "tokenizer"), ("fm", "foundation")):
        with np.load(folder / f"{part}_fp16exact.npz") as arrays:
            state = {k: torch.from_numpy(v.astype(np.float32)) for k, v in arrays.items()}
        torch.save(state, tmp_path / f"{kind}.pt")
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "fm_io.npz") as recorded:
        x, pooled = inputs["x"], recorded["fm_pooled800"]
    names = json.loads((folder / "meta.json").read_text())["channels"]
    estimator = make(str(tmp_path), pool="mean", ch_names=names, sfreq=200.0)
    assert_allclose(estimator.fit_transform(x), pooled, rtol=0, atol=1e-4)
