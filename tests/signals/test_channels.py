# License: BSD-3-Clause
"""Channels: every channel of a recording is matched or left out for a reason."""

from __future__ import annotations

import warnings

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mne_neurorvq.models import NEURORVQ_EEG
from mne_neurorvq.signals import ChannelMatch, match_channels
from mne_neurorvq.signals.channel_report import used_channels
from mne_neurorvq.signals.sites import template_positions

EEG = (
    "a1 a2 af3 af4 af7 af8 afz c1 c2 c3 c4 c5 c6 cp1 cp2 cpz cz eog f3 f4 f7 f8 fc1 fc2 fp1 fp2 "
    "fz o1 o2 oz p08 p3 p4 p7 p8 po8 pz roc t3 t4 t5 t6 t7 t8"
).split()


needs_mne_1_13 = pytest.mark.skipif(
    len(template_positions()) < 2, reason="one template head only before MNE 1.13"
)


def by_name(matches: tuple[ChannelMatch, ...]) -> dict[str, ChannelMatch]:
    return {match.name: match for match in matches}


@pytest.mark.parametrize(
    "name", ["Fp1", "FP1", "fp1", " Fp1 ", "Fp1.", "Fp1..", "EEG Fp1", "EEG FP1-REF", "Fp1-LE",
             "EEG  Fp 1 - Ref"],
)  # fmt: skip
def test_spellings_of_a_name_are_the_same_name(name: str) -> None:
    (match,) = match_channels([name], EEG)
    assert (match.target, match.row, match.how) == ("fp1", EEG.index("fp1"), "exact")
    assert match.name == name
    assert match.reason == ""


@given(
    st.sampled_from(EEG),
    st.sampled_from(["", "EEG ", "eeg  "]),
    st.sampled_from(["", ".", "..", "-REF", "-le", " "]),
    st.booleans(),
)
def test_decoration_never_changes_the_match(
    name: str, prefix: str, suffix: str, upper: bool
) -> None:
    (match,) = match_channels([prefix + (name.upper() if upper else name) + suffix], EEG)
    assert match.target == name


def test_exact_names_come_before_aliases() -> None:
    matches = match_channels(["T7", "T3", "P7", "T5"], EEG)
    assert [m.target for m in matches] == ["t7", "t3", "p7", "t5"]
    assert {m.how for m in matches} == {"exact"}


@pytest.mark.parametrize(
    ("name", "target"),
    [("T3", "t7"), ("T4", "t8"), ("T5", "p7"), ("T6", "p8"), ("M1", "a1"), ("M2", "a2")],
)
def test_aliases_work_both_ways(name: str, target: str) -> None:
    (match,) = match_channels([name], [target])
    assert (match.target, match.how) == (target, "alias")
    (match,) = match_channels([target.upper()], [name.lower()])
    assert (match.target, match.how) == (name.lower(), "alias")


@pytest.mark.parametrize(
    ("name", "target"), [("F7-T3", "f7-t7"), ("EEG T3-T5", "t7-p7"), ("T5-O1-REF", "p7-o1")]
)
def test_older_names_of_a_derivation_match_the_newer_ones(name: str, target: str) -> None:
    (match,) = match_channels([name], ["t3", "t5", "f7", target])
    assert (match.target, match.how) == (target, "alias")


def test_an_exact_name_keeps_its_site_though_an_alias_comes_first() -> None:
    with pytest.warns(UserWarning, match="already used by 'A1'"):
        matches = match_channels(["M1", "A1"], ["a1"])
    assert [m.target for m in matches] == [None, "a1"]


def test_p08_and_po8_are_two_channels() -> None:
    assert [m.target for m in match_channels(["PO8", "P08"], EEG)] == ["po8", "p08"]


def test_of_two_channels_of_one_name_the_first_is_used() -> None:
    with pytest.warns(UserWarning, match="'cz' is already used by 'Cz'"):
        matches = match_channels(["Cz", "EEG Cz-REF"], EEG)
    assert [m.used for m in matches] == [True, False]


def test_the_second_of_two_channels_does_not_move_to_the_alias() -> None:
    with pytest.warns(UserWarning, match="'t3' is already used by 'T3'"):
        matches = match_channels(["T3", "T3."], EEG)
    assert [m.target for m in matches] == ["t3", None]


