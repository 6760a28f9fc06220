# License: BSD-3-Clause
"""What BioCodec's estimators share: any montage, one segment of any length, one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._warnings import warn
from ..encoding.device import resolve_batch_size
from ..encoding.gathering import gather
from ..encoding.matched_trials import Batch, Inputs
from ..models import BioCodec
from ..signals import ChannelReport, Segmentation, Trials, unit_factor, use_channels
from ..signals.preparation import read_signals
from ..signals.resampling import resampled_length
from ..signals.robust_scaling import robust_statistics, scale_by
from ..weights.systems import Config
from .base import SignalEstimator, check_choice

#: Unit of centres and scales, and so of what is decoded.
UNIT = "uV"
# Series of a forward pass, and patches of all of them: more gain nothing.
_SERIES_PER_PASS = {"cpu": 64, "cuda": 4096}
_PATCHES_PER_SERIES = 125
# Trials that are read at a time to learn their scale.
_TRIALS_PER_READ = 64


@dataclass(frozen=True)
class CodecInputs(Inputs):
    """Trials whose channels are scaled one by one.

    Attributes
    ----------
    centre, scale : ndarray, shape (n_used,) | None
        What was learned for each channel, in microvolts; None if each trial is scaled by its own
        median and interquartile range.
    """

    centre: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None

    def read(self, start: int, n_trials: int) -> NDArray[np.float64]:
        """Read some trials.

        Parameters
        ----------
        start : int
            The first.
        n_trials : int
            How many; at the end there may be fewer.

        Returns
        -------
        ndarray, shape (n_trials, n_used, n_times)
            Microvolts at the model's rate.
        """
        stop = min(start + n_trials, len(self.trials))
        sfreq = self.config.sfreq
        return read_signals(
            self.trials, self.matches, sfreq=sfreq, unit=UNIT, start=start, stop=stop
        )

    def prepared(self, start: int, stop: int) -> Batch:
        """Prepare some trials for the codec.

        Parameters
        ----------
        start : int
            The first.
        stop : int
            One past the last.

        Returns
        -------
        list of ndarray
            Scaled signals ``(n_trials, n_used, n_times)``, of which the codec completes the last
            patch, and ``(n_trials, n_used, 2)``, centre and scale of each channel in microvolts.
        """
        data = self.read(start, stop - start)
        if self.centre is None or self.scale is None:
            centre, scale = robust_statistics(data)
        else:
            self._check_silence(data, start, self.scale)
            shape = data.shape[:2]
            # A silent channel may rest elsewhere than in fit: it comes back as it is.
            centre = np.where(self.scale == 0, np.median(data, axis=-1), self.centre)
            scale = np.broadcast_to(self.scale, shape)
        # In double precision until here: codes do not depend on the unit of the trials.
        scaled = scale_by(data, centre, scale).astype(np.float32)
        return [scaled, np.stack([centre, scale], axis=-1).astype(np.float32)]

    def _is_silent(self, batch: Batch) -> NDArray[np.bool_]:
        return np.asarray((batch[0] == 0).all(axis=(1, 2)))

    def _check_silence(
        self, data: NDArray[np.float64], start: int, scale: NDArray[np.float64]
    ) -> None:
        silent = np.flatnonzero(scale == 0)
        if not len(silent):
            return
        moving = robust_statistics(data[:, silent])[1] > 0
        if moving.any():
            trial, channel = np.argwhere(moving)[0]
            raise ValueError(
                f"Trial {start + trial}, channel {self.ch_names[silent[channel]]!r} moves, but was "
                "constant in all that fit saw: scaling='fit' has no scale for it. Fit again, or "
                "use scaling='trial'."
            )


class CodecEstimator(SignalEstimator):
    """Base of BioCodec's estimators, with the parameters ``scaling`` and ``levels``."""

    _system = "biocodec"
    # Each is coded alone, and its median is subtracted.
    _joint = False

    def _match(self, X: Any, config: Config) -> Inputs:
        self._levels(config.quantizer.n_levels)  # raises if there are no such levels
        return super()._match(X, config)

    def _choose_channels(self, trials: Trials, config: Any) -> tuple[ChannelReport, None]:
        report = use_channels(
            trials.ch_names,
            ch_types=trials.ch_types,
            bads=trials.bads,
            modality=config.modality,
        )
        return report, None

    def _plan(self, trials: Trials, config: Any, known: Segmentation | None = None) -> CodecInputs:
        unit_factor(trials.unit, UNIT)  # raises where there are no volts
        n_times = resampled_length(trials.n_times, trials.sfreq, config.sfreq)
        n_patches = -(-n_times // config.patch_size)
        padding = n_patches * config.patch_size - n_times
        segmentation = Segmentation(n_times, config.patch_size, (n_patches,), padding=padding)
        return CodecInputs(trials, self.channel_report_, segmentation, config)

    def _learn(self, inputs: Inputs, weights: NDArray[np.floating] | None = None) -> Inputs:
        """Learn the scale of each channel, unless every trial has its own."""
        self._fitted_scaling = self.scaling
        if self.scaling == "trial":
            return inputs
        assert isinstance(inputs, CodecInputs)
        n_trials = len(inputs.trials)
        starts = range(0, n_trials, _TRIALS_PER_READ)
        signals = gather((inputs.read(start, _TRIALS_PER_READ) for start in starts), n_trials)
        each = np.ones(n_trials) if weights is None else weights
        of_samples = np.repeat(each, signals.shape[-1])
        pairs = [
            robust_statistics(signals[:, channel].ravel(), of_samples)
            for channel in range(signals.shape[1])
        ]
        self.centre_, self.scale_ = (np.array(values) for values in zip(*pairs, strict=True))
        silent = [name for name, s in zip(inputs.ch_names, self.scale_, strict=True) if s == 0]
        if silent:
            warn(
                f"{', '.join(silent)} constant in all trials: scaling='fit' has no scale for them, "
                "and takes them for silent. Mark such channels as bad."
            )
        return replace(inputs, centre=self.centre_, scale=self.scale_)

    def _seen(self, X: Any) -> Inputs:
        if self.scaling != self._fitted_scaling:
            raise ValueError(
                f"fit was called with scaling={self._fitted_scaling!r}, but now it is "
                f"{self.scaling!r}: fit again."
            )
        inputs = super()._seen(X)
        if self.scaling == "trial":
            return inputs
        assert isinstance(inputs, CodecInputs)
        return replace(inputs, centre=self.centre_, scale=self.scale_)

    def _learned(self) -> dict[str, Any]:
        learned = super()._learned() | {"scaling": self._fitted_scaling}
        if self._fitted_scaling == "fit":
            learned |= {"centre": self.centre_.tolist(), "scale": self.scale_.tolist()}
        return learned

    def _recall(self, learned: dict[str, Any]) -> None:
        super()._recall(learned)
        self._fitted_scaling = learned["scaling"]
        if self._fitted_scaling == "fit":
            self.centre_, self.scale_ = np.array(learned["centre"]), np.array(learned["scale"])

    def _trials_per_pass(
        self, batch_size: int | str, n_channels: int, n_patches: int, device: torch.device
    ) -> int:
        series = _series_per_pass(n_patches, device)
        return resolve_batch_size(batch_size, n_channels, device, {"cpu": series})

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

    def _check_codec_parameters(self) -> None:
        self._check_signal_parameters()
        check_choice("scaling", self.scaling, ("trial", "fit"))


def narrow_type(n_codes: int) -> np.dtype[Any]:
    """Give the type of the fewest bytes that holds codes.

    Parameters
    ----------
    n_codes : int
        How many there are.

    Returns
    -------
    dtype
        Type of integers.
    """
    return np.dtype(np.int16 if n_codes <= 2**15 else np.int32)


def encode_series(codec: BioCodec, x: Tensor) -> tuple[Tensor, Tensor]:
    """Encode windows, not too many series at a time.

    Parameters
    ----------
    codec : BioCodec
        The codec.
    x : Tensor, shape (n_trials, n_channels, n_times)
        Scaled signals.

    Returns
    -------
    codes : Tensor, shape (n_trials, n_channels, n_patches, 1, n_levels)
        Codes, in as few bytes as hold them.
    side : Tensor, shape (n_trials, n_channels, 2)
        Centre and scale by which the codec itself has normalised each window.
    """
    n_patches = -(-x.shape[-1] // codec.config.patch_size)
    parts = x.flatten(0, 1)[None].split(_series_per_pass(n_patches, x.device), dim=1)
    narrow = getattr(torch, narrow_type(codec.config.quantizer.n_codes).name)
    codes, side = zip(*(codec.encode(part) for part in parts), strict=True)
    return _unflatten(codes, x.shape[:2]).to(narrow), _unflatten(side, x.shape[:2])


def decode_series(codec: BioCodec, codes: Tensor, side: Tensor) -> Tensor:
    """Decode windows, not too many series at a time.

    Parameters
    ----------
    codec : BioCodec
        The codec.
    codes : Tensor, shape (n_trials, n_channels, n_patches, 1, n_levels)
        Codes.
    side : Tensor, shape (n_trials, n_channels, 2)
        Centre and scale of each channel.

    Returns
    -------
    Tensor, shape (n_trials, n_channels, n_patches * patch_size)
        Signals.
    """
    series = _series_per_pass(codes.shape[2], codes.device)
    pairs = zip(
        codes.flatten(0, 1)[None].split(series, dim=1),
        side.flatten(0, 1)[None].split(series, dim=1),
        strict=True,
    )
    return _unflatten([codec.decode_codes(*pair) for pair in pairs], codes.shape[:2])


def _unflatten(parts: Sequence[Tensor], shape: torch.Size) -> Tensor:
    return torch.cat(list(parts), dim=1)[0].unflatten(0, shape)


def _series_per_pass(n_patches: int, device: torch.device) -> int:
    most = _SERIES_PER_PASS.get(device.type, _SERIES_PER_PASS["cpu"])
    return max(1, min(most, most * _PATCHES_PER_SERIES // n_patches))
