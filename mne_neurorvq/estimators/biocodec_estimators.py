# License: BSD-3-Clause
"""BioCodec as a scikit-learn transformer and classifier: a frozen codec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import Tags
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn
from torch.nn import functional as F

from .._references import Reference
from ..encoding.matched_trials import MatchedTrials
from ..encoding.memory import Memory
from ..encoding.passes import Arrays, compute, gather, resolve_device
from ..encoding.pooling import PoolName, vectors_of
from ..encoding.scaling import learn_scaling
from ..finetuning import Recipe
from ..models import BioCodec, BioCodecHead
from ..weights.systems import Config
from .base import SignalEstimator, on_device, set_parameters
from .targets import ClassTargets
from .trained import TrainedEstimator
from .transformer import TokenTransformer

# Patches of a forward pass in training: with the published head 0.7 GB on a CPU, 5 GB on a GPU.
_PATCHES_PER_PASS = {"cpu": 2**14, "cuda": 2**17}
_MAX_NORM = 1.0
# Trials that are read at a time to learn their scale.
_TRIALS_PER_READ = 64


class CodecEstimator(SignalEstimator):
    """Base of BioCodec's estimators, with the parameters ``scaling`` and ``levels``."""

    _system = "biocodec"

    def _match(self, X: Any, config: Config) -> MatchedTrials:
        self._levels(config.quantizer.n_levels)  # raises if there are no such levels
        return super()._match(X, config)

    def _learn(
        self, matched: MatchedTrials, weights: NDArray[np.floating] | None = None
    ) -> MatchedTrials:
        """Learn the scale of each channel, unless every trial has its own."""
        self._fitted_scaling = self.scaling
        if self.scaling == "fit":
            n_trials = matched.trials.n_trials
            starts = range(0, n_trials, _TRIALS_PER_READ)
            parts = (matched.signals(start, start + _TRIALS_PER_READ) for start in starts)
            matched = learn_scaling(matched, gather(parts, n_trials), weights)
            assert matched.scaling is not None
            self.centre_, self.scale_ = matched.scaling
        return matched

    def _match_again(self, X: Any) -> MatchedTrials:
        matched = super()._match_again(X)
        if self.scaling != self._fitted_scaling:
            raise ValueError(
                f"fit was called with scaling={self._fitted_scaling!r}, but now it is "
                f"{self.scaling!r}: fit again."
            )
        if self.scaling == "trial":
            return matched
        return replace(matched, scaling=(self.centre_, self.scale_))

    def _learned(self) -> dict[str, Any]:
        learned = super()._learned() | {"scaling": self._fitted_scaling}
        if self._fitted_scaling == "fit":
            learned |= {"centre": self.centre_.tolist(), "scale": self.scale_.tolist()}
        return learned

    def _set_learned(self, learned: dict[str, Any]) -> None:
        super()._set_learned(learned)
        self._fitted_scaling = learned["scaling"]
        if self._fitted_scaling == "fit":
            self.centre_, self.scale_ = np.array(learned["centre"]), np.array(learned["scale"])

    def _levels(self, n_levels: int) -> list[int]:
        if self.levels is None:
            return list(range(n_levels))
        levels = self.levels if isinstance(self.levels, (list, tuple, np.ndarray)) else ()
        whole = [isinstance(k, Integral) and not isinstance(k, bool) for k in levels]
        chosen = [int(k) for k in levels] if len(whole) and all(whole) else []
        if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(n_levels)):
            raise ValueError(
                f"levels={self.levels!r} must be None or a list of different levels of "
                f"0..{n_levels - 1}."
            )
        return chosen


