# License: BSD-3-Clause
"""A codec of single channels trains, stops and goes on as a NeuroRVQ tokenizer does."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mne_neurorvq import BioCodecTransformer, load_pretrained
from mne_neurorvq.analysis import reconstruction_quality
from mne_neurorvq.cli import main
from mne_neurorvq.models import BIOCODEC_EEG, BIOCODEC_LOSS_WEIGHTS, BioCodec
from mne_neurorvq.signals import robust_scale
from mne_neurorvq.training import (
    BioCodecLossWeights,
    BioCodecPretrainConfig,
    BioCodecSettings,
    CorpusBatches,
    CorpusDataset,
    CropSettings,
    TokenizerStage,
    pretrain_tokenizer,
    read_config,
)
from mne_neurorvq.training.batches import model_input, watched_batches
from mne_neurorvq.training.checkpoints import CHECKPOINT
from mne_neurorvq.training.crops import crop
from mne_neurorvq.training.model_card import read_curves
from mne_neurorvq.training.optimisation import MuonWithAdamW, start_projections
from mne_neurorvq.weights.provenance import pretraining_subjects

PROGRAM = Path(__file__).with_name("logged_run.py")


def _main(*arguments):
    return main(list(map(str, arguments)))


def _error(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def _checkpoint(folder):
    return torch.load(folder / CHECKPOINT, weights_only=False)


@pytest.fixture
def pretrain(biocodec_run, tmp_path):
    """The command with a new folder."""

    def call(*more, stage="tokenizer", out=tmp_path / "new", config=biocodec_run.config_file):
        options = ["--corpus", biocodec_run.corpus, "-o", out]
        return _main("pretrain", stage, *options, *(["--config", config] if config else []), *more)

    return call


@pytest.fixture
def sides(biocodec_run):
    return {side: CorpusDataset(biocodec_run.corpus, side) for side in ("train", "validation")}


@pytest.fixture
def batches(sides, biocodec_config):
    model, crops = biocodec_config.model.config(), biocodec_config.crops
    return list(CorpusBatches(sides["train"], model, crops, seed=0, n_batches=12))


# ---- configuration


def test_the_defaults_are_the_published_objective_and_structure_with_fewer_filters():
    config = read_config(system="biocodec")
    assert config == BioCodecPretrainConfig()
    assert asdict(config.losses) == dict(BIOCODEC_LOSS_WEIGHTS)
    model = config.model.config()
    threshold = model.quantizer.dead_code_threshold
    published = replace(BIOCODEC_EEG.quantizer, dead_code_threshold=threshold)
    assert model == replace(BIOCODEC_EEG, n_filters=16, quantizer=published)
    assert BioCodecSettings("emg").config().sfreq == 1000


def test_the_system_is_what_the_file_or_the_last_change_says(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("system: biocodec\nmodel: {n_filters: 4}\n")
    assert read_config(path).model.n_filters == 4
    assert read_config(path, ["system=biocodec", "model.n_filters=8"]).model.n_filters == 8
    with pytest.raises(ValueError, match=r"model\.n_filters: unknown key"):
        read_config(path, ["system=neurorvq"])
    with pytest.raises(ValueError, match="system='encodec' is none of neurorvq, biocodec"):
        read_config(changes=["system=encodec"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("mask_ratio=0.5", r"mask_ratio: unknown key \(there are: system, seed, model, "),
        ("foundation.n_steps=5", "foundation: unknown key"),
        ("model.depth=3", r"model\.depth: unknown key \(there are: modality, n_filters, "),
        ("losses.phase=1", r"losses\.phase: unknown key \(there are: code, waveform, spectral\)"),
        ("model.modality=ecg", r"model\.modality='ecg': .*'eeg' or 'emg'"),
        ("tokenizer.betas=[0.5]", r"tokenizer\.betas"),
        ("tokenizer.betas=[0.5, 1]", r"tokenizer\.betas\.1=1: .*less than 1"),
        ("model.quantizer.warmup_steps=5", r"model: quantizer\.warmup_steps=5 must be 0"),
    ],
)
def test_what_the_codec_does_not_have_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        read_config(changes=[change], system="biocodec")


def test_without_a_file_the_corpus_says_which_system(pretrain, tmp_path, capsys):
    assert pretrain("--set", "model.depth=3", config=None) == 2
    assert r"model.depth: unknown key (there are: modality, n_filters" in _error(capsys)
    assert _main("pretrain", "config", "--system", "biocodec") == 0
    assert yaml.safe_load(capsys.readouterr().out)["system"] == "biocodec"


def test_a_configuration_of_another_system_is_refused(pretrain, tmp_path, capsys):
    # As they were written before there were several systems.
    (tmp_path / "old.yaml").write_text("model: {depth: 3}\n")
    assert pretrain(config=tmp_path / "old.yaml") == 2
    assert "was prepared for biocodec, but the configuration is one of neurorvq" in _error(capsys)
    assert pretrain("--system", "neurorvq", config=None) == 2
    assert "'mne-neurorvq prepare --system neurorvq' makes another" in _error(capsys)


def test_there_is_no_foundation_model(pretrain, tmp_path, capsys):
    assert pretrain(stage="foundation") == 2
    assert "BioCodec has no foundation model: 'pretrain tokenizer' is all" in _error(capsys)
    assert not (tmp_path / "new").exists()


# ---- batches


@given(
    seed=st.integers(0, 50),
    gain=st.floats(1e-6, 1e6),
    offset=st.floats(-100, 100),
    n_channels=st.integers(1, 4),
)
def test_crops_do_not_depend_on_gain_and_offset_of_a_recording(seed, gain, offset, n_channels):
    data = np.random.default_rng(7).standard_normal((4, 60))
    planned = (n_channels, 3)

    def cropped(signals):
        rng = np.random.default_rng(seed)
        rows = np.arange(4)
        found = crop(signals, rows, planned, CropSettings(), patch_size=10, rng=rng, scaled=True)
        return found.data, found.rows

    (one, rows), (other, again) = cropped(data), cropped(gain * (data + offset))
    np.testing.assert_array_equal(rows, again)
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert one.shape == (n_channels, 30)
    width = np.ptp(np.percentile(one, (25, 75), axis=-1), axis=0)
    # One gain for all channels of the crop.
    np.testing.assert_allclose(width, width[0])
    assert 0.3 < width[0] < 3
    np.testing.assert_allclose(np.median(one, axis=-1), 0, atol=1e-9)


def test_noise_has_a_random_share_of_each_channel_s_spread():
    time = np.arange(4000) / 250
    data = (np.float32([[1], [50]]) * np.sin(2 * np.pi * 3.3 * time)).astype(np.float32)
    planned = (2, 400)
    plain, noisy = CropSettings(gain_spread=0), CropSettings(gain_spread=0, noise_spread=0.3)

    def cropped(settings, seed):
        rng = np.random.default_rng(seed)
        found = crop(data, np.arange(2), planned, settings, patch_size=10, rng=rng)
        return found.data, found.rows

    shares = []
    for seed in range(40):
        (clean, rows), (found, again) = cropped(plain, seed), cropped(noisy, seed)
        np.testing.assert_array_equal(rows, again)
        noise = found - clean
        spectrum = np.abs(np.fft.rfft(noise)) ** 2
        low, high = np.array_split(spectrum, 2, axis=-1)
        np.testing.assert_allclose(low.mean(-1), high.mean(-1), rtol=0.3)  # white
        shares.append(noise.std(-1) / np.diff(np.quantile(clean, (0.25, 0.75), axis=-1), axis=0)[0])
    # A half-normal distribution; the channels draw their own.
    assert np.mean(shares) == pytest.approx(0.3 * np.sqrt(2 / np.pi), rel=0.25)
    assert abs(np.corrcoef(np.transpose(shares))[0, 1]) < 0.4


def test_a_codec_learns_to_restore_noise():
    crops = read_config(system="biocodec").crops
    assert crops.noise_spread > 0
    assert crops.restore == "noisy"


def test_artifacts_are_limited_after_the_gain():
    data = np.random.default_rng(0).standard_normal((1, 1000))
    data[0, 500:510] = 1e4
    data[0, 600] = -1e4
    planned = (1, 100)
    rng = np.random.default_rng(1)
    found, *_ = crop(
        data, np.arange(1), planned, CropSettings(), patch_size=10, rng=rng, scaled=True
    )
    assert (found.max(), found.min()) == (10, -10)
    assert (np.abs(found) == 10).sum() == 11


def test_the_batches_of_an_epoch_have_every_window_once(sides, biocodec_config):
    model, train = biocodec_config.model.config(), sides["train"]
    reader = CorpusBatches(train, model, biocodec_config.crops, seed=0, n_batches=10**6)
    epoch, plan = next(reader._parts())
    read = [reader._read(epoch, planned) for planned in plan]
    assert sorted(i for b in read for i in b.ids) == sorted(w.id for w in train)
    # Of some windows two channels, of others four, of 2 or 3 s.
    assert {tuple(b.windows.shape[1:]) for b in read} == {
        (n_channels, 250 * seconds) for n_channels in (2, 4) for seconds in (2, 3)
    }
    for batch in read:
        assert batch.windows.numel() <= 24 * 250
        assert batch.windows.abs().max() <= 10
        torch.testing.assert_close(
            batch.windows.quantile(0.5, -1),
            torch.zeros(()).expand(batch.windows.shape[:2]),
            atol=1e-5,
            rtol=0,
        )


def test_at_most_eight_channels_all_over_the_head_are_watched(sides, biocodec_config):
    valid, model = sides["validation"], biocodec_config.model.config()
    for _, batch in watched_batches(valid, model, n_windows=2):
        n_channels = batch.windows.shape[1]
        assert n_channels == 8
        assert batch.windows.shape[2] == 250 * 4
        for rows, name in zip(batch.channel_ids, batch.ids, strict=True):
            (window,) = (w for w in valid if w.id == name)
            assert rows[0] == window.rows[0]
            assert rows[-1] == window.rows[-1]
            assert rows.diff().min() >= len(window.rows) // 8


def test_what_is_watched_is_scaled_and_can_be_brought_back(sides, biocodec_config):
    model = biocodec_config.model.config()
    (_, batch), *_ = watched_batches(sides["validation"], model, n_windows=2)
    x, centre, scale = model_input(batch.windows, model)
    wanted = robust_scale(batch.windows.numpy())[0]
    np.testing.assert_allclose(x, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(x * scale + centre, batch.windows, rtol=1e-4, atol=1e-4)


# ---- training


def test_the_maps_of_the_levels_start_as_one_projection(biocodec_config):
    model = BioCodec(config=biocodec_config.model.config())
    start_projections(model.quantizer, torch.Generator().manual_seed(0))
    down, up = model.quantizer.to_code.weight[0], model.quantizer.from_code.weight[0]
    for level in range(3):
        torch.testing.assert_close(down[level] @ up[level], torch.eye(4))
        lengths = up[level].norm(dim=0)
        torch.testing.assert_close(lengths, torch.full((4,), 0.7**level))
        span = torch.linalg.matrix_rank(torch.cat([down[0], down[level]]), tol=1e-4)
        assert span == 4
    assert not model.quantizer.to_code.bias.any()


def test_training_starts_from_that_projection(sides, biocodec_config, tmp_path):
    hardly = replace(biocodec_config.tokenizer, n_steps=1, lr=1e-12, matrix_lr=1e-12)
    config = replace(biocodec_config, tokenizer=hardly)
    found = pretrain_tokenizer(sides["train"], sides["validation"], config, tmp_path).quantizer
    assert found.started
    for down, up in zip(found.to_code.weight[0], found.from_code.weight[0], strict=True):
        torch.testing.assert_close(down @ up, torch.eye(4))


def test_muon_takes_the_recurrent_matrices(biocodec_config):
    model = BioCodec(config=biocodec_config.model.config())
    parts = MuonWithAdamW(model, lr=1e-3, matrix_lr=1e-3, weight_decay=0.0, betas=(0.5, 0.9)).parts
    matrices, rest = ([p for g in part.param_groups for p in g["params"]] for part in parts)
    # Two layers each of encoder and decoder, with one matrix for the input and one for the state.
    assert len(matrices) == 8
    assert {tuple(p.shape) for p in matrices} == {(64, 16)}
    assert len(matrices) + len(rest) == len(list(model.parameters()))
    assert parts[1].param_groups[0]["betas"] == (0.5, 0.9)


def test_the_first_step_starts_the_codebooks_by_k_means_on_its_batch(biocodec_config, batches):
    torch.manual_seed(0)
    config = biocodec_config.model.config()
    # Codes that nothing chooses would be drawn anew from the batch.
    quantizer = replace(config.quantizer, dead_code_threshold=0.0)
    model = BioCodec(config=replace(config, quantizer=quantizer)).train()
    start_projections(model.quantizer, torch.Generator().manual_seed(0))
    wanted = deepcopy(model.quantizer)
    stage = TokenizerStage(model, biocodec_config.tokenizer, asdict(biocodec_config.losses))
    stage.log = stage.log_dict = lambda *_, **__: None
    stage._trainer = SimpleNamespace(global_rank=0)
    assert not stage.resumable
    vectors = model.to_vectors(batches[0].windows).detach()
    stage.on_train_batch_start(batches[0], 0)
    wanted.start(vectors)
    stage.on_train_batch_start(batches[0], 0)
    stage.training_step(batches[0], 0)
    assert stage.resumable
    with torch.no_grad():
        wanted(vectors)  # the step itself moves them
    torch.testing.assert_close(model.quantizer.codebook, wanted.codebook)


def test_the_losses_are_weighted_as_published(biocodec_config, batches):
    torch.manual_seed(0)
    model = BioCodec(config=biocodec_config.model.config()).eval()
    logged = {}
    for weights in (None, asdict(BioCodecLossWeights(code=2.0, waveform=0.0, spectral=0.5))):
        stage = TokenizerStage(model, biocodec_config.tokenizer, weights)
        stage.log = lambda name, value, **_: logged.update({name: float(value)})
        stage.log_dict = lambda values, **_: logged.update({k: float(v) for k, v in values.items()})
        total = stage.training_step(batches[0], 0)
        used = BIOCODEC_LOSS_WEIGHTS if weights is None else weights
        parts = {name: logged[f"train_{name}"] for name in ("code", "waveform", "spectral")}
        wanted = sum(used[name] * value for name, value in parts.items())
        assert total.item() == pytest.approx(wanted, rel=1e-5)
        assert {f"residual_norm_{level}" for level in range(4)} <= set(logged)


def test_the_codec_learns(biocodec_run):
    text = (biocodec_run.folder / "tokenizer" / "logs" / "from_0" / "metrics.csv").read_text()
    names = text.splitlines()[0].split(",")
    for measure in ("valid_used", "valid_perplexity"):
        assert {f"{measure}_{level}" for level in range(3)} <= set(names)
    first, last = read_curves(biocodec_run.folder / "tokenizer")
    assert (first["step"], last["step"]) == (6, 12)
    assert last["valid_spectral"] < first["valid_spectral"]


def test_validation_measures_scaled_signals(biocodec_run, biocodec_config, sides):
    model = BioCodec(config=biocodec_config.model.config()).eval()
    state = _checkpoint(biocodec_run.folder / "tokenizer")["state_dict"]
    model.load_state_dict({name.removeprefix("tokenizer."): v for name, v in state.items()})
    values, sizes = [], []
    for _, batch in watched_batches(sides["validation"], model.config):
        with torch.no_grad():
            losses, _ = model.losses(model_input(batch.windows, model.config)[0])
        values.append(losses["spectral"].item())
        sizes.append(len(batch.ids))
    (*_, last) = read_curves(biocodec_run.folder / "tokenizer")
    assert last["valid_spectral"] == pytest.approx(np.average(values, weights=sizes), rel=1e-4)


def test_an_interrupted_run_ends_as_an_undisturbed_one(
    pretrain, biocodec_run, content_of, tmp_path, monkeypatch
):
    usual = TokenizerStage.on_train_batch_start

    def stop(self, batch, batch_idx):
        if batch_idx == 8:
            raise KeyboardInterrupt
        usual(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(TokenizerStage, "on_train_batch_start", stop)
        assert pretrain() == 130
    assert _checkpoint(tmp_path / "new" / "tokenizer")["global_step"] == 6
    assert pretrain() == 0
    one, other = (
        _checkpoint(folder / "tokenizer")["state_dict"]
        for folder in (tmp_path / "new", biocodec_run.folder)
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    found, wanted = (content_of(folder / "model") for folder in (tmp_path / "new", biocodec_run[3]))
    assert found["tokenizer.safetensors"] == wanted["tokenizer.safetensors"]
    assert found["measures.json"] == wanted["measures.json"]


@pytest.mark.slow
def test_two_processes_hold_one_codec(biocodec_run, tmp_path):
    out = tmp_path / "run"
    more = ["hardware.devices=2", "hardware.accelerator=cpu", "tokenizer.n_steps=5"]
    command = [sys.executable, PROGRAM, tmp_path, "-1", "pretrain", "tokenizer"]
    options = ["--corpus", biocodec_run.corpus, "--config", biocodec_run.config_file, "-o", out]
    arguments = list(map(str, [*command, *options, "--set", *more]))
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    models = [torch.load(tmp_path / f"model-{rank}.pt") for rank in range(2)]
    assert models[0]["quantizer.started"]
    unequal = [name for name, value in models[0].items() if not torch.equal(value, models[1][name])]
    assert not unequal
    seen = [(tmp_path / f"windows-{rank}.jsonl").read_text() for rank in range(2)]
    assert seen[0] != seen[1]
    assert load_pretrained(out / "model").config.system == "biocodec"


# ---- results


def test_the_measures_are_those_of_what_the_estimator_gives_back(biocodec_run, sides):
    folder = biocodec_run.folder / "model"
    config = load_pretrained(folder).config
    wanted = {}
    for subject, batch in watched_batches(sides["validation"], config, n_windows=64):
        X = batch.windows.numpy()
        names = [f"channel {i}" for i in range(X.shape[1])]
        tok = BioCodecTransformer(folder, ch_names=names, sfreq=config.sfreq).fit(X)
        rebuilt = 1e6 * tok.reconstruct(X).get_data()
        wanted.setdefault(subject, []).append(
            (len(X), reconstruction_quality(X, rebuilt, config.sfreq).summary())
        )
    measures = json.loads((folder / "measures.json").read_text())
    assert measures["subjects"].keys() == wanted.keys()
    for subject, parts in wanted.items():
        for name in ("r", "si_sdr", "gain", "nmse", "r_alpha", "nmse_gamma"):
            mean = np.average([m[name] for _, m in parts], weights=[n for n, _ in parts])
            assert measures["subjects"][subject][name] == pytest.approx(mean, rel=1e-5, abs=1e-5)
    assert np.shape(measures["entropy"]) == (1, 3)
    assert measures["masked_accuracy"] is None


def test_the_card_has_the_figures_beside_those_of_the_paper(biocodec_run):
    folder = biocodec_run.folder / "model"
    card, measures = (folder / "README.md").read_text(), folder / "measures.json"
    subjects = json.loads(measures.read_text())["subjects"].values()
    r, si_sdr = (np.mean([q[name] for q in subjects]) for name in ("r", "si_sdr"))
    (mean,) = (line for line in card.splitlines() if line.startswith("| mean"))
    assert f" {r:.3f} " in mean
    assert f" {si_sdr:.3f} " in mean
    for part in (
        "Windows of up to 5 s, at most 8 channels of each, scaled by median",
        "`r` 0.89, `si_sdr` 9.81 dB, all codes used and a normalised entropy above 0.92",
        "(steps: tokenizer 12)",
        "## Curve of the tokenizer",
    ):
        assert part in card, part
    assert "scales" not in card
    (header,) = (line for line in card.splitlines() if line.startswith("| level"))
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        "level",
        "used",
        "normalised entropy",
        "residual norm",
    ]


def test_the_model_is_known_by_whom_it_has_seen_and_can_be_given_away(biocodec_run):
    assert pretraining_subjects(biocodec_run.folder / "model") == {
        "eegmmidb": ("S001", "S002", "S004")
    }
    loaded = load_pretrained(biocodec_run.exported)
    assert loaded.config.system == "biocodec"
    assert loaded.kinds == ("tokenizer",)
    front = yaml.safe_load((biocodec_run.exported / "README.md").read_text().split("---\n")[1])
    assert {"eeg", "biocodec"} <= set(front["tags"])


def test_the_authors_format_gives_the_same_codes(biocodec_run, tmp_path):
    out = tmp_path / "out"
    assert _main("export", biocodec_run.folder, "-o", out, "--official") == 0
    ours = load_pretrained(out).tokenizer
    theirs = load_pretrained(out / "official" / "tokenizer.pt").tokenizer
    x = torch.randn(2, 3, 500, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(ours.encode(x)[0], theirs.encode(x)[0])
