# License: BSD-3-Clause
"""Targets, synthesis and losses of NeuroRVQ: log amplitude, phase and waveform of each patch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Spectrum(NamedTuple):
    """Two-sided spectrum of every patch.

    Parameters
    ----------
    amplitude : Tensor, shape (batch, n_chans, n_patches, patch_size)
        ``log1p`` of the modulus, standardised over the segment.
    sin, cos : Tensor, shape (batch, n_chans, n_patches, patch_size)
        Sine and cosine of the phase.
    side : Tensor, shape (batch, 2)
        Mean and standard deviation of the log amplitude of each segment.

    Examples
    --------
    >>> import torch
    >>> from mne_neurorvq.models import analyse
    >>> spectrum = analyse(torch.randn(2, 3, 4, 16))
    >>> spectrum.amplitude.shape, spectrum.side.shape
    (torch.Size([2, 3, 4, 16]), torch.Size([2, 2]))
    """

    amplitude: Tensor
    sin: Tensor
    cos: Tensor
    side: Tensor


def standardise(x: Tensor) -> tuple[Tensor, Tensor]:
    """Zero mean and unit variance over all but the first axis.

    Parameters
    ----------
    x : Tensor, shape (batch, ...)
        Values of each segment.

    Returns
    -------
    standardised : Tensor, shape (batch, ...)
        Standardised values.
    side : Tensor, shape (batch, 2)
        Mean and (unbiased) standard deviation.
    """
    flat = x.flatten(1)
    var, mean = torch.var_mean(flat, dim=1, keepdim=True)
    std = var.clamp(min=1e-8).sqrt()
    return ((flat - mean) / std).view_as(x), torch.cat((mean, std), dim=1)


def analyse(patches: Tensor) -> Spectrum:
    """Spectrum of patches, the target of the decoder.

    Parameters
    ----------
    patches : Tensor, shape (batch, n_chans, n_patches, patch_size)
        Samples.

    Returns
    -------
    Spectrum
        Standardised log amplitude, phase and the two statistics.

    Examples
    --------
    >>> import torch
    >>> spectrum = analyse(torch.randn(2, 3, 4, 16))
    >>> bool(torch.allclose(spectrum.sin**2 + spectrum.cos**2, torch.ones(1)))
    True
    """
    spectrum = torch.fft.fft(patches)
    amplitude, side = standardise(spectrum.abs().log1p())
    phase = spectrum.angle()
    return Spectrum(amplitude, phase.sin(), phase.cos(), side)


def synthesise(spectrum: Spectrum) -> Tensor:
    """Invert :func:`analyse`.

    Parameters
    ----------
    spectrum : Spectrum
        Possibly predicted: the phase need not lie on the unit circle nor the spectrum be
        Hermitian; the real part is taken.

    Returns
    -------
    Tensor, shape (batch, n_chans, n_patches, patch_size)
        Samples.

    Examples
    --------
    >>> import torch
    >>> x = torch.randn(2, 3, 4, 16)
    >>> bool(torch.allclose(synthesise(analyse(x)), x, atol=1e-4))
    True
    """
    mean, std = spectrum.side[:, 0, None, None, None], spectrum.side[:, 1, None, None, None]
    modulus = torch.expm1(spectrum.amplitude * std + mean)
    return torch.fft.ifft(torch.complex(modulus * spectrum.cos, modulus * spectrum.sin)).real


def reconstruction_losses(target: Spectrum, predicted: Spectrum, x: Tensor) -> dict[str, Tensor]:
    """Losses of the decoder, each a scalar and unweighted.

    Parameters
    ----------
    target, predicted : Spectrum
        Spectrum of the input and of the decoder.
    x : Tensor, shape (batch, n_chans, n_patches, patch_size)
        The input.

    Returns
    -------
    dict of str to Tensor
        ``amplitude``: mean squared error of the standardised log amplitude.
        ``phase``: one minus the mean cosine between the (cos, sin) vectors, plus 0.1 times the
        mean squared distance of the squared radius from 1.
        ``signal``: mean squared error of the segment-wise standardised signals.
        ``waveform``: mean squared error of the signals over the variance of the input; unlike
        the published terms it sees the amplitude.

    References
    ----------
    Barmpas et al., "NeuroRVQ" (2025), training objective, for the first three.

    Examples
    --------
    >>> import torch
    >>> x = torch.randn(2, 3, 4, 16)
    >>> target = analyse(x)
    >>> sorted(reconstruction_losses(target, target, x))
    ['amplitude', 'phase', 'signal', 'waveform']
    """
    circle = torch.stack((target.cos, target.sin), -1)
    guess = torch.stack((predicted.cos, predicted.sin), -1)
    radius = guess.square().sum(-1)
    phase = 1 - F.cosine_similarity(guess, circle, dim=-1).mean()
    rebuilt = synthesise(predicted)
    scale = x.flatten(1).var(dim=1).clamp(min=1e-8)[:, None, None, None]
    return {
        "amplitude": F.mse_loss(predicted.amplitude, target.amplitude),
        "phase": phase + 0.1 * (radius - 1).square().mean(),
        "signal": F.mse_loss(standardise(rebuilt)[0], standardise(x)[0]),
        "waveform": ((rebuilt - x).square() / scale).mean(),
    }
