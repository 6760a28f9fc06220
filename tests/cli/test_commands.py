# License: BSD-3-Clause
"""The commands, end to end: what they write, say and return."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy.io import savemat

from mne_neurorvq import (
    BioCodecTransformer,
    BrainRVQTransformer,
    NeuroRVQTransformer,
    Tokens,
    list_pretrained,
    load_pretrained,
    preprocess,
)
from mne_neurorvq.cli import main, messages
from mne_neurorvq.cli.commands import make_parser
from mne_neurorvq.cli.messages import Watch
from mne_neurorvq.cli.outputs import complete, differences, outputs
from mne_neurorvq.cli.recordings import read_file
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
    for command in ("demo", "benchmark", "tokenize", "reconstruct", "embed", "models", "export"):
        assert command in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "command",
    "demo benchmark tokenize reconstruct embed models prepare pretrain export".split(),
)
def test_every_command_has_help_with_examples_that_parse(command, capsys, monkeypatch):
    assert _run(command, "--help") == 0
    text = capsys.readouterr().out
    assert "usage: mne-neurorvq" in text
    examples = text.partition("examples:\n")[2].splitlines()
    assert examples
    for example in examples:
        program, *arguments = example.partition(" > ")[0].split()
        assert program == "mne-neurorvq"
        assert make_parser().parse_args(arguments).command == command


def test_the_help_of_the_program_lists_every_command(capsys):
    assert _run("--help") == 0
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
        (["demo", "--subjects", "4-2"], "'4-2' is not a range"),
        (["demo", "--subjects", "one"], "'one' is neither a number nor a range"),
    ],
)
def test_wrong_arguments_are_named_and_give_2(arguments, message, capsys):
    assert _run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_models_lists_every_name_with_its_licence(capsys):
    assert _run("models") == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[2 : lines.index("")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert [row[0] for row in rows] == [entry.name for entry in list_pretrained()]
    assert [row[3] for row in rows] == [entry.licence for entry in list_pretrained()]


def test_models_fits_80_columns_and_says_what_can_be_used_now(capsys):
    assert _run("models") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    now = dict(re.findall(r"^\| (\S+) .* (ready|download|by hand|not yet) +\|$", text, re.M))
    assert now == {entry.name: now[entry.name] for entry in list_pretrained()}
    assert {entry.name for entry in list_pretrained() if entry.bundled} == {
        name for name, state in now.items() if state == "ready"
    }
    assert (now["neurorvq-eeg"], now["biocodec-eeg"], now["brainrvq-eeg"]) == (
        "download",
        "by hand",
        "not yet",
    )


# ---- tokenize, reconstruct, embed


def test_tokenize_writes_the_tokens_of_the_filtered_windows(recordings, tmp_path, capsys):
    assert _run("tokenize", *recordings[:2], "-o", tmp_path / "new" / "out", *TINY_MODEL) == 0
    for path in recordings[:2]:
        tokens = Tokens.load(tmp_path / "new" / "out" / f"{path.stem}-tokens.h5")
        epochs = _windows(path)
        assert tokens == NeuroRVQTransformer(TINY).fit(epochs).tokenize(epochs)
    said = capsys.readouterr()
    assert "person0_eeg.fif: 8 windows × 32 channels (the last 3.6 s do not fill a" in said.out
    assert not said.err


@pytest.mark.parametrize(
    ("command", "ending"),
    [("tokenize", "tokens.h5"), ("reconstruct", "epo.fif"), ("embed", "embedding.npz")],
)
def test_the_output_of_a_recording_named_by_bids_is_a_derivative(
    command, ending, recordings, tmp_path
):
    mne_bids = pytest.importorskip("mne_bids")
    source = tmp_path / "sub-01_ses-a_task-rest_run-2_desc-clean_eeg.fif"
    source.symlink_to(recordings[0])
    assert _run(command, source, "-o", tmp_path / "out", *TINY_MODEL) == 0
    name = f"sub-01_ses-a_task-rest_run-2_desc-neurorvq_{ending}"
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == sorted([name, f"{name.partition('.')[0]}.json"])
    entities = mne_bids.get_entities_from_fname(name)
    assert (entities["subject"], entities["description"]) == ("01", "neurorvq")
    record = json.loads((tmp_path / "out" / name).with_suffix(".json").read_text())
    assert record["Sources"] == [source.name]
    assert record["GeneratedBy"]["Name"] == "mne_neurorvq"
    assert record["pretrained"] == TINY


@pytest.mark.parametrize(
    "name", ["sub-02_task-rest_eeg-epo", "sub-02_desc-clean_task-rest_eeg", "sub-02_task-rest_raw"]
)
def test_names_of_mne_and_entities_in_any_order_become_names_of_bids(name):
    (named,) = outputs("tokenize", [Path(f"{name}.fif")], Path("out"), "neurorvq")
    assert named[1] == Path("out/sub-02_task-rest_desc-neurorvq_tokens.h5")


@pytest.mark.parametrize("name", ["sub-01", "sub-01_eeg-tokens", "sub-_eeg", "subject-01_eeg"])
def test_what_only_resembles_a_name_of_bids_keeps_its_name(name):
    (named,) = outputs("tokenize", [Path(f"{name}.edf")], Path("out"), "neurorvq")
    assert named[1] == Path(f"out/{name}-tokens.h5")


def test_the_reference_of_the_command_is_that_of_the_tokens(recordings, tmp_path, capsys):
    command = ("tokenize", recordings[0], "-o", tmp_path, *TINY_MODEL)
    assert _run(*command, "--reference", "average") == 0
    epochs = _windows(recordings[0])
    expected = NeuroRVQTransformer(TINY, reference="average").fit(epochs).tokenize(epochs)
    assert Tokens.load(tmp_path / f"{recordings[0].stem}-tokens.h5") == expected
    assert _run(*command) == 1
    assert "it was made with --reference average (now None)" in capsys.readouterr().err


def test_an_output_of_before_there_was_a_choice_is_as_recorded(recordings, tmp_path, capsys):
    command = ("tokenize", recordings[0], "-o", tmp_path, *TINY_MODEL)
    assert _run(*command) == 0
    (record,) = tmp_path.glob("*.json")
    facts = json.loads(record.read_text())
    del facts["reference"]
    record.write_text(json.dumps(facts))
    assert _run(*command) == 0
    assert "skipped" in capsys.readouterr().out


def test_without_filters_the_recording_is_taken_as_it_is(recordings, tmp_path):
    filtered = tmp_path / "filtered_raw.fif"
    preprocess(mne.io.read_raw(recordings[2], verbose=False)).save(filtered, verbose=False)
    assert _run("tokenize", filtered, "-o", tmp_path, "--no-filter", *TINY_MODEL) == 0
    epochs = _windows(filtered, filtered=False)
    expected = NeuroRVQTransformer(TINY).fit(epochs).tokenize(epochs)
    assert Tokens.load(tmp_path / "filtered_raw-tokens.h5") == expected


def test_a_recording_with_a_gap_is_named_with_the_remedy(recordings, tmp_path, capsys):
    raw = mne.io.read_raw(recordings[0], preload=True, verbose=False)
    raw._data[2, 1000:1100] = np.nan
    raw.save(tmp_path / "gap_raw.fif", verbose=False)
    assert _run("tokenize", tmp_path / "gap_raw.fif", "-o", tmp_path, *TINY_MODEL) == 1
    said = capsys.readouterr().err.splitlines()[0]
    assert "'F7' is NaN or infinite from 5.000 to 5.500 s" in said
    assert "'BAD_gap'" in said
    raw.annotations.append(5.0, 0.5, "BAD_gap")
    raw.save(tmp_path / "gap_raw.fif", overwrite=True, verbose=False)
    assert _run("tokenize", tmp_path / "gap_raw.fif", "-o", tmp_path, *TINY_MODEL) == 0
    assert "1 windows overlap a BAD annotation" in capsys.readouterr().out


def test_reconstruct_writes_epochs_in_volts(recordings, tmp_path):
    assert _run("reconstruct", recordings[0], "-o", tmp_path, *TINY_MODEL) == 0
    (path,) = tmp_path.glob("*.fif")
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


def test_embed_writes_physiological_numbers_of_models_that_tell_them(recordings, tmp_path, capsys):
    assert _run("embed", recordings[0], "-o", tmp_path, "--output", "physiology") == 0
    with np.load(tmp_path / "person0_eeg-physiology.npz", allow_pickle=False) as file:
        names = file["feature_names"].tolist()
        assert file["physiology"].shape == (8, len(names))
    assert any(name.endswith("third0_power_8-13Hz") for name in names)
    other = ("-o", tmp_path / "other", *TINY_MODEL)
    assert _run("embed", recordings[0], "--output", "physiology", *other) == 2
    assert "neurorvq-eeg-small" in _error(capsys)


@_LITTLE_DRIFT
@pytest.mark.parametrize("kind", [BioCodecTransformer, BrainRVQTransformer])
@pytest.mark.parametrize("command", ["tokenize", "reconstruct", "embed"])
def test_every_system_is_served_with_its_own_filters(command, kind, recordings, tmp_path):
    name = f"{kind._system}-eeg-tiny-random"
    assert _run(command, recordings[0], "-o", tmp_path, "--pretrained", name) == 0
    raw = preprocess(mne.io.read_raw(recordings[0], verbose=False), name)
    windows = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose=False)
    model = kind(name).fit(windows)
    (written,) = (path for path in tmp_path.iterdir() if path.suffix != ".json")
    if command == "tokenize":
        assert np.array_equal(Tokens.load(written).codes, model.tokenize(windows).codes)
    elif command == "embed":
        assert np.array_equal(np.load(written)["embedding"], model.transform(windows))
    else:
        rebuilt = mne.read_epochs(written, verbose=False).get_data()
        np.testing.assert_allclose(rebuilt, model.reconstruct(windows).get_data(), rtol=1e-6)


def test_names_where_a_rule_for_channels_belongs_are_told(recordings, tmp_path, capsys):
    assert _run("embed", recordings[0], "-o", tmp_path / "out", "--channels", "C3", "C4") == 2
    said = capsys.readouterr().err
    assert "'C3' is none of match, strict, nearest, interpolate" in said
    assert "raw.pick" in said


def test_unknown_electrodes_with_positions_are_used_by_a_rule_for_channels(
    recordings, tmp_path, capsys
):
    raw = mne.io.read_raw(recordings[2], preload=True, verbose=False)
    raw.rename_channels({name: f"X{i}" for i, name in enumerate(raw.ch_names)})
    raw.save(tmp_path / "x_raw.fif", verbose=False)
    run = ("embed", tmp_path / "x_raw.fif", "-o", tmp_path / "out", *TINY_MODEL)
    assert _run(*run) == 1
    assert "on the command line --channels nearest" in capsys.readouterr().err
    assert _run(*run, "--channels", "nearest") == 0
    assert "8 windows × 19 channels" in capsys.readouterr().out


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
    assert said.out.count("left out: 'chin' (") == 2
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
    (made,) = (path for path in tmp_path.iterdir() if path.suffix != ".json")
    before = made.stat()
    assert _run(*run) == 0
    assert os.path.samestat(made.stat(), before)
    assert "skipped" in capsys.readouterr().out
    made.write_bytes(b"mine")
    assert _run(*run) == 1
    assert made.read_bytes() == b"mine"
    assert _run(*run, "--overwrite") == 0
    assert made.stat().st_size > 1000
    assert sorted(tmp_path.iterdir()) == sorted([made, made.with_suffix(".json")])


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (["--pool", "time"], "--pool auto (now time)"),
        (["--window", "2"], "--window 4.0 (now 2.0)"),
        (["--no-filter"], "--no-filter False (now True)"),
        (["--channels", "strict"], "--channels match (now strict)"),
        (["--pretrained", "biocodec-eeg-tiny-random"], f"--pretrained {TINY} (now biocodec"),
    ],
)
def test_an_output_of_other_settings_is_no_output_of_these(
    other, named, embedded, recordings, capsys
):
    before = {path.name: path.read_bytes() for path in embedded.iterdir()}
    assert _run("embed", recordings[2], "-o", embedded, *TINY_MODEL, *other) == 1
    said = capsys.readouterr().err
    assert f"is there, but it was made with {named}" in said
    assert "--overwrite replaces it, or -o" in said
    assert {path.name: path.read_bytes() for path in embedded.iterdir()} == before


@pytest.fixture(scope="module")
def embedded(recordings, tmp_path_factory):
    """Folder of an embedding with the usual settings."""
    folder = tmp_path_factory.mktemp("embedded")
    assert _run("embed", recordings[2], "-o", folder, *TINY_MODEL) == 0
    return folder


def test_an_output_beside_the_record_of_another_is_not_taken_for_it(tmp_path):
    output, settings = tmp_path / "a-tokens.h5", {"pretrained": "new"}
    with complete(output, settings) as new:
        new.write_bytes(b"of the new model")
    assert differences(output, settings) is None
    output.write_bytes(b"of the old")  # as a kill between the two leaves it
    assert "says what it was made with" in differences(output, settings)
    (tmp_path / "a-tokens.json").write_text(json.dumps(settings))  # as earlier versions wrote it
    assert "says what it was made with" in differences(output, settings)


def test_an_output_of_another_file_of_that_name_is_no_output_of_this(embedded, tmp_path, capsys):
    simulate_recordings(1, 2, verbose=False)[0].save(tmp_path / "person2_eeg.fif", verbose=False)
    assert _run("embed", tmp_path / "person2_eeg.fif", "-o", embedded, *TINY_MODEL) == 1
    assert "it was made of another file (person2_eeg.fif, " in capsys.readouterr().err


def test_an_output_that_nobody_knows_the_settings_of_is_not_taken_for_these(
    recordings, tmp_path, capsys
):
    (tmp_path / "person2_eeg-tokens.h5").write_bytes(b"mine")
    assert _run("tokenize", recordings[2], "-o", tmp_path, *TINY_MODEL) == 1
    assert "(person2_eeg-tokens.json) says what it was made with" in capsys.readouterr().err
    assert (tmp_path / "person2_eeg-tokens.h5").read_bytes() == b"mine"
    assert _run("tokenize", recordings[2], "-o", tmp_path, *TINY_MODEL, "--overwrite") == 0
    assert _run("tokenize", recordings[2], "-o", tmp_path, *TINY_MODEL) == 0


@pytest.mark.filterwarnings("ignore:The Epochs hold")
def test_trials_that_eeglab_cut_are_taken_as_they_are(recordings, tmp_path):
    epochs = _windows(recordings[2])
    _save_eeglab_trials(epochs, tmp_path / "cut.set")
    assert _run("tokenize", tmp_path / "cut.set", "-o", tmp_path, *TINY_MODEL) == 0
    tokens = Tokens.load(tmp_path / "cut-tokens.h5")
    read = mne.read_epochs_eeglab(tmp_path / "cut.set", verbose="error")
    assert tokens == NeuroRVQTransformer(TINY).fit(read).tokenize(read)
    np.testing.assert_allclose(read.get_data(), epochs.get_data(), rtol=1e-4, atol=1e-11)


def test_an_older_recording_of_egi_is_read(tmp_path):
    raw = simulate_recordings(1, 2, verbose=False)[0].pick(["C3", "C4"]).crop(0, 9)
    _save_egi(raw, tmp_path / "old.raw")
    names = [f"E{n}" for n in (1, 2)]
    read = read_file(tmp_path / "old.raw")
    assert read.ch_names[:2] == names
    np.testing.assert_allclose(read.get_data(names), raw.get_data(), atol=1e-6)


def _save_egi(raw, path):
    """Write EGI's simple binary format, version 2: microvolts as integers."""
    when = (2020, 1, 1, 0, 0, 0)
    sfreq = int(raw.info["sfreq"])
    head = np.array([2], ">i4").tobytes() + np.array(when, ">i2").tobytes()
    head += np.array([0], ">i4").tobytes()
    head += np.array([sfreq, len(raw.ch_names), 1, 0, 0], ">i2").tobytes()
    head += np.array([raw.n_times], ">i4").tobytes() + np.array([0], ">i2").tobytes()
    path.write_bytes(head + (raw.get_data() * 1e6).round().T.astype(">i2").tobytes())


