# License: BSD-3-Clause
"""What BioCodec promises beyond its numbers: any length, any montage, causality."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_neurorvq.models import (
    BIOCODEC_EEG,
    BIOCODEC_EMG,
    BIOCODEC_LOSS_WEIGHTS,
    BioCodec,
    BioCodecConfig,
    QuantizerConfig,
    biocodec_losses,
)

both = pytest.mark.parametrize("preset", [BIOCODEC_EEG, BIOCODEC_EMG], ids=["eeg", "emg"])


def _small(preset=BIOCODEC_EEG, **changes):
    quantizer = replace(
        preset.quantizer, n_levels=3, n_codes=32, code_dim=8, input_dim=16, dead_code_threshold=0.0
    )
    return replace(preset, n_filters=4, quantizer=quantizer, **changes)


def _model(preset=BIOCODEC_EEG, **changes):
    torch.manual_seed(0)
    return BioCodec(config=_small(preset, **changes)).eval()


def _signals(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_published_codes_take_a_thousand_bits_a_second():
    bits = BIOCODEC_EEG.quantizer.bits_per_token / BIOCODEC_EEG.patch_seconds
    assert bits == 1000
    assert BIOCODEC_EEG.latent_dim == BIOCODEC_EMG.latent_dim == 128
    assert [preset.patch_size for preset in (BIOCODEC_EEG, BIOCODEC_EMG)] == [12, 18]


@settings(max_examples=25)
@given(n_times=st.integers(1, 90), preset=st.sampled_from([BIOCODEC_EEG, BIOCODEC_EMG]))
@torch.no_grad()
def test_every_length_is_coded_and_comes_back(n_times, preset):
    model, x = _model(preset), _signals(2, 3, n_times)
    codes, side = model.encode(x)
    n_patches = -(-n_times // preset.patch_size)
    assert codes.shape == (2, 3, n_patches, 1, 3)
    assert codes.dtype == torch.int64
    decoded = model.decode_codes(codes, side, n_times=n_times)
    assert decoded.shape == model(x).shape == x.shape
    assert torch.isfinite(decoded).all()
    torch.testing.assert_close(decoded, model(x), rtol=1e-4, atol=1e-5)
    assert model.decode_codes(codes, side).shape[-1] == n_patches * preset.patch_size


@torch.no_grad()
def test_each_channel_is_coded_by_itself_whatever_the_montage():
    model, x = _model(), _signals(3, 4, 250)
    codes, side = model.encode(x)
    alone = torch.cat([model.encode(x[:, i : i + 1])[0] for i in range(4)], dim=1)
    assert torch.equal(alone, codes)
    order = [2, 0, 3, 1]
    assert torch.equal(model.encode(x[:, order])[0], codes[:, order])
    decoded = model.decode_codes(codes, side)
    part = model.decode_codes(codes[1:2, 2:3], side[1:2, 2:3])
    torch.testing.assert_close(part[0, 0], decoded[1, 2], rtol=1e-4, atol=1e-5)


@both
@torch.no_grad()
def test_the_codes_of_a_longer_window_begin_with_those_of_a_shorter_one(preset):
    model, x = _model(preset), _signals(2, 1, 20 * preset.patch_size)
    codes, side = model.encode(x)
    decoded = model.decode_codes(codes, side)
    for n_patches in (3, 4, 11):
        n_times = n_patches * preset.patch_size
        first, _ = model.encode(x[..., :n_times])
        assert torch.equal(first, codes[:, :, :n_patches])
        short = model.decode_codes(first, side)
        torch.testing.assert_close(short, decoded[..., :n_times], rtol=1e-4, atol=1e-5)


@both
def test_nothing_depends_on_what_comes_later_but_for_the_reflection_at_the_start(preset):
    model, size = _model(preset), preset.patch_size
    x = _signals(1, 1, 8 * size).requires_grad_()
    vectors = model.to_vectors(x)[0]
    seen = []
    for patch in range(8):
        (gradient,) = torch.autograd.grad(vectors[patch].sum(), x, retain_graph=True)
        seen.append(int(torch.nonzero(gradient[0, 0])[-1]) // size + 1)
    assert seen == [3, 2, 3, 4, 5, 6, 7, 8]
    latent = _signals(1, 8, 16).requires_grad_()
    rebuilt = model.from_vectors(latent, torch.tensor([[[0.0, 1.0]]]))[0, 0]
    for patch in range(8):
        for sample in (patch * size, (patch + 1) * size - 1):
            (gradient,) = torch.autograd.grad(rebuilt[sample], latent, retain_graph=True)
            last = int(torch.nonzero(gradient[0].abs().sum(-1))[-1])
            assert last == max(patch, 2)


@torch.no_grad()
def test_side_information_scales_and_shifts_what_is_decoded():
    model, x = _model(), _signals(2, 3, 120)
    codes, side = model.encode(x)
    assert torch.equal(side, torch.tensor([0.0, 1.0]).expand(2, 3, 2))
    plain = model.decode_codes(codes, side)
    side = _signals(2, 3, 2, seed=1)
    found = model.decode_codes(codes, side)
    torch.testing.assert_close(found, plain * side[..., 1:] + side[..., :1])


@torch.no_grad()
def test_with_normalisation_codes_do_not_depend_on_the_gain_of_a_channel():
    model, x = _model(normalize=True), _signals(2, 3, 240)
    gains = torch.tensor([0.01, 1.0, 500.0])[:, None]
    codes, side = model.encode(x)
    scaled_codes, scaled_side = model.encode(gains * x)
    assert float((codes == scaled_codes).float().mean()) > 0.999
    torch.testing.assert_close(scaled_side[..., 1], side[..., 1] * gains[:, 0])
    torch.testing.assert_close(side[..., 1], x.square().mean(-1).sqrt())
    torch.testing.assert_close(model(gains * x), gains * model(x), rtol=1e-3, atol=1e-3)
    assert torch.isfinite(model(torch.zeros(1, 1, 60))).all()


@torch.no_grad()
def test_fewer_levels_decode_to_a_coarser_signal():
    model, x = _model(), _signals(1, 2, 120)
    codes, side = model.encode(x)
    whole = model.decode_codes(codes, side)
    for n_levels in (1, 2):
        part = model.decode_codes(codes[..., :n_levels], side)
        assert part.shape == whole.shape
        assert not torch.allclose(part, whole)


@torch.no_grad()
def test_codes_and_signals_do_not_depend_on_autocast():
    model, x = _model(), _signals(2, 2, 240)
    codes, side = model.encode(x)
    rebuilt = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.encode(x)[0], codes)
        assert torch.equal(model(x), rebuilt)
        assert model.decode_codes(codes, side).dtype == torch.float32


def test_evaluation_changes_nothing():
    model, x = _model(), _signals(2, 2, 120)
    model.quantizer.started.fill_(False)
    before = copy.deepcopy(model.state_dict())
    codes, side = model.encode(x)
    model.decode_codes(codes, side)
    model.losses(x)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_copies_and_pickles_compute_the_same():
    model, x = _model(), _signals(1, 2, 120)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x), model(x))


@both
def test_every_parameter_is_trained_by_the_objective(preset):
    model = _model(preset).train()
    losses, quantized = model.losses(_signals(2, 2, 300))
    assert model.quantizer.started
    assert set(losses) == set(BIOCODEC_LOSS_WEIGHTS)
    assert quantized.codes.shape == (1, 4 * -(-300 // preset.patch_size), 3)
    sum(BIOCODEC_LOSS_WEIGHTS[name] * loss for name, loss in losses.items()).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle


def test_training_lowers_the_objective():
    model = _model(n_ffts=(32, 64)).train()
    time = torch.arange(240) / 250
    x = torch.stack([(6.28 * f * time).sin() for f in (4, 11)])[:, None]
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    history = []
    for _ in range(12):
        losses, _ = model.losses(x)
        total = sum(BIOCODEC_LOSS_WEIGHTS[name] * loss for name, loss in losses.items())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(total.item())
    assert min(history[-3:]) < 0.9 * history[0]


def test_weights_are_normalised_by_output_and_lengths_are_learned():
    kernel = _model().encoder[0].conv
    torch.testing.assert_close(kernel(), kernel.direction)
    with torch.no_grad():
        kernel.gain.fill_(2.0)
        kernel.direction.mul_(7.0)
    torch.testing.assert_close(kernel().flatten(1).norm(dim=1), torch.full((4,), 2.0))


def test_a_perfect_reconstruction_has_no_loss_and_a_shift_in_phase_has_one():
    x = _signals(1, 2, 100)
    assert all(float(loss) == 0 for loss in biocodec_losses(x, x, (32,)).values())
    losses = biocodec_losses(x, -x, (32,))
    assert float(losses["spectral"]) > 0.1


def test_the_waveform_loss_is_quadratic_up_to_a_point_then_linear():
    x = torch.zeros(1, 1, 64)
    for error, wanted in ((0.35, 0.35**2 / 1.4), (10.0, 10 - 0.35)):
        loss = biocodec_losses(x, x + error, (32,))["waveform"]
        assert float(loss) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"sfreq": 200.0}, "sfreq=200.0 but the model works at 250"),
        ({"n_times": 500, "input_window_seconds": 1.0}, "n_times=500 contradicts"),
    ],
)
def test_arguments_that_contradict_the_model_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        BioCodec(config=_small(), **arguments)


def test_the_window_arguments_allow_any_length():
    assert BioCodec(config=_small(), sfreq=250.0, n_times=1003).n_times == 1003
    assert BioCodec(config=_small(), input_window_seconds=1.1).n_times == 275


@pytest.mark.parametrize("shape", [(2, 100), (1, 2, 0), (1, 1, 2, 50)])
def test_input_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"must be \(batch, n_chans, n_times\) with samples"):
        _model().encode(torch.zeros(shape))


@pytest.mark.parametrize(
    ("codes", "side", "n_times", "match"),
    [
        (torch.zeros(1, 2, 5, 3), (1, 2, 2), None, r"n_patches, 1, 1\.\.3"),
        (torch.zeros(1, 2, 5, 1, 4), (1, 2, 2), None, r"n_patches, 1, 1\.\.3"),
        (torch.full((1, 2, 5, 1, 3), 32), (1, 2, 2), None, r"lie in 0\.\.31, got 32"),
        (torch.zeros(1, 2, 5, 1, 3), (1, 2), None, r"side must be \(1, 2, 2\)"),
        (torch.zeros(1, 2, 5, 1, 3), (1, 2, 2), 48, "n_times=48 does not end in the last of 5"),
        (torch.zeros(1, 2, 5, 1, 3), (1, 2, 2), 61, "n_times=61 does not end in the last of 5"),
    ],
)
def test_codes_that_do_not_fit_are_refused(codes, side, n_times, match):
    with pytest.raises(ValueError, match=match):
        _model().decode_codes(codes, torch.ones(side), n_times=n_times)


def test_windows_too_short_for_the_spectral_loss_are_refused():
    with pytest.raises(ValueError, match=r"windows of 31 samples.*n_fft=256.*at least 32"):
        _model().losses(torch.zeros(1, 1, 31))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"strides": (3, 0)}, "strides must be at least 1, got 0"),
        ({"n_filters": 0}, "n_filters must be at least 1"),
        ({"n_ffts": (40,)}, r"n_ffts must be multiples of 16, got \(40,\)"),
        ({"quantizer": QuantizerConfig(n_codebooks=4)}, "n_codebooks=1, got 4"),
    ],
)
def test_a_structure_that_cannot_be_built_is_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        replace(BIOCODEC_EEG, **changes)


@both
def test_a_configuration_survives_plain_data(preset):
    assert BioCodecConfig.from_dict(preset.to_dict()) == preset
    with pytest.raises(ValueError, match=r"BioCodecConfig does not have the settings \['hop'\]"):
        BioCodecConfig.from_dict({**preset.to_dict(), "hop": 12})
    with pytest.raises(ValueError, match=r"incomplete BioCodecConfig.*sfreq"):
        BioCodecConfig.from_dict({"modality": "eeg", "strides": [3], "n_ffts": [32]})


@torch.no_grad()
def test_a_codec_without_maps_of_its_levels_works_too():
    quantizer = QuantizerConfig(n_codebooks=1, n_levels=2, n_codes=8, code_dim=16, rule="euclidean")
    model = BioCodec(config=replace(BIOCODEC_EEG, n_filters=4, quantizer=quantizer)).eval()
    codes, side = model.encode(_signals(1, 2, 60))
    assert model.decode_codes(codes, side).shape == (1, 2, 60)
