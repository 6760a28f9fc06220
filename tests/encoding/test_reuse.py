# License: BSD-3-Clause
"""No trial is computed twice, and nothing else changes: outputs of transformers are kept."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import sys
import warnings
from collections import Counter
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from torch.nn.modules.module import register_module_forward_pre_hook

from mne_neurorvq import (
    BioCodecTransformer,
    BrainRVQTransformer,
    NeuroRVQTransformer,
    as_array_like,
    load_pretrained,
)
from mne_neurorvq.encoding.memory import (
    IN_PROCESS,
    FolderStore,
    ProcessStore,
    _digest,
    _unpack,
    describe_model,
    find_store,
)
from mne_neurorvq.models import NeuroRVQ, fast
from mne_neurorvq.weights import save_pretrained

TINY = "neurorvq-eeg-tiny-random"
TRANSFORMERS = {
    NeuroRVQTransformer: TINY,
    BioCodecTransformer: "biocodec-eeg-tiny-random",
    BrainRVQTransformer: "brainrvq-eeg-tiny-random",
}
NAMES = ["C3", "Cz", "C4"]
SIGNALS = 20 * np.random.default_rng(0).standard_normal((9, 3, 250))


@pytest.fixture(autouse=True)
def _keep(monkeypatch):
    """Keep outputs in the process, as no other tests do."""
    monkeypatch.setattr(IN_PROCESS, "most_bytes", 2**29)
    yield
    IN_PROCESS.clear()


@pytest.fixture
def one_thread():
    """Workers compute with one thread, and what rounds otherwise is not shared."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@contextmanager
def counted():
    """Count the passes of every module; with one trial a pass they are trials."""
    passes = Counter()
    hook = register_module_forward_pre_hook(
        lambda module, given: passes.update([type(module).__name__])
    )
    try:
        yield passes
    finally:
        hook.remove()


def fitted(kind, **parameters):
    given = dict(ch_names=NAMES, sfreq=200.0, batch_size=2) | parameters
    return kind(TRANSFORMERS[kind], **given).fit(SIGNALS)


@cache
def fitted_once(kind):
    return fitted(kind)


@cache
def computed(kind, output):
    """What a transformer that keeps nothing returns for all trials."""
    return fitted(kind, output=output, memory=None).transform(SIGNALS)


# The same bits


@pytest.mark.parametrize("kind", TRANSFORMERS)
@settings(max_examples=12)
@given(
    st.lists(st.lists(st.integers(0, len(SIGNALS) - 1), min_size=1, max_size=12), max_size=3),
    st.sampled_from(["embedding", "tokens", "histogram"]),
)
def test_whatever_came_before_a_trial_gives_the_same_bits(kind, earlier, output):
    transformer, expected = fitted_once(kind).set_params(output=output), computed(kind, output)
    IN_PROCESS.clear()
    for trials in (*earlier, range(len(SIGNALS))):
        found = transformer.transform(SIGNALS[list(trials)])
        assert_array_equal(found, expected[list(trials)])
        assert found.dtype == expected.dtype


def test_signals_decide_not_what_holds_them(make_epochs):
    epochs = make_epochs(n_trials=5, n_times=200, sfreq=200.0)
    transformer = NeuroRVQTransformer(TINY, batch_size=1)
    expected = transformer.fit(epochs).transform(epochs)
    with counted() as passes:
        for X in (epochs, as_array_like(epochs), [epochs[i] for i in range(5)]):
            assert_array_equal(clone(transformer).fit(X).transform(X), expected)
    assert not passes["NeuroRVQ"]


