# License: BSD-3-Clause
"""Figures of codes show what was counted."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from mne_neurorvq import BioCodecTransformer, NeuroRVQTransformer, preprocess, viz
from mne_neurorvq.analysis import code_rates, code_usage, code_waveforms
from mne_neurorvq.datasets import epochs_from_recordings, simulate_recordings


def _shades(figure, ax, shape):
    figure.canvas.draw()
    colours = ax.collections[0].get_facecolors()
    return np.array([to_hex(colour) for colour in colours]).reshape(shape)


def test_equal_codes_have_equal_colours_and_single_ones_none_of_their_own(tokens):
    codes = tokens.codes.copy()
    codes[1, :, :, 3, 1] = np.arange(19 * 4).reshape(19, 4) + 20
    codes[1, :2, :, 3, 1] = 7  # eight times
    codes[1, 5, :2, 3, 1] = 9
    changed = replace(tokens, codes=codes, n_codes=100)
    figure = viz.plot_tokens(changed, 1, codebooks=3, levels=1, show=False)
    (ax,) = figure.axes
    shades = _shades(figure, ax, (19, 4))
    assert set(shades[:2].ravel()) == {to_hex("#0072B2")}
    assert set(shades[5, :2]) == {to_hex("#D55E00")}
    assert np.unique(np.concatenate([shades[2:5].ravel(), shades[5, 2:]])).tolist() == [
        to_hex("0.92")
    ]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(tokens.ch_names)


def test_the_raster_has_a_row_for_each_level_and_time_in_seconds(tokens):
    figure = viz.plot_tokens(tokens, show=False)
    grid = np.array(figure.axes).reshape(2, 4)
    assert [ax.get_title() for ax in grid[0]] == [f"codebook {i}" for i in range(4)]
    assert [ax.get_ylabel() for ax in grid[:, 0]] == ["level 0", "level 1"]
    assert {ax.get_xlabel() for ax in grid[1]} == {"time (s)"}
    edges = grid[0, 0].collections[0].get_coordinates()[0, :, 0]
    np.testing.assert_allclose(edges, [*tokens.patch_times, 4.0])


def test_the_levels_of_one_codebook_are_drawn_in_a_column_with_few_ticks(tokens):
    column = Figure().subplots(2, 1)
    viz.plot_tokens(tokens, codebooks=0, axes=column, show=False)
    assert all(ax.has_data() and len(ax.get_xticks()) <= 5 for ax in column)


def test_axes_of_the_users_own_have_a_key_of_the_colours(tokens):
    grid = Figure().subplots(2, 4)
    viz.plot_tokens(tokens, axes=grid, show=False)
    assert [ax.get_legend() is not None for ax in grid[0]] == [False] * 3 + [True]


def test_the_key_of_the_raster_has_the_ranks_that_occur(tokens):
    one = replace(tokens, codes=np.zeros_like(tokens.codes))
    figure = viz.plot_tokens(one, show=False)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["most frequent"]


@pytest.mark.parametrize(
    "change", [{"trial": 9}, {"codebooks": [4]}, {"codebooks": []}, {"levels": -1}]
)
def test_codes_that_do_not_exist_are_named(tokens, change):
    with pytest.raises(ValueError, match=next(iter(change))):
        viz.plot_tokens(tokens, **change, show=False)


@pytest.mark.parametrize("counted", [True, False])
def test_the_use_of_codes_is_drawn_in_percent(tokens, counted):
    usage = code_usage(tokens.codes, tokens.n_codes)
    figure = viz.plot_codebook_usage(usage if counted else tokens, show=False)
    for ax, values in zip(figure.axes, (usage.used, usage.normalized_entropy), strict=True):
        drawn = [line.get_ydata() for line in ax.get_lines()]
        np.testing.assert_allclose(drawn, 100 * values)


def test_a_map_shows_the_share_of_patches_with_the_code(tokens, epochs):
    codes = tokens.codes.copy()
    codes[..., 2, 1] = np.arange(19)[None, :, None] % 4 == 0  # code 1 on every fourth channel
    tokens = replace(tokens, codes=codes)
    figure = viz.plot_code_topomap(tokens, epochs.info, 1, codebook=2, level=1, show=False)
    ax, bar = figure.axes
    assert ax.get_title() == f"code 1\n{500 / 19:.2g} %"
    image = ax.get_images()[0]
    assert image.get_clim() == (0, 100)
    assert bar.get_ylabel() == "patches with the code (%)"
    np.testing.assert_array_equal(code_rates(tokens, 2, 1)[:, 1], np.arange(19) % 4 == 0)


def test_names_have_places_where_there_is_no_info(tokens, epochs):
    figures = [viz.plot_code_topomap(tokens, info, 0, show=False) for info in (epochs.info, None)]
    maps = [figure.axes[0].get_images()[0].get_array() for figure in figures]
    np.testing.assert_allclose(*maps, atol=0.2 * np.ptp(maps[0]))


def test_the_most_frequent_codes_come_first(tokens):
    figure = viz.plot_code_topomap(tokens, show=False)
    counts = code_usage(tokens).counts[0, 0]
    named = [int(ax.get_title().split()[1]) for ax in figure.axes[:-1]]
    assert counts[named].tolist() == sorted(counts, reverse=True)[:4]


def test_waveforms_are_means_of_the_patches_with_the_code(tokens, epochs):
    codes = tokens.codes.copy()
    codes[..., 0, 0] = 3
    codes[0, 2, 1, 0, 0], codes[3, 5, 3, 0, 0] = 5, 5
    tokens = replace(tokens, codes=codes)
    figure = viz.plot_code_waveforms(tokens, epochs, [5], show=False)
    (ax,) = figure.axes
    data = 1e6 * epochs.get_data(picks=list(tokens.ch_names))
    pair = data[0, 2, 200:400], data[3, 5, 600:]
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), np.mean(pair, axis=0))
    np.testing.assert_allclose(ax.get_lines()[0].get_xdata(), np.arange(200) / 200)
    assert ax.get_title() == "code 5\nn = 2"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time in the patch (s)", "mean signal (µV)")


@pytest.mark.parametrize(("codes", "message"), [([], "not none"), ([15, 999], r"not \[999\]")])
def test_codes_that_do_not_occur_have_no_waveform(tokens, epochs, codes, message):
    tokens = replace(tokens, codes=np.full_like(tokens.codes, 15), n_codes=1000)
    with pytest.raises(ValueError, match=message):
        code_waveforms(tokens, epochs, codes)


@pytest.mark.parametrize("where", [{"codebook": 4}, {"level": 2}, {"level": -1}])
def test_codebooks_and_levels_that_do_not_exist_are_named(tokens, where):
    with pytest.raises(ValueError, match=next(iter(where))):
        code_rates(tokens, **where)


@pytest.mark.parametrize(
    ("modality", "kind", "unit"),
    [("ecg", "ecg", "mV"), ("emg", "emg", "µV"), ("ppg", "misc", "AU")],
)
def test_hearts_and_muscles_have_all_figures_but_maps(modality, kind, unit):
    name = f"neurorvq-{modality}-tiny-random"
    (raw,) = simulate_recordings(1, 2, modality=modality, verbose=False)
    filtered = preprocess(raw, name)
    trials = epochs_from_recordings([filtered], tmin=0.0, tmax=1.99, picks=kind)
    model = NeuroRVQTransformer(name, output="tokens", verbose=False).fit(trials)
    tokens = model.tokenize(trials)
    viz.plot_tokens(tokens, show=False)
    figure = viz.plot_code_waveforms(tokens, model.detokenize(tokens), show=False)
    assert figure.axes[0].get_ylabel() == f"mean signal ({unit})"
    with pytest.raises(ValueError, match="has no place on the scalp"):
        viz.plot_code_topomap(tokens, trials.info, show=False)


def test_a_report_of_mne_holds_the_figures(model, epochs):
    report = mne.Report(verbose=False)
    viz.add_to_report(report, model, epochs, section="Codes", tags=("codes",))
    assert [element.name for element in report._content] == [
        "Channels",
        "Reconstruction: median trial",
        "Reconstruction: worst trial",
        "Tokens: median trial",
        "Use of the codebooks",
        "What codes stand for",
        "Error over the scalp",
        "Where codes occur",
    ]
    assert {element.section for element in report._content} == {"Codes"}
    assert not plt.get_fignums()


@pytest.mark.filterwarnings("ignore:The Epochs were filtered")
@pytest.mark.parametrize(("name", "first"), [("C3", ["Channels"]), ("E0", [])])
def test_a_report_without_two_places_has_the_figures_that_need_none(epochs, name, first):
    one = epochs.copy().pick(["C3"]).set_montage(None).rename_channels({"C3": name})
    model = BioCodecTransformer("biocodec-eeg-tiny-random", reference="recorded", verbose=False)
    report = mne.Report(verbose=False)
    viz.add_to_report(report, model.fit(one), one)
    assert [element.name for element in report._content] == [
        *first,
        "Reconstruction: median trial",
        "Reconstruction: worst trial",
        "Tokens: median trial",
        "Use of the codebooks",
        "What codes stand for",
    ]
