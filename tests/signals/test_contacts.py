# License: BSD-3-Clause
"""Contacts: electrodes in the brain are never taken for sites on the scalp, nor caps for them."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from mne_neurorvq._names import name_key
from mne_neurorvq.models import BRAINRVQ_EEG, NEURORVQ_EEG
from mne_neurorvq.signals import match_channels
from mne_neurorvq.signals.contacts import amplifier_labels, depth_contacts, in_the_brain

CAPS = [
    name
    for name in mne.channels.get_builtin_montages()
    if not name.startswith(("artinis", "biosemi128", "biosemi160", "biosemi256"))
]
TEN_TWENTY = "Fp1 Fp2 F7 F3 Fz F4 F8 T3 C3 Cz C4 T4 T5 P3 Pz P4 T6 O1 O2".split()


def run(prefix: str, n: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(1, n + 1)]


def found(names: list[str]) -> set[str]:
    keys = [name_key(name) for name in names]
    return {names[i] for i in depth_contacts(keys) | amplifier_labels(keys)}


@pytest.mark.parametrize("cap", CAPS)
def test_no_site_of_a_cap_is_a_contact(cap):
    names = mne.channels.make_standard_montage(cap).ch_names
    lost = {name.lower() for name in found(names)}
    assert not lost & {*NEURORVQ_EEG.channels, *BRAINRVQ_EEG.channels}


@pytest.mark.parametrize(
    "names",
    [
        [*TEN_TWENTY, "T1", "T2", "A1", "A2"],
        [*TEN_TWENTY, *run("DC", 8), *run("X", 8), *run("EXG", 8), *run("BIP", 4)],
        [*run("FC", 6), *run("C", 6), *run("CP", 6)],
        run("C", 6),
        [*run("P", 8), *run("C", 6)],
        [*TEN_TWENTY, "T1"],
        [*run("C", 6), *run("EMG", 4), *run("EXG", 8)],
        [*run("P", 8), "O1", "Oz", "O2", "PO3", "PO4"],
        [*run("P", 10), "Pz", "O1", "Oz", "O2"],
        [*run("F", 8), *run("P", 8), "T7", "T8", "Fp1", "Fp2"],
        [*run("F", 10), *run("FC", 6), *run("C", 6), *run("P", 10)],
        list(NEURORVQ_EEG.channels),
        list(BRAINRVQ_EEG.channels),
    ],
)
def test_choices_of_a_cap_are_no_contacts(names):
    assert found(names) == set()


@pytest.mark.parametrize(
    "names",
    [
        run("O", 8),
        run("P", 10),
        run("P", 12),
        run("T", 10),
        [*run("O", 6), *run("P", 10), *run("T", 10)],
        [*run("LA", 8), *run("P", 6)],
        [*run("FP", 8), *run("PO", 10)],
        [*run("TP", 8), *run("RT", 8), *run("AF", 8)],
        [name for name in run("O", 8) if name != "O3"],
        [name for name in run("T", 10) if name != "T2"],
        [name for name in (*run("LA", 8), *run("P", 10)) if name != "LA5"],
        [*run("A", 10), *run("C", 6)],
        [*run("A'", 8), *run("O'", 10)],
        [f"POL {name}" for name in (*run("T", 10), *run("O", 5))],
    ],
)
def test_shafts_are_contacts(names):
    assert found(names) == set(names)
    for config in (NEURORVQ_EEG, BRAINRVQ_EEG):
        with pytest.raises(ValueError, match=r"None of the .*a depth electrode"):
            match_channels(names, config.channels, ch_types=["eeg"] * len(names))


def test_the_scalp_beside_shafts_keeps_its_names():
    shafts = [*run("A", 10), *run("B", 8), *run("LH", 12), *run("P'", 8)]
    with pytest.warns(UserWarning, match=f"{len(shafts)} of {len(shafts) + 19} channels"):
        matches = match_channels([*TEN_TWENTY, *shafts], NEURORVQ_EEG.channels)
    assert [match.name for match in matches if match.used] == TEN_TWENTY
    doubtful = ["Fz", "Cz", "Pz", "O1", "O2", *run("A", 10), *run("B", 8), *run("P", 10)]
    assert found(doubtful) == set(doubtful[5:])
    # T3 and T7 are one site: a shaft that has both speaks for its neighbours.
    beside = ["Fz", "Cz", "Pz", *run("P", 10), *run("T", 10)]
    assert found(beside) == set(beside[3:])
    rows = [*run("FC", 6), *run("C", 6), *run("CP", 6)]
    assert found([*rows, *run("LA", 8)]) == set(run("LA", 8))


def test_triggers_that_are_numbered_are_no_evidence():
    names = [*run("C", 6), *run("D", 8)]
    types = ["eeg"] * 6 + ["stim"] * 8
    with pytest.warns(UserWarning, match="8 of 14 channels"):
        matches = match_channels(names, NEURORVQ_EEG.channels, ch_types=types)
    assert [match.used for match in matches] == [True] * 6 + [False] * 8


def test_contacts_are_not_placed_by_position_but_labels_of_a_cap_are():
    names = [*run("O", 8), *run("P", 10)]
    keys = [name.lower() for name in names]
    # From the scalp inwards, 4 mm apart.
    outwards = np.array([0.5, -0.6, 0.6])
    depths = np.array([0.09 - 0.004 * k for k in (*range(8), *range(10))])
    positions = depths[:, None] * outwards
    positions[8:, 0] *= -1
    assert in_the_brain(keys, positions, depth_contacts(keys)) == set(range(18))
    for mode in ("nearest", "interpolate"):
        with pytest.raises(ValueError, match="not on the scalp"):
            match_channels(names, NEURORVQ_EEG.channels, mode=mode, positions=positions)
    for cap in ("biosemi128", "biosemi160", "biosemi256"):
        montage = mne.channels.make_standard_montage(cap)
        keys = [name.lower() for name in montage.ch_names]
        positions = np.array(list(montage.get_positions()["ch_pos"].values()))
        contacts = depth_contacts(keys)
        assert contacts
        assert in_the_brain(keys, positions, contacts) == set()


def test_labels_of_a_cap_match_no_ear():
    with pytest.raises(ValueError, match=r"None of the 32 channels.*a label of the amplifier"):
        match_channels(run("A", 32), NEURORVQ_EEG.channels)
    with pytest.raises(ValueError, match=r"None of the 3 channels.*a label of the amplifier"):
        match_channels(["1-A1", "1-B2", "2-A1"], NEURORVQ_EEG.channels)
