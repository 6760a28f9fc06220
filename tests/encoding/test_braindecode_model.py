# License: BSD-3-Clause
"""A pretrained model as a module: its inputs are prepared as the estimators prepare trials."""

from __future__ import annotations

import mne
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from optional_library import import_or_skip
from torch import nn

from mne_neurorvq import BraindecodeModel, BrainRVQTransformer, NeuroRVQTransformer
from mne_neurorvq.datasets.montage import standard_montage

TINY = "neurorvq-eeg-tiny-random"
NAMES = "Fp1 Fp2 F3 F4 C3 Cz C4 P3 P4 O1 O2".split()
# Half a second is lost, or 20 Hz: told once, at construction.
pytestmark = pytest.mark.filterwarnings("ignore:Signals at 100 Hz", "ignore:Windows of")


def info_of(names):
    return [{"ch_name": name} for name in names]


def make(n_times=300, sfreq=100.0, names=NAMES, **settings):
    settings = {"pretrained": TINY, **settings}
    return BraindecodeModel(2, chs_info=info_of(names), n_times=n_times, sfreq=sfreq, **settings)


def windows(n_times):
    return 20 * np.random.default_rng(0).standard_normal((3, len(NAMES), n_times))


@pytest.mark.parametrize(("sfreq", "n_times"), [(160.0, 700), (100.0, 80), (200.0, 6000)])
@pytest.mark.parametrize("make_transformer", [NeuroRVQTransformer, BrainRVQTransformer])
def test_features_are_those_of_the_transformer(make_transformer, sfreq, n_times):
    pretrained = make_transformer().pretrained.replace("small", "tiny-random")
    settings = {"pretrained": pretrained, "reference": "average"}
    model = make(n_times, sfreq, **settings).eval()
    X = windows(n_times)
    with torch.no_grad():
        features = model(torch.tensor(X, dtype=torch.float32), return_features=True)["features"]
    transformer = make_transformer(pool="none", ch_names=NAMES, sfreq=sfreq, **settings)
    assert_allclose(features.flatten(1), transformer.fit_transform(X), atol=1e-4)


def test_unknown_channels_are_left_out_and_named():
    with pytest.warns(UserWarning, match="XX"):
        model = make(names=[*NAMES, "XX"])
    assert model.mixing.shape == (len(NAMES), len(NAMES) + 1)
    assert [match.name for match in model.channel_report if not match.used] == ["XX"]


def test_sites_are_computed_from_the_positions_of_the_channels():
    montage = standard_montage()
    names = ["Fp1", "Fp2", "F7", "F8", "T7", "T8", "P7", "P8", "O1", "O2", "C3", "C4", "Pz"]
    info = mne.create_info([f"E{name}" for name in names], 200.0, "eeg")
    places = montage.get_positions()["ch_pos"]
    own = {f"E{name}": places[name] for name in names}
    info.set_montage(mne.channels.make_dig_montage(own, coord_frame="head"))
    model = BraindecodeModel(
        2, chs_info=info["chs"], n_times=200, pretrained=TINY, channels="interpolate"
    )
    assert any(match.how == "spline" for match in model.channel_report)
    # A potential that is the same everywhere stays so.
    assert_allclose(model.mixing.sum(1), 1.0, atol=1e-5)


def test_weights_move_between_montages_rates_and_numbers_of_classes():
    first, second = make(), make(400, 200.0, NAMES[:5])
    missing, unexpected = second.load_state_dict(
        {k: v for k, v in first.state_dict().items() if not k.startswith("final_layer")},
        strict=False,
    )
    assert {name.split(".")[0] for name in missing} == {"final_layer"}
    assert not unexpected


def test_its_head_can_be_exchanged_as_benchmarks_do():
    model = make()
    model.final_layer = nn.Sequential(nn.Flatten(1), nn.LazyLinear(4))
    assert model(torch.zeros(1, len(NAMES), 300)).shape == (1, 4)


def test_what_it_was_not_made_for_is_refused():
    with pytest.raises(ValueError, match=r"x must be \(batch, 11, 300\), got shape \(1, 11, 200\)"):
        make()(torch.zeros(1, 11, 200))
    with pytest.raises(ValueError, match="give chs_info"):
        BraindecodeModel(2, n_times=200, pretrained=TINY)
    with pytest.raises(ValueError, match="n_chans=3 but chs_info describes 11"):
        make(n_chans=3)
    with pytest.raises(ValueError, match="foundation"):
        make(pretrained="biocodec-eeg-small")


def test_braindecode_trains_it_on_epochs_of_another_rate():
    braindecode = import_or_skip("braindecode")
    y = np.arange(12) % 2
    X = windows(200).repeat(4, axis=0)
    X[:, 4] += 40 * y[:, None] * np.sin(np.arange(200))
    info = mne.create_info(NAMES, 100.0, "eeg")
    epochs = mne.EpochsArray(1e-6 * X, info, verbose="error")
    classifier = braindecode.EEGClassifier(
        BraindecodeModel,
        module__pretrained=TINY,
        optimizer=torch.optim.AdamW,
        lr=1e-2,
        max_epochs=10,
        batch_size=6,
        train_split=None,
        verbose=0,
    )
    classifier.fit(epochs, y)
    losses = classifier.history[:, "train_loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert set(classifier.predict(epochs)) <= {0, 1}
