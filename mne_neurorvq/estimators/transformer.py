# License: BSD-3-Clause
"""What the transformers of all systems share: trials to columns, to tokens, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral
from operator import itemgetter
from typing import Any, Self

import mne
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, check_scalar
from torch import nn

from .._fitting import all_or_nothing
from ..encoding.decoding import as_tokens, check_origin, decode, make_tokens, undo_reference
from ..encoding.epochs import as_epochs
from ..encoding.matched_trials import MatchedTrials
from ..encoding.memory import Layout, check_memory, describe_model, find_store
from ..encoding.passes import Arrays, compute, gather, resolve_device
from ..encoding.pooling import (
    POOL_OF_FEATURES,
    Pool,
    column_names,
    pool_embedding,
    pool_histogram,
    warn_of_columns,
)
from ..tokens import Tokens
from ..weights import LoadedModel
from ..weights.registry import Kind
from ..weights.sharing import shared_pretrained
from ..weights.systems import SYSTEMS, Config
from ..weights.target_head import blank_target_head
from .base import SignalEstimator, on_device

# Parameters that change no output, or only through the model, its inputs and the device.
_IN_THE_INPUTS = frozenset(
    "pretrained revision output channels reference unit ch_names sfreq model_sfreq device "
    "batch_size memory verbose".split()
)
# Parameters that only determine what is made of the codes.
_OF_COLUMNS = frozenset("pool levels combine precision".split())
# Trials whose codes are counted at a time.
_TRIALS = 64


class TokenTransformer(TransformerMixin, SignalEstimator):
    """Base of the transformers; see :class:`NeuroRVQTransformer` and its siblings."""

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
        self._fit(X)
        return self

    @all_or_nothing
    def fit_transform(self, X: Any, y: Any = None) -> NDArray[Any]:
        """Fit, and compute what ``output`` names; where either fails, nothing is fitted.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials, as for :meth:`fit`.
        y : None
            Ignored.

        Returns
        -------
        ndarray, shape (n_trials, n_columns)
            As from :meth:`transform`.
        """
        return self._transform(self._fit(X))

    def _fit(self, X: Any) -> MatchedTrials:
        self._check_parameters()
        device = resolve_device(self.device)
        self._check_model_name()
        self._models: dict[tuple[str, str | None, Kind], LoadedModel] = {}
        kind = SYSTEMS[self._system].gives[self.output]
        loaded = self._loaded(kind, device)
        if self.output == "physiology":
            loaded.require_target_head()
        matched = self._match(X, getattr(loaded, kind).config)
        self._fitted_model = str(self.pretrained), self.revision
        warn_of_columns(
            self.output,
            self._pool(),
            len(self.ch_names_),
            self.segmentation_.n_patches,
            len(self._endings()),
        )
        return self._learn(matched)

    def transform(self, X: Any) -> NDArray[Any]:
        """Compute what ``output`` names.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_trials, n_channels, n_times) | dataset
            Trials with the channels seen by :meth:`fit`.

        Returns
        -------
        ndarray, shape (n_trials, n_columns)
            ``"embedding"``, ``"histogram"`` and ``"physiology"``: float32. ``"tokens"``: int32,
            the axes channel, patch, codebook and level flattened in this order.

        Raises
        ------
        ValueError
            If the channels, or the number of columns, are not those of :meth:`fit`.
        """
        return self._transform(self._match_again(X))

    def _transform(self, matched: MatchedTrials) -> NDArray[Any]:
        segmentation = matched.segmentation
        pool = self._pool()
        if pool in ("channel", "none") and segmentation.n_patches != self.segmentation_.n_patches:
            raise ValueError(
                f"X has windows of {segmentation.n_patches} patches, but fit saw "
                f"{self.segmentation_.n_patches}: the columns would differ. Use windows of one "
                "length, or pool='mean', 'keep_channels' or 'thirds'."
            )
        if self.output == "embedding":
            return self._outputs("embedding", matched)[0]
        if self.output == "physiology":
            return self._physiology(matched)
        codes: NDArray[Any] = self._outputs("tokens", matched)[0]
        codes = codes[..., self._levels(codes.shape[-1])]
        if self.output == "tokens":
            return codes.reshape(len(codes), -1).astype(np.int32)
        n_codes = self._model("tokenizer").config.quantizer.n_codes
        return gather(
            (
                pool_histogram(codes[start : start + _TRIALS], n_codes, segmentation, pool)
                for start in range(0, len(codes), _TRIALS)
            ),
            len(codes),
        )

    def _physiology(self, matched: MatchedTrials) -> NDArray[Any]:
        """Numbers that the target head tells of pooled features: it is linear, as pooling is."""
        features = self._outputs("embedding", matched)[0]
        head = self._loaded("foundation").require_target_head()
        weight, bias = (part.detach().cpu().numpy() for part in (head.weight, head.bias))
        # By rows of equal shape: matrix products of other shapes round differently.
        rows = features.reshape(len(features), -1, weight.shape[1])
        return gather(((one @ weight.T + bias).reshape(1, -1) for one in rows), len(rows))

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
        return self._tokenize(self._match_again(X))

    def _tokenize(self, matched: MatchedTrials) -> Tokens:
        values = self._outputs("tokens", matched)
        return make_tokens(values, matched, str(self.pretrained), self._loaded("tokenizer"))

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
            had, in the reference that ``tokens.reference`` names: neither what an average took
            away nor what is in a Laplacian (here in V/m² times 0.002 m²) comes back.

        Raises
        ------
        TypeError
            If these are not tokens.
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
        config = self._model("tokenizer").config
        return as_epochs(self._decode(tokens), tokens, config=config, reference=tokens.reference)

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
            the channels left out. Signals have the reference of X: the average that was
            subtracted before the model is added again as it was, although no code holds it. (A
            Laplacian stays one, as in :meth:`detokenize`.) Projectors are there, but not as
            applied: the reconstruction does not satisfy them.

        Raises
        ------
        ValueError
            If the channels are not those of :meth:`fit`, or the model has no tokenizer.
        """
        matched = self._match_again(X)
        tokens = self._tokenize(matched)
        volts = self._decode(tokens)
        return as_epochs(
            volts,
            tokens,
            config=self.config_,
            reference=undo_reference(volts, matched),
            like=matched.trials,
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
            them: ``Cz_patch0_scale1_17``, or ``Cz_power_8-13Hz``.
        """
        check_is_fitted(self)
        self._check_parameters()
        return column_names(
            self._pool(), self.ch_names_, self.segmentation_.n_patches, self._endings()
        )

    def _endings(self) -> list[str]:
        """Name the values of one patch of one channel."""
        config = self._model(SYSTEMS[self._system].gives[self.output]).config
        levels = self._levels(config.quantizer.n_levels)
        codes = [
            f"codebook{b}_level{k}" for b in range(config.quantizer.n_codebooks) for k in levels
        ]
        if self.output == "embedding":
            return self._feature_names(config)
        if self.output == "physiology":
            return list(self._loaded("foundation").require_target_head().sizes)
        if self.output == "tokens":
            return codes
        return [f"{code}_code{i}" for code in codes for i in range(config.quantizer.n_codes)]

    def _outputs(self, what: str, matched: MatchedTrials) -> Arrays:
        """Pooled embeddings, or codes and side information, of all trials; none computed twice."""
        if (str(self.pretrained), self.revision) != self._fitted_model:
            raise self._other_model()
        kind, device = SYSTEMS[self._system].gives[what], resolve_device(self.device)
        model: Any = getattr(self._loaded(kind, device), kind)
        options: dict[str, Any] = {}
        if what == "embedding":
            # A foundation model's first output has the features.
            features = itemgetter(0) if kind == "foundation" else self._features()
            plan, pool = matched.segmentation, self._pool()
            options["finish"] = lambda values: (pool_embedding(features(values), plan, pool),)
            options["bf16"] = getattr(self, "precision", "auto") == "bf16"
        if self.memory is not None:
            options["store"] = find_store(self.memory, self._layout(what, matched, model.config))
            options["determined_by"] = self._determined_by(what, model, device)
        return compute(
            matched,
            model.embed_segments if kind == "foundation" else model.encode_segments,
            device=device,
            batch_size=self.batch_size,
            verbose=self.verbose,
            **options,
        )

    def _features(self) -> Callable[[Arrays], NDArray[np.floating]]:
        """How to make features ``(n_trials, n_channels, n_patches, n_features)`` of codes."""
        raise NotImplementedError(
            f"{type(self).__name__} has no foundation model: _features must make features of codes."
        )

    def _feature_names(self, config: Any) -> list[str]:
        """Name the features of a patch."""
        names: list[str] = config.feature_names()
        return names

    def _layout(self, what: str, matched: MatchedTrials, config: Any) -> Layout:
        """Shapes and types of the outputs for a trial."""
        segmentation = matched.segmentation
        n_channels, n_patches = len(matched.used[0]), segmentation.n_patches
        float32 = np.dtype(np.float32)
        if what == "embedding":
            features = np.zeros((1, n_channels, n_patches, len(self._feature_names(config))), "f4")
            pooled = pool_embedding(features, segmentation, self._pool())
            return [(pooled.shape[1:], float32)]
        books = config.quantizer
        codes = (n_channels, n_patches, books.n_codebooks, books.n_levels)
        side = config.side_shape(n_channels, segmentation.segments)
        return [(codes, np.dtype(config.code_dtype)), (side, float32)]

    def _determined_by(self, what: str, model: nn.Module, device: torch.device) -> str:
        """Say what determines outputs besides the model's inputs and the size of passes."""
        without = _IN_THE_INPUTS | (_OF_COLUMNS if what == "tokens" else frozenset())
        given = self.get_params() | {"pool": self._pool()}
        chosen = {k: v for k, v in sorted(given.items()) if k not in without}
        return f"{type(self).__name__} {what} {chosen} {describe_model(model, device)}"

    def _decode(self, tokens: Tokens) -> NDArray[np.float64]:
        """Signals in volts, ``(n_trials, n_channels, n_times)``."""
        device = resolve_device(self.device)
        loaded = self._loaded("tokenizer", device)
        check_origin(tokens, str(self.pretrained), loaded)
        return decode(
            loaded.tokenizer,
            tokens,
            device=device,
            batch_size=self.batch_size,
            verbose=self.verbose,
        )

    def _pool(self) -> Pool:
        """How what ``output`` names is pooled: the default of every system is here.

        Features keep channels and thirds of the window, which told classes of EEG apart better than
        any average; those of other signals what was worth its columns. Histograms are averaged:
        there each channel would have a column per code. Tokens are never pooled.
        """
        if self.output == "tokens":
            return "none"
        if self.pool != "auto":
            return "time" if self.pool == "keep_channels" else self.pool
        if self.output == "embedding":
            return POOL_OF_FEATURES.get(self.config_.modality, "thirds")
        return "mean" if self.output == "histogram" else "thirds"

    def _levels(self, n_levels: int) -> list[int]:
        """Levels of the codes, of so many, that :meth:`transform` shows."""
        return list(range(n_levels))

    def _loaded(self, kind: Kind, device: torch.device | None = None) -> LoadedModel:
        """Load a model; the one that ``output`` does not need is loaded when asked for."""
        models = self.__dict__.setdefault("_models", {})
        key = str(self.pretrained), self.revision, kind
        device = resolve_device(self.device) if device is None else device
        if key not in models:
            found: Any = shared_pretrained(self.pretrained, self.revision, only=kind, device=device)
            found.require(kind, self._system)
            models[key] = found
        loaded: LoadedModel = models[key]
        if next(getattr(loaded, kind).parameters()).device != device:
            loaded = models[key] = on_device(loaded, device)
        return loaded

    def _model(self, kind: Kind, device: torch.device | None = None) -> Any:
        return getattr(self._loaded(kind, device), kind)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        outputs = tuple(SYSTEMS[self._system].gives)
        if self.output not in outputs:
            raise ValueError(f"output={self.output!r} must be one of {outputs}.")
        size = self.batch_size
        if not isinstance(size, str) or size != "auto":
            if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
                raise ValueError(f"batch_size={size!r} must be 'auto' or a positive integer.")
            if size < 1:
                raise ValueError(f"batch_size={size} must be at least 1.")
        if self.memory is not None:
            check_memory(self.memory)
        if self.output == "histogram" and self.pool == "none":
            raise ValueError(
                "pool='none' leaves no histogram, only each single code: use output='tokens'."
            )

    def _other_model(self) -> ValueError:
        """Error of an estimator that was fitted with another model than it has now."""
        return ValueError(
            f"fit was called with pretrained={self._fitted_model[0]!r}, "
            f"revision={self._fitted_model[1]!r}, but now they are {str(self.pretrained)!r} and "
            f"{self.revision!r}: fit again."
        )

    def _network_state(self) -> tuple[dict[str, Any], nn.Module]:
        if (str(self.pretrained), self.revision) != self._fitted_model:
            raise self._other_model()
        modules: dict[str, Any] = {}
        facts = {}
        for (*name, kind), loaded in self._models.items():
            if tuple(name) != self._fitted_model:
                continue  # of tokens of another model
            model: Any = getattr(loaded, kind)
            # Without the heads of a foundation model, which no output needs.
            plain = model if kind == "tokenizer" else type(model)(pretrained=model)
            modules[kind] = plain
            facts[kind] = {"config": model.config.to_dict(), "revision": loaded.revision}
            if loaded.target_head is not None:
                modules["target_head"] = loaded.target_head
                facts[kind]["physiology"] = list(loaded.target_head.sizes)
        return {"models": facts}, nn.ModuleDict(modules)

    def _configs(self, record: dict[str, Any]) -> dict[Kind, Config]:
        make = SYSTEMS[self._system].config.from_dict
        return {kind: make(facts["config"]) for kind, facts in record["models"].items()}

    def _make_network(self, record: dict[str, Any]) -> tuple[nn.Module, nn.Module]:
        system: Any = SYSTEMS[self._system]
        modules: dict[str, nn.Module] = {}
        for kind, config in self._configs(record).items():
            modules[kind] = getattr(system, kind)(config=config)
            if columns := record["models"][kind].get("physiology"):
                modules["target_head"] = blank_target_head(columns, config)
        network = nn.ModuleDict(modules)
        return network, network

    def _set_network(self, network: nn.Module, record: dict[str, Any]) -> None:
        self._fitted_model = str(self.pretrained), self.revision
        models: Any = dict(network.named_children())
        head = models.pop("target_head", None)
        self._models = {
            (*self._fitted_model, kind): LoadedModel(
                name=str(self.pretrained),
                config=model.config,
                revision=record["models"][kind]["revision"],
                target_head=head if kind == "foundation" else None,
                **{kind: model},
            )
            for kind, model in models.items()
        }
