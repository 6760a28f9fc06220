# License: BSD-3-Clause
"""Sources: braindecode's datasets give the numbers of the recordings behind them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import mne
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from optional_library import import_or_skip
from sklearn.utils import _safe_indexing
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

from mne_neurorvq.signals import as_trials

braindecode = import_or_skip("braindecode")
from braindecode.datasets import BaseConcatDataset, RawDataset, WindowsDataset  # noqa: E402
from braindecode.preprocessing import (  # noqa: E402
    create_fixed_length_windows,
    create_windows_from_events,
)

SFREQ = 100.0


def make_raw(seed: int = 0, first_samp: int = 0) -> mne.io.RawArray:
    info = mne.create_info(["C3", "C4"], SFREQ, "eeg")
    data = 1e-5 * np.random.default_rng(seed).standard_normal((2, 2000))
    raw = mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")
    onsets = np.arange(1, 17, 4.0)
    raw.set_annotations(mne.Annotations(onsets, 2.0, ["left", "right", "right", "left"]))
    return raw


def windows(raw: mne.io.BaseRaw, use_mne_epochs: bool) -> BaseConcatDataset:
    return create_windows_from_events(
        BaseConcatDataset([RawDataset(raw)]),
        trial_start_offset_samples=0,
        trial_stop_offset_samples=0,
        mapping={"left": 0, "right": 1},
        use_mne_epochs=use_mne_epochs,
        preload=True,
        verbose="error",
    )


@pytest.mark.parametrize("use_mne_epochs", [True, False])
def test_windows_equal_the_epochs_of_the_same_recording(use_mne_epochs: bool) -> None:
    raw = make_raw()
    truth = np.stack([raw.get_data(start=s, stop=s + 200) for s in (100, 500, 900, 1300)])
    dataset = windows(raw, use_mne_epochs)
    trials = as_trials(dataset)
    assert trials.unit == "V"
    assert trials.ch_names == ("C3", "C4")
    assert trials.sfreq == SFREQ
    assert_array_equal(trials.read(), truth)
    assert_array_equal(trials.read(1, 3, picks=[1]), truth[1:3, [1]])
    assert trials.metadata["target"].tolist() == [0, 1, 1, 0]
    assert_array_equal(trials.events[:, 2], [0, 1, 1, 0])
    # What the dataset itself serves, in single precision.
    served = np.stack([dataset[i][0] for i in range(4)])
    assert_allclose(served, truth, rtol=1e-6)


@pytest.mark.parametrize("use_mne_epochs", [True, False])
def test_recordings_follow_one_another(use_mne_epochs: bool) -> None:
    parts = [windows(make_raw(seed), use_mne_epochs) for seed in (0, 1)]
    both = as_trials(BaseConcatDataset(parts))
    assert len(both) == 8
    assert_array_equal(both.read(3, 6), np.concatenate(
        [as_trials(parts[0]).read(3, 4), as_trials(parts[1]).read(0, 2)]
    ))  # fmt: skip


def test_one_part_of_a_dataset_is_a_dataset() -> None:
    dataset = windows(make_raw(), use_mne_epochs=True)
    part = dataset.datasets[0]
    assert isinstance(part, WindowsDataset)
    assert_array_equal(as_trials(part).read(), as_trials(dataset).read())


def test_classes_of_ones_own_are_what_they_derive_from() -> None:
    class Study(BaseConcatDataset):
        pass

    class Recording(mne.io.RawArray):
        pass

    dataset = windows(make_raw(), use_mne_epochs=True)
    assert_array_equal(as_trials(Study(dataset.datasets)).read(), as_trials(dataset).read())
    raw = make_raw()
    with pytest.raises(TypeError, match="Recording: trials are needed"):
        as_trials(Recording(raw.get_data(), raw.info, verbose="error"))


def test_events_count_from_the_start_of_the_measurement_as_in_mne() -> None:
    raw = make_raw(first_samp=500)
    dataset = create_fixed_length_windows(
        BaseConcatDataset([RawDataset(raw)]),
        window_size_samples=250,
        window_stride_samples=250,
        on_last_window="drop",
        preload=True,
    )
    trials = as_trials(dataset)
    assert_array_equal(trials.events[:, 0], 500 + 250 * np.arange(8))
    assert_array_equal(trials.read(2, 3)[0], raw.get_data(start=500, stop=750))


def test_targets_that_are_words_are_counted_in_sorted_order() -> None:
    dataset = windows(make_raw(), use_mne_epochs=False)
    dataset.datasets[0].y = ["left", "right", "right", "left"]
    trials = as_trials(dataset)
    assert trials.event_id == {"left": 1, "right": 2}
    assert trials.events[:, 2].tolist() == [1, 2, 2, 1]


def test_windows_split_by_scikit_learn_are_arrays() -> None:
    dataset = windows(make_raw(), use_mne_epochs=True)
    some = _safe_indexing(dataset, np.array([2, 0]))
    if not isinstance(some, list):
        some = [dataset[i] for i in (2, 0)]
    with pytest.raises(ValueError, match="ch_names= and sfreq="):
        as_trials(some)
    trials = as_trials(some, ch_names=["C3", "C4"], sfreq=SFREQ, unit="V")
    assert trials.unit == "V"
    assert_allclose(trials.read(), as_trials(dataset).read()[[2, 0]], rtol=1e-6)


def test_recordings_that_are_not_cut_into_windows_are_refused() -> None:
    with pytest.raises(TypeError, match="create_windows_from_events"):
        as_trials(BaseConcatDataset([RawDataset(make_raw())]))


@pytest.mark.parametrize("use_mne_epochs", [True, False])
def test_transforms_are_refused(use_mne_epochs: bool) -> None:
    dataset = windows(make_raw(), use_mne_epochs)
    dataset.datasets[0].transform = np.negative
    with pytest.raises(ValueError, match="with a transform"):
        as_trials(dataset)


def test_windows_of_several_lengths_are_refused() -> None:
    dataset = windows(make_raw(), use_mne_epochs=False)
    dataset.datasets[0].crop_inds = np.array([[0, 100, 300], [0, 500, 710]])
    with pytest.raises(ValueError, match=r"have \[200, 210\] samples"):
        as_trials(dataset)


@pytest.mark.parametrize("use_mne_epochs", [True, False])
def test_subsets_are_their_windows_in_order(use_mne_epochs: bool) -> None:
    whole = BaseConcatDataset([windows(make_raw(seed), use_mne_epochs) for seed in (0, 1)])
    every = as_trials(whole)
    subset = Subset(whole, [6, 1, 7, 1, -8])
    nested = Subset(subset, [4, 0, 2])
    for given, chosen in (
        (subset, [6, 1, 7, 1, 0]),
        (nested, [0, 6, 7]),
        (ConcatDataset([nested, Subset(whole, [3])]), [0, 6, 7, 3]),
        ([nested, Subset(whole, [3])], [0, 6, 7, 3]),
        (Subset(whole, np.arange(2, 5)), [2, 3, 4]),
    ):
        trials = as_trials(given)
        assert_array_equal(trials.read(), every.read()[chosen])
        assert_array_equal(trials.read(1, 2, picks=[1]), every.read()[chosen][1:2, [1]])
        assert_array_equal(trials.events, every.events[chosen])
        assert trials.metadata["target"].tolist() == every.metadata["target"].iloc[chosen].tolist()
    with pytest.raises(ValueError, match="0 sample"):
        as_trials(Subset(whole, []))


def test_datasets_derived_from_those_of_braindecode_are_taken() -> None:
    class Recordings(BaseConcatDataset):
        """As of packages that download."""

    cut = windows(make_raw(), use_mne_epochs=False)
    trials = as_trials(Subset(Recordings(cut.datasets), [2, 0]))
    assert_array_equal(trials.read(), as_trials(cut).read()[[2, 0]])
    with pytest.raises(TypeError, match="create_windows_from_events"):
        as_trials(Subset(Recordings([RawDataset(make_raw())]), [0]))


def test_datasets_of_torch_without_channels_are_refused_by_name() -> None:
    tensors = TensorDataset(torch.zeros(4, 2, 200))
    for given in (tensors, Subset(tensors, [0, 1]), [Subset(tensors, [0])], DataLoader(tensors)):
        with pytest.raises(TypeError, match=r"a (TensorDataset|DataLoader) of torch"):
            as_trials(given, ch_names=["C3", "C4"], sfreq=SFREQ)


def test_lists_of_datasets_and_other_things_are_refused() -> None:
    mixed: list[Any] = [windows(make_raw(), use_mne_epochs=True), np.zeros((2, 200))]
    with pytest.raises(TypeError, match="Item 1 of the list X is ndarray"):
        as_trials(mixed)


def test_signals_import_neither_braindecode_nor_torch() -> None:
    code = (
        "import sys, mne_neurorvq.signals as s; s.as_trials; s.check_amplitude; s.check_scale;"
        "assert not {'braindecode', 'torch', 'sklearn', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_objects_of_mne_are_refused_alone_and_in_lists() -> None:
    raw = make_raw()
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose="error")
    for X in (raw, epochs.average(), epochs.compute_psd(verbose="error")):
        for given in (X, [X, X], [epochs, X]):
            with pytest.raises(TypeError, match=f"X is {type(X).__name__}: trials are needed"):
                as_trials(given, ch_names=["C3", "C4"], sfreq=SFREQ, unit="V")


def test_dropping_bad_trials_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    raw = make_raw()
    events = np.array([[100, 0, 1], [900, 0, 1]])
    epochs = mne.Epochs(raw, events, tmin=0, tmax=1, baseline=None, verbose="error")
    assert len(as_trials(epochs)) == 2
    assert capsys.readouterr() == ("", "")