def _save_eeglab_trials(epochs, path):
    data = epochs.get_data() * 1e6
    event = {"type": "window", "latency": 1.0, "epoch": 1.0, "duration": 0.0}
    n = len(epochs.times)
    struct = {
        "data": np.moveaxis(data, 0, 2),
        "nbchan": data.shape[1],
        "trials": float(len(data)),
        "pnts": float(n),
        "srate": epochs.info["sfreq"],
        "xmin": 0.0,
        "xmax": epochs.times[-1],
        "chanlocs": [{"labels": name} for name in epochs.ch_names],
        "event": [event | {"latency": 1.0 + n * k, "epoch": 1.0 + k} for k in range(len(data))],
        "epoch": [
            {"event": 1.0 + k, "eventtype": "window", "eventlatency": 0.0, "eventduration": 0.0}
            for k in range(len(data))
        ],
    }
    savemat(path, {"EEG": struct}, appendmat=False)


def test_a_broken_and_a_missing_file_do_not_stop_the_others(recordings, broken, tmp_path, capsys):
    missing = tmp_path / "missing.edf"
    out = tmp_path / "out"
    files = (broken, missing, recordings[2])
    assert _run("tokenize", *files, "-o", out, *TINY_MODEL) == 1
    assert [path.name for path in out.glob("*.h5")] == ["person2_eeg-tokens.h5"]
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


