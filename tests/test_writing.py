# License: BSD-3-Clause
"""A file that is saved is there as a whole, or what was there before is."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mne_neurorvq import _writing
from mne_neurorvq._writing import replacing, saving, write_text

fcntl = pytest.importorskip("fcntl")

_STAYS = """
import sys, time
from pathlib import Path
from mne_neurorvq._writing import replacing
with replacing(Path(sys.argv[1])) as new:
    new.write_text("half")
    print("here", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that is in the middle of saving the file."""
    process = subprocess.Popen(
        [sys.executable, "-c", _STAYS, tmp_path / "file"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "here\n"
    yield process
    process.kill()
    process.communicate()


def _names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_killed_save_leaves_the_old_file_and_the_next_removes_its_rests(other, tmp_path):
    (tmp_path / "file").write_text("old")
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / "file").read_text() == "old"
    assert len(_names(tmp_path)) > 1
    write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"
    assert _names(tmp_path) == ["file"]


def test_what_a_living_saver_writes_is_left_alone(other, tmp_path, monkeypatch):
    monkeypatch.setattr(_writing, "_LOCK_SECONDS", 0.2)
    before = _names(tmp_path)
    with pytest.raises(TimeoutError, match=r"file has been locked by another process"):
        write_text(tmp_path / "file", "new")
    assert _names(tmp_path) == before
    write_text(tmp_path / "another", "is free")


def test_a_saver_waits_for_another(tmp_path):
    with saving(tmp_path, "file"):
        pid = os.fork()
        if not pid:
            write_text(tmp_path / "file", "from the child")
            os._exit(0)
        time.sleep(0.2)
        assert not (tmp_path / "file").exists()
    assert os.waitpid(pid, 0)[1] == 0
    assert (tmp_path / "file").read_text() == "from the child"


@pytest.mark.parametrize("length", [251, 255])
def test_names_as_long_as_the_file_system_allows_are_written(tmp_path, length):
    path = tmp_path / ("ä" * (length // 2) + "x" * (length % 2))
    write_text(path, "content")
    assert path.read_text() == "content"
    assert len(_names(tmp_path)) == 1


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "file", "old")

    def fail(new: Path) -> None:
        new.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "file") as new:
        fail(new)
    assert (tmp_path / "file").read_text() == "old"
    assert _names(tmp_path) == ["file"]


def test_parts_of_a_file_come_along(tmp_path):
    with replacing(tmp_path / "a-epo.fif") as new:
        for name in ("a-epo.fif", "a-epo-1.fif"):
            (new.parent / name).write_text(name)
    assert _names(tmp_path) == ["a-epo-1.fif", "a-epo.fif"]


def test_a_link_stays_one_and_a_file_keeps_its_permissions(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    for folder in (there, here):
        folder.mkdir()
    (there / "blob").write_text("old")
    (there / "blob").chmod(0o440)
    (here / "a.txt").symlink_to(there / "blob")
    with replacing(here / "a.txt") as new:
        assert new.name == "a.txt"
        new.write_text("new")
        new.with_name("a.json").write_text("{}")
    assert (here / "a.txt").is_symlink()
    assert (there / "blob").read_text() == "new"
    assert (there / "blob").stat().st_mode & 0o777 == 0o440
    assert _names(here) == ["a.json", "a.txt"]
    assert _names(there) == ["blob"]


def test_a_reader_that_has_opened_a_file_keeps_it(tmp_path):
    write_text(tmp_path / "file", "old")
    with (tmp_path / "file").open() as file:
        write_text(tmp_path / "file", "new")
        assert file.read() == "old"


def test_a_file_system_without_locks_is_told_and_written_to(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match=r"file has no locks: let one process at a time save"):
        write_text(tmp_path / "file", "new")
    assert _names(tmp_path) == ["file"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent/file"):
        write_text(tmp_path / "absent" / "file", "new")


def test_new_files_have_the_usual_permissions(tmp_path):
    write_text(tmp_path / "file", "new")
    (usual := tmp_path / "usual").touch()
    assert Path(tmp_path / "file").stat().st_mode == usual.stat().st_mode
