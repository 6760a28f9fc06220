# License: BSD-3-Clause
"""Measures against plain loops, and what becomes of signals for which they are not defined."""

from __future__ import annotations

import math
from typing import Any

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from mne_neurorvq import as_array_like
from mne_neurorvq.analysis import BANDS, reconstruction_quality

SFREQ = 200.0


def signals(
    n_trials: int = 4, n_channels: int = 3, n_times: int = 800, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Random walks with offsets, in volts, and a damped, noisy, shifted copy."""
    rng = np.random.default_rng(seed)
    original = rng.normal(size=(n_trials, n_channels, n_times)).cumsum(axis=-1)
    original += rng.normal(size=original.shape)
    original *= rng.uniform(1e-6, 5e-6, (n_trials, n_channels, 1))
    noise = rng.normal(scale=3e-6, size=original.shape)
    return original, 0.8 * original + noise + 1e-6


class TestAgainstLoops:
    """Each measure is what its definition says."""

    def test_z_mse_standardises_each_trial_over_channels_and_samples(self) -> None:
        original, reconstruction = signals()
        expected = []
        for x, y in zip(original, reconstruction, strict=True):
            n = x.size
            zx = [(v - x.sum() / n) / math.sqrt(((x - x.mean()) ** 2).sum() / (n - 1)) for v in x]
            zy = [(v - y.sum() / n) / math.sqrt(((y - y.mean()) ** 2).sum() / (n - 1)) for v in y]
            expected.append(sum(((a - b) ** 2).sum() for a, b in zip(zx, zy, strict=True)) / n)
        quality = reconstruction_quality(original, reconstruction, SFREQ)
        assert_allclose(quality.z_mse, expected)

    def test_nmse_is_the_error_in_volts_over_the_variance_of_the_trial(self) -> None:
        original, reconstruction = signals()
        quality = reconstruction_quality(original, reconstruction, SFREQ)
        for trial, (x, y) in enumerate(zip(original, reconstruction, strict=True)):
            squares = sum((b - a) ** 2 for a, b in zip(x.flat, y.flat, strict=True))
            assert quality.nmse[trial] == pytest.approx(squares / x.size / np.var(x))

    def test_channels_are_compared_one_by_one(self) -> None:
        original, reconstruction = signals()
        quality = reconstruction_quality(original, reconstruction, SFREQ)
        for trial, channel in np.ndindex(4, 3):
            x, y = original[trial, channel], reconstruction[trial, channel]
            slope = np.polyfit(x, y, 1)[0]
            x, y = x - x.mean(), y - y.mean()
            target = np.dot(x, y) / np.dot(x, x) * x
            ratio = np.dot(target, target) / np.dot(y - target, y - target)
            at = trial, channel
            assert quality.r[at] == pytest.approx(np.corrcoef(x, y)[0, 1])
            assert quality.si_sdr[at] == pytest.approx(10 * math.log10(ratio))
            assert quality.gain[at] == pytest.approx(np.std(y) / np.std(x))
            assert quality.slope[at] == pytest.approx(slope)

    @pytest.mark.parametrize("n_times", [800, 801])
    def test_bands_are_those_of_ideally_filtered_signals(self, n_times: int) -> None:
        bands = BANDS | {"top": (80.0, 100.0)}  # up to the Nyquist frequency
        original, reconstruction = signals(n_times=n_times)
        quality = reconstruction_quality(original, reconstruction, SFREQ, bands=bands)
        frequencies = np.fft.rfftfreq(n_times, 1 / SFREQ)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_times) / n_times)

        def filtered(signal: np.ndarray, low: float, high: float) -> np.ndarray:
            spectrum = np.fft.rfft((signal - signal.mean()) * window)
            spectrum[(frequencies < low) | (frequencies >= high)] = 0
            return np.fft.irfft(spectrum, n_times)

        for name, edges in bands.items():
            for trial in range(len(original)):
                x = np.array([filtered(s, *edges) for s in original[trial]])
                y = np.array([filtered(s, *edges) for s in reconstruction[trial]])
                r = [np.corrcoef(a, b)[0, 1] for a, b in zip(x, y, strict=True)]
                assert_allclose(quality.bands[name].r[trial], r)
                error = ((y - x) ** 2).sum() / (x**2).sum()
                assert quality.bands[name].nmse[trial] == pytest.approx(error)

    def test_summary_and_per_trial_values_are_means(self) -> None:
        quality = reconstruction_quality(*signals(), SFREQ)
        summary, per_trial = quality.summary(), quality.per_trial()
        bands = [f"{measure}_{band}" for measure in ("r", "nmse") for band in BANDS]
        assert list(summary) == ["z_mse", "r", "si_sdr", "gain", "slope", "nmse", *bands]
        assert list(per_trial) == list(summary)
        assert summary["r"] == pytest.approx(quality.r.mean())
        assert summary["nmse_beta"] == pytest.approx(quality.bands["beta"].nmse.mean())
        assert_allclose(per_trial["r_alpha"], quality.bands["alpha"].r.mean(axis=1))
        assert all(type(value) is float for value in summary.values())
        assert set(quality.n_excluded.values()) == {0}


class TestMeaning:
    """The measures see what they should, and are blind to what they should not see."""

    @given(scale=st.floats(1e-3, 1e3), offset=st.floats(-1e-4, 1e-4))
    def test_scale_invariant_measures_ignore_amplitude_which_gain_tells(
        self, scale: float, offset: float
    ) -> None:
        original, reconstruction = signals(n_trials=1)
        plain = reconstruction_quality(original, reconstruction, SFREQ)
        scaled = reconstruction_quality(original, scale * reconstruction + offset, SFREQ)
        for name in ("z_mse", "r", "si_sdr"):
            assert_allclose(getattr(scaled, name), getattr(plain, name), rtol=1e-5)
        assert_allclose(scaled.gain, scale * plain.gain, rtol=1e-5)
        assert_allclose(scaled.slope, scale * plain.slope, rtol=1e-5)

    def test_a_copy_is_perfect(self) -> None:
        original, _ = signals()
        summary = reconstruction_quality(original, original, SFREQ).summary()
        assert summary["z_mse"] == summary["nmse"] == summary["nmse_gamma"] == 0
        assert summary["r"] == pytest.approx(1)
        assert summary["gain"] == pytest.approx(1)
        assert summary["si_sdr"] == math.inf

    def test_an_error_in_one_band_is_seen_in_that_band(self) -> None:
        original, _ = signals()
        times = np.arange(800) / SFREQ
        disturbed = original + 1e-5 * np.sin(2 * np.pi * 20 * times)
        quality = reconstruction_quality(original, disturbed, SFREQ)
        errors = {name: band.nmse.mean() for name, band in quality.bands.items()}
        assert errors["beta"] > 1
        assert all(error < 1e-3 for name, error in errors.items() if name != "beta")

    def test_slow_drifts_do_not_reach_the_fast_bands(self) -> None:
        original, _ = signals()
        drift = 1e-4 * np.linspace(0, 1, 800)
        quality = reconstruction_quality(original + drift, original, SFREQ)
        assert quality.bands["gamma"].nmse.max() < 1e-3


class TestUndefined:
    """What is not defined is NaN, counted and left out, and warns nobody."""

    def test_a_constant_original_channel_is_left_out(self) -> None:
        original, reconstruction = signals()
        original[1, 2] = 3.3e-5
        quality = reconstruction_quality(original, reconstruction, SFREQ)
        for name in ("r", "si_sdr", "gain", "slope"):
            values = getattr(quality, name)
            assert np.argwhere(np.isnan(values)).tolist() == [[1, 2]]
            assert quality.n_excluded[name] == 1
            assert quality.summary()[name] == pytest.approx(np.nanmean(values))
        assert quality.n_excluded["r_alpha"] == 1
        assert quality.n_excluded["z_mse"] == quality.n_excluded["nmse_alpha"] == 0
        assert quality.per_trial()["r"][1] == pytest.approx(quality.r[1, :2].mean())

    def test_a_flat_reconstruction_has_no_correlation_and_no_gain(self) -> None:
        original, _ = signals()
        quality = reconstruction_quality(original, np.full_like(original, 1e-5), SFREQ)
        assert np.isnan(quality.r).all()
        assert np.isnan(quality.bands["beta"].r).all()
        assert (quality.gain == 0).all()
        assert (quality.slope == 0).all()
        assert_allclose(quality.bands["beta"].nmse, 1)
        assert math.isnan(quality.summary()["r"])
        assert quality.n_excluded["r"] == 12
        assert quality.n_excluded["z_mse"] == 4

    def test_a_trial_of_zeros_has_no_value_at_all(self) -> None:
        original, reconstruction = signals()
        original[0] = 0
        quality = reconstruction_quality(original, reconstruction, SFREQ)
        assert all(np.isnan(values[0]) for values in quality.per_trial().values())
        assert not any(np.isnan(values[1:]).any() for values in quality.per_trial().values())

    def test_a_band_without_power_is_left_out(self) -> None:
        times = np.arange(800) / SFREQ
        original = np.sin(2 * np.pi * 10 * times)[None, None] * 1e-5
        quality = reconstruction_quality(original, 0.9 * original, SFREQ)
        assert quality.bands["alpha"].r[0, 0] == pytest.approx(1)
        assert quality.n_excluded["r_gamma"] == quality.n_excluded["nmse_gamma"] == 1


class TestBadInput:
    """Bad input raises and is named."""

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    @pytest.mark.parametrize("which", ["original", "reconstruction"])
    def test_samples_that_are_not_finite_are_located(self, which: str, bad: float) -> None:
        both = dict(zip(("original", "reconstruction"), signals(), strict=True))
        both[which][2, 1, 5] = bad
        with pytest.raises(ValueError, match=f"{which} has NaN .* in trial 2, channel 1"):
            reconstruction_quality(**both, sfreq=SFREQ)

    @pytest.mark.parametrize("shape", [(4, 3), (4, 3, 0), (0, 3, 800)])
    def test_shapes_that_are_no_trials_raise(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"original must be .* \(n_trials, n_channels"):
            reconstruction_quality(np.zeros(shape), np.zeros(shape), SFREQ)

    def test_differing_shapes_raise(self) -> None:
        original, reconstruction = signals()
        with pytest.raises(ValueError, match=r"same shape.*\(4, 3, 800\) and \(4, 3, 799\)"):
            reconstruction_quality(original, reconstruction[..., :-1], SFREQ)

    @pytest.mark.parametrize(
        ("sfreq", "n_times", "bands", "message"),
        [
            (80.0, 800, BANDS, "'gamma' .30 to 44.5 Hz. must lie between 0 and .* .40 Hz"),
            (200.0, 800, {"x": (8.0, 8.0)}, "'x' .8 to 8 Hz. must lie between"),
            (200.0, 100, {"slow": (0.5, 1.5)}, "100 samples .* no frequency in the band 'slow'"),
            (0.0, 800, {}, "sfreq must be a positive number in Hz, got 0"),
        ],
    )
    def test_bands_that_are_not_there_raise(
        self, sfreq: float, n_times: int, bands: dict[str, tuple[float, float]], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            reconstruction_quality(*signals(n_times=n_times), sfreq, bands=bands)

    def test_arrays_need_their_rate(self) -> None:
        with pytest.raises(TypeError, match="sfreq is missing"):
            reconstruction_quality(*signals())

    def test_no_bands_are_allowed(self) -> None:
        assert reconstruction_quality(*signals(), SFREQ, bands={}).bands == {}


@pytest.fixture
def pair() -> tuple[mne.EpochsArray, mne.EpochsArray]:
    """Epochs of three channels, and those of two of them in another order."""
    info = mne.create_info(["C3", "EOG", "C4"], SFREQ, ["eeg", "eog", "eeg"])
    original, reconstruction = (mne.EpochsArray(x, info, verbose="error") for x in signals())
    return original, reconstruction.pick(["C4", "C3"])


class TestEpochs:
    """Epochs are compared as they are."""

    def test_channels_are_found_by_their_names(self, pair: tuple[Any, Any]) -> None:
        original, reconstruction = pair
        quality = reconstruction_quality(original, reconstruction)
        expected = reconstruction_quality(
            original.get_data()[:, [2, 0]], reconstruction.get_data(), SFREQ
        )
        assert_allclose(quality.r, expected.r)
        assert_allclose(quality.nmse, expected.nmse)
        for same in (as_array_like(original), [original[:2], original[2:]]):
            again = reconstruction_quality(same, reconstruction)
            assert again.summary() == quality.summary()

    def test_what_does_not_belong_together_raises(self, pair: tuple[Any, Any]) -> None:
        original, reconstruction = pair
        with pytest.raises(ValueError, match="original lacks the channel 'C3'"):
            reconstruction_quality(original.copy().pick(["C4"]), reconstruction)
        with pytest.raises(ValueError, match=r"rates must agree, got \[100.0, 200.0\] Hz"):
            reconstruction_quality(original.copy().resample(100.0), reconstruction)
        with pytest.raises(ValueError, match=r"rates must agree, got \[160.0, 200.0\] Hz"):
            reconstruction_quality(original, reconstruction, 160.0)
        with pytest.raises(ValueError, match="same shape"):
            reconstruction_quality(original[:3], reconstruction)
        with pytest.raises(TypeError, match="reconstruction is not Epochs, but the other is"):
            reconstruction_quality(original, reconstruction.get_data())


def test_in_a_console_a_quality_is_its_means():
    x = np.random.default_rng(0).standard_normal((2, 3, 400))
    quality = reconstruction_quality(x, 2 * x, 200.0, bands={"alpha": (8, 13)})
    text = repr(quality)
    assert text.startswith("<ReconstructionQuality | 2 trials x 3 channels, means: z_mse ")
    assert text.endswith("gain 2, slope 2, nmse 1, r_alpha 1, nmse_alpha 1>")
    assert repr(quality.bands["alpha"]) == "<BandQuality | 2 trials x 3 channels, mean nmse 1>"
