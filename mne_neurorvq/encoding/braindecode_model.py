# License: BSD-3-Clause
"""A pretrained model as a module of braindecode: windows of any montage, rate and length."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any, Literal

import mne
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._references import Reference
from ..models import WindowModel
from ..models.signature import ChannelsInfo, window_samples
from ..signals import ChannelReport, Trials, as_trials
from ..signals.channels import ChannelMode
from ..signals.reference import with_reference
from ..signals.resampling import cut, resample
from ..signals.splines import with_sites
from ..signals.units import unit_factor
from ..weights import load_pretrained
from .matched_trials import MatchedTrials, match

_OF_A_CHANNEL = ("kind", "coil_type", "unit", "loc", "coord_frame")


class BraindecodeModel(WindowModel):
    """A pretrained foundation model with a head, for windows as they were recorded.

    A torch module with the constructor arguments of braindecode's models. What the estimators do
    to trials (reference, channels, sampling rate, segments) is linear where no electrode is broken,
    and so is part of the module as two fixed matrices.

    Parameters
    ----------
    n_outputs : int
        Outputs of the head.
    n_chans : int | None
        Number of channels, if it is to be checked.
    chs_info : list of dict
        Channels as in MNE's ``info["chs"]``; names are enough.
    n_times, input_window_seconds : int, float | None
        Length of the windows in samples or seconds, one of them at least.
    sfreq : float | None
        Their sampling rate in Hz; None is that of the model.
    pretrained : str
        Name of a model with a foundation model, or path of one.
    head : "flatten" | "mean"
        Whether the head sees the features of all channels and patches in a row, or their mean.
    channels, reference
        As in :class:`NeuroRVQTransformer`.

    Attributes
    ----------
    channel_report : ChannelReport
        What happened to each channel.

    Raises
    ------
    ValueError
        If channels or length are not given or contradict each other, no channel matches, or the
        model has no foundation model.

    Notes
    -----
    Windows are in microvolts, which is not checked. An average reference is that of all electrodes:
    unlike an estimator, a fixed matrix cannot leave out one that is broken in a window. The
    parameters of the trunk start with
    ``foundation.encoder.``, those of the head with ``final_layer.``. The fixed matrices are not in
    the state dict, so that weights can be moved between data of different montages.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq import BraindecodeModel
    >>> model = BraindecodeModel(
    ...     n_outputs=2, chs_info=[{"ch_name": name} for name in ["C3", "Cz", "C4"]], n_times=300,
    ...     sfreq=100.0, pretrained="neurorvq-eeg-tiny-random", reference="recorded")
    >>> model(torch.randn(5, 3, 300)).shape
    torch.Size([5, 2])
    """

    mixing: Tensor
    resampling: Tensor

    def __init__(
        self,
        n_outputs: int,
        n_chans: int | None = None,
        chs_info: ChannelsInfo | None = None,
        n_times: int | None = None,
        input_window_seconds: float | None = None,
        sfreq: float | None = None,
        *,
        pretrained: str = "neurorvq-eeg-small",
        head: Literal["mean", "flatten"] = "flatten",
        channels: ChannelMode = "match",
        reference: Reference | None = None,
    ) -> None:
        loaded: Any = load_pretrained(pretrained)
        foundation = loaded.require("foundation", loaded.config.system)
        foundation.masked_tokens = foundation.final_layer = None
        sfreq = loaded.config.sfreq if sfreq is None else float(sfreq)
        length = window_samples(sfreq, n_times, input_window_seconds, None)
        if chs_info is None or length is None:
            raise ValueError("give chs_info, and n_times or input_window_seconds.")
        if n_chans is not None and n_chans != len(chs_info):
            raise ValueError(f"n_chans={n_chans} but chs_info describes {len(chs_info)} channels.")
        noise = 10 * np.random.default_rng(0).standard_normal((1, len(chs_info), length))
        trials = _as_recorded(chs_info, noise, sfreq)
        fitted, matched = match(trials, loaded.config, channels, reference)
        super().__init__(
            foundation,
            n_outputs,
            torch.tensor(matched.used[1]),
            matched.segmentation.segments,
            matched.segmentation.weights.tolist(),
            head,
        )
        self.n_chans, self.n_times, self.sfreq = len(chs_info), length, sfreq
        self.channel_report: ChannelReport = fitted.report
        pulses = _as_recorded(chs_info, np.eye(len(chs_info))[..., None], sfreq)
        if fitted.rereference is not None:
            pulses = with_reference(pulses, fitted.rereference)
        if fitted.splines is not None:
            pulses = with_sites(pulses, fitted.splines)
        factor = unit_factor("uV", loaded.config.signal_unit)
        mixing = factor * pulses.read(picks=matched.used[0])[..., 0].T
        self.register_buffer("mixing", torch.tensor(mixing, dtype=torch.float32), False)
        self.register_buffer("resampling", torch.tensor(_in_time(matched)), False)

    def prepared(self, x: Tensor) -> Tensor:
        """Bring windows to the reference, channels, rate and segments of the model.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows as recorded, in microvolts.

        Returns
        -------
        Tensor, shape (batch, n_used, n_patches * patch_size)
            What :class:`~mne_neurorvq.models.WindowModel` takes.
        """
        if x.shape[1:] != (self.n_chans, self.n_times):
            raise ValueError(
                f"x must be (batch, {self.n_chans}, {self.n_times}), got shape {tuple(x.shape)}."
            )
        return (self.mixing @ x) @ self.resampling

    def forward(  # type: ignore[override]
        self, x: Tensor, return_features: bool = False
    ) -> Tensor | dict[str, Tensor | None]:
        """Return the outputs of the head, or the features.

        Parameters
        ----------
        x : Tensor, shape (batch, n_chans, n_times)
            Windows as recorded, in microvolts.
        return_features : bool
            Whether to return features instead of outputs.

        Returns
        -------
        Tensor, shape (batch, n_outputs) | dict
            Outputs; or ``"features"``, shape ``(batch, n_used, n_patches, feature_dim)``, and
            ``"cls_token"``, None.
        """
        x = self.prepared(x)
        if not return_features:
            return super().forward(x)
        segments = x.split(self.segments, dim=-1)
        features = self.foundation.embed_segments(segments, self.channel_ids)
        return {"features": features, "cls_token": None}


def _as_recorded(chs_info: ChannelsInfo, data: NDArray[np.float64], sfreq: float) -> Trials:
    """Trials in microvolts of channels that MNE describes, or that have names only."""
    names = [str(channel["ch_name"]) for channel in chs_info]
    trials = as_trials(data, ch_names=names, sfreq=sfreq)
    # braindecode also writes kinds as words.
    if not all(isinstance(channel.get("kind"), Integral) for channel in chs_info):
        return trials
    info = mne.create_info(names, sfreq, "misc", verbose="error")
    with info._unlock():
        for own, channel in zip(info["chs"], chs_info, strict=True):
            own.update({key: channel[key] for key in _OF_A_CHANNEL if key in channel})
    return replace(trials, info=info, ch_types=tuple(info.get_channel_types()))


def _in_time(matched: MatchedTrials) -> NDArray[np.float32]:
    """Weights ``(n_times, n_patches * patch_size)`` of samples in the segments of the model."""
    trials = matched.trials
    pulses = resample(np.eye(trials.n_times), trials.sfreq, matched.config.sfreq)
    segments = cut(pulses[:, None], matched.segmentation)
    return np.concatenate(segments, axis=-1)[:, 0].astype(np.float32)
