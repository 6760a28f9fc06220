# License: BSD-3-Clause
"""One YAML file, every key checked, single values changed from the shell."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_neurorvq.models import NEURORVQ_ECG, QuantizerConfig
from mne_neurorvq.training import (
    CropSettings,
    FoundationSettings,
    Hardware,
    NeuroRVQLossWeights,
    NeuroRVQPretrainConfig,
    NeuroRVQSettings,
    StageSettings,
    config_text,
    read_config,
)
from mne_neurorvq.weights.systems import SYSTEMS

POSITIVE = st.floats(1e-6, 1e6)
COUNTS = st.integers(1, 10_000)
STAGES = st.builds(
    StageSettings,
    n_steps=st.integers(1000, 10**6),
    accumulate=COUNTS,
    lr=POSITIVE,
    matrix_lr=POSITIVE,
    weight_decay=st.floats(0, 1),
    lr_warmup_steps=st.integers(0, 100),
    max_norm=POSITIVE,
    validate_every=COUNTS,
    save_every=COUNTS,
)
LEARNED = st.builds(
    FoundationSettings,
    start=st.sampled_from(["tokenizer", "random"]),
    masked_tokens=st.floats(0.1, 10),
    n_steps=COUNTS,
    head_lr=POSITIVE,
)
CONFIGS = st.builds(
    NeuroRVQPretrainConfig,
    seed=st.integers(0, 2**32 - 1),
    model=st.builds(
        NeuroRVQSettings,
        modality=st.sampled_from(["eeg", "emg", "ecg", "ppg"]),
        depth=COUNTS,
        mlp_ratio=POSITIVE,
        quantizer=st.builds(
            QuantizerConfig,
            n_codes=COUNTS,
            rule=st.sampled_from(["unit", "euclidean", "gain"]),
            dead_code_threshold=st.floats(0, 0.5),
            warmup_steps=st.integers(0, 900),
        ),
    ),
    crops=st.builds(
        CropSettings, tokens_per_batch=COUNTS, n_channels=st.lists(COUNTS, min_size=1).map(tuple)
    ),
    losses=st.builds(NeuroRVQLossWeights, code=st.floats(0, 10), waveform=st.floats(0, 10)),
    mask_ratio=st.floats(0.01, 0.99),
    tokenizer=STAGES,
    foundation=LEARNED,
    hardware=st.builds(Hardware, accelerator=st.sampled_from(["auto", "cpu", "gpu"]), nodes=COUNTS),
)


def _file(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


@settings(max_examples=25)
@given(CONFIGS)
def test_a_configuration_survives_being_written(tmp_path_factory, config):
    assert read_config(_file(tmp_path_factory.mktemp("config"), config_text(config))) == config


def test_nothing_given_is_the_defaults(tmp_path):
    assert read_config() == read_config(_file(tmp_path, "")) == NeuroRVQPretrainConfig()


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path):
    found = read_config(_file(tmp_path, "tokenizer: {n_steps: 4000}\nmodel:\n  depth: 6\n"))
    default = NeuroRVQPretrainConfig()
    wanted = replace(
        default,
        tokenizer=replace(default.tokenizer, n_steps=4000),
        model=replace(default.model, depth=6),
    )
    assert found == wanted


def test_changes_come_after_the_file_and_the_last_one_counts(tmp_path):
    path = _file(tmp_path, "seed: 1\nmask_ratio: 0.4\n")
    found = read_config(path, ["seed=2", "crops.n_channels=[4, 8]", "seed=3"])
    assert (found.seed, found.mask_ratio, found.crops.n_channels) == (3, 0.4, (4, 8))


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "0.001"])
def test_a_number_that_yaml_takes_for_a_word_is_a_number(tmp_path, text):
    # YAML 1.1 reads 1e-3, without a point, as a string.
    for found in (
        read_config(changes=[f"tokenizer.lr={text}"]),
        read_config(_file(tmp_path, f"tokenizer: {{lr: {text}}}")),
    ):
        assert found.tokenizer.lr == 0.001
        assert isinstance(found.tokenizer.lr, float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {dept: 3}", r"model\.dept: unknown key \(there are: modality, depth, "),
        ("steps: 3", r"steps: unknown key \(there are: system, seed, model, crops, "),
        ("model: {quantizer: {codes: 3}}", r"model\.quantizer\.codes: unknown key"),
        ("1: 2", "1: unknown key"),
        ("model: 3", "model must have keys, got 3"),
        ("model:", "model must have keys, got None"),
        ("- 3", r"the configuration must have keys, got \[3\]"),
        ("model: {", "the configuration is not YAML"),
        ("tokenizer: {n_steps: many}", r"tokenizer\.n_steps='many': .*valid integer"),
        ("tokenizer: {n_steps: 2.5}", r"tokenizer\.n_steps=2\.5: .*valid integer"),
        ("tokenizer: {lr: -0.1}", r"tokenizer\.lr=-0\.1: .*greater than 0"),
        ("tokenizer: {lr: .nan}", r"tokenizer\.lr=nan"),
        ("crops: {n_channels: []}", r"crops\.n_channels=\[\]: .*at least 1 item"),
        ("crops: {n_channels: [4, 0]}", r"crops\.n_channels\.1=0: .*greater than 0"),
        ("model: {modality: meg}", r"model\.modality='meg': .*'eeg', 'emg', 'ecg' or 'ppg'"),
        ("hardware: {precision: 16-true}", r"hardware\.precision='16-true'"),
        ("mask_ratio: 1", r"mask_ratio=1: .*less than 1"),
        ("seed: 4294967296", r"seed=4294967296: .*less than 4294967296"),
        ("model: {quantizer: {n_codes: 0}}", r"used:\n  model\.quantizer: n_codes must be"),
        ("model: {quantizer: {rule: other}}", r"model\.quantizer\.rule='other'"),
        ("model: {quantizer: {decay: 1}}", r"model\.quantizer: decay must be in \[0, 1\), got 1"),
        (
            "tokenizer: {n_steps: 400}",
            r"used:\n  tokenizer\.n_steps=400 must be more than model\.quantizer\.warmup_steps=400",
        ),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_config(_file(tmp_path, text))


def test_every_problem_is_told_at_once(tmp_path):
    with pytest.raises(ValueError, match="cannot be used") as error:
        read_config(_file(tmp_path, "tokenizer: {n_steps: x}\nfoundation: {accumulate: 0}"))
    assert "tokenizer.n_steps" in str(error.value)
    assert "foundation.accumulate" in str(error.value)


@pytest.mark.parametrize("change", ["seed", "seed 3", ""])
def test_a_change_without_a_value_is_refused(change):
    with pytest.raises(ValueError, match="must be KEY=VALUE, such as"):
        read_config(changes=[change])


def test_steps_of_warm_up_are_counted_in_batches():
    changes = ["tokenizer.n_steps=201", "tokenizer.accumulate=2"]
    assert read_config(changes=changes).tokenizer.n_steps == 201


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.yaml"):
        read_config(tmp_path / "absent.yaml")


def test_the_modality_settles_signal_and_vocabulary():
    found = NeuroRVQSettings("ecg", depth=2).config()
    assert found.channels == NEURORVQ_ECG.channels
    assert (found.sfreq, found.patch_size) == (NEURORVQ_ECG.sfreq, NEURORVQ_ECG.patch_size)
    assert (found.depth, found.quantizer.n_codes) == (2, 1024)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["foundation.targets=0"], "neither masked_tokens nor any of the targets"),
        (["foundation.targets.powr=1"], "foundation.targets.powr: unknown key"),
        (["foundation.targets.power=-1"], "foundation.targets.power=-1"),
        (["foundation.start=scratch"], "foundation.start='scratch'"),
        (["crops.average_reference=1.5"], "crops.average_reference=1.5"),
    ],
)
@pytest.mark.parametrize("system", ["neurorvq", "brainrvq"])
def test_an_objective_that_cannot_be_is_named(system, changes, message):
    with pytest.raises(ValueError, match=message):
        read_config(changes=changes, system=system)


@pytest.mark.parametrize(
    ("system", "changes"), [("biocodec", []), ("neurorvq", ["model.modality=ecg"])]
)
def test_a_laplacian_of_channels_without_places_is_refused(system, changes):
    with pytest.raises(ValueError, match="no places on the head"):
        read_config(changes=[*changes, "crops.laplacian_reference=0.2"], system=system)


def test_targets_of_another_signal_are_refused():
    with pytest.raises(ValueError, match="power is of eeg, but model"):
        read_config(changes=["foundation.targets.power=1", "model.modality=ecg"])
    with pytest.raises(ValueError, match="beat is of ecg, but model"):
        read_config(changes=["foundation.targets.beat=1"], system="brainrvq")


@pytest.mark.parametrize(
    ("system", "modality", "megabytes"),
    [("neurorvq", "ecg", 6), ("neurorvq", "emg", 4), ("biocodec", "emg", 4)],
)
def test_defaults_are_those_of_the_small_model_of_the_signal(system, modality, megabytes):
    found = read_config(changes=[f"model.modality={modality}"], system=system)
    assert found == read_config(system=system, modality=modality)
    assert found != read_config(system=system)
    config = found.model.config()
    assert config.modality == modality
    kinds = SYSTEMS[system]
    models = [kinds.tokenizer, *([kinds.foundation] if kinds.foundation else [])]
    n_numbers = sum(
        value.numel()
        for model in models
        for name, value in model(config=config).state_dict().items()
        if "moving" not in name
    )
    assert 2 * n_numbers < megabytes * 1e6  # in half precision


def test_what_is_given_counts_more_than_the_defaults_of_the_signal():
    found = read_config(changes=["model.depth=2"], modality="ecg")
    assert (found.model.modality, found.model.depth) == ("ecg", 2)
    assert found.foundation.learned_targets == {"beat": 1.0}
    assert read_config(changes=["model.modality=eeg"], modality="ecg") == read_config()
    assert read_config(modality="ppg").foundation.learned_targets == {}


@pytest.mark.parametrize("system", ["neurorvq", "brainrvq"])
def test_without_a_word_a_foundation_model_learns_what_the_small_one_has_learned(system):
    """Of the recipe that was found worth having, not of codes, which taught no better features."""
    folder = files("mne_neurorvq.weights") / "bundled" / f"{system}-eeg-small"
    made = json.loads((folder / "training.json").read_text())["config"]
    found = read_config(system=system)
    for key in ("start", "masked_tokens", "targets", "lr", "matrix_lr", "head_lr", "n_steps"):
        assert getattr(found.foundation, key) == made["foundation"][key]
    assert found.crops.average_reference == made["crops"]["average_reference"]


def test_targets_have_one_order_and_known_names():
    learned = FoundationSettings(targets={"slow": 1.0, "power": 2.0}).learned_targets
    assert list(learned.items()) == [("power", 2.0), ("slow", 1.0)]
    with pytest.raises(ValueError, match="powr: unknown"):
        FoundationSettings(targets={"powr": 1.0})


def test_targets_without_a_weight_are_not_learned(tmp_path):
    changes = ["foundation.targets=0", "foundation.targets.waveform=0.5"]
    assert read_config(changes=changes).foundation.learned_targets == {"waveform": 0.5}
    again = read_config(_file(tmp_path, config_text(read_config(changes=changes))))
    assert again == read_config(changes=changes)


@pytest.mark.parametrize("system", ["neurorvq", "brainrvq"])
def test_a_run_of_an_earlier_version_goes_on_without_what_came_later(tmp_path, system):
    content = yaml.safe_load(config_text(read_config(system=system)))
    del content["model"]["input_scale"], content["crops"]["restore"]
    del content["crops"]["bad_channels"]
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(content))
    config = read_config(file)
    assert config.model.input_scale == "none"
    assert (config.crops.restore, config.crops.bad_channels) == ("noisy", 0.0)
    file.write_text(yaml.safe_dump({"system": system, "model": content["model"]}))  # partial
    assert read_config(file).model.input_scale == "channel"