def test_a_duplicate_of_a_bad_channel_is_used() -> None:
    with pytest.warns(UserWarning, match="marked bad"):
        matches = match_channels(["Cz", "CZ"], EEG, bads=["Cz"])
    assert [m.used for m in matches] == [False, True]


@pytest.mark.parametrize("name", ["Fp1-F7", "EEG A2-A1", "C3-M2", "Cz-Pz-REF"])
@pytest.mark.parametrize("mode", ["match", "nearest", "interpolate"])
def test_bipolar_names_are_never_one_electrode(name: str, mode: str) -> None:
    positions = np.array([template_positions()[0]["f7"], template_positions()[0]["cz"]])
    with pytest.warns(UserWarning, match="bipolar: not matched to a single electrode"):
        matches = match_channels([name, "Cz"], EEG, mode=mode, positions=positions)
    assert not matches[0].used


def test_bipolar_names_match_bipolar_names() -> None:
    (match,) = match_channels(["EEG FP1-F7"], ["FP1", "FP1-F7"])
    assert match.target == "FP1-F7"


def test_rows_and_picks_keep_the_order_of_the_recording() -> None:
    with pytest.warns(UserWarning, match="left out"):
        matches = match_channels(["Pz", "X", "Cz", "Fz"], EEG)
    picks, rows = used_channels(matches)
    assert picks == [0, 2, 3]
    assert [EEG[row] for row in rows] == ["pz", "cz", "fz"]


def test_one_warning_names_all_that_is_left_out() -> None:
    with pytest.warns(UserWarning) as caught:  # noqa: PT030 - the text is checked below
        matches = by_name(
            match_channels(
                ["Cz", "X1", "Fz", "STI 014", "Pz"],
                EEG,
                ch_types=["eeg", "eeg", "eeg", "stim", "eeg"],
                bads=["Pz"],
            )
        )
    assert len(caught) == 1
    text = str(caught[0].message)
    for part in ("3 of 5", "'X1' (not among", "'STI 014' (type 'stim'", "'Pz' (marked bad)"):
        assert part in text
    assert matches["Pz"].reason == "marked bad"
    assert matches["Cz"].used


def test_a_complete_match_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        match_channels(["Cz", "Fz"], EEG, ch_types=["eeg", "eeg"])


def test_eog_channels_are_used_if_the_vocabulary_has_them() -> None:
    with pytest.warns(UserWarning, match="'VEOG'"):
        matches = match_channels(["ROC", "VEOG", "Cz"], EEG, ch_types=["eog", "eog", "eeg"])
    assert [m.target for m in matches] == ["roc", None, "cz"]


@pytest.mark.parametrize("ch_type", ["stim", "ecg", "emg", "misc", "seeg", "mag", "resp"])
def test_eeg_models_take_no_other_types(ch_type: str) -> None:
    with pytest.warns(UserWarning, match=f"type '{ch_type}' holds no EEG"):
        matches = match_channels(["C3", "C4"], EEG, ch_types=[ch_type, "eeg"])
    assert [m.used for m in matches] == [False, True]


def test_other_modalities_take_their_own_types() -> None:
    assert match_channels(["EMG C1"], ["c1"], modality="emg", ch_types=["emg"])[0].used
    assert match_channels(["ECG II"], ["i", "ii"], modality="ecg", ch_types=["ecg"])[0].row == 1
    assert match_channels(["PPG_C1"], ["ppg_c1"], modality="ppg", ch_types=["bio"])[0].used


def test_strict_raises_naming_every_channel_without_match() -> None:
    with pytest.raises(ValueError, match=r"2 of 3 channels have no match: 'X1', 'X2'"):
        match_channels(["Cz", "X1", "X2"], EEG, mode="strict")


def test_strict_accepts_triggers_and_bad_channels() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matches = match_channels(
            ["Cz", "Fz", "STI"], EEG, mode="strict", ch_types=["eeg", "eeg", "stim"], bads=["Fz"]
        )
    assert [m.used for m in matches] == [True, False, False]


@pytest.mark.parametrize("mode", ["match", "strict", "nearest", "interpolate"])
def test_no_match_at_all_raises_with_remedies(mode: str) -> None:
    with pytest.raises(ValueError, match=r"None of the 2 channels .* Rename .*channels='"):
        match_channels(["E1", "E2"], EEG, mode=mode)


