# License: BSD-3-Clause
"""The recipe against torch's own schedulers, the published numbers and sums done by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from torch.optim.lr_scheduler import LinearLR, SequentialLR

from mne_neurorvq.finetuning import (
    Recipe,
    learning_rates,
    merge_repeats,
    schedule_factor,
    split_validation,
)
from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQ, WindowModel


def torch_schedule(n_warmup: int, n_steps: int) -> list[float]:
    """Learning rates of the steps, from the schedulers with which the recipe was published."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    if n_warmup == 0:
        scheduler = LinearLR(optimizer, 1.0, 0.1, n_steps)
    elif n_warmup >= n_steps:
        scheduler = LinearLR(optimizer, 0.1, 1.0, n_steps)
    else:
        parts = [
            LinearLR(optimizer, 0.1, 1.0, n_warmup),
            LinearLR(optimizer, 1.0, 0.1, n_steps - n_warmup),
        ]
        scheduler = SequentialLR(optimizer, parts, [n_warmup])
    rates = []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")
@given(
    n_trials=st.integers(1, 20),
    batch_size=st.integers(1, 20),
    max_epochs=st.integers(1, 6),
    warmup_epochs=st.integers(0, 7),
)
def test_every_step_has_the_rate_of_torchs_schedulers(
    n_trials, batch_size, max_epochs, warmup_epochs
):
    recipe = Recipe(max_epochs, batch_size, 1.0, 1.0, 0.0, warmup_epochs)
    per_epoch = int(np.ceil(n_trials / batch_size))  # the last batch, too
    expected = torch_schedule(warmup_epochs * per_epoch, max_epochs * per_epoch)
    found = [recipe.factor(step, n_trials) for step in range(len(expected))]
    assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("n_warmup", "n_steps", "expected"),
    [
        (2, 6, [0.1, 0.55, 1.0, 0.775, 0.55, 0.325]),
        (0, 4, [1.0, 0.775, 0.55, 0.325]),
        (3, 3, [0.1, 0.4, 0.7]),
        (9, 3, [0.1, 0.4, 0.7]),  # longer than training: it rises throughout
        (0, 1, [1.0]),
        (1, 1, [0.1]),
    ],
)
def test_the_rate_rises_from_a_tenth_and_falls_back(n_warmup, n_steps, expected):
    found = [schedule_factor(step, n_warmup, n_steps) for step in range(n_steps)]
    assert_allclose(found, expected)


def test_the_warm_up_may_be_a_part_of_an_epoch():
    recipe = Recipe(2, 1, 1.0, 1.0, 0.0, warmup_epochs=0.5)
    assert_allclose([recipe.factor(i, 4) for i in range(3)], [0.1, 0.55, 1.0])


def test_rates_of_the_published_network_fall_with_depth_as_published():
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        foundation = NeuroRVQ(config=NEURORVQ_EEG)
        model = WindowModel(foundation, 2, torch.tensor([0]), [1], [1.0])
    rates = learning_rates([name for name, _ in model.named_parameters()], 5e-4, 0.975)
    blocks = "foundation.encoder.trunk.blocks"
    # Numbers of the authors' 275 tensors; eight of theirs, behind the blocks, are never used.
    unused = 0.975**8
    assert rates[f"{blocks}.11.mlp.fc2.bias"] / 5e-4 * unused == pytest.approx(0.7195, rel=1e-4)
    assert rates[f"{blocks}.0.norm1.weight"] / 5e-4 * unused == pytest.approx(2.416e-3, rel=1e-3)
    lowest = min(rates, key=rates.__getitem__)
    assert rates[lowest] / 5e-4 * unused == pytest.approx(9.47e-4, rel=1e-3)
    assert lowest == next(iter(rates))
    head = {name: rate for name, rate in rates.items() if name.startswith("final_layer.")}
    assert len(head) == 4
    assert set(head.values()) == {5e-4}


def test_without_layer_decay_all_rates_are_the_same():
    rates = learning_rates(["a", "b", "final_layer.linear.weight"], 0.3, 1.0)
    assert rates == {"a": 0.3, "b": 0.3, "final_layer.linear.weight": 0.3}


GROUPS = st.lists(st.sampled_from("abcdef"), min_size=2, max_size=30).filter(
    lambda groups: len(set(groups)) > 1
)


@given(groups=GROUPS, fraction=st.floats(0.05, 0.5), seed=st.integers(0, 2**31 - 1))
def test_a_group_is_trained_on_or_watched_never_both(groups, fraction, seed):
    groups = np.array(groups)
    n_groups = len(set(groups))
    settings = {"fraction": fraction, "names": None, "seed": seed}
    training, watched = split_validation(len(groups), groups, None, **settings)
    assert not set(groups[training]) & set(groups[watched])
    assert_array_equal(np.sort(np.concatenate([training, watched])), np.arange(len(groups)))
    assert len(set(groups[watched])) == np.ceil(fraction * n_groups)
    again = split_validation(len(groups), groups, None, **settings)
    assert_array_equal(training, again[0])
    assert_array_equal(watched, again[1])


