# License: BSD-3-Clause
"""From trials to model input, and back."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .report import ChannelMatch, used_channels
from .resampling import resample
from .segments import Segmentation, cut, join
from .trials import Trials
from .units import check_scale, typical_deviation, unit_factor

_TRIALS_TO_JUDGE = 8
# Offsets beyond this many standard deviations make reconstructions plainly worse.
_LARGEST_OFFSET = 3.0
# Models square and sum in single precision: beyond this their codes and features are nonsense.
_LARGEST = 1e15


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
    data = resample(data, trials.sfreq, sfreq)
    peaks = np.abs(data).max(axis=-1)
    if peaks.max() > _LARGEST:
        trial, channel = np.argwhere(peaks > _LARGEST)[0]
        raise ValueError(
            f"Trial {start + trial}, channel {trials.ch_names[picks[channel]]!r} has values up to "
            f"{peaks[trial, channel]:.3g} {unit}, too large for single precision: check the unit "
            "and drop broken trials."
        )
    return data


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


def check_trials_scale(trials: Trials, matches: Sequence[ChannelMatch]) -> None:
    """Raise if the amplitude of trials only makes sense in another unit.

    A few trials, spread evenly over all, are read and judged together by :func:`check_scale`, so
    the verdict depends neither on batches nor on a single flat trial.

    Parameters
    ----------
    trials : Trials
        The trials.
    matches : sequence of ChannelMatch
        What :func:`match_channels` said about their channels; only used ones are judged.

    Raises
    ------
    ValueError
        As in :func:`check_scale`.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.signals import as_trials, match_channels
    >>> volts = 1e-5 * np.random.default_rng(0).standard_normal((5, 1, 200))
    >>> trials = as_trials(volts, ch_names=["Cz"], sfreq=200.0, unit="V")
    >>> check_trials_scale(trials, match_channels(["Cz"], ["cz"]))
    """
    check_scale(_some_trials(trials, matches), trials.unit)


def check_offset(trials: Trials, matches: Sequence[ChannelMatch]) -> None:
    """Warn if signals lie far from zero, as those of DC-coupled amplifiers do.

    Parameters
    ----------
    trials : Trials
        The trials; arrays, which need not be of a recording, always pass.
    matches : sequence of ChannelMatch
        What :func:`match_channels` said about their channels; only used ones are judged.

    Warns
    -----
    UserWarning
        If the mean of windows is more than 3 times their typical standard deviation.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.signals import as_trials, check_offset, match_channels
    >>> signals = 10 * np.random.default_rng(0).standard_normal((5, 1, 200))
    >>> trials = as_trials(signals, ch_names=["Cz"], sfreq=200.0)
    >>> check_offset(trials, match_channels(["Cz"], ["cz"]))
    """
    if trials.highpass is None:
        return
    data = _some_trials(trials, matches)
    # The median over trials: an artifact is no offset. One channel spoils the others' codes.
    means = np.median(np.abs(data.mean(axis=-1)), axis=0)
    offset, typical = float(np.sqrt(np.mean(means**2))), typical_deviation(data)
    if 0 < _LARGEST_OFFSET * typical < offset:
        warnings.warn(
            f"The signals lie {offset:.3g} {trials.unit} from zero, {offset / typical:.0f} times "
            "their standard deviation, but models are trained on high-passed signals: codes and "
            "features mean little. mne_neurorvq.preprocess(raw, pretrained) applies the model's "
            "filters.",
            UserWarning,
            stacklevel=3,
        )


def _some_trials(trials: Trials, matches: Sequence[ChannelMatch]) -> NDArray[np.float64]:
    """Read a few trials, spread evenly over all, from which to judge them."""
    picks, _ = used_channels(matches)
    some = np.unique(np.linspace(0, len(trials) - 1, _TRIALS_TO_JUDGE).round().astype(int))
    return np.concatenate([trials.read(int(i), int(i) + 1, picks) for i in some])
