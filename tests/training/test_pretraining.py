# License: BSD-3-Clause
"""Both stages of pretraining, on a few seconds of simulated recordings."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQTokenizer, QuantizerConfig
from mne_neurorvq.training import (
    RandomCrops,
    Recording,
    StageSettings,
    pretrain_foundation,
    pretrain_tokenizer,
)
from mne_neurorvq.training.crops import validation_batches
from mne_neurorvq.training.optimisation import (
    make_optimizers,
    start_filter_bank,
    warmup_cosine,
)
from mne_neurorvq.training.stages import FoundationStage, random_mask

TINY = replace(
    NEURORVQ_EEG,
    depth=1,
    decoder_depth=1,
    mlp_ratio=1.0,
    foundation_layer_scale=1.0,
    quantizer=QuantizerConfig(
        n_levels=2,
        n_codes=16,
        code_dim=8,
        rule="euclidean",
        dead_code_threshold=0.1,
        warmup_steps=4,
    ),
)
SETTINGS = StageSettings(n_steps=12, tokens_per_step=32, lr_warmup_steps=2)


def recording(seed, n_channels=8, n_times=2600):
    rng = np.random.default_rng(seed)
    time = np.arange(n_times) / 200
    data = 10 * np.sin(2 * np.pi * 10 * time + rng.uniform(0, 6, (n_channels, 1)))
    data = data + 2 * rng.standard_normal((n_channels, n_times))
    return Recording(data.astype(np.float32), np.arange(n_channels), f"simulated {seed}")


@pytest.fixture(scope="module")
def recordings():
    return [recording(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def tokenizer(recordings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return pretrain_tokenizer(recordings[:2], recordings[2:], TINY, SETTINGS, folder)


def crops(recordings, **changes):
    settings = dict(n_batches=5, tokens_per_batch=64, seed=3) | changes
    return RandomCrops(recordings, TINY, **settings)


def test_a_batch_is_a_function_of_seed_and_number(recordings):
    a, b = crops(recordings).batch(4), crops(recordings, n_batches=9, first=2).batch(4)
    assert torch.equal(a.windows, b.windows)
    assert torch.equal(a.channel_ids, b.channel_ids)
    other = crops(recordings, seed=4).batch(4)
    assert other.windows.shape != a.windows.shape or not torch.equal(other.windows, a.windows)


def test_a_resumed_corpus_gives_the_batches_that_are_left(recordings):
    every, rest = list(crops(recordings)), list(crops(recordings, first=3))
    assert len(rest) == 2
    assert torch.equal(every[3].windows, rest[0].windows)


def test_a_crop_takes_the_channels_that_it_names(recordings):
    marked = [replace(recordings[0], data=np.tile(np.arange(8.0, dtype=np.float32)[:, None], 2600))]
    batch = crops(marked).batch(0)
    ratio = batch.windows[:, :, 0] / batch.windows[:, :, 0].max(dim=1, keepdim=True).values
    expected = batch.channel_ids / batch.channel_ids.max()
    torch.testing.assert_close(ratio, expected.float().expand_as(ratio))


def test_windows_stay_within_the_token_budget(recordings):
    for index in range(30):
        batch = crops(recordings).batch(index)
        assert batch.windows[0].numel() <= TINY.max_patches * TINY.patch_size


def test_validation_windows_never_change(recordings):
    first, second = (validation_batches(recordings, TINY) for _ in range(2))
    assert all(torch.equal(a.windows, b.windows) for a, b in zip(first, second, strict=True))
    assert first[0].windows.shape == (4, 8, 800)


def test_the_tokenizer_learns_and_its_codebooks_start(tokenizer, recordings):
    assert tokenizer.quantizer.started
    assert not tokenizer.training
    untrained = NeuroRVQTokenizer(config=TINY).eval()
    batch = validation_batches(recordings[2:], TINY)[0]
    with torch.no_grad():
        before, after = (
            model.losses(batch.windows, batch.channel_ids)[0]["amplitude"]
            for model in (untrained, tokenizer)
        )
    assert after < before


def test_a_killed_run_ends_where_an_undisturbed_one_does(recordings, tmp_path, monkeypatch):
    monkeypatch.setattr("mne_neurorvq.training.running._CHECKPOINT_BATCHES", 6)
    arguments = (recordings[:2], recordings[2:], TINY, SETTINGS)
    undisturbed = pretrain_tokenizer(*arguments, tmp_path / "undisturbed")

    real = RandomCrops.batch

    def dies(self, index):
        if index == 9:
            raise KeyboardInterrupt
        return real(self, index)

    monkeypatch.setattr(RandomCrops, "batch", dies)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        pretrain_tokenizer(*arguments, tmp_path / "killed")
    monkeypatch.setattr(RandomCrops, "batch", real)
    resumed = pretrain_tokenizer(*arguments, tmp_path / "killed")
    expected = undisturbed.state_dict()
    for name, value in resumed.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_the_foundation_model_learns_codes_and_leaves_the_tokenizer_alone(
    tokenizer, recordings, tmp_path
):
    before = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    settings = replace(SETTINGS, n_steps=20)
    foundation = pretrain_foundation(
        recordings[:2], recordings[2:], tokenizer, settings, tmp_path / "foundation"
    )
    for name, value in tokenizer.state_dict().items():
        assert torch.equal(value, before[name]), name
    stage = FoundationStage(foundation, tokenizer, settings)
    with torch.no_grad():
        loss, accuracy = stage.masked_loss(validation_batches(recordings[2:], TINY)[0], seed=0)
    assert loss < np.log(16)
    assert accuracy.shape == (4, 2)


def test_a_loss_that_is_not_finite_stops_the_run(recordings, tmp_path):
    broken = [replace(r, data=r.data * np.nan) for r in recordings[:2]]
    with pytest.raises(RuntimeError, match="loss is nan"):
        pretrain_tokenizer(broken, recordings[2:], TINY, SETTINGS, tmp_path)


def test_muon_takes_the_matrices_of_linear_layers_and_adamw_the_rest():
    model = NeuroRVQTokenizer(config=TINY)
    muon, adamw = make_optimizers(model, lr=1e-3, matrix_lr=2e-3, weight_decay=0.0)
    matrices, rest = (
        [p for group in optimizer.param_groups for p in group["params"]]
        for optimizer in (muon, adamw)
    )
    assert all(p.ndim == 2 for p in matrices)
    assert len(matrices) + len(rest) == len(list(model.parameters()))
    assert any(p is model.encoder.trunk.pos_embed for p in rest)
    assert any(p is model.to_code[0][0].weight for p in matrices)


def test_the_schedule_rises_and_then_falls_to_zero():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = warmup_cosine(optimizer, 4, 24)
    rates = []
    for _ in range(24):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    expected = 0.5 * (1 + np.cos(np.pi * np.arange(20) / 20))
    np.testing.assert_allclose(rates[4:], expected, atol=1e-12)


def test_the_filter_bank_passes_its_own_frequencies():
    encoder = NeuroRVQTokenizer(config=TINY).encoder
    start_filter_bank(encoder, 200.0, torch.Generator().manual_seed(0))
    kernels = encoder.scales[0].conv1.weight.detach()[:, 0, 0]
    response = torch.fft.rfft(kernels, n=2000).abs()
    peaks = response.argmax(dim=1) * 200 / 2000
    for pair, frequency in enumerate((2, 9, 19, 33)):
        # A short kernel cannot hold a slow sine: it peaks a little higher.
        assert abs(peaks[2 * pair] - frequency) < 3
        assert abs(peaks[2 * pair + 1] - frequency) <= 5


def test_a_mask_hides_the_same_share_of_every_window():
    mask = random_mask((5, 24), 0.5, torch.Generator().manual_seed(0))
    assert mask.dtype == torch.bool
    assert (mask.sum(dim=1) == 12).all()
    again = random_mask((5, 24), 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(mask, again)
    assert not torch.equal(mask[0], mask[1])


def test_a_run_ends_with_a_model_that_loads_and_a_card(
    tokenizer, recordings, tmp_path, monkeypatch
):
    from mne_neurorvq import load_pretrained
    from mne_neurorvq.training.command import write_model

    settings = replace(SETTINGS, n_steps=4)
    foundation = pretrain_foundation(
        recordings[:2], recordings[2:], tokenizer, settings, tmp_path / "foundation"
    )
    write_model(tmp_path, tokenizer, foundation, recordings[2:], {"seed": 0})
    loaded = load_pretrained(tmp_path / "model")
    assert loaded.kinds == ("tokenizer", "foundation")
    card = (tmp_path / "model" / "README.md").read_text()
    for heading in ("Reconstruction", "Codes", "Masked-token accuracy", "Curve of the foundation"):
        assert heading in card
    assert "simulated 2" in card


def test_a_file_cannot_be_learned_from_and_reported_on(tmp_path):
    import argparse

    from mne_neurorvq.training import command

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(["a.edf", "b.edf", "--validation", "b.edf", "-o", str(tmp_path)])
    with pytest.raises(ValueError, match=r"b\.edf is in the training files"):
        command.run(args)
    files = ["S001R04.edf", "--validation", "S001R08.edf", "-o", str(tmp_path)]
    with pytest.raises(ValueError, match="S001 has recordings in the training files"):
        command.run(parser.parse_args(files))


def test_the_command_learns_from_the_training_files_only(tmp_path, monkeypatch):
    import json

    from mne_neurorvq import load_pretrained
    from mne_neurorvq.cli import main
    from mne_neurorvq.datasets import simulate_recordings
    from mne_neurorvq.training import command

    names = ("a_raw.fif", "b_raw.fif", "c_raw.fif")
    for raw, name in zip(simulate_recordings(3, 2, verbose=False), names, strict=True):
        raw.save(tmp_path / name, verbose=False)
    learned_from = []
    for stage in ("pretrain_tokenizer", "pretrain_foundation"):
        pretrain = getattr(command, stage)

        def spy(train, valid, *args, pretrain=pretrain):
            learned_from.append([[r.source for r in part] for part in (train, valid)])
            return pretrain(train, valid, *args)

        monkeypatch.setattr(command, stage, spy)
    monkeypatch.setattr(command, "SMALL", TINY)
    first, second, held_out = (str(tmp_path / name) for name in names)
    steps = ["--tokenizer-steps", "6", "--foundation-steps", "2", "--threads", "1"]
    out = tmp_path / "run"
    assert main(["pretrain", first, second, "--validation", held_out, "-o", str(out), *steps]) == 0
    assert learned_from == [[[*names[:2]], [names[2]]]] * 2
    assert load_pretrained(out / "model").kinds == ("tokenizer", "foundation")
    record = json.loads((out / "model" / "training.json").read_text())
    assert record["subjects"] == {"other": [*names[:2]]}
    assert record["report"] == [names[2]]


def test_people_are_told_from_file_names():
    from mne_neurorvq.training.report import subjects_of

    names = [
        "S001R04.edf",
        "S001R08.edf",
        "S013R04.edf",
        "Subject08_1.edf",
        "S1.fif",
        "Subject_x.fif",
    ]
    assert subjects_of(names) == {
        "eegmmidb": ["S001", "S013"],
        "eegmat": ["Subject08"],
        "other": ["S1.fif", "Subject_x.fif"],
    }


def test_calibration_gives_reconstructions_the_size_of_the_signals(tokenizer, recordings):
    from copy import deepcopy

    from mne_neurorvq.training import calibrate_amplitude

    quiet = deepcopy(tokenizer)
    with torch.no_grad():
        quiet.to_amplitude[-1].bias -= 0.3
    calibrate_amplitude(quiet, recordings[:2])
    batch = validation_batches(recordings[:1], TINY)[0]
    with torch.no_grad():
        gain = quiet(batch.windows, batch.channel_ids).std() / batch.windows.std()
    assert 0.9 < gain < 1.1