def test_unknown_mode_and_modality_raise() -> None:
    with pytest.raises(ValueError, match="channels='fuzzy' is unknown"):
        match_channels(["Cz"], EEG, mode="fuzzy")
    with pytest.raises(ValueError, match="modality='meg' is unknown"):
        match_channels(["Cz"], EEG, modality="meg")


def test_arguments_of_other_lengths_raise() -> None:
    with pytest.raises(ValueError, match="ch_types has 1 entries for 2"):
        match_channels(["Cz", "Fz"], EEG, ch_types=["eeg"])
    with pytest.raises(ValueError, match=r"positions has shape \(1, 3\)"):
        match_channels(["Cz", "Fz"], EEG, positions=np.zeros((1, 3)))


def test_nearest_puts_unknown_names_on_the_nearest_free_sites() -> None:
    template = template_positions()[0]
    positions = np.array([template["fz"], template["cz"] + 0.002, template["oz"]])
    matches = match_channels(["E11", "E129", "Oz"], EEG, mode="nearest", positions=positions)
    assert [m.target for m in matches] == ["fz", "cz", "oz"]
    assert [m.how for m in matches] == ["nearest", "nearest", "exact"]
    assert matches[0].distance_mm == pytest.approx(0, abs=0.1)
    assert matches[1].distance_mm == pytest.approx(2 * np.sqrt(3), abs=0.1)
    assert matches[2].distance_mm is None


def test_nearest_never_takes_a_site_twice() -> None:
    template = template_positions()[0]
    midway = (template["o1"] + template["oz"]) / 2
    positions = np.array([template["oz"], midway, midway])
    with pytest.warns(UserWarning, match="'E2' .its nearest site 'o1' is taken by 'E1'"):
        matches = match_channels(
            ["Oz", "E1", "E2"], ["o1", "oz"], mode="nearest", positions=positions
        )
    assert [m.target for m in matches] == ["oz", "o1", None]


def test_nearest_prefers_the_newer_of_two_names_of_a_site() -> None:
    positions = template_positions()[0]["t7"][None]
    (match,) = match_channels(["E45"], EEG, mode="nearest", positions=positions)
    assert match.target == "t7"


def test_nearest_leaves_out_what_is_far_away_or_nowhere() -> None:
    template = template_positions()[0]
    positions = np.array([template["cz"], template["iz"] - [0, 0.05, 0], [np.nan] * 3])
    with pytest.warns(UserWarning, match="'E2' .no free site of the model within 30 mm"):
        matches = match_channels(["E1", "E2", "E3"], EEG, mode="nearest", positions=positions)
    assert [m.used for m in matches] == [True, False, False]
    assert "give it a position" in matches[2].reason


@needs_mne_1_13
def test_nearest_takes_positions_of_known_names_from_the_template() -> None:
    (match,) = match_channels(["FT9"], ["ft7", "f9", "t9"], mode="nearest")
    assert match.how == "nearest"
    assert match.target in ("ft7", "f9", "t9")
    assert 0 < match.distance_mm < 30


def test_nearest_moves_only_good_eeg_channels() -> None:
    positions = np.array([template_positions()[0][name] for name in ("cz", "fz", "pz")])
    with pytest.warns(UserWarning, match="left out"):
        matches = match_channels(
            ["E1", "VEOG", "E3"],
            EEG,
            mode="nearest",
            positions=positions,
            ch_types=["eeg", "eog", "eeg"],
            bads=["E3"],
        )
    assert [m.target for m in matches] == ["cz", None, None]


CAP = [f"{letter}{i}" for letter in "ABCD" for i in range(1, 33)]


@pytest.mark.parametrize("mode", ["match", "strict"])
def test_labels_of_a_large_cap_are_no_names_of_sites(mode):
    vocabulary = ["a1", "a2", "c3", "c4", "cz"]
    with pytest.raises(ValueError, match=r"None of the 128 channels.*label of the amplifier"):
        match_channels(CAP, vocabulary, mode=mode)
    # Nor are they where some sites beside them have names.
    with pytest.warns(UserWarning, match="128 of 129 channels"):
        matches = match_channels([*CAP, "Cz"], vocabulary)
    assert [match.name for match in matches if match.used] == ["Cz"]


