# License: BSD-3-Clause
"""Figures of reconstructions show what was computed."""

from __future__ import annotations

import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest

from mne_neurorvq import viz
from mne_neurorvq.analysis import rate_distortion, reconstruction_quality


def test_a_reconstruction_and_its_error_are_drawn_over_the_signal_in_microvolts(
    epochs, reconstruction
):
    figure = viz.plot_reconstruction(epochs, reconstruction, 2, ["C3"], show=False)
    signals, spectra, bands = figure.axes
    original, other, error = (line.get_ydata() for line in signals.get_lines())
    np.testing.assert_allclose(original, 1e6 * epochs.get_data(picks="C3")[2, 0])
    np.testing.assert_allclose(other, 1e6 * reconstruction.get_data(picks="C3")[2, 0])
    np.testing.assert_allclose(error, other - original)
    assert (signals.get_xlabel(), signals.get_ylabel()) == ("time (s)", "C3\n(µV)")
    assert (spectra.get_xlabel(), spectra.get_ylabel()) == ("frequency (Hz)", "µV²/Hz")
    assert bands.get_ylabel() == "error (%)"
    r = np.corrcoef(original, other)[0, 1]
    assert [text.get_text() for text in signals.texts] == [f"r = {r:.2f}"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["original", "reconstruction", "error"]


def test_the_points_are_the_errors_of_the_channel_in_each_band(epochs, reconstruction):
    figure = viz.plot_reconstruction(epochs, reconstruction, 2, ["C3"], show=False)
    quality = reconstruction_quality(epochs, reconstruction)
    channel = reconstruction.ch_names.index("C3")
    drawn = figure.axes[2].get_lines()[1].get_ydata()
    expected = [100 * band.error[2, channel] for band in quality.bands.values()]
    np.testing.assert_allclose(drawn, expected)
    names = [label.get_text() for label in figure.axes[2].get_xticklabels()]
    assert names == list(quality.bands)


@pytest.mark.parametrize(("which", "trial"), [("median", 1), ("worst", 3)])
def test_the_median_and_the_worst_trial_are_found(epochs, reconstruction, which, trial):
    figure = viz.plot_reconstruction(epochs, reconstruction, which, ["C3"], show=False)
    assert figure.axes[0].get_title() == f"Trial {trial} ({which} error)"
    drawn = figure.axes[0].get_lines()[1].get_ydata()
    np.testing.assert_allclose(drawn, 1e6 * reconstruction.get_data(picks="C3")[trial, 0])


def test_trials_that_were_not_loaded_are_drawn(epochs):
    raw = mne.io.RawArray(epochs.get_data(item=0)[0], epochs.info, verbose=False)
    lazy = mne.make_fixed_length_epochs(raw, 2.0, preload=False, verbose=False)
    loaded = lazy.copy().load_data()
    figure = viz.plot_reconstruction(lazy, loaded, channels=["C3"], show=False)
    assert figure.axes[0].texts[0].get_text() == "r = 1.00"


def test_by_default_channels_of_the_reconstruction_are_shown(epochs, reconstruction):
    figure = viz.plot_reconstruction(epochs, reconstruction, show=False)
    labels = [ax.get_ylabel() for ax in figure.axes[::3]]
    assert len(labels) == 4
    assert "Fp1\n(µV)" not in labels


def test_a_constant_channel_has_no_correlation(epochs):
    flat = mne.EpochsArray(np.zeros((4, 19, 800)), epochs.info, verbose=False)
    figure = viz.plot_reconstruction(epochs, flat, channels=["C3"], show=False)
    assert not figure.axes[0].texts
    assert figure.axes[2].get_lines()[1].get_ydata() == pytest.approx([100] * 5)
    figure = viz.plot_reconstruction(flat, flat, 0, "C3", show=False)
    assert figure.axes[2].get_xlim() == (-0.5, 4.5)


def test_muscles_have_fast_spectra_and_pulses_no_volts():
    info = mne.create_info(["arm", "PLETH"], 1000.0, ["emg", "misc"])
    data = np.random.default_rng(0).standard_normal((1, 2, 2000)) * [[1e-5], [0.1]]
    trials = mne.EpochsArray(data, info, verbose=False)
    figure = viz.plot_reconstruction(trials, trials, show=False)
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert labels == ["arm\n(µV)", "µV²/Hz", "error (%)", "PLETH\n(AU)", "AU²/Hz", "error (%)"]
    assert [ax.get_xlim()[1] for ax in figure.axes[1::3]] == [400, 15]
    assert [len(ax.get_lines()[1].get_xdata()) for ax in figure.axes[2::3]] == [
        4,
        3,
    ]  # bands of muscles, of pulses
    arm, pulse = (ax.get_lines()[0].get_ydata() for ax in figure.axes[::3])
    np.testing.assert_allclose([arm, pulse], [1e6 * data[0, 0], data[0, 1]])


def test_short_trials_have_the_bands_that_they_hold(epochs):
    short = epochs.copy().crop(0, 0.145)  # 30 samples of 200 Hz: a frequency each 6.7 Hz
    figure = viz.plot_reconstruction(short, short, 0, ["C3"], show=False)
    names = [label.get_text() for label in figure.axes[2].get_xticklabels()]
    assert names == ["theta", "beta", "gamma"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trial": 4}, "trial=4 does not exist: there are 4"),
        ({"trial": "best"}, "trial must be a number, 'median' or 'worst', got 'best'"),
        ({"channels": ["Fp1"]}, r"not \['Fp1'\]"),
        ({"channels": []}, "not none"),
        ({"channels": "C33"}, r"not \['C33'\]"),
    ],
)
def test_what_cannot_be_shown_is_named(epochs, reconstruction, change, message):
    with pytest.raises(ValueError, match=message):
        viz.plot_reconstruction(epochs, reconstruction, **change, show=False)


