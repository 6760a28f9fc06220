# License: BSD-3-Clause
"""``mne-neurorvq prepare`` from the shell."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mne_neurorvq.cli import main
from mne_neurorvq.training import CorpusDataset


def test_two_folders_become_a_corpus_and_a_table(folder, tmp_path, capsys):
    (tmp_path / "torn.edf").write_text("no recording")
    arguments = [folder / "person0", folder / "person1", tmp_path / "torn.edf"]
    options = ["--window", "6", "--subject-from", r"person\d|torn", "--seed", "3"]
    out = tmp_path / "corpus"
    assert main(["prepare", *map(str, arguments), "-o", str(out), *options]) == 0
    said = capsys.readouterr()
    for part in ("| train ", "| validation ", "torn.edf: ", f"summary: {out}/summary.json"):
        assert part in said.out
    people = [set(CorpusDataset(out, side).subjects) for side in ("train", "validation")]
    assert sorted(map(sorted, people)) == [["person0"], ["person1"]]


def test_wrong_arguments_are_one_line_and_give_2(folder, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["prepare", str(folder), "-o", out, "--window", "2.5"]) == 2
    assert main(["prepare", str(tmp_path / "absent"), "-o", out]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "window=2.5 s must be a multiple" in lines[0]
    assert "there is no such file or folder" in lines[1]


def test_a_share_and_names_are_not_given_together(folder, tmp_path, capsys):
    both = ["--validation-fraction", "0.2", "--validation-subjects", "person0"]
    with pytest.raises(SystemExit, match="2"):
        main(["prepare", str(folder), "-o", str(tmp_path), *both])
    assert "not allowed with" in capsys.readouterr().err


def test_without_its_extra_it_names_what_is_missing():
    code = (
        "import sys\nsys.modules['zarr'] = None\nfrom mne_neurorvq.cli import main\n"
        "sys.exit(main(['prepare', 'x.edf', '-o', 'out']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "prepare needs zarr" in done.stderr
    assert "python -m pip install" in done.stderr
