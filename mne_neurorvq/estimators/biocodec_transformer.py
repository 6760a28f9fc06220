# License: BSD-3-Clause
"""BioCodec as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..encoding.matched_trials import Inputs
from ..encoding.memory import Memory
from ..encoding.pooling import PoolName
from ..models import BioCodec
from ..weights.registry import Kind
from .base import check_choice
from .codec import UNIT, CodecEstimator, decode_series, encode_series, narrow_type
from .transformer import TokenTransformer


class BioCodecTransformer(CodecEstimator, TokenTransformer):
    """Embeddings, tokens and reconstructions of trials from a pretrained BioCodec.

    The codec takes channels one by one, whatever they are called, and windows of any length.

    Parameters
    ----------
    pretrained : str
        Name of a model (see :func:`~mne_neurorvq.list_pretrained`) or path of one.
    revision : str | None
        Revision of a model that is downloaded; None takes the registered one.
    output : "embedding" | "tokens" | "histogram"
        What :meth:`transform` gives: the vectors that the codes stand for, the codes, or how often
        each code is used.
    levels : list of int | None
        Levels of the codes, from 0, that :meth:`transform` shows; None shows all.
        :meth:`tokenize` and :meth:`reconstruct` keep all of them.
    combine : "sum" | "concatenate"
        What becomes of the vectors of several levels in an embedding. The sum of all is what the
        decoder gets.
    pool : "mean" | "channel" | "time" | "none" | "keep_channels"
        What embeddings and histograms are averaged over: channels and patches, channels, patches,
        or nothing. ``"keep_channels"`` is another name of ``"time"``: every channel keeps columns
        of its own. Tokens are not pooled.
    scaling : "trial" | "fit"
        Whether channels are scaled by median and interquartile range of each trial, or by those
        of all trials given to :meth:`fit`, which is right if these are of one recording.
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
        Trials per batch. Every batch has this size (the last one is filled up), so that the
        result for a trial is the same, bit for bit, whatever trials come with it.
    memory : "auto" | None | str | joblib.Memory
        Where outputs of the model are kept, so that cross-validation computes each trial once:
        in this process (``"auto"``, the latest 512 MiB), in a folder that several processes may
        share, or nowhere (None). The results are the same, bit for bit.
    verbose : bool | None
        Whether to show a progress bar; None shows it in a terminal when the work takes long.

    Attributes
    ----------
    channel_report_ : ChannelReport
        What happened to each channel of the data given to :meth:`fit`; it prints as a table.
    ch_names_ : tuple of str
        Channels of those data that are used.
    config_ : BioCodecConfig
        Structure of the model.
    segmentation_ : Segmentation
        How their windows are cut: one segment, whose last patch the codec completes.
    centre_, scale_ : ndarray, shape (n_channels,)
        With ``scaling="fit"``, median and interquartile range of each used channel in microvolts.
    n_features_in_ : int
        Channels of those data (of a two-dimensional array: samples).

    See Also
    --------
    mne_neurorvq.BioCodecClassifier : The published head on the codes.

    Notes
    -----
    The codes depend on the scale of the signals, so scaling is part of the model. With
    ``scaling="trial"`` another gain or offset of a channel changes nothing; how large a trial is
    beside others, or a channel beside others, is then in no output but the side information of
    the tokens. With ``scaling="fit"`` it is in the codes.

    A channel whose interquartile range is zero is divided by its standard deviation. A constant
    one becomes zeros, and is constant when it is decoded.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import BioCodecTransformer
    >>> X = 10 * np.random.default_rng(0).standard_normal((3, 2, 640))  # microvolts
    >>> tok = BioCodecTransformer("biocodec-eeg-tiny-random", ch_names=["left", "right"],
    ...                           sfreq=160.0)
    >>> tok.fit_transform(X).shape
    (3, 16)
    >>> tokens = tok.tokenize(X)
    >>> tokens.codes.shape  # trials, channels, patches, codebooks, levels
    (3, 2, 84, 1, 3)
    >>> tok.detokenize(tokens).get_data().shape  # volts
    (3, 2, 640)
    >>> bool((tok.tokenize(2 * X).codes == tokens.codes).all())
    True
    """

    _kinds: ClassVar[Mapping[str, Kind]] = dict.fromkeys(
        ("embedding", "tokens", "histogram"), "tokenizer"
    )

    def __init__(
        self,
        pretrained: str = "biocodec-eeg-small",
        *,
        revision: str | None = None,
        output: Literal["embedding", "tokens", "histogram"] = "embedding",
        levels: Sequence[int] | None = None,
        combine: Literal["sum", "concatenate"] = "sum",
        pool: PoolName = "mean",
        scaling: Literal["trial", "fit"] = "trial",
        unit: str = "uV",
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        device: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
        memory: Memory = "auto",
        verbose: bool | None = None,
    ) -> None:
        self.pretrained = pretrained
        self.revision = revision
        self.output = output
        self.levels = levels
        self.combine = combine
        self.pool = pool
        self.scaling = scaling
        self.unit = unit
        self.ch_names = ch_names
        self.sfreq = sfreq
        self.device = device
        self.batch_size = batch_size
        self.memory = memory
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._check_codec_parameters()
        check_choice("combine", self.combine, ("sum", "concatenate"))

    def _embed(self, inputs: Inputs) -> Iterator[NDArray[np.floating]]:
        tables = self._vectors()
        levels = self._levels(len(tables))
        for codes, _ in self._encode(inputs):
            vectors = (tables[level][codes[..., 0, level]] for level in levels)
            if self.combine == "sum":
                yield reduce(np.add, vectors)
            else:
                yield np.concatenate(list(vectors), axis=-1)

    def _vectors(self) -> list[NDArray[np.float32]]:
        """Vectors that the codes of each level stand for, ``(n_codes, latent_dim)``."""
        quantizer = self._model("tokenizer").quantizer
        levels = range(quantizer.config.n_levels)
        with torch.inference_mode():
            return [
                quantizer.from_code(quantizer.codebook[:, level], level)[0].numpy()
                for level in levels
            ]

    def _embedding_names(self) -> list[str]:
        config = self._model("tokenizer").config
        dims = range(config.latent_dim)
        if self.combine == "sum":
            return [f"vector_{i}" for i in dims]
        return [f"level{k}_{i}" for k in self._levels(config.quantizer.n_levels) for i in dims]

    def _encode(self, inputs: Inputs) -> Iterator[tuple[NDArray[Any], ...]]:
        codec: BioCodec = self._model("tokenizer")

        def forward(parts: list[Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
            scaled, side = parts
            codes, own = encode_series(codec, scaled)
            centre, scale = side.unbind(-1)
            return codes, torch.stack((centre + scale * own[..., 0], scale * own[..., 1]), -1)

        yield from self._run(codec, forward, inputs, self.batch_size)

    def _axes_of_side(self, n_channels: int, segments: tuple[int, ...]) -> tuple[int, ...]:
        return (n_channels,)

    def _type_of_codes(self, n_codes: int) -> np.dtype[Any]:
        return narrow_type(n_codes)

    def _decode_segments(
        self, model: Any, codes: Tensor, side: Tensor, rows: Tensor, segments: tuple[int, ...]
    ) -> Sequence[Tensor]:
        return [decode_series(model, codes, side)]

    def _signal_unit(self, config: Any) -> str:
        return UNIT
