# License: BSD-3-Clause
"""Warnings point at the user's own line, and are given once for all folds."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import warnings
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
    return mne.EpochsArray(2e-5 * rng.standard_normal((12, 3, 200)), info, verbose="error")


def here() -> tuple[str, int]:
    """File and line of the caller."""
    frame = inspect.currentframe().f_back
    return frame.f_code.co_filename, frame.f_lineno


def places(caught) -> list[tuple[str, int]]:
    return [(warning.filename, warning.lineno) for warning in caught]


def test_whatever_calls_the_package_the_warning_points_at_the_line_of_the_user(epochs):
    pipeline = make_pipeline(NeuroRVQTransformer(TINY), LogisticRegression())
    with pytest.warns(UserWarning, match="left out") as caught:
        NeuroRVQTransformer(TINY).fit(epochs); expected = [here()]  # noqa: E702
        pipeline.fit(epochs, Y); expected.append(here())  # noqa: E702
        NeuroRVQClassifier(TINY, max_epochs=1, verbose=False).fit(epochs, Y); expected.append(here())  # noqa: E501, E702
        match_channels(["Cz", "E77"], ["cz"]); expected.append(here())  # noqa: E702
    assert places(caught) == expected


def test_a_short_window_is_told_at_the_line_of_the_user():
    with pytest.warns(UserWarning, match="shorter than one patch") as caught:
        plan_segments(100, 2, patch_size=200, max_patches=256); expected = [here()]  # noqa: E702
    assert places(caught) == expected


def test_folds_say_the_same_thing_once(epochs):
    pipeline = make_pipeline(NeuroRVQTransformer(TINY), LogisticRegression())
    with pytest.warns(UserWarning, match="left out") as caught:
        cross_val_score(pipeline, epochs, Y, cv=3); expected = here()  # noqa: E702
    assert places(caught) == [expected]
    with pytest.warns(UserWarning, match="left out") as caught:  # another run says it again
        cross_val_score(pipeline, epochs, Y, cv=3)
    assert len(caught) == 1


def test_a_search_and_its_last_fit_say_the_same_thing_once(epochs):
    pipeline = make_pipeline(NeuroRVQTransformer(TINY), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=2)
    with pytest.warns(UserWarning, match="left out") as caught:
        search.fit(epochs, Y); expected = here()  # noqa: E702
    assert places(caught) == [expected]


def test_fits_of_two_lines_are_two_warnings(epochs):
    with pytest.warns(UserWarning, match="left out") as caught:
        NeuroRVQTransformer(TINY).fit(epochs)
        NeuroRVQTransformer(TINY).fit(epochs)
    assert len(caught) == 2


def test_worker_processes_say_a_thing_once_each():
    code = (
        "import threading, warnings; from mne_neurorvq.signals import match_channels as match\n"
        "for _ in range(3):\n"
        "    t = threading.Thread(target=match, args=(['Cz', 'E77'], ['cz'])); t.start(); t.join()\n"
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
