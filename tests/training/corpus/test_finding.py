# License: BSD-3-Clause
"""Which recordings are found, and whose they are said to be."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from mne.utils import use_log_level
from optional_library import import_or_skip

from mne_neurorvq.training.corpus.finding import find_recordings


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(found, root):
    return [one.path.relative_to(root).as_posix() for one in found]


def test_folders_are_searched_for_the_endings_that_mne_reads(tmp_path):
    touch(
        tmp_path, "a.edf", "deep/er/B.BDF", "c_raw.fif.gz", "notes.txt", "table.csv", ".hidden.edf"
    )
    touch(tmp_path, ".git/x.edf", "whole.mff/signal1.bin")
    found = find_recordings([tmp_path])
    assert names(found, tmp_path) == ["a.edf", "c_raw.fif.gz", "whole.mff", "deep/er/B.BDF"]


def test_files_of_one_recording_are_one_recording(tmp_path):
    touch(tmp_path, "a.vhdr", "a.eeg", "a.vmrk", "b.eeg", "c.set", "c.fdt")
    touch(tmp_path, "d_raw.fif", "d_raw-1.fif", "sub-1_split-01_eeg.fif", "sub-1_split-02_eeg.fif")
    assert names(find_recordings([tmp_path]), tmp_path) == [
        "a.vhdr",
        "b.eeg",
        "c.set",
        "d_raw.fif",
        "sub-1_split-01_eeg.fif",
    ]


def test_a_file_that_several_sources_name_is_found_once(tmp_path):
    touch(tmp_path, "x/a.edf", "x/b.edf")
    sources = [tmp_path / "x" / "b.edf", tmp_path, f"{tmp_path}/*/*.edf", f"{tmp_path}/x/../x"]
    found = find_recordings(sources)
    assert names(found, tmp_path) == ["x/b.edf", "x/a.edf"]
    # The first source says whose it is.
    assert [one.subject for one in found] == ["b", "x"]


def test_a_named_file_is_taken_whatever_its_ending(tmp_path):
    touch(tmp_path, "a.dat")
    assert names(find_recordings([tmp_path / "a.dat"]), tmp_path) == ["a.dat"]


@pytest.mark.parametrize("source", ["absent.edf", "absent/*.edf", "empty"])
def test_a_source_without_recordings_is_named(tmp_path, source):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=f"{source.partition('*')[0]}.*no (such file|recording)"):
        find_recordings([tmp_path / source])


@pytest.fixture
def nobody():
    """Permissions hold: for root they would not."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield
    if is_root:
        os.seteuid(0)


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
@pytest.mark.parametrize("below", [".", "sub-01"])
def test_a_folder_that_cannot_be_read_is_reported(nobody, below):
    with tempfile.TemporaryDirectory() as name:
        locked = Path(name) / below / "locked"
        touch(Path(name), "a/x.edf", f"{below}/locked/y.edf")
        if below == "sub-01":
            pytest.importorskip("mne_bids")
            touch(Path(name), "sub-02/eeg/sub-02_task-rest_eeg.edf", "dataset_description.json")
        locked.chmod(0)
        found = find_recordings([name])
        with pytest.raises(ValueError, match=r"no recording.*locked: the folder cannot be read"):
            find_recordings([locked])
        locked.chmod(0o700)
    (problem,) = [one for one in found if one.problem]
    assert problem.path == locked
    assert problem.problem == "the folder cannot be read (Permission denied)"
    assert len(found) == 2


def test_a_changed_companion_changes_the_stamp(tmp_path):
    touch(tmp_path, "a.vhdr", "a.eeg")
    (found,) = find_recordings([tmp_path])
    before = found.stamp
    assert found.stamp == before
    (tmp_path / "a.eeg").write_bytes(b"xy")
    longer = found.stamp
    assert longer != before
    os.utime(tmp_path / "a.eeg", (0, 10**10))
    assert found.stamp != longer


@pytest.mark.parametrize(
    ("name", "subject", "rule"),
    [
        ("S001R04.edf", "eegmmidb/S001", "name known"),
        ("ses/Subject08_1.edf", "eegmat/Subject08", "name known"),
        ("a/sub-07_task-rest_eeg.edf", "sub-07", "BIDS"),
        ("p07/monday/eeg.edf", "p07", "folder"),
        ("night_raw.fif.gz", "night_raw", "file name"),
        ("S017R04_raw.fif", "eegmmidb/S017", "name known"),
        ("S1.fif", "S1", "file name"),
        ("Subject_x.fif", "Subject_x", "file name"),
    ],
)
def test_people_are_told_by_entity_known_name_folder_or_file(tmp_path, name, subject, rule):
    touch(tmp_path, name)
    (found,) = find_recordings([tmp_path])
    assert (found.subject, found.rule) == (subject, rule)


def test_an_expression_says_who_it_is(tmp_path):
    touch(tmp_path, "ward3/p1/a.edf", "ward3/p2/a.edf")
    found = find_recordings([tmp_path], subject_from=r"ward\d/(p\d)/")
    assert [one.subject for one in found] == ["p1", "p2"]
    assert find_recordings([tmp_path], subject_from="ward3")[0].subject == "ward3"
    with pytest.raises(ValueError, match=r"finds nothing in .*p1"):
        find_recordings([tmp_path], subject_from="q.")
    with pytest.raises(ValueError, match="not a regular expression"):
        find_recordings([tmp_path], subject_from="(")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_bids_data_set_inside_a_folder_is_read_as_one(tmp_path, make_raw, save):
    mne_bids = import_or_skip("mne_bids", "pretrain")
    for subject, seed in (("01", 0), ("02", 1)):
        path = mne_bids.BIDSPath(
            subject=subject, task="rest", datatype="eeg", root=tmp_path / "all" / "ds1"
        )
        raw = make_raw(8.0, seed)
        raw.info["line_freq"] = 50
        with use_log_level("error"):
            mne_bids.write_raw_bids(raw, path, format="EDF", allow_preload=True, verbose="error")
    derived = tmp_path / "all" / "ds1" / "derivatives" / "sub-01" / "eeg"
    touch(derived, "sub-01_task-rest_eeg.edf")
    save(make_raw(8.0), tmp_path / "all" / "alone.edf")
    found = find_recordings([tmp_path])
    assert [one.subject for one in found] == ["all", "ds1/sub-01", "ds1/sub-02"]
    assert [one.bids_root and one.bids_root.name for one in found] == [None, "ds1", "ds1"]
