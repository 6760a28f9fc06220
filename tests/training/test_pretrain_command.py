# License: BSD-3-Clause
"""Four commands from two folders of recordings to models that everything takes."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec

import mne
import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock
from safetensors.torch import load_file, save_file

from mne_neurorvq import NeuroRVQClassifier, NeuroRVQTransformer, load_pretrained, preprocess
from mne_neurorvq.cli import main
from mne_neurorvq.models import NeuroRVQ, NeuroRVQTokenizer
from mne_neurorvq.training import (
    CorpusDataset,
    NeuroRVQPretrainConfig,
    config_text,
    read_config,
)
from mne_neurorvq.training import pretrain_command as command
from mne_neurorvq.training.pretrain_command import HEADS, HEADS_OF, TARGET_HEAD, write_model
from mne_neurorvq.weights import save_pretrained
from mne_neurorvq.weights.provenance import TRAINING_FILE, pretraining_subjects

TINY = "neurorvq-eeg-tiny-random"


def _main(*arguments):
    return main(list(map(str, arguments)))


def _error(capsys):
    return capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def pretrain(run, tmp_path):
    """The command with a new folder, cut short."""

    def call(stage, *more, out=tmp_path / "new"):
        short = ["--set", f"{stage}.n_steps=5", "tokenizer.validate_every=5"]
        options = ["--corpus", run.corpus, "--config", run.config_file, "-o", out]
        return _main("pretrain", stage, *options, *short, *more)

    return call


# ---- results


def test_a_run_leaves_models_and_what_is_known_of_them(run):
    folder = run.folder / "model"
    assert load_pretrained(folder).kinds == ("tokenizer", "foundation")
    record = json.loads((folder / TRAINING_FILE).read_text())
    assert record["steps"] == {"tokenizer": 12, "foundation": 6}
    assert record["hours"] == CorpusDataset(run.corpus).hours
    assert record["tokenizer_from"] is None
    assert record["config"]["model"]["quantizer"]["n_codes"] == 16
    assert isinstance(record["log_amplitude_raised_by"], float)


def test_a_model_of_physiology_brings_the_layer_that_tells_it(run, pretrain, tmp_path):
    out = tmp_path / "run"
    objective = [
        "foundation.masked_tokens=0",
        "foundation.targets.slow=1",
        "foundation.start=random",
    ]
    tokenizer = ["--tokenizer", run.folder / "model"]
    assert pretrain("foundation", *tokenizer, "--set", *objective, out=out) == 0
    loaded = load_pretrained(out / "model")
    assert loaded.foundation.masked_tokens is None
    assert not (out / HEADS).exists()
    head = load_file(out / "model" / TARGET_HEAD)
    assert head["weight"].shape == (2, loaded.config.feature_dim)
    assert head["weight"].abs().max() > 0
    card = (out / "model" / "README.md").read_text()
    assert "valid_slow_hidden" in card
    names = ["slow_first_half", "slow_second_half"]
    assert list(loaded.target_head.sizes) == names
    # As an earlier version wrote it, which did not name the numbers.
    (out / "model" / "manifest.json").unlink()
    save_file(head, out / "model" / TARGET_HEAD)
    assert load_pretrained(out / "model").target_head is None
    assert _main("export", out, "-o", tmp_path / "away") == 0
    found = load_pretrained(tmp_path / "away").target_head
    assert list(found.sizes) == names
    assert torch.equal(found.weight, head["weight"])


def test_a_model_says_which_names_of_its_vocabulary_were_trained(run):
    corpus = CorpusDataset(run.corpus, "train")
    rows = {row for i in range(len(corpus)) for row in corpus[i].rows}
    loaded = load_pretrained(run.folder / "model")
    assert 0 < len(rows) < len(loaded.config.channels)
    for kind in ("tokenizer", "foundation"):
        config = loaded.require(kind).config
        assert set(config.trained) == {config.channels[row] for row in rows}


def test_people_held_out_are_in_no_record_of_what_was_seen(run):
    seen = pretraining_subjects(run.folder / "model")
    assert seen == {"eegmmidb": ("S001", "S002", "S004")}
    record = json.loads((run.folder / "model" / TRAINING_FILE).read_text())
    assert record["validation"] == ["eegmmidb/S003", "somebody"]
    corpus = CorpusDataset(run.corpus)
    assert set(corpus.subjects) == {"eegmmidb/S001", "eegmmidb/S002", "eegmmidb/S004"}


@pytest.mark.parametrize("which", ["folder", "exported"])
def test_the_estimators_take_the_model(run, which):
    path = run.folder / "model" if which == "folder" else run.exported
    raw = mne.io.read_raw_edf(run.recordings / "b" / "somebody.edf", verbose="error")
    epochs = mne.make_fixed_length_epochs(preprocess(raw), 4.0, preload=True, verbose="error")
    features = NeuroRVQTransformer(pretrained=path).fit_transform(epochs)
    assert len(features) == len(epochs)
    assert np.isfinite(features).all()
    classifier = NeuroRVQClassifier(pretrained=path, finetune="head", max_epochs=1, verbose=False)
    y = np.arange(len(epochs)) % 2
    assert set(classifier.fit(epochs, y).predict(epochs)) <= {0, 1}


def test_the_card_tells_data_curves_and_usage(run):
    card = (run.folder / "model" / "README.md").read_text()
    hours = CorpusDataset(run.corpus).hours
    for part in (
        f"{hours:.2f} hours of signal in 24 windows",
        "eegmmidb: S001, S002, S004",
        "reported on below: eegmmidb/S003, somebody",
        "tokenizer 12, foundation 6",
        "## Reconstruction",
        "## Codes",
        "used (least of 4 scales)",
        "## Masked-token accuracy",
        "## Curve of the tokenizer",
        "## Curve of the foundation",
    ):
        assert part in card


def test_curves_and_the_use_of_codes_are_logged_for_every_level(run):
    text = (run.folder / "tokenizer" / "logs" / "from_0" / "metrics.csv").read_text()
    names = text.splitlines()[0].split(",")
    for measure in ("valid_used", "valid_perplexity", "residual_norm"):
        assert {f"{measure}_{level}" for level in range(2)} <= set(names)
    assert {"train_loss", "train_code", "gradient_norm", "valid_r", "valid_gain"} <= set(names)
    events = list((run.folder / "tokenizer" / "logs" / "from_0").glob("events.*"))
    assert len(events) == (find_spec("tensorboard") is not None)


def test_the_logs_of_a_stretch_say_what_it_ran_on(run, config):
    logged = run.folder / "tokenizer" / "logs" / "from_0" / "hparams.yaml"
    assert read_config(logged) == read_config(run.config_file) == config


def test_a_model_whose_writing_was_cut_short_is_written_again(
    run, content_of, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    shutil.copytree(run.folder, out)
    (out / "model" / "foundation.safetensors").unlink()
    before = content_of(out / "model")
    options = ["--corpus", run.corpus, "--config", run.config_file, "-o", out]

    def cut_short(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "measure", cut_short)
        assert _main("pretrain", "foundation", *options) == 130
    assert content_of(out / "model") == before
    assert _main("pretrain", "foundation", *options) == 0
    assert content_of(out / "model") == content_of(run.folder / "model")
    assert not (out / "model.new").exists()


# ---- tokenizers of others


def test_a_tokenizer_of_which_nothing_is_known_leaves_the_subjects_unknown(
    run, pretrain, tmp_path, capsys
):
    theirs, out = tmp_path / "theirs", tmp_path / "new"
    save_pretrained(theirs, load_pretrained(run.folder / "model").tokenizer)
    assert pretrain("foundation", "--tokenizer", theirs) == 0
    assert pretraining_subjects(out / "model") is None
    assert "not known whom its tokenizer had seen" in (out / "model" / "README.md").read_text()
    record = json.loads((out / "model" / TRAINING_FILE).read_text())
    assert record["tokenizer_from"] == str(theirs)
    # A tokenizer that it has not learned from is not trained here.
    assert pretrain("tokenizer") == 2
    assert "has a foundation model of another tokenizer" in _error(capsys)


def test_a_tokenizer_brings_the_subjects_that_it_has_seen(run, pretrain, tmp_path):
    theirs = tmp_path / "theirs"
    save_pretrained(theirs, load_pretrained(run.folder / "model").tokenizer)
    told = {"subjects": {"eegmmidb": ["S001", "S109"], "eegmat": ["Subject08"]}}
    (theirs / TRAINING_FILE).write_text(json.dumps(told))
    assert pretrain("foundation", "--tokenizer", theirs) == 0
    assert pretraining_subjects(tmp_path / "new" / "model") == {
        "eegmat": ("Subject08",),
        "eegmmidb": ("S001", "S002", "S004", "S109"),
    }


def test_a_card_does_not_call_people_unseen_of_whom_the_tokenizer_has_learned(
    run, pretrain, tmp_path
):
    theirs = tmp_path / "theirs"
    save_pretrained(theirs, load_pretrained(run.folder / "model").tokenizer)
    told = {"subjects": {"eegmmidb": ["S003"], "other": ["someone else"]}}
    (theirs / TRAINING_FILE).write_text(json.dumps(told))
    assert pretrain("foundation", "--tokenizer", theirs) == 0
    card = (tmp_path / "new" / "model" / "README.md").read_text()
    assert "Its tokenizer had learned from eegmmidb/S003." in card
    assert "## Reconstruction of people who were watched" in card
    assert "never saw" not in card
    assert "never saw" in (run.folder / "model" / "README.md").read_text()


def test_a_log_says_where_a_run_is_and_where_its_model_is(run, pretrain, tmp_path, capsys):
    """Nobody watches a bar here."""
    with mne.utils.use_log_level("info"):
        assert pretrain("tokenizer") == 0
    told = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"step 5 of 5, valid_r -?0\.\d{3}", told[-2])
    assert (
        told[-1] == f"{tmp_path / 'new' / 'model'} is the model: every pretrained= takes this path."
    )


# ---- refusals


def test_a_run_has_one_tokenizer(run, pretrain, tmp_path, capsys):
    options = ["--corpus", run.corpus, "--config", run.config_file, "-o", run.folder]
    assert _main("pretrain", "foundation", *options, "--tokenizer", TINY) == 2
    assert "has a tokenizer of its own: leave out --tokenizer" in _error(capsys)
    assert pretrain("tokenizer", "--tokenizer", TINY) == 2
    assert "--tokenizer is for the foundation model" in _error(capsys)
    assert pretrain("foundation") == 2
    assert "has no finished tokenizer: 'mne-neurorvq pretrain tokenizer' makes" in _error(capsys)
    assert not (tmp_path / "new").exists()


def test_what_is_missing_is_named(run, tmp_path, capsys):
    assert _main("pretrain", "tokenizer", "-o", tmp_path) == 2
    assert "pretrain tokenizer needs --corpus" in _error(capsys)
    assert _main("pretrain", "tokenizer", "--corpus", run.corpus) == 2
    assert "pretrain tokenizer needs -o" in _error(capsys)
    assert _main("pretrain", "tokenizer", "--corpus", tmp_path / "absent", "-o", tmp_path) == 2
    assert "mne-neurorvq prepare SOURCE" in _error(capsys)


def test_a_corpus_of_another_signal_is_refused(pretrain, capsys):
    assert pretrain("tokenizer", "model.modality=ecg") == 2
    assert "holds eeg, but model.modality is ecg" in _error(capsys)


def test_a_corpus_with_nobody_to_watch_is_refused(run, tmp_path, capsys):
    corpus = tmp_path / "corpus"
    nobody = ["--window", "4", "--validation-fraction", "0"]
    assert _main("prepare", run.recordings / "a", "-o", corpus, *nobody) == 0
    assert _main("pretrain", "tokenizer", "--corpus", corpus, "-o", tmp_path / "new") == 2
    assert "no windows on the side 'validation'" in _error(capsys)


def test_a_wrong_setting_is_named(pretrain, capsys):
    assert pretrain("tokenizer", "tokenizer.step=3") == 2
    assert "tokenizer.step: unknown key" in _error(capsys)


# ---- configuration


def test_the_configuration_is_printed_as_it_would_be_used(capsys):
    assert _main("pretrain", "config", "--set", "model.depth=6", "hardware.devices=4") == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["depth"] == 6
    assert printed["hardware"]["devices"] == 4
    assert set(printed) == set(vars(NeuroRVQPretrainConfig()))


def test_a_run_keeps_the_configuration_that_it_was_begun_with(run, config):
    assert (run.folder / "config.yaml").read_text() == config_text(config)


# ---- export


def test_an_exported_folder_has_weights_configuration_and_card(run):
    assert {file.name for file in run.exported.iterdir()} == {
        "README.md",
        "config.json",
        "foundation.safetensors",
        "manifest.json",
        "measures.json",
        "tokenizer.safetensors",
        "training.json",
    }
    _, front, card = (run.exported / "README.md").read_text().split("---\n", 2)
    told = yaml.safe_load(front)
    assert (told["license"], told["library_name"]) == ("bsd-3-clause", "mne-neurorvq")
    assert "eeg" in told["tags"]
    assert card.strip().startswith("# exported\n")
    assert card.endswith((run.folder / "model" / "README.md").read_text())


def test_the_reference_of_an_exported_model_is_its_own_and_on_its_card(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert _main("export", run.folder, "-o", out, "--reference", "average") == 0
    before, loaded = load_pretrained(run.exported), load_pretrained(out)
    for kind in ("tokenizer", "foundation"):
        old, new = getattr(before, kind), getattr(loaded, kind)
        assert new.config == replace(old.config, reference="average")
        states = [model.state_dict() for model in (old, new)]
        assert all(torch.equal(states[1][name], value) for name, value in states[0].items())
    assert "Reference of what it is given, unless a user chooses another: average" in loaded.card
    assert "Reference of what" not in before.card
    told = capsys.readouterr().out
    assert "reference 'average' (--reference changes it). In training, all windows were" in told


def test_the_hub_reads_the_card(run):
    from huggingface_hub import ModelCard

    card = ModelCard.load(run.exported / "README.md")
    assert card.data.license == "bsd-3-clause"


def test_nothing_is_exported_over_something(run, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert _main("export", run.folder, "-o", tmp_path) == 2
    assert f"{tmp_path} is not empty: name a new folder" in _error(capsys)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    assert _main("export", tmp_path, "-o", tmp_path / "out") == 2
    assert "has no finished stage" in _error(capsys)
    assert not (tmp_path / "out").exists()


def test_what_the_authors_cannot_express_is_not_written_at_all(run, tmp_path, capsys):
    assert _main("export", run.folder, "-o", tmp_path / "out", "--official") == 2
    assert "residual rule 'unit' only" in _error(capsys)
    assert not (tmp_path / "out").exists()


def test_the_format_of_the_authors_holds_the_same_numbers(run, config, tmp_path, capsys):
    quantizer = replace(config.model.quantizer, rule="unit")
    settings = replace(config.model, quantizer=quantizer, input_scale="none")
    torch.manual_seed(0)
    tokenizer = NeuroRVQTokenizer(config=settings.config())
    tokenizer.quantizer.started.fill_(True)
    foundation = NeuroRVQ(config=settings.config(), masked_token_heads=True)
    corpus = {side: CorpusDataset(run.corpus, side) for side in ("train", "validation")}
    record = {
        "subjects": {},
        "validation": [],
        "hours": 0.0,
        "windows": 0,
        "steps": {"tokenizer": 0, "foundation": 0},
    }
    (tmp_path / "run").mkdir()
    write_model(tmp_path / "run", tokenizer, foundation, corpus, record)
    out = tmp_path / "named"
    assert _main("export", tmp_path / "run", "-o", out, "--official", "--name", "my-model") == 0
    assert "hf upload USER/my-model" in capsys.readouterr().out
    ours = load_pretrained(out)
    for kind in ("tokenizer", "foundation"):
        theirs = load_pretrained(out / "official" / f"{kind}.pt").require(kind)
        wanted = ours.require(kind).state_dict()
        for name, value in theirs.state_dict().items():
            if name in wanted and name != "quantizer.warmup_left":
                assert torch.equal(value, wanted[name]), name
    # The heads are there too, though no model of ours keeps them.
    official = torch.load(out / "official" / "foundation.pt")
    assert len([name for name in official if name.startswith("head_pre_")]) == 2 * 4 * 2
    # As a kill leaves it: heads of the next foundation model beside this one.
    heads = load_file(tmp_path / "run" / HEADS)
    save_file(heads, tmp_path / "run" / HEADS, metadata={HEADS_OF: "0" * 64})
    assert _main("export", tmp_path / "run", "-o", tmp_path / "other", "--official") == 2
    assert f"{HEADS} is not of the foundation model in" in _error(capsys)
    # As earlier versions wrote it.
    save_file(heads, tmp_path / "run" / HEADS)
    assert _main("export", tmp_path / "run", "-o", tmp_path / "other", "--official") == 0


def test_a_second_command_in_a_folder_that_is_trained_in_is_refused(
    pretrain, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(command, "_LOCK_SECONDS", 0.1)
    out = tmp_path / "new"
    out.mkdir()
    with FileLock(out / ".lock"):
        assert pretrain("tokenizer") == 2
    assert "another process is training in this folder" in _error(capsys)
    assert not (out / "tokenizer").exists()
