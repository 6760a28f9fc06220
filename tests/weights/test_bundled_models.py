# License: BSD-3-Clause
"""The pretrained models in the package: size, provenance and what they do on new people."""

import json
from pathlib import Path

import mne
import numpy as np
import pytest
from mne.preprocessing.ecg import qrs_detector
from optional_library import import_or_skip

from mne_neurorvq import load_pretrained, preprocess
from mne_neurorvq.analysis import BANDS, code_usage, reconstruction_quality
from mne_neurorvq.benchmarks import band_power
from mne_neurorvq.datasets import (
    load_eegbci,
    load_emg_lower_limb,
    load_ptbxl,
    read_wfdb,
    simulate_epochs,
    trial_column,
)
from mne_neurorvq.estimators import (
    BioCodecTransformer,
    BrainRVQClassifier,
    BrainRVQTransformer,
    NeuroRVQTransformer,
)
from mne_neurorvq.signals import set_reference
from mne_neurorvq.weights.provenance import pretraining_subjects
from mne_neurorvq.weights.registry import BUNDLED

NAME = "neurorvq-eeg-small"
FOLDER = BUNDLED / NAME
UNSEEN = (1, 2, 3, 4, 5, 6, 7, 8, 15, 42)


def test_it_takes_at_most_twelve_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 12e6


def test_it_holds_a_tokenizer_and_a_foundation_model_of_one_structure():
    loaded = load_pretrained(NAME)
    assert loaded.kinds == ("tokenizer", "foundation")
    assert loaded.tokenizer.config == loaded.foundation.config


def test_its_card_names_command_data_seed_and_people():
    card = load_pretrained(NAME).card
    for words in ("mne-neurorvq pretrain", "Seed 0", "S001-S008", "never", "Curve of the"):
        assert words in card


def test_the_people_it_is_measured_on_are_not_among_those_it_was_trained_on():
    record = json.loads((FOLDER / "training.json").read_text())
    seen = pretraining_subjects(NAME)["eegmmidb"]
    assert not set(seen) & {f"S{number:03d}" for number in UNSEEN}
    assert not set(seen) & {name.split("/")[1] for name in record["validation"]}


@pytest.fixture(scope="module")
def restored(shared):
    """Trials of unseen people and what comes back through the codes, in volts."""
    pairs, codes = [], []
    for subject, run in ((1, 8), (3, 4), (42, 1)):
        (raw,) = load_eegbci(subject, run, path=shared / "data", verbose=False)
        epochs = mne.make_fixed_length_epochs(preprocess(raw), 4.0, preload=True, verbose=False)
        epochs.crop(tmax=4.0 - 1 / raw.info["sfreq"])
        model = NeuroRVQTransformer(verbose=False).fit(epochs)
        tokens = model.tokenize(epochs)
        original = set_reference(epochs, model.reference_)
        pairs.append((original.get_data(), model.detokenize(tokens).get_data()))
        codes.append(tokens.codes.reshape(-1, 1, 1, *tokens.codes.shape[3:]))
    return pairs, np.concatenate(codes)


def test_people_it_never_saw_are_reconstructed_in_volts(restored):
    for original, rebuilt in restored[0]:
        quality = reconstruction_quality(original, rebuilt, 160.0).summary()
        assert quality["r"] > 0.96
        assert quality["z_mse"] < 0.08
        assert abs(quality["gain"] - 1) < 0.1


def test_every_level_uses_nine_of_ten_codes(restored):
    usage = code_usage(restored[1], 1024)
    assert (usage.used > 0.9).all()


def test_the_small_codec_takes_at_most_six_megabytes_and_knows_whom_it_has_seen():
    folder = BUNDLED / "biocodec-eeg-small"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 6e6
    seen = pretraining_subjects(folder.name)["eegmmidb"]
    assert not set(seen) & {f"S{number:03d}" for number in UNSEEN}
    card = load_pretrained(folder.name).card
    for words in ("mne-neurorvq pretrain", "Seed 0", "never", "`r` 0.89", "Curve of the"):
        assert words in card
    record = json.loads((folder / "training.json").read_text())
    assert not set(seen) & {name.split("/")[1] for name in record["validation"]}


