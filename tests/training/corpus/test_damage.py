# License: BSD-3-Clause
"""Lost and damaged data never become signals, and what can be mended is mended."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mne_neurorvq._sealed import seal
from mne_neurorvq.cli import main
from mne_neurorvq.training import CorpusDataset, prepare_corpus, verify_corpus

OPTIONS = dict(window=6, validation_subjects=["person2"])


@pytest.fixture
def out(corpus, tmp_path):
    """A corpus to damage."""
    return shutil.copytree(corpus, tmp_path / "out")


@pytest.fixture
def again(folder, out):
    """Prepare it again."""
    return partial(prepare_corpus, [folder], out, **OPTIONS)


def windows_of(corpus):
    return {w.id: w.data for side in ("train", "validation") for w in CorpusDataset(corpus, side)}


def assert_as_it_was(out, corpus):
    found, expected = windows_of(out), windows_of(corpus)
    assert found.keys() == expected.keys()
    for name, data in expected.items():
        np.testing.assert_array_equal(found[name], data)
    assert (out / "index.json").read_text() == (corpus / "index.json").read_text()


def arrays(out):
    return sorted(path for path in (out / "data").iterdir())


def shards(array):
    return sorted(p for p in array.rglob("*") if p.is_file() and p.name != "zarr.json")


def of_training(out):
    """Folder of the first recording that training reads."""
    return out / "data" / CorpusDataset(out, "train")._recordings[0].id


def change(path, edit):
    """Change a JSON file and its digest with it."""
    content = json.loads(path.read_text())
    del content["digest"]
    path.write_text(json.dumps(seal(edit(content) or content)))


# Arrays

LOSSES = {
    "shard": lambda array: shards(array)[0].unlink(),
    "metadata": lambda array: (array / "zarr.json").unlink(),
    "array": shutil.rmtree,
    "chunks": lambda array: shutil.rmtree(array / "c"),
    "end of a shard": lambda array: os.truncate(shards(array)[0], 1000),
    "content of a shard": lambda array: shards(array)[0].write_bytes(b""),
    "file": lambda array: (shutil.rmtree(array), array.write_text("no folder")),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_told_before_training_and_mended_by_prepare(corpus, out, again, loss):
    array = of_training(out)
    LOSSES[loss](array)
    with pytest.raises(FileNotFoundError, match=f"1 of 4 recordings are lost .*{array.name}"):
        CorpusDataset(out, "train")
    again()
    assert_as_it_was(out, corpus)


def test_pretraining_does_not_begin_with_a_loss(out, tmp_path, capsys):
    shards(of_training(out))[0].unlink()
    run = tmp_path / "run"
    assert main(["pretrain", "tokenizer", "--corpus", str(out), "-o", str(run)]) == 2
    assert "is not there" in capsys.readouterr().err
    assert not run.exists()


def test_a_loss_during_training_is_an_error(out):
    windows = CorpusDataset(out, "train")
    windows[0]
    shards(of_training(out))[0].unlink()
    with pytest.raises(ValueError, match=r"samples 0 to 1200 are lost: .*--verify"):
        windows[0]


def test_a_flipped_bit_is_an_error_wherever_it_is(corpus, out, again):
    array = of_training(out)
    expected = windows_of(corpus)
    generator = random.Random(0)
    for file in [array / "zarr.json", *shards(array)]:
        whole = file.read_bytes()
        for _ in range(40):
            damaged = bytearray(whole)
            damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
            file.write_bytes(damaged)
            told = ""
            try:
                found = windows_of(out)
            except ValueError as error:
                told = str(error)
            if told:
                assert array.name in told
                assert "--verify" in told
                continue
            # Words of the metadata that nobody reads.
            assert file.name == "zarr.json"
            assert all(np.array_equal(found[name], expected[name]) for name in expected)
        file.write_bytes(whole)


def test_what_only_reading_tells_is_mended_by_verify(corpus, out, again):
    (file, *_) = shards(of_training(out))
    damaged = bytearray(file.read_bytes())
    damaged[100] ^= 1
    file.write_bytes(damaged)
    assert again()["rejected"]["recordings"] == []
    assert [reason for reason in verify_corpus(out).values() if "damaged" in reason]
    again(verify=True)
    assert verify_corpus(out) == {}
    assert_as_it_was(out, corpus)


def test_a_shard_of_another_recording_is_not_taken_for_its_own(make_raw, save, tmp_path):
    for seed in range(2):
        save(make_raw(seed=seed), tmp_path / "x" / f"p{seed}" / "a_raw.fif")
    prepare_corpus([tmp_path / "x"], tmp_path / "out", validation_fraction=0)
    first, second = arrays(tmp_path / "out")
    pair = [array.read_bytes() for array in (shards(first)[0], shards(second)[0])]
    shards(second)[0].write_bytes(pair[0])
    index = tmp_path / "out" / "index.json"
    if len(pair[0]) != len(pair[1]):
        with pytest.raises(FileNotFoundError, match=r"bytes instead of"):
            CorpusDataset(tmp_path / "out")

        def of_this_size(content):
            for row in content["recordings"]:
                if row[0] == second.name:
                    row[5]["c/0/0"] = len(pair[0])

        change(index, of_this_size)
    with pytest.raises(ValueError, match="damaged, or those of another recording"):
        windows_of(tmp_path / "out")


def test_an_array_of_another_recording_is_not_taken_for_its_own(out):
    array = of_training(out)
    other = next(a for a in arrays(out) if a != array)
    shutil.rmtree(array)
    shutil.copytree(other, array)
    with pytest.raises(FileNotFoundError, match="bytes instead of"):
        CorpusDataset(out, "train")


def test_what_is_lost_without_a_source_is_reported_and_leaves_the_index(folder, out):
    (name,) = (row[0] for row in CorpusDataset(out).index["recordings"] if row[1] == "person1")
    shards(out / "data" / name)[0].unlink()
    people = [folder / f"person{number}" for number in (0, 2, 3)]
    summary = prepare_corpus(people, out, **OPTIONS)
    ((path, reason),) = [tuple(one.values()) for one in summary["rejected"]["recordings"]]
    assert "person1" in path
    assert "is not there" in reason
    assert summary["train"]["recordings"] == 3
    assert len(windows_of(out)) > 0
    assert prepare_corpus([folder], out, **OPTIONS)["train"]["recordings"] == 4


@pytest.mark.parametrize("source_is", ["away", "unreadable"])
def test_what_is_damaged_stays_until_its_source_has_been_read(folder, corpus, tmp_path, source_is):
    away = shutil.copytree(folder, tmp_path / "recordings")
    out = tmp_path / "new"
    prepare_corpus([away], out, **OPTIONS)
    file = shards(of_training(out))[0]
    whole = file.read_bytes()
    file.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    journal = (out / "recordings.jsonl").read_bytes()
    ((path, _),) = verify_corpus(out).items()
    source = Path(path)
    hidden = source.rename(tmp_path / "hidden")
    if source_is == "unreadable":
        source.write_bytes(b"no recording")
    summary = prepare_corpus([away], out, verify=True, **OPTIONS)
    assert [one["path"] for one in summary["rejected"]["recordings"]] == [path]
    assert "damaged" in summary["rejected"]["recordings"][0]["reason"]
    assert (out / "recordings.jsonl").read_bytes() == journal
    hidden.replace(source)
    prepare_corpus([away], out, **OPTIONS)
    assert_as_it_was(out, corpus)


def test_a_copy_takes_the_place_of_what_is_lost(make_raw, save, tmp_path):
    for name in "ab":
        save(make_raw(seed=0), tmp_path / "x" / name / "a_raw.fif")
    out = tmp_path / "out"
    again = partial(prepare_corpus, [tmp_path / "x"], out, validation_fraction=0)
    again()
    (array,) = arrays(out)
    save(make_raw(seed=1), tmp_path / "x" / "c" / "a_raw.fif")
    again()
    shards(array)[0].unlink()
    (tmp_path / "x" / "a" / "a_raw.fif").unlink()
    for _ in range(2):
        assert again()["train"]["recordings"] == 2
        assert len(CorpusDataset(out)._recordings) == 2


@pytest.mark.parametrize("away", ["link", "empty", "gone"])
def test_arrays_on_a_disk_that_is_away_are_no_lost_arrays(folder, corpus, out, again, away):
    disk = (out / "data").rename(out.parent / "disk")
    if away == "link":
        (out / "data").symlink_to(out.parent / "nowhere", target_is_directory=True)
    elif away == "empty":
        (out / "data").mkdir()
    journal = (out / "recordings.jsonl").read_bytes()
    for call in (again, partial(verify_corpus, out), partial(again, verify=True)):
        with pytest.raises(ValueError, match=r"out/data .*connect its disk.*delete data"):
            call()
    assert (out / "recordings.jsonl").read_bytes() == journal
    if away == "link":
        (out / "data").unlink()
    disk.rename(out / "data")
    again()
    assert_as_it_was(out, corpus)


def test_a_new_time_of_a_file_blocks_nothing(folder, corpus, out):
    touched = shutil.copytree(folder, out.parent / "recordings")
    for _ in range(2):
        for path in touched.rglob("*.*"):
            os.utime(path)
        summary = prepare_corpus([touched], out.parent / "new", **OPTIONS)
        assert summary["rejected"]["recordings"] == []
        assert_as_it_was(out.parent / "new", corpus)


# Settings, journal, index


@pytest.mark.parametrize("name", ["corpus.json", "index.json"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: b"",
        lambda text: b"\xff\xfe\0",
        lambda text: b"[]",
        lambda text: b"null",
        lambda text: b'{"digest": 1, "other": "content"}',
        lambda text: b"[" * 10**5,
        lambda text: text.replace(b"200", b"201", 1),
        lambda text: text.replace(b"person2", b"person1", 1),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(out, again, name, damage):
    path = out / name
    path.write_bytes(damage(path.read_bytes()))
    message = rf"out/{name} is damaged.*(delete it, and the|prepare another folder)"
    with pytest.raises(ValueError, match=message):
        again()
    if name == "index.json":
        with pytest.raises(ValueError, match=message):
            CorpusDataset(out, "train")


def test_a_damaged_index_is_written_again_once_it_is_deleted(corpus, out, again):
    (out / "index.json").unlink()
    again()
    assert_as_it_was(out, corpus)


@pytest.mark.parametrize("damage", [lambda line: line[:60], lambda line: line.replace(b"1", b"2")])
def test_a_damaged_line_of_the_journal_is_named_and_can_be_deleted(corpus, out, again, damage):
    path = out / "recordings.jsonl"
    lines = path.read_bytes().splitlines()
    lines[2] = damage(lines[2])
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ValueError, match=r"recordings\.jsonl, line 3, is damaged.*delete this"):
        again()
    del lines[2]
    path.write_bytes(b"\n".join(lines) + b"\n")
    (out / "index.json").unlink()
    again()
    assert_as_it_was(out, corpus)


@pytest.mark.parametrize("text", [None, b"", b'{"path": '])
def test_a_lost_journal_does_not_take_the_arrays_with_it(out, again, text):
    path = out / "recordings.jsonl"
    path.unlink() if text is None else path.write_bytes(text)
    before = arrays(out)
    with pytest.raises(ValueError, match=r"recordings\.jsonl has lost lines"):
        again()
    assert arrays(out) == before


def test_lost_lines_of_the_journal_do_not_take_the_arrays_with_them(out, again):
    path = out / "recordings.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    before = arrays(out)
    for call in (again, partial(verify_corpus, out)):
        with pytest.raises(ValueError, match=r"recordings\.jsonl has lost lines.*delete index"):
            call()
    assert arrays(out) == before


@pytest.mark.parametrize("name", ["corpus.json", "index.json", "recordings.jsonl", "summary.json"])
def test_a_folder_in_the_place_of_a_file_is_named(out, again, name):
    (out / name).unlink()
    (out / name).mkdir()
    for call in (again, partial(verify_corpus, out)):
        with pytest.raises(ValueError, match=f"{name} is not a file: remove it"):
            call()
    if name == "index.json":
        with pytest.raises(ValueError, match=r"index\.json is a folder"):
            CorpusDataset(out)


def without_windows(row):
    row[6] = row[6][8:]


def of_any_length(row):
    row[3] = 10**15


def of_no_montage(row):
    row[2] = 99


def of_nobody(row):
    row[1] = "nobody"


def longer(row):
    row[3] += 6
    row[6] += "00000000"


@pytest.mark.parametrize(
    "edit", [without_windows, of_any_length, of_no_montage, of_nobody, longer, list.pop]
)
def test_an_index_that_does_not_fit_the_arrays_is_an_error(out, edit):
    change(
        out / "index.json", lambda content: [edit(row) for row in content["recordings"]] and None
    )
    with pytest.raises(ValueError, match=r"contradicts itself|not what the index says|damaged"):
        windows_of(out)


def test_other_channels_in_the_index_are_an_error(out):
    def moved(content):
        content["montages"] = [rows[::-1] for rows in content["montages"]]

    change(out / "index.json", moved)
    with pytest.raises(ValueError, match="is not what the index says"):
        windows_of(out)


@pytest.mark.parametrize(
    ("version", "message"),
    [(1, "earlier version, without checksums.*NEW_FOLDER"), (3, "update mne_neurorvq")],
)
def test_corpora_of_other_versions_say_what_to_do(out, again, version, message):
    for name in ("corpus.json", "index.json"):
        change(out / name, lambda content: content.update(format=version))
    for call in (again, partial(CorpusDataset, out), partial(verify_corpus, out)):
        with pytest.raises(ValueError, match=message):
            call()


# What lies beside


def test_what_a_system_puts_among_the_arrays_is_reported_and_stays(corpus, out, again):
    (out / ".DS_Store").write_bytes(b"\0")
    (out / "data" / ".DS_Store").write_bytes(b"\0")
    (out / "data" / "notes").mkdir()
    (out / "data" / "elsewhere").symlink_to(corpus / "data", target_is_directory=True)
    told = {Path(one["path"]).name for one in again()["rejected"]["recordings"]}
    assert told == {".DS_Store", "notes", "elsewhere"}
    assert all(os.path.lexists(out / "data" / name) for name in told)
    assert_as_it_was(out, corpus)


def test_a_new_folder_may_have_hidden_files(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".DS_Store").write_bytes(b"\0")
    assert prepare_corpus([folder], out)["train"]["recordings"]


def test_arrays_may_lie_behind_a_link(corpus, out, again):
    target = (out / "data").rename(out.parent / "disk")
    (out / "data").symlink_to(target, target_is_directory=True)
    shards(of_training(out))[0].unlink()
    again()
    assert_as_it_was(out, corpus)


def test_links_to_folders_are_reported(folder, tmp_path):
    shutil.copytree(folder / "person0", tmp_path / "x" / "person0")
    (tmp_path / "x" / "person1").symlink_to(folder / "person1", target_is_directory=True)
    (tmp_path / "x" / "round").symlink_to(tmp_path / "x", target_is_directory=True)
    summary = prepare_corpus([tmp_path / "x"], tmp_path / "out")
    told = {Path(o["path"]).name: o["reason"] for o in summary["rejected"]["recordings"]}
    assert told.keys() == {"person1", "round"}
    assert "a link to a folder, not followed: name its target" in told["person1"]
    shutil.rmtree(tmp_path / "x" / "person0")
    with pytest.raises(ValueError, match=r"no recording is there .*round: a link to a folder"):
        prepare_corpus([tmp_path / "x"], tmp_path / "out")


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
def test_a_pipe_is_reported_and_not_waited_for(make_raw, save, tmp_path):
    save(make_raw(), tmp_path / "x" / "a_raw.fif")
    os.mkfifo(tmp_path / "x" / "b.edf")
    summary = prepare_corpus([tmp_path / "x"], tmp_path / "out")
    (one,) = summary["rejected"]["recordings"]
    assert one["reason"] == "it is a pipe or a device, not a file"


# From the shell


def test_verify_from_the_shell_reports_and_mends(folder, corpus, out, capsys):
    arguments = ["prepare", "-o", str(out), "--verify"]
    assert main(arguments) == 0
    assert "every window is as it was written" in capsys.readouterr().out
    file = shards(of_training(out))[0]
    file.write_bytes(file.read_bytes()[::-1])
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert "damaged" in said.out
    assert "1 recordings are lost or damaged" in said.err
    options = ["--window", "6", "--validation-subjects", "person2"]
    assert main([*arguments, *options, "--jobs", "2", "--", str(folder)]) == 0
    assert main(arguments) == 0
    assert_as_it_was(out, corpus)


def test_no_source_and_nothing_to_verify_is_an_error(tmp_path, capsys):
    assert main(["prepare", "-o", str(tmp_path / "out")]) == 2
    assert main(["prepare", "-o", str(tmp_path / "out"), "--verify"]) == 2
    said = capsys.readouterr().err
    assert "prepare needs a SOURCE, or --verify" in said
    assert "there is no such folder" in said
    assert not (tmp_path / "out").exists()


def test_verifying_writes_nothing(out):
    def files():
        return {path: path.stat().st_mtime_ns for path in out.rglob("*")}

    with (out / "recordings.jsonl").open("a") as file:
        file.write('{"path": ')  # a run was killed here
    (out / ".lock").unlink(missing_ok=True)
    before = files()
    assert verify_corpus(out) == {}
    assert files() == before
