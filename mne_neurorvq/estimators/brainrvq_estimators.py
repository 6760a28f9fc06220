# License: BSD-3-Clause
"""BrainRVQ as a scikit-learn transformer and classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from .._references import Reference
from ..encoding.memory import Memory
from ..encoding.pooling import PoolName
from ..finetuning import Recipe
from .base import set_parameters
from .finetuned import FineTunedEstimator
from .targets import ClassTargets
from .transformer import TokenTransformer

# Patches of a forward pass in training: at the published size 2^13 take 2 GB in float32.
_PATCHES_PER_PASS = {"cpu": 2**13, "cuda": 2**15}


class BrainRVQTransformer(TokenTransformer):
    """Embeddings, tokens and reconstructions of trials from a pretrained BrainRVQ model.

    Codebook 0 of the tokens is that of the waveform, codebook 1 that of the spectrum.

    Parameters
    ----------
    pretrained : str
        Name of a model (see :func:`~mne_neurorvq.list_pretrained`), path of one, or
        ``"hf://owner/name"``, a repository of the Hugging Face Hub.
    revision, output, pool, channels, reference, unit, ch_names, sfreq
        As in :class:`NeuroRVQTransformer`.
    device, batch_size, precision, memory, verbose
        As in :class:`NeuroRVQTransformer`.

    Attributes
    ----------
    config_ : BrainRVQConfig
        Structure of the model.
    channel_report_, ch_names_, reference_, segmentation_, n_features_in_
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
    >>> tok.fit_transform(X).shape  # two channels, three thirds of the window
    (3, 1200)
    >>> tokens = tok.tokenize(X)
    >>> tokens.codes.shape, tokens.side.shape  # trials, channels, patches, codebooks, levels
    ((3, 2, 4, 2, 3), (3, 2, 4, 2))
    >>> tok.detokenize(tokens).get_data().shape  # volts
    (3, 2, 640)
    """

    _system = "brainrvq"

    def __init__(
        self,
        pretrained: str = "brainrvq-eeg-small",
        *,
        revision: str | None = None,
        output: Literal["embedding", "tokens", "histogram", "physiology"] = "embedding",
        pool: PoolName = "auto",
        channels: Literal["match", "strict", "nearest", "interpolate"] = "match",
        reference: Reference | None = None,
        unit: str = "uV",
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        device: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
        precision: Literal["auto", "float32", "bf16"] = "auto",
        memory: Memory = "auto",
        verbose: bool | None = None,
    ) -> None:
        set_parameters(self, locals())


class BrainRVQClassifier(ClassTargets, FineTunedEstimator):
    """Fine-tune a pretrained BrainRVQ model to tell classes of trials apart.

    Parameters
    ----------
    pretrained : str
        Name of a model (see :func:`~mne_neurorvq.list_pretrained`), path of one, or
        ``"hf://owner/name"``, a repository of the Hugging Face Hub.
    revision, finetune, head, max_epochs, batch_size, lr, layer_decay, weight_decay
        As in :class:`NeuroRVQClassifier`.
    warmup_epochs, class_weight, lora_rank, validation_fraction, validation_groups
        As in :class:`NeuroRVQClassifier`.
    early_stopping, callbacks, channels, reference, unit, ch_names, sfreq, device, precision
        As in :class:`NeuroRVQClassifier`.
    random_state : int | RandomState | None
        Seed of the head, of the order of trials and of the blocks that training skips: with the
        same seed, a fit on a CPU gives the same bits. None draws a new one.
    verbose : bool | None
        Whether to print a line for each epoch and a progress bar; None shows one bar for the
        training in a terminal or notebook when it takes long.

    Attributes
    ----------
    config_ : BrainRVQConfig
        Structure of the model.
    classes_, net_, history_, n_trainable_parameters_
        As in :class:`NeuroRVQClassifier`.
    channel_report_, ch_names_, reference_, segmentation_, n_features_in_
        As in :class:`NeuroRVQClassifier`.

    See Also
    --------
    mne_neurorvq.BrainRVQTransformer : Features for a classifier of your own.
    mne_neurorvq.load_estimator : Load what :meth:`save` wrote.

    Notes
    -----
    Epochs, batch size and learning rates are those of the released code, whose head sees the mean
    (:meth:`published`); its factor of 0.9 from each block to the one below is
    ``layer_decay=0.994`` from each of the 17 tensors of a block to the one below. The schedule,
    the weight decay and the weights of classes, of which it says nothing or less, are those of
    :class:`NeuroRVQClassifier`, and labels are not smoothed.
    A batch too large for memory is trained on in parts whose gradients add up.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import BrainRVQClassifier
    >>> y = np.tile(["left", "right"], 10)
    >>> X = 10 * np.random.default_rng(0).standard_normal((20, 2, 400))  # microvolts
    >>> X[y == "left", 0] *= 3
    >>> model = BrainRVQClassifier("brainrvq-eeg-tiny-random", finetune="head", lr=5e-3,
    ...                            ch_names=["C3", "C4"], sfreq=200.0, random_state=0)
    >>> model.fit(X, y).score(X, y)
    1.0
    >>> model.predict_proba(X).shape, model.n_trainable_parameters_
    ((20, 2), 3202)
    """

    _system = "brainrvq"
    _draws = True
    _published: ClassVar = {
        "finetune": "full",
        "head": "mean",
        "max_epochs": 30,
        "batch_size": 64,
        "lr": 5e-4,
        "layer_decay": 0.994,
    }

    def __init__(
        self,
        pretrained: str = "brainrvq-eeg-small",
        *,
        revision: str | None = None,
        finetune: Literal["full", "head", "lora"] = "full",
        head: Literal["mean", "flatten"] = "flatten",
        max_epochs: int = 30,
        batch_size: int = 64,
        lr: float = 5e-4,
        layer_decay: float = 0.994,
        weight_decay: float = 1e-2,
        warmup_epochs: float = 4,
        class_weight: Literal["balanced"] | dict[Any, float] | None = "balanced",
        lora_rank: int = 8,
        validation_fraction: float | None = None,
        validation_groups: Sequence[Any] | None = None,
        early_stopping: bool | int = False,
        callbacks: Sequence[Any] | None = None,
        channels: Literal["match", "strict", "nearest", "interpolate"] = "match",
        reference: Reference | None = None,
        unit: str = "uV",
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        device: str = "auto",
        precision: Literal["auto", "float32", "bf16"] = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | None = None,
    ) -> None:
        set_parameters(self, locals())

    def _recipe(self, device: torch.device) -> Recipe:
        recipe = super()._recipe(device)
        if self.device == "accelerate":
            return recipe  # the processes share a batch, and must go through as many passes
        return replace(recipe, trials_per_pass=self._trials_of_passes(_PATCHES_PER_PASS, device))
