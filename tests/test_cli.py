# License: BSD-3-Clause
"""The commands, end to end: what they write, say and return."""

from __future__ import annotations

import re
import subprocess
import sys

import mne
import numpy as np
import pytest

from mne_neurorvq import (
    BioCodecTransformer,
    BrainRVQTransformer,
    NeuroRVQTransformer,
    Tokens,
    list_pretrained,
    load_pretrained,
    preprocess,
)
from mne_neurorvq.cli import main
from mne_neurorvq.datasets import simulate_recordings
from mne_neurorvq.weights import save_pretrained

TINY = "neurorvq-eeg-tiny-random"
TINY_MODEL = ("--pretrained", TINY)
pytestmark = pytest.mark.usefixtures("close_figures")
# Simulated recordings have nothing below 0.5 Hz; BrainRVQ was made for 0.1 Hz and more.
_LITTLE_DRIFT = pytest.mark.filterwarnings("ignore:The Epochs were filtered to 0.5-75 Hz")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Files of three simulated people: 38 s with rest, left and right."""
    folder = tmp_path_factory.mktemp("recordings")
    paths = []
    for number, raw in enumerate(simulate_recordings(3, 4, verbose=False)):
        paths.append(folder / f"person{number}_eeg.fif")
        raw.save(paths[-1], verbose=False)
    return paths


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken_eeg.fif"
    path.write_bytes(b"this is no recording")
    return path


def _run(*arguments):
    """Exit code of a command, whether it returns or argparse leaves."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as left:
        return left.code


def _windows(path, filtered=True):
    raw = mne.io.read_raw(path, verbose=False)
    raw = preprocess(raw) if filtered else raw
    return mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose=False)