@needs_mne_1_13
def test_labels_of_a_large_cap_are_placed_by_position():
    montage = mne.channels.make_standard_montage("biosemi128")
    positions = np.array(list(montage.get_positions()["ch_pos"].values()))
    with pytest.warns(UserWarning, match="of 128 channels are left out"):
        matches = match_channels(
            montage.ch_names, NEURORVQ_EEG.channels, mode="nearest", positions=positions
        )
    found = {match.name: match for match in matches}
    # A1 is the vertex of this cap, C3 lies over the right frontal cortex.
    assert found["A1"].target == "cz"
    assert all(match.how == "nearest" for match in matches if match.used)


def test_a_few_letters_with_numbers_beside_sites_are_no_labels():
    names = ["A1", "A2", "C3", "C4", "F3", "D1", "D2", "E1", "E2", "B1", "B2"]
    with pytest.warns(UserWarning, match="6 of 11 channels"):
        matches = match_channels(names, ["a1", "a2", "c3", "c4", "f3"])
    assert [match.target for match in matches if match.used] == ["a1", "a2", "c3", "c4", "f3"]


def test_of_derivations_that_mne_has_numbered_the_first_is_used() -> None:
    # Every recording of CHB-MIT has T8-P8 twice.
    with pytest.warns(UserWarning, match=r"'T8-P8-1' \('t8-p8' is already used by 'T8-P8-0'\)"):
        matches = match_channels(["T8-P8-0", "FP2-F8", "T8-P8-1"], ["fp2-f8", "t8", "t8-p8"])
    assert [m.target for m in matches] == ["t8-p8", "fp2-f8", None]
    positions = np.tile(template_positions()[0]["t8"], (2, 1))
    with pytest.warns(UserWarning, match="bipolar: not matched to a single electrode"):
        matches = match_channels(
            ["Cz", "T8-P8-0"], ["cz", "t8"], mode="nearest", positions=positions
        )
    assert [m.target for m in matches] == ["cz", None]


def test_names_decide_where_nobody_said_what_the_channels_hold():
    with pytest.warns(UserWarning, match=r"1 of 3 channels.*'Status'"):
        matches = match_channels(["C3", "Status", "Cz"], EEG, ch_types=["misc"] * 3)
    assert [match.used for match in matches] == [True, False, True]
    typed = ["eeg", "misc", "misc"]
    with pytest.warns(UserWarning, match="type 'misc' holds no EEG"):
        matches = match_channels(["C3", "Cz", "C4"], EEG, ch_types=typed)
    assert [match.used for match in matches] == [True, False, False]


_SEEN = st.sets(st.sampled_from(EEG), min_size=1)
_RECORDED = st.lists(st.sampled_from(EEG), min_size=1, max_size=8, unique=True)


@pytest.mark.filterwarnings("ignore:.* channels are left out of the model")
@given(_SEEN, _RECORDED, st.sampled_from(["match", "nearest"]))
def test_names_that_were_not_trained_are_as_good_as_unknown(seen, recorded, mode) -> None:
    rest = [name for name in EEG if name in seen]
    try:
        whole = match_channels(recorded, EEG, mode=mode, trained=list(seen))
        found = [(m.name, m.target, m.how) for m in whole]
    except ValueError:  # none can be used
        with pytest.raises(ValueError, match="None of"):
            match_channels(recorded, rest, mode=mode)
        return
    assert found == [(m.name, m.target, m.how) for m in match_channels(recorded, rest, mode=mode)]
    assert all(EEG[m.row] == m.target for m in whole if m.used)


def test_a_channel_that_was_not_trained_is_named_with_the_reason() -> None:
    with pytest.warns(UserWarning, match=r"'A1', 'M2' \(known to the model by name only"):
        matches = match_channels(["Cz", "A1", "M2"], EEG, trained=["cz", "fz"])
    assert [m.used for m in matches] == [True, False, False]
    with pytest.raises(ValueError, match="known to the model by name only"):
        match_channels(["Cz", "A1"], EEG, trained=["cz"], mode="strict")
    assert [m.row for m in match_channels(["A1"], EEG)] == [0]
