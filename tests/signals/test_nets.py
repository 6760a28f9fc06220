# License: BSD-3-Clause
"""Nets: the maker's table decides, where the positions are those of the net."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from mne_neurorvq.models import BRAINRVQ_EEG, NEURORVQ_EEG
from mne_neurorvq.signals import match_channels
from mne_neurorvq.signals.nets import NETS, published_sites
from mne_neurorvq.signals.sites import placed_by_sites
from mne_neurorvq.signals.trials import electrode_positions

BY_SIZE = {33: NETS[0], 65: NETS[1], 129: NETS[2], 257: NETS[3]}


def net(name: str) -> tuple[list[str], np.ndarray]:
    montage = mne.channels.make_standard_montage(name)
    info = mne.create_info(montage.ch_names, 100.0, "eeg").set_montage(montage)
    return [ch_name.lower() for ch_name in montage.ch_names], electrode_positions(info)


@pytest.mark.parametrize("table", NETS, ids=lambda table: table.montage)
def test_every_entry_of_a_table_is_plausible(table):
    electrodes = table.electrodes
    assert len(set(electrodes.values())) == len(electrodes)
    names, positions = net(table.montage)
    known = {names.index(f"e{number}"): site for site, number in electrodes.items()}
    placement = placed_by_sites(names, positions, known)
    distances = placement.distances(list(known), list(known.values()))
    assert np.diagonal(distances).max() < 30
    assert np.diagonal(distances).mean() < 15
    # Left and right are mirror images.
    mirrored = {site: positions[i] * [-1, 1, 1] for i, site in known.items()}
    for i, site in known.items():
        if site[-1].isdigit():
            number = int(site.strip("abcdefghijklmnopqrstuvwxyz"))
            other = f"{site.removesuffix(str(number))}{number + (1 if number % 2 else -1)}"
            assert np.linalg.norm(mirrored[other] - positions[i]) < 0.02, site


@pytest.mark.parametrize(
    "name", ["GSN-HydroCel-32", "GSN-HydroCel-64_1.0", "GSN-HydroCel-65_1.0", "GSN-HydroCel-128",
             "GSN-HydroCel-129", "GSN-HydroCel-256", "GSN-HydroCel-257"],
)  # fmt: skip
@pytest.mark.parametrize("config", [NEURORVQ_EEG, BRAINRVQ_EEG])
def test_electrodes_of_a_net_get_the_sites_of_its_table(name, config):
    names, positions = net(name)
    table = BY_SIZE[min(size for size in BY_SIZE if size >= len(names))]
    with pytest.warns(UserWarning, match="left out"):
        matches = match_channels(names, config.channels, mode="nearest", positions=positions)
    taken = {match.target: match.name for match in matches if match.used}
    for site, number in table.electrodes.items():
        if site in config.channels:
            assert taken[site] == f"e{number}"
    assert len(taken) > 0.4 * min(len(names), 104) or len(names) == 33


def test_the_reason_names_who_took_the_site():
    names, positions = net("GSN-HydroCel-129")
    with pytest.warns(UserWarning, match="its nearest site 't7' is taken by 'e45'"):
        matches = match_channels(names, NEURORVQ_EEG.channels, mode="nearest", positions=positions)
    assert matches[names.index("e38")].reason.startswith("FT9, not among the model's 104")


def test_digitised_heads_and_parts_of_a_net_are_recognised():
    names, positions = net("GSN-HydroCel-129")
    rng = np.random.default_rng(0)
    digitised = 0.93 * positions + rng.normal(0, 0.004, positions.shape) + [0.01, -0.02, 0.015]
    for keep in (slice(None), slice(0, 129, 2), slice(20, 60)):
        sites = published_sites(names[keep], digitised[keep])
        assert sites is not None
        found = {names[keep][i]: site for i, site in sites.items()}
        assert all(NETS[2].electrodes[site] == int(name[1:]) for name, site in found.items())
    spelled = [name.replace("e", "") if name == "cz" else f"0{name[1:]}" for name in names]
    assert published_sites(spelled, positions) == published_sites(names, positions)


def test_other_caps_of_numbered_electrodes_have_no_table():
    for name in ("easycap-M10", "mgh60", "biosemi64", "biosemi128"):
        names, positions = net(name)
        assert published_sites([f"e{i + 1}" for i in range(len(names))], positions) is None
    names, positions = net("GSN-HydroCel-129")
    assert published_sites(names, np.full_like(positions, np.nan)) is None