@pytest.fixture(scope="module")
def new_person(shared):
    """Trials of a person whom the small codec has not seen, and the codec."""
    (raw,) = load_eegbci(1, 8, path=shared / "data", verbose=False)
    raw = preprocess(raw, "biocodec-eeg-small")
    epochs = mne.make_fixed_length_epochs(raw, 5.0, preload=True, verbose=False)[::4]
    epochs.pick(epochs.ch_names[::4])
    return epochs, BioCodecTransformer("biocodec-eeg-small", verbose=False).fit(epochs)


def test_the_small_codec_reconstructs_a_new_person_in_volts_with_all_its_codes(new_person):
    epochs, model = new_person
    tokens = model.tokenize(epochs)
    rebuilt = model.detokenize(tokens).get_data()
    quality = reconstruction_quality(epochs.get_data(), rebuilt, epochs.info["sfreq"]).summary()
    assert quality["r"] > 0.98
    assert quality["si_sdr"] > 15
    assert abs(quality["gain"] - 1) < 0.03
    assert all(quality[f"nmse_{band}"] < 0.05 for band in BANDS)
    usage = code_usage(tokens.codes, 256)
    assert (usage.used > 0.9).all()
    assert (usage.normalized_entropy > 0.92).all()
    louder = epochs.copy().apply_function(lambda x: 1.2 * x + 1e-4)
    agreement = model.tokenize(louder).codes == tokens.codes
    assert (agreement.mean(axis=(0, 1, 2, 3)) > 0.99).all()


@pytest.mark.parametrize(("low", "high"), [(80, 100), (10, 100)])
def test_the_small_codec_bears_noise_at_frequencies_its_recordings_did_not_have(
    new_person, low, high
):
    clean = new_person[0].copy().resample(250.0)
    signals = clean.get_data()
    noise = np.random.default_rng(0).standard_normal(signals.shape)
    noise = mne.filter.filter_data(noise, 250.0, low, high, verbose=False)
    signals += 0.125 * signals.std(-1, keepdims=True) * noise / noise.std(-1, keepdims=True)
    info = mne.create_info(clean.ch_names, 250.0, "eeg")
    with info._unlock():
        info["highpass"], info["lowpass"] = 0.5, 100.0
    noisy = mne.EpochsArray(signals, info, verbose=False)
    codec = BioCodecTransformer("biocodec-eeg-small", verbose=False).fit(noisy)
    rebuilt = codec.reconstruct(noisy).get_data()
    quality = reconstruction_quality(signals, rebuilt, 250.0).summary()
    assert quality["nmse"] < 0.05
    assert quality["nmse_beta"] < 0.05


BRAIN = "brainrvq-eeg-small"


def test_the_small_brainrvq_takes_at_most_eight_megabytes_and_knows_whom_it_has_seen():
    folder = BUNDLED / BRAIN
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 8e6
    seen = pretraining_subjects(BRAIN)["eegmmidb"]
    assert not set(seen) & {f"S{number:03d}" for number in UNSEEN}
    card = load_pretrained(BRAIN).card
    for words in ("mne-neurorvq pretrain", "Seed 0", "never", "frequency |     2", "Curve of the"):
        assert words in card


@pytest.mark.parametrize(
    ("name", "make"), [(NAME, NeuroRVQTransformer), (BRAIN, BrainRVQTransformer)]
)
def test_it_tells_the_power_of_new_people(name, make, shared):
    (raw,) = load_eegbci(2, 8, path=shared / "data", verbose=False)
    raw = preprocess(raw, name)
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose=False)[::3]
    model = make(name, output="physiology", pool="time", verbose=False)
    told = model.fit_transform(epochs).reshape(len(epochs), len(epochs.ch_names), -1)
    columns = list(model.get_feature_names_out()[: told.shape[-1]])
    power = np.log(band_power(set_reference(epochs, "average"), bands={"alpha": (8.0, 13.0)}))
    alpha = told[..., columns.index(f"{epochs.ch_names[0]}_power_8-13Hz")]
    assert np.corrcoef(alpha.ravel(), power.ravel())[0, 1] > 0.6


