# License: BSD-3-Clause
"""Windows of different montages in one batch give the numbers that each gives alone."""

from __future__ import annotations

import copy

import pytest
import torch

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import NEURORVQ_EEG, NeuroRVQ
from mne_neurorvq.models.trunk import as_patches

# Three montages of three channels; the last two windows share theirs.
ROWS = torch.tensor([[36, 7, 60], [0, 103, 1], [60, 36, 7], [60, 36, 7]])


@pytest.fixture(scope="module")
def tiny():
    return load_pretrained("neurorvq-eeg-tiny-random")


@pytest.fixture(scope="module")
def windows():
    return 20 * torch.randn(4, 3, 400, generator=torch.Generator().manual_seed(0))


def _close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6 * float(wanted.abs().max()))


@torch.no_grad()
def test_a_mixed_batch_has_the_codes_and_signals_of_each_window_alone(tiny, windows):
    model = tiny.tokenizer
    codes, side = model.encode(windows, ROWS)
    decoded = model.decode_codes(codes, side, ROWS)
    rebuilt = model(windows, ROWS)
    features = model(windows, ROWS, return_features=True)["features"]
    for i, rows in enumerate(ROWS):
        x = windows[i : i + 1]
        alone = model.encode(x, rows)
        assert torch.equal(codes[i : i + 1], alone[0])
        _close(side[i : i + 1], alone[1])
        _close(decoded[i : i + 1], model.decode_codes(*alone, rows))
        _close(rebuilt[i : i + 1], model(x, rows))
        _close(features[i : i + 1], model(x, rows, return_features=True)["features"])


@torch.no_grad()
def test_the_losses_of_a_mixed_batch_are_the_means_of_those_of_its_windows(tiny, windows):
    model = tiny.tokenizer
    together, _ = model.losses(windows, ROWS)
    alone = [model.losses(windows[i : i + 1], rows)[0] for i, rows in enumerate(ROWS)]
    for name, loss in together.items():
        _close(loss, torch.stack([losses[name] for losses in alone]).mean())


@torch.no_grad()
def test_a_mixed_batch_has_the_features_and_predictions_of_each_window_alone(tiny, windows):
    torch.manual_seed(0)
    model = NeuroRVQ(2, config=tiny.config, masked_token_heads=True).eval()
    model.encoder.load_state_dict(tiny.foundation.encoder.state_dict())
    mask = torch.zeros(4, 3, 2, dtype=torch.bool)
    mask[:, 1:, 0] = True
    together = model(windows, ROWS, return_features=True)["features"]
    logits, symmetric = model.masked_token_logits(windows, mask, ROWS)
    for i, rows in enumerate(ROWS):
        x = windows[i : i + 1]
        _close(together[i : i + 1], model(x, rows, return_features=True)["features"])
        one, other = model.masked_token_logits(x, mask[i : i + 1], rows)
        _close(logits[:, :, 2 * i : 2 * i + 2], one)
        _close(symmetric[:, :, 4 * i : 4 * i + 4], other)


@torch.no_grad()
def test_the_same_rows_for_every_window_are_rows_given_once(tiny, windows):
    once = tiny.tokenizer.encode(windows, ROWS[0])
    repeated = tiny.tokenizer.encode(windows, ROWS[:1].expand(4, -1))
    assert torch.equal(once[0], repeated[0])
    assert torch.equal(once[1], repeated[1])


def test_every_window_trains_the_rows_of_its_own_montage(tiny, windows):
    model = copy.deepcopy(tiny.tokenizer).train()
    losses, _ = model.losses(windows, ROWS)
    sum(losses.values()).backward()
    for trunk in (model.encoder.trunk, model.decoder):
        trained = trunk.pos_embed.grad.abs().sum(-1).nonzero()[:, 0]
        assert trained.tolist() == sorted(ROWS.unique().tolist())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (torch.zeros(2, 2), r"channel_ids must be integers.*got torch\.float32"),
        (torch.tensor(3), r"got torch\.int64 of shape \(\)"),
        (torch.zeros(1, 2, 2, dtype=torch.int64), r"got torch\.int64 of shape \(1, 2, 2\)"),
        (torch.zeros(2, 3, dtype=torch.int64), "3 channel_ids for an input with 2 channels"),
        (torch.zeros(3, 2, dtype=torch.int64), "channel_ids of 3 windows for an input with 2"),
        (torch.tensor([[0, 1], [104, 2]]), r"must lie in 0\.\.103, got \[104\]"),
    ],
    ids=["floats", "a number", "axes", "channels", "windows", "vocabulary"],
)
def test_rows_that_do_not_fit_the_windows_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        as_patches(NEURORVQ_EEG, torch.zeros(2, 2, 200), rows, None)
