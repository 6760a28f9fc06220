# License: BSD-3-Clause
"""What the models are told about channels, lengths and rates is checked before it is used."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mne_neurorvq.models import NEURORVQ_EEG, NEURORVQ_EMG, NeuroRVQ, NeuroRVQTokenizer
from mne_neurorvq.models.signature import check_length, resolve_channels
from mne_neurorvq.models.trunk import as_patches


def _chs(*names):
    return [{"ch_name": name} for name in names]


def test_names_are_found_in_the_vocabulary_whatever_their_case():
    rows = resolve_channels(NEURORVQ_EEG, _chs("Fz", "CZ", "pz"), None)
    assert [NEURORVQ_EEG.channels[row] for row in rows] == ["fz", "cz", "pz"]
    assert resolve_channels(NEURORVQ_EEG, None, 3) is None


def test_names_are_spelled_in_all_the_ways_that_estimators_read():
    rows = resolve_channels(NEURORVQ_EEG, _chs("EEG C3-REF", "Fc5.", "M1"), None)
    assert [NEURORVQ_EEG.channels[row] for row in rows] == ["c3", "fc5", "a1"]
    with pytest.raises(ValueError, match="'M1' and 'A1' are both 'a1' for the model"):
        resolve_channels(NEURORVQ_EEG, _chs("A1", "M1"), None)


def test_names_that_were_not_trained_are_told():
    config = replace(NEURORVQ_EEG, trained=("cz", "pz"))
    with pytest.warns(UserWarning, match=r"not trained on 'a1', 'tp9'"):
        resolve_channels(config, _chs("Cz", "TP9", "A1"), None)
    resolve_channels(config, _chs("Cz", "Pz"), None)


def test_names_outside_the_vocabulary_are_named():
    with pytest.raises(ValueError, match=r"\['E12', 'xx'\] are not in the eeg vocabulary of 104"):
        resolve_channels(NEURORVQ_EEG, _chs("Cz", "E12", "xx"), None)


def test_two_numbers_of_channels_are_refused():
    with pytest.raises(ValueError, match="n_chans=3 but chs_info describes 2"):
        resolve_channels(NEURORVQ_EEG, _chs("Cz", "Pz"), 3)


@pytest.mark.parametrize("model", [NeuroRVQ, NeuroRVQTokenizer])
def test_the_models_resolve_their_arguments(model):
    config = replace(NEURORVQ_EEG, depth=1, decoder_depth=1)
    with torch.device("meta"):
        assert model(input_window_seconds=2.0, config=config).n_times == 400
        with pytest.raises(ValueError, match="not in the eeg vocabulary"):
            model(chs_info=_chs("nose"), config=config)
        with pytest.raises(ValueError, match="resample"):
            model(sfreq=250.0, config=config)


def test_length_and_duration_agree_or_are_refused():
    assert check_length(NEURORVQ_EEG, None, None, None) is None
    assert check_length(NEURORVQ_EEG, 400, 2.0, 200.0) == 400
    assert check_length(NEURORVQ_EMG, None, 0.6, 1000) == 600
    with pytest.raises(ValueError, match=r"n_times=400 contradicts input_window_seconds=3"):
        check_length(NEURORVQ_EEG, 400, 3.0, None)


@pytest.mark.parametrize("n_times", [0, 100, 250, 401])
def test_a_length_that_is_no_whole_number_of_patches_is_refused(n_times):
    with pytest.raises(ValueError, match=f"n_times={n_times} must be a multiple.*200"):
        check_length(NEURORVQ_EEG, n_times, None, None)
    with pytest.raises(ValueError, match=f"n_times={n_times}"):
        as_patches(NEURORVQ_EEG, torch.zeros(1, 2, n_times), torch.arange(2), None)


def test_another_rate_is_refused():
    with pytest.raises(ValueError, match=r"sfreq=250.*works at 200\.0 Hz: resample"):
        check_length(NEURORVQ_EEG, None, None, 250)


def test_patches_follow_one_another_in_time():
    x = torch.arange(2 * 3 * 600.0).reshape(2, 3, 600)
    patches, rows = as_patches(NEURORVQ_EEG, x, torch.arange(3), None)
    assert patches.shape == (2, 3, 3, 200)
    assert rows.tolist() == [0, 1, 2]
    assert torch.equal(patches[1, 2, 1], x[1, 2, 200:400])


def test_the_token_budget_is_kept():
    rows = torch.arange(64)
    patches, _ = as_patches(NEURORVQ_EEG, torch.zeros(1, 64, 800), rows, None)
    assert patches.shape == (1, 64, 4, 200)
    with pytest.raises(
        ValueError, match="64 channels x 5 patches exceed the token budget, 4 patch"
    ):
        as_patches(NEURORVQ_EEG, torch.zeros(1, 64, 1000), rows, None)


def test_an_input_without_three_axes_is_refused():
    with pytest.raises(ValueError, match=r"\(batch, n_chans, n_times\), got shape \(2, 400\)"):
        as_patches(NEURORVQ_EEG, torch.zeros(2, 400), torch.arange(2), None)


def test_rows_of_the_call_come_before_those_of_the_constructor():
    x = torch.zeros(1, 2, 200)
    given, resolved = torch.tensor([1, 2]), torch.tensor([3, 4])
    assert as_patches(NEURORVQ_EEG, x, given, resolved)[1].tolist() == [1, 2]
    assert as_patches(NEURORVQ_EEG, x, None, resolved)[1].tolist() == [3, 4]
    with pytest.raises(ValueError, match="the channels are unknown"):
        as_patches(NEURORVQ_EEG, x, None, None)
    with pytest.raises(ValueError, match="3 channel_ids for an input with 2 channels"):
        as_patches(NEURORVQ_EEG, x, torch.arange(3), None)
