# License: BSD-3-Clause
"""Spectra are invertible, and the losses are the formulas written out again in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mne_neurorvq.models import Spectrum, analyse, reconstruction_losses, synthesise
from mne_neurorvq.models.patch_tokenizer import standardise

SHAPE = (2, 3, 4, 16)


def _random(seed, scale=1.0, shape=SHAPE):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(2, 20)),
        elements=st.floats(-500, 500, width=32),
    )
)
def test_synthesis_inverts_analysis(x):
    x = torch.from_numpy(x)
    # The scale of rounding is that of the largest bin, which every sample of a patch shares.
    torch.testing.assert_close(synthesise(analyse(x)), x, rtol=0, atol=1e-5 * (1 + 500 * 16))


@pytest.mark.parametrize("scale", [1e-2, 1.0, 50.0])
def test_synthesis_is_accurate_at_the_scale_of_recordings(scale):
    x = _random(0, scale, (2, 8, 4, 200))
    torch.testing.assert_close(synthesise(analyse(x)), x, rtol=0, atol=2e-5 * max(scale, 1.0))


def test_analysis_is_the_transform_of_numpy():
    x = _random(1, 20.0)
    found = analyse(x)
    transform = np.fft.fft(x.double().numpy())
    log = np.log1p(np.abs(transform))
    flat = log.reshape(len(log), -1)
    mean, std = flat.mean(1), flat.std(1, ddof=1)
    np.testing.assert_allclose(found.side.numpy(), np.stack([mean, std], 1), rtol=1e-5)
    wanted = (log - mean[:, None, None, None]) / std[:, None, None, None]
    np.testing.assert_allclose(found.amplitude.numpy(), wanted, atol=1e-4)
    np.testing.assert_allclose(found.sin.numpy(), np.sin(np.angle(transform)), atol=1e-3)
    np.testing.assert_allclose(found.cos.numpy(), np.cos(np.angle(transform)), atol=1e-3)


def test_a_predicted_spectrum_off_the_circle_gives_the_real_part():
    predicted = Spectrum(_random(1), _random(2), _random(3), _random(4, shape=(2, 2)).abs())
    mean, std = predicted.side.double().numpy().T[:, :, None, None, None]
    modulus = np.expm1(predicted.amplitude.double().numpy() * std + mean)
    phase = predicted.cos.double().numpy() + 1j * predicted.sin.double().numpy()
    wanted = np.fft.ifft(modulus * phase).real
    np.testing.assert_allclose(synthesise(predicted).numpy(), wanted, atol=1e-5, rtol=1e-4)


def test_one_segment_does_not_depend_on_the_others():
    x = _random(5)
    for whole, part in zip(analyse(x), analyse(x[1:]), strict=True):
        torch.testing.assert_close(whole[1:], part)


def test_a_flat_signal_gives_finite_numbers():
    for value in analyse(torch.zeros(SHAPE)):
        assert bool(torch.isfinite(value).all())


def test_standardising_gives_mean_zero_and_unbiased_variance_one():
    x = 3.0 + 5.0 * _random(6)
    z, side = standardise(x)
    assert z.shape == x.shape
    torch.testing.assert_close(z.flatten(1).mean(1), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(z.flatten(1).var(1), torch.ones(2))
    torch.testing.assert_close(side[:, 1], x.flatten(1).std(1))


def test_losses_are_the_published_formulas():
    x = _random(7, 10.0)
    target = analyse(x)
    predicted = Spectrum(
        target.amplitude + _random(8, 0.3),
        torch.tanh(_random(9)),
        torch.tanh(_random(10)),
        target.side,
    )
    found = {
        name: float(value) for name, value in reconstruction_losses(target, predicted, x).items()
    }
    t, p = ({k: v.double().numpy() for k, v in s._asdict().items()} for s in (target, predicted))
    dot = t["cos"] * p["cos"] + t["sin"] * p["sin"]
    radius = np.hypot(p["cos"], p["sin"])
    cosine = dot / (radius * np.hypot(t["cos"], t["sin"]))
    rebuilt, signal = synthesise(predicted).double().numpy(), x.double().numpy()

    def z(v):
        flat = v.reshape(len(v), -1)
        return (flat - flat.mean(1, keepdims=True)) / flat.std(1, ddof=1, keepdims=True)

    variance = signal.reshape(2, -1).var(1, ddof=1)[:, None, None, None]
    wanted = {
        "amplitude": ((t["amplitude"] - p["amplitude"]) ** 2).mean(),
        "phase": 1 - cosine.mean() + 0.1 * ((radius**2 - 1) ** 2).mean(),
        "signal": ((z(rebuilt) - z(signal)) ** 2).mean(),
        "waveform": ((rebuilt - signal) ** 2 / variance).mean(),
    }
    assert found == pytest.approx(wanted, rel=1e-4)


def test_a_perfect_prediction_costs_nothing():
    x = _random(11, 10.0)
    target = analyse(x)
    for value in reconstruction_losses(target, target, x).values():
        assert float(value) == pytest.approx(0.0, abs=1e-6)


def test_only_the_waveform_term_sees_the_amplitude():
    x = _random(12, 10.0)
    target = analyse(x)
    small = Spectrum(target.amplitude, 0.5 * target.sin, 0.5 * target.cos, target.side)
    losses = reconstruction_losses(target, small, x)
    assert float(losses["signal"]) == pytest.approx(0.0, abs=1e-6)
    assert float(losses["waveform"]) == pytest.approx(0.25, rel=0.02)
