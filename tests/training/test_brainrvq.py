# License: BSD-3-Clause
"""BrainRVQ trains in both stages, stops and goes on, and each of its ablations is one switch."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from mne_neurorvq import load_pretrained
from mne_neurorvq.cli import main
from mne_neurorvq.models import BRAINRVQ_LEVEL_WEIGHTS, BrainRVQ, BrainRVQTokenizer, draw_mask
from mne_neurorvq.models.heads import make_token_heads
from mne_neurorvq.training import (
    Batch,
    BrainRVQLossWeights,
    BrainRVQPretrainConfig,
    BrainRVQSettings,
    CorpusBatches,
    CorpusDataset,
    CropSettings,
    FoundationStage,
    GuidedMasking,
    TokenizerStage,
    read_config,
)
from mne_neurorvq.training.batches import watched_batches
from mne_neurorvq.training.checkpoints import CHECKPOINT
from mne_neurorvq.training.masked_prediction import guess_codes
from mne_neurorvq.training.model_card import measure, read_curves
from mne_neurorvq.training.stage import by_level

PROGRAM = Path(__file__).with_name("logged_run.py")
DOMAINS = ("time", "frequency")


def _main(*arguments):
    return main(list(map(str, arguments)))


def _state(folder):
    return torch.load(folder / CHECKPOINT, weights_only=False)["state_dict"]


@pytest.fixture
def pretrain(brainrvq_run, tmp_path):
    """The command with a new folder."""

    def call(stage, *more, out=tmp_path / "new"):
        given = ["--corpus", brainrvq_run.corpus, "--config", brainrvq_run.config_file]
        return _main("pretrain", stage, *given, "-o", out, *more)

    return call


@pytest.fixture
def sides(brainrvq_run):
    return {side: CorpusDataset(brainrvq_run.corpus, side) for side in ("train", "validation")}


@pytest.fixture
def batches(sides, brainrvq_config):
    model, crops = brainrvq_config.model.config(), brainrvq_config.crops
    return list(CorpusBatches(sides["train"], model, crops, seed=0, n_batches=4))


@pytest.fixture
def models(brainrvq_config):
    """A tokenizer that is as good as trained, and a foundation model."""
    torch.manual_seed(0)
    config = brainrvq_config.model.config()
    tokenizer = BrainRVQTokenizer(config=config)
    tokenizer.quantizer.started.fill_(True)
    return tokenizer, BrainRVQ(config=config, masked_token_heads=True).eval()


def _listening(stage):
    """Log to a dictionary, as the only process."""
    stage.logged = {}
    stage.log = lambda name, value, **_: stage.logged.update({name: float(value)})
    stage.log_dict = lambda values, **_: [stage.log(k, v) for k, v in values.items()]
    stage._trainer = SimpleNamespace(global_rank=0)
    return stage


# ---- configuration


def test_the_defaults_are_the_published_objectives_and_curriculum():
    config = read_config(system="brainrvq")
    assert config == BrainRVQPretrainConfig()
    assert set(asdict(config.losses).values()) == {1.0}
    assert config.masking == GuidedMasking(True, 0.5, 0.8, 0.1, 5, BRAINRVQ_LEVEL_WEIGHTS)
    model = config.model.config()
    assert (model.domains, model.phase, model.token_heads) == (DOMAINS, "circular", "hierarchical")
    assert (model.quantizer.n_codebooks, model.quantizer.n_levels) == (2, 3)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("model.domains=time", lambda c: c.model.config().domains == ("time",)),
        ("model.domains=frequency", lambda c: c.model.config().domains == ("frequency",)),
        ("model.domains=time", lambda c: c.model.config().quantizer.n_codebooks == 1),
        ("model.phase=angle", lambda c: c.model.config().phase == "angle"),
        ("model.token_heads=parallel", lambda c: c.model.config().token_heads == "parallel"),
        ("masking.guided=false", lambda c: not c.masking.guided),
        ("masking.level_weights=[1, 1, 1]", lambda c: c.masking.level_weights == (1, 1, 1)),
    ],
)
def test_an_ablation_is_one_change(change, found):
    assert not found(read_config(system="brainrvq"))
    assert found(read_config(changes=[change], system="brainrvq"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("mask_ratio=0.5", r"mask_ratio: unknown key \(there are: system, seed, model, "),
        ("model.domains=[time]", r"model\.domains=.*'both', 'time' or 'frequency'"),
        ("model.quantizer.n_codebooks=1", r"n_codebooks=1 must be 2: domains says"),
        ("model.phase=cosine", r"model\.phase='cosine'"),
        ("masking.ratio=1", r"masking\.ratio=1: .*less than 1"),
        ("masking.level_weights=[]", r"masking\.level_weights"),
        ("losses.signal=1", r"losses\.signal: unknown key \(there are: code, waveform, amp"),
    ],
)
def test_what_is_impossible_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        read_config(changes=[change], system="brainrvq")


def test_an_angle_needs_the_time_domain():
    with pytest.raises(ValueError, match="phase='angle' needs the time domain"):
        read_config(changes=["model.domains=frequency", "model.phase=angle"], system="brainrvq")


# ---- corpus and batches


class _Sizes(SimpleNamespace):
    """A corpus of which only the sizes of the windows are known."""

    def __len__(self):
        return len(self.n_channels)


def test_a_corpus_is_in_the_unit_of_the_model(sides):
    index = sides["train"].index
    assert (index["unit"], index["sfreq"], index["patch_size"]) == ("100uV", 200.0, 200)
    spread = np.median([window.data.std() for window in sides["train"]])
    assert 0.01 < spread < 5  # 1 to 500 microvolts


def test_the_number_of_patches_is_limited_in_each_channel_only(sides, brainrvq_config):
    config = brainrvq_config.model.config()
    assert config.patches_per_segment(1) == 30
    corpus = _Sizes(n_channels=np.full(40, 64), n_patches=np.full(40, 60))
    crops = CropSettings(4096, n_channels=(8, 64), n_patches=(20, 60))
    _, plan = next(CorpusBatches(corpus, config, crops, seed=0, n_batches=1)._parts())
    sizes = {(batch.n_channels, batch.n_patches) for batch in plan}
    assert sizes == {(8, 20), (8, 30), (64, 20), (64, 30)}


def test_all_channels_are_watched(sides, brainrvq_config):
    watched = watched_batches(sides["validation"], brainrvq_config.model.config())
    sizes = {batch.windows.shape[1:] for _, batch in watched}
    assert sizes <= {(n, 800) for n in sides["validation"].n_channels}


# ---- stage one


def test_the_losses_are_weighted(models, batches, brainrvq_config):
    tokenizer, _ = models
    weights = asdict(BrainRVQLossWeights(code=2.0, waveform=0.5, amplitude=0.0, phase=3.0))
    stage = _listening(TokenizerStage(tokenizer.eval(), brainrvq_config.tokenizer, weights))
    total = stage.training_step(batches[0], 0)
    wanted = sum(weight * stage.logged[f"train_{name}"] for name, weight in weights.items())
    assert total.item() == pytest.approx(wanted, rel=1e-5)


def test_the_tokenizer_learns_and_its_codebooks_do_not_collapse(brainrvq_run):
    first, last = read_curves(brainrvq_run.folder / "tokenizer")
    assert (first["step"], last["step"]) == (6, 12)
    for name in ("waveform", "amplitude", "phase"):
        assert last[f"valid_{name}"] < first[f"valid_{name}"], name
    measures = json.loads((brainrvq_run.folder / "model" / "measures.json").read_text())
    assert np.shape(measures["used"]) == (2, 3)
    assert np.min(measures["used"]) > 0.5
    assert np.min(measures["entropy"]) > 0.5


def test_use_and_perplexity_are_logged_by_level_and_domain(brainrvq_run):
    log = brainrvq_run.folder / "tokenizer" / "logs" / "from_0" / "metrics.csv"
    with log.open(newline="") as file:
        *_, last = (row for row in csv.DictReader(file) if row["valid_r"])
    for counted in ("used", "perplexity"):
        for level in range(3):
            both = [float(last[f"valid_{counted}_{domain}_{level}"]) for domain in DOMAINS]
            assert float(last[f"valid_{counted}_{level}"]) == min(both)


def test_the_figures_of_a_domain_are_those_of_its_codebook(brainrvq_config, config):
    values = torch.arange(6.0).view(2, 3)
    named = by_level("used", values, values.amin(0), brainrvq_config.model.config())
    assert [float(named[f"used_time_{level}"]) for level in range(3)] == [0, 1, 2]
    assert [float(named[f"used_frequency_{level}"]) for level in range(3)] == [3, 4, 5]
    plain = by_level("used", values, values.amin(0), config.model.config())
    assert {name: float(value) for name, value in plain.items()} == {
        "used_0": 0,
        "used_1": 1,
        "used_2": 2,
    }


# ---- stage two


def _batch_of_bursts(n_windows=4):
    """Windows whose every second patch is a rhythm, and the others drift."""
    time = torch.arange(200) / 200
    generator = torch.Generator().manual_seed(0)
    noise = 0.02 * torch.randn(n_windows, 4, 8, 200, generator=generator)
    rhythm, drift = torch.sin(20 * torch.pi * time), torch.sin(2 * torch.pi * time)
    patches = noise + torch.stack((rhythm, drift)).repeat(4, 1)
    rows = torch.arange(4).expand(n_windows, -1)
    return Batch(patches.flatten(2), rows, [f"r:{i}" for i in range(n_windows)])


def _masks(stage, batch, numbers):
    """The masks of steps, as the model sees them."""
    seen = []
    usual = stage.foundation.masked_token_logits
    stage.foundation.masked_token_logits = lambda x, mask, *more: (
        seen.append(mask.clone()) or usual(x, mask, *more)
    )
    with torch.no_grad():
        for number in numbers:
            stage.training_step(batch, number)
    stage.foundation.masked_token_logits = usual
    return seen


def test_informative_patches_are_hidden_more_often_as_training_goes_on(models, brainrvq_config):
    tokenizer, foundation = models
    settings = replace(brainrvq_config.foundation, n_steps=1000, accumulate=2)
    batch = _batch_of_bursts()
    shares = {}
    for guided in (True, False):
        masking = GuidedMasking(guided=guided)
        stage = _listening(FoundationStage(foundation, tokenizer, settings, masking))
        for when, first in (("early", 0), ("late", 1980)):
            masks = torch.stack(_masks(stage, batch, range(first, first + 20)))
            bursts = masks.view(-1, 4, 8)[:, :, ::2].sum() / masks.sum()
            shares[guided, when] = bursts.item()
    assert shares[True, "early"] < shares[True, "late"] - 0.05
    assert shares[True, "late"] > 0.6
    assert abs(shares[False, "early"] - shares[False, "late"]) < 0.05


def test_the_mask_of_a_step_is_that_of_its_progress(models, batches, brainrvq_config):
    tokenizer, foundation = models
    settings = replace(brainrvq_config.foundation, n_steps=10, accumulate=2)
    masking = GuidedMasking(punching=0.2, longest_run=2, ratio=0.6, temperature=0.5)
    stage = _listening(FoundationStage(foundation, tokenizer, settings, masking, seed=3))
    (found,) = _masks(stage, batches[0], [15])
    wanted = draw_mask(
        batches[0].windows,
        0.7,  # the eighth of ten steps
        torch.Generator().manual_seed(3 + 1_000_003 * 15),
        patch_size=200,
        sfreq=200.0,
        ratio=0.6,
        temperature=0.5,
        punching=0.2,
        longest_run=2,
    )
    assert torch.equal(found, wanted.flatten(1))


def test_levels_and_both_passes_are_weighted_and_told_the_codes(models, batches, brainrvq_config):
    tokenizer, foundation = models
    masking = GuidedMasking(guided=False, level_weights=(1.0, 0.5))
    stage = _listening(FoundationStage(foundation, tokenizer, brainrvq_config.foundation, masking))
    batch = batches[0]
    (mask,) = _masks(stage, batch, [1])
    codes, _ = tokenizer.encode(batch.windows, batch.channel_ids)
    guesses = guess_codes(foundation, batch, codes, mask)
    wanted = guesses.cross_entropy.sum((0, 1)) @ torch.tensor([1.0, 0.5, 0.5])
    assert stage.training_step(batch, 1).item() == pytest.approx(wanted.item(), rel=1e-5)
    fed_back = guess_codes(foundation, batch, codes, mask, true_levels=False)
    assert torch.equal(fed_back.cross_entropy[..., 0], guesses.cross_entropy[..., 0])
    assert not torch.equal(fed_back.cross_entropy[..., 1:], guesses.cross_entropy[..., 1:])


def test_validation_masks_are_random_and_the_same_for_every_masking(
    models, batches, brainrvq_config
):
    tokenizer, foundation = models
    logged = []
    for masking in (GuidedMasking(), GuidedMasking(guided=False, temperature=0.1, punching=0.5)):
        stage = FoundationStage(foundation, tokenizer, brainrvq_config.foundation, masking)
        stage = _listening(stage)
        stage.on_validation_epoch_start()
        with torch.no_grad():
            stage.validation_step(batches[0], 0)
        stage.on_validation_epoch_end()
        logged.append(stage.logged)
    assert logged[0] == logged[1]
    levels = {f"valid_accuracy_{level}" for level in range(3)}
    named = {f"valid_accuracy_{domain}_{level}" for domain in DOMAINS for level in range(3)}
    assert set(logged[0]) == {"valid_loss"} | levels | named
    for level in range(3):
        both = [logged[0][f"valid_accuracy_{domain}_{level}"] for domain in DOMAINS]
        assert logged[0][f"valid_accuracy_{level}"] == pytest.approx(np.mean(both))


def test_the_foundation_model_starts_from_the_encoder_and_learns(brainrvq_run, brainrvq_config):
    first, last = read_curves(brainrvq_run.folder / "foundation")
    assert last["valid_loss"] < first["valid_loss"]
    # Both passes, both codebooks, weights of the levels: what knowing nothing costs.
    assert last["valid_loss"] < 4 * sum(BRAINRVQ_LEVEL_WEIGHTS) * np.log(16)
    loaded = load_pretrained(brainrvq_run.folder / "model")
    trained = loaded.foundation.encoder.state_dict()
    start = loaded.tokenizer.encoder.state_dict()
    assert start.keys() < trained.keys()  # only LayerScale, and norms of queries and keys, are new
    for name, value in start.items():
        if value.ndim > 1:
            moved = (trained[name] - value).norm() / value.norm()
            assert moved < 0.5, name


# ---- interruptions


@pytest.mark.parametrize(
    ("stage", "kind", "at", "left"),
    [("tokenizer", TokenizerStage, 8, 6), ("foundation", FoundationStage, 4, 3)],
)
def test_an_interrupted_stage_ends_as_an_undisturbed_one(
    pretrain, brainrvq_run, content_of, tmp_path, monkeypatch, stage, kind, at, left
):
    out = tmp_path / "new"
    named = ["--tokenizer", brainrvq_run.folder / "model"] if stage == "foundation" else []
    usual = kind.training_step

    def stop(self, batch, batch_idx):
        if batch_idx == at:
            raise KeyboardInterrupt
        return usual(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "training_step", stop)
        assert pretrain(stage, *named) == 130
    step = torch.load(out / stage / CHECKPOINT, weights_only=False)["global_step"]
    assert step == left
    assert pretrain(stage, *named) == 0
    one, other = (_state(folder / stage) for folder in (out, brainrvq_run.folder))
    assert one.keys() == other.keys()
    assert not [name for name, value in one.items() if not torch.equal(value, other[name])]
    assert read_curves(out / stage)[-1] == read_curves(brainrvq_run.folder / stage)[-1]


@pytest.mark.slow
def test_two_processes_train_one_model(brainrvq_run, tmp_path):
    out = tmp_path / "run"
    more = ["hardware.devices=2", "hardware.accelerator=cpu", "tokenizer.n_steps=6"]
    for stage in ("tokenizer", "foundation"):
        command = [sys.executable, PROGRAM, tmp_path, "-1", "pretrain", stage]
        given = ["--corpus", brainrvq_run.corpus, "--config", brainrvq_run.config_file, "-o", out]
        arguments = list(map(str, [*command, *given, "--set", *more]))
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
    models = [torch.load(tmp_path / f"model-{rank}.pt") for rank in range(2)]
    assert models[0]["quantizer.started"]
    assert not [n for n, value in models[0].items() if not torch.equal(value, models[1][n])]
    assert load_pretrained(out / "model").kinds == ("tokenizer", "foundation")


# ---- ablations


@pytest.mark.parametrize("domain", DOMAINS)
def test_one_domain_trains_alone(pretrain, domain, tmp_path):
    more = ["--set", f"model.domains={domain}", "foundation.n_steps=2"]
    assert pretrain("tokenizer", *more) == 0
    assert pretrain("foundation", *more) == 0
    loaded = load_pretrained(tmp_path / "new" / "model")
    assert loaded.config.domains == (domain,)
    assert list(loaded.tokenizer.decoders) == [domain]
    measures = json.loads((tmp_path / "new" / "model" / "measures.json").read_text())
    assert measures["codebooks"] == [domain]
    assert np.shape(measures["masked_accuracy"]) == (1, 3)
    assert ("waveform" in measures["losses"]) == (domain == "time")
    card = (tmp_path / "new" / "model" / "README.md").read_text()
    assert f"| {domain} " in card
    (other,) = set(DOMAINS) - {domain}
    assert f"| {other} " not in card


def test_other_heads_and_masks_learn_from_the_same_tokenizer(
    pretrain, brainrvq_run, brainrvq_config, tmp_path
):
    source = brainrvq_run.folder / "model"
    ends = {}
    for change in ("model.token_heads=parallel", "masking.guided=false"):
        out = tmp_path / change
        more = ["--tokenizer", source, "--set", change]
        assert pretrain("foundation", *more, out=out) == 0
        ends[change] = _state(out / "foundation")
        kept = load_pretrained(out / "model")
        assert kept.tokenizer.config == kept.foundation.config
        before = load_pretrained(source).tokenizer.state_dict()
        for name, value in kept.tokenizer.state_dict().items():
            assert torch.equal(value, before[name]), name
    usual = _state(brainrvq_run.folder / "foundation")
    parallel, random = ends.values()
    assert {n for n in usual if n not in parallel} == {
        f"foundation.masked_tokens.{name}" for name in ("embedding", "fusion_weight", "fusion_bias")
    }
    assert random.keys() == usual.keys()
    assert any(not torch.equal(value, usual[name]) for name, value in random.items())
    parallel = load_pretrained(tmp_path / "model.token_heads=parallel" / "model").config
    assert parallel.token_heads == "parallel"


@pytest.mark.parametrize("change", ["model.domains=time", "model.phase=angle"])
def test_a_switch_that_the_tokenizer_has_settled_otherwise_is_refused(
    pretrain, brainrvq_run, tmp_path, capsys, change
):
    source = brainrvq_run.folder / "model"
    assert pretrain("foundation", "--tokenizer", source, "--set", change) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert change.split("=")[1] in message
    assert "decided by 'pretrain tokenizer'" in message
    assert not (tmp_path / "new" / "foundation").exists()


def test_a_tokenizer_of_another_system_is_refused(pretrain, capsys):
    assert pretrain("foundation", "--tokenizer", "neurorvq-eeg-tiny-random") == 2
    assert "a BrainRVQ model is needed here" in capsys.readouterr().err.splitlines()[-1]


# ---- results


def test_the_card_reports_both_domains(brainrvq_run):
    folder = brainrvq_run.exported
    card = (folder / "README.md").read_text()
    measures = json.loads((folder / "measures.json").read_text())
    front = yaml.safe_load(card.split("---\n")[1])
    assert {"eeg", "brainrvq"} <= set(front["tags"])
    for part in (
        "decoded from the codes and the mean and standard deviation of each second",
        "(steps: tokenizer 12, foundation 6)",
        "## Masked-token accuracy (half of the patches hidden)",
        "of guessed levels before",
        "## Curve of the foundation",
    ):
        assert part in card, part
    for name in ("waveform", "amplitude", "phase"):
        assert f"| {name}" in card
        assert f"| {measures['losses'][name]:.3f} |" in card
    rows = [line for line in card.splitlines() if line.startswith(("| time ", "| frequency "))]
    assert len(rows) == 2 * 2 * 3  # codes, and guesses of them
    assert f"{measures['entropy'][1][2]:.3f}" in rows[5]
    assert f"{measures['masked_accuracy'][1][2]:.4f}" in rows[11]
    assert f"{measures['commonest_code'][1][2]:.4f}" in rows[11]
    assert f"{1 / 16:.4f}" in rows[11]


def test_level_zero_is_not_fed_anything_back(brainrvq_run):
    measures = json.loads((brainrvq_run.folder / "model" / "measures.json").read_text())
    told, fed_back = (np.array(measures[f"{kind}_accuracy"]) for kind in ("masked", "fed_back"))
    np.testing.assert_array_equal(told[:, 0], fed_back[:, 0])


def test_the_measured_accuracy_is_that_of_the_heads_beside_the_model(brainrvq_run, sides):
    loaded = load_pretrained(brainrvq_run.folder / "model")
    assert loaded.foundation.masked_tokens is None
    heads = make_token_heads(loaded.config)
    heads.load_state_dict(load_file(brainrvq_run.folder / "masked_token_heads.safetensors"))
    loaded.foundation.masked_tokens = heads
    found = measure(loaded.tokenizer, loaded.foundation, sides["validation"])
    wanted = json.loads((brainrvq_run.folder / "model" / "measures.json").read_text())
    assert found["masked_accuracy"] == wanted["masked_accuracy"]
    assert np.mean(found["masked_accuracy"]) > 1 / 16


def test_a_run_with_the_released_settings_is_exported_in_the_authors_format(pretrain, tmp_path):
    released = ["model.quantizer.rule=detached", "model.phase=angle", "model.input_scale=none"]
    released += ["model.class_place=first channel", "tokenizer.n_steps=6", "foundation.n_steps=2"]
    assert pretrain("tokenizer", "--set", *released) == 0
    assert pretrain("foundation", "--set", *released) == 0
    run, out = tmp_path / "new", tmp_path / "exported"
    assert _main("export", run, "-o", out, "--licence", "mit", "--official") == 0
    ours = load_pretrained(out)
    assert ours.config.class_place == "first channel"
    theirs = load_pretrained(out / "official" / "tokenizer.pt").tokenizer.state_dict()
    encoder = ours.tokenizer.encoder.state_dict()
    assert all(torch.equal(theirs[f"encoder.{name}"], value) for name, value in encoder.items())
    heads = torch.load(out / "official" / "foundation.pt", weights_only=True)
    assert any(name.startswith("lm_heads_t") for name in heads)


def test_every_hidden_code_counts_the_same_in_the_measured_accuracy(
    brainrvq_run, sides, monkeypatch
):
    loaded = load_pretrained(brainrvq_run.folder / "model")
    loaded.foundation.masked_tokens = make_token_heads(loaded.config)
    batches = [b for _, b in watched_batches(sides["validation"], loaded.config, n_windows=64)]
    sizes = [batch.windows.numel() for batch in batches]
    assert len(set(sizes)) > 1

    def guess(foundation, batch, codes, mask, *, true_levels):
        return SimpleNamespace(accuracy=torch.full((2, 3), float(batch.ids == batches[0].ids)))

    monkeypatch.setattr("mne_neurorvq.training.model_card.guess_codes", guess)
    found = measure(loaded.tokenizer, loaded.foundation, sides["validation"])
    np.testing.assert_allclose(found["masked_accuracy"], sizes[0] / sum(sizes), rtol=1e-5)
    np.testing.assert_allclose(found["fed_back_accuracy"], sizes[0] / sum(sizes), rtol=1e-5)


def test_what_is_trained_embeds_and_reconstructs(brainrvq_run, sides):
    loaded = load_pretrained(brainrvq_run.exported)
    assert loaded.kinds == ("tokenizer", "foundation")
    window = sides["validation"][0]
    x, rows = torch.from_numpy(window.data)[None], torch.from_numpy(window.rows)[None]
    with torch.no_grad():
        codes, side = loaded.tokenizer.eval().encode(x, rows)
        assert codes.shape == (1, len(window.rows), 4, 2, 3)
        assert loaded.tokenizer.decode_codes(codes, side, rows).shape == x.shape
        features = loaded.foundation.eval()(x, rows, return_features=True)["features"]
    assert torch.isfinite(features).all()


def test_settings_build_the_structure(brainrvq_config):
    settings = BrainRVQSettings(depth=2, decoder_depth=2, mlp_ratio=1.5, foundation_drop_path=0.2)
    config = settings.config()
    assert (config.depth, config.decoder_depth, config.mlp_ratio) == (2, 2, 1.5)
    assert (config.foundation_layer_scale, config.foundation_drop_path) == (1.0, 0.2)