def test_tokens_reconstructions_and_histograms_share_their_codes():
    fitted(NeuroRVQTransformer, output="tokens").transform(SIGNALS)
    other = fitted(NeuroRVQTransformer, output="histogram", pool="time")
    with counted() as passes:
        other.transform(SIGNALS)
        tokens = other.tokenize(SIGNALS)
    assert not passes
    expected = fitted(NeuroRVQTransformer, memory=None).tokenize(SIGNALS)
    assert_array_equal(tokens.codes, expected.codes)
    assert_array_equal(tokens.side, expected.side)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (NeuroRVQTransformer, {"pool": "time"}),
        (NeuroRVQTransformer, {"precision": "bf16"}),
        (NeuroRVQTransformer, {"batch_size": 3}),
        (NeuroRVQTransformer, {"ch_names": ["Cz", "C3", "C4"]}),
        (BioCodecTransformer, {"levels": [0]}),
        (BioCodecTransformer, {"combine": "concatenate"}),
        (BioCodecTransformer, {"scaling": "fit"}),
    ],
)
def test_what_changes_the_output_is_not_mistaken(kind, change):
    fitted(kind).transform(SIGNALS)
    expected = fitted(kind, memory=None, **change).transform(SIGNALS)
    with counted() as passes:
        assert_array_equal(fitted(kind, **change).transform(SIGNALS), expected)
    assert passes


def test_other_weights_in_the_same_place_are_other_weights(tmp_path):
    loaded = load_pretrained(TINY, only="foundation")
    found = []
    for _ in range(2):
        save_pretrained(tmp_path / "model", foundation=loaded.foundation)
        transformer = NeuroRVQTransformer(
            str(tmp_path / "model"), ch_names=NAMES, sfreq=200.0, memory=str(tmp_path / "kept")
        )
        found.append(transformer.fit(SIGNALS).transform(SIGNALS))
        shutil.rmtree(tmp_path / "model")
        with torch.no_grad():
            for weights in loaded.foundation.parameters():
                weights.add_(0.01)
    assert not np.isclose(*found).all()


def test_rounding_is_part_of_what_a_model_computes(one_thread):
    model = load_pretrained(TINY, only="foundation").foundation
    device = torch.device("cpu")
    alone = describe_model(model, device)
    torch.set_num_threads(2)
    assert describe_model(model, device) != alone


def test_passes_halved_for_want_of_memory_leave_nothing_for_full_ones(monkeypatch):
    embed = NeuroRVQ.embed_segments

    def short_of_memory(model, segments, rows):
        if len(segments[0]) > 1:
            raise torch.OutOfMemoryError
        return embed(model, segments, rows)

    transformer = fitted(NeuroRVQTransformer, batch_size=8)
    with monkeypatch.context() as patch:
        patch.setattr(NeuroRVQ, "embed_segments", short_of_memory)
        with pytest.warns(UserWarning, match="do not fit"):
            transformer.transform(SIGNALS)
    assert len(IN_PROCESS) == 0
    expected = fitted(NeuroRVQTransformer, batch_size=8, memory=None).transform(SIGNALS)
    assert_array_equal(transformer.transform(SIGNALS), expected)
    assert len(IN_PROCESS) == len(SIGNALS)


def test_results_that_are_changed_afterwards_stay_what_they_were():
    transformer = fitted(NeuroRVQTransformer)
    expected = transformer.transform(SIGNALS)
    first = transformer.transform(SIGNALS)
    first[:] = 0
    assert_array_equal(transformer.transform(SIGNALS), expected)


# Each trial once


@pytest.mark.parametrize("memory", ["auto", "folder"])
def test_folds_compute_each_trial_once(make_epochs, tmp_path, memory):
    epochs = make_epochs(n_trials=12, n_times=200, sfreq=200.0)
    y = np.arange(12) % 2
    memory = str(tmp_path) if memory == "folder" else memory
    found = {}
    for kept in (None, memory):
        transformer = NeuroRVQTransformer(TINY, batch_size=1, memory=kept)
        pipeline = make_pipeline(transformer, LogisticRegression())
        with counted() as passes:
            found[kept] = cross_val_predict(pipeline, epochs, y, cv=4, method="predict_proba")
        assert passes["NeuroRVQ"] == (4 * 12 if kept is None else 12)
    assert_array_equal(found[memory], found[None])


