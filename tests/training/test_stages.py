# License: BSD-3-Clause
"""What a step of each stage computes and logs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from mne_neurorvq.models import NeuroRVQ, NeuroRVQTokenizer
from mne_neurorvq.training import (
    Batch,
    FoundationSettings,
    FoundationStage,
    NeuroRVQLossWeights,
    StageSettings,
    TokenizerStage,
)
from mne_neurorvq.training.patch_targets import TARGETS
from mne_neurorvq.training.stage import BAD_BATCH

SETTINGS = StageSettings(n_steps=100, max_norm=0.5)
LEARNED = FoundationSettings(n_steps=100, max_norm=0.5)
NAMES = ("code", "amplitude", "phase", "signal", "waveform")


def _listening(stage):
    """Keep what a stage logs."""
    stage.logged = {}
    stage.log = lambda name, value, **_: stage.logged.update({name: float(value)})
    stage.log_dict = lambda values, **_: [stage.log(name, v) for name, v in values.items()]
    return stage


def _make_batch(n_windows=3, n_channels=4, n_patches=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = 10 * torch.randn(n_windows, n_channels, 200 * n_patches, generator=generator)
    rows = torch.stack([torch.randperm(100, generator=generator)[:n_channels] for _ in x])
    return Batch(x, rows, [f"recording:{seed}:{i}" for i in range(n_windows)])


def _one_by_one(batch):
    return [Batch(x[None], rows[None], [i]) for x, rows, i in zip(*batch[:3], strict=True)]


@pytest.fixture
def tokenizer(config):
    torch.manual_seed(0)
    model = NeuroRVQTokenizer(config=config.model.config())
    # As after the k-means start, without which nothing is quantized.
    model.quantizer.started.fill_(True)
    return model


@pytest.fixture
def foundation(tokenizer):
    torch.manual_seed(1)
    return NeuroRVQ(config=tokenizer.config, masked_token_heads=True)


# ---- the tokenizer


@pytest.mark.parametrize("given", [None, NeuroRVQLossWeights(2.0, 0.5, 0.0, 3.0, 0.25)])
def test_the_losses_are_summed_with_their_weights(tokenizer, given):
    stage = TokenizerStage(tokenizer.eval(), SETTINGS, None if given is None else asdict(given))
    loss = _listening(stage).training_step(_make_batch(), 0)
    parts = {name: stage.logged[f"train_{name}"] for name in NAMES}
    weights = given or NeuroRVQLossWeights()
    wanted = sum(getattr(weights, name) * value for name, value in parts.items())
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    assert stage.logged["train_loss"] == loss.item()
    assert loss.requires_grad


def test_windows_of_other_montages_cost_what_they_do_alone(tokenizer):
    stage = _listening(TokenizerStage(tokenizer.eval(), SETTINGS))
    batch = _make_batch()
    together = stage.training_step(batch, 0)
    apart = [stage.training_step(one, 0) for one in _one_by_one(batch)]
    torch.testing.assert_close(together, torch.stack(apart).mean(), rtol=1e-5, atol=1e-6)


def test_a_step_logs_the_norms_of_the_residuals(tokenizer):
    stage = _listening(TokenizerStage(tokenizer.train(), SETTINGS))
    stage.training_step(_make_batch(), 0)
    assert [f"residual_norm_{i}" in stage.logged for i in range(4)] == [True] * 3 + [False]


def test_validation_logs_means_over_windows_and_the_poorest_codebook(tokenizer):
    stage = _listening(TokenizerStage(tokenizer.eval(), SETTINGS))
    batches = [_make_batch(3, seed=0), _make_batch(1, n_channels=7, seed=1)]
    stage.on_validation_epoch_start()
    losses, correlations, codes = [], [], []
    with torch.no_grad():
        for number, batch in enumerate(batches):
            stage.validation_step(batch, number)
            for one in _one_by_one(batch):
                found, quantized = tokenizer.losses(one.windows, one.channel_ids)
                losses.append([found[name].item() for name in NAMES])
                rebuilt = tokenizer(one.windows, one.channel_ids)
                pairs = zip(rebuilt[0], one.windows[0], strict=True)
                r = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs]
                correlations.append(torch.stack(r).mean().item())
                codes.append(quantized.codes)
    stage.on_validation_epoch_end()
    for name, values in zip(NAMES, zip(*losses, strict=True), strict=True):
        assert stage.logged[f"valid_{name}"] == pytest.approx(sum(values) / 4, rel=1e-5)
    assert stage.logged["valid_r"] == pytest.approx(sum(correlations) / 4, rel=1e-4)
    every = torch.cat(codes, dim=1)
    for level in range(2):
        counts = F.one_hot(every[..., level], 16).sum(1).float()
        used = (counts > 0).float().mean(-1).min().item()
        shares = counts / counts.sum(-1, keepdim=True)
        evenness = torch.special.entr(shares).sum(-1).exp().min().item()
        assert stage.logged[f"valid_used_{level}"] == pytest.approx(used)
        assert stage.logged[f"valid_perplexity_{level}"] == pytest.approx(evenness, rel=1e-4)


def test_validation_changes_no_codebook(tokenizer):
    stage = _listening(TokenizerStage(tokenizer.eval(), SETTINGS))
    before = tokenizer.quantizer.codebook.clone()
    stage.on_validation_epoch_start()
    stage.validation_step(_make_batch(), 0)
    assert torch.equal(tokenizer.quantizer.codebook, before)


def test_nothing_is_told_of_codebooks_that_have_not_started(tokenizer):
    tokenizer.quantizer.started.fill_(False)
    stage = _listening(TokenizerStage(tokenizer.eval(), SETTINGS))
    assert not stage.resumable
    stage.on_validation_epoch_start()
    stage.validation_step(_make_batch(), 0)
    stage.on_validation_epoch_end()
    assert not stage.logged


# ---- the foundation model


def test_the_tokenizer_of_stage_two_stays_frozen(tokenizer, foundation):
    stage = FoundationStage(foundation, tokenizer.train(), LEARNED)
    stage.train()
    assert foundation.training
    assert not any(module.training for module in tokenizer.modules())
    assert not any(p.requires_grad for p in tokenizer.parameters())
    before = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    stage = _listening(stage)
    stage.training_step(_make_batch(), 0).backward()
    assert all(torch.equal(value, before[name]) for name, value in tokenizer.state_dict().items())
    stage.eval()
    assert not foundation.training
    optimised = {
        id(p)
        for part in stage.configure_optimizers()["optimizer"].parts
        for group in part.param_groups
        for p in group["params"]
    }
    assert optimised == {id(p) for p in foundation.parameters()}


def test_labels_are_the_codes_of_the_whole_window(tokenizer, foundation):
    stage = _listening(FoundationStage(foundation, tokenizer, LEARNED))
    batch = _make_batch()
    encoded = []
    encode = tokenizer.encode
    tokenizer.encode = lambda x, rows: encoded.append((x.clone(), rows)) or encode(x, rows)
    stage.training_step(batch, 0)
    ((windows, rows),) = encoded
    assert torch.equal(windows, batch.windows)
    assert torch.equal(rows, batch.channel_ids)


def test_the_masks_of_a_step_depend_on_batch_and_process(tokenizer, foundation):
    stage = _listening(FoundationStage(foundation.eval(), tokenizer, LEARNED))
    batch = _make_batch()
    losses = {}
    for rank in range(2):
        stage._trainer = SimpleNamespace(global_rank=rank)
        for number in (0, 1):
            losses[rank, number] = stage.training_step(batch, number).item()
            assert losses[rank, number] == stage.training_step(batch, number).item()
    assert len(set(losses.values())) == 4


def test_the_masks_of_validation_never_change(tokenizer, foundation):
    stage = _listening(FoundationStage(foundation.eval(), tokenizer, LEARNED))
    batches = [_make_batch(3, seed=0), _make_batch(1, seed=1)]
    results = []
    for order in (batches, batches[::-1]):
        stage.on_validation_epoch_start()
        with torch.no_grad():
            for number, batch in enumerate(order):
                stage.validation_step(batch, number)
        stage.on_validation_epoch_end()
        results.append(dict(stage.logged))
    assert set(results[0]) == {"valid_loss", "valid_accuracy_0", "valid_accuracy_1"}
    assert results[0] == pytest.approx(results[1], rel=1e-6)


def _with_targets(batch, columns, seed=5):
    generator = torch.Generator().manual_seed(seed)
    n_windows, n_channels, n_times = batch.windows.shape
    shape = n_windows, n_channels, n_times // 200, columns
    return batch._replace(targets=torch.randn(shape, generator=generator))


@pytest.fixture
def told(tokenizer):
    """A stage that learns two targets and no codes, its head no longer zero."""
    torch.manual_seed(1)
    foundation = NeuroRVQ(config=tokenizer.config)
    weights = dict.fromkeys(TARGETS, 0.0) | {"power": 0.5, "slow": 2.0}
    settings = FoundationSettings(n_steps=100, masked_tokens=0.0, targets=weights, head_lr=0.25)
    stage = _listening(FoundationStage(foundation.eval(), tokenizer, settings))
    torch.nn.init.normal_(foundation.target_head.weight, std=0.01)
    return stage


def test_targets_are_told_from_the_features_of_all_patches(told):
    batch = _with_targets(_make_batch(), 8)
    tokenizer, foundation = told.tokenizer, told.foundation
    tokenizer.encode = None  # without a weight for codes none is made
    loss = told.training_step(batch, 0)
    head = foundation.target_head
    features = foundation(batch.windows, batch.channel_ids, return_features=True)["features"]
    torch.testing.assert_close(
        foundation.predict_targets(batch.windows, None, batch.channel_ids),
        features @ head.weight.T + head.bias,
    )
    generator = torch.Generator().manual_seed(0)
    mask = told.masking.draw(batch.windows, foundation.config, 0.0, generator)
    assert mask.float().mean() == 0.5
    squares = (
        foundation.predict_targets(batch.windows, mask, batch.channel_ids) - batch.targets
    ) ** 2
    power, slow = squares[..., :6].mean(), squares[..., 6:].mean()
    torch.testing.assert_close(loss, 0.5 * power + 2 * slow)
    assert told.logged["train_power"] == pytest.approx(power.item(), rel=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in foundation.parameters())


def test_hidden_patches_do_not_show_through(told):
    batch = _make_batch(n_windows=1)
    mask = torch.zeros(1, 8, dtype=torch.bool)
    mask[0, 2] = True
    numbers = told.foundation.predict_targets(batch.windows, mask, batch.channel_ids)
    # Patch 0 of channel 1, turned around: no normalisation over the window can tell.
    batch.windows[:, 1, :200] *= -1
    other = told.foundation.predict_targets(batch.windows, mask, batch.channel_ids)
    assert (numbers - other).abs().max() < 0.1 * (
        told.foundation.predict_targets(batch.windows, ~mask, batch.channel_ids) - numbers
    ).abs().max()


def test_what_cannot_be_had_does_not_count(told):
    batch = _with_targets(_make_batch(), 8)
    batch.targets[:, 1] = torch.nan
    loss = told.training_step(batch, 0)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in told.foundation.parameters())
    batch.targets[...] = torch.nan
    assert told.training_step(batch, 0).item() == 0


def test_validation_tells_hidden_and_visible_patches_apart(told):
    batch = _with_targets(_make_batch(), 8)
    told.on_validation_epoch_start()
    with torch.no_grad():
        told.validation_step(batch, 0)
    told.on_validation_epoch_end()
    errors = {f"valid_{t}_{w}" for t in ("power", "slow") for w in ("hidden", "visible")}
    assert set(told.logged) == {"valid_loss", *errors}
    halves = [
        (told.logged[f"valid_{t}_hidden"] + told.logged[f"valid_{t}_visible"]) / 2
        for t in ("power", "slow")
    ]
    assert told.logged["valid_loss"] == pytest.approx(0.5 * halves[0] + 2 * halves[1], rel=1e-4)


def test_the_head_of_targets_has_a_rate_of_its_own(told):
    groups = told.configure_optimizers()["optimizer"].param_groups
    rates = {id(p): group["initial_lr"] for group in groups for p in group["params"]}
    assert set(rates) == {id(p) for p in told.foundation.parameters()}
    head = {id(p) for p in told.foundation.target_head.parameters()}
    assert {rates[p] for p in head} == {0.25}
    assert 0.25 not in {rate for p, rate in rates.items() if p not in head}


def test_both_objectives_add_up(tokenizer, foundation, told):
    batch = _with_targets(_make_batch(), 8)
    weights = told.settings.targets
    apart = [
        FoundationSettings(n_steps=100, masked_tokens=1.0),
        FoundationSettings(n_steps=100, masked_tokens=0.0, targets=weights),
        FoundationSettings(n_steps=100, masked_tokens=0.25, targets=weights),
    ]
    tokens, targets, both = (
        _listening(FoundationStage(foundation.eval(), tokenizer, s)).training_step(batch, 0).item()
        for s in apart
    )
    assert both == pytest.approx(0.25 * tokens + targets, rel=1e-5)


# ---- both


def _step(stage, losses):
    for number, loss in enumerate(losses):
        stage._remember(loss, _make_batch(seed=number))
    sum(losses).backward()
    stage.configure_gradient_clipping(None)


@pytest.fixture
def stage(tokenizer, tmp_path):
    stage = _listening(TokenizerStage(tokenizer, SETTINGS))
    stage._trainer = SimpleNamespace(
        default_root_dir=str(tmp_path), global_rank=0, global_step=7, world_size=1
    )
    return stage


def test_gradients_are_clipped_and_their_norm_logged(stage):
    weight = stage.tokenizer.to_sin[0].weight
    _step(stage, [3 * weight.sum()])
    norm = 3 * weight.numel() ** 0.5
    assert stage.logged["gradient_norm"] == pytest.approx(norm, rel=1e-4)
    assert weight.grad.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_a_loss_that_is_not_finite_names_its_windows(stage, tmp_path):
    total = stage.tokenizer.to_sin[0].weight.sum()
    with pytest.raises(FloatingPointError, match=rf"nan .*step 7: .*{BAD_BATCH}"):
        _step(stage, [total, total * float("nan")])
    record = json.loads((tmp_path / BAD_BATCH).read_text())
    assert record["step"] == 7
    assert record["batches"][1] == {"loss": "nan", "windows": _make_batch(seed=1).ids}
    assert [batch["loss"] == "nan" for batch in record["batches"]] == [False, True]


def test_a_gradient_that_is_not_finite_stops_too(stage, tmp_path):
    weight = stage.tokenizer.to_sin[0].weight
    with pytest.raises(FloatingPointError, match="norm of its gradient nan"):
        _step(stage, [weight.sum() + (0 * weight.sum()).sqrt()])
    (batch,) = json.loads((tmp_path / BAD_BATCH).read_text())["batches"]
    assert batch["windows"] == _make_batch(seed=0).ids


def test_each_process_leaves_a_file_of_its_own(stage, tmp_path):
    stage._trainer.global_rank = 3
    with pytest.raises(FloatingPointError):
        _step(stage, [stage.tokenizer.to_sin[0].weight.sum() * float("inf")])
    assert [file.name for file in tmp_path.iterdir()] == ["not_finite.3.json"]


def test_a_step_that_was_taken_is_forgotten(stage, tmp_path):
    total = stage.tokenizer.to_sin[0].weight.sum()
    _step(stage, [total])
    with pytest.raises(FloatingPointError):
        _step(stage, [total * float("nan")])
    assert len(json.loads((tmp_path / BAD_BATCH).read_text())["batches"]) == 1


def test_what_is_random_depends_on_the_number_of_the_batch(stage):
    drawn = []
    for number in (0, 1, 0):
        stage.on_train_batch_start(_make_batch(), number)
        drawn.append(torch.rand(()).item())
    assert drawn[0] == drawn[2] != drawn[1]


def test_settings_reach_the_optimiser(tokenizer):
    settings = replace(
        SETTINGS, lr=0.3, matrix_lr=0.2, betas=(0.4, 0.8), weight_decay=0.1, lr_warmup_steps=4
    )
    found = TokenizerStage(tokenizer, settings).configure_optimizers()
    groups = found["optimizer"].param_groups
    assert [group["initial_lr"] for group in groups] == [0.2, 0.3]
    assert [group["lr"] for group in groups] == pytest.approx([0.05, 0.075])
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert groups[1]["betas"] == (0.4, 0.8)
    assert found["lr_scheduler"]["interval"] == "step"
