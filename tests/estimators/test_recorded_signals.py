# License: BSD-3-Clause
"""Recordings of hearts, muscles and pulses, as people hold them, through untrained models."""

from __future__ import annotations

import re
import textwrap
import warnings
from pathlib import Path

import mne
import numpy as np
import pytest

from mne_neurorvq import (
    BioCodecTransformer,
    NeuroRVQClassifier,
    NeuroRVQTransformer,
    datasets,
    preprocess,
)

DOC = Path(__file__).resolve().parents[2] / "doc"
EMG, ECG, PPG = (f"neurorvq-{kind}-tiny-random" for kind in ("emg", "ecg", "ppg"))


@pytest.fixture
def data(shared):
    """Folder of the recordings."""
    pytest.importorskip("wfdb")
    return shared / "data"


def cut(raw, seconds, **options):
    return mne.make_fixed_length_epochs(raw, seconds, preload=True, verbose="error", **options)


def goes_through(epochs, name, output="embedding"):
    """Tokens, signals and columns; the channels that were used."""
    model = NeuroRVQTransformer(name, output=output).fit(epochs)
    assert np.isfinite(model.transform(epochs)).all()
    tokens = model.tokenize(epochs)
    decoded = model.detokenize(tokens).get_data()
    np.testing.assert_allclose(model.reconstruct(epochs).get_data(), decoded, rtol=1e-6, atol=0)
    assert decoded.shape[::2] == epochs.get_data().shape[::2]
    return model.ch_names_


def test_twelve_leads_at_500_hz(data):
    epochs = datasets.load_ptbxl(data / "ecg_ptbxl", sfreq=500)[:6]
    assert len(goes_through(epochs, ECG)) == 12
    y = [0, 1] * 3
    for finetune in ("head", "full"):
        model = NeuroRVQClassifier(ECG, finetune=finetune, max_epochs=1, random_state=0)
        assert model.fit(epochs, y).predict(epochs).shape == (6,)


def test_200_people_at_100_hz_are_told_what_the_rate_has_lost(data):
    epochs = datasets.load_ptbxl(data / "ecg_ptbxl")
    with pytest.warns(UserWarning, match="100 Hz hold nothing above 50 Hz") as caught:
        NeuroRVQTransformer(ECG).fit(epochs)
    assert len(caught) == 1  # none of them is in another unit, or has a broken lead


@pytest.mark.parametrize("record", ["100", "105"])
def test_a_modified_lead_of_a_holter(data, record):
    raw = datasets.read_wfdb(data / "ecg_mitbih" / record).crop(0, 30)
    names = goes_through(cut(preprocess(raw, ECG), 10.0), ECG)
    assert names == tuple(raw.ch_names)
    assert names[0] == "MLII"


def test_thigh_muscles_of_one_person(data):
    raws = datasets.load_emg_lower_limb(data / "emg_lower_limb", tasks=["gait"])[:1]
    epochs = cut(preprocess(raws[0], EMG), 2.0)
    assert goes_through(epochs, EMG) == tuple(raws[0].ch_names)
    codec = BioCodecTransformer("biocodec-emg-tiny-random").fit(epochs)
    assert codec.ch_names_ == tuple(raws[0].ch_names)
    assert codec.reconstruct(epochs).get_data().shape == epochs.get_data().shape


def test_an_armband_is_told_that_most_of_the_band_is_missing(data):
    file = sorted((data / "emg_myo_readings").glob("_readings*/**/*.txt"))[0]
    counts = np.loadtxt(file, delimiter=",")[:4000, :8]
    X = counts.reshape(-1, 400, 8).transpose(0, 2, 1)
    model = NeuroRVQTransformer(EMG, ch_names=[f"EMG{i}" for i in range(1, 9)], sfreq=200.0)
    with pytest.warns(UserWarning, match="hold nothing above 100 Hz.* 79%"):
        assert model.fit_transform(X).shape == (10, 8 * 800)


def test_a_pulse_and_a_heart_in_one_table(data):
    raw = datasets.read_bidmc(data / "ppg_bidmc" / "bidmc_01_Signals.csv").crop(0, 60)
    epochs = cut(preprocess(preprocess(raw, PPG), ECG), 10.0)
    with pytest.warns(UserWarning, match="'RESP'"):
        assert goes_through(epochs, PPG, "histogram") == ("PLETH",)
    with (
        pytest.warns(UserWarning, match="'V' .not among the model's 15 channels"),
        pytest.warns(UserWarning, match="125 Hz hold nothing above 62.5 Hz"),
    ):
        assert goes_through(epochs, ECG) == ("AVR", "II")


def test_colours_of_a_camera_are_pulses_one_by_one(data):
    raw = datasets.read_welltory(data / "ppg_welltory" / "data" / "subject_10")
    epochs = cut(preprocess(raw, PPG), 10.0)
    with pytest.warns(UserWarning, match="30 Hz hold nothing above 15 Hz"):
        assert goes_through(epochs, PPG, "tokens") == ("PPG R", "PPG G", "PPG B")


def test_gaps_of_a_bedside_monitor_are_refused_with_channel_and_time(data):
    raw = datasets.read_wfdb(data / "ppg_wfdb_samples" / "v102s")
    with pytest.raises(ValueError, match=r"Channel 'PLETH' is NaN or infinite from 12\.424"):
        preprocess(raw, PPG)
    with pytest.raises(ValueError, match=r"Channel 'II' is NaN or infinite from 22\.364"):
        preprocess(raw, ECG)
    model = NeuroRVQTransformer(PPG, output="tokens")
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(ValueError, match=r"Trial 1, channel 'PLETH' contains NaN.* from 2\.424 s"),
    ):
        model.fit(cut(raw, 10.0))
    # Gaps that are marked are left out.
    raw.set_annotations(mne.preprocessing.annotate_nan(raw))
    clean = cut(preprocess(raw.pick(["PLETH"]), PPG), 10.0)
    assert 0 < len(clean) < 30
    assert goes_through(clean, PPG, "tokens") == ("PLETH",)


@pytest.mark.parametrize(
    ("page", "files", "shape", "said"),
    [
        ("ecg", {"records500": "ecg_ptbxl/records500"}, (1, 160), []),
        (
            "modalities",
            {"bidmc_01": "ppg_bidmc/bidmc_01"},
            (50, 160),
            ["left out of the model", "125 Hz hold nothing above 62.5 Hz"],
        ),
        (
            "emg",
            {"1.txt": "emg_myo_readings/_readings_right_hand/12345-1/1.txt"},
            (56, 8 * 800),
            ["79% of that"],
        ),
    ],
)
@pytest.mark.skipif(not DOC.is_dir(), reason="needs the repository")
def test_the_recipes_of_the_docs_give_features_of_real_files(page, files, shape, said, data):
    text = (DOC / f"{page}.rst").read_text(encoding="utf-8")
    block = re.search(r"code-block:: python\n\n((?:   .*\n|\n)+)", text)
    code = textwrap.dedent(block[1]).replace('"neurorvq-ppg"', f'"{PPG}"')
    for name, place in files.items():
        assert f'"{name}' in code
        code = code.replace(f'"{name}', f'"{data / place}')
    names = {"mne": mne, "np": np, "datasets": datasets, "preprocess": preprocess}
    names["NeuroRVQTransformer"] = NeuroRVQTransformer
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(code, names)
    assert names["features"].shape == shape
    assert np.isfinite(names["features"]).all()
    told = [str(warning.message) for warning in caught]
    assert all(any(words in one for one in told) for words in said)
    assert told == [one for one in told if any(words in one for words in said)]
