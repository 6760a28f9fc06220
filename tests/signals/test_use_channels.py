# License: BSD-3-Clause
"""Channels for models without a vocabulary: all of the modality, each by its own name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mne_neurorvq.signals import match_channels, use_channels
from mne_neurorvq.signals.channel_report import used_channels


@given(st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_every_name_is_taken_as_it_is(names):
    matches = use_channels(names)
    assert [match.target for match in matches] == names
    assert used_channels(matches) == (list(range(len(names))), list(range(len(names))))
    assert {match.how for match in matches} == {"any"}


def left_out(names, **facts):
    with pytest.warns(UserWarning, match="left out of the model") as caught:
        matches = use_channels(names, **facts)
    assert len(caught) == 1
    return {match.name: match.reason for match in matches if not match.used}


def test_bad_channels_and_other_types_are_left_out_with_the_reason():
    found = left_out(
        ["a", "b", "c", "d"], ch_types=["eeg", "stim", "eeg", "eog"], bads=["c", "elsewhere"]
    )
    assert found == {
        "b": "type 'stim' holds no EEG",
        "c": "marked bad",
        "d": "type 'eog' holds no EEG",
    }


def test_types_that_may_hold_the_signals_are_taken_where_none_is_named_so():
    # EDF readers call everything "eeg".
    names, types = ["arm", "leg", "trigger"], ["eeg", "misc", "stim"]
    assert list(left_out(names, ch_types=types, modality="emg")) == ["trigger"]
    types = ["emg", "misc", "stim"]
    assert list(left_out(names, ch_types=types, modality="emg")) == ["leg", "trigger"]


def test_no_channel_at_all_is_an_error():
    with pytest.raises(ValueError, match=r"None of the 2 channels can be used: 'a' \(marked bad\)"):
        use_channels(["a", "b"], ch_types=["eeg", "stim"], bads=["a"])


def test_a_name_twice_and_arguments_that_disagree_are_refused():
    with pytest.raises(ValueError, match="ch_names holds 'a' twice"):
        use_channels(["a", "b", "a"])
    with pytest.raises(ValueError, match="ch_types has 1 entries for 2 channels"):
        use_channels(["a", "b"], ch_types=["eeg"])
    with pytest.raises(ValueError, match="modality='meg' is unknown"):
        use_channels(["a"], modality="meg")


@given(st.sampled_from(["ECG", "EKG1", "EOG", "HEOG", "VEOG-0", "EEG ECG-REF", "EMG chin", "Resp"]))
def test_another_signal_that_readers_call_eeg_is_left_out_by_its_name(name):
    found = left_out(["Cz", name, "left"], ch_types=["eeg"] * 3)
    assert list(found) == [name]
    assert "set_channel_types" in found[name]
    with pytest.warns(UserWarning, match="the name says that it holds another signal"):
        matches = match_channels(["Cz", name], ["cz", "fz"], ch_types=["eeg"] * 2)
    assert [match.reason for match in matches if not match.used] == list(found.values())
    with pytest.raises(ValueError, match="set_channel_types"):
        use_channels([name], ch_types=["eeg"])
