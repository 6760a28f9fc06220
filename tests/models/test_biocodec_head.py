# License: BSD-3-Clause
"""The classification head of BioCodec takes any length and any levels, and trains."""

from __future__ import annotations

import pytest
import torch

from mne_neurorvq.models import BIOCODEC_EEG, BioCodecHead

N_CODES = BIOCODEC_EEG.quantizer.n_codes


def _codes(n_trials=4, n_chans=3, n_patches=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(N_CODES, (n_trials, n_chans, n_patches, 1, 6), generator=generator)


def _head(**settings):
    torch.manual_seed(0)
    return BioCodecHead(2, 3, **settings).eval()


@pytest.mark.parametrize("combine", ["concatenate", "sum"])
@pytest.mark.parametrize("levels", [None, [0], [4, 1]])
@pytest.mark.parametrize("n_patches", [1, 57])
def test_any_levels_and_any_length_give_logits(combine, levels, n_patches):
    head = _head(combine=combine, levels=levels)
    assert head(_codes(n_patches=n_patches)).shape == (4, 2)


@pytest.mark.parametrize(("combine", "width"), [("concatenate", 32), ("sum", 16)])
def test_embeddings_of_the_levels_are_combined_as_asked(combine, width):
    head, codes = _head(combine=combine, levels=[4, 1]), _codes()
    with torch.no_grad():
        head.embedding.mul_(0.1)
    found = head.embed(codes)
    parts = [head.embedding[i][codes[..., 0, level]] for i, level in enumerate((4, 1))]
    wanted = torch.cat(parts, -1) if combine == "concatenate" else sum(parts)
    assert found.shape == (4, 3, 20, width)
    torch.testing.assert_close(found, wanted)


def test_only_the_levels_of_the_head_matter():
    head, codes = _head(levels=[0, 1]), _codes()
    other = codes.clone()
    other[..., 2:] = 0
    assert torch.equal(head(other), head(codes))
    assert torch.equal(head(codes[..., :2]), head(codes))
    other[..., 1] = 0
    assert not torch.allclose(head(other), head(codes))


def test_the_order_of_patches_and_of_channels_matters():
    head, codes = _head(), _codes()
    assert not torch.allclose(head(codes.flip(2)), head(codes))
    assert not torch.allclose(head(codes.flip(1)), head(codes))


def test_evaluation_shortens_embeddings_without_changing_them():
    head = _head()
    before = head.embedding.clone()
    with torch.no_grad():
        found = head.embed(_codes()).unflatten(-1, (6, 16))
    assert float(found.norm(dim=-1).max()) <= 1 + 1e-6
    assert torch.equal(head.embedding, before)


def test_training_fits_codes_that_differ_between_classes():
    torch.manual_seed(0)
    head = BioCodecHead(2, 3, levels=[0])
    codes, y = _codes(n_trials=24), torch.arange(24) % 2
    # The first code of one class comes from one half of the codebook.
    codes[..., 0] = codes[..., 0] // 2 + (N_CODES // 2) * y[:, None, None, None]
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(head(codes), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    idle = [n for n, p in head.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle
    assert float((head.eval()(codes).argmax(-1) == y).float().mean()) > 0.9


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"levels": [6]}, r"levels must be different ones of 0\.\.5, got \[6\]"),
        ({"levels": [1, 1]}, "different"),
        ({"levels": []}, "different"),
        ({"combine": "mean"}, "combine must be 'concatenate' or 'sum', got 'mean'"),
    ],
)
def test_a_head_that_cannot_be_built_is_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        _head(**settings)


def test_codes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="codes of 2 channels for a head of 3"):
        _head()(_codes(n_chans=2))
    with pytest.raises(ValueError, match="codes of 2 levels lack the level 5"):
        _head()(_codes()[..., :2])
    with pytest.raises(ValueError, match="codes must be"):
        _head()(_codes()[..., 0])
