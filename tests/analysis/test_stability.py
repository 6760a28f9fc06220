# License: BSD-3-Clause
"""Which codes stay: known ones of a codec made for it, and those of a real model."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.analysis import Gain, Mask, Noise, code_stability
from mne_neurorvq.analysis.stability import untouched_patches


def steps(n_trials: int = 6, n_patches: int = 5, patch_size: int = 10) -> np.ndarray:
    """Two channels in microvolts, constant within each patch: 20.5, 21.5 and so on."""
    level = 20.5 + np.arange(n_trials * 2 * n_patches).reshape(n_trials, 2, n_patches)
    return np.repeat(level, patch_size, axis=2)


class TestKnownCodes:
    """Every share is what the codes of the codec that counts say."""

    def test_an_offset_below_a_step_changes_the_second_level_only(self, counter):
        offset = {"a little": lambda x, _: x + 0.2, "a step": lambda x, _: x + 1.0}
        stability = code_stability(counter(), steps(), offset)
        assert stability.perturbations == ("a little", "a step")
        assert stability.equal.shape == stability.elsewhere.shape == (2, 6, 1, 2)
        assert_array_equal(stability.equal[:, :, 0, 0], [[1] * 6, [0] * 6])
        assert_array_equal(stability.equal[:, :, 0, 1], [[0] * 6, [1] * 6])
        assert np.isnan(stability.elsewhere).all()

    def test_shares_are_counted_over_channels_and_patches_of_each_trial(self, counter):
        def change(x: np.ndarray, _: np.random.Generator) -> np.ndarray:
            x = x.copy()
            x[0, 1, 10:20] += 1  # one patch of one channel
            x[2, :, :25] += 1  # two and a half patches of both
            return x

        stability = code_stability(counter(), steps(), {"some": change})
        assert_allclose(stability.equal[0, :, 0, 0], [0.9, 1, 0.4, 1, 1, 1])
        assert_allclose(stability.mean["some"][0, 0], (0.9 + 0.4 + 4) / 6)
        # Codes of this codec change nowhere else.
        assert_array_equal(stability.elsewhere, 1)

    def test_what_a_mask_did_not_touch_is_told_apart(self, counter):
        class Leaky(counter):  # as if a change in the first patch reached the last one
            def tokenize(self, X):
                X = np.array(X)
                X[..., -10:] += X[..., :1]
                return super().tokenize(X)

        def mask(x: np.ndarray, _: np.random.Generator) -> np.ndarray:
            x = x.copy()
            x[:, :, 9] = 0  # within the first patch, at its end
            x[:3, :, 0] = 0
            return x

        stability = code_stability(Leaky(), steps(), {"mask": mask})
        assert_allclose(stability.elsewhere[0, :, 0, 0], [0.75] * 3 + [1.0] * 3)
        assert_allclose(stability.equal[0, :, 0, 0], [0.6] * 3 + [0.8] * 3)
        assert stability.mean_elsewhere["mask"][0, 0] == pytest.approx(0.875)

    def test_trials_without_untouched_patches_are_left_out_of_their_mean(self, counter):
        def change(x: np.ndarray, _: np.random.Generator) -> np.ndarray:
            return np.concatenate([x[:1] + 1, x[1:]])

        stability = code_stability(counter(), steps(), {"first": change})
        assert np.isnan(stability.elsewhere[0, 0]).all()
        assert_array_equal(stability.mean_elsewhere["first"], 1)

    def test_chance_is_how_often_two_draws_agree(self, counter):
        x = np.repeat([[[1.0, 1.0, 1.0, 5.0]]], 10, axis=2)
        stability = code_stability(counter(), x, {"none": lambda x, _: x})
        assert_allclose(stability.chance, [[0.75**2 + 0.25**2, 1.0]])


@pytest.mark.parametrize("sfreq", [100.0, 130.0, 256.0])
def test_untouched_patches_are_found_at_other_rates_and_under_overlap(constructed, sfreq):
    """A patch is touched if a changed sample lies within its time, and only then."""
    codes = np.zeros((1, 1, 4, 1, 1), int)
    tokens = constructed(
        codes, n_codes=2, sfreq=sfreq, model_sfreq=200.0, patch_size=200, overlap=90, tmin=-0.3
    )
    times = np.arange(tokens.n_times) / sfreq
    starts = tokens.patch_times - tokens.tmin
    for sample, time in enumerate(times):
        same = np.arange(tokens.n_times)[None] != sample
        touched = ~untouched_patches(tokens, same)[0]
        inside = (time >= starts - 1e-9) & (time < starts + 1 - 1e-9)
        # Between two samples at the model's rate, both neighbours count.
        close = (time > starts - 1 / sfreq) & (time < starts + 1 + 1 / sfreq)
        assert touched[inside].all()
        assert not touched[~close].any()
        if sfreq == 100.0:  # patches begin and end at samples
            assert_array_equal(touched, inside)


CHANGES = {"30 dB": Noise(30.0), "-10 dB": Noise(-10.0), "same": Gain(1.0), "mask": Mask(0.1)}


@pytest.fixture(scope="module")
def stability(model, epochs):
    """The untrained model under all of them."""
    return code_stability(model, epochs, CHANGES)


class TestModel:
    """A real model, on Epochs and arrays."""

    def test_less_noise_and_earlier_levels_keep_more_codes(self, stability):
        soft, loud = stability.mean["30 dB"], stability.mean["-10 dB"]
        assert (soft > loud).all()
        assert (soft[:, 0] >= soft[:, 1]).all()
        assert (soft > stability.chance).all()

    def test_without_a_change_all_codes_stay(self, stability):
        assert (stability.mean["same"] == 1).all()
        assert (stability.mean_elsewhere["same"] == 1).all()

    def test_masks_touch_some_patches_and_noise_all(self, stability):
        elsewhere = dict(zip(stability.perturbations, stability.elsewhere, strict=True))
        assert np.isnan(elsewhere["30 dB"]).all()
        assert not np.isnan(elsewhere["mask"]).any()
        assert (stability.mean["mask"] < stability.mean_elsewhere["mask"]).all()

    def test_epochs_lists_of_them_and_arrays_in_microvolts_give_the_same(
        self, stability, model, epochs
    ):
        changes = {name: CHANGES[name] for name in ("-10 dB", "mask")}
        rows = [stability.perturbations.index(name) for name in changes]
        in_two = code_stability(model, [epochs[:1], epochs[1:]], changes)
        assert_array_equal(in_two.equal, stability.equal[rows])
        of_arrays = NeuroRVQTransformer(
            model.pretrained, ch_names=epochs.ch_names, sfreq=160.0, verbose=False
        )
        array = epochs.get_data(units="uV")
        found = code_stability(of_arrays.fit(array), array, changes)
        assert_allclose(found.equal, stability.equal[rows], atol=0.1)
        assert found.equal.mean() == pytest.approx(stability.equal[rows].mean(), abs=0.01)

    def test_a_seed_decides_which_noise(self, stability, model, epochs):
        change = {"-10 dB": Noise(-10.0)}
        row = stability.perturbations.index("-10 dB")
        again = code_stability(model, epochs, change)
        other = code_stability(model, epochs, change, random_state=1)
        assert_array_equal(again.equal[0], stability.equal[row])
        assert (other.equal[0] != stability.equal[row]).any()

    def test_trials_are_left_as_they_are(self, stability, model, epochs, tokens):
        assert_array_equal(model.tokenize(epochs).codes, tokens.codes)


class TestBadInput:
    """Bad input raises and is named."""

    def test_no_perturbation_raises(self, counter):
        with pytest.raises(ValueError, match="perturbations is empty"):
            code_stability(counter(), steps(), {})

    def test_signals_of_another_shape_raise(self, counter):
        with pytest.raises(ValueError, match=r"'cut' made signals of shape \(6, 2, 49\)"):
            code_stability(counter(), steps(), {"cut": lambda x, _: x[..., 1:]})

    def test_a_perturbation_in_place_raises_rather_than_spoil_the_next(self, counter):
        def in_place(x: np.ndarray, _: object) -> np.ndarray:
            x += 1
            return x

        with pytest.raises(ValueError, match="read-only"):
            code_stability(counter(), steps(), {"in place": in_place})

    def test_recordings_are_no_trials(self, counter):
        raw = mne.io.RawArray(np.zeros((1, 10)), mne.create_info(1, 100.0), verbose=False)
        with pytest.raises(TypeError, match=r"X is RawArray: Epochs.* needed"):
            code_stability(counter(), raw)
