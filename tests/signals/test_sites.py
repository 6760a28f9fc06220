# License: BSD-3-Clause
"""Sites: electrodes land where their names say, on any of MNE's heads."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from mne_neurorvq.models import NEURORVQ_EEG
from mne_neurorvq.signals import assignment, match_channels
from mne_neurorvq.signals.sites import MAX_DISTANCE_MM, nearest_sites, template_positions
from mne_neurorvq.signals.trials import electrode_positions

needs_mne_1_13 = pytest.mark.skipif(
    len(template_positions()) < 2, reason="one template head only before MNE 1.13"
)


def montage_in_head_frame(name: str) -> tuple[list[str], np.ndarray]:
    montage = mne.channels.make_standard_montage(name)
    info = mne.create_info(montage.ch_names, 100.0, "eeg")
    info.set_montage(montage)
    return montage.ch_names, electrode_positions(info)


def test_nearly_all_names_of_the_vocabulary_have_a_position() -> None:
    known = template_positions()[0]
    missing = set(NEURORVQ_EEG.channels) - set(known)
    assert missing == set("ccp7 ccp8 cfc7 cfc8 eog loc p08 roc sp1 sp2 t1 t2".split())


def test_template_positions_are_in_metres_in_the_head_frame() -> None:
    for template in template_positions():
        assert template["cz"][2] > 0.1
        assert template["t7"][0] < -0.06 < 0.06 < template["t8"][0]
        assert template["fpz"][1] > 0.09


@needs_mne_1_13
@pytest.mark.parametrize(
    "name", ["biosemi64", "biosemi32", "easycap-M1", "brainproducts-RNP-BA-128"]
)
def test_caps_on_a_spherical_head_find_their_own_names(name: str) -> None:
    # As they are, these positions lie 23 mm from the template's and a third finds its name.
    ch_names, positions = montage_in_head_frame(name)
    named = [i for i, ch_name in enumerate(ch_names) if ch_name.lower() in NEURORVQ_EEG.channels]
    matches = match_channels(
        [f"E{i}" for i in named],
        NEURORVQ_EEG.channels,
        mode="nearest",
        positions=positions[named],
    )
    right = [m.target == ch_names[i].lower() for m, i in zip(matches, named, strict=True)]
    assert np.mean(right) == 1.0


@needs_mne_1_13
def test_electrodes_of_a_geodesic_net_land_near_their_published_equivalents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Without the table: some of Luu and Ferree (2005), HydroCel GSN to 10-10.
    equivalents = {"E24": "f3", "E124": "f4", "E36": "c3", "E104": "c4", "E62": "pz", "E70": "o1",
                   "E83": "o2", "E75": "oz", "E22": "fp1", "E9": "fp2"}  # fmt: skip
    monkeypatch.setattr(assignment, "published_sites", lambda keys, positions: None)
    ch_names, positions = montage_in_head_frame("GSN-HydroCel-129")
    with pytest.warns(UserWarning, match="left out"):
        matches = match_channels(
            ch_names, NEURORVQ_EEG.channels, mode="nearest", positions=positions
        )
    found = {m.name: m for m in matches}
    assert {name: found[name].target for name in equivalents} == equivalents
    used = [m for m in matches if m.how == "nearest"]
    assert len(used) > 60
    assert max(m.distance_mm for m in used) <= MAX_DISTANCE_MM


@pytest.mark.parametrize("n_electrodes", [1, 4, 16])
def test_positions_of_the_template_itself_give_their_names(n_electrodes: int) -> None:
    free = [name for name in NEURORVQ_EEG.channels if name not in ("t3", "t4", "t5", "t6")]
    sites = "fz cz pz oz c3 c4 t7 t8 fp1 fp2 f3 f4 p3 p4 o1 o2".split()
    for template in template_positions():
        positions = np.array([template[site] for site in sites[:n_electrodes]])
        names = [f"e{i}" for i in range(n_electrodes)]
        assigned, _ = nearest_sites(range(n_electrodes), names, positions, free)
        assert [assigned[i][0] for i in range(n_electrodes)] == sites[:n_electrodes]
        assert max(distance for _, distance in assigned.values()) == 0


def test_electrodes_without_position_or_too_far_away_get_no_site() -> None:
    positions = np.array([[np.nan] * 3, [0.0, 0.0, 1.0]])
    assert nearest_sites([0, 1], ["e1", "e2"], positions, ["cz"])[0] == {}


def test_no_free_site_leaves_everything_unassigned() -> None:
    assert nearest_sites([0], ["cz"], np.full((1, 3), np.nan), [])[0] == {}


def test_the_nearest_pair_comes_first_though_others_go_without() -> None:
    # Minimising the sum would move e1 to fz, so that e2 gets cz.
    template = template_positions()[0]
    towards = template["fz"] - template["cz"]
    positions = np.array([template["cz"] + 0.1 * towards, template["cz"] - 0.3 * towards])
    assigned, _ = nearest_sites([0, 1], ["e1", "e2"], positions, ["fz", "cz"])
    assert assigned == {0: ("cz", pytest.approx(6.0, abs=2.0))}


@pytest.mark.parametrize("name", ["GSN-HydroCel-65_1.0", "GSN-HydroCel-129", "GSN-HydroCel-257"])
@pytest.mark.parametrize("mode", ["nearest", "interpolate"])
def test_electrodes_on_face_and_neck_are_never_used(name: str, mode: str) -> None:
    ch_names, positions = montage_in_head_frame(name)
    # On the cheeks, as the net's map shows them.
    cheeks = {"GSN-HydroCel-65_1.0": "E62 E63", "GSN-HydroCel-129": "E48 E119 E126 E127",
              "GSN-HydroCel-257": "E237 E240 E241 E242 E243 E247"}[name].split()  # fmt: skip
    # Under other names no table says where they belong.
    for names in (ch_names, [f"X{ch_name}" for ch_name in ch_names]):
        with pytest.warns(UserWarning, match="on the face, a cheek or the neck"):
            matches = match_channels(names, NEURORVQ_EEG.channels, mode=mode, positions=positions)
        for ch_name, match in zip(ch_names, matches, strict=False):
            assert ch_name not in cheeks or match.left_out
