# License: BSD-3-Clause
"""NeuroRVQ as a scikit-learn transformer, classifier and regressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .._references import Reference
from ..encoding.memory import Memory
from ..encoding.pooling import PoolName
from .base import set_parameters
from .finetuned import FineTunedEstimator
from .targets import ClassTargets, NumberTargets
from .transformer import TokenTransformer

_PUBLISHED = {
    "finetune": "full",
    "head": "mean",
    "max_epochs": 20,
    "batch_size": 32,
    "lr": 5e-4,
    "layer_decay": 0.975,
    "weight_decay": 1e-2,
    "warmup_epochs": 4,
}


class NeuroRVQTransformer(TokenTransformer):
    """Embeddings, tokens and reconstructions of trials from a pretrained NeuroRVQ model.

    Nothing is learned from the data: :meth:`fit` loads the model and matches the channels.

    Parameters
    ----------
    pretrained : str
        Name of a model (see :func:`~mne_neurorvq.list_pretrained`), path of one, or
        ``"hf://owner/name"``, a repository of the Hugging Face Hub.
    revision : str | None
        Revision of a model that is downloaded; None takes the registered one.
    output : "embedding" | "tokens" | "histogram" | "physiology"
        What :meth:`transform` gives: features of the foundation model, codes of the tokenizer,
        how often each code is used, or, of models that have learned to tell them, physiological
        numbers such as the log power in a band; see :doc:`/getting_started`.
    pool : "auto" | "mean" | "channel" | "time" | "thirds" | "none" | "keep_channels"
        What is averaged over: channels and patches (``"mean"``), channels, patches, the patches of
        each third of the window, or nothing. ``"keep_channels"`` is another name of ``"time"``:
        every channel keeps columns of its own. ``"auto"`` is ``"thirds"``, for features of EMG
        ``"time"``, for features of ECG and for histograms ``"mean"``. Tokens are not pooled.
    channels : "match" | "strict" | "nearest" | "interpolate"
        What to do with channels that the model does not know: leave them out with a warning,
        raise, take each for the nearest free site, or compute free sites from all electrodes by
        MNE's splines; see :doc:`/signals`.
    reference : "recorded" | "average" | "laplacian" | None
        Reference in which the model is given EEG, computed from all good electrodes of the
        recording before the model's are picked; see :doc:`/signals`. None takes that of the model
        (``config_.reference``).
    unit : "uV" | "mV" | "V"
        Unit of arrays. Epochs are in volts. PPG has none: its values are taken as they are.
    ch_names : list of str | None
        Channels of arrays. An array of one channel, ``(n_trials, n_times)``, is taken to be "Cz"
        if there is no name (for ECG lead II).
    sfreq : float | None
        Sampling rate of arrays in Hz; an array of one unnamed channel is taken to have the
        model's.
    model_sfreq : float | None
        Rate in Hz that the model is fed with, where the registered one is in doubt (see the notes
        of "neurorvq-ecg"); None takes that.
    device : str
        ``"auto"`` (CUDA where available, otherwise CPU) or a torch device.
    batch_size : "auto" | int
        Trials per forward pass. Every pass has this size (the last one is filled up), so that
        the result for a trial is the same, bit for bit, whatever trials come with it.
    precision : "auto" | "float32" | "bf16"
        Precision of embeddings; ``"auto"`` is float32. Codes are always computed in float32.
    memory : "auto" | None | str | joblib.Memory
        Where outputs of the model are kept, so that cross-validation computes each trial once:
        in this process (``"auto"``, the latest 512 MiB), in a folder that several processes may
        share, or nowhere (None). The results are the same, bit for bit.
    verbose : bool | None
        Whether to show a progress bar; None shows it in a terminal or notebook when the work takes
        long, unless MNE is to be quiet (:func:`mne.set_log_level`) or ``CI`` is set.

    Attributes
    ----------
    channel_report_ : ChannelReport
        What happened to each channel of the data given to :meth:`fit`; it prints as a table.
    ch_names_ : tuple of str
        Channels of those data that the model uses, and sites computed from them.
    reference_ : str
        The reference of what the model is given.
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
    An embedding is the outputs of the four temporal scales concatenated. The default keeps *where*
    and, roughly, *when* something happened, which tells classes apart better than any average (see
    :doc:`/feature_study`), at the price of width: 64 channels have 153,600 columns of float32,
    614 kB a trial. ``output="physiology"`` is the compact choice, 9,216 columns that did as well
    in the same study, of models that have learned it. These numbers compare channels and moments
    of a trial: a gain of the whole trial changes none of them. With ``pool="mean"``, what the
    authors put their classification head on, the width does not depend on the montage.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> X = 10 * np.random.default_rng(0).standard_normal((3, 2, 640))  # microvolts
    >>> tok = NeuroRVQTransformer("neurorvq-eeg-tiny-random", ch_names=["C3", "C4"], sfreq=160.0)
    >>> tok.fit_transform(X).shape  # two channels, three thirds of the window
    (3, 4800)
    >>> tokens = tok.tokenize(X)
    >>> tokens.codes.shape  # trials, channels, patches, codebooks, levels
    (3, 2, 4, 4, 2)
    >>> tok.detokenize(tokens).get_data().shape  # volts
    (3, 2, 640)
    """

    _system = "neurorvq"

    def __init__(
        self,
        pretrained: str = "neurorvq-eeg-small",
        *,
        revision: str | None = None,
        output: Literal["embedding", "tokens", "histogram", "physiology"] = "embedding",
        pool: PoolName = "auto",
        channels: Literal["match", "strict", "nearest", "interpolate"] = "match",
        reference: Reference | None = None,
        unit: str = "uV",
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        model_sfreq: float | None = None,
        device: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
        precision: Literal["auto", "float32", "bf16"] = "auto",
        memory: Memory = "auto",
        verbose: bool | None = None,
    ) -> None:
        set_parameters(self, locals())


class NeuroRVQClassifier(ClassTargets, FineTunedEstimator):
    """Fine-tune a pretrained NeuroRVQ model to tell classes of trials apart.

    Parameters
    ----------
    pretrained : str
        Name of a model (see :func:`~mne_neurorvq.list_pretrained`), path of one, or
        ``"hf://owner/name"``, a repository of the Hugging Face Hub.
    revision : str | None
        Revision of a model that is downloaded; None takes the registered one.
    finetune : "full" | "head" | "lora"
        What is trained beside the head: the whole model, nothing (trials are then encoded once,
        before training), or low-rank adapters on its projections (extra ``lora``).
    head : "mean" | "flatten"
        Whether the head, a LayerNorm and a linear layer, sees the mean of the features over
        channels and patches, as published, or all of them, which did better.
    max_epochs : int
        Passes over the trials.
    batch_size : int
        Trials per step; the last batch of an epoch may be smaller.
    lr : float
        Highest learning rate of the head.
    layer_decay : float
        Factor of the learning rate from each parameter tensor to the one below it; 1 gives all
        tensors the same.
    weight_decay : float
        Decoupled weight decay (AdamW) of every tensor.
    warmup_epochs : float
        Epochs in which the learning rate rises from a tenth; over the others it falls back.
    class_weight : "balanced" | dict | None
        Weights of the classes in the loss: inversely proportional to how often they occur among
        the training trials, given by label, or equal.
    lora_rank : int
        Rank of the adapters of ``finetune="lora"``.
    validation_fraction : float | None
        Share of the groups (of the trials of each class, if :meth:`fit` gets no groups) that is
        watched and not trained on.
    validation_groups : list | None
        The groups to watch, by name, instead of a share of them.
    early_stopping : bool | int
        Whether to stop after so many epochs (True: 5) without a lower validation loss and take
        the weights with the lowest.
    callbacks : list of skorch callbacks | None
        Further callbacks of the net; copies of them are used.
    channels : "match" | "strict" | "nearest" | "interpolate"
        What to do with channels that the model does not know: leave them out with a warning,
        raise, take each for the nearest free site, or compute free sites from all electrodes by
        MNE's splines; see :doc:`/signals`.
    reference : "recorded" | "average" | "laplacian" | None
        Reference in which the model is given EEG, computed from all good electrodes of the
        recording before the model's are picked; see :doc:`/signals`. None takes that of the model
        (``config_.reference``).
    unit : "uV" | "mV" | "V"
        Unit of arrays. Epochs are in volts. PPG has none: its values are taken as they are.
    ch_names : list of str | None
        Channels of arrays. An array of one channel, ``(n_trials, n_times)``, is taken to be "Cz"
        if there is no name (for ECG lead II).
    sfreq : float | None
        Sampling rate of arrays in Hz; an array of one unnamed channel is taken to have the
        model's.
    model_sfreq : float | None
        Rate in Hz that the model is fed with, where the registered one is in doubt (see the notes
        of "neurorvq-ecg"); None takes that.
    device : str
        ``"auto"`` (CUDA where available, otherwise CPU), a torch device, or ``"accelerate"``: the
        processes that torchrun started train one net, see :doc:`/scaling` (extra
        ``accelerate``).
    precision : "auto" | "float32" | "bf16"
        Precision of forward passes; ``"auto"`` is bfloat16 autocast on CUDA, float32 elsewhere.
    random_state : int | RandomState | None
        Seed of the head and of the order of trials: with the same seed, a fit on a CPU gives the
        same bits. None draws a new one.
    verbose : bool | None
        Whether to print a line for each epoch and a progress bar; None shows one bar for the
        training in a terminal or notebook when it takes long.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels.
    net_ : skorch.NeuralNet
        The trained net; its ``module_`` is a :class:`~mne_neurorvq.models.WindowModel`.
    history_ : list of dict
        For each epoch its number, ``train_loss``, ``seconds`` and, with validation,
        ``valid_loss`` and ``valid_balanced_accuracy``.
    n_trainable_parameters_ : int
        Numbers that were trained.
    channel_report_ : ChannelReport
        What happened to each channel of the data given to :meth:`fit`; it prints as a table.
    ch_names_ : tuple of str
        Channels of those data that the model uses, and sites computed from them.
    reference_ : str
        The reference of what the model is given.
    config_ : NeuroRVQConfig
        Structure of the model.
    segmentation_ : Segmentation
        How the windows of those data are cut.
    n_features_in_ : int
        Channels of those data (of a two-dimensional array: samples).

    See Also
    --------
    mne_neurorvq.NeuroRVQTransformer : Features for a classifier of your own.
    mne_neurorvq.load_estimator : Load what :meth:`save` wrote.

    Notes
    -----
    But for the head, the recipe is the one that the authors published [1]_, with class weights
    from the training trials only and a softmax for two classes as well; :meth:`published` has
    their head, too. Training depends neither on the order of the trials nor on whether one is
    given twice or with a weight of two. With ``finetune="head"`` a trial of 64 channels and 4 s
    is kept as 819 kB of features, 3 kB with ``head="mean"``.

    References
    ----------
    .. [1] K. Barmpas et al. (2025). NeuroRVQ: Multi-Scale EEG Tokenization for Generative Large
       Brainwave Models.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import NeuroRVQClassifier
    >>> y = np.tile(["left", "right"], 10)
    >>> X = 10 * np.random.default_rng(0).standard_normal((20, 2, 400))  # microvolts
    >>> X[y == "left", 0] *= 3
    >>> model = NeuroRVQClassifier("neurorvq-eeg-tiny-random", finetune="head", max_epochs=30,
    ...                            ch_names=["C3", "C4"], sfreq=200.0, random_state=0)
    >>> model.fit(X, y).score(X, y)
    1.0
    >>> model.predict_proba(X).shape, model.n_trainable_parameters_
    ((20, 2), 12802)
    """

    _system = "neurorvq"
    _published = _PUBLISHED

    def __init__(
        self,
        pretrained: str = "neurorvq-eeg-small",
        *,
        revision: str | None = None,
        finetune: Literal["full", "head", "lora"] = "full",
        head: Literal["mean", "flatten"] = "flatten",
        max_epochs: int = 20,
        batch_size: int = 32,
        lr: float = 5e-4,
        layer_decay: float = 0.975,
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
        model_sfreq: float | None = None,
        device: str = "auto",
        precision: Literal["auto", "float32", "bf16"] = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | None = None,
    ) -> None:
        set_parameters(self, locals())


class NeuroRVQRegressor(NumberTargets, FineTunedEstimator):
    """Fine-tune a pretrained NeuroRVQ model to predict a number for each trial.

    Targets are standardised by mean and standard deviation of the training trials and brought
    back in :meth:`predict`; the loss is the squared error.

    Parameters
    ----------
    pretrained, revision, finetune, head, max_epochs, batch_size, lr, layer_decay, weight_decay
        As in :class:`NeuroRVQClassifier`.
    warmup_epochs, lora_rank, validation_fraction, validation_groups, early_stopping, callbacks
        As in :class:`NeuroRVQClassifier`.
    channels, reference, unit, ch_names, sfreq, model_sfreq, device, precision
        As in :class:`NeuroRVQClassifier`.
    random_state, verbose
        As in :class:`NeuroRVQClassifier`.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; its ``module_`` is a :class:`~mne_neurorvq.models.WindowModel`.
    history_ : list of dict
        For each epoch its number, ``train_loss``, ``seconds`` and, with validation,
        ``valid_loss``; losses are those of standardised targets.
    n_trainable_parameters_, channel_report_, ch_names_, reference_, config_, segmentation_
        As in :class:`NeuroRVQClassifier`.
    n_features_in_
        As in :class:`NeuroRVQClassifier`.

    See Also
    --------
    mne_neurorvq.NeuroRVQClassifier : The same for classes.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq import NeuroRVQRegressor
    >>> rng = np.random.default_rng(0)
    >>> y = rng.uniform(1, 5, 40)
    >>> X = 10 * y[:, None, None] * rng.standard_normal((40, 1, 400))  # microvolts
    >>> model = NeuroRVQRegressor("neurorvq-eeg-tiny-random", finetune="head", max_epochs=60,
    ...                           lr=5e-3, ch_names=["Cz"], sfreq=200.0, random_state=0)
    >>> model.fit(X, y).score(X, y) > 0.5
    True
    """

    _system = "neurorvq"
    _published = _PUBLISHED

    def __init__(
        self,
        pretrained: str = "neurorvq-eeg-small",
        *,
        revision: str | None = None,
        finetune: Literal["full", "head", "lora"] = "full",
        head: Literal["mean", "flatten"] = "flatten",
        max_epochs: int = 20,
        batch_size: int = 32,
        lr: float = 5e-4,
        layer_decay: float = 0.975,
        weight_decay: float = 1e-2,
        warmup_epochs: float = 4,
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
        model_sfreq: float | None = None,
        device: str = "auto",
        precision: Literal["auto", "float32", "bf16"] = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | None = None,
    ) -> None:
        set_parameters(self, locals())
