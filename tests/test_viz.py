# License: BSD-3-Clause
"""Figures show the numbers that they are given."""

from __future__ import annotations

import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest

from mne_neurorvq import NeuroRVQTransformer, viz
from mne_neurorvq.analysis import code_usage
from mne_neurorvq.benchmarks import CrossSubjectScores
from mne_neurorvq.datasets import simulate_epochs

pytestmark = pytest.mark.usefixtures("close_figures")


@pytest.fixture(scope="module")
def epochs():
    return simulate_epochs(n_subjects=1, n_trials=4, verbose=False)


@pytest.fixture(scope="module")
def reconstruction(epochs):
    data = epochs.get_data() + 2e-6 * np.random.default_rng(0).standard_normal((4, 19, 800))
    return mne.EpochsArray(data, epochs.info, verbose=False).drop_channels(["Fp1"])


@pytest.fixture(scope="module")
def tokens(epochs):
    return NeuroRVQTransformer("neurorvq-eeg-tiny-random").fit(epochs).tokenize(epochs)


@pytest.fixture(scope="module")
def results():
    scores = np.array([[0.6, 0.8], [0.7, 0.7]])
    facts = (scores * 0 + 0.01, (0, 1), ("s1", "s2"), ("left", "right"), 8, 3)
    return {
        "ours": CrossSubjectScores(scores, *facts),
        "theirs": CrossSubjectScores(scores - 0.2, *facts),
    }


def test_a_reconstruction_is_drawn_over_the_signal_in_microvolts(epochs, reconstruction):
    figure = viz.plot_reconstruction(epochs, reconstruction, trial=2, channels=["C3"], show=False)
    signals, spectra = figure.axes
    drawn = [line.get_ydata() for line in signals.get_lines()]
    np.testing.assert_allclose(drawn[0], 1e6 * epochs.get_data(picks="C3")[2, 0])
    np.testing.assert_allclose(drawn[1], 1e6 * reconstruction.get_data(picks="C3")[2, 0])
    assert signals.get_ylabel() == "C3 (µV)"
    assert signals.get_xlabel() == "time (s)"
    assert (spectra.get_xlabel(), spectra.get_ylabel()) == ("frequency (Hz)", "µV²/Hz")
    r = np.corrcoef(*drawn)[0, 1]
    assert [text.get_text() for text in signals.texts] == [f"r = {r:.2f}"]


def test_by_default_channels_of_the_reconstruction_are_shown(epochs, reconstruction):
    figure = viz.plot_reconstruction(epochs, reconstruction, show=False)
    labels = [ax.get_ylabel() for ax in figure.axes[::2]]
    assert len(labels) == 4
    assert "Fp1 (µV)" not in labels


def test_a_constant_channel_has_no_correlation(epochs):
    flat = mne.EpochsArray(np.zeros((4, 19, 800)), epochs.info, verbose=False)
    figure = viz.plot_reconstruction(epochs, flat, channels=["C3"], show=False)
    assert not figure.axes[0].texts


def test_muscles_have_fast_spectra_and_pulses_no_volts():
    info = mne.create_info(["arm", "PLETH"], 1000.0, ["emg", "misc"])
    data = np.random.default_rng(0).standard_normal((1, 2, 2000)) * [[1e-5], [0.1]]
    trials = mne.EpochsArray(data, info, verbose=False)
    figure = viz.plot_reconstruction(trials, trials, show=False)
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert labels == ["arm (µV)", "µV²/Hz", "PLETH (AU)", "AU²/Hz"]
    assert [ax.get_xlim()[1] for ax in figure.axes[1::2]] == [500, 45]
    arm, pulse = (ax.get_lines()[0].get_ydata() for ax in figure.axes[::2])
    np.testing.assert_allclose([arm, pulse], [1e6 * data[0, 0], data[0, 1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trial": 4}, "trial=4 does not exist: there are 4"),
        ({"channels": ["Fp1"]}, r"not \['Fp1'\]"),
        ({"channels": []}, "not none"),
    ],
)
def test_what_cannot_be_shown_is_named(epochs, reconstruction, change, message):
    with pytest.raises(ValueError, match=message):
        viz.plot_reconstruction(epochs, reconstruction, **change, show=False)


def test_other_trials_are_no_reconstruction(epochs, reconstruction):
    with pytest.raises(ValueError, match="must be the same trials"):
        viz.plot_reconstruction(epochs, reconstruction[:2], show=False)


def test_the_raster_holds_the_codes_of_the_trial(tokens):
    figure = viz.plot_codes(tokens, trial=1, codebooks=[3], show=False)
    (image,) = figure.axes[0].get_images()
    expected = tokens.codes[1, :, :, 3]  # channel, patch, level
    np.testing.assert_array_equal(image.get_array().reshape(expected.shape), expected)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(tokens.ch_names)
    assert figure.axes[0].get_title() == "codebook 3"


@pytest.mark.parametrize("change", [{"trial": 9}, {"codebooks": [4]}, {"codebooks": []}])
def test_codes_that_do_not_exist_are_named(tokens, change):
    with pytest.raises(ValueError, match=next(iter(change))):
        viz.plot_codes(tokens, **change, show=False)


@pytest.mark.parametrize("counted", [True, False])
def test_the_use_of_codes_is_drawn_in_percent(tokens, counted):
    usage = code_usage(tokens.codes, tokens.n_codes)
    figure = viz.plot_code_usage(usage if counted else tokens, show=False)
    for ax, values in zip(figure.axes, (usage.used, usage.normalized_entropy), strict=True):
        drawn = [line.get_ydata() for line in ax.get_lines()]
        np.testing.assert_allclose(drawn, 100 * values)


def test_scores_are_drawn_with_their_folds_and_chance(results):
    figure = viz.plot_scores(results, title="Left against right", show=False)
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ours", "theirs"]
    assert ax.get_title() == "Left against right"
    chance, *rows = [line.get_xdata() for line in ax.get_lines()]
    np.testing.assert_allclose(chance, 0.5)
    np.testing.assert_allclose(rows[0], results["ours"].scores.ravel())
    assert rows[1] == pytest.approx([results["ours"].mean])


def test_no_scores_cannot_be_drawn():
    with pytest.raises(ValueError, match="nothing to plot"):
        viz.plot_scores({}, show=False)


def test_figures_are_drawn_on_the_axes_given(epochs, reconstruction, tokens, results):
    usage = code_usage(tokens.codes, tokens.n_codes)
    calls = {
        (1, 2): lambda axes: viz.plot_code_usage(usage, axes=axes[0], show=False),
        (2, 2): lambda axes: viz.plot_reconstruction(
            epochs, reconstruction, channels=["C3", "C4"], axes=axes, show=False
        ),
        (1, 4): lambda axes: viz.plot_codes(tokens, axes=axes[0], show=False),
        (1, 1): lambda axes: viz.plot_scores(results, axes=axes[0, 0], show=False),
    }
    for shape, call in calls.items():
        figure, axes = plt.subplots(*shape, squeeze=False)
        assert call(axes) is figure
        assert all(ax.has_data() for ax in axes.flat)


def test_axes_of_another_shape_are_refused(epochs, reconstruction):
    _, axes = plt.subplots(1, 2, squeeze=False)
    with pytest.raises(ValueError, match=r"axes must have shape \(4, 2\), got \(1, 2\)"):
        viz.plot_reconstruction(epochs, reconstruction, axes=axes, show=False)
