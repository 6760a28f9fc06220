# License: BSD-3-Clause
"""Targets, signals and losses of the two domains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mne_neurorvq.models import BRAINRVQ_EEG, DualView, analyse_dual, dual_losses, synthesise_dual

ANGLE = replace(BRAINRVQ_EEG, phase="angle")
ONE_BOOK = replace(BRAINRVQ_EEG.quantizer, n_codebooks=1)
TIME, FREQUENCY = (
    replace(BRAINRVQ_EEG, domains=(domain,), quantizer=ONE_BOOK) for domain in ("time", "frequency")
)


def _patches(seed=0, scale=0.3):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(2, 3, 4, 200, generator=generator) + 0.1


@pytest.mark.parametrize("config", [BRAINRVQ_EEG, ANGLE, TIME, FREQUENCY])
def test_a_view_of_a_signal_is_synthesised_to_it(config):
    x = _patches()
    torch.testing.assert_close(synthesise_dual(analyse_dual(x, config)), x, atol=1e-5, rtol=1e-5)


def test_side_information_is_the_mean_and_deviation_of_each_patch():
    x = _patches()
    for config in (BRAINRVQ_EEG, ANGLE, TIME):
        side = analyse_dual(x, config).side.numpy()
        np.testing.assert_allclose(side[..., 0], x.numpy().mean(-1), atol=1e-6)
        np.testing.assert_allclose(side[..., 1], x.numpy().std(-1, ddof=1), atol=1e-6)


def test_without_the_time_domain_it_is_that_of_the_modulus_of_the_window():
    x = _patches()
    side, modulus = analyse_dual(x, FREQUENCY).side, np.abs(np.fft.fft(x.numpy())).reshape(2, -1)
    assert side.shape == (2, 3, 4, 2)
    assert torch.equal(side, side[:, :1, :1].expand_as(side))
    np.testing.assert_allclose(side[:, 0, 0, 0], modulus.mean(-1), rtol=1e-5)
    np.testing.assert_allclose(side[:, 0, 0, 1], modulus.std(-1, ddof=1), rtol=1e-5)


def test_only_the_domains_of_the_configuration_are_there():
    x = _patches()
    time, frequency = analyse_dual(x, TIME), analyse_dual(x, FREQUENCY)
    assert time.amplitude is time.phase is frequency.waveform is None
    assert set(dual_losses(time, time)) == {"waveform"}
    assert set(dual_losses(frequency, frequency)) == {"amplitude", "phase"}


def test_the_losses_are_those_of_the_formulas():
    target, predicted = analyse_dual(_patches(), BRAINRVQ_EEG), analyse_dual(_patches(1), ANGLE)
    generator = torch.Generator().manual_seed(2)
    guess = torch.randn(target.phase.shape, generator=generator)
    losses = dual_losses(target, predicted._replace(phase=guess))
    for name in ("waveform", "amplitude"):
        apart = (getattr(target, name) - getattr(predicted, name)).numpy()
        assert float(losses[name]) == pytest.approx(float((apart**2).mean()), rel=1e-5)
    wanted = np.linalg.norm((guess - target.phase).numpy(), axis=-1)
    wanted = (wanted**2).mean()
    assert float(losses["phase"]) == pytest.approx(float(wanted), rel=1e-5)
    raw = dual_losses(analyse_dual(_patches(), ANGLE), predicted)["phase"]
    apart = (analyse_dual(_patches(), ANGLE).phase - predicted.phase).numpy()
    assert float(raw) == pytest.approx(float((apart**2).mean()), rel=1e-5)


@pytest.mark.parametrize("config", [BRAINRVQ_EEG, ANGLE], ids=["circular", "angle"])
def test_predicting_nothing_costs_one_in_every_term(config):
    target = analyse_dual(_patches(), config)
    nothing = DualView(*(torch.zeros_like(part) for part in target[:3]), target.side)
    for loss in dual_losses(target, nothing).values():
        assert float(loss) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("config", [BRAINRVQ_EEG, ANGLE], ids=["circular", "angle"])
def test_a_step_over_the_end_of_the_circle_is_small_only_where_the_phase_is_circular(config):
    """A phase just below +pi and one just above -pi are neighbours."""
    time = torch.arange(200) / 200
    one, other = (
        torch.cos(2 * np.pi * 10 * time + phase).expand(1, 1, 1, 200)
        for phase in (np.pi - 0.05, np.pi + 0.05)
    )
    bin_10 = [analyse_dual(x, config).phase[0, 0, 0, 10] for x in (one, other)]
    apart = float((bin_10[0] - bin_10[1]).norm())
    assert apart < 0.2 if config.phase == "circular" else apart > 2


@pytest.mark.parametrize("config", [BRAINRVQ_EEG, ANGLE, FREQUENCY])
def test_a_window_of_zeros_has_finite_targets_and_losses(config):
    x = torch.zeros(2, 3, 4, 200)
    view = analyse_dual(x, config)
    for part in view:
        assert part is None or torch.isfinite(part).all()
    losses = dual_losses(view, analyse_dual(_patches(), config))
    assert all(torch.isfinite(loss) for loss in losses.values())
    torch.testing.assert_close(synthesise_dual(view), x, atol=1e-4, rtol=0)


def test_a_view_without_waveform_and_circular_phase_is_no_signal():
    view = analyse_dual(_patches(), ANGLE)
    with pytest.raises(ValueError, match="needs an amplitude and a circular phase"):
        synthesise_dual(view._replace(waveform=None))
    with pytest.raises(ValueError, match="needs an amplitude and a circular phase"):
        synthesise_dual(DualView(None, None, None, view.side))
