# License: BSD-3-Clause
"""NeuroRVQ as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self

import mne
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..models import NeuroRVQ, NeuroRVQTokenizer
from ..tokens import Tokens
from ..weights import LoadedModel, load_pretrained
from .base import SignalEstimator, check_choice, check_supported
from .inference import decode_batches, resolve_batch_size, resolve_device, run_batches
from .inputs import Inputs
from .outputs import as_epochs, check_origin, first_info
from .pooling import POOLS, Pool, column_names, pool_embedding, pool_histogram

_Kind = Literal["tokenizer", "foundation"]
_OUTPUTS: dict[str, _Kind] = {
    "embedding": "foundation",
    "tokens": "tokenizer",
    "histogram": "tokenizer",
}


class NeuroRVQTransformer(TransformerMixin, SignalEstimator):
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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Load the model and match the channels.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials; see :func:`~mne_neurorvq.signals.as_trials`.
        y : None
            Ignored.

        Returns
        -------
        NeuroRVQTransformer
            Itself.

        Raises
        ------
        ValueError
            If a parameter is impossible, no channel matches, a unit is plainly wrong, or the
            model lacks what ``output`` needs.
        TypeError
            If ``pretrained`` is neither a name nor a path.
        """
        self._check_parameters()
        device = resolve_device(self.device)
        check_supported(self.pretrained)
        self._models: dict[tuple[str, str | None, str], LoadedModel] = {}
        inputs = self._match(X, self._model(_OUTPUTS[self.output]).config)
        resolve_batch_size(self.batch_size, inputs.tokens_per_segment, device)
        self._fitted_model = self._model_name
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Compute what ``output`` names.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials with the channels seen by :meth:`fit`.

        Returns
        -------
        ndarray, shape (n_trials, n_columns)
            ``"embedding"`` and ``"histogram"``: float32. ``"tokens"``: int32, the axes channel,
            patch, codebook and level flattened in this order.

        Raises
        ------
        ValueError
            If the channels, or the number of columns, are not those of :meth:`fit`.
        """
        inputs = self._inputs(X)
        patches_matter = self.output == "tokens" or self.pool in ("channel", "none")
        if patches_matter and inputs.segmentation.n_patches != self.segmentation_.n_patches:
            raise ValueError(
                f"X has windows of {inputs.segmentation.n_patches} patches, but fit saw "
                f"{self.segmentation_.n_patches}: the columns would differ. Use windows of one "
                "length, or pool='mean' or 'time'."
            )
        return np.concatenate(list(self._columns(inputs)))

    def _columns(self, inputs: Inputs) -> Iterator[NDArray[Any]]:
        weights = inputs.segmentation.weights
        if self.output == "embedding":
            for features in self._embed(inputs):
                yield pool_embedding(features, weights, self.pool)
        else:
            for codes, _ in self._encode(inputs):
                if self.output == "tokens":
                    yield codes.reshape(len(codes), -1).astype(np.int32)
                else:
                    n_codes = self._model("tokenizer").config.quantizer.n_codes
                    yield pool_histogram(codes, n_codes, weights, self.pool)

    def tokenize(self, X: Any) -> Tokens:
        """Turn trials into tokens.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials with the channels seen by :meth:`fit`.

        Returns
        -------
        Tokens
            Codes ``(n_trials, n_channels, n_patches, n_codebooks, n_levels)`` with all that
            :meth:`detokenize` needs.

        Raises
        ------
        ValueError
            If the channels are not those of :meth:`fit`, or the model has no tokenizer.
        """
        inputs = self._inputs(X)
        codes, side = (np.concatenate(parts) for parts in zip(*self._encode(inputs), strict=True))
        trials, segmentation = inputs.trials, inputs.segmentation
        return Tokens(
            codes=codes,
            side=side,
            n_codes=self._model("tokenizer").config.quantizer.n_codes,
            model=str(self.pretrained),
            revision=self._loaded("tokenizer").revision,
            fingerprint=self._loaded("tokenizer").fingerprint,
            ch_names=inputs.ch_names,
            channel_rows=tuple(inputs.rows),
            sfreq=trials.sfreq,
            n_times=trials.n_times,
            model_sfreq=self.config_.sfreq,
            patch_size=segmentation.patch_size,
            segments=segmentation.segments,
            overlap=segmentation.overlap,
            padding=segmentation.padding,
            tmin=trials.tmin,
            events=trials.events,
            event_id=trials.event_id,
            metadata=trials.metadata,
            left_out=inputs.left_out,
        )

    def detokenize(self, tokens: Tokens) -> mne.EpochsArray:
        """Turn tokens back into signals; needs no :meth:`fit`.

        Parameters
        ----------
        tokens : Tokens
            Tokens of the same model; of any montage, rate and length.

        Returns
        -------
        mne.EpochsArray
            Signals in volts, at the rate and with the times, events and metadata that the trials
            had.

        Raises
        ------
        TypeError
            If these are no tokens.
        ValueError
            If the tokens come from another model, or hold no trial.
        """
        self._check_parameters()
        modality = self._model("tokenizer").config.modality
        return as_epochs(self._decode(tokens), tokens, ch_type=modality)

    def reconstruct(self, X: Any) -> mne.EpochsArray:
        """Pass trials through the codes and back.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials with the channels seen by :meth:`fit`.

        Returns
        -------
        mne.EpochsArray
            Signals in volts with the channels that the model uses, same times, events and
            metadata. ``channel_report_`` names the channels left out.

        Raises
        ------
        ValueError
            If the channels are not those of :meth:`fit`, or the model has no tokenizer.
        """
        tokens = self.tokenize(X)
        info = first_info(X, tokens.ch_names)
        return as_epochs(self._decode(tokens), tokens, ch_type=self.config_.modality, info=info)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns of :meth:`transform`.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of object, shape (n_columns,)
            Channel, patch, scale (or codebook and level) and number, as far as pooling keeps
            them: ``Cz_patch0_scale1_17``.
        """
        check_is_fitted(self)
        quantizer = self._model(_OUTPUTS[self.output]).config.quantizer
        books = range(quantizer.n_codebooks)
        levels = [f"codebook{b}_level{k}" for b in books for k in range(quantizer.n_levels)]
        if self.output == "embedding":
            ending = [f"scale{b}_{i}" for b in books for i in range(self.config_.embed_dim)]
        elif self.output == "tokens":
            ending = levels
        else:
            ending = [f"{level}_code{i}" for level in levels for i in range(quantizer.n_codes)]
        pool: Pool = "none" if self.output == "tokens" else self.pool
        return column_names(pool, self.ch_names_, self.segmentation_.n_patches, ending)

    def _inputs(self, X: Any) -> Inputs:
        """Trials of X, with the channels that fit saw."""
        check_is_fitted(self)
        self._check_parameters()
        if self._model_name != self._fitted_model:
            raise ValueError(
                f"fit was called with pretrained={self._fitted_model[0]!r}, "
                f"revision={self._fitted_model[1]!r}, but now they are {self._model_name[0]!r} and "
                f"{self._model_name[1]!r}: fit again."
            )
        return self._seen(X)

    def _run(self, kind: _Kind, forward: Any, inputs: Inputs) -> Any:
        return run_batches(
            self._model(kind),
            forward,
            inputs,
            device=resolve_device(self.device),
            batch_size=self.batch_size,
            verbose=self.verbose,
            bf16=kind == "foundation" and self.precision == "bf16",
        )

    @property
    def _model_name(self) -> tuple[str, str | None]:
        return str(self.pretrained), self.revision

    def _loaded(self, kind: _Kind) -> LoadedModel:
        """Load a model; the one that ``output`` does not need is loaded when asked for."""
        models = self.__dict__.setdefault("_models", {})
        key = (*self._model_name, kind)
        if key not in models:
            models[key] = load_pretrained(self.pretrained, self.revision, only=kind)
        return models[key]

    def _model(self, kind: _Kind) -> Any:
        return self._loaded(kind).require(kind)

    def _check_parameters(self) -> None:
        self._check_signal_parameters()
        check_choice("output", self.output, tuple(_OUTPUTS))
        check_choice("pool", self.pool, POOLS)
        if self.output == "histogram" and self.pool == "none":
            raise ValueError(
                "pool='none' leaves no histogram, only each single code: use output='tokens'."
            )

    def _embed(self, inputs: Inputs) -> Iterator[NDArray[np.floating]]:
        """Features of batches of trials, ``(n_trials, n_channels, n_patches, n_features)``."""
        model: NeuroRVQ = self._model("foundation")

        def forward(segments: list[Tensor], rows: Tensor) -> tuple[Tensor]:
            features = [model(one, rows, return_features=True)["features"] for one in segments]
            return (torch.cat(features, dim=2),)

        for (features,) in self._run("foundation", forward, inputs):
            yield features

    def _encode(self, inputs: Inputs) -> Iterator[tuple[NDArray[np.integer], NDArray[np.floating]]]:
        """Codes and side information of batches of trials."""
        model: NeuroRVQTokenizer = self._model("tokenizer")

        def forward(segments: list[Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
            codes, side = zip(*(model.encode(one, rows) for one in segments), strict=True)
            return torch.cat(codes, dim=2), torch.stack(side, dim=1)

        yield from self._run("tokenizer", forward, inputs)

    def _decode(self, tokens: Tokens) -> NDArray[np.float64]:
        """Signals in volts, ``(n_trials, n_channels, n_times)``."""
        model: NeuroRVQTokenizer = self._model("tokenizer")
        check_origin(tokens, str(self.pretrained), self._loaded("tokenizer"))
        batches = decode_batches(
            model,
            tokens,
            device=resolve_device(self.device),
            batch_size=self.batch_size,
            verbose=self.verbose,
        )
        return np.concatenate(list(batches))
