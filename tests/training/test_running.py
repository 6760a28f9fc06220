# License: BSD-3-Clause
"""A run that is killed, fed with broken windows, or out of disk ends as an undisturbed one does.

And one of several processes ends at all, with one model.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from mne_neurorvq import load_pretrained
from mne_neurorvq.cli import main
from mne_neurorvq.models import NeuroRVQTokenizer
from mne_neurorvq.training import (
    CorpusBatches,
    CorpusDataset,
    FoundationStage,
    Hardware,
    TokenizerStage,
    pretrain_tokenizer,
)
from mne_neurorvq.training.batches import watched_batches
from mne_neurorvq.training.checkpoints import CHECKPOINT, begin
from mne_neurorvq.training.model_card import read_curves
from mne_neurorvq.training.optimisation import MuonWithAdamW, start_filter_bank, warmup_cosine
from mne_neurorvq.training.stage import BAD_BATCH
from mne_neurorvq.training.trainer import make_trainer
from mne_neurorvq.weights import save_pretrained

PROGRAM = Path(__file__).with_name("logged_run.py")
# Numbers instead of codes, half of the windows under another reference.
PHYSIOLOGY = (
    "foundation.masked_tokens=0",
    "foundation.targets.power=1",
    "foundation.targets.laplacian_slow=1",
    "crops.average_reference=0.5",
)


def _arguments(run, folder, *more, stage="tokenizer"):
    given = ["--corpus", run.corpus, "--config", run.config_file, "-o", folder, *more]
    return list(map(str, ["pretrain", stage, *given]))


def _checkpoint(folder):
    return torch.load(folder / CHECKPOINT, weights_only=True)


def _tokenizer_of(folder, config):
    """What validation saw at the end, before the amplitude was calibrated."""
    state = _checkpoint(folder / "tokenizer")["state_dict"]
    tokenizer = NeuroRVQTokenizer(config=config.model.config()).eval()
    tokenizer.load_state_dict({name.removeprefix("tokenizer."): v for name, v in state.items()})
    return tokenizer


def _assert_same_end(found, wanted):
    """Weights, codebooks, optimiser and what validation said at the end."""
    one, other = _checkpoint(found), _checkpoint(wanted)
    assert one["global_step"] == other["global_step"]
    unequal = [
        n for n, v in one["state_dict"].items() if not torch.equal(v, other["state_dict"][n])
    ]
    assert not unequal
    assert read_curves(found)[-1] == read_curves(wanted)[-1]


def _batches_of(run, config, first=0, **ranks):
    """Window ids of the batches of an undisturbed run."""
    corpus = CorpusDataset(run.corpus)
    reader = CorpusBatches(
        corpus,
        config.model.config(),
        config.crops,
        seed=config.seed,
        n_batches=config.tokenizer.n_steps,
        first=first,
        **ranks,
    )
    return [batch.ids for batch in reader]


@contextmanager
def _before_batch(monkeypatch, number, action):
    """Do something in the middle of training."""
    usual = TokenizerStage.on_train_batch_start

    def start(self, batch, batch_idx):
        if batch_idx == number:
            action(batch)
        usual(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(TokenizerStage, "on_train_batch_start", start)
        yield


def _program(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


# ---- faults


# A worker is a fork; the parent only waits for it.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_killed_run_ends_as_an_undisturbed_one_and_sees_every_window_once(
    run, config, content_of, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    killed = _program(PROGRAM, tmp_path, 8, *_arguments(run, out))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert _checkpoint(out / "tokenizer")["global_step"] == 6
    assert not (out / "model").exists()
    seen = [json.loads(line) for line in (tmp_path / "windows-0.jsonl").read_text().splitlines()]
    assert len(seen) == 8
    resumed = []
    usual = TokenizerStage.on_train_batch_start

    def start(self, batch, batch_idx):
        resumed.append(batch.ids)
        usual(self, batch, batch_idx)

    monkeypatch.setattr(TokenizerStage, "on_train_batch_start", start)
    # The same command, but for the processes that read.
    assert main([*_arguments(run, out), "--set", "hardware.workers=2"]) == 0
    # What the killed process did after its last checkpoint is undone, and done again.
    effective = seen[:6] + resumed
    assert effective == _batches_of(run, config)
    corpus = CorpusDataset(run.corpus)
    ends = list(accumulate(map(len, effective)))
    # It was killed in the middle of the first epoch, and the second one has begun.
    n_first = ends.index(len(corpus)) + 1
    assert 8 < n_first < 12
    everything = Counter(corpus[i].id for i in range(len(corpus)))
    assert Counter(i for ids in effective[:n_first] for i in ids) == everything
    _assert_same_end(out / "tokenizer", run.folder / "tokenizer")
    found, wanted = (content_of(folder / "model") for folder in (out, run.folder))
    assert found["tokenizer.safetensors"] == wanted["tokenizer.safetensors"]


def test_a_run_killed_before_its_codebooks_start_begins_anew(run, tmp_path, monkeypatch):
    out = tmp_path / "run"

    def stop(batch):
        raise KeyboardInterrupt

    with _before_batch(monkeypatch, 4, stop):
        assert main(_arguments(run, out)) == 130
    # It was time for a checkpoint after three steps, but the k-means start needs the fourth too.
    assert not (out / "tokenizer" / CHECKPOINT).exists()
    assert main(_arguments(run, out)) == 0
    _assert_same_end(out / "tokenizer", run.folder / "tokenizer")


def test_control_c_is_an_interruption_and_works_again(run, tmp_path, monkeypatch, capsys):
    # Shells start what runs in the background with Control-C ignored.
    handler = signal.default_int_handler
    before = signal.signal(signal.SIGINT, handler)

    def stop(batch):
        signal.raise_signal(signal.SIGINT)

    try:
        with _before_batch(monkeypatch, 0, stop):
            assert main(_arguments(run, tmp_path / "run")) == 130
        assert "interrupted" in capsys.readouterr().err
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_broken_window_stops_the_run_and_is_named(run, config, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    with _before_batch(monkeypatch, 7, lambda batch: batch.windows[0].mul_(float("nan"))):
        assert main(_arguments(run, out)) == 1
    said = capsys.readouterr().err
    assert "the loss is nan" in said
    assert f"{BAD_BATCH}. Look at them" in said
    assert "Traceback" not in said
    record = json.loads((out / "tokenizer" / BAD_BATCH).read_text())
    assert record["step"] == 7
    assert [batch["windows"] for batch in record["batches"]] == [_batches_of(run, config)[7]]
    assert not (out / "model").exists()
    before = _checkpoint(out / "tokenizer")
    assert before["global_step"] == 6
    assert all(v.isfinite().all() for v in before["state_dict"].values())
    # Without the fault the run goes on from there.
    assert main(_arguments(run, out)) == 0
    _assert_same_end(out / "tokenizer", run.folder / "tokenizer")


def test_a_run_that_diverges_stops(run, tmp_path, capsys):
    out = tmp_path / "run"
    rates = ["tokenizer.lr=1e9", "tokenizer.matrix_lr=1e9", "tokenizer.lr_warmup_steps=0"]
    assert main([*_arguments(run, out), "--set", *rates]) == 1
    assert "lower the learning rates" in capsys.readouterr().err
    assert (out / "tokenizer" / BAD_BATCH).exists()
    assert not (out / "model").exists()


def test_a_full_disk_leaves_the_checkpoint_before_it(run, tmp_path, monkeypatch, capsys):
    resource = pytest.importorskip("resource")
    out = tmp_path / "run"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # A file of more than 1 MB cannot be written from here on; the checkpoint has 12.
        with _before_batch(
            monkeypatch,
            7,
            lambda batch: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1])),
        ):
            assert main(_arguments(run, out)) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capsys.readouterr().err
    assert f"{CHECKPOINT} could not be written, is the disk full? The checkpoint before it" in said
    assert _checkpoint(out / "tokenizer")["global_step"] == 6
    assert not list((out / "tokenizer").glob("*.new"))
    assert main(_arguments(run, out)) == 0
    _assert_same_end(out / "tokenizer", run.folder / "tokenizer")


@pytest.mark.parametrize("objective", [(), PHYSIOLOGY])
def test_an_interrupted_foundation_stage_ends_as_an_undisturbed_one(
    objective, run, tmp_path, monkeypatch
):
    # Steps of two batches: a checkpoint holds whole steps.
    more = ["--set", "foundation.accumulate=2", "foundation.save_every=2", *objective]
    tokenizer = ["--tokenizer", run.folder / "model"]
    folders = [tmp_path / "undisturbed", tmp_path / "interrupted"]
    arguments = [_arguments(run, out, *tokenizer, *more, stage="foundation") for out in folders]
    assert main(arguments[0]) == 0

    usual = FoundationStage.training_step

    def stop(self, batch, batch_idx):
        if batch_idx == 9:
            raise KeyboardInterrupt
        return usual(self, batch, batch_idx)

    monkeypatch.setattr(FoundationStage, "training_step", stop)
    for _ in range(2):  # the second time right after the batch that it went on with
        assert main(arguments[1]) == 130
        assert _checkpoint(folders[1] / "foundation")["global_step"] == 4
    monkeypatch.undo()
    assert main(arguments[1]) == 0
    assert _checkpoint(folders[1] / "foundation")["global_step"] == 6
    _assert_same_end(*(folder / "foundation" for folder in folders))


class _Planted:
    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize("where", ["alone", "beside what belongs there"])
def test_a_checkpoint_of_somebody_else_runs_no_code(run, tmp_path, capsys, where):
    out = tmp_path / "run"
    shutil.copytree(run.folder, out)
    shutil.rmtree(out / "model")
    shutil.rmtree(out / "foundation")
    checkpoint = _checkpoint(out / "tokenizer") if where != "alone" else {}
    torch.save(checkpoint | {"more": _Planted()}, out / "tokenizer" / CHECKPOINT)
    assert main(_arguments(run, out)) == 2
    said = capsys.readouterr()
    assert "code ran" not in said.out
    assert f"{CHECKPOINT} holds more than tensors, numbers and texts" in said.err
    assert "weights_only" not in said.err


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 10**5, None])
def test_what_a_run_was_begun_with_is_named_when_it_is_damaged(tmp_path, content):
    begin(tmp_path, 0, {"corpus": "digest"})
    begin(tmp_path, 1, {"corpus": "digest"})
    (tmp_path / "begun.json").unlink()
    if content is not None:
        (tmp_path / "begun.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"begun\.json is lost or damaged .*remove {CHECKPOINT}"):
        begin(tmp_path, 1, {"corpus": "digest"})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text"])
def test_a_damaged_checkpoint_is_named(run, tmp_path, capsys, content):
    out = tmp_path / "run"
    shutil.copytree(run.folder, out)
    shutil.rmtree(out / "foundation")
    (out / "tokenizer" / CHECKPOINT).write_bytes(content)
    assert main(_arguments(run, out)) == 2
    assert f"{CHECKPOINT}" in (said := capsys.readouterr().err)
    assert "damaged" in said


# ---- what a run goes on with


def test_a_finished_run_stays_as_it_is(run, content_of, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(run.folder, out)
    checkpoints = {p: p.stat().st_mtime_ns for p in out.rglob(CHECKPOINT)}
    assert len(checkpoints) == 2
    for stage in ("tokenizer", "foundation"):
        assert main(_arguments(run, out, stage=stage)) == 0
    assert "the tokenizer is finished" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in out.rglob(CHECKPOINT)} == checkpoints
    assert content_of(out / "model") == content_of(run.folder / "model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.depth=2", "begun with model: .*depth=1.* now it is .*depth=2"),
        ("seed=1", "begun with seed: 0, now it is 1"),
        ("tokenizer.n_steps=99", "begun with tokenizer: .*n_steps=12"),
    ],
)
def test_a_run_keeps_its_configuration(run, change, message, capsys):
    assert main([*_arguments(run, run.folder), "--set", change]) == 2
    line = capsys.readouterr().err
    assert re.search(message, line)
    assert f"give --config {run.folder}/config.yaml, or another folder" in line


def test_a_run_keeps_its_corpus(run, tmp_path, capsys):
    out, corpus = tmp_path / "run", tmp_path / "corpus"
    shutil.copytree(run.folder, out)
    (out / "foundation" / CHECKPOINT).unlink()
    people = [run.recordings / "b", "-o", corpus, "--window", "4"]
    assert main(list(map(str, ["prepare", *people, "--validation-subjects", "somebody"]))) == 0
    assert (
        main(
            _arguments(run, out)[:2]
            + ["--corpus", str(corpus), "-o", str(out), "--config", str(run.config_file)]
        )
        == 2
    )
    assert "was begun with another corpus" in capsys.readouterr().err


def test_a_foundation_model_keeps_its_tokenizer(run, tmp_path, capsys):
    out, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(run.folder, out)
    shutil.rmtree(out / "tokenizer")
    shutil.copytree(run.folder / "model", other)
    changed = load_pretrained(other, only="tokenizer").tokenizer
    with torch.no_grad():
        changed.quantizer.codebook.add_(0.5)
    save_pretrained(other, changed)
    arguments = _arguments(run, out, "--tokenizer", other, stage="foundation")
    assert main(arguments) == 2
    assert "was begun with another tokenizer" in capsys.readouterr().err


# ---- steps


def test_a_step_accumulates_batches(train, valid, config, tmp_path):
    quantizer = replace(config.model.quantizer, warmup_steps=0)
    settings = replace(config.tokenizer, n_steps=2, accumulate=3, lr_warmup_steps=4)
    config = replace(
        config, model=replace(config.model, quantizer=quantizer), tokenizer=settings, seed=5
    )
    found = pretrain_tokenizer(train, valid, config, tmp_path)
    torch.manual_seed(5)
    model = NeuroRVQTokenizer(config=config.model.config()).train()
    start_filter_bank(model.encoder, 200.0, torch.Generator().manual_seed(5))
    stage = TokenizerStage(model, settings, asdict(config.losses), seed=5)
    optimizer = MuonWithAdamW(
        model, lr=settings.lr, matrix_lr=settings.matrix_lr, weight_decay=0.01
    )
    schedule = warmup_cosine(optimizer, 4, 2)
    batches = list(CorpusBatches(train, model.config, config.crops, seed=5, n_batches=6))
    for step in range(2):
        optimizer.zero_grad()
        for number in range(3 * step, 3 * step + 3):
            stage.on_train_batch_start(batches[number], number)
            losses, _ = model.losses(batches[number].windows, batches[number].channel_ids)
            total = sum(getattr(config.losses, name) * loss for name, loss in losses.items())
            (total / 3).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_norm)
        optimizer.step()
        schedule.step()
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], msg=name)
    assert _checkpoint(tmp_path)["global_step"] == 2


def test_the_tokenizer_learns(run, config):
    torch.manual_seed(0)
    untrained = NeuroRVQTokenizer(config=config.model.config()).eval()
    trained = _tokenizer_of(run.folder, config)
    assert trained.quantizer.started
    (_, batch), *_ = watched_batches(CorpusDataset(run.corpus, "validation"), trained.config)
    with torch.no_grad():
        before, after = (
            model.losses(batch.windows, batch.channel_ids)[0]["amplitude"]
            for model in (untrained, trained)
        )
    assert after < before


# ---- several processes


@pytest.mark.slow
def test_two_processes_train_one_model(run, config, tmp_path):
    out = tmp_path / "run"
    more = ["hardware.devices=2", "hardware.accelerator=cpu", "tokenizer.accumulate=2"]
    done = _program(PROGRAM, tmp_path, -1, *_arguments(run, out, "--set", *more))
    assert done.returncode == 0, done.stderr
    models = [torch.load(tmp_path / f"model-{rank}.pt") for rank in range(2)]
    unequal = [name for name, value in models[0].items() if not torch.equal(value, models[1][name])]
    assert not unequal
    assert models[0]["quantizer.started"]
    seen = [
        [json.loads(line) for line in (tmp_path / f"windows-{rank}.jsonl").read_text().splitlines()]
        for rank in range(2)
    ]
    assert [len(batches) for batches in seen] == [24, 24]
    for rank in range(2):
        wanted = replace(config, tokenizer=replace(config.tokenizer, n_steps=24))
        assert seen[rank] == _batches_of(run, wanted, rank=rank, n_ranks=2)
    # What validation said is the mean over the windows of both, of the model that there is one of.
    tokenizer = _tokenizer_of(out, config)
    values, sizes = [], []
    with torch.no_grad():
        for _, batch in watched_batches(CorpusDataset(run.corpus, "validation"), tokenizer.config):
            values.append(tokenizer.losses(batch.windows, batch.channel_ids)[0]["signal"])
            sizes.append(len(batch.ids))
    wanted = (torch.stack(values) * torch.tensor(sizes)).sum() / sum(sizes)
    assert read_curves(out / "tokenizer")[-1]["valid_signal"] == pytest.approx(
        wanted.item(), rel=1e-4
    )

    # Stage two, by torchrun.
    arguments = _arguments(run, out, "--set", *more, stage="foundation")
    # Standalone: on a port that is free.
    torchrun = "-m torch.distributed.run --standalone --nproc-per-node 2 -m mne_neurorvq"
    done = _program(*torchrun.split(), *arguments)
    assert done.returncode == 0, done.stderr
    assert _checkpoint(out / "foundation")["global_step"] == 6
    assert {p.name for p in (out / "model").iterdir()} == {
        "README.md",
        "config.json",
        "foundation.safetensors",
        "manifest.json",
        "measures.json",
        "tokenizer.safetensors",
        "training.json",
    }


_TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}


def test_more_processes_than_were_asked_for_are_refused(run, tmp_path, monkeypatch, capsys):
    for name, value in _TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert main(_arguments(run, tmp_path / "run")) == 2
    assert "does not match the world size (2)" in capsys.readouterr().err


@pytest.mark.parametrize("watched", [True, False])
def test_training_has_a_bar_where_somebody_watches_and_none_in_a_log(
    watched, config, tmp_path, monkeypatch
):
    bar = SimpleNamespace(disable=not watched)
    monkeypatch.setattr("mne_neurorvq.training.trainer.progress", lambda *_: bar)
    trainer = make_trainer(Hardware(accelerator="cpu"), config.tokenizer, tmp_path, 0)
    assert (trainer.progress_bar_callback is not None) == watched


def test_torchrun_within_a_job_of_slurm_is_torchrun(config, tmp_path, monkeypatch):
    slurm = {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "pretrain", "SLURM_NTASKS_PER_NODE": "1"}
    for name, value in (_TORCHRUN | slurm | {"MASTER_ADDR": "x", "MASTER_PORT": "1"}).items():
        monkeypatch.setenv(name, value)
    trainer = make_trainer(Hardware(devices=2, accelerator="cpu"), config.tokenizer, tmp_path, 0)
    environment = trainer.strategy.cluster_environment
    assert isinstance(environment, TorchElasticEnvironment)
    assert environment.world_size() == 2
