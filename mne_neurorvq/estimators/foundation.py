# License: BSD-3-Clause
"""What the transformers of systems with a foundation model share: features and codes of patches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..encoding.matched_trials import Inputs
from ..encoding.memory import Memory
from ..encoding.pooling import PoolName
from ..weights.registry import Kind
from .transformer import TokenTransformer


class FoundationTransformer(TokenTransformer):
    """Base of :class:`NeuroRVQTransformer` and :class:`BrainRVQTransformer`.

    A system says what the side information of its segments belongs to.
    """

    _kinds: ClassVar[Mapping[str, Kind]] = {
        "embedding": "foundation",
        "tokens": "tokenizer",
        "histogram": "tokenizer",
    }

    def __init__(
        self,
        pretrained: str = "neurorvq-eeg-small",
        *,
        revision: str | None = None,
        output: Literal["embedding", "tokens", "histogram"] = "embedding",
        pool: PoolName = "mean",
        channels: Literal["match", "strict", "nearest", "interpolate"] = "match",
        unit: str = "uV",
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        device: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
        precision: Literal["auto", "float32", "bf16"] = "auto",
        memory: Memory = "auto",
        verbose: bool | None = None,
    ) -> None:
        self.pretrained = pretrained
        self.revision = revision
        self.output = output
        self.pool = pool
        self.channels = channels
        self.unit = unit
        self.ch_names = ch_names
        self.sfreq = sfreq
        self.device = device
        self.batch_size = batch_size
        self.precision = precision
        self.memory = memory
        self.verbose = verbose

    def _embed(self, inputs: Inputs) -> Iterator[NDArray[np.floating]]:
        model = self._model("foundation")

        def forward(segments: list[Tensor], rows: Tensor) -> tuple[Tensor]:
            features = [model(one, rows, return_features=True)["features"] for one in segments]
            return (torch.cat(features, dim=2),)

        bf16 = self.precision == "bf16"
        for (features,) in self._run(model, forward, inputs, self.batch_size, bf16=bf16):
            yield features

    def _encode(self, inputs: Inputs) -> Iterator[tuple[NDArray[Any], ...]]:
        model = self._model("tokenizer")

        def forward(segments: list[Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
            codes, sides = zip(*(model.encode(one, rows) for one in segments), strict=True)
            return torch.cat(codes, dim=2), self._join_sides(sides)

        yield from self._run(model, forward, inputs, self.batch_size)

    def _decode_segments(
        self, model: Any, codes: Tensor, side: Tensor, rows: Tensor, segments: tuple[int, ...]
    ) -> Sequence[Tensor]:
        parts = zip(codes.split(segments, dim=2), self._split_side(side, segments), strict=True)
        return [model.decode_codes(part, of_part, rows) for part, of_part in parts]

    @abstractmethod
    def _join_sides(self, sides: Sequence[Tensor]) -> Tensor:
        """Put the side information of the segments of a batch together."""

    @abstractmethod
    def _split_side(self, side: Tensor, segments: tuple[int, ...]) -> Sequence[Tensor]:
        """Take it apart again."""