class BioCodecTransformer(CodecEstimator, TokenTransformer):
    """Embeddings, tokens and reconstructions of trials from a pretrained BioCodec.

    The codec takes channels one by one, whatever they are called, and windows of any length.

    Parameters
    ----------
    pretrained, revision
        As in :class:`NeuroRVQTransformer`.
    output : "embedding" | "tokens" | "histogram"
        What :meth:`transform` gives: the vectors that the codes stand for, the codes, or how often
        each code is used.
    levels : list of int | None
        Levels of the codes, from 0, that :meth:`transform` shows; None shows all.
        :meth:`tokenize` and :meth:`reconstruct` keep all of them.
    combine : "sum" | "concatenate"
        What becomes of the vectors of several levels in an embedding. The sum of all is what the
        decoder gets.
    scaling : "trial" | "fit"
        Whether channels are scaled by median and interquartile range of each trial, or by those
        of all trials given to :meth:`fit`, which is right if these are of one recording.
    pool, reference, unit, ch_names, sfreq, device, batch_size, memory, verbose
        As in :class:`NeuroRVQTransformer`.

    Attributes
    ----------
    channel_report_, ch_names_, reference_, n_features_in_
        As in :class:`NeuroRVQTransformer`.
    config_ : BioCodecConfig
        Structure of the model.
    segmentation_ : Segmentation
        How their windows are cut: one segment, whose last patch the codec completes.
    centre_, scale_ : ndarray, shape (n_channels,)
        With ``scaling="fit"``, median and interquartile range of each used channel in microvolts.

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
    >>> tok.fit_transform(X).shape  # two channels, three thirds of the window
    (3, 96)
    >>> tokens = tok.tokenize(X)
    >>> tokens.codes.shape  # trials, channels, patches, codebooks, levels
    (3, 2, 84, 1, 3)
    >>> tok.detokenize(tokens).get_data().shape  # volts
    (3, 2, 640)
    >>> bool((tok.tokenize(2 * X).codes == tokens.codes).all())
    True
    """

    _choices = CodecEstimator._choices | {"combine": ("sum", "concatenate")}

    def __init__(
        self,
        pretrained: str = "biocodec-eeg-small",
        *,
        revision: str | None = None,
        output: Literal["embedding", "tokens", "histogram"] = "embedding",
        levels: Sequence[int] | None = None,
        combine: Literal["sum", "concatenate"] = "sum",
        pool: PoolName = "auto",
        scaling: Literal["trial", "fit"] = "trial",
        reference: Reference | None = None,
        unit: str = "uV",
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        device: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
        memory: Memory = "auto",
        verbose: bool | None = None,
    ) -> None:
        set_parameters(self, locals())

    def _features(self) -> Callable[[Arrays], NDArray[np.floating]]:
        quantizer = self._model("tokenizer").quantizer
        levels = self._levels(quantizer.config.n_levels)
        with torch.inference_mode():
            vectors = quantizer.level_vectors()
            tables = [vectors[level][0].cpu().numpy() for level in levels]
        summed = self.combine == "sum"
        return lambda values: vectors_of(values[0][..., 0, levels], tables, summed=summed)

    def _feature_names(self, config: Any) -> list[str]:
        summed = self.combine == "sum"
        names: list[str] = config.feature_names(
            None if summed else self._levels(config.quantizer.n_levels)
        )
        return names


