# License: BSD-3-Clause
"""Exported graphs: what torch.export and ONNX Runtime compute is what the models compute."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mne_neurorvq import load_pretrained
from mne_neurorvq.models import BioCodecHead, QuantizerConfig, ResidualVQ, WindowModel, fast

SYSTEMS = ("neurorvq", "brainrvq", "biocodec")
ONNX = ("onnx", "onnxruntime", "onnxscript")
# What torch itself says while it traces.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:The tensor attributes .*_flat_weights:UserWarning"),
]


class Method(nn.Module):
    """A method of a model as a module: torch exports modules."""

    def __init__(self, model: nn.Module, name: str, **settings: Any) -> None:
        super().__init__()
        self.model, self.name, self.settings = model, name, settings

    def forward(self, *tensors: Tensor) -> Any:
        return getattr(self.model, self.name)(*tensors, **self.settings)


def windows(system: str, n: int = 3) -> tuple[Tensor, Tensor]:
    """Windows of two channels, and their rows."""
    generator = torch.Generator().manual_seed(0)
    n_times = 120 if system == "biocodec" else 400
    return torch.randn(n, 2, n_times, generator=generator), torch.tensor([1, 4])


def tokenizer_of(system: str, size: str = "tiny-random") -> Any:
    return load_pretrained(f"{system}-eeg-{size}").tokenizer


def export(module: nn.Module, *example: Tensor) -> torch.export.ExportedProgram:
    """Export with any number of windows."""
    batch = torch.export.Dim("batch", min=1, max=64)
    # One specification for all tensors: forward takes them as *tensors.
    shapes = tuple({0: batch} if tensor.ndim > 1 else None for tensor in example)
    with torch.no_grad():
        return torch.export.export(module.eval(), example, dynamic_shapes=(shapes,))


def assert_agrees(module: nn.Module, example: tuple[Tensor, ...], *others: Tensor) -> None:
    """Export for one batch, and compare the graph with the module on another one."""
    program = export(module, *example)
    with torch.no_grad():
        wanted, found = module(*others), program.module()(*others)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_tokenizer_exports_its_encoder_and_decoder_for_any_number_of_windows(system: str) -> None:
    model = tokenizer_of(system)
    few, many = windows(system), windows(system, 5)
    assert_agrees(Method(model, "encode"), few, *many)
    decoder = Method(model, "decode_codes")
    with torch.no_grad():
        few_codes, many_codes = model.encode(*few), model.encode(*many)
    assert_agrees(decoder, (*few_codes, few[1]), *many_codes, many[1])


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("features", [False, True], ids=["reconstruction", "features"])
def test_a_tokenizer_exports_as_it_is_called(system: str, features: bool) -> None:
    model = Method(tokenizer_of(system), "forward", return_features=features)
    assert_agrees(model, windows(system), *windows(system, 5))


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS[:2])
@pytest.mark.parametrize("features", [False, True], ids=["logits", "features"])
def test_a_foundation_model_exports(system: str, features: bool) -> None:
    loaded: Any = load_pretrained(f"{system}-eeg-tiny-random").foundation
    model = type(loaded)(n_outputs=3, pretrained=loaded)
    module = Method(model, "forward", return_features=features)
    assert_agrees(module, windows(system), *windows(system, 5))


@pytest.mark.slow
def test_heads_export() -> None:
    foundation: Any = load_pretrained("neurorvq-eeg-tiny-random").foundation
    x, rows = windows("neurorvq")
    model = WindowModel(foundation, 3, rows, segments=(1, 1), patch_weights=(1, 0.5))
    assert_agrees(Method(model, "forward"), (x,), windows("neurorvq", 5)[0])
    codec = tokenizer_of("biocodec")
    head = BioCodecHead(2, 2, config=codec.config, levels=[0])
    with torch.no_grad():
        few, many = (codec.encode(windows("biocodec", n)[0])[0] for n in (3, 5))
    assert_agrees(Method(head, "forward"), (few,), many)


def test_an_exported_search_finds_the_codes_of_the_ranked_one() -> None:
    config = QuantizerConfig(n_codebooks=2, n_levels=2, n_codes=2048, code_dim=32)
    quantizer = ResidualVQ(config).eval()
    z = torch.randn(2, 40, 32, generator=torch.Generator().manual_seed(1))
    program = torch.export.export(Method(quantizer, "encode"), (z,))
    assert torch.equal(program.module()(z), quantizer.encode(z))


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ONNX)), reason=f"the extra onnx is absent: {ONNX}"
)
@pytest.mark.parametrize("system", SYSTEMS)
def test_onnx_runtime_computes_the_same_codes_and_signals(system: str, tmp_path: Path) -> None:
    import onnxruntime

    model = tokenizer_of(system, "small")
    few, many = windows(system), windows(system, 5)
    with torch.no_grad():
        codes, side = model.encode(*few)
        wanted_codes, wanted_side = model.encode(*many)
        wanted = model.decode_codes(wanted_codes, wanted_side, many[1])

    def run(name: str, example: tuple[Tensor, ...], *others: Tensor) -> list[Tensor]:
        program = export(Method(model, name), *example)
        path = tmp_path / f"{name}.onnx"
        torch.onnx.export(program, (), path, external_data=False, verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        inputs = [each.name for each in session.get_inputs()]
        values = (other.numpy() for other in others)
        outputs = session.run(None, dict(zip(inputs, values, strict=True)))
        return [torch.from_numpy(output) for output in outputs]

    found_codes, found_side = run("encode", few, *many)
    assert torch.equal(found_codes, wanted_codes)
    torch.testing.assert_close(found_side, wanted_side, rtol=1e-4, atol=1e-4)
    (found,) = run("decode_codes", (codes, side, few[1]), wanted_codes, wanted_side, many[1])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_fast_paths_are_used_outside_of_an_export_only() -> None:
    seen = []

    class Probe(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(fast.enabled())
            return x + 1

    probe = Probe()
    probe(torch.ones(1))
    torch.export.export(probe, (torch.ones(1),))
    assert seen[0]
    assert not any(seen[1:])
