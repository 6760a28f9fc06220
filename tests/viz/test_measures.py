# License: BSD-3-Clause
"""Figures of stability, coherence, features, trainings and scores show what was computed."""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Annotation

from mne_neurorvq import viz
from mne_neurorvq.analysis import CodeStability, SpatialCoherence, feature_map
from mne_neurorvq.benchmarks import CrossSubjectScores
from mne_neurorvq.signals import match_channels


@pytest.fixture(scope="module")
def stability():
    equal = np.random.default_rng(0).random((14, 5, 2, 3))
    names = tuple(f"noise {i}" for i in range(14))
    return CodeStability(names, equal, equal, np.full((2, 3), 0.1))


@pytest.fixture(scope="module")
def results():
    scores = np.array([[0.6, 0.8, 0.7], [0.7, 0.7, 0.8]])
    facts = np.array([[0, 1, 2], [1, 0, 2]]), ("s1", "s2", "s3"), ("left", "right")
    return {
        "ours": CrossSubjectScores(scores, *facts),
        "theirs": CrossSubjectScores(scores - [0.1, 0.2, 0.3], *facts),
    }


def test_stability_is_drawn_in_percent_beside_chance(stability):
    figure = viz.plot_stability(stability, show=False)
    for book, ax in enumerate(figure.axes):
        *lines, chance = ax.get_lines()
        for line, mean in zip(lines, stability.mean.values(), strict=True):
            np.testing.assert_allclose(line.get_ydata(), 100 * mean[book])
        np.testing.assert_allclose(chance.get_ydata(), 10)
        styles = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}
        assert len(styles) == len(lines)
    assert figure.axes[0].get_ylabel() == "unchanged codes (%)"
    assert figure.axes[0].get_xlabel() == "level"
    names = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert names == [*stability.perturbations, "chance"]


def test_coherence_is_drawn_with_its_spread_and_that_of_other_trials():
    rho = np.random.default_rng(0).random((2, 6, 2, 3))
    rho[0, 0] = np.nan
    coherence = SpatialCoherence(*rho)
    ax = viz.plot_spatial_coherence(coherence, show=False).axes[0]
    spread = np.nanstd(rho[0], axis=0)
    for book, bars in enumerate(ax.containers):
        np.testing.assert_allclose(bars.lines[0].get_ydata(), coherence.mean[book])
        heights = [np.ptp(segment[:, 1]) / 2 for segment in bars.lines[2][0].get_segments()]
        np.testing.assert_allclose(heights, spread[book])
    dashed = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    np.testing.assert_allclose(dashed[1].get_ydata(), coherence.mean_other_trial[1])
    assert ax.get_ylabel() == "Spearman's rho"


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    subjects = np.repeat(["s1", "s2", "s3"], 10)
    return rng.standard_normal((30, 5)) + 5 * (subjects == "s2")[:, None], subjects


def test_trials_are_coloured_by_subject_and_by_condition(features):
    X, subjects = features
    conditions = np.tile([1, 2], 15)
    figure = viz.plot_embedding(X, subjects, conditions, show=False)
    points, labels = feature_map(X)
    for ax, values, title in zip(
        figure.axes, (subjects, conditions), ("subject", "condition"), strict=True
    ):
        for line, value in zip(ax.get_lines(), np.unique(values), strict=True):
            np.testing.assert_allclose(np.transpose(line.get_data()), points[values == value])
            assert line.get_label() == str(value)
        assert (ax.get_xlabel(), ax.get_ylabel()) == labels
        assert ax.get_legend().get_title().get_text() == title


def test_features_without_labels_have_one_panel_and_many_people_no_legend(features):
    X = features[0]
    assert len(viz.plot_embedding(X, show=False).axes) == 1
    people = [f"S{number:03d}" for number in range(30)]
    (ax,) = viz.plot_embedding(X, people, show=False).axes
    assert ax.get_legend() is None
    assert ax.get_title() == "30 subjects"
    styles = {(line.get_color(), line.get_marker()) for line in ax.get_lines()}
    assert len(styles) == 30


def test_more_people_than_can_be_told_apart_are_grey_and_many_numbers_have_a_colour_bar():
    X = np.random.default_rng(0).standard_normal((40, 3))
    people = [f"S{number:03d}" for number in range(40)]
    names, ages, bar = viz.plot_embedding(X, people, np.arange(20.0, 60.0), show=False).axes
    assert {line.get_color() for line in names.get_lines()} == {"0.5"}
    assert names.get_title() == "40 subjects"
    np.testing.assert_allclose(ages.collections[0].get_array(), np.arange(20, 60))
    assert bar.get_ylabel() == "condition"