class BioCodecClassifier(CodecEstimator, ClassTargets, TrainedEstimator):
    """Classify trials by their codes: a frozen BioCodec under the published head.

    The head embeds the codes of each level, starting from the codebooks, and applies a transformer
    layer over the patches of each channel, one over the channels of each patch, the mean over
    patches and a perceptron over all channels. Trials are encoded once, before it is trained.

    Parameters
    ----------
    pretrained, revision, max_epochs, batch_size, weight_decay, warmup_epochs, class_weight
        As in :class:`NeuroRVQClassifier`.
    levels : list of int | None
        Levels of the codes, from 0, that the head sees; None takes all.
    combine : "concatenate" | "sum"
        What becomes of the embeddings of the levels.
    lr : float
        Highest learning rate.
    label_smoothing : float
        Share of the probability that the targets give to all classes alike.
    validation_fraction : float | None
        Share of the groups (of the trials of each class, if :meth:`fit` gets no groups) that is
        watched and not trained on: the epoch with their highest balanced accuracy is taken,
        otherwise the last.
    scaling : "trial" | "fit"
        Whether channels are scaled by median and interquartile range of each trial, or by those
        of all training trials, which is right if these are of one recording.
    validation_groups, callbacks, reference, unit, ch_names, sfreq, device, verbose
        As in :class:`NeuroRVQClassifier`; only the head is trained, in one process.
    random_state : int | RandomState | None
        Seed of the head, of dropout and of the order of trials: with the same seed, a fit on a CPU
        gives the same bits. None draws a new one.

    Attributes
    ----------
    classes_, history_, n_trainable_parameters_, channel_report_, ch_names_, n_features_in_
        As in :class:`NeuroRVQClassifier`.
    net_ : skorch.NeuralNet
        The trained net; its ``module_`` is a :class:`~mne_neurorvq.models.BioCodecHead`.
    config_ : BioCodecConfig
        Structure of the model.
    segmentation_ : Segmentation
        How the windows of those data are cut: one segment, whose last patch the codec completes.
    centre_, scale_ : ndarray, shape (n_channels,)
        With ``scaling="fit"``, median and interquartile range of each used channel in microvolts.

    See Also
    --------
    mne_neurorvq.BioCodecTransformer : Features for a classifier of your own.
    mne_neurorvq.load_estimator : Load what :meth:`save` wrote.

    Notes
    -----
    Head and recipe are those that the authors published [1]_; the schedule of the learning rate,
    of which they say nothing, is that of :class:`NeuroRVQClassifier`. A batch too large for
    memory is trained on in parts whose gradients add up. Training depends neither on the order of
    the trials nor on whether one is given twice or with a weight of two; trials with the same
    codes are one.

    References
    ----------
    .. [1] BioCodec (2025), arXiv 2510.09095.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import BioCodecClassifier
    >>> y = np.tile(["slow", "fast"], 10)
    >>> hertz = np.where(y == "slow", 4, 30)[:, None, None]
    >>> X = np.sin(2 * np.pi * hertz * np.arange(250) / 250) * np.ones((1, 2, 1))
    >>> X = 20 * (X + np.random.default_rng(0).standard_normal(X.shape) / 4)  # microvolts
    >>> model = BioCodecClassifier("biocodec-eeg-tiny-random", ch_names=["left", "right"],
    ...                            sfreq=250.0, random_state=0)
    >>> model.fit(X, y).score(X, y)
    1.0
    >>> model.predict_proba(X).shape, model.n_trainable_parameters_
    ((20, 2), 19730)
    """

    _kind = "tokenizer"
    _choices = CodecEstimator._choices | {"combine": ("concatenate", "sum")}
    _draws = True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # scikit-learn scores on windows of two samples, of which scaling leaves next to nothing.
        tags.classifier_tags.poor_score = True
        return tags

    def __init__(
        self,
        pretrained: str = "biocodec-eeg-small",
        *,
        revision: str | None = None,
        levels: Sequence[int] | None = None,
        combine: Literal["concatenate", "sum"] = "concatenate",
        max_epochs: int = 20,
        batch_size: int = 128,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        warmup_epochs: float = 4,
        label_smoothing: float = 0.1,
        class_weight: Literal["balanced"] | dict[Any, float] | None = "balanced",
        validation_fraction: float | None = None,
        validation_groups: Sequence[Any] | None = None,
        callbacks: Sequence[Any] | None = None,
        scaling: Literal["trial", "fit"] = "trial",
        reference: Reference | None = None,
        unit: str = "uV",
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | None = None,
    ) -> None:
        set_parameters(self, locals())

    def _loss(self) -> Callable[..., Tensor]:
        return partial(F.cross_entropy, label_smoothing=self.label_smoothing)

    def _build(
        self, pretrained: Any, matched: MatchedTrials, n_outputs: int, generator: torch.Generator
    ) -> BioCodecHead:
        self._codec: BioCodec = pretrained
        head = self._make_head(n_outputs, len(matched.used[0]))
        head.start_from(pretrained.quantizer.codebook)
        return head

    def _make_head(self, n_outputs: int, n_channels: int) -> BioCodecHead:
        config = self._codec.config
        return BioCodecHead(
            n_outputs,
            n_channels,
            config=config,
            levels=self._levels(config.quantizer.n_levels),
            combine=self.combine,
        )

    def _signals(self, model: nn.Module, matched: MatchedTrials) -> NDArray[Any]:
        """Encode the trials."""
        return self._compute(nn.Identity(), matched)

    def _predict(self, model: nn.Module, matched: MatchedTrials) -> NDArray[Any]:
        self._check_head()
        return self._compute(model, matched)

    def _compute(self, head: nn.Module, matched: MatchedTrials) -> NDArray[Any]:
        """Apply a head to the codes of all trials."""
        device = resolve_device(self.device)
        self._codec = codec = on_device(self._codec, device)
        head.to(device)
        return compute(
            matched,
            lambda parts, rows: head(codec.encode_segments(parts, rows)[0]),
            device=device,
            verbose=self.verbose,
        )[0]

    def _recipe(self, device: torch.device) -> Recipe:
        return Recipe(
            max_epochs=int(self.max_epochs),
            batch_size=int(self.batch_size),  # torch takes no integers of NumPy
            lr=self.lr,
            layer_decay=1.0,
            weight_decay=self.weight_decay,
            warmup_epochs=self.warmup_epochs,
            patience=int(self.max_epochs),
            best="balanced_accuracy",
            max_norm=_MAX_NORM,
            trials_per_pass=self._trials_of_passes(_PATCHES_PER_PASS, device),
        )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.device == "accelerate":
            raise ValueError(
                "device='accelerate', but only the head is trained here, in one process: use "
                "device='auto'."
            )
        self._check_training_parameters(numbers=["label_smoothing"])
        check_scalar(
            self.label_smoothing,
            "label_smoothing",
            Real,
            min_val=0,
            max_val=1,
            include_boundaries="left",
        )

    def _check_head(self) -> None:
        """Raise if the head is not the one that the parameters describe."""
        head = self.net_.module_
        levels = tuple(self._levels(self.config_.quantizer.n_levels))
        if levels != head.levels or self.combine != head.combine:
            raise ValueError(
                f"fit was called with levels={list(head.levels)} and combine={head.combine!r}, but "
                f"now they are levels={list(levels)} and combine={self.combine!r}: fit again."
            )

    def _network_state(self) -> tuple[dict[str, Any], nn.Module]:
        self._check_head()
        facts, head = super()._network_state()
        return facts | {"n_outputs": len(self.classes_)}, self._with_codec(head)

    def _make_network(self, record: dict[str, Any]) -> tuple[nn.Module, nn.Module]:
        config: Any = self.config_
        self._codec = BioCodec(config=config).eval()
        head = self._make_head(record["n_outputs"], len(self.ch_names_))
        return head, self._with_codec(head)

    def _with_codec(self, head: nn.Module) -> nn.Module:
        return nn.ModuleDict({"codec": self._codec, "head": head})
