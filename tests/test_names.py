# License: BSD-3-Clause
"""Names: one rule says which names mean the same channel, wherever names are compared."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from mne_neurorvq._names import name_key, order_by_name, say_difference
from mne_neurorvq.datasets import epochs_from_recordings, simulate_recordings
from mne_neurorvq.models import BRAINRVQ_EEG, NEURORVQ_EEG
from mne_neurorvq.signals import as_trials, match_channels

# How amplifiers, exports and readers spell what site.
SPELLINGS = {
    "GDF, dash": "EEG-Fz=fz EEG-C3=c3 EEG-Cz=cz EEG-C4=c4 EEG-Pz=pz",
    "GDF, colon": "EEG:C3=c3 EEG:Cz=cz EEG:C4=c4",
    "Emotiv": "EEG.AF3=af3 EEG.F7=f7 EEG.T7=t7 EEG.O1=o1",
    "Muse": "RAW_TP9=tp9 RAW_AF7=af7 RAW_AF8=af8 RAW_TP10=tp10",
    "Muse, LSL": "TP9=tp9 AF7=af7 AF8=af8",
    "underscore": "EEG_F3=f3 eeg_f4=f4",
    "PhysioNet": "Fc5.=fc5 C3..=c3 Af7.=af7 Iz..=iz",
    "EDF": "EEG Fp1-Ref=fp1;EEG T3-LE=t3;EEG Cz-CLE=cz;EEG C4-LER=c4;EEG Fz-AVG=fz",
    "Nihon Kohden": "EEG Fp1-Ref=fp1;EEG C3-Ref=c3;POL T3=t3;POL Cz=cz",
    "linked ears": "O1-A1A2=o1;EEG O2-A1+A2=o2;P3-(A1+A2)=p3;P4-M1M2=p4;Fz-linked ears=fz",
    "average": "C3-Avg Ref=c3;C4-AvgRef=c4;Cz-common ref=cz;Pz-Mean=pz;Fz-average reference=fz",
    "half of both ears": "C3-(A1+A2)/2=c3;C4-((M1+M2)/2)=c4;Pz-linked=pz;Cz-LM=cz;EEG F3-0V=f3",
    "numbered reference": "EEG F4-Ref2=f4;P3-G2=p3;F3-REF1=f3",
    "numbered by MNE": "EEG Cz-REF-0=cz;EEG Pz-REF-0=pz",
    "other separators": "C3_REF=c3;C4/AVG=c4;Cz ref=cz;Pz – Ref=pz",
}


@pytest.mark.parametrize("kind", SPELLINGS)
@pytest.mark.parametrize("config", [NEURORVQ_EEG, BRAINRVQ_EEG])
def test_spellings_of_amplifiers_and_readers_are_known(kind, config):
    text = SPELLINGS[kind]
    pairs = [pair.rsplit("=", 1) for pair in (text.split(";") if ";" in text else text.split())]
    for name, site in pairs:
        (match,) = match_channels([name], config.channels)
        assert match.target == site, name


@pytest.mark.parametrize(
    "names",
    [
        ["EXG Channel 0", "EXG Channel 1"],  # OpenBCI
        ["EEG 1", "EEG 8"],  # Unicorn
        ["EEG 001", "EEG 064"],
        ["E1", "E128"],  # EGI
        ["EEG-0", "EEG-1"],
    ],
)
def test_names_that_only_count_come_with_advice(names):
    for mode in ("nearest", "interpolate"):
        with pytest.warns(UserWarning, match=r"rename it .* a position \(set_montage\)\)\.$"):
            match_channels([*names, "Cz"], NEURORVQ_EEG.channels, mode=mode)
    with pytest.warns(UserWarning, match="a number, not the name of a site: rename it"):
        matches = match_channels([*names, "Cz"], NEURORVQ_EEG.channels)
    assert [match.used for match in matches] == [False, False, True]


@pytest.mark.parametrize(
    "name", ["C3-A2", "C3-M2", "EEG C4-A1", "Fp1-F7", "C3-C4", "Cz-Pz", "EEG-C3-C4", "T3-T5-REF"]
)
def test_differences_of_two_electrodes_are_no_single_electrode(name):
    with pytest.warns(UserWarning, match="bipolar"):
        match = match_channels([name, "Oz"], NEURORVQ_EEG.channels)[0]
    assert not match.used


def test_a_reference_alone_is_not_stripped_to_nothing():
    for name in ("REF", "EEG", "EEG-", "AVG", "Ref2", "EEG Ref", "A1A2"):
        assert name_key(name)


def test_channels_are_found_by_name_in_another_recording():
    order, new = order_by_name(["EEG T3-REF", "eeg:pz", "STI", "Cz"], ["Cz", "T7", "Pz", "Oz"])
    assert order == [3, 0, 1, None]
    assert new == ["STI"]
    assert say_difference(["Oz"], new) == "Oz is missing; STI is new"
    assert say_difference([], ["A", "B"]) == "A, B are new"


def test_names_equal_to_the_letter_come_before_names_alike():
    assert order_by_name(["x1", "X1"], ["X1", "x1"]) == ([1, 0], [])
    assert order_by_name(["T7", "T3"], ["T3", "T7"]) == ([1, 0], [])


def test_items_of_a_list_are_joined_by_name_in_any_order():
    one, other = (simulate_recordings(1, 2, verbose=False)[0] for _ in range(2))
    first, second = (mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose=False)
                     for raw in (one, other))  # fmt: skip
    turned = second.copy().reorder_channels(second.ch_names[::-1])
    turned.info["bads"] = ["Cz"]
    turned.rename_channels({"C3": "EEG C3-REF", "T7": "T3", "Cz": "EEG-Cz"})
    joined = as_trials([first, turned])
    plain = as_trials([first, second])
    assert joined.ch_names == tuple(first.ch_names)
    assert joined.bads == ("Cz",)
    np.testing.assert_array_equal(joined.read(), plain.read())
    np.testing.assert_array_equal(joined.read(picks=[3, 1]), plain.read(picks=[3, 1]))


def test_recordings_are_joined_by_name_in_any_order():
    several = simulate_recordings(3, 2, verbose=False)
    several[1].rename_channels({"C3": "EEG C3-REF", "T7": "T3"})
    several[1].reorder_channels(several[1].ch_names[::-1])
    arguments = {"tmin": 0.0, "tmax": 1.0, "event_id": {"left": 1}, "verbose": False}
    with pytest.warns(UserWarning, match=r"19 channels are in all .* left out: AF3, .*Fpz"):
        epochs = epochs_from_recordings(several, **arguments)
    assert epochs.ch_names == several[2].ch_names
    plain = simulate_recordings(3, 2, verbose=False)
    expected = epochs_from_recordings(plain, picks=epochs.ch_names, **arguments)
    np.testing.assert_array_equal(epochs.get_data(), expected.get_data())
