# License: BSD-3-Clause
"""Whose a recording is, as far as its name tells."""

from __future__ import annotations

from mne_neurorvq.training.people import subjects_of


def test_people_are_told_from_file_names():
    names = [
        "S001R04.edf",
        "S001R08.edf",
        "S013R04.edf",
        "Subject08_1.edf",
        "S017R04_raw.fif",
        "S1.fif",
        "Subject_x.fif",
    ]
    assert subjects_of(names) == {
        "eegmmidb": ["S001", "S013", "S017"],
        "eegmat": ["Subject08"],
        "other": ["S1.fif", "Subject_x.fif"],
    }
