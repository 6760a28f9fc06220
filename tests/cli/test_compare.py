# License: BSD-3-Clause
"""``mne-neurorvq compare``: its rows, its table, and that it goes on where it stopped."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import mne_neurorvq.cli.compare as compare
from mne_neurorvq import NeuroRVQClassifier
from mne_neurorvq.benchmarks import csp_lda
from mne_neurorvq.cli import main
from mne_neurorvq.cli.arguments import ROWS
from mne_neurorvq.cli.commands import _parser

TINY = "neurorvq-eeg-tiny-random"
FEW = ("--subjects", "1-3", "--epochs", "1", "--pretrained", TINY)
pytestmark = pytest.mark.usefixtures("close_figures")


def _compare(*arguments):
    return main(["compare", *map(str, arguments)])


def _rows(*arguments):
    return compare._classifiers(_parser().parse_args(["compare", *map(str, arguments)]))


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Folder and text of a comparison on three simulated people."""
    folder = tmp_path_factory.mktemp("compare")
    rows = ("--rows", "chance", "csp", "head")
    assert _compare(*FEW, *rows, "-o", folder) == 0
    return folder, (folder / "report.md").read_text(encoding="utf-8")


def test_the_report_names_data_protocol_budget_and_parameters(compared):
    _, text = compared
    for fact in (
        f"# mne-neurorvq compare: {TINY}",
        "SIMULATED recordings, no measurements, of 3 people. Trials of 4 s at 200 Hz, 19 channels",
        "### Left against right",
        "3 subjects (sim-01-sim-03), 60 trials. Folds: GroupKFold(3)",
        "Epochs of training: 1, in batches of 32,",
        "Differences are from CSP + LDA",
        "finetune='head', max_epochs=1,",
        "warmup_epochs=0.2)`",
    ):
        assert fact in text


def test_rows_are_in_one_order_and_scored_on_the_same_folds(compared):
    folder, text = compared
    table = [line.split(" | ")[0].strip("| ") for line in text.splitlines() if line[:2] == "| "]
    labels = [f"{TINY}, head only", "CSP + LDA", "chance"]
    assert [cell for cell in table if set(cell) - set(":-")] == ["classifier", *labels]
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["classifier"] for row in rows[::3]] == labels
    chance = [float(row["balanced_accuracy"]) for row in rows if row["classifier"] == "chance"]
    assert chance == [0.5] * 3
    csp = [float(row["balanced_accuracy"]) for row in rows if row["classifier"] == "CSP + LDA"]
    assert f"{np.mean(csp):.3f} ± {np.std(csp):.3f}" in text
    assert (folder / "scores.png").stat().st_size > 10_000


def test_the_same_command_again_computes_nothing(compared, capsys, monkeypatch):
    folder, text = compared
    told = []
    monkeypatch.setattr(compare, "_say", told.append)
    rows = ("--rows", "head", "chance", "csp")
    assert _compare(*FEW, *rows, "-o", folder) == 0
    assert not told
    table = [line for line in text.splitlines() if line.startswith("|")]
    again = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert again == table
    assert _compare(*FEW, *rows, "-o", folder, "--seeds", 1) == 0
    assert len(told) == 9


def test_all_rows_are_trained_with_one_budget():
    rows = _rows("--epochs", 10, "--batch-size", 8, "--device", "cpu")
    assert tuple(rows) == ROWS
    for name, model in rows.items():
        if name in ("csp", "chance"):
            continue
        facts = model.get_params()
        assert (facts["max_epochs"], facts["batch_size"], facts["device"]) == (10, 8, "cpu")
        assert facts["class_weight"] == "balanced"
    kinds = [rows[name].finetune for name in ROWS[:6]]
    assert kinds == ["full", "lora", "head"] * 2
    assert {rows[name].pretrained for name in ROWS[:3]} == {"neurorvq-eeg-small"}
    assert {rows[name].pretrained for name in ROWS[3:6]} == {"neurorvq-eeg-small-random"}
    assert {rows[name].warmup_epochs for name in ROWS[:6]} == {2.0}
    assert repr(rows["csp"]) == repr(csp_lda())


@pytest.mark.filterwarnings("ignore:The Epochs were filtered to 0.5-75 Hz")
@pytest.mark.parametrize(
    ("pretrained", "classifier", "setting"),
    [
        ("biocodec-eeg-tiny-random", "BioCodecClassifier", "warmup_epochs=0.2"),
        ("brainrvq-eeg-tiny-random", "BrainRVQClassifier", "finetune='head'"),
    ],
)
def test_models_of_every_system_are_compared(pretrained, classifier, setting, tmp_path, capsys):
    rows = ("--rows", "head", "chance", "--pretrained", pretrained)
    assert _compare(*FEW[:4], *rows, "--splits", "2", "-o", tmp_path) == 0
    text = capsys.readouterr().out
    assert f"| {pretrained}, head only " in text
    (made,) = (line for line in text.splitlines() if f"`{classifier}(" in line)
    assert setting in made
    assert "max_epochs=1" in made


def test_of_a_codec_only_heads_are_trained():
    rows = _rows("--pretrained", "biocodec-eeg-small")
    assert tuple(rows) == ("head", "random-head", *ROWS[6:])
    assert rows["random-head"].pretrained == "biocodec-eeg-small-random"
    assert rows["head"].max_epochs == 5


def test_a_model_without_a_twin_has_no_rows_of_random_weights():
    assert tuple(_rows("--pretrained", TINY)) == (*ROWS[:3], *ROWS[6:])


def test_people_that_the_model_never_saw_stand_in_a_column_of_their_own(
    shared, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("MNE_DATASETS_EEGBCI_PATH", str(shared / "data"))
    arguments = ("--subjects", "8,9,10", "--runs", "4", "--splits", "3", "-o", tmp_path)
    assert _compare("--data", "eegbci", *arguments, "--rows", "chance", "csp") == 0
    text = capsys.readouterr().out
    assert "without labels, of S008; it had never seen S009, S010." in text
    assert "| never seen (S009, S010) |" in text
    assert "160 Hz, 21 channels (FC5, FC3, FC1, FCz, " in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--subjects", "1"), "at least two subjects"),
        (("--pretrained", "biocodec-eeg-small", "--rows", "lora"), "models are not fine-tuned"),
        (("--pretrained", "biocodec-eeg-small", "--head", "flatten"), "has the published head"),
        ((*FEW, "--rows", "random-head"), f"{TINY} has no twin with random weights"),
        ((*FEW, "--rows", "csp", "--channels", "Cz", "X1"), "have no X1, only Fp1"),
        ((*FEW, "--rows", "csp", "--channels", "nearest"), "compare takes names of channels here"),
        ((*FEW, "--rows", "csp", "--reference", "eegnet"), "eegnet is not among --rows"),
        ((*FEW, "--rows", "csp", "--splits", "4"), r"n_splits=4 must be from 2 to"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line(arguments, message, tmp_path, capsys):
    assert _compare(*arguments, "-o", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mne-neurorvq: error: ")
    assert message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [("--splits", "0"), ("--rows", "x"), ("--epochs", "many")])
def test_arguments_of_another_kind_are_explained(arguments, capsys):
    with pytest.raises(SystemExit):
        _compare(*arguments)
    assert arguments[0] in capsys.readouterr().err


def test_the_head_is_that_of_every_fine_tuned_row():
    made = _rows("--head", "flatten")
    heads = [model.head for model in made.values() if isinstance(model, NeuroRVQClassifier)]
    assert heads == ["flatten"] * 6
