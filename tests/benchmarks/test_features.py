# License: BSD-3-Clause
"""What is compared: band power checked against known signals, and the features side by side."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.analysis import BANDS
from mne_neurorvq.benchmarks import band_power, representations, untrained_twin
from mne_neurorvq.datasets import simulate_epochs
from mne_neurorvq.signals import set_reference

TINY = "neurorvq-eeg-tiny-random"


def _sine(frequency, amplitude, sfreq=200.0, n_times=800):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(n_times) / sfreq)


@pytest.mark.parametrize(
    ("band", "frequency"),
    [("delta", 2.25), ("theta", 6.0), ("alpha", 10.5), ("beta", 21.0), ("gamma", 37.0)],
)
def test_band_power_of_a_sine_is_half_its_squared_amplitude(band, frequency):
    floor = 1e-3 * np.random.default_rng(0).standard_normal(800)
    power = 10 ** band_power((_sine(frequency, 20.0) + floor)[None, None], sfreq=200.0)[0, 0]
    column = list(BANDS).index(band)
    low, high = BANDS[band]
    n_bins = np.sum((np.arange(0, 100, 0.5) >= low) & (np.arange(0, 100, 0.5) < high))
    # Density times bandwidth, the bins being 0.5 Hz apart.
    assert power[column] * n_bins * 0.5 == pytest.approx(20.0**2 / 2, rel=0.01)
    assert np.delete(power, column).max() < 1e-3 * power[column]


def test_band_power_of_white_noise_is_its_density():
    noise = np.random.default_rng(0).normal(scale=3.0, size=(40, 2, 4000))
    power = 10 ** band_power(noise, sfreq=200.0)
    # Variance spread over 0 to 100 Hz.
    np.testing.assert_allclose(power.mean(axis=(0, 1)), 9 / 100, rtol=0.05)


@pytest.fixture(scope="module")
def epochs():
    return simulate_epochs(n_subjects=2, n_trials=4, verbose=False)


def test_epochs_in_volts_and_arrays_in_microvolts_have_the_same_band_power(epochs):
    array = 1e6 * epochs.get_data()
    np.testing.assert_allclose(band_power(epochs), band_power(array, sfreq=200.0), rtol=1e-9)


def test_bad_channels_and_those_of_other_types_have_no_band_power(epochs):
    marked = epochs.copy()
    marked.info["bads"] = ["Fp1"]
    marked.set_channel_types({"Cz": "eog"}, verbose=False)
    kept = [name for name in epochs.ch_names if name not in ("Fp1", "Cz")]
    np.testing.assert_array_equal(band_power(marked), band_power(epochs, picks=kept))


def test_epochs_that_are_not_in_memory_are_read_in_batches(tmp_path):
    raw = mne.io.RawArray(
        1e-5 * np.random.default_rng(0).standard_normal((2, 28000)),
        mne.create_info(["C3", "C4"], 200.0, "eeg"),
        verbose=False,
    )
    raw.save(tmp_path / "x_raw.fif", verbose=False)
    on_disk = mne.make_fixed_length_epochs(
        mne.io.read_raw(tmp_path / "x_raw.fif", verbose=False), 2.0, verbose=False
    )
    powers = band_power(on_disk)
    assert len(powers) == 70, "more than one batch"
    alone = band_power(1e6 * on_disk.get_data(verbose=False)[66:67], sfreq=200.0)
    np.testing.assert_allclose(powers[66:67], alone, rtol=1e-6)


def test_a_flat_channel_is_named(epochs):
    array = 1e6 * epochs.get_data()
    array[3, 2] = 0
    with pytest.raises(ValueError, match="trial 3, channel '2' has no power in the band 'delta'"):
        band_power(array, sfreq=200.0)


def test_samples_that_are_not_finite_are_named(epochs):
    array = 1e6 * np.concatenate([epochs.get_data()] * 9)
    array[70, 5, 100] = np.nan
    with pytest.raises(ValueError, match="Trial 70, channel '5' contains NaN"):
        band_power(array, sfreq=200.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trials": np.ones((1, 1, 800))}, "pass sfreq="),
        ({"trials": np.ones((1, 800)), "sfreq": 200.0}, r"shape \(n_trials, n_channels, n_times\)"),
        ({"trials": np.ones((0, 1, 800)), "sfreq": 200.0}, "0 sample"),
        ({"trials": np.ones((1, 1, 800)), "sfreq": 50.0}, "band 'gamma' from 30 to 44.5 Hz"),
    ],
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        band_power(**arguments)


def test_a_channel_type_that_is_absent_is_named(epochs):
    with pytest.raises(ValueError, match="no good channel of picks='emg'"):
        band_power(epochs, picks="emg")


def test_all_features_are_of_the_same_trials_and_channels(epochs):
    some = epochs.copy()
    some.info["bads"] = ["O1"]
    with pytest.warns(UserWarning, match="O1"):
        features = representations(some, TINY)
    assert {len(values) for values in features.values()} == {len(epochs)}
    n_channels = len(epochs.ch_names) - 1
    assert features["band power per channel"].shape[1] == n_channels * len(BANDS)
    per_channel = features["band power per channel"].reshape(len(epochs), n_channels, -1)
    np.testing.assert_allclose(features["band power"], per_channel.mean(axis=1))


def test_the_embedding_is_that_of_the_transformer(epochs):
    expected = NeuroRVQTransformer(TINY).fit_transform(epochs)
    np.testing.assert_array_equal(representations(epochs, TINY)["embedding"], expected)


def test_the_twin_is_the_untrained_model(epochs):
    features = representations(epochs, "neurorvq-eeg-small")
    expected = NeuroRVQTransformer("neurorvq-eeg-small-random").fit_transform(epochs)
    np.testing.assert_array_equal(features["untrained twin"], expected)
    assert not np.allclose(features["embedding"], expected, atol=0.1)
    numbers = NeuroRVQTransformer(output="physiology").fit_transform(epochs)
    np.testing.assert_array_equal(features["physiology"], numbers)
    power = band_power(set_reference(epochs, "average"))  # as the model is given them
    np.testing.assert_array_equal(features["band power per channel"], power.reshape(len(power), -1))


def test_only_models_with_a_registered_twin_have_one():
    assert untrained_twin("neurorvq-eeg-small") == "neurorvq-eeg-small-random"
    assert untrained_twin(TINY) is None
    assert untrained_twin("/some/folder") is None
