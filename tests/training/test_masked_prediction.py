# License: BSD-3-Clause
"""Which patches are hidden, and how guesses of their codes are scored."""

from __future__ import annotations

import math
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mne_neurorvq.models import NeuroRVQ
from mne_neurorvq.training import Batch
from mne_neurorvq.training.masked_prediction import EvenMasking, guess_codes, random_mask

N_BOOKS, N_LEVELS, N_CODES = 4, 2, 16


def _batch(n_windows=3, n_channels=4, n_patches=3):
    generator = torch.Generator().manual_seed(0)
    x = 10 * torch.randn(n_windows, n_channels, 200 * n_patches, generator=generator)
    rows = torch.stack([torch.randperm(100, generator=generator)[:n_channels] for _ in x])
    shape = (n_windows, n_channels, n_patches, N_BOOKS, N_LEVELS)
    codes = torch.randint(N_CODES, shape, generator=generator)
    return Batch(x, rows, [f"r:{i}" for i in range(n_windows)]), codes


class _Knowing(nn.Module):
    """A model that knows the codes, but for those of some codebooks and levels."""

    def __init__(self, codes, wrong=()):
        super().__init__()
        self.codes, self.wrong, self.masks = codes.flatten(1, 2), wrong, []

    def masked_token_logits(self, x, mask, channel_ids, codes):
        self.masks.append(mask)
        return tuple(self._logits(self.codes[hidden]) for hidden in (mask, ~mask))

    def _logits(self, codes):
        guesses = codes.permute(1, 2, 0).clone()
        for book, level in self.wrong:
            guesses[book, level] = (guesses[book, level] + 1) % N_CODES
        return 30.0 * nn.functional.one_hot(guesses, N_CODES)


def _scores(model, batch, codes, seed=0, ratio=0.5):
    generator = torch.Generator().manual_seed(seed)
    return _scores_of(model, batch, codes, generator, ratio)


def _scores_of(model, batch, codes, generator, ratio):
    masking, patches = EvenMasking(ratio), SimpleNamespace(patch_size=200)
    mask = masking.draw(batch.windows, patches, 0.0, generator)
    found = guess_codes(model, batch, codes, mask)
    return masking.loss(found.cross_entropy, mask), found.accuracy


def test_a_mask_hides_the_same_share_of_every_window():
    mask = random_mask((5, 24), 0.25, torch.Generator().manual_seed(0))
    assert mask.dtype == torch.bool
    assert (mask.sum(dim=1) == 6).all()
    again = random_mask((5, 24), 0.25, torch.Generator().manual_seed(0))
    assert torch.equal(mask, again)
    assert not torch.equal(mask[0], mask[1])


@pytest.mark.parametrize("ratio", [0.5, 0.2])
def test_all_codebooks_and_levels_count_and_every_patch_once(ratio):
    batch, codes = _batch()
    wrong = [(0, 1), (3, 0), (3, 1)]
    loss, accuracy = _scores(_Knowing(codes, wrong), batch, codes, ratio=ratio)
    wanted = torch.ones(N_BOOKS, N_LEVELS)
    for place in wrong:
        wanted[place] = 0
    torch.testing.assert_close(accuracy, wanted)
    assert abs(loss.item() - 30 * len(wrong) / (N_BOOKS * N_LEVELS)) < 1e-3


def test_both_masks_count_by_the_patches_that_they_hide():
    batch, codes = _batch()
    knowing, wrong = _Knowing(codes), _Knowing(codes, [*product(range(N_BOOKS), range(N_LEVELS))])
    right_first = nn.Module()
    right_first.masked_token_logits = lambda *args: (
        knowing.masked_token_logits(*args)[0],
        wrong.masked_token_logits(*args)[1],
    )
    _, accuracy = _scores(right_first, batch, codes, ratio=0.25)
    torch.testing.assert_close(accuracy, torch.full((N_BOOKS, N_LEVELS), 0.25))


def test_a_model_that_knows_nothing_pays_the_logarithm_of_the_number_of_codes():
    batch, codes = _batch()
    model = _Knowing(codes)
    logits = model._logits
    model._logits = lambda hidden: 0 * logits(hidden)
    loss, _ = _scores(model, batch, codes)
    assert abs(loss.item() - math.log(N_CODES)) < 1e-5


def test_masks_are_a_function_of_the_generator():
    batch, codes = _batch()
    model = _Knowing(codes)
    for seed in (0, 0, 1):
        _scores(model, batch, codes, seed)
    assert torch.equal(*model.masks[:2])
    assert not torch.equal(*model.masks[1:])


def test_windows_of_other_montages_score_as_they_do_alone(config):
    torch.manual_seed(0)
    model = NeuroRVQ(config=config.model.config(), masked_token_heads=True).eval()
    batch, codes = _batch()
    together = _scores(model, batch, codes)
    generator = torch.Generator().manual_seed(0)
    alone = [
        _scores_of(
            model,
            Batch(batch.windows[i : i + 1], batch.channel_ids[i : i + 1], batch.ids[i : i + 1]),
            codes[i : i + 1],
            generator,
            0.5,
        )
        for i in range(len(codes))
    ]
    for joined, apart in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(joined, torch.stack(apart).mean(0), rtol=1e-5, atol=1e-6)
