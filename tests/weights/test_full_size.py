# License: BSD-3-Clause
"""A checkpoint of the published size goes through the public loader and runs."""

from __future__ import annotations

import math

import torch

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import NEURORVQ_EEG
from mne_neurorvq.weights import to_official_state_dict
from mne_neurorvq.weights.blueprint import Blueprint
from mne_neurorvq.weights.official import official_layout
from mne_neurorvq.weights.tensors import shapes_of

N_CHANS, N_PATCHES = 3, 2


def _uniform(shape, generator):
    """Unit variance, from integers: the same everywhere."""
    integers = torch.randint(-32768, 32768, shape, generator=generator, dtype=torch.int16)
    return integers.float().mul_(math.sqrt(3.0) / 32768)


def _value(name, shape, generator):
    """Weights as far from zero as trained ones; the codebooks unit rows."""
    leaf = name.rpartition(".")[2]
    if leaf == "initted":
        return torch.ones(shape)
    drawn = _uniform(shape, generator)
    if leaf in ("weight", "embed_avg") and ".layers." in name:
        return torch.nn.functional.normalize(drawn, dim=-1)
    if leaf in ("gamma_1", "gamma_2"):
        return 0.3 + 0.1 * drawn
    if leaf == "cluster_size":
        return 2.0 + 0.5 * drawn
    if leaf in ("pos_embed", "time_embed", "cls_token", "mask_token"):
        return 0.3 * drawn
    if len(shape) == 1:
        return 1.0 + 0.2 * drawn if leaf == "weight" else 0.1 * drawn
    return drawn / math.sqrt(math.prod(shape[1:]))


def _checkpoint(blueprint, seed):
    generator = torch.Generator().manual_seed(seed)
    layout = official_layout(shapes_of(blueprint.build().state_dict()))
    return {name: _value(name, part.shape, generator) for name, part in layout.items()}


def _through_a_file(state, path):
    torch.save(state, path)
    loaded = load_pretrained(path)
    # pytest keeps the folders of its last runs: 300 MB each time.
    path.unlink()
    return loaded


def _windows():
    generator = torch.Generator().manual_seed(3)
    return 30 * _uniform((2, N_CHANS, N_PATCHES * 200), generator), torch.tensor([36, 7, 8])


@torch.no_grad()
def test_a_full_size_tokenizer_of_the_authors_loads_and_runs(tmp_path):
    state = _checkpoint(Blueprint("tokenizer", NEURORVQ_EEG), seed=1)
    loaded = _through_a_file(state, tmp_path / "NeuroRVQ_EEG_tokenizer_v1.pt")
    assert loaded.config == NEURORVQ_EEG
    model = loaded.require("tokenizer")
    x, rows = _windows()
    codes, side = model.encode(x, rows)
    assert codes.shape == (2, N_CHANS, N_PATCHES, 4, 8)
    assert codes.max() > 4096
    # The last level of the last codebook, by explicit distances in float64.
    vectors = model.to_vectors(x.unflatten(-1, (-1, 200)), rows)[3].double()
    for level in range(8):
        book = state[f"quantize_4.layers.{level}.embedding.weight"].double()
        direction = torch.nn.functional.normalize(vectors, dim=-1)
        nearest = torch.cdist(direction, book).argmin(-1)
        vectors = vectors - book[nearest]
        assert torch.equal(codes[..., 3, level].flatten(), nearest)
    decoded = model.decode_codes(codes, side, rows)
    torch.testing.assert_close(decoded, model(x, rows), atol=1e-3, rtol=0)
    written = to_official_state_dict(model)
    assert all(
        torch.equal(written[name], tensor)
        for name, tensor in state.items()
        if not name.endswith("embed_avg")
    )


@torch.no_grad()
def test_a_full_size_foundation_model_of_the_authors_loads_and_runs(tmp_path):
    blueprint = Blueprint("foundation", NEURORVQ_EEG, masked_token_heads=True)
    loaded = _through_a_file(_checkpoint(blueprint, seed=2), tmp_path / "model.pt")
    model = loaded.require("foundation")
    x, rows = _windows()
    features = model(x, rows, return_features=True)["features"]
    assert features.shape == (2, N_CHANS, N_PATCHES, 800)
    mask = torch.zeros(2, N_CHANS * N_PATCHES, dtype=torch.bool)
    mask[:, 0] = True
    hidden, shown = model.masked_token_logits(x, mask, rows)
    assert hidden.shape == (4, 8, 2, 8192)
    assert shown.shape == (4, 8, 10, 8192)
    assert bool(torch.isfinite(hidden).all())
