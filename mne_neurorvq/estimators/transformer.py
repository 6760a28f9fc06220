# License: BSD-3-Clause
"""What the transformers of all systems share: trials to columns, to tokens, and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import mne
import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, check_scalar
from torch import Tensor, nn

from .._fitting import all_or_nothing
from ..encoding.decoding import decode_batches
from ..encoding.device import resolve_device
from ..encoding.epochs import as_epochs, as_tokens, check_origin
from ..encoding.gathering import gather
from ..encoding.matched_trials import Inputs
from ..encoding.memory import Layout, Values, check_memory, find_store
from ..encoding.pooling import (
    POOL_NAMES,
    Pool,
    column_names,
    find_pool,
    pool_embedding,
    pool_histogram,
)
from ..encoding.reuse import compute_once, describe_model
from ..tokens import Tokens
from ..weights import LoadedModel
from ..weights.registry import Kind
from ..weights.sharing import shared_pretrained
from ..weights.systems import SYSTEMS, Config
from .base import SignalEstimator, check_choice

# Parameters that the model, its inputs and the machine tell, or that change no output.
_IN_THE_INPUTS = frozenset(
    "pretrained revision channels unit ch_names sfreq device batch_size memory verbose".split()
)
# Parameters that only say what becomes of the codes.
_OF_COLUMNS = frozenset("output pool levels combine precision".split())
# Trials whose codes are counted at a time.
_TRIALS = 64


class TokenTransformer(TransformerMixin, SignalEstimator):
    """Base of the transformers; see :class:`NeuroRVQTransformer` and its siblings.

    A system says which of its models gives what, and how they are called.
    """

    #: Which model gives each output.
    _kinds: ClassVar[Mapping[str, Kind]]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Load the model and choose the channels.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials; see :func:`~mne_neurorvq.signals.as_trials`.
        y : None
            Ignored.

        Returns
        -------
        TransformerMixin
            Itself.

        Raises
        ------
        ValueError
            If a parameter is impossible, no channel can be used, a unit is plainly wrong, or the
            model lacks what ``output`` needs.
        TypeError
            If ``pretrained`` is neither a name nor a path.
        """
        self._check_parameters()
        device = resolve_device(self.device)
        self._check_model_name()
        self._models: dict[tuple[str, str | None, str], LoadedModel] = {}
        inputs = self._match(X, self._model(self._kinds[self.output]).config)
        n_patches = max(inputs.segmentation.segments)
        self._trials_per_pass(self.batch_size, len(inputs.picks), n_patches, device)
        self._learn(inputs)
        self._fitted_model = self._model_name
        return self

    @all_or_nothing
    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> NDArray[Any]:
        """Fit, and compute what ``output`` names; where either fails, nothing is fitted.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials, as for :meth:`fit`.
        y : None
            Ignored.
        **fit_params : dict
            Further arguments of :meth:`fit`.

        Returns
        -------
        ndarray, shape (n_trials, n_columns)
            As from :meth:`transform`.
        """
        transformed: NDArray[Any] = super().fit_transform(X, y, **fit_params)
        return transformed

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
        patches_matter = self.output == "tokens" or find_pool(self.pool) in ("channel", "none")
        if patches_matter and inputs.segmentation.n_patches != self.segmentation_.n_patches:
            raise ValueError(
                f"X has windows of {inputs.segmentation.n_patches} patches, but fit saw "
                f"{self.segmentation_.n_patches}: the columns would differ. Use windows of one "
                "length, or pool='mean' or 'keep_channels'."
            )
        if self.output == "embedding":
            return self._computed("embedding", inputs)[0]
        codes = self._computed("codes", inputs)[0]
        codes = codes[..., self._levels(codes.shape[-1])]
        if self.output == "tokens":
            return codes.reshape(len(codes), -1).astype(np.int32)
        n_codes = self._model("tokenizer").config.quantizer.n_codes
        weights, pool = inputs.segmentation.weights, find_pool(self.pool)
        return gather(
            (
                pool_histogram(codes[start : start + _TRIALS], n_codes, weights, pool)
                for start in range(0, len(codes), _TRIALS)
            ),
            len(codes),
        )

    def _computed(self, what: Literal["embedding", "codes"], inputs: Inputs) -> Values:
        """Pooled embeddings, or codes and side information, of all trials; none computed twice."""
        kind = self._kinds["embedding"] if what == "embedding" else "tokenizer"
        compute = self._pooled if what == "embedding" else self._encode
        store = find_store(self.memory, self._layout(what, inputs))
        facts = "" if store is None else self._determined_by(what, self._model(kind), inputs)
        return compute_once(compute, inputs, store, facts)

    def _layout(self, what: str, inputs: Inputs) -> Layout:
        """Shapes and types of the outputs for a trial."""
        segmentation = inputs.segmentation
        n_channels, n_patches = len(inputs.picks), segmentation.n_patches
        float32 = np.dtype(np.float32)
        if what == "embedding":
            axes = (1, n_channels, n_patches, len(self._embedding_names()))
            pooled = pool_embedding(
                np.zeros(axes, float32), segmentation.weights, find_pool(self.pool)
            )
            return [(pooled.shape[1:], float32)]
        books = self._model("tokenizer").config.quantizer
        codes = (n_channels, n_patches, books.n_codebooks, books.n_levels)
        side = (*self._axes_of_side(n_channels, segmentation.segments), 2)
        return [(codes, self._type_of_codes(books.n_codes)), (side, float32)]

    def _type_of_codes(self, n_codes: int) -> np.dtype[Any]:
        """Type of codes as the model gives them."""
        return np.dtype(np.int64)

    def _pooled(self, inputs: Inputs) -> Iterator[Values]:
        for features in self._embed(inputs):
            yield (pool_embedding(features, inputs.segmentation.weights, find_pool(self.pool)),)

    def _determined_by(self, what: str, model: nn.Module, inputs: Inputs) -> str:
        """All that determines outputs besides the signals that the model is given."""
        device = resolve_device(self.device)
        segmentation = inputs.segmentation
        trials_per_pass = self._trials_per_pass(
            self.batch_size, len(inputs.picks), max(segmentation.segments), device
        )
        without = _IN_THE_INPUTS | (_OF_COLUMNS if what == "codes" else frozenset())
        chosen = {k: v for k, v in sorted(self.get_params().items()) if k not in without}
        facts = (type(self).__name__, what, chosen, inputs.rows, segmentation, trials_per_pass)
        return f"{facts} {describe_model(model, device)}"

    def tokenize(self, X: Any) -> Tokens:
        """Turn trials into tokens.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials with the channels seen by :meth:`fit`.

        Returns
        -------
        Tokens
            Codes ``(n_trials, n_channels, n_patches, n_codebooks, n_levels)``, of all levels,
            with all that :meth:`detokenize` needs.

        Raises
        ------
        ValueError
            If the channels are not those of :meth:`fit`, or the model has no tokenizer.
        """
        return self._tokens(self._inputs(X))

    def _tokens(self, inputs: Inputs) -> Tokens:
        codes, side = self._computed("codes", inputs)
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

    def detokenize(self, tokens: Tokens, levels: int | None = None) -> mne.EpochsArray:
        """Turn tokens back into signals; needs no :meth:`fit`.

        Parameters
        ----------
        tokens : Tokens
            Tokens of the same model; of any montage, rate and length.
        levels : int | None
            How many levels of the codes to decode, from the first on: the fewer, the coarser.
            None decodes all.

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
            If the tokens come from another model, hold no trial, have not so many levels, or are
            decoded to values that are not finite.
        """
        self._check_parameters()
        self._check_model_name()
        if levels is not None:
            most = as_tokens(tokens).shape[-1]
            check_scalar(levels, "levels", Integral, min_val=1, max_val=most)
            tokens = replace(tokens, codes=tokens.codes[..., :levels])
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
            Signals in volts with the channels that the model uses, same times, events, metadata,
            ``selection``, ``drop_log`` and ``baseline``; with ``channels="interpolate"`` also the
            sites that were computed, at their places on a template head. ``channel_report_`` names
            the channels left out. Projectors are there, but not as applied: the reconstruction does
            not satisfy them.

        Raises
        ------
        ValueError
            If the channels are not those of :meth:`fit`, or the model has no tokenizer.
        """
        inputs = self._inputs(X)
        tokens = self._tokens(inputs)
        return as_epochs(
            self._decode(tokens), tokens, ch_type=self.config_.modality, like=inputs.trials
        )

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
        quantizer = self._model(self._kinds[self.output]).config.quantizer
        levels = self._levels(quantizer.n_levels)
        codes = [f"codebook{b}_level{k}" for b in range(quantizer.n_codebooks) for k in levels]
        if self.output == "embedding":
            ending = self._embedding_names()
        elif self.output == "tokens":
            ending = codes
        else:
            ending = [f"{code}_code{i}" for code in codes for i in range(quantizer.n_codes)]
        pool: Pool = "none" if self.output == "tokens" else find_pool(self.pool)
        return column_names(pool, self.ch_names_, self.segmentation_.n_patches, ending)

    def _saved(self) -> tuple[nn.Module, dict[str, Any]]:
        self._check_fitted_model()
        modules: dict[str, Any] = {}
        facts = {}
        for (*name, kind), loaded in self._models.items():
            if tuple(name) != self._model_name:
                continue  # of tokens of another model
            model: Any = getattr(loaded, kind)
            # Without the heads of a foundation model, which no output needs.
            plain = model if kind == "tokenizer" else type(model)(pretrained=model)
            modules[kind] = plain
            facts[kind] = {"config": model.config.to_dict(), "revision": loaded.revision}
        return nn.ModuleDict(modules), {"models": facts}

    def _parts(self, record: dict[str, Any]) -> dict[Kind, Config]:
        make = SYSTEMS[self._system].config.from_dict
        return {kind: make(facts["config"]) for kind, facts in record["models"].items()}

    def _restored(self, record: dict[str, Any], read: Callable[[nn.Module], None]) -> nn.Module:
        system = SYSTEMS[self._system]
        modules: dict[str, Any] = {}
        for kind, config in self._parts(record).items():
            make: Any = {"tokenizer": system.tokenizer, "foundation": system.foundation}[kind]
            modules[kind] = make(config=config)
        model = nn.ModuleDict(modules)
        read(model)
        return model

    def _hold(self, model: nn.Module, record: dict[str, Any]) -> None:
        self._fitted_model = self._model_name
        parts: Any = model.children()
        self._models = {
            (*self._model_name, kind): LoadedModel(
                self._model_name[0], part.config, revision=facts["revision"], **{kind: part}
            )
            for (kind, facts), part in zip(record["models"].items(), parts, strict=True)
        }

    def _inputs(self, X: Any) -> Inputs:
        """Trials of X, with the channels that fit saw."""
        check_is_fitted(self)
        self._check_parameters()
        self._check_fitted_model()
        return self._seen(X)

    def _check_fitted_model(self) -> None:
        if self._model_name != self._fitted_model:
            raise ValueError(
                f"fit was called with pretrained={self._fitted_model[0]!r}, "
                f"revision={self._fitted_model[1]!r}, but now they are {self._model_name[0]!r} and "
                f"{self._model_name[1]!r}: fit again."
            )

    @property
    def _model_name(self) -> tuple[str, str | None]:
        return str(self.pretrained), self.revision

    def _loaded(self, kind: Kind) -> LoadedModel:
        """Load a model; the one that ``output`` does not need is loaded when asked for."""
        models = self.__dict__.setdefault("_models", {})
        key = (*self._model_name, kind)
        if key not in models:
            models[key] = shared_pretrained(self.pretrained, self.revision, only=kind)
        return models[key]

    def _model(self, kind: Kind) -> Any:
        loaded: Any = self._loaded(kind)
        return loaded.require(kind, self._system)

    def _check_parameters(self) -> None:
        self._check_signal_parameters()
        check_choice("output", self.output, tuple(self._kinds))
        check_choice("pool", self.pool, POOL_NAMES)
        check_memory(self.memory)
        if self.output == "histogram" and self.pool == "none":
            raise ValueError(
                "pool='none' leaves no histogram, only each single code: use output='tokens'."
            )

    def _decode(self, tokens: Tokens) -> NDArray[np.float64]:
        """Signals in volts, ``(n_trials, n_channels, n_times)``."""
        model = self._model("tokenizer")
        check_origin(tokens, str(self.pretrained), self._loaded("tokenizer"))
        device = resolve_device(self.device)

        def forward(codes: Tensor, side: Tensor, rows: Tensor) -> Sequence[Tensor]:
            return self._decode_segments(model, codes, side, rows, tokens.segments)

        batches = decode_batches(
            model,
            forward,
            tokens,
            unit=self._signal_unit(model.config),
            device=device,
            batch_size=self._trials_per_pass(
                self.batch_size, tokens.shape[1], max(tokens.segments), device
            ),
            verbose=self.verbose,
        )
        return np.concatenate(list(batches))

    def _levels(self, n_levels: int) -> list[int]:
        """Levels of the codes, of so many, that :meth:`transform` shows."""
        return list(range(n_levels))

    def _signal_unit(self, config: Any) -> str:
        """Name the unit of what the decoder gives."""
        return config.unit

    @abstractmethod
    def _embed(self, inputs: Inputs) -> Iterator[NDArray[np.floating]]:
        """Features of batches of trials, ``(n_trials, n_channels, n_patches, n_features)``."""

    @abstractmethod
    def _embedding_names(self) -> list[str]:
        """Names of the features of one patch."""

    @abstractmethod
    def _encode(self, inputs: Inputs) -> Iterator[tuple[NDArray[Any], ...]]:
        """Codes and side information of batches of trials."""

    @abstractmethod
    def _axes_of_side(self, n_channels: int, segments: tuple[int, ...]) -> tuple[int, ...]:
        """Name the axes of a trial whose places have side information of their own."""

    @abstractmethod
    def _decode_segments(
        self, model: Any, codes: Tensor, side: Tensor, rows: Tensor, segments: tuple[int, ...]
    ) -> Sequence[Tensor]:
        """Signals of each segment of a batch, ``(n_trials, n_channels, patches * patch_size)``."""