@given(groups=GROUPS, chosen=st.data())
def test_named_groups_are_watched_and_no_other(groups, chosen):
    groups = np.array(groups)
    present = sorted(set(groups))
    names = chosen.draw(
        st.lists(st.sampled_from(present), unique=True, min_size=1, max_size=len(present) - 1)
    )
    settings = {"fraction": None, "seed": 0}
    training, watched = split_validation(len(groups), groups, None, names=names, **settings)
    assert_array_equal(watched, [i for i, group in enumerate(groups) if group in names])
    assert_array_equal(training, [i for i, group in enumerate(groups) if group not in names])
    as_set = split_validation(len(groups), groups, None, names=set(names), **settings)
    assert_array_equal(as_set[1], watched)


def test_one_group_may_be_named_alone():
    groups = np.array([7, 8, 7])
    for names in (7, [7], np.array([7])):
        found = split_validation(3, groups, None, fraction=None, names=names, seed=0)
        assert_array_equal(found[1], [0, 2])
    found = split_validation(2, np.array(["ab", "b"]), None, fraction=None, names="ab", seed=0)
    assert_array_equal(found[1], [0])


@given(
    counts=st.lists(st.integers(4, 12), min_size=2, max_size=4),
    fraction=st.floats(0.3, 0.6),
    seed=st.integers(0, 1000),
)
def test_without_groups_every_class_is_in_both_parts(counts, fraction, seed):
    classes = np.repeat(np.arange(len(counts)), counts)
    training, watched = split_validation(
        len(classes), None, classes, fraction=fraction, names=None, seed=seed
    )
    assert set(classes[training]) == set(classes[watched]) == set(classes)
    assert_array_equal(np.sort(np.concatenate([training, watched])), np.arange(len(classes)))


def test_values_are_split_singly_and_the_seed_chooses():
    splits = [
        split_validation(20, None, None, fraction=0.25, names=None, seed=seed) for seed in (0, 1)
    ]
    assert [len(watched) for _, watched in splits] == [5, 5]
    assert set(splits[0][1]) != set(splits[1][1])


def test_without_a_wish_nothing_is_watched():
    training, watched = split_validation(
        4, np.array([1, 1, 2, 2]), None, fraction=None, names=None, seed=0
    )
    assert_array_equal(training, [0, 1, 2, 3])
    assert len(watched) == 0


@pytest.mark.parametrize(
    ("groups", "given", "message"),
    [
        ("aabb", {"fraction": 0.5, "names": ["a"]}, "give one"),
        (None, {"fraction": None, "names": ["a"]}, r"validation_groups needs fit\(X, y, groups="),
        ("aabb", {"fraction": None, "names": ["c", "a"]}, r"names \['c'\], but no trial belongs"),
        ("aabb", {"fraction": None, "names": ["a", "b"]}, "names every group"),
        ("aaaa", {"fraction": 0.5, "names": None}, "no group to train on: all .* belong to 'a'"),
        ("aabb", {"fraction": 0.9, "names": None}, "validation_fraction=0.9 cannot split 2 groups"),
        (None, {"fraction": 0.01, "names": None}, "validation_fraction=0.01 cannot split 4 trials"),
        (None, {"fraction": 0.0, "names": None}, "validation_fraction=0.0 must lie between"),
        (None, {"fraction": 1.0, "names": None}, "validation_fraction=1.0 must lie between"),
        (None, {"fraction": 2, "names": None}, "validation_fraction=2 must lie between"),
        (None, {"fraction": float("nan"), "names": None}, "validation_fraction=nan must lie"),
    ],
)
def test_an_impossible_split_says_why(groups, given, message):
    groups = None if groups is None else np.array(list(groups))
    with pytest.raises(ValueError, match=message):
        split_validation(4, groups, np.array([0, 1, 0, 1]), seed=0, **given)


# Trials that a digest and a target tell apart, each with a weight.
TRIALS = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(-1, 1), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)


def merged(trials):
    """The distinct trials and their weights, as a list."""
    digests, targets, weights = zip(*trials, strict=True)
    first, summed = merge_repeats(list(digests), np.array(targets), np.array(weights, float))
    return [(*trials[i][:2], weight) for i, weight in zip(first, summed, strict=True)]


@given(trials=TRIALS)
def test_repeats_are_summed_and_weight_zero_is_left_out(trials):
    expected = Counter()
    for digest, target, weight in trials:
        expected[digest, target] += weight
    found = merged(trials)
    assert {(digest, target): weight for digest, target, weight in found} == {
        key: weight for key, weight in expected.items() if weight
    }
    assert len(found) == len({trial[:2] for trial in found})


@given(trials=TRIALS, order=st.randoms(use_true_random=False))
def test_the_order_of_the_trials_does_not_matter(trials, order):
    shuffled = list(trials)
    order.shuffle(shuffled)
    assert merged(shuffled) == merged(trials)


@given(trials=TRIALS)
def test_a_trial_of_weight_two_is_a_trial_given_twice(trials):
    repeated = [(*trial[:2], 1) for trial in trials for _ in range(trial[2])]
    if repeated:
        assert merged(repeated) == merged(trials)


def test_the_same_signal_with_another_target_is_another_trial():
    first, summed = merge_repeats([b"a", b"a"], np.array([[0.5], [1.5]]), np.ones(2))
    assert sorted(first) == [0, 1]
    assert_array_equal(summed, [1, 1])
