# License: BSD-3-Clause
"""BrainRVQ as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ..encoding.memory import Memory
from ..encoding.pooling import PoolName
from .foundation import FoundationTransformer

#: What BrainRVQ's estimators load if they are given no name.
PRETRAINED = "brainrvq-eeg-small"


class BrainRVQTransformer(FoundationTransformer):
    """Embeddings, tokens and reconstructions of trials from a pretrained BrainRVQ model.

    Codebook 0 of the tokens is that of the waveform, codebook 1 that of the spectrum.

    Parameters
    ----------
    pretrained : str
        Name of a model (see :func:`~mne_neurorvq.list_pretrained`) or path of one.
    revision, output, pool, channels, unit, ch_names, sfreq
        As in :class:`NeuroRVQTransformer`.
    device, batch_size, precision, memory, verbose
        As in :class:`NeuroRVQTransformer`.

    Attributes
    ----------
    config_ : BrainRVQConfig
        Structure of the model.
    channel_report_, ch_names_, segmentation_, n_features_in_
        As in :class:`NeuroRVQTransformer`.

    See Also
    --------
    mne_neurorvq.BrainRVQClassifier : The foundation model, fine-tuned.

    Notes
    -----
    A bipolar channel such as "FP1-F7" is a channel of its own, never the electrode "FP1". The
    model takes 30 s of any number of channels at once; longer windows are cut into segments.

    Signals are decoded from the codes of the waveform. The mean and the standard deviation of each
    patch are side information of the tokens: they give the decoded signal its volts.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import BrainRVQTransformer
    >>> X = 10 * np.random.default_rng(0).standard_normal((3, 2, 640))  # microvolts
    >>> tok = BrainRVQTransformer("brainrvq-eeg-tiny-random", ch_names=["Cz", "FP1-F7"],
    ...                           sfreq=160.0)
    >>> tok.fit_transform(X).shape
    (3, 200)
    >>> tokens = tok.tokenize(X)
    >>> tokens.codes.shape, tokens.side.shape  # trials, channels, patches, codebooks, levels
    ((3, 2, 4, 2, 3), (3, 2, 4, 2))
    >>> tok.detokenize(tokens).get_data().shape  # volts
    (3, 2, 640)
    """

    _system = "brainrvq"

    def __init__(
        self,
        pretrained: str = PRETRAINED,
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
        super().__init__(
            pretrained,
            revision=revision,
            output=output,
            pool=pool,
            channels=channels,
            unit=unit,
            ch_names=ch_names,
            sfreq=sfreq,
            device=device,
            batch_size=batch_size,
            precision=precision,
            memory=memory,
            verbose=verbose,
        )

    def _embedding_names(self) -> list[str]:
        return [f"feature_{i}" for i in range(self._model("foundation").config.feature_dim)]

    def _axes_of_side(self, n_channels: int, segments: tuple[int, ...]) -> tuple[int, ...]:
        return (n_channels, sum(segments))

    def _join_sides(self, sides: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(sides), dim=2)

    def _split_side(self, side: Tensor, segments: tuple[int, ...]) -> Sequence[Tensor]:
        if side.shape[2] != sum(segments):
            raise ValueError(
                f"side must hold {sum(segments)} patches of each channel, got shape "
                f"{tuple(side.shape)}."
            )
        return side.split(segments, dim=2)
