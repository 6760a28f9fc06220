# License: BSD-3-Clause
"""Corpora of systems without a vocabulary."""

from __future__ import annotations

import numpy as np
import pytest

from mne_neurorvq.models import BIOCODEC_EEG
from mne_neurorvq.signals import BIOCODEC_EEG_PREPROCESSING, resample
from mne_neurorvq.signals.filtering import filter_recording
from mne_neurorvq.training import CorpusDataset, prepare_corpus

# Two names that no vocabulary has, an eye electrode, and a heart that an EDF reader calls EEG.
NAMES = ["Cz", "left-ear", "X7", "HEOG", "ECG ECG", "Oz"]


def _windows(corpus):
    return list(CorpusDataset(corpus, "train"))


@pytest.fixture
def raw(make_raw):
    raw = make_raw(13.5, names=NAMES, sfreq=160.0)
    raw._data += np.sin(2 * np.pi * 70 * raw.times) * 1e-5
    raw.set_channel_types({"HEOG": "eog"})
    raw.info["bads"] = ["Oz"]
    return raw


def test_every_good_channel_of_the_modality_is_in_the_corpus(raw, save, tmp_path):
    save(raw, tmp_path / "a_raw.fif")
    summary = prepare_corpus([tmp_path], tmp_path / "out", system="biocodec", window=6)
    assert summary["channels"]["names"] == ["Cz", "X7", "left-ear"]
    assert summary["rejected"]["channels"] == {"marked bad": 1, "no match": 2}
    windows = _windows(tmp_path / "out")
    # Seconds, not patches of the model: the last one and a half are no window.
    assert [w.data.shape for w in windows] == [(3, 1500)] * 2
    assert all(len(set(w.rows.tolist())) == 3 for w in windows)


def test_windows_are_microvolts_after_the_filters_of_the_system(raw, save, tmp_path):
    save(raw, tmp_path / "a_raw.fif")
    prepare_corpus([tmp_path], tmp_path / "out", system="biocodec", window=6)
    joined = np.concatenate([w.data for w in _windows(tmp_path / "out")], axis=1)
    filtered = filter_recording(
        raw.copy().pick(["Cz", "left-ear", "X7"]), BIOCODEC_EEG_PREPROCESSING
    )
    wanted = 1e6 * resample(filtered.get_data(), 160.0, BIOCODEC_EEG.sfreq)
    np.testing.assert_allclose(joined, wanted[:, :3000], atol=0.0251)
    # NeuroRVQ's filters end at 44.5 Hz.
    spectrum = np.abs(np.fft.rfft(joined))
    assert spectrum[:, 70 * 12].min() > 20 * np.median(spectrum)
    index = CorpusDataset(tmp_path / "out", "train").index
    assert (index["unit"], index["sfreq"], index["patch_size"]) == ("uV", 250.0, 250)
    assert index["step"] == pytest.approx(0.05)


def test_without_a_clip_in_the_filters_the_corpus_has_its_own(make_raw, save, tmp_path):
    raw = make_raw(36.0)
    raw._data[2, 1300:1305] += 5e-3
    save(raw, tmp_path / "a_raw.fif")
    raw._data[:, 3000:3200] += 5e-3 * np.sin(2 * np.pi * 20 * np.arange(200) / 200)
    save(raw, tmp_path / "b" / "b_raw.fif")
    summary = prepare_corpus([tmp_path], tmp_path / "out", system="biocodec", window=6)
    assert summary["rejected"]["windows"] == {"clipped": 1}
    peaks = {np.abs(w.data).max() for w in _windows(tmp_path / "out")}
    assert 900 < max(peaks) <= 1000


def test_limits_are_the_same_in_another_unit(make_raw, save, tmp_path):
    raw = make_raw(names=["Cz", "Pz", "Oz"], volts=3e-6)
    raw._data[1] *= 1e-2
    save(raw, tmp_path / "a_raw.fif")
    for system, unit in (("neurorvq", 1.0), ("brainrvq", 100.0)):
        out = tmp_path / system
        summary = prepare_corpus([tmp_path / "a_raw.fif"], out, system=system, window=6)
        assert summary["rejected"]["channels"] == {"flat": 1}
        (first, *_) = _windows(out)
        assert 2 < unit * first.data.std() < 8


def test_nothing_of_the_modality_is_said(make_raw, save, tmp_path):
    raw = make_raw(names=["ECG", "EMG 1"])
    save(raw, tmp_path / "a_raw.fif")
    with pytest.raises(ValueError, match="None of the 2 channels"):
        prepare_corpus([tmp_path], tmp_path / "out", system="biocodec")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(system="encodec"), ValueError, "system='encodec' is none of neurorvq, biocodec"),
        (dict(system="biocodec", modality="ecg"), NotImplementedError, "ecg"),
        (dict(system="biocodec", window=1.2), ValueError, r"multiple of the patch \(1 s\)"),
    ],
)
def test_what_cannot_be_prepared_is_named(folder, tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        prepare_corpus([folder], tmp_path / "out", **arguments)


def test_a_corpus_is_for_one_system(folder, corpus):
    with pytest.raises(ValueError, match="system: 'neurorvq', now 'biocodec'"):
        prepare_corpus(
            [folder], corpus, system="biocodec", window=6, validation_subjects=["person2"]
        )