def test_processes_share_a_folder(make_epochs, tmp_path, one_thread):
    X = as_array_like(make_epochs(n_trials=12, n_times=200, sfreq=200.0))
    y = np.arange(12) % 2
    pipeline = make_pipeline(NeuroRVQTransformer(TINY, memory=str(tmp_path)), LogisticRegression())
    found = cross_val_score(pipeline, X, y, cv=4, n_jobs=2, scoring="neg_log_loss")
    with counted() as passes:
        assert_array_equal(cross_val_score(pipeline, X, y, cv=4, scoring="neg_log_loss"), found)
    assert not passes["NeuroRVQ"]
    pipeline.set_params(neurorvqtransformer__memory=None)
    assert_array_equal(cross_val_score(pipeline, X, y, cv=4, scoring="neg_log_loss"), found)


def test_batches_of_what_is_missing_are_full():
    transformer = fitted(NeuroRVQTransformer, batch_size=4)
    transformer.transform(SIGNALS[::2])
    with counted() as passes:
        transformer.transform(SIGNALS)
    assert passes["NeuroRVQ"] == 1 * len(transformer.segmentation_.segments)


def test_a_search_takes_a_memory_of_joblib(make_epochs, tmp_path):
    epochs = make_epochs(n_trials=12, n_times=200, sfreq=200.0)
    transformer = NeuroRVQTransformer(TINY, memory=joblib.Memory(tmp_path, verbose=0))
    search = GridSearchCV(
        make_pipeline(transformer, LogisticRegression()),
        {"neurorvqtransformer__pool": ["mean", "time"]},
        cv=2,
        error_score="raise",
    )
    search.fit(epochs, np.arange(12) % 2)
    assert len(list(tmp_path.rglob("output.npy"))) == 2 * 12


# Stores


def entries(store, keys):
    return [key for key in keys if store.get(key) is not None]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60)), max_size=30))
def test_a_process_keeps_no_more_than_its_bound(puts):
    store = ProcessStore(2000)
    for key, n_values in puts:
        store.put(key, (np.arange(n_values, dtype=np.float64), np.zeros(2)))
        assert store.n_bytes <= store.most_bytes
    kept = entries(store, "abcdef")
    assert store.n_bytes == sum(500 + store.get(key)[0].nbytes + 16 for key in kept)
    for key in kept:
        assert len(store.get(key)[0]) == dict(puts)[key]
    store.clear()
    assert (len(store), store.n_bytes) == (0, 0)


def test_what_was_not_used_for_longest_goes_first():
    store = ProcessStore(3 * 540)
    for key in "abc":
        store.put(key, (np.zeros(5),))
    store.get("a")
    store.put("d", (np.zeros(5),))
    assert entries(store, "abcd") == ["a", "c", "d"]


def test_one_trial_does_not_keep_its_batch():
    store = ProcessStore(10**6)
    batch = np.zeros((100, 5))
    store.put("a", (batch[0],))
    assert not np.shares_memory(store.get("a")[0], batch)


VALUES = (np.arange(6, dtype=np.float32).reshape(2, 3), np.array([3, -1], np.int16))


@pytest.fixture
def entry(tmp_path):
    """The file of a trial in a folder, of a few that it keeps."""
    store = FolderStore(tmp_path)
    store.put("b" * 64, (VALUES[0] + 1, VALUES[1]))
    store.put("a" * 64, VALUES)
    (file,) = tmp_path.rglob("a*/output.npy")
    return file


def other(file):
    return next(f for f in file.parent.parent.glob("*/*") if f != file)


def in_a_folder(file):
    file.unlink()
    file.mkdir()


def behind_a_link(file):
    file.rename(file.with_name("moved"))
    file.symlink_to(file.with_name("moved"))


def as_a_pipe(file):
    file.unlink()
    os.mkfifo(file)


def saved(*values):
    content = io.BytesIO()
    for value in values:
        np.save(content, value)
    return content.getvalue()


def retyped(file):
    file.write_bytes(saved(VALUES[0].view(np.int32), VALUES[1]) + file.read_bytes()[-32:])


def reshaped(file):
    file.write_bytes(saved(VALUES[0].reshape(3, 2), VALUES[1]) + file.read_bytes()[-32:])


