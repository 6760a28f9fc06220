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
    """Read some trials and make them what a model eats.

    In this order: the matched channels are read, brought to the model's unit and rate in double
    precision, and cut into segments. What a trial becomes depends on no other trial.

    Parameters
    ----------
    trials : Trials
        The trials.
    matches : sequence of ChannelMatch
        What :func:`match_channels` said about their channels.
    segmentation : Segmentation
        What :func:`plan_segments` said about ``resampled_length(trials.n_times, ...)`` samples.
    model_sfreq : float
        The model's sampling rate in Hz.
    model_unit : str
        The model's unit.
    start : int
        The first trial.
    stop : int | None
        One past the last trial; by default to the end.

    Returns
    -------
    segments : list of array, each of shape (stop - start, n_used, patches * patch_size)
        One float32 array per segment, channels in the order of :func:`used_channels`.

    Raises
    ------
    ValueError
        If a sample is not finite or too large for single precision, or the plan is for another
        length.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.signals import as_trials, match_channels, plan_segments
    >>> X = 10 * np.random.default_rng(0).standard_normal((2, 2, 640))
    >>> trials = as_trials(X, ch_names=["C3", "Cz"], sfreq=160.0)
    >>> matches = match_channels(trials.ch_names, ["c3", "cz"])
    >>> plan = plan_segments(800, 2, patch_size=200, max_patches=256)
    >>> [s.shape for s in prepare(trials, matches, plan, model_sfreq=200.0, model_unit="uV")]
    [(2, 2, 800)]
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
    """Read the used channels of some trials in a certain unit and at a certain rate.

    Parameters
    ----------
    trials : Trials
        The trials.
    matches : sequence of ChannelMatch
        Which channels are used.
    sfreq : float
        Sampling rate wanted, in Hz.
    unit : str
        Unit wanted.
    start : int
        The first trial.
    stop : int | None
        One past the last trial; by default to the end.

    Returns
    -------
    array, shape (stop - start, n_used, n_times)
        Signals in double precision, channels in the order of :func:`used_channels`.

    Raises
    ------
    ValueError
        If a sample is not finite, or too large for a model that computes in single precision.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.signals import as_trials, read_signals, use_channels
    >>> volts = 1e-5 * np.random.default_rng(0).standard_normal((2, 1, 640))
    >>> trials = as_trials(volts, ch_names=["Cz"], sfreq=160.0, unit="V")
    >>> read_signals(trials, use_channels(trials.ch_names), sfreq=250.0, unit="uV").shape
    (2, 1, 1000)
    """
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
    """Undo :func:`prepare`: join a model's segments at the user's rate, length and unit.

    Parameters
    ----------
    segments : sequence of array, each of shape (n_trials, n_channels, patches * patch_size)
        Segments in the model's unit.
    segmentation : Segmentation
        The plan by which they were cut.
    model_sfreq : float
        The model's sampling rate in Hz.
    model_unit : str
        The model's unit.
    sfreq : float
        The user's sampling rate in Hz.
    n_times : int
        Samples that the user's trials had.
    unit : str
        Unit wanted.

    Returns
    -------
    data : array, shape (n_trials, n_channels, n_times)
        Signals in ``unit``, float64.

    Examples
    --------
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
