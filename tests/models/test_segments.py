# License: BSD-3-Clause
"""Segments of trials through the tokenizers and foundation models, the same for all systems."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mne_neurorvq import load_pretrained

SYSTEMS = ("neurorvq", "brainrvq", "biocodec")
SEGMENTS = (2, 1)


def _trials(system: str) -> tuple[Any, list[torch.Tensor], torch.Tensor]:
    """A tokenizer, what it takes of three trials of two channels, and channel rows."""
    tokenizer = load_pretrained(f"{system}-eeg-tiny-random").tokenizer
    generator = torch.Generator().manual_seed(0)
    if system == "biocodec":
        x = torch.randn(3, 2, 12 * sum(SEGMENTS), generator=generator)
        side = torch.rand(3, 2, 2, generator=generator) + 1
        return tokenizer, [x, side], torch.empty(0)
    size = tokenizer.config.patch_size
    x = torch.randn(3, 2, size * sum(SEGMENTS), generator=generator)
    return tokenizer, list(x.split([n * size for n in SEGMENTS], -1)), torch.tensor([1, 4])


@pytest.mark.parametrize("system", SYSTEMS)
def test_segments_have_the_shapes_that_the_configuration_says(system: str) -> None:
    tokenizer, parts, rows = _trials(system)
    config = tokenizer.config
    with torch.inference_mode():
        codes, side = tokenizer.encode_segments(parts, rows)
    quantizer = config.quantizer
    assert codes.shape == (3, 2, sum(SEGMENTS), quantizer.n_codebooks, quantizer.n_levels)
    assert side.shape[1:] == config.side_shape(2, SEGMENTS)
    assert codes.dtype == getattr(torch, config.code_dtype)


@pytest.mark.parametrize("system", SYSTEMS)
def test_segments_are_coded_and_decoded_as_each_alone(system: str) -> None:
    tokenizer, parts, rows = _trials(system)
    segments = (sum(SEGMENTS),) if system == "biocodec" else SEGMENTS
    with torch.inference_mode():
        codes, side = tokenizer.encode_segments(parts, rows)
        found = tokenizer.decode_segments(codes, side, rows, segments)
        if system == "biocodec":
            alone = [tokenizer.encode(parts[0])[0]]
            decoded = [tokenizer.decode_codes(alone[0], parts[1])]
        else:
            pairs = [tokenizer.encode(part, rows) for part in parts]
            alone = [pair[0] for pair in pairs]
            decoded = [tokenizer.decode_codes(*pair, rows) for pair in pairs]
    assert torch.equal(codes.long(), torch.cat(alone, 2))
    assert all(torch.equal(*pair) for pair in zip(found, decoded, strict=True))
    assert [part.shape[-1] // tokenizer.config.patch_size for part in found] == list(segments)


@pytest.mark.parametrize("system", SYSTEMS[:2])
def test_features_of_segments_come_in_a_row_and_have_names(system: str) -> None:
    _, parts, rows = _trials(system)
    model = load_pretrained(f"{system}-eeg-tiny-random").foundation
    with torch.inference_mode():
        features = model.embed_segments(parts, rows)
        alone = [model(part, rows, return_features=True)["features"] for part in parts]
    assert torch.equal(features, torch.cat(alone, 2))
    names = model.config.feature_names()
    assert len(set(names)) == features.shape[-1]


def test_many_series_are_coded_as_few() -> None:
    tokenizer, (x, side), rows = _trials("biocodec")
    x, side = x.repeat(30, 1, 1), side.repeat(30, 1, 1)
    with torch.inference_mode():
        codes, _ = tokenizer.encode_segments([x, side], rows)
        (signals,) = tokenizer.decode_segments(codes, side, rows, (3,))
    assert torch.equal(codes[:3], codes[-3:])
    torch.testing.assert_close(signals[:3], signals[-3:])


def test_a_codec_names_the_sum_of_its_levels_or_some_in_a_row() -> None:
    config = load_pretrained("biocodec-eeg-tiny-random").tokenizer.config
    assert len(config.feature_names()) == config.latent_dim
    assert config.feature_names([0, 2])[config.latent_dim] == "level2_0"


def test_vectors_of_levels_add_up_to_what_is_decoded() -> None:
    quantizer = load_pretrained("biocodec-eeg-tiny-random").tokenizer.quantizer
    with torch.inference_mode():
        vectors = quantizer.level_vectors()
        decoded = quantizer.decode(torch.full((1, 1, len(vectors)), 3))
    torch.testing.assert_close(sum(v[:, 3:4] for v in vectors), decoded)


def test_side_information_of_another_number_of_patches_is_refused() -> None:
    tokenizer, parts, rows = _trials("brainrvq")
    codes, side = tokenizer.encode_segments(parts, rows)
    with pytest.raises(ValueError, match="side must hold 3 patches"):
        tokenizer.decode_segments(codes, side[:, :, :2], rows, SEGMENTS)