def test_a_writer_that_fails_leaves_nothing_behind(tmp_path):
    from mne_neurorvq.cli.outputs import complete

    target = tmp_path / "x.npz"
    target.write_bytes(b"before")

    def write():
        with complete(target, {}) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="full"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    assert target.read_bytes() == b"before"


def test_a_long_work_says_what_it_does_and_writes_no_colours(monkeypatch, capsys):
    monkeypatch.setattr(messages, "_SILENCE", 0.05)
    with Watch("first") as watch:
        time.sleep(0.2)
        watch.step = "second"
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert {line.partition(" s, ")[2] for line in lines} == {"first", "second"}
    assert all(re.match(r"mne-neurorvq: \d+ s, ", line) for line in lines)
    time.sleep(0.1)
    assert not capsys.readouterr().err


# ---- prepare, pretrain, export


@pytest.mark.parametrize(
    ("command", "option"),
    [("prepare", "--validation-subjects"), ("pretrain", "--corpus"), ("export", "--official")],
)
def test_the_commands_of_pretraining_have_help_without_their_libraries(
    command, option, capsys, monkeypatch
):
    for library in ("filelock", "fsspec", "lightning", "mne_bids", "pydantic", "yaml", "zarr"):
        monkeypatch.setitem(sys.modules, library, None)
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
    assert "python -m pip install" in done.stderr
    assert "mne-neurorvq[" not in done.stderr  # no index has it
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


