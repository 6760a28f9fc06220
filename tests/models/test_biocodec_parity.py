# License: BSD-3-Clause
"""BioCodec computes what the authors' code computed, on recorded cases."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from optional_library import import_or_skip

from mne_neurorvq.analysis import reconstruction_quality
from mne_neurorvq.models import (
    BIOCODEC_EEG,
    BIOCODEC_EMG,
    BIOCODEC_LOSS_WEIGHTS,
    BioCodec,
    BioCodecHead,
    biocodec_losses,
)
from mne_neurorvq.models.biocodec import spectrogram

ATOL = 2e-5
# A margin below this leaves the choice between two codes to rounding.
MARGIN = 1e-5
PRESETS = {"eeg": BIOCODEC_EEG, "emg": BIOCODEC_EMG}


def _arrays(path):
    with np.load(path) as stored:
        return dict(stored)


def _close(found, wanted, atol=ATOL):
    found = found.detach().numpy() if isinstance(found, torch.Tensor) else found
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=atol)


def _model(recorded_codec, case):
    if case != "norm":
        return recorded_codec.model
    model = BioCodec(config=replace(recorded_codec.model.config, normalize=True)).eval()
    model.load_state_dict(recorded_codec.model.state_dict())
    return model


def _by_series(vectors, x):
    """(1, batch * patch, width) -> (batch, width, patch)."""
    return vectors[0].unflatten(0, (len(x), -1)).mT


def test_the_published_configurations_are_told_from_the_tensors(recorded_codec):
    preset = PRESETS[recorded_codec.name[:3]]
    quantizer = replace(preset.quantizer, n_codes=recorded_codec.meta["q_bins"])
    assert recorded_codec.model.config == replace(
        preset, n_filters=recorded_codec.meta["n_filters"], quantizer=quantizer
    )
    if recorded_codec.name.endswith("full"):
        assert recorded_codec.model.config == preset


@torch.no_grad()
def test_codes_latents_and_signals_are_the_recorded_ones(recorded_codec):
    for case, x in recorded_codec.inputs.items():
        model = _model(recorded_codec, case)
        io = {
            name.removeprefix(f"{case}_"): array
            for name, array in recorded_codec.outputs.items()
            if name.startswith(f"{case}_")
        }
        codes, side = model.encode(x)
        certain = io["margin"] > MARGIN
        assert certain.mean() > 0.999
        found = codes[:, 0, :, 0].mT.numpy()
        np.testing.assert_array_equal(found[certain], io["codes"][certain])
        if "latent" in io:
            features = model(x, return_features=True)["features"]
            _close(features[:, 0].mT, io["latent"])
        rebuilt, quantized = model.reconstruct(x)
        _close(_by_series(quantized.vectors, x), io["quantized"])
        _close(rebuilt, io["reconstruction"])
        _close(model(x), io["reconstruction"])
        _close(model.decode_codes(codes, side), io["decoded_untrimmed"])
        decoded = model.decode_codes(codes, side, n_times=x.shape[-1])
        _close(decoded, io["reconstruction"])
        assert torch.equal(side[..., 0], torch.zeros(len(x), 1))
        _close(side[..., 1], io.get("scale", np.ones((len(x), 1))), atol=1e-6)


@torch.no_grad()
def test_one_training_step_of_the_codebooks_is_the_recorded_one(recorded_codec):
    model, io = copy.deepcopy(recorded_codec.model).train(), recorded_codec.outputs
    model.quantizer.cluster_size.fill_(100.0)
    losses, _ = copy.deepcopy(model).losses(recorded_codec.inputs[recorded_codec.name[:3]])
    rebuilt, _ = model.reconstruct(recorded_codec.inputs[recorded_codec.name[:3]])
    _close(rebuilt, io["train_out"])
    weighted = BIOCODEC_LOSS_WEIGHTS["code"] * losses["code"]
    _close(weighted[None], io["train_loss_w"], atol=1e-6)
    _close(model.quantizer.codebook[0], io["train_embed_after"], atol=1e-6)
    _close(model.quantizer.moving_sum[0], io["train_embed_avg_after"], atol=1e-5)
    _close(model.quantizer.cluster_size[0], io["train_cluster_size_after"], atol=1e-5)


@torch.no_grad()
def test_losses_between_input_and_reconstruction_are_the_recorded_ones(recorded_codec):
    losses, _ = recorded_codec.model.losses(recorded_codec.inputs[recorded_codec.name[:3]])
    wanted = recorded_codec.meta["loss_in_vs_reconstruction"]
    assert float(losses["waveform"]) == pytest.approx(wanted["l_t"], abs=1e-5)
    assert float(losses["spectral"]) == pytest.approx(wanted["l_f"], abs=1e-5)


@pytest.mark.parametrize("kind", ["eeg", "emg"])
def test_objective_and_measures_of_recorded_pairs_are_the_recorded_ones(codec_folder, kind):
    arrays = _arrays(codec_folder / "objective_io.npz")
    wanted = json.loads((codec_folder / "meta.json").read_text())["objective"][kind]
    x, rebuilt = (arrays[f"{kind}_{side}"] for side in ("in", "out"))
    losses = biocodec_losses(*map(torch.from_numpy, (x, rebuilt)), PRESETS[kind].n_ffts)
    assert float(losses["waveform"]) == pytest.approx(wanted["l_t"], abs=1e-6)
    assert float(losses["spectral"]) == pytest.approx(wanted["l_f"], abs=2e-6)
    quality = reconstruction_quality(x, rebuilt, PRESETS[kind].sfreq)
    assert quality.r.mean() == pytest.approx(wanted["corr"], abs=1e-5)
    assert quality.si_sdr.mean() == pytest.approx(wanted["sdr"], abs=1e-4)


@pytest.mark.parametrize(("kind", "n_fft"), [("eeg", 32), ("emg", 128)])
def test_spectrograms_are_the_recorded_ones(codec_folder, kind, n_fft):
    arrays = _arrays(codec_folder / "objective_io.npz")
    found = spectrogram(torch.from_numpy(arrays[f"{kind}_in"][:1, 0]), n_fft)
    wanted = arrays[f"{kind}_spec{n_fft}"]
    _close(found[:, 0], wanted[:, 0], atol=1e-5)
    # The phase of a nearly empty bin is mostly rounding.
    _close(found[:, 1:], wanted[:, 1:], atol=2e-4)


@pytest.fixture(scope="module")
def head_case(codec_folder):
    """The recorded head, which sums its levels and sees the last 40 patches, and its arrays."""
    io = _arrays(codec_folder / "ft_io.npz")
    weights = torch.load(codec_folder / "ft.pt", weights_only=True)
    return io, weights, torch.from_numpy(io["codes"])[:, :, -40:, None].long()


def _head(weights, n_levels=6):
    head = BioCodecHead(3, 5, levels=range(n_levels), combine="sum")
    names = {
        "time_transformer.layers.0.": "patch_layer.",
        "chan_transformer.layers.0.": "channel_layer.",
        "classifier.": "final_layer.",
    }
    state = {
        name.replace(theirs, ours): tensor
        for name, tensor in weights.items()
        for theirs, ours in names.items()
        if name.startswith(theirs)
    }
    tables = [weights[f"code_embs.{level}.weight"] for level in range(n_levels)]
    head.load_state_dict({**state, "embedding": torch.stack(tables)})
    return head.eval()


@torch.no_grad()
@pytest.mark.parametrize(("n_levels", "name"), [(6, "logits"), (3, "logits_n_used3")])
def test_the_head_gives_the_recorded_logits(head_case, n_levels, name):
    io, weights, codes = head_case
    _close(_head(weights, n_levels)(codes), io[name], atol=1e-5)


@torch.no_grad()
def test_the_layers_of_the_head_take_and_give_what_was_recorded(head_case):
    io, weights, codes = head_case
    head, seen = _head(weights), {}
    for ours, theirs in (("patch_layer", "time"), ("channel_layer", "chan")):
        getattr(head, ours).register_forward_hook(
            lambda _, given, out, name=theirs: seen.update({name: (given[0], out)})
        )
    head(codes)
    for theirs, pair in seen.items():
        for value, end in zip(pair, ("in", "out"), strict=True):
            _close(value, io[f"{theirs}_{end}"], atol=1e-5)
    assert set(seen) == {"time", "chan"}


@torch.no_grad()
def test_embeddings_are_shortened_as_recorded(head_case):
    io, weights, codes = head_case
    head = _head(weights).train()
    before = head.embedding.clone()
    head(codes)
    for level in range(6):
        used = codes[..., 0, level].unique()
        _close(head.embedding[level, used], io["code_embs_after_forward"][level, used], atol=1e-6)
        # The authors shorten what is looked up, this head the whole table at once.
        short = before[level].norm(dim=-1) <= 1
        assert torch.equal(head.embedding[level, short], before[level, short])
    assert float(head.embedding.norm(dim=-1).max()) <= 1 + 1e-6


@torch.no_grad()
def test_embeddings_start_from_the_codebooks_as_recorded(head_case):
    io, weights, _ = head_case
    head = _head(weights)
    head.start_from(torch.from_numpy(io["codec_codebooks"])[None])
    _close(head.embedding, io["code_embs_from_codec"], atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("preset", [BIOCODEC_EEG, BIOCODEC_EMG], ids=["eeg", "emg"])
def test_encoder_and_decoder_are_those_of_encodec(preset):
    """The convolutional part is a plain EnCodec: Hugging Face's gives the same numbers."""
    transformers = import_or_skip("transformers", "lora")
    config = replace(preset, n_filters=4)
    torch.manual_seed(0)
    ours = BioCodec(config=config).eval()
    theirs = transformers.EncodecModel(
        transformers.EncodecConfig(
            sampling_rate=int(config.sfreq),
            audio_channels=1,
            normalize=False,
            hidden_size=config.latent_dim,
            num_filters=config.n_filters,
            num_residual_layers=2,
            upsampling_ratios=list(config.strides),
            norm_type="weight_norm",
            kernel_size=3,
            last_kernel_size=3,
            residual_kernel_size=3,
            dilation_growth_rate=2,
            use_causal_conv=True,
            pad_mode="reflect",
            compress=1,
            num_lstm_layers=2,
            trim_right_ratio=1.0,
            codebook_size=16,
            use_conv_shortcut=False,
        )
    ).eval()
    state = {}
    for name, tensor in ours.state_dict().items():
        part, _, rest = name.partition(".")
        if part in ("encoder", "decoder"):
            rest = rest.replace("convtr.", "conv.")
            rest = rest.replace("direction", "parametrizations.weight.original1")
            gain = rest.endswith("gain")
            rest = rest.replace("gain", "parametrizations.weight.original0")
            state[f"{part}.layers.{rest}"] = tensor[:, None, None] if gain else tensor
    missing, unknown = theirs.load_state_dict(state, strict=False)
    assert not unknown
    assert all(name.startswith("quantizer.") for name in missing)
    for n_times in (5, config.patch_size, 301):
        x = torch.randn(2, 1, n_times)
        latent = ours.encoder(x)
        torch.testing.assert_close(latent, theirs.encoder(x), rtol=0, atol=1e-6)
        torch.testing.assert_close(ours.decoder(latent), theirs.decoder(latent), rtol=0, atol=1e-6)
