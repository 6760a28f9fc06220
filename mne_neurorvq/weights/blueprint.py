# License: BSD-3-Clause
"""A model before its weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch

from .errors import CheckpointError
from .registry import Kind
from .systems import SYSTEMS, Config, Foundation, Model, make_tokenizer
from .tensors import Shapes

# How the names of our tensors end that have rows for every codebook and level.
_BY_LEVEL = ("quantizer.codebook", "masked_tokens.weight")


@dataclass(frozen=True)
class Blueprint:
    """A model before its weights."""

    kind: Kind
    config: Config
    masked_token_heads: bool = False
    n_outputs: int | None = None

    def build(self, device: str = "meta") -> Model:
        """Make the model."""
        with torch.device(device):
            if self.kind == "tokenizer":
                return make_tokenizer(self.config).eval()
            system = SYSTEMS[self.config.system]
            if system.foundation is None:
                raise CheckpointError(f"{system.title} has no foundation model, only a codec.")
            foundation: Callable[..., Foundation] = system.foundation
            return foundation(
                self.n_outputs, config=self.config, masked_token_heads=self.masked_token_heads
            ).eval()

    def build_for(self, shapes: Shapes, source: str) -> Model:
        """Make the model on the meta device, if it can be that of a file."""
        check_parts(self.config, shapes, source, quantizer=self.has_quantizer)
        try:
            return self.build()
        except CheckpointError:
            raise
        except Exception as error:  # of many types, from torch and from arithmetic
            raise CheckpointError(
                f"{source} has a configuration that no model can be built from: {error}"
            ) from error

    @property
    def has_quantizer(self) -> bool:
        """Whether there are parts for every codebook and level."""
        return self.kind == "tokenizer" or self.masked_token_heads


def check_parts(config: Config, shapes: Shapes, source: str, *, quantizer: bool = True) -> None:
    """Refuse a configuration of more parts than a file has tensors for, before any is made."""
    parts = {name: getattr(config, name, 0) for name in ("depth", "decoder_depth")}
    parts |= {
        field.name: len(getattr(config, field.name))
        for field in fields(config)
        if field.type.startswith("tuple") and field.name not in ("channels", "trained")
    }
    most = dict.fromkeys(parts, len(shapes))
    if quantizer:
        levels = config.quantizer.n_codebooks * config.quantizer.n_levels
        parts["n_codebooks * n_levels"] = levels
        # The authors have tensors for every level, we have one for all of them.
        stored = [
            math.prod(shape[:2]) for name, shape in shapes.items() if name.endswith(_BY_LEVEL)
        ]
        most["n_codebooks * n_levels"] = max([len(shapes), *stored])
    for name, n in parts.items():
        if n > most[name]:
            raise CheckpointError(
                f"{source} has a configuration with {name}={n}, but tensors for {most[name]} at "
                "most: one of the two is damaged, or belongs to another model."
            )