def test_the_small_brainrvq_restores_slow_bands_of_a_new_person_and_its_twin_does_not(shared):
    (raw,) = load_eegbci(1, 8, path=shared / "data", verbose=False)
    raw = preprocess(raw, BRAIN)
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose=False)[::3]
    errors = {}
    for name in (BRAIN, f"{BRAIN}-random"):
        model = BrainRVQTransformer(name, verbose=False).fit(epochs)
        tokens = model.tokenize(epochs)
        rebuilt = model.detokenize(tokens).get_data()
        original = set_reference(epochs, model.reference_).get_data()
        quality = reconstruction_quality(original, rebuilt, epochs.info["sfreq"])
        errors[name] = quality.summary()
    small, twin = errors.values()
    assert small["r"] > 0.85
    assert small["nmse_delta"] < 0.15
    assert small["nmse_theta"] < 0.4
    assert small["nmse_alpha"] < 0.6
    assert twin["nmse_theta"] > 0.9


def test_the_small_brainrvq_is_what_its_estimators_load():
    assert BrainRVQTransformer().pretrained == BrainRVQClassifier().pretrained == BRAIN


def test_the_bits_of_the_small_brainrvq_are_quoted_with_their_side_information():
    x = 20 * np.random.default_rng(0).standard_normal((1, 1, 400))  # microvolts
    model = BrainRVQTransformer(BRAIN, reference="recorded", ch_names=["Cz"], sfreq=200.0)
    bits = model.fit(x).tokenize(x).bits_per_second
    page = (Path(__file__).resolve().parents[2] / "doc" / "brainrvq.rst").read_text()
    assert f'`"{BRAIN}"` uses {bits:.0f} bits per second' in page
    assert f"| rate | {bits:.0f} bits per second" in load_pretrained(BRAIN).card


HEARTS = "neurorvq-ecg-small"


@pytest.fixture(scope="module")
def hearts(shared):
    """Records of patients whom no model has seen, before and after the codes, in volts."""
    import_or_skip("wfdb", "ecg")
    files = [
        shared / f"data/ecg_ptbxl/records500/00000/{number}_hr.hea"
        for number in ("00008", "00009", "00010")  # folds 9 and 10
    ]
    pairs = []
    for file in files:
        raw = preprocess(read_wfdb(file), HEARTS)
        epochs = mne.make_fixed_length_epochs(raw, 10.0, preload=True, verbose=False)
        for name in (HEARTS, f"{HEARTS}-random"):
            model = NeuroRVQTransformer(name, output="tokens").fit(epochs)
            pairs.append((name, epochs, model.reconstruct(epochs)))
    return pairs


def test_the_small_model_of_hearts_takes_at_most_six_megabytes_and_knows_whom_it_has_seen():
    folder = BUNDLED / HEARTS
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 6e6
    assert len(pretraining_subjects(HEARTS)["ptbxl"]) == 112
    card = load_pretrained(HEARTS).card
    for words in (
        "**What it is not**: a diagnostic",
        "mne-neurorvq pretrain",
        "Seed 0",
        "**Never** seen",
    ):
        assert words in card


def test_patients_of_the_folds_for_testing_are_not_among_those_it_was_trained_on(shared):
    import_or_skip("wfdb", "ecg")
    unseen = set(trial_column(load_ptbxl(shared / "data/ecg_ptbxl", folds=(9, 10)), "subject"))
    assert len(unseen) == 58
    record = json.loads((BUNDLED / HEARTS / "training.json").read_text())
    watched = {name.split("/")[1] for name in record["validation"]}
    assert not unseen & {*pretraining_subjects(HEARTS)["ptbxl"], *watched}


