# License: BSD-3-Clause
"""From trials to model input, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .channel_report import ChannelMatch, used_channels
from .resampling import resample
from .segments import Segmentation, cut, join
from .trials import Trials
from .units import unit_factor


def prepare(
    trials: Trials,
    matches: Sequence[ChannelMatch],
    segmentation: Segmentation,
    *,
    model_sfreq: float,
    model_unit: str,
    start: int = 0,
    stop: int | None = None,
) -> list[NDArray[np.float32]]:
    """Read some trials as float32 segments (n_trials, n_used, patches * patch_size) of a model.

    In this order: the matched channels are read, brought to the model's unit and rate in double
    precision, and cut into segments. What a trial becomes depends on no other trial.
    """
    data = read_signals(trials, matches, sfreq=model_sfreq, unit=model_unit, start=start, stop=stop)
    return cut(data.astype(np.float32), segmentation)


def read_signals(
    trials: Trials,
    matches: Sequence[ChannelMatch],
    *,
    sfreq: float,
    unit: str,
    start: int = 0,
    stop: int | None = None,
) -> NDArray[np.float64]:
    """Read the used channels of some trials in a unit and at a rate, float64."""
    picks, _ = used_channels(matches)
    factor = unit_factor(trials.unit, unit)
    data: NDArray[Any] = trials.read(start, stop, picks)
    if factor != 1:
        data = data * factor
    return resample(data, trials.sfreq, sfreq)


def restore(
    segments: Sequence[NDArray[np.floating]],
    segmentation: Segmentation,
    *,
    model_sfreq: float,
    model_unit: str,
    sfreq: float,
    n_times: int,
    unit: str = "V",
) -> NDArray[np.float64]:
    """Undo :func:`prepare`: join segments at the user's rate, length and unit, float64.

    >>> import numpy as np
    >>> from mne_neurorvq.signals import as_trials, match_channels, plan_segments
    >>> X = 10 * np.random.default_rng(0).standard_normal((2, 1, 250))
    >>> trials = as_trials(X, ch_names=["Cz"], sfreq=200.0)
    >>> plan = plan_segments(250, 1, patch_size=200, max_patches=256)
    >>> model = dict(model_sfreq=200.0, model_unit="uV")
    >>> segments = prepare(trials, match_channels(["Cz"], ["cz"]), plan, **model)
    >>> volts = restore(segments, plan, **model, sfreq=200.0, n_times=250)
    >>> bool(np.allclose(volts, 1e-6 * X))
    True
    """
    joined = join(segments, segmentation).astype(np.float64)
    resampled = resample(joined, model_sfreq, sfreq, n_times=n_times)
    return resampled * unit_factor(model_unit, unit)
