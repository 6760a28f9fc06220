# License: BSD-3-Clause
"""NeuroRVQ as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .foundation import FoundationTransformer


class NeuroRVQTransformer(FoundationTransformer):
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
    pool : "mean" | "channel" | "time" | "none" | "keep_channels"
        What embeddings and histograms are averaged over: channels and patches, channels, patches,
        or nothing. ``"keep_channels"`` is another name of ``"time"``: every channel keeps columns
        of its own. Tokens are not pooled.
    channels : "match" | "strict" | "nearest" | "interpolate"
        What to do with channels that the model does not know: leave them out with a warning,
        raise, take each for the nearest free site, or compute free sites from all electrodes by
        MNE's splines; see :doc:`/signals`.
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
        Channels of those data that the model uses, and sites computed from them.
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
    something happened: ``pool="keep_channels"`` did better in the trial that
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

    def _embedding_names(self) -> list[str]:
        config = self._model("foundation").config
        scales = range(config.quantizer.n_codebooks)
        return [f"scale{scale}_{i}" for scale in scales for i in range(config.embed_dim)]

    def _axes_of_side(self, n_channels: int, segments: tuple[int, ...]) -> tuple[int, ...]:
        return (len(segments),)

    def _join_sides(self, sides: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(sides), dim=1)

    def _split_side(self, side: Tensor, segments: tuple[int, ...]) -> Sequence[Tensor]:
        return side.unbind(1)
