# License: BSD-3-Clause
"""The masks of BrainRVQ's pretraining: how many, how long, how informative, and always the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mne_neurorvq.models import draw_mask, information_scores, information_weight, limit_runs

FACTS = {"patch_size": 200, "sfreq": 200.0}


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _noise(n_windows=4, n_channels=6, n_patches=10, seed=0):
    return 0.2 * torch.randn(n_windows, n_channels, 200 * n_patches, generator=_generator(seed))


def _longest_run(row):
    longest = run = 0
    for hidden in row:
        run = run + 1 if hidden else 0
        longest = max(longest, run)
    return longest


def _by_the_book(row, longest):
    """A counter that grows in a run, and spares the patch at which it exceeds the limit."""
    kept, run = [], 0
    for hidden in row:
        run = run + 1 if hidden else 0
        if run > longest:
            hidden, run = False, 0
        kept.append(bool(hidden))
    return kept


masks = st.lists(st.booleans(), min_size=1, max_size=60)


@given(row=masks, longest=st.integers(1, 8))
def test_runs_are_cut_by_the_counter(row, longest):
    assert limit_runs(torch.tensor(row), longest).tolist() == _by_the_book(row, longest)


@given(row=masks, longest=st.integers(1, 8))
def test_no_run_is_too_long_and_nothing_new_is_hidden(row, longest):
    found = limit_runs(torch.tensor(row), longest)
    assert _longest_run(found.tolist()) <= longest
    assert not (found & ~torch.tensor(row)).any()
    assert torch.equal(limit_runs(found, longest), found)


@settings(max_examples=30)
@given(
    n_channels=st.integers(1, 8),
    n_patches=st.integers(1, 30),
    ratio=st.floats(0.05, 0.95),
    progress=st.floats(0, 1),
    guided=st.booleans(),
    longest=st.integers(1, 30),
    seed=st.integers(0, 2**31),
)
def test_a_mask_hides_its_share_but_for_what_the_limit_spares(
    n_channels, n_patches, ratio, progress, guided, longest, seed
):
    x = _noise(2, n_channels, n_patches)
    drawn = {"guided": guided, "ratio": ratio, "punching": 0.0, **FACTS}
    assume(int(ratio * (n_channels * n_patches)))
    whole = draw_mask(x, progress, _generator(seed), longest_run=30, **drawn)
    assert whole.shape == (2, n_channels, n_patches)
    assert whole.dtype == torch.bool
    assert whole.sum((1, 2)).tolist() == [int(ratio * (n_channels * n_patches))] * 2
    cut = draw_mask(x, progress, _generator(seed), longest_run=longest, **drawn)
    # A run is one of patches that follow one another in time: it ends with its channel.
    assert torch.equal(cut, limit_runs(whole, longest))
    assert max(_longest_run(row) for row in cut.flatten(0, 1).tolist()) <= longest


@pytest.mark.parametrize("guided", [True, False])
def test_by_default_about_45_percent_are_hidden_and_at_most_five_in_a_row(guided):
    x = _noise(40, 16, 30)
    mask = draw_mask(x, 0.5, _generator(), guided=guided, **FACTS)
    assert float(mask.float().mean()) == pytest.approx(0.445, abs=0.01)
    assert max(_longest_run(row) for row in mask.flatten(0, 1).tolist()) == 5


def test_in_the_released_code_runs_go_on_into_the_next_channel():
    x = _noise(20, 16, 4)
    within = draw_mask(x, 0.5, _generator(), longest_run=4, **FACTS)
    across = draw_mask(x, 0.5, _generator(), longest_run=4, runs="window", **FACTS)
    assert not (across & ~within).any()
    assert max(_longest_run(row) for row in across.flatten(1).tolist()) == 4
    assert max(_longest_run(row) for row in within.flatten(1).tolist()) > 4


@pytest.mark.parametrize("guided", [True, False])
def test_a_mask_is_a_function_of_signal_progress_and_generator(guided):
    x = _noise()
    state = torch.get_rng_state()
    first, second, other = (
        draw_mask(x, 0.3, _generator(seed), guided=guided, **FACTS) for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_mask_depends_on_the_signal_and_on_progress_only_where_it_is_guided():
    x, other = _noise(), _noise(seed=1)
    for guided in (True, False):
        masks = [
            draw_mask(signal, progress, _generator(), guided=guided, **FACTS)
            for signal, progress in ((x, 0.0), (x, 1.0), (other, 0.0))
        ]
        assert all(torch.equal(masks[0], mask) != guided for mask in masks[1:])


def test_informative_patches_are_hidden_more_often_as_training_goes_on():
    x = _noise(60, 8, 10)
    # Every other channel drifts: slow waves, which the score takes for artifacts.
    drift = torch.sin(2 * np.pi * 0.5 * torch.arange(2000) / 200)
    x[:, ::2] = 0.02 * x[:, ::2] + 2 * drift
    shares = []
    for progress in (0.0, 0.5, 1.0):
        mask = draw_mask(x, progress, _generator(), punching=0.0, longest_run=30, **FACTS)
        shares.append(float(mask[:, 1::2].sum() / mask.sum()))
    assert 0.5 < shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.75
    by_chance = draw_mask(x, 1.0, _generator(), guided=False, **FACTS)
    assert float(by_chance[:, 1::2].sum() / by_chance.sum()) == pytest.approx(0.5, abs=0.03)


def test_a_low_temperature_follows_the_score():
    x = _noise()
    mask = draw_mask(x, 1.0, _generator(), temperature=0.05, punching=0.0, longest_run=30, **FACTS)
    scores = information_scores(x, **FACTS)
    # Chance has a weight of 0.3 even at the end.
    assert (scores[mask].mean() - scores[~mask].mean()) > 0.1


def test_scores_are_those_of_the_formula():
    x = _noise(2, 3, 4).double()
    patches = x.numpy().reshape(2, 3, 4, 200)
    power = np.abs(np.fft.rfft(patches)) ** 2
    frequency = np.fft.rfftfreq(200, 1 / 200)
    total = power.sum(-1)
    neural = power[..., (frequency >= 4) & (frequency < 30)].sum(-1) / total
    clean = 1 - power[..., (frequency < 2) | (frequency >= 45)].sum(-1) / total
    first, second = np.diff(patches), np.diff(patches, 2)
    mobility = np.sqrt(first.var(-1, ddof=1) / patches.var(-1, ddof=1))
    complexity = np.sqrt(second.var(-1, ddof=1) / first.var(-1, ddof=1)) / mobility
    irregularity = np.abs(np.diff(np.abs(first))).mean(-1) / np.abs(first).mean(-1)
    wanted = 0.0
    terms = (neural, clean, complexity, irregularity, mobility)
    for share, term in zip((0.3, 0.25, 0.2, 0.15, 0.1), terms, strict=True):
        low, high = term.min((1, 2), keepdims=True), term.max((1, 2), keepdims=True)
        wanted = wanted + share * (term - low) / (high - low)
    np.testing.assert_allclose(information_scores(x, **FACTS), wanted, atol=1e-4)


def test_flat_windows_have_scores_and_masks():
    x = torch.zeros(2, 3, 800)
    assert torch.isfinite(information_scores(x, **FACTS)).all()
    assert draw_mask(x, 1.0, _generator(), punching=0.0, **FACTS).sum((1, 2)).tolist() == [6, 6]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratio": 0.0}, "ratio must lie between 0 and 1"),
        ({"ratio": 1.0}, "got 1.0 and 0.1"),
        ({"ratio": 0.01}, "ratio=0.01 of 60 patches hides none: give longer windows"),
        ({"punching": 1.0}, "punching be at least 0 and below 1"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"longest_run": 0}, "longest_run at least 1, got 0.8 and 0"),
        ({"runs": "sample"}, "runs must be 'channel' or 'window', got 'sample'"),
        ({"patch_size": 300}, r"n_patches \* 300\), got shape \(4, 6, 2000\)"),
    ],
)
def test_settings_that_make_no_mask_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        draw_mask(_noise(), 0.5, _generator(), **{**FACTS, **changes})


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_progress_is_a_share(progress):
    with pytest.raises(ValueError, match="progress must be from 0 to 1"):
        information_weight(progress)
