# License: BSD-3-Clause
"""Fitted estimators on disk: the same predictions, no pickle, and every broken folder named."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import warnings
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import joblib
import mne
import numpy as np
import pandas as pd
import pytest
import torch
from filtered import filtered_for, filtered_info
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback, EpochScoring, ProgressBar

from mne_neurorvq import (
    BioCodecTransformer,
    BrainRVQTransformer,
    NeuroRVQClassifier,
    NeuroRVQRegressor,
    NeuroRVQTransformer,
    load_estimator,
)
from mne_neurorvq.models import NeuroRVQ
from mne_neurorvq.weights import save_pretrained

TINY = "neurorvq-eeg-tiny-random"
N = 8
RECORD = "estimator.json"


def make(kind=NeuroRVQClassifier, pretrained=TINY, **parameters):
    settings = {"finetune": "head", "max_epochs": 2, "batch_size": 5, "random_state": 0}
    return kind(pretrained, **(settings | {"ch_names": ["C3", "C4"], "sfreq": 200.0} | parameters))


def read_record(folder):
    """What a record holds, for one to be made of it by hand, without the digest."""
    record = json.loads((folder / RECORD).read_text())
    del record["digest"]
    return record


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(0, 20, (N, 2, 400))


@pytest.fixture(scope="module")
def y():
    return np.tile(["left", "rest"], N // 2)


@pytest.fixture
def saved(X, y, tmp_path):
    """Folder of a classifier, and the classifier."""
    fitted = make().fit(X, y)
    return fitted.save(tmp_path / "saved"), fitted


def check_same(loaded, fitted, X):
    """Two fitted estimators that nothing tells apart."""
    assert type(loaded) is type(fitted)
    kept = {
        name: value
        for name, value in vars(fitted).items()
        if name not in ("net_", "classes_", "feature_names_in_", "_fitted")
    }
    # Whoever loads it is warned of filters anew.
    assert loaded._fitted == replace(fitted._fitted, bands=(), warned=frozenset(), projectors=())
    assert {name: getattr(loaded, name) for name in kept} == kept
    for name in ("classes_", "feature_names_in_"):
        assert hasattr(loaded, name) == hasattr(fitted, name)
        if hasattr(fitted, name):
            assert getattr(loaded, name).dtype == getattr(fitted, name).dtype
            assert_array_equal(getattr(loaded, name), getattr(fitted, name))
    assert_array_equal(loaded.predict(X), fitted.predict(X))
    assert loaded.predict(X).dtype == fitted.predict(X).dtype
    if isinstance(fitted, NeuroRVQClassifier):
        assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
        assert_array_equal(loaded.decision_function(X), fitted.decision_function(X))
    assert [dict(row) for row in loaded.net_.history] != []
    assert not loaded.net_.module_.training
    assert not fitted.net_.module_.training


@pytest.mark.parametrize("head", ["mean", "flatten"])
@pytest.mark.parametrize("finetune", ["head", "full", "lora"])
def test_a_saved_classifier_predicts_the_same_bits(X, y, tmp_path, finetune, head):
    fitted = make(finetune=finetune, head=head, validation_fraction=0.3).fit(X, y)
    check_same(load_estimator(fitted.save(tmp_path / "saved")), fitted, X)


def test_a_saved_regressor_predicts_the_same_bits(X, tmp_path):
    fitted = make(NeuroRVQRegressor).fit(X, np.linspace(-3, 40, N))
    check_same(load_estimator(fitted.save(str(tmp_path / "deep" / "er"))), fitted, X)


LABELS = [
    np.array([7, -2]),
    np.array([200, 3], dtype=np.uint8),
    np.array([True, False]),
    np.array(["ä", "left"]),
    np.array(["rest", "left"], dtype=object),
    np.array([1.0, 2.0]),
    np.array(["a", "b", "cc"]),
]


@pytest.mark.parametrize("labels", LABELS, ids=lambda labels: labels.dtype.str)
def test_labels_and_their_weights_come_back_as_they_were(X, tmp_path, labels):
    y = np.resize(labels, N)
    class_weight = {label: 1.0 + i for i, label in enumerate(labels)}
    fitted = make(class_weight=class_weight).fit(X, y)
    loaded = load_estimator(fitted.save(tmp_path))
    check_same(loaded, fitted, X)
    assert loaded.class_weight == class_weight
    assert {type(key) for key in loaded.class_weight} == {type(label) for label in labels.tolist()}


def test_epochs_and_long_windows_come_back(make_epochs, tmp_path):
    names = tuple("Fz F3 F4 Cz C3 C4 Pz P3 P4 Oz O1 O2 FCz EOG1".split())
    epochs = make_epochs(n_trials=4, n_times=3500, sfreq=160.0, ch_names=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one channel is unknown
        fitted = make(ch_names=None, sfreq=None).fit(epochs, [0, 1, 0, 1])
    assert len(fitted.segmentation_.segments) > 1
    assert len(fitted.ch_names_) < len(names)
    check_same(load_estimator(fitted.save(tmp_path)), fitted, epochs)


def test_names_of_features_come_back(X, y, tmp_path):
    table = pd.DataFrame(X[:, 0]).add_prefix("t")
    fitted = make(ch_names=["C3"]).fit(table, y)
    loaded = load_estimator(fitted.save(tmp_path))
    check_same(loaded, fitted, table)
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(table.add_suffix("?"))


def test_plain_parameters_of_any_kind_come_back(X, y, tmp_path):
    parameters = {
        "ch_names": np.array(["C3", "C4"]),
        "lr": np.float64(0.01),
        "max_epochs": np.int64(1),
        "validation_groups": np.array(["b"]),
        "early_stopping": 2,
        "sfreq": 200,
    }
    fitted = make(**parameters).fit(X, y, groups=["a"] * 4 + ["b"] * 4)
    loaded = load_estimator(fitted.save(tmp_path))
    for name, value in parameters.items():
        assert_array_equal(getattr(loaded, name), value)


def test_a_model_named_by_its_path_comes_back(X, y, tiny, tmp_path):
    model = save_pretrained(tmp_path / "model", foundation=tiny.foundation)
    fitted = make(pretrained=Path(model)).fit(X, y)
    folder = fitted.save(tmp_path / "saved")
    shutil.rmtree(model)  # prediction needs nothing but the folder
    loaded = load_estimator(folder)
    assert loaded.pretrained == str(model)
    assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("finetune", ["full", "lora"])
def test_heads_of_pretraining_are_neither_trained_nor_saved(X, y, tiny, tmp_path, finetune):
    with torch.random.fork_rng(devices=[]):
        with_heads = NeuroRVQ(
            config=tiny.config, masked_token_heads=True, pretrained=tiny.foundation
        )
    model = save_pretrained(tmp_path / "model", foundation=with_heads, dtype="float32")
    fitted = make(pretrained=str(model), finetune=finetune).fit(X, y)
    plain = make(finetune=finetune).fit(X, y)
    assert fitted.n_trainable_parameters_ == plain.n_trainable_parameters_
    assert_array_equal(fitted.predict_proba(X), plain.predict_proba(X))
    loaded = load_estimator(fitted.save(tmp_path / "saved"))
    assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_there_is_no_pickle_in_the_folder(saved):
    files = sorted(saved[0].iterdir())
    assert [file.suffix for file in files] == [".json", ".safetensors"]
    record = json.loads(files[0].read_text(encoding="utf-8"))
    assert record["class"] == "NeuroRVQClassifier"
    assert record["parameters"]["pretrained"] == TINY
    header_size = int.from_bytes(files[1].read_bytes()[:8], "little")
    header = json.loads(files[1].read_bytes()[8 : 8 + header_size])
    assert "final_layer.linear.weight" in header


def test_loading_runs_no_code(saved, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a pickle was read")

    for module, name in ((pickle, "load"), (pickle, "loads"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    load_estimator(saved[0])


def test_loading_leaves_the_global_generator_alone(saved):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    load_estimator(saved[0])
    assert_array_equal(torch.get_rng_state(), before)


def test_a_loaded_estimator_is_saved_again_and_stays_the_same(saved, X, tmp_path):
    folder, fitted = saved
    again = load_estimator(folder).save(tmp_path / "again")
    check_same(load_estimator(again), fitted, X)
    texts = [(path / RECORD).read_text() for path in (folder, again)]
    assert texts[0] == texts[1]


def test_a_loaded_estimator_is_fitted_cloned_and_pickled(saved, X, y):
    folder, fitted = saved
    loaded = load_estimator(folder)
    assert_array_equal(pickle.loads(pickle.dumps(loaded)).predict(X), fitted.predict(X))
    assert clone(loaded).get_params() == fitted.get_params()
    assert len(cross_val_score(loaded, X, y, cv=2)) == 2
    assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert_array_equal(loaded.fit(X, y).predict_proba(X), fitted.predict_proba(X))


def test_the_net_of_a_loaded_classifier_is_that_of_the_fitted_one(saved, X):
    folder, fitted = saved
    signals = X.astype(np.float32)
    loaded = load_estimator(folder)
    assert_array_equal(loaded.net_.predict(signals), fitted.net_.predict(signals))
    assert_array_equal(loaded.net_.predict_proba(signals), fitted.net_.predict_proba(signals))
    assert len(loaded.net_.history) == len(fitted.net_.history)


def test_saving_replaces_an_earlier_estimator(saved, X, y):
    folder, fitted = saved
    other = make(lr=0.01, finetune="full").fit(X, y)
    assert not np.allclose(other.predict_proba(X), fitted.predict_proba(X))
    (folder / "notes.txt").write_text("mine")
    other.save(folder)
    check_same(load_estimator(folder), other, X)
    assert sorted(file.suffix for file in folder.iterdir()) == [".json", ".safetensors", ".txt"]


def test_a_parameter_set_after_fit_does_not_spoil_what_is_saved(saved, X, tmp_path):
    _, fitted = saved
    expected = fitted.predict_proba(X)
    fitted.set_params(head="mean", finetune="full", max_epochs=7)
    loaded = load_estimator(fitted.save(tmp_path / "changed"))
    assert loaded.head == "mean"
    assert_array_equal(loaded.predict_proba(X), expected)


class Killed(BaseException):
    """As if the process had ended."""


@pytest.mark.parametrize("step", range(6))
def test_a_save_that_is_killed_leaves_the_old_estimator(saved, X, y, monkeypatch, step):
    folder, fitted = saved
    # Same tensors, other labels: a mixture of the two would load and be wrong.
    other = make(random_state=1).fit(X, np.where(y == "left", "up", "down"))
    steps = []

    def count(function):
        def counted(*args, **kwargs):
            if len(steps) == step:
                raise Killed
            steps.append(function.__name__)
            return function(*args, **kwargs)

        return counted

    for owner, name in ((Path, "write_bytes"), (os, "replace")):
        monkeypatch.setattr(owner, name, count(getattr(owner, name)))
    if step < 4:
        with pytest.raises(Killed):
            other.save(folder)
        monkeypatch.undo()
        check_same(load_estimator(folder), fitted, X)
        other.save(folder)
    else:  # there are four steps
        other.save(folder)
        monkeypatch.undo()
    check_same(load_estimator(folder), other, X)
    assert len(list(folder.iterdir())) == 2


def test_what_cannot_be_written_leaves_the_old_estimator(saved, X, y):
    folder, fitted = saved
    other = make(random_state=1).fit(X, y).set_params(sfreq=object())
    with pytest.raises(TypeError, match="cannot be saved: only plain values can"):
        other.save(folder)
    check_same(load_estimator(folder), fitted, X)
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("random_state", np.random.RandomState(0)),
        ("callbacks", [EpochScoring("accuracy", on_train=True)]),
        ("callbacks", [("bar", ProgressBar())]),
    ],
)
def test_what_only_a_further_fit_would_use_is_left_out_with_a_warning(X, y, tmp_path, name, value):
    fitted = make(**{name: value}).fit(X, y)
    with pytest.warns(UserWarning, match=f"{name}=.* is not saved: give it again") as caught:
        folder = fitted.save(tmp_path)
    assert caught[0].filename == __file__
    assert getattr(fitted, name) is value
    loaded = load_estimator(folder)
    assert getattr(loaded, name) is None
    assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_a_folder_without_an_estimator_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "absent", str(tmp_path)):
        with pytest.raises(FileNotFoundError, match=r"holds no estimator: .* no estimator\.json"):
            load_estimator(path)


def test_missing_weights_are_named(saved):
    folder, _ = saved
    weights = next(folder.glob("*.safetensors"))
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=f"{weights.name} is missing: .*whole folder"):
        load_estimator(folder)


@pytest.mark.parametrize("size", [0, 5, 400, -3])
def test_truncated_weights_are_named(saved, size):
    weights = next(saved[0].glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(ValueError, match=f"{weights.name} is damaged"):
        load_estimator(saved[0])


def test_one_spoilt_byte_of_the_weights_is_found(saved):
    weights = next(saved[0].glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match="damaged, or not the file that belongs to"):
        load_estimator(saved[0])


def test_weights_of_another_estimator_are_refused(saved, X, y, tmp_path):
    folder, _ = saved
    other = make(random_state=1).fit(X, y).save(tmp_path / "other")
    # All tensors have the names and shapes that are wanted.
    shutil.copy(next(other.glob("*.safetensors")), next(folder.glob("*.safetensors")))
    with pytest.raises(ValueError, match="damaged, or not the file that belongs to"):
        load_estimator(folder)


@pytest.mark.parametrize("size", [0, 1, 100, -10])
def test_a_truncated_record_is_named(saved, size):
    record = saved[0] / RECORD
    record.write_bytes(record.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"estimator\.json is not the record of an estimator"):
        load_estimator(saved[0])


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"[]", b"null", b"3", b'"text"', b"{}", b'{"format": 1}']
)
def test_another_files_content_is_named(saved, content):
    (saved[0] / RECORD).write_bytes(content)
    with pytest.raises(ValueError, match=r"estimator\.json is not the record of an estimator"):
        load_estimator(saved[0])


KEYS = (
    "format class parameters learned n_outputs head config segmentation channel_report "
    "fitted_names n_features_in feature_names_in history n_trainable_parameters weights_sha256"
).split()


@pytest.mark.parametrize("key", KEYS)
def test_a_record_with_a_part_missing_or_wrong_is_named(saved, key):
    file = saved[0] / RECORD
    record = read_record(saved[0])
    for value in (None, "text", -1, [1], {"a": 1}):
        if value is None:
            spoilt = {name: part for name, part in record.items() if name != key}
        else:
            spoilt = record | {key: value}
        file.write_text(json.dumps(spoilt))
        if key in ("n_trainable_parameters", "n_features_in") and value in (-1,):
            continue
        try:
            load_estimator(saved[0])
        except (ValueError, FileNotFoundError) as error:
            assert RECORD in str(error) or ".safetensors" in str(error)  # noqa: PT017
        else:
            # What only informs may be anything, but must be there.
            assert value is not None
            assert key in ("fitted_names", "feature_names_in", "history") or key.startswith("n_")


def test_a_record_with_one_other_number_is_named_and_one_without_a_digest_is_taken(saved, X):
    folder, fitted = saved
    file = folder / RECORD
    text = file.read_text()
    file.write_text(text.replace('"sfreq": 200.0', '"sfreq": 100.0', 1))
    with pytest.raises(ValueError, match=r"estimator\.json is damaged or was changed by hand"):
        load_estimator(folder)
    file.write_text(text)
    file.write_text(json.dumps(read_record(folder)))
    assert_array_equal(load_estimator(folder).predict_proba(X), fitted.predict_proba(X))


def test_an_estimator_is_loaded_while_it_is_saved_again(saved):
    folder, fitted = saved
    (weights,) = folder.glob("*.safetensors")
    before = weights.stat()
    pid = os.fork()
    if not pid:
        for _ in range(20):
            fitted.save(folder)
        os._exit(0)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        load_estimator(folder)
    assert os.path.samestat(weights.stat(), before)
    weights.write_bytes(b"damaged")
    load_estimator(fitted.save(folder))


def test_every_part_of_a_record_is_known_here(saved):
    record = read_record(saved[0])
    assert set(record) == {
        *KEYS,
        "splines",
        "rereference",
        "fitted_applied",
        "fitted_types",
        "written_by",
    }


def test_folders_from_before_types_and_references_were_kept_are_read(saved, X):
    record = read_record(saved[0])
    del record["fitted_types"], record["rereference"]
    (saved[0] / RECORD).write_text(json.dumps(record))
    assert_array_equal(load_estimator(saved[0]).predict(X), saved[1].predict(X))


@pytest.mark.parametrize("part", ["splines", "rereference"])
@pytest.mark.parametrize("spoilt", ["text", -1, [1], {"a": 1}])
def test_weights_of_sites_and_electrodes_that_are_none_are_named(saved, part, spoilt):
    file = saved[0] / RECORD
    record = read_record(saved[0])
    file.write_text(json.dumps(record | {part: spoilt}))
    with pytest.raises(ValueError, match=r"estimator\.json is not the record of an estimator"):
        load_estimator(saved[0])


def test_sites_that_are_computed_are_the_same_after_loading(tmp_path, y):
    montage = mne.channels.make_standard_montage("biosemi128")
    info = filtered_info(montage.ch_names, 200.0)
    signals = 2e-5 * np.random.default_rng(0).standard_normal((N, 128, 200))
    epochs = mne.EpochsArray(signals, info, verbose="error").set_montage(montage)
    fitted = make(channels="interpolate", ch_names=None, sfreq=None, max_epochs=1).fit(epochs, y)
    loaded = load_estimator(fitted.save(tmp_path))
    assert loaded.ch_names_ == fitted.ch_names_
    assert_array_equal(loaded.predict_proba(epochs), fitted.predict_proba(epochs))
    assert repr(loaded.channel_report_) == repr(fitted.channel_report_)


def test_a_newer_format_says_to_update(saved):
    file = saved[0] / RECORD
    record = read_record(saved[0])
    file.write_text(json.dumps(record | {"format": 2, "written_by": "mne_neurorvq 9.9"}))
    with pytest.raises(ValueError, match=r"format 2 of mne_neurorvq 9\.9, .* reads 1: update"):
        load_estimator(saved[0])


def test_saving_needs_a_fit_and_a_model_that_is_finite(X, y, tmp_path):
    fitted = make().fit(X, y)
    with torch.no_grad():
        fitted.net_.module_.final_layer.linear.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"NaN or infinite values in final_layer\.linear\.weight"):
        fitted.save(tmp_path)
    assert not (tmp_path / RECORD).exists()


@pytest.mark.parametrize("finetune", ["head", "full", "lora"])
def test_a_pickled_classifier_predicts_the_same_and_brings_no_trials(X, y, finetune):
    large = np.tile(X, (30, 1, 1)) * np.linspace(0.9, 1.1, 30 * N)[:, None, None]
    fitted = make(finetune=finetune, max_epochs=1, validation_fraction=0.5, early_stopping=True)
    fitted.fit(large, np.tile(y, 30))
    pickled = pickle.dumps(fitted)
    weights = sum(4 * p.numel() for p in fitted.net_.module_.parameters())
    assert len(pickled) < weights + 150_000 < weights + large.astype(np.float32).nbytes
    again = pickle.loads(pickled)
    assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert again.history_ == fitted.history_
    small = make(finetune=finetune, max_epochs=1, validation_fraction=0.5, early_stopping=True)
    assert abs(len(pickle.dumps(small.fit(X, y))) - len(pickled)) < 20_000


def test_the_name_of_the_weights_follows_their_content(saved):
    weights = next(saved[0].glob("*.safetensors"))
    digest = json.loads((saved[0] / RECORD).read_text())["weights_sha256"]
    assert sha256(weights.read_bytes()).hexdigest() == digest
    assert weights.name == f"model-{digest[:16]}.safetensors"


def test_dates_as_labels_and_series_as_parameters_are_saved(X, tmp_path):
    labels = np.tile(np.array(["2026-01-01", "2026-06-30"], "datetime64[D]"), N // 2)
    groups = np.repeat(["a", "b"], N // 2)
    watched = pd.Series(["b"])
    fitted = make(validation_groups=watched).fit(X, labels, groups=groups)
    loaded = load_estimator(fitted.save(tmp_path / "saved"))
    assert_array_equal(loaded.predict(X), fitted.predict(X))
    assert loaded.validation_groups == ["b"]


def test_what_a_callback_records_is_plain_in_history_and_saved(X, y, tmp_path):
    class Recorder(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("bias", net.module_.final_layer.linear.bias.detach())

    fitted = make(callbacks=[Recorder()]).fit(X, y)
    assert all(isinstance(number, float) for number in fitted.history_[-1]["bias"])
    with pytest.warns(UserWarning, match="callbacks"):
        folder = fitted.save(tmp_path / "saved")
    assert load_estimator(folder).history_ == fitted.history_


TRANSFORMERS = [
    NeuroRVQTransformer(TINY, pool="keep_channels"),
    NeuroRVQTransformer(TINY, output="tokens", channels="strict"),
    BrainRVQTransformer("brainrvq-eeg-tiny-random", output="histogram"),
    BrainRVQTransformer("brainrvq-eeg-tiny-random"),
    BioCodecTransformer("biocodec-eeg-tiny-random", scaling="fit", levels=[0, 2]),
    BioCodecTransformer("biocodec-eeg-tiny-random", output="tokens"),
]


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=repr)
def test_a_saved_transformer_gives_the_same_bits(transformer, make_epochs, tmp_path):
    epochs = filtered_for(make_epochs(n_times=330, sfreq=160.0), transformer._system)
    fitted = clone(transformer).set_params(memory=None).fit(epochs)
    loaded = load_estimator(fitted.save(tmp_path / "saved"))
    assert type(loaded) is type(fitted)
    assert loaded.get_params() == fitted.get_params()
    assert_array_equal(loaded.transform(epochs), fitted.transform(epochs))
    assert_array_equal(loaded.get_feature_names_out(), fitted.get_feature_names_out())
    assert loaded.channel_report_ == fitted.channel_report_
    assert loaded.tokenize(epochs) == fitted.tokenize(epochs)
    assert_array_equal(loaded.reconstruct(epochs).get_data(), fitted.reconstruct(epochs).get_data())
    again = load_estimator(loaded.save(tmp_path / "again"))
    assert_array_equal(again.transform(epochs), fitted.transform(epochs))
    with pytest.raises(ValueError, match="fit saw"):
        loaded.transform(epochs.copy().pick(["C3", "Cz"]))


def test_a_saved_transformer_brings_the_models_that_it_has_used(epochs, tiny, tmp_path):
    model = save_pretrained(tmp_path / "model", tiny.tokenizer, tiny.foundation, dtype="float32")
    fitted = NeuroRVQTransformer(str(model), memory=None).fit(epochs)
    tokens, embedding = fitted.tokenize(epochs), fitted.transform(epochs)
    folder = fitted.save(tmp_path / "saved")
    shutil.rmtree(model)
    loaded = load_estimator(folder)
    assert loaded.tokenize(epochs) == tokens
    assert_array_equal(loaded.transform(epochs), embedding)
    assert_array_equal(pickle.loads(pickle.dumps(loaded)).transform(epochs), embedding)
    assert sorted(file.suffix for file in folder.iterdir()) == [".json", ".safetensors"]


def test_a_transformer_without_a_fit_or_with_another_model_is_not_saved(epochs, tmp_path):
    with pytest.raises(NotFittedError):
        NeuroRVQTransformer(TINY).save(tmp_path)
    fitted = NeuroRVQTransformer(TINY).fit(epochs)
    with pytest.raises(ValueError, match="fit again"):
        fitted.set_params(pretrained="neurorvq-eeg-small").save(tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_memory_object_is_left_out_with_a_warning(epochs, tmp_path):
    memory = joblib.Memory(str(tmp_path / "kept"), verbose=0)
    fitted = NeuroRVQTransformer(TINY, memory=memory).fit(epochs)
    with pytest.warns(UserWarning, match="memory=.* is not saved"):
        folder = fitted.save(tmp_path / "saved")
    assert load_estimator(folder).memory == "auto"


@pytest.mark.parametrize("value", [None, {}, {"tokenizer": {}}, {"other": {"config": {}}}, [1]])
def test_a_transformers_record_with_other_models_is_named(epochs, tmp_path, value):
    folder = NeuroRVQTransformer(TINY).fit(epochs).save(tmp_path)
    record = read_record(folder)
    (folder / RECORD).write_text(json.dumps(record | {"models": value}))
    with pytest.raises(ValueError, match=rf"{RECORD}|\.safetensors"):
        load_estimator(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"depth": 10**9}},
        {"config": {"depth": 10**5}},
        {"config": {"max_patches": 10**12}},
        {"config": {"n_heads": 0}},
        {"n_outputs": 10**12},
        {"n_outputs": -1},
        {"n_outputs": 10**30},
    ],
    ids=str,
)
def test_sizes_that_the_weights_do_not_have_fail_at_once(saved, changes):
    file = saved[0] / RECORD
    record = read_record(saved[0])
    record |= changes | {"config": record["config"] | changes.get("config", {})}
    file.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"estimator\.json|model-.*\.safetensors"):
        load_estimator(saved[0])


def test_a_record_that_is_nested_without_end_is_named(saved):
    (saved[0] / RECORD).write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"estimator\.json is not the record of an estimator"):
        load_estimator(saved[0])


def test_an_estimator_is_loaded_while_another_takes_its_place(saved, X, y):
    folder, fitted = saved
    other = make(random_state=1).fit(X, np.where(y == "left", "up", "down"))
    pid = os.fork()
    if not pid:
        for estimator in (other, fitted) * 10:
            estimator.save(folder)
        os._exit(0)
    classes = set()
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        loaded = load_estimator(folder)
        classes.add(tuple(loaded.classes_))
        wanted = fitted if loaded.classes_[0] == "left" else other
        assert_array_equal(loaded.predict_proba(X), wanted.predict_proba(X))
    assert classes <= {("left", "rest"), ("down", "rest"), ("down", "up")}
    assert len(list(folder.iterdir())) == 2