def test_labels_of_trials_are_in_the_order_of_their_numbers_and_none_is_missing(features):
    X = features[0]
    people = np.array([f"sub-{number}" for number in range(1, 16)] * 2)
    (ax,) = viz.plot_embedding(X, people, show=False).axes
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == people[:15].tolist()
    (ax,) = viz.plot_embedding(X, np.arange(30), show=False).axes  # no colour bar
    assert ax.get_title() == "30 subjects"
    for nothing in (None, np.nan):
        with pytest.raises(ValueError, match=f"subjects has {nothing} in trial 29: leave out"):
            viz.plot_embedding(X, [*people[:29], nothing], show=False)


def test_what_cannot_be_mapped_is_named(features, monkeypatch):
    X = features[0]
    with pytest.raises(ValueError, match="subjects must have one entry for each of the 30"):
        viz.plot_embedding(X, ["s1"], show=False)
    with pytest.raises(ValueError, match=r"got shape \(30, 5, 2\): pool them"):
        feature_map(np.zeros((30, 5, 2)))
    with pytest.raises(ValueError, match="got 'tsne'"):
        feature_map(X, "tsne")
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"method='umap' needs umap.*method='pca'"):
        feature_map(X, "umap")


@pytest.fixture(scope="module")
def history():
    return [
        {"epoch": i, "train_loss": 1 / i, "valid_loss": 2 / i, "valid_balanced_accuracy": i / 9}
        for i in range(1, 5)
    ]


def test_losses_and_scores_of_a_training_have_a_panel_each(history):
    figure = viz.plot_learning_curve(history, show=False)
    loss, accuracy = figure.axes
    train, valid = loss.get_lines()
    np.testing.assert_allclose(train.get_data(), [[1, 2, 3, 4], [1, 1 / 2, 1 / 3, 1 / 4]])
    np.testing.assert_allclose(valid.get_ydata(), 2 / np.arange(1, 5))
    assert not any(tick % 1 for tick in loss.get_xticks())
    assert (train.get_label(), valid.get_label()) == ("training", "validation")
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "loss")
    assert accuracy.get_ylabel() == "balanced accuracy"
    (line,) = accuracy.get_lines()
    assert line.get_label() == "validation"


def test_an_estimator_has_its_history(history):
    class Estimator:
        history_ = history

    assert len(viz.plot_learning_curve(Estimator(), show=False).axes) == 2


def test_the_folder_of_a_stage_has_its_log_also_if_it_was_resumed(tmp_path):
    for start, text in ((0, "1,,0.5\n3,2.0,\n"), (20, "21,1.5,0.6\n"), (3, "5,1.8,\n")):
        folder = tmp_path / "logs" / f"from_{start}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text("step,train_loss,valid_r\n" + text, encoding="utf-8")
    loss, r = viz.plot_learning_curve(tmp_path, show=False).axes
    np.testing.assert_allclose(loss.get_lines()[0].get_data(), [[3, 5, 21], [2.0, 1.8, 1.5]])
    np.testing.assert_allclose(r.get_lines()[0].get_data(), [[1, 21], [0.5, 0.6]])
    assert loss.get_xlabel() == "step"


def test_trainings_and_measures_that_do_not_exist_are_named(history, tmp_path):
    with pytest.raises(ValueError, match="some of loss, balanced_accuracy, not"):
        viz.plot_learning_curve(history, "r", show=False)
    with pytest.raises(FileNotFoundError, match=r"no logs/from_\*/metrics\.csv"):
        viz.plot_learning_curve(tmp_path, show=False)
    with pytest.raises(ValueError, match="nothing was trained"):
        viz.plot_learning_curve([], show=False)
    with pytest.raises(ValueError, match="no train_ or valid_ measures"):
        viz.plot_learning_curve([{"a": 1}], show=False)


def test_electrodes_are_at_their_places_with_the_names_of_their_sites():
    with pytest.warns(UserWarning, match="'EXTRA'"):
        report = match_channels(["EEG T7-REF", "Cz", "Fz", "EXTRA"], ["cz", "t3", "fz"])
    figure = viz.plot_channel_match(report, show=False)
    (ax,) = figure.axes
    labels = {text.get_text(): text.xy for text in ax.texts if isinstance(text, Annotation)}
    assert set(labels) == {"EEG T7-REF→t3", "Cz", "Fz"}
    assert labels["EEG T7-REF→t3"][0] < labels["Cz"][0]
    assert labels["Fz"][1] > labels["Cz"][1]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["same name (2)", "other name of the site (1)", "without a place: EXTRA"]


