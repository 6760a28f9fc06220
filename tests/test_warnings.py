# License: BSD-3-Clause
"""Warnings point at the user's own line, and are given once for all folds."""

from __future__ import annotations

import ast
import linecache
import subprocess
import sys
from pathlib import Path

import mne
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import mne_neurorvq
from mne_neurorvq import NeuroRVQClassifier, NeuroRVQTransformer
from mne_neurorvq.signals import match_channels, plan_segments

TINY = "neurorvq-eeg-tiny-random"
Y = np.tile([0, 1], 6)


@pytest.fixture
def epochs():
    """Twelve trials with a channel that no model knows."""
    rng = np.random.default_rng(0)
    info = mne.create_info(["C3", "Cz", "E77"], 200.0, "eeg")
    with info._unlock():
        info["highpass"], info["lowpass"] = 0.5, 44.5
    return mne.EpochsArray(2e-5 * rng.standard_normal((12, 3, 200)), info, verbose="error")


def lines(caught) -> list[str]:
    """Lines of code that the warnings point at."""
    return [linecache.getline(warning.filename, warning.lineno).strip() for warning in caught]


def classifier():
    return make_pipeline(NeuroRVQTransformer(TINY), LogisticRegression())


def test_a_warning_points_at_the_line_of_the_user(epochs):
    transformer, net = NeuroRVQTransformer(TINY), NeuroRVQClassifier(TINY, max_epochs=1)
    with pytest.warns(UserWarning, match="left out") as caught:
        transformer.fit(epochs)
    assert lines(caught) == ["transformer.fit(epochs)"]
    with pytest.warns(UserWarning, match="left out") as caught:
        net.fit(epochs, Y)
    assert lines(caught) == ["net.fit(epochs, Y)"]
    with pytest.warns(UserWarning, match="left out") as caught:
        match_channels(["Cz", "E77"], ["cz"])
    assert lines(caught) == ['match_channels(["Cz", "E77"], ["cz"])']
    with pytest.warns(UserWarning, match="shorter than one patch") as caught:
        plan_segments(100, 2, patch_size=200, max_patches=256)
    assert lines(caught) == ["plan_segments(100, 2, patch_size=200, max_patches=256)"]


def test_what_scikit_learn_calls_is_not_the_line_of_the_user(epochs):
    pipeline = classifier()
    with pytest.warns(UserWarning, match="left out") as caught:
        pipeline.fit(epochs, Y)
    assert lines(caught) == ["pipeline.fit(epochs, Y)"]


def test_what_decorators_write_is_not_the_line_of_the_user():
    written: dict = {"match": match_channels}
    code = "def wrapped(names, known, verbose=None):\n    return match(names, known)\n"
    exec(compile(code, "<decorator-gen-162>", "exec"), written)
    with pytest.warns(UserWarning, match="left out") as caught:
        written["wrapped"](["Cz", "E77"], ["cz"])
    assert lines(caught) == ['written["wrapped"](["Cz", "E77"], ["cz"])']


def test_folds_say_the_same_thing_once(epochs):
    for _ in range(2):  # and another run says it again
        with pytest.warns(UserWarning, match="left out") as caught:
            cross_val_score(classifier(), epochs, Y, cv=3)
        assert lines(caught) == ["cross_val_score(classifier(), epochs, Y, cv=3)"]


def test_a_search_and_its_last_fit_say_the_same_thing_once(epochs):
    search = GridSearchCV(classifier(), {"logisticregression__C": [0.1, 1.0]}, cv=2)
    with pytest.warns(UserWarning, match="left out") as caught:
        search.fit(epochs, Y)
    assert lines(caught) == ["search.fit(epochs, Y)"]


def test_worker_processes_say_a_thing_once_each():
    code = (
        "import threading, warnings; from mne_neurorvq.signals import match_channels as match\n"
        "for _ in range(3):\n"
        "    thread = threading.Thread(target=match, args=(['Cz', 'E77'], ['cz']))\n"
        "    thread.start(); thread.join()\n"
        "    with warnings.catch_warnings(): pass  # as scikit-learn does, this forgets\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr.count("left out") == 1


def test_nothing_in_the_package_warns_in_another_way():
    folder = Path(mne_neurorvq.__file__).parent
    others = [
        f"{file.relative_to(folder)}:{node.lineno}"
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("warnings.warn")
    ]
    assert [other.partition(":")[0] for other in others] == ["_warnings.py"]
