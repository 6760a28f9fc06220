# License: BSD-3-Clause
"""Pooling and names: every column is what its name says."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq import BioCodecTransformer, BrainRVQTransformer, NeuroRVQTransformer
from mne_neurorvq.cli.arguments import ARGUMENTS
from mne_neurorvq.datasets import simulate_epochs
from mne_neurorvq.encoding.pooling import (
    POOL_NAMES,
    POOLS,
    column_names,
    pool_embedding,
    pool_histogram,
    warn_of_columns,
)
from mne_neurorvq.signals import Segmentation

TINY = "neurorvq-eeg-tiny-random"
NAMES = ["C3", "Cz", "C4"]
# 300 samples are one patch and a half: the last patch overlaps by half and weighs as much.
N_TIMES = 300
WEIGHTS = np.array([1.0, 0.5])
# Each third is half a patch long: two lie in the first patch.
THIRDS = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
COMBINATIONS = [
    (output, pool)
    for output, pool in itertools.product(("embedding", "tokens", "histogram"), POOLS)
    if (output, pool) != ("histogram", "none")
]


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(0, 20, (5, 3, N_TIMES))


def make(**parameters):
    return NeuroRVQTransformer(TINY, ch_names=NAMES, sfreq=200.0, **parameters)


@pytest.fixture
def features(X, tiny):
    """What the model itself gives, (n_trials, n_channels, n_patches, n_features)."""
    windows = np.concatenate([X[..., :200], X[..., -200:]], axis=-1).astype(np.float32)
    rows = torch.tensor([tiny.config.channels.index(name.lower()) for name in NAMES])
    with torch.inference_mode():
        out = tiny.foundation(torch.from_numpy(windows), rows, return_features=True)
    return out["features"].numpy()


def test_no_pooling_gives_the_features_of_the_model(X, features):
    found = make(pool="none").fit_transform(X)
    assert_allclose(found, features.reshape(len(X), -1), atol=1e-6)


@pytest.mark.parametrize(
    ("pool", "axes"), [("mean", "ncpf,p->nf"), ("channel", "ncpf->npf"), ("time", "ncpf,p->ncf")]
)
def test_pooling_averages_over_channels_and_weighs_patches(X, features, pool, axes):
    if "p->" in axes:
        summed = np.einsum(axes, features, WEIGHTS / WEIGHTS.sum())
    else:
        summed = np.einsum(axes, features)
    expected = summed if pool == "time" else summed / len(NAMES)
    assert_allclose(make(pool=pool).fit_transform(X), expected.reshape(len(X), -1), atol=1e-6)


def test_the_plain_mean_is_the_mean_over_channels_and_patches():
    X = np.random.default_rng(0).normal(0, 20, (2, 3, 600))
    every = make(pool="none").fit_transform(X).reshape(2, 9, 800)
    assert_allclose(make(pool="mean").fit_transform(X), every.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize(("output", "pool"), [("embedding", "thirds"), ("histogram", "mean")])
@pytest.mark.parametrize("system", [NeuroRVQTransformer, BrainRVQTransformer, BioCodecTransformer])
def test_features_keep_channels_and_thirds_by_default_and_histograms_do_not(
    system, output, pool, X
):
    given = {"output": output, "ch_names": NAMES, "sfreq": 200.0}
    name = f"{system._system}-eeg-tiny-random"
    found, expected = system(name, **given), system(name, pool=pool, **given)
    assert_array_equal(found.fit_transform(X), expected.fit_transform(X))
    assert_array_equal(found.get_feature_names_out(), expected.get_feature_names_out())


@pytest.mark.parametrize(("modality", "pool"), [("emg", "time"), ("ecg", "mean")])
def test_features_of_muscles_and_hearts_are_pooled_as_was_measured_best(modality, pool, X):
    name, data = f"neurorvq-{modality}-tiny-random", X[..., :400]
    given = {"ch_names": ["I", "II", "V1"][: X.shape[1]], "sfreq": 1000.0}
    found, expected = (NeuroRVQTransformer(name, pool=p, **given) for p in ("auto", pool))
    assert_array_equal(found.fit_transform(data), expected.fit_transform(data))
    assert_array_equal(found.get_feature_names_out(), expected.get_feature_names_out())


def test_the_command_line_has_the_same_choices_and_default():
    (pool,) = (one for one in ARGUMENTS["embed"] if "--pool" in one.flags)
    assert pool.settings["default"] == NeuroRVQTransformer().pool
    assert pool.settings["choices"] == POOL_NAMES


@pytest.mark.parametrize(("output", "pool"), COMBINATIONS)
def test_there_is_one_name_for_every_column(X, output, pool):
    fitted = make(output=output, pool=pool).set_output(transform="pandas")
    table = fitted.fit_transform(X)
    names = fitted.get_feature_names_out()
    assert list(table.columns) == list(names)
    assert len(set(names)) == len(names) == table.shape[1]
    assert names.dtype == object
    assert_array_equal(make(output=output, pool=pool).fit_transform(X), table.to_numpy())


@pytest.mark.parametrize(
    ("output", "pool", "first", "last"),
    [
        ("embedding", "mean", "scale0_0", "scale3_199"),
        ("embedding", "channel", "patch0_scale0_0", "patch1_scale3_199"),
        ("embedding", "time", "C3_scale0_0", "C4_scale3_199"),
        ("embedding", "thirds", "C3_third0_scale0_0", "C4_third2_scale3_199"),
        ("embedding", "none", "C3_patch0_scale0_0", "C4_patch1_scale3_199"),
        ("tokens", "mean", "C3_patch0_codebook0_level0", "C4_patch1_codebook3_level1"),
        ("histogram", "mean", "codebook0_level0_code0", "codebook3_level1_code15"),
        ("histogram", "time", "C3_codebook0_level0_code0", "C4_codebook3_level1_code15"),
        ("histogram", "channel", "patch0_codebook0_level0_code0", "patch1_codebook3_level1_code15"),
    ],
)
def test_names_go_from_the_first_channel_to_the_last_code(X, output, pool, first, last):
    names = make(output=output, pool=pool).fit(X).get_feature_names_out()
    assert (names[0], names[-1]) == (first, last)


def parse(name):
    """Take a name apart: ``C4_patch1_codebook2_level0_code7``."""
    found = {"channel": None, "patch": None, "third": None}
    for part in name.split("_"):
        match = re.fullmatch(r"(patch|third|scale|codebook|level|code)(\d+)", part)
        if match:
            found[match[1]] = int(match[2])
        elif part.isdigit():
            found["number"] = int(part)
        else:
            found["channel"] = NAMES.index(part)
    return found


@pytest.mark.parametrize("pool", POOLS)
def test_an_embedding_column_holds_what_it_is_named_after(X, features, pool):
    fitted = make(pool=pool).set_output(transform="pandas")
    table = fitted.fit_transform(X)
    share = WEIGHTS / WEIGHTS.sum()
    for name in table.columns[::37]:
        where = parse(name)
        part = features[..., 200 * where["scale"] + where["number"]]
        of_third = share if where["third"] is None else THIRDS[where["third"]]
        part = part @ of_third if where["patch"] is None else part[..., where["patch"]]
        part = part.mean(axis=1) if where["channel"] is None else part[:, where["channel"]]
        assert_allclose(table[name], part, atol=1e-6)


def test_a_token_column_holds_what_it_is_named_after(X):
    fitted = make(output="tokens").set_output(transform="pandas")
    table, codes = fitted.fit_transform(X), fitted.tokenize(X).codes
    assert table.to_numpy().dtype == np.int32
    for name in table.columns:
        where = parse(name)
        place = (where["channel"], where["patch"], where["codebook"], where["level"])
        assert_array_equal(table[name], codes[:, *place])


@pytest.mark.parametrize("pool", ["mean", "channel", "time", "thirds"])
def test_a_histogram_column_holds_what_it_is_named_after(X, pool):
    fitted = make(output="histogram", pool=pool).set_output(transform="pandas")
    table, codes = fitted.fit_transform(X), fitted.tokenize(X).codes
    for name in table.columns:
        where = parse(name)
        used = codes[..., where["codebook"], where["level"]] == where["code"]
        weights = WEIGHTS if where["third"] is None else THIRDS[where["third"]]
        weights = np.broadcast_to(weights, used.shape)
        if where["patch"] is not None:
            used, weights = used[..., [where["patch"]]], weights[..., [where["patch"]]]
        if where["channel"] is not None:
            used, weights = used[:, [where["channel"]]], weights[:, [where["channel"]]]
        share = (used * weights).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
        assert_allclose(table[name], share, atol=1e-6)


def test_names_are_the_users_own(X):
    fitted = NeuroRVQTransformer(
        TINY, ch_names=["EEG C3-REF", "Cz.", "c4"], sfreq=200.0, output="tokens"
    ).fit(X)
    assert fitted.get_feature_names_out()[0] == "EEG C3-REF_patch0_codebook0_level0"


def test_the_rows_of_a_table_keep_their_index():
    import pandas as pd

    X = np.random.default_rng(0).normal(0, 20, (3, 200))
    table = pd.DataFrame(X, index=["a", "b", "c"])
    fitted = NeuroRVQTransformer(TINY).set_output(transform="pandas")
    assert list(fitted.fit_transform(table).index) == ["a", "b", "c"]


def plan_of(n_patches, last):
    """Plan of a window whose last patch has so many new samples of its 200."""
    overlap = 200 - last
    return Segmentation(200 * n_patches - overlap, 200, (n_patches,), overlap)


@st.composite
def random_codes(draw):
    shape = draw(st.tuples(*[st.integers(1, 4)] * 5))
    n_codes = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    plan = plan_of(shape[2], draw(st.sampled_from([1, 50, 200])))
    return rng.integers(0, n_codes, shape), n_codes, plan


@given(random_codes(), st.sampled_from(["mean", "channel", "time"]))
def test_a_histogram_counts_as_a_plain_loop_does(drawn, pool):
    codes, n_codes, plan = drawn
    n_trials, n_channels, n_patches, n_books, n_levels = codes.shape
    kept = (n_channels if pool == "time" else 1, n_patches if pool == "channel" else 1)
    counts = np.zeros((n_trials, *kept, n_books, n_levels, n_codes))
    for t, c, p, b, k in np.ndindex(codes.shape):
        place = (t, c if pool == "time" else 0, p if pool == "channel" else 0, b, k)
        counts[(*place, codes[t, c, p, b, k])] += plan.weights[p]
    counts /= counts.sum(axis=-1, keepdims=True)
    found = pool_histogram(codes, n_codes, plan, pool)
    assert_allclose(found, counts.reshape(n_trials, -1), atol=1e-6)
    assert found.dtype == np.float32
    ending = [str(i) for i in range(n_books * n_levels * n_codes)]
    names = column_names(pool, tuple("abcd"[:n_channels]), n_patches, ending)
    assert found.shape[1] == len(names)


@given(st.integers(1, 9), st.sampled_from([1, 50, 200]))
def test_thirds_are_equally_long_whatever_the_number_of_patches(n_patches, last):
    plan = plan_of(n_patches, last)
    position = np.cumsum(plan.weights) - plan.weights / 2
    features = np.stack([position, np.ones(n_patches)], axis=-1)[None, None]
    thirds = pool_embedding(features, plan, "thirds").reshape(3, 2)
    whole = pool_embedding(features, plan, "time")
    assert_allclose(thirds[:, 1], 1.0)
    assert_allclose(thirds.mean(axis=0), whole[0])
    assert (np.diff(thirds[:, 0]) >= -1e-9).all()


def test_thirds_of_windows_of_other_lengths_have_the_same_columns():
    fitted = make(pool="thirds").fit(np.random.default_rng(0).normal(0, 20, (2, 3, 1000)))
    short = np.random.default_rng(1).normal(0, 20, (2, 3, 400))
    assert fitted.transform(short).shape[1] == len(fitted.get_feature_names_out())


@given(random_codes(), st.sampled_from(POOLS))
def test_the_embedding_of_equal_patches_is_that_of_one(drawn, pool):
    codes, _, plan = drawn
    n_trials, n_channels, n_patches = codes.shape[:3]
    one = np.random.default_rng(0).normal(size=(n_trials, 1, 1, 3))
    same = np.broadcast_to(one, (n_trials, n_channels, n_patches, 3))
    pooled = pool_embedding(same, plan, pool).reshape(n_trials, -1, 3)
    assert_allclose(pooled, np.broadcast_to(one[:, :, 0], pooled.shape))


@pytest.mark.parametrize("output", ["embedding", "histogram"])
def test_keeping_channels_is_another_name_of_averaging_over_time(X, output):
    kept = make(output=output, pool="keep_channels").fit(X)
    averaged = make(output=output, pool="time").fit(X)
    assert_array_equal(kept.transform(X), averaged.transform(X))
    assert_array_equal(kept.get_feature_names_out(), averaged.get_feature_names_out())
    assert_array_equal(kept.transform(X[..., :200]), averaged.transform(X[..., :200]))


def test_more_columns_than_anything_learns_from_are_counted_in_a_warning():
    with pytest.warns(
        UserWarning,
        match=r"'histogram' with pool='thirds' gives 6,291,456 columns, 25 MB a trial: 64 channels "
        r"x 3 thirds x 32,768 values. pool='mean' gives 32,768.",
    ):
        warn_of_columns("histogram", "thirds", 64, 4, 32768)
    with pytest.warns(UserWarning, match=r"64 channels x 60 patches x 800 values"):
        warn_of_columns("embedding", "none", 64, 60, 800)
    warn_of_columns("histogram", "mean", 64, 4, 32768)
    warn_of_columns("embedding", "thirds", 64, 60, 800)
    warn_of_columns("tokens", "none", 64, 3600, 32)


@pytest.mark.parametrize(("pool", "warns"), [("mean", False), ("thirds", True)])
def test_fit_warns_of_the_columns_of_a_histogram(pool, warns, recwarn):
    model = NeuroRVQTransformer("neurorvq-eeg-small", output="histogram", pool=pool)
    epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    model.fit(epochs)
    assert warns == any("1,867,776 columns" in str(one.message) for one in recwarn)