def test_channels_without_any_place_cannot_be_drawn():
    report = match_channels(["II", "V1"], ["ii", "v1"], modality="ecg")
    with pytest.raises(ValueError, match=r"only EEG has: print\(report\)"):
        viz.plot_channel_match(report, show=False)


def test_scores_of_people_are_drawn_with_their_mean_its_interval_and_chance(results):
    figure = viz.plot_benchmark(results, title="Left against right", show=False)
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ours", "theirs"]
    assert ax.get_title() == "Left against right"
    chance, people, bounds, mean, *_ = [line.get_xdata() for line in ax.get_lines()]
    np.testing.assert_allclose(chance, 0.5)
    np.testing.assert_allclose(people, [0.65, 0.75, 0.75])
    np.testing.assert_allclose(bounds, results["ours"].interval)
    assert mean == pytest.approx([results["ours"].mean])


def test_differences_are_taken_person_by_person(results):
    (ax,) = viz.plot_benchmark(results, "theirs", show=False).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ours"]
    none, people, bounds, _ = (line.get_xdata() for line in ax.get_lines())
    np.testing.assert_allclose(none, 0)
    np.testing.assert_allclose(people, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(bounds, results["ours"].difference_from(results["theirs"])[1:3])
    assert ax.get_xlabel().startswith("difference from theirs")


@pytest.fixture
def table():
    pd = pytest.importorskip("pandas")
    rows = [
        ("left", pipeline, "", share, seed, person, person == "S1", base + seed / 10 + share / 100)
        for pipeline, base in (("power", 0.5), ("model", 0.6))
        for share in (0.1, 1.0)
        for person in ("S1", "S2", "S3", "S4")
        for seed in (0, 1)
    ]
    rows += [("left", "model", "permuted", 1.0, 0, "S2", False, 0.9)]
    columns = "task pipeline control share seed person seen balanced_accuracy".split()
    return pd.DataFrame(rows, columns=columns)


def test_people_of_a_benchmark_who_were_not_seen_are_drawn_the_best_pipeline_first(table, tmp_path):
    import pandas as pd

    table.to_csv(tmp_path / "scores.csv", index=False)
    for rows in (table, pd.read_csv(tmp_path / "scores.csv")):
        (ax,) = viz.plot_benchmark(rows, chance=0.5, show=False).axes
        assert [label.get_text() for label in ax.get_yticklabels()] == ["model", "power"]
        _, people, *_ = (line.get_xdata() for line in ax.get_lines())
        np.testing.assert_allclose(people, [0.66, 0.66, 0.66])
        assert ax.get_title() == "left"
        assert "grey: people" in ax.get_xlabel()


def test_a_pipeline_that_lacks_people_is_compared_over_those_that_both_have(table):
    lacking = table[(table["pipeline"] != "model") | (table["person"] != "S4")]
    lacking.loc[lacking["person"] == "S4", "balanced_accuracy"] = 0.0
    (ax,) = viz.plot_benchmark(lacking, show=False).axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["model (2 of 3 people)", "power"]
    (ax,) = viz.plot_benchmark(lacking, "power", show=False).axes
    np.testing.assert_allclose(ax.get_lines()[1].get_xdata(), [0.1, 0.1])
    lacking = table.assign(balanced_accuracy=table["balanced_accuracy"].mask(table.index == 8))
    model, power = viz.plot_benchmark(lacking, show=False).axes[0].get_lines()[2::3]
    assert np.isfinite([model.get_xdata(), power.get_xdata()]).all()
    lacking = lacking[(lacking["pipeline"] != "model") | (lacking["person"] == "S1")]
    with pytest.raises(ValueError, match="nothing beside reference"):
        viz.plot_benchmark(lacking, "power", show=False)


def test_people_who_are_scored_together_are_drawn_as_folds(table):
    (ax,) = viz.plot_benchmark(table.assign(n_people=9, chance=0.5), show=False).axes
    assert ax.lines[0].get_xdata() == [0.5, 0.5]
    assert "grey: folds" in ax.get_xlabel()


def test_intervals_do_not_take_folds_of_other_seeds_for_the_same_people(table):
    noise = np.random.default_rng(0).normal(0, 0.1, len(table))
    table = table.assign(n_people=9, balanced_accuracy=table["balanced_accuracy"] + noise)
    seeds = [table[table["seed"] == seed] for seed in (0, 1)]

    def bars(rows):
        (ax,) = viz.plot_low_resource(rows, show=False).axes
        (lines,) = ax.containers[0].lines[2]
        return np.array(lines.get_segments())[:, :, 1]

    def line(rows, reference=None):
        return viz.plot_benchmark(rows, reference, show=False).axes[0].get_lines()[2].get_xdata()

    for drawn in (bars, line, lambda rows: line(rows, "power")):
        np.testing.assert_allclose(drawn(table), np.mean([drawn(own) for own in seeds], axis=0))


def test_differences_of_other_folds_of_people_are_not_drawn(results):
    theirs = results["theirs"]
    other = CrossSubjectScores(theirs.scores, theirs.folds[::-1], theirs.people, theirs.classes)
    with pytest.raises(ValueError, match="not of the same folds of people"):
        viz.plot_benchmark({"ours": results["ours"], "theirs": other}, "theirs", show=False)


def test_people_whom_an_unfinished_model_had_seen_are_not_drawn(table):
    rows = table.assign(seen=False, seen_by_any=table["person"] != "S2")
    (ax,) = viz.plot_benchmark(rows, show=False).axes
    assert len(ax.lines[0].get_xdata()) == 1


def test_curves_of_shares_are_of_people_who_have_all_of_them(table):
    lacking = table.drop(table.index[table["pipeline"].eq("power") & table["person"].eq("S2")][:2])
    (ax,) = viz.plot_low_resource(lacking, chance=0.5, show=False).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "model",
        "power (2 of 3 people)",
    ]
    model, power = (bars.lines[0].get_ydata().astype(float) for bars in ax.containers)
    np.testing.assert_allclose(model, [0.651, 0.66])
    np.testing.assert_allclose(power, [0.551, 0.56])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["10", "100"]
    with pytest.raises(ValueError, match="nothing to plot"):
        viz.plot_low_resource(table[table["seen"]], show=False)
    (ax,) = viz.plot_low_resource(table[table["share"] == 1], show=False).axes
    assert ax.get_xlim() == pytest.approx((80, 125))


