# License: BSD-3-Clause
"""Splines: sites that no electrode has are computed from those around them."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq.datasets.simulation import TEN_TWENTY
from mne_neurorvq.models import BRAINRVQ_EEG, NEURORVQ_EEG
from mne_neurorvq.signals import as_trials, match_channels
from mne_neurorvq.signals.channels import match_and_interpolate
from mne_neurorvq.signals.sites import fit_sphere, template_positions
from mne_neurorvq.signals.splines import with_sites
from mne_neurorvq.signals.trials import electrode_positions


def cap(name: str) -> mne.Info:
    montage = mne.channels.make_standard_montage(name)
    return mne.create_info(montage.ch_names, 100.0, "eeg").set_montage(montage)


def interpolated(info: mne.Info, vocabulary=NEURORVQ_EEG.channels, bads=()):
    return match_and_interpolate(
        info.ch_names,
        vocabulary,
        mode="interpolate",
        positions=electrode_positions(info),
        ch_types=info.get_channel_types(),
        bads=bads,
    )


@pytest.mark.parametrize("vocabulary", [NEURORVQ_EEG.channels, BRAINRVQ_EEG.channels])
def test_a_cap_of_labels_gives_the_sites_of_the_10_10_system(vocabulary):
    report, splines = interpolated(cap("biosemi128"), vocabulary)
    sites = [match.target for match in report if match.how == "spline"]
    assert {"fp1", "f7", "cz", "po8", "iz", "cpz"} <= set(sites)
    assert len(sites) == len(splines.sites) == 62
    assert {match.how for match in report[:128]} == {"source"}
    assert splines.sites[:4] == ("Fp1", "Fpz", "Fp2", "AF7")
    assert_allclose(splines.weights.sum(axis=1), 1)


def test_fewer_electrodes_give_the_10_20_system():
    report, splines = interpolated(cap("easycap-M10"))
    assert {match.target for match in report if match.used} <= set(
        "fp1 fpz fp2 f7 f3 fz f4 f8 t7 c3 cz c4 t8 p7 p3 pz p4 p8 o1 oz o2".split()
    )
    assert len(splines.sites) > 18


def test_a_smooth_field_is_computed_well():
    info = cap("biosemi128")
    _, splines = interpolated(info)
    positions = electrode_positions(info)
    centred = positions - positions.mean(axis=0) * [1, 1, 0]

    def field(where):
        unit = where / np.linalg.norm(where, axis=1, keepdims=True)
        return unit @ [1.0, -0.5, 0.3] + unit[:, 0] * unit[:, 2]

    source = field(centred[list(splines.sources)])
    expected = field(splines.positions - splines.positions.mean(axis=0) * [1, 1, 0])
    assert np.corrcoef(splines.weights @ source, expected)[0, 1] > 0.98


@pytest.mark.skipif(
    len(template_positions()) < 2, reason="MNE moved only the electrodes by the origin before 1.13"
)
def test_it_is_what_mne_computes():
    info = cap("brainproducts-RNP-BA-128")
    names = [name for name in info.ch_names if name not in ("C3", "Pz", "F4")]
    data = np.random.default_rng(0).standard_normal((len(names), 50))
    raw = mne.io.RawArray(data, mne.create_info(names, 100.0, "eeg"), verbose=False)
    sites = template_positions()[0]
    raw.set_montage(mne.channels.make_dig_montage(
        {name: sites[name.lower()] for name in names if name.lower() in sites}, coord_frame="head"
    ), on_missing="ignore")  # fmt: skip
    raw.pick([name for name in names if name.lower() in sites])
    _, splines = interpolated(raw.info)
    assert set(splines.sites) == {"C3", "Pz", "F4"}
    wanted = mne.channels.make_dig_montage(
        {site: sites[site.lower()] for site in splines.sites}, coord_frame="head"
    )
    centre, _ = fit_sphere(np.array(list(sites.values())))
    expected = raw.copy().interpolate_to(wanted, origin=centre, method="spline").get_data()
    found = splines.weights @ raw.get_data()[list(splines.sources)]
    assert_allclose(found, expected, atol=1e-6)


def test_a_bad_channel_is_replaced_and_named_channels_stay():
    info = cap("biosemi64")
    report, splines = interpolated(info, bads=["Cz"])
    assert splines.sites == ("Cz",)
    assert report[info.ch_names.index("Cz")].how == "replaced"
    assert [match.name for match in report if match.left_out] == []
    assert sum(match.how == "exact" for match in report) == 63
    data = 1e-5 * np.random.default_rng(0).standard_normal((3, 64, 200))
    data[:, info.ch_names.index("Cz")] = np.nan
    trials = as_trials(mne.EpochsArray(data, info, verbose=False))
    all_channels = with_sites(trials, splines)
    assert all_channels.ch_names == (*info.ch_names, "Cz")
    read = all_channels.read(1, 3, picks=[64, 2])
    assert_array_equal(read[:, 1], data[1:, 2])
    assert_allclose(read[:, 0], splines.weights[0] @ data[1:, list(splines.sources)])
    assert with_sites(trials, None) is trials


def test_a_bad_channel_of_a_cap_of_32_is_computed_one_of_19_has_no_neighbours():
    info = cap("biosemi32")
    _, splines = interpolated(info, bads=["Cz", "P3"])
    assert splines.sites == ("Cz", "P3")
    with pytest.warns(UserWarning, match=r"'Cz' \(marked bad\)"):
        _, splines = interpolated(mne.create_info(TEN_TWENTY, 100.0, "eeg"), bads=["Cz"])
    assert splines is None


def test_an_electrode_that_is_not_finite_is_named_itself():
    info = cap("biosemi128")
    _, splines = interpolated(info)
    data = np.zeros((2, 128, 50))
    data[1, 5] = np.nan
    trials = with_sites(as_trials(mne.EpochsArray(data, info, verbose=False)), splines)
    with pytest.raises(ValueError, match="Trial 1, channel 'A6' contains NaN"):
        trials.read(picks=[128, 130])


def test_what_electrodes_do_not_cover_is_not_computed():
    info = cap("biosemi128")
    front = [i for i, p in enumerate(electrode_positions(info)) if p[1] > 0.03]
    _, splines = interpolated(mne.pick_info(info, front))
    assert {"Fp1", "Fz", "F3"} <= set(splines.sites)
    assert not {"Pz", "O1", "Oz", "Cz", "P3"} & set(splines.sites)


def test_too_few_electrodes_or_none_with_positions_are_reported():
    info = cap("biosemi128")
    few = mne.pick_info(info, range(0, 128, 20))
    assert len(few.ch_names) == 7
    with pytest.raises(ValueError, match="splines need 8 electrodes with positions, here are 7"):
        interpolated(few)
    with pytest.raises(ValueError, match=r"channels='interpolate' goes by the positions.*set_mont"):
        match_channels(["E1", "E2"], NEURORVQ_EEG.channels, mode="interpolate")
    with pytest.raises(ValueError, match=r"channels='nearest' goes by the positions.*set_montage"):
        match_channels(["E1", "E2"], NEURORVQ_EEG.channels, mode="nearest")