def test_hearts_it_never_saw_beat_where_they_did_and_its_twin_is_no_use(hearts):
    for name, before, after in hearts:
        quality = reconstruction_quality(before, after, bands={})
        if name.endswith("random"):
            assert np.abs(quality.r).max() < 0.5
            continue
        assert quality.r.mean() > 0.97
        assert (np.abs(quality.gain - 1) < 0.2).all()
        sfreq = before.info["sfreq"]
        peaks = [
            qrs_detector(sfreq, epochs.get_data(picks=["II"])[0, 0], verbose="error")
            for epochs in (before, after)
        ]
        errors = np.abs(np.subtract.outer(*peaks)).min(axis=1) / sfreq
        assert np.median(errors) < 0.01
        rates = [60 * sfreq / np.median(np.diff(one)) for one in peaks]
        assert abs(rates[0] - rates[1]) < 1


def test_the_small_model_of_hearts_tells_where_a_lead_is_high(hearts):
    _, before, _ = hearts[0]
    model = NeuroRVQTransformer(HEARTS, output="physiology", pool="none", verbose=False)
    told = model.fit_transform(before)[0]
    names = model.get_feature_names_out()
    highest = [n.startswith("II_") and n.endswith("highest") for n in names]
    patches = before.get_data(picks=["II"])[0, 0].reshape(50, -1).max(axis=-1)
    assert np.corrcoef(told[highest], patches)[0, 1] > 0.5


MUSCLES = "neurorvq-emg-small"
UNSEEN_THIGHS = ("A2", "A7", "N3", "N8", "N11")


@pytest.fixture(scope="module")
def thighs(shared):
    """Seconds of the thigh muscles of people whom no model has seen, as the model wants them."""
    found = []
    for raw in load_emg_lower_limb(shared / "data/emg_lower_limb", tasks=("gait",)):
        if raw.info["subject_info"]["his_id"] in UNSEEN_THIGHS:
            raw = preprocess(raw.set_annotations(None), MUSCLES)
            found.append(mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose=False)[:3])
    return mne.concatenate_epochs(found, verbose=False)


def test_the_small_model_of_muscles_takes_at_most_four_megabytes_and_knows_whom_it_has_seen():
    folder = BUNDLED / MUSCLES
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 4e6
    seen = pretraining_subjects(MUSCLES)["emg_lower_limb"]
    watched = json.loads((folder / "training.json").read_text())["validation"]
    assert len(seen) == 15
    assert not {*seen, *(name.split("/")[1] for name in watched)} & set(UNSEEN_THIGHS)
    card = load_pretrained(MUSCLES).card
    for words in ("**What it is not**: a diagnostic", "mne-neurorvq pretrain", "mirror", "Seed 0"):
        assert words in card


def test_muscles_it_never_saw_contract_when_they_did_and_its_twin_is_no_use(thighs):
    for name in (MUSCLES, f"{MUSCLES}-random"):
        after = NeuroRVQTransformer(name, output="tokens", verbose=False).fit(thighs)
        after = after.reconstruct(thighs).get_data()
        before = thighs.get_data()
        quality = reconstruction_quality(before, after, 1000.0, bands={})
        if name.endswith("random"):
            assert quality.summary()["r"] < 0.2
            continue
        assert quality.summary()["r"] > 0.85
        assert abs(np.median(quality.gain) - 1) < 0.15
        envelopes = [
            mne.filter.filter_data(np.abs(signals), 1000.0, None, 6.0, verbose=False)
            for signals in (before, after)
        ]
        both = zip(*(one.reshape(-1, one.shape[-1]) for one in envelopes), strict=True)
        assert np.mean([np.corrcoef(one, two)[0, 1] for one, two in both]) > 0.95


MUSCLE_CODEC = "biocodec-emg-small"


