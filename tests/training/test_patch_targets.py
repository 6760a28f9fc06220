# License: BSD-3-Clause
"""Physiological numbers of patches: what they say, and of which patch."""

from __future__ import annotations

from dataclasses import replace

import mne
import numpy as np
import pytest

from mne_neurorvq.datasets.montage import standard_montage
from mne_neurorvq.models import NEURORVQ_EEG
from mne_neurorvq.signals import set_reference
from mne_neurorvq.training import CorpusBatches, CropSettings
from mne_neurorvq.training.batches import watched_batches
from mne_neurorvq.training.crops import crop, rereferenced
from mne_neurorvq.training.patch_targets import TARGETS, PatchTargets, Stretch, site_names

RATE, PATCH = 200.0, 200
TIME = np.arange(6 * PATCH) / RATE
ALL = tuple(name for name, target in TARGETS.items() if target.modality == "eeg")


def _measure(name, signal, start=0, n_patches=6):
    signal = np.atleast_2d(signal).astype(np.float32)
    stretch = Stretch(signal, start, n_patches, PATCH, RATE, floor=1e-6)
    return TARGETS[name].measure(stretch)


@pytest.mark.parametrize(("hz", "band"), [(2, 0), (6, 1), (10, 2), (16, 3), (25, 4), (35, 5)])
def test_power_is_that_of_the_band(hz, band):
    found = _measure("power", 10 * np.sin(2 * np.pi * hz * TIME))
    assert found.shape == (1, 6, 6)
    assert (found.argmax(-1) == band).all()
    # A sine of amplitude 10 has the power 50.
    np.testing.assert_allclose(np.exp(found[..., band]), 50, rtol=0.02)
    doubled = _measure("power", 20 * np.sin(2 * np.pi * hz * TIME))
    np.testing.assert_allclose((doubled - found)[..., band], np.log(4), atol=1e-3)


def test_slow_means_and_waveform_are_those_of_their_parts_of_a_patch():
    slow = np.cos(np.pi * TIME)  # from 1 to -1 and back, in two patches
    fast = 5 * np.cos(2 * np.pi * 31 * TIME)
    halves = slow.reshape(1, 6, 2, 100).mean(-1)
    np.testing.assert_allclose(_measure("slow", slow + fast), halves, atol=0.05)
    edges = np.linspace(0, PATCH, 17).round().astype(int)
    wave = slow + np.cos(2 * np.pi * 6 * TIME)
    parts = np.split(wave.reshape(6, PATCH), edges[1:-1], axis=1)
    bins = np.stack([part.mean(-1) for part in parts], axis=1)
    # At the ends of a window a little of what is fast is left.
    found = _measure("waveform", wave + fast)[0]
    np.testing.assert_allclose(found[1:-1], bins[1:-1], atol=0.05)
    np.testing.assert_allclose(found, bins, atol=0.5)


@pytest.mark.parametrize(("hz", "rhythm"), [(10, 0), (21, 1)])
def test_envelopes_follow_a_rhythm_within_a_patch(hz, rhythm):
    size = 1 + np.cos(2 * np.pi * TIME)  # large in the first and last quarter of each second
    found = _measure("envelope", size * np.sin(2 * np.pi * hz * TIME)).reshape(6, 2, 4)[1:-1]
    power = (0.5 * size**2).reshape(6, 4, -1).mean(-1)[1:-1]
    np.testing.assert_allclose(np.exp(found[:, rhythm]), power, rtol=0.15)
    assert (np.exp(found[:, 1 - rhythm]) < 0.01).all()


def test_a_beat_is_told_by_its_length_place_and_extremes():
    sfreq, size, interval = 200.0, 40, 0.8
    times = np.arange(2000) / sfreq
    beats = np.arange(0.5, 10, interval)
    pulse = np.exp(-0.5 * ((times[:, None] - beats) / 0.012) ** 2).sum(axis=1)
    signal = np.stack([0.3 + pulse, 0.1 - 0.5 * pulse]).astype(np.float32)
    found = TARGETS["beat"].measure(Stretch(signal, 0, 50, size, sfreq, floor=0.0))
    centres = (np.arange(50) + 0.5) * size / sfreq
    inside = (centres > beats[0] + 0.03) & (centres < beats[-1] - 0.03)
    np.testing.assert_allclose(np.exp(found[:, inside, 0]), interval, rtol=0.02)
    phase = np.arctan2(found[0, inside, 1], found[0, inside, 2]) / (2 * np.pi) % 1
    known = (centres[inside] - beats[0]) / interval % 1
    assert np.abs((phase - known + 0.5) % 1 - 0.5).max() < 0.03
    # Nobody knows the length of a beat that does not end.
    outside = (centres < beats[0] - 0.03) | (centres > beats[-1] + 0.03)
    assert np.isnan(found[:, outside, :3]).all()
    with_peak = np.abs(centres[:, None] - beats).min(axis=1) < 0.08
    assert (found[0, with_peak, 3] > 0.8).all()
    assert (found[1, with_peak, 4] < -0.4).all()
    assert np.isfinite(found[..., 3:]).all()