def test_other_trials_are_no_reconstruction(epochs, reconstruction):
    with pytest.raises(ValueError, match="must be the same trials"):
        viz.plot_reconstruction(epochs, reconstruction[:2], show=False)


def test_the_maps_are_medians_over_trials_with_one_scale_of_colours(epochs, reconstruction):
    quality = reconstruction_quality(epochs, reconstruction, bands={"alpha": (8, 13)})
    figure = viz.plot_error_topomap(quality, reconstruction.info, show=False)
    everything, alpha, bar = figure.axes
    errors = [100 * np.median(e, axis=0) for e in (quality.error, quality.bands["alpha"].error)]
    for ax, name, values in zip((everything, alpha), ("all", "alpha"), errors, strict=True):
        assert ax.get_title() == f"{name}\n{np.median(values):.3g} %"
        assert ax.get_images()[0].get_clim() == pytest.approx((0, np.max(errors)))
    assert bar.get_ylabel() == "error (% of power)"


def test_the_error_of_a_channel_is_its_mean_square_over_the_variance(epochs, reconstruction):
    quality = reconstruction_quality(epochs, reconstruction, bands={})
    x = epochs.get_data(picks=reconstruction.ch_names)
    difference = reconstruction.get_data() - x
    np.testing.assert_allclose(quality.error, difference.var(axis=2) / x.var(axis=2), rtol=1e-9)


def test_flat_channels_and_other_channels_have_no_map(epochs, reconstruction):
    quality = reconstruction_quality(epochs, reconstruction, bands={})
    with pytest.raises(ValueError, match="info has 19 channels, but quality 18"):
        viz.plot_error_topomap(quality, epochs.info, show=False)
    flat = epochs.copy().apply_function(lambda x: 0 * x, picks=["Cz"])
    quality = reconstruction_quality(flat, epochs, bands={})
    with pytest.raises(ValueError, match=r"'Cz' is flat in every trial \(all\)"):
        viz.plot_error_topomap(quality, epochs.info, show=False)


def test_one_electrode_has_no_map(epochs):
    one = epochs.copy().pick(["C3"])
    quality = reconstruction_quality(one, one, bands={})
    with pytest.raises(ValueError, match="needs two electrodes or more, got C3"):
        viz.plot_error_topomap(quality, one.info, show=False)


def test_only_the_head_has_maps():
    info = mne.create_info(["II", "V1"], 200.0, "ecg")
    hearts = mne.EpochsArray(np.random.default_rng(0).standard_normal((2, 2, 400)), info)
    quality = reconstruction_quality(hearts, hearts, bands={})
    with pytest.raises(ValueError, match=r"'II' has no place on the scalp.*Only EEG has maps"):
        viz.plot_error_topomap(quality, info, show=False)


@pytest.fixture(scope="module")
def curve(model, tokens, epochs):
    from mne_neurorvq.signals import set_reference

    return rate_distortion(model, tokens, set_reference(epochs, model.reference_))


def test_models_and_bounds_share_an_axis_in_distinct_colours(curve):
    bits = curve.bits_per_second
    curves = {"model": curve, "twin": curve, "bound": (bits, [0.5, 0.25])}
    ax = viz.plot_rate_distortion(curves, show=False).axes[0]
    model, twin, bound = ax.get_lines()
    np.testing.assert_array_equal(model.get_xdata(), bits)
    np.testing.assert_allclose(model.get_ydata(), 100 * curve.summary()["nmse"])
    np.testing.assert_allclose(bound.get_ydata(), [50, 25])
    assert len({line.get_color() for line in (model, twin, bound)}) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["model", "twin", "bound"]
    assert [text.get_text() for text in ax.texts] == ["1", "2"] * 2  # levels
    assert ax.get_xlabel() == "bits per second and channel"
    assert ax.get_ylabel() == "error (% of power)"


@pytest.mark.parametrize(
    ("measure", "label"),
    [
        ("r_alpha", "correlation in alpha"),
        ("nmse_beta", "error in beta (% of power)"),
        ("si_sdr", "SI-SDR (dB)"),
        ("gain", "gain (1 is perfect)"),
    ],
)
def test_any_measure_can_be_drawn_with_its_unit(curve, measure, label):
    ax = viz.plot_rate_distortion(curve, measure, show=False).axes[0]
    assert ax.get_ylabel() == label
    assert ax.get_legend() is None


def test_measures_and_curves_that_do_not_exist_are_named(curve):
    with pytest.raises(ValueError, match="measure='nmse_mu' must be one of z_mse, r,"):
        viz.plot_rate_distortion(curve, "nmse_mu", show=False)
    with pytest.raises(ValueError, match="nothing to plot"):
        viz.plot_rate_distortion({}, show=False)


def test_axes_of_another_shape_are_refused(epochs, reconstruction):
    _, axes = plt.subplots(1, 2, squeeze=False)
    with pytest.raises(ValueError, match=r"axes must have shape \(4, 3\), got \(1, 2\)"):
        viz.plot_reconstruction(epochs, reconstruction, axes=axes, show=False)
