# License: BSD-3-Clause
"""From windows to segments at a model's rate, and back.

A polyphase filter, unlike a Fourier transform, computes each channel of each trial alone and in the
same order of operations, so that a trial gives the same bits in any batch, and samples keep their
times even if the window is not a whole number of new samples long.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin, resample_poly
from scipy.sparse import csr_array

from .._rates import same_rate
from .segments import Segmentation
from .units import unit_factor

# Ratios of rates that are simple fractions to within one part in 10^8 (3 us in five minutes) get a
# kernel as long as the denominator. Others, such as that of 199.99 Hz to 200 Hz, get the nearest of
# so many phases between two samples of the lower rate: an error below 70 dB.
_DENOMINATORS = (10, 100, 1_000, 10_000)
_SIMPLE = 1e-8
_PHASES = 8192
# Weights in memory at a time.
_WEIGHTS = 2**21
# Zero crossings on each side of the sinc kernel and its Kaiser parameter: 60 dB, with a transition
# that starts 9 % below the lower Nyquist frequency (44.5 Hz survive in recordings at 100 Hz).
_ZERO_CROSSINGS = 20
_KAISER_BETA = 5.65


def resampled_length(n_times: int, sfreq: float, target_sfreq: float) -> int:
    """Count the samples after resampling: the nearest whole number, at least 1."""
    if n_times < 1:
        raise ValueError(f"n_times={n_times} must be at least 1.")
    ratio = _ratio(sfreq, target_sfreq)
    return max(1, int(n_times * ratio + Fraction(1, 2)))


def resample(
    data: NDArray[np.floating],
    sfreq: float,
    target_sfreq: float,
    *,
    n_times: int | None = None,
) -> NDArray[np.float64]:
    """Bring windows to another sampling rate.

    Zero-phase polyphase filtering with a windowed sinc of 20 zero crossings a side, cut off at the
    lower of the two Nyquist frequencies. The edges are continued by odd reflection. The times of
    samples do not change: sample ``k`` of the result lies ``k / target_sfreq`` after the first.

    Parameters
    ----------
    data : array, shape (..., n_times)
        Windows at ``sfreq``.
    sfreq : float
        Their sampling rate in Hz.
    target_sfreq : float
        The new sampling rate in Hz.
    n_times : int | None
        Samples wanted, by default the nearest whole number. To undo a resampling, pass the original
        number of samples.

    Returns
    -------
    data : array, shape (..., n_times)
        Windows at ``target_sfreq``, float64; ``data`` itself if it needs no change.

    Raises
    ------
    ValueError
        If there are no samples, a rate is not a positive number, or ``n_times`` is not the length
        of the window to within a sample of the lower rate.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurorvq.signals import resample
    >>> window = np.sin(2 * np.pi * 10 * np.arange(640) / 160)
    >>> there = resample(window, 160.0, 200.0)
    >>> there.shape
    (800,)
    >>> back = resample(there, 200.0, 160.0, n_times=640)
    >>> bool(np.abs(back - window).max() < 0.01)
    True
    """
    length = data.shape[-1]
    natural = resampled_length(length, sfreq, target_sfreq)
    ratio = _ratio(sfreq, target_sfreq)
    if n_times is None:
        n_times = natural
    elif n_times < 1 or abs(n_times - natural) > max(float(ratio), 1.0):
        raise ValueError(
            f"n_times={n_times} contradicts {length} samples resampled from {sfreq:g} Hz to "
            f"{target_sfreq:g} Hz, which are {natural}."
        )
    samples: NDArray[np.float64] = np.asarray(data, dtype=np.float64)
    if ratio == 1 and n_times == length:
        return samples
    up, down = ratio.numerator, ratio.denominator
    if up == down or max(up, down) > _DENOMINATORS[-1]:
        return _interpolate(samples, ratio, n_times)
    kernel = _kernel(up, max(up, down))
    reach = -(-(len(kernel) // 2) // up)
    before = 0
    if length <= reach:
        # Too short for one reflection: SciPy would reflect again and again. Whole periods of both
        # rates come before the window, so that its first sample stays on the grid.
        before = down * -(-reach // down)
    if before or n_times > -(-length * up // down):
        samples = _reflect(samples, before, reach + 2 * -(-max(up, down) // up))
    resampled = resample_poly(samples, up, down, axis=-1, window=kernel / up, padtype="antireflect")
    first = before * up // down
    return np.ascontiguousarray(resampled[..., first : first + n_times])


def cut(data: NDArray[Any], segmentation: Segmentation) -> list[NDArray[Any]]:
    """Cut windows (n_trials, n_channels, n_times) into contiguous segments.

    >>> from mne_neurorvq.signals import plan_segments
    >>> plan = plan_segments(5, 1, patch_size=2, max_patches=2)
    >>> [s.tolist() for s in cut(np.arange(5).reshape(1, 1, 5), plan)]
    [[[[0, 1, 2, 3]]], [[[3, 4]]]]
    """
    if data.ndim != 3 or data.shape[-1] != segmentation.n_times:
        raise ValueError(
            f"data has shape {data.shape}; (n_trials, n_channels, {segmentation.n_times}) was "
            "planned for."
        )
    if segmentation.padding:
        data = np.pad(data, [(0, 0), (0, 0), (0, segmentation.padding)], mode="reflect")
    size = segmentation.patch_size
    stops = np.cumsum(segmentation.segments) * size
    starts = stops - np.array(segmentation.segments) * size
    if not segmentation.overlap:
        return [np.ascontiguousarray(data[..., a:b]) for a, b in zip(starts, stops, strict=True)]
    parts = [
        np.ascontiguousarray(data[..., a:b]) for a, b in zip(starts[:-1], stops[:-1], strict=True)
    ]
    whole = data[..., starts[-1] : stops[-1] - size]
    return [*parts, np.concatenate([whole, data[..., -size:]], axis=-1)]


def join(segments: Sequence[NDArray[Any]], segmentation: Segmentation) -> NDArray[Any]:
    """Undo :func:`cut`; of a last patch that overlaps only the new samples are taken."""
    size = segmentation.patch_size
    lengths = tuple(segment.shape[-1] for segment in segments)
    planned = tuple(k * size for k in segmentation.segments)
    if lengths != planned:
        raise ValueError(f"Segments have {lengths} samples; {planned} were planned.")
    parts = list(segments)
    if segmentation.overlap:
        last = parts.pop()
        parts += [last[..., :-size], last[..., last.shape[-1] - size + segmentation.overlap :]]
    return np.concatenate(parts, axis=-1)[..., : segmentation.n_times]


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
    """Join segments of a model, and bring them to the user's rate, length and unit, float64.

    >>> from mne_neurorvq.signals import plan_segments
    >>> plan = plan_segments(250, 1, patch_size=200, max_patches=256)
    >>> X = 10 * np.random.default_rng(0).standard_normal((2, 1, 250))
    >>> there_and_back = {"model_sfreq": 200.0, "model_unit": "uV", "sfreq": 200.0}
    >>> volts = restore(cut(X, plan), plan, **there_and_back, n_times=250)
    >>> bool(np.allclose(volts, 1e-6 * X))
    True
    """
    joined = join(segments, segmentation).astype(np.float64)
    resampled = resample(joined, model_sfreq, sfreq, n_times=n_times)
    return resampled * unit_factor(model_unit, unit)


@lru_cache(maxsize=64)
def _ratio(sfreq: float, target_sfreq: float) -> Fraction:
    """Give the ratio of rates: a simple fraction where there is one, otherwise the exact one."""
    for rate in (sfreq, target_sfreq):
        if not (np.isfinite(rate) and rate > 0):
            raise ValueError(f"The sampling rate {rate} must be a positive number of Hz.")
    if same_rate(sfreq, target_sfreq):
        return Fraction(1)
    if sfreq > target_sfreq:
        return 1 / _ratio(target_sfreq, sfreq)
    inverse = Fraction(float(sfreq)) / Fraction(float(target_sfreq))
    for largest in _DENOMINATORS:
        simple = inverse.limit_denominator(largest)
        if abs(simple - inverse) <= _SIMPLE * inverse:
            return 1 / simple
    if simple == 0:
        raise ValueError(
            f"Rates of {sfreq:g} Hz and {target_sfreq:g} Hz differ by more than "
            f"{_DENOMINATORS[-1]} times: check sfreq."
        )
    return 1 / inverse


def _interpolate(
    samples: NDArray[np.float64], ratio: Fraction, n_times: int
) -> NDArray[np.float64]:
    """Weigh the samples around each new one by the phase of the kernel that is nearest to it."""
    lower = min(1.0, float(ratio))
    n_phases = max(1, round(_PHASES * lower))
    kernel = _kernel(n_phases, round(n_phases / lower))
    table = np.pad(kernel, (0, -len(kernel) % n_phases)).reshape(-1, n_phases)
    width, half = len(table), len(kernel) // 2
    places = np.rint(np.arange(n_times) * (n_phases / float(ratio))).astype(np.int64) + half
    newest, phases = np.divmod(places, n_phases)
    padded = _reflect(samples, width, max(0, int(newest[-1]) + 1 - samples.shape[-1]))
    rows = padded.reshape(-1, padded.shape[-1])
    resampled = np.empty((len(rows), n_times))
    step = max(1, _WEIGHTS // width)
    for start in range(0, n_times, step):
        part = slice(start, start + step)
        first = newest[part][0]
        ages = newest[part, None] - first + width - np.arange(width)
        bounds = np.arange(len(ages) + 1) * width
        weights = csr_array((table[:, phases[part]].T.ravel(), ages.ravel(), bounds))
        resampled[:, part] = (weights @ rows[:, first : first + weights.shape[1]].T).T
    return resampled.reshape(*samples.shape[:-1], n_times)


@lru_cache(maxsize=16)
def _kernel(up: int, widest: int) -> NDArray[np.float64]:
    """Make a sinc of ``up`` phases, cut off at one part in ``widest`` of its Nyquist frequency."""
    taps = 2 * _ZERO_CROSSINGS * widest + 1
    kernel: NDArray[np.float64] = firwin(taps, 1 / widest, window=("kaiser", _KAISER_BETA))
    for phase in range(up):
        # An offset passes unchanged in every phase: the stop-band ripple would otherwise turn the
        # 50 mV of a DC-coupled amplifier into waves of 10 uV.
        kernel[phase::up] /= kernel[phase::up].sum()
    kernel.flags.writeable = False
    return kernel


def _reflect(data: NDArray[np.float64], before: int, after: int) -> NDArray[np.float64]:
    """Continue both edges by one odd reflection, then by the value reached.

    Repeated reflection would let the ends of very short windows run away.
    """
    widths = [(0, 0)] * (data.ndim - 1)
    most = data.shape[-1] - 1
    if most:
        near = (min(before, most), min(after, most))
        data = np.pad(data, [*widths, near], mode="reflect", reflect_type="odd")
        before, after = before - near[0], after - near[1]
    return np.pad(data, [*widths, (before, after)], mode="edge")