def test_a_muscle_is_told_by_its_size_and_median_frequency():
    times = np.arange(1000) / 1000.0
    two = 20 * np.sin(2 * np.pi * 60 * times) + 50 * np.sin(2 * np.pi * 150 * times)
    signal = np.stack([two, 0.1 * two]).astype(np.float32)
    found = TARGETS["muscle"].measure(Stretch(signal, 200, 4, 200, 1000.0, floor=0.0))
    np.testing.assert_allclose(np.exp(found[0, :, 0]), two.std(), rtol=0.01)
    np.testing.assert_allclose(found[0, :, 0] - found[1, :, 0], np.log(10), atol=0.01)
    np.testing.assert_allclose(found[..., 1], 150)


@pytest.mark.parametrize("name", ALL)
def test_patches_are_those_of_the_stretch(name):
    signal = np.random.default_rng(0).standard_normal((3, len(TIME)))
    whole = _measure(name, signal)
    part = _measure(name, signal, start=2 * PATCH, n_patches=3)
    np.testing.assert_allclose(part, whole[:, 2:5], atol=1e-5)
    assert whole.shape[-1] == len(TARGETS[name].columns)


def test_targets_of_a_recording_are_standardised(train):
    targets = PatchTargets(train, NEURORVQ_EEG, ALL)
    windows = np.flatnonzero(train.recordings == train.recordings[0])
    of_laplacian = [name.startswith("laplacian") for name in targets.columns]
    for reference in ("recorded", "average", "laplacian"):
        values = []
        for number in windows:
            window = train[number]
            every, n_patches = np.arange(len(window.rows)), window.data.shape[1] // PATCH
            values.append(targets.of(number, window, every, 0, n_patches, reference))
            # Of a window that has the reference already, as it is; those of the Laplacian not.
            mean, spread = targets._statistics(0, reference)
            names = site_names(window.rows, NEURORVQ_EEG)
            other = replace(window, data=rereferenced(window.data, names, reference))
            wanted = targets._measure(other, every, 0, n_patches, "recorded")
            same = targets._measure(window, every, 0, n_patches, "recorded")
            wanted = np.where(of_laplacian, same, wanted)
            np.testing.assert_allclose(
                values[-1], np.clip((wanted - mean) / spread, -5, 5), atol=1e-5
            )
        flat = np.concatenate(values, axis=1).reshape(-1, len(targets.columns))
        assert abs(flat.mean(0)).max() < 0.1
        assert abs(flat.std(0) - 1).max() < 0.15
    assert len(set(targets.columns)) == len(targets.columns) == 48


def test_targets_of_a_batch_are_those_of_its_crops(train):
    config, settings = NEURORVQ_EEG, CropSettings(64, n_channels=(8,), n_patches=(2,))
    targets = PatchTargets(train, config, ALL)
    (batch, *_) = CorpusBatches(train, config, settings, seed=0, n_batches=1, targets=ALL)
    assert batch.targets.shape == (*batch.windows.shape[:2], 2, 48)
    for windows, rows, name, found in zip(
        batch.windows.numpy(), batch.channel_ids.numpy(), batch.ids, batch.targets, strict=True
    ):
        number = next(i for i in range(len(train)) if train[i].id == name)
        window = train[number]
        picks = np.array([window.rows.tolist().index(row) for row in rows])
        # The crop is a part of the window times a gain: where is it?
        longest = [
            np.corrcoef(windows[0], window.data[picks[0], s : s + 400])[0, 1]
            for s in range(window.data.shape[1] - 399)
        ]
        start = int(np.argmax(longest))
        wanted = targets.of(number, window, picks, start, 2)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_nothing_else_of_a_batch_changes_with_the_targets(train):
    settings = CropSettings(64, n_channels=(8,), n_patches=(2,))
    with_, without = (
        list(CorpusBatches(train, NEURORVQ_EEG, settings, seed=3, n_batches=3, targets=names))
        for names in (ALL, ())
    )
    for one, other in zip(with_, without, strict=True):
        assert one.windows.equal(other.windows)
        assert one.ids == other.ids
        assert other.targets is None


