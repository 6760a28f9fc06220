# License: BSD-3-Clause
"""The filters that belong to the name, or the path, of a model."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mne_neurorvq import list_pretrained, preprocess, signals
from mne_neurorvq.encoding.preprocessing import find_preprocessing, preprocessing_of
from mne_neurorvq.models import BIOCODEC_EEG, NEURORVQ_EEG
from mne_neurorvq.signals.filtering import filter_recording
from mne_neurorvq.weights import save_pretrained


@pytest.fixture
def raw():
    info = mne.create_info(["C3", "C4", "TRIG"], 250.0, ["eeg", "eeg", "stim"])
    data = 5e-5 * np.random.default_rng(0).standard_normal((3, 2500))
    return mne.io.RawArray(data, info, verbose="error")


@pytest.mark.parametrize("name", ["neurorvq-eeg-small", "neurorvq-eeg", "neurorvq-eeg-tiny-random"])
@pytest.mark.parametrize("average_reference", [False, True])
def test_a_name_stands_for_the_filters_of_its_modality(raw, name, average_reference):
    before = raw.get_data()
    found = preprocess(raw, name, average_reference=average_reference)
    expected = filter_recording(
        raw, signals.NEURORVQ_EEG_PREPROCESSING, average_reference=average_reference
    )
    assert_array_equal(found.get_data(), expected.get_data())
    assert not np.allclose(found.get_data("eeg"), before[:2])
    assert_array_equal(raw.get_data(), before)


def test_the_bundled_model_is_meant_if_none_is_named(raw):
    assert_array_equal(preprocess(raw).get_data(), preprocess(raw, "neurorvq-eeg").get_data())


def test_a_path_serves_too(raw, tiny, tmp_path):
    folder = save_pretrained(tmp_path / "model", tiny.tokenizer)
    expected = preprocess(raw).get_data()
    assert_array_equal(preprocess(raw, folder).get_data(), expected)
    assert_array_equal(preprocess(raw, str(folder)).get_data(), expected)


def test_each_system_has_its_own_filters(raw):
    found = preprocess(raw, "biocodec-eeg-tiny-random")
    expected = filter_recording(raw, signals.BIOCODEC_EEG_PREPROCESSING)
    assert_array_equal(found.get_data(), expected.get_data())
    assert (found.info["highpass"], found.info["lowpass"]) == (0.5, 100.0)
    assert preprocessing_of(BIOCODEC_EEG) == signals.BIOCODEC_EEG_PREPROCESSING
    assert preprocessing_of(NEURORVQ_EEG) == signals.NEURORVQ_EEG_PREPROCESSING


def test_a_registered_model_has_the_filters_of_its_configuration():
    for entry in list_pretrained():
        if entry.bundled:
            assert preprocessing_of(entry) == preprocessing_of(entry.config)


def test_a_modality_that_a_system_lacks_is_named():
    with pytest.raises(NotImplementedError, match=r"ppg.*BioCodec, only eeg, emg"):
        find_preprocessing("biocodec", "ppg")


def test_a_name_that_is_none_is_refused(raw):
    with pytest.raises(ValueError, match=r"neurorvq-eeg-smal.*Did you mean"):
        preprocess(raw, "neurorvq-eeg-smal")
