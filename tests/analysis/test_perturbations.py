# License: BSD-3-Clause
"""What perturbations change, how much, and what they leave alone."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq.analysis import PERTURBATIONS, Gain, Mask, Noise


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def signals(n_trials: int = 3, n_channels: int = 2, n_times: int = 500) -> np.ndarray:
    """Channels of very different size, in volts, with offsets."""
    size = np.array([1e-6, 5e-5])[:, None]
    return size * (rng(9).standard_normal((n_trials, n_channels, n_times)) + 3)


class TestNoise:
    """The ratio is met in each trial and channel, whatever its size and offset."""

    @given(snr=st.floats(-20, 60), kind=st.sampled_from(["gaussian", "uniform"]))
    def test_the_ratio_is_met_exactly_in_each_trial_and_channel(self, snr: float, kind) -> None:
        original = signals()
        noise = Noise(snr, kind)(original, rng()) - original
        ratio = original.var(axis=-1) / (noise**2).mean(axis=-1)
        assert_allclose(10 * np.log10(ratio), snr, atol=1e-6)

    def test_a_constant_channel_stays_as_it_is(self) -> None:
        original = signals()
        original[1, 0] = 0.0
        changed = Noise(0.0)(original, rng())
        assert_array_equal(changed[1, 0], original[1, 0])
        assert (changed[1, 1] != original[1, 1]).all()

    def test_uniform_noise_is_flat_and_gaussian_noise_is_not(self) -> None:
        original = signals(1, 2, 20000)

        def kurtosis(kind: str) -> np.ndarray:
            noise = Noise(10.0, kind)(original, rng()) - original
            return (noise**4).mean(axis=-1) / (noise**2).mean(axis=-1) ** 2

        assert_allclose(kurtosis("uniform"), 9 / 5, atol=0.05)
        assert_allclose(kurtosis("gaussian"), 3, atol=0.15)

    def test_noise_is_white_and_centred_and_differs_between_trials_and_channels(self) -> None:
        for kind in ("gaussian", "uniform"):
            original = signals(3, 2, 5000)
            noise = (Noise(10.0, kind)(original, rng()) - original).reshape(6, -1)
            shifted = np.concatenate([noise, np.roll(noise, 1, axis=1)])
            r = np.corrcoef(shifted)
            assert np.abs(r - np.eye(12)).max() < 0.07
            assert np.abs(noise.mean(axis=1) / noise.std(axis=1)).max() < 0.06

    def test_one_seed_gives_noise_that_differs_in_size_only(self) -> None:
        original = signals()
        loud, soft = (Noise(snr)(original, rng()) - original for snr in (10.0, 30.0))
        assert_allclose(loud, 10 * soft, atol=1e-17)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"snr": np.inf}, "snr must be a finite number of dB, got inf"),
            ({"snr": np.nan}, "snr must be a finite"),
            ({"snr": 10.0, "kind": "pink"}, "'gaussian' or 'uniform', got 'pink'"),
        ],
    )
    def test_impossible_noise_raises(self, parameters, message) -> None:
        with pytest.raises(ValueError, match=message):
            Noise(**parameters)


class TestGain:
    """A gain multiplies, offsets too."""

    def test_all_samples_are_multiplied(self) -> None:
        assert_array_equal(Gain(0.8)(signals(), rng()), 0.8 * signals())

    @pytest.mark.parametrize("factor", [0.0, -1.0, np.inf, np.nan])
    def test_an_impossible_factor_raises(self, factor) -> None:
        with pytest.raises(ValueError, match="factor must be a positive number"):
            Gain(factor)


class TestMask:
    """One stretch of each trial is zero in all channels."""

    @given(share=st.floats(0.001, 0.999), seed=st.integers(0, 1000))
    def test_a_stretch_of_the_length_asked_for_is_zero_and_the_rest_stays(self, share, seed):
        original = signals(4, 2, 50)
        changed = Mask(share)(original, rng(seed))
        zero = changed == 0
        assert (zero == zero[:, :1]).all()
        assert_array_equal(changed[~zero], original[~zero])
        for trial in zero[:, 0]:
            assert trial.sum() == max(1, round(share * 50))
            edges = np.diff(np.concatenate([[0], trial.astype(int), [0]]))
            assert np.abs(edges).sum() == 2

    def test_stretches_lie_anywhere_in_the_trial_and_elsewhere_in_each(self) -> None:
        zero = Mask(0.5)(np.ones((300, 1, 10)), rng())[:, 0] == 0
        assert sorted(set(zero.argmax(axis=1).tolist())) == [0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize("share", [0.0, 1.0, -0.1, np.nan])
    def test_an_impossible_share_raises(self, share) -> None:
        with pytest.raises(ValueError, match="share must be between 0 and 1"):
            Mask(share)


@pytest.mark.parametrize("perturb", PERTURBATIONS.values(), ids=PERTURBATIONS)
def test_perturbations_leave_their_input_alone_repeat_themselves_and_pickle(perturb) -> None:
    original = signals()
    first = perturb(original, rng(4))
    assert_array_equal(original, signals())
    assert first.shape == original.shape
    assert not np.array_equal(first, original)
    again = pickle.loads(pickle.dumps(perturb))
    assert again == perturb
    assert_array_equal(again(original, rng(4)), first)
