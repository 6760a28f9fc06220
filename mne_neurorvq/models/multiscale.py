# License: BSD-3-Clause
"""Losses of BioCodec: the waveform, and spectra at several resolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from .seanet import reflect_pad

BIOCODEC_LOSS_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"code": 0.25, "waveform": 0.2, "spectral": 1.0}
)

# From here on an error of the waveform counts linearly.
_BETA = 0.7
_PHASE_WEIGHT = 0.2
_STEPS_PER_WINDOW = 8


def spectrogram(series: Tensor, n_fft: int) -> Tensor:
    """Amplitude and phase over time.

    Parameters
    ----------
    series : Tensor, shape (n_series, n_times)
        Signals.
    n_fft : int
        Length of the Hann window; it moves on by an eighth.

    Returns
    -------
    Tensor, shape (n_series, 3, n_fft // 2 + 1, n_windows)
        ``log1p`` of the amplitude, and cosine and sine of the phase, both 0 where there is none.

    Raises
    ------
    ValueError
        If the signals are shorter than a step.
    """
    step = n_fft // _STEPS_PER_WINDOW
    if series.shape[-1] < step:
        raise ValueError(
            f"windows of {series.shape[-1]} samples are too short for a spectrum of n_fft={n_fft}: "
            f"they must have at least {step}."
        )
    margin = (n_fft - step) // 2
    spectrum = torch.stft(
        reflect_pad(series[:, None], margin, margin)[:, 0],
        n_fft,
        step,
        window=torch.hann_window(n_fft, device=series.device),
        center=False,
        return_complex=True,
    )
    amplitude = spectrum.abs()
    phase = spectrum / amplitude.clamp(min=1e-8)
    return torch.stack((amplitude.log1p(), phase.real, phase.imag), 1)


def biocodec_losses(x: Tensor, rebuilt: Tensor, n_ffts: Sequence[int]) -> dict[str, Tensor]:
    """Losses of a reconstruction, each a scalar and unweighted.

    Parameters
    ----------
    x, rebuilt : Tensor, shape (batch, n_chans, n_times)
        Signals and their reconstruction.
    n_ffts : sequence of int
        Window lengths of the spectra.

    Returns
    -------
    dict of str to Tensor
        ``waveform``: Huber loss that is linear beyond an error of 0.7, over 0.7.
        ``spectral``: mean absolute plus mean squared difference of the spectrograms (``log1p`` of
        the amplitude; cosine and sine of the phase, each times 0.2), summed over ``n_ffts``.

    References
    ----------
    BioCodec (2025, arXiv 2510.09095), section 2.2.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import BIOCODEC_LOSS_WEIGHTS
    >>> x = torch.randn(2, 3, 100)
    >>> losses = biocodec_losses(x, x, n_ffts=(32, 64))
    >>> float(sum(BIOCODEC_LOSS_WEIGHTS[name] * value for name, value in losses.items()))
    0.0
    """
    weights = x.new_tensor((1.0, _PHASE_WEIGHT, _PHASE_WEIGHT))[:, None, None]
    spectral = x.new_zeros(())
    for n_fft in n_ffts:
        wanted, found = (
            weights * spectrogram(signal.flatten(0, 1), n_fft) for signal in (x, rebuilt)
        )
        spectral = spectral + F.l1_loss(found, wanted) + F.mse_loss(found, wanted)
    return {"waveform": F.smooth_l1_loss(rebuilt, x, beta=_BETA), "spectral": spectral}