def _error(capsys):
    """The one line that a user error prints."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mne-neurorvq: error: ")
    return line


# ---- the command itself


def test_help_lists_the_commands_without_loading_torch_or_mne():
    code = (
        "import sys\nfrom mne_neurorvq.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'mne', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    for command in ("demo", "compare", "tokenize", "reconstruct", "embed", "models", "export"):
        assert command in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [[], ["demo"], ["compare"], ["embed"], ["models"]])
def test_every_command_has_help(command, capsys):
    assert _run(*command, "--help") == 0
    assert "usage: mne-neurorvq" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["sing"], "invalid choice: 'sing'"),
        (["tokenize", "x.edf"], "required: -o/--out"),
        (["tokenize", "-o", "out"], "required: FILE"),
        (["tokenize", "x.edf", "-o", "out", "--window", "0"], "'0' must be a positive number"),
        (["tokenize", "x.edf", "-o", "out", "--window", "long"], "'long' must be a positive"),
        (["embed", "x.edf", "-o", "out", "--batch-size", "-1"], "'auto' or a number from 1"),
        (["demo", "--subjects", "4-2"], "'4-2' is no range"),
        (["demo", "--subjects", "one"], "'one' is neither a number nor a range"),
    ],
)
def test_wrong_arguments_are_named_and_give_2(arguments, message, capsys):
    assert _run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_models_lists_every_name_with_its_licence(capsys):
    assert _run("models") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[0] for row in rows] == [entry.name for entry in list_pretrained()]
    assert [row[3] for row in rows] == [entry.licence for entry in list_pretrained()]


# ---- tokenize, reconstruct, embed


def test_tokenize_writes_the_tokens_of_the_filtered_windows(recordings, tmp_path, capsys):
    assert _run("tokenize", *recordings[:2], "-o", tmp_path / "new" / "out", *TINY_MODEL) == 0
    for path in recordings[:2]:
        tokens = Tokens.load(tmp_path / "new" / "out" / f"{path.stem}-tokens.h5")
        epochs = _windows(path)
        assert tokens == NeuroRVQTransformer(TINY).fit(epochs).tokenize(epochs)
    said = capsys.readouterr()
    assert "person0_eeg.fif: 8 windows × 32 channels (the last 3.6 s are no whole" in said.out
    assert not said.err


def test_without_filters_the_recording_is_taken_as_it_is(recordings, tmp_path):
    assert _run("tokenize", recordings[2], "-o", tmp_path, "--no-filter", *TINY_MODEL) == 0
    epochs = _windows(recordings[2], filtered=False)
    expected = NeuroRVQTransformer(TINY).fit(epochs).tokenize(epochs)
    assert Tokens.load(tmp_path / "person2_eeg-tokens.h5") == expected


def test_reconstruct_writes_epochs_in_volts(recordings, tmp_path):
    assert _run("reconstruct", recordings[0], "-o", tmp_path, *TINY_MODEL) == 0
    (path,) = tmp_path.iterdir()
    assert path.name == "person0_eeg-reconstructed-epo.fif"
    written = mne.read_epochs(path, verbose=False)
    epochs = _windows(recordings[0])
    expected = NeuroRVQTransformer(TINY).fit(epochs).reconstruct(epochs)
    assert written.ch_names == expected.ch_names
    # FIF files are in single precision.
    np.testing.assert_allclose(written.get_data(), expected.get_data(), rtol=1e-5, atol=1e-12)


def test_embed_writes_features_with_names_and_times(recordings, tmp_path):
    assert _run("embed", recordings[0], "-o", tmp_path, "--pool", "time", *TINY_MODEL) == 0
    epochs = _windows(recordings[0])
    model = NeuroRVQTransformer(TINY, pool="time")
    with np.load(tmp_path / "person0_eeg-embedding.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["embedding"], model.fit_transform(epochs))
        assert file["feature_names"].tolist() == model.get_feature_names_out().tolist()
        assert file["ch_names"].tolist() == epochs.ch_names
        np.testing.assert_allclose(file["times"], 4.0 * np.arange(8))
        assert file["duration"] == 4.0
        assert file["pretrained"] == TINY


@_LITTLE_DRIFT
@pytest.mark.parametrize("kind", [BioCodecTransformer, BrainRVQTransformer])
@pytest.mark.parametrize("command", ["tokenize", "reconstruct", "embed"])
def test_every_system_is_served_with_its_own_filters(command, kind, recordings, tmp_path):
    name = f"{kind._system}-eeg-tiny-random"
    assert _run(command, recordings[0], "-o", tmp_path, "--pretrained", name) == 0
    raw = preprocess(mne.io.read_raw(recordings[0], verbose=False), name)
    windows = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose=False)
    model = kind(name).fit(windows)
    (written,) = tmp_path.iterdir()
    if command == "tokenize":
        assert np.array_equal(Tokens.load(written).codes, model.tokenize(windows).codes)
    elif command == "embed":
        assert np.array_equal(np.load(written)["embedding"], model.transform(windows))
    else:
        rebuilt = mne.read_epochs(written, verbose=False).get_data()
        np.testing.assert_allclose(rebuilt, model.reconstruct(windows).get_data(), rtol=1e-6)


def test_a_codec_has_no_rule_for_channels_and_says_so_before_the_first_file(
    recordings, tmp_path, capsys
):
    out, codec = tmp_path / "out", ("--pretrained", "biocodec-eeg-tiny-random")
    assert _run("tokenize", recordings[0], "-o", out, "--channels", "strict", *codec) == 2
    assert re.search("--channels strict: .*takes channels of any name", _error(capsys))
    assert not out.exists()


@_LITTLE_DRIFT
def test_a_rule_for_channels_reaches_brainrvq(recordings, tmp_path, capsys):
    raw = mne.io.read_raw(recordings[2], preload=True, verbose=False)
    raw.rename_channels({"Pz": "Fp1-F3"}).save(tmp_path / "x_raw.fif", verbose=False)
    model = ("--pretrained", "brainrvq-eeg-tiny-random", "--channels", "strict")
    assert _run("embed", tmp_path / "x_raw.fif", "-o", tmp_path / "out", *model) == 1
    assert "Fp1-F3" in capsys.readouterr().err


def test_a_tokenizer_alone_embeds_nothing_and_says_so(recordings, tmp_path, capsys):
    loaded = load_pretrained("brainrvq-eeg-tiny-random", only="tokenizer")
    folder = save_pretrained(tmp_path / "model", loaded.tokenizer)
    assert _run("embed", recordings[0], "-o", tmp_path / "out", "--pretrained", folder) == 2
    assert "embeddings need a foundation model" in _error(capsys)


def test_times_count_from_the_start_of_a_recording_that_was_cropped(recordings, tmp_path):
    raw = mne.io.read_raw(recordings[2], verbose=False).crop(10.0)
    raw.save(tmp_path / "late_raw.fif", verbose=False)
    assert _run("embed", tmp_path / "late_raw.fif", "-o", tmp_path, "--window", 3, *TINY_MODEL) == 0
    with np.load(tmp_path / "late_raw-embedding.npz") as file:
        np.testing.assert_allclose(file["times"], 3.0 * np.arange(8))


def test_epochs_files_are_taken_as_they_are(recordings, tmp_path):
    epochs = _windows(recordings[2])
    epochs.save(tmp_path / "cut-epo.fif", verbose=False)
    assert _run("tokenize", tmp_path / "cut-epo.fif", "-o", tmp_path, *TINY_MODEL) == 0
    tokens = Tokens.load(tmp_path / "cut-epo-tokens.h5")
    np.testing.assert_array_equal(tokens.events, epochs.events)
    read = mne.read_epochs(tmp_path / "cut-epo.fif", verbose=False)
    assert tokens == NeuroRVQTransformer(TINY).fit(read).tokenize(read)


def test_windows_marked_bad_are_left_out_and_counted(recordings, tmp_path, capsys):
    raw = mne.io.read_raw(recordings[2], preload=True, verbose=False)
    raw.annotations.append(9.0, 1.0, "BAD_move")
    raw.save(tmp_path / "moving_raw.fif", verbose=False)
    assert _run("embed", tmp_path / "moving_raw.fif", "-o", tmp_path, *TINY_MODEL) == 0
    assert "7 windows × 19 channels (1 windows overlap a BAD" in capsys.readouterr().out
    with np.load(tmp_path / "moving_raw-embedding.npz") as file:
        np.testing.assert_allclose(file["times"], [0, 4, 12, 16, 20, 24, 28])


@pytest.mark.filterwarnings("default")
def test_channels_left_out_are_named_and_a_warning_is_one_line_once(recordings, tmp_path, capsys):
    raw = mne.io.read_raw(recordings[2], preload=True, verbose=False)
    raw.rename_channels({"Pz": "chin"})
    files = [tmp_path / name for name in ("x_raw.fif", "y_raw.fif")]
    for file in files:
        raw.save(file, verbose=False)
    assert _run("tokenize", *files, "-o", tmp_path, *TINY_MODEL) == 0
    said = capsys.readouterr()
    assert said.out.count("18 channels (") == 2
    assert said.out.count("left out: chin") == 2
    (line,) = said.err.splitlines()
    assert line.startswith("mne-neurorvq: warning: ")
    assert "chin" in line


def test_a_channel_rule_can_be_strict(recordings, tmp_path, capsys):
    raw = mne.io.read_raw(recordings[2], preload=True, verbose=False)
    raw.rename_channels({"Pz": "chin"}).save(tmp_path / "x_raw.fif", verbose=False)
    arguments = ("-o", tmp_path / "out", "--channels", "strict", *TINY_MODEL)
    assert _run("tokenize", tmp_path / "x_raw.fif", *arguments) == 1
    assert "chin" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["tokenize", "reconstruct", "embed"])
def test_a_file_that_is_there_is_kept_unless_it_may_be_overwritten(
    command, recordings, tmp_path, capsys
):
    run = (command, recordings[2], "-o", tmp_path, *TINY_MODEL)
    assert _run(*run) == 0
    (made,) = tmp_path.iterdir()
    made.write_bytes(b"mine")
    assert _run(*run) == 0
    assert made.read_bytes() == b"mine"
    assert "skipped" in capsys.readouterr().out
    assert _run(*run, "--overwrite") == 0
    assert made.stat().st_size > 1000
    assert list(tmp_path.iterdir()) == [made]


def test_a_broken_and_a_missing_file_do_not_stop_the_others(recordings, broken, tmp_path, capsys):
    missing = tmp_path / "missing.edf"
    out = tmp_path / "out"
    files = (broken, missing, recordings[2])
    assert _run("tokenize", *files, "-o", out, *TINY_MODEL) == 1
    assert [path.name for path in out.iterdir()] == ["person2_eeg-tokens.h5"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"mne-neurorvq: error: {broken}: ")
    assert lines[1] == f"mne-neurorvq: error: {missing}: there is no such file"
    assert lines[2:] == ["mne-neurorvq: 2 of 3 files failed"]


def test_debug_shows_where_an_error_comes_from(broken, tmp_path, capsys):
    assert _run("tokenize", broken, "-o", tmp_path / "out", "--debug", *TINY_MODEL) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_recording_shorter_than_a_window_says_so(recordings, tmp_path, capsys):
    assert _run("embed", recordings[2], "-o", tmp_path, "--window", 60, *TINY_MODEL) == 1
    assert "35.6 s are shorter than a window of 60 s" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_two_files_of_one_name_are_refused_before_anything_is_written(recordings, tmp_path, capsys):
    twin = tmp_path / "elsewhere" / "person0_eeg.edf"
    out = tmp_path / "out"
    assert _run("tokenize", recordings[0], twin, "-o", out, *TINY_MODEL) == 2
    line = _error(capsys)
    assert str(recordings[0]) in line
    assert str(twin) in line
    assert not out.exists()


def test_an_unknown_model_is_one_line_and_nothing_is_written(recordings, tmp_path, capsys):
    out = tmp_path / "out"
    assert _run("embed", recordings[0], "-o", out, "--pretrained", "neurorvq-eeg-smal") == 2
    assert "neurorvq-eeg-small" in _error(capsys)
    assert not out.exists()


# ---- prepare, pretrain, export


@pytest.mark.parametrize(
    ("command", "option"),
    [("prepare", "--validation-subjects"), ("pretrain", "--corpus"), ("export", "--official")],
)
def test_the_commands_of_pretraining_have_their_own_options(command, option, capsys):
    assert _run(command, "--help") == 0
    assert option in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["prepare", "x.edf", "-o", "out"], "zarr"),
        (["pretrain", "tokenizer", "--corpus", "corpus", "-o", "out"], "lightning"),
    ],
)
def test_pretraining_without_its_extra_names_it(arguments, missing):
    code = (
        f"import sys\nsys.modules[{missing!r}] = None\nfrom mne_neurorvq.cli import main\n"
        f"sys.exit(main({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"{arguments[0]} needs {missing}" in done.stderr
    assert "mne-neurorvq[pretrain]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrain", "everything"], "invalid choice: 'everything'"),
        (["export", "run"], "required: -o/--out"),
        (["export", "absent", "-o", "out"], "absent has no finished stage"),
    ],
)
def test_wrong_arguments_of_pretraining_are_named(arguments, message, capsys):
    assert _run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_recording_is_named_with_what_mne_said(tmp_path, capsys):
    notes = tmp_path / "notes.txt"
    notes.write_text("no recording")
    assert _run("tokenize", notes, "-o", tmp_path / "out", *TINY_MODEL) == 1
    assert f"{notes}: MNE cannot read it: " in capsys.readouterr().err
