# License: BSD-3-Clause
"""The same result whoever computes it: this process, others, a cluster, or several as one."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from mne_neurorvq import NeuroRVQClassifier, NeuroRVQTransformer

TINY = "neurorvq-eeg-tiny-random"
SCRIPT = Path(__file__).with_name("shared_fit.py")
SHARED = runpy.run_path(str(SCRIPT))

ESTIMATORS = {
    "embedding": make_pipeline(NeuroRVQTransformer(TINY), LogisticRegression(max_iter=1000)),
    "classifier": NeuroRVQClassifier(TINY, max_epochs=2, batch_size=8, random_state=0),
}


@pytest.fixture(autouse=True)
def _one_thread():
    """Workers compute with one thread: sums of several round differently."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def predict(make_epochs):
    """Predict the trials of each of three subjects by those of the others."""
    epochs = make_epochs(n_trials=18, n_times=200, sfreq=200.0)
    labels = np.where(epochs.metadata["label"] == 1, "left", "rest")

    def predict(kind, n_jobs=None):
        return cross_val_predict(
            ESTIMATORS[kind],
            epochs,
            labels,
            groups=epochs.metadata["subject"].to_numpy(),
            cv=GroupKFold(3),
            method="predict_proba",
            n_jobs=n_jobs,
        )

    return predict


@pytest.fixture
def cluster(tmp_path):
    """Two workers of dask on this machine, one thread each."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(tmp_path),
        ) as workers,
        Client(workers) as client,
    ):
        yield client


# One test each for all kinds: starting the processes takes longer than what they compute.


def test_folds_in_other_processes_give_the_same_bits(predict):
    for kind in ESTIMATORS:
        assert_array_equal(predict(kind, n_jobs=2), predict(kind, n_jobs=1), err_msg=kind)


def test_folds_on_a_dask_cluster_give_the_same_bits(predict, cluster):
    def n_computed():
        return sum(cluster.run(lambda dask_worker: dask_worker.state.executed_count).values())

    for kind in ESTIMATORS:
        before = n_computed()
        with joblib.parallel_config("dask"):
            found = predict(kind)
        assert n_computed() - before >= 3  # the folds
        assert_array_equal(found, predict(kind), err_msg=kind)


def test_two_processes_train_the_net_that_one_trains(tmp_path):
    launch = "-m torch.distributed.run --standalone --nproc_per_node 2".split()
    subprocess.run(
        [sys.executable, *launch, str(SCRIPT), str(tmp_path)],
        check=True,
        cwd=tmp_path,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    for case, parameters in SHARED["CASES"].items():
        first, second = (dict(np.load(tmp_path / f"{case} {rank}.npz")) for rank in (0, 1))
        for name in first:
            assert_array_equal(first[name], second[name], err_msg=f"{name} of {case}")
        if parameters.get("random_state", 0) is None:
            continue
        alone = SHARED["outcome"](SHARED["fit"](case, "cpu"))
        if case == "best epoch":
            # High rates turn rounding into steps along directions that change no output.
            del alone["weights"]
        for name, expected in alone.items():
            assert_allclose(first[name], expected, rtol=0, atol=1e-5, err_msg=f"{name} of {case}")


def test_a_single_process_may_be_connected_with_itself():
    alone, connected = (SHARED["fit"]("full", device) for device in ("cpu", "accelerate"))
    for name, found in SHARED["outcome"](connected).items():
        assert_array_equal(found, SHARED["outcome"](alone)[name])
    assert type(connected.net_) is type(alone.net_)


def test_without_accelerate_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r"needs accelerate.*pip install.*device='auto'"):
        SHARED["fit"]("full", "accelerate")
