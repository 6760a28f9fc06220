# License: BSD-3-Clause
"""Peers with weights of others: all of them fit, or the pipeline is not run and says why."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from optional_library import import_or_skip

import_or_skip("moabb", "benchmark")
import_or_skip("braindecode")

from safetensors.torch import save_file
from tiny_task import add_task, write_pipeline

from mne_neurorvq.benchmarks import TASKS, Plan, pretrained_networks, run
from mne_neurorvq.benchmarks.pipeline_files import NotAtHand, pipeline_files, read_pipeline
from mne_neurorvq.benchmarks.pretrained_networks import SCALES, PretrainedNetwork
from mne_neurorvq.benchmarks.report import write_report
from mne_neurorvq.datasets import simulate_epochs

PEERS = ("labram", "biot", "cbramod", "eegpt", "bendr")
# MOABB creates a table of its results without saying of which type.
pytestmark = pytest.mark.filterwarnings("ignore:Creating a dataset without passing data or dtype")


@pytest.fixture(scope="module")
def epochs():
    return simulate_epochs(n_subjects=1, n_trials=2, trial_duration=2.0, verbose=False)


def small(weights):
    """A network that is built in no time."""
    settings = {"n_layer": 1, "dim_feedforward": 8}
    return PretrainedNetwork("CBraMod", weights, sfreq=200.0, scale="100uV", settings=settings)


def offline(*_):
    raise OSError("no network")


@pytest.mark.parametrize("name", PEERS)
def test_the_file_of_a_peer_is_run_where_it_is_named_only(name):
    read = read_pipeline(pipeline_files()[name])
    network = read.pipeline[0].features
    assert read.download
    assert re.search(r"\d+ MB to be downloaded", pipeline_files()[name].read_text())
    assert hasattr(pretrained_networks.braindecode.models, network.module)
    assert network.scale in SCALES


@pytest.mark.parametrize("name", ["biot", "cbramod"])
def test_a_network_of_random_weights_gives_finite_features(name, epochs):
    network = read_pipeline(pipeline_files()[name]).pipeline[0].features.set_params(weights=None)
    features = network.fit_transform(epochs)
    assert len(features) == len(epochs)
    assert np.isfinite(features).all()
    np.testing.assert_array_equal(features, network.fit_transform(epochs))


@pytest.mark.parametrize("scale", SCALES)
def test_scales_do_not_make_trials_infinite(scale):
    x = np.random.default_rng(0).standard_normal((2, 3, 50))
    x[:, 1] = 0
    assert np.isfinite(SCALES[scale](x)).all()


def test_weights_of_a_file_are_those_of_the_network(epochs, tmp_path):
    random = small(None).fit(epochs)
    state = {
        name: 0.5 * value
        for name, value in random.network_.state_dict().items()
        if not name.startswith("final_layer.")
    }
    path = tmp_path / "model.safetensors"
    save_file(state, path)
    loaded = small(str(path)).fit(epochs)
    for name, value in loaded.network_.named_parameters():
        if not name.startswith("final_layer."):
            np.testing.assert_array_equal(value.detach(), state[name])


def test_a_file_without_all_weights_is_refused(epochs, tmp_path):
    state = small(None).fit(epochs).network_.state_dict()
    path = tmp_path / "model.safetensors"
    kept = ("patch_embedding", "proj_out")
    save_file({name: value for name, value in state.items() if name.startswith(kept)}, path)
    with pytest.raises(NotAtHand, match=r"lacks \d+ of the \d+ weights of CBraMod.*encoder"):
        small(str(path)).fit(epochs)


def test_what_cannot_be_had_is_told_and_no_failure(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained_networks, "hf_hub_download", offline)
    before = dict(TASKS)
    add_task()
    try:
        write_pipeline(tmp_path / "pipelines", "probe", "LinearProbe()")
        plan = Plan(tmp_path / "run", ("tiny",), ("cbramod", "probe"), folds=2)
        lines = []
        run(replace(plan, folder=tmp_path / "pipelines"), say=lines.append)
        assert lines[0].startswith("NOT RUN tiny cbramod: the weights braindecode/cbramod")
        assert "hf download braindecode/cbramod-pretrained" in lines[0]
        assert len(lines) == 3
        text = write_report(plan.out, "probe")
        assert "## Not run\n\n- tiny cbramod: the weights braindecode/cbramod-pretrained" in text
    finally:
        TASKS.clear()
        TASKS.update(before)