def test_the_small_codec_of_muscles_takes_at_most_four_megabytes_and_knows_whom_it_has_seen():
    folder = BUNDLED / MUSCLE_CODEC
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 4e6
    seen = pretraining_subjects(MUSCLE_CODEC)["emg_lower_limb"]
    watched = json.loads((folder / "training.json").read_text())["validation"]
    assert len(seen) == 15
    assert not {*seen, *(name.split("/")[1] for name in watched)} & set(UNSEEN_THIGHS)
    card = load_pretrained(MUSCLE_CODEC).card
    for words in ("**What it is not**: a diagnostic", "mne-neurorvq pretrain", "mirror", "Seed 0"):
        assert words in card


def test_the_codec_restores_muscles_it_never_saw_at_every_gain_and_its_twin_does_not(thighs):
    before = thighs.get_data()
    for name in (MUSCLE_CODEC, f"{MUSCLE_CODEC}-random"):
        codec = BioCodecTransformer(name, verbose=False).fit(thighs)
        tokens = codec.tokenize(thighs)
        quality = reconstruction_quality(
            before, codec.detokenize(tokens).get_data(), 1000.0, bands={}
        )
        if name.endswith("random"):
            assert quality.summary()["r"] < 0.3
            continue
        assert quality.summary()["r"] > 0.75
        assert abs(np.median(quality.gain) - 1) < 0.15
        assert (code_usage(tokens.codes, 256).used > 0.8).all()
        louder = thighs.copy().apply_function(lambda x: 1.2 * x, picks=thighs.ch_names)
        agreement = codec.tokenize(louder).codes == tokens.codes
        assert (agreement.mean(axis=(0, 1, 2, 3)) > 0.99).all()


def test_all_models_in_the_package_take_less_than_forty_megabytes():
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file()) < 40e6


@pytest.mark.filterwarnings("ignore:The Epochs were filtered")  # for NeuroRVQ
@pytest.mark.parametrize("system", [NeuroRVQTransformer, BrainRVQTransformer])
def test_old_and_new_names_of_an_electrode_are_one_place(system):
    new = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    old = new.copy().rename_channels({"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"})
    first, second = (system(verbose=False).fit(epochs) for epochs in (new, old))
    tokens = first.tokenize(new), second.tokenize(old)
    assert tokens[0].ch_names != tokens[1].ch_names
    np.testing.assert_array_equal(tokens[0].codes, tokens[1].codes)
    np.testing.assert_array_equal(first.transform(new), second.transform(old))


@pytest.mark.filterwarnings("ignore:The Epochs were filtered")  # for NeuroRVQ
@pytest.mark.parametrize("system", [NeuroRVQTransformer, BrainRVQTransformer])
def test_electrodes_that_no_training_saw_are_left_out_by_name(system):
    seen = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    more = seen.copy().add_channels([seen.copy().pick(["O1"]).rename_channels({"O1": "TP9"})])
    with pytest.warns(UserWarning, match=r"'TP9' \(known to the model by name only"):
        fitted = system(reference="recorded", verbose=False).fit(more)
    assert "TP9" not in fitted.ch_names_
    expected = system(reference="recorded", verbose=False).fit_transform(seen)
    np.testing.assert_array_equal(fitted.transform(more), expected)


@pytest.mark.parametrize("name", ["neurorvq-eeg-small", "brainrvq-eeg-small"])
def test_the_rows_said_to_be_trained_have_moved_from_where_they_started(name):
    loaded = load_pretrained(name)
    config, table = loaded.config, loaded.foundation.encoder.trunk.pos_embed
    rows = table[int(config.foundation_style.class_row) :][: len(config.channels)].norm(dim=1)
    lengths = dict(zip(config.channels, rows.tolist(), strict=True))
    others = [length for name, length in lengths.items() if name not in config.trained]
    assert len(config.trained) == 68
    assert min(lengths[name] for name in config.trained) > max(others)
