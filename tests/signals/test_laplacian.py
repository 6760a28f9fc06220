# License: BSD-3-Clause
"""The surface Laplacian as a matrix."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from mne_neurorvq.signals import laplacian_matrix
from mne_neurorvq.signals.sites import template_positions

NAMES = "fp1 fp2 f7 f3 fz f4 f8 t7 c3 cz c4 t8 p7 p3 pz p4 p8 o1 o2".split()


def test_it_is_what_mne_computes():
    info = mne.create_info(NAMES, 100.0, "eeg")
    places = {name: template_positions()[0][name] for name in NAMES}
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    data = np.random.default_rng(0).standard_normal((19, 50))
    raw = mne.io.RawArray(data, info, verbose="error")
    wanted = mne.preprocessing.compute_current_source_density(raw, verbose="error")
    np.testing.assert_allclose(laplacian_matrix(NAMES) @ data, wanted.get_data(), rtol=1e-6)


def test_the_reference_does_not_matter():
    data = np.random.default_rng(0).standard_normal((19, 50))
    matrix = laplacian_matrix(NAMES)
    np.testing.assert_allclose(matrix @ (data - data[3]), matrix @ data, rtol=1e-6, atol=1e-6)


def test_channels_without_a_position_have_none_and_change_nothing():
    matrix = laplacian_matrix([*NAMES[:4], "eog", *NAMES[4:]])
    assert np.isnan(matrix[4]).all()
    known = np.delete(np.delete(matrix, 4, axis=0), 4, axis=1)
    np.testing.assert_array_equal(known, laplacian_matrix(NAMES))
    np.testing.assert_array_equal(np.delete(matrix, 4, axis=0)[:, 4], 0)


@pytest.mark.parametrize("names", [[], ["cz"], NAMES[:15], ["ecg", "emg"]])
def test_too_few_electrodes_have_no_laplacian(names):
    matrix = laplacian_matrix(names)
    assert matrix.shape == (len(names), len(names))
    assert np.isnan(matrix).all()