@pytest.mark.parametrize("table", ["bidmc_01_Signals.csv", "myo.txt"])
def test_the_refusal_of_a_table_says_what_reads_it(table, tmp_path, capsys):
    (tmp_path / table).write_text("Time [s], PLETH\n0, 0.5\n")
    assert _run("tokenize", tmp_path / table, "-o", tmp_path / "out", *TINY_MODEL) == 1
    said = capsys.readouterr().err
    assert "mne_neurorvq.datasets.read_bidmc reads bidmc_01_Signals.csv" in said
    assert "RawArray" in said


def test_a_file_that_is_no_recording_is_named_with_what_mne_said(tmp_path, capsys):
    notes = tmp_path / "notes.txt"
    notes.write_text("no recording")
    assert _run("tokenize", notes, "-o", tmp_path / "out", *TINY_MODEL) == 1
    assert f"{notes}: MNE cannot read it: " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["tokenize", "embed", "reconstruct"])
def test_a_recording_in_another_unit_is_refused_before_filters_hide_it(
    command, recordings, tmp_path, capsys
):
    raw = mne.io.read_raw_fif(recordings[0], preload=True, verbose="error")
    raw.apply_function(lambda x: 1e6 * x).save(tmp_path / "wrong_eeg.fif", verbose="error")
    found = main([command, str(tmp_path / "wrong_eeg.fif"), "-o", str(tmp_path), *TINY_MODEL])
    assert found == 1
    assert "multiply the recording by 1e-6" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["wrong_eeg.fif"]


def test_a_reader_that_stops_is_no_error():
    command = [sys.executable, "-m", "mne_neurorvq", "models"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()  # as head does when it has enough
        assert process.stderr.read() == b""
        assert process.wait() == 141