DAMAGE = [
    lambda file: file.write_bytes(b""),
    lambda file: file.write_bytes(b"no arrays"),
    lambda file: file.write_bytes(file.read_bytes()[:-1]),
    lambda file: file.write_bytes(b"\xff" * 8 + file.read_bytes()[8:]),
    lambda file: file.write_bytes(pickle.dumps(VALUES)),
    lambda file: file.write_bytes(saved(*VALUES)),
    lambda file: shutil.copyfile(other(file), file),
    retyped,
    reshaped,
    in_a_folder,
    behind_a_link,
    pytest.param(as_a_pipe, marks=pytest.mark.skipif(os.name != "posix", reason="named pipes")),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_foreign_entry_is_computed_anew_with_one_warning(entry, tmp_path, damage):
    damage(entry)
    store = FolderStore(tmp_path)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert [store.get("a" * 64) for _ in range(2)] == [None, None]
        store.put("a" * 64, VALUES)
    (warning,) = said
    assert "output.npy is damaged or foreign" in str(warning.message)
    if damage is not in_a_folder:
        for found, value in zip(FolderStore(tmp_path).get("a" * 64), VALUES, strict=True):
            assert_array_equal(found, value, strict=True)
    assert not list(tmp_path.rglob("*.part"))


def test_any_flipped_bit_of_an_entry_is_found(entry, tmp_path):
    whole = entry.read_bytes()
    for number in range(0, 8 * len(whole), 5):
        damaged = bytearray(whole)
        damaged[number // 8] ^= 1 << number % 8
        entry.write_bytes(damaged)
        with pytest.warns(UserWarning, match="not what was kept"):
            assert FolderStore(tmp_path).get("a" * 64) is None


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_a_tampered_folder_changes_no_result(kind, tmp_path):
    expected = fitted(kind, memory=str(tmp_path)).transform(SIGNALS)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) == len(SIGNALS)
    for i, file in enumerate(files):
        shutil.copyfile(files[i - 1], file)
    with pytest.warns(UserWarning, match="computing it again") as said:
        found = fitted(kind, memory=str(tmp_path)).transform(SIGNALS)
    assert len(said) == 1
    assert_array_equal(found, expected, strict=True)
    with counted() as passes:
        fitted(kind, memory=str(tmp_path)).transform(SIGNALS)
    assert not passes.keys() & {"NeuroRVQ", "CausalConv", "BrainRVQ"}


def headed(header):
    """Bytes of an array of which only the header is there."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize("kind", TRANSFORMERS)
@pytest.mark.parametrize("output", ["embedding", "tokens"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        saved(np.zeros(2, np.float32)),
        saved(*(np.zeros(2, np.float32),) * 3),
        headed(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }"),
        headed(b"(" * 9000 + b")" * 900),
        "wider",
        "one more",
    ],
    ids=["nothing", "short", "three", "huge", "deep", "wider", "one more"],
)
def test_what_no_model_gives_is_not_believed_whatever_its_digest(kind, output, content, tmp_path):
    parameters = dict(memory=str(tmp_path), output=output)
    expected = fitted(kind, **parameters).transform(SIGNALS)
    for file in tmp_path.rglob("output.npy"):
        key, kept = file.parent.name, file.read_bytes()[:-32]
        forged = content
        if content == "wider":
            values = _unpack(key, file.read_bytes())
            forged = saved(*(value.astype(value.dtype.str[1] + "8") * 1.5 for value in values))
        elif content == "one more":
            forged = kept + saved(np.zeros(1))
        file.write_bytes(forged + _digest(key, forged))
    with pytest.warns(UserWarning, match="damaged or foreign .* computing it again") as said:
        found = fitted(kind, **parameters).transform(SIGNALS)
    assert len(said) == 1
    assert_array_equal(found, expected, strict=True)
    with counted() as passes:
        fitted(kind, **parameters).transform(SIGNALS)
    assert not passes.keys() & {"NeuroRVQ", "CausalConv", "BrainRVQ"}


def test_a_claimed_size_is_compared_with_the_file(entry, tmp_path):
    forged = headed(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }")
    entry.write_bytes(forged + _digest("a" * 64, forged))
    with pytest.warns(UserWarning, match="claims shape"):
        assert FolderStore(tmp_path).get("a" * 64) is None


def test_what_killed_writers_left_goes_when_the_trial_is_written_again(entry, tmp_path):
    old, new = (entry.with_name(f"output.npy.{name}.part") for name in ("old", "new"))
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    FolderStore(tmp_path).put("a" * 64, VALUES)
    assert not old.exists()
    assert new.exists()


def test_entries_are_arrays_without_pickles(entry):
    assert_array_equal(np.load(entry, allow_pickle=False), VALUES[0], strict=True)
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        FolderStore(entry.parents[3]).put("c" * 64, (np.array([{}]),))


def test_what_was_removed_is_computed_anew(entry, tmp_path):
    entry.unlink()
    assert FolderStore(tmp_path).get("a" * 64) is None
    shutil.rmtree(tmp_path)
    assert FolderStore(tmp_path).get("b" * 64) is None


@pytest.mark.parametrize("place", ["file", "below a file", "name too long"])
def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path, place):
    (tmp_path / "file").write_text("no folder")
    names = {"file": "file", "below a file": "file/x", "name too long": "x" * 300}
    transformer = fitted(NeuroRVQTransformer, memory=tmp_path / names[place])
    with pytest.warns(UserWarning, match="memory=.* cannot be used"):
        found = transformer.transform(SIGNALS)
    assert_array_equal(found, computed(NeuroRVQTransformer, "embedding"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a device that is always full")
def test_a_full_disk_stops_nobody_and_leaves_nothing(tmp_path, monkeypatch):
    def to_a_full_disk(path, data):
        with open("/dev/full", "wb") as file:
            path.touch()
            file.write(data)

    monkeypatch.setattr(Path, "write_bytes", to_a_full_disk)
    transformer = fitted(NeuroRVQTransformer, memory=str(tmp_path))
    with pytest.warns(UserWarning, match="cannot be used.*No space left") as said:
        found = transformer.transform(SIGNALS)
    assert len(said) == 1
    assert_array_equal(found, computed(NeuroRVQTransformer, "embedding"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_joblib_reduces_a_folder_to_a_size(tmp_path):
    store = FolderStore(tmp_path)
    for key in "abc":
        store.put(key * 64, (np.zeros(1000),))
    joblib.Memory(str(tmp_path), verbose=0).reduce_size(bytes_limit=2 * 8300)
    assert len(entries(store, ["a" * 64, "b" * 64, "c" * 64])) == 2


def test_a_folder_is_that_of_a_memory_of_joblib(tmp_path):
    find_store(str(tmp_path)).put("a", VALUES)
    for memory in (joblib.Memory(str(tmp_path), verbose=0), joblib.Memory(tmp_path, verbose=0)):
        assert find_store(memory).get("a") is not None


def test_a_memory_without_a_place_keeps_nothing():
    transformer = fitted(NeuroRVQTransformer, memory=joblib.Memory(None))
    expected = computed(NeuroRVQTransformer, "embedding")
    assert_array_equal(transformer.transform(SIGNALS), expected)
    assert_array_equal(transformer.transform(SIGNALS), expected)


@pytest.mark.parametrize("memory", ["", True, 3, object()])
def test_what_names_no_memory_is_refused(memory):
    with pytest.raises(TypeError, match="memory="):
        fitted(NeuroRVQTransformer, memory=memory)


@pytest.mark.parametrize("memory", ["auto", "folder"])
def test_a_broken_trial_is_named_by_its_place(tmp_path, memory):
    transformer = fitted(
        NeuroRVQTransformer, memory=str(tmp_path) if memory == "folder" else memory
    )
    transformer.transform(SIGNALS[:4])
    broken = np.concatenate([SIGNALS] * 10)
    broken[71, 1, 5] = np.nan
    with pytest.raises(ValueError, match="Trial 71, channel 'Cz'"):
        transformer.transform(broken)


def test_outputs_of_the_plain_formulas_are_kept_apart():
    model = load_pretrained(TINY, only="tokenizer").require("tokenizer")
    fast_paths = describe_model(model, torch.device("cpu"))
    with fast.disabled():
        assert describe_model(model, torch.device("cpu")) != fast_paths
