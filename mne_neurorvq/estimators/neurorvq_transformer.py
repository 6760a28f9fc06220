# License: BSD-3-Clause
"""NeuroRVQ as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models import NeuroRVQ, NeuroRVQTokenizer
from ..weights.registry import Kind
from .inputs import Inputs
from .pooling import Pool
from .transformer import TokenTransformer


class NeuroRVQTransformer(TokenTransformer):
    """Embeddings, tokens and reconstructions of trials from a pretrained NeuroRVQ model.

    Nothing is learned from the data: :meth:`fit` loads the model and matches the channels.

    Parameters
    ----------
    pretrained : str
        Name of a model (see :func:`~mne_neurorvq.list_pretrained`) or path of one.
    revision : str | None
        Revision of a model that is downloaded; None takes the registered one.
    output : "embedding" | "tokens" | "histogram"
        What :meth:`transform` gives: features of the foundation model, codes of the tokenizer,
        or how often each code is used.
    pool : "mean" | "channel" | "time" | "none"
        What embeddings and histograms are averaged over: channels and patches, channels, patches,
        or nothing. Tokens are not pooled.
    channels : "match" | "strict" | "interpolate"
        What to do with channels that the model does not know: leave them out with a warning,
        raise, or use the nearest free site that it knows.
    unit : "uV" | "mV" | "V"
        Unit of arrays. Epochs are in volts.
    ch_names : list of str | None
        Channels of arrays. An array of one channel, ``(n_trials, n_times)``, is taken to be "Cz"
        if there is no name.
    sfreq : float | None
        Sampling rate of arrays in Hz; an array of one unnamed channel is taken to have the
        model's.
    device : str
        ``"auto"`` (CUDA where available, otherwise CPU) or a torch device.
    batch_size : "auto" | int
        Trials per forward pass. Every pass has this size (the last one is filled up), so that
        the result for a trial is the same, bit for bit, whatever trials come with it.
    precision : "auto" | "float32" | "bf16"
        Precision of embeddings; ``"auto"`` is float32. Codes are always computed in float32.
    verbose : bool | None
        Whether to show a progress bar; None shows it in a terminal when the work takes long.

    Attributes
    ----------
    channel_report_ : tuple of ChannelMatch
        What happened to each channel of the data given to :meth:`fit`.
    ch_names_ : tuple of str
        Channels of those data that the model uses.
    config_ : NeuroRVQConfig
        Structure of the model.
    segmentation_ : Segmentation
        How their windows are cut.
    n_features_in_ : int
        Channels of those data (of a two-dimensional array: samples).

    See Also
    --------
    mne_neurorvq.GroupStandardScaler : Standardise embeddings per subject, without labels.

    Notes
    -----
    The embedding with ``pool="mean"`` is what the authors put their classification head on: the
    outputs of the four temporal scales concatenated, averaged over channels and patches. Its
    width does not depend on the montage. An average over channels says little about *where*
    something happened: ``pool="time"`` keeps the channels and did better in the trial that
    :doc:`/getting_started` reports, at 64 times the columns.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> X = 10 * np.random.default_rng(0).standard_normal((3, 2, 640))  # microvolts
    >>> tok = NeuroRVQTransformer("neurorvq-eeg-tiny-random", ch_names=["C3", "C4"], sfreq=160.0)
    >>> tok.fit_transform(X).shape
    (3, 800)
    >>> tokens = tok.tokenize(X)
    >>> tokens.codes.shape  # trials, channels, patches, codebooks, levels
    (3, 2, 4, 4, 2)
    >>> tok.detokenize(tokens).get_data().shape  # volts
    (3, 2, 640)
    """

    _system = "neurorvq"
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
        pool: Pool = "mean",
        channels: Literal["match", "strict", "interpolate"] = "match",
        unit: str = "uV",
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        device: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
        precision: Literal["auto", "float32", "bf16"] = "auto",
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
        self.verbose = verbose

    def _embed(self, inputs: Inputs) -> Iterator[NDArray[np.floating]]:
        model: NeuroRVQ = self._model("foundation")

        def forward(segments: list[Tensor], rows: Tensor) -> tuple[Tensor]:
            features = [model(one, rows, return_features=True)["features"] for one in segments]
            return (torch.cat(features, dim=2),)

        bf16 = self.precision == "bf16"
        for (features,) in self._run(model, forward, inputs, self.batch_size, bf16=bf16):
            yield features

    def _embedding_names(self) -> list[str]:
        config = self._model("foundation").config
        scales = range(config.quantizer.n_codebooks)
        return [f"scale{scale}_{i}" for scale in scales for i in range(config.embed_dim)]

    def _encode(self, inputs: Inputs) -> Iterator[tuple[NDArray[Any], ...]]:
        model: NeuroRVQTokenizer = self._model("tokenizer")

        def forward(segments: list[Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
            codes, side = zip(*(model.encode(one, rows) for one in segments), strict=True)
            return torch.cat(codes, dim=2), torch.stack(side, dim=1)

        yield from self._run(model, forward, inputs, self.batch_size)

    def _decode_segments(
        self, model: Any, codes: Tensor, side: Tensor, rows: Tensor, segments: tuple[int, ...]
    ) -> Sequence[Tensor]:
        parts = enumerate(codes.split(segments, dim=2))
        return [model.decode_codes(part, side[:, i], rows) for i, part in parts]