def test_the_average_reference_is_that_of_all_channels_and_of_its_share(train):
    own = CropSettings(64, n_channels=(8,), n_patches=(2,), gain_spread=0.0)
    both, mixed = replace(own, average_reference=1.0), replace(own, average_reference=0.5)
    plain, average, some = (
        list(CorpusBatches(train, NEURORVQ_EEG, s, seed=1, n_batches=8, targets=("power",)))
        for s in (own, both, mixed)
    )
    n_average = 0
    for one, other, drawn in zip(plain, average, some, strict=True):
        # What is subtracted is the same for all channels of a window.
        shift = (one.windows - other.windows).numpy()
        assert np.ptp(shift, axis=1).max() < 1e-3
        assert abs(shift).max(axis=(1, 2)).min() > 0.1
        assert not one.targets.equal(other.targets)
        for i, window in enumerate(drawn.windows):
            referenced = np.allclose(window, other.windows[i])
            assert referenced or np.allclose(window, one.windows[i])
            n_average += referenced
    assert 0 < n_average < sum(len(batch.ids) for batch in plain)


def test_the_laplacian_of_a_crop_is_that_of_all_channels_as_estimators_compute_it(train):
    own = CropSettings(64, n_channels=(8,), n_patches=(2,), gain_spread=0.0)
    plain, laplacian = (
        list(CorpusBatches(train, NEURORVQ_EEG, s, seed=1, n_batches=4, targets=ALL))
        for s in (own, replace(own, laplacian_reference=1.0))
    )
    same = [name.startswith("laplacian") for name in PatchTargets(train, NEURORVQ_EEG, ALL).columns]
    for one, other in zip(plain, laplacian, strict=True):
        for i, name in enumerate(one.ids):
            window = next(w for w in (train[n] for n in range(len(train))) if w.id == name)
            names = site_names(window.rows, NEURORVQ_EEG)
            info = mne.create_info(names, RATE, "eeg")
            info.set_montage(standard_montage(), match_case=False)
            epochs = mne.EpochsArray(1e-6 * window.data[None].astype(float), info, verbose=False)
            whole = 1e6 * set_reference(epochs, "laplacian").get_data()[0]
            picks = [window.rows.tolist().index(row) for row in one.channel_ids[i]]
            start = _place(one.windows[i, 0].numpy(), window.data[picks[0]])
            part = whole[picks, start : start + other.windows.shape[-1]]
            np.testing.assert_allclose(other.windows[i], part, atol=1e-4 * part.std())
        assert other.targets[..., same].equal(one.targets[..., same])
        assert not other.targets.equal(one.targets)


def _place(part, whole):
    starts = range(len(whole) - len(part) + 1)
    return int(np.argmin([np.abs(whole[s : s + len(part)] - part).sum() for s in starts]))


def test_a_window_without_a_laplacian_stays_as_recorded():
    data = np.random.default_rng(0).standard_normal((15, 800)).astype(np.float32)
    names = NEURORVQ_EEG.channels[:15]
    settings = CropSettings(gain_spread=0.0, laplacian_reference=1.0)
    found = crop(
        data,
        np.arange(15),
        (8, 4),
        settings,
        patch_size=200,
        rng=np.random.default_rng(0),
        names=names,
    )
    assert found.reference == "recorded"
    np.testing.assert_array_equal(found.data, data[found.picks])


def test_shares_of_the_references_are_of_the_same_windows():
    with pytest.raises(ValueError, match=r"0\.7 and 0\.5: shares of the same windows"):
        CropSettings(average_reference=0.7, laplacian_reference=0.5)


def test_the_laplacian_is_left_out_where_there_are_no_positions(train):
    unknown = replace(
        NEURORVQ_EEG, channels=tuple(f"unknown {i}" for i in range(len(NEURORVQ_EEG.channels)))
    )
    targets = PatchTargets(train, unknown, ALL)
    window = train[0]
    found = targets.of(0, window, np.arange(4), 0, 2)
    of_laplacian = ["laplacian" in column for column in targets.columns]
    assert np.isnan(found[..., of_laplacian]).all()
    assert np.isfinite(found[..., ~np.array(of_laplacian)]).all()


def test_windows_to_watch_have_targets_too(valid):
    for _, batch in watched_batches(valid, NEURORVQ_EEG, targets=ALL):
        n_windows, n_channels, n_times = batch.windows.shape
        assert batch.targets.shape == (n_windows, n_channels, n_times // PATCH, 48)
    assert all(batch.targets is None for _, batch in watched_batches(valid, NEURORVQ_EEG))