def test_tables_that_are_not_of_one_task_are_refused(table, results):
    import pandas as pd

    two = pd.concat([table, table.assign(task="rest")])
    for plot in (viz.plot_benchmark, viz.plot_low_resource):
        with pytest.raises(ValueError, match="has the tasks left, rest: pass one"):
            plot(two, show=False)
        with pytest.raises(ValueError, match="lacks the columns seed, seen"):
            plot(table.drop(columns=["seen", "seed"]), show=False)
    with pytest.raises(ValueError, match="reference='power' must be one of ours, theirs"):
        viz.plot_benchmark(results, "power", show=False)


def test_no_scores_cannot_be_drawn():
    with pytest.raises(ValueError, match="nothing to plot"):
        viz.plot_benchmark({}, show=False)


def test_an_empty_table_cannot_be_drawn(table):
    for plot in (viz.plot_benchmark, viz.plot_low_resource):
        with pytest.raises(ValueError, match="the table is empty"):
            plot(table[:0], show=False)


def test_figures_are_drawn_on_the_axes_given(
    epochs, reconstruction, tokens, results, stability, features, history
):
    calls = {
        (1, 2): [
            lambda axes: viz.plot_codebook_usage(tokens, axes=axes[0], show=False),
            lambda axes: viz.plot_stability(stability, axes=axes[0], show=False),
            lambda axes: viz.plot_embedding(*features, features[1], axes=axes[0], show=False),
            lambda axes: viz.plot_learning_curve(history, axes=list(axes[0]), show=False),
            lambda axes: viz.plot_code_topomap(tokens, None, [0, 1], axes=axes[0], show=False),
        ],
        (2, 3): [
            lambda axes: viz.plot_reconstruction(
                epochs, reconstruction, 0, ["C3", "C4"], axes=axes, show=False
            )
        ],
        (2, 4): [lambda axes: viz.plot_tokens(tokens, axes=axes, show=False)],
        (1, 1): [
            lambda axes: viz.plot_benchmark(results, axes=axes[0, 0], show=False),
            lambda axes: viz.plot_channel_match(
                match_channels(["Cz"], ["cz"]), axes=axes[0, 0], show=False
            ),
        ],
    }
    for shape, several in calls.items():
        for call in several:
            figure, axes = plt.subplots(*shape, squeeze=False)
            assert call(axes) is figure
            assert all(ax.has_data() for ax in axes.flat)


@pytest.mark.parametrize("ending", ["svg", "pdf"])
def test_figures_are_written_as_vectors(stability, tokens, tmp_path, ending):
    figures = [
        viz.plot_stability(stability, show=False),
        viz.plot_code_topomap(tokens, codes=[0], show=False),
    ]
    for number, figure in enumerate(figures):
        path = tmp_path / f"{number}.{ending}"
        figure.savefig(path)
        assert path.stat().st_size > 1000
