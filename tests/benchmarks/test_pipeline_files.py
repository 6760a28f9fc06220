# License: BSD-3-Clause
"""Pipelines as files: each can be made, says what it is, and comes with models and their twins."""

from __future__ import annotations

import ast

import numpy as np
import pytest
from optional_library import import_or_skip

import_or_skip("moabb", "benchmark")
import_or_skip("braindecode")

from moabb.analysis.results import get_digest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier

from mne_neurorvq import BioCodecClassifier, BrainRVQTransformer
from mne_neurorvq.benchmarks.groups import _pipelines
from mne_neurorvq.benchmarks.pipeline_files import (
    MODELS,
    pipeline_files,
    read_pipeline,
    with_models,
)
from mne_neurorvq.benchmarks.plan import Plan
from mne_neurorvq.datasets import simulate_epochs

FILES = pipeline_files()


@pytest.mark.parametrize("name", FILES)
def test_every_file_makes_a_pipeline_that_clones_and_says_what_it_is(name):
    pipeline = read_pipeline(FILES[name])[0]
    # By which finished cells are found: no address, no state.
    assert get_digest(clone(pipeline)) == get_digest(pipeline)
    assert hasattr(pipeline, "predict")
    assert ast.get_docstring(ast.parse(FILES[name].read_text()))


def test_a_model_is_put_in_the_estimator_of_its_system_with_its_twin():
    made = dict(
        (name, pipeline)
        for name, _, pipeline in with_models(
            "e", read_pipeline(FILES["embedding_thirds"])[0], MODELS
        )
    )
    assert set(made) == {f"e:{model}{end}" for model in MODELS for end in ("", "-random")}
    features = made["e:brainrvq-eeg-small-random"].get_params()["withinsubjects__features"]
    assert isinstance(features, BrainRVQTransformer)
    assert features.pretrained == "brainrvq-eeg-small-random"
    assert features.pool == "thirds"


def test_features_of_tokens_are_those_of_the_signals_that_they_decode_to():
    pipeline = read_pipeline(FILES["tokens_thirds"])[0]
    epochs = simulate_epochs(n_subjects=1, n_trials=2, verbose=False)
    ((_, _, made), _) = with_models("t", pipeline, ["neurorvq-eeg-small"])
    step = made[0].features
    model = clone(step.features).fit(epochs)
    expected = model.transform(model.detokenize(model.tokenize(epochs)))
    np.testing.assert_array_equal(clone(step).fit(epochs).transform(epochs), expected)
    assert abs(expected - model.transform(epochs)).max() > 0.01


def test_what_a_system_cannot_do_is_left_out():
    names = {
        kind: {model for _, model, _ in with_models("x", read_pipeline(FILES[kind])[0], MODELS)}
        for kind in ("full", "lora", "head")
    }
    biocodec = {"biocodec-eeg-small", "biocodec-eeg-small-random"}
    assert names["full"] == names["lora"] == names["head"] - biocodec
    assert biocodec < names["head"]


def test_physiology_is_of_models_that_have_learned_it():
    pipeline = read_pipeline(FILES["physiology"])[0]
    names = {model for _, model, _ in with_models("x", pipeline, MODELS)}
    assert names == {"neurorvq-eeg-small", "brainrvq-eeg-small"}


def test_classifiers_still_ask_for_people_when_their_model_changes():
    for _, _, pipeline in with_models("x", read_pipeline(FILES["head"])[0], ["biocodec-eeg-small"]):
        assert isinstance(pipeline[-1], BioCodecClassifier)
        # It has no early stopping: nobody is held back for nothing.
        assert pipeline[-1].validation_fraction is None
        assert pipeline[-1]._metadata_request.fit.requests["groups"] == "subjects"


def test_a_pipeline_without_a_model_is_itself():
    pipeline = read_pipeline(FILES["csp_lda"])[0]
    assert list(with_models("csp_lda", pipeline, MODELS)) == [("csp_lda", None, pipeline)]


@pytest.mark.parametrize("ending", ["yml", "yaml"])
def test_yaml_files_of_moabb_are_read(tmp_path, ending):
    path = tmp_path / f"dummy.{ending}"
    path.write_text(
        "name: dummy\nparadigms: [Windows]\npipeline:\n"
        "  - name: DummyClassifier\n    from: sklearn.dummy\n    parameters: {strategy: prior}\n"
    )
    assert pipeline_files(tmp_path)["dummy"] == path
    assert read_pipeline(path)[0][-1].strategy == "prior"


@pytest.mark.parametrize("name", ["band_power.py", "mine.yml"])
def test_a_name_that_another_pipeline_has_is_refused(tmp_path, name):
    (tmp_path / "mine.py").touch()
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"{name} has the name of another pipeline, .*: rename it"):
        pipeline_files(tmp_path)


def test_of_networks_by_others_it_is_unknown_whom_they_had_seen():
    files = {name: read_pipeline(FILES[name]) for name in ("labram", "bendr", "csp_lda", "eegnet")}
    assert {name: file.seen for name, file in files.items()} == {
        "labram": None,
        "bendr": None,
        "csp_lda": {},
        "eegnet": {},
    }


def test_a_file_without_a_pipeline_is_refused(tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"empty.py defines no PIPELINE"):
        read_pipeline(path)


def test_a_classifier_alone_is_a_pipeline(tmp_path):
    path = tmp_path / "bare.py"
    path.write_text(
        "from sklearn.dummy import DummyClassifier\nPIPELINE = {'pipeline': DummyClassifier()}\n"
    )
    assert isinstance(read_pipeline(path).pipeline[-1], DummyClassifier)


def test_what_a_file_of_ones_own_fails_to_import_is_said_as_it_is(tmp_path):
    (tmp_path / "typo.py").write_text("from mne_neurorvq.benchmarks import LinearProb\n")
    with pytest.raises(ImportError, match=r"^cannot import name 'LinearProb'"):
        list(_pipelines(Plan(tmp_path, folder=tmp_path)))
