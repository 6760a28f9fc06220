# License: BSD-3-Clause
"""From predictions to tables: people, intervals, differences, and who counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from optional_library import import_or_skip
from scipy.stats import t
from sklearn.metrics import roc_auc_score

import_or_skip("moabb", "benchmark")

from mne_neurorvq.analysis.people import corrected_p, interval, of_unseen
from mne_neurorvq.benchmarks.results import people_scores, read_results, summary


def cell(
    pipeline="x", seed=0, fold=0, seen=(), people=("a", "b"), y=(0, 0, 1, 1), wrong=(), **rest
):
    """Predictions of each person, of whom ``wrong`` trials are."""
    n = len(y)
    predicted = [1 - label if i in wrong else label for i, label in enumerate(y)]
    trials = {
        "subject": [person for person in people for _ in range(n)],
        "session": ["0"] * (n * len(people)),
        "y": list(y) * len(people),
        "predicted": predicted * len(people),
        "scores": [[1 - p, p] for p in np.abs(np.array(predicted) - 0.3).tolist()] * len(people),
    }
    facts = {"task": "t", "control": "", "share": 1.0, "classes": ["A", "B"], "trials": trials}
    return {
        **facts,
        "pipeline": pipeline,
        "seed": seed,
        "fold": fold,
        "n_folds": 3,
        "seen": None if seen is None else list(seen),
        **rest,
    }


def test_each_person_is_scored_alone():
    scores = people_scores([cell(wrong=(0,))])
    assert scores["person"].tolist() == ["a", "b"]
    assert scores["balanced_accuracy"].tolist() == [0.75, 0.75]
    assert scores["kappa"].tolist() == [0.5, 0.5]
    y, p = [0, 0, 1, 1], [0.7, 0.3, 0.7, 0.7]
    assert scores["roc_auc"].tolist() == [roc_auc_score(y, p)] * 2


def test_people_of_one_class_are_scored_together():
    single = cell(people=("a",), y=(0, 0)), cell(people=("b",), y=(1, 1), wrong=(0,))
    joined = cell()
    joined["trials"] = {
        name: single[0]["trials"][name] + single[1]["trials"][name] for name in joined["trials"]
    }
    scores = people_scores([joined])
    assert scores["person"].tolist() == ["fold 0"]
    assert scores["balanced_accuracy"].tolist() == [0.75]


def test_seen_people_of_one_class_are_scored_apart_and_no_headline():
    cells = []
    for pipeline, seen in (("model", ("a", "b")), ("plain", ())):
        one = cell(pipeline, seen=seen, people=("a", "b", "c", "d"), y=(0, 1))
        trials = one["trials"]
        # a and c have the first class only, b and d the second; of the unseen, one is missed.
        trials["subject"] = ["a", "b", "a", "b", "c", "d", "c", "d"]
        trials["predicted"][-1] = 0
        cells.append(one)
    scores = people_scores(cells)
    assert scores["person"].tolist() == ["fold 0", "fold 0, seen"] * 2
    assert scores["balanced_accuracy"].tolist() == [0.75, 1.0] * 2
    assert scores["seen"].tolist() == [False, True, False, False]
    assert summary(scores, "plain")["mean"].tolist() == [0.75, 0.75]


def test_where_one_person_lacks_a_class_everyone_of_the_task_is_scored_by_fold():
    whole, lacking = cell(people=("a", "b")), cell(fold=1, people=("c", "d"), seed=0)
    lacking["trials"]["y"] = [0, 0, 1, 1, 0, 0, 0, 0]  # d has the first class only
    other = cell("y", people=("a", "b"), task="u")
    scores = people_scores([whole, lacking, other])
    assert scores["person"].tolist() == ["fold 0", "fold 1", "a", "b"]
    assert scores["n_people"].tolist() == [2, 2, 1, 1]
    table = summary(scores[scores["task"] == "t"], "x")
    assert table.loc[0, ["n_people", "n_scored", "n_all"]].tolist() == [4, 2, 4]


def test_whom_a_model_had_seen_count_for_nobody_before_its_folds_are_finished():
    done = [cell("model", seen=("a", "c")), cell("plain"), cell("plain", fold=1, people=("c", "d"))]
    scores = people_scores(done)
    assert dict(zip(scores["person"], scores["seen_by_any"], strict=True)) == {
        "a": True,
        "b": False,
        "c": True,
        "d": False,
    }
    assert sorted(of_unseen(scores)["person"]) == ["b", "b", "d"]


def test_several_classes_have_all_metrics():
    three = cell(classes=["A", "B", "C"], people=("a",), y=(0, 1, 2))
    three["trials"]["predicted"] = [0, 1, 1]
    three["trials"]["scores"] = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.5, 0.4]]
    found = people_scores([three]).iloc[0]
    assert found["balanced_accuracy"] == pytest.approx(2 / 3)
    assert found["roc_auc"] == found["pr_auc"] == 1.0


def test_people_whom_a_model_had_seen_are_in_no_headline():
    seen = [cell("model", seen=("a",)), cell("classical", wrong=(0, 1))]
    table = summary(people_scores(seen), "classical").set_index("pipeline")
    assert table["n_people"].tolist() == [1, 1]  # of both, since one of them had seen a
    assert table.loc["model", "n_seen"] == 1
    unknown = summary(people_scores([cell("model", seen=None)]), "model")
    assert not unknown.loc[0, "seen_known"]
    nobody = summary(people_scores([cell("model", seen=("a", "b"))]), "model")
    assert np.isnan(nobody.loc[0, "mean"])
    assert nobody.loc[0, "all_people"] == 1.0


def test_differences_are_paired_by_person_and_tested_by_fold():
    cells = []
    for fold, people in enumerate((("a", "b"), ("c", "d"), ("e", "f"))):
        cells.append(cell("low", fold=fold, people=people, wrong=(0, 1)))
        cells.append(cell("high", fold=fold, people=people, wrong=(0,) if fold else ()))
    table = summary(people_scores(cells), "low").set_index("pipeline")
    assert table.index.tolist() == ["high", "low"]
    high = table.loc["high"]
    assert high["difference"] == pytest.approx((0.5 + 0.25 + 0.25) / 3)
    assert high["difference_low"] > 0.2
    # By hand: mean over sqrt((1/3 + 1/2) * variance), two degrees of freedom, two-sided.
    differences = np.array([0.5, 0.25, 0.25])
    statistic = differences.mean() / np.sqrt((1 / 3 + 1 / 2) * differences.var(ddof=1))
    assert high["p"] == pytest.approx(2 * t.sf(statistic, 2))
    assert np.isnan(table.loc["low", "p"])


def test_a_pipeline_that_lacks_people_is_compared_over_those_that_both_have():
    cells = [cell("some", wrong=(0,)), cell("all", people=("a", "b", "c"), wrong=(0, 1))]
    table = summary(people_scores(cells), "all").set_index("pipeline")
    assert table["n_people"].to_dict() == {"some": 2, "all": 3}
    assert table["n_compared"].to_dict() == {"some": 2, "all": 0}
    assert table.loc["some", "difference"] == pytest.approx(0.25)
    table = summary(people_scores(cells), "some").set_index("pipeline")
    assert table.loc["all", ["n_people", "n_compared"]].tolist() == [3, 2]


def test_p_is_of_the_folds_of_the_plan_where_some_are_not_finished():
    cells = []
    for fold, people in enumerate((("a", "b"), ("c", "d"))):
        cells.append(cell("low", fold=fold, people=people, wrong=(0, 1)))
        cells.append(cell("high", fold=fold, people=people, wrong=(0,) if fold else ()))
    high = summary(people_scores(cells), "low").set_index("pipeline").loc["high"]
    differences = np.array([0.5, 0.25])  # of two of three folds
    statistic = differences.mean() / np.sqrt((1 / 2 + 1 / 2) * differences.var(ddof=1))
    assert high["p"] == pytest.approx(2 * t.sf(statistic, 1))


def in_folds(seeds, noise):
    """Cells of two pipelines in four folds of six people of one class each."""
    people, y = np.array([f"p{i}" for i in range(24)]), np.arange(24) % 2
    cells = []
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(12)
        for fold in range(4):
            own = np.concatenate([2 * order[fold * 3 : fold * 3 + 3] + i for i in (0, 1)])
            for pipeline, level in (("low", 0.0), ("high", 0.4)):
                one = cell(pipeline, seed=seed, fold=fold, people=people[own], y=(0,), n_folds=4)
                scores = level * (2 * y[own] - 1) + noise.normal(size=6)
                one["trials"] |= {
                    "y": y[own].tolist(),
                    "predicted": (scores > 0).astype(int).tolist(),
                    "scores": scores.tolist(),
                }
                cells.append(one)
    return cells


def test_intervals_do_not_take_folds_of_other_seeds_for_the_same_people():
    cells = in_folds(range(5), np.random.default_rng(0))
    together = summary(people_scores(cells), "low").set_index("pipeline")
    assert together.loc["high", ["n_people", "n_scored", "n_compared"]].tolist() == [24, 20, 20]
    alone = [
        summary(people_scores([one for one in cells if one["seed"] == seed]), "low")
        for seed in range(5)
    ]
    mean = pd.concat(alone).groupby("pipeline").mean(numeric_only=True)
    same = ["mean", "low", "high", "roc_auc", "difference", "difference_low", "difference_high"]
    np.testing.assert_allclose(together.loc[mean.index, same], mean[same])


def test_a_person_alone_in_a_fold_is_the_same_under_each_seed():
    cells = [
        cell(people=("a",), y=(0, 0), wrong=(0,)),
        cell(fold=1, people=("b",), y=(1, 1, 1, 1), wrong=(3,)),
    ]
    cells += [{**one, "seed": 1, "fold": 1 - one["fold"]} for one in cells]
    scores = people_scores(cells)
    assert scores["person"].tolist() == ["a", "b", "a", "b"]
    (found,) = summary(scores, "").to_dict("records")
    assert (found["n_scored"], found["mean"]) == (2, 0.625)
    assert (found["low"], found["high"]) == interval(np.array([0.5, 0.75]))


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_p_takes_account_of_how_many_trials_were_trained_on(share):
    cells = [
        cell(name, fold=fold, people=people, wrong=wrong, share=share)
        for fold, people in enumerate(("ab", "cd", "ef"))
        for name, wrong in (("low", (0, 1)), ("high", (0,) if fold else ()))
    ]
    high = summary(people_scores(cells), "low").set_index("pipeline").loc["high"]
    assert high["p"] == corrected_p(np.array([0.5, 0.25, 0.25]), 3, share)


def test_a_damaged_file_is_named_and_what_to_do(tmp_path):
    path = tmp_path / "cells" / "task" / "x" / "plain-share1-seed0-fold0-0.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"task": "task", "pipe')
    with pytest.raises(ValueError, match=r"fold0-0.json is damaged \(.*\): delete it and run"):
        read_results(tmp_path)


def test_p_values_are_adjusted_for_the_number_of_pipelines():
    rng = np.random.default_rng(0)
    rows = [
        {"task": "t", "pipeline": name, "seed": 0, "fold": fold, "person": f"{fold}{i}"}
        | {
            "seen": False,
            "n_seen": 0,
            "n_people": 1,
            "n_folds": 4,
            "share": 1.0,
            "balanced_accuracy": rng.normal(0.6, 0.1),
            "roc_auc": 0.5,
        }
        | {"pr_auc": 0.5, "kappa": 0.0, "weighted_f1": 0.5}
        for name in ("a", "b", "c")
        for fold in range(4)
        for i in range(3)
    ]
    frame = pd.DataFrame(rows)
    together = summary(frame, "a").set_index("pipeline")["p"]
    alone = [summary(frame[frame["pipeline"].isin(["a", name])], "a") for name in ("b", "c")]
    single = [table.set_index("pipeline")["p"].dropna().iloc[0] for table in alone]
    assert (together[["b", "c"]].to_numpy() >= np.array(single) - 1e-12).all()
    assert together.max() == pytest.approx(max(single))
